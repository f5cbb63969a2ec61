"""The most frequent words in the text files below a folder, by a pool of workers.

Plain asyncio: a bounded Queue between one reader and many workers, join and task_done.

    python examples/wordcount.py FOLDER                 # on asyncio
    python -m compat examples/wordcount.py FOLDER       # the same program on trio

The reader stays at most `--ahead` files ahead of the workers, however many there are and however big: that is what the
queue's bound is for.
"""

import argparse
import asyncio
import re
import sys
from collections import Counter
from pathlib import Path


async def read(folder: Path, texts: asyncio.Queue[tuple[Path, bytes]]) -> None:
    """Put every file below the folder in the queue, as fast as the workers take them."""
    for path in await asyncio.to_thread(lambda: sorted(folder.rglob("*"))):
        if path.is_file():
            await texts.put((path, await asyncio.to_thread(path.read_bytes)))


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


async def main(folder: Path, workers: int, ahead: int, top: int) -> None:
    texts: asyncio.Queue[tuple[Path, bytes]] = asyncio.Queue(maxsize=ahead)
    total: Counter[str] = Counter()
    async with asyncio.TaskGroup() as group:
        pool = [group.create_task(work(texts, total)) for _ in range(workers)]
        await read(folder, texts)
        await texts.join()
        for worker in pool:
            worker.cancel()
    for word, times in sorted(total.items(), key=lambda item: (-item[1], item[0]))[:top]:
        print(f"{times:7} {word}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="the most frequent words below a folder")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=4, help="how many files are worked on at the same time (4)")
    parser.add_argument("--ahead", type=int, default=8, help="how many files may wait for a worker (8)")
    parser.add_argument("--top", type=int, default=20, help="how many words to show (20)")
    options = parser.parse_args()
    asyncio.run(main(options.folder, options.workers, options.ahead, options.top))
