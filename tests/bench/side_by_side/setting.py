"""What all peers of one run share: the laboratory, the traffic, the cores, and how long things may take."""
import pathlib
import sys
from dataclasses import dataclass
from typing import NamedTuple

from .traffic import Traffic

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/netns"))

from lab.machine import LabError, Machine  # noqa: E402  (the path must be set first)


class Case(NamedTuple):
    """What a program is measured with: one frame for each of `flows`, over and over."""
    protocol: str
    flows: int

    def __str__(self) -> str:
        return f"{self.protocol} {self.flows}"


@dataclass
class Setting:
    """Of one run. `core` is the one that is measured; everything else runs on `other`."""
    build: pathlib.Path
    core: int
    other: int
    traffic: Traffic
    machine: Machine
    seconds: float = 3.0        # of one measurement
    warm_seconds: float = 1.0
    quick: bool = False
    bench_options: tuple[str, ...] = ()

    start_limit_seconds: float = 180.0

    def program(self, name: str) -> pathlib.Path:
        """One of ours, for example tools/sluicectl."""
        return self.build / name
