"""Queues, where asyncio and trio tasks share them.

What asyncio alone can see is compared with asyncio in test_traces, and by CPython's own tests.
"""

import heapq
from collections import deque

import pytest
import trio

import compat
from compat import asyncio
from moving import ITEMS, assert_in_order, move
from worlds import WORLDS

QUEUES = [asyncio.Queue, asyncio.PriorityQueue, asyncio.LifoQueue]


@pytest.fixture(params=WORLDS, ids=lambda world: world.__name__)
def world(request):
    return request.param


@pytest.fixture(params=QUEUES, ids=lambda queue: queue.__name__)
def queue_class(request):
    return request.param


def test_the_others_are_queues():
    assert all(issubclass(kind, asyncio.Queue) for kind in QUEUES)


def assert_nobody_waits(queue):
    assert not queue._getters
    assert not queue._putters
    assert not queue._finished._waiters


def test_trio_and_asyncio_tasks_wait_in_one_line(world):
    async def main():
        queue, log = asyncio.Queue(), []

        async def get(name):
            log.append((name, await queue.get()))

        async with asyncio.TaskGroup() as group, trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(get, f"trio {number}")
                await asyncio.sleep(0)
                group.create_task(get(f"asyncio {number}"))
                await asyncio.sleep(0)
            for number in range(6):
                queue.put_nowait(number)
        assert log == [(f"{kind} {n // 2}", n) for n, kind in enumerate(["trio", "asyncio"] * 3)]
        assert_nobody_waits(queue)

    world(main)


def test_a_scope_cancels_a_get_and_no_item_is_lost(world):
    async def main():
        queue = asyncio.Queue()
        with trio.move_on_after(1) as scope:
            try:
                await queue.get()
            except asyncio.CancelledError as error:
                assert isinstance(error, trio.Cancelled)
                raise
        assert scope.cancelled_caught
        assert_nobody_waits(queue)
        queue.put_nowait(1)
        assert await queue.get() == 1

    world(main)


def test_a_scope_cancels_a_put_and_no_item_is_added(world):
    async def main():
        queue = asyncio.Queue(1)
        queue.put_nowait(1)
        with trio.move_on_after(1) as scope:
            await queue.put(2)
        assert scope.cancelled_caught
        assert_nobody_waits(queue)
        assert queue.get_nowait() == 1
        assert queue.empty()

    world(main)


def test_a_scope_cancels_a_join(world):
    async def main():
        queue = asyncio.Queue()
        queue.put_nowait(1)
        with trio.move_on_after(1) as scope:
            await queue.join()
        assert scope.cancelled_caught
        assert_nobody_waits(queue)
        queue.task_done()
        await queue.join()

    world(main)


@pytest.mark.parametrize("kind", ["trio", "asyncio"])
def test_a_getter_that_is_cancelled_when_it_was_woken_wakes_the_next(world, kind):
    async def main():
        queue, got = asyncio.Queue(), []

        async def get():
            got.append(await queue.get())

        async def get_in_scope():
            with scope:
                await get()

        async with asyncio.TaskGroup() as group, trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            first = group.create_task(get()) if kind == "asyncio" else nursery.start_soon(get_in_scope)
            await asyncio.sleep(0)
            nursery.start_soon(get)
            await asyncio.sleep(0)
            queue.put_nowait(1)
            if kind == "asyncio":
                first.cancel()
            else:
                scope.cancel()  # too late: trio has rescheduled it, and it takes its item
                queue.put_nowait(2)
        assert got == ([1] if kind == "asyncio" else [1, 2])
        assert_nobody_waits(queue)

    world(main)


def test_a_putter_that_is_cancelled_when_it_was_woken_wakes_the_next(world):
    async def main():
        queue = asyncio.Queue(1)
        queue.put_nowait(0)
        first = asyncio.create_task(queue.put(1))
        async with trio.open_nursery() as nursery:
            await asyncio.sleep(0)
            nursery.start_soon(queue.put, 2)
            await asyncio.sleep(0)
            assert queue.get_nowait() == 0
            first.cancel()
        assert queue.get_nowait() == 2
        assert_nobody_waits(queue)

    world(main)


