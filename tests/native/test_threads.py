"""to_thread and run_coroutine_threadsafe."""

import concurrent.futures
import contextvars
import functools
import threading
import time

import pytest
import trio

from compat import native

REAL_TIME = True
VAR: contextvars.ContextVar[int] = contextvars.ContextVar("VAR", default=0)


async def test_to_thread():
    VAR.set(5)
    here = threading.get_ident()

    def work(*args, **kwargs):
        assert threading.get_ident() != here
        assert trio.from_thread.run_sync(threading.get_ident) == here
        return VAR.get(), args, kwargs

    assert await native.to_thread(work, 1, x=2) == (5, (1,), {"x": 2})
    with pytest.raises(KeyError):
        await native.to_thread({}.__getitem__, 1)


async def test_to_thread_that_is_cancelled_waits_for_the_thread():
    begun, go_on, ended = threading.Event(), threading.Event(), []

    def work():
        begun.set()
        go_on.wait(60)
        ended.append(1)

    async def wait_for_it():
        await native.to_thread(work)

    task = native.create_task(wait_for_it())
    await trio.to_thread.run_sync(begun.wait)
    task.cancel()
    await native.sleep(0)
    assert not task.done()
    go_on.set()
    await native.wait([task])
    assert ended == [1]


async def in_thread(function):
    """Call it in a thread that trio does not know."""
    future: concurrent.futures.Future[object] = concurrent.futures.Future()

    def work():
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=work)
    thread.start()
    await trio.to_thread.run_sync(thread.join)
    return future.result(0)


async def answer(value):
    await native.sleep(0)
    if isinstance(value, BaseException):
        raise value
    return value, native.current_task() is not None, VAR.get()


async def test_run_coroutine_threadsafe():
    token = trio.lowlevel.current_trio_token()

    def work():
        VAR.set(8)
        assert native.run_coroutine_threadsafe(answer(1), token).result(60) == (1, True, 8)
        with pytest.raises(KeyError):
            native.run_coroutine_threadsafe(answer(KeyError()), token).result(60)
        return "done"

    assert await in_thread(work) == "done"


async def test_run_coroutine_threadsafe_that_is_cancelled():
    token, begun, ended = trio.lowlevel.current_trio_token(), threading.Event(), threading.Event()

    async def work(error=None):
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    def call():
        future = native.run_coroutine_threadsafe(work(), token)
        assert begun.wait(60)
        assert future.cancel()
        assert ended.wait(60)

    await in_thread(call)
    with trio.fail_after(60):
        while native.all_tasks():
            await native.sleep(0.001)


@pytest.mark.parametrize("in_nursery", [False, True])
def test_the_run_ends_while_a_thread_waits_for_it(in_nursery):
    results = []

    async def main():
        token, begun = trio.lowlevel.current_trio_token(), trio.Event()

        async def work():
            begun.set()
            if in_nursery:  # out of it a cancellation comes in a group
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()

        def call():
            try:
                native.run_coroutine_threadsafe(work(), token).result(60)
            except concurrent.futures.CancelledError:
                results.append("cancelled")

        thread = threading.Thread(target=call)
        thread.start()
        await begun.wait()
        return token, thread

    token, thread = native.run(main())
    thread.join()
    assert results == ["cancelled"]
    with pytest.raises(trio.RunFinishedError):
        native.run_coroutine_threadsafe(answer(1), token)


def test_exit_out_of_a_coroutine_from_a_thread_ends_the_run_too():
    async def main():
        token = trio.lowlevel.current_trio_token()
        call = functools.partial(native.run_coroutine_threadsafe, answer(SystemExit(4)), token)
        future = await in_thread(call)
        try:
            await trio.sleep_forever()
        finally:
            assert isinstance(future.exception(60), SystemExit)

    with pytest.raises(BaseExceptionGroup) as caught:
        native.run(main())
    assert list(map(repr, caught.value.exceptions)) == ["SystemExit(4)"]


def test_an_error_that_answers_the_cancellation_of_the_future_ends_the_run():
    async def work(begun):
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("nobody waits for it")

    async def main():
        token, begun = trio.lowlevel.current_trio_token(), trio.Event()
        future = await in_thread(functools.partial(native.run_coroutine_threadsafe, work(begun), token))
        await begun.wait()
        assert future.cancel()
        await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        native.run(main())
    assert list(map(repr, caught.value.exceptions)) == ["KeyError('nobody waits for it')"]


def test_run_coroutine_threadsafe_without_a_nursery():
    async def main():
        call = functools.partial(native.run_coroutine_threadsafe, answer(1), trio.lowlevel.current_trio_token())
        future = await in_thread(call)
        with trio.fail_after(60):
            while not future.done():
                await trio.sleep(0.001)
        with pytest.raises(RuntimeError, match="open_background"):
            future.result()

    trio.run(main)


def test_run_coroutine_threadsafe_takes_a_token():
    with pytest.raises(TypeError, match="current_trio_token"):
        native.run_coroutine_threadsafe(answer(1), object())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="coroutine"):
        native.run_coroutine_threadsafe(answer, object())  # type: ignore[arg-type]


async def test_a_future_that_is_cancelled_before_it_starts():
    token, begun = trio.lowlevel.current_trio_token(), []

    async def work():
        begun.append(1)
        await native.sleep(0)
        begun.append("not reached")

    future = native.run_coroutine_threadsafe(work(), token)
    assert future.cancel()
    deadline = time.monotonic() + 60
    while (not begun or native.all_tasks()) and time.monotonic() < deadline:
        await native.sleep(0.001)
    assert begun == [1]
