"""trio-asyncio's names, on these loops: a program that uses it changes one import.

    from compat import trio_asyncio

Here asyncio code and trio code await each other with no wrapper in between, so each wrapper can go, one at a time.
Until then it does what it says: what `aio_as_trio` wraps runs in an asyncio Task, in which sniffio and anyio find
asyncio, and what `trio_as_aio` wraps in a trio task, which the call starts; it returns a future of the result.

What differs from trio-asyncio: a run has one loop at a time, so that open_loop() inside another one's block raises
RuntimeError; a scope's cancellation is an exception of both worlds at once; an error that only a handler of the loop
hears of (loop.call_exception_handler()) is logged, as asyncio has it, and does not end the loop.
https://trio-asyncio.readthedocs.io
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Never, TypeAlias, TypeVar

import outcome
import trio

from ._run import open_loop as _open_loop
from .adapters import _types, events, exceptions

__all__ = [
    "BaseTrioEventLoop",
    "TrioAsyncioDeprecationWarning",
    "TrioEventLoop",
    "TrioExecutor",
    "aio_as_trio",
    "allow_asyncio",
    "asyncio_as_trio",
    "current_loop",
    "open_loop",
    "run",
    "run_aio_coroutine",
    "run_aio_future",
    "run_aio_generator",
    "run_trio",
    "run_trio_task",
    "trio_as_aio",
    "trio_as_asyncio",
]

T = TypeVar("T")
Call: TypeAlias = Awaitable[object]

BaseTrioEventLoop = events.BaseLoop
TrioEventLoop = events.HostedLoop

# The loop whose block this is in.
current_loop: ContextVar[TrioEventLoop | None] = ContextVar("trio_asyncio.current_loop", default=None)


class TrioAsyncioDeprecationWarning(FutureWarning):
    """What trio-asyncio warns with; here nothing does."""


# --- the loop --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_loop(queue_len: None = None) -> AsyncIterator[TrioEventLoop]:
    """compat.open_loop(), whose loop has trio-asyncio's methods for running code as well, and synchronize().

    Its queue has no limit: ValueError for one.
    """
    if queue_len is not None:
        raise ValueError("the loop's queue has no limit here: leave queue_len out")
    async with _open_loop() as opened:
        loop: Any = opened
        loop.run_aio_coroutine, loop.run_aio_future = run_aio_coroutine, run_aio_future
        loop.trio_as_future, loop.run_trio_task = run_trio, run_trio_task
        loop.synchronize = functools.partial(asyncio.sleep, 0)
        token = current_loop.set(loop)
        try:
            yield loop
        finally:
            current_loop.reset(token)


def run(proc: Callable[..., Awaitable[T]], *args: object, queue_len: None = None, **trio_run_options: Any) -> T:
    """trio.run() with open_loop() around proc(*args)."""

    @functools.wraps(proc)
    async def main() -> T:
        async with open_loop(queue_len):
            return await proc(*args)

    return trio.run(main, **trio_run_options)


# --- asyncio code, from trio ------------------------------------------------------------------------------------------


async def run_aio_future(future: Awaitable[T]) -> T:
    """Await a future of asyncio's. A scope around it cancels the future, and waits until that is done."""
    return await future


async def run_aio_coroutine(coro: Awaitable[T]) -> T:
    """Await a coroutine in a Task of its own. A scope around it cancels the Task, and waits for its end."""
    return await _in_aio_task(lambda: coro)


async def _call(proc: Callable[..., Awaitable[T]], *args: object, **kwargs: object) -> T:
    return await proc(*args, **kwargs)


