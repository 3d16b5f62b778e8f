"""The same traffic through Linux and through sluice while conntrack(8) -E and `sluicectl conntrack -E` listen: the
lines of every flow must be the same and in the same order. Then -U, whose change a rule and a listing must see; and
two listeners at once, one of which takes nothing.

What may differ is made equal first: the process that asked for a change, dates, packets and bytes of TCP, and seconds
left of a flow that has waited.
"""
import multiprocessing
import os
import re
import signal
import subprocess
import time

from lab import config
from lab.clients import ping, udp_spray
from lab.lab import Lab
from lab.machine import child_setup, wait_until
from test_listing import await_up, command

BOXES = ("sluice",)
START = False  # each case starts its boxes itself

SERVER = """
import socket, sys, threading
def answer(connection):
    while data := connection.recv(100):
        if data.startswith(b"PORT"):    # as an FTP server does for LIST
            numbers = [int(n) for n in data[5:].split(b",")]
            out = socket.socket()
            out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            out.bind((sys.argv[1], 20))
            out.connect((".".join(map(str, numbers[:4])), numbers[4] * 256 + numbers[5]))
            out.send(b"a list")
            out.close()
        connection.send(data if not data.startswith(b"PORT") else b"200 done\\r\\n")
    connection.close()
def serve(port):
    listener = socket.create_server((sys.argv[1], port))
    while True:
        threading.Thread(target=answer, args=listener.accept()[:1], daemon=True).start()
for port in (80, 21, 8001):
    threading.Thread(target=serve, args=(port,), daemon=True).start()
udp = socket.socket(type=socket.SOCK_DGRAM)
udp.bind((sys.argv[1], 5300))
print("up", flush=True)
while True:
    data, peer = udp.recvfrom(100)
    udp.sendto(data, peer)
"""
# Each step waits for the last one to be seen: the order of what happens is the same with both boxes.
CLIENT = """
import socket, sys, time
to, pause = sys.argv[1], 0.15
def tcp(port, at):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("0.0.0.0", port))
    s.connect((to, at))
    time.sleep(pause)
    return s
def udp(port, at, *waits):
    s = socket.socket(type=socket.SOCK_DGRAM)
    s.settimeout(5)
    s.bind(("0.0.0.0", port))
    for wait in waits:
        time.sleep(wait)
        s.sendto(b"hello", (to, at))
        if at == 5300:
            s.recv(100)
whole = tcp(40001, 8001)
whole.send(b"hello")
whole.recv(100)
whole.close()
time.sleep(pause)
kept = [tcp(40002, 21)]
for line in (b"USER somebody\\r\\n", b"PORT 192,168,1,10,200,10\\r\\n"):
    inbox = socket.create_server(("0.0.0.0", 51210)) if b"PORT" in line else None
    kept[0].send(line)
    if inbox:
        data = inbox.accept()[0]
        time.sleep(pause)
        assert data.recv(100) == b"a list"
        data.close()
    kept[0].recv(100)
    time.sleep(pause)
try:
    tcp(40003, 9999)
except ConnectionRefusedError:
    pass
udp(41001, 5300, 0, 2.3, 0)
udp(41002, 5399, 0)
kept.append(tcp(40004, 80))
kept[-1].send(b"hello")
kept[-1].recv(100)
print("up", flush=True)
time.sleep(600)
"""

LISTENERS = [
    "", "-e NEW", "-e new,DESTROY", "-e UPDATES -p tcp", "-e ALL -o extended", "-o save", "-o timestamp -p icmp",
    "-o ktimestamp,extended", "-p udp", "-p tcp --dport 80", "-p tcp --state ESTABLISHED", f"-s {config.IN1}",
    f"-s {config.IN2}", f"-d {config.OUT1} -f ipv4", "-f ipv6", "-m 0", "-m 0x10/0xf0", "-w 0", "-w 1", "-p udp -n",
    f"-q {config.OUTSIDE_BOX} -p tcp -g", "-b 100000",
]
KEPT = f"-f ipv4 -s {config.IN1} -d {config.OUT1} -p tcp --sport 40004 --dport 80"
LONE = f"-f ipv4 -s {config.IN1} -d {config.OUT1} -p udp --sport 41002 --dport 5399"
# conntrack(8) 1.4.7 wants -f or an address with -U, and prints every other line only: one flow at a time.
CHANGES = [
    f"-U {KEPT} -m 5", f"-U {KEPT} -m 5", f"-U {KEPT} -m 0x10/0xf0", f"-U {KEPT} -m 0x21/0 -o extended",
    f"-U {KEPT} -t 5000", f"-U {KEPT} -t 400000 -m 0", f"-U {KEPT} -u ASSURED", f"-U {KEPT} -u UNSET",
    f"-U {KEPT} -u UNREPLIED", f"-U {KEPT} -o save -m 77", f"-U {LONE} -u SEEN_REPLY", f"-U {LONE} -u assured",
    f"-U {LONE} -t 200 -m 3", f"-U {LONE} -t 20", f"-U {KEPT} -w 0 -m 1", f"-U {KEPT} -e NEW", f"-U {KEPT} -b 4",
    f"-U {KEPT} -z", f"-U {KEPT} --orig-zone 1", "-U expect", "-U -L", f"-U {KEPT}",
    f"-U {LONE} -t 0", f"-U {LONE} -t 9", f"-D {KEPT}", "-E -t 5", "-E -u ASSURED", "-E -z", "-E -e FOO", "-E -i 5", "-E dying", "-E foo", "-E -b",
    "-E expect -p tcp", "-E --mask-src 255.0.0.0", "-E --tuple-src 192.0.2.1", "-E -L", "-E -o foo", "-F",
]


