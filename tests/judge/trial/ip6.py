"""IPv6 packets as bytes: the header, and the extension headers that a scenario puts between it and its payload."""
import ipaddress
import struct

HOP, ROUTING, FRAGMENT, AUTH, NONE, DEST = 0, 43, 44, 51, 59, 60
HEADER = 40


def ip_bytes(text):
    return ipaddress.IPv6Address(text).packed


def pseudo(src, dst, proto, size):
    """RFC 8200 8.1."""
    return src + dst + struct.pack("!II", size, proto)


def padded(content):
    """Options with PadN behind them, so that the header with its two bytes is a multiple of eight."""
    gap = -(len(content) + 2) % 8
    return content + (b"" if gap == 0 else b"\0" if gap == 1 else bytes([1, gap - 2]) + bytes(gap - 2))


class Extension:
    """One header of the chain, without the number of the next one. `size` is the length that it claims to have."""

    def __init__(self, kind, content=b"", size=None):
        self.kind, self.content, self.size = kind, content, size

    def bytes(self, following):
        if self.kind == FRAGMENT:
            return bytes([following, 0]) + self.content
        if self.kind == AUTH:       # RFC 4302: in units of four, less two
            content = self.content + b"\0" * (-(len(self.content) + 2) % 8)
            size = (len(content) + 2) // 4 - 2
        else:
            content = padded(self.content) if self.kind in (HOP, DEST) else self.content
            content += b"\0" * (-(len(content) + 2) % 8)
            size = (len(content) + 2) // 8 - 1
        return bytes([following, size if self.size is None else self.size]) + content


def fragment(frag, more, ident):
    return Extension(FRAGMENT, struct.pack("!HI", frag & 0xfff8 | (1 if more else 0), ident))


def ip6(src, dst, proto, body, hops=64, traffic_class=0, label=0, extensions=(), total=None, version=6):
    """An IPv6 packet; `total` is what its length field says in place of the truth."""
    kinds = [extension.kind for extension in extensions] + [proto]
    chain = b"".join(one.bytes(following) for one, following in zip(extensions, kinds[1:]))
    length = len(chain) + len(body) if total is None else total
    head = struct.pack("!IHBB", version << 28 | traffic_class << 20 | label, length, kinds[0], hops)
    return head + src + dst + chain + body
