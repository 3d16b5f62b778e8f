"""Writes what a run has found: results.json, and report.md with tables of it."""
import json
import pathlib

from . import figures

LISTS = ("sluice_bench", "scenarios", "hash", "acl", "new_flow", "memory", "latency")
LOSS_ALLOWED = 1e-5     # as sluice-latency has it
OWN = "sluiced"
WHAT = {"udp": "established flows",
        "tcp": "connections picked up mid-stream, in process with their handshake"}
MICROSECONDS = (("p50_us", "p50"), ("p99_us", "p99"), ("p999_us", "p99.9"), ("max_us", "max"),
                ("generator_pause_us", "generator away"), ("program_waited_us", "worker waited"))


def table(head: list[str], rows: list[list[str]]) -> str:
    def line(cells):
        return "| " + " | ".join(cells) + " |\n"

    return line(head) + line(["---"] * len(head)) + "".join(map(line, rows)) + "\n"


def grouped(number: int) -> str:
    return f"{number:,}"


def cell(value) -> str:
    """Of a row as a program has given it: what is a fraction has one digit of that."""
    return f"{value:.1f}" if isinstance(value, float) else "–" if value is None else str(value)


def machine_lines(machine: dict) -> str:
    caches = ", ".join(f"{level} {size}" for level, size in machine["caches"].items())
    core, other = machine["measured_core"], machine["other_core"]
    pages = machine["hugepages"]
    return (f"- {machine['cpu']}, {machine['cores']} cores{' of a virtual machine' if machine['virtual'] else ''}, TSC "
            f"{machine['tsc_hz'] / 1e9:.3f} GHz, {machine['vectors']}; {caches}; {machine['memory_mb']} MB of memory\n"
            f"- {machine['system']}, Linux {machine['kernel']}, DPDK {machine['dpdk'] or '?'}"
            f"{', Open vSwitch ' + machine['ovs'] if machine['ovs'] else ''}; {pages['total']} hugepages of "
            f"{pages['kilobytes']} kB\n"
            f"- measured on core {core}, everything else on core {other}; load at the start {machine['load']:.1f}\n")


def by_flows(rows: list[dict], protocol: str, cell) -> tuple[list[int], dict[str, dict[int, str]]]:
    """Numbers of flows, and for each program the cells at them."""
    chosen = [row for row in rows if row["protocol"] == protocol]
    flows = sorted({row["flows"] for row in chosen})
    cells: dict[str, dict[int, str]] = {}
    for row in chosen:
        cells.setdefault(row["program"], {})[row["flows"]] = cell(row)
    return flows, cells


def flows_table(flows: list[int], cells: dict[str, dict[int, str]], titles: dict[str, str]) -> str:
    return table(["flows", *map(grouped, flows)],
                 [[titles.get(name, name), *(own.get(one, "–") for one in flows)] for name, own in cells.items()])


def throughput(results: dict, titles: dict[str, str]) -> str:
    text = ""
    hz = results["machine"]["tsc_hz"]
    rows = figures.summary(results["samples"], hz)
    inside = [dict(row, program="sluice-bench") for row in figures.in_process(results.get("sluice_bench", []))
              if row["direction"] == "out"]
    for protocol in ("udp", "tcp"):
        flows, cells = by_flows(rows + inside, protocol, lambda row: f"{row['mpps']:.2f} ({row['cycles']:.0f})")
        if not flows:
            continue
        text += (f"## {protocol.upper()}: Mpps of one core (TSC cycles per packet)\n\n"
                 f"64-byte frames, source NAT; {WHAT[protocol]}; medians of the rounds.\n\n")
        text += flows_table(flows, cells, titles)
        flows, cells = by_flows(rows, protocol, spread)
        if flows:
            text += "Least–most Mpps, and the share of testpmd io in the same round (median):\n\n"
            text += flows_table(flows, cells, titles)
        text += comparison(results["samples"], inside, protocol, titles)
    return text


