"""The two kinds of task, and what stands for each in the other world.

The interpreter steps an asyncio Task, and a trio task is stepped by trio's rules. Neither becomes the other. When trio
code in a Task asks for the current trio task, it gets a `TrioStandIn`. When asyncio code in a trio task asks for the
current Task, it gets an `AsyncioStandIn`. A stand-in is made when it is first asked for, and ends with its task.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import trio
from outcome import Error, Outcome, Value
from trio.lowlevel import Abort, enable_ki_protection

from .. import _asyncio
from .._types import AnyCoroutine, AnyFuture, AnyTask, StepFunction
from ..exceptions import is_cancellation, is_plain
from .cancellation import Cancelled, raised_by
from .names import Derivable, Task, protected
from .nurseries import PARKING_LOTS, abandon_nurseries, break_parking_lots, note_reason

if TYPE_CHECKING:
    from .scheduler import Scheduler


# Task.cancel() in a wait of asyncio's, or in none: below which Task.cancelling() it is taken back.
_COUNT_IN_ASYNCIO = 0 if _asyncio.UNCANCEL_KEEPS_THE_REQUEST else 1


@protected
class CancelRequest:
    """A Task.cancel() that is to be raised in a wait of trio's, in this one or the next."""

    __slots__ = ("count", "message", "raised")

    def __init__(self, message: object, count: int) -> None:
        self.message = message
        self.count = count  # of Task.cancelling(); uncancel() below that takes the request back
        self.raised = False

    def is_taken_back(self, cancels: int) -> bool:
        """Tell whether uncancel() has taken it back, where Task.cancelling() is so much now."""
        return cancels < self.count

    def error(self) -> asyncio.CancelledError:
        return asyncio.CancelledError(*([] if self.message is None else [self.message]))

    def raise_it(self) -> NoReturn:
        """Called for a wait that is interrupted."""
        self.raised = True
        raise self.error()


def interrupt_by(request: CancelRequest, task: Task) -> None:
    """Interrupt the wait of trio's that the task is in, if that can be interrupted now."""
    if task._abort_func is not None:
        note_reason(task)
        task._attempt_abort(request.raise_it)


class _Coroutine:
    """Gives a generator, or anything else that a Task can run, the attributes that trio looks at in a coroutine."""

    def __init__(self, coro: Any) -> None:
        self._coro = coro
        self.cr_frame = getattr(coro, "gi_frame", None)

    @property
    def cr_await(self) -> Any:
        return getattr(self._coro, "gi_yieldfrom", None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)


CHECKPOINT = trio.lowlevel.checkpoint.__code__


def is_in_checkpoint(coro: Any) -> bool:
    """Tell whether a suspended coroutine waits in trio.lowlevel.checkpoint().

    That starts as a shielded one, and looks afterwards whether a scope is cancelled: of Task.cancel() it knows nothing.
    """
    while coro is not None:
        if getattr(coro, "cr_code", None) is CHECKPOINT:
            return True
        inner = (getattr(coro, name, None) for name in ("cr_await", "gi_yieldfrom", "ag_await"))
        coro = next(filter(None, inner), None)
    return False


def unfinished_children(future: AnyFuture) -> list[AnyFuture]:
    """The children of a future of gather()'s that are not done.

    asyncio ends such a future with its first child that fails or is cancelled. But a cancel scope is left only when all
    that is inside has ended.
    """
    return [child for child in getattr(future, "_children", ()) if not child.done()]


def failure_of(children: Sequence[AnyFuture]) -> BaseException | None:
    """The first error, beside cancellations, of what gather() was waiting for when it was cancelled."""
    errors = (child.exception() for child in children if not child.cancelled())
    return next((error for error in errors if error is not None), None)


class Interruption(NamedTuple):
    """A scope has interrupted a Task's wait of asyncio's."""

    cancels: int  # Task.cancelling() at that time
    cancellation: Cancelled
    children: list[AnyFuture]  # what gather() was waiting for


# --- the trio task of an asyncio Task ---------------------------------------------------------------------------------

_UNKNOWN_CONTEXT = Context()


