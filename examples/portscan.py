"""Which TCP ports of a host are open, and what answers there.

Plain asyncio: open_connection under wait_for, many at a time by a Semaphore, results in order by gather.

    python examples/portscan.py HOST 1-1024                 # on asyncio
    python -m compat examples/portscan.py HOST 22,80,443    # the same program on trio
"""

import argparse
import asyncio


async def look(host: str, port: int, seconds: float, slots: asyncio.Semaphore) -> str | None:
    """What is known of a port: the first line that it says by itself, if it is open."""
    async with slots:
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), seconds)
        except (OSError, TimeoutError):
            return None
        try:
            greeting = await asyncio.wait_for(reader.readline(), seconds)
        except (OSError, ValueError, TimeoutError):
            greeting = b""
        writer.close()
        return f"{port:5} open {greeting.decode(errors='replace').strip()}".rstrip()


async def main(host: str, ports: list[int], at_once: int, seconds: float) -> None:
    slots = asyncio.Semaphore(at_once)
    found = [line for line in await asyncio.gather(*(look(host, port, seconds, slots) for port in ports)) if line]
    print(*found, sep="\n")
    print(f"{len(found)} of {len(ports)} ports are open")


def ports(text: str) -> list[int]:
    """The ports that "22,80,8000-8010" stands for."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="which ports of a host are open")
    parser.add_argument("host")
    parser.add_argument("ports", type=ports, help="such as 22,80,8000-8010")
    parser.add_argument("--at-once", type=int, default=100, help="how many are tried at the same time (100)")
    parser.add_argument("--seconds", type=float, default=1, help="how long to wait for an answer (1)")
    options = parser.parse_args()
    asyncio.run(main(options.host, options.ports, options.at_once, options.seconds))
