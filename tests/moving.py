"""Moving many items from task to task while waits are cancelled at random: for tests of queues and their bridges."""

import os
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any

import trio

from compat import asyncio

ITEMS = int(os.environ.get("STRESS_ITEMS", "20000"))
"""How many items each stress test moves; 20,000 take about a second on CI's machines, 1,000,000 are the full size."""


class Interrupter:
    """Cancels random waits: those of trio tasks by their scopes, those of asyncio Tasks by Task.cancel()."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.waits: dict[object, Callable[[], object]] = {}
        self.cancelled = 0

    async def by_trio(self, wait: Callable[[], Awaitable[object]]) -> bool:
        """Tell whether the wait came to its end."""
        with trio.CancelScope() as scope:
            self.waits[scope] = scope.cancel
            try:
                await wait()
            finally:
                del self.waits[scope]
        self.cancelled += scope.cancelled_caught
        return not scope.cancelled_caught

    async def by_asyncio(self, wait: Callable[[], Awaitable[object]]) -> bool:
        """Tell whether the wait came to its end."""
        task = asyncio.current_task()
        assert task is not None
        self.waits[task] = task.cancel
        try:
            await wait()
            return True
        except asyncio.CancelledError:
            self.cancelled += 1
            return False
        finally:
            del self.waits[task]
            while task.uncancel():
                pass

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Cancel one now and then until all is over, then whatever waits in vain."""
        while not is_over():
            if self.waits and self.random.random() < 0.5:
                self.random.choice(list(self.waits.values()))()
            for _ in range(self.random.randrange(1, 4)):
                await trio.lowlevel.checkpoint()
        while self.waits:
            for cancel in list(self.waits.values()):
                cancel()
            await trio.lowlevel.checkpoint()


async def move(
    count: int,
    put: Callable[[int], Awaitable[object]],
    get: Callable[[], Awaitable[int]],
    *,
    producers: str,
    consumers: str,
    seed: int,
) -> list[int]:
    """Put the numbers below count and get them, each by several tasks of a kind each; the numbers as they came out.

    A kind is the first letter of "trio" or "asyncio", by which the wait is cancelled, too.
    """
    random = Random(seed)
    interrupter = Interrupter(random)
    attempts = {"t": interrupter.by_trio, "a": interrupter.by_asyncio}
    got: list[int] = []

    async def produce(kind: str, first: int) -> None:
        for number in range(first, count, len(producers)):
            while not await attempts[kind](lambda: put(number)):  # noqa: B023  (it is called at once)
                pass
            for _ in range(random.randrange(4)):  # at times there is nothing to get
                await asyncio.sleep(0)

    async def take() -> None:
        got.append(await get())

    async def consume(kind: str) -> None:
        while len(got) < count:
            await attempts[kind](take)

    async with asyncio.TaskGroup() as group, trio.open_nursery() as nursery:

        def start(kind: str, async_fn: Callable[..., Coroutine[Any, Any, None]], *args: int) -> None:
            if kind == "t":
                nursery.start_soon(async_fn, kind, *args)
            else:
                group.create_task(async_fn(kind, *args))

        for first, kind in enumerate(producers):
            start(kind, produce, first)
        for kind in consumers:
            start(kind, consume)
        nursery.start_soon(interrupter.run, lambda: len(got) >= count)

    assert interrupter.cancelled > count // 100  # else nothing was tried
    return got


def assert_in_order(got: list[int], count: int, producers: int) -> None:
    """Nothing lost, nothing twice, and what a producer put in came out in its order."""
    assert len(got) == count
    for first in range(producers):
        assert [number for number in got if number % producers == first] == list(range(first, count, producers))
