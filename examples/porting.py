"""checksums.py on its way to trio: what has been ported and what has not work together.

    python examples/porting.py FOLDER                   # on trio; it needs no `-m compat`

`checksum` is still asyncio code, and nobody touched it. `main` is trio code by now: a nursery where the TaskGroup was,
a memory channel for the results, and a limit on the whole that asyncio.timeout would have been for. `show` is an
asyncio task that reads trio's channel. Each function can be ported (or left) by itself.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import trio

import compat
from compat import asyncio


def files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- asyncio, as it was ---


async def checksum(path: Path, slots: asyncio.Semaphore, seconds: float) -> str | OSError:
    async with slots:
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.to_thread(sha256, path)
        except OSError as error:
            return error
        except asyncio.CancelledError:  # from trio's scope in main, or from anywhere
            print(f"{path}: given up", file=sys.stderr)
            raise


# --- asyncio code that takes something of trio's ---


async def show(results: trio.MemoryReceiveChannel[tuple[Path, str | OSError]]) -> int:
    """Print what comes in, sorted; how many files could not be read."""
    found = {path: result async for path, result in results}
    for path, result in sorted(found.items()):
        print(f"{path}: {result.strerror or 'took too long'}" if isinstance(result, OSError) else f"{result}  {path}")
    return sum(isinstance(result, OSError) for result in found.values())


# --- trio code that calls asyncio code ---


async def main(folder: Path, at_once: int, seconds: float, limit: float) -> int:
    send, receive = trio.open_memory_channel[tuple[Path, str | OSError]](0)
    shown = asyncio.create_task(show(receive))
    slots = asyncio.Semaphore(at_once)

    async def one_file(path: Path) -> None:
        await send.send((path, await checksum(path, slots, seconds)))

    with trio.move_on_after(limit) as scope:
        async with trio.open_nursery() as nursery:
            for path in files_below(folder):
                nursery.start_soon(one_file, path)
    send.close()
    failures = await shown
    if scope.cancelled_caught:
        print(f"stopped after {limit:g} seconds", file=sys.stderr)
    return 1 if failures or scope.cancelled_caught else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="SHA-256 of every file below a folder")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--at-once", type=int, default=8, help="how many files are read at the same time (8)")
    parser.add_argument("--seconds", type=float, default=60, help="patience with one file (60)")
    parser.add_argument("--limit", type=float, default=600, help="patience with all of them (600)")
    options = parser.parse_args()
    sys.exit(compat.run(main, options.folder, options.at_once, options.seconds, options.limit))
