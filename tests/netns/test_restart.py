"""Starting and stopping, also the hard way; twins and their addresses survive."""
import os

from lab import config
from lab.clients import ping


def case_ten_times(lab):
    """start and stop ten times; traffic flows each time"""
    for _ in range(10):
        lab.box.stop()
        lab.start()
        assert ping(lab.in1, config.OUT1) == 3


def case_kill_and_start_again(lab):
    """kill -9 three times; each start finds its twins, and traffic flows"""
    for _ in range(3):
        lab.box.kill9()
        lab.start()
        assert ping(lab.in1, config.OUT1) == 3


case_kill_and_start_again.boxes = ("sluice",)


def case_twice(lab):
    """a second sluiced with the same configuration says why it will not run, and the first goes on"""
    second = lab.spawn("second", lab.box.command(lab.box.daemon, "--config", lab.box.config_path))
    status = second.wait(20)
    lines = [line for line in second.log().splitlines() if line.strip()]
    assert status not in (0, None) and status > 0 and lines, (status, lines)
    assert ping(lab.in1, config.OUT1) == 3


case_twice.boxes = ("sluice",)


def case_twice_by_another_socket(lab):
    """a second sluiced on the same devices, but a control socket of its own, does the first no harm"""
    with open(lab.box.config_path) as first, open(lab.path("second.yaml"), "w") as other:
        other.write(first.read().replace(lab.box.socket_path, lab.path("second.sock")).replace(":9140", ":9141"))
    second = lab.spawn("second", lab.box.command(lab.box.daemon, "--config", lab.path("second.yaml")))
    assert second.wait(20) == 1
    assert "used by another port or another sluiced" in second.log(), second.log()
    assert ping(lab.in1, config.OUT1) == 3


case_twice_by_another_socket.boxes = ("sluice",)


def case_missing_device(lab):
    """a port whose device is not there: one clear line, an exit status, nothing left behind"""
    lab.box.stop()
    broken = config.base()
    broken["ports"][1]["device"] = "net_af_xdp1,iface=nosuch0"
    lab.box.start(broken, wait=False)
    process, lab.box.process = lab.box.process, None
    assert process.wait(20) > 0
    assert "nosuch0" in process.log() or "wan" in process.log(), process.log()
    lab.start()
    assert ping(lab.in1, config.OUT1) == 3


case_missing_device.boxes = ("sluice",)


def case_without_hugepages(lab):
    """memory: {hugepages: off} forwards just the same"""
    lab.box.stop()
    lab.start(config.changed(config.base(), memory__hugepages="off"))
    assert ping(lab.in1, config.OUT1) == 3


case_without_hugepages.boxes = ("sluice",)


def case_without_rights(lab):
    """without any capability sluiced says why it will not run"""
    lab.box.stop()
    refused = lab.spawn("refused", lab.box.command("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs",
                                                   "--reuid=0", "--clear-groups", lab.box.daemon, "--config",
                                                   lab.box.config_path))
    status = refused.wait(20)
    assert status > 0 and refused.log().strip(), (status, refused.log())
    lab.start()
    assert ping(lab.in1, config.OUT1) == 3


case_without_rights.boxes = ("sluice",)


def case_broken_configuration(lab):
    """a configuration with mistakes: every one with its place, an exit status, nothing started"""
    lab.box.stop()
    broken = config.base()
    broken["nat"][0]["snta"] = broken["nat"][0].pop("snat")
    broken["ports"][0]["role"] = "upside-down"
    lab.box.start(broken, wait=False)
    process, lab.box.process = lab.box.process, None
    assert process.wait(20) > 0
    assert "snta" in process.log() and "upside-down" in process.log(), process.log()
    assert "sluice.yaml:" in process.log(), process.log()
    lab.start()
    assert ping(lab.in1, config.OUT1) == 3


case_broken_configuration.boxes = ("sluice",)


def case_stop_is_clean(lab):
    """after SIGTERM the control socket is gone"""
    lab.box.stop()
    assert not os.path.exists(lab.box.socket_path)
    lab.start()


case_stop_is_clean.boxes = ("sluice",)

