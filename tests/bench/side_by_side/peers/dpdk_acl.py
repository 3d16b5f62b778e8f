"""DPDK's own benchmark of rte_acl, the classifier behind a first packet's verdict: cycles against the number of rules.

`dpdk-test-acl` gets N rules of UDP services, one for each port of a server network, and packets that hit them at
random. It is run with the widest vectors that the CPU has.
"""
import pathlib
import random
import re

from ..setting import Case
from .peer import Component, Unable, last_words, missing

RULES = (10, 100, 1000, 10000)
PACKETS = 8192
CYCLES = re.compile(r"([0-9.]+) cycles/pkt")


def server(number: int) -> tuple[int, int]:
    """Third byte of the network of rule `number`, and the port."""
    return number % 256, 1 + number // 256


def rule(number: int) -> str:
    network, port = server(number)
    return f"@10.0.0.0/8\t198.51.{network}.0/24\t0 : 65535\t{port} : {port}\t0x11/0xff\n"


def packet(number: int, client: int) -> str:
    network, port = server(number)
    return f"{(10 << 24) + client} {(198 << 24) + (51 << 16) + (network << 8) + 9} {1024 + client % 60000} {port} 17\n"


def parse_cycles(text: str) -> float:
    found = CYCLES.findall(text)
    if not found:
        raise Unable(last_words(text))
    return float(found[-1])


def best_method(flags: str) -> list[str]:
    """Of /proc/cpuinfo; 512-bit vectors want to be asked for."""
    words = flags.split()
    if all(word in words for word in ("avx512f", "avx512bw", "avx512cd", "avx512vl")):
        return ["--alg=avx512x32", "--force-max-simd-bitwidth=512"]
    return ["--alg=avx2"] if "avx2" in words else ["--alg=sse"]


class DpdkAcl(Component):
    name, title = "dpdk-acl", "rte_acl alone"

    def lacking(self) -> str | None:
        return missing("dpdk-test-acl", package="dpdk-dev")

    def run(self, _cases: list[Case]) -> dict:
        info = pathlib.Path("/proc/cpuinfo").read_text()
        method = best_method(next(line for line in info.splitlines() if line.startswith("flags")))
        return {"acl": [{"rules": rules, "cycles": self.measure(rules, method)}
                        for rules in (RULES[:3] if self.setting.quick else RULES)]}

    def measure(self, rules: int, method: list[str]) -> float:
        machine, order = self.setting.machine, random.Random(rules)
        rule_file, packet_file = pathlib.Path(machine.path("acl.rules")), pathlib.Path(machine.path("acl.packets"))
        rule_file.write_text("".join(map(rule, range(rules))))
        packet_file.write_text("".join(packet(order.randrange(rules), client) for client in range(PACKETS)))
        eal = [word for word in method if word.startswith("--force")]
        process = machine.spawn(self.name, [
            "dpdk-test-acl", "--in-memory", "--no-pci", "--no-telemetry", "--log-level=*:error", "--lcores",
            f"0@{self.setting.core}", "-m", "512", *eal, "--", f"--rulesf={rule_file}", f"--tracef={packet_file}",
            *(word for word in method if word not in eal), f"--rulenum={rules + 1}", f"--tracenum={PACKETS + 1}",
            f"--iter={20 if self.setting.quick else 200}", "--verbose=0"])
        try:
            process.wait(self.setting.start_limit_seconds)
            return parse_cycles(process.log(1000))
        finally:
            process.stop(timeout=2)
