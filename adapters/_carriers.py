"""The trio tasks that carry asyncio Tasks.

A trio task is stepped by trio. Here it is stepped through `Carrier.send`, which passes trio's own traps on untouched,
and turns what asyncio's coroutines yield, a future or nothing, into waits of trio's. It runs one Task after the other:
to make a trio task and to end it takes longer than all the rest of a short Task.
"""

from __future__ import annotations

import _asyncio
import asyncio
import inspect
import os
import sys
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
    from .tasks import Task

std: Any = asyncio
_std_tasks: Any = asyncio.tasks
_enter_task = _std_tasks._enter_task
_leave_task = _std_tasks._leave_task
std_current_task = _std_tasks.current_task  # the interpreter's own account: tasks.answer_for_std() replaces the name

_CFuture: Any = _asyncio.Future  # type: ignore[attr-defined,unused-ignore]
_set_result = _CFuture.set_result
_set_exception = _CFuture.set_exception
_cancel = _CFuture.cancel

KEEPS_AWAITERS = sys.version_info >= (3, 14)  # for asyncio.capture_call_graph()
MOST_IDLE_CARRIERS = 100
NO_CONTEXT = Context()


class Carrier:
    """What trio has as the coroutine of a trio task that carries asyncio Tasks.

    trio steps it by `send`, and looks through it at the coroutine inside. A Task that waits for a future registers its
    carrier as the future's callback, and call_soon() turns that callback straight into a reschedule: a wake-up takes
    its place among trio's tasks, as it does in asyncio's queue, at the cost of an append.

    It is the abort function of its own waits, too: no closure, trap or bound method is made for a wait.
    """

    __slots__ = ("adopted", "cancelled_by_trio", "misuse", "task", "trap", "trio_task", "yielded")

    __name__ = "Task.task_wakeup"  # as asyncio shows it among a future's callbacks

    task: Any  # the Task that it carries; None while it is idle
    trio_task: Any

    def __init__(self) -> None:
        self.adopted = False
        self.cancelled_by_trio: Callable[[], NoReturn] | None = None
        self.misuse: RuntimeError | None = None
        self.trap: Any = None
        self.yielded: Any = None

    def send(self, answer: Any) -> Any:
        """Step the Task for trio: the return value is what a coroutine would yield to it.

        trio answers its own waits with an Outcome, and those that are made here with None; a fresh start is like a
        wake-up by nobody.
        """
        task = self.task
        if task is None:
            raise StopIteration  # it was idle, and the loop is closing
        loop = task._loop

        # 1. With what does the coroutine go on?
        error: BaseException | None = None
        if answer is None:
            awaited = task._fut_waiter
            if awaited is not None:
                task._fut_waiter = None
                if KEEPS_AWAITERS:
                    std.future_discard_from_awaited_by(awaited, task)
                try:
                    awaited.result()
                except BaseException as raised:
                    error = raised.with_traceback(_without_our_frames(raised.__traceback__))
            if task._must_cancel or self.cancelled_by_trio is not None or self.misuse is not None:
                error = self._interruption(task, awaited, error)
            awaited = None
        else:
            answer = _answer_of_trio(task, answer)

        # 2. The step.
        if task.done():  # somebody has set its result by force
            self._part(task)
            loop.call_exception_handler(_already_done(task, error))
            return self._rest([task])
        step, value = (task._coro.send, answer) if error is None else (task._coro.throw, error)
        answer = error = None
        _enter_task(loop, task)
        try:
            trap = step(value) if not loop._debug else self._timed(step, value, loop)
        except StopIteration as stop:
            if self.task is not None:  # else its loop has ended in this step
                _leave_task(loop, task)
            self._part(task)
            if task._must_cancel:  # too late for the coroutine to see it
                task._must_cancel = False
                _cancel(task, msg=task._cancel_message)
            else:
                _set_result(task, stop.value)
            if self.adopted:
                raise
        except BaseException as raised:
            step = value = None
            if self.task is not None:
                _leave_task(loop, task)
            self._part(task)
            raised.__traceback__ = _without_our_frames(raised.__traceback__)
            _fail(task, raised)
            if self.adopted:
                _raise_for_trio(task, raised, self.trio_task)
                raise StopIteration from None
            if isinstance(raised, SystemExit | KeyboardInterrupt):
                loop._stop_with(raised)
                raise StopIteration([task]) from None  # past _rest(): the run looks at once whether it has to stop
        else:
            if self.task is not None:
                _leave_task(loop, task)
            if type(trap) in OWN_FUTURES and trap is not task and trap._loop is loop and trap._asyncio_future_blocking:
                # What _wait() would do: nearly all waits are of this kind, and it takes 5 % off them.
                trap._asyncio_future_blocking = False
                trap.add_done_callback(self, context=task._context)
                task._fut_waiter = trap
                if not task._must_cancel and not KEEPS_AWAITERS and loop._run.steps_itself:
                    return internals.PARKED
                return self._has_waiter(task, loop, trap)
            return self._wait(task, loop, trap)
        # A traceback that outlives the Task leads to this frame, and shall not keep the Task or the loop.
        ended = [task]
        task = loop = step = value = None
        return self._rest(ended)

    def _interruption(self, task: Any, awaited: Any, error: BaseException | None) -> BaseException | None:
        """What to throw into the coroutine after a wait of ours, where not all has gone well."""
        if error is None:
            error = self.misuse
        self.misuse = None
        if self.cancelled_by_trio is not None:
            # The cancel scope's cancellation was passed on; what was awaited may not have heeded it.
            raise_cancel, self.cancelled_by_trio = self.cancelled_by_trio, None
            interruption = _caught(raise_cancel)
            if not isinstance(interruption, trio.Cancelled):
                error = interruption  # Ctrl-C
            elif awaited is None or isinstance(error, asyncio.CancelledError):
                error = internals.Cancelled.of(interruption)
        if task._must_cancel:
            if not isinstance(error, asyncio.CancelledError):
                error = task._make_cancelled_error()
            # One error for both; but a scope inside the Task absorbs it, and leaves Task.cancel()'s due.
            if not isinstance(error, trio.Cancelled) or internals.is_cancelled_whole(self.trio_task):
                task._must_cancel = False
        return error

    def _wait(self, task: Any, loop: Any, trap: Any) -> Any:
        """3. The wait: what to tell trio of what the coroutine has yielded."""
        steps_itself = loop._run.steps_itself
        if trap is None:  # sleep(0)
            if steps_itself:
                return internals.AGAIN
            internals.start(self.trio_task)
            return self.trap or self._make_trap()
        blocking = getattr(trap, "_asyncio_future_blocking", None)
        if blocking and trap is not task and _get_loop(trap) is loop:
            trap._asyncio_future_blocking = False
            trap.add_done_callback(self, context=task._context)
            task._fut_waiter = trap
            return self._has_waiter(task, loop, trap)
        if blocking is None and internals.is_trap(trap):
            interrupted = internals.answer(trap, task._coro, task._raise_cancel) if task._must_cancel else None
            if interrupted is None:
                return trap
            internals.reschedule(loop._runner, self.trio_task, interrupted)
        else:
            self.misuse = _describe_misuse(task, trap, blocking, loop)
            internals.start(self.trio_task)
        return self.trap or self._make_trap()

    def _has_waiter(self, task: Any, loop: Any, awaited: Any) -> Any:
        if KEEPS_AWAITERS:
            std.future_add_to_awaited_by(awaited, task)
        if task._must_cancel and awaited.cancel(msg=task._cancel_message):
            task._must_cancel = False
        return internals.PARKED if loop._run.steps_itself else self.trap or self._make_trap()

    def _make_trap(self) -> Any:
        self.trap = internals.make_trap(self)
        return self.trap

    def _part(self, task: Any) -> None:
        # They refer to each other: what is done shall go at once, not by the garbage collector.
        task._carrier = None
        self.task = None
        if self.adopted:
            task._loop._adopted.discard(self)

    def refuse(self, error: BaseException) -> Outcome[None]:
        """End the Task, which cannot be stepped; asyncio's would be pending for ever. The rest of the loop goes on."""
        task = self.task
        if task is not None:
            self._part(task)
            _fail(task, error)
        return Value(None)

    def _rest(self, ended: list[Any]) -> Any:
        """Keep the trio task for another Task, unless somebody could tell that it is the same one."""
        task = ended.pop()
        loop = task._loop
        # A Task whose exception nobody retrieves reports it when it goes, in its own context, which is entered here: so
        # trio gets the last reference, to drop it after the step.
        last = [task] if task._log_traceback else []
        idle, steps_itself = loop._idle_carriers, loop._run.steps_itself
        if (
            self.adopted
            or len(idle) >= MOST_IDLE_CARRIERS
            or not internals.lay_off(self.trio_task, loop._nursery, NO_CONTEXT, watched=not steps_itself)
        ):
            raise StopIteration(last)
        idle.append(self)
        if last:
            return internals.make_trap(self, last)
        return internals.PARKED if steps_itself else self.trap or self._make_trap()

    def _timed(self, step: Any, value: Any, loop: Any) -> Any:
        """Debug mode: a step that is logged if it took long."""
        task, start = self.task, loop.time()
        try:
            return step(value)
        finally:
            loop._log_if_slow(task, loop.time() - start)
            task = loop = step = value = None  # as in send()

    def __call__(self, caller: Any) -> Abort:
        """The abort function: a cancel scope has reached a wait of ours.

        Pass it on to what is awaited, and wait for its end.
        """
        if asyncio.isfuture(caller):  # another loop's, which wakes its waiter
            raise RuntimeError(f"{self.task!r} belongs to a loop of asyncio-on-trio: no other loop can wake it")
        if self.task is None:
            self.trio_task = None  # idle, and the nursery is closing: nothing more for it
            return Abort.SUCCEEDED
        self.cancelled_by_trio = caller
        awaited = self.task._fut_waiter
        if awaited is not None:
            getattr(awaited, "cancel_and_wait_for_all", awaited.cancel)()
        return Abort.FAILED

    def __getattr__(self, name: str) -> Any:
        """Show trio the coroutine's cr_frame, cr_await, cr_running ... as its own."""
        if not name.startswith("cr_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        coro = self.task and self.task._coro
        of_generator = "gi_yieldfrom" if name == "cr_await" else name.replace("cr_", "gi_")
        return getattr(coro, name, None) or getattr(coro, of_generator, None)


class NewCarrier(Carrier):
    """The carrier of a plain trio task that has been adopted in the running step: it does not step the task yet."""

    __slots__ = ()

    def send(self, answer: Any) -> Any:
        """The first step that it takes; trio answers the wait that the coroutine has begun by itself."""
        self.__class__ = Carrier  # type: ignore[assignment]
        return self.send(answer)

    def throw(self, error: TypeError) -> Any:
        """Wait for the future that the coroutine has yielded to trio, which does not know how."""
        self.__class__ = Carrier  # type: ignore[assignment]
        yielded, self.yielded = self.yielded, None
        if yielded is None:
            return self.task._coro.throw(error)
        return self._wait(self.task, self.task._loop, yielded)


def _take_future(trio_task: Any, future: Any) -> None:
    """A plain trio task has yielded a future of asyncio's own: adopt it, so that it can wait.

    Ours need no help: in a plain trio task they wait by a trap of trio's.
    """
    from .tasks import _adopt_current_trio_task

    running = asyncio._get_running_loop()
    if getattr(future, "_asyncio_future_blocking", None) and getattr(running, "_runner", None) is trio_task._runner:
        if isinstance(trio_task.coro, types.CoroutineType):
            _adopt_current_trio_task()
        if type(trio_task.coro) is NewCarrier:
            trio_task.coro.yielded = future


internals.give_unknown_traps_to(_take_future)


def carry(task: Task[Any], loop: BaseLoop, nursery: trio.Nursery, name: str, context: Context) -> Carrier:
    """A carrier with the Task on it, in the nursery; to be started."""
    idle = loop._idle_carriers
    while idle:
        carrier = idle.pop()
        if carrier.trio_task is not None:
            carrier.task = task
            internals.hire(carrier.trio_task, nursery, name, context)
            return carrier
    carrier = Carrier()
    carrier.task = task
    carrier.trio_task = internals.make_task(nursery, loop._runner, carrier, name, context)
    return carrier


def adopt(task: Task[Any], loop: BaseLoop, trio_task: Any) -> Carrier:
    """A carrier for the running trio task, which has its own coroutine: it is driven from its next step on."""
    carrier = NewCarrier()
    carrier.task = task
    carrier.trio_task = trio_task
    carrier.adopted = True
    loop._adopted.add(carrier)
    trio_task.coro = carrier  # trio looks at it before each step
    loop.call_soon(_end_if_not_driven, carrier)
    return carrier


def _end_if_not_driven(carrier: NewCarrier) -> None:
    """End the Task of a trio task that ended in the step in which it was adopted: what it returned is not known."""
    task = carrier.task
    if task is not None and task._coro.cr_frame is None:
        carrier._part(task)
        if not task.done():
            _set_result(task, None)


def _leave_step_of_parent() -> None:
    # In the child of os.fork() 3.14 has no running loop: no task of its can be left, and the step that forked may end.
    carrier = getattr(internals.current_trio_task(), "coro", None)
    if isinstance(carrier, Carrier):
        carrier.task = None


if sys.version_info >= (3, 14) and hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_step_of_parent)


