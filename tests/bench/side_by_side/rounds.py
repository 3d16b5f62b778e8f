"""The rounds: every program with every case, one after the other, over and over, so that a machine which is slower for
a while is slower for all of them. One measurement is a start, a warming up, two looks at the counters and a stop.
"""
import contextlib
import os
import subprocess
import sys
import time

from . import breaks, cpu, figures
from .peers import Component, Counts, Peer, Unable
from .setting import Case, LabError, Setting

# A program's failure, which has a line in the report; the run goes on.
FAILURES = (Unable, LabError, OSError, ValueError, KeyError, subprocess.SubprocessError)


def measure(peer: Peer, case: Case, number: int) -> dict:
    """A sample. Raises Unable and LabError; the program is stopped in any case."""
    setting = peer.setting
    try:
        peer.start(case)
        started, first = time.monotonic(), peer.counts()
        before = spent(peer)
        time.sleep(setting.seconds)
        last, ended = peer.counts(), time.monotonic()
        own, others = (after - at for after, at in zip(spent(peer), before))
        if peer.stateful and peer.connections() < case.flows:
            raise Unable(f"it has {peer.connections()} connections, not {case.flows}")
    finally:
        with breaks.held():
            peer.stop()
    if not peer.shares_core:
        others = max(0.0, ended - started - own)
    return sample(peer, case, number, ended - started, (own, others),
                  Counts(last.received - first.received, last.forwarded - first.forwarded))


def spent(peer: Peer) -> tuple[float, float]:
    """The core's time, of the program and of others. Where the program is the kernel, others are in user mode."""
    core = peer.setting.core
    return cpu.core_seconds(core) if peer.shares_core else (cpu.process_seconds(peer.process.pid, core), 0.0)


def sample(peer: Peer, case: Case, number: int, seconds: float, core: tuple[float, float], counts: Counts) -> dict:
    """What a poll loop forwards in a second; the kernel, in a second of the time that its core spends on that."""
    own, others = core
    of = own if peer.shares_core else seconds
    return {"program": peer.name, "protocol": case.protocol, "flows": case.flows, "round": number,
            "mpps": counts.forwarded / of / 1e6 if of > 0 else 0.0, "seconds": seconds, "packets": counts.forwarded,
            "lost": max(0.0, 1 - counts.forwarded / counts.received) if counts.received > 0 else 0.0,
            "core_share": own / (own + others) if own + others > 0 else 1.0, "load": os.getloadavg()[0]}


class Rounds:
    """Fills `results`, sample by sample: what is there when a run is broken off counts."""

    def __init__(self, setting: Setting, peers: list[Peer], components: list[Component], cases: list[Case],
                 rounds: int, results: dict, out=None, save=lambda: None):
        """`save` is called behind each round."""
        self.save = save
        self.setting, self.cases, self.rounds, self.results = setting, cases, rounds, results
        self.peers = [peer for peer in peers if self.can_run(peer)]
        self.components = [component for component in components if self.can_run(component)]
        self.out = out or sys.stderr
        self.gone, self.done = set(), 0

    def can_run(self, program) -> bool:
        why = program.lacking()
        if why:
            self.problem(program.name, None, why)
        return not why

    def problem(self, program: str, case: Case | None, why: str) -> None:
        """Once for each program and case."""
        entry = {"program": program, "case": str(case) if case else None, "problem": " ".join(str(why).split())[:300]}
        if entry not in self.results["problems"]:
            self.results["problems"].append(entry)

    def say(self, text: str) -> None:
        print(text, file=self.out, flush=True)

    def run(self) -> None:
        for problem in self.results["problems"]:
            self.say(f"{problem['program']}: {problem['problem']}")
        self.started = time.monotonic()
        try:
            for number in range(1, self.rounds + 1):
                self.round(number)
                self.save()
        finally:
            # Once more: a signal may have come in the moment before a program's own stop.
            with breaks.held(), contextlib.ExitStack() as stops:
                for peer in self.peers:
                    stops.callback(peer.stop)

    def round(self, number: int) -> None:
        for case in self.cases:
            for peer in self.peers:
                if case.protocol == "tcp" and not peer.tcp:
                    continue
                self.one(peer, case, number)
        for component in self.components:
            if component.every_round or number == 1:
                self.component(component, number)

    def one(self, peer: Peer, case: Case, number: int) -> None:
        if (peer.name, case) in self.gone:
            return
        why = peer.unable(case)
        if why is None:
            try:
                one = measure(peer, case, number)
                self.results["samples"].append(one)
                self.progress(number, case, peer.name, self.describe(one))
                return
            except FAILURES as error:
                why = str(error) or type(error).__name__
        # What cannot run once is not tried again in each round.
        self.gone.add((peer.name, case))
        self.problem(peer.name, case, why)
        self.progress(number, case, peer.name, f"not measured: {' '.join(why.split())[:300]}")

    def component(self, component: Component, number: int) -> None:
        if component.name in self.gone:
            return
        self.progress(number, None, component.name, "…", count=False)
        try:
            found = component.run(self.cases)
            for entry in found.pop("problems", []):
                self.problem(entry["program"], None, entry["problem"])
            for key, rows in found.items():
                self.results.setdefault(key, []).extend(rows)
            disturbed = any(figures.latency_disturbed(row) for row in found.get("latency", []))
            self.progress(number, None, component.name, "done (disturbed: see the report)" if disturbed else "done")
        except FAILURES as error:
            self.gone.add(component.name)
            self.problem(component.name, None, str(error))
            self.progress(number, None, component.name, f"not measured: {' '.join(str(error).split())[:300]}")

    def describe(self, one: dict) -> str:
        share = figures.ratios([s for s in self.results["samples"] if s["round"] == one["round"]], one["program"],
                               one["protocol"], one["flows"])
        text = f"{one['mpps']:7.2f} Mpps"
        if share and one["program"] != figures.ROOFLINE:
            text += f"  {share[0]:.2f} of testpmd io"
        if one["core_share"] < figures.DISTURBED_BELOW:
            text += f"  (disturbed: it had {one['core_share']:.0%} of its core)"
        if one["lost"] > figures.LOST_ABOVE:
            text += f"  (lost {one['lost']:.1%})"
        return text

    def steps(self) -> int:
        tcp = sum(case.protocol == "tcp" for case in self.cases)
        forwarding = sum(len(self.cases) - (0 if peer.tcp else tcp) for peer in self.peers)
        return self.rounds * (forwarding + sum(one.every_round for one in self.components)) + sum(
            not one.every_round for one in self.components)

    def progress(self, number: int, case: Case | None, program: str, text: str, count: bool = True) -> None:
        self.done += count
        elapsed = int(time.monotonic() - self.started)
        self.say(f"[{self.done:3}/{self.steps()} {elapsed // 60:2}:{elapsed % 60:02}] round {number}  "
                 f"{str(case) if case else '':12} {program:16} {text}")
