"""Many conversations through two boxes at once, and packet by packet the question whether both did the same.

A batch goes in lockstep: in step k every conversation sends its packet k, behind the last of them goes a sentinel, then
both listings are read. What comes out and what is listed belongs to a conversation by its port. A conversation that
differed once is set aside; what its flow does afterwards would only repeat that.

Time: the kernel's cannot be told what time it is, so the timeouts in the rules are far apart and long, and one pause
lets UDP flows grow older than the two seconds that make a stream. All steps before the pause must be over before the
two seconds are; on a machine too busy for that the batch is played again in halves.
"""
import functools
import re
import time

from .conversation import EARLY, PAUSE
from .packets import ETHER, UDP, Decoded, ip_bytes, ip_text
from .wires import host_mac

FIRST_PORT = 20000
LISTED = re.compile(r"^(?:ipv[46] +\d+ )?\w+ +(\d+) (\d+) (.*?)(?: mark=.*)$")
ADDRESS = re.compile(r"(?<==)[0-9a-f:]*:[0-9a-f:]*")
PORTS = re.compile(r"(?:[sd]port|id)=(\d+)")
AGEING_AT_ONCE = 400
SLACK = 25          # seconds; the timeouts of the rules are at least twice that apart


class TooSlow(Exception):
    """The steps before the pause took so long that the clocks of the boxes cannot be compared."""


class Difference:
    def __init__(self, conversation, at, linux, sluice):
        self.conversation, self.at, self.linux, self.sluice = conversation, at, linux, sluice

    def kind(self):
        """Differences that look alike have the same kind: what came out, states, which timeout, what was counted."""
        def state(side):
            return tuple(words.split(" src=")[0] for words, _ in side)
        (a, s), (b, t) = self.linux, self.sluice
        seconds = tuple(left // 60 for _, left in s), tuple(left // 60 for _, left in t)
        counts = [words for words, _ in s] != [words for words, _ in t] and state(s) == state(t)
        return self.conversation.kind, len(a), len(b), state(s), state(t), seconds[0] != seconds[1], counts


def transport_of(raw):
    """(protocol, offset) of an IPv6 packet."""
    if raw[6] in (6, 17, 58):
        return raw[6], 40
    seen = Decoded(raw)
    return seen.proto, seen.body_at


def port_of_packet(raw):
    """The port or id of a conversation in a packet that came out."""
    proto, at = transport_of(raw) if raw[0] >> 4 == 6 else (raw[9], (raw[0] & 15) * 4)
    if proto == 1 and raw[at] in (3, 4, 5, 11, 12) or proto == 58 and raw[at] < 128:
        return port_of_packet(raw[at + 8:]) if len(raw) >= at + 8 + at + 4 else 0      # quotes have no options here
    if proto in (1, 58):
        return int.from_bytes(raw[at + 4:at + 6], "big")
    sport, dport = int.from_bytes(raw[at:at + 2], "big"), int.from_bytes(raw[at + 2:at + 4], "big")
    return sport if sport >= FIRST_PORT else dport


def by_port(frames):
    """{port: [(side, frame)]}"""
    found = {}
    for side, some in frames.items():
        for frame in some:
            found.setdefault(port_of_packet(frame[ETHER:]), []).append((side, frame))
    return found


@functools.cache
def short(text):
    return ip_text(ip_bytes(text))


def listed_by_port(lines):
    """{port: [(protocol and all words behind the seconds, seconds)]}"""
    found = {}
    for line in lines:
        match = LISTED.match(line)
        if match is None or "=192.168.1.200 " in line or "=203.0.113.200 " in line:
            continue
        proto, left, words = match.groups()
        if line.startswith("ipv6"):     # /proc writes every digit
            words = ADDRESS.sub(lambda found: short(found.group()), words)
        for number in PORTS.findall(words):
            if int(number) >= FIRST_PORT:
                found.setdefault(int(number), []).append((proto + " " + words.replace("zone=0 ", ""), int(left)))
                break
    for entries in found.values():
        entries.sort()
    return found


def same_state(ours, theirs):
    return len(ours) == len(theirs) and all(
        a[0] == b[0] and abs(a[1] - b[1]) <= SLACK for a, b in zip(ours, theirs))


class Contest:
    """`answer_to` is the address that servers answer to: the client's, or the box's when it masquerades."""

    def __init__(self, linux, sluice, answer_to):
        self.linux, self.sluice, self.answer_to, self.packets = linux, sluice, answer_to, 0

    def play(self, batch):
        """Differences of a batch, each conversation's first one."""
        for box in (self.linux, self.sluice):
            box.flush()
        differences, alive = [], dict(enumerate(batch))
        ageing = any(ages(conversation) for conversation in batch)
        started = time.monotonic()
        for at in range(max(len(conversation.said) for conversation in batch)):
            if at == EARLY and ageing:
                if time.monotonic() - started > 1.8:
                    raise TooSlow
                time.sleep(PAUSE)
            talking = [number for number, conversation in alive.items() if at < len(conversation.said)]
            sent = []
            for number in talking:
                packet = batch[number].said[at]
                sent.append(("wan" if packet.side else "lan",
                             packet.packet(FIRST_PORT + number, self.answer_to)))
            self.packets += len(sent)
            outs = [by_port(box.play(sent)) for box in (self.linux, self.sluice)]
            states = [listed_by_port(self.linux.kernel.table("nf_conntrack")), listed_by_port(self.sluice.lines())]
            for number in talking:
                port = FIRST_PORT + number
                mine, its = [found.get(port, []) for found in outs]
                kept, listed = [found.get(port, []) for found in states]
                if mine != its or not same_state(kept, listed):
                    differences.append(Difference(alive.pop(number), at, (mine, kept), (its, listed)))
        return differences

    def differs(self, conversation, kind):
        """Whether this conversation alone differs in the same way."""
        return any(difference.kind() == kind for difference in self.play([conversation]))


def ages(conversation):
    return conversation.proto == UDP


def play_all(contest, batch):
    """Plays a batch: what does not age at once and without a pause, the rest in groups that are small enough for the
    machine."""
    timeless = [conversation for conversation in batch if not ages(conversation)]
    found = contest.play(timeless) if timeless else []
    ageing = [conversation for conversation in batch if ages(conversation)]
    for first in range(0, len(ageing), AGEING_AT_ONCE):
        found += halves(contest, ageing[first:first + AGEING_AT_ONCE])
    return found


def halves(contest, batch):
    """Plays conversations that age, fewer at once when the machine is too slow for them."""
    try:
        return contest.play(batch)
    except TooSlow:
        if len(batch) < 20:
            raise
        middle = len(batch) // 2
        return halves(contest, batch[:middle]) + halves(contest, batch[middle:])
