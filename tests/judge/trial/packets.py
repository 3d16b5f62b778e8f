"""Packets as bytes: made from numbers, and taken apart again. What only IPv6 has is in ip6.py.

Checksums are right unless a field says otherwise (`badsum`, `badipsum`), so that a packet is wrong only where its
scenario wants it to be. Nothing here knows of scenarios, boxes or names. Fast enough for a million packets.
"""
import functools
import ipaddress
import struct

from . import ip6

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128
ICMP, TCP, UDP, ICMPV6, SCTP, UDPLITE = 1, 6, 17, 58, 132, 136
IP_HEADER, ETHER = 20, 14


def ip_bytes(text):
    """Four bytes or sixteen."""
    return ip6.ip_bytes(text) if ":" in text else ipaddress.IPv4Address(text).packed


@functools.lru_cache(4096)
def ip_text(raw):
    return "%d.%d.%d.%d" % tuple(raw) if len(raw) == 4 else ipaddress.IPv6Address(raw).compressed


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def pseudo(src, dst, proto, size):
    """What a checksum covers beside its packet."""
    return src + dst + struct.pack("!BBH", 0, proto, size) if len(src) == 4 else ip6.pseudo(src, dst, proto, size)


def ip(src, dst, proto, body, ttl=64, tos=0, ident=0x1234, df=False, frag=0, more=False, badipsum=False, version=4,
       total=None, options=b""):
    """An IPv4 packet; src and dst are four bytes each, frag is in bytes."""
    options += b"\0" * (-len(options) % 4)
    word = frag >> 3 | (0x2000 if more else 0) | (0x4000 if df else 0)
    length = IP_HEADER + len(options) + len(body) if total is None else total
    head = struct.pack("!BBHHHBBH4s4s", version << 4 | (5 + len(options) // 4), tos, length, ident, word, ttl, proto,
                       0, src, dst) + options
    number = checksum(head) ^ (0x0101 if badipsum else 0)
    return head[:10] + struct.pack("!H", number) + head[12:] + body


def tcp_body(src, dst, sport, dport, flags, seq=0, ack=0, win=65535, options=b"", payload=b"", urgent=0, badsum=False):
    options += b"\0" * (-len(options) % 4)
    head = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xffffffff, ack & 0xffffffff, (5 + len(options) // 4) << 4,
                       flags, win, 0, urgent)
    body = head + options + payload
    number = checksum(pseudo(src, dst, TCP, len(body)) + body) ^ (0x0101 if badsum else 0)
    return body[:16] + struct.pack("!H", number) + body[18:]


def udp_body(src, dst, sport, dport, payload=b"", badsum=False, nosum=False, length=None, proto=UDP):
    """UDP, and UDP-Lite, whose `length` is how much its checksum covers."""
    size = 8 + len(payload) if length is None else length
    body = struct.pack("!HHHH", sport, dport, size, 0) + payload
    covered = body[:size] if proto == UDPLITE and 8 <= size else body
    number = checksum(pseudo(src, dst, proto, len(body)) + covered) or 0xffff
    number = 0 if nosum else number ^ (0x0101 if badsum else 0)
    return body[:6] + struct.pack("!H", number) + body[8:]


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC32C = crc32c_table()


def crc32c(data):
    value = 0xffffffff
    for byte in data:
        value = CRC32C[(value ^ byte) & 0xff] ^ value >> 8
    return value ^ 0xffffffff


def sctp_body(sport, dport, tag, chunks, badsum=False):
    """RFC 9260; the checksum is little-endian."""
    head = struct.pack("!HHI", sport, dport, tag)
    number = crc32c(head + bytes(4) + chunks) ^ (1 if badsum else 0)
    return head + struct.pack("<I", number) + chunks


def icmp_body(kind, code, rest=0, payload=b"", badsum=False):
    body = struct.pack("!BBHI", kind, code, 0, rest) + payload
    return body[:2] + struct.pack("!H", checksum(body) ^ (0x0101 if badsum else 0)) + body[4:]


def icmpv6_body(src, dst, kind, code, rest=0, payload=b"", badsum=False):
    body = struct.pack("!BBHI", kind, code, 0, rest) + payload
    number = checksum(pseudo(src, dst, ICMPV6, len(body)) + body) ^ (0x0101 if badsum else 0)
    return body[:2] + struct.pack("!H", number) + body[4:]


@functools.cache
def pattern(size):
    """Bytes that differ from place to place."""
    return bytes((i * 7 + i // 251) & 0xff for i in range(size))


class Decoded:
    """What a packet holds. `error` says where taking apart ended early. `ident` is None where there is none."""

    def __init__(self, packet, quoted=False):
        self.raw, self.error = packet, ""
        self.sport = self.dport = self.flags = self.kind = self.code = self.proto = None
        self.payload, self.inner, self.ip_options, self.chain = b"", None, b"", []
        self.ip_ok = self.l4_ok = True
        self.df, self.fragmented = False, False
        version = packet[0] >> 4 if packet else 0
        self.version = version
        if version == 4 and len(packet) >= IP_HEADER:
            self.ipv4(packet, quoted)
        elif version == 6 and len(packet) >= ip6.HEADER:
            self.ipv6(packet, quoted)
        else:
            self.error = "no IP packet"

    def ipv4(self, packet, quoted):
        ihl = (packet[0] & 15) * 4
        self.tos, self.total, self.ident, word, self.ttl, self.proto = struct.unpack("!xBHHHBB", packet[:10])
        self.addresses = packet[12:16], packet[16:20]
        self.src, self.dst = map(ip_text, self.addresses)
        self.ip_ok = checksum(packet[:ihl]) == 0
        self.frag, self.more, self.df = (word & 0x1fff) * 8, bool(word & 0x2000), bool(word & 0x4000)
        self.fragmented = bool(self.frag or self.more)
        self.ip_options = packet[20:ihl]
        self.upper(packet, ihl, quoted)

    def ipv6(self, packet, quoted):
        word, length, self.proto, self.ttl = struct.unpack("!IHBB", packet[:8])
        self.tos, self.label, self.total = word >> 20 & 255, word & 0xfffff, length + ip6.HEADER
        self.addresses = packet[8:24], packet[24:40]
        self.src, self.dst = map(ip_text, self.addresses)
        self.ident, self.frag, self.more = None, 0, False
        at = ip6.HEADER
        while self.proto in (ip6.HOP, ip6.ROUTING, ip6.FRAGMENT, ip6.DEST, ip6.AUTH) and not self.frag:
            if len(packet) < at + 8:
                break
            kind, self.proto, size = self.proto, packet[at], packet[at + 1]
            if kind == ip6.FRAGMENT:
                word, self.ident = struct.unpack("!HI", packet[at + 2:at + 8])
                self.frag, self.more, self.fragmented = word & 0xfff8, bool(word & 1), True
                self.ident_at = at + 4
            self.chain.append(kind)
            at += 8 if kind == ip6.FRAGMENT else (size + 2) * 4 if kind == ip6.AUTH else (size + 1) * 8
        self.upper(packet, at, quoted)

    def upper(self, packet, at, quoted):
        body = packet[at:] if quoted else packet[at:self.total]
        self.body_at, self.payload = at, body
        if self.frag:
            return
        getattr(self, {TCP: "tcp", UDP: "udp", UDPLITE: "udp", ICMP: "icmp", ICMPV6: "icmp", SCTP: "sctp"}.get(
            self.proto, "other"))(body, quoted)

    def other(self, body, quoted):
        pass

    def pseudo_ok(self, body):
        return checksum(pseudo(*self.addresses, self.proto, len(body)) + body) == 0

    def tcp(self, body, quoted):
        if len(body) >= 4:
            self.sport, self.dport = struct.unpack("!HH", body[:4])
        if len(body) >= 8:
            self.seq = struct.unpack("!I", body[4:8])[0]
        if len(body) < 20:
            self.error = "" if quoted else "short TCP header"
            return
        self.ack, offset, self.flags, self.win = struct.unpack("!IBBH", body[8:16])
        size = (offset >> 4) * 4
        self.tcp_options, self.payload = body[20:size], body[size:]
        self.l4_ok = quoted or self.more or self.pseudo_ok(body)

    def udp(self, body, quoted):
        if len(body) < 8:
            self.error = "short UDP header"
            return
        self.sport, self.dport, _, number = struct.unpack("!HHHH", body[:8])
        self.payload = body[8:]
        unsummed = number == 0 and self.version == 4 or self.proto == UDPLITE
        self.l4_ok = quoted or self.more or unsummed or self.pseudo_ok(body)

    def sctp(self, body, quoted):
        if len(body) < 12:
            self.error = "" if quoted else "short SCTP header"
            return
        self.sport, self.dport = struct.unpack("!HH", body[:4])
        self.payload = body[12:]
        if quoted:      # a checksum over all of the packet: known when all of it is quoted
            body = body[:self.total - self.body_at]
            unknown = self.fragmented or len(body) < self.total - self.body_at
        else:
            unknown = self.more
        self.l4_ok = unknown or body[8:12] == struct.pack("<I", crc32c(body[:8] + bytes(4) + body[12:]))

    def icmp(self, body, quoted):
        if len(body) < 8:
            self.error = "short ICMP header"
            return
        self.kind, self.code, _, self.ident_icmp, self.seq_icmp = struct.unpack("!BBHHH", body[:8])
        self.payload = body[8:]
        right = self.pseudo_ok(body) if self.proto == ICMPV6 else checksum(body) == 0
        self.l4_ok = quoted or self.more or right
        if self.is_error() and not quoted:
            self.inner = Decoded(self.payload, quoted=True)

    def is_error(self):
        """An ICMP message that quotes a packet."""
        return self.kind in (3, 4, 5, 11, 12) if self.proto == ICMP else self.proto == ICMPV6 and self.kind < 128

    def has_id(self):
        """A query, whose id is to ICMP what ports are."""
        return self.kind in ((0, 8, 13, 14, 15, 16, 17, 18) if self.proto == ICMP else (128, 129))
