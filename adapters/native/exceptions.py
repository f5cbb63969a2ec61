"""The exceptions: CancelledError is trio.Cancelled, the others are the interpreter's own classes.

So a module that is not moved yet catches them, too. trio.Cancelled cannot be made by hand (a scope's cancel() raises
it), and is to be let through: it is raised again at the next checkpoint if it is not.
https://docs.python.org/3/library/asyncio-exceptions.html
"""

import sys
from asyncio.exceptions import BrokenBarrierError as BrokenBarrierError
from asyncio.exceptions import IncompleteReadError as IncompleteReadError
from asyncio.exceptions import InvalidStateError as InvalidStateError
from asyncio.exceptions import LimitOverrunError as LimitOverrunError
from asyncio.queues import QueueEmpty as QueueEmpty
from asyncio.queues import QueueFull as QueueFull
from builtins import TimeoutError as TimeoutError

import trio

if sys.version_info >= (3, 13):
    from asyncio.queues import QueueShutDown as QueueShutDown
else:

    class QueueShutDown(Exception):
        """Raised by put() and get() of a queue that was shut down; the interpreter's own from Python 3.13 on."""


__all__ = [
    "BrokenBarrierError",
    "CancelledError",
    "IncompleteReadError",
    "InvalidStateError",
    "LimitOverrunError",
    "QueueEmpty",
    "QueueFull",
    "QueueShutDown",
    "TimeoutError",
]

CancelledError = trio.Cancelled
