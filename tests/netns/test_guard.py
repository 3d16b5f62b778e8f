"""The kernel must never be a way round the firewall: nothing from the inside reaches the outside but by sluice.

The box's namespace has ip_forward=1 throughout, as an administrator may have left it.
"""
import time

from lab import config
from lab.clients import ping, udp_spray
from lab.sniffer import Sniffer, addresses, from_inside, is_ipv4

BOXES = ("sluice",)


def provoke(lab):
    """Every kind of packet from the inside to the outside, also with the box's MAC known and fixed."""
    lab.in1.ip("neigh", "replace", config.INSIDE_BOX, "lladdr", config.INSIDE_MAC, "dev", "eth0", "nud", "permanent")
    try:
        ping(lab.in1, config.OUT1, 2)
        udp_spray(lab.in1, config.OUT1, 20000, 20, 0.2)
        lab.in1.succeeds("nc", "-z", "-w", "1", config.OUT1, "80")
    finally:
        lab.in1.ip("neigh", "del", config.INSIDE_BOX, "dev", "eth0")


def leaks(lab, action):
    def wanted(frame):
        return is_ipv4(frame) and addresses(frame)[1] == config.OUT1
    with Sniffer(lab.switch, "p-w1", wanted) as wire, Sniffer(lab.out1, "eth0", from_inside) as host:
        action()
        time.sleep(0.2)
    return wire.frames + host.frames


def case_sniffer_sees(lab):
    """the witness is awake: with sluiced running it does see traffic"""
    assert leaks(lab, lambda: ping(lab.in1, config.OUT1, 2))


def case_denied_traffic_stays_inside(lab):
    """what the filter denies is not forwarded by the kernel either"""
    closed = config.base()
    closed["filter"]["forward"] = {"policy": "drop", "rules": []}
    lab.box.reload(closed)
    assert leaks(lab, lambda: provoke(lab)) == []
    lab.box.reload(config.base())


def case_after_kill(lab):
    """nothing passes while sluiced lies dead of kill -9"""
    lab.box.kill9()
    assert leaks(lab, lambda: provoke(lab)) == []
    lab.start()
    assert ping(lab.in1, config.OUT1) == 3


def guarded_devices(lab):
    tables = lab.box_host.run("nft", "list", "ruleset", "netdev", check=False)
    return [name for name in ("l1", "w1") if f'device "{name}"' in tables]


def case_other_queues(lab):
    """frames of queues that AF_XDP does not read die at the device's ingress, and only while sluiced runs"""
    assert guarded_devices(lab) == ["l1", "w1"]
    lab.box.stop()
    assert guarded_devices(lab) == []
    lab.start()
    assert guarded_devices(lab) == ["l1", "w1"]
    assert ping(lab.in1, config.OUT1) == 3


def case_after_stop(lab):
    """nothing passes after a clean stop"""
    lab.box.stop()
    assert leaks(lab, lambda: provoke(lab)) == []
    lab.start()
    assert ping(lab.in1, config.OUT1) == 3
