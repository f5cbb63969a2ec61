"""Tasks known to the interpreter: code that holds the real asyncio module works on our loop, beside code that has ours.

What a Task does is compared with asyncio in test_traces and in CPython's own tests; here is what these cannot see.
"""

import asyncio as std
import collections.abc
import concurrent.futures
import contextvars
import gc
import inspect
import io
import sys
import threading
import traceback
import types
from contextlib import suppress
from unittest import mock

import pytest
import trio

from compat import asyncio
from worlds import PATIENCE, WORLDS, on_both


@pytest.fixture(params=WORLDS, ids=lambda world: world.__name__)
def world(request):
    return request.param


# --- the real asyncio on our loop ------------------------------------------------------------------------------------


def test_real_asyncio_works_on_our_loop(world):
    """Functions of the module that was imported before ours: all waits, in Tasks and in plain trio tasks."""

    async def later(delay, value=None):
        await std.sleep(delay)
        return value

    async def main():
        assert await std.sleep(1, "slept") == "slept"
        assert await std.create_task(later(1, "task")) == "task"
        assert await std.gather(later(2, "a"), later(1, "b")) == ["a", "b"]
        assert await std.wait_for(later(1, "in time"), 2) == "in time"
        with pytest.raises(TimeoutError):
            await std.wait_for(later(2), 1)
        assert await std.shield(later(1, "shielded")) == "shielded"
        done, _ = await std.wait([std.ensure_future(later(1, 1))])
        assert done.pop().result() == 1
        with pytest.raises(TimeoutError):
            async with std.timeout(1):
                await later(2)
        async with std.TaskGroup() as group:
            child = group.create_task(later(1, "child"))
        assert child.result() == "child"
        assert [await each for each in std.as_completed([later(2, 2), later(1, 1)])] == [1, 2]
        queue, lock, event = std.Queue(1), std.Lock(), std.Event()
        put = std.create_task(queue.put(1))
        assert await queue.get() == 1
        await put
        async with lock:
            waiter = std.create_task(event.wait())
            await std.sleep(0)
            event.set()
        assert await waiter is True
        future = std.Future()
        std.get_running_loop().call_later(1, future.set_result, "future")
        assert await future == "future"
        with trio.move_on_after(1) as scope:
            try:
                await std.sleep(50)
            except std.CancelledError as error:
                caught = error
                raise
        assert scope.cancelled_caught
        assert isinstance(caught, trio.Cancelled)
        with trio.move_on_after(1) as scope:
            await std.gather(later(50), later(50))
        assert scope.cancelled_caught

    world(main)


def test_both_see_the_same(world):
    async def main():
        task = asyncio.current_task()
        assert std.current_task() is task
        assert std.get_running_loop() is asyncio.get_running_loop()
        assert std.get_event_loop() is asyncio.get_running_loop()
        child = std.create_task(asyncio.sleep(1))
        assert type(child) is asyncio.Task
        assert isinstance(child, std.Task | std.Future)
        assert isinstance(asyncio.get_running_loop(), std.AbstractEventLoop)
        assert std.all_tasks() == asyncio.all_tasks() >= {task, child}
        assert std.isfuture(child)
        assert asyncio.isfuture(std.Future())
        assert asyncio.CancelledError is std.CancelledError
        child.cancel()
        with pytest.raises(std.CancelledError):
            await child
        await trio.sleep(1)
        assert std.current_task() is task

    world(main)


def test_real_asyncio_first_in_a_plain_trio_task(world):
    """A library that has the real module is called there, and the first that it does is to ask who is running."""

    async def main():
        async def ask():
            assert std.current_task() is asyncio.current_task() is not None
            assert std.current_task(std.get_running_loop()) is asyncio.current_task()

        async def use_timeout():
            async with std.timeout(1):
                await std.sleep(0.5)
            with pytest.raises(TimeoutError):
                async with std.timeout(1):
                    await std.sleep(2)

        async def use_task_group():
            async with std.TaskGroup() as group:
                group.create_task(std.sleep(1))

        async with trio.open_nursery() as nursery:
            for function in ask, use_timeout, use_task_group:
                nursery.start_soon(function)

    world(main)


def test_a_plain_trio_task_that_asks_in_its_last_step(world):
    """Its Task ends with it, and those who wait for the Task wake up."""

    async def main():
        asked = []

        async def ask():
            asked.append(asyncio.current_task())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
        with trio.fail_after(1):
            assert await asyncio.gather(*asked) == [None, None]
        assert asyncio.all_tasks().isdisjoint(asked)

        async def fail():
            asked.append(asyncio.current_task())
            raise KeyError

        with pytest.raises(ExceptionGroup):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail)
        with pytest.raises(KeyError):
            await asyncio.wait_for(asked[-1], 1)

        async with trio.open_nursery() as nursery:  # nobody waits: the loop closes all the same
            nursery.start_soon(ask)

    world(main)


