"""Which files are ready (one epoll for all files of a loop, polled with trio's), and trio tasks of the loop's own.

trio's wait_readable() is a wait in a task, for one time. A `Watch` calls a callback each time that a file is ready, in
the place in the ready queue that asyncio has for that. A trio task for each file, with a wait of trio's, takes twice
the time; `TrioPoller` does that where there is no epoll.

An `Activity` is a trio task in which the loop does something that trio has an async function for.
"""

from __future__ import annotations

import asyncio
import contextvars
import select
import selectors
import sys
import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import trio

from ._trio.names import protected
from ._types import Ts

if TYPE_CHECKING:
    from ._interface import LoopPart


HAS_EPOLL = sys.platform == "linux"
READ, WRITE = 1, 4  # as select.EPOLLIN and EPOLLOUT


def descriptor_of(file: object) -> int:
    """The descriptor of a file, or of what has a fileno(); -1 for a socket that was closed. Raises ValueError."""
    if isinstance(file, int):
        return file
    try:
        return int(file.fileno())  # type: ignore[attr-defined]
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"Invalid file object: {file!r}") from None


class Activity:
    """A trio task of the loop's own. It is no asyncio Task: current_task() is None in it.

    It can be cancelled, also between two runs of the loop. What it raises goes to the loop's exception handler.
    """

    __slots__ = ("_coro", "_loop", "scope", "send")

    def __init__(self, loop: LoopPart, function: Callable[[Activity], Awaitable[None]], name: str) -> None:
        self.scope = trio.CancelScope()
        self._loop = weakref.ref(loop)  # the loop's own run must not keep the loop
        self._coro = self._run(function)
        self.send = self._coro.send
        context = contextvars.copy_context()
        loop._scheduler.start(self, name, context)

    @trio.lowlevel.enable_ki_protection
    async def _run(self, function: Callable[[Activity], Awaitable[None]]) -> None:
        try:
            with self.scope:
                await function(self)
        except trio.Cancelled:
            raise
        except BaseException as error:
            self.report(error)

    def report(self, error: BaseException) -> None:
        """Call the loop's exception handler, as for an error in a callback."""
        loop = self._loop()
        if loop is None:
            raise error
        if isinstance(error, SystemExit | KeyboardInterrupt):
            loop._scheduler.stop_with(error)
        else:
            loop.call_exception_handler({"message": f"Exception in {self._coro!r}", "exception": error})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)  # trio looks at its coroutine's frame and state

    def cancel(self) -> None:
        """Interrupt its wait, if it is in one. trio's abort function has run when this returns."""
        self.scope.cancel()


@protected
class Poller:
    """Queues a callback each time that its file is ready. One epoll for all files of a loop, and no trio task.

    One of the two epolls, this and trio's, is a file in the other, so one call of the system polls both. The handles of
    the files that are ready join the ready queue before the timers, as in asyncio.
    """

    def __init__(self, loop: LoopPart) -> None:
        self.handles: dict[int, list[asyncio.Handle | None]] = {}  # by file: who reads, and who writes
        self._append = loop._append
        self.epoll = select.epoll()
        loop._scheduler.polls.watch(self)

    def close(self) -> None:
        """Call no callback any more."""
        self.epoll.close()
        handles = [handle for pair in self.handles.values() for handle in pair if handle is not None]
        self.handles.clear()
        _drop(handles)

    def add(self, fd: int, event: int, handle: asyncio.Handle) -> None:
        """Queue the handle when the file is ready; it replaces the one before, which is cancelled. Raises OSError."""
        pair = self.handles.get(fd)
        if pair is None:
            self.epoll.register(fd, event)
            pair = self.handles[fd] = [None, None]
        else:
            try:
                self.epoll.modify(fd, _mask(pair) | event)
            except FileNotFoundError:  # the file was closed, and its number is another's now
                self.epoll.register(fd, _mask(pair) | event)
        side = event != READ
        old, pair[side] = pair[side], handle
        if old is not None:
            old.cancel()

    def remove(self, fd: int, event: int, only: asyncio.Handle | None = None) -> bool:
        """Cancel the file's handle, or only if it is this one, and forget it. Return whether there was one."""
        pair = self.handles.get(fd)
        side = event != READ
        handle = None if pair is None else pair[side]
        if pair is None or handle is None or only not in (None, handle):
            return False
        pair[side] = None
        left = _mask(pair)
        if not left:
            del self.handles[fd]
        try:
            if left:
                self.epoll.modify(fd, left)
            else:
                self.epoll.unregister(fd)
        except OSError:
            pass  # somebody else has closed it
        handle.cancel()
        return True

    def get_key(self, file: object) -> selectors.SelectorKey:
        """Tell asyncio's transports for what a file is watched, as a selector does. Raises KeyError if it is not."""
        fd = descriptor_of(file)
        reader, writer = self.handles[fd]
        return _key(fd, reader is not None, writer is not None)

    def poll(self, timeout: float) -> bool:
        """Wait up to so many seconds, and queue the handles of what is ready. Return whether trio's epoll is, too."""
        handles, others = self.handles, False
        for fd, events in self.epoll.poll(timeout, len(handles) + 1):
            pair = handles.get(fd)
            if pair is None:
                others = True
                continue
            reader, writer = pair
            # An error or a hang-up is neither reading nor writing: whoever watches finds it by trying.
            if reader is not None and events & ~WRITE:
                if reader._cancelled:
                    self.remove(fd, READ)
                else:
                    self._append(reader)
            if writer is not None and events & ~READ:
                if writer._cancelled:
                    self.remove(fd, WRITE)
                else:
                    self._append(writer)
        return others


