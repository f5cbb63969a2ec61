"""Endurance: nothing is left behind by many tasks, many cancellations, many loops; and no garbage needs collecting."""

import gc
import os
import random
import signal
import sys
import threading
import weakref
from contextlib import contextmanager, suppress

import pytest
import trio

import compat
from compat import asyncio
from worlds import WORLDS, driven, open_descriptors, plain

TASKS = int(os.environ.get("ENDURANCE_TASKS", "200000"))


@pytest.fixture(params=WORLDS, ids=lambda world: world.__name__)
def world(request):
    return request.param


@contextmanager
def no_collector():
    """What goes in this block goes by reference counting alone."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# --- many tasks ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("world", [driven, plain], ids=lambda world: world.__name__)
def test_many_short_tasks(world):
    async def body(n):
        await asyncio.sleep(0)
        return n

    async def spawn(count):
        total = 0
        for n in range(0, count, 100):
            total += sum(await asyncio.gather(*[asyncio.create_task(body(n + k)) for k in range(100)]))
        return total

    async def main():
        await spawn(1000)
        loop, nursery = asyncio.get_running_loop(), trio.lowlevel.current_statistics()
        before = sys.getallocatedblocks()
        assert await spawn(TASKS) == sum(range(TASKS))
        grown = sys.getallocatedblocks() - before
        statistics = trio.lowlevel.current_statistics()
        assert statistics.tasks_living <= nursery.tasks_living + 1
        assert statistics.tasks_runnable <= 1
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert len(loop._scheduled) <= 1
        # A few blocks for caches; one for each task would be a hundred thousand.
        assert grown < TASKS / 200

    with no_collector():
        world(main)


@pytest.mark.slow
def test_memory_does_not_grow():
    """Sleeping, waiting, cancelled and failed tasks: the second half of them needs no more memory than the first."""

    async def fail():
        raise ValueError

    async def round_of_all_kinds():
        future = asyncio.get_running_loop().create_future()
        waiting = [asyncio.create_task(asyncio.wait_for(future, 10)) for _ in range(5)]
        sleeping = [asyncio.create_task(asyncio.sleep(0.001)) for _ in range(5)]
        native = [asyncio.create_task(trio.sleep(10)) for _ in range(5)]
        failing = [asyncio.create_task(fail()) for _ in range(5)]
        for _ in range(2):
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(future.cancel)
        for task in native:
            task.cancel()
        await asyncio.gather(*waiting, *sleeping, *native, *failing, return_exceptions=True)
        with trio.move_on_after(0.001):
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(10))

    async def main():
        sizes = []
        for _ in range(3):
            for _ in range(200):
                await round_of_all_kinds()
            gc.collect()
            sizes.append(sys.getallocatedblocks())
        assert sizes[2] - sizes[1] < 200 * 21  # less than one block for each task

    driven(main)


def test_many_callbacks_and_timers():
    async def main():
        loop, called = asyncio.get_running_loop(), 0

        def call():
            nonlocal called
            called += 1

        for _ in range(100):
            for _ in range(100):
                loop.call_soon(call)
                loop.call_later(0.001, call)
                loop.call_later(500, call).cancel()
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        assert called == 20_000
        assert len(loop._scheduled) < 200
        assert trio.lowlevel.current_statistics().tasks_living < 100

    driven(main)


def test_callbacks_among_tasks_leave_no_trio_tasks():
    async def step():
        await asyncio.sleep(0)

    async def main():
        loop = asyncio.get_running_loop()
        for _ in range(20):
            tasks = []
            for _ in range(500):
                loop.call_soon(int)
                tasks.append(asyncio.create_task(step()))
            await asyncio.gather(*tasks)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert trio.lowlevel.current_statistics().tasks_living < 10

    driven(main)


# --- cancel storm ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_cancel_storm(world, seed):
    """A thousand tasks, cancelled at random moments, again and again; some swallow, some are in trio's waits."""
    source = random.Random(seed)
    ended = []

    async def native():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, source.random())
            await trio.sleep(source.random())

    async def scoped():
        with trio.move_on_after(source.random()):
            await asyncio.gather(asyncio.sleep(source.random()), trio.sleep(source.random()))

    async def grouped():
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(source.random()))
            group.create_task(trio.sleep(source.random()))

    async def timed():
        with suppress(TimeoutError):
            async with asyncio.timeout(source.random()):
                await asyncio.shield(asyncio.sleep(source.random()))

    async def waited():
        with suppress(TimeoutError):
            await asyncio.wait_for(trio.sleep(source.random()), source.random())

    async def shielded():
        with trio.CancelScope(shield=True):
            await trio.sleep(source.random())

    async def checkpoints():
        for _ in range(5):
            await trio.lowlevel.checkpoint()
            await asyncio.sleep(0)

    async def swallow(kind):
        for _ in range(source.randrange(3)):
            try:
                await kind()
            except BaseException as error:
                if isinstance(error, GeneratorExit):
                    raise
        await kind()

    async def body(number):
        try:
            await swallow(source.choice(kinds))
        finally:
            ended.append(number)

    kinds = [native, scoped, grouped, timed, waited, shielded, checkpoints]

    async def main():
        started = set()

        async def start(number):
            started.add(number)
            await body(number)

        asyncio.current_task()
        before = asyncio.all_tasks()
        tasks = [asyncio.create_task(start(number)) for number in range(1000)]
        for _ in range(60):
            await asyncio.sleep(source.choice([0, 0, 0.02]))
            for task in source.sample(tasks, 50):
                task.cancel()
        await asyncio.wait(tasks)
        assert all(task.done() for task in tasks)
        assert sorted(ended) == sorted(started)
        failed = [task.exception() for task in tasks if not task.cancelled() and task.exception() is not None]
        assert failed == []
        assert sum(task.cancelled() for task in tasks) > 300
        assert sum(not task.cancelled() for task in tasks) > 30
        await asyncio.sleep(2)  # what shield() has left ends
        assert asyncio.all_tasks() == before

    world(main)


