"""Files that the loop watches for the program, on the loop's `_polling.Poller`.

sock_recv() and the like are the interpreter's own: they try at once; when that would block, they wait for a Future, and
try again when the socket is ready. trio.socket does the same with a wait in its own task, which comes a batch earlier.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import Callable
from contextvars import Context
from typing import Any

from ._interface import LoopPart
from ._polling import READ, WRITE, Watch, descriptor_of


class Sockets(LoopPart):
    """The loop's methods for file descriptors.

    https://docs.python.org/3/library/asyncio-eventloop.html#watching-file-descriptors
    """

    def _watch(
        self, file: object, event: int, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        self._check_closed()
        fd = self._descriptor_when_watched(file)
        handle = Watch(self, fd, event, callback, *args, context=context).handle
        if file is not fd:
            self._watched[handle] = fd, file
        return handle

    def _unwatch(self, file: object, event: int) -> bool:
        if self._poller is None or self.is_closed():
            return False
        return self._poller.remove(self._descriptor_when_watched(file), event)

    @functools.cached_property
    def _watched(self) -> weakref.WeakKeyDictionary[asyncio.Handle, tuple[int, object]]:
        """By the handle that is called for it: a file, which must not be collected, and its descriptor."""
        return weakref.WeakKeyDictionary()

    def _descriptor_when_watched(self, file: object) -> int:
        """The descriptor of a file; if it was closed, the one that it had when it began to be watched."""
        fd = descriptor_of(file)
        if fd >= 0:
            return fd
        for handle, (former_fd, watched) in self._watched.items():
            if watched is file and not handle.cancelled():
                return former_fd
        raise ValueError(f"Invalid file descriptor: {fd}")

    # add_reader() and the other public ones are the interpreter's: they look whether a transport has the file.
    # `call` is the callback with its arguments; `context` is what asyncio's transports give from 3.15 on.

    def _add_reader(self, file: object, *call: Any, **context: Any) -> asyncio.Handle:
        return self._watch(file, READ, *call, **context)

    def _remove_reader(self, file: object) -> bool:
        return self._unwatch(file, READ)

    def _add_writer(self, file: object, *call: Any, **context: Any) -> asyncio.Handle:
        return self._watch(file, WRITE, *call, **context)

    def _remove_writer(self, file: object) -> bool:
        return self._unwatch(file, WRITE)
