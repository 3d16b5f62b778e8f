#!/usr/bin/env python3
"""Runs scenarios of real processes in network namespaces: run.py [--box sluice|linux] [SCENARIO…].

A scenario is a file test_NAME.py here; each of its case_* functions gets the laboratory. They share one laboratory
and one run of the box, in the order of the file. Exit status: 0 all passed, 1 something failed, 77 not root.
"""
import argparse
import importlib
import os
import pathlib
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from lab import endings  # noqa: E402  (the path must be set first)
from lab.lab import Lab  # noqa: E402  (the path must be set first)
from lab.machine import LabError, sweep  # noqa: E402


class Skip(Exception):
    """Raised by a case that has nothing to say about this box."""


def cases_of(module):
    found = [value for name, value in vars(module).items() if name.startswith("case_")]
    return sorted(found, key=lambda case: case.__code__.co_firstlineno)


def run_scenario(name, options):
    """(passed, failed, skipped)"""
    module = importlib.import_module(f"test_{name}")
    print(f"{name} ({options.box})", flush=True)
    if options.box not in getattr(module, "BOXES", ("linux", "sluice")):
        print(f"  skip  only for {', '.join(module.BOXES)}")
        return 0, 0, 1
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    lab = None
    try:
        lab = Lab(options.box, options.build)
        configuration = getattr(module, "CONFIG", None)
        if getattr(module, "START", True):
            lab.start(configuration)
        for case in cases_of(module):
            title = (case.__doc__ or case.__name__[5:].replace("_", " ")).strip().split("\n")[0].rstrip(".")
            if options.box not in getattr(case, "boxes", ("linux", "sluice")):
                continue
            if options.case and options.case not in case.__name__:
                continue
            started = time.monotonic()
            verdict, detail = "ok", ""
            try:
                case(lab)
                lab.box.check_alive()
            except Skip as reason:
                verdict, detail = "skip", str(reason)
            except Exception:
                verdict, detail = "FAIL", traceback.format_exc().strip()
            counts[verdict] += 1
            print(f"  {verdict:4}  {title}  {time.monotonic() - started:.1f} s", flush=True)
            if detail:
                print("    " + detail.replace("\n", "\n    "), flush=True)
            if verdict == "FAIL" and options.stop:
                if sys.stdin.isatty():
                    input("stopped at the failure; the laboratory stands. Enter takes it down.")
                break
    except LabError as error:
        counts["FAIL"] += 1
        print(f"  FAIL  the laboratory: {error}", flush=True)
    finally:
        if lab is not None:
            if counts["FAIL"] and hasattr(lab, "box"):
                print("  the box says:\n    " + lab.box.log().replace("\n", "\n    "), flush=True)
            try:
                lab.close(options.keep_files)
            except LabError as error:
                counts["FAIL"] += 1
                print(f"  FAIL  taking the laboratory down: {error}", flush=True)
            if options.keep_files:
                print(f"  logs are in {lab.directory}")
    return counts["ok"], counts["FAIL"], counts["skip"]


def interrupted(number):
    """Ends with an exception, so that `finally` runs."""
    sys.exit(128 + number)


def main():
    everything = sorted(path.stem[5:] for path in HERE.glob("test_*.py"))
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], epilog=f"scenarios: {' '.join(everything)}")
    parser.add_argument("--box", choices=("sluice", "linux"), default="sluice")
    parser.add_argument("--build", default=str(HERE.parent.parent / "build"), help="build directory with sluiced")
    parser.add_argument("--case", help="only cases with this in their name")
    parser.add_argument("--stop", action="store_true", help="stop at the first failure, with everything still up")
    parser.add_argument("--keep-files", action="store_true", help="leave logs and configurations in /tmp/sluice-kept-*")
    parser.add_argument("--sweep", action="store_true", help="only remove what killed runs have left")
    parser.add_argument("scenario", nargs="*", choices=everything + [[]], metavar="SCENARIO")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("namespaces need root: skipped")
        return 77
    if options.sweep:
        sweep()
        return 0
    endings.on_ending(interrupted)
    total = [0, 0, 0]
    for name in options.scenario or everything:
        total = [a + b for a, b in zip(total, run_scenario(name, options))]
    print("{} passed, {} failed, {} skipped".format(*total))
    if total[1]:
        return 1
    return 77 if total[0] == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
