"""Listens on a device for frames, with a packet socket: the witness that something did not pass."""
import socket
import struct
import threading

ETH_P_ALL = 0x0003
PACKET_OUTGOING = 4


class Sniffer:
    """with Sniffer(host, device, wanted) as s: …; s.frames. `wanted(frame) -> bool` chooses what is kept."""

    def __init__(self, host, device, wanted=lambda frame: True):
        self.frames, self.wanted, self.over = [], wanted, False

        def opened():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            sock.bind((device, ETH_P_ALL))
            sock.settimeout(0.1)
            return sock
        self.sock = host.inside(opened)
        self.thread = threading.Thread(target=self.listen, daemon=True)

    def listen(self):
        while not self.over:
            try:
                frame, address = self.sock.recvfrom(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            if address[2] != PACKET_OUTGOING and self.wanted(frame):
                self.frames.append(frame)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()
        self.sock.close()


def is_ipv4(frame):
    return len(frame) >= 34 and struct.unpack("!H", frame[12:14])[0] == 0x0800


def addresses(frame):
    """(source, destination) of an IPv4 frame."""
    return socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])


def from_inside(frame):
    return is_ipv4(frame) and addresses(frame)[0].startswith("192.168.1.")
