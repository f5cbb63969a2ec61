"""run() and Runner: trio.run() with a nursery around the main coroutine, for what create_task() starts.

The run ends when the main coroutine has: what it has started is cancelled and waited for. It also ends with the first
error of such a task that nobody awaits, which asyncio would log at best.
"""

import contextvars
import functools
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar, final

import trio

from .refusals import Refusing, refuse
from .tasks import Task, open_background

__all__ = ["Runner", "run"]

T = TypeVar("T")

# Makes the clock of a run. compat.virtual_time() sets it.
make_clock: Callable[[], trio.abc.Clock] | None = None


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None, loop_factory: None = None) -> T:
    """Run a coroutine by trio.run() and return its result.

    Raises what the coroutine raises; an ExceptionGroup, as a nursery does, if tasks in the background have failed;
    RuntimeError inside another run; ValueError for what is no coroutine; TypeError for debug= and loop_factory=.
    Ctrl-C is trio's: KeyboardInterrupt in whatever task runs, or at the main one's next checkpoint.
    https://docs.python.org/3/library/asyncio-runner.html#asyncio.run
    """
    with Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)


@final
class Runner(Refusing):
    """Several runs: each run() is a trio.run() of its own, and leaves no task to the next.

    All begin in the same context; unlike asyncio's, a variable that one of them sets is not set in the next.
    Raises TypeError for debug= and loop_factory=. https://docs.python.org/3/library/asyncio-runner.html#asyncio.Runner
    """

    def __init__(self, *, debug: bool | None = None, loop_factory: None = None) -> None:
        refuse("Runner", "trio shows a run's steps to a trio.abc.Instrument", debug=debug)
        refuse("Runner", "trio has no loop object", loop_factory=loop_factory)
        self._context: contextvars.Context | None = None
        self._closed = False

    def __enter__(self) -> "Runner":
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Allow no further run; there is nothing else to close."""
        self._closed = True

    def run(self, coro: Coroutine[Any, Any, T], *, context: contextvars.Context | None = None) -> T:
        """trio.run(), in a copy of the context: see run()."""
        if not isinstance(coro, Coroutine):
            raise ValueError(f"a coroutine was expected, got {coro!r}")
        self._check_open()
        if self._context is None:
            self._context = contextvars.copy_context()
        if context is None:
            context = self._context
        task = Task(coro, None, trio.CancelScope())
        start: Callable[[], T] = functools.partial(trio.run, _main, task, clock=make_clock and make_clock())
        return context.copy().run(start)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this Runner is closed")


async def _main(task: Task[T]) -> T:
    try:
        async with open_background():
            await task.work()
    except BaseExceptionGroup as others:
        if task.failure is None:
            raise
        raise BaseExceptionGroup(others.message, [task.failure, *others.exceptions]) from None
    return task.result()
