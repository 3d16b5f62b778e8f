"""IPv6 beside IPv4: the twins' neighbour discovery, masquerade, a port forward, and a prefix in place of another."""
from lab import config
from lab.clients import curl, fetch, ping
from lab.machine import wait_until

# A second network inside, fd00:9::/64, is seen outside as 2001:db8:9::/64, address by address (RFC 6296).
IN_BOX, OUT_BOX = "fd00:1::1", "2001:db8::1"
IN1, IN2, OUT1, OUT2 = "fd00:1::10", "fd00:1::20", "2001:db8::10", "2001:db8::20"
PREFIX_BOX, PREFIX_HOST, PREFIX_OUTSIDE = "fd00:9::1", "fd00:9::20", "2001:db8:9::/64"

CONFIG = config.base()
CONFIG["ports"][0]["addresses"] += [f"{IN_BOX}/64", f"{PREFIX_BOX}/64"]
CONFIG["ports"][1]["addresses"] += [f"{OUT_BOX}/64"]
CONFIG["groups"]["addresses"]["published6"] = [IN2]
CONFIG["filter"]["input"]["rules"].append({"proto": "icmpv6", "action": "accept", "comment": "ping and discovery"})
CONFIG["filter"]["forward"]["rules"] += [
    {"in": "wan", "out": "lan", "proto": "tcp", "dst": "published6", "dport": "services", "action": "accept"},
    {"in": "wan", "out": "lan", "dst": "fd00:9::/64", "proto": "icmpv6", "icmp_type": "echo-request",
     "action": "accept"},
]
CONFIG["nat"] += [
    {"out": "wan", "src": "fd00:1::/64", "snat": "masquerade"},
    {"in": "wan", "dst": OUT_BOX, "proto": "tcp", "dport": 8080, "dnat": {"to": IN2, "port": 80}},
]
PREFIXES = [
    {"out": "wan", "src": "fd00:9::/64", "snat": {"prefix": PREFIX_OUTSIDE}},
    {"in": "wan", "dst": PREFIX_OUTSIDE, "dnat": {"prefix": "fd00:9::/64"}},
]


def lay(lab):
    """Gives the hosts IPv6, once."""
    if hasattr(lab, "has_ipv6"):
        return
    lab.has_ipv6 = True
    for host, address, gateway in ((lab.in1, IN1, IN_BOX), (lab.in2, IN2, IN_BOX), (lab.out1, OUT1, None),
                                   (lab.out2, OUT2, None)):
        host.sysctls({"net.ipv6.conf.all.disable_ipv6": 0, "net.ipv6.conf.eth0.accept_ra": 0,
                      "net.ipv6.conf.eth0.dad_transmits": 0})
        host.ip("addr", "add", f"{address}/64", "dev", "eth0", "nodad")
        if gateway:
            host.ip("route", "add", "default", "via", gateway)
    for host, address in ((lab.in1, IN_BOX), (lab.out1, OUT_BOX)):
        wait_until(f"an answer of the box to {host.short}",
                   lambda host=host, address=address: ping(host, address, 1), 15)


def flows_of(lab, address):
    return [line for line in lab.box.conntrack("-f", "ipv6") if f"src={address} " in line]


def case_through_masquerade(lab):
    lay(lab)
    assert ping(lab.in1, OUT1, 5) == 5


def case_two_clients_with_one_target(lab):
    lay(lab)
    assert ping(lab.in1, OUT2) == 3
    assert ping(lab.in2, OUT2) == 3


def case_listed(lab):
    """the listing has the flow with its translation, under its own name and family"""
    lay(lab)
    assert ping(lab.in1, OUT1, 1) == 1
    line = [line for line in flows_of(lab, IN1) if f"dst={OUT1} " in line][0]
    assert line.split()[:2] == ["icmpv6", "58"], line
    assert f"src={IN1} dst={OUT1} type=128 code=0" in line and f"src={OUT1} dst={OUT_BOX} type=129 code=0" in line, line
    assert lab.box.conntrack("-o", "extended", "-p", "icmpv6")[0].startswith("ipv6     10 icmpv6   58 ")
    assert not [line for line in lab.box.conntrack("-f", "ipv4") if "::" in line]


