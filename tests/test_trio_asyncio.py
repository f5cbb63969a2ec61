"""compat.trio_asyncio: each of trio-asyncio's public names does here what it does there."""

import asyncio
import subprocess
import sys
import threading
from contextlib import asynccontextmanager

import pytest
import sniffio
import trio
from trio.testing import wait_all_tasks_blocked

from compat import trio_asyncio
from compat.trio_asyncio import aio_as_trio, trio_as_aio


def library():
    return sniffio.current_async_library()


async def aio_code(*args, **kwargs):
    assert library() == "asyncio"
    await asyncio.sleep(0.001)
    return args, kwargs


async def trio_code(*args, **kwargs):
    assert library() == "trio"
    await trio.sleep(0.001)
    return args, kwargs


def test_it_has_the_names_of_the_library():
    # In a process of its own, since it changes asyncio for good.
    code = "import trio_asyncio; print(*vars(trio_asyncio))"
    theirs = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    if theirs.returncode:
        pytest.skip("trio-asyncio is not installed, or cannot be imported on this Python")
    names = {name for name in theirs.stdout.split() if not name.startswith("_")}
    modules = {"adapter", "async_", "base", "child", "handles", "loop", "sync", "util"}  # deprecated there
    assert names - modules <= set(dir(trio_asyncio))


# Each world calls the other one's code, in the other one's task.


def test_functions():
    class Both:
        @aio_as_trio
        async def aio(self, n):
            return self, await aio_code(n)

        @trio_as_aio
        async def trio(self, n):
            return self, await trio_code(n)

    async def from_aio():
        assert await trio_as_aio(trio_code)(1, x=2) == ((1,), {"x": 2})
        assert await both.trio(3) == (both, ((3,), {}))

    async def main():
        assert await aio_as_trio(aio_code)(1, x=2) == ((1,), {"x": 2})
        assert await both.aio(3) == (both, ((3,), {}))
        assert await aio_as_trio(aio_code(4)) == ((4,), {})
        await aio_as_trio(from_aio)()
        await trio_asyncio.allow_asyncio(from_aio)

    both = Both()
    trio_asyncio.run(main)


def test_a_call_of_trio_code_starts_it_and_gives_a_future():
    async def note(n):
        begun.append(n)
        await trio.sleep_forever()

    async def from_aio():
        futures = [trio_as_aio(note)(1), trio_as_aio(note)(n=2)]
        await asyncio.sleep(0.01)
        assert sorted(begun) == [1, 2]
        assert all(isinstance(future, asyncio.Future) for future in futures)
        for future in futures:
            future.cancel()
        done, _ = await asyncio.wait(futures)
        assert all(future.cancelled() for future in done)

    begun = []
    trio_asyncio.run(aio_as_trio(from_aio))


def test_context_managers_and_iterators():
    def make(code):
        @asynccontextmanager
        async def manager():
            await code()
            yield 5
            await code()

        async def iterator():
            for n in range(3):
                await code()
                yield n

        return manager, iterator

    async def use(wrap, code):
        manager, iterator = make(code)
        async with wrap(manager()) as five:
            assert five == 5
        assert [n async for n in wrap(iterator())] == [0, 1, 2]

    async def main():
        await use(aio_as_trio, aio_code)
        await aio_as_trio(use)(trio_as_aio, trio_code)
        loop = asyncio.get_running_loop()
        assert [n async for n in trio_asyncio.run_aio_generator(loop, make(aio_code)[1]())] == [0, 1, 2]

    trio_asyncio.run(main)