def normal(line):
    line = re.sub(r"Try `.*", "Try", line)
    line = re.sub(r" progname=\S+", "", re.sub(r"\bportid=\d+", "portid=N", line))
    line = re.sub(r"^\[\d{10}\.\d{6}\]\t", "[N]\t", line)
    line = re.sub(r"\[(start|stop)=\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\]", r"[\1=N]", line)
    line = re.sub(r"\bdelta-time=\d+", "delta-time=N", line)
    if re.search(r"\btcp +6 ", line):
        line = re.sub(r"\b(packets|bytes)=[1-9]\d*", r"\1=N", line)
    return line


def split_seconds(line):
    """(line without its seconds left, the seconds)"""
    found = re.match(r"(.*?(?:\b(?:tcp|udp|icmp) +\d+ |^-[AUD] -t ))(\d+)( .*)", line)
    return (found[1] + found[3], int(found[2])) if found else (line, None)


def same(a, b):
    """What a packet causes is told with the whole timeout; of the rest, some passed while the commands were asked."""
    (text, seconds), (other_text, other_seconds) = split_seconds(a), split_seconds(b)
    at_once = ("[NEW]" in text or "[UPDATE]" in text) and "[USERSPACE]" not in text
    return text == other_text and (seconds is None) == (other_seconds is None) and abs(
        (seconds or 0) - (other_seconds or 0)) <= (1 if at_once else 15)


def lives(lines):
    """The lines of each flow, by its first two addresses and ports; what is no event is a life of its own."""
    found = {}
    for line in lines:
        flow = re.search(r"(src=\S+ dst=\S+ (?:sport=\S+ dport=\S+|type=\S+ code=\S+ id=\S+))|(-s \S+ -d \S+).*?"
                         r"(--sport \S+ --dport \S+|--icmp-type.*)", line)
        found.setdefault(flow[0] if flow else line, []).append(line)
    return found


def listen(lab, options, name):
    return lab.box.host.spawn(name, *command(lab), "-E", *options.split())


def ended(process):
    """(exit status, lines)"""
    status = process.stop(signal.SIGINT)
    with open(process.log_path, errors="replace") as log:
        return status, [normal(line) for line in log.read().splitlines()]


def ask(lab, words):
    text = lab.box.host.run("sh", "-c", '"$@" 2>&1; echo "exit $?"', "sh", *command(lab), *words.split())
    return sorted(normal(line) for line in text.splitlines())


def answers(lab, switches):
    lab.start(config.changed(config.base(), conntrack__timeouts={"udp": "100s", "udp_stream": "110s", "icmp": "120s"},
                             **switches))
    await_up([lab.out1.spawn("event-server", "python3", "-c", SERVER, lab.out1.address)])
    ping(lab.in1, config.OUT1, 1)
    lab.box.host.run(*command(lab), "-F")
    ears = {options: listen(lab, options, f"ear{number}") for number, options in enumerate(LISTENERS)}
    time.sleep(1)       # all listen
    await_up([lab.in1.spawn("event-client", "python3", "-c", CLIENT, config.OUT1)])
    assert ping(lab.in1, config.OUT1, 1, "-e", "77") == 1
    said = {f"{number}. {words}": ask(lab, words) for number, words in enumerate(CHANGES)}
    time.sleep(0.5)     # all is told
    return said, {f"-E {options}": ended(ear) for options, ear in ears.items()}


def answers_of_linux(switches):
    judge = Lab("linux")
    try:
        return answers(judge, switches)
    finally:
        judge.close()


