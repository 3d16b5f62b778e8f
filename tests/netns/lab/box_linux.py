"""The judge: Linux itself in the middle, with the nftables rules that a configuration of sluice stands for."""
from . import config as config_module
from .machine import LabError

TIMEOUTS = {"tcp_established": "nf_conntrack_tcp_timeout_established", "udp": "nf_conntrack_udp_timeout",
            "udp_stream": "nf_conntrack_udp_timeout_stream", "icmp": "nf_conntrack_icmp_timeout",
            "generic": "nf_conntrack_generic_timeout"}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text):
    return int(text[:-1]) * UNITS[text[-1]] if isinstance(text, str) else int(text)


def set_of(value, groups):
    """An nft set of a YAML value: a single thing, a list, or the name of a group."""
    if isinstance(value, str) and value in groups:
        value = groups[value]
    if isinstance(value, list):
        return "{ " + ", ".join(str(item) for item in value) + " }"
    return str(value)


class Rules:
    """One configuration as an nft script."""

    def __init__(self, config):
        self.config = config
        self.devices = {port["name"]: port["device"].split("iface=")[1] for port in config["ports"]}
        self.addresses = config.get("groups", {}).get("addresses", {})
        self.ports = config.get("groups", {}).get("ports", {})

    def match(self, rule):
        words = []
        if "in" in rule:
            words.append(f'iifname "{self.devices[rule["in"]]}"')
        if "out" in rule:
            words.append(f'oifname "{self.devices[rule["out"]]}"')
        for key, field in (("src", "saddr"), ("dst", "daddr")):
            if key in rule:
                words.append(f"ip {field} {set_of(rule[key], self.addresses)}")
        if "proto" in rule:
            words.append(f"meta l4proto {rule['proto']}")
        for key in ("sport", "dport"):
            if key in rule:
                words.append(f"{rule['proto']} {key} {set_of(rule[key], self.ports)}")
        if "state" in rule:
            words.append(f"ct state {set_of(rule['state'], {})}")
        return " ".join(words)

    def chain(self, name):
        chain = self.config.get("filter", {}).get(name, {"policy": "accept"})
        lines = [f"type filter hook {name} priority 0; policy {chain['policy']};"]
        for rule in chain.get("rules", []):
            comment = f' comment "{rule["comment"]}"' if "comment" in rule else ""
            lines.append(f"{self.match(rule)} counter {rule['action']}{comment}")
        return f"chain {name} {{\n" + "\n".join(lines) + "\n}"

    def nat(self):
        source = ["type nat hook postrouting priority 100;"]
        target = ["type nat hook prerouting priority -100;"]
        for rule in self.config.get("nat", []):
            match = self.match(rule)
            if "snat" in rule:
                to = "masquerade" if rule["snat"] == "masquerade" else f"snat to {rule['snat']['to']}"
                source.append(f"{match} counter {to}")
            else:
                to = rule["dnat"]
                port = f":{to['port']}" if "port" in to else ""
                target.append(f"{match} counter dnat to {to['to']}{port}")
        return ("chain postrouting {\n" + "\n".join(source) + "\n}\nchain prerouting {\n" + "\n".join(target) + "\n}")

    def script(self):
        ports = self.config.get("helpers", {}).get("ftp", {}).get("ports", [])
        helper = ""
        if ports:
            helper = ('ct helper ftp { type "ftp" protocol tcp; }\n'
                      "chain helpers {\ntype filter hook prerouting priority -150;\n"
                      f'tcp dport {set_of(ports, {})} ct helper set "ftp"\n}}\n')
        chains = "\n".join(self.chain(name) for name in ("input", "forward", "output"))
        return f"table ip box\ndelete table ip box\ntable ip box {{\n{helper}{chains}\n{self.nat()}\n}}\n"


class LinuxBox:
    kind = "linux"
    twins = {"lan": "l1", "wan": "w1"}      # the devices that carry the box's addresses

    def __init__(self, lab):
        self.lab, self.host, self.running = lab, lab.box_host, False

    def start(self, config=None):
        self.config = config or config_module.base()
        for port in self.config["ports"]:
            device = port["device"].split("iface=")[1]
            self.host.ip("addr", "flush", "dev", device)
            for address in port["addresses"]:
                self.host.ip("addr", "add", address, "dev", device)
            self.host.ip("link", "set", device, "up")
        self.host.sysctl("net.ipv4.ip_forward", 1)
        self.reload(self.config)
        self.running = True

    def reload(self, config):
        self.config = config
        conntrack = config.get("conntrack", {})
        for name, value in conntrack.get("timeouts", {}).items():
            self.host.sysctl(f"net.netfilter.{TIMEOUTS[name]}", seconds(value))
        self.host.run("nft", "-f", "-", stdin=Rules(config).script())

    def stop(self):
        if self.running:
            self.running = False
            self.host.sysctl("net.ipv4.ip_forward", 0)
            self.host.run("nft", "delete", "table", "ip", "box")
            self.host.run("conntrack", "-F", check=False)

    def kill9(self):
        raise LabError("Linux cannot be killed")

    def check_alive(self):
        pass

    def conntrack(self, *options):
        """The lines of the connection listing."""
        lines = self.host.run("conntrack", "-L", *options).splitlines()
        return [line for line in lines if " src=" in line]

    def rules(self):
        return self.host.run("nft", "list", "table", "ip", "box")

    def stats(self):
        return self.host.run("conntrack", "-S")

    def metrics(self):
        return ""

    def log(self):
        return self.rules() if self.running else ""
