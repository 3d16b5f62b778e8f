"""How long packets are under way: sluiced and testpmd io between two memif ports, `sluice-latency` at the other ends.

The generator makes established UDP flows, finds the highest rate that the program forwards without loss, and measures
at shares of that rate; testpmd at sluiced's rates, too. It shares its core with everything but the measured worker, so
now and then it is away for a while, and what arrives meanwhile is late by its doing: its longest pause stands beside
the longest time, as does how long the program's worker had to wait for its core.
"""
import json
import subprocess

from .. import breaks, cpu, traffic
from ..setting import Case, LabError, Setting
from .peer import Component, Unable, last_words, wait
from .sluiced import Sluiced, lan_and_wan
from .testpmd import TestpmdIo

FLOWS, LOADS, QUEUE = 1000, (10, 50, 90), 1024
PROGRAM = "tests/bench/sluice-latency"
LIMIT_SECONDS = 300
LEAST_RATE, MOST_RATE = 0.001, 60.0     # Mpps, as sluice-latency takes them
BOX_MAC = traffic.LAN_MAC.hex(":")
ENTRIES = ("rate_mpps", "p50_us", "p99_us", "p999_us", "max_us", "sent", "lost", "reordered", "generator_pause_us",
           "program_waited_us")


def devices(socket: str) -> tuple[str, str]:
    """Clients of the generator. The path is a file's: abstract names are each network namespace's own."""
    inside, outside = (f"net_memif{number},role=client,id={number},socket={socket},socket-abstract=no"
                       for number in (0, 1))
    return f"{inside},mac={BOX_MAC}", f"{outside},mac={traffic.WAN_MAC.hex(':')}"


def parse(log: str) -> dict:
    """What the generator has printed."""
    lines = [line for line in log.splitlines() if line.startswith("{")]
    if not lines:
        raise Unable(last_words(log))
    return json.loads(lines[-1])


def shares(one: dict, wanted_mpps: float) -> dict:
    """Of its core that the worker had while packets were sent, and of what it should have sent that the generator did.
    """
    microseconds = one["sent"] / one["rate_mpps"] if one["rate_mpps"] > 0 else 0.0
    core = max(0.0, 1 - one["program_waited_us"] / microseconds) if microseconds > 0 else 0.0
    return {"core_share": round(core, 3),
            "generator_share": round(min(1.0, one["rate_mpps"] / wanted_mpps), 3) if wanted_mpps > 0 else 0.0}


def rows(program: str, measured: list[dict], loads, wanted) -> list[dict]:
    """`wanted`: Mpps that should have been sent."""
    return [{"program": program, "load": load, **{key: round(one[key], 3) for key in ENTRIES}, **shares(one, mpps)}
            for load, one, mpps in zip(loads, measured, wanted)]


def own_rows(program: str, found: dict) -> list[dict]:
    """At shares of the program's own highest rate."""
    return rows(program, found["loads"], LOADS, [found["highest_mpps"] * load / 100 for load in LOADS])


def possible(rates: list[float]) -> list[float]:
    """Those that the generator takes: what a disturbed run has found may be next to nothing."""
    return [rate for rate in rates if LEAST_RATE <= rate <= MOST_RATE]


class Latency(Component):
    name, title = "latency", "latency through memif"
    every_round = True

    def __init__(self, setting: Setting):
        super().__init__(setting)
        self.programs = (Sluiced(setting), TestpmdIo(setting))

    def lacking(self) -> str | None:
        program = self.setting.program(PROGRAM)
        return None if program.exists() else f"{program} is not built"

    def run(self, _cases: list[Case]) -> dict:
        together: dict[str, list] = {"latency": [], "latency_highest": [], "latency_same_rate": [], "problems": []}
        rates: dict[float, int] = {}    # to the load that it is for sluiced
        for program in self.programs:
            try:
                why = program.lacking()
                if why:
                    raise Unable(why)
                found = self.measure(program, list(rates))
            except (Unable, LabError, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
                together["problems"].append({"program": self.name, "problem": f"{program.name}: {error}"})
                continue
            own = own_rows(program.name, found)
            together["latency"] += own
            together["latency_same_rate"] += rows(program.name, found["rates"], rates.values(), rates)
            together["latency_highest"].append({"program": program.name, "mpps": found["highest_mpps"],
                                                "lost": found["highest_lost"],
                                                "limited_by_generator": found["limited_by_generator"]})
            if program is self.programs[0]:
                loads = {row["rate_mpps"]: row["load"] for row in own}
                rates = {rate: loads[rate] for rate in possible(list(loads))}
                if len(rates) < len(own):
                    together["problems"].append({"program": self.name, "problem": (
                        f"{program.name}: its rates were too low for others to be measured at all of them")})
                together["latency_same_rate"] += own
        return {key: list_ for key, list_ in together.items() if list_}

    def measure(self, program, rates: list[float]) -> dict:
        machine, setting = self.setting.machine, self.setting
        socket = machine.path("memif.sock")
        search = 0.1 if setting.quick else 0.5
        words = ["--socket", socket, "--box", BOX_MAC, "--flows", str(FLOWS), "--loads", ",".join(map(str, LOADS)),
                 "--seconds", str(min(setting.seconds, 0.4) if setting.quick else setting.seconds), "--search-seconds",
                 str(search), *(["--rates", ",".join(map(str, rates))] if rates else [])]
        generator = machine.spawn("latency-generator", [
            "taskset", "-c", str(setting.other), str(setting.program(PROGRAM)), *words], stdin=subprocess.PIPE)
        try:
            wait(generator, "its ports", lambda: "ready" in generator.log().split(), setting.start_limit_seconds)
            self.launch(program, socket)
            generator.popen.stdin.write(f"{self.worker(program)}\n".encode())
            generator.popen.stdin.flush()
            wait(program.process, "the generator", lambda: not generator.alive(), LIMIT_SECONDS)
            found = parse(generator.log())
            if program.stateful:
                self.check(program, found)
            return found
        except BrokenPipeError:
            raise Unable(last_words(generator.log())) from None
        finally:
            with breaks.held():
                program.stop()
                generator.stop(timeout=5)

    @staticmethod
    def launch(program, socket: str) -> None:
        ends = devices(socket)
        if isinstance(program, Sluiced):
            program.launch(lan_and_wan(*ends, [QUEUE] * 4), FLOWS)
        else:
            program.launch(ends, FLOWS)

    def worker(self, program) -> str:
        """What says how long its busiest thread on the measured core has waited."""
        found = wait(program.process, "its worker", lambda: cpu.threads(program.process.pid, self.setting.core),
                     self.setting.start_limit_seconds)
        return str(max(found)[1] / "schedstat")

    @staticmethod
    def check(program, found: dict) -> None:
        """It did what it is there for."""
        if found["outside_source"] != traffic.WAN_ADDRESS:
            raise Unable(f"packets came out with the source {found['outside_source']}")
        if program.connections() < FLOWS:
            raise Unable(f"it has {program.connections()} connections, not {FLOWS}")
