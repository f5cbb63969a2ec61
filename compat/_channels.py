"""Bridges for porting: an asyncio Queue seen as a pair of trio channels, and a pair of trio channels seen as a Queue.

So one end of a pipeline is ported at a time. Both are views: no task and no second store is behind them, the bound on
how many items may wait stays what it was, and no item is lost or comes twice when a wait is cancelled.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Never, TypeVar

import trio
from trio.abc import ReceiveChannel, SendChannel

from compat.adapters import queues

__all__ = ["QueueShutDown", "as_channels", "as_queue"]

T = TypeVar("T")

QueueShutDown = queues.QueueShutDown

_SHUTDOWN = "shutdown" if sys.version_info >= (3, 13) else "_shut_down"


def as_channels(queue: asyncio.Queue[T]) -> tuple[SendChannel[T], ReceiveChannel[T]]:
    """An asyncio Queue seen as a trio send channel and a trio receive channel.

    - `send()` is `put()`, `receive()` is `get()`, and each is a checkpoint; who waits, waits in one line with asyncio's
      getters and putters. A wait that is cancelled, by scope or by Task.cancel(), has moved no item.
    - To close either channel is to shut the queue down for all who use it. What is in it can still be taken out; then
      the receive channel is at its end (trio.EndOfChannel), and asyncio's `get()` raises QueueShutDown. Who waits to
      put an item in keeps it: `send()` raises trio.BrokenResourceError, and `put()` QueueShutDown. Before Python 3.13,
      where asyncio has no such thing, that is `compat.QueueShutDown`.
    - `Queue.shutdown()` does the same from asyncio's side.
    - For `join()`, who takes an item out through the channel calls `queue.task_done()`, as who takes it by `get()`.

    Raises TypeError for what is no Queue, and before Python 3.13 for one of the real asyncio.
    """
    if not hasattr(queue, _SHUTDOWN):
        if any(kind.__module__ == "asyncio.queues" for kind in type(queue).__mro__):
            raise TypeError(
                f"as_channels() cannot shut down {queue!r}, which is the real asyncio's: before Python 3.13 make it "
                "with `from compat import asyncio`, or call compat.install() before asyncio is imported"
            )
        raise TypeError(f"as_channels() takes an asyncio Queue, not {queue!r}")
    return _QueueSendChannel(queue), _QueueReceiveChannel(queue)


class _QueueEnd:
    def __init__(self, queue: asyncio.Queue[Any]) -> None:
        self._queue = queue
        self._closed = False

    async def _move(self, move: Callable[[], Coroutine[object, Never, T]]) -> T:
        await trio.lowlevel.checkpoint()  # before, since nothing may be cancelled afterwards
        self._check_open()
        return await move()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this channel was closed")

    async def aclose(self) -> None:
        """Shut the queue down; what is in it can still be taken out."""
        self._closed = True
        getattr(self._queue, _SHUTDOWN)()
        await trio.lowlevel.checkpoint()


class _QueueSendChannel(_QueueEnd, SendChannel[T]):
    """A Queue's entrance."""

    async def send(self, value: T) -> None:
        """Put an item in. Raises trio.ClosedResourceError after aclose(), BrokenResourceError after a shutdown."""
        try:
            await self._move(partial(self._queue.put, value))
        except QueueShutDown:
            self._check_open()
            raise trio.BrokenResourceError("the queue was shut down") from None


class _QueueReceiveChannel(_QueueEnd, ReceiveChannel[T]):
    """A Queue's exit."""

    async def receive(self) -> T:
        """Take an item out. Raises trio.ClosedResourceError after aclose(), EndOfChannel after a shutdown."""
        try:
            return await self._move(self._queue.get)
        except QueueShutDown:
            self._check_open()
            raise trio.EndOfChannel from None


