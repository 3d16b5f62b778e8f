"""The same traffic through Linux and through sluice, then the same questions to conntrack(8) and to `sluicectl
conntrack`: answers, last lines and exit codes are compared line by line.

What may differ is made equal first: seconds left (less what passed since the traffic, by three), the age of flows, and
packets and bytes of TCP, whose stacks choose when to acknowledge.
"""
import multiprocessing
import re
import time

from lab import config
from lab.clients import ping
from lab.lab import Lab
from lab.machine import wait_until

BOXES = ("sluice",)
START = False  # each case starts its boxes itself

SERVER = """
import socket, sys, time
tcp = [socket.create_server((sys.argv[1], port)) for port in (8001, 8002, 80, 21)]
udp = socket.socket(type=socket.SOCK_DGRAM)
udp.bind((sys.argv[1], 5300))
print("up", flush=True)
while True:
    data, peer = udp.recvfrom(100)
    udp.sendto(data, peer)
"""
CLIENT = """
import socket, sys, time
def tcp(port, to, at):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("0.0.0.0", port))
    s.connect((to, at))
    return s
def udp(port, to, at, answers):
    s = socket.socket(type=socket.SOCK_DGRAM)
    s.settimeout(5)
    s.bind(("0.0.0.0", port))
    for wanted in answers:
        s.sendto(b"hello", (to, at))
        if wanted:
            s.recv(100)
"""
FROM_INSIDE = CLIENT + """
to = sys.argv[1]
kept = [tcp(40001, to, 8001), tcp(40003, to, 21)]
udp(41001, to, 5300, [True])
udp(41002, to, 5300, [True, True, True])
udp(41003, to, 5301, [False])
print("up", flush=True)
time.sleep(600)
"""
FROM_OUTSIDE = CLIENT + """
kept = tcp(42001, sys.argv[1], 8080)
print("up", flush=True)
time.sleep(600)
"""

LISTINGS = [
    "", "-o extended", "-o save", "-o timestamp", "-p tcp", "-p udp", "-p icmp", "-p 17", "-p UDP", "-p sctp",
    "-f ipv4", "-f ipv6", f"-s {config.IN1}", f"-s {config.INSIDE_NET}", f"--orig-src {config.OUT2}",
    f"-d {config.OUT1}", f"-d {config.OUT2}", f"-r {config.OUT1}", f"-r {config.IN2}", f"-q {config.OUTSIDE_BOX}",
    f"--reply-dst {config.IN1}",
    f"-s {config.IN1} --mask-src 255.255.0.0", "-p tcp --sport 40001", "-p tcp --dport 8080",
    "-p tcp --orig-port-src 40003 --orig-port-dst 21", "-p tcp --reply-port-src 80", "-p udp --reply-port-dst 41002",
    "-p tcp --state ESTABLISHED", "-p tcp --state TIME_WAIT", "-u ASSURED", "-u seen_reply", "-u SEEN_REPLY,ASSURED",
    "-u UNREPLIED", "-u EXPECTED", "-m 0", "-m 1", "-m 0x0/0xff", "-w 0", "-w 1", "--orig-zone 0", "--reply-zone 1",
    f"-p udp -n {config.OUTSIDE_BOX}", "-p udp -n", "-p udp --src-nat", "-p tcp -g", f"-p tcp -g {config.IN2}",
    f"-p tcp -g {config.IN2}:80", f"-p tcp -n {config.OUTSIDE_BOX}:40001", "-p tcp -n -g", "-p tcp -j",
    f"-j {config.IN2}", "-p icmp --icmp-type 8", "-p icmp --icmp-type 8 --icmp-code 0 --icmp-id 77",
    "-p icmp --icmp-id 78", "-p tcp --sport 1", "-o ext", "-o Id,EXT -p sctp", "-o Save", "-o foo", "-p 0x6", "-p 006",
    "-p dccp", "-m 00/0377", "-u UNSET", "-u UNSET,ASSURED", "-u SRC_NAT", "-u dst_nat,assured", "-u Ass", "-u foo",
    "-u HW_OFFLOAD",
]
QUESTIONS = [f"-L {options}" for options in LISTINGS] + ["-C", "-L dying"] + [
    f"-G -p tcp -s {config.IN1} -d {config.OUT1} --sport 40001 --dport 8001",
    f"-G -p udp -s {config.IN1} -d {config.OUT1} --sport 41001 --dport 5300 -o extended",
    f"-G -p icmp -s {config.IN1} -d {config.OUT1} --icmp-type 8 --icmp-code 0 --icmp-id 77",
    f"-G -p tcp -s {config.IN1} -d {config.OUT1} --sport 40002 --dport 8001",
    f"-G -p tcp -s {config.INSIDE_NET} -d {config.OUT1} --sport 40001 --dport 8001", "-p tcp", "-o save",
    "-D -p udp --sport 41003 -o save", "-D -p udp --sport 41003", f"-D -s {config.OUT2}", "-L", "-C", "-D", "-C",
    "-F", "-D",
]


