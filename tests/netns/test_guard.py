"""The kernel must never be a way round the firewall: nothing from the inside reaches the outside but by sluice.

The box's namespace has ip_forward=1 throughout, as an administrator may have left it.
"""
import re
import time

from lab import config
from lab.clients import ping, udp_spray
from lab.machine import wait_until
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


def guard_tables(lab):
    return sorted(re.findall(r"(\w+) (sluice_guard\S*)", lab.box_host.run("nft", "list", "tables")))


OWN_TABLES = [(family, "sluice_guard_lan0") for family in ("bridge", "inet", "netdev")]
RESTORED = "was changed or removed by another program, and is in force again"


def restored(lab):
    return int(re.search(r"^sluice_guard_restored_total (\d+)$", lab.box.metrics(), re.M)[1])


def case_flush(lab):
    """a guard that somebody flushed away is back at once; that is counted, and told, but not each time"""
    closed = config.base()
    closed["filter"]["forward"] = {"policy": "drop", "rules": []}
    lab.box.reload(closed)
    assert guard_tables(lab) == OWN_TABLES and restored(lab) == 0
    for times in (1, 2, 3):
        lab.box_host.run("nft", "flush", "ruleset")
        wait_until("the guard", lambda: guard_tables(lab) == OWN_TABLES, 2)
        assert leaks(lab, lambda: provoke(lab)) == []
        assert guarded_devices(lab) == ["l1", "w1"]
        assert restored(lab) == times
    assert lab.box.log().count(RESTORED) == 1, lab.box.log()
    lab.box.reload(config.base())
    assert ping(lab.in1, config.OUT1) == 3


def second_box(lab):
    """A configuration for another sluiced in the box's namespace, on devices of its own."""
    second = config.base()
    for port, device, tap, address in zip(second["ports"], ("l2", "w2"), ("dmz0", "dsl0"), ("10.7.0.1", "10.8.0.1")):
        if not lab.box_host.succeeds("ip", "link", "show", device):
            lab.wire(lab.box_host, device, lab.switch, f"p-{device}")
        port.update(device=f"net_af_packet_{device},iface={device}", tap=tap, addresses=[address + "/24"])
    second["metrics"] = {"listen": "127.0.0.1:9141"}
    second["control"] = {"socket": lab.path("second.sock")}
    with open(lab.path("second.yaml"), "w") as file:
        file.write(config.yaml(second))
    return lab.spawn("second", lab.box.command(lab.box.daemon, "--config", lab.path("second.yaml")))


def case_second_box(lab):
    """a second sluiced, with twins of its own, leaves the guard of the first alone, and they do not fight"""
    before = restored(lab)
    other_tables = [(family, "sluice_guard_dmz0") for family in ("bridge", "inet", "netdev")]
    second = second_box(lab)
    answer = ("--socket", lab.path("second.sock"), "version")
    wait_until("the second", lambda: lab.box_host.succeeds(lab.box.ctl, *answer) or not second.alive(), 30)
    assert second.alive(), second.log()
    assert guard_tables(lab) == sorted(OWN_TABLES + other_tables)
    lab.box_host.run("nft", "flush", "ruleset")
    wait_until("both guards", lambda: guard_tables(lab) == sorted(OWN_TABLES + other_tables), 2)
    time.sleep(1)
    assert restored(lab) == before + 1
    assert second.stop(timeout=15) == 0, second.log()
    assert second.log().count(RESTORED) == 1, second.log()
    assert guard_tables(lab) == sorted(OWN_TABLES + other_tables[:2])     # its twins are still there
    assert leaks(lab, lambda: lab.box.kill9() or provoke(lab)) == []
    for name in ("dmz0", "dsl0"):
        lab.box_host.ip("link", "del", name)
    lab.start()
    wait_until("the end of what the second left", lambda: guard_tables(lab) == OWN_TABLES, 5)
    assert ping(lab.in1, config.OUT1) == 3
    for name in ("l2", "w2"):
        lab.box_host.ip("link", "del", name)


def case_after_kill(lab):
    """nothing passes while sluiced lies dead of kill -9"""
    lab.box.kill9()
    assert leaks(lab, lambda: provoke(lab)) == []
    lab.start()
    assert ping(lab.in1, config.OUT1) == 3


def guarded_devices(lab):
    tables = lab.box_host.run("nft", "list", "ruleset", "netdev", check=False)
    return [name for name in ("l1", "w1") if f'device "{name}"' in tables]


def case_ingress(lab):
    """the interfaces of AF_XDP are guarded at their ingress, and only while sluiced runs"""
    assert guarded_devices(lab) == ["l1", "w1"]
    lab.box.stop()
    assert guarded_devices(lab) == []
    lab.start()
    assert guarded_devices(lab) == ["l1", "w1"]
    assert ping(lab.in1, config.OUT1) == 3


def wire_inside(lab, *queues):
    """A new wire from the inside's bridge to the box."""
    lab.box_host.ip("link", "del", "l1")
    lab.wire(lab.box_host, "l1", lab.switch, "p-l1", config.INSIDE_MAC, queues)
    lab.switch.ip("link", "set", "p-l1", "master", "brin")


def lost_at(lab, device):
    """Frames that the guard has dropped at a device's ingress."""
    table = lab.box_host.run("nft", "list", "table", "netdev", "sluice_guard_lan0")
    return int(re.search(rf'device "{device}"[^}}]*?counter packets (\d+) ', table, re.S)[1])


def case_other_queues(lab):
    """frames of a queue that AF_XDP does not read: the start warns of it, they are counted, and go nowhere"""
    lab.box.stop()
    wire_inside(lab, "numrxqueues", "2")
    lab.switch.run("ethtool", "-L", "p-l1", "tx", "1")      # all to the first queue
    closed = config.base()
    closed["filter"]["forward"] = {"policy": "drop", "rules": []}
    try:
        lab.start(closed)
        assert "port lan: interface l1 has 2 receive queues, and 1 of them will be read" in lab.box.log(), lab.box.log()
        udp_spray(lab.in1, config.OUT1, 20000, 20, 0.2)
        assert lost_at(lab, "l1") == 0
        lab.switch.run("ethtool", "-L", "p-l1", "tx", "2")  # flows are spread over both from now on
        assert leaks(lab, lambda: udp_spray(lab.in1, config.OUT1, 20000, 64, 0.2)) == []
        assert 0 < lost_at(lab, "l1") < 200
        lab.switch.run("ethtool", "-L", "p-l1", "tx", "1")
    finally:
        if lab.box.process is not None:
            lab.box.stop()
        wire_inside(lab)
    lab.start()
    assert ping(lab.in1, config.OUT1) == 3


def case_after_stop(lab):
    """nothing passes after a clean stop"""
    lab.box.stop()
    assert leaks(lab, lambda: provoke(lab)) == []
    lab.start()
    assert ping(lab.in1, config.OUT1) == 3
