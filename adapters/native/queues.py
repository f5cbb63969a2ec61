"""Queues: a trio memory channel, whose order and hand-over they have.

What differs from asyncio: put() and get() are checkpoints also where they need not wait, an item goes straight to the
getter that has waited longest (so that nobody can take it in between, and qsize() does not count it), and shutting down
is what closing the sending end of a channel is.
"""

import heapq
import math
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

import trio

from .exceptions import QueueEmpty, QueueFull, QueueShutDown

__all__ = ["LifoQueue", "PriorityQueue", "Queue", "QueueEmpty", "QueueFull", "QueueShutDown"]

T = TypeVar("T")


class Queue(Generic[T]):
    """A trio.open_memory_channel(maxsize), both ends in one; without a maxsize it takes any number of items.

    https://docs.python.org/3/library/asyncio-queue.html#asyncio.Queue
    """

    def __init__(self, maxsize: int = 0) -> None:
        self._maxsize = maxsize
        self._send, self._receive = self._open(maxsize if maxsize > 0 else math.inf)
        self._unfinished = 0
        self._finished = trio.lowlevel.ParkingLot()

    def _open(self, size: float) -> "tuple[_Sender[T], _Receiver[T]]":
        return trio.open_memory_channel[T](size)

    @property
    def maxsize(self) -> int:
        """How many items may wait; any number if it is not above 0."""
        return self._maxsize

    def qsize(self) -> int:
        """How many items are in the channel's buffer."""
        return self._send.statistics().current_buffer_used

    def empty(self) -> bool:
        """Whether there is none."""
        return not self.qsize()

    def full(self) -> bool:
        """Whether there are maxsize."""
        return 0 < self._maxsize <= self.qsize()

    async def put(self, item: T) -> None:
        """MemorySendChannel.send(). Cancelled, it has put nothing. Raises QueueShutDown."""
        self._unfinished += 1  # whoever gets the item may be done with it before this goes on
        try:
            await self._send.send(item)
        except BaseException as error:
            self._done_with(1)
            if isinstance(error, trio.ClosedResourceError):
                raise QueueShutDown from None
            raise

    def put_nowait(self, item: T) -> None:
        """MemorySendChannel.send_nowait(). Raises QueueFull or QueueShutDown."""
        try:
            self._send.send_nowait(item)
        except trio.WouldBlock:
            raise QueueFull from None
        except trio.ClosedResourceError:
            raise QueueShutDown from None
        self._unfinished += 1

    async def get(self) -> T:
        """MemoryReceiveChannel.receive(). Cancelled, it has taken nothing. Raises QueueShutDown."""
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            raise QueueShutDown from None

    def get_nowait(self) -> T:
        """MemoryReceiveChannel.receive_nowait(). Raises QueueEmpty or QueueShutDown."""
        try:
            return self._receive.receive_nowait()
        except trio.WouldBlock:
            raise QueueEmpty from None
        except trio.EndOfChannel:
            raise QueueShutDown from None

    def task_done(self) -> None:
        """Count an item as dealt with. Raises ValueError when there are none left to count."""
        if not self._unfinished:
            raise ValueError("task_done() was called more often than items were put in")
        self._done_with(1)

    async def join(self) -> None:
        """Wait, in a trio.lowlevel.ParkingLot, until each item that was put in, or waits for that, is dealt with."""
        if self._unfinished:
            await self._finished.park()
        else:
            await trio.lowlevel.checkpoint()

    def shutdown(self, immediate: bool = False) -> None:
        """MemorySendChannel.close(): put() raises QueueShutDown, also one that waits, and get() once nothing is left.

        With immediate=True what is left is dropped, and join() waits for none of it. Here on each Python.
        """
        self._send.close()
        if immediate:
            dropped = self.qsize()
            for _ in range(dropped):
                self._receive.receive_nowait()
            self._done_with(min(dropped, self._unfinished))

    def _done_with(self, items: int) -> None:
        self._unfinished -= items
        if not self._unfinished:
            self._finished.unpark_all()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.qsize()} at {id(self):#x}, maxsize={self._maxsize}>"


class PriorityQueue(Queue[T]):
    """A queue that gives the smallest item first: a channel of the same behaviour whose buffer is a heap.

    https://docs.python.org/3/library/asyncio-queue.html#asyncio.PriorityQueue
    """

    def _open(self, size: float) -> "tuple[_Sender[T], _Receiver[T]]":
        channel = _Channel[T](size, heapq.heappush, heapq.heappop)
        return channel, channel


class LifoQueue(Queue[T]):
    """A queue that gives the newest item first: a channel of the same behaviour whose buffer is a stack.

    https://docs.python.org/3/library/asyncio-queue.html#asyncio.LifoQueue
    """

    def _open(self, size: float) -> "tuple[_Sender[T], _Receiver[T]]":
        channel = _Channel[T](size, list.append, list.pop)
        return channel, channel


class _Channel(Generic[T]):
    """Both ends of a memory channel whose buffer is any list, with a way to put an item in and one to take it out."""

    def __init__(self, size: float, push: Callable[[list[Any], Any], object], pop: Callable[[list[Any]], Any]) -> None:
        self._size, self._push, self._pop = size, push, pop
        self._buffer: list[Any] = []
        self._senders, self._receivers = trio.lowlevel.ParkingLot(), trio.lowlevel.ParkingLot()
        self._offered: dict[trio.lowlevel.Task, T] = {}  # by senders that wait
        self._given: dict[trio.lowlevel.Task, T] = {}  # to receivers that have waited
        self._errors: dict[trio.lowlevel.Task, Exception] = {}  # for senders that have waited
        self._closed = False

    @property
    def current_buffer_used(self) -> int:
        return len(self._buffer)

    def statistics(self) -> "_Channel[T]":
        return self

    def _keep(self, value: T) -> None:
        try:
            self._push(self._buffer, value)
        except BaseException:  # a heap keeps what it cannot compare
            del self._buffer[next(place for place, each in enumerate(self._buffer) if each is value)]
            heapq.heapify(self._buffer)
            raise

    @trio.lowlevel.enable_ki_protection
    def send_nowait(self, value: T) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        if self._receivers:
            [task] = self._receivers.unpark()
            self._given[task] = value
        elif len(self._buffer) < self._size:
            self._keep(value)
        else:
            raise trio.WouldBlock

    @trio.lowlevel.enable_ki_protection
    async def send(self, value: T) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self.send_nowait(value)
        except trio.WouldBlock:
            pass
        else:
            return await trio.lowlevel.cancel_shielded_checkpoint()
        task = trio.lowlevel.current_task()
        self._offered[task] = value
        try:
            await self._senders.park()
            if task in self._offered:
                raise trio.ClosedResourceError
            if task in self._errors:
                raise self._errors.pop(task)
        finally:
            self._offered.pop(task, None)

    @trio.lowlevel.enable_ki_protection
    def receive_nowait(self) -> T:
        if not self._buffer:
            raise trio.EndOfChannel if self._closed else trio.WouldBlock
        value: T = self._pop(self._buffer)
        if self._senders:
            [task] = self._senders.unpark()
            try:
                self._keep(self._offered.pop(task))
            except Exception as error:  # items that cannot be compared
                self._errors[task] = error
        return value

    @trio.lowlevel.enable_ki_protection
    async def receive(self) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            value = self.receive_nowait()
        except trio.WouldBlock:
            pass
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return value
        await self._receivers.park()
        task = trio.lowlevel.current_task()
        if task not in self._given:
            raise trio.EndOfChannel
        return self._given.pop(task)

    @trio.lowlevel.enable_ki_protection
    def close(self) -> None:
        self._closed = True
        self._senders.unpark_all()
        self._receivers.unpark_all()


_Sender: TypeAlias = trio.MemorySendChannel[T] | _Channel[T]
_Receiver: TypeAlias = trio.MemoryReceiveChannel[T] | _Channel[T]