@pytest.mark.parametrize("kind", ["trio", "asyncio"])
@pytest.mark.parametrize("end", ["get", "put"])
def test_who_was_cancelled_before_is_passed_over(world, kind, end):
    """Such a waiter is in line until its next step."""

    async def main():
        queue, log = asyncio.Queue(1), []
        if end == "put":
            queue.put_nowait(0)

        async def wait(name):
            await (queue.get() if end == "get" else queue.put(name))
            log.append(name)

        async def wait_in_scope():
            with scope:
                await wait("first")

        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            first = asyncio.create_task(wait_in_scope())
            await asyncio.sleep(0)
            nursery.start_soon(wait, "second")
            await asyncio.sleep(0)
            first.cancel() if kind == "asyncio" else scope.cancel()
            queue.put_nowait(1) if end == "get" else queue.get_nowait()
        assert log == ["second"]
        assert_nobody_waits(queue)

    world(main)


def test_with_room_or_an_item_nobody_yields(world):
    async def main():
        queue, ticks = asyncio.Queue(1), 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticker = asyncio.create_task(tick())
        for number in range(3):
            await queue.put(number)
            assert await queue.get() == number
            queue.task_done()
            await queue.join()
        assert ticks == 0
        ticker.cancel()

    world(main)


def test_a_subclass_says_how_items_are_stored(world):
    class Distinct(asyncio.Queue):
        def _init(self, maxsize):
            self._queue = {}

        def _put(self, item):
            self._queue[item] = None

        def _get(self):
            return self._queue.popitem()[0]

    async def main():
        queue = Distinct()
        for item in "abab":
            await queue.put(item)
        assert repr(queue).endswith("maxsize=0 _queue=['a', 'b'] tasks=4>")
        assert [await queue.get(), await queue.get()] == ["b", "a"]
        assert queue.empty()

    world(main)


def test_made_outside_of_a_loop_it_belongs_to_the_first_in_which_somebody_waits():
    queue = asyncio.Queue()
    queue.put_nowait(1)

    async def get():
        assert queue.get_nowait() == 1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 0.001)
        queue.put_nowait(1)

    async def wait_in_other_loop():
        assert queue.get_nowait() == 1  # without a wait it does not matter
        with pytest.raises(
            RuntimeError, match=r"^<Queue at 0x\w+ maxsize=0 tasks=2> is bound to a different event loop$"
        ):
            await queue.get()

    asyncio.run(get())
    compat.run(wait_in_other_loop)


def test_two_threads_cannot_wait_for_one_queue():
    queue, errors = asyncio.Queue(), []

    def run_in_thread():
        async def get():
            await queue.get()

        try:
            asyncio.run(get())
        except RuntimeError as error:
            errors.append(str(error))

    async def main():
        getter = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        await asyncio.to_thread(run_in_thread)
        queue.put_nowait(1)
        assert await getter == 1

    asyncio.run(main())
    assert errors == [f"{queue!r} is bound to a different event loop".replace(" tasks=1", " _getters[1]")]


class Shadow:
    """What must be in a queue, and what it must give next."""

    def __init__(self, queue_class):
        self.kind = queue_class.__name__
        self.items = deque() if self.kind == "Queue" else []

    def put(self, item):
        if self.kind == "PriorityQueue":
            heapq.heappush(self.items, item)
        else:
            self.items.append(item)

    def take(self, item):
        take = {"Queue": deque.popleft, "PriorityQueue": heapq.heappop, "LifoQueue": list.pop}[self.kind]
        assert take(self.items) == item


@pytest.mark.parametrize("maxsize", [0, 3])
def test_stress_of_random_cancellation(world, queue_class, maxsize):
    async def main():
        queue, shadow = queue_class(maxsize), Shadow(queue_class)

        async def put(item):
            await queue.put(item)
            shadow.put(item)

        async def get():
            item = await queue.get()
            shadow.take(item)
            queue.task_done()
            return item

        count = ITEMS // len(WORLDS) // 2
        got = await move(count, put, get, producers="tata", consumers="taa", seed=maxsize)
        await queue.join()
        assert sorted(got) == list(range(count))
        if queue_class is asyncio.Queue:
            assert_in_order(got, count, producers=4)
        assert queue.empty()
        assert_nobody_waits(queue)

    world(main)
