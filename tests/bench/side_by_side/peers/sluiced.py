"""sluiced itself, the whole daemon, on the devices that testpmd has: net_pcap in, net_null out.

Its configuration is an operator's: twins with addresses and routes, a stateful filter, masquerade. Behind a null device
nobody answers ARP, so the routers' link addresses are set by hand on the twins (`ip neigh replace`). Nobody answers the
packets either: once all flows are there, the API marks them as answered and ASSURED, as replies would have done, so
that what is measured are established connections.

net_pcap keeps one packet buffer for each flow. sluiced has as many as its queues are long, 32,768 each way and port at
most; for more flows it is given idle ports (null devices that never receive), which the worker polls, too.
"""
import http.client
import json
import re
import socket
import subprocess
import tempfile

from .. import traffic
from ..setting import Case
from .peer import Counts, Peer, Unable, last_words

LONGEST_QUEUE = 32768
SHORT_QUEUE = 1024
SPARE_BUFFERS = 16384
NEEDED = re.compile(r"at least (\d+) are needed")

FILTER = f"""\
filter:
  input: {{policy: drop, rules: [{{state: [established, related], action: accept}}]}}
  forward:
    policy: drop
    rules:
      - {{state: [established, related], action: accept}}
      - {{state: invalid, action: drop}}
      - {{in: lan, out: wan, proto: tcp, dport: [25, 445], action: reject}}
      - {{in: lan, out: wan, dst: 192.0.2.0/24, action: drop}}
      - {{in: lan, out: wan, action: accept}}
nat:
  - {{out: wan, src: {traffic.INSIDE}, snat: masquerade}}
metrics: {{listen: off}}
"""


def queues(flows: int) -> list[int]:
    """Lengths of the receive and transmit queues of the ports lan, wan and idle ones, whose sum gives room for a buffer
    for each flow."""
    lengths, left = [], flows + SPARE_BUFFERS
    while left > 0 or len(lengths) < 4:
        length = SHORT_QUEUE
        while length < LONGEST_QUEUE and length < left:
            length *= 2
        lengths.append(length)
        left -= length
    return lengths + [SHORT_QUEUE] * (len(lengths) % 2)


def port(name: str, role: str, device: str, lengths: list[int], address: str = "") -> str:
    addresses = f", addresses: [{address}]" if address else ""
    return (f'  - {{name: {name}, device: "{device}", role: {role}, tap: {name}0, rx_queue_size: {lengths[0]}, '
            f"tx_queue_size: {lengths[1]}{addresses}}}\n")


def lan_and_wan(lan: str, wan: str, lengths: list[int]) -> str:
    """The two ports that packets pass, with these devices."""
    return (port("lan", "inside", lan, lengths[:2], f"{traffic.LAN_ADDRESS}/{traffic.LAN_LENGTH}") +
            port("wan", "outside", wan, lengths[2:4], f"{traffic.WAN_ADDRESS}/{traffic.WAN_LENGTH}"))


def pcap_ports(flows: int, pcap: str) -> str:
    lengths = queues(flows)
    text = lan_and_wan(f"net_pcap0,rx_pcap={pcap},infinite_rx=1", "net_null1,no-rx=1", lengths)
    for at in range(4, len(lengths), 2):
        text += port(f"idle{at // 2 - 1}", "outside", f"net_null{at // 2},no-rx=1", lengths[at:at + 2])
    return text


def configuration(ports: str, flows: int, control: str, core: int, other: int, megabytes: int) -> str:
    text = f"workers: {{main: {other}, cores: [{core}], idle: spin}}\n"
    text += f"memory: {{hugepages: auto, megabytes: {megabytes}}}\nipv6: off\nports:\n{ports}"
    text += f"routes:\n  - {{to: 0.0.0.0/0, via: {traffic.WAN_ROUTER}}}\n"
    text += f"  - {{to: {traffic.INSIDE}, via: {traffic.LAN_ROUTER}}}\n"
    # As full as a table may be with room to breathe; all flows are half-open until they are marked.
    text += f"conntrack: {{max: {max(4096, flows + flows // 2)}, half_open: 100%}}\n"
    return text + FILTER + f"control: {{socket: {control}}}\n"


