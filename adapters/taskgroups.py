"""asyncio.TaskGroup: the interpreter's own, with a trio nursery around it if it is inside a trio cancel scope.

The group's Tasks are in that nursery, so a cancelled scope reaches them, and leaves out those in a shield. What differs
from a bare nursery: a Task that fails cancels the others by Task.cancel(), once, and errors are grouped as asyncio does
it. Inside a scope that is cancelled already there is no nursery: the group may be part of a clean-up.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from ._asyncio import TaskGroupBase
from ._trio import nurseries, runs
from ._trio.cancellation import Cancelled
from ._trio.names import Task as TrioTask
from ._trio.names import protected
from ._trio.nurseries import LoopNursery
from ._trio.scheduler import Scheduler
from ._types import CoroutineLike, T

__all__ = ("TaskGroup",)


@protected
class TaskGroup(TaskGroupBase):
    """Tasks that end with the block of an `async with`.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.TaskGroup
    """

    _entered_in: tuple[Scheduler, TrioTask] | None = None  # the trio task and its scheduler, if a scope is around
    _manager: Any = None  # of the nursery, if there is one: what trio.open_nursery() returns
    _loop: Any  # the loop; while there is a nursery, a _LoopOfNursery

    async def __aenter__(self) -> TaskGroup:
        await super().__aenter__()
        scheduler = runs.current_scheduler()
        task = None if scheduler is None else scheduler.current_task_in_scope()
        if scheduler is not None and task is not None:
            self._entered_in = scheduler, task
            manager = nurseries.enter_nursery(scheduler, task)
            if manager is not None:
                nursery = nurseries.nursery_of(manager)
                self._manager, self._tasks = manager, nursery.aio_tasks
                self._loop = _LoopOfNursery(self._loop, scheduler, nursery)
        return self

    async def __aexit__(  # type: ignore[override]
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        if isinstance(exc, asyncio.CancelledError):
            exc_type = asyncio.CancelledError  # up to 3.12 asyncio looks for this very class
        place, self._entered_in = self._entered_in, None
        was_told = place is None or (nurseries.is_told(*place) and not isinstance(exc, Cancelled))
        try:
            while True:
                try:
                    return await super().__aexit__(exc_type, exc, tb)
                except KeyboardInterrupt as error:
                    # trio has brought Ctrl-C into the wait of its main task. asyncio has it come as a cancellation,
                    # and waits for the Tasks.
                    if not self._tasks:
                        raise
                    exc_type, exc, tb = type(error), error, error.__traceback__
        except BaseException as error:
            _clear_asyncios_frames(error.__traceback__)
            # asyncio raises the Tasks' errors alone, and of cancellations the first
            if place is not None and not (was_told or isinstance(error, Cancelled)) and nurseries.is_told(*place):
                nurseries.tell_again(*place)
            raise
        finally:
            del exc, tb, place
            if self._manager is not None:
                manager, self._manager = self._manager, None
                self._loop = self._loop.loop
                await nurseries.leave_nursery(manager)

    def _abort(self) -> None:
        if self._manager is not None and nurseries.is_cancelled(self._manager):
            self._aborting = True  # the scope reaches the Tasks by itself, and heeds the shields in them
        else:
            super()._abort()


def _clear_asyncios_frames(traceback: TracebackType | None) -> None:
    """Free the locals of asyncio's TaskGroup: the error that it raises is one of them, and leads back to the frame."""
    while traceback is not None:
        if traceback.tb_frame.f_globals.get("__name__") == asyncio.TaskGroup.__module__:
            traceback.tb_frame.clear()
        traceback = traceback.tb_next


@protected
class _LoopOfNursery:
    """The loop, to a TaskGroup that has a nursery: an eager Task asks for its trio task before the group knows it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, scheduler: Scheduler, nursery: LoopNursery) -> None:
        self.loop = loop
        self._scheduler = scheduler
        self._nursery = nursery

    def create_task(self, coro: CoroutineLike[T], **kwargs: Any) -> asyncio.Task[T]:
        scheduler = self._scheduler
        outer, scheduler.nursery_for = scheduler.nursery_for, (coro, self._nursery)
        try:
            return self.loop.create_task(coro, **kwargs)
        finally:
            scheduler.nursery_for = outer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loop, name)