def compare(lab, **switches):
    # A process has one laboratory at a time: what it takes down goes by the process's number.
    with multiprocessing.get_context("fork").Pool(1) as other:
        their_words, their_events = other.apply(answers_of_linux, (switches,))
    our_words, our_events = answers(lab, switches)
    found = []

    def differ(what, theirs, ours):
        if len(theirs) != len(ours) or not all(map(same, theirs, ours)):
            found.extend([f"{what}:"] + [f"  Linux:  {line}" for line in theirs] +
                         [f"  sluice: {line}" for line in ours])

    for words, theirs in their_words.items():
        differ(words, theirs, our_words[words])
    for words, (status, theirs) in their_events.items():
        our_status, ours = our_events[words]
        assert status == our_status == 0, (words, status, our_status, ours)
        a, b = lives(theirs), lives(ours)
        for flow in a.keys() | b.keys():
            differ(f"{words}, {flow}", a.get(flow, []), b.get(flow, []))
    assert not found, "\n" + "\n".join(found)
    assert len(their_events["-E "][1]) > 30, their_events["-E "]
    print(f"        {len(their_words)} commands, {sum(len(lines) for _, lines in their_events.values())} lines of "
          f"{len(their_events)} listeners")


def case_same_events_as_conntrack(lab):
    """conntrack(8) -E and -U on Linux and ours on sluice: same lines in the same order, same exit codes"""
    compare(lab)


def case_rules_and_listings_see_what_was_changed(lab):
    """a mark that -U has set is matched by the next packet, a timeout is listed and ends the flow"""
    lab.box.stop()
    base = config.base()
    base["filter"]["forward"]["rules"].insert(0, {"ct_mark": 9, "action": "drop"})
    lab.start(config.changed(base, conntrack__timeouts={"icmp": "600s"}))
    assert ping(lab.in1, config.OUT1, 2, "-e", "99") == 2
    flow = "-p icmp --icmp-id 99"
    said = ask(lab, f"-U {flow} -m 9 -t 300")
    assert "exit 0" in said and any(" 30" not in line and " 299 " in line or " 300 " in line for line in said), said
    assert ping(lab.in1, config.OUT1, 2, "-e", "99") == 0
    ask(lab, f"-U {flow} -m 0")
    assert ping(lab.in1, config.OUT1, 2, "-e", "99") == 2
    ask(lab, f"-U {flow} -t 2")
    wait_until("the flow's end", lambda: not lab.box.conntrack(*flow.split()), 10)


def case_a_slow_listener_loses_events_and_is_told(lab):
    """two listeners, one of which takes nothing: it is told what it lost, the other gets all; then nobody listens"""
    lab.box.stop()
    lab.start(config.changed(config.base(), conntrack__timeouts={"udp": "600s"}))
    lab.box.control("conntrack", "-F")
    fast = listen(lab, "-e NEW -p udp", "fast")
    slow = subprocess.Popen(lab.box.host.command(*command(lab), *"-E -b 2048".split()), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, preexec_fn=child_setup, start_new_session=True)
    try:
        wait_until("two listeners", lambda: "sluice_flow_event_listeners 2" in lab.box.metrics(), 10)
        count = 4000
        udp_spray(lab.in1, config.OUT1, 10000, count, 0.1)
        ping(lab.in1, config.OUT1, 1, "-e", "1234")
        made = len(lab.box.conntrack("-p", "udp", "-s", config.IN1))
        status, lines = ended(fast)
        assert status == 0 and lines[-1].endswith(f"{len(lines) - 1} flow events have been shown."), lines[-1]
        assert len(lines) - 1 == made >= count * 0.9, (len(lines), made)
        # Now it reads what was kept for it, and hears again what comes later.
        os.set_blocking(slow.stdout.fileno(), False)
        heard = []

        def hears(text):
            heard.append((slow.stdout.read() or b"").decode())
            return text in "".join(heard)

        wait_until("the loss to be told", lambda: hears("WARNING: We have hit ENOBUFS!"), 10)
        ping(lab.in1, config.OUT1, 1, "-e", "4321")
        wait_until("a later event", lambda: hears("id=4321"), 10)
        assert 0 < "".join(heard).count("[NEW]") < count
        lost = re.search(r"^sluice_flow_event_listener_lost_total (\d+)", lab.box.metrics(), re.M)
        assert lost and int(lost[1]) > 0, lab.box.metrics()
        assert re.search(r'^sluice_flow_events_lost_total\{worker="0"\} 0$', lab.box.metrics(), re.M), lab.box.metrics()
        slow.send_signal(signal.SIGINT)
        wait_until("its end", lambda: slow.poll() is not None or hears("\0"), 10)
        assert slow.returncode == 0
    finally:
        slow.kill()
        slow.wait()
    wait_until("nobody listens", lambda: "sluice_flow_event_listeners 0" in lab.box.metrics(), 10)
    told = re.findall(r"^sluice_flow_events_total\{.*", lab.box.metrics(), re.M)
    ping(lab.in1, config.OUT1, 1, "-e", "5555")
    assert re.findall(r"^sluice_flow_events_total\{.*", lab.box.metrics(), re.M) == told
