"""As much of bpf(2) as a packet generator needs, by ctypes: maps, loading a program, running it on frames.

Python has no binding for it in the standard library, and a compiler for BPF is a heavy thing to install for forty
instructions. Numbers are those of <linux/bpf.h>, which never change.
"""
import ctypes
import mmap
import os
import struct

SYS_BPF = {"x86_64": 321, "aarch64": 280}
MAP_CREATE, PROG_LOAD, PROG_TEST_RUN = 0, 5, 10
MAP_ARRAY, MMAPABLE, PROG_XDP, LIVE_FRAMES = 2, 1 << 10, 6, 2
XDP_DROP = 1
MAP_LOOKUP, REDIRECT = 1, 23
MAP_FD, MAP_VALUE = 1, 2

LIBC = ctypes.CDLL(None, use_errno=True)


def call(command: int, attributes: bytes) -> int:
    """bpf(2). Raises OSError."""
    buffer = ctypes.create_string_buffer(attributes, max(len(attributes), 128))
    result = LIBC.syscall(SYS_BPF[os.uname().machine], command, buffer, len(buffer))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Array:
    """A BPF array whose memory is ours, too."""

    def __init__(self, entries: int, value_bytes: int):
        self.fd = call(MAP_CREATE, struct.pack("<5I", MAP_ARRAY, 4, value_bytes, entries, MMAPABLE))
        page = mmap.PAGESIZE
        self.memory = mmap.mmap(self.fd, (entries * value_bytes + page - 1) // page * page)


# Registers: r0 result, r1 … r5 arguments, r6 … r9 kept over calls, r10 the stack.
def load(size: int, dst: int, src: int, offset: int = 0) -> bytes:
    return struct.pack("<BBhi", {4: 0x61, 8: 0x79}[size], dst | src << 4, offset, 0)


def store(size: int, dst: int, offset: int, src: int) -> bytes:
    return struct.pack("<BBhi", {4: 0x63, 8: 0x7b}[size], dst | src << 4, offset, 0)


def move(dst: int, src: int) -> bytes:
    return struct.pack("<BBhi", 0xbf, dst | src << 4, 0, 0)


def number(dst: int, value: int) -> bytes:
    return struct.pack("<BBhi", 0xb7, dst, 0, value)


def add(dst: int, value: int) -> bytes:
    return struct.pack("<BBhi", 0x07, dst, 0, value)


def address(dst: int, fd: int, kind: int) -> bytes:
    """Two instructions' room: a map, or the memory of its first value."""
    return struct.pack("<BBhi", 0x18, dst | kind << 4, 0, fd) + struct.pack("<BBhi", 0, 0, 0, 0)


def function(which: int) -> bytes:
    return struct.pack("<BBhi", 0x85, 0, 0, which)


def unless_above(dst: int, src: int, body: bytes) -> bytes:
    """`body`, which is skipped when dst > src."""
    return struct.pack("<BBhi", 0x2d, dst | src << 4, len(body) // 8, 0) + body


def unless_below(dst: int, value: int, body: bytes) -> bytes:
    return struct.pack("<BBhi", 0xa5, dst, len(body) // 8, value) + body


def unless_zero(dst: int, body: bytes) -> bytes:
    return struct.pack("<BBhi", 0x15, dst, len(body) // 8, 0) + body


EXIT = struct.pack("<BBhi", 0x95, 0, 0, 0)


def load_xdp(program: bytes) -> int:
    """The verified program's descriptor. Raises OSError with what the verifier says."""
    log = ctypes.create_string_buffer(65536)
    code, licence = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"Dual BSD/GPL")
    where = ctypes.addressof
    attributes = struct.pack("<IIQQIIQ", PROG_XDP, len(program) // 8, where(code), where(licence), 1, len(log),
                             where(log))
    try:
        return call(PROG_LOAD, attributes)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: {log.value.decode(errors='replace')[-600:]}") from None


def run_live(program: int, frame: bytes, times: int) -> None:
    """Runs an XDP program on `times` frames as if a device had received them; what it redirects is really sent.
    InterruptedError when a signal came."""
    data = ctypes.create_string_buffer(frame, len(frame))
    call(PROG_TEST_RUN, struct.pack("<IIIIQQIIIIQQIII", program, 0, len(frame), 0, ctypes.addressof(data), 0, times, 0,
                                    0, 0, 0, 0, LIVE_FRAMES, 0, 64))
