"""DPDK's own benchmark of rte_hash: what its table costs alone, the floor of everything that is built on it.

Of `dpdk-test` (hash_perf_autotest) the first measurement is taken, without locks and with all keys in their primary
bucket: a table of 2^19 entries, 75 % full, keys in random order. The program is ended then; it would go on for minutes.
"""
import subprocess

from ..setting import Case
from .peer import Component, Unable, last_words, missing, wait

RESULTS = "Results (in CPU cycles/operation)"
COLUMNS = ("key_bytes", "add", "lookup", "lookup_bulk", "delete")
SECONDS = 480


def parse_table(text: str) -> list[dict]:
    """The first table, which is of operations without data on hashes that the table computes, if it is whole."""
    _, found, behind = text.partition(RESULTS)
    rows = []
    for line in behind.split("\n")[:-1] if found else ():     # the last one may not be whole
        words = line.split()
        if len(words) >= len(COLUMNS) and all(word.isdigit() for word in words):
            rows.append(dict(zip(COLUMNS, map(int, words))))
        elif rows:
            return rows     # what follows is the next table
    return []


class DpdkHash(Component):
    name, title = "dpdk-hash", "rte_hash alone"

    def lacking(self) -> str | None:
        if self.setting.quick:
            return "it takes minutes: not with --quick"
        return missing("dpdk-test", package="dpdk-dev")

    def run(self, _cases: list[Case]) -> dict:
        process = self.setting.machine.spawn(self.name, [
            "stdbuf", "-oL", "dpdk-test", "--in-memory", "--no-pci", "--no-telemetry", "--log-level=*:error",
            "--lcores", f"0@{self.setting.core}", "-m", "512"], stdin=subprocess.PIPE)
        try:
            process.popen.stdin.write(b"hash_perf_autotest\n")
            process.popen.stdin.flush()
            rows = wait(process, "its first table", lambda: parse_table(process.log(100000)), SECONDS, 0.5)
        except BrokenPipeError:
            raise Unable(last_words(process.log())) from None
        finally:
            process.stop(timeout=2)
        return {"hash": rows}