def run_aio_generator(loop: object, async_generator: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """An async iterator whose every step is a Task; the loop is the one of this run."""
    return _iterate(run_aio_coroutine, async_generator)


async def _iterate(
    run_step: Callable[[Awaitable[T]], Awaitable[T]], steps: AsyncIterator[T]
) -> AsyncGenerator[T, None]:
    while True:
        try:
            item = await run_step(steps.__anext__())
        except StopAsyncIteration:
            return
        yield item


async def allow_asyncio(fn: Callable[..., Awaitable[T]], *args: object) -> T:
    """await fn(*args): here all code may call both."""
    return await fn(*args)


# --- trio code, from asyncio ------------------------------------------------------------------------------------------


def run_trio(proc: Callable[..., Awaitable[T]], *args: object, **kwargs: object) -> asyncio.Task[T]:
    """Start await proc(*args, **kwargs) in a trio task; a future of its result, which cancels it."""
    return asyncio.create_task(_in_trio_task(proc, *args, **kwargs))


def run_trio_task(proc: Callable[..., Awaitable[object]], *args: object) -> _types.AnyTask:
    """Start await proc(*args) in a trio task. Its error goes to loop.call_exception_handler()."""

    def report(task: _types.AnyTask) -> None:
        if not task.cancelled() and task.exception() is not None:
            context = {"message": "a trio task has failed", "exception": task.exception(), "task": task}
            task.get_loop().call_exception_handler(context)

    task = run_trio(proc, *args)
    task.add_done_callback(report)
    return task


async def _in_trio_task(proc: Callable[..., Awaitable[T]], *args: object, **kwargs: object) -> T:
    """Await proc(*args, **kwargs) in a trio task, a child of this one, which Task.cancel() and scopes around cancel.

    The call comes to what the trio task comes to; ended by a cancellation, whosever it is, it raises CancelledError.
    """
    results: list[outcome.Outcome[T]] = []

    async def call() -> None:
        try:
            results.append(outcome.Value(await proc(*args, **kwargs)))
        except BaseException as error:
            failure = exceptions.without(error, (asyncio.CancelledError, trio.Cancelled))
            if failure is None:
                raise
            results.append(outcome.Error(failure))

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
    except asyncio.CancelledError:
        if not results:
            raise
    if not results:
        raise asyncio.CancelledError
    return results.pop().unwrap()


# --- wrappers --------------------------------------------------------------------------------------------------------


class _Wrapper:
    """What stands for an awaitable, a function, a context manager or an iterator of the other world."""

    def __init__(self, run_call: Callable[..., Call], wrapped: Any) -> None:
        self._run_call = run_call
        self._wrapped = wrapped
        if callable(wrapped):
            functools.update_wrapper(self, wrapped)

    def __get__(self, instance: object, owner: type) -> Callable[..., Call]:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: object, **kwargs: object) -> Call:
        return self._run_call(self._wrapped, *args, **kwargs)

    def __await__(self) -> Generator[object, Never, object]:
        wrapped = self._wrapped
        call = self._run_call((lambda: wrapped) if hasattr(wrapped, "__await__") else wrapped)
        return call.__await__()

    def __aenter__(self) -> Call:
        return self._run_call(self._wrapped.__aenter__)

    def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> Call:
        return self._run_call(self._wrapped.__aexit__, exc_type, exc, tb)

    def __aiter__(self) -> AsyncIterator[object]:
        return _iterate(lambda step: self._run_call(lambda: step), self._wrapped.__aiter__())


async def _in_aio_task(proc: Callable[..., Awaitable[T]], *args: object, **kwargs: object) -> T:
    return await asyncio.create_task(_call(proc, *args, **kwargs))


def aio_as_trio(proc: Any, *, loop: object = None) -> Any:
    """Wrap asyncio's for trio code: a function (also as a decorator), an awaitable, a context manager or an iterator.

    Each call, of `__aenter__` and `__aexit__` too, and each step of an iterator is a Task of its own.
    """
    return _Wrapper(_in_aio_task, proc)


def trio_as_aio(proc: Any, *, loop: object = None) -> Any:
    """Wrap trio's for asyncio code: a function (also as a decorator), a context manager or an iterator.

    Each call, of `__aenter__` and `__aexit__` too, and each step of an iterator is a trio task of its own; the call
    starts it, and returns a future, which cancels it. A context manager that holds a nursery or a scope needs no
    wrapper here, and cannot have one.
    """
    return _Wrapper(run_trio, proc)


asyncio_as_trio = aio_as_trio
trio_as_asyncio = trio_as_aio


# --- threads ---------------------------------------------------------------------------------------------------------


class TrioExecutor(concurrent.futures.ThreadPoolExecutor):  # set_default_executor() takes nothing else
    """An executor for loop.run_in_executor() that calls functions in trio's threads, as a limiter of trio's allows."""

    def __init__(
        self,
        limiter: trio.CapacityLimiter | None = None,
        thread_name_prefix: str | None = None,
        max_workers: int | None = None,
    ) -> None:
        """The limiter, or else one for so many threads, or else trio's own. The threads have trio's names."""
        super().__init__(1)  # it starts no thread of its own
        if limiter is None and max_workers is not None:
            limiter = trio.CapacityLimiter(max_workers)
        self._limiter = limiter

    def submit(self, fn: Callable[..., T], /, *args: object, **kwargs: object) -> concurrent.futures.Future[T]:
        """Call fn(*args, **kwargs) in a thread. Call it in the loop's thread."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def call_in_thread() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:
                    future.set_exception(error)

        async def call() -> None:
            try:
                await trio.to_thread.run_sync(call_in_thread, limiter=self._limiter)
            finally:
                future.cancel()  # if the thread has not begun

        run_trio_task(call)
        return future
