"""asyncio.to_thread, on the loop's default executor (see `_executors`).

Like trio.to_thread.run_sync it runs the function with the caller's context variables, and trio.from_thread works in the
thread. It differs in cancellation: trio waits until the function has returned, asyncio leaves the thread at work.
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable

from ._types import P, T
from .events import get_running_loop

__all__ = ("to_thread",)


async def to_thread(func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the function in a thread and give its result.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.to_thread
    """
    call = functools.partial(contextvars.copy_context().run, func, *args, **kwargs)
    return await get_running_loop().run_in_executor(None, call)
