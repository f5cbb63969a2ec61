"""asyncio.timeout, carried by a trio deadline that cancels the asyncio Task.

A trio cancel scope would not do: asyncio's timeout cancels once, may be caught, counts with Task.uncancel() among other
requests, and ends as TimeoutError. It interrupts native trio waits, in asyncio and in plain trio tasks.
"""

from __future__ import annotations

import asyncio
import enum
import sys
from asyncio import Task
from types import TracebackType
from typing import Any

from .events import get_running_loop
from .exceptions import is_task_cancellation

# tasks.py, which stands on this module, puts it here: an import in each __aenter__() takes a third of a short timeout.
current_task: Any = None

__all__ = ("Timeout", "timeout", "timeout_at")


class _State(enum.Enum):
    CREATED = "created"
    ENTERED = "active"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    EXITED = "finished"


class Timeout:
    """A deadline for the block of an `async with`. https://docs.python.org/3/library/asyncio-task.html#asyncio.Timeout"""

    def __init__(self, when: float | None) -> None:
        self._state = _State.CREATED
        self._when = when
        self._timer: Any = None
        self._task: Task[Any] | None = None
        self._cancelling = 0

    def when(self) -> float | None:
        """The deadline, in seconds of the loop's clock; None if there is none."""
        return self._when

    def reschedule(self, when: float | None) -> None:
        """Move the deadline, or remove it by None. Raises RuntimeError outside the block, or when it has passed."""
        if self._state is not _State.ENTERED:
            if self._state is _State.CREATED:
                raise RuntimeError("Timeout has not been entered")
            raise RuntimeError(f"Cannot change state of {self._state.value} Timeout")
        self._when = when
        self._drop_timer()
        if when is not None:
            loop = get_running_loop()
            if when <= loop.time():
                self._timer = loop.call_soon(self._expire)
            else:
                self._timer = loop.call_at(when, self._expire)

    def expired(self) -> bool:
        """Tell whether the deadline has passed within the block."""
        return self._state in (_State.EXPIRING, _State.EXPIRED)

    def __repr__(self) -> str:
        when = ""
        if self._state is _State.ENTERED:
            when = f" when={None if self._when is None else round(self._when, 3)}"
        return f"<Timeout [{self._state.value}]{when}>"

    async def __aenter__(self) -> Timeout:
        if self._state is not _State.CREATED:
            raise RuntimeError("Timeout has already been entered")
        task = current_task()
        if task is None:
            raise RuntimeError("Timeout should be used inside a task")
        self._state = _State.ENTERED
        self._task = task
        self._cancelling = task.cancelling()
        self.reschedule(self._when)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._drop_timer()
        if self._state is _State.ENTERED:
            self._state = _State.EXITED
        elif self._state is _State.EXPIRING:
            self._state = _State.EXPIRED
            if self._task.uncancel() <= self._cancelling and exc is not None:  # nobody else has cancelled the task
                if is_task_cancellation(exc):
                    raise TimeoutError from exc
                if TELLS_IN_CONTEXT:
                    _put_timeout_into_context(exc)

    def _expire(self) -> None:
        assert self._task is not None
        self._task.cancel()
        self._state = _State.EXPIRING
        self._timer = None

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


# 3.13 on: an error raised while the cancellation was handled has a TimeoutError before the cancellation in its context.
TELLS_IN_CONTEXT = sys.version_info >= (3, 13)


def _put_timeout_into_context(error: BaseException) -> None:
    for chain in (error, *(error.exceptions if isinstance(error, ExceptionGroup) else ())):
        link = chain
        while link.__context__ is not None:
            cancellation = link.__context__
            if isinstance(cancellation, asyncio.CancelledError):
                link.__context__ = TimeoutError()
                link.__context__.__context__ = link.__context__.__cause__ = cancellation
                break
            link = cancellation


def timeout(delay: float | None) -> Timeout:
    """A Timeout in delay seconds; None for no deadline.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.timeout
    """
    return Timeout(None if delay is None else get_running_loop().time() + delay)


def timeout_at(when: float | None) -> Timeout:
    """A Timeout at a time, in seconds, of the loop's clock; None for no deadline.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.timeout_at
    """
    return Timeout(when)
