"""The text in which scenarios write packets.

    tcp in1:40000 > out1:80 S seq 1000 win 5840 mss 1460 wscale 7 sackok
    udp out1:53 > in1:5353 data 20
    icmp in1 > out1 echo-request id 7 seq 1
    icmp out1 > in1 port-unreachable quote [udp in1:5353 > out1:53 data 20]
    proto 50 in1 > out1 data 40                      any protocol: data, hex or text is what follows the IP header
    proto 17 in1 > out1 raw hex 00351000… frag 0 more    `raw` says so for TCP, UDP, ICMP and SCTP as well

Flags of TCP are letters: S F R P A U E C, or 0 for none. Every packet takes `ttl N`, `tos N`, `ipid N`, `df`,
`data N` (bytes of a pattern), `text "…"` (\\r\\n are understood), `hex 00ff…`, `badsum`, `badipsum`, `frag OFFSET` and
`more`, `cut N` (the IP packet ends after N bytes), `total N`, `option HEX` (IP), `@PORT` (where it comes in; else the
side of its source). SCTP: `vtag`; its chunks are data, hex or text. TCP: `seq ack win urgent mss wscale sackok sack A-B ts VALUE:ECHO opt HEX`. UDP: `nosum`, `length N`.
ICMP: a type by name or `type N code N`, `id`, `seq`, `mtu`, `rest N`, `quote […]` with `quoted N` bytes behind the IP
header.

`flow: tcp in1:40000 > out1:80` makes `> S seq 1` and `< SA seq 9 ack 2` whole: `>` goes along the flow, `<` answers
what came out last for a `>` (so it is aimed at a translated address as a real peer would). `error out1
port-unreachable` is an ICMP error from out1 that quotes the last packet that came out on out1's side.
"""
import re
import shlex

from . import packets
from .packets import Decoded

HOSTS = {
    "in1": "192.168.1.10", "in2": "192.168.1.20", "in3": "192.168.1.30", "lan": "192.168.1.1",
    "out1": "203.0.113.10", "out2": "203.0.113.20", "out3": "203.0.113.30", "wan": "203.0.113.1",
    "pool1": "198.51.100.1", "pool2": "198.51.100.2", "far": "192.0.2.77", "nowhere": "192.0.2.200",
}
NAMES = {address: name for name, address in HOSTS.items()}
FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "C": 128}
PROTOCOLS = {"gre": 47, "esp": 50, "ah": 51, "sctp": 132, "udplite": 136, "igmp": 2, "ipip": 4}
ICMP_TYPES = {
    "echo-reply": (0, 0), "echo-request": (8, 0), "timestamp-request": (13, 0), "timestamp-reply": (14, 0),
    "info-request": (15, 0), "info-reply": (16, 0), "mask-request": (17, 0), "mask-reply": (18, 0),
    "net-unreachable": (3, 0), "host-unreachable": (3, 1), "proto-unreachable": (3, 2), "port-unreachable": (3, 3),
    "frag-needed": (3, 4), "admin-prohibited": (3, 13), "source-quench": (4, 0), "redirect": (5, 1),
    "time-exceeded": (11, 0), "reassembly-time-exceeded": (11, 1), "parameter-problem": (12, 0),
    "router-advertisement": (9, 0), "router-solicitation": (10, 0),
}
ICMP_NAMES = {value: name for name, value in ICMP_TYPES.items()}


class LanguageError(Exception):
    """A packet's text cannot be understood."""


def address_of(name):
    if name in HOSTS:
        return HOSTS[name]
    if re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name):
        return name
    raise LanguageError(f"{name} is neither a host of the laboratory nor an address")


def name_of(address):
    return NAMES.get(address, address)


def side_of(address):
    return "lan" if address.startswith("192.168.1.") else "wan"


def endpoint(text):
    host, _, port = text.partition(":")
    return address_of(host), int(port) if port else 0


def words_of(text):
    """Words; "…" is one with its escapes understood, […] is one."""
    def protect(match):
        return '"' + match.group(1).replace("\\", "\\\\").replace('"', '\\"') + '"'
    return shlex.split(re.sub(r"\[([^\]]*)\]", protect, text.replace("\\r", "\\\\r").replace("\\n", "\\\\n")))