def _mask(pair: list[asyncio.Handle | None]) -> int:
    reader, writer = pair
    return (READ if reader is not None else 0) | (WRITE if writer is not None else 0)


def _key(fd: int, reads: bool, writes: bool) -> selectors.SelectorKey:
    if not (reads or writes):
        raise KeyError(fd)
    return selectors.SelectorKey(fd, fd, reads * selectors.EVENT_READ | writes * selectors.EVENT_WRITE, None)


def _drop(handles: list[asyncio.Handle]) -> None:
    # Cancelled, a handle refers to its transport no longer, which then can warn that it was not closed.
    while handles:
        handles.pop().cancel()


class TrioPoller:
    """The same as Poller where there is no epoll: a trio task for each file and direction."""

    def __init__(self, loop: LoopPart) -> None:
        self._loop = loop
        self.handles: dict[tuple[int, int], asyncio.Handle] = {}
        self._waits: dict[tuple[int, int], Activity] = {}

    def close(self) -> None:
        handles = list(self.handles.values())
        self.handles.clear()
        _drop(handles)  # and the tasks end with the loop

    def add(self, fd: int, event: int, handle: asyncio.Handle) -> None:
        old, self.handles[fd, event] = self.handles.get((fd, event)), handle
        if old is not None:
            old.cancel()
            return

        wait = trio.lowlevel.wait_readable if event == READ else trio.lowlevel.wait_writable

        async def wait_and_call(me: Activity) -> None:
            try:
                while (fd, event) in self.handles:
                    await wait(fd)
                    if (fd, event) in self.handles:
                        self._loop._scheduler.run_callback(self.handles[fd, event])
            finally:
                if self._waits.get((fd, event)) is me:  # the file was closed: its number may be another's soon
                    del self._waits[fd, event]
                    self.handles.pop((fd, event), None)

        self._waits[fd, event] = Activity(self._loop, wait_and_call, "asyncio socket")

    def remove(self, fd: int, event: int, only: asyncio.Handle | None = None) -> bool:
        handle = self.handles.get((fd, event))
        if handle is None or only not in (None, handle):
            return False
        del self.handles[fd, event]
        self._waits.pop((fd, event)).cancel()
        handle.cancel()
        return True

    def get_key(self, file: object) -> selectors.SelectorKey:
        fd = descriptor_of(file)
        return _key(fd, (fd, READ) in self.handles, (fd, WRITE) in self.handles)


@protected
class Watch:
    """One callback for one direction of a file, until it is cancelled or replaced."""

    __slots__ = ("_event", "_fd", "_poller", "handle")

    def __init__(
        self,
        loop: LoopPart,
        fd: int,
        event: int,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> None:
        if loop._poller is None:
            loop._poller = loop._selector = Poller(loop) if HAS_EPOLL else TrioPoller(loop)
        self._poller = loop._poller
        self._fd = fd
        self._event = event
        self.handle = asyncio.Handle(callback, args, loop, context)
        self._poller.add(fd, event, self.handle)

    def cancel(self) -> None:
        """Call the callback no more."""
        self._poller.remove(self._fd, self._event, only=self.handle)
