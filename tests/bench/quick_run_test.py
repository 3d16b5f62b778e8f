#!/usr/bin/env python3
"""A real run of tools/bench's measuring part, as short as can be: testpmd io and sluiced, a second each, and how long
packets are under way through them between memif ports.

    quick_run_test.py BUILD

Before that, what tools/bench does with a second one of its kind and with SIGTERM, on a program that only waits.

The figures mean nothing here. What must hold: both forward, sluiced has every flow, tracked and translated, and loses
nothing (through memif, where a machine that is shared may lose some, not much); and everything is gone afterwards.
Exit status 77 (skipped) without root, testpmd, hugepages or a second core.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from side_by_side import machine_facts  # noqa: E402  (the path must be set first)

FLOWS, NEEDED_MB = 2000, 700
WAITING = "#!/bin/sh\ncase $* in *--help) echo --list; exit;; esac\ntouch {started}\nexec sleep 100\n"
DISTURBED = 3


def signals_and_a_second_one(directory: pathlib.Path) -> None:
    started, program = directory / "started", directory / "tests/bench/sluice-bench"
    program.parent.mkdir(parents=True)
    program.write_text(WAITING.format(started=started))
    program.chmod(0o755)
    command = [HERE.parents[1] / "tools/bench", "--no-install", "--only", "sluice-bench", "--flows", "10", "--build",
               str(directory), "--out", str(directory / "out")]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not started.exists():
        if first.poll() is not None:
            said = first.stderr.read()
            assert "another tools/bench" in said, said      # somebody measures here
            print("another tools/bench is running: not tried")
            return
        assert time.monotonic() < end, "it did not start"
        time.sleep(0.1)
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1 and "another tools/bench is running" in second.stderr, second
    first.send_signal(signal.SIGTERM)
    said = first.communicate(timeout=30)[1]
    assert first.returncode == 143, (first.returncode, said)
    assert "broken off" in (directory / "out/report.md").read_text(), said


def main() -> int:
    if os.geteuid() != 0:
        print("skipped: it needs root")
        return 77
    if shutil.which("dpdk-testpmd") is None or len(os.sched_getaffinity(0)) < 2:
        print("skipped: it needs dpdk-testpmd and two cores")
        return 77
    pages = machine_facts.hugepages(machine_facts.read("/proc/meminfo"))
    if pages["free"] * pages["kilobytes"] < NEEDED_MB * 1024:
        print(f"skipped: it needs {NEEDED_MB} MB of hugepages")
        return 77
    with tempfile.TemporaryDirectory() as directory:
        signals_and_a_second_one(pathlib.Path(directory))
    with tempfile.TemporaryDirectory() as directory:
        words = ["--quick", "--only", "testpmd-io,sluiced,latency", "--flows", str(FLOWS), "--seconds", "1", "--out",
                 directory, "--build", sys.argv[1]]
        process = subprocess.Popen([sys.executable, "-m", "side_by_side", *words],
                                   env=dict(os.environ, PYTHONPATH=str(HERE)))
        status = process.wait()
        results = json.loads((pathlib.Path(directory) / "results.json").read_text())
        text = (pathlib.Path(directory) / "report.md").read_text()
    assert status in (0, DISTURBED), f"exit {status}"     # others may run on this machine
    assert results["problems"] == [], results["problems"]
    samples = {one["program"]: one for one in results["samples"]}
    assert sorted(samples) == ["sluiced", "testpmd-io"], sorted(samples)
    for one in samples.values():
        assert one["packets"] > 10 * FLOWS, one
        assert one["lost"] < 0.01, one      # what was on the way between two looks at the counters
    rows = results["latency"] + results["latency_same_rate"]
    assert [(one["program"], one["load"]) for one in results["latency"]] == [
        (program, load) for program in ("sluiced", "testpmd-io") for load in (10, 50, 90)], rows
    assert len(rows) == 12, rows
    for one in rows:
        assert one["sent"] > 1000 and one["lost"] < one["sent"] / 4 and one["reordered"] == 0, one
        assert 0 < one["p50_us"] <= one["p99_us"] <= one["p999_us"] <= one["max_us"] * 1.001 + 0.01, one
    assert re.search(r"^\| sluiced \| \d+\.\d\d \(\d+\) \|$", text, re.M), text
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert f"slc{process.pid}-" not in left, left
    return 0


if __name__ == "__main__":
    sys.exit(main())
