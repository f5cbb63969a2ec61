"""asyncio's locks: the interpreter's own, on our loop. Who waits, waits for a Future.

trio's Lock, Semaphore and Event would not do. trio.Lock knows its owner and hands itself over to the next waiter;
asyncio's is open between release() and the step of the waiter that was woken. trio.Event wakes in no order and cannot
be cleared. And all of trio's yield to the scheduler when nobody is in the way, where asyncio's return at once.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from asyncio.locks import __all__ as __all__
from typing import TYPE_CHECKING

from ._asyncio import get_running_loop as running_loop
from .events import get_running_loop

if not TYPE_CHECKING:  # what is not written anew
    from asyncio.locks import *  # noqa: F403


class BoundToLoop:
    """What belongs to the loop in which somebody first had to wait for it; it can be made anywhere."""

    _loop: AbstractEventLoop | None = None

    def _get_loop(self) -> AbstractEventLoop:
        loop = running_loop()
        if loop is None:
            get_running_loop()  # says what to do in a trio run that has none
        elif loop is self._loop:
            return loop
        return super()._get_loop()  # type: ignore[misc,no-any-return]


class Lock(BoundToLoop, asyncio.Lock):
    """https://docs.python.org/3/library/asyncio-sync.html#asyncio.Lock"""


class Event(BoundToLoop, asyncio.Event):
    """https://docs.python.org/3/library/asyncio-sync.html#asyncio.Event"""


class Condition(BoundToLoop, asyncio.Condition):
    """https://docs.python.org/3/library/asyncio-sync.html#asyncio.Condition"""


class Semaphore(BoundToLoop, asyncio.Semaphore):
    """https://docs.python.org/3/library/asyncio-sync.html#asyncio.Semaphore"""


class BoundedSemaphore(BoundToLoop, asyncio.BoundedSemaphore):
    """https://docs.python.org/3/library/asyncio-sync.html#asyncio.BoundedSemaphore"""


class Barrier(BoundToLoop, asyncio.Barrier):
    """https://docs.python.org/3/library/asyncio-sync.html#asyncio.Barrier"""
