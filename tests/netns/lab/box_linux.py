"""The judge: Linux itself in the middle, with the nftables rules that a configuration of sluice stands for."""
from . import config as config_module
from .machine import LabError

TIMEOUTS = {"generic": "nf_conntrack_generic_timeout", "icmp": "nf_conntrack_icmp_timeout",
            "udp": "nf_conntrack_udp_timeout", "udp_stream": "nf_conntrack_udp_timeout_stream"}
TIMEOUTS |= {f"tcp_{state}": f"nf_conntrack_tcp_timeout_{state}" for state in (
    "syn_sent", "syn_recv", "established", "fin_wait", "close_wait", "last_ack", "time_wait", "close", "max_retrans",
    "unacknowledged")}
TIMEOUTS |= {f"sctp_{state}": f"nf_conntrack_sctp_timeout_{state}" for state in (
    "closed", "cookie_wait", "cookie_echoed", "established", "shutdown_sent", "shutdown_recd", "shutdown_ack_sent",
    "heartbeat_sent")}
TIMEOUTS |= {"gre": "nf_conntrack_gre_timeout", "gre_stream": "nf_conntrack_gre_timeout_stream"}
# Keys of conntrack.tcp that are sysctls of the same name.
SWITCHES = {"loose": 1, "be_liberal": 0, "ignore_invalid_rst": 0, "max_retrans": 3}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
REJECTS = {"port-unreachable": "reject with icmp port-unreachable",
           "admin-prohibited": "reject with icmp admin-prohibited", "tcp-reset": "reject with tcp reset"}


def seconds(text):
    return int(text[:-1]) * UNITS[text[-1]] if isinstance(text, str) else int(text)


def items(value):
    return value if isinstance(value, list) else [value]


def set_of(value, groups):
    """An nft set of a YAML value: a single thing, a list, or the name of a group; with != in front for all but these."""
    unequal = ""
    if isinstance(value, dict):
        value, unequal = value["not"], "!= "
    elif isinstance(value, str) and value.startswith("!"):
        value, unequal = value[1:], "!= "
    members = []
    for item in items(value):
        members += items(groups[item]) if isinstance(item, str) and item in groups else [item]
    return unequal + (str(members[0]) if len(members) == 1 else "{ " + ", ".join(map(str, members)) + " }")


def number(text):
    return int(str(text), 0)


def mark_match(field, value):
    """`field` is meta mark or ct mark; the value 1, 0x10/0xf0, "!2" or {not: …}."""
    unequal = isinstance(value, dict) or str(value).startswith("!")
    text = str(value["not"] if isinstance(value, dict) else value).removeprefix("!")
    wanted, slash, mask = text.partition("/")
    masked = f"{field} & {number(mask):#x}" if slash else field
    return f"{masked} {'!=' if unequal else '=='} {number(wanted):#x}"


def mark_set(field, other, value):
    """nft has no words for some bits of the other mark alone."""
    wanted, slash, mask = str(value).partition("/")
    if wanted in ("mark", "ct_mark"):
        if slash:
            raise LabError(f"{value}: nft copies marks whole")
        return f"{field} set {other}"
    if not slash:
        return f"{field} set {number(wanted):#x}"
    return f"{field} set {field} & {~number(mask) & 0xffffffff:#x} | {number(wanted):#x}"


