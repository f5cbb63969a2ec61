"""asyncio's names for the loop of a Unix system: all of them are the one loop on trio."""

from __future__ import annotations

import sys
from asyncio import unix_events as std_unix_events

from .events import DefaultEventLoopPolicy as DefaultEventLoopPolicy
from .events import Loop

__all__ = tuple(
    name for name in std_unix_events.__all__ if name in ("SelectorEventLoop", "DefaultEventLoopPolicy", "EventLoop")
)


class SelectorEventLoop(Loop):
    """The loop under asyncio's name. https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.SelectorEventLoop"""

    def __init__(self, selector: None = None) -> None:
        if selector is not None:
            raise ValueError("trio polls for I/O here, so a selector cannot be given: call SelectorEventLoop() without")
        super().__init__()


if sys.version_info >= (3, 13):
    EventLoop = SelectorEventLoop
