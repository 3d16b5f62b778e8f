"""Echo through masquerade, from and to the box itself."""
from lab import config
from lab.clients import ping
from lab.sniffer import Sniffer, addresses, is_ipv4


def case_through_masquerade(lab):
    assert ping(lab.in1, config.OUT1, 5) == 5


def case_source_is_the_box(lab):
    """the server sees the box's address, never the client's"""
    with Sniffer(lab.out1, "eth0", is_ipv4) as seen:
        assert ping(lab.in1, config.OUT1, 2) == 2
    assert {addresses(frame)[0] for frame in seen.frames} == {config.OUTSIDE_BOX}


def case_two_clients_with_one_target(lab):
    assert ping(lab.in1, config.OUT2) == 3
    assert ping(lab.in2, config.OUT2) == 3


def case_large_and_small(lab):
    for size in (0, 1, 56, 1471, 1472):
        assert ping(lab.in1, config.OUT1, 2, "-s", str(size), "-M", "do") == 2, size


def case_box_itself(lab):
    assert ping(lab.in1, config.INSIDE_BOX) == 3
    assert ping(lab.out1, config.OUTSIDE_BOX) == 3


def case_box_pings_out(lab):
    assert ping(lab.box_host, config.OUT1) == 3
    assert ping(lab.box_host, config.IN1) == 3


def case_no_way_in(lab):
    """an outside host that has a route to the inside still gets nothing through"""
    lab.out2.ip("route", "add", config.INSIDE_NET, "via", config.OUTSIDE_BOX)
    try:
        assert ping(lab.out2, config.IN1, 2) == 0
    finally:
        lab.out2.ip("route", "del", config.INSIDE_NET)


def case_listed(lab):
    """the connection listing has the flow with its translation"""
    assert ping(lab.in1, config.OUT1, 1) == 1
    lines = [line for line in lab.box.conntrack() if f"src={config.IN1} dst={config.OUT1}" in line]
    assert lines, "no such flow is listed"
    assert lines[0].split()[0] == "icmp" and f"src={config.OUT1} dst={config.OUTSIDE_BOX}" in lines[0], lines
