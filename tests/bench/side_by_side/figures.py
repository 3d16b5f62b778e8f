"""From samples to figures: medians, the least and the most, ratios within a round. Pure functions.

A sample is a dictionary as it stands in results.json: program, protocol, flows, round, mpps, core_share, lost. Machines
drift, so a program is compared with testpmd io of the same round and case, and the median of those ratios counts.
"""
import statistics

ROOFLINE = "testpmd-io"
DISTURBED_BELOW = 0.97      # of its core that a worker had: others ran there
LOST_ABOVE = 0.001
# Of what it should send that the latency's generator sent: it leaves out what it has missed while it was away. It has
# a core together with everything else, so a few percent are usual.
GENERATOR_BELOW = 0.9


def cycles(tsc_hz: float, mpps: float) -> float:
    """TSC cycles of one core for each packet."""
    return tsc_hz / (mpps * 1e6) if mpps > 0 else 0.0


def median_of(values) -> float:
    values = list(values)
    return statistics.median(values) if values else 0.0


def ratios(samples: list[dict], program: str, protocol: str, flows: int, to: str = ROOFLINE) -> list[float]:
    """To another program, of the same round."""
    def of(name):
        return {s["round"]: s["mpps"] for s in samples
                if (s["program"], s["protocol"], s["flows"]) == (name, protocol, flows)}

    own, other = of(program), of(to)
    return [own[number] / other[number] for number in sorted(own) if other.get(number)]


def summary(samples: list[dict], tsc_hz: float) -> list[dict]:
    """One row for each program, protocol and number of flows, in the order in which they were first measured."""
    rows = {}
    for sample in samples:
        rows.setdefault((sample["program"], sample["protocol"], sample["flows"]), []).append(sample)
    result = []
    for (program, protocol, flows), group in rows.items():
        values = [sample["mpps"] for sample in group]
        shares = ratios(samples, program, protocol, flows)
        middle = median_of(values)
        result.append({
            "program": program, "protocol": protocol, "flows": flows, "rounds": len(values),
            "mpps": middle, "mpps_least": min(values), "mpps_most": max(values),
            "cycles": cycles(tsc_hz, middle),
            "share": median_of(shares) if shares else None,
            "disturbed": sum(sample["core_share"] < DISTURBED_BELOW for sample in group),
            "lost": max(sample["lost"] for sample in group),
        })
    return result


def in_process(runs: list[dict]) -> list[dict]:
    """Of several runs of sluice-bench: the median of each case, with its stages."""
    groups = {}
    for run in runs:
        for case in run["cases"]:
            groups.setdefault((run["protocol"], case["flows"], case["direction"]), []).append(case)
    rows = []
    for (protocol, flows, direction), cases in groups.items():
        stages = {name: median_of(case["stages"][name] for case in cases) for name in cases[0]["stages"]}
        rows.append({
            "protocol": protocol, "flows": flows, "direction": direction,
            "cycles": median_of(case["cycles_per_packet"] for case in cases),
            "cycles_least": min(case["cycles_per_packet_least"] for case in cases),
            "cycles_most": max(case["cycles_per_packet_most"] for case in cases),
            "mpps": median_of(case["mpps"] for case in cases),
            "roofline": median_of(case["cycles_per_packet_roofline"] for case in cases),
            "share": median_of(case["share_of_roofline"] for case in cases if "share_of_roofline" in case) or None,
            "stages": stages,
        })
    return sorted(rows, key=lambda row: (row["protocol"] != "udp", row["flows"], row["direction"] != "out"))


def latency_disturbed(row: dict) -> bool:
    """Others ran on the worker's core, or kept the generator from sending."""
    return row.get("core_share", 1.0) < DISTURBED_BELOW or row.get("generator_share", 1.0) < GENERATOR_BELOW


def never_undisturbed(results: dict) -> list[str]:
    """What was disturbed each time that it was measured: programs, and "latency of PROGRAM"."""
    marks: dict[str, list[bool]] = {}
    for sample in results["samples"]:
        marks.setdefault(sample["program"], []).append(sample["core_share"] < DISTURBED_BELOW)
    for row in results.get("latency", []):
        marks.setdefault(f"latency of {row['program']}", []).append(latency_disturbed(row))
    return [name for name, all_ in marks.items() if all(all_)]


def latencies(rows: list[dict]) -> list[dict]:
    """Medians of the rounds for each program and load; of what is the longest, the most, and all that was lost."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["program"], row["load"]), []).append(row)
    result = []
    for (program, load), group in groups.items():
        one = {"program": program, "load": load, "rounds": len(group),
               "disturbed": sum(map(latency_disturbed, group))}
        for key in ("rate_mpps", "p50_us", "p99_us", "p999_us"):
            one[key] = median_of(row[key] for row in group)
        for key in ("max_us", "generator_pause_us", "program_waited_us"):
            one[key] = max(row[key] for row in group)
        for key in ("sent", "lost", "reordered"):
            one[key] = sum(row[key] for row in group)
        result.append(one)
    return result
