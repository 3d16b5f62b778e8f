#!/usr/bin/env python3
"""A real run of tools/bench's measuring part, as short as can be: testpmd io and sluiced, a second each, and how long
packets are under way through them between memif ports.

    quick_run_test.py BUILD

The figures mean nothing here. What must hold: both forward, sluiced has every flow, tracked and translated, and loses
nothing (through memif, where a machine that is shared may lose some, not much); and everything is gone afterwards.
Exit status 77 (skipped) without root, testpmd, hugepages or a second core.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from side_by_side import machine_facts  # noqa: E402  (the path must be set first)

FLOWS, NEEDED_MB = 2000, 700


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
        words = ["--quick", "--only", "testpmd-io,sluiced,latency", "--flows", str(FLOWS), "--seconds", "1", "--out",
                 directory, "--build", sys.argv[1]]
        process = subprocess.Popen([sys.executable, "-m", "side_by_side", *words],
                                   env=dict(os.environ, PYTHONPATH=str(HERE)))
        status = process.wait()
        results = json.loads((pathlib.Path(directory) / "results.json").read_text())
        text = (pathlib.Path(directory) / "report.md").read_text()
    assert status == 0, f"exit {status}"
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
