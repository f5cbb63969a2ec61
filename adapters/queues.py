"""asyncio's queues: the interpreter's own, on our loop. Who waits, waits for a Future.

A trio memory channel would not do as the store: subclasses override `_init`, `_get` and `_put`, and a channel hands an
item over when it is sent, where asyncio's getter takes one in its own step, when others may have been faster.
`compat.as_channels` shows a queue as a pair of channels.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.queues import __all__ as __all__
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._types import T
from .locks import BoundToLoop

if not TYPE_CHECKING:  # what is not written anew
    from asyncio.queues import *  # noqa: F403

if sys.version_info >= (3, 13):
    from asyncio import QueueShutDown as QueueShutDown

    class _Base(BoundToLoop, asyncio.Queue[T]):
        pass

else:

    class QueueShutDown(Exception):
        """What asyncio has from 3.13 on. Before, a queue is shut down only by a channel of it that is closed."""

    class _Base(BoundToLoop, asyncio.Queue[T]):
        _is_shutdown = False
        _getters: deque[asyncio.Future[None]]
        _putters: deque[asyncio.Future[None]]
        _wakeup_next: Callable[[deque[asyncio.Future[None]]], None]

        def _get_loop(self) -> asyncio.AbstractEventLoop:
            if self._is_shutdown:  # who asks is about to wait
                raise QueueShutDown
            return super()._get_loop()

        def put_nowait(self, item: T) -> None:
            if self._is_shutdown:
                raise QueueShutDown
            super().put_nowait(item)

        def get_nowait(self) -> T:
            if self._is_shutdown and self.empty():
                raise QueueShutDown
            return super().get_nowait()

        def _shut_down(self) -> None:
            """What shutdown() is from 3.13 on."""
            self._is_shutdown = True
            for waiters in (self._getters, self._putters):
                while waiters:
                    self._wakeup_next(waiters)


class Queue(_Base[T]):
    """https://docs.python.org/3/library/asyncio-queue.html#asyncio.Queue"""


class PriorityQueue(Queue[Any], asyncio.PriorityQueue[Any]):
    """https://docs.python.org/3/library/asyncio-queue.html#asyncio.PriorityQueue"""


class LifoQueue(Queue[T], asyncio.LifoQueue[T]):
    """https://docs.python.org/3/library/asyncio-queue.html#asyncio.LifoQueue"""
