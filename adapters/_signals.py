"""The loop's signal handlers, by signal.signal().

trio.open_signal_receiver() gives signals to one task that waits for them. Here the callback joins the ready queue in
the signal handler, and the run wakes up, as with call_soon_threadsafe().
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import signal
import threading
from asyncio import Handle
from collections.abc import Callable

from ._interface import LoopPart
from ._trio import runs
from ._trio.names import protected
from ._types import Ts


@protected
class Signals(LoopPart):
    """The loop's methods for signals."""

    def __init__(self) -> None:
        super().__init__()
        self._signal_handlers: dict[int, Handle] = {}

    def add_signal_handler(self, sig: int, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call callback(*args) in the loop when the signal comes. From the main thread only."""
        if asyncio.iscoroutine(callback) or inspect.iscoroutinefunction(callback):
            raise TypeError("coroutines cannot be used with add_signal_handler()")
        self._check_signal(sig)
        self._check_closed()
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("set_wakeup_fd only works in main thread of the main interpreter")
        self._signal_handlers[sig] = Handle(callback, args, self, None)
        try:
            signal.signal(sig, self._on_signal)
            signal.siginterrupt(sig, False)
        except OSError as error:
            del self._signal_handlers[sig]
            raise _as_asyncios(error, sig) from None

    def remove_signal_handler(self, sig: int) -> bool:
        """Give the signal back to Python; tell whether there was a handler."""
        self._check_signal(sig)
        if self._signal_handlers.pop(sig, None) is None:
            return False
        try:
            signal.signal(sig, signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL)
        except OSError as error:
            raise _as_asyncios(error, sig) from None
        if sig == signal.SIGINT and runs.is_current(self._runner):
            runs.handle_interrupts(self._runner)
        return True

    def _remove_signal_handlers(self) -> None:
        for sig in list(self._signal_handlers):
            self.remove_signal_handler(sig)

    def _on_signal(self, signum: int, frame: object) -> None:
        handle = self._signal_handlers.get(signum)
        if handle is not None and not handle._cancelled:
            self._append_from_anywhere(handle)


def _as_asyncios(error: OSError, sig: int) -> Exception:
    return RuntimeError(f"sig {sig} cannot be caught") if error.errno == errno.EINVAL else error
