"""What each server says first: asyncio, as it was before the port.

    python examples/guide/step0_asyncio.py HOST:PORT...               # on asyncio
    python -m compat examples/guide/step0_asyncio.py HOST:PORT...     # the same program on trio

A pool of workers takes servers from a queue and asks each for its first line, with a time limit. docs/porting.md takes
it to trio in five steps.
"""

import argparse
import asyncio
import sys

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


async def work(places: asyncio.Queue[Place], found: dict[Place, str], seconds: float) -> None:
    """Ask server after server, until cancelled."""
    while True:
        place = await places.get()
        found[place] = await greeting(*place, seconds)
        places.task_done()


async def report(found: dict[Place, str], total: int) -> None:
    """Say how far it is, until cancelled."""
    while True:
        await asyncio.sleep(2)
        print(f"{len(found)} of {total} servers", file=sys.stderr)


async def main(wanted: list[Place], workers: int, seconds: float) -> None:
    places: asyncio.Queue[Place] = asyncio.Queue()
    found: dict[Place, str] = {}
    tasks = [asyncio.create_task(work(places, found, seconds)) for _ in range(workers)]
    tasks.append(asyncio.create_task(report(found, len(wanted))))
    for place in wanted:
        await places.put(place)
    await places.join()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
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
    asyncio.run(main(options.places, options.workers, options.seconds))
