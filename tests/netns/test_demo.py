"""The demo that is broken off leaves nothing behind, whichever way."""
import glob
import os
import pathlib
import signal
import subprocess
import sys

from lab.machine import wait_until

BOXES = ("sluice",)
START = False
DEMO = pathlib.Path(__file__).resolve().parent / "demo.py"


def broken_off(lab, number, seconds):
    """Of the demo, by a signal to all that the terminal runs, some time after its first namespace was there."""
    demo = subprocess.Popen([sys.executable, str(DEMO), "--build", pathlib.Path(lab.box.daemon).parents[1]], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def left():
        return glob.glob(f"/run/netns/slc{demo.pid}-*") + glob.glob(f"/tmp/sluice-lab-{demo.pid}-*")

    try:
        wait_until("the demo's namespaces", left, seconds=30)
        try:
            demo.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(demo.pid, number)
        status = demo.wait(30)
        assert status == 130, status
        assert not left(), left()
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
            demo.wait()


def case_control_c(lab):
    broken_off(lab, signal.SIGINT, 2)


def case_its_terminal_is_closed(lab):
    broken_off(lab, signal.SIGHUP, 2)


def case_its_terminal_is_closed_while_it_sets_up(lab):
    broken_off(lab, signal.SIGHUP, 0)
