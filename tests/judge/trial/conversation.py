"""Random conversations from a seed: what two hosts could say to each other, and what networks, bugs and attackers make
of it.

A conversation is a list of packets, each of which can be made (bytes) and told (the text of a scenario). It has a port
(or ICMP id) that no other conversation of its batch has, by which its packets and its lines in a listing are known.
"""
import random

from . import packets
from .language import HOSTS, ICMP_NAMES, letters
from .packets import ACK, FIN, PSH, RST, SYN, URG

CLIENT, SERVER = HOSTS["in1"], HOSTS["out1"]
A, B = packets.ip_bytes(CLIENT), packets.ip_bytes(SERVER)
EARLY = 5           # packets before the pause; the rest comes more than two seconds after the first
PAUSE = 2.3


class Segment:
    """A packet of a TCP conversation; `side` 0: from the client."""
    __slots__ = ("side", "flags", "seq", "ack", "win", "size", "options", "badsum")

    def __init__(self, side, flags, seq, ack=0, win=0, size=0, options=()):
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
        src, dst = (A, B) if self.side == 0 else (B, answer_to)
        ports = (port, 80) if self.side == 0 else (80, port)
        return packets.ip(src, dst, 6, packets.tcp_body(src, dst, *ports, self.flags, self.seq, self.ack, self.win,
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
    __slots__ = ("side", "size", "sum")

    def __init__(self, side, size, check):
        self.side, self.size, self.sum = side, size, check

    def packet(self, port, answer_to):
        return self.between(port, A, answer_to)

    def between(self, port, client, answer_to):
        """The packet; `client` is what the server is told the client's address was."""
        src, dst = (client, B) if self.side == 0 else (B, answer_to)
        ports = (port, 53) if self.side == 0 else (53, port)
        body = packets.udp_body(src, dst, *ports, packets.pattern(self.size), self.sum == "badsum", self.sum == "nosum")
        return packets.ip(src, dst, 17, body)

    def text(self, port, answer):
        return f"{'>' if self.side == 0 else '<'} data {self.size} {self.sum}".rstrip()


class Udp:
    proto, flow = 17, "udp in1:{} > out1:53"

    def __init__(self, rng):
        self.said = [Datagram(0 if rng.random() < 0.6 else 1, rng.choice((0, 1, 20, 500, 1300)),
                              rng.choice(("",) * 8 + ("nosum", "badsum"))) for _ in range(rng.randrange(1, 10))]


class Query:
    __slots__ = ("side", "kind", "code", "seq", "size", "badsum")

    def __init__(self, side, kind, code, seq, size, badsum):
        self.side, self.kind, self.code, self.seq, self.size = side, kind, code, seq, size
        self.badsum = badsum

    def packet(self, port, answer_to):
        src, dst = (A, B) if self.side == 0 else (B, answer_to)
        rest = port << 16 | self.seq
        return packets.ip(src, dst, 1, packets.icmp_body(self.kind, self.code, rest, packets.pattern(self.size),
                                                         self.badsum))

    def text(self, port, answer):
        way = "in1 > out1" if self.side == 0 else f"out1 > {answer}"
        kind = ICMP_NAMES.get((self.kind, self.code), f"type {self.kind} code {self.code}")
        return f"icmp {way} {kind} id {port} seq {self.seq} data {self.size}" + (" badsum" if self.badsum else "")


class Icmp:
    proto, flow = 1, None
    REQUESTS = {8: 0, 13: 14, 15: 16, 17: 18}

    def __init__(self, rng):
        self.said, asked = [], rng.choice((8, 8, 8, 13, 15, 17))
        for number in range(rng.randrange(1, 10)):
            side, kind = (0, asked) if rng.random() < 0.6 else (1, self.REQUESTS[asked])
            if rng.random() < 0.12:
                kind = rng.choice((0, 8, 9, 10, 13, 14, 15, 16, 17, 18, 19, 30, 40, 200))
            if rng.random() < 0.05:
                side = 1 - side
            self.said.append(Query(side, kind, 0 if rng.random() < 0.95 else rng.randrange(6), number,
                                   rng.choice((0, 4, 12, 56)), rng.random() < 0.04))


class ErrorAbout:
    """An ICMP error about a datagram, from its receiver or from a router; with side 1 it comes from outside."""
    __slots__ = ("side", "kind", "code", "about", "quoted", "rest", "badsum", "router", "astray")

    def __init__(self, side, rng):
        self.side, self.about = side, Datagram(1 - side, rng.choice((0, 20, 600)), "")
        self.kind, self.code = rng.choice(((3, 0), (3, 1), (3, 3), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0),
                                           (4, 0), (5, 1), (3, 15)))
        self.quoted = rng.choice((28, 28, 28, 8, 8, 4, 3, 0, 500))
        self.rest = rng.choice((0, 576, 1300)) if self.kind == 3 else 0
        self.badsum, self.router, self.astray = rng.random() < 0.05, rng.random() < 0.5, rng.random() < 0.1

    def packet(self, port, answer_to):
        seen = self.about.between(port, answer_to if self.side == 1 else A, A)
        if self.side == 1:
            src, dst = ROUTER_OUTSIDE if self.router else B, B if self.astray else answer_to
        else:
            src, dst = ROUTER_INSIDE if self.router else A, ROUTER_OUTSIDE if self.astray else B
        quote = seen[:20 + self.quoted]
        return packets.ip(src, dst, 1, packets.icmp_body(self.kind, self.code, self.rest, quote, self.badsum))

    def text(self, port, answer):
        if self.side == 1:
            way = f"{'out2' if self.router else 'out1'} > {'out1' if self.astray else answer}"
            quote = f"udp {answer}:{port} > out1:53 data {self.about.size}"
        else:
            way = f"{'in2' if self.router else 'in1'} > {'out2' if self.astray else 'out1'}"
            quote = f"udp out1:53 > in1:{port} data {self.about.size}"
        words = f"icmp {way} type {self.kind} code {self.code} mtu {self.rest} quoted {self.quoted} quote [{quote}]"
        return words + (" badsum" if self.badsum else "")


ROUTER_INSIDE, ROUTER_OUTSIDE = packets.ip_bytes(HOSTS["in2"]), packets.ip_bytes(HOSTS["out2"])


class Errors:
    """Datagrams, and errors about them or about some that never were."""
    proto, flow = 17, "udp in1:{} > out1:53"

    def __init__(self, rng):
        self.said = []
        for _ in range(rng.randrange(1, 10)):
            side = rng.randrange(2)
            self.said.append(ErrorAbout(1 - side, rng) if rng.random() < 0.5 else Datagram(side, 20, ""))


KINDS = {"tcp": Tcp, "udp": Udp, "icmp": Icmp, "errors": Errors}
WEIGHTS = {"tcp": 8, "udp": 1, "icmp": 1, "errors": 1}


class Conversation:
    """`number` names it for ever: conversation(seed, number) is the same in every run."""

    def __init__(self, seed, number, kinds=tuple(KINDS)):
        rng = random.Random(f"{seed}/{number}")
        self.seed, self.number = seed, number
        self.kind = rng.choices(kinds, [WEIGHTS[kind] for kind in kinds])[0]
        made = KINDS[self.kind](rng)
        self.proto, self.flow, self.said = made.proto, made.flow, made.said

