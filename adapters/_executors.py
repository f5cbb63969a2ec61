"""The loop's executors, for loop.run_in_executor(), carried by trio's threads: trio.lowlevel.start_thread_soon.

asyncio has a pool instead, of as many threads as may run at a time. trio.to_thread would make a trio task, wait for a
limiter and report to that task for each call, which takes 1.6 (CPython 3.11) to 2.2 times (3.13) asyncio's time.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import os
import warnings
from _thread import allocate_lock
from asyncio import Future, Handle
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import Any

import trio
from outcome import Error, Outcome

from ._trio import threads

std: Any = asyncio


class ThreadCall:
    """A call in one of trio's threads, for a Future of the loop."""

    __slots__ = ("args", "ended", "func", "future", "loop", "token")

    def __init__(self, loop: Any, func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.loop = loop
        self.func = func
        self.args = args
        self.future: Future[Any] = loop.create_future()
        self.token = threads.token_of(loop._runner)
        self.ended = allocate_lock()

    def start(self) -> None:
        self.ended.acquire()
        trio.lowlevel.start_thread_soon(self.run, self.deliver)

    def run(self) -> Any:
        """In the thread. trio.from_thread works in there."""
        if self.future.cancelled():  # before its turn
            return None
        with threads.as_thread_of(self.token):
            return self.func(*self.args)

    def deliver(self, outcome: Outcome[Any]) -> None:
        """In the thread, which may be used again already."""
        # In a new context: an executor's threads have none of the program's either.
        handle = Handle(self.loop._end_thread_call, (self, outcome), self.loop, Context())
        with suppress(RuntimeError):  # the loop was closed meanwhile
            self.loop._append_from_anywhere(handle)
        self.ended.release()

    def settle(self, outcome: Outcome[Any]) -> None:
        """In the loop: give the Future its result."""
        if self.future.done():
            return
        if isinstance(outcome, Error):
            self.future.set_exception(std.futures._convert_future_exc(outcome.error))
        else:
            self.future.set_result(outcome.value)  # type: ignore[attr-defined]

    @property
    def name(self) -> str:
        """What is called, for who looks at the running program."""
        return _name_of_function(self.func)


class Executors:
    """The part of the loop that calls functions in threads and other executors."""

    def __init__(self) -> None:
        super().__init__()
        self._default_executor: concurrent.futures.ThreadPoolExecutor | None = None
        self._executor_shutdown_called = False
        cpus = getattr(os, "process_cpu_count", os.cpu_count)() or 1
        self._most_threads = min(32, cpus + 4)  # as asyncio's default executor has
        self._thread_calls: set[ThreadCall] = set()
        self._waiting_calls: deque[ThreadCall] = deque()
        self._threads_ended: Future[None] | None = None

    def run_in_executor(
        self: Any, executor: concurrent.futures.Executor | None, func: Callable[..., Any], *args: Any
    ) -> Future[Any]:
        """Call func(*args) in a thread of trio's, or in the executor given; a Future of its result.

        Cancelling the future leaves a call that has begun to finish.
        """
        self._check_closed()
        if self._debug:
            self._check_callback(func, "run_in_executor")
        if executor is None:
            if self._executor_shutdown_called:
                raise RuntimeError("Executor shutdown has been called")
            executor = self._default_executor
        if executor is not None:
            return asyncio.wrap_future(executor.submit(func, *args), loop=self)
        call = ThreadCall(self, func, args)
        self._waiting_calls.append(call)
        self._start_thread_calls()
        return call.future

    def _start_thread_calls(self) -> None:
        calls, waiting = self._thread_calls, self._waiting_calls
        while waiting and len(calls) < self._most_threads:
            call = waiting.popleft()
            if not call.future.cancelled():
                call.start()
                calls.add(call)

    def _end_thread_call(self, call: ThreadCall, outcome: Outcome[Any]) -> None:
        self._thread_calls.discard(call)
        self._start_thread_calls()
        call.settle(outcome)
        if not self._thread_calls and self._threads_ended is not None and not self._threads_ended.done():
            self._threads_ended.set_result(None)

    def _wait_for_thread_calls(self) -> None:
        """For close(): what has begun comes to its end, what has not is dropped."""
        self._waiting_calls.clear()
        for call in self._thread_calls:
            call.ended.acquire()

    def set_default_executor(self, executor: concurrent.futures.ThreadPoolExecutor) -> None:
        """Call in this executor instead of trio's threads."""
        if not isinstance(executor, concurrent.futures.ThreadPoolExecutor):
            raise TypeError("executor must be ThreadPoolExecutor instance")
        self._default_executor = executor

    async def shutdown_default_executor(self: Any, timeout: float | None = None) -> None:
        """Refuse further calls in the default executor and wait, for timeout seconds, until the last has ended."""
        from .timeouts import timeout as timeout_after

        self._executor_shutdown_called = True
        executor = self._default_executor
        try:
            async with timeout_after(timeout):
                if executor is not None:
                    await trio.to_thread.run_sync(executor.shutdown, abandon_on_cancel=True)
                elif self._thread_calls:
                    self._threads_ended = self.create_future()
                    await self._threads_ended
        except TimeoutError:
            warnings.warn(
                f"The executor did not finishing joining its threads within {timeout} seconds.",
                RuntimeWarning,
                stacklevel=2,
            )
            if executor is not None:
                executor.shutdown(wait=False)


def _name_of_function(func: Any) -> str:
    """to_thread() wraps a function up with its arguments and its context."""
    if isinstance(func, functools.partial):
        in_context = isinstance(getattr(func.func, "__self__", None), Context) and func.args
        return _name_of_function(func.args[0] if in_context else func.func)
    return getattr(func, "__qualname__", None) or repr(func)
