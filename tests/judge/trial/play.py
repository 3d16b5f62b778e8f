"""Plays one scenario through two boxes, step by step, and says what differed.

Both boxes get a step before the next one begins, so that a wait is waited for once. A packet may depend on what a box
did before (`<` answers what came out of it), so each box has a memory of its own.
"""
import time

from . import compare, listing
from .boxes import BoxRefused
from .language import LanguageError, Text, address_of, is_ipv6, side_of, words_of
from .packets import ETHER, Decoded
from .scenario import ScenarioError
from .wires import PORTS


class Memory:
    """What came out of one box: the last packet along the flow, and the last one on each side."""

    def __init__(self, flow):
        self.flow, self.along, self.last = flow, None, {}

    def saw(self, frames, along):
        for port, found in frames.items():
            if found:
                self.last[port] = found[-1][ETHER:]
        if along and any(frames.values()):
            other = "wan" if side_of(self.flow.src[0]) == "lan" else "lan"
            if frames[other]:
                self.along = Decoded(frames[other][-1][ETHER:])

    def packet(self, text):
        """(port, IP packet) of a packet's text."""
        head, _, rest = text.partition(" ")
        if head in (">", "<"):
            return self.of_flow(head, rest, text)
        if head == "error":
            return self.error(rest, text)
        made = Text(text)
        return made.side, made.packet()

    def of_flow(self, head, rest, text):
        if self.flow is None:
            raise ScenarioError(f"{text}: the scenario has no flow")
        flow = self.flow
        if head == ">":
            src, dst = flow.src, flow.dst
        elif self.along is None or self.along.error:
            src, dst = flow.dst, flow.src
        else:
            seen = self.along
            src, dst = (seen.dst, seen.dport or 0), (seen.src, seen.sport or 0)
        made = Text(rest, flow.proto, src, dst)
        return made.port or side_of(src[0] if head == "<" else flow.src[0]), made.packet()

    def error(self, rest, text):
        name, _, rest = rest.partition(" ")
        made = Text(f"{'icmpv6' if is_ipv6(address_of(name)) else 'icmp'} {name} > {name} {rest}")
        quoted = self.last.get(made.side)
        if quoted is None:
            raise ScenarioError(f"{text}: nothing came out on that side that it could quote")
        made.dst = Decoded(quoted).src
        return made.side, made.packet(quote=quoted)


class Played:
    """The outcome of a scenario: `differences` are texts, empty when the boxes agree and the file is right."""

    def __init__(self):
        self.between, self.with_file = [], []


class Result:
    def __init__(self, step, masks, frames, sent, side, idents, flows, expected):
        self.flows, self.expected = [masks.listed(flow) for flow in flows], expected
        self.frames = frames
        self.bytes = {port: [masks.seen(f, idents) for f in found] for port, found in frames.items()}
        self.out = compare.out_text(frames, sent, side, masks) if step.send else None
        lines = [flow.short() for flow in self.flows] + [f"expects {left}s {text}" for text, left in expected]
        self.state = "none" if not lines else lines[0] if len(lines) == 1 else lines


    def same_state(self, other, slack):
        return (compare.same_flows(self.flows, other.flows, slack) and len(self.expected) == len(other.expected) and
                all(a[0] == b[0] and compare.near(a[1], b[1], slack) for a, b in zip(self.expected, other.expected)))


def is_for_box(packet):
    d = Decoded(packet)
    return not d.error and (d.dst in compare.BOX_ADDRESSES or d.dst.startswith("ff"))


def run_step(step, box, memory, masks, helpers):
    sent, along, to_box = [], False, False
    for text in step.send:
        port, packet = memory.packet(text)
        sent.append((port, packet))
        along = along or text.startswith(">")
        to_box = to_box or is_for_box(packet)
    frames = box.play(sent, to_box) if sent else {port: [] for port in PORTS}
    memory.saw(frames, along)
    packets = [packet for _, packet in sent]
    idents = {decoded.ident for decoded in map(Decoded, packets) if not decoded.error}
    return Result(step, masks, frames, packets, sent[0][0] if sent else "lan", idents, box.flows(),
                  box.expectations() if helpers else [])


def report(step, number, linux, sluice, slack):
    text = [f"step {number}, {step.title()}"]
    if linux.bytes != sluice.bytes:
        for name, result in (("linux", linux), ("sluice", sluice)):
            text += [f"  {name:6} sends  {line}" for line in compare.out_report(result.frames)]
        if linux.out == sluice.out:
            pairs = [(a, b) for port in linux.bytes for a, b in zip(linux.bytes[port], sluice.bytes[port]) if a != b]
            text += [f"  bytes  {a.hex()}\n     of  {b.hex()}" for a, b in pairs]
    if not linux.same_state(sluice, slack):
        for name, result in (("linux", linux), ("sluice", sluice)):
            lines = result.state if isinstance(result.state, list) else [result.state]
            text += [f"  {name:6} lists  {line}" for line in lines]
    return "\n".join(text)


