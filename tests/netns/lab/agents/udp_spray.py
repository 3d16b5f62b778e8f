"""udp_spray.py HOST FIRST-PORT COUNT [WAIT]: one datagram to each of COUNT ports, each from a socket of its own;
prints how many were answered within WAIT seconds (default 0.5)."""
import selectors
import socket
import sys
import time

host, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
wait = float(sys.argv[4]) if len(sys.argv) > 4 else 0.5
selector = selectors.DefaultSelector()
sockets = []
for number in range(count):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    selector.register(sock, selectors.EVENT_READ)
    sockets.append(sock)
    try:
        sock.sendto(f"datagram {number}".encode(), (host, first + number if first > 10000 else first))
    except OSError:
        pass
    if number % 50 == 49:
        time.sleep(0.01)
answered, end = set(), time.monotonic() + wait
while (left := end - time.monotonic()) > 0 and len(answered) < count:
    for key, _ in selector.select(left):
        try:
            key.fileobj.recv(2048)
            answered.add(key.fileobj)
        except OSError:     # refused: an ICMP error came back, which is no answer
            pass
print(len(answered))
