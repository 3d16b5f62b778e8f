"""Random conversations from a seed: what two hosts could say to each other, and what networks, bugs and attackers make
of it.

A conversation is a list of packets, each of which can be made (bytes) and told (the text of a scenario). It has a port
(or ICMP id) that no other conversation of its batch has, by which its packets and its lines in a listing are known.
"""
import random

from . import packets
from .language import HOSTS, ICMP_NAMES, ICMPV6_NAMES, Text, letters, name_of
from .packets import ACK, FIN, PSH, RST, SYN, URG
from .sctp import Sctp


class Net:
    """Who talks to whom in one family, and how such packets are made. `name` makes the family's names of hosts and of
    ICMP."""

    def __init__(self, family):
        self.v6 = family == 6
        self.suffix = "v6" if self.v6 else ""
        self.icmp_name = "icmp" + self.suffix
        self.icmp_number = packets.ICMPV6 if self.v6 else packets.ICMP
        self.header = packets.ip6.HEADER if self.v6 else packets.IP_HEADER
        self.a, self.b, self.router_inside, self.router_outside = (
            packets.ip_bytes(HOSTS[name + self.suffix]) for name in ("in1", "out1", "in2", "out2"))

    def name(self, host):
        return host + self.suffix

    def packet(self, src, dst, proto, body):
        return packets.ip6.ip6(src, dst, proto, body) if self.v6 else packets.ip(src, dst, proto, body)

    def icmp(self, src, dst, kind, code, rest, payload, badsum):
        if self.v6:
            body = packets.icmpv6_body(src, dst, kind, code, rest, payload, badsum)
        else:
            body = packets.icmp_body(kind, code, rest, payload, badsum)
        return self.packet(src, dst, self.icmp_number, body)


NETS = {4: Net(4), 6: Net(6)}
EARLY = 5           # packets before the pause; the rest comes more than two seconds after the first
PAUSE = 2.3


class Segment:
    """A packet of a TCP conversation; `side` 0: from the client."""
    __slots__ = ("net", "side", "flags", "seq", "ack", "win", "size", "options", "badsum")

    def __init__(self, side, flags, seq, ack=0, win=0, size=0, options=()):
        self.net = NETS[4]
        self.side, self.flags, self.seq, self.ack = side, flags, seq & 0xffffffff, ack & 0xffffffff
        self.win, self.size, self.options, self.badsum = win & 0xffff, size, tuple(options), False

    def copy(self):
        other = Segment(self.side, self.flags, self.seq, self.ack, self.win, self.size, self.options)
        other.badsum = self.badsum
        return other

    def option_bytes(self):
        out = b""
        for name, *values in self.options:
            if name == "mss":
                out += b"\2\4" + values[0].to_bytes(2, "big")
            elif name == "sackok":
                out += b"\4\2"
            elif name == "wscale":
                out += b"\1\3\3" + bytes([values[0]])
            elif name == "sack":
                out += b"\1\1\5\x0a" + b"".join((v & 0xffffffff).to_bytes(4, "big") for v in values)
        return out

    def packet(self, port, answer_to):
        src, dst = (self.net.a, self.net.b) if self.side == 0 else (self.net.b, answer_to)
        ports = (port, 80) if self.side == 0 else (80, port)
        return self.net.packet(src, dst, 6, packets.tcp_body(src, dst, *ports, self.flags, self.seq, self.ack, self.win,
                                                             self.option_bytes(), packets.pattern(self.size),
                                                             badsum=self.badsum))

    def text(self, port, answer):
        words = [">" if self.side == 0 else "<", letters(self.flags), f"seq {self.seq} ack {self.ack} win {self.win}"]
        for name, *values in self.options:
            words.append(name if not values else f"{name} {values[0]}" if len(values) == 1 else
                         f"sack {values[0] & 0xffffffff}-{values[1] & 0xffffffff}")
        words += [f"data {self.size}"] if self.size else []
        return " ".join(words + (["badsum"] if self.badsum else []))


