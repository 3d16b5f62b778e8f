"""A reload under traffic: no connection is lost, and the new rules hold from then on."""
import copy
import time

from lab import config
from lab.clients import Talker, ping, udp_spray
from lab.servers import agent


def variant(number):
    """The same policy with another rule in front, as an edit would make it."""
    result = config.base()
    result["filter"]["forward"]["rules"].insert(
        number % 3, {"in": "lan", "out": "wan", "proto": "tcp", "dport": 30000 + number, "action": "drop",
                     "comment": f"edit {number}"})
    return result


def case_no_connection_is_lost(lab):
    """ten reloads under 50 connections and slow downloads"""
    lab.echo(lab.out1)
    web = lab.web(lab.out1)
    talker = Talker(lab.in1, config.OUT1, count=50).ready()
    download = lab.in1.spawn("download", *agent("http_many.py"), config.OUT1, "80", "/slow/page.bin", "20",
                             web.digests["page.bin"])
    for number in range(10):
        lab.box.reload(variant(number))
        talker.check()
        time.sleep(0.1)
    assert talker.finish() > 50 * 5
    assert download.wait(60) == 0, download.log()


def case_new_rules_hold(lab):
    """a rule that a reload adds stops new and old flows; one that it removes lets them pass again"""
    lab.echo(lab.out1)
    assert udp_spray(lab.in1, config.OUT1, 7007, 5) == 5
    closed = copy.deepcopy(config.base())
    closed["filter"]["forward"]["rules"].insert(0, {"in": "lan", "out": "wan", "proto": "udp", "action": "drop"})
    lab.box.reload(closed)
    assert udp_spray(lab.in1, config.OUT1, 7007, 5) == 0
    assert ping(lab.in1, config.OUT1) == 3
    lab.box.reload(config.base())
    assert udp_spray(lab.in1, config.OUT1, 7007, 5) == 5


def case_bad_file_changes_nothing(lab):
    """a reload of a broken file is refused with its reason, and traffic goes on"""
    broken = config.base()
    broken["nat"][0]["snta"] = broken["nat"][0].pop("snat")
    lab.box.write(broken)
    answer = lab.box.control("reload", check=False)
    assert "snta" in answer, answer
    assert ping(lab.in1, config.OUT1) == 3
    lab.box.reload(config.base())


case_bad_file_changes_nothing.boxes = ("sluice",)


def case_what_needs_a_restart(lab):
    """a valid file that only a restart can put in force: reload and check say so, and each mistake is told from it"""
    def status(*words):
        return lab.box_host.status(lab.box.ctl, "--socket", lab.box.socket_path, *words)
    assert status("check", "--running", lab.box.config_path) == 0
    lab.box.write(config.changed(config.base(), neighbours__hold=7))
    answer = lab.box.control("reload", check=False)
    assert "is valid but needs a restart" in answer and "has errors" not in answer, answer
    assert "neighbours has changed: needs a restart" in answer, answer
    assert status("reload") == 1
    assert status("check", lab.box.config_path) == 0
    assert status("check", "--running", lab.box.config_path) == 4
    lab.box.write(config.changed(config.base(), neighbours__hold=-7))
    assert status("check", "--running", lab.box.config_path) == 1
    lab.box.reload(config.base())


case_what_needs_a_restart.boxes = ("sluice",)


def case_by_signal(lab):
    """SIGHUP reloads too"""
    closed = config.base()
    closed["filter"]["forward"]["rules"].insert(0, {"in": "lan", "proto": "icmp", "action": "drop"})
    lab.box.reload_by_signal(closed)
    end = time.monotonic() + 5
    while ping(lab.in1, config.OUT1, 1) == 1:
        assert time.monotonic() < end, "the rule never came into force"
    lab.box.reload(config.base())
    assert ping(lab.in1, config.OUT1) == 3


case_by_signal.boxes = ("sluice",)
