"""Where do these words occur? A program of ordinary, blocking code that has an event loop work for it in a thread.

Plain asyncio: a loop of one's own that runs forever, run_coroutine_threadsafe, call_soon_threadsafe, run_in_executor,
and a task that many others wait for.

    echo "sleep gather" | python examples/concordance.py FOLDER                 # on asyncio
    echo "sleep gather" | python -m compat examples/concordance.py FOLDER       # the same program on trio

For each word on standard input, the places (file:line) where it stands in a text file below the folder. The answers
come in the order of the words; the index is built while the words are being read.
"""

import argparse
import asyncio
import re
import sys
import threading
from collections import defaultdict
from pathlib import Path

Index = dict[str, list[tuple[str, int]]]


def words_of(path: Path) -> list[tuple[str, int]]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:  # not a text file
        return []
    lines = enumerate(text.splitlines(), start=1)
    return [(word, number) for number, line in lines for word in sorted(set(re.findall(r"\w+", line)))]


async def build(folder: Path) -> Index:
    """Read all files, in the loop's threads."""
    loop = asyncio.get_running_loop()
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    found = await asyncio.gather(*(loop.run_in_executor(None, words_of, path) for path in paths))
    index: Index = defaultdict(list)
    for path, words in zip(paths, found, strict=True):
        for word, number in words:
            index[word].append((str(path.relative_to(folder)), number))
    return index


async def look_up(word: str, builder: asyncio.Task[Index]) -> str:
    places = (await builder).get(word, [])
    return f"{word}: " + (" ".join(f"{path}:{number}" for path, number in places) or "nowhere")


def main(folder: Path) -> None:
    loop = asyncio.new_event_loop()
    builder = loop.create_task(build(folder), name="build the index")
    thread = threading.Thread(target=loop.run_forever, name="event loop")
    thread.start()
    try:
        # The loop answers as soon as it can, while this thread goes on reading.
        words = (word for line in sys.stdin for word in line.split())
        answers = [asyncio.run_coroutine_threadsafe(look_up(word, builder), loop) for word in words]
        for answer in answers:
            print(answer.result(timeout=60))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(builder)  # the loop stands still between runs, and goes on where it was
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="where words occur below a folder")
    parser.add_argument("folder", type=Path)
    main(parser.parse_args().folder)
