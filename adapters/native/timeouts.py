"""Timeouts: a trio.CancelScope with a deadline, on trio's clock, that raises the builtin TimeoutError.

Unlike asyncio's, the cancellation is level-triggered: once the time is up, each further checkpoint in the block raises
trio.Cancelled, and a block that catches it is left with TimeoutError only when it lets it through.
"""

import math
from types import TracebackType
from typing import final

import trio

__all__ = ["Timeout", "timeout", "timeout_at"]


@final
class Timeout:
    """A trio.CancelScope to be entered by `async with`. Made by timeout() and timeout_at().

    Leaving it raises TimeoutError if its deadline has cancelled what is inside. Entering and leaving are no
    checkpoints. https://docs.python.org/3/library/asyncio-task.html#asyncio.Timeout
    """

    def __init__(self, when: float | None) -> None:
        self._when = when
        self._scope = trio.CancelScope(deadline=math.inf if when is None else when)
        self._state = "created"

    def when(self) -> float | None:
        """The deadline in trio.current_time()'s terms, or None."""
        return self._when

    def reschedule(self, when: float | None) -> None:
        """Move the deadline: CancelScope.deadline. Raises RuntimeError if the block is not active."""
        if self._state != "active":
            raise RuntimeError(f"the deadline of a timeout that is {self._state} cannot be moved")
        self._when = when
        self._scope.deadline = math.inf if when is None else when

    def expired(self) -> bool:
        """Whether the deadline has passed while the block was active: CancelScope.cancel_called."""
        return self._scope.cancel_called

    async def __aenter__(self) -> "Timeout":
        if self._state != "created":
            raise RuntimeError("a timeout is entered once")
        self._scope.__enter__()
        self._state = "active"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._state = "finished"
        self._scope.__exit__(kind, error, traceback)
        if self._scope.cancelled_caught:
            raise TimeoutError from error

    def __repr__(self) -> str:
        return f"<Timeout {self._state} when={self._when}>"


def timeout(delay: float | None) -> Timeout:
    """`async with timeout(5):` is `with trio.fail_after(5):`, but raises TimeoutError; None sets no deadline.

    What is inside is cancelled at each checkpoint from the deadline on; a delay of 0 or less cancels at the first.
    https://docs.python.org/3/library/asyncio-task.html#asyncio.timeout
    """
    return Timeout(None if delay is None else trio.current_time() + delay)


def timeout_at(when: float | None) -> Timeout:
    """`async with timeout_at(t):` is `with trio.fail_at(t):`, but raises TimeoutError; t is of trio.current_time().

    https://docs.python.org/3/library/asyncio-task.html#asyncio.timeout_at
    """
    return Timeout(when)
