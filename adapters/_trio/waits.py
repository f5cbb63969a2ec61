"""trio's waits in an asyncio Task.

trio's functions yield a trap to trio's loop through one function, which is replaced here. In a Task it yields the
Task's stand-in (`stand_ins.TrioStandIn`) to the interpreter, which waits for that as for a future.
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Generator
from typing import Any

from trio.lowlevel import enable_ki_protection

from .names import RUN, CancelShieldedCheckpoint, WaitTaskRescheduled, traps
from .patches import replaces
from .stand_ins import CHECKPOINT, TrioStandIn


class _Nothing:
    """The outcome of a shielded checkpoint. outcome.Value(None) can be unwrapped once only."""

    def unwrap(self) -> None:
        pass


_NOTHING = _Nothing()


# Public, this would be a way to tell trio that another library steps the current task.
@replaces(traps, "_async_yield")
@enable_ki_protection
@types.coroutine
def async_yield(trap: Any) -> Generator[Any, Any, Any]:
    """Yield a trap to trio's loop, or in an asyncio Task, something by which the interpreter lets it wait."""
    task = getattr(RUN, "task", None)
    if type(task) is not TrioStandIn:
        return (yield trap)
    if type(trap) is WaitTaskRescheduled:
        answer = yield task.wait(trap.abort_func)
        return task.take_answer() if answer is None else answer
    if trap is not CancelShieldedCheckpoint:
        return (yield trap)
    task.in_checkpoint = True
    try:
        answer = yield None
    except asyncio.CancelledError as error:
        # Task.cancel(). A checkpoint begins with a shielded one, which by itself is no point of cancellation.
        if sys._getframe(2).f_code is CHECKPOINT:
            raise
        task.postpone(error)
        answer = None
    finally:
        task.in_checkpoint, task.custom_sleep_data = False, None
    task._cancel_points -= 1  # the step counts as one
    return _NOTHING if answer is None else answer
