"""iperf3 TCP and UDP, both ways, through masquerade and through a port forward."""
from lab import config
from lab.clients import iperf

CONFIG = config.base()
CONFIG["nat"] += [{"in": "wan", "dst": config.OUTSIDE_BOX, "proto": "tcp", "dport": 5201, "dnat": {"to": config.IN2}}]


def tcp(lab, server, host, address, *words):
    lab.iperf(server)
    end = iperf(host, address, *words)
    megabits = end["sum_received"]["bits_per_second"] / 1e6
    print(f"         {megabits:.0f} Mbit/s")
    # Far below what it reaches: the case is whether TCP runs, not how fast this machine is.
    assert megabits > 5, megabits


def udp(lab, server, host, address, *words):
    """The best of three: a machine that is busy with other things starves sender, box and receiver alike."""
    for _ in range(3):
        lab.iperf(server)
        end = iperf(host, address, "-u", "-b", "20M", "-l", "1200", *words)
        total = end.get("sum_received") or end["sum"]
        print(f"         {total['packets']} datagrams, {total['lost_percent']:.2f} % lost")
        if total["packets"] > 1000 and total["lost_percent"] < 5:
            return
    raise AssertionError(total)


def case_tcp_out(lab):
    tcp(lab, lab.out1, lab.in1, config.OUT1)


def case_tcp_back(lab):
    tcp(lab, lab.out1, lab.in1, config.OUT1, "-R")


def case_udp_out(lab):
    udp(lab, lab.out1, lab.in1, config.OUT1)


def case_udp_back(lab):
    udp(lab, lab.out1, lab.in1, config.OUT1, "-R")


def case_tcp_both_at_once(lab):
    """four streams, both directions at once"""
    lab.iperf(lab.out1)
    end = iperf(lab.in1, config.OUT1, "--bidir", "-P", "2")
    for way in ("sum_received", "sum_received_bidir_reverse"):
        megabits = end[way]["bits_per_second"] / 1e6
        print(f"         {way}: {megabits:.0f} Mbit/s")
        assert megabits > 2, (way, megabits)


def case_tcp_into_port_forward(lab):
    tcp(lab, lab.in2, lab.out2, config.OUTSIDE_BOX)