def as_queue(
    send_channel: trio.MemorySendChannel[T], receive_channel: trio.MemoryReceiveChannel[T]
) -> asyncio.Queue[T]:
    """A pair of trio memory channels seen as an asyncio Queue.

    - `put()` is `send()`, `get()` is `receive()`; if nothing is in the way they return without a checkpoint, as
      asyncio's do. A cancellation that comes when the item has been handed over already is raised at the next wait.
    - When every send channel is closed and the last item taken, `get()` raises QueueShutDown; when every receive
      channel is closed, `put()` does: asyncio's own, or before Python 3.13 `compat.QueueShutDown`. `shutdown()` closes
      send_channel; before Python 3.13, close that itself.
    - `task_done()` is due for every item that is put in or taken out through the queue, once. Who takes one out through
      the channel, that was put in through the queue, calls it, too.
    - Of a channel without a buffer, `full()` tells whether nobody waits to receive, and `empty()` whether nobody waits
      to send.
    """
    queue: Any = _ChannelQueue(send_channel, receive_channel)
    return queue  # type: ignore[no-any-return]


class _ChannelQueue(queues.Queue[T]):
    """A Queue whose items are in a memory channel. The lines of waiters are the channel's own."""

    def __init__(self, send_channel: trio.MemorySendChannel[T], receive_channel: trio.MemoryReceiveChannel[T]) -> None:
        self._send_channel = send_channel
        self._receive_channel = receive_channel
        most = send_channel.statistics().max_buffer_size
        super().__init__(0 if most == math.inf else int(most))

    def _init(self, maxsize: int) -> None:
        self._to_be_got = 0  # put in here, or about to be, and not taken out here: a trio task may have taken them
        self._getters_inside = 0

    def _count_put(self) -> None:
        self._to_be_got += 1
        self._count_unfinished()

    def _count_got(self) -> None:
        if self._to_be_got:
            self._to_be_got -= 1
        else:
            self._count_unfinished()  # it was sent by a trio task

    def _count_unfinished(self) -> None:
        queue: Any = self
        queue._unfinished_tasks += 1
        queue._finished.clear()

    def qsize(self) -> int:
        """How many items are in the channel's buffer."""
        return self._send_channel.statistics().current_buffer_used

    def empty(self) -> bool:
        """Tell whether there is no item, nor a task that waits to send one."""
        statistics = self._send_channel.statistics()
        return not (statistics.current_buffer_used or statistics.tasks_waiting_send)

    def full(self) -> bool:
        """Tell whether the buffer is full, and nobody waits to receive."""
        statistics = self._send_channel.statistics()
        return statistics.current_buffer_used >= statistics.max_buffer_size and not statistics.tasks_waiting_receive

    def put_nowait(self, item: T) -> None:
        """As Queue.put_nowait()."""
        try:
            with _closed_is_shut_down():
                self._send_channel.send_nowait(item)
        except trio.WouldBlock:
            raise asyncio.QueueFull from None
        self._count_put()

    async def put(self, item: T) -> None:
        """As Queue.put()."""
        with suppress(asyncio.QueueFull):
            return self.put_nowait(item)
        self._count_put()  # whoever gets the item may be done with it before this goes on
        try:
            with _closed_is_shut_down():
                await self._send_channel.send(item)
        except BaseException:
            if self._to_be_got:  # else it stands for one that a trio task has sent
                self._to_be_got -= 1
                with suppress(ValueError):  # it is done already
                    self.task_done()
            raise

    def get_nowait(self) -> T:
        """As Queue.get_nowait()."""
        try:
            with _closed_is_shut_down():
                item = self._receive_channel.receive_nowait()
        except trio.WouldBlock:
            raise asyncio.QueueEmpty from None
        self._count_got()
        return item

    async def get(self) -> T:
        """As Queue.get()."""
        if not self._getters_inside:  # one may have been handed an item, and shall not be overtaken
            with suppress(asyncio.QueueEmpty):
                return self.get_nowait()
        self._getters_inside += 1
        try:
            with _closed_is_shut_down():
                item = await self._receive_channel.receive()
        finally:
            self._getters_inside -= 1
        self._count_got()
        return item

    def _shut_down(self, immediate: bool = False) -> None:
        self._send_channel.close()
        if immediate:
            for _ in range(self.qsize()):
                self.get_nowait()
                with suppress(ValueError):  # it is done already
                    self.task_done()
            self._receive_channel.close()

    if sys.version_info >= (3, 13):

        def shutdown(self, immediate: bool = False) -> None:
            """As Queue.shutdown()."""
            self._shut_down(immediate)


@contextmanager
def _closed_is_shut_down() -> Iterator[None]:
    try:
        yield
    except (trio.ClosedResourceError, trio.BrokenResourceError, trio.EndOfChannel):
        raise QueueShutDown from None
