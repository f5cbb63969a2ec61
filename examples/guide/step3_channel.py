"""Step 3: a memory channel where the queue was. Its end says that there is no more: no join() and no task_done()."""

import argparse
import sys

import trio

import compat
from compat import asyncio

Place = tuple[str, int]


async def greeting(host: str, port: int, seconds: float) -> str:
    """The first line that a server sends, or what went wrong."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                line = await reader.readline()
            finally:
                writer.close()
    except TimeoutError:
        return "(too slow)"
    except OSError:
        return "(no connection)"
    return line.decode(errors="replace").strip() or "(says nothing)"


async def work(places: trio.MemoryReceiveChannel[Place], found: dict[Place, str], seconds: float) -> None:
    """Ask server after server, until no more come."""
    async for place in places:
        found[place] = await greeting(*place, seconds)


async def report(found: dict[Place, str], total: int) -> None:
    """Say how far it is, until cancelled."""
    while True:
        await trio.sleep(2)
        print(f"{len(found)} of {total} servers", file=sys.stderr)


async def main(wanted: list[Place], workers: int, seconds: float) -> None:
    send, receive = trio.open_memory_channel[Place](0)
    found: dict[Place, str] = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(report, found, len(wanted))
        async with trio.open_nursery() as pool, send:
            for _ in range(workers):
                pool.start_soon(work, receive, found, seconds)
            for place in wanted:
                await send.send(place)
        nursery.cancel_scope.cancel()
    for place in wanted:
        print(f"{place[0]}:{place[1]} {found[place]}")


def parse(text: str) -> Place:
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="what servers say first")
    parser.add_argument("places", nargs="+", type=parse, metavar="HOST:PORT")
    parser.add_argument("--workers", type=int, default=10, help="how many are asked at the same time (10)")
    parser.add_argument("--seconds", type=float, default=5, help="patience with one of them (5)")
    options = parser.parse_args()
    compat.run(main, options.places, options.workers, options.seconds)
