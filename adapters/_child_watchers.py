"""asyncio's child watchers, up to Python 3.13.

They can be made and set, and nothing depends on them: the loop waits for its children by itself, and only for these.
"""

# ruff: noqa: E402

from __future__ import annotations

import sys

assert sys.version_info < (3, 14)  # and mypy passes over the module for later Pythons

import warnings
from asyncio import unix_events as std

# asyncio's own. The second waits in a thread for the children that it is told of, and handles no signal.
from asyncio.unix_events import AbstractChildWatcher as AbstractChildWatcher
from asyncio.unix_events import ThreadedChildWatcher as ThreadedChildWatcher

__all__ = tuple(name for name in std.__all__ if name.endswith("ChildWatcher"))


def warn_of(name: str) -> None:
    """Warn that something about child watchers is deprecated. Called by what the program calls."""
    if sys.version_info >= (3, 12):
        text = f"{name!r} is deprecated as of Python 3.12 and will be removed in Python 3.14."
        warnings.warn(text, DeprecationWarning, stacklevel=3)


class PidfdChildWatcher(ThreadedChildWatcher):
    """Stands for asyncio's. https://docs.python.org/3.13/library/asyncio-policy.html#asyncio.PidfdChildWatcher"""

    __module__ = std.__name__  # whoever subclasses AbstractChildWatcher elsewhere is warned


class _DeprecatedWatcher(ThreadedChildWatcher):
    __module__ = std.__name__

    def __init__(self) -> None:
        super().__init__()
        warn_of(type(self).__name__)


class SafeChildWatcher(_DeprecatedWatcher):
    """Stands for asyncio's. https://docs.python.org/3.13/library/asyncio-policy.html#asyncio.SafeChildWatcher"""

    __module__ = std.__name__


class FastChildWatcher(_DeprecatedWatcher):
    """Stands for asyncio's. https://docs.python.org/3.13/library/asyncio-policy.html#asyncio.FastChildWatcher"""

    __module__ = std.__name__


class MultiLoopChildWatcher(_DeprecatedWatcher):
    """Stands for asyncio's. https://docs.python.org/3.13/library/asyncio-policy.html#asyncio.MultiLoopChildWatcher"""

    __module__ = std.__name__
