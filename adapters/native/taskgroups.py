"""TaskGroup: a trio nursery.

It differs from asyncio's in what trio says of nurseries: a task that is started while the group is being cancelled
starts cancelled, where asyncio refuses it, and KeyboardInterrupt and SystemExit come in the group like any other error.
A cancellation comes out of it as one trio.Cancelled, where trio's nursery raises a group of them.
"""

import contextvars
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar, final

import trio

from .refusals import NOT_EAGER, refuse_others
from .tasks import Task, open_nursery, tasks_here

__all__ = ["TaskGroup"]

T = TypeVar("T")


@final
class TaskGroup:
    """A trio.open_nursery(): the block is left when all its tasks have ended; the first error cancels the others.

    Leaving it raises a (Base)ExceptionGroup of all errors. What cancels the block cancels its tasks; a task that is
    cancelled by itself ends quietly. https://docs.python.org/3/library/asyncio-task.html#asyncio.TaskGroup
    """

    def __init__(self) -> None:
        self._manager = open_nursery()
        self._nursery: trio.Nursery | None = None
        self._cancelled = False

    async def __aenter__(self) -> "TaskGroup":
        if self._nursery is not None:
            raise RuntimeError("a TaskGroup is entered once")
        self._tasks = tasks_here()
        self._nursery = await self._manager.__aenter__()
        if self._cancelled:
            self.cancel()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._manager.__aexit__(kind, error, traceback)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
        **others: object,
    ) -> Task[T]:
        """nursery.start_soon(), with a Task to await or cancel. The task runs in a copy of the context.

        Raises RuntimeError before the block is entered and after it is left, TypeError as create_task() does.
        """
        if others:
            refuse_others("create_task", NOT_EAGER, others)
        if self._nursery is None:
            coro.close()
            raise RuntimeError("this TaskGroup has not been entered")
        task = Task(coro, name, trio.CancelScope())
        task.start_in(self._nursery, self._tasks, context)
        return task

    def cancel(self) -> None:
        """Cancel the nursery's cancel_scope: the tasks, and the block, which is left without an error of that.

        Before the block is entered, it cancels that from its beginning. Here on each Python, asyncio's is of 3.15.
        """
        self._cancelled = True
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()
