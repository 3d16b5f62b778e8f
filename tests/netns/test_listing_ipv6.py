"""The listing of IPv6 flows beside those of IPv4, held to Linux as in test_listing.py."""
import test_ipv6
from lab import config
from lab.clients import ping
from test_listing import BOXES, START, await_up, command, compare  # noqa: F401  (the scenario's switches)

SERVER6 = """
import socket, sys
tcp = socket.create_server((sys.argv[1], 8001), family=socket.AF_INET6)
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind((sys.argv[1], 5300))
print("up", flush=True)
while True:
    data, peer = udp.recvfrom(100)
    udp.sendto(data, peer)
"""
CLIENT6 = """
import socket, sys, time
to = sys.argv[1]
kept = socket.socket(socket.AF_INET6)
kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
kept.bind(("::", 40001))
kept.connect((to, 8001))
for port, at, answered in ((41001, 5300, True), (41003, 5301, False)):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.settimeout(5)
    s.bind(("::", port))
    s.sendto(b"hello", (to, at))
    if answered:
        s.recv(100)
print("up", flush=True)
time.sleep(600)
"""
ECHO6 = f"-s {test_ipv6.IN1} -d {test_ipv6.OUT1} --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 77"
QUESTIONS6 = [
    "-L", "-L -f ipv6", "-L -f ipv4", "-L -o extended", "-L -f ipv6 -o extended", "-L -f ipv6 -o save", "-L -p icmpv6",
    "-L -p ipv6-icmp -o extended", "-L -p 58", "-L -p icmp", "-L -p udp", f"-L -s {test_ipv6.IN1}", "-L -s fd00:1::/64",
    "-L -s fd00:1::/65 -p tcp", f"-L -d {test_ipv6.OUT1} -p udp", f"-L -q {test_ipv6.OUT_BOX}", "-L -s 192.0.2.0/24",
    f"-L -f ipv4 -s {test_ipv6.IN1}", f"-L -s {test_ipv6.IN1} -d {config.OUT1}", f"-L -s {test_ipv6.IN1}/129",
    f"-L -p tcp -n {test_ipv6.OUT_BOX}", "-L -p udp -n", "-L -p icmpv6 --icmpv6-type 128",
    "-L -p icmpv6 --icmpv6-id 78", "-L -f ipv7", f"-G -p icmpv6 {ECHO6}",
    f"-G -p icmpv6 -s {test_ipv6.IN1} -d {test_ipv6.OUT1}",
    f"-G -p icmpv6 -s {test_ipv6.IN1} -d {test_ipv6.OUT1} --icmpv6-type 128",
    f"-G -p tcp -s {test_ipv6.IN1} -d {test_ipv6.OUT1} --sport 40001 --dport 8001 -o extended", "-L expect -f ipv6",
    "-C", "-C -f ipv6", "-D -f ipv6 -p udp", "-L", "-D -f ipv6", "-L", "-F",
]


def traffic6(lab):
    """A TCP connection and two UDP flows out by IPv6, an echo by either."""
    test_ipv6.lay(lab)
    await_up([lab.out1.spawn("listing-server", "python3", "-c", SERVER6, test_ipv6.OUT1)])
    lab.box.host.run(*command(lab), "-F")
    await_up([lab.in1.spawn("listing-inside", "python3", "-c", CLIENT6, test_ipv6.OUT1)])
    assert ping(lab.in1, test_ipv6.OUT1, 1, "-e", "77") == 1 and ping(lab.in1, config.OUT1, 1, "-e", "78") == 1


def case_same_lines_as_conntrack(lab):
    """conntrack(8) on Linux and ours on sluice, of both families: same lines, same trailers, same exit codes"""
    compare(lab, QUESTIONS6, test_ipv6.CONFIG, traffic6)