def differs_from_file(what, recorded, now, number, step, slack):
    same = compare.same_text(recorded, now, slack) if what == "state" else recorded == now
    return "" if same else f"step {number}, {step.title()}: {what} is\n    {now}\n  and the file says\n    {recorded}"


def counters_of(box, before):
    return {chain: [b - a for a, b in zip(before.get(chain, [0] * len(counts)), counts)]
            for chain, counts in box.counters().items() if counts}


SHAPES_LISTED = set()


def worth_listing(flows):
    """Whether a flow is of a shape (protocol, state, words) that the programs for people have not been asked for."""
    shapes = {(flow.number, flow.state, tuple(flow.flags), tuple(flow.other)) for flow in flows} - SHAPES_LISTED
    SHAPES_LISTED.update(shapes)
    return bool(shapes)


def same_listings(linux, sluice, masks):
    """The same flows once more as the two programs for people list them; a text when they differ."""
    texts = {}
    for box in (linux, sluice):
        found = [masks.listed(flow) for flow in listing.flows(box.listing())]
        texts[box] = [f"{flow.same_words()}" for flow in found]
    if texts[linux] == texts[sluice]:
        return ""
    return "\n".join(["the listings at the end"] + [f"  {box.name:6} {line}" for box in texts for line in texts[box]])


def play(scenario, linux, sluice, load, record=False):
    """`load(scenario)` brings the rules into both boxes and empties their tables."""
    outcome = Played()
    try:
        load(scenario)
    except BoxRefused as refusal:
        # Linux is asked all the same, so that the file is known to be true.
        outcome.between.append(f"sluice refuses the rules: {refusal}")
        sluice = None
    masks = compare.Masks(scenario.random, scenario.literals())
    boxes = (linux, sluice) if sluice else (linux,)
    memories = {box: Memory(scenario.flow) for box in boxes}
    helpers = scenario.config.get("helpers", {}).get("ftp", {}).get("enabled", True)
    before = {box: box.counters() for box in boxes} if scenario.counters is not None else {}
    busy = 0.0
    for number, step in enumerate(scenario.steps, 1):
        if step.wait:
            time.sleep(step.wait)
            for box in boxes:
                box.passes(step.wait)
        started = time.monotonic()
        try:
            a, b = [run_step(step, box, memories[box], masks, helpers) for box in boxes] + [None] * (2 - len(boxes))
        except LanguageError as error:
            raise ScenarioError(f"{scenario.name}: {error}") from None
        # The boxes have their turns one after the other: on a busy machine that shows in the seconds that are left.
        busy += time.monotonic() - started
        slack = 1 + int(busy)
        if b is None:
            b = a
        elif a.bytes != b.bytes or not a.same_state(b, slack):
            outcome.between.append(report(step, number, a, b, slack))
        if not step.recorded:
            continue
        if record:
            record_step(step, a, b, scenario.differs, slack)
        outcome.with_file += [text for text in (
            step.send and differs_from_file("out", step.out, a.out, number, step, slack),
            differs_from_file("state", step.state, a.state, number, step, slack)) if text]
        if sluice and scenario.differs and step.sluice:
            outcome.with_file += ["sluice, " + text for text in (
                differs_from_file(what, recorded, getattr(b, what), number, step, slack)
                for what, recorded in step.sluice.items()) if text]
    if sluice and not outcome.between and worth_listing(a.flows):
        outcome.between += [text for text in [same_listings(linux, sluice, masks)] if text]
    if before:
        count = {box: counters_of(box, before[box]) for box in boxes}
        if sluice and count[linux] != count[sluice]:
            outcome.between.append(f"counters of the rules: linux {count[linux]}, sluice {count[sluice]}")
        if record:
            scenario.counters = count[linux]
        if scenario.counters != count[linux]:
            outcome.with_file.append(f"counters are {count[linux]}, and the file says {scenario.counters}")
    return outcome


def record_step(step, linux, sluice, differs, slack):
    step.out, step.state = linux.out, linux.state
    if sluice is not linux:
        step.sluice = None
    if differs and sluice is not linux:
        step.sluice = {}
        if linux.bytes != sluice.bytes:
            step.sluice["out"] = sluice.out
        if not linux.same_state(sluice, slack):
            step.sluice["state"] = sluice.state
