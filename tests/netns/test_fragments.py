"""Datagrams in fragments: through masquerade and a port forward, for the box itself and from it."""
from lab import config
from lab.clients import ping
from lab.machine import wait_until
from lab.sniffer import Sniffer, is_ipv4

CONFIG = config.base()
CONFIG["nat"].append({"in": "wan", "dst": config.OUTSIDE_BOX, "proto": "udp", "dport": 7777,
                      "dnat": {"to": config.IN2, "port": 7007}})
CONFIG["filter"]["forward"]["rules"].append({"in": "wan", "out": "lan", "proto": "udp", "dst": config.IN2,
                                             "dport": 7007, "action": "accept"})
ASK = """
import os, socket
for size in (1473, 8000, 30000, 65507):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    s.settimeout(5)
    question = os.urandom(size)
    s.sendto(question, ("{address}", {port}))
    assert s.recv(65536) == question, size
print("all came back")
"""


def ask(host, address, port):
    """UDP datagrams of several sizes, echoed and compared."""
    assert host.run("python3", "-c", ASK.format(address=address, port=port)).strip() == "all came back"


def fragments(frames):
    return [frame for frame in frames if (frame[20] & 0x3f) | frame[21]]


def case_ping_through_masquerade(lab):
    assert ping(lab.in1, config.OUT1, 3, "-s", "60000") == 3
    assert ping(lab.in1, config.OUT1, 3, "-s", "65507") == 3


def case_ping_the_box(lab):
    assert ping(lab.in1, config.INSIDE_BOX, 3, "-s", "60000") == 3
    assert ping(lab.out1, config.OUTSIDE_BOX, 3, "-s", "60000") == 3


def case_the_box_pings(lab):
    assert ping(lab.box_host, config.OUT1, 3, "-s", "60000") == 3
    assert ping(lab.box_host, config.IN1, 3, "-s", "60000") == 3


def case_udp_through_masquerade(lab):
    """datagrams up to the largest that there are, both ways, byte for byte"""
    lab.echo(lab.out1)
    ask(lab.in1, config.OUT1, 7007)


def case_udp_through_a_port_forward(lab):
    """the same from outside to a published server"""
    lab.echo(lab.in2)
    ask(lab.out1, config.OUTSIDE_BOX, 7777)


def balance(text):
    """What the metrics say came less what they say became of it: docs/architecture.md."""
    def total(name, **labels):
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(float(line.split()[-1]) for line in text.splitlines()
                   if line.split("{")[0].split(" ")[0] == name and all(label in line for label in wanted))

    term = {name: total("sluice_balance_packets_total", term=name) for name in
            ("received", "from_twins", "generated", "split", "transmitted", "punted", "merged")}
    assert term["merged"] > 0 and term["received"] > 0, term
    on_rings = total("sluice_handoff_packets_total", direction="sent") \
        - total("sluice_handoff_packets_total", direction="received")
    return term["received"] + term["from_twins"] + term["generated"] + term["split"] - term["transmitted"] \
        - term["punted"] - total("sluice_held_packets") - on_rings - total("sluice_drops_total") - term["merged"]


def case_the_balance_holds(lab):
    """after datagrams in fragments nothing came that is not accounted for, by the metrics alone"""
    assert ping(lab.in1, config.OUT1, 3, "-s", "60000") == 3
    assert ping(lab.box_host, config.OUT1, 2, "-s", "20000") == 2
    wait_until("a quiet moment", lambda: balance(lab.box.metrics()) == 0, 20)


case_the_balance_holds.boxes = ("sluice",)


def case_fragments_keep_their_size(lab):
    """a narrow host's fragments leave as narrow as they came, though wider ones would pass"""
    lab.in1.ip("route", "add", config.OUT2, "via", config.INSIDE_BOX, "mtu", "lock", "700")
    try:
        with Sniffer(lab.out2, "eth0", is_ipv4) as seen:
            assert ping(lab.in1, config.OUT2, 1, "-s", "3000", "-M", "dont") == 1
        asked = [frame for frame in fragments(seen.frames) if frame[30:34] == bytes([203, 0, 113, 20])]
        assert len(asked) == 5, [len(frame) for frame in seen.frames]
        assert max(len(frame) for frame in asked) <= 14 + 700
    finally:
        lab.in1.ip("route", "del", config.OUT2)
