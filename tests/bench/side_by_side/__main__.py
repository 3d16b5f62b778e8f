"""The command line; tools/bench runs it. PYTHONPATH=tests/bench python3 -m side_by_side --help"""
import argparse
import math
import os
import pathlib
import sys
import time

from . import breaks, figures, machine_facts, place, plots, report
from .peers import COMPONENTS, NAMES, PEERS, Unable, testpmd
from .peers.sluiced import Sluiced
from .rounds import Rounds
from .setting import ROOT, Case, Machine, Setting
from .traffic import MOST_FLOWS, Traffic

FLOWS, TCP_FLOWS, QUICK_FLOWS = (1, 1000, 65536, 1000000), (1000, 65536, 1000000), (1000, 65536)
LEAST_PAGES, SPARE_PAGES = 1024, 64
DISTURBED = 3       # exit status of a --quick run, which has no other round that might do better
TITLES = {one.name: one.title for one in PEERS + COMPONENTS}


def options(words: list[str]) -> argparse.Namespace:
    listed = "\n".join(f"  {one.name:16} {one.title}" for one in PEERS + COMPONENTS)
    parser = argparse.ArgumentParser(
        prog="tools/bench", usage="tools/bench [OPTION…] [-- OPTION of sluice-bench…]", allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures sluice and its peers side by side: the same devices and packets, interleaved rounds.",
        epilog=f"programs:\n{listed}\n\nWritten to the directory: results.json (every sample), report.md, plots.\n"
               "docs/benchmarking.md says what each program runs and how to read the figures.")
    parser.add_argument("--quick", action="store_true", help="one round, few flows, short: under 3 minutes, for CI")
    parser.add_argument("--only", metavar="PROGRAM,…", help="only these of the programs below")
    parser.add_argument("--flows", metavar="N,…", help="numbers of flows (default: 1,1000,65536,1000000; quick: "
                                                       f"1000,65536; at most {MOST_FLOWS})")
    parser.add_argument("--proto", choices=("udp", "tcp", "both"), help="default: both; quick: udp")
    parser.add_argument("--rounds", type=int, help="default: 3; quick: 1")
    parser.add_argument("--seconds", type=float, help="of one measurement (default: 3; quick: 1)")
    parser.add_argument("--core", type=int, help="the CPU that is measured (default: the last one)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/bench", metavar="DIR",
                        help="where the results go (default: build/bench)")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", metavar="DIR",
                        help="where sluice is built (default: build)")
    parser.add_argument("--report", action="store_true",
                        help="measure nothing: tables and plots of the results in --out")
    parser.add_argument("--memory-needed", action="store_true", help=argparse.SUPPRESS)     # for tools/bench
    parser.add_argument("--try-out", action="store_true", help=argparse.SUPPRESS)           # likewise
    ours = words[:words.index("--")] if "--" in words else words
    chosen = parser.parse_args(ours)
    chosen.more = words[len(ours) + 1:]
    chosen.out, chosen.build = chosen.out.absolute(), chosen.build.absolute()
    for name in chosen.only.split(",") if chosen.only is not None else ():
        if name not in NAMES:
            parser.error(f"--only: there is no program '{name}'; there are {', '.join(NAMES)}")
    try:
        numbers = [int(word) for word in chosen.flows.split(",")] if chosen.flows is not None else None
    except ValueError:
        parser.error(f"--flows: numbers with commas, not '{chosen.flows}'")
    if numbers is not None and not all(1 <= number <= MOST_FLOWS for number in numbers):
        parser.error(f"--flows: 1 to {MOST_FLOWS}")
    if (chosen.rounds is not None and chosen.rounds < 1) or (
            chosen.seconds is not None and not (chosen.seconds > 0 and math.isfinite(chosen.seconds))):
        parser.error("--rounds and --seconds must be positive")
    protocol = chosen.proto or ("udp" if chosen.quick else "both")
    chosen.cases = [Case("udp", number) for number in numbers or (QUICK_FLOWS if chosen.quick else FLOWS)
                    if protocol != "tcp"]
    chosen.cases += [Case("tcp", number) for number in numbers or (QUICK_FLOWS if chosen.quick else TCP_FLOWS)
                     if protocol != "udp"]
    chosen.rounds = chosen.rounds or (1 if chosen.quick else 3)
    chosen.seconds = chosen.seconds or (1.0 if chosen.quick else 3.0)
    return chosen


