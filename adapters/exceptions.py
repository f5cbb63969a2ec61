"""asyncio's exceptions: the interpreter's own, so that `except` works in code that imported them earlier."""

from __future__ import annotations

import asyncio
from asyncio.exceptions import *  # noqa: F403
from asyncio.exceptions import __all__ as __all__
from collections.abc import Callable
from typing import TypeAlias

import trio

Criterion: TypeAlias = tuple[type[BaseException], ...] | Callable[[BaseException], bool]


def is_cancellation(error: BaseException | None) -> bool:
    """Tell whether an exception is a cancellation and nothing else, Task.cancel()'s or a trio scope's.

    A trio nursery hands a CancelledError on inside an exception group, which to asyncio would be a failure.
    """
    return error is not None and without(error, (asyncio.CancelledError, trio.Cancelled)) is None


def is_plain(error: BaseException | None) -> bool:
    """Tell whether this is a CancelledError of asyncio's alone: Task.cancel()'s, or one that asyncio code has made."""
    return isinstance(error, asyncio.CancelledError) and not isinstance(error, trio.Cancelled)


def without_task_cancellation(error: BaseException) -> BaseException | None:
    """What is left of an exception without the cancellations that are asyncio's alone."""
    return without(error, is_plain)


def without(error: BaseException, what: Criterion) -> BaseException | None:
    """The exception less what matches, by type or by a predicate as BaseExceptionGroup.split() takes it."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(what)[1]
    matches = isinstance(error, what) if isinstance(what, tuple) else what(error)
    return None if matches else error
