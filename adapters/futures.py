"""asyncio.Future: the interpreter's own, in C, and what wraps one.

Nothing of trio's is in it: a Future that is done puts the step of the Task that waits for it into the loop's run queue.
A trio task may await one too, by a `FutureWait` (`_trio/stand_ins.py`).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from asyncio import AbstractEventLoop, Future, isfuture

from ._types import T
from .events import get_event_loop

__all__ = ("Future", "isfuture", "wrap_future")


def wrap_future(
    future: concurrent.futures.Future[T] | asyncio.Future[T], *, loop: AbstractEventLoop | None = None
) -> asyncio.Future[T]:
    """Wrap a concurrent.futures.Future in an asyncio Future of the loop; an asyncio Future is returned as it is."""
    if isfuture(future):
        return future
    return asyncio.wrap_future(future, loop=get_event_loop() if loop is None else loop)
