"""asyncio.run and asyncio.Runner, carried by a trio run that pauses; and a loop inside a trio run that exists.

trio.run() ends with its main function. A Runner keeps its loop's tasks between two calls of run(), stopped; and it ends
them the asyncio way, cancelled and waited for, whatever they do with their cancellation.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from asyncio import AbstractEventLoop, Task
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any

import trio
from trio.lowlevel import currently_ki_protected

from ._asyncio import get_running_loop as _get_running_loop
from ._trio import runs
from ._trio.names import protected
from ._types import T
from .events import BaseLoop, HostedLoop, Loop, forget_dead_loop, is_thread_taken, new_event_loop, set_event_loop
from .tasks import sleep

__all__ = ("Runner", "run")


class Runner(asyncio.Runner):  # type: ignore[misc]  # to a type checker it is final
    """Several calls of run() on one loop. https://docs.python.org/3/library/asyncio-runner.html#asyncio.Runner"""

    _loop: AbstractEventLoop | None
    _interrupt_count: int
    _interrupt_was_late = False  # the main task had ended when Ctrl-C was to cancel it

    def __init__(
        self, *, debug: bool | None = None, loop_factory: Callable[[], AbstractEventLoop] | None = None
    ) -> None:
        super().__init__(debug=debug, loop_factory=_new_current_loop if loop_factory is None else loop_factory)
        self._sets_event_loop = loop_factory is None

    def close(self) -> None:
        """Cancel what is left and wait for it, shut down async generators and the default executor, close the loop."""
        unsets = self._sets_event_loop and self._loop is not None
        if isinstance(self._loop, Loop) and not self._loop._run.ended:
            # asyncio cancels them with the Tasks. The loop waits for its threads, and one may wait for such a task in
            # trio.from_thread.run().
            self._loop._scheduler.aio_tasks_in(self._loop._nursery)
        try:
            super().close()
        finally:
            if unsets:
                set_event_loop(None)

    def run(self, coro: Awaitable[T], *, context: contextvars.Context | None = None) -> T:
        """Run a coroutine as a Task, in the Runner's context or the one given, and return its result."""
        if is_thread_taken() and _get_running_loop() is None:  # asyncio knows of loops
            raise RuntimeError("Runner.run() cannot be called from a running event loop")
        self._interrupt_was_late = False
        try:
            return super().run(coro, context=context)  # type: ignore[arg-type,unused-ignore]  # of 3.13: a coroutine
        finally:
            if self._interrupt_was_late:
                raise KeyboardInterrupt

    def _on_sigint(self, signum: int, frame: object, main_task: Task[T]) -> None:
        """The first Ctrl-C cancels the main task; the next one breaks in where it can."""
        loop = main_task.get_loop()
        self._interrupt_count += 1
        if self._interrupt_count == 1 and not main_task.done():
            if currently_ki_protected():  # trio's state may be half changed
                loop.call_soon_threadsafe(self._interrupt, main_task)
            else:
                main_task.cancel()
        elif isinstance(loop, Loop) and currently_ki_protected():
            loop._scheduler.stop_with(KeyboardInterrupt())
        else:
            raise KeyboardInterrupt

    def _interrupt(self, main_task: Task[T]) -> None:
        self._interrupt_was_late = not main_task.cancel()


def _new_current_loop() -> AbstractEventLoop:
    loop = new_event_loop()
    set_event_loop(loop)
    return loop


def run(
    main: Coroutine[Any, Any, T],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], AbstractEventLoop] | None = None,
) -> T:
    """Run a coroutine on a loop of its own, and close that. https://docs.python.org/3/library/asyncio-runner.html

    Raises RuntimeError inside a running loop or a running trio.
    """
    if is_thread_taken():
        raise RuntimeError("asyncio.run() cannot be called from a running event loop")
    with Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)


# 3.12 on: how long, in seconds, shutdown_default_executor() waits for threads.
EXECUTOR_PATIENCE = (300,) if sys.version_info >= (3, 12) else ()


# How many iterations the loop goes on for at its end. asyncio.run() makes about as many, and connections that are about
# to close need them.
ITERATIONS_TO_END = 6


def _report_errors(tasks: set[Task[T]], loop: AbstractEventLoop) -> None:
    for task in tasks:
        if not task.cancelled() and task.exception() is not None:
            loop.call_exception_handler(
                {
                    "message": "unhandled exception during asyncio.run() shutdown",
                    "exception": task.exception(),
                    "task": task,
                }
            )


@protected
class _LoopBlock(AbstractAsyncContextManager[BaseLoop]):
    """Ctrl-C does not come between the block and what ends the loop."""

    def __init__(self) -> None:
        self._block = _open_loop()

    async def __aenter__(self) -> BaseLoop:
        return await self._block.__aenter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        return await self._block.__aexit__(exc_type, exc, tb)


def open_loop() -> AbstractAsyncContextManager[BaseLoop]:
    """Open an asyncio loop in the running trio run: inside the block, and in every trio task meanwhile, asyncio works.

    At the end, also when it is cancelled, the loop's tasks are cancelled as asyncio.run() cancels them, and waited for;
    then async generators and the threads of run_in_executor() are shut down. Raises RuntimeError outside of trio, and
    where a loop is open already: there is one for each run. SystemExit and KeyboardInterrupt of a Task end the block.
    """
    return _LoopBlock()


@asynccontextmanager
async def _open_loop() -> AsyncIterator[BaseLoop]:
    if runs.current_runner() is None:
        raise RuntimeError(
            "compat.open_loop() needs a running trio: use it inside trio.run(), or start with compat.run()"
        )
    forget_dead_loop()
    breaks: list[BaseException] = []

    def stop_with(error: BaseException) -> None:
        breaks.append(error)
        outer.cancel_scope.cancel()

    loop = HostedLoop(stop_with)  # before the run is claimed, as it may refuse
    if _get_running_loop() is not None or not runs.claim():
        raise RuntimeError(
            "an event loop is open in this thread already, and a trio run has one at a time: "
            "use that one, asyncio.get_running_loop()"
        )

    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as outer:
            outer.start_soon(loop._hold_nursery)
            interrupt = None
            with trio.CancelScope(shield=True):
                while not loop._has_nursery.is_set():
                    try:
                        await loop._has_nursery.wait()
                    except KeyboardInterrupt as error:  # trio's main task gets it; the loop must be there to be ended
                        interrupt = error
                        await trio.lowlevel.cancel_shielded_checkpoint()  # the next step is one of the loop's
            with loop._as_running_loop():
                try:
                    try:
                        if interrupt is not None:
                            raise interrupt
                        yield loop
                    finally:
                        try:
                            with trio.CancelScope(shield=True):
                                await _end_tasks(loop)
                        finally:
                            loop._end()
                except BaseException as error:
                    failure = error  # not to be wrapped into an exception group by the nursery
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is None:
            raise
        breaks.append(KeyboardInterrupt())  # it came in the nursery's last wait
    if breaks:
        raise breaks[0] from failure
    if failure is not None:
        raise failure


async def _end_tasks(loop: HostedLoop) -> None:
    left, of_trio = loop._scheduler.all_tasks(), loop._scheduler.other_trio_tasks()
    for task in (*left, *of_trio):
        task.cancel()
    if left or of_trio:
        await asyncio.gather(*left, *of_trio, return_exceptions=True)
        _report_errors(left, loop)
    # trio's own tasks go on, but not in a wait that this loop would have to end.
    while loop._scheduler.cancel_waits_for_futures():
        await sleep(0)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor(*EXECUTOR_PATIENCE)
    for _ in range(ITERATIONS_TO_END):
        await sleep(0)
