"""The judge: Linux itself in the middle, with the nftables rules that a configuration of sluice stands for."""
import ipaddress

from . import config as config_module
from .machine import LabError

TIMEOUTS = {"generic": "nf_conntrack_generic_timeout", "icmp": "nf_conntrack_icmp_timeout",
            "icmpv6": "nf_conntrack_icmpv6_timeout",
            "udp": "nf_conntrack_udp_timeout", "udp_stream": "nf_conntrack_udp_timeout_stream"}
TIMEOUTS |= {f"tcp_{state}": f"nf_conntrack_tcp_timeout_{state}" for state in (
    "syn_sent", "syn_recv", "established", "fin_wait", "close_wait", "last_ack", "time_wait", "close", "max_retrans",
    "unacknowledged")}
TIMEOUTS |= {f"sctp_{state}": f"nf_conntrack_sctp_timeout_{state}" for state in (
    "closed", "cookie_wait", "cookie_echoed", "established", "shutdown_sent", "shutdown_recd", "shutdown_ack_sent",
    "heartbeat_sent")}
TIMEOUTS |= {"gre": "nf_conntrack_gre_timeout", "gre_stream": "nf_conntrack_gre_timeout_stream"}
# There when the rules are, which ask for conntrack and with it for whole datagrams.
FRAGMENTS = ("net.ipv4.ipfrag_time", "net.netfilter.nf_conntrack_frag6_timeout")
# Keys of conntrack.tcp that are sysctls of the same name.
SWITCHES = {"loose": 1, "be_liberal": 0, "ignore_invalid_rst": 0, "max_retrans": 3}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
REJECTS = {"port-unreachable": "reject with icmpx port-unreachable",
           "admin-prohibited": "reject with icmpx admin-prohibited", "tcp-reset": "reject with tcp reset"}
FAMILIES = {4: ("ip", "ipv4"), 6: ("ip6", "ipv6")}
OTHER_FAMILY = "the same for IPv6"     # comment of the second nft rule of a rule whose addresses are of both families


def seconds(text):
    return int(text[:-1]) * UNITS[text[-1]] if isinstance(text, str) else int(text)


def items(value):
    return value if isinstance(value, list) else [value]


def members_of(value, groups):
    """What a YAML value stands for: a single thing, a list, or the name of a group; with != in front for all but
    these: (unequal, members)."""
    unequal = ""
    if isinstance(value, dict):
        value, unequal = value["not"], "!= "
    elif isinstance(value, str) and value.startswith("!"):
        value, unequal = value[1:], "!= "
    members = []
    for item in items(value):
        members += members_of(groups[item], groups)[1] if isinstance(item, str) and item in groups else [item]
    return unequal, members


def set_text(unequal, members):
    return unequal + (str(members[0]) if len(members) == 1 else "{ " + ", ".join(map(str, members)) + " }")


def set_of(value, groups):
    return set_text(*members_of(value, groups))


