"""The table at its limit: established connections go on, newcomers make room or are refused, nothing else breaks."""
from lab import config
from lab.clients import Talker, ping, udp_spray

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
