"""anyio picks asyncio in a Task and trio in a trio task. What it makes in one works in the other."""

import asyncio
import importlib.metadata
import math
import threading

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest
import sniffio
import trio
import trio.testing
from packaging.requirements import Requirement

import compat

FAR = 3600

for requirement in map(Requirement, importlib.metadata.requires("anyio") or ()):
    if requirement.name == "trio" and not requirement.specifier.contains(trio.__version__):
        pytest.skip(f"this anyio needs trio{requirement.specifier}", allow_module_level=True)


async def in_task(async_fn, *args):
    return await asyncio.create_task(async_fn(*args))


async def in_trio_task(async_fn, *args):
    result = None

    async def call():
        nonlocal result
        result = await async_fn(*args)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
    return result


WORLDS = [in_task, in_trio_task]


@pytest.fixture(params=[(a, b) for a in WORLDS for b in WORLDS if a is not b], ids=lambda pair: pair[0].__name__)
def worlds(request):
    """(here, there): where something is made, and where it is used as well."""
    return request.param


@pytest.fixture(params=WORLDS)
def world(request):
    return request.param


@pytest.fixture
def run(worlds):
    """Run main(here, there) in a run of trio's with a loop."""

    def run(main):
        return compat.run(main, *worlds)

    return run


def test_which_backend():
    async def library():
        return sniffio.current_async_library(), anyio.get_current_task().name

    async def main():
        names = [(await world(library))[0] for world in WORLDS]
        async with anyio.create_task_group() as group:  # of trio's, here
            group.start_soon(check, "trio")
        await in_task(children)
        return names

    async def check(expected):
        assert sniffio.current_async_library() == expected

    async def children():
        async with anyio.create_task_group() as group:
            group.start_soon(check, "asyncio")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(check, "trio")

    assert compat.run(main) == ["asyncio", "trio"]


def test_event(run):
    async def main(here, there):
        async def make():
            return anyio.Event()

        for first, second in ((here, there), (there, here)):
            event = await here(make)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(first, event.wait)
                nursery.start_soon(second, event.wait)
                await trio.testing.wait_all_tasks_blocked()
                assert event.statistics().tasks_waiting == 2
                event.set()
            assert event.is_set()

    run(main)


@pytest.mark.parametrize(
    "make", [anyio.Lock, lambda: anyio.Semaphore(1), lambda: anyio.CapacityLimiter(1), anyio.Condition]
)
def test_locks(run, make):
    async def main(here, there):
        async def made():
            return make()

        async def use(name):
            for _ in range(3):
                async with lock:
                    inside.append(name)
                    assert len(inside) == 1
                    await anyio.sleep(0)
                    log.append(inside.pop())

        async def give_up():
            with anyio.move_on_after(0.01) as scope:
                async with lock:
                    raise AssertionError
            assert scope.cancelled_caught

        lock, inside, log = await here(made), [], []
        async with trio.open_nursery() as nursery:
            for world in (here, there):
                nursery.start_soon(world, use, world.__name__)
                nursery.start_soon(world, use, world.__name__)
        assert len(log) == 12
        for holder, waiter in ((here, there), (there, here)):
            async with trio.open_nursery() as nursery:
                release = trio.Event()
                nursery.start_soon(holder, hold, lock, release)
                await trio.testing.wait_all_tasks_blocked()
                await waiter(give_up)
                release.set()
            await waiter(hold, lock, release)

    async def hold(lock, release):
        async with lock:
            await release.wait()

    run(main)


def test_condition_is_for_the_tasks_of_one_world(world):
    """anyio compares the tasks of its two backends by their ids, and one task has two here."""

    async def wait(condition):
        async with condition:
            await condition.wait()

    async def main():
        condition = await world(make)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(world, wait, condition)
            await trio.testing.wait_all_tasks_blocked()
            await world(notify, condition)
        await {in_task: in_trio_task, in_trio_task: in_task}[world](be_refused, condition)

    async def be_refused(condition):
        with pytest.raises(RuntimeError, match="not holding the underlying lock"):
            await notify(condition)

    async def make():
        return anyio.Condition()

    async def notify(condition):
        async with condition:
            condition.notify_all()

    compat.run(main)


