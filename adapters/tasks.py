"""asyncio.Task, and the functions that make Tasks and wait for them.

A Task is the interpreter's own, and steps as a callback of the loop, until something of trio's is called in it: from
then on a trio task carries it, step for step (`_carriers.py`). What differs from a bare trio task: it can be cancelled
by itself, once and not by scope; it has a result; and it does not bring its nursery down when it fails.

A plain trio task becomes an asyncio Task when it first asks for one (`current_task()`) or first waits for a Future:
from its next step on it is one.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import math
import sys
import types
from asyncio import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, Task, iscoroutine
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from typing import Any, TypeVar

from . import timeouts
from ._asyncio import get_running_loop as _get_running_loop
from ._asyncio import interpreters_current_task
from ._trio import runs
from .events import BaseLoop, get_event_loop, get_running_loop
from .futures import KEEPS_AWAITERS, Future, add_awaiter, discard_awaiter, isfuture
from .timeouts import timeout as timeout_after

std: Any = asyncio
std_tasks: Any = asyncio.tasks

__all__ = std_tasks.__all__

T = TypeVar("T")

_init = Future.__init__


def current_task(loop: Any = None) -> Task[Any] | None:
    """The Task that runs now in this thread; None in a callback. A plain trio task is given one.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.current_task
    """
    running: Any = _get_running_loop()
    if loop is None:
        loop = running or get_running_loop()
    task: Task[Any] | None = interpreters_current_task(loop)
    if task is None and loop is running and isinstance(running, BaseLoop):
        scheduler = runs.current_scheduler()
        return None if scheduler is None else scheduler.current_aio_stand_in()
    return task


timeouts.current_task = current_task


def _awaiter() -> Task[Any] | None:
    """The running Task as one that awaits; None where the interpreter keeps no account of that."""
    return current_task() if KEEPS_AWAITERS and _get_running_loop() is not None else None


def answer_for_std() -> None:
    """Have the real asyncio's functions know our loops and, in them, the Task of a plain trio task.

    Its timeout() and TaskGroup ask current_task(), and the interpreter's account cannot hold a task that has not been
    asked for. get_running_loop() is the interpreter's own, unless somebody has replaced it (trio_asyncio, for one). On
    the loops of others the answer is what it was.
    """
    for module, names in ((std, _ANSWERS), (std_tasks, ("current_task",)), (std.events, _ANSWERS[1:])):
        for name in names:
            theirs = getattr(module, name)
            if not hasattr(theirs, "_knows_our_loops") and (name == "current_task" or inspect.isfunction(theirs)):
                setattr(module, name, (_answer_with_task if name == "current_task" else _answer_with_loop)(theirs))


_ANSWERS = ("current_task", "get_running_loop", "_get_running_loop")


def _answer_with_task(theirs: Callable[..., Any]) -> Any:
    @functools.wraps(theirs)
    def answer(loop: Any = None) -> Any:
        running = _get_running_loop()
        if isinstance(running, BaseLoop) and (loop is None or loop is running):
            return current_task(running)
        return theirs(loop)

    answer._knows_our_loops = True  # type: ignore[attr-defined]
    return answer


def _answer_with_loop(theirs: Callable[[], Any]) -> Any:
    @functools.wraps(theirs)
    def answer() -> Any:
        running = _get_running_loop()
        return running if isinstance(running, BaseLoop) else theirs()

    answer._knows_our_loops = True  # type: ignore[attr-defined]
    return answer


def all_tasks(loop: Any = None) -> set[Task[Any]]:
    """The Tasks of the loop that are not done. https://docs.python.org/3/library/asyncio-task.html#asyncio.all_tasks"""
    if loop is None or loop is _get_running_loop():
        current_task()  # a trio task is among them when it asks
    tasks: set[Task[Any]] = std_tasks.all_tasks(get_running_loop() if loop is None else loop)
    return tasks


def create_task(coro: Coroutine[Any, Any, T], **kwargs: Any) -> Task[T]:
    """Run a coroutine as a Task: `name`, `context`, and from 3.14 on what the loop's task factory takes.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.create_task
    """
    loop: Any = _get_running_loop() or get_running_loop()
    if not kwargs:
        return loop.create_task(coro)  # type: ignore[no-any-return]
    task: Any = create_task_in(loop, coro, **kwargs)
    if task._source_traceback:
        del task._source_traceback[-1]
    return task  # type: ignore[no-any-return]


