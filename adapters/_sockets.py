"""The loop's methods for file descriptors and for sockets that the program reads and writes itself.

What is carried by trio is the wait: see `_polling.Poller`. A sock_*() coroutine tries at once; when it would block, it
waits for a Future, and the socket is tried again each time that it is ready. trio.socket does the same with a wait in
its own task, which comes a batch earlier than asyncio's.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import Callable

from ._interface import LoopPart
from ._polling import READ, WRITE, Watch
from ._types import FileDescriptorLike, T, Ts

WOULD_BLOCK = (BlockingIOError, InterruptedError)


def _descriptor(file: object) -> int:
    """The descriptor of a file, or of what has a fileno(); -1 for a socket that was closed. Raises ValueError."""
    if isinstance(file, int):
        return file
    try:
        return int(file.fileno())  # type: ignore[attr-defined]
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"Invalid file object: {file!r}") from None


def _attempt(future: asyncio.Future[T], function: Callable[[], T]) -> None:
    """The socket is ready: call the function, and give the future its result, unless it would block all the same."""
    if future.done():
        return
    try:
        result = function()
    except WOULD_BLOCK:
        return
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
    finally:
        del future  # its exception refers to this frame


class Sockets(LoopPart):
    """The loop's methods for file descriptors, and for sockets that the program reads and writes.

    https://docs.python.org/3/library/asyncio-eventloop.html#watching-file-descriptors, and #working-with-sockets
    """

    # --- descriptors -------------------------------------------------------------------------------------------------

    def _ensure_fd_no_transport(self, file: object) -> None:
        fd = _descriptor(file)
        transport = self._transports.get(fd)
        if transport is not None and not transport.is_closing():
            raise RuntimeError(f"File descriptor {file!r} is used by transport {transport!r}")

    def _watch(self, file: object, event: int, callback: Callable[[*Ts], object], args: tuple[*Ts]) -> asyncio.Handle:
        self._check_closed()
        fd = self._descriptor_when_watched(file)
        handle = Watch(self, fd, event, callback, *args).handle
        if file is not fd:
            self._watched[handle] = fd, file
        return handle

    def _unwatch(self, file: object, event: int, only: asyncio.Handle | None = None) -> bool:
        if self._poller is None or self.is_closed():
            return False
        return self._poller.remove(self._descriptor_when_watched(file), event, only)

    @functools.cached_property
    def _watched(self) -> weakref.WeakKeyDictionary[asyncio.Handle, tuple[int, object]]:
        """By the handle that is called for it: a file, which must not be collected, and its descriptor."""
        return weakref.WeakKeyDictionary()

    def _descriptor_when_watched(self, file: object) -> int:
        """The descriptor of a file; if it was closed, the one that it had when it began to be watched."""
        fd = _descriptor(file)
        if fd >= 0:
            return fd
        for handle, (former_fd, watched) in self._watched.items():
            if watched is file and not handle.cancelled():
                return former_fd
        raise ValueError(f"Invalid file descriptor: {fd}")

    # These four look at no transport; asyncio's own loop has them, and libraries use them.

    def _add_reader(self, fd: FileDescriptorLike, callback: Callable[[*Ts], object], *args: *Ts) -> asyncio.Handle:
        return self._watch(fd, READ, callback, args)

    def _remove_reader(self, fd: FileDescriptorLike) -> bool:
        return self._unwatch(fd, READ)

    def _add_writer(self, fd: FileDescriptorLike, callback: Callable[[*Ts], object], *args: *Ts) -> asyncio.Handle:
        return self._watch(fd, WRITE, callback, args)

    def _remove_writer(self, fd: FileDescriptorLike) -> bool:
        return self._unwatch(fd, WRITE)

    def add_reader(self, fd: FileDescriptorLike, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call callback(*args) each time that the file is ready to be read, in place of what was called before.

        Raises RuntimeError if a transport uses the file, ValueError if it is none, and OSError if it cannot be waited
        for: a file on disk cannot.
        """
        self._ensure_fd_no_transport(fd)
        self._add_reader(fd, callback, *args)

    def remove_reader(self, fd: FileDescriptorLike) -> bool:
        """Call it no more; tell whether there was one."""
        self._ensure_fd_no_transport(fd)
        return self._remove_reader(fd)

    def add_writer(self, fd: FileDescriptorLike, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call callback(*args) each time that the file is ready to be written, as add_reader() does for reading."""
        self._ensure_fd_no_transport(fd)
        self._add_writer(fd, callback, *args)

    def remove_writer(self, fd: FileDescriptorLike) -> bool:
        """Call it no more; tell whether there was one."""
        self._ensure_fd_no_transport(fd)
        return self._remove_writer(fd)
