"""http_many.py URL-HOST PORT PATH COUNT SHA256: COUNT downloads at once, each on a connection of its own that is open
before the first request goes out. Prints how many came whole; ends with 1 when one did not."""
import asyncio
import hashlib
import sys


async def fetch(host, port, path, digest, gate, waiting):
    reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 20)
    waiting.pop()
    if not waiting:
        gate.set()
    await asyncio.wait_for(gate.wait(), 25)
    writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 40)
    writer.close()
    body = answer.split(b"\r\n\r\n", 1)[1]
    if hashlib.sha256(body).hexdigest() != digest:
        raise ValueError(f"{len(body)} bytes with a wrong digest")


async def main():
    host, port, path, count, digest = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
    gate, waiting = asyncio.Event(), list(range(count))
    results = await asyncio.gather(*(fetch(host, port, path, digest, gate, waiting) for _ in range(count)),
                                   return_exceptions=True)
    bad = [result for result in results if result is not None]
    print(f"{count - len(bad)} of {count}")
    for error in bad[:5]:
        print(f"{type(error).__name__}: {error}")
    sys.exit(1 if bad else 0)


asyncio.run(main())
