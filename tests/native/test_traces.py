"""The same random program on native and on what trio has for it logs the same steps at the same times.

Each operation begins at a time of its own, of a virtual clock, so that the order in which trio steps tasks that are due
together does not matter; those that one operation has woken are compared as a set.
"""

import math
from collections.abc import Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, NamedTuple

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from compat import native
from compat.adapters.native.queues import _Channel

PROGRAMS = settings(max_examples=20)
RANDOM = given(st.integers(0, 2**32).map(Random))


class Step(NamedTuple):
    when: float
    what: str
    argument: int
    patience: float  # after which the operation is cancelled


def workers(random: Random, operations: list[str], tasks: int = 4, steps: int = 8) -> list[list[Step]]:
    """What each task does when; no two times are the same."""
    times = random.sample(range(1, 100 * tasks * steps), 2 * tasks * steps)
    return [
        [
            Step(
                float(when),
                random.choice(operations),
                random.randrange(100),
                math.inf if random.random() < 0.4 else times.pop() % 97 + 1 / (times.pop() + 2),
            )
            for when in sorted(times.pop() for _ in range(steps // 2))
        ]
        for _ in range(tasks)
    ]


Operation = Callable[[int], Any]


def trace(program: list[list[Step]], make: Callable[[], dict[str, Operation]]) -> list[Any]:
    """Run it, and return what each operation came to, and when."""
    log: list[tuple[float, int, str, str]] = []

    async def work(number: int, steps: list[Step], operations: dict[str, Operation]) -> None:
        for index, step in enumerate(steps):
            await trio.sleep_until(max(step.when, trio.current_time() + (number * 100 + index + 1) / 2**16))
            with trio.move_on_after(step.patience) as scope:
                try:
                    result = operations[step.what](step.argument)
                    if hasattr(result, "__await__"):
                        result = await result
                    outcome = repr(result)
                except Exception as error:
                    outcome = NAMES.get(type(error), type(error).__name__)
            if scope.cancelled_caught:
                outcome = "cancelled"
            log.append((round(trio.current_time(), 6), number, step.what, outcome))

    async def main() -> None:
        operations = make()
        with trio.move_on_after(10000):
            async with trio.open_nursery() as nursery:
                for number, steps in enumerate(program):
                    nursery.start_soon(work, number, steps, operations)

    trio.run(main, clock=MockClock(autojump_threshold=0))
    return sorted(log)


NAMES = {
    native.QueueFull: "full or empty",
    native.QueueEmpty: "full or empty",
    trio.WouldBlock: "full or empty",
    native.QueueShutDown: "closed",
    trio.ClosedResourceError: "closed",
    trio.EndOfChannel: "closed",
}


async def nothing(awaitable: Any) -> None:
    await awaitable


def compare(random: Random, *sides: Callable[[], dict[str, Operation]]) -> None:
    first, *others = sides
    program = workers(random, sorted(first()))
    expected = trace(program, first)
    for each in others:
        assert trace(program, each) == expected


@RANDOM
@PROGRAMS
def test_queue_and_channel(random):
    size = random.choice([1, 2, 5])

    def on_native():
        queue = native.Queue(size)
        return {
            "put": queue.put,
            "get": lambda _: queue.get(),
            "put_nowait": queue.put_nowait,
            "get_nowait": lambda _: queue.get_nowait(),
            "size": lambda _: queue.qsize(),
            "shutdown": lambda number: queue.shutdown() if number < 20 else None,
        }

    def channel(send, receive):
        return {
            "put": send.send,
            "get": lambda _: receive.receive(),
            "put_nowait": send.send_nowait,
            "get_nowait": lambda _: receive.receive_nowait(),
            "size": lambda _: send.statistics().current_buffer_used,
            "shutdown": lambda number: send.close() if number < 20 else None,
        }

    def on_trio():
        return channel(*trio.open_memory_channel(size))

    def on_own_channel():
        own = _Channel(size, list.append, lambda buffer: buffer.pop(0))
        return channel(own, own)

    compare(random, on_trio, on_native, on_own_channel)


@RANDOM
@PROGRAMS
def test_lock(random):
    def operations(lock):
        async def use(number):
            async with lock:
                await trio.sleep((number + 0.3) / 7)

        return {
            "use": use,
            "acquire": lambda _: nothing(lock.acquire()),
            "release": lambda _: lock.release(),
            "locked": lambda _: lock.locked(),
        }

    compare(random, lambda: operations(trio.Lock()), lambda: operations(native.Lock()))


@RANDOM
@PROGRAMS
def test_semaphores(random):
    value = random.choice([0, 1, 3])

    def operations(semaphore, locked):
        return {
            "acquire": lambda _: nothing(semaphore.acquire()),
            "release": lambda _: semaphore.release(),
            "locked": lambda _: locked(semaphore),
        }

    def on_trio(**options):
        return operations(trio.Semaphore(value, **options), lambda semaphore: semaphore.value == 0)

    compare(random, on_trio, lambda: operations(native.Semaphore(value), native.Semaphore.locked))
    compare(
        random,
        lambda: on_trio(max_value=value),
        lambda: operations(native.BoundedSemaphore(value), native.Semaphore.locked),
    )


@RANDOM
@PROGRAMS
def test_condition(random):
    def operations(condition):
        async def wait():
            async with condition:
                await condition.wait()

        async def notify(number):
            async with condition:
                condition.notify_all() if number < 30 else condition.notify(number % 3)

        return {
            "wait": lambda _: wait(),
            "notify": notify,
            "notify at once": lambda _: condition.notify(),
            "locked": lambda _: condition.locked(),
        }

    compare(random, lambda: operations(trio.Condition()), lambda: operations(native.Condition()))


@RANDOM
@PROGRAMS
def test_event(random):
    def operations(event):
        return {
            "wait": lambda _: nothing(event.wait()),
            "set": lambda number: event.set() if number < 40 else None,
            "is set": lambda _: event.is_set(),
        }

    compare(random, lambda: operations(trio.Event()), lambda: operations(native.Event()))


@RANDOM
@PROGRAMS
def test_barrier_and_parking_lot(random):
    parties = random.choice([1, 2, 3])

    def on_native():
        barrier = native.Barrier(parties)
        return {"wait": lambda _: nothing(barrier.wait()), "waiting": lambda _: barrier.n_waiting}

    def on_trio():
        lot = trio.lowlevel.ParkingLot()

        async def wait():
            if len(lot) < parties - 1:
                await lot.park()
            else:
                lot.unpark_all()
                await trio.lowlevel.checkpoint()

        return {"wait": lambda _: wait(), "waiting": lambda _: len(lot)}

    compare(random, on_trio, on_native)


# --- trees of tasks ---------------------------------------------------------------------------------------------------


class Node(NamedTuple):
    """A task that waits, then has children, perhaps under a timeout, and ends by a result or an error."""

    name: int
    delay: float
    fails: bool
    limit: float
    children: "list[Node]"


def tree(random: Random) -> Node:
    times = random.sample(range(1, 4000), 200)

    def node(depth: int) -> Node:
        children = [node(depth + 1) for _ in range(random.randrange(4))] if depth < 3 else []
        return Node(
            len(times),
            times.pop() / 100 + times.pop() / 2**14,
            random.random() < 0.2,
            times.pop() / 50 + 1 / times.pop() if random.random() < 0.4 else math.inf,
            children,
        )

    return node(0)


def tree_trace(root: Node, group: Any, timeout: Any) -> list[Any]:
    log: list[Any] = []

    def note(node: Node, what: str) -> None:
        log.append((round(trio.current_time(), 6), node.name, what))

    async def grow(node: Node) -> None:
        try:
            async with timeout(node.limit, lambda: note(node, "out of time")):
                await trio.sleep(node.delay)
                async with group() as start:
                    for child in node.children:
                        start(grow, child)
                    await trio.sleep(node.delay)
                if node.fails:
                    raise ValueError(node.name)
            note(node, "ended")
        except BaseException as error:
            note(node, shape(error))
            raise

    async def main() -> None:
        try:
            await grow(root)
        except Exception as error:
            log.append(shape(error))

    trio.run(main, clock=MockClock(autojump_threshold=0))
    return [log[-1], *sorted(each for each in log if isinstance(each, tuple))]


def shape(error: BaseException) -> str:
    """The error, or the tree of errors; a nursery's group of nothing but trio.Cancelled is one."""
    if isinstance(error, trio.Cancelled) or (
        isinstance(error, BaseExceptionGroup) and error.split(trio.Cancelled)[1] is None
    ):
        return "cancelled"
    if isinstance(error, BaseExceptionGroup):
        return f"group({', '.join(sorted(map(shape, error.exceptions)))})"
    return repr(error)


@RANDOM
@PROGRAMS
def test_task_groups_and_timeouts(random):
    root = tree(random)

    @asynccontextmanager
    async def nursery():
        async with trio.open_nursery(strict_exception_groups=True) as opened:
            yield opened.start_soon

    @asynccontextmanager
    async def task_group():
        async with native.TaskGroup() as opened:
            yield lambda function, *args: opened.create_task(function(*args))

    @asynccontextmanager
    async def scope(limit, late):
        with trio.move_on_after(limit) as opened:
            yield
        if opened.cancelled_caught:
            late()

    @asynccontextmanager
    async def timeout(limit, late):
        try:
            async with native.timeout(None if limit == math.inf else limit):
                yield
        except TimeoutError:
            late()

    assert tree_trace(root, task_group, timeout) == tree_trace(root, nursery, scope)


@RANDOM
@PROGRAMS
def test_gather_and_nursery(random):
    """Without errors in the clean-up, gather() comes to what a nursery with the same tasks comes to, and then."""
    delays = [delay / 64 for delay in random.sample(range(1, 1000), 5)]
    failing = [random.random() < 0.2 for _ in delays]
    limit = random.choice([math.inf, random.randrange(1, 1000) / 64 + 1 / 128])

    def run(how: Any) -> Any:
        log: list[Any] = []

        async def work(number: int) -> int:
            try:
                await trio.sleep(delays[number])
                if failing[number]:
                    raise ValueError(number)
                return number
            finally:
                log.append((trio.current_time(), number))

        async def main() -> None:
            with trio.move_on_after(limit):
                try:
                    log.append(("results", await how(work)))
                except Exception as error:
                    log.append(repr(error))
            log.append(trio.current_time())

        trio.run(main, clock=MockClock(autojump_threshold=0))
        return sorted(map(repr, log))

    async def gather(work):
        return await native.gather(*map(work, range(len(delays))))

    async def nursery(work):
        results = {}

        async def keep(number):
            results[number] = await work(number)

        try:
            async with trio.open_nursery(strict_exception_groups=True) as opened:
                for number in range(len(delays)):
                    opened.start_soon(keep, number)
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        return [results[number] for number in sorted(results)]

    assert run(gather) == run(nursery)


def test_the_comparison_can_fail():
    """A lock that is no lock is found out."""

    class NoLock(native.Event):
        acquire = release = locked = lambda self: None

    def operations(lock):
        return {"release": lambda _: lock.release(), "locked": lambda _: lock.locked()}

    with pytest.raises(AssertionError):
        compare(Random(1), lambda: operations(native.Lock()), lambda: operations(NoLock()))
