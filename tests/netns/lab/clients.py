"""The real clients, as functions: each returns what it measured or raises LabError with the client's own words."""
import json
import os
import subprocess

from .machine import LabError
from .servers import agent, sha256

# curl checks the address in a 227 only when it is told not to skip it: without that, broken NAT would go unseen.
CURL_MODES = {
    "epsv": ["--ftp-pasv"],
    "pasv": ["--disable-epsv", "--no-ftp-skip-pasv-ip"],
    "eprt": ["-P", "-"],
    "port": ["-P", "-", "--disable-eprt"],
}
LFTP_MODES = {
    "pasv": "set ftp:passive-mode on; set ftp:prefer-epsv off; set ftp:fix-pasv-address off;",
    "epsv": "set ftp:passive-mode on; set ftp:use-feat on; set ftp:prefer-epsv on;",
    "port": "set ftp:passive-mode off;",
}
LFTP_SETUP = ("set net:max-retries 1; set net:timeout 8; set net:reconnect-interval-base 1; set dns:order inet; "
              "set ftp:sync-mode on; set xfer:clobber on; set cmd:fail-exit on; ")


def curl(host, *words, timeout=30):
    return host.run("curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", str(timeout), *words,
                    timeout=timeout + 5)


def fetch(lab, host, url, *words, name="fetched"):
    """Downloads with curl and returns the digest."""
    path = lab.path(f"{name}-{host.short}")
    if os.path.exists(path):
        os.unlink(path)
    curl(host, "-o", path, *words, url)
    return sha256(path)


def lftp(host, address, mode, *commands, timeout=40):
    script = LFTP_SETUP + LFTP_MODES[mode] + f" open -u anonymous,x ftp://{address}; " + "; ".join(commands) + "; bye"
    return host.run("lftp", "--norc", "-c", script, timeout=timeout)


def ping(host, address, count=3, *words):
    """Number of answers."""
    text = host.run("ping", "-n", "-c", str(count), "-i", "0.05", "-W", "1", *words, address, check=False)
    for line in text.splitlines():
        if " received" in line:
            return int(line.split(" received")[0].split(",")[-1].split()[0])
    raise LabError(f"ping {address}: {text}")


def iperf(host, address, *words, seconds=2):
    """The `end` part of iperf3's report."""
    text = host.run("iperf3", "-J", "-c", address, "-t", str(seconds), "--connect-timeout", "5000", *words, check=False,
                    timeout=seconds + 20)
    report = json.loads(text)
    if "error" in report:
        raise LabError(f"iperf3: {report['error']}")
    return report["end"]


class Talker:
    """Lines going to and fro on TCP connections while something happens to the box."""

    def __init__(self, host, address, port=7007, count=1):
        self.process = host.spawn("talker", *agent("talker.py"), address, str(port), str(count),
                                  stdin=subprocess.PIPE)
        self.count = count

    def ready(self):
        from .machine import wait_until
        wait_until("the talker's first answers",
                   lambda: "ready" in self.process.log() or not self.process.alive(), 15)
        self.check()
        return self

    def check(self):
        if not self.process.alive():
            raise LabError(f"a connection was lost\n{self.process.log()}")

    def finish(self):
        """Closes the connections; the number of lines that came back. A lost connection is an error."""
        self.process.popen.stdin.close()
        if self.process.wait(20) != 0:
            raise LabError(f"a connection was lost\n{self.process.log()}")
        return int(self.process.log().split()[-2])


def udp_spray(host, address, first_port, count, wait=0.5):
    return int(host.run(*agent("udp_spray.py"), address, str(first_port), str(count), str(wait)).split()[-1])


def http_many(host, address, port, path, count, digest):
    return host.run(*agent("http_many.py"), address, str(port), path, str(count), digest, timeout=90)
