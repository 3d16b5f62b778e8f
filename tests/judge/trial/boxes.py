"""The boxes in the middle, all with the same face:

    start(config)           once
    reload(config)          new rules and timeouts; BoxRefused when the box cannot have them
    flush()                 no flow, no expectation
    play(sent, to_box)      packets in, [(port, IP packet)] → packets out, {port: [frame]}
    flows()                 what it tracks, listing.Flow; read the quick way
    listing()               the lines of the program for people: conntrack(8), sluicectl conntrack -L
    expectations()          what it expects, texts that can be compared
    counters()              {chain: [packets of each filter rule]}
    passes(seconds)         this much time goes by (for boxes whose clock is not the wall's)
    stop()

Linux and sluiced sit in namespaces of their own between two veth pairs; what is outside is in wires.py.
"""
import http.client
import json
import socket
import struct
import time

from lab.box_linux import OTHER_FAMILY, LinuxBox
from lab.box_sluice import SluiceBox
from lab.machine import LabError, sh

from . import compare, listing
from . import wires as wires_module
from .language import HOSTS, LAN_NETS, WAN_NETS, side_of
from .wires import Wires, host_mac, mac_text

ROUTERS = ("203.0.113.254", "2001:db8:2::fe")
SENTINEL_RULES = [{"src": wires_module.INSIDE, "action": "accept", "comment": "sentinel"},
                  {"src": wires_module.OUTSIDE, "action": "accept", "comment": "sentinel"}]
INPUT_RULES = [{"src": wires_module.INSIDE, "action": "accept", "comment": "sentinel"}]
OUTPUT_RULES = [{"dst": wires_module.INSIDE, "action": "accept", "comment": "sentinel"}]
CHAINS = ("raw", "raw_output", "input", "forward", "output")
QUIET = {"net.ipv6.conf.all.disable_ipv6": 1, "net.ipv6.conf.default.disable_ipv6": 1,
         "net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.default.rp_filter": 0,
         "net.ipv4.conf.all.send_redirects": 0, "net.ipv4.conf.default.send_redirects": 0,
         # Not by icmp_ratelimit: the limit for packets without a route counts what that one has let pass.
         "net.ipv4.icmp_ratemask": 0, "net.ipv4.icmp_msgs_per_sec": 1000000, "net.ipv4.icmp_msgs_burst": 100000,
         "net.ipv4.icmp_echo_ignore_broadcasts": 1}
# A box speaks IPv6, but never of itself: no detection of duplicates, no search for routers.
QUIET_BOX = {"net.ipv6.conf.all.disable_ipv6": 0, "net.ipv6.conf.default.disable_ipv6": 0,
             "net.ipv6.conf.all.accept_dad": 0, "net.ipv6.conf.default.accept_dad": 0,
             "net.ipv6.conf.default.dad_transmits": 0, "net.ipv6.conf.default.router_solicitations": 0,
             "net.ipv6.conf.default.accept_ra": 0, "net.ipv6.conf.default.autoconf": 0,
             "net.ipv6.auto_flowlabels": 0, "net.ipv6.icmp.ratelimit": 0}


class BoxRefused(Exception):
    """The box cannot have this configuration."""


def with_sentinels(config):
    """The configuration with rules in front that let the sentinels through."""
    result = json.loads(json.dumps(config))
    chains = result.setdefault("filter", {})
    for name, rules in (("forward", SENTINEL_RULES), ("input", INPUT_RULES), ("output", OUTPUT_RULES)):
        chain = chains.setdefault(name, {"policy": "accept", "rules": []})
        chain["rules"] = rules + chain.get("rules", [])
    raw = result.get("raw", {})
    for name, rules in (("prerouting", SENTINEL_RULES), ("output", OUTPUT_RULES)):
        if raw.get(name):       # without rules of its own the box has none: as most are
            raw[name] = rules + raw[name]
    return result


class Place:
    """What a box of tests/netns/lab takes for its laboratory: the machine, with this host in the middle."""

    def __init__(self, machine, host):
        self.machine, self.box_host = machine, host

    def __getattr__(self, name):
        return getattr(self.machine, name)


class Wired:
    """A box in a namespace, and the far ends of its wires in another."""

    def __init__(self, machine, short):
        self.machine = machine
        self.host = machine.host("box" + short)
        self.outside = machine.host("wire" + short)
        self.host.sysctls(QUIET | QUIET_BOX)
        self.outside.sysctls(QUIET)
        for device, port in (("l1", "lan"), ("w1", "wan"), ("l2", "lan2")):
            machine.wire(self.host, device, self.outside, port, mac_text(wires_module.MACS[port]))
        self.wires = Wires(self.outside)
        self.lab = Place(machine, self.host)

    def start(self, config):
        self.box.start(with_sentinels(config))
        lines = []
        for address in [*HOSTS.values(), wires_module.INSIDE, wires_module.OUTSIDE, *ROUTERS]:
            if address.startswith(LAN_NETS + WAN_NETS) and address not in compare.BOX_ADDRESSES:
                side = side_of(address)
                lines += [f"neigh replace {address} lladdr {mac_text(host_mac(address))} dev {self.box.twins[port]} "
                          "nud permanent" for port in ((side, "lan2") if side == "lan" else (side,))]
        self.host.run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")
        self.warm_up()

    def warm_up(self):
        """Until sentinels pass, both ways and to the box."""
        patience, wires_module.PATIENCE = wires_module.PATIENCE, 0.2
        end = time.monotonic() + 15
        try:
            while True:
                try:
                    self.play([], to_box=True)
                    return
                except LabError:
                    self.box.check_alive()
                    if time.monotonic() > end:
                        raise
        finally:
            wires_module.PATIENCE = patience

    def reload(self, config):
        try:
            self.box.reload(with_sentinels(config))
        except LabError as error:
            raise BoxRefused(str(error)) from None

    def play(self, sent, to_box=False):
        try:
            return self.wires.play(sent, to_box)
        except LabError:
            self.box.check_alive()
            raise

    def passes(self, seconds):
        pass

    def check_alive(self):
        self.box.check_alive()

    def stop(self):
        self.wires.close()
        self.box.stop()


