"""Linux in the middle: conntrack, an nftables filter and masquerade between veths, on one core.

The rules are sluiced's. What comes in is sent by xdp_generator on the same core, and what goes out is dropped at the
first hook behind the other veth, so that all of the core's time is the generator (some 100 cycles a packet), the
kernel's forwarding and two veths. The kernel has no poll loop to fill, so what counts is packets for each second that
the core spends in it. Before that the flows are opened, and answers to all of them are sent in from outside in the same
way: conntrack(8) cannot mark flows with NAT as answered.

The machine's limit of connections, and the size of its hash table with it, are raised for as long as they have to be.
"""
import pathlib

from .. import traffic
from ..setting import ROOT, Case
from .peer import Counts, Peer, missing

SIZES = tuple(pathlib.Path("/proc/sys/net/netfilter") / name for name in ("nf_conntrack_buckets", "nf_conntrack_max"))
GENERATOR = ROOT / "tests/bench/side_by_side/xdp_generator.py"

RULES = f"""\
table inet box {{
  chain forward {{
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    ct state invalid drop
    iifname "lan0" oifname "wan0" tcp dport {{ 25, 445 }} reject
    iifname "lan0" oifname "wan0" ip daddr 192.0.2.0/24 drop
    iifname "lan0" oifname "wan0" accept
  }}
  chain postrouting {{
    type nat hook postrouting priority 100;
    oifname "wan0" ip saddr {traffic.INSIDE} masquerade
  }}
}}
"""
SINK = """\
table netdev sink {
  chain in {
    type filter hook ingress device "out0" priority 0; policy drop;
  }
}
"""


def colons(mac: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in mac)


def parse_dev(text: str, device: str) -> tuple[int, int]:
    """Packets received and sent, of /proc/net/dev."""
    for line in text.splitlines():
        name, _, fields = line.partition(":")
        if name.strip() == device:
            values = fields.split()
            return int(values[1]), int(values[9])
    raise ValueError(f"there is no device {device}")


class LinuxNft(Peer):
    name, title = "linux", "Linux nftables"
    shares_core = True

    def __init__(self, setting):
        super().__init__(setting)
        self.hosts, self.before = {}, []

    def lacking(self) -> str | None:
        gone = None
        for program, package in (("nft", "nftables"), ("conntrack", "conntrack"), ("ethtool", "ethtool"),
                                 ("sysctl", "procps")):
            gone = gone or missing(program, package=package)
        if gone is None and not all(path.exists() for path in SIZES):
            return "this kernel has no nf_conntrack"
        return gone

    def start(self, case: Case) -> None:
        for path in SIZES:
            before = path.read_text()
            if int(before) < 2 * case.flows:
                self.before.append((path, before))
                path.write_text(str(2 * case.flows))
        machine = self.setting.machine
        self.hosts = {short: machine.hosts.get(short) or machine.host(short) for short in ("gen", "nft", "sink")}
        gen, box, sink = self.hosts.values()
        if not box.succeeds("ip", "link", "show", "lan0"):
            self.wire(gen, box, sink)
        pcap = self.setting.traffic.file(case.protocol, case.flows)
        answers = self.setting.traffic.file(case.protocol, case.flows, "in")
        box.run("conntrack", "-F", check=False)
        self.send(gen, pcap, "gen0")
        self.wait("all flows", lambda: self.connections() >= case.flows)
        super().stop()
        back = self.read(box, "lan0")[1]
        self.send(sink, answers, "out0")
        self.wait("answers", lambda: self.read(box, "lan0")[1] >= back + 2 * case.flows)
        super().stop()
        self.send(gen, pcap, "gen0")
        self.wait_for_packets(case.flows)

    def send(self, host, pcap: pathlib.Path, device: str) -> None:
        self.process = self.setting.machine.spawn("generator", host.command(
            "taskset", "-c", str(self.setting.core), "python3", str(GENERATOR), str(pcap), device))

    def wire(self, gen, box, sink) -> None:
        """gen0 – lan0 [box] wan0 – out0. Frames can be redirected to a veth whose peer polls, as it does with GRO."""
        machine = self.setting.machine
        machine.wire(box, "lan0", gen, "gen0", mac=colons(traffic.LAN_MAC))
        machine.wire(box, "wan0", sink, "out0", mac=colons(traffic.WAN_MAC))
        for device in ("lan0", "wan0"):
            box.run("ethtool", "-K", device, "gro", "on")
        for device, address in (("lan0", traffic.LAN_ADDRESS), ("wan0", traffic.WAN_ADDRESS)):
            box.ip("address", "add", f"{address}/24", "dev", device)
        box.ip("route", "add", "default", "via", traffic.WAN_ROUTER)
        box.ip("route", "add", traffic.INSIDE, "via", traffic.LAN_ROUTER)
        for router, device in ((traffic.WAN_ROUTER, "wan0"), (traffic.LAN_ROUTER, "lan0")):
            box.ip("neigh", "replace", router, "lladdr", "02:00:00:00:00:fe", "dev", device, "nud", "permanent")
        box.sysctls({"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.lan0.rp_filter": 0})
        box.run("nft", "-f", "-", stdin=RULES)
        sink.run("nft", "-f", "-", stdin=SINK)

    @staticmethod
    def read(host, device: str) -> tuple[int, int]:
        return host.inside(lambda: parse_dev(pathlib.Path("/proc/thread-self/net/dev").read_text(), device))

    def counts(self) -> Counts:
        return Counts(self.read(self.hosts["nft"], "lan0")[0], self.read(self.hosts["sink"], "out0")[0])

    def connections(self) -> int:
        return int(self.hosts["nft"].run("conntrack", "-C").split()[0])

    def stop(self) -> None:
        try:
            super().stop()
            if "nft" in self.hosts:
                self.hosts["nft"].run("conntrack", "-F", check=False)
        finally:
            while self.before:
                path, before = self.before.pop()
                path.write_text(before)