def flag_bits(word):
    return 0 if word == "0" else sum(FLAGS[letter] for letter in word)


def unescape(text):
    return text.replace("\\r", "\r").replace("\\n", "\n").encode()


class Text:
    """One packet's text, taken apart; `build` makes the bytes."""

    VALUES = {"seq", "ack", "win", "urgent", "mss", "wscale", "ttl", "tos", "ipid", "data", "frag", "cut", "total",
              "type", "code", "id", "mtu", "rest", "quoted", "length",
              "vtag"}
    STRINGS = {"text", "hex", "quote", "sack", "ts", "opt", "option"}
    SWITCHES = {"df", "badsum", "badipsum", "more", "sackok", "nosum", "raw"}

    def __init__(self, text, proto=None, src=None, dst=None):
        """With src and dst (address, port), `text` is the part behind the addresses."""
        self.text, self.port = text, None
        words = words_of(text)
        if src is None:
            proto = words.pop(0)
            if proto == "proto":
                proto = words.pop(0)
            if len(words) < 3 or words[1] != ">":
                raise LanguageError(f"{text}: no `SOURCE > DESTINATION`")
            src, dst = endpoint(words[0]), endpoint(words[2])
            words = words[3:]
        self.proto_name = proto
        self.proto = {"tcp": 6, "udp": 17, "icmp": 1, **PROTOCOLS}.get(proto)
        if self.proto is None:
            self.proto = int(proto)
        (self.src, self.sport), (self.dst, self.dport) = src, dst
        self.flags, self.icmp, self.fields, self.sacks = None, None, {}, []
        self.read(words)

    def read(self, words):
        while words:
            word = words.pop(0)
            if word.startswith("@"):
                self.port = word[1:]
            elif word in self.SWITCHES:
                self.fields[word] = True
            elif word in self.VALUES | self.STRINGS:
                if not words:
                    raise LanguageError(f"{self.text}: {word} what?")
                value = words.pop(0)
                if word == "sack":
                    self.sacks.append(tuple(int(edge) for edge in value.split("-")))
                elif word in self.STRINGS:
                    self.fields[word] = value
                else:
                    self.fields[word] = int(value, 0)
            elif self.proto == 6 and self.flags is None and re.fullmatch("[FSRPAUEC]+|0", word):
                self.flags = flag_bits(word)
            elif self.proto == 1 and word in ICMP_TYPES:
                self.icmp = ICMP_TYPES[word]
            else:
                raise LanguageError(f"{self.text}: what is {word}?")
        if self.proto == 6 and self.flags is None and "raw" not in self.fields:
            raise LanguageError(f"{self.text}: a TCP packet says its flags")

    @property
    def side(self):
        return self.port or side_of(self.src)

    def payload(self):
        f = self.fields
        if "text" in f:
            return unescape(f["text"])
        if "hex" in f:
            return bytes.fromhex(f["hex"])
        return packets.pattern(f.get("data", 0))

    def tcp_options(self):
        f, out = self.fields, b""
        if "mss" in f:
            out += b"\2\4" + f["mss"].to_bytes(2, "big")
        if "sackok" in f:
            out += b"\4\2"
        if "wscale" in f:
            out += b"\1\3\3" + bytes([f["wscale"]])
        if "ts" in f:
            value, _, echo = f["ts"].partition(":")
            out += b"\1\1\x08\x0a" + int(value).to_bytes(4, "big") + int(echo or 0).to_bytes(4, "big")
        if self.sacks:
            out += b"\1\1\5" + bytes([2 + 8 * len(self.sacks)])
            out += b"".join(edge.to_bytes(4, "big") for block in self.sacks for edge in block)
        return out + bytes.fromhex(f.get("opt", ""))

    def body(self, src, dst):
        f, bad = self.fields, self.fields.get("badsum", False)
        if f.get("raw"):
            return self.payload()
        if self.proto == 6:
            return packets.tcp_body(src, dst, self.sport, self.dport, self.flags, f.get("seq", 0), f.get("ack", 0),
                                    f.get("win", 65535), self.tcp_options(), self.payload(), f.get("urgent", 0), bad)
        if self.proto in (17, 136):
            return packets.udp_body(src, dst, self.sport, self.dport, self.payload(), bad, f.get("nosum", False),
                                    f.get("length"), self.proto)
        if self.proto == 132:
            return packets.sctp_body(self.sport, self.dport, f.get("vtag", 0), self.payload(), bad)
        if self.proto == 1 and (self.icmp or "type" in f):
            kind, code = self.icmp or (f["type"], f.get("code", 0))
            if "code" in f:
                code = f["code"]
            rest = f.get("rest", f.get("id", 0) << 16 | f.get("seq", 0) | f.get("mtu", 0))
            payload = self.quotation(Text(f["quote"]).packet()) if "quote" in f else self.payload()
            return packets.icmp_body(kind, code, rest, payload, bad)
        return self.payload()

    def quotation(self, packet):
        """What an error quotes of a packet: its IP header and `quoted` bytes more (28 as Linux's least is 8)."""
        return packet[:(packet[0] & 15) * 4 + self.fields.get("quoted", 28)]

    def packet(self, quote=None):
        """The IP packet. `quote`: the packet that an ICMP error quotes, in place of a `quote` field."""
        f, src, dst = self.fields, packets.ip_bytes(self.src), packets.ip_bytes(self.dst)
        if quote is not None:
            kind, code = self.icmp or (f["type"], f.get("code", 0))
            body = packets.icmp_body(kind, code, f.get("mtu", 0), self.quotation(quote), f.get("badsum", False))
        else:
            body = self.body(src, dst)
        whole = packets.ip(src, dst, self.proto, body, f.get("ttl", 64), f.get("tos", 0), f.get("ipid", 0x1234),
                           f.get("df", False), f.get("frag", 0), f.get("more", False), f.get("badipsum", False),
                           total=f.get("total"), options=bytes.fromhex(f.get("option", "")))
        return whole[:f["cut"]] if "cut" in f else whole