def test_current_task_in_the_middle_of_everything(world):
    """Each sees itself: Tasks, trio tasks, eager or not, after each kind of wait."""

    async def main():
        seen = []

        async def check(name):
            task = asyncio.current_task()
            task.set_name(name)
            for wait in (asyncio.sleep, trio.sleep):
                for delay in (0, 0.1):
                    await wait(delay)
                    assert asyncio.current_task() is task
                    assert std.current_task() is task
                    assert trio.lowlevel.current_task().name == name
            seen.append(name)

        async with trio.open_nursery() as nursery, asyncio.TaskGroup() as group:
            for n in range(3):
                nursery.start_soon(check, f"trio {n}")
                group.create_task(check(f"asyncio {n}"))
                asyncio.create_task(check(f"loop {n}"))
        await asyncio.sleep(1)
        assert len(seen) == 9

    world(main)


def test_current_task_where_a_mock_runs():
    """As CPython's tests do: a mock has an attribute of each name, those of our loop too."""
    asyncio.run(asyncio.sleep(0))
    loop = mock.Mock()
    std._set_running_loop(loop)
    try:
        assert [module.current_task(given) for module in (std, asyncio) for given in (None, loop)] == [None] * 4
    finally:
        std._set_running_loop(None)


def test_a_scopes_cancellation_is_handed_on():
    """As asyncio's happy eyeballs do from 3.14 on."""

    async def main():
        child = asyncio.create_task(std.sleep(1000))
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await std.sleep(1000)
            except std.CancelledError as error:
                child.cancel(*error.args)
                raise
        with pytest.raises(std.CancelledError):
            await child

    asyncio.run(main())


# --- what is awaited -------------------------------------------------------------------------------------------------


def test_generators_and_awaitables(world):
    """Every kind of thing that can be awaited or run."""

    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0.1).__await__()
            return "awaitable"

    class Wrapper:
        """A coroutine by its methods only, as Cython's are."""

        def __init__(self, coro):
            self.coro = coro
            self.send, self.throw, self.close = coro.send, coro.throw, coro.close

        def __await__(self):
            return self.coro.__await__()

    collections.abc.Coroutine.register(Wrapper)

    @types.coroutine
    def generator():
        yield from asyncio.sleep(0.1).__await__()
        return "generator"

    async def main():
        assert await Awaitable() == "awaitable"
        assert await asyncio.ensure_future(Awaitable()) == "awaitable"
        assert await asyncio.gather(Awaitable(), asyncio.sleep(0.1, "coroutine")) == ["awaitable", "coroutine"]
        assert await generator() == "generator"
        assert await asyncio.create_task(Wrapper(asyncio.sleep(0.1, "wrapper"))) == "wrapper"
        assert await asyncio.wait_for(generator(), 1) == "generator"

    world(main)


def test_foreign_future_in_a_trio_task(world):
    """A concurrent.futures.Future, wrapped; and a future of another kind, by asyncio's protocol."""

    async def main():
        inner = concurrent.futures.Future()
        asyncio.get_running_loop().call_later(1, inner.set_result, "value")
        assert await asyncio.wrap_future(inner) == "value"

        class OwnFuture(std.Future):
            pass

        own = OwnFuture()
        asyncio.get_running_loop().call_later(1, own.set_result, "own")
        assert await own == "own"

        cancelled = concurrent.futures.Future()
        with trio.move_on_after(1):
            await asyncio.wrap_future(cancelled)
        assert cancelled.cancelled()

    world(main)


# --- tracebacks ------------------------------------------------------------------------------------------------------


def test_tracebacks_show_the_program(world):
    """The lines of the program in their order, and no frame of the driver in between."""

    async def inner():
        await asyncio.sleep(0)
        raise ValueError("inner")

    async def outer():
        await inner()

    async def main():
        task = asyncio.create_task(outer())
        with pytest.raises(ValueError, match="inner") as caught:
            await task
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert names[-2:] == ["outer", "inner"]
        assert names[0] == "main"
        assert "_drive" not in names
        assert "send" not in names

    world(main)


def test_stack_of_a_task():
    def program(asyncio):
        async def inner(future):
            await future

        async def outer(future):
            await inner(future)

        async def main():
            future = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(outer(future), name="T")
            log = [[frame.f_code.co_name for frame in task.get_stack()]]
            await asyncio.sleep(0)
            log.append([frame.f_code.co_name for frame in task.get_stack()])
            out = io.StringIO()
            task.print_stack(file=out)
            log.append([line.split(",")[-1] for line in out.getvalue().splitlines() if line.startswith("  File")])
            future.cancel()
            await asyncio.wait([task])
            log.append(len(task.get_stack()))
            return log

        return asyncio.run(main())

    expected, result = on_both(program)
    assert result == expected
    assert result[1] == ["outer"]


def test_stack_of_a_task_in_a_trio_wait(world):
    async def inner():
        await trio.sleep(10)

    async def main():
        task = asyncio.create_task(inner())
        await asyncio.sleep(1)
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["inner"]
        assert inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_SUSPENDED
        await task

    world(main)


