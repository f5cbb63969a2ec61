"""asyncio.TaskGroup, carried by a trio nursery, if there is a trio cancel scope around the group.

The group's tasks are children of that nursery, so that the scope reaches them. What differs from the nursery: a failed
task cancels the others with Task.cancel(), once; errors come out as asyncio groups them; and leaving takes a step only
if there is a task to wait for.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import Task
from math import inf
from types import TracebackType
from typing import Any

import trio

from . import _trio_internals as internals
from ._carriers import ensure_carried, is_in_scope
from .events import get_running_loop
from .exceptions import is_cancellation
from .futures import add_awaiter, discard_awaiter
from .tasks import create_task_in, current_task

__all__ = ("TaskGroup",)

# 3.13 on: the group counts its own request to cancel the parent after it has waited, not before; and so on below.
COUNTS_AT_THE_END = sys.version_info >= (3, 13)
CLOSES_REFUSED_COROUTINES = sys.version_info >= (3, 13)
SINCE_3_14 = sys.version_info >= (3, 14)
SINCE_3_15 = sys.version_info >= (3, 15)


class TaskGroup:
    """Tasks that end with the block of an `async with`.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.TaskGroup
    """

    def __init__(self) -> None:
        self._entered = self._exiting = self._aborting = False
        self._loop: Any = None
        self._parent_task: Any = None
        self._parent_cancel_requested = False
        self._tasks: set[Any] = set()
        self._errors: list[BaseException] = []
        self._base_error: BaseException | None = None
        self._all_are_done: Any = None
        self._late_cancellation: BaseException | None = None  # it came when the group was ending
        self._cancelled_before = False
        self._manager: Any = None
        self._nursery: trio.Nursery | None = None

    def __repr__(self) -> str:
        info = ["<TaskGroup"]
        if self._tasks:
            info.append(f"tasks={len(self._tasks)}")
        if self._errors:
            info.append(f"errors={len(self._errors)}")
        if self._aborting:
            info.append("cancelling")
        elif self._entered:
            info.append("entered")
        return " ".join(info) + ">"

    async def __aenter__(self) -> TaskGroup:
        if self._entered:
            raise RuntimeError(f"TaskGroup {self!r} has already been entered")
        self._loop = get_running_loop()
        self._parent_task = current_task(self._loop)
        if self._parent_task is None:
            raise RuntimeError(f"TaskGroup {self!r} cannot determine the parent task")
        if is_in_scope(self._parent_task):
            self._manager = trio.open_nursery(strict_exception_groups=True)
            self._nursery = internals.enter_nursery(self._manager)
        self._entered = True
        if self._cancelled_before:
            self.cancel()
        return self

    def create_task(self, coro: Any, **kwargs: Any) -> Any:
        """Run a coroutine as a Task of the group. Raises RuntimeError before the block and once the group is ending."""
        refusal = None
        if not self._entered:
            refusal = "has not been entered"
        elif self._exiting and not self._tasks:
            refusal = "is finished"
        elif self._aborting:
            refusal = "is shutting down"
        if refusal is not None:
            if CLOSES_REFUSED_COROUTINES:
                coro.close()
            raise RuntimeError(f"TaskGroup {self!r} {refusal}")

        if self._nursery is None:
            task = create_task_in(self._loop, coro, **kwargs)
        else:
            task = self._create_in_nursery(coro, kwargs)
        if task.done() and not SINCE_3_14:  # eagerly, in its first step
            self._one_is_done(task)
            return task
        if SINCE_3_14:
            add_awaiter(task, self._parent_task)
        self._tasks.add(task)
        task.add_done_callback(self._one_is_done)
        if SINCE_3_15 and self._aborting and not task.done():
            task.cancel()  # in its eager first step it has ended the group
        return task

    def _create_in_nursery(self, coro: Any, kwargs: Any) -> Any:
        self._loop._nursery_for = (coro, self._nursery)
        try:
            task = create_task_in(self._loop, coro, **kwargs)
            if not task.done():
                ensure_carried(task, self._loop)  # an eager one may be in its first wait
            return task
        finally:
            self._loop._nursery_for = None

    if SINCE_3_15:

        def cancel(self) -> None:
            """Cancel the tasks of the group and its block, which ends without CancelledError; before the block, then.

            Nothing if the group is ending by itself already.
            """
            if not self._entered:
                self._cancelled_before = True
            elif not self._aborting and (self._tasks or not self._exiting):
                self._abort()
                self._interrupt_block()

    def _abort(self, cause: BaseException | None = None) -> None:
        self._aborting = True
        if isinstance(cause, trio.Cancelled) and trio.current_effective_deadline() == -inf:
            return  # the scope reaches the tasks by itself, and heeds the shields in them
        for task in self._tasks:
            if not task.done():
                task.cancel()

    def _one_is_done(self, task: Task[Any]) -> None:
        self._tasks.discard(task)
        if SINCE_3_14:
            discard_awaiter(task, self._parent_task)
        if self._all_are_done is not None and not self._tasks and not self._all_are_done.done():
            self._all_are_done.set_result(True)
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._errors.append(error)
        if isinstance(error, SystemExit | KeyboardInterrupt) and self._base_error is None:
            self._base_error = error
        if self._parent_task.done():
            self._loop.call_exception_handler(
                {
                    "message": f"Task {task!r} has errored out but its parent task {self._parent_task} "
                    "is already completed",
                    "exception": error,
                    "task": task,
                }
            )
        elif not self._aborting and not self._parent_cancel_requested:
            # Interrupts the block; __aexit__ takes the request back, so that what comes after the group goes on.
            self._abort()
            self._interrupt_block()

    def _interrupt_block(self) -> None:
        if not self._parent_cancel_requested:
            self._parent_cancel_requested = True
            self._parent_task.cancel()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool:
        try:
            return await self._aexit(exc)
        finally:
            # An exception that is raised from here holds this frame: it shall hold nothing that leads back to it.
            self._parent_task = self._base_error = exc = self._late_cancellation = None

    async def _aexit(self, exc: BaseException | None) -> bool:
        """End the group; True if what ended the block is to go no further."""
        self._exiting = True
        if isinstance(exc, SystemExit | KeyboardInterrupt) and self._base_error is None:
            self._base_error = exc
        cancellation = exc if is_cancellation(exc) else None
        if not COUNTS_AT_THE_END:
            cancellation = self._take_back_own_request(cancellation)
        if exc is not None and not self._aborting:
            self._abort(exc)
        cancellation = await self._wait_for_tasks(cancellation)
        if self._manager is not None and not internals.leave_idle_nursery(self._manager):
            await internals.leave_nursery(self._manager)

        try:
            return self._raise_what_is_left(exc, cancellation)
        finally:
            exc = cancellation = None

    def _raise_what_is_left(self, exc: BaseException | None, cancellation: BaseException | None) -> bool:
        if self._base_error is not None:
            try:
                raise self._base_error
            finally:
                exc = cancellation = None
        if COUNTS_AT_THE_END:
            cancellation = self._take_back_own_request(cancellation)
        if cancellation is not None and not self._errors:
            if cancellation is exc:
                return False  # it goes on by itself
            raise cancellation
        if exc is not None and not is_cancellation(exc):
            self._errors.append(exc)
        if not self._errors:
            return SINCE_3_15  # then it was cancel() that ended the block
        if COUNTS_AT_THE_END and self._parent_task.cancelling():
            # A request from outside stands beside the errors: deliver it again, and keep the count.
            self._parent_task.uncancel()
            self._parent_task.cancel()
        errors, self._errors = self._errors, []
        if SINCE_3_15 and len(errors) == 1 and errors[0] is exc and isinstance(exc, GeneratorExit):
            return False  # an async generator is being closed
        try:
            raise BaseExceptionGroup("unhandled errors in a TaskGroup", errors) from None
        finally:
            del errors, exc

    def _take_back_own_request(self, cancellation: BaseException | None) -> BaseException | None:
        """What is left to raise of a cancellation, without the one by which this group interrupted its block."""
        if self._parent_cancel_requested and self._parent_task.uncancel() == 0:
            if not isinstance(cancellation, trio.Cancelled):
                return None
        elif SINCE_3_15 and cancellation is None and self._parent_cancel_requested:
            return self._late_cancellation
        return cancellation

    async def _wait_for_tasks(self, cancellation: BaseException | None) -> BaseException | None:
        """Wait until all tasks are done, however often the wait is cancelled; the cancellation to raise then."""
        while self._tasks:
            self._all_are_done = self._loop.create_future()
            try:
                if isinstance(cancellation, trio.Cancelled):
                    # The scope that is cancelled would interrupt every wait at once.
                    with trio.CancelScope(shield=True):
                        await self._all_are_done
                else:
                    await self._all_are_done
            except asyncio.CancelledError as error:
                if not self._aborting:
                    cancellation = error
                    self._abort(error)
                elif isinstance(error, trio.Cancelled):
                    cancellation = error
                self._late_cancellation = error
            self._all_are_done = None
        return cancellation
