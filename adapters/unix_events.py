"""asyncio's names for the loop of a Unix system: all of them are the one loop on trio.

Up to Python 3.13 there are child watchers, too (`_child_watchers.py`).
"""

from __future__ import annotations

import inspect
import selectors
import sys
from asyncio import unix_events as std_unix_events

from .events import DefaultEventLoopPolicy as DefaultEventLoopPolicy
from .events import Loop

if sys.version_info < (3, 14):
    from ._child_watchers import *  # noqa: F403

_NAMES = ("SelectorEventLoop", "DefaultEventLoopPolicy", "EventLoop")
__all__ = tuple(name for name in std_unix_events.__all__ if name in _NAMES or name.endswith("ChildWatcher"))


class SelectorEventLoop(Loop):
    """The loop under asyncio's name. https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.SelectorEventLoop"""

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        """A selector of the standard library's is taken and not used: trio polls, and a program cannot tell.

        Raises ValueError for any other, which might do more than poll.
        """
        if type(selector) not in STANDARD_SELECTORS:
            raise ValueError(f"trio polls for I/O here, so {selector!r} cannot: call SelectorEventLoop() without it")
        super().__init__()
        self._unused_selector = selector

    def close(self) -> None:
        super().close()
        if self._unused_selector is not None:
            self._unused_selector.close()  # as asyncio does


STANDARD_SELECTORS = {
    type(None),
    *(kind for kind in vars(selectors).values() if inspect.isclass(kind) and issubclass(kind, selectors.BaseSelector)),
}

if sys.version_info >= (3, 14):
    _DefaultEventLoopPolicy = DefaultEventLoopPolicy
if sys.version_info >= (3, 13):
    EventLoop = SelectorEventLoop
