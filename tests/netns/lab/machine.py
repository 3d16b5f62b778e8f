"""Namespaces, veth pairs and processes; all of it is gone when the `Machine` is closed, also after an exception.

Namespaces and directories carry the process id of their maker in their name, so several laboratories run side by side,
and what a killed one has left is swept up by the next. Processes die with this one (PR_SET_PDEATHSIG) and are ended by
pid. Devices are made inside the namespaces; none is ever seen in the machine's own.
"""
import ctypes
import glob
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
CLONE_NEWNET = 0x40000000
NAME = re.compile(r"^slc(\d+)-\w+$")
DIRECTORY = "/tmp/sluice-lab-"
PROC = 'mount --make-rprivate /proc 2>/dev/null; mount -t proc proc /proc && exec "$@"'


class LabError(Exception):
    """A step of the laboratory itself, or of a client in it, failed."""


def sh(*command, check=True, timeout=60, text=True, stdin=None):
    """Runs a command to its end and returns its output (both streams)."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=text, timeout=timeout,
                          input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                          errors="replace" if text else None)
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def wait_until(what, condition, seconds=10.0, every=0.05):
    """Polls `condition` until it is true; says what was waited for when it never is. Returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(every)


def child_setup():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for limit, wanted in ((resource.RLIMIT_MEMLOCK, resource.RLIM_INFINITY), (resource.RLIMIT_NOFILE, 65536)):
        try:
            hard = resource.getrlimit(limit)[1]
            if wanted == resource.RLIM_INFINITY or (hard != resource.RLIM_INFINITY and hard < wanted):
                resource.setrlimit(limit, (wanted, wanted))
            else:
                resource.setrlimit(limit, (wanted, hard))
        except (OSError, ValueError):
            pass


class Process:
    """A running program of the laboratory, with its output in a file of its own."""

    def __init__(self, name, command, log_path, stdin=None):
        self.name, self.command, self.log_path = name, command, log_path
        self.log_file = open(log_path, "ab")
        self.popen = subprocess.Popen(command, stdout=self.log_file, stderr=subprocess.STDOUT,
                                      stdin=stdin if stdin is not None else subprocess.DEVNULL,
                                      preexec_fn=child_setup, start_new_session=True)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def log(self, lines=40):
        with open(self.log_path, errors="replace") as log:
            return "".join(log.readlines()[-lines:])

    def wait(self, timeout=30):
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name} did not end within {timeout} s\n{self.log()}") from None

    def stop(self, number=signal.SIGTERM, timeout=10):
        """Asks the process to end and waits; kills it when it does not. Returns its exit status."""
        if self.alive():
            self.popen.send_signal(number)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        self.log_file.close()
        return self.popen.returncode


