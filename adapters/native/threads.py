"""Threads: trio.to_thread.run_sync() for a call out of a run, a TrioToken for a call into one."""

import concurrent.futures
import contextlib
import contextvars
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import trio

from .tasks import cancelled_in, create_task

__all__ = ["run_coroutine_threadsafe", "to_thread"]

P = ParamSpec("P")
T = TypeVar("T")


async def to_thread(func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a thread, in a copy of this context: trio.to_thread.run_sync().

    Raises what the function raises. It is cancelled only before the thread starts: after that the wait goes on until
    the function has returned, where asyncio leaves the thread alone. trio's limit of 40 threads holds.
    https://docs.python.org/3/library/asyncio-task.html#asyncio.to_thread
    """
    return await trio.to_thread.run_sync(functools.partial(func, *args, **kwargs))


def run_coroutine_threadsafe(
    coro: Coroutine[Any, Any, T], loop: trio.lowlevel.TrioToken
) -> concurrent.futures.Future[T]:
    """Start a coroutine in a run from another thread: TrioToken.run_sync_soon(), then create_task().

    In place of a loop it takes the run's `trio.lowlevel.current_trio_token()`. The future gets the result or the error,
    and cancelling it cancels the task. Raises trio.RunFinishedError when the run is over, TypeError for another loop
    and for what is no coroutine.
    https://docs.python.org/3/library/asyncio-task.html#asyncio.run_coroutine_threadsafe
    """
    if not isinstance(coro, Coroutine):
        raise TypeError(f"a coroutine was expected, got {coro!r}")
    if not isinstance(loop, trio.lowlevel.TrioToken):
        coro.close()
        raise TypeError(f"trio has no loop object: give it trio.lowlevel.current_trio_token(), not {loop!r}")
    future: concurrent.futures.Future[T] = concurrent.futures.Future()
    context = contextvars.copy_context()

    async def carry() -> None:
        try:
            result = await coro
        except BaseException as error:
            if cancelled_in(error):
                future.cancel()
            if not future.set_running_or_notify_cancel():  # cancelled, so nobody would hear of it
                raise
            future.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            if future.set_running_or_notify_cancel():
                future.set_result(result)

    def start() -> None:
        try:
            task = create_task(carry(), context=context)
        except RuntimeError as error:
            coro.close()
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
            return

        def pass_on(future: concurrent.futures.Future[T]) -> None:
            if future.cancelled():
                with contextlib.suppress(trio.RunFinishedError):
                    loop.run_sync_soon(task.cancel)

        future.add_done_callback(pass_on)

    try:
        loop.run_sync_soon(start)
    except trio.RunFinishedError:
        coro.close()
        raise
    return future
