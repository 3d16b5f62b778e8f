"""Twins and the interfaces behind ports, changed by hand under a running sluiced."""
import json
import time

from lab import config
from lab.clients import ping
from lab.machine import wait_until

BOXES = ("sluice",)


def known_mtu(host, address):
    words = host.ip("route", "get", address).split()
    return int(words[words.index("mtu") + 1]) if "mtu" in words else None


def ports(lab):
    return {port["name"]: port for port in json.loads(lab.box.control("--json", "ports"))}


def large_ping(lab):
    """Whether a packet of 1428 bytes that may not be cut comes through."""
    return lab.in1.succeeds("ping", "-c", "1", "-W", "1", "-M", "do", "-s", "1400", config.OUT1)


def told(lab, port, mtu):
    return lab.box.log().count(f"port {port} forwards with MTU {mtu} now")


def case_interface_narrowed(lab):
    """an interface that is narrowed by hand: the sender is told, and again when it is as before"""
    assert large_ping(lab)
    lab.box_host.ip("link", "set", "w1", "mtu", "1300")
    wait_until("the MTU", lambda: ports(lab)["wan"]["mtu_bytes"] == 1300, 5)
    assert not large_ping(lab)
    assert known_mtu(lab.in1, config.OUT1) == 1300
    assert [drop["packets"] > 0 for drop in lab.box.stats()["drops"] if drop["reason"] == "mtu_exceeded"] == [True]
    lab.in1.ip("route", "flush", "cache")
    lab.box_host.ip("link", "set", "w1", "mtu", "1500")
    wait_until("the MTU as before", lambda: ports(lab)["wan"]["mtu_bytes"] == 1500, 5)
    lab.in1.ip("route", "flush", "cache")
    assert large_ping(lab)
    assert (told(lab, "wan", 1300), told(lab, "wan", 1500)) == (1, 1), lab.box.log()


def case_twin_and_interface_narrowed(lab):
    """of the MTUs of twin and interface the smaller one counts"""
    lab.box_host.ip("link", "set", "wan0", "mtu", "1400")
    wait_until("the twin's MTU", lambda: ports(lab)["wan"]["mtu_bytes"] == 1400, 5)
    lab.box_host.ip("link", "set", "w1", "mtu", "1300")
    wait_until("the interface's MTU", lambda: ports(lab)["wan"]["mtu_bytes"] == 1300, 5)
    lab.box_host.ip("link", "set", "w1", "mtu", "1500")
    wait_until("the twin's MTU again", lambda: ports(lab)["wan"]["mtu_bytes"] == 1400, 5)
    lab.box_host.ip("link", "set", "wan0", "mtu", "1500")
    wait_until("no limit", lambda: ports(lab)["wan"]["mtu_bytes"] == 1500, 5)


def case_no_ipv6_after_a_dip(lab):
    """a twin's MTU that was below 1280 for a while does not switch IPv6 on"""
    lab.box.stop()
    lab.start(config.changed(config.base(), ipv6="off"))

    def disabled():
        return lab.box_host.run("cat", "/proc/sys/net/ipv6/conf/wan0/disable_ipv6", check=False).strip()
    assert disabled() == "1"
    lab.box_host.ip("link", "set", "wan0", "mtu", "1200")
    lab.box_host.ip("link", "set", "wan0", "mtu", "1500")
    wait_until("IPv6 off", lambda: disabled() == "1", 5)
    assert lab.box_host.ip("-6", "addr", "show", "dev", "wan0") == ""


def case_ipv6_after_a_dip(lab):
    """where IPv6 is on, a twin has its settings and configured addresses after such a dip"""
    lab.box.stop()
    with_ipv6 = config.changed(config.base(), ipv6="on")
    with_ipv6["ports"][1]["addresses"].append("2001:db8::1/64")
    lab.start(with_ipv6)
    lab.box_host.ip("link", "set", "wan0", "mtu", "1200")
    lab.box_host.ip("link", "set", "wan0", "mtu", "1500")
    wait_until("the address",
               lambda: "2001:db8::1/64" in lab.box_host.ip("-6", "addr", "show", "dev", "wan0"), 5)
    for setting, value in (("forwarding", "1"), ("accept_dad", "0"), ("keep_addr_on_down", "1")):
        found = lab.box_host.run("cat", f"/proc/sys/net/ipv6/conf/wan0/{setting}").strip()
        assert found == value, (setting, found)


def case_twin_down(lab):
    """a twin that was set down by hand is shown so, beside the carrier of its port"""
    assert ports(lab)["wan"]["up"] and ports(lab)["wan"]["twin_up"]
    lab.box_host.ip("link", "set", "wan0", "down")
    wait_until("the twin down", lambda: not ports(lab)["wan"]["twin_up"], 5)
    assert ports(lab)["wan"]["up"] and ports(lab)["lan"]["twin_up"]
    lines = lab.box.control("ports").splitlines()
    assert "TWIN LINK" in lines[0] and " wan0  down " in next(line for line in lines if line.startswith("wan ")), lines
    lab.box_host.ip("link", "set", "wan0", "up")
    wait_until("the twin up", lambda: ports(lab)["wan"]["twin_up"], 5)
    lab.settle()
    assert ping(lab.in1, config.OUT1) == 3


def rebuild(lab, name, bridge, mac):
    lab.box_host.ip("link", "del", name)
    lab.wire(lab.box_host, name, lab.switch, f"p-{name}", mac)
    lab.switch.ip("link", "set", f"p-{name}", "master", bridge)


def case_interface_made_anew(lab):
    """an interface that was deleted and made anew: its port is down until a restart, and the log says why, once"""
    rebuild(lab, "w1", "brout", config.OUTSIDE_MAC)
    wait_until("the port down", lambda: not ports(lab)["wan"]["up"], 5)
    told = "port wan: interface w1 was deleted and made anew: restart sluiced to use it"
    wait_until("the reason", lambda: told in lab.box.log(), 5)
    time.sleep(2.5)     # the link is looked at once a second
    assert lab.box.log().count(told) == 1, lab.box.log()
    assert not ports(lab)["wan"]["up"] and ports(lab)["lan"]["up"]
    lab.box.stop()
    lab.start()
    assert ports(lab)["wan"]["up"]
    assert ping(lab.in1, config.OUT1) == 3
