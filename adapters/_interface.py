"""What the parts of the loop need of it, and of one another.

The loop's class (`events.BaseLoop`) derives from the interpreter's. Its parts have what differs on trio:
`AsyncGenerators`, `Connections`, `Datagrams`, `Executors`, `Pipes`, `Signals`, `Sockets`, `Subprocesses`. A part uses
the methods that asyncio documents, its own attributes, and what is named here. So each can be read by itself.
"""

from __future__ import annotations

import weakref
from asyncio import Handle, SelectorEventLoop
from collections.abc import Callable
from selectors import BaseSelector, SelectSelector
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._datagrams import DatagramTransport
    from ._polling import Poller, TrioPoller
    from ._trio.names import Runner
    from ._trio.scheduler import Scheduler
    from .transports import SocketTransport


class LoopPart(SelectorEventLoop):
    """The loop, as its parts and its transports see it."""

    # The loop itself gives:
    _runner: Runner  # the trio run
    _scheduler: Scheduler  # runs the batches of the run
    _append: Callable[[object], None]  # puts a callback, or the step of a Task, at the end of the ready queue
    _transports: weakref.WeakValueDictionary[int, SocketTransport | DatagramTransport]  # by file descriptor
    _poller: Poller | TrioPoller | None = None  # made when a file is first watched
    # What asyncio's own transports ask in their repr: the poller; before it is made, one that watches nothing.
    _selector: Poller | TrioPoller | BaseSelector | None = SelectSelector()

    def __init__(self) -> None:
        """Do not call asyncio's, which makes a selector, and sockets to wake it up. The parts set the attributes."""

    if TYPE_CHECKING:
        # SelectorEventLoop gives:

        _debug: bool

        def _check_closed(self) -> None:
            """Raise RuntimeError if the loop is closed."""

        def _check_thread(self) -> None:
            """Raise RuntimeError in another thread than the loop's."""

        def _check_callback(self, callback: object, method: str) -> None:
            """Raise TypeError for a coroutine, or what cannot be called."""

        def _check_signal(self, sig: object) -> None:
            """Raise TypeError or ValueError for what is no signal."""

        def _set_coroutine_origin_tracking(self, enabled: bool) -> None:
            """In debug mode, coroutines remember where they were made."""

        def _ensure_fd_no_transport(self, file: object) -> None:
            """Raise RuntimeError if a transport uses the file."""

        # The loop itself gives:

        def _append_from_anywhere(self, handle: Handle) -> None:
            """Queue a callback from another thread, or from a signal handler."""

        # Connections gives:

        @property
        def _receive_buffer(self) -> memoryview:
            """Bytes are received into it and copied out at once."""
