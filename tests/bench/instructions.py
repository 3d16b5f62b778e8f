#!/usr/bin/env python3
"""How many instructions the data plane spends on a packet of an established flow, counted by callgrind.

Time is too noisy on a shared machine to guard by; instructions of the same binary are the same in every run. Each case
runs twice with different numbers of packets, and what counts is the difference: start, flows that are opened and the
warming up cancel out. Only what the pipeline executes is collected, not the generator.

    instructions.py SLUICE-BENCH BASELINE [--update]

The baseline is of one compiler and one optimisation; with another, or in a build without optimisation, the test is
skipped (77). A change that moves a figure by more than 3 % fails until --update has written the new one, which belongs
into the same commit as its reason.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

SKIPPED = 77
TOLERANCE = 0.03
FLOWS = 1000
FEW, MANY = 4096, 16384  # whole blocks of the bench
# What the worker calls with a burst.
COLLECTED = ("sluice::Pipeline::receive(*", "sluice::Pipeline::end_of_burst(*")
CASES = {"udp": ("--proto", "udp"), "tcp": ("--proto", "tcp")}  # both directions


def collected(bench: str, packets: int, case: tuple[str, ...]) -> int:
    with tempfile.TemporaryDirectory(prefix="sluice-instructions.") as directory:
        out = pathlib.Path(directory) / "callgrind.out"
        toggles = [f"--toggle-collect={name}" for name in COLLECTED]
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *toggles, bench, "--no-huge",
                   "--memory", "256", "--flows", str(FLOWS), "--rounds", "1", "--packets", str(packets), *case]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: exit {run.returncode}\n{run.stderr}")
        for line in out.read_text().splitlines():
            if line.startswith("totals:"):
                return int(line.split()[1])
    raise RuntimeError(f"callgrind wrote no totals for {' '.join(case)}")


def per_packet(bench: str, case: tuple[str, ...]) -> float:
    # Each direction is sent twice: once for the figure, once for the stages.
    few, many = (collected(bench, packets, case) for packets in (FEW, MANY))
    return round((many - few) / (2 * 2 * (MANY - FEW)), 1)


def compiled_by(bench: str) -> str:
    comment = subprocess.run(["readelf", "-p", ".comment", bench], capture_output=True, text=True, check=True).stdout
    return next((line.split("] ", 1)[1].strip() for line in comment.splitlines() if "GCC:" in line), "unknown")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("baseline", type=pathlib.Path)
    parser.add_argument("--update", action="store_true", help="write what is measured as the new baseline")
    parser.add_argument("--build", default="", help="how it was built: only the same is compared")
    arguments = parser.parse_args()

    build = f"{compiled_by(arguments.bench)}, {arguments.build}"
    known = json.loads(arguments.baseline.read_text()) if arguments.baseline.exists() else {}
    if not arguments.update and known.get("build") != build:
        print(f"skipped: the baseline is of '{known.get('build')}', this is '{build}'")
        return SKIPPED
    measured = {name: per_packet(arguments.bench, case) for name, case in CASES.items()}
    if arguments.update:
        arguments.baseline.write_text(json.dumps({"build": build, "instructions_per_packet": measured}, indent=2) + "\n")
    failed = False
    for name, now in measured.items():
        before = known.get("instructions_per_packet", {}).get(name)
        change = (now - before) / before if before else 0.0
        beyond = abs(change) > TOLERANCE and not arguments.update
        failed |= beyond
        print(f"{name:8} {now:8.1f} instructions a packet, {change:+.1%} of the baseline{'  TOO FAR' if beyond else ''}")
    if failed:
        print(f"if it has to be: {sys.argv[0]} {arguments.bench} {arguments.baseline} --build '{arguments.build}' --update")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
