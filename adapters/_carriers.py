"""What is between an asyncio Task and trio: the trio task that it has, from the moment on that somebody can tell.

A Task is the interpreter's own, in C, and so is each of its steps, until something of trio's is called in it. Only then
it gets a trio task, whose coroutine is a `Carrier`: from there on each of its steps is a step of that trio task's, and
cancel scopes, nurseries and trio's tools see it as one. A plain trio task, the other way round, gets an asyncio Task
when it first needs one; its coroutine goes on inside that.
"""

from __future__ import annotations

import asyncio
import collections.abc
import types
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, NoReturn

import trio
from outcome import Error, Outcome, Value
from trio.lowlevel import Abort

from . import _trio_internals as internals
from .exceptions import is_cancellation, without_task_cancellation

if TYPE_CHECKING:
    from .events import BaseLoop

std: Any = asyncio
Task: Any = asyncio.Task
_std_tasks: Any = asyncio.tasks
_enter_task = _std_tasks._enter_task
_leave_task = _std_tasks._leave_task
std_current_task = _std_tasks.current_task  # the interpreter's own account: tasks.answer_for_std() replaces the name
# From 3.14 on, Tasks in Python have an account of their own, which asyncio.current_task() does not look into.
_py_current_task = getattr(_std_tasks, "_py_current_task", std_current_task)
_get_running_loop = asyncio._get_running_loop

# Carriers in whose Tasks a cancel scope's cancellation is to be raised. sleep(0) looks at this: nothing comes by there.
interrupted: set[Carrier] = set()


