"""The laboratory of the judge: Linux and sluice side by side, each between two wires of its own."""
import os
import json

from lab import config as machine_config
from lab.machine import Machine

from .boxes import LinuxInTheMiddle, SluicedInTheMiddle
from .scenario import rules_of


class Pair:
    """Use it with `with`. `load(scenario)` gives both boxes a scenario's rules and empty tables."""

    def __init__(self, build, sluice="daemon"):
        """`sluice`: daemon, process, or None for Linux alone."""
        self.machine, self.loaded = Machine(), None
        self.boxes = []
        try:
            self.linux = LinuxInTheMiddle(self.machine)
            self.sluice = None
            if sluice == "daemon":
                self.sluice = SluicedInTheMiddle(self.machine, build)
            elif sluice == "process":
                from .in_process import SluiceInProcess
                self.sluice = SluiceInProcess(build)
            first = self.complete(rules_of("routed"))
            self.workers = first["workers"]
            self.all = [box for box in (self.linux, self.sluice) if box is not None]
            for box in self.all:
                box.start(first)
                self.boxes.append(box)
        except BaseException:
            self.close()
            raise
        # One CPU for who injects: softirqs then take the frames in the order in which they were sent.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    @staticmethod
    def complete(config):
        main, workers = machine_config.cores()
        return dict(config, workers={"cores": workers, "main": main, "idle": "sleep"})

    def load(self, scenario):
        self.load_config(scenario.config)

    def load_config(self, config):
        wanted = json.dumps(config)
        fresh, self.loaded = wanted != self.loaded, None
        for box in self.all:
            if fresh:
                box.reload(dict(config, workers=self.workers))
            box.flush()
        self.loaded = wanted

    def check_alive(self):
        for box in self.all:
            box.check_alive()

    def close(self):
        try:
            for box in self.boxes:
                box.stop()
        finally:
            self.machine.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