class Endpoint:
    def __init__(self, rng):
        near_wrap = rng.random() < 0.25
        self.next = (1 << 32) - rng.randrange(1, 4000) if near_wrap else rng.randrange(1 << 32)
        self.isn, self.sent, self.heard = self.next, self.next, 0
        self.scale = rng.choice((None, None, 0, 2, 7, 7, 14, 15))
        self.sack = rng.random() < 0.6
        self.win = rng.choice((0, 1, 500, 1460, 5840, 5840, 29200, 65535))
        self.closed = False

    def options(self):
        out = [("mss", 1460)]
        out += [("sackok",)] if self.sack else []
        return out + ([("wscale", self.scale)] if self.scale is not None else [])


class Tcp:
    """Plays two correct hosts, then lets the network and a vandal at what they said."""
    proto, flow = 6, "tcp in1:{} > out1:80"

    def __init__(self, rng):
        self.rng, self.ends, self.said = rng, (Endpoint(rng), Endpoint(rng)), []
        self.open()
        for _ in range(rng.randrange(1, 9)):
            self.talk()
        if rng.random() < 0.6:
            self.close()
        self.network()
        if rng.random() < 0.75:
            self.vandal()
        self.said = self.said[:16]

    def say(self, side, flags, size=0, options=(), seq=None):
        me, peer = self.ends[side], self.ends[1 - side]
        at = me.next if seq is None else seq
        ack = me.heard if flags & ACK else 0
        self.said.append(Segment(side, flags, at, ack, me.win, size, options))
        end = at + size + bool(flags & SYN) + bool(flags & FIN)
        if (end - me.next) & 0xffffffff < 1 << 31:
            me.next = end & 0xffffffff
        peer.heard = me.next

    def open(self):
        rng, (client, server) = self.rng, self.ends
        kind = rng.random()
        if kind < 0.12:                 # began before the box did
            client.heard, server.heard = server.next, client.next
            return
        self.say(0, SYN, options=client.options(), size=rng.choice((0,) * 9 + (100,)))
        if kind < 0.20:                 # both at once
            server.heard, heard = 0, server.heard
            self.say(1, SYN, options=server.options())
            server.heard = heard
            self.say(0, SYN | ACK, seq=client.isn)
            self.say(1, SYN | ACK, seq=server.isn)
            if rng.random() < 0.5:
                return
        elif kind < 0.26:
            self.said.append(Segment(1, RST | ACK, 0, client.next, 0))
            return
        elif kind < 0.30:
            return
        else:
            self.say(1, SYN | ACK, options=server.options())
        self.say(0, ACK)

    def talk(self):
        rng = self.rng
        side = rng.randrange(2)
        what = rng.random()
        if what < 0.55:
            self.say(side, ACK | (PSH if rng.random() < 0.5 else 0), rng.choice((1, 10, 100, 1000, 1300)))
            if rng.random() < 0.6:
                self.say(1 - side, ACK)
        elif what < 0.7:
            self.say(side, ACK)
        elif what < 0.8:                # again
            if self.said:
                self.said.append(rng.choice(self.said).copy())
        elif what < 0.86:               # keep-alive
            me = self.ends[side]
            self.said.append(Segment(side, ACK, me.next - 1, me.heard, me.win, rng.randrange(2)))
        elif what < 0.93:               # SACK of something
            me = self.ends[side]
            left = me.heard + rng.choice((0, 100, 1300, -100, 100000))
            self.said.append(Segment(side, ACK, me.next, me.heard - rng.choice((0, 0, 100)), me.win, 0,
                                     [("sack", left, left + rng.choice((1, 100, 1300)))]))
        else:
            self.ends[side].win = rng.choice((0, 100, 5840, 65535))
            self.say(side, ACK)

    def close(self):
        rng = self.rng
        first = rng.randrange(2)
        way = rng.random()
        if way < 0.25:
            me = self.ends[first]
            self.said.append(Segment(first, RST | rng.choice((0, ACK)), me.next, me.heard, 0))
        else:
            self.say(first, FIN | ACK, rng.choice((0, 0, 50)))
            if rng.random() < 0.7:
                self.say(1 - first, ACK)
            if rng.random() < 0.3:
                self.say(1 - first, ACK | PSH, 500)
            if rng.random() < 0.8:
                self.say(1 - first, FIN | ACK)
                if rng.random() < 0.8:
                    self.say(first, ACK)
        if rng.random() < 0.3:          # the same ports again
            me = self.ends[first]
            me.next += rng.choice((1, 100000, 1 << 31))
            me.next &= 0xffffffff
            me.isn = me.next
            self.say(first, SYN, options=me.options())
            if rng.random() < 0.6:
                self.ends[1 - first].next = rng.randrange(1 << 32)
                self.say(1 - first, SYN | ACK, options=self.ends[1 - first].options())
                self.say(first, ACK)

    def network(self):
        """Loss, repetition and reordering."""
        rng = self.rng
        for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
            if len(self.said) < 2:
                return
            at = rng.randrange(len(self.said))
            kind = rng.random()
            if kind < 0.35:
                del self.said[at]
            elif kind < 0.65:
                for _ in range(rng.choice((1, 1, 2, 4))):
                    self.said.insert(min(len(self.said), at + rng.randrange(1, 4)), self.said[at].copy())
            else:
                moved = self.said.pop(at)
                self.said.insert(rng.randrange(len(self.said) + 1), moved)

    def vandal(self):
        """Wrong flags, wrong numbers, RSTs and SYNs where none belong."""
        rng = self.rng
        for _ in range(rng.choice((1, 1, 2, 3))):
            if not self.said:
                return
            at = rng.randrange(len(self.said))
            victim = self.said[at]
            kind = rng.random()
            if kind < 0.25:
                end = self.ends[victim.side]
                seq = rng.choice((victim.seq, victim.seq + victim.size, end.next, victim.ack, 0,
                                  victim.seq + rng.randrange(-70000, 70000), rng.randrange(1 << 32)))
                self.said.insert(at + 1, Segment(rng.choice((victim.side, victim.side, 1 - victim.side)),
                                                 RST | rng.choice((0, ACK)), seq, victim.ack, 0))
            elif kind < 0.4:
                seq = rng.choice((victim.seq, victim.seq - 1, rng.randrange(1 << 32)))
                side = rng.randrange(2)
                self.said.insert(at + 1, Segment(side, SYN | rng.choice((0, 0, ACK)), seq, rng.choice(
                    (0, victim.ack, victim.seq + 1, rng.randrange(1 << 32))), 5840, 0, self.ends[side].options()))
            elif kind < 0.55:
                victim.flags = rng.choice((0, FIN, SYN | FIN, FIN | PSH | URG, RST | SYN, PSH, ACK | URG, SYN | URG,
                                           FIN | ACK | URG, ACK, SYN, RST, FIN | ACK, SYN | ACK, rng.randrange(256)))
            elif kind < 0.75:
                victim.seq = (victim.seq + rng.choice((1, -1, 100, -100, 1460, -5840, 5840, -66000, 70000, -70000,
                                                       1 << 31, rng.randrange(1 << 32)))) & 0xffffffff
            elif kind < 0.9:
                victim.ack = (victim.ack + rng.choice((1, -1, 100, -100, 1460, -65999, -66001, 70000, 1 << 31,
                                                       rng.randrange(1 << 32)))) & 0xffffffff
            elif kind < 0.97:
                victim.win = rng.choice((0, 1, 65535, rng.randrange(1 << 16)))
            else:
                victim.badsum = True


