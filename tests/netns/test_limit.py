"""The table at its limit: established connections go on, newcomers make room or are refused, nothing else breaks."""
import re

from lab import config
from lab.clients import Talker, ping, udp_spray
from lab.machine import LabError, wait_until

LIMIT = 64
CONFIG = config.changed(config.base(), conntrack__max=LIMIT)
BOXES = ("sluice",)     # Linux has one limit for all namespaces of a machine, which is not the lab's to change


def case_established_survive_a_spray(lab):
    """1000 new flows against a table of 64: the established connections never notice, and the limit holds"""
    lab.echo(lab.out1)
    talker = Talker(lab.in1, config.OUT1, count=20).ready()
    udp_spray(lab.in1, config.OUT1, 20000, 1000, 0.2)       # nobody answers on these ports
    talker.check()
    assert int(lab.box.control("conntrack", "-C")) <= LIMIT
    assert len(lab.box.conntrack()) <= LIMIT
    assert talker.finish() > 20


def case_unreplied_make_room(lab):
    """profile linux: flows that nobody answered make room for a new one"""
    lab.echo(lab.out1)
    udp_spray(lab.in1, config.OUT1, 20000, 200, 0.1)
    assert ping(lab.in1, config.OUT1) == 3
    assert udp_spray(lab.in1, config.OUT1, 7007, 3) == 3


def case_newcomer_is_refused(lab):
    """profile cgn: a full table refuses newcomers and counts them; those inside go on"""
    lab.box.stop()
    lab.start(config.changed(CONFIG, conntrack__profile="cgn"))
    lab.echo(lab.out1)
    talker = Talker(lab.in1, config.OUT1, count=20).ready()
    assert udp_spray(lab.in1, config.OUT1, 7007, 200) < LIMIT
    assert len(lab.box.conntrack()) <= LIMIT
    assert talker.finish() > 20


def half_open(lab):
    return sum(worker["half_open"] for worker in lab.box.stats()["workers"])


def case_flood_keeps_to_its_budget(lab):
    """500 datagrams that nobody answers use up conntrack.half_open and no more, and the log says so once"""
    lab.box.stop()
    lab.start(config.changed(CONFIG, conntrack__half_open="25%"))
    lab.echo(lab.out1)
    talker = Talker(lab.in1, config.OUT1, count=20).ready()
    udp_spray(lab.in1, config.OUT1, 20000, 500, 0.2)
    stats = lab.box.stats()
    assert stats["half_open_limit"] == LIMIT // 4, stats
    assert 0 < half_open(lab) <= LIMIT // 4
    assert sum(worker["half_open_evicted"] for worker in stats["workers"]) > 400, stats["workers"]
    wait_until("the log line", lambda: "nf_conntrack: half-open budget full, " in lab.box.log())
    talker.check()
    assert talker.finish() > 20


def case_reload_moves_the_limit(lab):
    """down: flows stay, newcomers wait for room; up again as far as the table reaches, and no further"""
    lab.box.stop()
    room, less = 2 * LIMIT, LIMIT + LIMIT // 2
    full = config.changed(CONFIG, conntrack__max=room, conntrack__profile="cgn", conntrack__half_open="100%")
    lab.start(full)
    lab.echo(lab.out1)
    talker = Talker(lab.in1, config.OUT1, count=20).ready()
    low = config.changed(full, conntrack__max=less, conntrack__half_open=8)
    udp_spray(lab.in1, config.OUT1, 20000, 2 * room, 0.2)
    before = int(lab.box.control("conntrack", "-C"))
    assert before > less, before
    wait_until("Linux's words", lambda: "nf_conntrack: table full, dropping packet" in lab.box.log())
    lab.box.reload(low)
    assert int(lab.box.control("conntrack", "-C")) > less
    assert lab.box.stats()["flow_limit"] == less
    assert udp_spray(lab.in1, config.OUT1, 7007, 5, 0.2) == 0
    try:
        lab.box.reload(config.changed(full, conntrack__max=room + 1))
        assert False, "more than the table holds was taken"
    except LabError as refusal:
        assert f"conntrack.max: {room + 1} is more than the {room} that the tables were made for" in str(refusal)
    assert lab.box.stats()["flow_limit"] == less
    lab.box.control("conntrack", "-D", "-p", "udp")
    lab.box.reload(full)
    assert lab.box.stats()["flow_limit"] == room
    assert udp_spray(lab.in1, config.OUT1, 7007, 5) == 5
    assert talker.finish() > 20


def case_memory_sizes_the_table(lab):
    """without conntrack.max the memory decides, from the smallest on, on ordinary pages, and the figures say so"""
    small = config.changed(config.base(), memory__megabytes=64, memory__hugepages="off", conntrack__max="auto")
    lab.box.write(small)
    done = lab.box_host.run(lab.box.ctl, "check", lab.box.config_path, check=False)
    least = int(re.search(r"memory.megabytes: 64 is too little: at least (\d+) are needed", done)[1])
    for megabytes, flows in ((least, 16 * 2048), (least + 64, 80 * 2048)):
        lab.box.stop()
        sized = config.changed(small, memory__megabytes=megabytes)
        lab.start(sized)
        assert f"conntrack: {flows} flows at most (from memory.megabytes {megabytes}), {flows // 2} of them" \
            in lab.box.log(), lab.box.log()
        stats = lab.box.stats()
        assert (stats["flow_limit"], stats["flow_limit_from_memory"]) == (flows, True), stats
        assert f"flow limit {flows} (from memory.megabytes), half-open " in lab.box.control("stats")
        assert ping(lab.in1, config.OUT1) == 3