def traffic(lab):
    """Two TCP connections and three UDP flows out, one TCP connection in, an echo."""
    ready = []
    for host in (lab.out1, lab.in2):
        ready.append(host.spawn("listing-server", "python3", "-c", SERVER, host.address))
    await_up(ready)
    lab.box.host.run(*command(lab), "-F")
    await_up([lab.in1.spawn("listing-inside", "python3", "-c", FROM_INSIDE, config.OUT1),
              lab.out2.spawn("listing-outside", "python3", "-c", FROM_OUTSIDE, config.OUTSIDE_BOX)])
    assert ping(lab.in1, config.OUT1, 1, "-e", "77") == 1


def await_up(processes):
    for process in processes:
        wait_until("the peers of the listing", lambda process=process: "up" in process.log() or not process.alive(), 15)
        assert process.alive(), process.log()


def command(lab):
    return ["conntrack"] if lab.box.kind == "linux" else [lab.box.ctl, "--socket", lab.box.socket_path, "conntrack"]


def ask(lab, words):
    """Sorted lines of both outputs and the exit code."""
    text = lab.box.host.run("sh", "-c", '"$@" 2>&1; echo "exit $?"', "sh", *command(lab), *words.split())
    return sorted(normal(line) for line in text.splitlines())


def normal(line):
    if line.startswith("Try `"):
        line = line.replace("sluicectl conntrack", "conntrack")
    if re.match(r"(ipv[46] +\d+ )?tcp ", line):
        line = re.sub(r"\b(packets|bytes)=[1-9]\d*", r"\1=N", line)
    return re.sub(r"\bdelta-time=\d+", "delta-time=N", line)


def split_seconds(line):
    """(line without its seconds left, the seconds)"""
    found = re.match(r"((?:ipv[46] +\d+ )?\S+ +\d+ |-[AD] -t )(\d+)( .*)", line)
    return (found[1] + found[3], int(found[2])) if found else (line, 0)


def differences(question, their_answer, our_answer):
    (their_age, theirs), (our_age, ours) = their_answer, our_answer
    a, b = (sorted(split_seconds(line) for line in lines) for lines in (theirs, ours))
    same = len(a) == len(b) and all(
        x[0] == y[0] and abs((x[1] + their_age if x[1] else 0) - (y[1] + our_age if y[1] else 0)) <= 3
        for x, y in zip(a, b))
    if same:
        return []
    return [f"{question}:"] + [f"  Linux:  {line}" for line in theirs] + [f"  sluice: {line}" for line in ours]


def proc(lab):
    words = ["cat", "/proc/net/nf_conntrack"] if lab.box.kind == "linux" else [*command(lab)[:-1], "proc"]
    return sorted(normal(line) for line in lab.box.host.run(*words).splitlines())


def answers(lab, questions, base, make_traffic, switches):
    # Long enough for a slow machine to ask everything.
    conntrack = {"conntrack__timeouts": {"udp": "300s", "udp_stream": "400s", "icmp": "300s", "icmpv6": "300s"}}
    lab.start(config.changed(base, **conntrack, **switches))
    make_traffic(lab)
    began = time.monotonic()

    def aged(lines):
        return time.monotonic() - began, lines

    return {"proc": aged(proc(lab))} | {
        f"{number}. {words}": aged(ask(lab, words)) for number, words in enumerate(questions)}


def answers_of_linux(*how):
    judge = Lab("linux")
    try:
        return answers(judge, *how)
    finally:
        judge.close()


def compare(lab, questions, base=None, make_traffic=traffic, **switches):
    how = (questions, base or config.base(), make_traffic, switches)
    # A process has one laboratory at a time: what it takes down goes by the process's number.
    with multiprocessing.get_context("fork").Pool(1) as other:
        theirs = other.apply(answers_of_linux, how)
    ours = answers(lab, *how)
    assert len(theirs["proc"][1]) >= 5, theirs["proc"]
    found = [line for question in theirs for line in differences(question, theirs[question], ours[question])]
    assert not found, "\n" + "\n".join(found)
    print(f"        {len(theirs)} questions, {sum(len(lines) for _, lines in theirs.values())} lines")
    return theirs


def case_same_lines_as_conntrack(lab):
    """conntrack(8) on Linux and ours on sluice: same lines, same trailers, same exit codes"""
    compare(lab, QUESTIONS)