class Carrier:
    """The coroutine, to trio, of a trio task that carries an asyncio Task.

    trio steps it by `send`, which has the interpreter step the Task, and looks through it at the Task's coroutine. To
    the Task it is the future that it waits for while it is in a wait of trio's own. And it is the abort function of the
    waits of asyncio's kind: no closure, trap or bound method is made for a wait.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "adopted",
        "answer",
        "asked_for",
        "cancelled_by_trio",
        "due",
        "owed",
        "own_trap",
        "released_into",
        "task",
        "trap",
        "trio_task",
        "wakeup",
        "was_cancelled",
        "yielded",
    )

    def __init__(self, task: Any) -> None:
        self.task = task
        self.trio_task: Any = None
        self.adopted: Continued | None = None  # what its Task runs, if there was a plain trio task first
        self.due: tuple[Any, ...] | None = None  # the step that is to be made: the interpreter's function, its argument
        self.cancelled_by_trio: Callable[[], NoReturn] | None = None
        self.was_cancelled = False  # by a scope, at some time
        self.released_into: list[Any] | None = None  # its loop has ended in this step; the loop that runs afterwards
        self.own_trap: Any = None
        # A wait of trio's:
        self._asyncio_future_blocking = False
        self.trap: Any = None  # which the Task has begun in the running step, and trio does not know yet
        self.wakeup: Any = None
        self.answer: Outcome[Any] | None = None
        self.asked_for: Cancellation | None = None  # Task.cancel() has come in this wait
        self.owed: Cancellation | None = None  # one that could not be delivered in its wait
        self.yielded: Any = None

    # --- to trio ------------------------------------------------------------------------------------------------------

    def send(self, answer: Any) -> Any:
        """Step the Task for trio. The return value is what a coroutine would yield to it.

        trio answers its own waits with an Outcome, and those that are made here with None.
        """
        if answer is not None:
            self.answer = self._for_asyncio(answer)
            self.due = self.wakeup, self
        elif self.due is None:
            raise StopIteration  # its loop is closing
        elif self.cancelled_by_trio is not None and len(self.due) > 1:
            wakeup, future = self.due
            self.due = wakeup, self._interrupted(future)
        return self._step()

    def throw(self, error: TypeError) -> Any:
        """Wait for what the coroutine has yielded to trio, which does not know how, in the step that adopted it."""
        self.due = self.wakeup, self
        return self._step()

    def _step(self) -> Any:
        task: Any = self.task
        loop = task.get_loop()
        due: Any
        due, self.due = self.due, None
        start = loop.time() if loop._debug else None
        trio_task = self.trio_task
        state = internals.begin_step_of_asyncio(trio_task)
        try:
            if len(due) == 2:
                due[0](due[1])
            else:
                due[0]()
        except (SystemExit, KeyboardInterrupt) as error:
            if not self.adopted:
                loop._stop_with(error)
        except BaseException as error:
            loop._ready.report((trio_task.context, *due), error)
        finally:
            due = None  # a traceback may lead to this frame
            internals.end_step_of_asyncio(trio_task, state)
            if interrupted:
                interrupted.discard(self)
                self.cancelled_by_trio = None
        if self.released_into is not None:
            std._set_running_loop(*self.released_into)
            if not task.done():
                return self.trap
        if start is not None:
            loop._log_if_slow(repr(task), loop.time() - start)
        if loop._run.new_tasks:
            loop._settle_new_tasks()
        if task.done():
            task = None  # as above
            return self._end(loop)
        trap, self.trap = self.trap, None
        if trap is not None:
            return trap
        return internals.PARKED if loop._run.steps_itself else self._own_trap()

    def _own_trap(self) -> Any:
        if self.own_trap is None:
            self.own_trap = internals.make_trap(self)
        return self.own_trap

    def __call__(self, raise_cancel: Callable[[], NoReturn]) -> Abort:
        """The abort function: a cancel scope has reached a wait of asyncio's kind.

        Pass it on to what is awaited, and wait for its end.
        """
        self.cancelled_by_trio = raise_cancel
        interrupted.add(self)
        awaited = self.task._fut_waiter
        if awaited is not None:
            getattr(awaited, "cancel_and_wait_for_all", awaited.cancel)()
        return Abort.FAILED

    def _interrupted(self, future: Any) -> Any:
        """What to wake the Task by after a wait that a scope has cancelled: the future, or what fails in its place."""
        raise_cancel, self.cancelled_by_trio = self.cancelled_by_trio, None
        assert raise_cancel is not None
        cancellation = _caught(raise_cancel)
        if not isinstance(cancellation, trio.Cancelled):
            return _Failed(cancellation)  # Ctrl-C
        if self.task._must_cancel:
            return future  # Task.cancel() comes once only, and first; the scope's comes again at the next wait
        try:
            future.result()
        except asyncio.CancelledError:
            self.was_cancelled = True
            return _Failed(internals.Cancelled.of(cancellation))
        except BaseException:
            pass
        return future  # it has not heeded the cancellation

    def _for_asyncio(self, answer: Outcome[Any]) -> Outcome[Any]:
        if isinstance(answer, Error):
            if isinstance(answer.error, trio.Cancelled):
                self.was_cancelled = True
                return Error(internals.Cancelled.of(answer.error))
            if isinstance(answer.error, asyncio.CancelledError):
                answer.error.__traceback__ = None  # whose frames hold the Task; asyncio has none
        return answer

    def refuse(self, error: BaseException) -> Outcome[None]:
        """Let go of a Task that cannot be stepped; as asyncio's, it is pending for ever, and the loop goes on."""
        loop = self.task.get_loop()
        loop.call_exception_handler({"message": f"{self.task!r} cannot be stepped", "exception": error})
        self.part(loop)
        return Value(None)

    def part(self, loop: Any) -> None:
        """Let the Task and the trio task go their own ways."""
        # They refer to each other: what is done shall go at once, not by the garbage collector.
        loop._carriers.pop(self.task, None)
        loop._adopted.discard(self)
        self.task = self.trio_task = self.wakeup = self.due = self.own_trap = None

    def _end(self, loop: Any) -> Any:
        task, trio_task = self.task, self.trio_task
        self.part(loop)
        if self.adopted is not None:
            self.adopted.end_for_trio(task, trio_task)
        if self.was_cancelled and task.cancelled() and internals.is_cancelled_whole(trio_task):
            task._make_cancelled_error()  # the scope's: not for who awaits the Task, who gets a new one
        raise StopIteration

    def settle(self) -> None:
        """Have trio know how the Task waits after the step in which it got its trio task."""
        task, trio_task = self.task, self.trio_task
        if task.done():
            self.part(task.get_loop())
            internals.end(trio_task)
        else:
            trap, self.trap = self.trap or internals.PARKED, None
            internals.take_trap(trio_task, trap)

    def __getattr__(self, name: str) -> Any:
        """Show trio the coroutine's cr_frame, cr_await, cr_running ... as its own."""
        if not name.startswith("cr_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        coro = self.task and self.task.get_coro()
        of_generator = "gi_yieldfrom" if name == "cr_await" else name.replace("cr_", "gi_")
        return getattr(coro, name, None) or getattr(coro, of_generator, None)

    # --- to the loop --------------------------------------------------------------------------------------------------

    def schedule(self, step: Any, argument: tuple[Any, ...], context: Context | None) -> None:
        """Have a step of the Task's made in the next batch; call_soon() was asked for it."""
        self.due = (step, *argument)
        if context is not None:
            self.trio_task.context = context
        if self.wakeup is None and self.adopted is not None:
            return  # it is being adopted: adopt() makes that step
        (internals.wake if self.task.get_loop()._run.steps_itself else internals.start)(self.trio_task)

    # --- to the Task: the future that stands for a wait of trio's -----------------------------------------------------

    def get_loop(self) -> Any:
        return self.task.get_loop()

    def add_done_callback(self, wakeup: Any, *, context: Context | None = None) -> None:
        self.wakeup = wakeup
        if context is not None:
            self.trio_task.context = context

    def result(self) -> None:
        """Nothing: the wait itself takes its answer, and raises what is in it."""

    def done(self) -> bool:
        return False

    def take_answer(self) -> Outcome[Any] | None:
        """How the wait has ended."""
        answer, self.answer = self.answer, None
        cancellation, self.asked_for = self.asked_for, None
        if cancellation is not None and not cancellation.raised:
            # The next wait is interrupted instead. If there is none, the Task ends well: what it has is not lost.
            self.owed = cancellation
            self.task.get_loop().call_soon(cancellation.ask_again)
        return answer

    def wait(self, trap: Any) -> None:
        """Begin a wait of trio's."""
        self.trap = trap
        self._asyncio_future_blocking = True
        if self.owed is not None:
            self.owed.ask_again()

    def take_back(self) -> None:
        """The wait is not to be."""
        self.trap, self._asyncio_future_blocking = None, False

    def cancel(self, msg: Any = None) -> bool:
        """Task.cancel() asks for this wait to end.

        A wait that cannot be interrupted comes to its end first, and the next one is interrupted.
        """
        if self.asked_for is None or not self.asked_for.raised:  # else one error is for both, as in asyncio
            self.asked_for = Cancellation(self, msg)
            self._interrupt(self.asked_for)
        return True

    def _interrupt(self, cancellation: Cancellation) -> None:
        if self.trap is None:
            internals.abort(self.trio_task, cancellation.raise_it)
            if internals.stepped_task() is self.trio_task:  # it has just been adopted, and is about to wait
                self.task.get_loop().call_soon(cancel_again, self.task, self.task.get_loop())
        elif (outcome := internals.answer(self.trap, self.task.get_coro(), cancellation.raise_it)) is not None:
            self.trap = None
            internals.reschedule(self.task.get_loop()._runner, self.trio_task, outcome)


class Cancellation:
    """A Task.cancel() that came in a wait of trio's."""

    __slots__ = ("carrier", "count", "message", "raised")

    def __init__(self, carrier: Carrier, message: object) -> None:
        self.carrier = carrier
        self.message = message
        self.count = carrier.task.cancelling()
        self.raised = False

    def raise_it(self) -> NoReturn:
        """Called by the wait that is interrupted, if it can be: only then has the request been met."""
        self.raised = True
        raise asyncio.CancelledError(*([] if self.message is None else [self.message]))

    def is_due(self) -> bool:
        """Tell whether it was neither met nor taken back."""
        return not self.raised and self.carrier.task.cancelling() >= self.count

    def ask_again(self) -> None:
        """Cancel what the Task waits for, or is about to wait for."""
        carrier = self.carrier
        if carrier.owed is self:
            carrier.owed = None
            if self.is_due():
                carrier.task.uncancel()
                carrier.task.cancel(self.message)


class _Failed:
    """A future that wakes a Task with an error."""

    __slots__ = ("_error",)

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def result(self) -> NoReturn:
        try:
            raise self._error.with_traceback(None)
        finally:
            del self._error


# --- which Task has which ---------------------------------------------------------------------------------------------


def _running_task() -> Any:
    """The asyncio Task whose step this is, if it is one of the trio run that is current here."""
    loop: Any = _get_running_loop()
    if loop is None or not internals.is_current(getattr(loop, "_runner", None)):
        return None
    return std_current_task(loop) or _py_current_task(loop)


def carry(task: Any, loop: Any) -> Carrier:
    """A carrier with a trio task for the Task, which is in a step or about to have its first."""
    carrier = Carrier(task)
    nursery = loop._take_nursery_for(task)
    get_context = getattr(task, "get_context", Context)  # before 3.12 it comes with the next wait
    carrier.trio_task = internals.make_task(nursery, loop._runner, carrier, task.get_name(), get_context())
    loop._carriers[task] = carrier
    return carrier


def ensure_carried(task: Any, loop: Any) -> None:
    """Give the Task, which waits or has been started eagerly, a trio task, if it has none."""
    if task not in loop._carriers:
        loop._note_new_task(carry(task, loop))


def show_name(task: Any, loop: Any) -> None:
    """Give the trio task of a Task, if it has one, the name of that."""
    carrier = getattr(loop, "_carriers", {}).get(task)
    if carrier is not None:
        carrier.trio_task.name = task.get_name()


def cancel_again(task: Any, loop: Any) -> None:
    """After a Task.cancel() in a signal handler: trio may not have known yet how to interrupt the wait."""
    carrier = getattr(loop, "_carriers", {}).get(task)
    if carrier is not None and carrier.asked_for is not None and carrier.asked_for.is_due():
        internals.abort(carrier.trio_task, carrier.asked_for.raise_it)


def cancellation_of(group: BaseExceptionGroup[Any]) -> BaseException | None:
    """What a nursery raises for a group of cancellations, in an asyncio Task: Task.cancel()'s, if there is one."""
    task = _running_task()
    if task is None or type(task) is AdoptedTask or not is_cancellation(group):
        return None
    errors: list[BaseException] = [group]
    found = None
    for error in errors:
        if isinstance(error, BaseExceptionGroup):
            errors += error.exceptions
        elif not isinstance(error, trio.Cancelled):
            return error
        else:
            found = error
    return internals.Cancelled.of(found) if found is not None else None


internals.collapse_groups_by(cancellation_of)


def is_in_scope(task: Any) -> bool:
    """Tell whether a running Task is in a cancel scope of trio's, or in a nursery other than the loop's."""
    loop = task.get_loop()
    carrier = loop._carriers.get(task)
    return carrier is not None and internals.is_in_scope(carrier.trio_task, loop._nursery)


def _trio_task_of_running_task() -> Any:
    task = _running_task()
    if task is None:
        return None
    carrier = _carrier_of(task)
    carrier.trio_task.name = task.get_name()
    return carrier.trio_task


def _waiter_for(trap: object) -> Carrier | None:
    """For a Task that is about to wait the way of trio's: what it is to wait for."""
    task = _running_task()
    if task is None:
        return None
    carrier = _carrier_of(task)
    carrier.wait(trap)
    return carrier


def _carrier_of(task: Any) -> Carrier:
    loop = task.get_loop()
    carrier: Carrier | None = loop._carriers.get(task)
    if carrier is None:
        carrier = carry(task, loop)
        loop._note_new_task(carrier)
    return carrier


internals.ask_for_tasks(_trio_task_of_running_task)
internals.ask_for_waiters(_waiter_for)


def raise_interruption() -> None:
    """Raise a cancel scope's cancellation in the running Task after a bare yield, if there is one."""
    task = _running_task()
    carrier = None if task is None else task.get_loop()._carriers.get(task)
    if carrier in interrupted:
        raise_cancel, carrier.cancelled_by_trio = carrier.cancelled_by_trio, None
        cancellation = _caught(raise_cancel)
        if isinstance(cancellation, trio.Cancelled):
            carrier.was_cancelled = True
            cancellation = internals.Cancelled.of(cancellation)
        raise cancellation


# --- plain trio tasks -------------------------------------------------------------------------------------------------


class Continued(collections.abc.Coroutine[Any, Any, Any]):
    """The coroutine of a Task that was a plain trio task first: the rest of that task's."""

    def __init__(self, coro: Any, carrier: Carrier) -> None:
        self._coro = coro
        self._carrier = carrier
        self._begins = True
        self._failure: BaseException | None = None

    def send(self, value: Any) -> Any:
        """Its first wait is whatever the running step of the trio task comes to."""
        carrier = self._carrier
        if self._begins:
            self._begins, carrier._asyncio_future_blocking = False, True
            return carrier
        if carrier.yielded is not None:
            yielded, carrier.yielded = carrier.yielded, None
            return yielded
        if self._coro.cr_frame is None:
            raise StopIteration  # it ended in the step in which it was adopted: what it has returned is not known
        return self._forward(self._coro.send, carrier.take_answer())

    def throw(self, *error: Any) -> Any:
        return self._forward(self._coro.throw, *error)

    def _forward(self, step: Callable[..., Any], *value: Any) -> Any:
        carrier = self._carrier
        try:
            yielded = step(*value)
        except StopIteration:
            raise
        except BaseException as error:
            self._failure = error
            if is_cancellation(error) and not isinstance(error, asyncio.CancelledError):
                raise asyncio.CancelledError from error
            raise
        finally:
            if carrier.released_into is not None:
                self._return_to_released()
        if carrier.released_into is not None:
            carrier.trap, carrier._asyncio_future_blocking = yielded, True  # for trio
            return carrier
        return yielded

    def _return_to_released(self) -> None:
        """The loop has ended in this step; but the interpreter wants to leave the Task in it."""
        loop = self._carrier.task.get_loop()
        self._carrier.released_into = [_get_running_loop()]
        std._set_running_loop(loop)
        _enter_task(loop, self._carrier.task)

    def close(self) -> None:
        """Nothing: the trio task goes on when its loop is gone."""

    def __await__(self) -> Any:
        raise RuntimeError("cannot await what a Task runs")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)

    def end_for_trio(self, task: Any, trio_task: Any) -> NoReturn:
        """Raise what an adopted trio task ends with, in trio's sense.

        Task.cancel() has met its end with the Task, and is nothing to its nursery; but trio.run() tells of it, as
        asyncio.run() does.
        """
        error, self._failure = self._failure, None
        if task.cancelled():
            task._make_cancelled_error()
            if error is None:
                error = asyncio.CancelledError()
        elif task.exception() is None:
            raise StopIteration(task.result())
        assert error is not None
        failure = error if internals.is_main(trio_task) else without_task_cancellation(error)
        try:
            if failure is error:
                raise error
            if failure is not None:
                raise failure from None
        finally:
            del error, failure
        raise StopIteration


