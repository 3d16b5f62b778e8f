#!/usr/bin/env python3
"""How many instructions the data plane spends on a packet, of an established flow, a new one, a whole TCP connection,
or with FTP commands among them, counted by callgrind.

Time is too noisy on a shared machine to guard by; instructions of the same binary are the same in every run. Each case
runs twice with different numbers of packets, and what counts is the difference: start, flows that are opened and the
warming up cancel out. Only what the pipeline executes is collected, not the generator. A new flow includes the end of
another one: what control orders and what it is told.

    instructions.py SLUICE-BENCH BASELINE [--update REASON | --add]

The baseline is of one compiler and one optimisation; with another, or in a build without optimisation, the test is
skipped (77). A change that moves a figure by more than 3 % fails until --update has written the new one and why it
moved; a figure without a reason fails, too. A case that is not in the baseline fails; --add writes those alone.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import typing

SKIPPED = 77
TOLERANCE = 0.03
FEW, MANY = 4096, 16384  # whole blocks of the bench, and whole seconds of N1's clock (half of its table)
# What the worker calls with a burst, and besides.
BURST = ("sluice::Pipeline::receive(*", "sluice::Pipeline::end_of_burst(*")
BESIDES = ("sluice::Pipeline::orders(*", "sluice::Pipeline::housekeeping(*")
ESTABLISHED = ("--flows", "1000")  # both directions


class Case(typing.NamedTuple):
    options: tuple[str, ...]
    collected: tuple[str, ...] = BURST
    passes: int = 4  # how often it sends --packets: in both directions, for the figure and for the stages
    few: int = FEW
    many: int = MANY


CASES = {
    "udp": Case((*ESTABLISHED, "--proto", "udp")),
    "tcp": Case((*ESTABLISHED, "--proto", "tcp")),
    "udp-dnat": Case(("E2", *ESTABLISHED)),
    "udp-routed": Case(("E3", *ESTABLISHED)),
    "new-udp-10-rules": Case(("N1", "--table", "8192", "--rules", "10"), BURST + BESIDES, 2),
    "tcp-lives": Case(("N2", "--flows", "1024"), BURST + BESIDES, 1),
    "tcp-1-percent-ftp": Case(("A1", "--flows", "1024"), BURST, 2, 3200, 16000),  # whole blocks; without and with
}


def collected(bench: str, packets: int, case: Case) -> int:
    with tempfile.TemporaryDirectory(prefix="sluice-instructions.") as directory:
        out = pathlib.Path(directory) / "callgrind.out"
        toggles = [f"--toggle-collect={name}" for name in case.collected]
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *toggles, bench, "--no-huge",
                   "--memory", "256", "--rounds", "1", "--packets", str(packets), *case.options]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: exit {run.returncode}\n{run.stderr}")
        for line in out.read_text().splitlines():
            if line.startswith("totals:"):
                return int(line.split()[1])
    raise RuntimeError(f"callgrind wrote no totals for {' '.join(case.options)}")


def per_packet(bench: str, case: Case) -> float:
    few, many = (collected(bench, packets, case) for packets in (case.few, case.many))
    return round((many - few) / (case.passes * (case.many - case.few)), 1)


def compiled_by(bench: str) -> str:
    comment = subprocess.run(["readelf", "-p", ".comment", bench], capture_output=True, text=True, check=True).stdout
    return next((line.split("] ", 1)[1].strip() for line in comment.splitlines() if "GCC:" in line), "unknown")


def moved(before: float | None, now: float) -> bool:
    return before is None or abs(now - before) / before > TOLERANCE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("baseline", type=pathlib.Path)
    writing = parser.add_mutually_exclusive_group()
    writing.add_argument("--update", metavar="REASON",
                         help="write what is measured as the new baseline, and why it moved")
    writing.add_argument("--add", action="store_true", help="measure what the baseline lacks and add it")
    parser.add_argument("--build", default="", help="how it was built: only the same is compared")
    arguments = parser.parse_args()
    if arguments.update is not None and not arguments.update.strip():
        parser.error("--update: why did it move?")

    build = f"{compiled_by(arguments.bench)}, {arguments.build}"
    if not (arguments.baseline.exists() or arguments.update):
        print(f"there is no baseline {arguments.baseline}; --update REASON makes one")
        return 1
    known = json.loads(arguments.baseline.read_text()) if arguments.baseline.exists() else {}
    if not arguments.update and known.get("build") != build:
        print(f"skipped: the baseline is of '{known.get('build')}', this is '{build}'")
        return SKIPPED
    baseline = known.get("instructions_per_packet", {})
    reasons = known.get("why_it_moved", {})
    cases = {name: case for name, case in CASES.items() if not (arguments.add and name in baseline)}
    measured = {name: per_packet(arguments.bench, case) for name, case in cases.items()}
    write = bool(arguments.update or arguments.add)
    if write:
        why = arguments.update or "a new case"
        reasons |= {name: {"to": now, "why": why} for name, now in measured.items() if now != baseline.get(name)}
        figures = {**(baseline if arguments.add else {}), **measured}
        text = {"build": build, "instructions_per_packet": figures, "why_it_moved": reasons}
        arguments.baseline.write_text(json.dumps(text, indent=2) + "\n")
    failed = False
    for name, now in measured.items():
        before = baseline.get(name)
        change = f"{(now - before) / before:+.1%} of the baseline" if before else "not in the baseline"
        beyond = not write and moved(before, now)
        reason = reasons.get(name, {})
        unexplained = not reason.get("why", "").strip() or reason.get("to") != (now if write else before)
        failed |= beyond or unexplained
        print(f"{name:16} {now:8.1f} instructions a packet, {change}{'  TOO FAR' if beyond else ''}"
              f"{'  WITHOUT A REASON in the baseline' if unexplained else ''}")
    if failed:
        print(f"if it has to be: {sys.argv[0]} {arguments.bench} {arguments.baseline} --build '{arguments.build}' "
              "--update 'why it moved'")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
