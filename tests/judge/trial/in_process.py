"""sluice's data plane in process (judge_box.cc) as a box: the same face as those of boxes.py.

There is no kernel behind it, so packets for the box itself are not answered. Its clock moves only when it is told;
`play` tells it how much time has gone by on the wall, so that it ages as the Linux beside it does.
"""
import os
import subprocess
import time

from lab import config as machine_config
from lab.machine import LabError

from . import listing
from .boxes import BoxRefused
from .wires import PORTS, frame


class SluiceInProcess:
    name = "sluice"
    LEFT_OUT = ("ports", "workers", "memory", "metrics", "routes", "control", "fragments")

    def __init__(self, build):
        program = os.path.join(build, "tests", "judge", "judge-box")
        if not os.access(program, os.X_OK):
            raise LabError(f"{program} is not there; build it first (ninja -C {build})")
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.told = time.monotonic()

    def start(self, config):
        self.reload(config)

    def ask(self, *commands):
        """Sends commands, all but the last of which have no answer, and returns the lines of the last one's."""
        self.process.stdin.write("".join(f"{command}\n" for command in commands).encode())
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        lines = []
        for raw in self.process.stdout:
            line = raw.decode().rstrip("\n")
            if line == ".":
                return lines
            if line.startswith("!"):
                self.process.stdout.readline()
                raise BoxRefused(line[1:])
            lines.append(line)
        raise LabError("judge-box ended\n" + "\n".join(lines))

    def reload(self, config):
        text = machine_config.yaml({key: value for key, value in config.items() if key not in self.LEFT_OUT})
        self.process.stdin.write(f"config {len(text.encode())}\n".encode() + text.encode())
        self.process.stdin.flush()
        self.answer()

    def flush(self):
        self.ask("flush")

    def passes(self, seconds):
        pass        # play tells the clock

    def clock(self):
        now = time.monotonic()
        gone = int((now - self.told) * 1000)
        self.told += gone / 1000
        if gone:
            self.ask(f"pass {gone}")

    def play(self, sent, to_box=False):
        self.clock()
        lines = self.ask(*(f"send {port} {frame(port, packet).hex()}" for port, packet in sent), "run")
        out = {port: [] for port in PORTS}
        for line in lines:
            port, _, raw = line.partition(" ")
            out[port].append(bytes.fromhex(raw))
        return out

    def lines(self):
        """The listing as text, without taking it apart."""
        return self.ask("flows")

    def flows(self):
        self.clock()
        return listing.flows(self.lines())

    def listing(self):
        return self.lines()

    def expectations(self):
        return []

    def counters(self):
        return {}

    def check_alive(self):
        if self.process.poll() is not None:
            raise LabError(f"judge-box ended with status {self.process.returncode}")

    def stop(self):
        self.process.stdin.close()
        said = self.process.stdout.read().decode()
        if self.process.wait(timeout=20) != 0:
            raise LabError(f"judge-box ended with status {self.process.returncode}\n{said}")
