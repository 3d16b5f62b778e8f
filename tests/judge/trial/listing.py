"""Tracked flows as two boxes' listings tell them, in a form in which they can be compared and told in short.

Both families. Three sources: a line of conntrack(8) or `sluicectl conntrack -L`, a line of /proc/net/nf_conntrack, and
a flow of sluice's API. What only some of them say (use, zone=0, id, helper) is left out.
"""
import re

from .language import name_of, with_port
from .packets import ip_bytes, ip_text
from .wires import INSIDE, OUTSIDE

LINE = re.compile(r"^(?:ipv[46]\s+\d+ )?(\S+)\s+(\d+)\s+(\d+)\s+(?:([A-Z][A-Z_0-9]+)\s+)?(?:timeout=\d+, \S+ )?"
                  r"(src=.*)$")
LEFT_OUT = ("use", "helper", "spi")
TUPLE_KEYS = ("sport", "dport", "type", "code", "id", "srckey", "dstkey")
SENTINELS = tuple(f"={address} " for address in (INSIDE, OUTSIDE))


def address(text):
    """One way to write it: /proc writes every digit of an IPv6 address."""
    return ip_text(ip_bytes(text)) if ":" in text else text


class Flow:
    def __init__(self, line):
        match = LINE.match(line)
        if not match:
            raise ValueError(f"no line of a listing: {line}")
        self.name, number, left, self.state, rest = match.groups()
        self.number, self.left = int(number), int(left)
        self.tuples, self.counters, self.flags, self.other = [], [[0, 0], [0, 0]], [], []
        for word in rest.split():
            key, sep, value = word.partition("=")
            if word.startswith("["):
                self.flags.append(word[1:-1])
            elif key == "src":
                self.tuples.append({"src": address(value)})
            elif key == "dst":
                self.tuples[-1]["dst"] = address(value)
            elif key in ("packets", "bytes"):
                self.counters[len(self.tuples) - 1][key == "bytes"] = int(value)
            elif key in TUPLE_KEYS:
                self.tuples[-1][key] = value
            elif sep and key not in LEFT_OUT and word != "zone=0":
                self.other.append(word)

    def key(self):
        """Who the flow is: its original direction, and of which zone."""
        return (self.number, *self.tuples[0].values(), *(word for word in self.other if word.startswith("zone")))

    def same_words(self):
        """All that must be the same in two boxes, but for the seconds."""
        return (self.number, self.name, self.state, tuple(tuple(t.items()) for t in self.tuples),
                tuple(map(tuple, self.counters)), tuple(self.flags), tuple(self.other))

    def short(self):
        """For people: what a scenario file shows."""
        def side(t):
            if "sport" in t:
                return f"{with_port(t['src'], ':' + t['sport'])}>{with_port(t['dst'], ':' + t['dport'])}"
            extra = f" type {t['type']} id {t['id']}" if "type" in t else ""
            return f"{name_of(t['src'])}>{name_of(t['dst'])}{extra}"
        name = self.name if self.name != "unknown" else f"unknown {self.number}"
        words = [name, self.state, f"{self.left}s", side(self.tuples[0]), "/", side(self.tuples[1]),
                 " ".join(flag.lower() for flag in self.flags), f"{self.counters[0][0]}+{self.counters[1][0]} packets"]
        words += [word for word in self.other if word != "mark=0"]
        return " ".join(word for word in words if word)


def mine(line):
    return not any(s in line for s in SENTINELS)


def flows(lines):
    """The flows of a listing, without the laboratory's own."""
    found = [Flow(line) for line in lines if mine(line)]
    return sorted(found, key=lambda flow: flow.key())


def from_json(listed):
    """The flows of the API's listing."""
    lines = []
    for flow in listed:
        words = [flow["proto_name"], str(flow["proto"]), str(flow["timeout_s"]), flow["state"]]
        for side in ("original", "reply"):
            words += [f"{key.removeprefix('icmp_')}={hexed(key, value)}" for key, value in flow[side].items()
                      if key != "zone"]
            words += zones(flow, side)
            words.append("[UNREPLIED]" if side == "original" and flow["unreplied"] else "")
        words += ["[ASSURED]" if flow["assured"] else "", f"mark={flow['mark']}", *zones(flow)]
        lines.append(" ".join(word for word in words if word))
    return flows(lines)


def zones(flow, side=None):
    """The words of the other listings, behind a tuple and, without `side`, at the end."""
    same = flow["original"]["zone"] == flow["reply"]["zone"]
    if side is None:
        return [f"zone={flow['reply']['zone']}"] if same else []
    name = "zone-orig" if side == "original" else "zone-reply"
    return [] if same or not flow[side]["zone"] else [f"{name}={flow[side]['zone']}"]


def hexed(key, value):
    return f"0x{value:x}" if key.endswith("key") else value


EXPECTED = re.compile(r"^(\d+) l3proto = \d+ proto=(\d+) src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+) .*?(\w+)$")


def expectations(lines):
    """[(text, seconds)] of /proc/net/nf_conntrack_expect."""
    found = []
    for line in lines:
        left, proto, src, dst, sport, dport, helper = EXPECTED.match(line).groups()
        way = f"{with_port(address(src), ':' + sport)}>{with_port(address(dst), ':' + dport)}"
        found.append((f"{helper} proto {proto} {way}", int(left)))
    return sorted(found)


def expectations_from_json(listed):
    return sorted((f"{e['helper']} proto {e['proto']} {name_of(e['tuple']['src'])}:{e['tuple']['sport']}>"
                   f"{name_of(e['tuple']['dst'])}:{e['tuple']['dport']}", e["timeout_s"]) for e in listed)
