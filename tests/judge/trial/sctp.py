"""Random associations (RFC 9260): a handshake, perhaps a shutdown, and chunks that belong there, or do not.

Two chunks share a packet only where both are held to the same rule: what Linux makes of others is a difference by intent
(docs/differences.md, "SCTP: no chunk is excused").
"""
from . import packets

DATA, INIT, INIT_ACK, SACK, HEARTBEAT, HEARTBEAT_ACK, ABORT, SHUTDOWN, SHUTDOWN_ACK, ERROR = range(10)
COOKIE_ECHO, COOKIE_ACK, SHUTDOWN_COMPLETE, UNKNOWN = 10, 11, 14, 128
CONTENTS = {DATA: "000000010000000000000000aaaaaaaa", SACK: "00000001000000ff00000000", SHUTDOWN: "00000001",
            HEARTBEAT: "000100080000000a", HEARTBEAT_ACK: "000100080000000a", COOKIE_ECHO: "00000000"}
OFTEN = (DATA, DATA, INIT, INIT, INIT_ACK, INIT_ACK, SACK, HEARTBEAT, HEARTBEAT, HEARTBEAT_ACK, HEARTBEAT_ACK, ABORT,
         SHUTDOWN, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_ACK, ERROR, COOKIE_ECHO, COOKIE_ECHO, COOKIE_ACK, COOKIE_ACK,
         SHUTDOWN_COMPLETE, SHUTDOWN_COMPLETE, UNKNOWN)


def chunk(kind, flags=0, tag=0):
    """`tag` is what INIT and INIT ACK ask for."""
    content = bytes.fromhex(CONTENTS.get(kind, ""))
    if kind in (INIT, INIT_ACK):
        content = tag.to_bytes(4, "big") + bytes.fromhex("0000ffff0001000100000001")
    return bytes([kind, flags]) + (4 + len(content)).to_bytes(2, "big") + content


class Chunks:
    """A packet; `side` 0: from the client."""
    __slots__ = ("net", "side", "tag", "chunks", "badsum")

    def __init__(self, side, tag, chunks, badsum=False):
        self.net, self.side, self.tag, self.chunks, self.badsum = None, side, tag, chunks, badsum

    def packet(self, port, answer_to):
        src, dst = (self.net.a, self.net.b) if self.side == 0 else (self.net.b, answer_to)
        ports = (port, 80) if self.side == 0 else (80, port)
        return self.net.packet(src, dst, packets.SCTP, packets.sctp_body(*ports, self.tag, self.chunks, self.badsum))

    def text(self, port, answer):
        words = f"{'>' if self.side == 0 else '<'} vtag {self.tag} hex {self.chunks.hex()}"
        return words + (" badsum" if self.badsum else "")


class Sctp:
    proto, flow = packets.SCTP, "sctp in1:{} > out1:80"

    def __init__(self, rng):
        self.rng, self.tags = rng, (rng.randrange(1, 4), rng.randrange(5, 9))   # few, so that wrong ones are right
        whole = [self.good(0, INIT), self.good(1, INIT_ACK), self.good(0, COOKIE_ECHO), self.good(1, COOKIE_ACK)]
        if rng.random() < 0.5:
            whole += [self.good(0, SHUTDOWN), self.good(1, SHUTDOWN_ACK), self.good(0, SHUTDOWN_COMPLETE)]
        self.said = whole[:rng.randrange(len(whole) + 1)]
        self.said += [self.anything(rng.randrange(2)) for _ in range(rng.randrange(2, 9))]

    def good(self, side, kind):
        return Chunks(side, 0 if kind == INIT else self.tags[1 - side], chunk(kind, tag=self.tags[side]))

    def anything(self, side):
        rng, own, peers = self.rng, self.tags[side], self.tags[1 - side]
        kind = rng.choice(OFTEN)
        chunks = chunk(kind, rng.choice((0, 0, 1)) if kind in (ABORT, SHUTDOWN_COMPLETE) else 0,
                       rng.choice((own, own, own, rng.randrange(9))))
        if kind in (DATA, SACK, ERROR, COOKIE_ECHO, COOKIE_ACK) and rng.random() < 0.2:
            chunks += chunk(rng.choice((DATA, SACK, SHUTDOWN)))
        tag = rng.choice((peers,) * 8 + (own, 0, 5))
        if kind == INIT and rng.random() < 0.95:
            tag = 0
        return Chunks(side, tag, chunks, rng.random() < 0.02)