@protected
class TrioStandIn(Derivable, Task):  # type: ignore[misc]
    """The trio task of an asyncio Task: what trio code in that Task sees as the current task.

    Nothing steps it. While the Task is in a wait of trio's, this is the future that the Task waits for; trio wakes the
    Task by rescheduling this.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "aio_task",
        "get_loop",
        "in_checkpoint",
        "interruption",
        "is_overcounted",
        "postponed",
        "request",
        "scheduler",
        "step_context",
        "wakeup",
    )

    _counter = 0  # of a deterministic order of the tasks that trio steps
    _eventual_parent_nursery = None  # Nursery.start() has not made it
    _ki_protected = False

    aio_task: AnyTask
    scheduler: Scheduler
    get_loop: Callable[[], Any]
    in_checkpoint: bool
    request: CancelRequest | None  # Task.cancel() has come in this wait
    postponed: CancelRequest | None  # Task.cancel() has come in a wait that could not be interrupted
    is_overcounted: bool  # Task.cancelling() is one too high until the next step
    interruption: Interruption | None
    # How the interpreter wakes the Task after a wait of trio's; set with the first one.
    wakeup: StepFunction
    step_context: Context

    @property
    def name(self) -> str:
        """The Task's own name."""
        name: str = self.aio_task.get_name()
        return name

    @name.setter
    def name(self, name: str) -> None:
        if name:
            self.aio_task.set_name(name)

    @property
    def context(self) -> Context:
        """The context of the Task's steps: its own, unless trio has set another, as for trio.from_thread.run()."""
        return self.scheduler.other_contexts.get(self, self._own_context())

    @context.setter
    def context(self, context: Context) -> None:
        if context is self._own_context():
            self.scheduler.other_contexts.pop(self, None)
        else:
            self.scheduler.other_contexts[self] = context

    def _own_context(self) -> Context:
        if sys.version_info >= (3, 12):
            return self.aio_task.get_context()
        return getattr(self, "step_context", _UNKNOWN_CONTEXT)  # a Task tells it with its first wait of trio's

    def is_in_trio(self) -> bool:
        """Tell whether the Task is in a nursery, a cancel scope or a wait of trio's, which cannot be left later on."""
        in_scope = self._parent_nursery is None or self._cancel_status is not self._parent_nursery._cancel_status
        return in_scope or self._abort_func is not None

    def end(self) -> None:
        """The Task has ended: so has this."""
        task: Any = self.aio_task
        if self.scheduler.stand_ins.pop(task, None) is None:
            return  # in this very step the loop has ended, or this has
        if self._child_nurseries or self._cancel_status.abandoned_by_misnesting:
            error = abandon_nurseries(self)
            if error is not None:
                _asyncio.replace_result(task, error)
        elif self._cancel_status.effectively_cancelled and task.cancelled():
            task._make_cancelled_error()  # takes away the scope's exception, which is not for who awaits the Task
        self.let_go()

    def let_go(self) -> None:
        """The Task has ended, or stays pending in a loop that is closed. trio hears no more of it."""
        scheduler = self.scheduler
        self._cancel_status._tasks.discard(self)
        self._cancel_status = None  # type: ignore[assignment]
        self.interruption = None
        if PARKING_LOTS and self in PARKING_LOTS:
            break_parking_lots(self)
        if scheduler.told.blocks and self in scheduler.told.blocks:
            scheduler.told.forget(self)
        if scheduler.pending:
            scheduler.pending.pop(self, None)
        if scheduler.other_contexts:
            scheduler.other_contexts.pop(self, None)
        if scheduler.instruments:
            scheduler.tell("task_exited", self)

    # The waits of trio's.

    def wait(self, abort_func: Callable[..., Abort]) -> TrioStandIn:
        """The Task begins a wait of trio's. Return what the Task has to yield to the interpreter."""
        self._asyncio_future_blocking = True
        self._abort_func = abort_func
        if self.postponed is not None:
            postponed, self.postponed = self.postponed, None
            if self.aio_task.cancelling() >= postponed.count:
                self.request = postponed
                interrupt_by(postponed, self)
        if self._cancel_status.effectively_cancelled:
            self._attempt_delivery_of_any_pending_cancel()
        return self

    def postpone(self, error: asyncio.CancelledError) -> None:
        """Task.cancel() has interrupted what is not to be interrupted: raise it in the next wait."""
        self._postpone(CancelRequest(error.args[0] if error.args else None, self.aio_task.cancelling()))

    def take_answer(self) -> Outcome[Any]:
        """How the wait has ended, in the Task's next step."""
        answer: Any = self._next_send or Value(None)
        self._next_send = None
        request, self.request = self.request, None
        if request is not None and not request.raised:
            self._postpone(request)
        if type(answer) is Error:
            error = answer.error
            if isinstance(error, trio.Cancelled):
                self.scheduler.told.note(self, self.aio_task.cancelling())
                Cancelled.of(error)
            elif is_plain(error):
                error.__traceback__ = None  # its frames hold the Task, and asyncio's has none
        return answer  # type: ignore[no-any-return]

    def _postpone(self, request: CancelRequest) -> None:
        # If there is no further wait, the Task ends as if it had not been cancelled: what it has got is not lost.
        self.postponed = request
        self.scheduler.note_pending(self)

    # What a future has, for the Task.

    def add_done_callback(self, wakeup: StepFunction, *, context: Context | None = None) -> None:
        """The interpreter tells how the Task is to be woken."""
        self.wakeup = wakeup
        if context is not None:
            self.step_context = context

    def done(self) -> bool:
        """Always False: a Task refers to this only while it waits."""
        return False

    def cancel(self, msg: object = None) -> bool:
        """Task.cancel() asks for this wait to end. If it cannot be interrupted, the next one is."""
        if self.request is None or not self.request.raised:  # else one error is for both requests, as in asyncio
            self.request = CancelRequest(msg, self.aio_task.cancelling())
            self.scheduler.call_in_run(partial(self._interrupt_by, self.request))
        return True

    def _interrupt_by(self, request: CancelRequest) -> None:
        if self.request is request and not request.raised:
            interrupt_by(request, self)

    # Cancel scopes.

    def _attempt_delivery_of_any_pending_cancel(self) -> None:
        """Called by trio: a scope around the Task is cancelled."""
        if self._abort_func is not None:
            super()._attempt_delivery_of_any_pending_cancel()
        elif not self.aio_task.done() and self.scheduler.told.is_due(self) and not self.deliver():
            self.scheduler.note_pending(self)

    def deliver(self) -> bool:
        """Interrupt the wait that the Task is in, if it is to be interrupted. Tell whether nothing is left to do."""
        task: Any = self.aio_task
        told, postponed = self.scheduler.told, self.postponed
        if task.done():
            self.end()
            return True
        if self.is_overcounted and not task._must_cancel:  # the step has been made
            self.is_overcounted = False
            task.uncancel()
            told.take_back_cancel(self)
        due = told.is_due(self)
        if postponed is None and not due:
            return not self.is_overcounted
        awaited = task._fut_waiter
        if awaited is self or (not _asyncio.is_suspended(task.get_coro()) if awaited is None else awaited.done()):
            return False  # it has not begun, or goes on anyway
        if postponed is not None:
            self.postponed = None
            if task.cancelling() >= postponed.count:
                task.uncancel()
                task.cancel(postponed.message)
            return not due
        if self.in_checkpoint:
            return False  # trio looks for a cancelled scope by itself, if it is a point of cancellation
        if awaited is None:
            self._interrupt_bare_yield()
            return not self.is_overcounted
        told.note(self, task.cancelling())
        cancellation = Cancelled.of_scope(self._cancel_status)
        self.interruption = Interruption(task.cancelling(), cancellation, unfinished_children(awaited))
        awaited.cancel()
        return True

    def _interrupt_bare_yield(self) -> None:
        # Only Task.cancel() raises something there, and only the interpreter can raise it.
        task = self.aio_task
        task.cancel()
        if _asyncio.UNCANCEL_KEEPS_THE_REQUEST or task.cancelling() > 1:
            task.uncancel()
        else:
            self.is_overcounted = True  # until the step has been made
        self.scheduler.told.note(self, task.cancelling())