def create_task_in(loop: Any, coro: Any, *, name: str | None = None, **kwargs: Any) -> Any:
    """loop.create_task() as asyncio.create_task() and TaskGroup call it."""
    if "context" in kwargs and kwargs["context"] is None:  # a task factory may not know the argument
        del kwargs["context"]
    if NAMES_AT_ONCE:
        return loop.create_task(coro, name=name, **kwargs)
    task = loop.create_task(coro, **kwargs)
    if name is not None:
        task.set_name(name)
    return task


# Before 3.13 a Task got its default name first, and so used up a number.
NAMES_AT_ONCE = sys.version_info >= (3, 13)


if sys.version_info >= (3, 12):

    def create_eager_task_factory(custom_task_constructor: Callable[..., Any]) -> Callable[..., Any]:
        """A task factory for loop.set_task_factory(), whose tasks take their first step when they are made.

        https://docs.python.org/3/library/asyncio-task.html#asyncio.create_eager_task_factory
        """

        def factory(loop: Any, coro: Any, *, eager_start: bool = True, **kwargs: Any) -> Any:
            return custom_task_constructor(coro, loop=loop, eager_start=eager_start, **kwargs)

        return factory

    eager_task_factory = create_eager_task_factory(Task)
    eager_task_factory.__doc__ = """A task factory that starts each Task at once, in the step that makes it."""


def ensure_future(coro_or_future: Any, *, loop: Any = None) -> Any:
    """A Future as it is; a coroutine or any other awaitable as a Task.

    https://docs.python.org/3/library/asyncio-future.html#asyncio.ensure_future
    """
    if type(coro_or_future) is not types.CoroutineType and isfuture(coro_or_future):
        if loop is not None and loop is not coro_or_future.get_loop():
            raise ValueError("The future belongs to a different loop than the one specified as the loop argument")
        return coro_or_future
    coro, made_here = coro_or_future, False
    if type(coro) is not types.CoroutineType and not iscoroutine(coro):
        if not inspect.isawaitable(coro):
            raise TypeError("An asyncio.Future, a coroutine or an awaitable is required")
        coro, made_here = wait_for_awaitable(coro), True
    if loop is None:
        loop = get_event_loop()
    try:
        return loop.create_task(coro)
    except RuntimeError:
        if not made_here:
            coro.close()
        raise


async def wait_for_awaitable(awaitable: Awaitable[T]) -> T:
    return await awaitable


# --- sleep -----------------------------------------------------------------------------------------------------------


async def sleep(delay: float, result: Any = None) -> Any:
    """Wait for delay seconds of the loop's clock, or for one batch if it is 0, and give the result.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.sleep
    """
    if delay <= 0:
        if _get_running_loop() is None:
            get_running_loop()  # says what to do
        await _yield_once()
        return result
    loop: Any = get_running_loop()
    if math.isnan(delay):
        if SLEEP_REFUSES_NAN:
            raise ValueError("Invalid delay: NaN (not a number)")
        # asyncio's heap of timers keeps it behind all that are there now.
        delay = max((timer.when() for timer in loop._scheduled), default=0) - loop.time()
    future = loop.create_future()
    timer = loop.call_later(delay, _set_unless_done, future, result)
    try:
        return await future
    finally:
        timer.cancel()


SLEEP_REFUSES_NAN = sys.version_info >= (3, 13)


@types.coroutine
def _yield_once() -> Generator[None, None, None]:
    yield


def _set_unless_done(future: Any, result: object = None) -> None:
    if not future.done():
        future.set_result(result)


# --- waiting for one -------------------------------------------------------------------------------------------------


async def _cancel_and_wait(future: Any, loop: Any) -> None:
    future.cancel()
    await _wait_until_done(future, loop)


async def _wait_until_done(future: Any, loop: Any) -> None:
    # Not by awaiting the future: whoever cancels this wait shall not have to wait for it.
    waiter = loop.create_future()
    release = functools.partial(_release, waiter)
    future.add_done_callback(release)
    awaiter = _awaiter()
    add_awaiter(future, awaiter)
    try:
        await waiter
    finally:
        future.remove_done_callback(release)
        discard_awaiter(future, awaiter)


