"""Traceroute and path-MTU discovery through source and destination NAT: a router on each side, a narrow link behind one.

    deep ── in1 ── box ── out2 ══ far        (══ has an MTU of 1280, which only out2 knows)
"""
from lab import config
from lab.clients import iperf, ping

FAR, FAR_ROUTER, FAR_NET = "198.51.100.10", "198.51.100.1", "198.51.100.0/24"
DEEP, DEEP_ROUTER, DEEP_NET = "10.9.0.10", "10.9.0.1", "10.9.0.0/24"
NARROW = 1280
THROWN = "198.51.104.0/24"

CONFIG = config.base()
CONFIG["groups"]["addresses"]["published"] = [config.IN2, DEEP]
CONFIG["nat"] += [
    {"in": "wan", "dst": config.OUTSIDE_BOX, "proto": "tcp", "dport": 5201, "dnat": {"to": config.IN2}},
    {"in": "wan", "dst": config.OUTSIDE_BOX, "proto": "tcp", "dport": 8088, "dnat": {"to": DEEP, "port": 80}},
]


def host_behind(lab, name, router, device, addresses):
    """A host with an MTU of 1500 on a wire of its own; `addresses`: the router's and its own."""
    host = lab.host(name)
    lab.wire(host, "eth0", router, device)
    router.ip("addr", "add", f"{addresses[0]}/24", "dev", device)
    router.sysctls({"net.ipv4.ip_forward": 1, "net.ipv4.icmp_ratelimit": 0, "net.ipv4.conf.all.send_redirects": 0,
                    "net.ipv4.conf.eth0.send_redirects": 0})
    host.ip("addr", "add", f"{addresses[1]}/24", "dev", "eth0")
    host.ip("route", "add", "default", "via", addresses[0])
    return host


def lay(lab):
    """Lays the wires of this scenario, once."""
    if hasattr(lab, "far"):
        return
    lab.far = host_behind(lab, "far", lab.out2, "far", (FAR_ROUTER, FAR))
    lab.out2.ip("link", "set", "far", "mtu", str(NARROW))
    lab.deep = host_behind(lab, "deep", lab.in1, "deep", (DEEP_ROUTER, DEEP))
    lab.box_host.ip("route", "add", FAR_NET, "via", config.OUT2)
    lab.box_host.ip("route", "add", DEEP_NET, "via", config.IN1)


def trace(host, address, *how):
    """The addresses along the way, as traceroute sees them."""
    text = host.run("traceroute", "-n", "-q", "1", "-w", "2", "-m", "6", *how, address)
    return [line.split()[1] for line in text.splitlines()[1:]]


def known_mtu(host, address):
    words = host.ip("route", "get", address).split()
    return int(words[words.index("mtu") + 1]) if "mtu" in words else None


def case_traceroute_out(lab):
    """traceroute through masquerade by UDP, ICMP and TCP shows the box, the router and the target"""
    lay(lab)
    assert ping(lab.in1, FAR) == 3
    for how in ((), ("-I",), ("-T", "-p", "80")):
        assert trace(lab.in1, FAR, *how) == [config.INSIDE_BOX, config.OUT2, FAR], how


def case_traceroute_in(lab):
    """traceroute to a published service sees the box's address in place of everything behind it"""
    lay(lab)
    way = trace(lab.far, config.OUTSIDE_BOX, "-T", "-p", "8088")
    assert way == [FAR_ROUTER, config.OUTSIDE_BOX, config.OUTSIDE_BOX, config.OUTSIDE_BOX], way


def case_unreachable_comes_back(lab):
    """a connection to a port that nobody serves over UDP is refused at once, through masquerade"""
    lay(lab)
    text = lab.in1.run("python3", "-c", "import socket, sys\n"
                       "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                       f"s.connect(('{FAR}', 4242)); s.settimeout(5); s.send(b'?')\n"
                       "try: s.recv(9)\nexcept ConnectionRefusedError: print('refused')\n")
    assert text.strip() == "refused", text


def case_throw(lab):
    """a route of type throw beside a default route: the sender is told that the network is unreachable"""
    lay(lab)
    lab.box_host.ip("route", "add", "default", "via", config.OUT2)
    lab.box_host.ip("route", "add", "throw", THROWN)
    try:
        text = lab.in1.run("ping", "-c", "3", "-i", "0.2", "-W", "1", THROWN.replace(".0/24", ".1"), check=False)
        assert "Net Unreachable" in text and f"From {config.INSIDE_BOX}" in text, text
    finally:
        lab.box_host.ip("route", "del", "throw", THROWN)
        lab.box_host.ip("route", "del", "default")


def case_path_mtu_ping(lab):
    """ping that may not be cut is told the MTU, through masquerade"""
    lay(lab)
    assert known_mtu(lab.in2, FAR) is None
    assert ping(lab.in2, FAR, 2, "-M", "do", "-s", "1400") == 0
    assert known_mtu(lab.in2, FAR) == NARROW
    assert ping(lab.in2, FAR, 2, "-M", "do", "-s", str(NARROW - 28)) == 2


def case_path_mtu_upload(lab):
    """TCP finds the MTU when the client behind masquerade sends"""
    lay(lab)
    lab.iperf(lab.far)
    assert iperf(lab.in1, FAR)["sum_received"]["bytes"] > 1_000_000
    assert known_mtu(lab.in1, FAR) == NARROW


def case_path_mtu_published(lab):
    """TCP finds the MTU when the server behind destination NAT sends"""
    lay(lab)
    lab.in2.ip("route", "flush", "cache")
    assert known_mtu(lab.in2, FAR) is None
    lab.iperf(lab.in2)
    assert iperf(lab.far, config.OUTSIDE_BOX, "-R")["sum_received"]["bytes"] > 1_000_000
    assert known_mtu(lab.in2, FAR) == NARROW
