"""The trio tasks that carry asyncio Tasks.

A trio task is stepped by trio. Here it is stepped through `_drive`, which passes trio's own traps on untouched, and
turns what asyncio's coroutines yield, a future or nothing, into waits of trio's. It runs one Task after the other: to
make a trio task and to end it takes longer than all the rest of a short Task.
"""

from __future__ import annotations

import _asyncio
import asyncio
import inspect
import sys
import types
from collections.abc import Callable, Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any, NoReturn

import trio
from outcome import Error
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
_current_task = _std_tasks.current_task  # as the interpreter has it: tasks.answer_for_std() replaces it

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
    """

    __slots__ = ("adopted", "cancelled_by_trio", "send", "task", "trap", "trio_task")

    __name__ = "Task.task_wakeup"  # as asyncio shows it among a future's callbacks

    send: Callable[[Any], object]
    task: Any  # the Task that it carries; None while it is idle
    trio_task: Any

    def __init__(self) -> None:
        self.adopted = False
        self.cancelled_by_trio: Callable[[], NoReturn] | None = None
        self.trap = internals.make_trap(self.abort)

    def abort(self, raise_cancel: Callable[[], NoReturn]) -> Abort:
        """A cancel scope has reached a wait of asyncio's kind: pass it on to what is awaited, and wait for its end."""
        if self.task is None:
            return Abort.SUCCEEDED  # idle, and the loop is closing
        self.cancelled_by_trio = raise_cancel
        awaited = self.task._fut_waiter
        if awaited is not None:
            getattr(awaited, "cancel_and_wait_for_all", awaited.cancel)()
        return Abort.FAILED

    def __call__(self, future: object) -> NoReturn:
        raise RuntimeError(f"{self.task!r} belongs to a loop of asyncio-on-trio: no other loop can wake it")

    def __getattr__(self, name: str) -> Any:
        """Show trio the coroutine's cr_frame, cr_await, cr_running ... as its own."""
        if not name.startswith("cr_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        coro = self.task and self.task._coro
        of_generator = "gi_yieldfrom" if name == "cr_await" else name.replace("cr_", "gi_")
        return getattr(coro, name, None) or getattr(coro, of_generator, None)


class NewCarrier(Carrier):
    """The carrier of a plain trio task that has been adopted in the running step: its driver is not at work yet."""

    __slots__ = ()


def carry(task: Task[Any], loop: BaseLoop, nursery: trio.Nursery, name: str, context: Context) -> Carrier:
    """A carrier with the Task on it, in the nursery; to be started."""
    idle = loop._idle_carriers
    if idle:
        carrier = idle.pop()
        carrier.task = task
        internals.hire(carrier.trio_task, nursery, name, context)
    else:
        carrier = Carrier()
        carrier.task = task
        carrier.send = _drive(carrier).send
        carrier.trio_task = internals.make_task(nursery, loop._runner, carrier, name, context)
    return carrier


def adopt(task: Task[Any], loop: BaseLoop, trio_task: Any) -> Carrier:
    """A carrier for the running trio task, which has its own coroutine: it is driven from its next step on."""
    carrier = NewCarrier()
    carrier.task = task
    carrier.trio_task = trio_task
    carrier.adopted = True
    loop._adopted.add(carrier)
    driver = _drive(carrier)
    next(driver)
    carrier.send = driver.send
    trio_task.coro = carrier  # trio looks at it before each step
    loop.call_soon(_end_if_not_driven, carrier)
    return carrier


def _end_if_not_driven(carrier: NewCarrier) -> None:
    """End the Task of a trio task that ended in the step in which it was adopted: what it returned is not known."""
    task = carrier.task
    if task is not None and task._coro.cr_frame is None:
        _part(task, carrier)
        if not task.done():
            _set_result(task, None)


def release_adopted(loop: BaseLoop) -> None:
    """Leave the trio tasks that were adopted to trio again: another loop may adopt them."""
    for carrier in list(loop._adopted):
        if _current_task(loop) is carrier.task:
            _leave_task(loop, carrier.task)  # now, while it is the running loop
        carrier.trio_task.coro = carrier.task._coro
        _part(carrier.task, carrier)


def _rest(carrier: Carrier, loop: BaseLoop) -> bool:
    """Keep the trio task for another Task, unless somebody could tell that it is the same one."""
    idle = loop._idle_carriers
    if len(idle) >= MOST_IDLE_CARRIERS or not internals.lay_off(carrier.trio_task, loop._nursery, NO_CONTEXT):
        return False
    idle.append(carrier)
    return True


def _drive(carrier: Carrier) -> Generator[Any, Any, Any]:
    """Step the carrier's Task for trio: each send() is a step, each yield a wait in trio.

    trio answers its own waits with an Outcome, and those that are made here with None. The coroutine of an adopted trio
    task is under way already, and the first answer is to a wait of its own.
    """
    trap: Any
    adopted = carrier.adopted
    answer: Any = None  # a fresh start is like a wake-up by nobody
    if adopted:
        answer = yield
        carrier.__class__ = Carrier
    while True:
        task = carrier.task
        loop, coro, context = task._loop, task._coro, task._context
        send, throw = coro.send, coro.throw
        if loop._debug:
            send, throw = _timed(send, carrier, loop), _timed(throw, carrier, loop)
        misuse: RuntimeError | None = None
        while True:
            # 1. With what does the coroutine go on?
            value: Any = None
            error: BaseException | None = None
            interruption: BaseException | None
            if answer is not None:
                value = answer
                if isinstance(answer, Error):
                    if isinstance(answer.error, trio.Cancelled):
                        value = Error(internals.Cancelled.of(answer.error))
                    elif isinstance(answer.error, asyncio.CancelledError):
                        answer.error.__traceback__ = None  # whose frames hold the Task; asyncio has none
                        task._must_cancel = False  # asked for again before the step: as in asyncio, one error for both
                answer = None
            else:
                awaited = task._fut_waiter
                if awaited is not None:
                    task._fut_waiter = None
                    if KEEPS_AWAITERS:
                        std.future_discard_from_awaited_by(awaited, task)
                    try:
                        awaited.result()
                    except BaseException as raised:
                        error = raised.with_traceback(_without_our_frames(raised.__traceback__))
                elif misuse is not None:
                    error, misuse = misuse, None
                if carrier.cancelled_by_trio is not None:
                    # The cancel scope's cancellation was passed on; what was awaited may not have heeded it.
                    raise_cancel, carrier.cancelled_by_trio = carrier.cancelled_by_trio, None
                    interruption = _caught(raise_cancel)
                    if not isinstance(interruption, trio.Cancelled):
                        error = interruption  # Ctrl-C
                    elif awaited is None or isinstance(error, asyncio.CancelledError):
                        error = internals.Cancelled.of(interruption)
                    interruption = None
                awaited = None
                if task._must_cancel:
                    if not isinstance(error, asyncio.CancelledError):
                        error = task._make_cancelled_error()
                    # One error for both; but a scope inside the Task absorbs it, and leaves Task.cancel()'s due.
                    if not isinstance(error, trio.Cancelled) or internals.is_cancelled_whole(carrier.trio_task):
                        task._must_cancel = False

            # 2. The step.
            if task.done():  # somebody has set its result by force
                _part(task, carrier)
                loop.call_exception_handler(_already_done(task, error))
                break
            _enter_task(loop, task)
            try:
                try:
                    trap = send(value) if error is None else throw(error)
                finally:
                    value = error = None
                    if carrier.task is not None:  # else its loop has ended in this step
                        _leave_task(loop, task)
            except StopIteration as stop:
                _part(task, carrier)
                if task._must_cancel:  # too late for the coroutine to see it
                    task._must_cancel = False
                    _cancel(task, msg=task._cancel_message)
                else:
                    _set_result(task, stop.value)
                if adopted:
                    return stop.value
                break
            except BaseException as raised:
                _part(task, carrier)
                raised.__traceback__ = _without_our_frames(raised.__traceback__)
                _fail(task, raised)
                if adopted:
                    _raise_for_trio(task, raised, carrier.trio_task)
                elif isinstance(raised, SystemExit | KeyboardInterrupt):
                    loop._stop_with(raised)
                break

            # 3. The wait.
            blocking = getattr(trap, "_asyncio_future_blocking", None)
            if blocking and trap is not task and _get_loop(trap) is loop:
                trap._asyncio_future_blocking = False
                trap.add_done_callback(carrier, context=context)
                task._fut_waiter = trap
                if KEEPS_AWAITERS:
                    std.future_add_to_awaited_by(trap, task)
                if task._must_cancel and trap.cancel(msg=task._cancel_message):
                    task._must_cancel = False
                trap = None
                answer = yield carrier.trap
                continue
            if trap is not None and blocking is None and internals.is_trap(trap):
                interrupted = internals.answer(trap, coro, task._raise_cancel) if task._must_cancel else None
                if interrupted is None:
                    answer = yield trap
                    continue
                internals.reschedule(loop._runner, carrier.trio_task, interrupted)
            else:
                if trap is not None:
                    misuse = _describe_misuse(task, trap, blocking, loop)
                internals.reschedule(loop._runner, carrier.trio_task, None)  # type: ignore[arg-type]
            trap = None
            answer = yield carrier.trap

        # A Task whose exception nobody retrieves reports it when it goes, in its own context, which is entered here: so
        # trio gets the last reference, to drop it after the step.
        last = [task] if task._log_traceback else []
        task = coro = context = send = throw = trap = None
        if adopted or not _rest(carrier, loop):
            return last
        loop = None  # idle, it shall not hold a loop that nobody else does
        answer = yield internals.make_trap(carrier.abort, last.pop()) if last else carrier.trap
        if answer is not None:
            return None  # the loop is closing


def _part(task: Any, carrier: Carrier) -> None:
    # They refer to each other: what is done shall go at once, not by the garbage collector.
    task._carrier = None
    carrier.task = None
    if carrier.adopted:
        task._loop._adopted.discard(carrier)


def _fail(task: Task[Any], error: BaseException) -> None:
    if is_cancellation(error):
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


def _timed(step: Callable[[Any], Any], carrier: Carrier, loop: BaseLoop) -> Callable[[Any], Any]:
    """Debug mode: a step that is logged if it took long. It may outlive the Task, in an exception that keeps frames."""

    def timed_step(value: Any) -> Any:
        start = loop.time()
        try:
            return step(value)
        finally:
            loop._log_if_slow(carrier.task, loop.time() - start)

    hidden_frames.add(timed_step.__code__)
    return timed_step


def _without_our_frames(traceback: types.TracebackType | None) -> types.TracebackType | None:
    """A traceback shows the program's own lines; and whoever clears its frames must not get at a driver's."""
    while traceback is not None and traceback.tb_frame.f_code in hidden_frames:
        traceback = traceback.tb_next
    return traceback


hidden_frames = {_drive.__code__}


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
