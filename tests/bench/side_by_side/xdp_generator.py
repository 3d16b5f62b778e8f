#!/usr/bin/env python3
"""Sends the frames of a pcap file out of a device, over and over, as fast as the core goes that it runs on.

    xdp_generator.py PCAP DEVICE

The kernel's pktgen is often not built, and a user-space sender needs a core of its own that is faster than the one
under test. Here a BPF program redirects frames to the device within the system call (BPF_F_TEST_XDP_LIVE_FRAMES, Linux
5.18); on a veth the peer's receive and all of the forwarding behind it follow in the same context on the same core.
So one core is saturated whatever the speed of what is behind, and what the generator itself takes (some 100 cycles a
frame, building the socket buffer included) is what a driver takes to receive.

The frames stay in an array map and are copied into place for each packet: the kernel hands out buffers again that the
forwarding has changed.
"""
import pathlib
import signal
import socket
import sys

if __package__:
    from . import bpf, traffic
else:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
    import bpf
    import traffic

SLOT_BYTES = 64
AT_ONCE = 1 << 20


def program(frames: "bpf.Array", counter: "bpf.Array", count: int, ifindex: int) -> bytes:
    """Redirects frame number `counter` of `count`, and counts."""
    copied = b"".join(bpf.load(8, 1, 0, at) + bpf.store(8, 6, at, 1) for at in range(0, traffic.FRAME_BYTES - 7, 8))
    copied += bpf.load(4, 1, 0, traffic.FRAME_BYTES - 4) + bpf.store(4, 6, traffic.FRAME_BYTES - 4, 1)
    send = copied + bpf.number(1, ifindex) + bpf.number(2, 0) + bpf.function(bpf.REDIRECT) + bpf.EXIT
    step = (bpf.address(8, counter.fd, bpf.MAP_VALUE) + bpf.load(8, 3, 8) + bpf.move(4, 3) + bpf.add(4, 1) +
            bpf.unless_below(4, count, bpf.number(4, 0)) + bpf.store(8, 8, 0, 4) + bpf.store(4, 10, -4, 3))
    look = (bpf.move(2, 10) + bpf.add(2, -4) + bpf.address(1, frames.fd, bpf.MAP_FD) + bpf.function(bpf.MAP_LOOKUP) +
            bpf.unless_zero(0, send))
    return (bpf.load(4, 6, 1, 0) + bpf.load(4, 7, 1, 4) + bpf.move(2, 6) + bpf.add(2, traffic.FRAME_BYTES) +
            bpf.unless_above(2, 7, step + look) + bpf.number(0, bpf.XDP_DROP) + bpf.EXIT)


def main() -> int:
    path, device = pathlib.Path(sys.argv[1]), sys.argv[2]
    packets = traffic.read_pcap(path)
    frames, counter = bpf.Array(len(packets), SLOT_BYTES), bpf.Array(1, 8)
    for number, packet in enumerate(packets):
        frames.memory[number * SLOT_BYTES:number * SLOT_BYTES + len(packet)] = packet
    descriptor = bpf.load_xdp(program(frames, counter, len(packets), socket.if_nametoindex(device)))
    going = [True]

    def stop(*_):
        going[0] = False

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while going[0]:
        try:
            bpf.run_live(descriptor, packets[0], AT_ONCE)
        except InterruptedError:
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
