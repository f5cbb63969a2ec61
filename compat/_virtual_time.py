"""Virtual time for asyncio code, by trio's MockClock: who sleeps for an hour wakes up at once, an hour later."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from compat.adapters import events, native

__all__ = ["virtual_time"]

_lock = threading.Lock()
_real_loop: Any = events.BaseEventLoop
_init_real_loop = _real_loop.__init__
_open_blocks = 0  # in all threads: the last one that is left gives real time back


@contextmanager
def virtual_time() -> Iterator[None]:
    """Inside the block every new loop of asyncio's, compat.run() and native.run() has a clock of its own that jumps.

    It starts at 0 and goes on, by exactly as much as is needed, whenever all tasks wait. So sleeps and timeouts take
    no time, in the order in which they would end. To wait for a thread, a process or another program is to wait, too:
    a timeout around such a wait comes first. time.time() and time.sleep() are as ever, and so are loops that exist
    already, and a run of trio's that is started with a clock. https://trio.readthedocs.io/en/stable/reference-testing.html

    It holds for all threads, and blocks may be nested. Raises RuntimeError inside a running loop or trio run, which
    keeps its clock; and so does, in the block, who makes a loop of the real asyncio's, which would sleep.
    """
    if events.is_thread_taken():
        raise RuntimeError(
            "compat.virtual_time() has no effect on a loop or a trio run that is running already: put the block around "
            "what starts it, `with compat.virtual_time(): asyncio.run(main())`, or give it a clock, "
            "`compat.run(main, clock=trio.testing.MockClock(autojump_threshold=0))`"
        )
    from trio.testing import MockClock  # here, since it imports pytest where that is installed

    global _open_blocks
    with _lock:
        _open_blocks += 1
        events.make_clock = native.runners.make_clock = partial(MockClock, autojump_threshold=0)
        _real_loop.__init__ = _refuse
    try:
        yield
    finally:
        with _lock:
            _open_blocks -= 1
            if not _open_blocks:
                events.make_clock = events.MonotonicClock
                native.runners.make_clock = None
                _real_loop.__init__ = _init_real_loop


def _refuse(loop: Any) -> None:
    loop._closed = True  # for its finalizer
    raise RuntimeError(
        "compat.virtual_time() has no effect on a loop of the real asyncio's: use `from compat import asyncio`, or "
        "have all run on trio, by `python -m compat app.py`; tests, by `python -m compat -m pytest`, or by the ini "
        "option `asyncio_on_trio = true` of compat.pytest_plugin"
    )
