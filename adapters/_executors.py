"""The loop's executors, for loop.run_in_executor(): the interpreter's own thread pool, made known to trio.

trio.from_thread works in its threads and calls into the loop's run, as in those of trio.to_thread. What differs from
these is as in asyncio: how many there are, what they are called, that loop.close() leaves them at work, and that the
interpreter waits for them when it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from ._interface import LoopPart
from ._trio import threads
from ._types import P, T, Ts


class LoopThreads(ThreadPoolExecutor):
    """The default executor of a loop, whose run has this token."""

    def __init__(self, token: threads.LoopToken) -> None:
        super().__init__(thread_name_prefix="asyncio")
        self._token = token

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call fn(*args, **kwargs) in a thread."""
        return super().submit(threads.call_as_thread_of, self._token, fn, *args, **kwargs)


class Executors(LoopPart):
    """The loop's methods that call functions in threads and other executors."""

    def __init__(self) -> None:
        super().__init__()
        self._default_executor: ThreadPoolExecutor | None = None
        self._executor_shutdown_called = False

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Call func(*args) in a thread, or in the executor given; a Future of its result.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.run_in_executor

        Cancelling the future leaves a call that has begun to finish. Raises RuntimeError after
        shutdown_default_executor(), if no executor is given.
        """
        self._check_closed()
        if executor is None and self._default_executor is None and not self._executor_shutdown_called:
            self._default_executor = LoopThreads(threads.token_of(self._runner, self._scheduler.nursery))
        return super().run_in_executor(executor, func, *args)
