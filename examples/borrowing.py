"""A trio program that uses a library written for asyncio, directly.

    python examples/borrowing.py FOLDER WORD...         # on trio; it needs no `-m compat`

How many of the text files below the folder contain each word. `Batcher` stands for the library: futures, call_later
and a background task, in the style of many asyncio clients. It answers all questions that come within a few
milliseconds by a single pass over the files. The program around it is trio's: a task for each word, a time limit on
each, the answers through a memory channel.
"""

import argparse
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Generic, TypeVar

import trio

import compat
from compat import asyncio

K = TypeVar("K")
V = TypeVar("V")


class Batcher(Generic[K, V]):
    """Collects the keys that are asked for within `delay` seconds, and has `load` answer them in one go."""

    def __init__(self, load: Callable[[set[K]], Awaitable[dict[K, V]]], delay: float = 0.01) -> None:
        self._load = load
        self._delay = delay
        self._asked: dict[K, asyncio.Future[V]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.batches: list[asyncio.Task[None]] = []

    async def get(self, key: K) -> V:
        loop = asyncio.get_running_loop()
        if not self._asked:
            self._timer = loop.call_later(self._delay, self._start)
        if key not in self._asked:
            self._asked[key] = loop.create_future()
        return await asyncio.shield(self._asked[key])  # others may be waiting for it

    def close(self) -> None:
        """Start no further batch."""
        if self._timer is not None:
            self._timer.cancel()

    def _start(self) -> None:
        asked, self._asked = self._asked, {}
        self.batches.append(asyncio.create_task(self._answer(asked)))

    async def _answer(self, asked: dict[K, asyncio.Future[V]]) -> None:
        try:
            answers = await self._load(set(asked))
        except Exception as error:
            for future in asked.values():
                future.set_exception(error)
        else:
            for key, future in asked.items():
                future.set_result(answers[key])


def count_files(folder: Path, words: Iterable[str]) -> dict[str, int]:
    texts = [path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()]
    return {word: sum(word in text for text in texts) for word in words}


async def ask(batcher: Batcher[str, int], word: str, seconds: float, answers: trio.MemorySendChannel[str]) -> None:
    with trio.move_on_after(seconds) as scope:
        count = await batcher.get(word)
    await answers.send(f"{word}: " + ("no answer in time" if scope.cancelled_caught else f"{count} files"))


async def main(folder: Path, words: list[str], seconds: float) -> None:
    async with compat.open_loop():
        send, receive = trio.open_memory_channel[str](len(words))
        with closing(Batcher(lambda words: asyncio.to_thread(count_files, folder, words))) as batcher:
            async with trio.open_nursery() as nursery:
                for word in words:
                    nursery.start_soon(ask, batcher, word, seconds, send)
        send.close()
        for answer in sorted([answer async for answer in receive]):
            print(answer)
        print(f"{len(batcher.batches)} pass(es) over the files")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="how many files below a folder contain each word")
    parser.add_argument("folder", type=Path)
    parser.add_argument("words", nargs="+", metavar="word")
    parser.add_argument("--seconds", type=float, default=60, help="patience with each answer (60)")
    options = parser.parse_args()
    trio.run(main, options.folder, options.words, options.seconds)