class Host:
    """One namespace."""

    def __init__(self, machine, short):
        self.machine, self.short = machine, short
        self.name = f"slc{os.getpid()}-{short}"
        self.address = None
        sh("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def command(self, *words):
        # Not `ip netns exec`: it wants to remount /, which a chroot cannot.
        return ["nsenter", f"--net=/run/netns/{self.name}", *words]

    def run(self, *words, check=True, timeout=60, text=True, stdin=None):
        return sh(*self.command(*words), check=check, timeout=timeout, text=text, stdin=stdin)

    def status(self, *words, timeout=60):
        """The exit status of a command."""
        return subprocess.run(self.command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              stdin=subprocess.DEVNULL, timeout=timeout).returncode

    def succeeds(self, *words, timeout=60):
        return self.status(*words, timeout=timeout) == 0

    def ip(self, *words):
        return self.run("ip", *words)

    def spawn(self, name, *words, stdin=None):
        return self.machine.spawn(f"{self.short}-{name}", self.command(*words), stdin=stdin)

    def sysctl(self, key, value):
        self.sysctls({key: value})

    def sysctls(self, values):
        words = ("sysctl", "-qw", *(f"{key}={value}" for key, value in values.items()))
        if not self.succeeds(*words):       # /proc/sys may be read-only (containers); a proc of our own is not
            self.run("unshare", "--mount", "--propagation", self.machine.propagation, "sh", "-c", PROC, "sh", *words)

    def inside(self, function):
        """Calls `function` in a thread that has entered this namespace, and returns what it returns."""
        result = {}

        def work():
            try:
                with open(f"/run/netns/{self.name}") as handle:
                    if LIBC.setns(handle.fileno(), CLONE_NEWNET) != 0:
                        raise LabError(f"setns {self.name}: {os.strerror(ctypes.get_errno())}")
                result["value"] = function()
            except BaseException as error:      # handed to the caller's thread
                result["error"] = error

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if "error" in result:
            raise result["error"]
        return result["value"]


class Machine:
    """Owner of every namespace, process and file of one laboratory."""

    def __init__(self):
        sweep()
        self.hosts, self.processes, self.serial = {}, [], 0
        # In a chroot / is no mount point, and unshare cannot make it private.
        able = subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL).returncode == 0
        self.propagation = "private" if able else "unchanged"
        self.directory = tempfile.mkdtemp(prefix=f"{os.path.basename(DIRECTORY)}{os.getpid()}-", dir="/tmp")
        os.chmod(self.directory, 0o755)     # the FTP and web servers run under other users

    def path(self, name):
        return os.path.join(self.directory, name)

    def host(self, short):
        self.hosts[short] = Host(self, short)
        return self.hosts[short]

    def spawn(self, name, command, stdin=None):
        self.serial += 1
        process = Process(name, command, self.path(f"{self.serial:02d}-{name}.log"), stdin)
        self.processes.append(process)
        return process

    def wire(self, host, name, peer_host, peer_name, mac=None, queues=()):
        """A veth pair; `queues` are words of `ip link` for the first end. Offloads are off on both ends: frames on it
        look like frames on a real wire."""
        sh("ip", "link", "add", name, *(["address", mac] if mac else []), *queues, "netns", host.name, "type", "veth",
           "peer", "name", peer_name, "netns", peer_host.name)
        for end, device in ((host, name), (peer_host, peer_name)):
            end.run("ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off", "rxvlan", "off",
                    "txvlan", "off", check=False)
            end.ip("link", "set", device, "up")

    def close(self, keep_files=False):
        for process in reversed(self.processes):
            process.stop(timeout=3)
        # By name and not from self.hosts: an interrupt may have come between the making of one and its entry there.
        remove_namespaces(lambda pid: pid == os.getpid())
        if keep_files:      # under a name that the sweep of the next one passes over
            kept = self.directory.replace("sluice-lab-", "sluice-kept-")
            os.rename(self.directory, kept)
            self.directory = kept
        else:
            remove_directory(self.directory)


def remove_namespaces(chosen):
    """Those of our names whose maker's pid is `chosen`."""
    for line in sh("ip", "netns", "list", check=False).splitlines():
        match = NAME.match(line.split()[0]) if line.split() else None
        if match and chosen(int(match.group(1))):
            remove_namespace(match.group(0))


def remove_namespace(name):
    """Ends what still runs in a namespace of ours (children of servers), by pid, and deletes it."""
    for _ in range(10):     # again, for what one of them has started meanwhile
        listed = [int(pid) for pid in sh("ip", "netns", "pids", name, check=False).split() if pid.isdigit()]
        if not listed:
            break
        for pid in listed:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.01)
    sh("ip", "netns", "del", name, check=False)


def remove_directory(path):
    """With the bpffs that may still be mounted in it."""
    if os.path.ismount(os.path.join(path, "bpf")):
        sh("umount", "-l", os.path.join(path, "bpf"), check=False)
    shutil.rmtree(path, ignore_errors=True)


def sweep():
    """Removes what laboratories have left whose process is gone (killed with -9), or had the number that is ours now."""
    def gone(pid):
        return pid == os.getpid() or not os.path.exists(f"/proc/{pid}")

    remove_namespaces(gone)
    for path in glob.glob(f"{DIRECTORY}*-*"):
        pid = os.path.basename(path)[len("sluice-lab-"):].split("-")[0]
        if pid.isdigit() and gone(int(pid)):
            remove_directory(path)