class Datagram:
    __slots__ = ("net", "side", "size", "sum")

    def __init__(self, side, size, check):
        self.net, self.side, self.size, self.sum = NETS[4], side, size, check

    def packet(self, port, answer_to):
        return self.between(port, self.net.a, answer_to)

    def between(self, port, client, answer_to):
        """The packet; `client` is what the server is told the client's address was."""
        src, dst = (client, self.net.b) if self.side == 0 else (self.net.b, answer_to)
        ports = (port, 53) if self.side == 0 else (53, port)
        body = packets.udp_body(src, dst, *ports, packets.pattern(self.size), self.sum == "badsum", self.sum == "nosum")
        return self.net.packet(src, dst, 17, body)

    def text(self, port, answer):
        return f"{'>' if self.side == 0 else '<'} data {self.size} {self.sum}".rstrip()


class Udp:
    proto, flow = 17, "udp in1:{} > out1:53"

    def __init__(self, rng):
        self.said = [Datagram(0 if rng.random() < 0.6 else 1, rng.choice((0, 1, 20, 500, 1300)),
                              rng.choice(("",) * 8 + ("nosum", "badsum"))) for _ in range(rng.randrange(1, 10))]


class Wrapped(Datagram):
    """A datagram behind extension headers, now and then with a packet length that ends among them."""
    __slots__ = ("chain", "total")
    HEADERS = (("dest", "01020000"), ("dest", "1e020000"), ("dest", "1e0a" + 10 * "00"), ("routing", "020000000000"),
               ("auth", "0000000000070000000100000000"), ("auth", "00000000000700000001000000000000000000000000"))

    def __init__(self, side, rng):
        super().__init__(side, rng.choice((0, 20, 500)), rng.choice(("",) * 9 + ("badsum",)))
        self.chain = [("hop", "01020000")] if rng.random() < 0.3 else []
        self.chain += rng.choices(self.HEADERS, k=rng.choice((0, 1, 1, 2, 3, 5)))
        self.total = rng.choice((0,) * 9 + (rng.randrange(1, 60),))

    def between(self, port, client, answer_to):
        return Text(self.words(port, client, answer_to)).packet()

    def words(self, port, client, answer_to):
        src, dst = (client, self.net.b) if self.side == 0 else (self.net.b, answer_to)
        ports = (port, 53) if self.side == 0 else (53, port)
        a, b = (f"{name_of(packets.ip_text(address))}:{number}" for address, number in zip((src, dst), ports))
        return f"udp {a} > {b} {self.parts()}"

    def parts(self):
        words = f"data {self.size} {self.sum} " + " ".join(f"{kind} {content}" for kind, content in self.chain)
        return " ".join((words + (f" total {self.total}" if self.total else "")).split())

    def text(self, port, answer):
        return f"{'>' if self.side == 0 else '<'} {self.parts()}"


