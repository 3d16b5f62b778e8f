"""What operators look at while traffic flows: sluicectl in every form, the metrics, a capture."""
import json
import os
import re
import signal
import time

from lab import config
from lab.clients import Talker, fetch, ping
from lab.machine import wait_until

BOXES = ("sluice",)


def case_listing_reads_like_conntrack(lab):
    """a line of conntrack -L has the fields and the order of conntrack(8), with counters as under nf_conntrack_acct"""
    lab.echo(lab.out1)
    talker = Talker(lab.in1, config.OUT1).ready()
    line = lab.box.conntrack("-p", "tcp", "--dport", "7007")
    assert len(line) == 1, line
    words = line[0].split()
    assert words[:2] == ["tcp", "6"] and words[3] == "ESTABLISHED" and int(words[2]) <= 432000, words
    keys = [word.split("=")[0] for word in words[4:]]
    direction = ["src", "dst", "sport", "dport", "packets", "bytes"]
    assert keys == direction * 2 + ["[ASSURED]", "mark", "use"], words
    assert words[4] == f"src={config.IN1}" and words[11] == f"dst={config.OUTSIDE_BOX}", words
    assert all(int(words[at].split("=")[1]) > 0 for at in (8, 9, 14, 15)), words
    talker.finish()


def case_count_delete_flush(lab):
    """-C counts, -D forgets what matches, -F everything; a forgotten flow is born anew by its next packet"""
    lab.echo(lab.out1)
    talker = Talker(lab.in1, config.OUT1, count=5).ready()
    assert int(lab.box.control("conntrack", "-C").split()[-1]) >= 5
    lab.box.control("conntrack", "-D", "-p", "tcp", "--dport", "7007")
    talker.finish()     # masquerade finds the same ports free again: the connections go on
    assert ping(lab.in1, config.OUT1) == 3
    lab.box.control("conntrack", "-F")
    wait_until("an empty table", lambda: lab.box.conntrack("-p", "icmp") == [])


def case_every_view_in_text_and_json(lab):
    assert ping(lab.in1, config.OUT1) == 3
    for words in (("rules",), ("nat",), ("ports",), ("stats",), ("version",), ("conntrack", "-L")):
        assert lab.box.control(*words).strip(), words
        json.loads(lab.box.control("--json", *words))
    assert "inside out" in lab.box.rules()


def case_exit_codes(lab):
    """scripts can tell a usage error from a daemon that is not there"""
    program = [lab.box.ctl, "--socket"]
    assert lab.box_host.status(*program, lab.box.socket_path, "stats") == 0
    assert lab.box_host.status(*program, lab.box.socket_path, "conntrack", "-D", "-p", "tcp", "--dport", "1") == 1
    assert lab.box_host.status(*program, lab.box.socket_path, "nonsense") == 2
    assert lab.box_host.status(*program, lab.path("no.sock"), "stats") == 3
    assert lab.box_host.succeeds(lab.box.ctl, "check", lab.box.config_path)


def case_metrics(lab):
    """promtool is content, and the traffic shows"""
    web = lab.web(lab.out1)
    assert fetch(lab, lab.in1, f"http://{config.OUT1}/big.bin") == web.digests["big.bin"]
    time.sleep(1.2)
    text = lab.box.metrics()
    complaint = lab.box_host.run("promtool", "check", "metrics", stdin=text, check=False)
    assert complaint.strip() == "", complaint
    received = re.search(r'^sluice_port_bytes_total\{port="wan",direction="receive"\} (\S+)$', text, re.M)
    assert received and float(received[1]) > os.path.getsize(os.path.join(web.root, "big.bin")), text


def case_dropped_has_its_reason(lab):
    """a packet that the filter drops is counted under its name"""
    def dropped():
        stats = json.loads(lab.box.control("--json", "stats"))
        return {drop["reason"]: drop["packets"] for drop in stats["drops"]}

    before = dropped()
    assert not lab.out2.succeeds("nc", "-z", "-w", "1", config.OUTSIDE_BOX, "9999")
    wait_until("the drop", lambda: dropped()["filter_input"] > before["filter_input"])


def case_broken_off_captures(lab):
    """captures that are broken off at any moment leave sluiced as it was"""
    for n in range(12):
        capture = lab.box_host.spawn("capture", lab.box.ctl, "--socket", lab.box.socket_path, "capture", "--port", "wan",
                                     "-w", lab.path(f"broken{n}.pcap"))
        time.sleep(0.15 + 0.013 * n)        # over the 2 ms of the capture's timer, at another place of it each time
        capture.stop(signal.SIGINT)
        assert lab.box_host.status(lab.box.ctl, "--socket", lab.box.socket_path, "version", timeout=5) == 0


def case_capture(lab):
    """a capture on a port sees forwarded packets, and tcpdump reads it"""
    path = lab.path("wan.pcap")
    capture = lab.box_host.spawn("capture", lab.box.ctl, "--socket", lab.box.socket_path, "capture", "--port", "wan",
                                 "--filter", "icmp", "-c", "4", "-w", path)
    end = time.monotonic() + 15
    while capture.alive() and time.monotonic() < end:
        ping(lab.in1, config.OUT1, 2)
    assert capture.wait(5) == 0, capture.log()
    assert os.path.getsize(path) > 24
    seen = lab.box_host.run("tcpdump", "-nr", path)
    assert f"{config.OUTSIDE_BOX} > {config.OUT1}: ICMP echo request" in seen, seen
