"""The shape of everything that is measured.

A `Peer` forwards packets: it is started for one case (protocol, number of flows) and warmed up, its packet counters are
read twice, and it is stopped; that is one measurement. It ends only processes that it has started, by their handle.
A `Component` measures itself in one go: a hash table, a classifier, sluice's own data plane in process.
"""
import shutil
import time
from typing import NamedTuple

from ..setting import Case, Setting


class Unable(Exception):
    """A program cannot run here, or not with this case: one line, which the report shows."""


class Counts(NamedTuple):
    """Packets since the start."""
    received: int
    forwarded: int


def last_words(log: str) -> str:
    """The last line that says something. Behind a complaint about options CLI11 says where help is: no news."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("Run with --help")]
    return lines[-1] if lines else "it said nothing"


def wait(process, what: str, condition, seconds: float, every: float = 0.05):
    """Polls until `condition` is true, and returns its value. Raises Unable when the process (if there is one yet) has
    ended, or it takes too long."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if process is not None and not process.alive():
            raise Unable(f"ended while waiting for {what}: {last_words(process.log())}")
        if time.monotonic() > end:
            raise Unable(f"waited {seconds:g} s in vain for {what}")
        time.sleep(every)


class Peer:
    name = ""
    title = ""                  # in tables and plots
    stateful = True             # has connections that can be counted
    roofline = False            # what the others are compared with
    tcp = True                  # measured with TCP, too
    shares_core = False         # the program is the kernel: the core's time counts, not a process's

    def __init__(self, setting: Setting):
        self.setting = setting
        self.process = None

    def lacking(self) -> str | None:
        """Why it cannot run on this machine."""
        return None

    def unable(self, _case: Case) -> str | None:
        """Why it cannot run with this case."""
        return None

    def start(self, case: Case) -> None:
        """Returns when it forwards all flows of the case. Raises Unable."""
        raise NotImplementedError

    def counts(self) -> Counts:
        raise NotImplementedError

    def connections(self) -> int:
        """Flows that it knows; of stateful ones."""
        return 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop(timeout=5)
            self.process = None

    def wait(self, what: str, condition, every: float = 0.05):
        return wait(self.process, what, condition, self.setting.start_limit_seconds, every)

    def wait_for_packets(self, flows: int) -> None:
        """Every flow has been seen twice or more, and then some time for caches and branch predictors."""
        first = self.counts().forwarded
        self.wait("packets to come out", lambda: self.counts().forwarded >= first + 2 * flows)
        time.sleep(self.setting.warm_seconds)


class Component:
    name = ""
    title = ""
    every_round = False         # or once in a run

    def __init__(self, setting: Setting):
        self.setting = setting

    def lacking(self) -> str | None:
        return None

    def run(self, cases: list[Case]) -> dict:
        """Parts of results.json: each key is a list that is added to. Raises Unable."""
        raise NotImplementedError


def missing(*programs: str, package: str) -> str | None:
    """Why a program of a Debian package cannot run: it is not there."""
    for program in programs:
        if shutil.which(program) is None:
            return f"{program} is not installed (package {package})"
    return None
