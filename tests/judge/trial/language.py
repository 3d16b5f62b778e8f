"""The text in which scenarios write packets.

    tcp in1:40000 > out1:80 S seq 1000 win 5840 mss 1460 wscale 7 sackok
    udp out1:53 > in1:5353 data 20
    icmp in1 > out1 echo-request id 7 seq 1
    icmp out1 > in1 port-unreachable quote [udp in1:5353 > out1:53 data 20]
    proto 50 in1 > out1 data 40                      any protocol: data, hex or text is what follows the IP header
    proto 17 in1 > out1 raw hex 00351000… frag 0 more    `raw` says so for TCP, UDP, ICMP and SCTP as well
    udp in1v6:5353 > out1v6:53 data 20 hop 05020000
    icmpv6 in1v6 > out1v6 echo-request id 7 data 40 slice 0-24 ipid 9

Flags of TCP are letters: S F R P A U E C, or 0 for none. Every packet takes `ttl N`, `tos N`, `ipid N`, `df`,
`data N` (bytes of a pattern), `text "…"` (\\r\\n are understood), `hex 00ff…`, `badsum`, `badipsum`, `frag OFFSET` and
`more`, `cut N` (the IP packet ends after N bytes), `total N`, `option HEX` (IP), `@PORT` (where it comes in; else the
side of its source: `@lan2` for a host of the tenant that has the network of lan, too). SCTP: `vtag`; its chunks are
data, hex or text. TCP: `seq ack win urgent mss wscale sackok sack A-B ts VALUE:ECHO opt HEX`. UDP: `nosum`, `length N`.
ICMP: a type by name or `type N code N`, `id`, `seq`, `mtu`, `rest N`, `quote […]` with `quoted N` bytes behind the IP
header. `slice A-B` is the fragment of the whole packet that holds these bytes of what follows the IP header (with
`frag` at another place).

The hosts of IPv6 have names with `v6` behind, in1v6; those of link-local addresses with `ll`. IPv6 alone: `label N` and
extension headers in the order in which they are written: `hop HEX` and `dest HEX` (their options, padded),
`routing HEX` (from its type on), `auth HEX` (what follows the length), `atomic` (a fragment header of a whole packet;
`frag`, `more` and `slice` make one as well), and `exthdr N:HEX` for any other. `ttl` is the hop limit, `tos` the traffic
class, `ipid` the identification of fragments.

`flow: tcp in1:40000 > out1:80` makes `> S seq 1` and `< SA seq 9 ack 2` whole: `>` goes along the flow, `<` answers
what came out last for a `>` (so it is aimed at a translated address as a real peer would). `error out1
port-unreachable` is an ICMP error from out1 that quotes the last packet that came out on out1's side.
"""
import re
import shlex

from . import ip6, packets
from .packets import Decoded

HOSTS = {
    "in1": "192.168.1.10", "in2": "192.168.1.20", "in3": "192.168.1.30", "lan": "192.168.1.1",
    "out1": "203.0.113.10", "out2": "203.0.113.20", "out3": "203.0.113.30", "wan": "203.0.113.1",
    "pool1": "198.51.100.1", "pool2": "198.51.100.2", "far": "192.0.2.77", "nowhere": "192.0.2.200",
}
HOSTS |= {
    "in1v6": "2001:db8:1::10", "in2v6": "2001:db8:1::20", "in3v6": "2001:db8:1::30", "lanv6": "2001:db8:1::1",
    "out1v6": "2001:db8:2::10", "out2v6": "2001:db8:2::20", "out3v6": "2001:db8:2::30", "wanv6": "2001:db8:2::1",
    "pool1v6": "2001:db8:3::1", "pool2v6": "2001:db8:3::2", "farv6": "2001:db8:f::77",
    "nowherev6": "2001:db8:f:8000::1",
    # The box's own are what the link addresses of its ports make.
    "in1ll": "fe80::a:10", "out1ll": "fe80::b:10", "lanll": "fe80::ff:fe00:10", "wanll": "fe80::ff:fe00:11",
    "allnodes": "ff02::1", "allrouters": "ff02::2",
}
LAN_NETS = ("192.168.1.", "2001:db8:1:", "fe80::a:")
WAN_NETS = ("203.0.113.", "2001:db8:2:", "fe80::b:")
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
ICMPV6_TYPES = {
    "no-route": (1, 0), "admin-prohibited": (1, 1), "beyond-scope": (1, 2), "address-unreachable": (1, 3),
    "port-unreachable": (1, 4), "policy-failed": (1, 5), "reject-route": (1, 6), "packet-too-big": (2, 0),
    "time-exceeded": (3, 0), "reassembly-time-exceeded": (3, 1), "parameter-problem": (4, 0), "unknown-header": (4, 1),
    "unknown-option": (4, 2), "echo-request": (128, 0), "echo-reply": (129, 0), "mld-query": (130, 0),
    "mld-report": (131, 0), "mld-done": (132, 0), "router-solicitation": (133, 0), "router-advertisement": (134, 0),
    "neighbour-solicitation": (135, 0), "neighbour-advertisement": (136, 0), "redirect": (137, 0),
    "node-query": (139, 0), "node-reply": (140, 0), "mld2-report": (143, 0),
}
ICMPV6_NAMES = {value: name for name, value in ICMPV6_TYPES.items()}
EXTENSIONS = {"hop": ip6.HOP, "dest": ip6.DEST, "routing": ip6.ROUTING, "auth": ip6.AUTH}
EXTENSION_NAMES = {number: name for name, number in EXTENSIONS.items()}