# --- odd ends --------------------------------------------------------------------------------------------------------


def test_generator_exit_and_deep_recursion(world):
    async def deep(n):
        if n:
            return await deep(n - 1) + 1
        await trio.sleep(0)
        await asyncio.sleep(0)
        return 0

    async def endless(n):
        return await endless(n + 1)

    async def main():
        assert await asyncio.create_task(deep(100)) == 100
        with pytest.raises(RecursionError):
            await asyncio.create_task(endless(0))

    world(main)


def test_task_that_cancels_itself_at_the_end(world):
    """A request that the coroutine could not see any more makes the Task end as cancelled, as in asyncio."""

    async def main():
        async def body():
            await trio.sleep(1)
            asyncio.current_task().cancel()
            return "value"

        task = asyncio.create_task(body())
        await asyncio.wait([task])
        assert task.cancelled()

    world(main)


def test_exception_is_never_retrieved(world):
    async def main():
        contexts = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: contexts.append(context))

        async def fail():
            await trio.sleep(0)
            raise ValueError("lost")

        asyncio.create_task(fail(), name="T")
        await trio.sleep(1)
        gc.collect()
        assert [context["message"] for context in contexts] == ["Task exception was never retrieved"]
        assert str(contexts[0]["exception"]) == "lost"

    world(main)


def test_context_of_trio_and_asyncio_children(world):
    """Each child has a copy of its maker's context, whoever makes it."""
    variable = contextvars.ContextVar("variable", default="unset")

    async def main():
        variable.set("main")
        seen = []

        async def child(name):
            seen.append((name, variable.get()))
            variable.set(name)
            await asyncio.sleep(0)
            await trio.sleep(0)
            seen.append((name, variable.get()))

        async with trio.open_nursery() as nursery, asyncio.TaskGroup() as group:
            nursery.start_soon(child, "nursery")
            group.create_task(child("group"))
            group.create_task(child("given"), context=contextvars.Context())
        assert variable.get() == "main"
        assert sorted(seen) == sorted(
            [
                ("nursery", "main"),
                ("nursery", "nursery"),
                ("group", "main"),
                ("group", "group"),
                ("given", "unset"),
                ("given", "given"),
            ]
        )

    world(main)


def test_trio_thread_calls_asyncio_code(world):
    """trio.from_thread runs in trio tasks and callbacks of the same run: asyncio works there as well."""

    async def main():
        async def work():
            async with asyncio.timeout(PATIENCE):
                return await asyncio.gather(asyncio.sleep(0, 1), trio.to_thread.run_sync(int, "2"))

        def in_thread():
            result = trio.from_thread.run(work)
            loop = trio.from_thread.run_sync(asyncio.get_running_loop)
            result.append(asyncio.run_coroutine_threadsafe(asyncio.sleep(0, 3), loop).result(PATIENCE))
            return result

        assert await asyncio.to_thread(threading.active_count) >= 1
        assert await trio.to_thread.run_sync(in_thread) == [1, 2, 3]

    world(main, clock=trio.testing.MockClock(rate=1))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has eager tasks from 3.12 on")
@pytest.mark.parametrize("known", [False, True])
def test_eager_task_of_the_interpreter_in_a_plain_trio_task(world, known):
    """aiohttp makes some. It runs in the step of the trio task, and waits by itself."""

    async def main():
        loop = asyncio.get_running_loop()

        async def body():
            assert std.current_task() is not outer
            seen = [std.current_task(), asyncio.current_task()]
            async with std.timeout(10):
                future = loop.create_future()
                loop.call_later(1, future.set_result, "result")
                result = await future
            seen += [std.current_task(), asyncio.current_task()]
            return result, seen

        async def trio_task():
            nonlocal outer
            if known:
                outer = asyncio.current_task()
            task = std.Task(body(), loop=loop, eager_start=True)
            assert not task.done()
            assert asyncio.current_task() not in (task, None)
            with trio.move_on_after(0.5) as scope:
                assert await std.shield(task)
            assert scope.cancelled_caught
            assert await task == ("result", [task] * 4)

        outer = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio_task)

    world(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has eager tasks from 3.12 on")
def test_eager_tasks_beside_trio(world):
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        log = []

        async def body(name):
            assert trio.lowlevel.current_task().name == asyncio.current_task().get_name()
            log.append(name)
            await trio.sleep(1)
            log.append(asyncio.current_task().get_name())

        outer = trio.lowlevel.current_task()
        tasks = [asyncio.create_task(body(n), name=f"T{n}") for n in range(2)]
        assert trio.lowlevel.current_task() is outer
        assert log == [0, 1]
        tasks[0].cancel()
        with suppress(asyncio.CancelledError):
            await tasks[0]
        await tasks[1]
        assert tasks[0].cancelled()
        assert log[2:] == ["T1"]

    world(main)
