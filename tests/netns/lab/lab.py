"""The laboratory: hosts, wires, servers, and one box in the middle. Use it with `with Lab("linux") as lab:`."""
from . import config, servers
from .box_linux import LinuxBox
from .box_sluice import SluiceBox
from .machine import LabError, Machine, wait_until

BOXES = {"linux": LinuxBox, "sluice": SluiceBox}


class Lab(Machine):
    def __init__(self, box="sluice", build="build"):
        super().__init__()
        self.servers = {}
        try:
            self.lay_wires()
            self.box = LinuxBox(self) if box == "linux" else SluiceBox(self, build)
        except BaseException:
            self.close()
            raise

    def lay_wires(self):
        switch = self.host("sw")
        for bridge in ("brin", "brout"):
            switch.ip("link", "add", bridge, "type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
            switch.ip("link", "set", bridge, "up")
        plan = (("in1", "brin", config.IN1), ("in2", "brin", config.IN2),
                ("out1", "brout", config.OUT1), ("out2", "brout", config.OUT2))
        for name, bridge, address in plan:
            host = self.host(name)
            host.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
            self.wire(host, "eth0", switch, f"p-{name}")
            switch.ip("link", "set", f"p-{name}", "master", bridge)
            host.ip("addr", "add", f"{address}/24", "dev", "eth0")
            host.address = address
        self.in1, self.in2, self.out1, self.out2 = (self.hosts[n] for n in ("in1", "in2", "out1", "out2"))
        for host in (self.in1, self.in2):
            host.ip("route", "add", "default", "via", config.INSIDE_BOX)
        self.box_host = self.host("box")
        for device, bridge, mac in (("l1", "brin", config.INSIDE_MAC), ("w1", "brout", config.OUTSIDE_MAC)):
            self.wire(self.box_host, device, switch, f"p-{device}", mac)
            switch.ip("link", "set", f"p-{device}", "master", bridge)
        switch.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
        self.switch = switch

    def start(self, configuration=None):
        self.box.start(configuration)
        self.settle()

    def settle(self):
        """Waits until both sides reach the box: links up, ARP answered."""
        for host, address in ((self.in1, config.INSIDE_BOX), (self.out1, config.OUTSIDE_BOX)):
            wait_until(f"an answer of the box to {host.short}",
                       lambda host=host, address=address: self.box.check_alive() or
                       host.succeeds("ping", "-c", "1", "-W", "1", address), 15)

    def serve(self, kind, host):
        """The server of a kind on a host; started at its first use."""
        key = (kind, host.short)
        if key not in self.servers:
            self.servers[key] = getattr(servers, kind)(self, host)
        return self.servers[key]

    def ftp(self, host):
        return self.serve("FtpServer", host)

    def web(self, host):
        return self.serve("WebServer", host)

    def iperf(self, host):
        return self.serve("IperfServer", host).ready()

    def echo(self, host):
        return self.serve("EchoServer", host)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self, keep_files=False):
        error = None
        try:
            if hasattr(self, "box"):
                self.box.stop()
        except LabError as caught:
            error = caught
        super().close(keep_files)
        if error:
            raise error
