"""IPv4 packets as bytes: made from numbers, and taken apart again.

Checksums are right unless a field says otherwise (`badsum`, `badipsum`), so that a packet is wrong only where its
scenario wants it to be. Nothing here knows of scenarios, boxes or names. Fast enough for a million packets.
"""
import functools
import ipaddress
import struct

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128
ICMP, TCP, UDP, SCTP, UDPLITE = 1, 6, 17, 132, 136
IP_HEADER, ETHER = 20, 14


def ip_bytes(text):
    return ipaddress.IPv4Address(text).packed


def ip_text(raw):
    return "%d.%d.%d.%d" % tuple(raw)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


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
    number = checksum(src + dst + struct.pack("!BBH", 0, TCP, len(body)) + body) ^ (0x0101 if badsum else 0)
    return body[:16] + struct.pack("!H", number) + body[18:]


def udp_body(src, dst, sport, dport, payload=b"", badsum=False, nosum=False, length=None, proto=UDP):
    """UDP, and UDP-Lite, whose `length` is how much its checksum covers."""
    size = 8 + len(payload) if length is None else length
    body = struct.pack("!HHHH", sport, dport, size, 0) + payload
    covered = body[:size] if proto == UDPLITE and 8 <= size else body
    number = checksum(src + dst + struct.pack("!BBH", 0, proto, len(body)) + covered) or 0xffff
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


@functools.cache
def pattern(size):
    """Bytes that differ from place to place."""
    return bytes((i * 7 + i // 251) & 0xff for i in range(size))


class Decoded:
    """What a packet holds. `error` says where taking apart ended early."""

    def __init__(self, packet, quoted=False):
        self.raw, self.error = packet, ""
        self.sport = self.dport = self.flags = self.kind = self.code = None
        self.payload, self.inner = b"", None
        self.ip_ok = self.l4_ok = True
        if len(packet) < IP_HEADER or packet[0] >> 4 != 4:
            self.error = "no IPv4 packet"
            return
        ihl = (packet[0] & 15) * 4
        self.tos, self.total, self.ident, word, self.ttl, self.proto = struct.unpack("!xBHHHBB", packet[:10])
        self.src, self.dst = ip_text(packet[12:16]), ip_text(packet[16:20])
        self.ip_ok = checksum(packet[:ihl]) == 0
        self.frag, self.more, self.df = (word & 0x1fff) * 8, bool(word & 0x2000), bool(word & 0x4000)
        body = packet[ihl:] if quoted else packet[ihl:self.total]
        self.body_at, self.payload, self.ip_options = ihl, body, packet[20:ihl]
        if self.frag:
            return
        getattr(self, {TCP: "tcp", UDP: "udp", UDPLITE: "udp", ICMP: "icmp", SCTP: "sctp"}.get(self.proto, "other"))(body, quoted)

    def other(self, body, quoted):
        pass

    def pseudo_ok(self, body):
        return checksum(self.raw[12:20] + struct.pack("!BBH", 0, self.proto, len(body)) + body) == 0

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
        self.l4_ok = quoted or self.more or number == 0 or self.proto == UDPLITE or self.pseudo_ok(body)

    def sctp(self, body, quoted):
        if len(body) < 12:
            self.error = "" if quoted else "short SCTP header"
            return
        self.sport, self.dport = struct.unpack("!HH", body[:4])
        self.payload = body[12:]
        self.l4_ok = quoted or self.more or body[8:12] == struct.pack("<I", crc32c(body[:8] + bytes(4) + body[12:]))

    def icmp(self, body, quoted):
        if len(body) < 8:
            self.error = "short ICMP header"
            return
        self.kind, self.code, _, self.ident_icmp, self.seq_icmp = struct.unpack("!BBHHH", body[:8])
        self.payload = body[8:]
        self.l4_ok = quoted or self.more or checksum(body) == 0
        if self.kind in (3, 4, 5, 11, 12) and not quoted:
            self.inner = Decoded(self.payload, quoted=True)