class AdoptedTask(Task):  # type: ignore[misc]
    """The asyncio Task of a plain trio task. It shows that task's own coroutine as its."""

    __slots__ = ()

    @property
    def _coro(self) -> Any:
        return Task.get_coro(self)._coro

    def get_coro(self) -> Any:
        """The coroutine of the trio task."""
        return self._coro


def adopt(loop: Any, trio_task: Any) -> AdoptedTask:
    """Give the plain trio task, in its running step, an asyncio Task, which drives it from its next step on."""
    task: AdoptedTask = AdoptedTask.__new__(AdoptedTask)
    carrier = Carrier(task)
    carrier.trio_task = trio_task
    carrier.adopted = Continued(trio_task.coro, carrier)
    loop._carriers[task] = carrier
    Task.__init__(task, carrier.adopted, loop=loop, name=trio_task.name, context=trio_task.context)
    task._log_destroy_pending = False  # it is trio's
    assert carrier.due is not None
    (step,), carrier.due = carrier.due, None
    step()
    trio_task.coro = carrier  # trio looks at it before each step
    loop._adopted.add(carrier)
    loop.call_soon(_end_if_not_driven, carrier)
    return task


def _end_if_not_driven(carrier: Carrier) -> None:
    """End the Task of a trio task that ended in the step in which it was adopted."""
    adopted = carrier.adopted
    assert adopted is not None
    if adopted.cr_frame is None and carrier.task is not None:
        carrier.wakeup(carrier)
        carrier.part(carrier.task.get_loop())