def _release(waiter: Any, *args: object) -> None:
    _set_unless_done(waiter)


async def _cancel_for_timeout(future: Any, loop: Any) -> Any:
    await _cancel_and_wait(future, loop)
    try:
        return future.result()
    except asyncio.CancelledError as error:
        raise TimeoutError from error


if sys.version_info >= (3, 12):

    async def wait_for(fut: Awaitable[T], timeout: float | None) -> T:
        """Wait for an awaitable, for timeout seconds at most; then it is cancelled, and TimeoutError raised.

        https://docs.python.org/3/library/asyncio-task.html#asyncio.wait_for
        """
        if timeout is not None and timeout <= 0:
            future = ensure_future(fut)
            if future.done():
                return future.result()  # type: ignore[no-any-return]
            return await _cancel_for_timeout(future, get_running_loop())  # type: ignore[no-any-return]
        async with timeout_after(timeout):
            return await fut

else:

    async def wait_for(fut: Awaitable[T], timeout: float | None) -> T:
        """Wait for an awaitable, for timeout seconds at most; then it is cancelled, and TimeoutError raised.

        https://docs.python.org/3/library/asyncio-task.html#asyncio.wait_for
        """
        # Before 3.12 the awaitable has a Task of its own, and a finished one wins over a cancellation.
        loop: Any = get_running_loop()
        if timeout is None:
            return await fut
        if timeout <= 0:
            future = ensure_future(fut, loop=loop)
            if future.done():
                return future.result()  # type: ignore[no-any-return]
            return await _cancel_for_timeout(future, loop)  # type: ignore[no-any-return]

        waiter = loop.create_future()
        timer = loop.call_later(timeout, _release, waiter)
        release = functools.partial(_release, waiter)
        future = ensure_future(fut, loop=loop)
        future.add_done_callback(release)
        try:
            try:
                await waiter
            except asyncio.CancelledError:
                if future.done():
                    return future.result()  # type: ignore[no-any-return]
                future.remove_done_callback(release)
                await _cancel_and_wait(future, loop)
                raise
            if future.done():
                return future.result()  # type: ignore[no-any-return]
            future.remove_done_callback(release)
            return await _cancel_for_timeout(future, loop)  # type: ignore[no-any-return]
        finally:
            timer.cancel()


def shield(arg: Any) -> Any:
    """A Future with the awaitable's result whose cancellation does not reach the awaitable.

    A trio cancel scope that ends a wait for it does not reach the awaitable either.
    https://docs.python.org/3/library/asyncio-task.html#asyncio.shield
    """
    inner = ensure_future(arg)
    if inner.done():
        return inner
    outer = inner.get_loop().create_future()

    awaiter = _awaiter()

    def inner_is_done(inner: Any) -> None:
        discard_awaiter(inner, awaiter)
        if outer.cancelled():
            if SHIELD_RETRIEVES and not inner.cancelled():
                inner.exception()  # nobody is left to do it
        elif inner.cancelled():
            outer.cancel()
        elif (error := inner.exception()) is not None:
            outer.set_exception(error)
        else:
            outer.set_result(inner.result())

    def outer_is_done(outer: Any) -> None:
        if not inner.done():
            inner.remove_done_callback(inner_is_done)
            discard_awaiter(inner, awaiter)

    add_awaiter(inner, awaiter)
    inner.add_done_callback(inner_is_done)
    outer.add_done_callback(outer_is_done)
    return outer


# From 3.14 on, an error that comes after the outer future was cancelled is reported as never retrieved.
SHIELD_RETRIEVES = sys.version_info < (3, 14)


# --- waiting for several ---------------------------------------------------------------------------------------------