class Headers:
    proto, flow = 17, "udp in1:{} > out1:53"

    def __init__(self, rng):
        self.said = [Wrapped(0 if rng.random() < 0.6 else 1, rng) for _ in range(rng.randrange(1, 8))]


class Query:
    __slots__ = ("net", "side", "kind", "code", "seq", "size", "badsum")

    def __init__(self, side, kind, code, seq, size, badsum):
        self.net, self.side, self.kind, self.code, self.seq, self.size = NETS[4], side, kind, code, seq, size
        self.badsum = badsum

    def packet(self, port, answer_to):
        src, dst = (self.net.a, self.net.b) if self.side == 0 else (self.net.b, answer_to)
        rest = port << 16 | self.seq
        return self.net.icmp(src, dst, self.kind, self.code, rest, packets.pattern(self.size), self.badsum)

    def text(self, port, answer):
        client, server = self.net.name("in1"), self.net.name("out1")
        way = f"{client} > {server}" if self.side == 0 else f"{server} > {answer}"
        names = ICMPV6_NAMES if self.net.v6 else ICMP_NAMES
        kind = names.get((self.kind, self.code), f"type {self.kind} code {self.code}")
        words = f"{self.net.icmp_name} {way} {kind} id {port} seq {self.seq} data {self.size}"
        return words + (" badsum" if self.badsum else "")


class Icmp:
    proto, flow = 1, None
    REQUESTS = {8: 0, 13: 14, 15: 16, 17: 18}
    ASKED = (8, 8, 8, 13, 15, 17)
    OTHERS = (0, 8, 9, 10, 13, 14, 15, 16, 17, 18, 19, 30, 40, 200)

    def __init__(self, rng):
        self.said, asked = [], rng.choice(self.ASKED)
        for number in range(rng.randrange(1, 10)):
            side, kind = (0, asked) if rng.random() < 0.6 else (1, self.REQUESTS[asked])
            if rng.random() < 0.12:
                kind = rng.choice(self.OTHERS)
            if rng.random() < 0.05:
                side = 1 - side
            self.said.append(Query(side, kind, 0 if rng.random() < 0.95 else rng.randrange(6), number,
                                   rng.choice((0, 4, 12, 56)), rng.random() < 0.04))