def letters(bits):
    return "".join(letter for letter, bit in FLAGS.items() if bits & bit) or "0"


def tell(d):
    """A packet that came out, in short: what it is, from where to where, and text that it carries."""
    if d.error:
        return f"({d.error})"
    proto = {6: "tcp", 17: "udp", 1: "icmp", 132: "sctp", 136: "udplite"}.get(d.proto, f"proto {d.proto}")
    ports = (f":{d.sport}", f":{d.dport}") if d.sport is not None else ("", "")
    out = f"{proto} {name_of(d.src)}{ports[0]} > {name_of(d.dst)}{ports[1]}"
    if d.flags is not None:
        out += f" {letters(d.flags)}"
    if d.kind is not None:
        out += f" {ICMP_NAMES.get((d.kind, d.code), f'type {d.kind} code {d.code}')}"
        if d.kind in (0, 8, 13, 14, 15, 16, 17, 18):
            out += f" id {d.ident_icmp}"
        if (d.kind, d.code) == (3, 4):
            out += f" mtu {d.seq_icmp}"
    if d.frag or d.more:
        out += f" frag {d.frag}{' more' if d.more else ''}"
    if d.payload and d.inner is None and all(b in (13, 10) or 32 <= b < 127 for b in d.payload):
        out += ' text "' + d.payload.decode().replace("\r", "\\r").replace("\n", "\\n") + '"'
    if d.inner is not None:
        out += f" quote [{tell(d.inner)}]"
    return out


def tell_all(d):
    """The same with every number that matters, for the report of a difference."""
    out = tell(d) + f" ttl {d.ttl} ipid {d.ident} len {d.total}" if not d.error else tell(d)
    if d.flags is not None:
        out += f" seq {d.seq} ack {d.ack} win {d.win}"
        out += f" opt {d.tcp_options.hex()}" if d.tcp_options else ""
    if not d.ip_ok:
        out += " BAD IP CHECKSUM"
    if not d.l4_ok:
        out += " BAD CHECKSUM"
    return out + (f" ({len(d.payload)} bytes of payload)" if d.payload else "")


def tell_packet(packet):
    return tell_all(Decoded(packet))
