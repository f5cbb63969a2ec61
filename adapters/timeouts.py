"""asyncio.timeout: the interpreter's own, on our loop's timers, which are a trio deadline.

A trio cancel scope would not do: asyncio's timeout cancels once, may be caught, counts with Task.uncancel() among other
requests, and ends as TimeoutError. asyncio's interrupts trio's waits too, in asyncio Tasks and in trio tasks.
"""

from __future__ import annotations

import asyncio
from asyncio.timeouts import Timeout
from asyncio.timeouts import __all__ as __all__
from typing import TYPE_CHECKING

from .events import get_running_loop

if not TYPE_CHECKING:  # what is not written anew
    from asyncio.timeouts import *  # noqa: F403

_timeout = asyncio.timeout


def timeout(delay: float | None) -> Timeout:
    """A Timeout in delay seconds; None for no deadline.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.timeout
    """
    get_running_loop()  # says what to do in a trio run that has none
    return _timeout(delay)