@pytest.mark.parametrize("size", [0, 1, math.inf])
def test_memory_streams(run, size):
    async def main(here, there):
        async def make():
            return anyio.create_memory_object_stream(size)

        async def produce(send, start):
            async with send:
                for n in range(start, start + 50):
                    await send.send(n)

        async def consume(receive):
            async with receive:
                received.extend([n async for n in receive])

        async def give_up(receive):
            with anyio.move_on_after(0.001):
                await receive.receive()

        send, receive = await here(make)
        received = []
        for world in (here, there):
            await world(give_up, receive)
        async with trio.open_nursery() as nursery:
            for world, start in ((here, 0), (there, 50)):
                nursery.start_soon(world, produce, send.clone(), start)
                nursery.start_soon(world, consume, receive.clone())
            send.close()
            receive.close()
        assert sorted(received) == list(range(100))

    run(main)


# --- task groups and scopes ------------------------------------------------------------------------------------------


async def wait_and_note(log, task_status=anyio.TASK_STATUS_IGNORED):
    task_status.started("started")
    try:
        await anyio.sleep(FAR)
    except anyio.get_cancelled_exc_class():
        log.append("cancelled")
        raise


@pytest.mark.parametrize(
    "scope",
    [trio.move_on_after, anyio.move_on_after, lambda seconds: asyncio.timeout(seconds)],
    ids=["trio", "anyio", "asyncio"],
)
def test_a_task_group_in_a_scope_of_either_world(world, scope):
    """The scope reaches the group's children, and the code behind it goes on."""

    async def work(log):
        try:
            manager = scope(0.05)
            if hasattr(manager, "__enter__"):
                with manager:
                    await group(log)
            else:
                async with manager:
                    await group(log)
        except TimeoutError:
            pass
        await asyncio.sleep(0)
        await trio.sleep(0)
        await anyio.sleep(0)
        log.append("done")

    async def group(log):
        async with anyio.create_task_group() as tasks:
            assert await tasks.start(wait_and_note, log) == "started"
            assert await tasks.start(wait_and_note, log) == "started"
            await anyio.sleep(FAR)

    async def main():
        log = []
        await world(work, log)
        assert log == ["cancelled", "cancelled", "done"]

    compat.run(main)


def test_a_scope_of_anyios_around_trios_and_asyncios_groups(world):
    async def work(log):
        with anyio.move_on_after(0.01) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait_and_note, log)
                async with asyncio.TaskGroup() as group:
                    group.create_task(wait_and_note(log))
        assert scope.cancelled_caught
        log.append("done")

    async def main():
        log = []
        await world(work, log)
        assert log == ["cancelled", "cancelled", "done"]

    compat.run(main)


@pytest.mark.parametrize("library", [anyio, trio], ids=["anyio", "trio"])
def test_a_shield_in_a_scope_of_the_same_library(world, library):
    async def work(log):
        with library.move_on_after(0.01) as outer:
            try:
                await anyio.sleep(FAR)
            finally:
                with library.CancelScope(shield=True):
                    await trio.sleep(0.001)
                    await anyio.sleep(0.001)
                    await asyncio.sleep(0.001)
                    log.append("shielded")
        assert outer.cancelled_caught

    async def main():
        log = []
        await world(work, log)
        assert log == ["shielded"]

    compat.run(main)


def test_an_error_ends_a_group(world):
    async def fail():
        await trio.sleep(0)
        await asyncio.sleep(0)
        raise ValueError

    async def work(log):
        with pytest.raises(ExceptionGroup) as raised:
            async with anyio.create_task_group() as group:
                group.start_soon(wait_and_note, log)
                group.start_soon(fail)
        assert [type(error) for error in raised.value.exceptions] == [ValueError]

    async def main():
        log = []
        await world(work, log)
        assert log == ["cancelled"]

    compat.run(main)


# --- threads ---------------------------------------------------------------------------------------------------------


async def where():
    await anyio.sleep(0)
    return sniffio.current_async_library(), threading.get_ident()


def test_threads(world):
    async def work():
        here = await where()
        assert await anyio.to_thread.run_sync(anyio.from_thread.run, where) == here
        assert await anyio.to_thread.run_sync(anyio.from_thread.run_sync, threading.get_ident) == here[1]
        assert await asyncio.to_thread(trio.from_thread.run_sync, threading.get_ident) == here[1]

    compat.run(world, work)


def test_a_portal(world):
    async def work():
        here = await where()
        async with anyio.from_thread.BlockingPortal() as portal:

            def call():
                assert portal.call(where) == here
                future = portal.start_task_soon(anyio.sleep, FAR)
                future.cancel()
                with portal.wrap_async_context_manager(context()) as result:
                    assert result == here

            await anyio.to_thread.run_sync(call)
            with pytest.raises(RuntimeError, match="cannot be called from the event loop thread"):
                portal.call(where)

    class context:
        async def __aenter__(self):
            return await where()

        async def __aexit__(self, *error):
            await anyio.sleep(0)

    compat.run(world, work)