class LanguageError(Exception):
    """A packet's text cannot be understood."""


def address_of(name):
    if name in HOSTS:
        return HOSTS[name]
    if re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name):
        return name
    if is_ipv6(name):
        return packets.ip_text(packets.ip_bytes(name))
    raise LanguageError(f"{name} is neither a host of the laboratory nor an address")


def name_of(address):
    return NAMES.get(address, address)


def is_ipv6(text):
    return text.count(":") > 1


def side_of(address):
    return "lan" if address.startswith(LAN_NETS) else "wan"


def endpoint(text):
    if is_ipv6(text):
        return address_of(text), 0
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
              "type", "code", "id", "mtu", "rest", "quoted", "length", "vtag", "label"}
    STRINGS = {"text", "hex", "quote", "sack", "ts", "opt", "option", "slice", "exthdr", *EXTENSIONS}
    SWITCHES = {"df", "badsum", "badipsum", "more", "sackok", "nosum", "raw", "atomic"}
    FRAGMENT = {"frag", "more", "atomic", "slice"}

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
        self.proto = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, **PROTOCOLS}.get(proto)
        if self.proto is None:
            self.proto = int(proto)
        (self.src, self.sport), (self.dst, self.dport) = src, dst
        self.flags, self.icmp, self.fields, self.sacks, self.chain = None, None, {}, [], []
        self.read(words)
        if (":" in self.src) != (":" in self.dst):
            raise LanguageError(f"{text}: from one family to the other")

    def read(self, words):
        while words:
            word = words.pop(0)
            if word in self.FRAGMENT and "fragment" not in self.chain:
                self.chain.append("fragment")
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
                elif word in EXTENSIONS:
                    self.chain.append(ip6.Extension(EXTENSIONS[word], bytes.fromhex(value)))
                elif word == "exthdr":
                    kind, _, content = value.partition(":")
                    self.chain.append(ip6.Extension(int(kind), bytes.fromhex(content)))
                elif word in self.STRINGS:
                    self.fields[word] = value
                else:
                    self.fields[word] = int(value, 0)
            elif self.proto == 6 and self.flags is None and re.fullmatch("[FSRPAUEC]+|0", word):
                self.flags = flag_bits(word)
            elif self.proto == 1 and word in ICMP_TYPES:
                self.icmp = ICMP_TYPES[word]
            elif self.proto == 58 and word in ICMPV6_TYPES:
                self.icmp = ICMPV6_TYPES[word]
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
        if self.proto in (1, 58) and (self.icmp or "type" in f):
            kind, code = self.icmp or (f["type"], f.get("code", 0))
            if "code" in f:
                code = f["code"]
            rest = f.get("rest", f.get("id", 0) << 16 | f.get("seq", 0) | f.get("mtu", 0))
            payload = self.quotation(Text(f["quote"]).packet()) if "quote" in f else self.payload()
            return self.icmp_body(src, dst, kind, code, rest, payload)
        return self.payload()

    def icmp_body(self, src, dst, kind, code, rest, payload):
        bad = self.fields.get("badsum", False)
        if self.proto == 58:
            return packets.icmpv6_body(src, dst, kind, code, rest, payload, bad)
        return packets.icmp_body(kind, code, rest, payload, bad)

    def quotation(self, packet):
        """What an error quotes of a packet: its IP header and `quoted` bytes more. Without that 28, as Linux's least is
        8; of IPv6 as much as fits into the least MTU (RFC 4443 2.4)."""
        if packet[0] >> 4 == 6:
            return packet[:ip6.HEADER + self.fields.get("quoted", 1280 - 40 - 8 - ip6.HEADER)]
        return packet[:(packet[0] & 15) * 4 + self.fields.get("quoted", 28)]

    def packet(self, quote=None):
        """The IP packet. `quote`: the packet that an ICMP error quotes, in place of a `quote` field."""
        f, src, dst = self.fields, packets.ip_bytes(self.src), packets.ip_bytes(self.dst)
        if quote is not None:
            kind, code = self.icmp or (f["type"], f.get("code", 0))
            body = self.icmp_body(src, dst, kind, code, f.get("rest", f.get("mtu", 0)), self.quotation(quote))
        else:
            body = self.body(src, dst)
        frag, more = f.get("frag", 0), f.get("more", False)
        if "slice" in f:
            first, _, end = f["slice"].partition("-")
            first, end = int(first), int(end or len(body))
            frag, body, more = f.get("frag", first), body[first:end], more or end < len(body)
        if len(src) == 16:
            whole = self.ipv6_packet(src, dst, body, frag, more)
        else:
            whole = packets.ip(src, dst, self.proto, body, f.get("ttl", 64), f.get("tos", 0), f.get("ipid", 0x1234),
                               f.get("df", False), frag, more, f.get("badipsum", False), total=f.get("total"),
                               options=bytes.fromhex(f.get("option", "")))
        return whole[:f["cut"]] if "cut" in f else whole

    def ipv6_packet(self, src, dst, body, frag, more):
        f = self.fields
        chain = [ip6.fragment(frag, more, f.get("ipid", 0x1234)) if one == "fragment" else one for one in self.chain]
        return ip6.ip6(src, dst, self.proto, body, f.get("ttl", 64), f.get("tos", 0), f.get("label", 0), chain,
                       f.get("total"))


