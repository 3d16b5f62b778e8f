"""Open vSwitch with DPDK: its user-space connection tracker with source NAT, on the devices that testpmd has.

A database and a switch of our own, with directories of their own; the machine's service is not touched. Settings are
those of a fresh installation (exact-match cache on, its insertions as by default). The OpenFlow rules do what sluiced's
do: established packets pass, new ones of the inside are committed with source NAT, the TTL goes down, MACs are set.

A flow is established for OVS when it has seen an answer. So first answers come in at the outer port, from a file; then
that port is exchanged for a null device, and packets go one way as with all the others.

Its packet pool has 262,144 buffers (shared, MTU 1500), of which net_pcap keeps one for each flow.
"""
import pathlib
import re

from .. import traffic
from ..setting import Case
from .peer import Counts, Peer, Unable, missing

DAEMON = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
PACKAGE = "openvswitch-switch-dpdk"
MOST_FLOWS = 262144 - 65536
LAN, WAN = 1, 2
MEGABYTES = 1024

OUT = f"dec_ttl,mod_dl_src:02:70:63:61:70:01,mod_dl_dst:02:00:00:00:00:fe,output:{WAN}"
FLOWS = f"""\
table=0,priority=10,in_port={LAN},ip,actions=ct(nat,table=1)
table=0,priority=10,in_port={WAN},ip,actions=ct(nat,table=2)
table=0,priority=0,actions=drop
table=1,priority=40,ct_state=+trk+est,ip,actions={OUT}
table=1,priority=30,ct_state=+trk+inv,ip,actions=drop
table=1,priority=20,ct_state=+trk+new,ip,nw_dst=192.0.2.0/24,actions=drop
table=1,priority=10,ct_state=+trk+new,ip,nw_src={traffic.INSIDE},actions=ct(commit,nat(src={traffic.WAN_ADDRESS})),{OUT}
table=2,priority=10,ct_state=+trk+est,ip,actions=dec_ttl,output:{LAN}
"""
PORT = re.compile(r"port \d+: (\w+) \(dpdk.*?RX packets:(\d+).*?TX packets:(\d+)", re.S)
TOTAL = re.compile(r"Total: (\d+)")


def parse_ports(text: str) -> dict[str, tuple[int, int]]:
    """Packets received and sent, of the DPDK ports in `dpctl/show -s`."""
    return {name: (int(received), int(sent)) for name, received, sent in PORT.findall(text)}


def parse_counts(text: str) -> Counts:
    ports = parse_ports(text)
    if "lan" not in ports or "wan" not in ports:
        raise Unable(f"the switch has no such ports: {', '.join(ports) or 'none'}")
    return Counts(ports["lan"][0], ports["wan"][1])


class OvsDpdk(Peer):
    name, title = "ovs", "OVS-DPDK conntrack"

    def __init__(self, setting):
        super().__init__(setting)
        self.database = None

    def lacking(self) -> str | None:
        if not pathlib.Path(DAEMON).exists():
            return f"{DAEMON} is not installed (package {PACKAGE})"
        return missing("ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl", "ovs-appctl", package=PACKAGE)

    def unable(self, case: Case) -> str | None:
        if case.flows > MOST_FLOWS:
            return f"its packet pool has 262,144 buffers, and the device would keep one for each of {case.flows} flows"
        return None

    def start(self, case: Case) -> None:
        machine = self.setting.machine
        self.host = machine.hosts.get("ovs") or machine.host("ovs")
        self.directory = pathlib.Path(machine.path("ovs"))
        self.directory.mkdir(exist_ok=True)
        for old in self.directory.iterdir():
            old.unlink()
        self.start_daemons()
        self.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        for name, number, direction in (("lan", LAN, "out"), ("answers", WAN, "in")):
            pcap = self.setting.traffic.file(case.protocol, case.flows, direction)
            self.add_port(name, number, f"net_pcap{number},rx_pcap={pcap},infinite_rx=1")
        rules = self.directory / "flows"
        rules.write_text(FLOWS)
        self.run("ovs-ofctl", "-O", "OpenFlow13", "add-flows", f"unix:{self.directory}/br0.mgmt", str(rules))
        self.wait("all flows", lambda: self.connections() >= case.flows)
        seen = self.count_port("answers")[0]
        self.wait("answers", lambda: self.count_port("answers")[0] >= seen + 4 * case.flows)
        self.vsctl("del-port", "answers")
        self.add_port("wan", WAN, "net_null1,no-rx=1")
        self.wait_for_packets(case.flows)

    def start_daemons(self) -> None:
        machine, at = self.setting.machine, self.directory
        self.run("ovsdb-tool", "create", str(at / "conf.db"), SCHEMA)
        self.database = machine.spawn("ovsdb", self.inside(
            "ovsdb-server", str(at / "conf.db"), f"--remote=punix:{at}/db.sock", f"--unixctl={at}/db.ctl",
            f"--pidfile={at}/db.pid"))
        self.wait("the database", (at / "db.sock").exists)
        self.vsctl("--no-wait", "init")
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                   f"other_config:dpdk-lcore-mask={1 << self.setting.other:#x}",
                   f"other_config:pmd-cpu-mask={1 << self.setting.core:#x}",
                   f"other_config:dpdk-socket-mem={MEGABYTES}",
                   "other_config:dpdk-extra=--no-pci --in-memory --iova-mode=va")
        self.process = machine.spawn("ovs-vswitchd", self.inside(
            DAEMON, f"unix:{at}/db.sock", f"--unixctl={at}/vswitchd.ctl", f"--pidfile={at}/vswitchd.pid"))
        self.wait("the switch", (at / "vswitchd.ctl").exists)

    def inside(self, *words: str) -> list[str]:
        places = [f"OVS_{what}DIR={self.directory}" for what in ("RUN", "LOG", "DB", "SYSCONF")]
        return self.host.command("env", *places, *words)

    def run(self, *words: str) -> str:
        """A command of OVS. Raises LabError when it fails."""
        return self.host.run("env", f"OVS_RUNDIR={self.directory}", *words, timeout=30)

    def vsctl(self, *words: str) -> str:
        return self.run("ovs-vsctl", "--timeout=20", f"--db=unix:{self.directory}/db.sock", *words)

    def appctl(self, *words: str) -> str:
        return self.run("ovs-appctl", "-t", f"{self.directory}/vswitchd.ctl", *words)

    def add_port(self, name: str, number: int, device: str) -> None:
        self.vsctl("add-port", "br0", name, "--", "set", "Interface", name, "type=dpdk", f"ofport_request={number}",
                   f"options:dpdk-devargs={device}")
        complaint = self.vsctl("get", "Interface", name, "error").strip()
        if complaint not in ("[]", '""'):
            raise Unable(f"port {name}: {complaint}")

    def count_port(self, name: str) -> tuple[int, int]:
        return parse_ports(self.appctl("dpctl/show", "-s"))[name]

    def counts(self) -> Counts:
        return parse_counts(self.appctl("dpctl/show", "-s"))

    def connections(self) -> int:
        found = TOTAL.search(self.appctl("dpctl/ct-stats-show"))
        return int(found.group(1)) if found else 0

    def stop(self) -> None:
        super().stop()
        if self.database is not None:
            self.database.stop(timeout=5)
            self.database = None
