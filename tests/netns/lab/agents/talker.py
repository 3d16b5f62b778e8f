"""talker.py HOST PORT COUNT: holds COUNT TCP connections and sends a line on each every 50 ms, checking the echo,
until its standard input ends. Prints the number of lines that came back; ends with 1 when a connection is lost or
silent for 8 s. "ready" is printed when every connection has had its first answer."""
import asyncio
import sys


async def talk(host, port, stop, first):
    reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 8)
    lines = 0
    while not stop.is_set():
        text = f"line {lines}\n".encode()
        writer.write(text)
        answer = await asyncio.wait_for(reader.readline(), 8)
        if answer != text:
            raise ConnectionError(f"sent {text!r}, got {answer!r}")
        lines += 1
        first.set()
        await asyncio.sleep(0.05)
    writer.close()
    return lines


async def main():
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    stop, firsts = asyncio.Event(), [asyncio.Event() for _ in range(count)]
    talks = [asyncio.create_task(talk(host, port, stop, first)) for first in firsts]

    async def announce():
        for first in firsts:
            await first.wait()
        print("ready", flush=True)

    announcing = asyncio.create_task(announce())
    loop = asyncio.get_running_loop()
    asking = loop.run_in_executor(None, sys.stdin.read)
    gathering = asyncio.gather(*talks)
    await asyncio.wait([asking, gathering], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    lines = await gathering
    await announcing
    print(f"{sum(lines)} lines", flush=True)


asyncio.run(main())
