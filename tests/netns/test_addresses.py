"""Addresses set and removed with ip(8) on the twin, as administrators do."""
import json

from lab import config
from lab.clients import ping
from lab.machine import wait_until
from lab.sniffer import Sniffer, addresses, is_ipv4


def case_removed_and_set_again(lab):
    """without its address masquerade has nothing to give; with it again, traffic flows"""
    twin = lab.box.twins["wan"]
    assert ping(lab.in1, config.OUT1) == 3
    lab.box_host.ip("addr", "del", f"{config.OUTSIDE_BOX}/24", "dev", twin)
    wait_until("masquerade to stop", lambda: ping(lab.in1, config.OUT1, 1) == 0)
    lab.box_host.ip("addr", "add", f"{config.OUTSIDE_BOX}/24", "dev", twin)
    wait_until("masquerade to work again", lambda: ping(lab.in1, config.OUT1, 1) == 1)


def case_another_address(lab):
    """after a change of address new flows leave with the new one"""
    twin = lab.box.twins["wan"]
    lab.box_host.ip("addr", "add", "203.0.113.2/24", "dev", twin)
    lab.box_host.ip("addr", "del", f"{config.OUTSIDE_BOX}/24", "dev", twin)
    # Deleting a primary address takes its secondaries along: set the new one if it went.
    lab.box_host.run("ip", "addr", "replace", "203.0.113.2/24", "dev", twin)
    wait_until("traffic from the new address", lambda: ping(lab.in1, config.OUT1, 1) == 1)
    with Sniffer(lab.out1, "eth0", is_ipv4) as seen:
        assert ping(lab.in1, config.OUT1, 2) == 2
    assert {addresses(frame)[0] for frame in seen.frames} == {"203.0.113.2"}
    lab.box_host.run("ip", "addr", "flush", "dev", twin)
    lab.box_host.ip("addr", "add", f"{config.OUTSIDE_BOX}/24", "dev", twin)
    wait_until("traffic from the old address", lambda: ping(lab.in1, config.OUT1, 1) == 1)


def case_deleted_twin(lab):
    """a twin that was deleted is made anew, with its addresses"""
    twin = lab.box.twins["wan"]
    lab.box_host.ip("link", "del", twin)
    wait_until("traffic by the new twin", lambda: ping(lab.in1, config.OUT1, 1) == 1)
    assert f"{config.OUTSIDE_BOX}/24" in lab.box_host.ip("-4", "addr", "show", "dev", twin)
    assert ping(lab.out1, config.OUTSIDE_BOX) == 3
    assert "made anew" in lab.box.log()


case_deleted_twin.boxes = ("sluice",)


def case_mtu_of_the_twin(lab):
    """the MTU that an administrator sets on a twin is the port's"""
    twin = lab.box.twins["wan"]

    def mtu():
        ports = json.loads(lab.box.control("--json", "ports"))
        ports = ports.get("ports", ports) if isinstance(ports, dict) else ports
        return next(port["mtu_bytes"] for port in ports if port["name"] == "wan")

    assert mtu() == 1500
    lab.box_host.ip("link", "set", twin, "mtu", "1400")
    wait_until("the port to follow", lambda: mtu() == 1400)
    lab.box_host.ip("link", "set", twin, "mtu", "1500")
    wait_until("the port to follow back", lambda: mtu() == 1500)


case_mtu_of_the_twin.boxes = ("sluice",)
