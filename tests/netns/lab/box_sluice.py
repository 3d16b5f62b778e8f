"""sluiced in the middle, on AF_XDP (copy mode on veth), in the box's namespace.

What AF_XDP needs here: a mount of bpffs at /sys/fs/bpf (libxdp keeps its programs there), RLIMIT_MEMLOCK lifted,
offloads off on the other end of the veth, and queue 0 only, for a veth pair has one. The bpffs is one mount for the
life of the laboratory, bound into every sluiced, so that what a killed one has pinned is there for the next, as on a
real machine.
"""
import json
import os
import signal
import socket
import urllib.request

from . import config as config_module
from .machine import LabError, sh, wait_until

# In a mount namespace of its own: the /sys of the box's network, and our bpffs in it.
MOUNT = ('mount --make-rprivate /sys 2>/dev/null; mount -t sysfs sysfs /sys && mount --bind "$1" /sys/fs/bpf && '
         'shift && exec "$@"')


class SluiceBox:
    kind = "sluice"
    twins = {"lan": "lan0", "wan": "wan0", "lan2": "lan20"}

    def __init__(self, lab, build):
        self.lab, self.host = lab, lab.box_host
        self.daemon = os.path.join(build, "control", "sluiced")
        self.ctl = os.path.join(build, "tools", "sluicectl")
        for program in (self.daemon, self.ctl):
            if not os.access(program, os.X_OK):
                raise LabError(f"{program} is not there; build it first (ninja -C {build})")
        self.config_path = lab.path("sluice.yaml")
        self.socket_path = lab.path("control.sock")
        self.process = self.last = None
        self.bpf = lab.path("bpf")
        os.mkdir(self.bpf)
        sh("mount", "-t", "bpf", "bpf", self.bpf)      # unmounted with the directory

    def write(self, config):
        self.config = config
        full = dict(config, control={"socket": self.socket_path})
        with open(self.config_path, "w") as handle:
            handle.write(config_module.yaml(full))

    def command(self, *words):
        return self.host.command("unshare", "--mount", "--propagation", self.lab.propagation, "sh", "-c", MOUNT, "sh",
                                 self.bpf, *words)

    def start(self, config=None, wait=True):
        self.write(config or config_module.base())
        # Hostile on purpose: an administrator may have left forwarding on, and sluiced's guard must hold.
        self.host.sysctls({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1})
        self.process = self.last = self.lab.spawn("sluiced", self.command(self.daemon, "--config", self.config_path))
        if wait:
            wait_until("sluiced's control socket", self.answers, 30)

    def answers(self):
        self.check_alive()
        probe = socket.socket(socket.AF_UNIX)
        try:
            probe.connect(self.socket_path)
        except OSError:
            return False
        finally:
            probe.close()
        return self.host.succeeds(self.ctl, "--socket", self.socket_path, "version")

    def check_alive(self):
        if self.process is not None and not self.process.alive():
            raise LabError(f"sluiced ended with status {self.process.popen.returncode}\n{self.process.log(60)}")

    def reload(self, config):
        self.write(config)
        self.control("reload")

    def reload_by_signal(self, config):
        self.write(config)
        self.process.popen.send_signal(signal.SIGHUP)

    def stop(self):
        """SIGTERM; a clean exit is part of every scenario."""
        if self.process is None:
            return
        process, self.process = self.process, None
        if not process.alive():
            raise LabError(f"sluiced had ended with status {process.popen.returncode}\n{process.log(60)}")
        status = process.stop(timeout=15)
        if status != 0:
            raise LabError(f"sluiced ended with status {status} on SIGTERM\n{process.log(60)}")

    def kill9(self):
        self.process.stop(signal.SIGKILL)
        self.process = None

    def control(self, *words, check=True):
        return self.host.run(self.ctl, "--socket", self.socket_path, *words, check=check)

    def conntrack(self, *options):
        lines = self.control("conntrack", "-L", *options).splitlines()
        return [line for line in lines if " src=" in line]

    def rules(self):
        return self.control("rules")

    def stats(self):
        """Drop reasons and counters, as data."""
        return json.loads(self.control("--json", "stats"))

    def metrics(self):
        def fetch():
            # No environment: a proxy of the machine has no business here.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://{self.config['metrics']['listen']}/metrics", timeout=5) as answer:
                return answer.read().decode()
        return self.host.inside(fetch)

    def log(self):
        """The end of the log of the sluiced that runs, or ran last."""
        return self.last.log(60) if self.last else ""
