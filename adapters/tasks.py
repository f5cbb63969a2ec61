"""asyncio's Tasks and the functions that wait for them: the interpreter's own, on our loop.

What carries them is the loop's run queue, where each step of a Task is an entry (`_trio/scheduler.py`). What differs
from a trio task: a Task can be cancelled by itself, once and not by scope; it has a result; and it does not bring its
nursery down when it fails. A trio task has a Task that stands for it as soon as current_task() asks.

Functions are written anew where they have to know trio tasks, and where asyncio's would say less of what is wrong in a
trio run that has no loop.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Task
from asyncio.tasks import __all__ as __all__
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

from . import _patches
from ._asyncio import forget_last_frames
from ._asyncio import get_running_loop as _get_running_loop
from ._types import CoroutineLike, T
from .events import get_running_loop

if not TYPE_CHECKING:  # what is not written anew
    from asyncio.tasks import *  # noqa: F403

_sleep = asyncio.sleep


def current_task(loop: AbstractEventLoop | None = None) -> Task[object] | None:
    """The Task that runs now in this thread; None in a callback. In a trio task, the Task that stands for it.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.current_task
    """
    return _patches.current_task(loop or _get_running_loop() or get_running_loop())


def all_tasks(loop: AbstractEventLoop | None = None) -> set[Task[Any]]:
    """The Tasks of the loop that are not done, the one that stands for the running trio task included.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.all_tasks
    """
    if loop is None or loop is _get_running_loop():
        current_task()  # makes that Task
    return asyncio.tasks.all_tasks(get_running_loop() if loop is None else loop)


def create_task(coro: CoroutineLike[T], **kwargs: Any) -> Task[T]:
    """Run a coroutine as a Task: `name`, `context`, and from 3.14 on what the loop's task factory takes.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.create_task
    """
    loop = _get_running_loop() or get_running_loop()
    if not kwargs:
        return loop.create_task(coro)
    create: Callable[..., Task[T]] = asyncio.tasks.create_task
    task = create(coro, **kwargs)
    forget_last_frames(task)
    return task


@overload
async def sleep(delay: float) -> None: ...
@overload
async def sleep(delay: float, result: T) -> T: ...
async def sleep(delay: float, result: object = None) -> object:
    """Wait for delay seconds of the loop's clock, or for one batch if it is 0, and give the result.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.sleep
    """
    if _get_running_loop() is None:
        get_running_loop()
    return await _sleep(delay, result)