def comparison(samples: list[dict], inside: list[dict], protocol: str, titles: dict[str, str]) -> str:
    """sluiced divided by each of the others, and the roofline of the generator in process, for each number of flows."""
    cells: dict[str, dict[int, str]] = {}
    flows = sorted({one["flows"] for one in samples if one["protocol"] == protocol})
    for name in dict.fromkeys(one["program"] for one in samples if one["program"] != OWN):
        for number in flows:
            found = figures.ratios(samples, OWN, protocol, number, to=name)
            if found:
                share = figures.median_of(found)
                own = cells.setdefault(f"sluiced / {titles.get(name, name)}", {})
                own[number] = f"{share:.3f}" if name.startswith("testpmd") else f"{share:.1f} times"
    for row in inside:
        if row["protocol"] == protocol and row["share"] is not None:
            label = f"{titles['sluice-bench']}: share of what its generator does alone"
            cells.setdefault(label, {})[row["flows"]] = f"{row['share']:.3f}"
    if not cells:
        return ""
    flows = sorted({number for own in cells.values() for number in own})
    return ("sluiced beside the others in the same round (medians), of testpmd as a share:\n\n" +
            flows_table(flows, cells, titles))


def spread(row: dict) -> str:
    text = f"{row['mpps_least']:.2f}–{row['mpps_most']:.2f}"
    if row["share"] is not None and row["program"] != figures.ROOFLINE:
        text += f", {row['share']:.3f}"
    marks = ("*" if row["disturbed"] else "") + ("†" if row["lost"] > figures.LOST_ABOVE else "")
    return text + marks


def stages(results: dict) -> str:
    rows = [row for row in figures.in_process(results.get("sluice_bench", [])) if row["direction"] == "out"]
    if not rows:
        return ""
    names = list(rows[0]["stages"])
    body = [[row["protocol"].upper(), grouped(row["flows"]),
             *(f"{row['stages'].get(name, 0):.0f}" for name in names),
             f"{sum(row['stages'].values()):.0f}"] for row in rows]
    return ("## sluice by stage, cycles per packet\n\nsluice-bench, outwards; a round of its own with the cycle "
            "counter read between stages.\n\n" + table(["", "flows", *names, "sum"], body))


def parts(results: dict) -> str:
    text = ""
    if results.get("hash"):
        columns = ("key_bytes", "add", "lookup", "lookup_bulk", "delete")
        text += "## rte_hash alone, cycles per operation\n\n2^19 entries, 75 % full.\n\n" + table(
            [one.replace("_", " ") for one in columns],
            [[str(row[one]) for one in columns] for row in results["hash"]])
    if results.get("acl"):
        text += "## rte_acl alone, cycles per packet\n\n" + table(
            ["rules", *(grouped(row["rules"]) for row in results["acl"])],
            [["cycles", *(f"{row['cycles']:.0f}" for row in results["acl"])]])
    for key, head, columns in (("new_flow", "New flows", ("rules", "cycles")),
                               ("memory", "Memory", ("flows", "bytes_per_flow"))):
        if results.get(key):
            body = [[cell(row[one]) for one in columns] for row in results[key]]
            text += f"## {head}\n\n" + table([one.replace("_", " ") for one in columns], body)
    return text


def latency_table(rows: list[dict], titles: dict[str, str]) -> str:
    body = [[titles.get(row["program"], row["program"]), f"{row['load']} %",
             f"{row['rate_mpps']:.3f}{'*' if row['disturbed'] else ''}",
             *(f"{row[key]:.1f}" for key, _ in MICROSECONDS), f"{row['lost']} of {grouped(row['sent'])}",
             str(row["reordered"])] for row in figures.latencies(rows)]
    return table(["", "load", "Mpps", *(name for _, name in MICROSECONDS), "lost", "reordered"], body)


