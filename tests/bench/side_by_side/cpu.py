"""Processor time, from /proc: of a core, and of those threads of a process that run on it."""
import os
import pathlib

TICKS = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/task/TID/stat behind the name in parentheses, which may have blanks.
UTIME, STIME, PROCESSOR = 11, 12, 36
# Of a line of /proc/stat.
USER, KERNEL = (0, 1), (2, 5, 6)    # user and nice; system, interrupts, soft interrupts


def core_seconds(core: int, stat: str | None = None) -> tuple[float, float]:
    """Time that a core has spent in the kernel and in programs since the start of the machine."""
    text = stat if stat is not None else pathlib.Path("/proc/stat").read_text()
    for line in text.splitlines():
        if line.startswith(f"cpu{core} "):
            values = [int(word) for word in line.split()[1:]]
            return sum(values[field] for field in KERNEL) / TICKS, sum(values[field] for field in USER) / TICKS
    raise ValueError(f"there is no core {core}")


def thread_fields(stat: str) -> tuple[float, int]:
    """Seconds of a thread, and the core that it ran on last."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[UTIME]) + int(fields[STIME])) / TICKS, int(fields[PROCESSOR])


def threads(pid: int, core: int) -> list[tuple[float, pathlib.Path]]:
    """Time and directory of each of a process's threads that ran on this core last. Those that matter are pinned."""
    found = []
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            seconds, on = thread_fields(path.read_text())
        except (OSError, IndexError):
            continue        # it has just ended
        if on == core:
            found.append((seconds, path.parent))
    return found


def process_seconds(pid: int, core: int) -> float:
    """Time of a process's threads on this core."""
    return sum(seconds for seconds, _ in threads(pid, core))
