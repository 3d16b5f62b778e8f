"""What came out of a box, in a form in which two boxes can be compared.

Bytes are compared, Ethernet header and checksums included. Masked is only what Linux itself chooses freely:
- the IP identification of packets that the box made itself (one that no packet of the step came in with), and that of
  IPv6 fragments which it has cut anew;
- with `random: true`, ports and ICMP ids that the scenario does not name: the class of the choice takes their place
  (Linux keeps a port below 512 among 1–511, one below 1024 among 600–1023, any other among 1024–65535).
A masked field takes the checksums over it along, after they have been found right.
"""
from .language import NAMES, tell, tell_all
from .packets import ETHER, ICMP, ICMPV6, SCTP, TCP, UDP, Decoded

BOX_ADDRESSES = {address for address, name in NAMES.items() if name.removesuffix("v6").removesuffix("ll") in
                 ("lan", "wan")}


def class_of(port):
    return "~1-511" if port < 512 else "~512-1023" if port < 1024 else "~1024-65535"


CODES = {"~1-511": b"\xff\xf1", "~512-1023": b"\xff\xf2", "~1024-65535": b"\xff\xf3"}


class Masks:
    """The choices of one scenario: `literals` are the numbers that its file names."""

    def __init__(self, random, literals):
        self.random, self.literals = random, literals

    def free(self, number):
        return self.random and number is not None and number not in self.literals

    def listed(self, flow):
        """Masks the chosen ports of a line of the listing, in place."""
        for one in flow.tuples:
            for key in ("sport", "dport", "id"):
                if key in one and self.free(int(one[key])):
                    one[key] = class_of(int(one[key])) if key != "id" else "~id"
        return flow

    def seen(self, frame, idents):
        """The frame as bytes to compare; `idents` are the identifications that packets came in with."""
        d = Decoded(frame[ETHER:])
        if d.error:
            return frame
        raw = bytearray(frame)
        if d.ident not in idents:
            self.ident(raw, d)
        self.ports(raw, ETHER, d)
        if d.inner is not None and not d.inner.error:
            inner = ETHER + d.body_at + 8
            if self.ports(raw, inner, d.inner) and d.l4_ok:
                raw[ETHER + d.body_at + 2:ETHER + d.body_at + 4] = b"\0\0"
        return bytes(raw)

    @staticmethod
    def ident(raw, d):
        if d.version == 6:
            if d.fragmented:
                raw[ETHER + d.ident_at:ETHER + d.ident_at + 4] = bytes(4)
            return
        raw[ETHER + 4:ETHER + 6] = b"\0\0"
        if d.ip_ok:
            raw[ETHER + 10:ETHER + 12] = b"\0\0"

    def ports(self, raw, at, d):
        """Masks ports of the packet at `at`; true when there was something to mask."""
        body, masked = at + d.body_at, False
        for offset, port in ((0, d.sport), (2, d.dport)):
            if self.free(port):
                raw[body + offset:body + offset + 2] = CODES[class_of(port)]
                masked = True
        if d.kind is not None and d.has_id() and self.free(d.ident_icmp):
            raw[body + 4:body + 6] = b"\xff\xf4"
            masked = True
        where, size = {TCP: (16, 2), UDP: (6, 2), ICMP: (2, 2), ICMPV6: (2, 2), SCTP: (8, 4)}.get(d.proto, (0, 0))
        if masked and d.l4_ok:
            field = slice(body + where, body + where + size)
            raw[field] = bytes(len(raw[field]))     # a quote may end within it
        return masked

    def told(self, d):
        """`tell`, with the class in the place of a chosen port."""
        self.name_choices(d)
        if d.inner is not None:
            self.name_choices(d.inner)
        return tell(d)

    def name_choices(self, d):
        if d.error:
            return
        if self.free(d.sport):
            d.sport = class_of(d.sport)
        if self.free(d.dport):
            d.dport = class_of(d.dport)
        if d.kind is not None and d.has_id() and self.free(d.ident_icmp):
            d.ident_icmp = "~id"


def passed(sent, frames, side):
    """True when `sent` came out on the other side as it was, one hop further."""
    other = "wan" if side == "lan" else "lan"
    if len(frames[other]) != 1 or frames[side]:
        return False
    came = frames[other][0][ETHER:]
    if sent[0] >> 4 == 6:
        return came[:7] == sent[:7] and came[7] == sent[7] - 1 and came[8:] == sent[8:]
    return (came[:8] == sent[:8] and came[8] == sent[8] - 1 and came[9] == sent[9] and came[12:] == sent[12:]
            and Decoded(came).ip_ok)


def out_text(frames, sent, side, masks):
    """What came out, as a scenario file says it."""
    if sum(map(len, frames.values())) == 0:
        return "dropped"
    if len(sent) == 1 and passed(sent[0], frames, side):
        return "passes"
    lines = [f"{port}: {masks.told(Decoded(frame[ETHER:]))}" for port in frames for frame in frames[port]]
    return lines[0] if len(lines) == 1 else lines


def out_report(frames):
    lines = [f"{port}: {tell_all(Decoded(frame[ETHER:]))}" for port in frames for frame in frames[port]]
    return lines or ["nothing"]


def near(a, b, slack=1):
    return abs(a - b) <= slack


def same_flows(ours, theirs, slack=1):
    return len(ours) == len(theirs) and all(
        a.same_words() == b.same_words() and near(a.left, b.left, slack) for a, b in zip(ours, theirs))


def same_text(recorded, now, slack=1):
    """Lines of state, as recorded and as they are: equal but for a second."""
    def split(text):
        words = str(text).split(" ")
        seconds = [int(w[:-1]) for w in words if w[:-1].isdigit() and w.endswith("s")]
        return [w for w in words if not (w[:-1].isdigit() and w.endswith("s"))], seconds
    recorded = recorded if isinstance(recorded, list) else [recorded]
    now = now if isinstance(now, list) else [now]
    if len(recorded) != len(now):
        return False
    for a, b in zip(map(split, recorded), map(split, now)):
        if a[0] != b[0] or len(a[1]) != len(b[1]) or not all(
                near(x, y, slack) for x, y in zip(a[1], b[1])):
            return False
    return True
