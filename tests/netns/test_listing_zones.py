"""Listings of flows in a conntrack zone: what is told of it behind either tuple, or at the end, and the options that
ask for it. The inside is in zone 5; flows from there, to there, and to the box itself."""
import copy

from lab import config
from lab.clients import ping
from test_listing import compare, traffic

BOXES = ("sluice",)
START = False

ZONES = ("-w", "--zone", "--orig-zone", "--reply-zone")
QUESTIONS = [f"-L {options}" for options in ["", "-o extended", "-o save"] +
             [f"{option} {zone}" for option in ZONES for zone in (0, 5, "0x5", 6)] +
             ["-w 5 --orig-zone 5", "--orig-zone 5 --reply-zone 0", "-p tcp --reply-zone 5"]] + [
    f"-G -p tcp -s {config.IN1} -d {config.OUT1} --sport 40001 --dport 8001",
    f"-G -p tcp -s {config.IN1} -d {config.OUT1} --sport 40001 --dport 8001 --orig-zone 5",
    f"-G -p tcp -s {config.OUT2} -d {config.OUTSIDE_BOX} --sport 42001 --dport 8080",
    "-D -w 5", "-D -w 5", "-D --reply-zone 5", "-D -p udp --orig-zone 5", "-L", "-D --orig-zone 5", "-L", "-C",
]


def in_a_zone():
    result = copy.deepcopy(config.base())
    result["ports"][0]["zone"] = 5
    for rule in result["nat"]:
        if "dnat" in rule:
            rule["dnat"]["zone"] = 5
            rule["dnat"]["to"] = config.IN2
    return result


def more(lab):
    traffic(lab)
    assert ping(lab.in1, config.INSIDE_BOX, 1, "-e", "99") == 1


def case_same_lines_as_conntrack(lab):
    """zone=, zone-orig=, zone-reply= and the options of zones: as conntrack(8) has them"""
    compare(lab, QUESTIONS, in_a_zone(), more)
