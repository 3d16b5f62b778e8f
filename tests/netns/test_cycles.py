"""sluicectl cycles: what a real worker spends its time on while it carries traffic, and nothing afterwards."""
import json
import signal
import time

from lab import config
from lab.clients import fetch, iperf, ping
from lab.machine import wait_until

BOXES = ("sluice",)
STAGES = ["receive", "parse", "lookup", "fast_path", "policy", "track", "route", "limits", "filter", "translate",
          "transmit", "control", "flush"]


def measure(lab, seconds=1):
    return json.loads(lab.box.control("--json", "cycles", "--seconds", str(seconds)))


def begin(lab, name, *words):
    return lab.box_host.spawn(name, lab.box.ctl, "--socket", lab.box.socket_path, *words)


def check(report):
    """Whatever was measured: what must add up does."""
    (worker,) = report["workers"]
    measured = worker["measured"]
    stages = {stage["stage"]: stage for stage in measured["stages"]}
    assert list(stages) == STAGES, list(stages)
    packets = worker["received"] + worker["from_kernel"] + worker["handed_in"]
    # The counters are read while the worker goes on, so what it does in that moment may be on one side only.
    spent = (worker["busy_cycles"] + worker["idle_cycles"]) / report["tsc_hz"]
    assert abs(spent - report["seconds"]) < 0.1, (spent, report["seconds"])
    assert measured["loops"] <= worker["busy_loops"] / report["one_busy_loop_in"] + 2, worker
    assert measured["packets"] <= packets, worker
    cycles = sum(stage["cycles"] for stage in stages.values())
    assert cycles <= worker["busy_cycles"], worker
    assert stages["receive"]["packets"] == measured["packets"], worker
    order = [stages[name]["packets"] for name in ("receive", "parse", "lookup", "policy", "transmit")]
    assert order == sorted(order, reverse=True) and order[2] >= stages["fast_path"]["packets"], stages
    return worker, stages, cycles


def measured_loops(lab):
    """How many loops the worker has measured since it started."""
    return json.loads(lab.box.control("--json", "stats"))["workers"][0]["measured_loops"]


def case_a_download(lab):
    """the parts of the loop add up to its time, packet by packet what sluicectl stats counts"""
    lab.iperf(lab.out1)
    report = begin(lab, "cycles", "--json", "cycles", "--seconds", "2")
    before = json.loads(lab.box.control("--json", "stats"))["workers"][0]
    megabits = iperf(lab.in1, config.OUT1, seconds=4)["sum_received"]["bits_per_second"] / 1e6
    assert report.wait(10) == 0, report.log()
    after = json.loads(lab.box.control("--json", "stats"))["workers"][0]
    worker, stages, cycles = check(json.loads(report.log()))
    measured = worker["measured"]
    print(f"         {megabits:.0f} Mbit/s, {worker['received']} packets, {measured['packets']} of them measured, "
          f"{cycles / measured['packets']:.0f} cycles each")
    assert 100 < worker["fast_path"] <= after["fast_path"] - before["fast_path"] + worker["received"] // 10, worker
    # What is measured is a fair part of all: the same packets a loop, the same cycles a packet, within reason.
    share = measured["packets"] / worker["received"]
    assert 0.5 / 7 < share < 2 / 7, worker
    assert 0.5 < cycles / (worker["busy_cycles"] * share) < 2, worker
    for name in ("receive", "parse", "lookup", "fast_path", "flush"):
        assert stages[name]["cycles"] > 0, stages
    assert stages["policy"]["packets"] < stages["fast_path"]["packets"] / 2, stages


def case_in_words(lab):
    """the table has a line for each stage that did anything, and its last column adds up"""
    lab.iperf(lab.out1)
    report = begin(lab, "table", "cycles")
    iperf(lab.in1, config.OUT1)
    assert report.wait(10) == 0, report.log()
    head, title, *rows = report.log().splitlines()
    assert head.startswith("worker 0 (lcore 1): ") and " in bursts of " in head, head
    assert title.split() == ["STAGE", "PACKETS", "CYCLES", "EACH", "CYCLES/PACKET", "TIME"], title
    names = [row.split()[0] for row in rows]
    assert names[:4] == STAGES[:4] and names[-2:] == ["idle", "all"], names
    assert rows[-1].endswith(" 100.0 %"), rows
    assert abs(sum(float(row.split()[-2]) for row in rows[:-1]) - 100) < 1, rows


def case_two_at_once(lab):
    """two clients with different times; one is killed: neither disturbs the other"""
    web = lab.web(lab.out1)
    long, short = begin(lab, "long", "--json", "cycles", "--seconds", "3"), begin(lab, "short", "--json", "cycles")
    killed = begin(lab, "killed", "--json", "cycles", "--seconds", "3600")
    time.sleep(0.3)
    killed.stop(signal.SIGKILL)
    for _ in range(4):
        assert fetch(lab, lab.in1, f"http://{config.OUT1}/big.bin") == web.digests["big.bin"]
        time.sleep(0.5)
    assert short.wait(10) == 0 and long.wait(10) == 0, (short.log(), long.log())
    short, long = json.loads(short.log()), json.loads(long.log())
    check(short)
    check(long)
    assert 0.9 < short["seconds"] < 1.5 and 2.9 < long["seconds"] < 3.5, (short["seconds"], long["seconds"])
    assert long["workers"][0]["received"] >= short["workers"][0]["received"] > 0


def case_off_afterwards(lab):
    """nothing is measured without a client, nor when the only one was killed"""
    before = measured_loops(lab)
    assert ping(lab.in1, config.OUT1) == 3
    assert measured_loops(lab) == before
    killed = begin(lab, "killed", "--json", "cycles", "--seconds", "3600")
    wait_until("measured loops", lambda: ping(lab.in1, config.OUT1) and measured_loops(lab) > before)
    assert killed.alive(), killed.log()
    killed.stop(signal.SIGKILL)
    time.sleep(0.2)
    after = measured_loops(lab)
    assert ping(lab.in1, config.OUT1, 10) == 10
    assert measured_loops(lab) == after


def case_refusals(lab):
    """what makes no sense is refused by both ends"""
    program = [lab.box.ctl, "--socket", lab.box.socket_path, "cycles"]
    assert lab.box_host.status(*program, "--seconds", "0") == 2
    assert lab.box_host.status(*program, "--seconds", "3601") == 2
    curl = ["curl", "--silent", "--noproxy", "*", "--unix-socket", lab.box.socket_path]
    answer = lab.box_host.run(*curl, "http://sluiced/v1/cycles?seconds=x", check=False)
    assert json.loads(answer) == {"error": "parameter 'seconds': 'x' is not a number from 1 to 3600"}, answer
