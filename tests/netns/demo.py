"""What tools/demo shows: real clients and servers through the box, one step after the other.

Exit status 0 when every step did what it should; 1 when one did not (the rest is shown all the same).
"""
import argparse
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lab import clients, config, endings  # noqa: E402  (the path must be set first)
from lab.ftp_cases import check_mode  # noqa: E402
from lab.lab import Lab  # noqa: E402
from lab.machine import LabError  # noqa: E402

COLOURS = sys.stdout.isatty()
PICTURE = """
    inside 192.168.1.0/24                                       outside 203.0.113.0/24
    in1 192.168.1.10  FTP, web, iperf3 clients ─┐            ┌─ out1 203.0.113.10  FTP, web, iperf3 servers
                                                ├─ {box} ─┤
    in2 192.168.1.20  published servers ────────┘            └─ out2 203.0.113.20  clients of what in2 publishes
"""
METRICS = ("flows", "packets", "drop", "ftp", "expectation", "policy_generation", "reload")


def paint(code, text):
    return f"\x1b[{code}m{text}\x1b[0m" if COLOURS else text


class Show:
    """Prints steps, and counts those that failed."""

    def __init__(self):
        self.failed, self.started = 0, time.monotonic()

    def title(self, text):
        print(f"\n{paint('1;34', f'[{time.monotonic() - self.started:4.1f} s] {text}')}", flush=True)

    def line(self, text):
        print(f"    {text}", flush=True)

    def block(self, text, limit=14):
        lines = text.rstrip().splitlines() if isinstance(text, str) else list(text)
        for line in lines[:limit]:
            print(f"    {paint('2', line)}")
        if len(lines) > limit:
            print(f"    {paint('2', f'… and {len(lines) - limit} lines more')}")
        sys.stdout.flush()

    def check(self, what, action):
        """Runs one step and prints how it went and how long it took."""
        begun = time.monotonic()
        try:
            detail, mark = action(), paint("32", "ok  ")
        except Exception as error:      # a step that fails is shown, and the show goes on
            self.failed += 1
            detail, mark = str(error).strip().splitlines()[-1] if str(error) else type(error).__name__, paint("31", "FAIL")
        print(f"    {mark} {what:<44} {time.monotonic() - begun:5.2f} s  {detail or ''}", flush=True)


def expect(condition, text):
    if not condition:
        raise LabError(text)


def ftp_step(lab, show, place, client, server_host, address):
    show.title(f"FTP, {place}: every mode that the clients offer, checksums compared")
    server = lab.ftp(server_host)
    digest = server.digests["big.bin"]

    def by_curl(mode):
        before = len(server.commands())
        got = clients.fetch(lab, client, f"ftp://{address}/big.bin", *clients.CURL_MODES[mode])
        expect(got == digest, "the file came damaged")
        check_mode(server, mode, before)
        return f"3 MB, sha256 {got[:12]}… is right"

    def by_lftp(mode):
        before, path = len(server.commands()), lab.path(f"demo-lftp-{mode}")
        clients.lftp(client, address, mode, f"get big.bin -o {path}")
        expect(clients.sha256(path) == digest, "the file came damaged")
        check_mode(server, mode, before)
        return f"3 MB, sha256 {digest[:12]}… is right"

    for mode in clients.CURL_MODES:
        show.check(f"curl, {mode.upper()}", lambda mode=mode: by_curl(mode))
    for mode in clients.LFTP_MODES:
        show.check(f"lftp, {mode.upper()}", lambda mode=mode: by_lftp(mode))


def connections_step(lab, show):
    show.title("the connections while they run")
    lab.ftp(lab.out1)
    lab.web(lab.out1)
    slowly = "set net:limit-rate 500000; set net:socket-buffer 65536; "
    ftp = lab.in1.spawn("lftp", "lftp", "--norc", "-c", slowly + clients.LFTP_SETUP + clients.LFTP_MODES["port"] +
                        f" open -u anonymous,x ftp://{config.OUT1}; get big.bin -o {lab.path('slow-ftp')}; bye")
    http = lab.in2.spawn("curl-http", "curl", "-s", "--noproxy", "*", f"http://{config.OUT1}/slow/big.bin",
                         "-o", lab.path("slow-http"))
    time.sleep(1)
    running = [line for line in lab.box.conntrack() if "ESTABLISHED" in line]
    show.block(running)
    show.check("an FTP data connection and its control connection",
               lambda: expect(sum(f"src={config.IN1}" in line for line in running) >= 2, "they are not listed"))
    ftp.stop()
    http.stop()