def family_of(address):
    return 6 if ":" in address else 4


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

    def families(self, rule):
        """Of which families a rule's packets can be. An address says it, negated or not."""
        families = {"ipv4": {4}, "ipv6": {6}}.get(rule.get("family"), {4, 6})
        if "icmp_type" in rule:
            families = families & ({6} if rule["proto"] == "icmpv6" else {4})
        for key in ("src", "dst"):
            if key in rule:
                families = families & set(map(family_of, members_of(rule[key], self.addresses)[1]))
        for target in (rule.get("snat"), rule.get("dnat")):
            if isinstance(target, dict) and target["to"] != "masquerade":
                families = families & set(map(family_of, members_of(target["to"], self.addresses)[1]))
        return families

    def matches(self, rule):
        """The conditions of the nft rules for one rule: two when it names addresses of both families."""
        families = sorted(self.families(rule))
        if "src" in rule or "dst" in rule:
            return [self.match(rule, family) for family in families]
        return [self.match(rule, families[0] if len(families) == 1 else None)]

    def match(self, rule, family):
        words = []
        for key, field in (("in", "iifname"), ("out", "oifname")):
            if key in rule:
                words.append(f"{field} " + set_of([f'"{self.devices[name]}"' for name in items(rule[key])], {}))
        for key, field in (("src", "saddr"), ("dst", "daddr")):
            if key in rule:
                unequal, members = members_of(rule[key], self.addresses)
                members = [member for member in members if family_of(member) == family]
                words.append(f"{FAMILIES[family][0]} {field} {set_text(unequal, members)}")
        if family is not None and "src" not in rule and "dst" not in rule:
            words.append(f"meta nfproto {FAMILIES[family][1]}")
        if rule.get("proto", "any") != "any":
            words.append(f"meta l4proto {'ipv6-icmp' if rule['proto'] == 'icmpv6' else rule['proto']}")
        for key in ("sport", "dport"):
            if key in rule:
                words.append(f"{rule['proto']} {key} {set_of(rule[key], self.ports)}")
        if "icmp_type" in rule:
            words.append(f"{rule['proto']} type {rule['icmp_type']}")
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
            for match in self.matches(rule):
                lines.append(f"{match} counter {self.action(rule)}{comment}")
                comment = f' comment "{OTHER_FAMILY}"' if comment != ' comment "sentinel"' else comment
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
        pool = members_of(to["to"], self.addresses)[1]
        return f"snat {self.place(pool[0], pool[-1], ports)}"

    def target(self, to):
        port = f":{to['port']}" if "port" in to else ""
        hosts = members_of(to["to"], self.addresses)[1]
        if len(hosts) == 1:
            return f"dnat {self.place(hosts[0], hosts[0], port)}"
        turns = ", ".join(f"{i} : {host}" for i, host in enumerate(hosts))
        return f"dnat {FAMILIES[family_of(hosts[0])][0]} to numgen inc mod {len(hosts)} map {{ {turns} }}{port}"

    @staticmethod
    def place(first, last, ports):
        """Consecutive addresses: nft knows no other pool."""
        name = FAMILIES[family_of(first)][0]
        texts = [f"[{one}]" if name == "ip6" and ports else one for one in (first, last)]
        return f"{name} to {texts[0] if first == last else '-'.join(texts)}{ports}"

    def nat(self):
        source = ["type nat hook postrouting priority 100;"]
        target = ["type nat hook prerouting priority -100;"]
        for rule in self.config.get("nat", []):
            if "snat" in rule:
                if "ports" in rule["snat"] and "proto" not in rule:     # nft wants to know that there are ports
                    rule = dict(rule, proto="{ tcp, udp }")
                source += [f"{match} counter {self.source(rule['snat'])}" for match in self.matches(rule)]
            else:
                target += [f"{match} counter {self.target(rule['dnat'])}" for match in self.matches(rule)]
        return ("chain postrouting {\n" + "\n".join(source) + "\n}\nchain prerouting {\n" + "\n".join(target) + "\n}")

    def zones(self):
        """sluice takes the zone of a tuple from the port by which its packets come; Linux is told, and a flow of it has
        one zone: of its original tuple, of its reply (DNAT with `zone` to one address), or, with the box itself, of
        both. Which of them a packet asks for it must say itself. The mark is for the way: see `route_zones`."""
        inside, away, way = [], [], []
        for rule in self.config.get("nat", []):
            target = rule.get("dnat", {})
            if "zone" in target:
                tenants = set_of([f'"{self.devices[port["name"]]}"' for port in self.config["ports"]
                                  if port.get("zone") == target["zone"]], {})
                answers = (f"iifname {tenants} {FAMILIES[family_of(target['to'])][0]} saddr {target['to']} "
                           f"{rule['proto']} sport {target.get('port', rule.get('dport'))}")
                inside += [f"{match} ct reply zone set {target['zone']}" for match in [*self.matches(rule), answers]]
        for port in self.config["ports"]:
            zone, device = port.get("zone", 0), self.devices[port["name"]]
            if zone:
                inside += [f'iifname "{device}" fib daddr type local ct zone set {zone}',
                           f'iifname "{device}" ct original zone set {zone}']
                away.append(f'oifname "{device}" ct zone set {zone}')
                way += [f'iifname "{device}" meta mark set {zone}',
                        f"ct direction reply ct original zone {zone} meta mark set {zone}",
                        f"ct direction original ct reply zone {zone} meta mark set {zone}"]
        if not away:
            return ""
        chains = (("zones", "prerouting priority -310", inside), ("zones_output", "output priority -310", away),
                  ("zones_way", "prerouting priority -140", way))
        return "".join(f"chain {name} {{\ntype filter hook {hook};\n" + "\n".join(rules) + "\n}\n"
                       for name, hook, rules in chains)

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
        return ("table inet box\ndelete table inet box\ntable inet box {\n"
                f"{self.timeouts()}{self.zones()}{helper}{track}\n{self.raw()}\n{chains}\n{self.nat()}\n}}\n")


def route_zones(host, config, devices):
    """What has the mark of a zone goes by the routes of its ports first. What the box answers takes the mark along."""
    zones = {port["zone"] for port in config["ports"] if port.get("zone")}
    if not zones:
        return
    host.sysctls({"net.ipv4.fwmark_reflect": 1, "net.ipv4.tcp_fwmark_accept": 1, "net.ipv6.fwmark_reflect": 1,
                  "net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.default.rp_filter": 0})
    for zone in zones:
        for family in ("-4", "-6"):
            host.run("ip", family, "rule", "del", "pref", str(zone), check=False)
            host.ip(family, "rule", "add", "pref", str(zone), "fwmark", str(zone), "lookup", str(1000 + zone))
    for port in config["ports"]:
        for address in port["addresses"] if port.get("zone") else ():
            net = str(ipaddress.ip_interface(address).network)
            host.sysctl(f"net.ipv4.conf.{devices[port['name']]}.rp_filter", 0)
            host.ip("route", "replace", net, "dev", devices[port["name"]], "table", str(1000 + port["zone"]))


class LinuxBox:
    kind = "linux"
    twins = {"lan": "l1", "wan": "w1", "lan2": "l2"}      # the devices that carry the box's addresses

    def __init__(self, lab):
        self.lab, self.host, self.running = lab, lab.box_host, False

    def start(self, config=None):
        self.config = config or config_module.base()
        for port in self.config["ports"]:
            device = port["device"].split("iface=")[1]
            self.host.ip("addr", "flush", "dev", device, "scope", "global")
            for address in port["addresses"]:
                self.host.ip("addr", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
            self.host.ip("link", "set", device, "up")
        self.host.sysctls({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1})
        route_zones(self.host, self.config, {port["name"]: port["device"].split("iface=")[1]
                                             for port in self.config["ports"]})
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
        pieces = seconds(config.get("fragments", {}).get("timeout", 30))
        self.host.sysctls({name: pieces for name in FRAGMENTS})

    def stop(self):
        if self.running:
            self.running = False
            self.host.sysctls({"net.ipv4.ip_forward": 0, "net.ipv6.conf.all.forwarding": 0})
            self.host.run("nft", "delete", "table", "inet", "box")
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
        return self.host.run("nft", "list", "table", "inet", "box")

    def stats(self):
        return self.host.run("conntrack", "-S")

    def metrics(self):
        return ""

    def log(self):
        return self.rules() if self.running else ""