class LinuxInTheMiddle(Wired):
    name = "linux"

    def __init__(self, machine):
        super().__init__(machine, "linux")
        self.box = LinuxBox(self.lab)
        self.host.sysctl("net.netfilter.nf_conntrack_acct", 1)
        self.kernel = self.host.inside(Kernel)

    def start(self, config):
        for port in config["ports"]:
            if "mtu" in port:
                self.host.ip("link", "set", port["device"].split("iface=")[1], "mtu", str(port["mtu"]))
        super().start(config)
        for port in ("lan", "wan"):
            self.host.ip("addr", "replace", HOSTS[port + "ll"] + "/64", "dev", self.box.twins[port], "nodad")
        for route in config.get("routes", []):
            self.host.ip("route", "replace", route["to"], "via", route["via"])

    def flush(self):
        self.kernel.flush()

    def flows(self):
        return listing.flows(self.kernel.table("nf_conntrack"))

    def listing(self):
        return self.box.conntrack()

    def expectations(self):
        return listing.expectations(self.kernel.table("nf_conntrack_expect"))

    def counters(self):
        listed = json.loads(self.host.run("nft", "-j", "list", "table", "inet", "box"))["nftables"]
        counts = {}
        for item in listed:
            rule = item.get("rule")
            if rule and rule["chain"] in CHAINS and rule.get("comment") != "sentinel":
                packets = [e["counter"]["packets"] for e in rule["expr"] if "counter" in e]
                found = counts.setdefault(rule["chain"], [])
                if rule.get("comment") == OTHER_FAMILY:     # of the rule before it
                    found[-1] += sum(packets)
                else:
                    found.extend(packets)
        return counts

    def stop(self):
        self.kernel.close()
        super().stop()


class Kernel:
    """The connection table of the namespace in which it was made, without a program for every look."""

    NFNL, FLOWS, EXPECTATIONS, DELETE = 12, 1, 2, 2

    def __init__(self):
        self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, self.NFNL)
        self.files = {name: open(f"/proc/thread-self/net/{name}") for name in ("nf_conntrack", "nf_conntrack_expect")}

    def table(self, name):
        self.files[name].seek(0)
        return self.files[name].read().splitlines()

    def flush(self):
        for subsystem in (self.EXPECTATIONS, self.FLOWS):
            kind = subsystem << 8 | self.DELETE
            request_and_ack = 1 | 4
            self.netlink.send(struct.pack("=IHHII", 20, kind, request_and_ack, 1, 0) +
                              struct.pack("=BBH", socket.AF_INET, 0, 0))
            error = struct.unpack("=i", self.netlink.recv(4096)[16:20])[0]
            if error:
                raise LabError(f"the kernel does not flush its table: error {-error}")

    def close(self):
        self.netlink.close()
        for file in self.files.values():
            file.close()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class SluicedInTheMiddle(Wired):
    name = "sluice"

    def __init__(self, machine, build):
        super().__init__(machine, "sluice")
        self.box = SluiceBox(self.lab, build)
        self.api = UnixConnection(self.box.socket_path)

    def ask(self, method, path):
        try:
            self.api.request(method, path)
            answer = self.api.getresponse()
        except (OSError, http.client.HTTPException):      # it closes what was idle for long
            self.api.close()
            self.api.request(method, path)
            answer = self.api.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise BoxRefused(text)
        return json.loads(text)

    def reload(self, config):
        self.box.write(with_sentinels(config))
        self.ask("POST", "/v1/reload")

    def flush(self):
        self.ask("DELETE", "/v1/flows")

    def flows(self):
        return listing.from_json(self.ask("GET", "/v1/flows"))

    def listing(self):
        out = sh(self.box.ctl, "--socket", self.box.socket_path, "conntrack", "-L")
        return [line for line in out.splitlines() if " src=" in line]

    def expectations(self):
        return listing.expectations_from_json(self.ask("GET", "/v1/expectations"))

    def counters(self):
        counts = {}
        for rule in self.ask("GET", "/v1/rules"):
            # Number 0 is the policy of the chain, which nft does not count.
            if rule["chain"] in CHAINS and rule["number"] and rule["comment"] != "sentinel":
                counts.setdefault(rule["chain"], []).append(rule["packets"])
        return counts

    def stop(self):
        self.api.close()
        super().stop()
