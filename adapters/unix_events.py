"""asyncio's names for the loop of a Unix system: all of them are the one loop on trio.

Up to Python 3.13 there are child watchers, too. They can be made and set, and nothing depends on them: the loop waits
for its children by itself, and only for these.
"""

from __future__ import annotations

import inspect
import selectors
import sys
import warnings
from asyncio import unix_events as std_unix_events
from typing import Any

from .events import DefaultEventLoopPolicy as DefaultEventLoopPolicy
from .events import Loop

_std: Any = std_unix_events
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


if sys.version_info < (3, 14):
    AbstractChildWatcher = _std.AbstractChildWatcher
    # asyncio's own: it waits in a thread for the children that it is told of, and handles no signal.
    ThreadedChildWatcher = _std.ThreadedChildWatcher

    class PidfdChildWatcher(ThreadedChildWatcher):  # type: ignore[misc,valid-type]
        """Stands for asyncio's. https://docs.python.org/3.13/library/asyncio-policy.html#asyncio.PidfdChildWatcher"""

        __module__ = _std.__name__  # whoever subclasses AbstractChildWatcher elsewhere is warned

    class _DeprecatedWatcher(ThreadedChildWatcher):  # type: ignore[misc,valid-type]
        __module__ = _std.__name__

        def __init__(self) -> None:
            super().__init__()
            if sys.version_info >= (3, 12):
                name = type(self).__name__
                text = f"{name!r} is deprecated as of Python 3.12 and will be removed in Python 3.14."
                warnings.warn(text, DeprecationWarning, stacklevel=2)

    class SafeChildWatcher(_DeprecatedWatcher):
        """Stands for asyncio's. https://docs.python.org/3.13/library/asyncio-policy.html#asyncio.SafeChildWatcher"""

        __module__ = _std.__name__

    class FastChildWatcher(_DeprecatedWatcher):
        """Stands for asyncio's. https://docs.python.org/3.13/library/asyncio-policy.html#asyncio.FastChildWatcher"""

        __module__ = _std.__name__

    class MultiLoopChildWatcher(_DeprecatedWatcher):
        """Stands for asyncio's. https://docs.python.org/3.13/library/asyncio-policy.html#asyncio.MultiLoopChildWatcher"""

        __module__ = _std.__name__
