"""trio's waits in an asyncio Task."""

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


# Public, this would be a way to tell trio that another library steps the current task.
@replaces(traps, "_async_yield")
@enable_ki_protection
@types.coroutine
def async_yield(trap: Any) -> Generator[Any, Any, Any]:
    """Yield a trap to trio's loop, or in an asyncio Task, something by which the interpreter lets it wait."""
    task = RUN.__dict__.get("task") or getattr(RUN, "task", None)
    if type(task) is not TrioStandIn or not (trap is CancelShieldedCheckpoint or type(trap) is WaitTaskRescheduled):
        return (yield trap)
    try:
        answer = yield task.wait(trap)
    except asyncio.CancelledError as error:
        # Task.cancel(). A checkpoint begins with a shielded one, which by itself is no point of cancellation.
        if not task.in_checkpoint or sys._getframe(2).f_code is CHECKPOINT:
            raise
        task.postpone(error)
        answer = None
    finally:
        task.in_checkpoint = False
    return task.take_answer() if answer is None else answer
