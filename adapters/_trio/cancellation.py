"""One exception for both worlds, and which waits a cancel scope interrupts.

trio raises Cancelled at each wait in a cancelled scope. asyncio code expects that a cancellation is raised once, and
that its clean-up may wait. So a scope tells a task once for each block, and from then on interrupts the waits of trio's
in that block, but not those of asyncio's.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import trio
from trio.lowlevel import enable_ki_protection

from ..exceptions import is_plain
from .names import RUN, CancelReason, CancelStatus, Derivable, Task, protected
from .patches import replaces

E = TypeVar("E", bound=BaseException)


@protected
class Cancelled(Derivable, trio.Cancelled, asyncio.CancelledError):  # type: ignore[misc]
    """A cancel scope's cancellation in asyncio code: a trio.Cancelled and an asyncio.CancelledError in one.

    `except asyncio.CancelledError:` runs its clean-up, and the scope ends it.
    """

    args = ()  # newer trio's has three; asyncio code hands them on, `task.cancel(*error.args)`, which takes one at most

    @classmethod
    def of(cls, original: trio.Cancelled) -> Cancelled:
        """Make an exception that trio has just raised one for both worlds. It keeps its reason and traceback."""
        object.__setattr__(original, "__class__", cls)  # newer trio's is frozen
        return original  # type: ignore[return-value]

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is for both worlds, too."""
        return _copy_of, ({name: getattr(self, name) for name in _REASON if hasattr(self, name)},)

    @classmethod
    def of_scope(cls, status: CancelStatus) -> Cancelled:
        """The cancellation of the scope that this status belongs to."""
        reason = getattr(status._scope, "_cancel_reason", None)  # newer trio
        words: dict[str, Any] = {"source": "unknown"} if CancelReason is not None else {}
        if reason is not None:
            words = {name: getattr(reason, name) for name in _REASON}
        both: Cancelled = cls._create(**words)  # type: ignore[assignment]
        return both


_REASON = "source", "source_task", "reason"  # what newer trio tells of a cancellation


def _copy_of(reason: dict[str, Any]) -> Cancelled:
    copy: Cancelled = Cancelled._create(**reason)  # type: ignore[assignment]
    return copy


def raised_by(function: Callable[[], NoReturn]) -> BaseException:
    """What the function raises."""
    try:
        function()
    except BaseException as error:
        return error.with_traceback(None)


@protected
class Told:
    """Which tasks of a run have been told of a cancellation, in which blocks.

    A block is a CancelStatus, which trio makes for each `with` block of a scope. Beside it stands how often
    Task.cancel() had been called until then.
    """

    def __init__(self) -> None:
        self.blocks: dict[Task, dict[CancelStatus, int]] = {}
        self._last: dict[Task, list[CancelStatus]] = {}  # the blocks that note() has added last

    def is_due(self, task: Task) -> bool:
        """Tell whether the task is in a cancelled block, and has not been told of each cancelled one around it."""
        blocks = self.blocks.get(task, ())
        status: CancelStatus | None = task._cancel_status
        while status is not None and status.effectively_cancelled:
            if status not in blocks:
                return True
            status = None if status._scope._shield else status._parent
        return False

    def note(self, task: Task, cancels: int) -> None:
        """The task is told: in its block, and in the cancelled ones around it, up to a shield."""
        old = self.blocks.get(task, {})
        blocks: dict[CancelStatus, int] = {}
        status: CancelStatus | None = task._cancel_status
        told = True
        while status is not None and (told or old):
            told = told and status.effectively_cancelled
            if status in old:
                blocks[status] = old[status]
            elif told:
                blocks[status] = cancels
            told = told and not status._scope._shield
            status = status._parent
        self.blocks[task] = blocks
        self._last[task] = [status for status in blocks if status not in old]

    def take_back(self, task: Task) -> None:
        """The wait that was interrupted last has ended otherwise: the task has not been told."""
        for status in self._last.pop(task, ()):
            self.blocks[task].pop(status, None)

    def take_back_cancel(self, task: Task) -> None:
        """The task was told by Task.cancel(), which is taken back now."""
        for status in self._last.get(task, ()):
            self.blocks[task][status] -= 1

    def tell_in(self, block: CancelStatus) -> None:
        """A scope is cancelled: tell the tasks that have answered the cancellation of a scope inside, and wait now.

        In the order in which they were told before; trio's sets of tasks have none.
        """
        blocks = [child for child in block._children if not child._scope._shield]
        for child in blocks:  # which grows meanwhile
            here = child._tasks & self.blocks.keys()
            for task in here if len(here) < 2 else [task for task in self.blocks if task in here]:
                is_in_trios_wait = task._abort_func not in (None, task.custom_sleep_data)
                if not is_in_trios_wait and self.is_due(task):
                    task._attempt_delivery_of_any_pending_cancel()
            blocks += [child for child in child._children if not child._scope._shield]

    def forget(self, task: Task) -> None:
        """A task that was told of something has ended."""
        del self.blocks[task]
        self._last.pop(task, None)

    def explains(self, task: Task, status: CancelStatus | None, cancels: int) -> bool:
        """Tell whether a CancelledError that leaves this block is the answer to what the task was told there.

        It is, unless Task.cancel() has been called since.
        """
        blocks = self.blocks.get(task)
        return blocks is not None and status is not None and cancels <= blocks.get(status, -1)