def latency(results: dict, titles: dict[str, str]) -> str:
    if not results.get("latency"):
        return ""
    text = ("## Latency through memif, microseconds\n\n64-byte UDP of established flows, one way; medians of the "
            "rounds, what stands behind p99.9 is the most of all rounds: the generator's longest absence, and how long "
            "all in all the program's worker waited for its core. A load is a share of the program's own highest rate "
            "without loss:\n\n")
    highest: dict[str, list[dict]] = {}
    for row in results.get("latency_highest", []):
        highest.setdefault(row["program"], []).append(row)
    disturbed = {row["program"] for row in results["latency"] if figures.latency_disturbed(row)}
    for program, found in highest.items():
        mpps = figures.median_of(row["mpps"] for row in found)
        end = " (the generator's end: it may be higher)" if any(row["limited_by_generator"] for row in found) else ""
        lost = max(row["lost"] for row in found)
        if lost > LOSS_ALLOWED:
            end += f" (in one round there was loss at every rate, here of {lost:.3%})"
        mark = "*" if program in disturbed else ""
        text += f"- {titles.get(program, program)}: {mpps:.2f} Mpps{mark}{end}\n"
    text += "\n" + latency_table(results["latency"], titles)
    if results.get("latency_same_rate"):
        text += ("At the same rates, which are shares of sluiced's highest:\n\n" +
                 latency_table(results["latency_same_rate"], titles))
    return text


def scenarios(results: dict) -> str:
    """A table for each: what of its rows is one word or number."""
    groups: dict[str, list[dict]] = {}
    for row in results.get("scenarios", []):
        groups.setdefault(row["scenario"], []).append(row)
    text = ""
    for name, rows in groups.items():
        columns = [key for key, value in rows[0].items() if key != "scenario" and isinstance(value, (int, float, str))]
        body = [[cell(row.get(one)) for one in columns] for row in rows]
        text += f"## Scenario {name} (sluice-bench)\n\n" + table([one.replace("_", " ") for one in columns], body)
    return text


def problems(results: dict, titles: dict[str, str]) -> str:
    lines = [f"- {titles.get(one['program'], one['program'])}{' with ' + one['case'] if one['case'] else ''}: "
             f"{one['problem']}\n" for one in results["problems"]]
    if any(row["disturbed"] for row in figures.summary(results["samples"], 1.0)):
        lines.append(f"- \\* in a round or more, others ran on the measured core: the program had less than "
                     f"{figures.DISTURBED_BELOW:.0%} of it. Such figures say little.\n")
    if any(map(figures.latency_disturbed, results.get("latency", []) + results.get("latency_same_rate", []))):
        lines.append(f"- \\* of latency: the program had less than {figures.DISTURBED_BELOW:.0%} of its core, or the "
                     f"generator sent less than {figures.GENERATOR_BELOW:.0%} of what it should have. Neither rates "
                     "nor times say much then.\n")
    if any(one["lost"] > figures.LOST_ABOVE for one in results["samples"]):
        lines.append("- † more than 0.1 % of the packets that came in did not go out.\n")
    if results.get("broken_off"):
        lines.append("- The run was broken off; this is what it had.\n")
    return "## What is missing, and what to doubt\n\n" + "".join(lines) + "\n" if lines else ""


def markdown(results: dict, titles: dict[str, str], pictures: list[str]) -> str:
    text = (f"# sluice and its peers, side by side\n\n- `{' '.join(results['command'])}`, {results['started']}, "
            f"{results['seconds'] / 60:.1f} minutes, rounds: {results['rounds']}"
            f"{', quick' if results['quick'] else ''}\n")
    text += machine_lines(results["machine"]) + "\n" + problems(results, titles)
    text += throughput(results, titles) + stages(results) + latency(results, titles)
    text += parts(results) + scenarios(results)
    return text + "".join(f"![{name}]({name})\n" for name in pictures)


def write_json(results: dict, directory: pathlib.Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    half = directory / "results.json.part"
    half.write_text(json.dumps(results, indent=1) + "\n")
    half.rename(directory / "results.json")


def read_json(directory: pathlib.Path) -> dict:
    return json.loads((directory / "results.json").read_text())
