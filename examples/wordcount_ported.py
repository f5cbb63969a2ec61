"""wordcount.py half ported: the reader and main are trio code by now, the workers are asyncio code, as they were.

    python examples/wordcount_ported.py FOLDER          # on trio; it needs no `-m compat`

The workers take from an asyncio.Queue. The reader sends into a trio channel, which is that queue's other face: the
bound on how far it may be ahead holds, and either end can be ported without the other noticing.
"""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

import trio

import compat
from compat import asyncio

# --- asyncio, as it was ---


def count(text: bytes) -> Counter[str]:
    return Counter(re.findall(r"[^\W\d_]+", text.decode().lower()))


async def work(texts: asyncio.Queue[tuple[Path, bytes]], total: Counter[str]) -> None:
    """Count the words of file after file, until cancelled."""
    while True:
        path, text = await texts.get()
        try:
            total.update(await asyncio.to_thread(count, text))
        except UnicodeDecodeError:
            print(f"{path}: not a text", file=sys.stderr)
        finally:
            texts.task_done()


# --- trio ---


async def read(folder: Path, texts: trio.abc.SendChannel[tuple[Path, bytes]]) -> None:
    """Send every file below the folder, as fast as the workers take them."""
    for path in sorted(await trio.Path(folder).rglob("*")):
        if await path.is_file():
            await texts.send((Path(path), await path.read_bytes()))


async def main(folder: Path, workers: int, ahead: int, top: int) -> None:
    texts: asyncio.Queue[tuple[Path, bytes]] = asyncio.Queue(maxsize=ahead)
    send, _ = compat.as_channels(texts)
    total: Counter[str] = Counter()
    async with trio.open_nursery() as nursery:
        for _ in range(workers):
            nursery.start_soon(work, texts, total)
        await read(folder, send)
        await texts.join()
        nursery.cancel_scope.cancel()
    for word, times in sorted(total.items(), key=lambda item: (-item[1], item[0]))[:top]:
        print(f"{times:7} {word}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="the most frequent words below a folder")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=4, help="how many files are worked on at the same time (4)")
    parser.add_argument("--ahead", type=int, default=8, help="how many files may wait for a worker (8)")
    parser.add_argument("--top", type=int, default=20, help="how many words to show (20)")
    options = parser.parse_args()
    compat.run(main, options.folder, options.workers, options.ahead, options.top)
