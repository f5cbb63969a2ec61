"""asyncio.Future: the interpreter's own, in C.

What carries it is not seen here: the loop's queue, where a Future that is done puts the step of the Task that waits for
it (`events.py`), and for a trio task that waits, its carrier (`_carriers.py`). So a trio task of any kind may await a
Future, where asyncio's may be awaited by asyncio's Tasks only.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
from asyncio import Future, isfuture
from typing import Any, TypeVar

__all__ = ("Future", "isfuture", "wrap_future")

T = TypeVar("T")
std: Any = asyncio


# 3.14 on: who awaits a future, for asyncio.capture_call_graph(). None stands for nobody.
KEEPS_AWAITERS = sys.version_info >= (3, 14)


def add_awaiter(future: Any, task: Any) -> None:
    """Note that the Task waits for the future."""
    if task is not None:
        std.future_add_to_awaited_by(future, task)


def discard_awaiter(future: Any, task: Any) -> None:
    """Note that it waits no more."""
    if task is not None:
        std.future_discard_from_awaited_by(future, task)


def wrap_future(future: concurrent.futures.Future[T] | asyncio.Future[T], *, loop: Any = None) -> asyncio.Future[T]:
    """Wrap a concurrent.futures.Future in an asyncio Future of the loop; an asyncio Future is returned as it is."""
    if isfuture(future):
        return future
    from .events import get_event_loop

    return asyncio.wrap_future(future, loop=get_event_loop() if loop is None else loop)
