"""The results as pictures, drawn by gnuplot: a plot whose data are not among the results is left out.

  mpps-udp.png, mpps-tcp.png   packets a second against flows, for all programs
  stages.png                   cycles by stage (sluice-bench, outwards)
  new-flow.png                 `new_flow`: [{rules, cycles}]
  flow-memory.png              `memory`: [{flows, bytes_per_flow}]
  latency.png                  `latency`: [{program, load, p50_us, p99_us, p999_us, …}], load in percent
"""
import pathlib
import shutil
import subprocess

from . import figures

SIZE = "1000,600"
NAMES = ("mpps-udp.png", "mpps-tcp.png", "stages.png", "new-flow.png", "flow-memory.png", "latency.png")
HEAD = """\
set terminal pngcairo size {size} font "DejaVu Sans,11" background "#ffffff"
set output "{{output}}"
set title "{title}" noenhanced
set grid back linecolor "#dddddd"
set border 3 linecolor "#666666"
set tics nomirror
set key outside right noenhanced
set datafile missing "-"
"""
COLOURS = ("#0060ad", "#dd181f", "#2e8b57", "#e69f00", "#8e44ad", "#555555", "#17a2b8", "#b5651d", "#7f9c00", "#d63384",
           "#000000", "#999999")


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "").replace('"', "'") + '"'


def block(name: str, rows) -> str:
    return f"${name} << EOD\n" + "\n".join(" ".join(map(str, row)) for row in rows) + "\nEOD\n"


def lines(series: dict[str, list], title: str, x: str, y: str, settings: str = "") -> str:
    """A line for each of `series`, name to points."""
    text = "".join(block(f"d{number}", points) for number, points in enumerate(series.values()))
    text += f"set xlabel {quoted(x)}\nset ylabel {quoted(y)}\n{settings}"
    plots = [f'$d{number} using 1:2 with linespoints linewidth 2 pointtype 7 linecolor "{colour(number)}" '
             f"title {quoted(name)}" for number, name in enumerate(series)]
    return HEAD.format(size=SIZE, title=title) + text + "plot " + ", \\\n  ".join(plots) + "\n"


def throughput(results: dict, protocol: str, titles: dict[str, str]) -> str | None:
    series: dict[str, list] = {}
    for row in figures.summary(results["samples"], results["machine"]["tsc_hz"]):
        if row["protocol"] == protocol:
            series.setdefault(titles.get(row["program"], row["program"]), []).append((row["flows"], row["mpps"]))
    for row in figures.in_process(results.get("sluice_bench", [])):
        if row["protocol"] == protocol and row["direction"] == "out":
            series.setdefault(titles["sluice-bench"], []).append((row["flows"], row["mpps"]))
    if not series:
        return None
    series = {name: sorted(points) for name, points in series.items()}
    what = "established flows" if protocol == "udp" else "connections picked up mid-stream"
    return lines(series, f"64-byte {protocol.upper()}, source NAT of {what}, one core", "flows",
                 "Mpps (logarithmic)", "set logscale xy\nset format x '%.0s%c'\n")


def stages(results: dict) -> str | None:
    rows = [row for row in figures.in_process(results.get("sluice_bench", [])) if row["direction"] == "out"]
    if not rows:
        return None
    names = list(rows[0]["stages"])
    data = [[quoted(f"{row['protocol'].upper()} {row['flows']}"),
             *(round(row["stages"].get(name, 0), 2) for name in names)] for row in rows]
    plots = [f'$stages using {number + 2}:xtic(1) linecolor "{colour(number)}" title {quoted(name)}'
             for number, name in enumerate(names)]
    head = HEAD.format(size=SIZE, title="sluice: where a packet's cycles go")
    return (head + block("stages", data) + "set style data histogram\nset style histogram rowstacked\n"
            "set style fill solid 0.9 border -1\n"
            "set boxwidth 0.6\nset yrange [0:*]\nset key invert\nset xlabel \"protocol and flows\"\n"
            "set ylabel \"TSC cycles per packet\"\nplot " + ", \\\n  ".join(plots) + "\n")


def new_flow(results: dict) -> str | None:
    rows = results.get("new_flow")
    if not rows:
        return None
    points = sorted((row["rules"], row["cycles"]) for row in rows)
    return lines({"new UDP flow": points}, "sluice: what a new flow costs", "rules", "TSC cycles",
                 "set logscale x\nset yrange [0:*]\n")


def memory(results: dict) -> str | None:
    rows = results.get("memory")
    if not rows:
        return None
    points = sorted((row["flows"], row["bytes_per_flow"]) for row in rows)
    return lines({"all told": points}, "sluice: memory of a flow", "flows", "bytes per flow",
                 "set logscale x\nset format x '%.0s%c'\nset yrange [0:*]\n")


def latency(results: dict) -> str | None:
    rows = results.get("latency")
    if not rows:
        return None
    series: dict[str, list] = {}
    for row in figures.latencies(rows):
        for key, name in (("p50_us", "p50"), ("p99_us", "p99"), ("p999_us", "p99.9")):
            series.setdefault(f"{row['program']} {name}", []).append((row["load"], row[key]))
    series = {name: sorted(points) for name, points in series.items()}
    return lines(series, "Latency through the box", "load, % of the highest rate without loss",
                 "microseconds (logarithmic)", "set logscale y\nset xrange [0:100]\n")


def scripts(results: dict, titles: dict[str, str]) -> dict[str, str]:
    """File name to gnuplot script, whose `{output}` is still open."""
    drawn = (throughput(results, "udp", titles), throughput(results, "tcp", titles), stages(results),
             new_flow(results), memory(results), latency(results))
    return {name: script for name, script in zip(NAMES, drawn) if script}


def draw(results: dict, titles: dict[str, str], directory: pathlib.Path) -> tuple[list[str], str | None]:
    """The files that were drawn, and why others were not."""
    if shutil.which("gnuplot") is None:
        return [], "gnuplot is not installed (package gnuplot-nox): no plots"
    names = []
    for name, script in scripts(results, titles).items():
        # In the directory, so that its path need not be quoted for gnuplot. A picture that gnuplot has no file for
        # comes out on stdout.
        done = subprocess.run(["gnuplot"], input=script.replace("{output}", name), cwd=directory, text=True,
                              errors="replace", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0 or not (directory / name).exists():
            return names, f"gnuplot did not draw {name}: {' '.join(done.stderr.split())[:300]}"
        names.append(name)
    return names, None