def case_box_itself(lab):
    lay(lab)
    assert ping(lab.in1, IN_BOX) == 3
    assert ping(lab.out1, OUT_BOX) == 3


def case_box_itself_by_its_link(lab):
    """the box answers at its address of the link, and to everybody on the link"""
    lay(lab)
    words = lab.box_host.ip("-6", "-o", "addr", "show", "dev", lab.box.twins["lan"], "scope", "link").split()
    address = words[words.index("inet6") + 1].split("/")[0]
    assert ping(lab.in1, f"{address}%eth0") == 3
    assert ping(lab.in1, "ff02::1%eth0", 2) == 2        # all nodes
    assert ping(lab.in1, "ff02::2%eth0", 2) == 2        # all routers, of which the box is one


def case_box_is_a_router(lab):
    """the box says in neighbour advertisements that it is a router"""
    lay(lab)
    assert ping(lab.in2, IN_BOX, 1) == 1
    words = lab.in2.ip("-6", "neigh", "show", IN_BOX, "dev", "eth0").split()
    assert "router" in words, words


def case_box_pings_out(lab):
    lay(lab)
    assert ping(lab.box_host, OUT1) == 3
    assert ping(lab.box_host, IN1) == 3


def case_gateway_of_the_link(lab):
    """a route by an address of the link, and two of them at once"""
    lay(lab)
    for host, address in ((lab.out1, "fe80::10"), (lab.out2, "fe80::20")):
        host.ip("addr", "add", f"{address}/64", "dev", "eth0", "nodad")
        host.ip("addr", "add", "2001:db8:77::1/128", "dev", "lo")
    wan = lab.box.twins["wan"]
    lab.box_host.ip("route", "add", "2001:db8:77::/64", "via", "fe80::10", "dev", wan)
    assert ping(lab.in1, "2001:db8:77::1") == 3
    lab.box_host.ip("route", "replace", "2001:db8:77::/64", "nexthop", "via", "fe80::10", "dev", wan,
                    "nexthop", "via", "fe80::20", "dev", wan)
    for host in (lab.in1, lab.in2):
        assert ping(host, "2001:db8:77::1") == 3
    lab.box_host.ip("route", "del", "2001:db8:77::/64")
    assert ping(lab.in1, "2001:db8:77::1", 1) == 0


def case_no_way_in(lab):
    """an outside host that has a route to the inside still gets nothing through"""
    lay(lab)
    lab.out2.ip("route", "add", "fd00:1::/64", "via", OUT_BOX)
    try:
        assert ping(lab.out2, IN1, 2) == 0
    finally:
        lab.out2.ip("route", "del", "fd00:1::/64")


def case_large_and_small(lab):
    lay(lab)
    for size in (0, 1, 56, 1451, 1452):
        assert ping(lab.in1, OUT1, 2, "-s", str(size), "-M", "do") == 2, size


def case_pings_in_fragments(lab):
    """60000 bytes, and the most that there are: through masquerade, to the box and from it"""
    lay(lab)
    for size in ("60000", "65487"):
        assert ping(lab.in1, OUT1, 3, "-s", size) == 3, size
    for host, address in ((lab.in1, IN_BOX), (lab.out1, OUT_BOX), (lab.box_host, OUT1), (lab.box_host, IN1)):
        assert ping(host, address, 3, "-s", "60000") == 3, address


def case_web_through_masquerade(lab):
    """every size of file over TCP"""
    lay(lab)
    web = lab.web(lab.out1)
    for name, digest in web.digests.items():
        assert fetch(lab, lab.in1, f"http://[{OUT1}]/{name}") == digest, name
    assert [line for line in flows_of(lab, IN1) if line.startswith("tcp ") and f"dst={OUT_BOX} " in line]


def case_web_port_forward(lab):
    """a web page through the port forward, by IPv6 and by IPv4"""
    lay(lab)
    web = lab.web(lab.in2)
    assert curl(lab.out2, f"http://[{OUT_BOX}]:8080/") == "hello from in2\n"
    assert curl(lab.out2, f"http://{config.OUTSIDE_BOX}:8080/") == "hello from in2\n"
    assert fetch(lab, lab.out2, f"http://[{OUT_BOX}]:8080/big.bin") == web.digests["big.bin"]
    assert not lab.out2.succeeds("nc", "-6", "-z", "-w", "1", OUT_BOX, "80")