def cores(wanted: int | None) -> tuple[int, int]:
    """The measured core and another one, of those that we may use."""
    usable = sorted(os.sched_getaffinity(0))
    core = usable[-1] if wanted is None else wanted
    others = [one for one in usable if one != core]
    if core not in usable or not others:
        sys.exit(f"error: core {core} and another one are needed; this process may use {', '.join(map(str, usable))}")
    return core, others[0]


def hugepages_needed(chosen: argparse.Namespace) -> int:
    """Of 2 MB, for the hungriest program: sluiced, which is asked, or testpmd with its buffers; OVS takes half of the
    least. One that refuses its configuration says so when it is its turn."""
    setting = Setting(chosen.build, *cores(chosen.core), None, None)
    daemon, megabytes = Sluiced(setting), [1]
    for flows in {case.flows for case in chosen.cases}:
        megabytes.append(testpmd.megabytes_for(flows))
        try:
            if not daemon.lacking():
                megabytes.append(daemon.megabytes_for(flows))
        except (Unable, OSError):
            pass
    return max(LEAST_PAGES, SPARE_PAGES + max(megabytes) // 2)


def finish(results: dict, directory: pathlib.Path) -> None:
    """Tables and plots. Raises OSError."""
    pictures, complaint = plots.draw(results, TITLES, directory)
    text = report.markdown(results, TITLES, pictures)
    (directory / "report.md").write_text(text)
    print(text)
    if complaint:
        print(complaint, file=sys.stderr)
    print(f"==> {directory}: results.json, report.md{''.join(', ' + name for name in pictures)}", file=sys.stderr)


def disturbed(results: dict) -> bool:
    """Says what was never measured without others on its core."""
    names = figures.never_undisturbed(results)
    for name in names:
        print(f"error: {name}: disturbed each time that it was measured, so its figures say nothing: is something else "
              "running on this machine?", file=sys.stderr)
    return bool(names)


def measure(chosen: argparse.Namespace, words: list[str]) -> int:
    place.try_out(chosen.out)
    core, other = cores(chosen.core)
    os.sched_setaffinity(0, {other})        # this process and what it starts, but for what is pinned to the other
    names = chosen.only.split(",") if chosen.only else NAMES
    results = {"version": 1, "command": ["tools/bench", *words], "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
               "quick": chosen.quick, "rounds": chosen.rounds, "seconds": 0.0,
               "machine": machine_facts.describe(core, other), "samples": [], "problems": []}
    started, machine = time.monotonic(), Machine()

    def save() -> None:
        results["seconds"] = time.monotonic() - started
        report.write_json(results, chosen.out)

    try:
        place.clear(chosen.out)
        directory = pathlib.Path(machine.path("traffic"))
        directory.mkdir()
        setting = Setting(chosen.build, core, other, Traffic(directory), machine, chosen.seconds,
                          0.3 if chosen.quick else 1.0, chosen.quick, tuple(chosen.more))
        peers, components = ([one(setting) for one in kind if one.name in names] for kind in (PEERS, COMPONENTS))
        Rounds(setting, peers, components, chosen.cases, chosen.rounds, results, save=save).run()
    except KeyboardInterrupt:
        results["broken_off"] = True
    except BaseException:       # a mistake of ours: what was measured until then is kept
        results["broken_off"] = True
        raise
    finally:
        breaks.ignore()
        machine.close()
        save()
    finish(results, chosen.out)
    if breaks.exit_status():
        return breaks.exit_status()
    if chosen.quick and disturbed(results):
        return DISTURBED
    return 0 if results["samples"] or any(results.get(key) for key in report.LISTS) else 1


def main() -> int:
    words = sys.argv[1:]
    chosen = options(words)
    if chosen.memory_needed:
        print(hugepages_needed(chosen))
        return 0
    try:
        if chosen.try_out:
            place.try_out(chosen.out)
            return 0
        if chosen.report:
            finish(place.load(chosen.out), chosen.out)
            return 0
        if os.geteuid() != 0:
            sys.exit("error: namespaces and hugepages need root: sudo tools/bench")
        breaks.install()
        return measure(chosen, words)
    except OSError as error:
        if error.filename is None or not pathlib.Path(os.fsdecode(error.filename)).is_relative_to(chosen.out):
            raise
        sys.exit(f"error: {error.filename} cannot be written: {error.strerror}")


if __name__ == "__main__":
    sys.exit(main())