class Rules:
    """One configuration as an nft script."""

    def __init__(self, config):
        self.config = config
        self.devices = {port["name"]: port["device"].split("iface=")[1] for port in config["ports"]}
        self.addresses = config.get("groups", {}).get("addresses", {})
        self.ports = config.get("groups", {}).get("ports", {})

    def match(self, rule):
        words = []
        for key, field in (("in", "iifname"), ("out", "oifname")):
            if key in rule:
                words.append(f"{field} " + set_of([f'"{self.devices[name]}"' for name in items(rule[key])], {}))
        for key, field in (("src", "saddr"), ("dst", "daddr")):
            if key in rule:
                words.append(f"ip {field} {set_of(rule[key], self.addresses)}")
        if rule.get("proto", "any") != "any":
            words.append(f"meta l4proto {rule['proto']}")
        for key in ("sport", "dport"):
            if key in rule:
                words.append(f"{rule['proto']} {key} {set_of(rule[key], self.ports)}")
        if "icmp_type" in rule:
            words.append(f"icmp type {rule['icmp_type']}")
        if "state" in rule:
            words.append(f"ct state {set_of(rule['state'], {})}")
        for key, field in (("mark", "meta mark"), ("ct_mark", "ct mark")):
            if key in rule:
                words.append(mark_match(field, rule[key]))
        # In front of the counter: a rule that copies the mark of a flow to a packet without one ends there.
        words += self.sets(rule.get("set", {}))
        return " ".join(words)

    @staticmethod
    def sets(values):
        words = []
        if "mark" in values:
            words.append(mark_set("meta mark", "ct mark", values["mark"]))
        if "ct_mark" in values:
            words.append(mark_set("ct mark", "meta mark", values["ct_mark"]))
        if "timeout" in values:
            words.append(f'ct timeout set "{values["timeout"]}"')
        return words

    def action(self, rule):
        if "action" not in rule:
            return ""
        if rule["action"] == "notrack":     # sluice asks no raw rule behind it
            return "notrack accept"
        if rule["action"] == "reject":
            return REJECTS[rule.get("reject_with", "port-unreachable")]
        return rule["action"]

    def chain(self, name):
        chain = self.config.get("filter", {}).get(name, {})
        return self.chain_of(name, f"hook {name} priority 0; policy {chain.get('policy', 'accept')};",
                             chain.get("rules", []))

    def chain_of(self, name, hook, rules):
        lines = [f"type filter {hook}"]
        for rule in rules:
            comment = f' comment "{rule["comment"]}"' if "comment" in rule else ""
            lines.append(f"{self.match(rule)} counter {self.action(rule)}{comment}")
        return f"chain {name} {{\n" + "\n".join(lines) + "\n}"

    def raw(self):
        raw = self.config.get("raw", {})
        return (self.chain_of("raw", "hook prerouting priority raw;", raw.get("prerouting", [])) + "\n" +
                self.chain_of("raw_output", "hook output priority raw;", raw.get("output", [])))

    def source(self, to):
        if to == "masquerade":
            return "masquerade"
        ports = f":{to['ports']}" if "ports" in to else ""
        if to["to"] == "masquerade":
            return "masquerade" + (f" to {ports}" if ports else "")
        pool = [member for item in items(to["to"]) for member in items(self.addresses.get(item, item))]
        if len(pool) > 1:       # consecutive addresses: nft knows no other pool
            pool = [f"{pool[0]}-{pool[-1]}"]
        return f"snat to {pool[0]}{ports}"

    def target(self, to):
        port = f":{to['port']}" if "port" in to else ""
        hosts = [member for item in items(to["to"]) for member in items(self.addresses.get(item, item))]
        if len(hosts) == 1:
            return f"dnat to {hosts[0]}{port}"
        turns = ", ".join(f"{i} : {host}" for i, host in enumerate(hosts))
        return f"dnat to numgen inc mod {len(hosts)} map {{ {turns} }}{port}"

    def nat(self):
        source = ["type nat hook postrouting priority 100;"]
        target = ["type nat hook prerouting priority -100;"]
        for rule in self.config.get("nat", []):
            if "snat" in rule:
                if "ports" in rule["snat"] and "proto" not in rule:     # nft wants to know that there are ports
                    rule = dict(rule, proto="{ tcp, udp }")
                source.append(f"{self.match(rule)} counter {self.source(rule['snat'])}")
            else:
                target.append(f"{self.match(rule)} counter {self.target(rule['dnat'])}")
        return ("chain postrouting {\n" + "\n".join(source) + "\n}\nchain prerouting {\n" + "\n".join(target) + "\n}")

    def timeouts(self):
        """nft has objects for TCP and UDP alone. It fills in what a policy does not name by defaults of its own, so all
        that a sysctl has changed is named."""
        conntrack = self.config.get("conntrack", {})
        usual = conntrack.get("timeouts", {})
        words = {"max_retrans": "retrans", "unacknowledged": "unack"}
        objects = ""
        for name, policy in conntrack.get("timeout_policies", {}).items():
            if policy["proto"] == "udp":
                values = {"unreplied": usual.get("udp", 30), "replied": usual.get("udp_stream", 120)}
            else:
                values = {key.removeprefix("tcp_"): value for key, value in usual.items() if key.startswith("tcp_")}
            values |= {key: value for key, value in policy.items() if key != "proto"}
            pairs = ", ".join(f"{words.get(key, key)} : {seconds(value)}" for key, value in values.items())
            objects += f"ct timeout {name} {{ protocol {policy['proto']}; l3proto ip; policy = {{ {pairs} }}\n}}\n"
        return objects

    def script(self):
        ftp = self.config.get("helpers", {}).get("ftp", {})
        ports = ftp.get("ports", []) if ftp.get("enabled", True) else []
        helper = ""
        if ports:
            helper = ('ct helper ftp { type "ftp" protocol tcp; }\n'
                      "chain helpers {\ntype filter hook prerouting priority -150;\n"
                      f'tcp dport {set_of(ports, {})} ct helper set "ftp"\n}}\n')
        chains = "\n".join(self.chain(name) for name in ("input", "forward", "output"))
        # sluice tracks always, Linux when a rule asks for a state.
        track = "chain track {\ntype filter hook prerouting priority -150;\nct state untracked accept\n}"
        return f"table ip box\ndelete table ip box\ntable ip box {{\n{self.timeouts()}{helper}{track}\n{self.raw()}\n{chains}\n{self.nat()}\n}}\n"


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
        values = {TIMEOUTS[name]: seconds(value) for name, value in conntrack.get("timeouts", {}).items()
                  if name in TIMEOUTS}
        switches = conntrack.get("tcp", {})
        values |= {f"nf_conntrack_tcp_{name}": int(switches.get(name, default)) for name, default in SWITCHES.items()}
        values["nf_conntrack_acct"] = int(conntrack.get("accounting", True))
        values["nf_conntrack_timestamp"] = int(conntrack.get("timestamps", False))
        self.host.sysctls({f"net.netfilter.{name}": value for name, value in values.items()})
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