_new = object.__new__


@enable_ki_protection
def make_stand_in(aio_task: AnyTask, scheduler: Scheduler, nursery: trio.Nursery) -> TrioStandIn:
    """Make the trio task of an asyncio Task.

    In place of __init__(): trio's metaclass and that of its Task would take longer than all of this.
    """
    self = _new(TrioStandIn)
    coro: Any = aio_task.get_coro()
    if type(coro) is not CoroutineType and not hasattr(coro, "cr_frame"):
        coro = _Coroutine(coro)
    # The attributes of a trio task.
    self._parent_nursery = nursery
    self.coro = coro
    self._runner = scheduler.runner
    self._next_send_fn = self._next_send = self._abort_func = self.custom_sleep_data = None
    self._schedule_points = self._cancel_points = 0
    self._child_nurseries = []
    self._cancel_status = status = nursery._cancel_status
    status._tasks.add(self)

    self.aio_task = aio_task
    self.scheduler = scheduler
    self.get_loop = scheduler.loop
    self._asyncio_future_blocking = self.in_checkpoint = self.is_overcounted = False
    self.request = self.postponed = self.interruption = None
    return self


# --- the asyncio Task of a trio task ----------------------------------------------------------------------------------


@protected
class AsyncioStandIn(asyncio.Task[Any]):
    """The asyncio Task of a trio task: what asyncio code in that trio task sees as the current Task.

    The interpreter never steps it. It is done when the trio task has ended, and to cancel it is to interrupt the trio
    task's wait, once.
    """

    def __init__(self, trio_task: Task, scheduler: Scheduler, loop: asyncio.AbstractEventLoop) -> None:
        self.trio_task = trio_task
        self._scheduler = scheduler
        self._cancels = 0
        self._request: CancelRequest | None = None
        self._ends_cancelled = False  # the request came in a step of its own: as in asyncio, that may be the last one
        super().__init__(trio_task.coro, loop=loop, name=trio_task.name, context=trio_task.context)
        self._drop_first_step(scheduler.queue)
        self._log_destroy_pending = False

    def _drop_first_step(self, queue: deque[object]) -> None:
        """super() has asked for it. Behind it may be what a signal handler or another thread has queued meanwhile."""
        behind = []
        while type(entry := queue.pop()) is not tuple or entry[1].__self__ is not self:
            behind.append(entry)
        queue.extend(reversed(behind))

    def get_name(self) -> str:
        """The name of the trio task."""
        return self.trio_task.name

    def set_name(self, value: object, /) -> None:
        """Rename the trio task."""
        self.trio_task.name = str(value)

    @property
    def _coro(self) -> AnyCoroutine:
        return self.trio_task.coro

    def get_coro(self) -> AnyCoroutine:
        """The coroutine of the trio task."""
        return self.trio_task.coro

    @property
    def _fut_waiter(self) -> AnyFuture | None:
        return awaited_future(self.trio_task)

    @property
    def _must_cancel(self) -> bool:
        return self._request is not None

    def cancelling(self) -> int:
        """How often cancel() was called, less the calls of uncancel()."""
        return self._cancels

    def uncancel(self) -> int:
        """Take back one cancel(); the number of those that are left."""
        if self._cancels:
            self._cancels -= 1
            if self._request is not None and self._request.is_taken_back(self._cancels):
                self._request = None
        return self._cancels

    def cancel(self, msg: object = None) -> bool:
        """Raise CancelledError in the trio task's wait, or in its next one. Return False if it has ended."""
        if self.done():
            return False
        self._cancels += 1
        self._request = CancelRequest(msg, self._cancels if self._is_in_wait_of_trios() else _COUNT_IN_ASYNCIO)
        self._ends_cancelled = self._scheduler.entry is self.trio_task
        self._scheduler.call_in_run(self._deliver_or_wait)
        return True

    def _is_in_wait_of_trios(self) -> bool:
        """Tell whether the trio task waits as a trio task does, or such a wait has ended.

        A checkpoint is none: in a Task it is a bare yield.
        """
        task = self.trio_task
        if self._scheduler.entry is task or type(task.custom_sleep_data) is FutureWait:
            return False
        return task._next_send_fn is None or (isinstance(task._next_send, Outcome) and not is_in_checkpoint(task.coro))

    def _deliver_or_wait(self) -> None:
        if not self.deliver():
            self._scheduler.note_pending(self)

    def deliver(self) -> bool:
        """Interrupt the wait that the trio task is in. Tell whether nothing is left to do."""
        request, task = self._request, self.trio_task
        if request is None or self.done() or request.raised or request.is_taken_back(self._cancels):
            self._request = None
            return True
        wait = task.custom_sleep_data
        if type(wait) is FutureWait:
            wait.cancel(request)
        elif task._abort_func is not None:
            interrupt_by(request, task)
            if not request.raised:
                return False
        elif not (isinstance(task._next_send, Error) and is_plain(task._next_send.error)):
            return False  # it runs, or goes on, and not because of another cancel()
        self._request = None
        return True

    def before_step(self) -> None:
        """The trio task goes on. If cancel() came after its wait, the cancellation comes first, as in asyncio."""
        request, task = self._request, self.trio_task
        if (
            request is None
            or request.raised
            or request.is_taken_back(self._cancels)
            or type(task.custom_sleep_data) is FutureWait
        ):
            return
        if not isinstance(task._next_send, Outcome):  # a bare yield
            if isinstance(task._next_send, trio.Cancelled):
                self._scheduler.told.take_back(task)  # the scope's can come again
            task._next_send_fn, task._next_send = task.coro.throw, request.error()
        elif is_in_checkpoint(task.coro):
            task._next_send = Error(request.error())
        elif not (isinstance(task._next_send, Error) and is_plain(task._next_send.error)):
            return
        self._request = None  # that error is for both, if there is one already

    def finish(self, outcome: Outcome[Any]) -> Outcome[Any]:
        """The trio task has ended. Return what its nursery gets: a cancelled Task is no failure."""
        request = self._request
        if request is not None and not request.raised and self._ends_cancelled and isinstance(outcome, Value):
            outcome = Error(request.error())
        if not isinstance(outcome, Error):
            # unwrap() works once only, and who gets the outcome may call it.
            asyncio.Future.set_result(self, outcome.value)  # type: ignore[attr-defined]
        elif is_cancellation(outcome.error):
            asyncio.Future.cancel(self, *(outcome.error.args[:1] if is_plain(outcome.error) else ()))
        else:
            asyncio.Future.set_exception(self, outcome.error)
            self._log_traceback = False  # the nursery tells of it
        self._request = None
        return outcome


