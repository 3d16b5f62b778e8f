"""The wires of a box, seen from outside: raw frames in, raw frames out, on the far ends of its veth pairs.

One packet socket per wire lives as long as the laboratory. Nobody waits for a packet that may not come: behind the
packets of a step, of whichever family, go *sentinels* of IPv4, which are known to pass, on the same way: one from lan
to wan, then one from wan to lan, and for packets to the box itself a ping. A box keeps order, so what has not come out
before the sentinel did never will.

The hosts behind the wires do not exist; the boxes know their link addresses (`neighbours`), all made from the IP
address, and every frame is aimed at the box's port.
"""
import select
import socket
import struct
import time

from lab.machine import LabError

from . import packets

PORTS = ("lan", "wan", "lan2")
MACS = {"lan": bytes.fromhex("020000000010"), "wan": bytes.fromhex("020000000011"),
        "lan2": bytes.fromhex("020000000012")}
INSIDE, OUTSIDE = "192.168.1.200", "203.0.113.200"       # where sentinels come from
BOX = "192.168.1.1"
PATIENCE = 5.0
ETH_P_ALL, SO_RCVBUFFORCE = 3, 33
ETHERTYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}


def mac_of(raw):
    """The link address of the host with this IP address, in network order."""
    if len(raw) == 4:
        return b"\x02\x01" + raw
    words = struct.unpack("!IIII", raw)
    return b"\x02\x06" + struct.pack("!I", words[0] ^ words[1] ^ words[2] ^ words[3])


def host_mac(address):
    return mac_of(packets.ip_bytes(address))


def mac_text(raw):
    return ":".join(f"{byte:02x}" for byte in raw)


def frame(port, packet):
    v6 = packet[0] >> 4 == 6
    return (link_destination(port, packet) + mac_of(packet[8:24] if v6 else packet[12:16]) +
            ETHERTYPES[6 if v6 else 4] + packet)


def link_destination(port, packet):
    """The box's port, or the group's own address (RFC 2464 7)."""
    if packet[0] >> 4 == 6 and packet[24] == 0xff:
        return b"\x33\x33" + packet[36:40]
    return MACS[port]


def unasked(packet):
    """What a box says of its own accord. A kernel looks for neighbours and routers, as with ARP in IPv4, tells which
    groups it has joined, and knows a shorter way (which it says now and then; no sysctl keeps it from that): no router
    sends such a hop limit on. And a datagram that was never whole comes to its end in the midst of other scenarios."""
    seen = packets.Decoded(packet)
    if seen.inner is not None and (seen.proto, seen.kind, seen.code) in ((1, 11, 1), (58, 3, 1)):
        return not seen.inner.error and seen.inner.fragmented
    if seen.proto != packets.ICMPV6:
        return False
    return seen.kind in (133, 135, 137) and seen.ttl == 255 or seen.kind in (131, 132, 143) and seen.ttl == 1


class Wires:
    def __init__(self, host):
        self.sockets = {port: host.inside(lambda port=port: self.open(port)) for port in PORTS}
        self.poll = select.poll()
        for raw in self.sockets.values():
            self.poll.register(raw, select.POLLIN)
        self.by_number = {raw.fileno(): port for port, raw in self.sockets.items()}
        self.serial = 0
        self.back = (OUTSIDE, INSIDE, 9)

    @staticmethod
    def open(port):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
        raw.bind((port, ETH_P_ALL))
        raw.setblocking(False)
        return raw

    def close(self):
        for raw in self.sockets.values():
            raw.close()

    def put(self, port, packet):
        self.sockets[port].send(frame(port, packet))

    def play(self, sent, to_box=False):
        """Sends [(port, IP packet)] and returns what came out of each port because of them, oldest first."""
        out = {port: [] for port in PORTS}
        self.drain()
        for port, packet in sent:
            self.put(port, packet)
        there = self.sentinel("lan", "wan", INSIDE, OUTSIDE, 9, out)
        seen = packets.Decoded(there)
        self.sentinel("wan", "lan", OUTSIDE, seen.src, seen.sport, out)
        if to_box:
            self.ping(out)
        return out

    def sentinel(self, into, outof, src, dst, dport, out):
        self.serial += 1
        token = b"sentinel" + struct.pack("!I", self.serial)
        a, b = packets.ip_bytes(src), packets.ip_bytes(dst)
        self.put(into, packets.ip(a, b, 17, packets.udp_body(a, b, 9, dport, token)))
        return self.collect(out, outof, lambda packet: packet.endswith(token), f"the sentinel from {into} to {outof}")

    def ping(self, out):
        self.serial += 1
        token = struct.pack("!I", self.serial)
        a, b = packets.ip_bytes(INSIDE), packets.ip_bytes(BOX)
        self.put("lan", packets.ip(a, b, 1, packets.icmp_body(8, 0, 0x00090000, token)))
        self.collect(out, "lan", lambda packet: packet[9] == 1 and packet[20] == 0 and packet.endswith(token),
                     "the box's answer to a ping")

    def collect(self, out, port, is_it, what):
        """Everything that comes out until the packet for which is_it() holds comes out of `port`; returns that one."""
        end = time.monotonic() + PATIENCE
        while True:
            if not self.poll.poll(max(0, (end - time.monotonic())) * 1000) and time.monotonic() >= end:
                raise LabError(f"{what} did not come through")
            for name in PORTS:
                found = self.read(name, out[name], is_it if name == port else None)
                if found is not None:
                    # What the other port said before is there already; take it.
                    for other in PORTS:
                        if other != port:
                            self.read(other, out[other], None)
                    return found

    def read(self, name, out, is_it):
        raw = self.sockets[name]
        while True:
            try:
                data = raw.recv(65536)
            except BlockingIOError:
                return None
            if data[12:14] not in ETHERTYPES.values():
                continue
            packet = data[14:]
            if is_it is not None and is_it(packet):
                return packet
            if b"sentinel" not in packet and not unasked(packet):
                out.append(data)

    def drain(self):
        """What came without being asked for (a timer of the box's kernel) belongs to no step."""
        for raw in self.sockets.values():
            while True:
                try:
                    raw.recv(65536)
                except BlockingIOError:
                    break
