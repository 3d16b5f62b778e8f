#!/usr/bin/env python3
"""The judge: plays scenarios through Linux and through sluice, and compares what comes out, the listing and counters.

    run.py                            every scenario, Linux against sluiced
    run.py tcp/reset nat              those whose names begin so
    run.py --record nat/new_one       writes into the file what Linux does (read it before you believe it)
    run.py --settle                   takes `pending:` out of the files of scenarios that do not differ any more
    run.py --pend "no windows" tcp    puts it into those that differ

A scenario fails when the boxes differ (unless its file says `pending:` or `differs:`), when Linux does not do what
the file says, and when a pending or differing one no longer differs. The real sluiced is judged here, on AF_XDP: these
few thousand packets are few enough to wait for a sentinel behind each. `--sluice process` puts sluice's data plane in
process in its place (a virtual clock, no devices), which is what random conversations use; `--sluice none` asks Linux
alone whether the files say what it does. Exit status: 0 all is well,
1 something failed, 77 not root.
"""
import argparse
import os
import signal
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "netns")]

from trial import differences  # noqa: E402  (the path must be set first)
from trial.pair import Pair  # noqa: E402
from trial.play import play  # noqa: E402
from trial.scenario import Scenario, ScenarioError, all_scenarios  # noqa: E402


class Counts:
    def __init__(self):
        self.ok, self.failed, self.pending, self.intended = 0, 0, [], []


def indented(texts):
    return "\n".join("    " + line for text in texts for line in text.splitlines())


def judge(scenario, outcome, counts, headings, alone=False):
    """Prints one scenario's verdict when there is something to say."""
    problems = list(outcome.with_file)
    if scenario.differs is not None and scenario.differs not in headings:
        problems.append(f"docs/differences.md has no paragraph that begins with **{scenario.differs}")
    if alone:
        pass
    elif scenario.pending and not outcome.between:
        problems.append(f"pending ({scenario.pending}), but there is no difference any more: take the line out")
    elif scenario.differs and not outcome.between:
        problems.append(f"it says that sluice differs ({scenario.differs}), but there is no difference")
    elif not scenario.pending and not scenario.differs:
        problems += outcome.between
    if problems:
        counts.failed += 1
        print(f"FAIL  {scenario.name}: {scenario.shows}\n{indented(problems)}", flush=True)
    elif scenario.pending:
        counts.pending.append(scenario)
    elif scenario.differs:
        counts.intended.append(scenario)
    else:
        counts.ok += 1


def read_all(names, counts):
    chosen = []
    for path in all_scenarios():
        try:
            scenario = Scenario(path)
        except ScenarioError as error:
            counts.failed += 1
            print(f"FAIL  {path}: {error}")
            continue
        if not names or any(scenario.name.startswith(name) for name in names):
            chosen.append(scenario)
    # Scenarios with the same rules one after the other: a reload is what takes longest.
    return sorted(chosen, key=lambda s: (repr(s.rules), s.name))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build"), help="build directory")
    parser.add_argument("--sluice", choices=("daemon", "process", "none"), default="daemon",
                        help="none: Linux alone, against what the files say")
    parser.add_argument("--record", action="store_true", help="write what Linux does into the scenario files")
    parser.add_argument("--settle", action="store_true", help="take pending: out of files where nothing differs now")
    parser.add_argument("--pend", metavar="WHY", help="put pending: into files where something differs")
    parser.add_argument("--show", action="store_true", help="say what differs in pending and differing scenarios")
    parser.add_argument("name", nargs="*", help="beginnings of scenario names")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("namespaces need root: skipped")
        return 77
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # so that `finally` runs
    alone = options.sluice == "none"
    counts, started = Counts(), time.monotonic()
    scenarios = read_all(options.name, counts)
    headings = differences.headings()
    with Pair(os.path.abspath(options.build), None if alone else options.sluice) as pair:
        for scenario in scenarios:
            try:
                outcome = play(scenario, pair.linux, pair.sluice, pair.load, options.record)
            except Exception:       # whatever it is, the other scenarios are still judged
                counts.failed += 1
                print(f"FAIL  {scenario.name}\n{indented([traceback.format_exc()])}", flush=True)
                pair.check_alive()
                continue
            if options.record:
                scenario.write()
                outcome.with_file = []
            if options.settle and not alone and scenario.pending and not outcome.between:
                scenario.mark_pending(None)
            if options.pend and outcome.between and not scenario.pending and not scenario.differs:
                scenario.mark_pending(options.pend)
            if options.show and (scenario.pending or scenario.differs):
                print(f"      {scenario.name}\n{indented(outcome.between)}")
            judge(scenario, outcome, counts, headings, alone)
    for scenario in counts.intended:
        print(f"intended  {scenario.name}: {scenario.differs}")
    for scenario in counts.pending:
        print(f"pending  {scenario.name}: {scenario.pending}")
    print(f"{counts.ok} the same, {len(counts.intended)} differ by intent, {len(counts.pending)} pending, "
          f"{counts.failed} failed; {time.monotonic() - started:.0f} s")
    return 1 if counts.failed or not scenarios else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