def release_adopted(loop: BaseLoop) -> None:
    """Leave the trio tasks that were adopted to trio again: another loop may adopt them."""
    for carrier in list(loop._adopted):
        if std_current_task(loop) is carrier.task:
            _leave_task(loop, carrier.task)  # now, while it is the running loop
        carrier.trio_task.coro = carrier.task._coro
        carrier._part(carrier.task)


def _answer_of_trio(task: Any, answer: Any) -> Any:
    """What to send into a coroutine that was in a wait of trio's own: an Outcome."""
    if isinstance(answer, Error):
        if isinstance(answer.error, trio.Cancelled):
            return Error(internals.Cancelled.of(answer.error))
        if isinstance(answer.error, asyncio.CancelledError):
            answer.error.__traceback__ = None  # whose frames hold the Task; asyncio has none
            task._must_cancel = False  # asked for again before the step: as in asyncio, one error for both
    return answer


def _fail(task: Task[Any], error: BaseException) -> None:
    if type(error) is asyncio.CancelledError or is_cancellation(error):
        if isinstance(error, asyncio.CancelledError) and not isinstance(error, trio.Cancelled):
            task._cancelled_error = error  # trio's has its place inside its scope only
        _cancel(task)
    else:
        _set_exception(task, error)


def _raise_for_trio(task: Task[Any], error: BaseException, trio_task: trio.lowlevel.Task) -> None:
    """Raise what an adopted trio task ends with, in trio's sense.

    Task.cancel() has met its end with the Task, and is nothing to its nursery; but trio.run() tells of it, as
    asyncio.run() does.
    """
    task._log_traceback = False
    failure = error if internals.is_main(trio_task) else without_task_cancellation(error)
    if failure is error:
        raise error
    if failure is not None:
        raise failure from None