async def wait(
    fs: Iterable[Any], *, timeout: float | None = None, return_when: str = ALL_COMPLETED
) -> tuple[set[Any], set[Any]]:
    """Wait until all of the Futures are done, or the first is, or timeout seconds are over: (done, pending).

    Cancels none of them. https://docs.python.org/3/library/asyncio-task.html#asyncio.wait
    """
    if isfuture(fs) or iscoroutine(fs):
        raise TypeError(f"expect a list of futures, not {type(fs).__name__}")
    if not fs:
        raise ValueError("Set of Tasks/Futures is empty.")
    if return_when not in (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED):
        raise ValueError(f"Invalid return_when value: {return_when}")
    futures = set(fs)
    if any(iscoroutine(future) for future in futures):
        raise TypeError("Passing coroutines is forbidden, use tasks explicitly.")

    loop: Any = get_running_loop()
    waiter = loop.create_future()
    timer = None if timeout is None else loop.call_later(timeout, _release, waiter)
    left = len(futures)

    def one_is_done(future: Any) -> None:
        nonlocal left
        left -= 1
        if left > 0 and return_when != FIRST_COMPLETED:
            failed = return_when == FIRST_EXCEPTION and not future.cancelled() and future.exception() is not None
            if not failed:
                return
        if timer is not None:
            timer.cancel()
        _set_unless_done(waiter)

    awaiter = _awaiter()
    for future in futures:
        future.add_done_callback(one_is_done)
        add_awaiter(future, awaiter)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()
        for future in futures:
            future.remove_done_callback(one_is_done)
            discard_awaiter(future, awaiter)

    done: set[Any] = set()
    pending: set[Any] = set()
    for future in futures:
        (done if future.done() else pending).add(future)
    return done, pending


class _GatheringFuture(Future[list[Any]]):
    """What gather() returns: to cancel it is to cancel its children, and it is done when they are."""

    __slots__ = ("_cancel_requested", "_children", "_wait_for_all")

    def __init__(self, children: list[Any], *, loop: Any) -> None:
        _init(self, loop=loop)
        self._children = children
        self._cancel_requested = self._wait_for_all = False

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        heeded = [child.cancel(msg=msg) for child in self._children]
        if any(heeded):
            self._cancel_requested = True
        return any(heeded)

    def cancel_and_wait_for_all(self) -> None:
        """For trio: a cancel scope is left only when everything in it has ended, not with the first child."""
        self._wait_for_all = True
        self.cancel()


def gather(*coros_or_futures: Any, return_exceptions: bool = False) -> Any:
    """A Future of the list of the awaitables' results; the first exception at once, unless they are to be returned.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.gather
    """
    if not coros_or_futures:
        nothing = get_event_loop().create_future()
        nothing.set_result([])
        return nothing

    outer: _GatheringFuture | None = None
    ended = 0

    awaiter = _awaiter()

    def one_is_done(child: Any) -> None:
        nonlocal ended
        ended += 1
        if KEEPS_AWAITERS:
            discard_awaiter(child, awaiter)
        if outer is None or outer.done():
            if not child.cancelled():
                child.exception()  # nobody is left to retrieve it
            return
        if not return_exceptions and not outer._wait_for_all and (error := _error_of(child)) is not None:
            outer.set_exception(error)
            for survivor in children:
                discard_awaiter(survivor, awaiter)
        elif ended == len(futures):
            finish()

    def finish() -> None:
        assert outer is not None
        if outer._wait_for_all and not return_exceptions:
            for child in children:
                if not child.cancelled() and (error := child.exception()) is not None:
                    outer.set_exception(error)
                    return
        # The results are looked at in any case: that marks each exception as retrieved.
        results = [_result_or_error(child) for child in children]
        if outer._cancel_requested:
            outer.set_exception(children[-1]._make_cancelled_error())
        else:
            outer.set_result(results)

    futures: dict[Any, Any] = {}
    done_already = []
    loop = None
    for arg in coros_or_futures:
        if arg in futures:
            continue
        future = futures[arg] = ensure_future(arg, loop=loop)
        if loop is None:
            loop = future.get_loop()
        if future is not arg:
            future._log_destroy_pending = False  # nobody else could wait for it
        if future.done() and FINISHES_EAGERLY:
            done_already.append(future)
        else:
            if KEEPS_AWAITERS:
                add_awaiter(future, awaiter)
            future.add_done_callback(one_is_done)

    children = [futures[arg] for arg in coros_or_futures]
    outer = _GatheringFuture(children, loop=loop)
    for future in done_already:
        one_is_done(future)
    return outer


# 3.12 on: what is done when gather() is called counts at once, not by a callback in the next batch.
FINISHES_EAGERLY = sys.version_info >= (3, 12)


def _error_of(future: Any) -> BaseException | None:
    error: BaseException | None = future._make_cancelled_error() if future.cancelled() else future.exception()
    return error