def release_adopted(loop: BaseLoop) -> None:
    """Leave the trio tasks that were adopted to trio again: another loop may adopt them."""
    for carrier in list(loop._adopted):
        assert carrier.adopted is not None
        carrier.trio_task.coro = carrier.adopted._coro
        if std_current_task(loop) is carrier.task:
            _leave_task(loop, carrier.task)
            internals.show(carrier.trio_task)  # the rest of this step is its own
            carrier.released_into = []
            loop._carriers.pop(carrier.task)
            loop._adopted.discard(carrier)
        else:
            carrier.part(loop)


def _take_future(trio_task: Any, yielded: Any) -> None:
    """A plain trio task has yielded a future, or nothing, as asyncio's code does to wait: adopt it, so that it can."""
    loop: Any = _get_running_loop()
    waits_for_asyncio = yielded is None or getattr(yielded, "_asyncio_future_blocking", None)
    if waits_for_asyncio and getattr(loop, "_runner", None) is internals.current_runner():
        if isinstance(trio_task.coro, types.CoroutineType):
            adopt(loop, trio_task)
        if isinstance(trio_task.coro, Carrier):
            trio_task.coro.yielded = yielded
            internals.count_checkpoint(trio_task)


internals.give_unknown_traps_to(_take_future)


def _caught(raise_cancel: Callable[[], NoReturn]) -> BaseException:
    try:
        raise_cancel()
    except BaseException as raised:
        return raised