def as_scopes(error: E, status: CancelStatus | None) -> E | Cancelled:
    """The error that leaves a block; as trio's, if asyncio code answers the block's cancellation by its own error.

    asyncio code often answers a cancellation by another CancelledError: that of a future which it has cancelled, or
    a new one. trio's scope ends its own exception only.
    """
    scheduler = RUN.__dict__.get("scheduler")
    if scheduler is None or not scheduler.explains(status):
        return error
    translated: E | Cancelled = _translated(error, status)
    return translated


def _translated(error: Any, status: Any) -> Any:
    if isinstance(error, BaseExceptionGroup):
        translated = [_translated(each, status) for each in error.exceptions]
        if all(map(operator.is_, translated, error.exceptions)):
            return error
        group = error.derive(translated).with_traceback(error.__traceback__)
        group.__cause__, group.__context__ = error.__cause__, error.__context__
        return group
    if not is_plain(error):
        return error
    cancelled = Cancelled.of_scope(status).with_traceback(error.__traceback__)
    cancelled.__context__ = error
    return cancelled


_exit_scope = trio.CancelScope.__exit__


# Public, this would be a list of exception types that a scope takes for a cancellation.
@replaces(trio.CancelScope, "__exit__")
@enable_ki_protection
def exit_scope(
    self: trio.CancelScope, etype: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
) -> bool:
    """CancelScope.__exit__(): asyncio code may answer the scope's cancellation by an exception of asyncio's."""
    if exc is not None and not isinstance(exc, trio.Cancelled) and not isinstance(exc, Exception):
        exc = as_scopes(exc, self._cancel_status)
    return _exit_scope(self, etype, exc, tb)


_cancel_name = "_cancel" if hasattr(trio.CancelScope, "_cancel") else "cancel"  # in newer trio deadlines call the first
_cancel = vars(trio.CancelScope)[_cancel_name]


# Public, this would be a function to be called when a scope is cancelled.
@replaces(trio.CancelScope, _cancel_name)
@enable_ki_protection
def cancel_scope(self: trio.CancelScope, *reason: Any, **words: Any) -> None:
    """CancelScope.cancel(): trio tells nobody who is in a cancelled scope already, further inside."""
    is_first = not self._cancel_called
    _cancel(self, *reason, **words)
    scheduler = RUN.__dict__.get("scheduler")
    if is_first and scheduler is not None and self._cancel_status is not None:
        scheduler.told.tell_in(self._cancel_status)