def _result_or_error(future: Any) -> Any:
    if future.cancelled():
        return asyncio.CancelledError("" if future._cancel_message is None else future._cancel_message)
    error = future.exception()
    return future.result() if error is None else error


class _AsCompleted:
    """The futures of as_completed(), as they come: a trio task waits for each by a Future of its own."""

    def __init__(self, aws: Iterable[Any], timeout: float | None) -> None:
        from .queues import Queue

        loop = get_event_loop()
        self._done: Queue[Any] = Queue()
        self._todo = {ensure_future(aw, loop=loop) for aw in set(aws)}
        self._left = len(self._todo)
        self._awaiter = _awaiter()
        for future in self._todo:
            future.add_done_callback(self._one_is_done)
            add_awaiter(future, self._awaiter)
        self._timer = loop.call_later(timeout, self._time_is_over) if self._todo and timeout is not None else None

    def _one_is_done(self, future: Any) -> None:
        if not self._todo:
            return  # the time was over first
        self._todo.remove(future)
        discard_awaiter(future, self._awaiter)
        self._done.put_nowait(future)
        if not self._todo and self._timer is not None:
            self._timer.cancel()

    def _time_is_over(self) -> None:
        for future in self._todo:
            future.remove_done_callback(self._one_is_done)
            discard_awaiter(future, self._awaiter)
            self._done.put_nowait(None)
        self._todo.clear()

    async def next_future(self) -> Any:
        try:
            future = await self._done.get()
        except BaseException:
            if KEEPS_PLACE_OF_CANCELLED:
                self._left += 1
            raise
        if future is None:
            raise TimeoutError
        return future

    async def next_result(self) -> Any:
        return (await self.next_future()).result()

    def take(self) -> bool:
        """Tell whether there is one more to wait for, and count it as taken."""
        if not self._left:
            return False
        self._left -= 1
        return True


# 3.14 on: a wait that was cancelled does not count as one of the results.
KEEPS_PLACE_OF_CANCELLED = sys.version_info >= (3, 14)

if sys.version_info >= (3, 13):

    class _AsCompletedIterator(Iterator[Awaitable[Any]], AsyncIterator[Any]):
        def __init__(self, futures: _AsCompleted) -> None:
            self._futures = futures

        def __aiter__(self) -> _AsCompletedIterator:
            return self

        def __iter__(self) -> _AsCompletedIterator:
            return self

        async def __anext__(self) -> Any:
            if not self._futures.take():
                raise StopAsyncIteration
            return await self._futures.next_future()

        def __next__(self) -> Awaitable[Any]:
            if not self._futures.take():
                raise StopIteration
            return self._futures.next_result()

    def as_completed(fs: Iterable[Any], *, timeout: float | None = None) -> _AsCompletedIterator:
        """The awaitables as they complete: by `async for` the futures, by `for` coroutines that give their results.

        https://docs.python.org/3/library/asyncio-task.html#asyncio.as_completed
        """
        if inspect.isawaitable(fs):
            raise TypeError(f"expects an iterable of awaitables, not {type(fs).__name__}")
        return _AsCompletedIterator(_AsCompleted(fs, timeout))

else:

    def as_completed(fs: Iterable[Any], *, timeout: float | None = None) -> Iterator[Awaitable[Any]]:
        """Coroutines that give the results of the awaitables, in the order in which they complete.

        https://docs.python.org/3/library/asyncio-task.html#asyncio.as_completed
        """
        if isfuture(fs) or iscoroutine(fs):
            raise TypeError(f"expect an iterable of futures, not {type(fs).__name__}")
        futures = _AsCompleted(fs, timeout)
        while futures.take():
            yield futures.next_result()


# --- from other threads ----------------------------------------------------------------------------------------------


def run_coroutine_threadsafe(coro: Coroutine[Any, Any, T], loop: Any) -> concurrent.futures.Future[T]:
    """Run a coroutine in the loop from another thread; a concurrent.futures.Future of its result.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.run_coroutine_threadsafe
    """
    if not iscoroutine(coro):
        raise TypeError("A coroutine object is required")
    future: concurrent.futures.Future[T] = concurrent.futures.Future()

    def start() -> None:
        try:
            asyncio.futures._chain_future(ensure_future(coro, loop=loop), future)  # type: ignore[attr-defined]
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
            raise

    loop.call_soon_threadsafe(start)
    return future