def test_storm_of_scopes_and_cancels():
    """Scopes and Task.cancel() cross each other; every task ends, and each scope absorbs its own cancellation."""
    source = random.Random(1)

    async def body(scope):
        with scope:
            for _ in range(3):
                with suppress(asyncio.CancelledError):
                    await source.choice([asyncio.sleep, trio.sleep])(source.random())
            await asyncio.gather(asyncio.sleep(source.random()), asyncio.sleep(source.random()))
        await asyncio.sleep(source.random())

    async def main():
        scopes = [trio.CancelScope() for _ in range(500)]
        tasks = [asyncio.create_task(body(scope)) for scope in scopes]
        for _ in range(50):
            await asyncio.sleep(0.02)
            for scope in source.sample(scopes, 10):
                scope.cancel()
            for task in source.sample(tasks, 10):
                task.cancel()
        await asyncio.wait(tasks)
        assert [task for task in tasks if not task.cancelled() and task.exception()] == []
        assert any(scope.cancelled_caught for scope in scopes)

    plain(main)


# --- many loops ------------------------------------------------------------------------------------------------------


def new_and_closed():
    asyncio.new_event_loop().close()


def run():
    async def main():
        await asyncio.gather(asyncio.sleep(0), trio.sleep(0), asyncio.to_thread(int))

    asyncio.run(main())


def run_with_leftovers():
    async def main():
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, int)
        asyncio.create_task(trio.sleep(10))
        asyncio.create_task(asyncio.sleep(10))
        asyncio.get_running_loop().call_later(10, int)

    asyncio.run(main())


def close_with_leftovers():
    loop = asyncio.new_event_loop()
    task = loop.create_task(asyncio.sleep(10))
    task._log_destroy_pending = False
    loop.call_later(10, int)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def compat_run():
    async def main():
        asyncio.create_task(asyncio.sleep(10))
        await asyncio.gather(asyncio.sleep(0), asyncio.to_thread(int))

    compat.run(main)


def failing():
    async def main():
        await asyncio.sleep(0)
        raise ValueError

    with suppress(ValueError):
        asyncio.run(main())
    with suppress(ValueError):
        compat.run(main)


def exiting():
    async def main():
        asyncio.get_running_loop().call_soon(sys.exit)
        await asyncio.sleep(10)

    with suppress(SystemExit):
        asyncio.run(main())
    with suppress(SystemExit):
        compat.run(main)


@pytest.mark.parametrize(
    "use",
    [new_and_closed, run, run_with_leftovers, close_with_leftovers, compat_run, failing, exiting],
    ids=lambda use: use.__name__,
)
def test_many_loops(use):
    """No file descriptor, no thread, no signal handler, no loop is left."""
    for _ in range(10):
        use()
    gc.collect()
    files, threads, handlers = open_descriptors(), threading.active_count(), signals()
    objects = count_of_ours()
    for _ in range(200):
        use()
    gc.collect()
    assert open_descriptors() == files
    assert threading.active_count() <= threads + 1  # trio keeps idle threads for a while
    assert signals() == handlers
    assert signal.set_wakeup_fd(-1) == -1
    assert count_of_ours() < objects + 100  # garbage of the last one or two, not of two hundred
    assert asyncio._get_running_loop() is None
    with pytest.raises(RuntimeError):
        trio.lowlevel.current_task()


def signals():
    return [signal.getsignal(number) for number in sorted(signal.valid_signals())]


def count_of_ours():
    return sum(type(thing).__module__.startswith("compat.adapters") for thing in gc.get_objects())


# --- reference counting ----------------------------------------------------------------------------------------------


async def returns():
    return "value"


async def sleeps():
    await asyncio.sleep(0.001)


async def waits_in_trio():
    await trio.sleep(0.001)


async def opens_a_nursery():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 0)


async def knows_itself():
    task = asyncio.current_task()
    await asyncio.sleep(0)
    assert task is not None


async def sleeps_long():
    await asyncio.sleep(50)


async def waits_long_in_trio():
    await trio.sleep(50)


async def is_timed_out():
    with suppress(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.sleep(50)


async def fails():
    await asyncio.sleep(0)
    raise ValueError


KINDS = [returns, sleeps, waits_in_trio, knows_itself, sleeps_long, waits_long_in_trio, fails]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_done_tasks_are_freed_at_once(world, kind):
    async def main():
        task = asyncio.create_task(kind())
        await asyncio.sleep(0.01)
        if kind in (sleeps_long, waits_long_in_trio):
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None or kind is fails
        await asyncio.sleep(0.01)
        reference = weakref.ref(task)
        coro = weakref.ref(task.get_coro())
        del task
        assert reference() is None
        assert coro() is None

    with no_collector():
        world(main)


def test_loop_is_freed():
    """A closed loop goes with the garbage at the latest; one that is still open closes itself with a warning."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    reference = weakref.ref(loop)
    del loop
    gc.collect()
    assert reference() is None

    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    files = len(open_descriptors())
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        loop = gc.collect()
    assert len(open_descriptors()) < files
