"""DPDK's testpmd: what the devices and the loop around them cost, without a firewall in between.

`io` touches no packet and is the roofline, `macswap` reads and writes the Ethernet header, `5tswap` exchanges
addresses and ports (the headers that a NAT writes, too, but nothing is looked up).
"""
import re
import subprocess

from ..setting import Case
from .peer import Counts, Peer, missing

PORT = re.compile(r"NIC statistics for port (\d+) .*?RX-packets:\s*(\d+).*?TX-packets:\s*(\d+).*?#{20}", re.S)
SPARE_BUFFERS = 16384
SMALL_BUFFERS_FROM = 65537      # flows: with full-size buffers a million packets would be more than 2 GB
SMALL_BUFFER = 384              # headroom of 128, data room for a 64-byte frame, aligned
FULL_BUFFER = 2176


def parse_counts(text: str) -> Counts | None:
    """From what `show port stats all` prints: received on port 0, sent out of port 1."""
    ports = {int(port): (int(received), int(sent)) for port, received, sent in PORT.findall(text)}
    if 0 not in ports or 1 not in ports:
        return None
    return Counts(ports[0][0], ports[1][1])


def pool(flows: int) -> tuple[int, int]:
    """Buffers, and the bytes of one."""
    return flows + SPARE_BUFFERS, SMALL_BUFFER if flows >= SMALL_BUFFERS_FROM else FULL_BUFFER


def megabytes_for(flows: int) -> int:
    """Of hugepages."""
    buffers, size = pool(flows)
    return 192 + buffers * (size + 256) // (1 << 20)


class Testpmd(Peer):
    mode = ""
    stateful = False

    def lacking(self) -> str | None:
        return missing("dpdk-testpmd", package="dpdk-dev")

    def command(self, devices: tuple[str, str], flows: int) -> list[str]:
        buffers, size = pool(flows)
        # Its output is read while it runs: by the line, not by the block.
        return ["stdbuf", "-oL", "dpdk-testpmd", "--in-memory", "--no-pci", "--no-telemetry", "--iova-mode=va",
                "--log-level=*:error", "--lcores", f"0@{self.setting.other},1@{self.setting.core}", "--main-lcore", "0",
                "-m", str(megabytes_for(flows)), "--vdev", devices[0], "--vdev", devices[1], "--", "-i", "--auto-start",
                "--nb-cores=1", f"--forward-mode={self.mode}", f"--total-num-mbufs={buffers}", f"--mbuf-size={size}"]

    def start(self, case: Case) -> None:
        pcap = self.setting.traffic.file(case.protocol, case.flows)
        self.launch((f"net_pcap0,rx_pcap={pcap},infinite_rx=1", "net_null1,no-rx=1"), case.flows)
        self.wait_for_packets(case.flows)

    def launch(self, devices: tuple[str, str], flows: int) -> None:
        """Between these two, with a buffer for each flow and some more."""
        self.process = self.setting.machine.spawn(self.name, self.command(devices, flows), stdin=subprocess.PIPE)

    def counts(self) -> Counts:
        with open(self.process.log_path, errors="replace") as log:
            log.seek(0, 2)
            at = log.tell()
            try:
                self.process.popen.stdin.write(b"show port stats all\n")
                self.process.popen.stdin.flush()
            except BrokenPipeError:
                pass        # `wait` says what its last words were

            def answer():
                log.seek(at)
                return parse_counts(log.read())

            return self.wait("testpmd's answer", answer, every=0.001)

    def stop(self) -> None:
        if self.process is not None and self.process.alive():
            try:
                self.process.popen.stdin.write(b"stop\nquit\n")
                self.process.popen.stdin.close()
                self.process.popen.wait(5)
            except (OSError, subprocess.TimeoutExpired):
                pass
        super().stop()


class TestpmdIo(Testpmd):
    name, title, mode = "testpmd-io", "testpmd io (roofline)", "io"
    roofline = True


class TestpmdMacswap(Testpmd):
    name, title, mode = "testpmd-macswap", "testpmd macswap", "macswap"
    tcp = False


class Testpmd5tswap(Testpmd):
    name, title, mode = "testpmd-5tswap", "testpmd 5tswap", "5tswap"
    tcp = False
