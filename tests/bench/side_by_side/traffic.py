"""What every program is fed with: pcap files of 64-byte frames (60 without FCS), one frame for each flow.

Clients of the inside, addresses and ports in a row, towards servers outside, as sluice-bench has them by default:
low-entropy tuples, which weak hashes fall apart on. A source port occurs once for a server, so that a NAT that keeps
ports gives every flow a mapping without a search, and the answers are known beforehand. The order of the flows in the
file is random with a fixed seed, the same in every run; a file in the order of the flows would flatter prefetchers.

UDP has a zero payload; TCP are bare ACKs, as a firewall that starts late sees a connection. Checksums are right.
"""
import ipaddress
import pathlib
import random
import struct
from typing import NamedTuple

FRAME_BYTES = 60
# DPDK's net_pcap gives its first device of a process this address, so the frames are for the box in every program.
LAN_MAC = bytes.fromhex("027063617000")
WAN_MAC = bytes.fromhex("027063617001")
SENDER_MAC = bytes.fromhex("020000000001")
PROTOCOLS = {"udp": 17, "tcp": 6}
SERVICES = {"udp": 53, "tcp": 443}

CLIENTS, FIRST_CLIENT = 4096, int(ipaddress.ip_address("10.1.1.0"))
PORTS, FIRST_PORT = 32768, 10000
FIRST_SERVER = int(ipaddress.ip_address("198.51.100.1"))
MOST_FLOWS = PORTS * 254
# The box, as each program is told.
INSIDE = "10.0.0.0/8"
LAN_ADDRESS, LAN_ROUTER, LAN_LENGTH = "192.168.1.1", "192.168.1.254", 24
WAN_ADDRESS, WAN_ROUTER, WAN_LENGTH = "203.0.113.1", "203.0.113.254", 24

SEED = 2544
PCAP_HEADER = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1)  # microseconds, Ethernet
RECORD = struct.Struct("<IIII")
HEADERS = struct.Struct("!6s6sH BBHHHBBHII")
UDP = struct.Struct("!HHHH")
TCP = struct.Struct("!HHIIBBHHH")
ACK, WINDOW, SEQUENCE = 0x10, 8192, 0x10000


class Flow(NamedTuple):
    """Addresses and ports as numbers."""
    src: int
    dst: int
    sport: int
    dport: int


def flow(number: int, protocol: str) -> Flow:
    return Flow(FIRST_CLIENT + number % CLIENTS, FIRST_SERVER + number // PORTS, FIRST_PORT + number % PORTS,
                SERVICES[protocol])


def reply(of: Flow) -> Flow:
    """The answer, to a NAT that has kept the port behind its one address."""
    return Flow(of.dst, int(ipaddress.ip_address(WAN_ADDRESS)), of.dport, of.sport)


def folded(total: int) -> int:
    """The checksum of words that add up to `total`."""
    total = (total & 0xffff) + (total >> 16)
    total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def frames(flows, protocol: str, mac: bytes = LAN_MAC):
    """A frame for each flow, a few microseconds each: what is the same in all of them is added up once."""
    number = PROTOCOLS[protocol]
    length = FRAME_BYTES - 14
    l4_length = length - 20
    ip_rest = (0x4500 + length + 0x4000 + (64 << 8 | number))
    if protocol == "udp":
        l4_rest = number + 2 * l4_length
    else:
        l4_rest = number + l4_length + 2 * (SEQUENCE >> 16) + 2 * (SEQUENCE & 0xffff) + (5 << 12 | ACK) + WINDOW
    payload = bytes(l4_length - (UDP.size if protocol == "udp" else TCP.size))
    for src, dst, sport, dport in flows:
        addresses = (src >> 16) + (src & 0xffff) + (dst >> 16) + (dst & 0xffff)
        checksum = folded(l4_rest + addresses + sport + dport)
        if protocol == "udp":
            l4 = UDP.pack(sport, dport, l4_length, checksum or 0xffff)
        else:
            l4 = TCP.pack(sport, dport, SEQUENCE, SEQUENCE, 5 << 4, ACK, WINDOW, checksum, 0)
        yield HEADERS.pack(mac, SENDER_MAC, 0x0800, 0x45, 0, length, 0, 0x4000, 64, number,
                           folded(ip_rest + addresses), src, dst) + l4 + payload


def write_pcap(path: pathlib.Path, packets) -> None:
    with open(path, "wb", buffering=1 << 20) as out:
        out.write(PCAP_HEADER)
        record = RECORD.pack(0, 0, FRAME_BYTES, FRAME_BYTES)
        for packet in packets:
            out.write(record + packet)


def read_pcap(path: pathlib.Path) -> list[bytes]:
    """The frames of a file that `write_pcap` wrote."""
    data = path.read_bytes()
    step = RECORD.size + FRAME_BYTES
    return [data[at + RECORD.size:at + step] for at in range(len(PCAP_HEADER), len(data), step)]


def shuffled(count: int) -> list[int]:
    order = list(range(count))
    random.Random(SEED).shuffle(order)
    return order


class Traffic:
    """The files of one run: each is written when it is first asked for."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory

    def file(self, protocol: str, flows: int, direction: str = "out") -> pathlib.Path:
        """`direction`: out, from the clients, or in, the answers to masqueraded packets with their ports kept."""
        if not 1 <= flows <= MOST_FLOWS:
            raise ValueError(f"{flows} flows: 1 to {MOST_FLOWS} can be made")
        path = self.directory / f"{protocol}-{flows}-{direction}.pcap"
        if not path.exists():
            order = (flow(number, protocol) for number in shuffled(flows))
            half = path.with_suffix(".part")
            if direction == "out":
                write_pcap(half, frames(order, protocol))
            else:
                write_pcap(half, frames(map(reply, order), protocol, WAN_MAC))
            half.rename(path)
        return path