@protected
class FutureWait:
    """A trio task waits for a future of asyncio's. This is the future's callback and the task's abort function."""

    __slots__ = ("_children", "_interruption", "_request", "future", "scheduler", "task")

    def __init__(self, scheduler: Scheduler, task: Task, future: AnyFuture) -> None:
        self.scheduler = scheduler
        self.task = task
        self.future = future
        self._interruption: BaseException | None = None  # by a scope, or Ctrl-C
        self._children: Sequence[AnyFuture] = ()  # those that the interruption meets
        self._request: CancelRequest | None = None

    def __call__(self, argument: Any) -> Abort | None:
        """The abort function. The future is cancelled, and the wait goes on until it has ended."""
        if argument is self.future:  # a future that calls its callbacks by itself
            self.wake()
            return None
        scheduler, task = self.scheduler, self.task
        interruption = raised_by(argument)
        if isinstance(interruption, trio.Cancelled):
            if not scheduler.told.is_due(task):
                return Abort.FAILED
            scheduler.told.note(task, scheduler.count_cancels(task))
            interruption = Cancelled.of(interruption)
        self._interruption, self._children = interruption, unfinished_children(self.future)
        self.future.cancel()
        return Abort.FAILED

    def cancel(self, request: CancelRequest) -> None:
        """Task.cancel(): cancel the future; if it is done already, raise CancelledError in its place."""
        if not self.future.cancel(request.message) and (self._interruption is not None or not self.future.cancelled()):
            self._request = request

    def wake(self) -> None:
        """The future is done: have the task go on in the next batch."""
        if self._interruption is not None and (children := unfinished_children(self.future)):
            children[0].add_done_callback(lambda child: self.wake())
            return
        self.task._abort_func = None
        self.scheduler.resume(self.task)

    def error(self) -> BaseException | None:
        """What is to be raised in the task, in its next step."""
        error: BaseException | None = None
        try:
            self.future.result()
        except BaseException as raised:
            error = raised
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # without this frame
        interruption = self._interruption
        if self._request is not None and self._request.is_taken_back(self.scheduler.count_cancels(self.task)):
            self._request = None
        if self._request is None and not isinstance(interruption, trio.Cancelled):
            return interruption or error  # Ctrl-C
        if self._request is None and isinstance(error, asyncio.CancelledError):
            error = failure_of(self._children)
            if error is None:
                return interruption
        if interruption is not None:
            self.scheduler.told.take_back(self.task)  # the scope interrupts the next wait
        return error if self._request is None else self._request.error()


def awaited_future(task: Task) -> AnyFuture | None:
    """The future of asyncio's that a trio task waits for; None if it does not."""
    wait = task.custom_sleep_data
    return wait.future if type(wait) is FutureWait else None