def iperf_step(lab, show):
    show.title("iperf3 through masquerade")

    def tcp(*words):
        lab.iperf(lab.out1)
        rate = clients.iperf(lab.in1, config.OUT1, *words)["sum_received"]["bits_per_second"]
        return f"{rate / 1e6:.0f} Mbit/s"

    def udp(*words):
        for tries in (1, 2, 3):     # a machine that is busy with other things starves sender, box and receiver alike
            lab.iperf(lab.out1)
            end = clients.iperf(lab.in1, config.OUT1, "-u", "-b", "20M", "-l", "1200", *words)
            total = end.get("sum_received") or end["sum"]
            good = total["packets"] > 1000 and total["lost_percent"] < 5
            if good or tries == 3:
                break
        expect(good, f"{total['lost_percent']:.1f} % lost, the machine is too busy or the box too slow")
        again = f", at try {tries}: this machine is busy" if tries > 1 else ""
        return f"{total['packets']} datagrams, {total['lost_percent']:.2f} % lost{again}"

    show.check("TCP, inside to outside", tcp)
    show.check("TCP, outside to inside", lambda: tcp("-R"))
    show.check("UDP at 20 Mbit/s, inside to outside", udp)
    show.check("UDP at 20 Mbit/s, outside to inside", lambda: udp("-R"))


def perform(lab, show):
    show.title("ping")
    show.check("inside to outside, masqueraded", lambda: expect(clients.ping(lab.in1, config.OUT1, 5) == 5, "lost"))
    show.check("the box itself, from both sides", lambda: expect(
        clients.ping(lab.in1, config.INSIDE_BOX) + clients.ping(lab.out1, config.OUTSIDE_BOX) == 6, "lost"))
    ftp_step(lab, show, "client behind masquerade", lab.in1, lab.out1, config.OUT1)
    ftp_step(lab, show, "server behind a port forward", lab.out2, lab.in2, config.OUTSIDE_BOX)
    show.title("a web page through a port forward")
    lab.web(lab.in2)
    show.check(f"http://{config.OUTSIDE_BOX}:8080/ from out2",
               lambda: clients.curl(lab.out2, f"http://{config.OUTSIDE_BOX}:8080/").strip())
    connections_step(lab, show)
    iperf_step(lab, show)
    show.title("the rules and their counters")
    show.block(lab.box.rules(), 30)
    if lab.box.kind == "sluice":
        show.title("packets dropped, by reason")
        show.block(lab.box.control("stats"), 60)
        show.title("some of the metrics")
        text = [line for line in lab.box.metrics().splitlines()
                if not line.startswith("#") and any(word in line for word in METRICS) and not line.endswith(" 0")]
        show.block(text, 24)


def play(lab):
    print(f"\n{paint('1', 'It keeps running until Ctrl-C.')} In another terminal (as root):")
    for title, host in (("inside client", lab.in1), ("outside server", lab.out1), ("the box", lab.box_host)):
        print(f"    {title:<16} nsenter --net=/run/netns/{host.name} bash")
    if lab.box.kind == "sluice":
        control = f"{lab.box.ctl} --socket {lab.box.socket_path}"
        print(f"    connections      {control} conntrack -L")
        print(f"    drops            {control} stats")
        print(f"    configuration    {lab.box.config_path}, then: {control} reload")
    signal.pause()


def interrupted(_):
    # The terminal's Ctrl-C is followed by the SIGTERM of tools/demo, which got it too.
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--box", choices=("sluice", "linux"), default="sluice")
    parser.add_argument("--build", default="build")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    endings.on_ending(interrupted)
    if os.geteuid() != 0:
        sys.exit("network namespaces need root")
    show, lab, status = Show(), None, 0
    try:
        print(PICTURE.format(box=f" {options.box} ".center(8, "─")))
        show.title("hosts, wires and servers; the box starts")
        lab = Lab(options.box, options.build)
        show.check(f"{options.box} runs and answers", lambda: lab.start())
        expect(show.failed == 0, "the box does not run:\n" + lab.box.log())
        perform(lab, show)
        if options.keep:
            play(lab)
    except KeyboardInterrupt:
        print("\ninterrupted: taking everything down")
        status = 0 if options.keep else 130
    except LabError as error:
        print(f"\n{paint('31', 'error:')} {error}")
        show.failed += 1
    finally:
        endings.deaf()  # a Ctrl-C must not break off the cleaning
        if lab is not None:
            try:
                lab.close()
            except LabError as error:
                print(f"{paint('31', 'error:')} {error}")
                show.failed += 1
    if status == 0 and not options.keep:
        took = time.monotonic() - show.started
        print(paint("1;31", f"\n{show.failed} steps failed, {took:.0f} s") if show.failed
              else paint("1;32", f"\nall of it worked, {took:.0f} s; everything is taken down"))
    return status or (1 if show.failed else 0)


if __name__ == "__main__":
    sys.exit(main())