class Icmpv6(Icmp):
    """Types below 128 are errors, which quote: not here. Messages about the link have no id, by which a conversation is
    known, and neither have those about nodes."""
    proto = 58
    REQUESTS = {128: 129}
    ASKED = (128,)
    OTHERS = (128, 129, 138, 141, 144, 150, 200, 255)


class ErrorAbout:
    """An ICMP error about a datagram, from its receiver or from a router; with side 1 it comes from outside."""
    __slots__ = ("net", "side", "kind", "code", "about", "quoted", "rest", "badsum", "router", "astray")
    KINDS = {4: ((3, 0), (3, 1), (3, 3), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0), (4, 0), (5, 1), (3, 15)),
             6: ((1, 0), (1, 1), (1, 3), (1, 4), (2, 0), (2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2), (1, 15))}

    def __init__(self, side, rng, family):
        self.net, self.side, self.about = NETS[family], side, Datagram(1 - side, rng.choice((0, 20, 600)), "")
        self.about.net = self.net
        self.kind, self.code = rng.choice(self.KINDS[family])
        self.quoted = rng.choice((28, 28, 28, 8, 8, 4, 3, 0, 500))
        self.rest = rng.choice((0, 576, 1300)) if self.kind == (2 if self.net.v6 else 3) else 0
        self.badsum, self.router, self.astray = rng.random() < 0.05, rng.random() < 0.5, rng.random() < 0.1

    def packet(self, port, answer_to):
        net = self.net
        seen = self.about.between(port, answer_to if self.side == 1 else net.a, net.a)
        if self.side == 1:
            src, dst = net.router_outside if self.router else net.b, net.b if self.astray else answer_to
        else:
            src, dst = net.router_inside if self.router else net.a, net.router_outside if self.astray else net.b
        return net.icmp(src, dst, self.kind, self.code, self.rest, seen[:net.header + self.quoted], self.badsum)

    def text(self, port, answer):
        in1, in2, out1, out2 = map(self.net.name, ("in1", "in2", "out1", "out2"))
        if self.side == 1:
            way = f"{out2 if self.router else out1} > {out1 if self.astray else answer}"
            quote = f"udp {answer}:{port} > {out1}:53 data {self.about.size}"
        else:
            way = f"{in2 if self.router else in1} > {out2 if self.astray else out1}"
            quote = f"udp {out1}:53 > {in1}:{port} data {self.about.size}"
        words = (f"{self.net.icmp_name} {way} type {self.kind} code {self.code} mtu {self.rest} quoted {self.quoted} "
                 f"quote [{quote}]")
        return words + (" badsum" if self.badsum else "")


class Errors:
    """Datagrams, and errors about them or about some that never were."""
    proto, flow, family = 17, "udp in1:{} > out1:53", 4

    def __init__(self, rng):
        self.said = []
        for _ in range(rng.randrange(1, 10)):
            side = rng.randrange(2)
            self.said.append(ErrorAbout(1 - side, rng, self.family) if rng.random() < 0.5 else Datagram(side, 20, ""))


class ErrorsV6(Errors):
    family = 6


KINDS = {4: {"tcp": Tcp, "udp": Udp, "icmp": Icmp, "errors": Errors, "sctp": Sctp},
         6: {"tcp": Tcp, "udp": Udp, "icmp": Icmpv6, "errors": ErrorsV6, "headers": Headers,
             "sctp": Sctp}}
WEIGHTS = {"tcp": 8, "udp": 1, "icmp": 1, "errors": 1, "headers": 1, "sctp": 1}


class Conversation:
    """`number` names it for ever: conversation(seed, number) is the same in every run, and of TCP and UDP in both
    families."""

    def __init__(self, seed, number, kinds=None, family=4):
        rng = random.Random(f"{seed}/{number}")
        self.seed, self.number, self.family = seed, number, family
        kinds = kinds or tuple(KINDS[family])
        self.kind = rng.choices(kinds, [WEIGHTS[kind] for kind in kinds])[0]
        made = KINDS[family][self.kind](rng)
        self.proto, self.flow, self.said = made.proto, made.flow, made.said
        for packet in self.said:
            packet.net = NETS[family]
        if self.flow and family == 6:
            self.flow = self.flow.replace("in1", "in1v6").replace("out1", "out1v6")