def _describe_misuse(task: Task[Any], trap: Any, blocking: bool | None, loop: BaseLoop) -> RuntimeError:
    if blocking is None and inspect.isgenerator(trap):
        message = f"yield was used instead of yield from for generator in task {task!r} with {trap!r}"
    elif blocking is None:
        message = f"Task got bad yield: {trap!r}"
    elif _get_loop(trap) is not loop:
        message = f"Task {task!r} got Future {trap!r} attached to a different loop"
    elif blocking:
        message = f"Task cannot await on itself: {task!r}"
    else:
        message = f"yield was used instead of yield from in task {task!r} with {trap!r}"
    return RuntimeError(message)


def _already_done(task: Task[Any], error: BaseException | None) -> dict[str, Any]:
    message = f"_step(): already done: {task!r}, {error!r}"
    return {"message": f"Exception in step of {task!r}", "exception": asyncio.InvalidStateError(message)}


def _without_our_frames(traceback: types.TracebackType | None) -> types.TracebackType | None:
    """A traceback shows the program's own lines; and whoever clears its frames must not get at a driver's."""
    while traceback is not None and traceback.tb_frame.f_code in hidden_frames:
        traceback = traceback.tb_next
    return traceback


OWN_FUTURES: set[type] = {asyncio.Future, asyncio.Task}  # those in C, whose attributes are not overridden

hidden_frames = {function.__code__ for function in (Carrier.send, NewCarrier.send, Carrier._timed)}


def _caught(raise_cancel: Callable[[], NoReturn]) -> BaseException:
    try:
        raise_cancel()
    except BaseException as raised:
        return raised


def _get_loop(future: Any) -> object:
    try:
        return future.get_loop()
    except AttributeError:  # a future made for asyncio before 3.7
        return future._loop
