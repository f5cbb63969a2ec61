"""asyncio's queues: the interpreter's own, on our loop. Who waits, waits for a Future.

A trio memory channel would not do as the store: subclasses override `_init`, `_get` and `_put`, and a channel hands an
item over when it is sent, where asyncio's getter takes one in its own step, when others may have been faster.
`compat.as_channels` shows a queue as a pair of channels.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.queues import __all__ as __all__
from typing import TYPE_CHECKING, Any, TypeVar

from .locks import BoundToLoop

if not TYPE_CHECKING:  # what is not written anew
    from asyncio.queues import *  # noqa: F403

T = TypeVar("T")

if sys.version_info >= (3, 13):
    from asyncio import QueueShutDown as QueueShutDown

    _Base = BoundToLoop

else:

    class QueueShutDown(Exception):
        """What asyncio has from 3.13 on. Before, a queue is shut down only by a channel of it that is closed."""

    class _Base(BoundToLoop):
        _is_shutdown = False

        def _get_loop(self) -> Any:
            if self._is_shutdown:  # who asks is about to wait
                raise QueueShutDown
            return super()._get_loop()

        def put_nowait(self, item: Any) -> None:
            if self._is_shutdown:
                raise QueueShutDown
            super().put_nowait(item)  # type: ignore[misc]

        def get_nowait(self) -> Any:
            if self._is_shutdown and self.empty():  # type: ignore[attr-defined]
                raise QueueShutDown
            return super().get_nowait()  # type: ignore[misc]

        def _shut_down(self) -> None:
            """What shutdown() is from 3.13 on."""
            self._is_shutdown = True
            for line in (self._getters, self._putters):  # type: ignore[attr-defined]
                while line:
                    self._wakeup_next(line)  # type: ignore[attr-defined]


class Queue(_Base, asyncio.Queue[T]):
    """https://docs.python.org/3/library/asyncio-queue.html#asyncio.Queue"""


class PriorityQueue(_Base, asyncio.PriorityQueue[Any]):
    """https://docs.python.org/3/library/asyncio-queue.html#asyncio.PriorityQueue"""


class LifoQueue(_Base, asyncio.LifoQueue[T]):
    """https://docs.python.org/3/library/asyncio-queue.html#asyncio.LifoQueue"""
