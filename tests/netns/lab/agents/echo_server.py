"""echo_server.py PORT: echoes TCP streams and UDP datagrams."""
import asyncio
import sys


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


async def stream(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def main():
    port = int(sys.argv[1])
    await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, local_addr=("0.0.0.0", port))
    server = await asyncio.start_server(stream, "0.0.0.0", port, backlog=1024)
    await server.serve_forever()


asyncio.run(main())