def parse_ports(answer: str) -> Counts:
    """Of GET /v1/ports (`sluicectl ports --json`)."""
    ports = {one["name"]: one for one in json.loads(answer)}
    return Counts(ports["lan"]["received"]["packets"], ports["wan"]["transmitted"]["packets"])


class Connection(http.client.HTTPConnection):
    """HTTP on a UNIX socket."""

    def __init__(self, path: str, timeout: float):
        super().__init__("sluiced", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Sluiced(Peer):
    name, title = "sluiced", "sluiced"

    def lacking(self) -> str | None:
        program = self.setting.program("control/sluiced")
        return None if program.exists() else f"{program} is not built"

    def start(self, case: Case) -> None:
        pcap = str(self.setting.traffic.file(case.protocol, case.flows))
        self.launch(pcap_ports(case.flows, pcap), case.flows)
        self.wait("all flows", lambda: self.connections() >= case.flows)
        updated = json.loads(self.ask("PATCH", "/v1/flows", json.dumps({"status": "ASSURED,SEEN_REPLY"})))["updated"]
        if updated < case.flows:
            raise Unable(f"only {updated} of {case.flows} flows were marked as answered")
        self.wait_for_packets(case.flows)

    def launch(self, ports: str, flows: int) -> None:
        """Returns when it answers and knows the routers' link addresses. `ports`: of the configuration."""
        machine = self.setting.machine
        self.host = machine.hosts.get("box") or machine.host("box")
        for device in ("lan0", "wan0"):
            self.host.run("ip", "tuntap", "del", "dev", device, "mode", "tap", check=False)
        self.control = machine.path("control.sock")
        config = machine.path("bench.yaml")
        self.megabytes = self.configure(config, ports, flows)
        # It takes the cores that it may use, and this process has left the measured one alone.
        both = f"{self.setting.core},{self.setting.other}"
        self.process = machine.spawn(self.name, self.host.command(
            "taskset", "-c", both, str(self.setting.program("control/sluiced")), "--config", config))
        self.wait("the control socket", self.answers)
        if "running on ordinary pages" in self.process.log(1000):
            raise Unable(f"there are too few free hugepages for its {self.megabytes} MB")
        for router, device in ((traffic.WAN_ROUTER, "wan0"), (traffic.LAN_ROUTER, "lan0")):
            self.host.ip("neigh", "replace", router, "lladdr", "02:00:00:00:00:fe", "dev", device, "nud", "permanent")

    def configure(self, path: str, ports: str, flows: int) -> int:
        """Writes the file, with as much memory as sluiced says that it needs, and returns that. Raises Unable."""
        megabytes = 64
        for _ in range(2):
            with open(path, "w", encoding="utf-8") as out:
                out.write(configuration(ports, flows, self.control, self.setting.core, self.setting.other, megabytes))
            check = subprocess.run([self.setting.program("control/sluiced"), "--check", "--config", path],
                                   capture_output=True, text=True, check=False)
            needed = NEEDED.search(check.stdout + check.stderr)
            if needed is None:
                break
            megabytes = int(needed.group(1)) + 32
        if check.returncode != 0:
            raise Unable(last_words(check.stdout + check.stderr))
        return megabytes

    def megabytes_for(self, flows: int) -> int:
        """Of hugepages. Nothing of the machine is touched; sluiced must be built. Raises Unable, OSError."""
        with tempfile.TemporaryDirectory() as directory:
            self.control = f"{directory}/control.sock"
            return self.configure(f"{directory}/bench.yaml", pcap_ports(flows, f"{directory}/frames.pcap"), flows)

    def ask(self, method: str, path: str, body: str | None = None) -> str:
        connection = Connection(self.control, self.setting.start_limit_seconds)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status != 200:
                raise Unable(f"{method} {path}: {answer.status} {text.strip()}")
            return text
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            self.ask("GET", "/v1/version")
            return True
        except OSError:
            return False

    def counts(self) -> Counts:
        return parse_ports(self.ask("GET", "/v1/ports"))

    def connections(self) -> int:
        return json.loads(self.ask("GET", "/v1/flows/count"))["count"]
