"""What machine it was: processor, caches, clock, kernel, DPDK, memory. Read once, at the start of a run."""
import os
import pathlib
import platform
import re
import shutil
import subprocess


def read(path: str) -> str:
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError:
        return ""


def cpuinfo_field(name: str, text: str) -> str:
    match = re.search(rf"^{re.escape(name)}\s*:\s*(.*)$", text, re.M)
    return match.group(1).strip() if match else ""


def tsc_hz(text: str) -> float:
    """Of /proc/cpuinfo: Linux makes its BogoMIPS of the TSC's frequency, twice that of it in MHz."""
    return float(cpuinfo_field("bogomips", text) or 0) / 2 * 1e6


def caches(core: int) -> dict:
    """For example {"L1d": "32K", "L2": "512K", "L3": "32768K"}."""
    found = {}
    for index in sorted(pathlib.Path(f"/sys/devices/system/cpu/cpu{core}/cache").glob("index*")):
        kind = {"Data": "d", "Instruction": "i"}.get(read(f"{index}/type"), "")
        found[f"L{read(f'{index}/level')}{kind}"] = read(f"{index}/size")
    return found


def first_line(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].strip() if done.stdout else ""


def hugepages(text: str) -> dict:
    """Of /proc/meminfo."""
    def value(name):
        return int((re.search(rf"^{name}:\s*(\d+)", text, re.M) or [0, 0])[1])

    return {"total": value("HugePages_Total"), "free": value("HugePages_Free"), "kilobytes": value("Hugepagesize")}


def version(package: str) -> str:
    return first_line("dpkg-query", "-W", "-f", "${Version}\n", package)


def describe(core: int, other: int) -> dict:
    info, memory = read("/proc/cpuinfo"), read("/proc/meminfo")
    total = re.search(r"^MemTotal:\s*(\d+)", memory, re.M)
    return {
        "cpu": cpuinfo_field("model name", info), "cores": os.cpu_count(), "measured_core": core, "other_core": other,
        "vectors": "AVX-512" if "avx512bw" in cpuinfo_field("flags", info).split() else "AVX2"
                   if "avx2" in cpuinfo_field("flags", info).split() else "SSE",
        "virtual": "hypervisor" in cpuinfo_field("flags", info).split(),
        "tsc_hz": tsc_hz(info), "caches": caches(core), "memory_mb": int(total.group(1)) // 1024 if total else 0,
        "kernel": platform.release(), "kernel_options": read("/proc/cmdline"),
        "system": next((line.partition("=")[2].strip('"') for line in read("/etc/os-release").splitlines()
                        if line.startswith("PRETTY_NAME=")), ""),
        "dpdk": version("dpdk-dev") or version("librte-eal23"), "ovs": version("openvswitch-switch-dpdk"),
        "hugepages": hugepages(memory), "load": os.getloadavg()[0],
    }