def case_hop_limit(lab):
    """traceroute shows the box, then the target"""
    lay(lab)
    text = lab.in1.run("traceroute", "-6", "-n", "-q", "1", "-w", "2", "-m", "4", OUT1)
    assert [line.split()[1] for line in text.splitlines()[1:]] == [IN_BOX, OUT1], text


def case_refused_at_once(lab):
    """a port that nobody serves over UDP is refused at once, through masquerade"""
    lay(lab)
    text = lab.in1.run("python3", "-c", "import socket\n"
                       "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
                       f"s.connect(('{OUT1}', 4242)); s.settimeout(5); s.send(b'?')\n"
                       "try: s.recv(9)\nexcept ConnectionRefusedError: print('refused')\n")
    assert text.strip() == "refused", text


def case_prefix_in_place_of_another(lab):
    """a network inside is seen outside by another prefix, both ways"""
    lay(lab)
    lab.box.reload(config.changed(CONFIG, nat=CONFIG["nat"] + PREFIXES))
    lab.in2.ip("addr", "add", f"{PREFIX_HOST}/64", "dev", "eth0", "nodad")
    lab.out1.ip("route", "add", PREFIX_OUTSIDE, "via", OUT_BOX)
    assert ping(lab.in2, OUT1, 3, "-I", PREFIX_HOST) == 3
    line = [line for line in flows_of(lab, PREFIX_HOST) if f"dst={OUT1} " in line][0]
    outside = line.split("dst=")[2].split()[0]
    assert outside.startswith("2001:db8:9:"), line
    # The same host by that address, from outside.
    assert ping(lab.out1, outside) == 3
    assert [line for line in flows_of(lab, OUT1) if f"dst={outside} " in line and f"src={PREFIX_HOST} " in line]


case_prefix_in_place_of_another.boxes = ("sluice",)     # nft's own prefixes are another thing


def case_forgotten_by_family(lab):
    """the flows of one family are deleted, the other's stay"""
    lay(lab)
    assert ping(lab.in1, OUT1, 1) == 1 and ping(lab.in1, config.OUT1, 1) == 1
    lab.box.control("conntrack", "-F", "-f", "ipv6")
    assert not lab.box.conntrack("-f", "ipv6")
    assert lab.box.conntrack("-f", "ipv4")


case_forgotten_by_family.boxes = ("sluice",)


def case_another_address(lab):
    """a reload gives a port another address, which answers, and one that turns IPv6 off is refused"""
    lay(lab)
    more = config.changed(CONFIG)
    more["ports"][1]["addresses"].append("2001:db8::3/64")
    lab.box.reload(more)
    assert ping(lab.out1, "2001:db8::3", 2) == 2
    lab.box.reload(CONFIG)
    assert ping(lab.out1, "2001:db8::3", 1) == 0
    four = config.changed({key: value for key, value in CONFIG.items() if key not in ("filter", "nat")}, ipv6="off")
    for port in four["ports"]:
        port["addresses"] = [address for address in port["addresses"] if ":" not in address]
    lab.box.write(four)
    answer = lab.box.control("reload", check=False)
    assert "ipv6 has changed: needs a restart" in answer, answer
    lab.box.write(CONFIG)
    assert ping(lab.in1, OUT1) == 3


case_another_address.boxes = ("sluice",)


def case_killed_and_started_again(lab):
    """kill -9, and the next one finds its twins with their addresses"""
    lay(lab)
    lab.box.kill9()
    addresses = lab.box_host.ip("-6", "addr", "show", "dev", "lan0")
    assert f"{IN_BOX}/64" in addresses and "fe80::" in addresses, addresses
    assert ping(lab.in1, OUT1, 1) == 0      # the guard
    lab.box.start(CONFIG)
    wait_until("an answer from outside", lambda: ping(lab.in1, OUT1, 1), 10)
    assert ping(lab.in1, OUT1) == 3
    assert ping(lab.out1, OUT_BOX) == 3


case_killed_and_started_again.boxes = ("sluice",)