def with_port(address, port):
    """`port` has its colon."""
    name = name_of(address)
    return f"[{name}]{port}" if port and ":" in name else name + port


def letters(bits):
    return "".join(letter for letter, bit in FLAGS.items() if bits & bit) or "0"


def tell(d):
    """A packet that came out, in short: what it is, from where to where, and text that it carries."""
    if d.error:
        return f"({d.error})"
    proto = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmpv6", 132: "sctp", 136: "udplite"}.get(d.proto, f"proto {d.proto}")
    ports = (f":{d.sport}", f":{d.dport}") if d.sport is not None else ("", "")
    out = f"{proto} {with_port(d.src, ports[0])} > {with_port(d.dst, ports[1])}"
    if d.flags is not None:
        out += f" {letters(d.flags)}"
    if d.kind is not None:
        names = ICMPV6_NAMES if d.proto == packets.ICMPV6 else ICMP_NAMES
        out += f" {names.get((d.kind, d.code), f'type {d.kind} code {d.code}')}"
        if d.has_id():
            out += f" id {d.ident_icmp}"
        if d.proto == packets.ICMP and (d.kind, d.code) == (3, 4):
            out += f" mtu {d.seq_icmp}"
        if d.proto == packets.ICMPV6 and d.kind == 2:
            out += f" mtu {d.ident_icmp << 16 | d.seq_icmp}"
    chain = [EXTENSION_NAMES[kind] for kind in d.chain if kind != ip6.FRAGMENT]
    if chain:
        out += f" behind {' '.join(chain)}"
    if d.fragmented:
        out += f" frag {d.frag}{' more' if d.more else ''}" if d.frag or d.more else " atomic"
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