def test_the_loop():
    async def main():
        assert trio_asyncio.current_loop.get() is None
        async with trio_asyncio.open_loop() as loop:
            assert loop is asyncio.get_running_loop() is trio_asyncio.current_loop.get()
            assert isinstance(loop, trio_asyncio.TrioEventLoop)
            assert isinstance(loop, trio_asyncio.BaseTrioEventLoop)
            assert await loop.run_aio_coroutine(aio_code(1)) == ((1,), {})
            assert await loop.run_aio_future(loop.trio_as_future(trio_code, 2)) == ((2,), {})
            assert await trio_asyncio.run_aio_coroutine(aio_code(3)) == ((3,), {})
            assert await trio_asyncio.run_aio_future(trio_asyncio.run_trio(trio_code, 4)) == ((4,), {})
            log = []
            loop.call_soon(log.append, "soon")
            await loop.synchronize()
            assert log == ["soon"]
        assert trio_asyncio.current_loop.get() is None

    trio.run(main)
    with pytest.raises(ValueError, match="no limit"):
        trio_asyncio.run(main, queue_len=1)


def test_an_error_in_a_trio_task_that_nobody_awaits():
    errors = []

    async def fail():
        await trio.sleep(0)
        raise ValueError("failed")

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context["exception"]))
        task = trio_asyncio.run_trio_task(fail)
        trio_asyncio.run_trio_task(trio.sleep_forever).cancel()
        await wait_all_tasks_blocked()
        assert task.done()

    trio_asyncio.run(main)
    assert [str(error) for error in errors] == ["failed"]


# Cancellation crosses, and what is cancelled is waited for.


def test_a_scope_ends_a_task():
    log = []

    async def in_asyncio():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)
            log.append("cleaned up")
            raise

    async def main():
        for call in (aio_as_trio(in_asyncio), lambda: trio_asyncio.run_aio_coroutine(in_asyncio())):
            with trio.move_on_after(0.01) as scope:
                await call()
            assert scope.cancelled_caught
            assert log.pop() == "cleaned up"
        with trio.move_on_after(0.01) as scope:
            future = asyncio.get_running_loop().create_future()
            await trio_asyncio.run_aio_future(future)
        assert scope.cancelled_caught
        assert future.cancelled()

    trio_asyncio.run(main)


def test_a_future_that_is_cancelled_is_no_scopes_doing():
    async def main():
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        with trio.CancelScope() as scope:
            with pytest.raises(asyncio.CancelledError):
                await trio_asyncio.run_aio_future(future)
        assert not scope.cancel_called

    trio_asyncio.run(main)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("raises again", "cancelled"),
        ("fails", "ValueError"),
        ("shields", "done"),
        ("cancels its scope", "cancelled"),
    ],
)
def test_a_task_ends_a_trio_task(how, expected):
    async def in_trio():
        if how == "cancels its scope":
            trio.lowlevel.current_task().parent_nursery.cancel_scope.cancel()
        try:
            with trio.CancelScope(shield=how == "shields"):
                await trio.sleep(0.01 if how == "shields" else 3600)
        except trio.Cancelled:
            if how == "fails":
                raise ValueError from None
            raise
        return "done"

    async def main():
        task = trio_asyncio.run_trio(in_trio)
        await wait_all_tasks_blocked()
        task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return "cancelled"
        except ValueError as error:
            return type(error).__name__

    assert trio_asyncio.run(main) == expected


def test_context_variables_stay_where_they_are_set():
    import contextvars

    variable = contextvars.ContextVar("variable")

    async def in_asyncio():
        assert variable.get() == "outer"
        variable.set("middle")
        await trio_as_aio(in_trio)()
        assert variable.get() == "middle"

    async def in_trio():
        assert variable.get() == "middle"
        variable.set("inner")

    async def main():
        variable.set("outer")
        await aio_as_trio(in_asyncio)()
        assert variable.get() == "outer"

    trio_asyncio.run(main)


def test_executor():
    async def main():
        loop = asyncio.get_running_loop()
        executor = trio_asyncio.TrioExecutor(max_workers=1)
        running, most = [], []

        def work(n):
            running.append(n)
            most.append(len(running))
            assert trio.from_thread.run(trio_code, n) == ((n,), {})
            running.remove(n)
            return threading.current_thread() is not threading.main_thread()

        assert await asyncio.gather(*(loop.run_in_executor(executor, work, n) for n in range(3))) == [True] * 3
        assert max(most) == 1
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(executor, lambda: 1 / 0)

    trio_asyncio.run(main)
