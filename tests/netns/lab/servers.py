"""The real servers: vsftpd, nginx, iperf3, and a line echo of our own. Each writes only below the lab's directory."""
import hashlib
import os
import pwd
import random
import re
import sys

from .machine import wait_until

AGENTS = os.path.join(os.path.dirname(__file__), "agents")
FILES = {"small.bin": 1_000, "page.bin": 20_000, "big.bin": 3_000_000}


def agent(name):
    return [sys.executable, os.path.join(AGENTS, name)]


def sha256(path):
    with open(path, "rb") as handle:
        return hashlib.sha256(handle.read()).hexdigest()


def make_files(directory):
    """Files of several sizes, the same in every run; returns their digests by name."""
    os.makedirs(directory)
    os.chmod(directory, 0o755)
    digests = {}
    for name, size in FILES.items():
        path = os.path.join(directory, name)
        with open(path, "wb") as handle:
            handle.write(random.Random(size).randbytes(size))
        digests[name] = sha256(path)
    return digests


def listens(host, port):
    return host.succeeds("sh", "-c", f"ss -Hltn 'sport = :{port}' | grep -q .")


class FtpServer:
    """vsftpd, anonymous with upload, passive and active. It checks that PORT names the client that it sees."""

    def __init__(self, lab, host):
        self.host = host
        self.root = lab.path(f"ftp-{host.short}")
        self.digests = make_files(self.root)
        self.upload = os.path.join(self.root, "upload")
        os.mkdir(self.upload)
        os.chown(self.upload, pwd.getpwnam("ftp").pw_uid, -1)
        empty = lab.path(f"ftp-{host.short}-empty")
        os.mkdir(empty)
        config = lab.path(f"vsftpd-{host.short}.conf")
        self.protocol_log = lab.path(f"vsftpd-{host.short}.log")
        open(self.protocol_log, "w").close()
        with open(config, "w") as handle:
            handle.write("\n".join([
                "listen=YES", "background=NO", "anonymous_enable=YES", "local_enable=NO", "write_enable=YES",
                "anon_upload_enable=YES", "anon_umask=022", f"anon_root={self.root}", "no_anon_password=YES",
                "pasv_enable=YES", "pasv_min_port=40000", "pasv_max_port=40999", "port_enable=YES",
                "pasv_promiscuous=NO", "port_promiscuous=NO", "connect_from_port_20=YES",
                # Its session processes stay in our namespace, where they are found when the laboratory is taken down.
                "isolate_network=NO",
                f"secure_chroot_dir={empty}", "xferlog_enable=YES", "xferlog_std_format=NO", "log_ftp_protocol=YES",
                f"vsftpd_log_file={self.protocol_log}", "use_localtime=NO", ""]))
        self.process = host.spawn("vsftpd", "vsftpd", config)
        wait_until(f"vsftpd on {host.short}", lambda: self.process.alive() and listens(host, 21))

    def commands(self):
        """Every FTP command that the server has read so far, as a list of words like PASV."""
        with open(self.protocol_log, errors="replace") as log:
            return re.findall(r'FTP command: Client "[^"]*", "(\w+)', log.read())

    def uploaded(self, name):
        """Digest of an uploaded file, or None."""
        path = os.path.join(self.upload, name)
        return sha256(path) if os.path.exists(path) else None


class WebServer:
    """nginx; /slow/ is the same files at 300 kB/s."""

    def __init__(self, lab, host):
        self.host = host
        self.root = root = lab.path(f"web-{host.short}")
        self.digests = make_files(root)
        with open(os.path.join(root, "index.html"), "w") as handle:
            handle.write(f"hello from {host.short}\n")
        scratch = lab.path(f"nginx-{host.short}")
        os.mkdir(scratch)
        config = os.path.join(scratch, "nginx.conf")
        with open(config, "w") as handle:
            handle.write(f"""
daemon off; master_process off; worker_processes 1; pid {scratch}/pid; error_log {scratch}/error.log;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    access_log off; sendfile on; client_body_temp_path {scratch}/a; proxy_temp_path {scratch}/b;
    fastcgi_temp_path {scratch}/c; uwsgi_temp_path {scratch}/d; scgi_temp_path {scratch}/e;
    server {{
        listen 80 backlog=2048;
        listen [::]:80 backlog=2048;
        root {root};
        location /slow/ {{ alias {root}/; limit_rate 300k; }}
    }}
}}
""")
        self.process = host.spawn("nginx", "nginx", "-c", config, "-e", f"{scratch}/error.log")
        wait_until(f"nginx on {host.short}", lambda: self.process.alive() and listens(host, 80))


class IperfServer:
    """Serves one client at a time, and resets who comes before it is done with the one before: see ready()."""

    def __init__(self, lab, host, port=5201):
        del lab
        self.process = host.spawn("iperf3", "iperf3", "-s", "-p", str(port), "--forceflush")
        wait_until(f"iperf3 on {host.short}", lambda: self.process.alive() and listens(host, port))

    def ready(self):
        """Waits until it would take a client."""
        def idle():
            with open(self.process.log_path, errors="replace") as log:
                text = log.read()
            return text.count("Server listening") > text.count("Accepted connection")

        wait_until("iperf3 being done with its last client", idle)
        return self


class EchoServer:
    """Echoes lines over TCP, and datagrams over UDP, on one port."""

    def __init__(self, lab, host, port=7007):
        del lab
        self.process = host.spawn("echo", *agent("echo_server.py"), str(port))
        wait_until(f"echo on {host.short}", lambda: self.process.alive() and listens(host, port))
