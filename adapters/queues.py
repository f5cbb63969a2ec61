"""asyncio's queues. Who waits, waits for a Future, that is in trio's wait_task_rescheduled.

A trio memory channel would not do as the store: subclasses override `_init`, `_get` and `_put`, and a channel hands an
item over when it is sent, where asyncio's getter takes one in its own step, when others may have been faster. As mere
waiting line it takes 1.6 times as long: see README.md. `compat.as_channels` shows a queue as a pair of channels.
"""

from __future__ import annotations

import heapq
import sys
from asyncio import QueueEmpty, QueueFull
from asyncio.queues import __all__ as __all__
from collections import deque
from collections.abc import Callable
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .locks import Event, LoopBound

T = TypeVar("T")

if TYPE_CHECKING:

    class _Base(LoopBound, Generic[T]): ...

else:

    class _Base(LoopBound):
        __class_getitem__ = classmethod(GenericAlias)


if sys.version_info >= (3, 13):
    from asyncio import QueueShutDown as _QueueShutDown
else:

    class _QueueShutDown(Exception):
        """What asyncio has from 3.13 on. Before, a queue is shut down by a channel of it that is closed only."""


class Queue(_Base[T]):
    """Items on their way from task to task. https://docs.python.org/3/library/asyncio-queue.html#asyncio.Queue

    maxsize is how many may wait in it; 0 for any number. It can be made outside of a running loop, and belongs to the
    first one in which somebody has to wait for it.
    """

    _queue: Any

    def __init__(self, maxsize: int = 0) -> None:
        self._maxsize = maxsize
        self._getters = deque[Any]()
        self._putters = deque[Any]()
        self._unfinished_tasks = 0
        self._finished = Event()
        self._finished.set()
        self._is_shutdown = False
        self._init(maxsize)

    # What subclasses override: how the items are stored.

    def _init(self, maxsize: int) -> None:
        self._queue = deque()

    def _get(self) -> T:
        return self._queue.popleft()  # type: ignore[no-any-return]

    def _put(self, item: T) -> None:
        self._queue.append(item)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} {self._format()}>"

    def __str__(self) -> str:
        return f"<{type(self).__name__} {self._format()}>"

    def _format(self) -> str:
        parts = [f"maxsize={self._maxsize!r}"]
        if getattr(self, "_queue", None):
            parts.append(f"_queue={list(self._queue)!r}")
        if self._getters:
            parts.append(f"_getters[{len(self._getters)}]")
        if self._putters:
            parts.append(f"_putters[{len(self._putters)}]")
        if self._unfinished_tasks:
            parts.append(f"tasks={self._unfinished_tasks}")
        if self._is_shutdown:
            parts.append("shutdown")
        return " ".join(parts)

    def qsize(self) -> int:
        """How many items are in the queue."""
        return len(self._queue)

    @property
    def maxsize(self) -> int:
        """How many items may be in the queue; 0 or less for any number."""
        return self._maxsize

    def empty(self) -> bool:
        """Tell whether there is no item."""
        return not self._queue

    def full(self) -> bool:
        """Tell whether there are as many items as there may be."""
        return 0 < self._maxsize <= self.qsize()

    async def put(self, item: T) -> None:
        """Put an item into the queue: at once if there is room, else when there is.

        Raises QueueShutDown (3.13) if the queue is shut down, and asyncio.CancelledError on Task.cancel(), which is a
        trio.Cancelled too when a trio scope is the cause; the item is not in the queue then.
        """
        while self.full():
            if self._is_shutdown:
                raise _QueueShutDown
            putter = self._join(self._putters)
            try:
                await putter
            except BaseException:
                self._leave(self._putters, putter, self.full)
                raise
        return self.put_nowait(item)

    def put_nowait(self, item: T) -> None:
        """Put an item into the queue. Raises QueueFull if there is no room, QueueShutDown (3.13) if it is shut down."""
        if self._is_shutdown:
            raise _QueueShutDown
        if self.full():
            raise QueueFull
        self._put(item)
        self._unfinished_tasks += 1
        self._finished.clear()
        _wake_next(self._getters)

    async def get(self) -> T:
        """Take an item out of the queue: at once if there is one, else when there is.

        Raises QueueShutDown (3.13) if the queue is shut down and empty, and asyncio.CancelledError on Task.cancel(),
        which is a trio.Cancelled too when a trio scope is the cause; no item is taken then.
        """
        while self.empty():
            if self._is_shutdown:
                raise _QueueShutDown
            getter = self._join(self._getters)
            try:
                await getter
            except BaseException:
                self._leave(self._getters, getter, self.empty)
                raise
        return self.get_nowait()

    def get_nowait(self) -> T:
        """Take an item out. Raises QueueEmpty if there is none, or QueueShutDown (3.13) if there will be none."""
        if self.empty():
            if self._is_shutdown:
                raise _QueueShutDown
            raise QueueEmpty
        item = self._get()
        _wake_next(self._putters)
        return item

    def _join(self, line: deque[Any]) -> Any:
        waiter = self._get_loop().create_future()
        line.append(waiter)
        return waiter

    def _leave(self, line: deque[Any], waiter: Any, in_vain: Callable[[], bool]) -> None:
        """A waiter is cancelled. If it was woken before, the next one is, unless that would be in vain."""
        if waiter.cancel() or waiter.cancelled():
            if waiter in line:
                line.remove(waiter)
        elif not in_vain():
            _wake_next(line)

    def task_done(self) -> None:
        """Tell that an item that was taken out has been dealt with. Raises ValueError if there was none."""
        if self._unfinished_tasks <= 0:
            raise ValueError("task_done() called too many times")
        self._unfinished_tasks -= 1
        if self._unfinished_tasks == 0:
            self._finished.set()

    async def join(self) -> None:
        """Wait until every item that was put in has been taken out and dealt with; at once if that is so.

        Raises asyncio.CancelledError on Task.cancel(), which is a trio.Cancelled too when a trio scope is the cause.
        """
        if self._unfinished_tasks > 0:
            await self._finished.wait()

    def _shut_down(self, immediate: bool = False) -> None:
        self._is_shutdown = True
        if immediate:
            while not self.empty():
                self._get()
                if self._unfinished_tasks > 0:
                    self._unfinished_tasks -= 1
            if self._unfinished_tasks == 0:
                self._finished.set()
        for line in (self._getters, self._putters):
            while line:
                _wake_next(line)

    if sys.version_info >= (3, 13):

        def shutdown(self, immediate: bool = False) -> None:
            """Refuse further items, and fail with QueueShutDown whoever waits, or asks for an item when none is left.

            `immediate` drops the items that are left; to join() they count as dealt with.
            """
            self._shut_down(immediate)


def _wake_next(line: deque[Any]) -> None:
    """Wake the first waiter that has not been cancelled."""
    while line:
        waiter = line.popleft()
        if not waiter.done():
            waiter.set_result(None)
            break


class PriorityQueue(Queue[T]):
    """A Queue that gives the least item first.

    https://docs.python.org/3/library/asyncio-queue.html#asyncio.PriorityQueue
    """

    def _init(self, maxsize: int) -> None:
        self._queue = []

    def _put(self, item: T) -> None:
        heapq.heappush(self._queue, item)

    def _get(self) -> T:
        return heapq.heappop(self._queue)  # type: ignore[no-any-return]


class LifoQueue(Queue[T]):
    """A Queue that gives the newest item first. https://docs.python.org/3/library/asyncio-queue.html#asyncio.LifoQueue"""

    def _init(self, maxsize: int) -> None:
        self._queue = []

    def _put(self, item: T) -> None:
        self._queue.append(item)

    def _get(self) -> T:
        return self._queue.pop()  # type: ignore[no-any-return]
