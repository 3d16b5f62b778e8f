"""sluice-bench: sluice's data plane in process, packets from a generator in the same loop, no device to receive from.

Established flows (its scenario E1) say where the cycles go, stage by stage; they run once in each round, so that they
share the weather with the others. Its other scenarios, where it has them, run once: what new flows cost, memory,
ageing, reloads. Its rows are kept as they are; of two scenarios the rows are under keys of their own, too, which plots
are made of: `new_flow` (N1) and `memory` (M1).
"""
import json
import subprocess

from ..setting import Case
from .peer import Component, Unable, last_words

LIMIT_SECONDS = 600
MOST_FLOWS = 1000000        # in a round; beyond that opening the flows takes longer than measuring them
BEYOND = 10000000
ESTABLISHED, NEW_FLOWS, MEMORY, ROOFLINE = "E1", "N1", "M1", "IO"
OPTIONS = {NEW_FLOWS: ["--rules", "10,100,1000,10000"], MEMORY: ["--flows", "1000,65536,1000000"]}


def megabytes(flows: int) -> int:
    """For the tables and packets of a sluice-bench that has to be told."""
    return 512 + flows * 2560 // (1 << 20)


def established(run: dict) -> list[dict]:
    """Of a run's rows those with 64-byte frames of established flows are the rounds' own."""
    return [case for case in run["cases"] if case.get("scenario", ESTABLISHED) == ESTABLISHED and
            case.get("frames", "64") == "64"]


def parse(text: str) -> dict:
    """Of `sluice-bench --json`: the parts of results.json."""
    run = json.loads(text)
    own = established(run)
    others = [case for case in run["cases"] if case not in own]
    parts = {
        "sluice_bench": [dict(run, cases=own)] if own else [],
        "scenarios": others,
        "new_flow": [{"rules": case["rules"], "cycles": case["cycles_per_new_flow"]} for case in others
                     if case.get("scenario") == NEW_FLOWS],
        "memory": [{"flows": case["flows"], "bytes_per_flow": case["bytes_per_flow"]} for case in others
                   if case.get("scenario") == MEMORY],
    }
    return {key: rows for key, rows in parts.items() if rows}


class SluiceBench(Component):
    name, title = "sluice-bench", "in process, no devices"
    every_round = True

    def lacking(self) -> str | None:
        program = self.setting.program("tests/bench/sluice-bench")
        return None if program.exists() else f"{program} is not built"

    def call(self, *words: str) -> str:
        """What it prints. Raises Unable."""
        command = ["taskset", "-c", str(self.setting.core), self.setting.program("tests/bench/sluice-bench"), *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise Unable(f"it took more than {LIMIT_SECONDS} s") from None
        if done.returncode != 0:
            raise Unable(last_words(done.stderr))
        return done.stdout

    def has_scenarios(self) -> bool:
        """Or established flows only."""
        try:
            return "--list" in self.call("--help")
        except Unable:
            return False

    def run(self, cases: list[Case]) -> dict:
        together: dict[str, list] = {}
        for protocol in dict.fromkeys(case.protocol for case in cases):
            flows = [case.flows for case in cases if case.protocol == protocol and case.flows <= MOST_FLOWS]
            if not flows:
                continue
            memory = [] if self.has_scenarios() else ["--memory", str(megabytes(sum(flows)))]
            text = self.call("--json", "--proto", protocol, "--flows", ",".join(map(str, flows)), *memory, "--packets",
                             "200000" if self.setting.quick else "2000000", "--rounds", "3",
                             *self.setting.bench_options)
            for key, rows in parse(text).items():
                together.setdefault(key, []).extend(rows)
        return together


class SluiceScenarios(SluiceBench):
    name, title = "sluice-scenarios", "sluice's other scenarios in process"
    every_round = False

    def lacking(self) -> str | None:
        why = super().lacking()
        if why:
            return why
        if self.setting.quick:
            return "they take minutes: not with --quick"
        return None if self.has_scenarios() else "this sluice-bench has no scenarios but established flows"

    def run(self, _cases: list[Case]) -> dict:
        together: dict[str, list] = {}
        names = [line.split()[0] for line in self.call("--list").splitlines() if line.strip()]
        asked = [[name, *OPTIONS.get(name, [])] for name in names if name not in (ESTABLISHED, ROOFLINE)]
        asked.append([ESTABLISHED, "--flows", str(BEYOND), "--rounds", "3"])
        problems = []
        for words in asked:
            try:
                for key, rows in parse(self.call("--json", *words)).items():
                    together.setdefault(key, []).extend(rows)
            except Unable as error:
                problems.append(f"{words[0]}: {error}")
        if problems:
            together["problems"] = [{"program": self.name, "case": None, "problem": text} for text in problems]
        return together
