"""The only module that touches names of trio's that are not public; each piece says why it must.

What it needs is checked when it is imported, so that a trio that has moved on is named in one clear error.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
import types
import warnings
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context
from functools import partial
from math import inf
from time import monotonic
from typing import Any, Final, NoReturn

import trio
from outcome import Error, Outcome, Value, capture
from trio.abc import Clock, Instrument
from trio.lowlevel import Abort, enable_ki_protection

__all__ = [
    "HAS_EPOLL",
    "PARKED",
    "AfterPolls",
    "Alarm",
    "Cancelled",
    "Run",
    "abort",
    "add_to_polls",
    "answer",
    "as_thread_of",
    "ask_for_tasks",
    "ask_for_waiters",
    "begin_step_of_asyncio",
    "callbacks_run_in",
    "clock_of",
    "collapse_groups_by",
    "count_checkpoint",
    "current_runner",
    "detach",
    "end",
    "end_step_of_asyncio",
    "enter_nursery",
    "first_in_first_out",
    "give_unknown_traps_to",
    "is_cancel_called",
    "is_cancelled_whole",
    "is_current",
    "is_in_run",
    "is_in_scope",
    "is_in_step",
    "is_main",
    "is_task",
    "is_watched",
    "leave_idle_nursery",
    "leave_nursery",
    "make_task",
    "make_trap",
    "reschedule",
    "root_task",
    "show",
    "start",
    "stepped_task",
    "take_trap",
    "token_of",
    "wake",
]

WORKS_WITH: Final = "0.28 to 0.35"

try:
    from sniffio import thread_local as sniffio_thread
    from trio._core import _run, _traps
    from trio._core._run import GLOBAL_RUN_CONTEXT as RUN
    from trio._core._run import Runner, Task, setup_runner, unrolled_run
    from trio._core._thread_cache import THREAD_CACHE
    from trio._core._traps import CancelShieldedCheckpoint, PermanentlyDetachCoroutineObject, WaitTaskRescheduled
    from trio._threads import PARENT_TASK_DATA

    class _SetBy:
        """Has the attributes that a method names: what a class without slots sets in its instances."""

        def __init__(self, method: Any) -> None:
            self.__dict__.update(dict.fromkeys(method.__code__.co_names))
            self._method = method.__qualname__

        def __repr__(self) -> str:
            return str(self._method)

    _missing = [
        f"{owner!r}.{name}"
        for owner, names in {
            Task: "_abort_func _attempt_abort _attempt_delivery_of_pending_ki _attempt_delivery_of_any_pending_cancel"
            " _activate_cancel_status _next_send _next_send_fn _schedule_points _cancel_points _create"
            " _runner _parent_nursery _child_nurseries _cancel_status context coro name",
            Runner: "reschedule task_exited close deliver_ki waiting_for_idle clock_autojump_threshold"
            " main_task_outcome main_task init_task runq tasks deadlines clock instruments io_manager ki_manager"
            " ki_pending entry_queue current_trio_token is_guest force_guest_tick_asap",
            _run.Deadlines: "_heap add remove expire next_deadline",
            _run.CancelStatus: "effectively_cancelled _tasks",
            _SetBy(_run.NurseryManager.__aenter__): "_nursery _scope",
            _SetBy(
                trio.Nursery.__init__
            ): "_children _cancel_status cancel_scope _closed _nested_child_running _pending_excs _pending_starts",
            trio.Nursery: "_create",
            trio.Cancelled: "_create",
            trio.CancelScope: "_cancel_called _has_been_entered",
            THREAD_CACHE: "_idle_workers",
            _traps: "_async_yield",
            _run: "_r _ALLOW_DETERMINISTIC_SCHEDULING _hypothesis_plugin_setup CONTEXT_RUN_TB_FRAMES",
        }.items()
        for name in names.split()
        if not hasattr(owner, name)
    ]
    if sys.platform == "linux" and not hasattr(_run.TheIOManager, "_epoll"):  # type: ignore[attr-defined,unused-ignore]
        _missing.append("EpollIOManager._epoll")
    if _missing:
        raise ImportError(f"trio has no {', '.join(_missing)}")
except ImportError as error:
    raise ImportError(
        f"asyncio-on-trio does not know the inside of trio {trio.__version__}: it works with trio {WORKS_WITH}. "
        f"Install one of these, or a newer asyncio-on-trio. ({error})"
    ) from error


# --- scheduling: first in, first out ---------------------------------------------------------------------------------
#
# asyncio programs lean on it, and trio shuffles on purpose. Its run loop asks a random source, which is replaced by one
# that knows in which run it is asked: a run without a loop of ours is shuffled as ever.

_fifo_runners: set[Runner] = set()


class _FifoSource:
    """trio reverses a batch when `random() < 0.5` and takes from its end: to reverse always is to keep order."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def random(self) -> float:
        return 0.0 if RUN.runner in _fifo_runners else self._real.random()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _UnlessFifo:
    """Truth of trio's switch for Hypothesis, which sorts and shuffles each batch: off in runs that must keep order."""

    def __bool__(self) -> bool:
        return RUN.runner not in _fifo_runners


_run._r = _FifoSource(_run._r)  # type: ignore[assignment]
_set_up_hypothesis = _run._hypothesis_plugin_setup


def _guard_shuffling() -> None:
    # Only where it is on: otherwise each batch would pay for a look.
    if _run._ALLOW_DETERMINISTIC_SCHEDULING is True:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = _UnlessFifo()


def _set_up_hypothesis_and_guard() -> None:
    _set_up_hypothesis()
    _guard_shuffling()


_guard_shuffling()
_run._hypothesis_plugin_setup = _set_up_hypothesis_and_guard  # Hypothesis calls it when it is imported


@contextmanager
def first_in_first_out(runner: Runner) -> Iterator[None]:
    """Keep the order of this run's tasks, while the block lasts, and of no other run's."""
    _guard_shuffling()  # pytest-trio sets the switch, too, past Hypothesis
    _fifo_runners.add(runner)
    try:
        yield
    finally:
        _fifo_runners.discard(runner)


# --- tasks -----------------------------------------------------------------------------------------------------------

reschedule = Runner.reschedule


def current_runner() -> Runner | None:
    """The runner of this thread's trio run; None outside of any."""
    return getattr(RUN, "runner", None)


def is_current(runner: object) -> bool:
    """Tell whether this is the runner of this thread's trio run."""
    return runner is not None and runner is RUN.__dict__.get("runner")


def is_in_run() -> bool:
    """Tell whether this thread is in a trio run, and not in what os.fork() has copied of one."""
    runner = current_runner()
    return runner is not None and runner not in _runners_of_parent


_runners_of_parent: set[Runner] = set()


def _note_run_of_parent() -> None:
    # The child may start a run of its own inside what it has of this one; or let it unwind, to end.
    runner = current_runner()
    if runner in _fifo_runners:
        _runners_of_parent.add(runner)
        signal.set_wakeup_fd(-1)
        THREAD_CACHE._idle_workers.clear()  # the parent's; newer releases of trio do it themselves


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_run_of_parent)


def stepped_task() -> Any:
    """The trio task whose own step this is; None in the step of an asyncio Task, in a callback and between steps."""
    return RUN.__dict__.get("task")


def is_in_step() -> bool:
    """Tell whether trio, or a Run, is within a step, so that the run queue may be touched."""
    return "task" in RUN.__dict__ or _callback_task() is not None


def _callback_task() -> Task | None:
    """The trio task in whose place callbacks run now; None if this is no time for them."""
    state = RUN.__dict__
    task: Task | None = state.get("callback_task")
    if task is None and (run := state.get("run")) is not None and run.in_batch:
        task = run.callback_task
    return task


@contextmanager
def callbacks_run_in(task: Task) -> Iterator[None]:
    """Inside a step of this trio task's: callbacks run, and asyncio Tasks, which have trio tasks of their own."""
    state = RUN.__dict__
    task._abort_func = None  # trio leaves that of the wait before in its place
    hidden: dict[str, Any] = {name: state.pop(name) for name in ("task", "callback_task") if name in state}
    state["callback_task"] = task
    try:
        yield
    finally:
        del state["callback_task"]
        state.update(hidden)


def show(task: Task) -> None:
    """Have the rest of the running step be this trio task's own."""
    RUN.task = task


def begin_step_of_asyncio(task: Task) -> dict[str, Any]:
    """callbacks_run_in() for a step that is an asyncio Task's, as two functions, which takes 1 microsecond less."""
    task._abort_func = None
    state: dict[str, Any] = RUN.__dict__
    del state["task"]
    state["callback_task"] = task
    return state


def end_step_of_asyncio(task: Task, state: dict[str, Any]) -> None:
    """The end of what begin_step_of_asyncio() has begun."""
    del state["callback_task"]
    state["task"] = task


_task_of_asyncio: Callable[[], Task | None]


def ask_for_tasks(function: Callable[[], Task | None]) -> None:
    """Call function() for the current trio task where trio has none: in the step of an asyncio Task, if it is one.

    trio looks for it in a thread-local object, and finds it missing there; so a Task of asyncio's needs no trio task
    before something of trio's asks for it.
    """
    global _task_of_asyncio
    _task_of_asyncio = function


def _find_missing(self: object, name: str) -> Any:
    if name == "task":
        task = _task_of_asyncio() or _callback_task()
        if task is not None:
            return task
    raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


type(RUN).__getattr__ = _find_missing  # type: ignore[attr-defined]


def clock_of(runner: Runner) -> Clock:
    """The run's clock, also while the run stands still, when trio.current_clock() refuses."""
    return runner.clock


# What Task._create() comes to, without its two calls in between: the fields that have no default, in order.
_create_task = partial(type.__call__, Task)


def is_main(task: Task) -> bool:
    """Tell whether it is the task of the function that was given to trio.run()."""
    return task is task._runner.main_task


def root_task(runner: Runner) -> Task | None:
    """The root of a run's tasks. trio.lowlevel.current_root_task() knows that of the thread's own run only."""
    return runner.init_task


def is_cancel_called(scope: trio.CancelScope) -> bool:
    """Tell whether a scope was cancelled. Its public attribute also cancels it, and works inside the run only."""
    return scope._cancel_called


def is_cancelled_whole(task: Task) -> bool:
    """Tell whether a scope around the whole task is cancelled, and not just one inside it."""
    return task._parent_nursery is not None and task._parent_nursery._cancel_status.effectively_cancelled


def make_task(nursery: trio.Nursery, runner: Runner, coro: Any, name: str, context: Context) -> Task:
    """A trio task on something that has a coroutine's `send` and `cr_frame`, to be started by start() or step_now().

    Nursery.start_soon() takes only async functions, copies the context and refuses while the run stands still.
    """
    task: Task = _create_task(nursery, coro, runner, name, context, False)
    runner.tasks.add(task)
    nursery._children.add(task)
    task._activate_cancel_status(nursery._cancel_status)
    if "task_spawned" in runner.instruments:
        runner.instruments.call("task_spawned", task)
    return task


def start(task: Task) -> None:
    """Have a step, the first or the one after a wait of ours, in the next batch."""
    task._runner.reschedule(task, None)  # type: ignore[arg-type]


def is_task(entry: object) -> bool:
    """Tell whether an entry of the run queue is a trio task, and not something of the loop's own."""
    return type(entry) is Task


_HOOKS_FOR_TASKS = ("task_spawned", "task_scheduled", "before_task_step", "after_task_step", "task_exited")


def is_watched(runner: Runner) -> bool:
    """Tell whether the run has an instrument that is to see the tasks."""
    return not runner.instruments.keys().isdisjoint(_HOOKS_FOR_TASKS)


def count_checkpoint(task: Task) -> None:
    """Note that the task has been at a checkpoint, for trio.testing.assert_checkpoints()."""
    task._schedule_points += 1
    task._cancel_points += 1


def end(task: Task) -> None:
    """Let a trio task be over that is neither in a step nor to have another."""
    task._runner.task_exited(task, Value(None))


def is_in_scope(task: Task, nursery: trio.Nursery) -> bool:
    """Tell whether the task is in any cancel scope, inside it or around it, beyond that of this nursery."""
    return task._cancel_status is not nursery._cancel_status


def wake(task: Task) -> None:
    """start() in a run that steps itself: 0.3 microseconds less, as there is nobody to tell and less to reset."""
    assert task._next_send_fn is None
    task._next_send_fn = task.coro.send
    task._abort_func = None
    task._runner.runq.append(task)


def detach(task: Task) -> None:
    """Make trio forget a task that will not be stepped again; its coroutine is left to whoever holds it.

    asyncio closes a loop without ending the tasks that are left in it; a trio run cannot end while it knows a task.
    """
    if task._next_send_fn is not None:
        task._runner.runq.remove(task)
    task._runner.task_exited(task, Value(None))


def enter_nursery(manager: Any) -> trio.Nursery:
    """`__aenter__` of trio.open_nursery(), which waits for nothing, without what is for scopes with a deadline."""
    task = RUN.task
    manager._scope = scope = trio.CancelScope()
    scope._has_been_entered = True
    scope._cancel_status = status = _run.CancelStatus(scope=scope, parent=task._cancel_status)
    task._activate_cancel_status(status)
    manager._nursery = nursery = trio.Nursery._create(task, scope, True)
    return nursery


def leave_idle_nursery(manager: Any) -> bool:
    """`__aexit__` of a nursery in which nothing is left and nothing has happened; False if something has.

    It takes 2 microseconds instead of 9, which is 7 % of a TaskGroup of ten.
    """
    task, nursery, scope = RUN.task, manager._nursery, manager._scope
    status = scope._cancel_status
    if (
        status is None
        or nursery._children
        or nursery._pending_starts
        or nursery._pending_excs
        or task._child_nurseries[-1:] != [nursery]
        or task._cancel_status is not status
        or status.effectively_cancelled
        or status._children
        or len(status._tasks) > 1
        or scope._registered_deadline != inf
    ):
        return False
    nursery._nested_child_running, nursery._closed = False, True
    task._child_nurseries.pop()
    task._activate_cancel_status(status.parent)
    status.close()
    scope._cancel_status = None
    return True


@types.coroutine
def leave_nursery(manager: Any) -> Generator[Any, Any, None]:
    """`__aexit__` of trio.open_nursery() without the schedule point that it has when no child is left.

    trio wants a checkpoint there; asyncio's program would be one batch late.
    """
    leaving, outcome = manager.__aexit__(None, None, None), None
    with suppress(StopIteration):
        while True:
            trap = leaving.send(outcome)
            if trap is CancelShieldedCheckpoint:
                outcome = Value(None)
            elif getattr(trap, "trap", None) is CancelShieldedCheckpoint:  # as ask_for_waiters() has it
                trap.take_back()
                outcome = Value(None)
            else:
                outcome = yield trap


def abort(task: Task, raise_cancel: Callable[[], NoReturn]) -> None:
    """Interrupt the task's wait with what raise_cancel raises, as trio does for Ctrl-C, if it can be interrupted.

    trio's own cancellation is by scope only, and level-triggered; asyncio's is by task, and once.
    """
    if task._abort_func is not None:
        task._attempt_abort(raise_cancel)


# --- threads ---------------------------------------------------------------------------------------------------------


def token_of(runner: Runner) -> trio.lowlevel.TrioToken:
    """The run's token, also while it stands still."""
    return runner.current_trio_token()


@contextmanager
def as_thread_of(token: trio.lowlevel.TrioToken) -> Iterator[None]:
    """Have trio.from_thread find its run in the block, as it does in a thread of trio.to_thread's."""
    here = PARENT_TASK_DATA
    here.token, here.abandon_on_cancel, here.cancel_register, here.task_register = token, True, [None], [None]
    try:
        yield
    finally:
        del here.token, here.abandon_on_cancel, here.cancel_register, here.task_register


# --- traps: what a coroutine yields to trio's run loop ---------------------------------------------------------------


def make_trap(abort: Callable[[Callable[[], NoReturn]], Abort]) -> WaitTaskRescheduled:
    """What trio.lowlevel.wait_task_rescheduled(abort) yields: made once for each task and yielded for each wait."""
    trap = object.__new__(WaitTaskRescheduled)
    object.__setattr__(trap, "abort_func", abort)  # it is frozen, and its __init__ takes three times as long
    return trap


def take_trap(task: Task, trap: Any) -> None:
    """Have the task wait as its coroutine has asked for by a trap, as trio's run loop does after a step."""
    task._schedule_points += 1
    if trap is CancelShieldedCheckpoint:
        task._runner.reschedule(task)
    elif type(trap) is PermanentlyDetachCoroutineObject:
        task._runner.task_exited(task, trap.final_outcome)
    else:
        task._cancel_points += 1
        task._abort_func = task.coro if trap is PARKED else trap.abort_func  # type: ignore[assignment]
        if task._runner.ki_pending and task is task._runner.main_task:
            task._attempt_delivery_of_pending_ki()
        task._attempt_delivery_of_any_pending_cancel()


_waiter_for: Callable[[object], Any]


def ask_for_waiters(function: Callable[[object], Any]) -> None:
    """Call function(trap) when code of trio's is about to yield a trap; what it returns, if anything, is yielded.

    A Task of asyncio's, which the interpreter steps, knows how to wait for futures only. When the wait is over,
    take_answer() of what was yielded gives trio's Outcome.
    """
    global _waiter_for
    _waiter_for = function


@types.coroutine
def _async_yield(trap: Any) -> Generator[Any, Any, Any]:
    waiter = _waiter_for(trap)
    if waiter is None:
        return (yield trap)
    answer = yield waiter
    return waiter.take_answer() if answer is None else answer


_traps._async_yield = _async_yield


_take_unknown: Callable[[Task, object], object]


def give_unknown_traps_to(function: Callable[[Task, object], object]) -> None:
    """Call function(task, trap) when a trio task yields what trio does not know: one of asyncio's own futures, say.

    trio goes on by throwing a TypeError into the task's `coro`, which the function may have replaced.
    """
    global _take_unknown
    _take_unknown = function


class _UnknownTrap(TypeError):
    """Stands for TypeError in trio's run loop, which makes one when it does not know a trap, and has no hook there."""

    def __new__(cls, *args: object) -> Any:
        here = sys._getframe(1)
        if here.f_code is unrolled_run.__code__:
            _take_unknown(here.f_locals["task"], here.f_locals["msg"])
        return TypeError(*args)


_run.TypeError = _UnknownTrap  # type: ignore[attr-defined]


def answer(trap: object, coro: Any, raise_cancel: Callable[[], NoReturn]) -> Outcome[Any] | None:
    """Ask the wait behind a coroutine's trap to give up, before trio has seen it: its outcome, None if it does not."""
    if isinstance(trap, WaitTaskRescheduled):
        gives_up = trap.abort_func(raise_cancel) is Abort.SUCCEEDED
    else:
        gives_up = _is_in_checkpoint(coro)
    return capture(raise_cancel) if gives_up else None


def _is_in_checkpoint(coro: Any) -> bool:
    """Tell whether the coroutine waits in trio.lowlevel.checkpoint().

    That starts as a shielded one, and looks afterwards whether a scope is cancelled: of Task.cancel() it knows nothing.
    """
    while coro is not None:
        if getattr(coro, "cr_code", None) is trio.lowlevel.checkpoint.__code__:
            return True
        for name in ("cr_await", "gi_yieldfrom", "ag_await"):
            if hasattr(coro, name):
                coro = getattr(coro, name)
                break
        else:
            return False
    return False


# --- nurseries in asyncio's Tasks -------------------------------------------------------------------------------------
#
# A nursery in which everything was cancelled hands the cancellations on in an exception group. asyncio's Tasks end as
# cancelled by a CancelledError only, and its code knows no other way.

_exit_nursery = _run.NurseryManager.__aexit__
_cancellation_of: Callable[[BaseExceptionGroup[Any]], BaseException | None]


def collapse_groups_by(function: Callable[[BaseExceptionGroup[Any]], BaseException | None]) -> None:
    """Have nurseries raise function(group) instead of an exception group, where that is not None."""
    global _cancellation_of
    _cancellation_of = function


@enable_ki_protection
async def _exit_nursery_of_task(self: Any, *error: Any) -> bool:
    try:
        return await _exit_nursery(self, *error)
    except BaseExceptionGroup as group:
        cancellation = _cancellation_of(group)
        if cancellation is None:
            raise
    try:
        raise cancellation
    finally:
        del cancellation, error


_run.NurseryManager.__aexit__ = _exit_nursery_of_task  # type: ignore[method-assign,assignment]


# --- one exception for both worlds -----------------------------------------------------------------------------------
#
# trio.Cancelled may not be subclassed (it is final) or constructed; asyncio code must catch it as asyncio's.


class _MayDerive:
    """Comes first among the bases, so that its __init_subclass__ is called instead of the one that refuses."""

    def __init_subclass__(cls) -> None:
        pass


import asyncio  # noqa: E402  (the interpreter's own: for its exception)


class Cancelled(_MayDerive, trio.Cancelled, asyncio.CancelledError):  # type: ignore[misc]
    """A trio cancel scope's cancellation, delivered in asyncio code: both trio.Cancelled and asyncio.CancelledError.

    `except asyncio.CancelledError:` runs its clean-up; the scope absorbs it. It should not be swallowed, since trio
    raises it again at the next checkpoint inside the scope.
    """

    @classmethod
    def of(cls, original: trio.Cancelled) -> Cancelled:
        """The same cancellation with the same reason and traceback."""
        if isinstance(original, cls):
            return original
        names = ("source", "source_task", "reason")
        reason = {name: getattr(original, name) for name in names if hasattr(original, name)}
        both: Cancelled = cls._create(**reason)  # type: ignore[assignment]
        return both.with_traceback(original.__traceback__)


# --- deadlines -------------------------------------------------------------------------------------------------------


class Alarm:
    """A deadline of a run that rings a function: what a cancel scope with a deadline is, without the task around it.

    It rings between the poll for I/O and the batch of tasks, which is when asyncio looks at its timers. It can be set
    while the run stands still, and MockClock jumps to it.
    """

    __slots__ = ("_registered_deadline", "_ring", "_runner")

    def __init__(self, runner: Runner, ring: Callable[[], object]) -> None:
        self._runner = runner
        self._ring = ring
        self._registered_deadline = inf  # the name by which trio's Deadlines know that an entry still holds

    def set(self, when: float) -> None:
        """Ring at this time of the run's clock, in seconds, and at no other; math.inf for never."""
        if when == self._registered_deadline:
            return
        deadlines = self._runner.deadlines
        if self._registered_deadline != inf:
            deadlines.remove(self._registered_deadline, self)  # type: ignore[arg-type]
        self._registered_deadline = when
        if when != inf:
            deadlines.add(when, self)  # type: ignore[arg-type]
        if self._runner.is_guest:
            self._runner.force_guest_tick_asap()

    def cancel(self, reason: object = None) -> None:
        """Called by trio when the time has come: to it, this is a cancel scope."""
        self.set(inf)
        self._ring()

    _cancel = cancel


# --- files of ours among those that trio polls ------------------------------------------------------------------------

HAS_EPOLL: Final = sys.platform == "linux"


def add_to_polls(runner: Runner, fd: int) -> None:
    """Have trio's polls end when this file, an epoll, is readable, until it is closed.

    trio.lowlevel.wait_readable() would take a task that is stepped, and waits anew, each time.
    """
    # No task waits for it: trio sees an event of which nobody wants to know.
    runner.io_manager._epoll.register(fd, select.EPOLLIN)  # type: ignore[attr-defined,unused-ignore]


class AfterPolls(Instrument):
    """Calls a function after each poll of a trio run that is not driven by us, until it is removed."""

    def __init__(self, runner: Runner, function: Callable[[], object]) -> None:
        self._instruments = runner.instruments
        self._function = function
        self._instruments.add_instrument(self)

    def after_io_wait(self, timeout: float) -> None:
        """Called by trio after each poll."""
        self._function()

    def remove(self) -> None:
        """Call it no more."""
        self._instruments.remove_instrument(self)


# --- a run that can stand still --------------------------------------------------------------------------------------


# While there is always something to run, a poll of the system takes as long as a short batch: 1.2 of 3.5 microseconds
# for a lone task in sleep(0). So when that goes on for a while, there is one only if the last is so many seconds ago.
POLLED_BUSY_BATCHES = 16
BUSY_POLL_INTERVAL = 50e-6
NO_EVENTS: Any = 0 if sys.platform == "win32" else []
LONGEST_SLEEP = 86400.0  # seconds; the system's own limit is not much higher
MANY_DEADLINES = 1000  # of which some may be stale: trio clears them out then

# What the `send` of a task's coroutine may return in a batch that a Run steps itself, instead of a trap of trio's: that
# the task waits. The coroutine is the abort function, too.
PARKED: Final = object()


def _give_up(raise_cancel: Callable[[], NoReturn]) -> Abort:
    return Abort.SUCCEEDED


class _Nobody:
    """What a trio task has as its coroutine that is there for callbacks only, which have it as trio's current task."""

    __slots__ = ()

    cr_frame = cr_await = None

    def send(self, answer: object) -> object:
        if answer is not None:
            raise StopIteration  # trio is closing the nursery
        return make_trap(_give_up)


class Run:
    """A trio run driven by hand: trio.run() ends only with its main function, an asyncio loop stops and goes on.

    Any number may exist in a thread, also while another trio run is under way there; one at a time is driven. Nothing
    here refers to the loop that owns it, so that a loop nobody holds any longer is collected, and closes its run.

    It steps trio's tasks itself, as trio's run loop would. That takes a third of the time, since it need not look for
    instruments around each step, and it may have callbacks in the run queue, for which trio would need a task. While
    there are instruments, and where wait_all_tasks_blocked() or a clock that jumps waits until all is idle, it leaves
    the work to trio's own loop.
    """

    nursery: trio.Nursery

    def __init__(self, clock: Clock | None, instruments: Sequence[Instrument]) -> None:
        self.stopping = False
        self.error: BaseException | None = None
        self.before_poll: Callable[[], object] | None = None
        self.files: weakref.ref[Any] | None = None
        self.ready: Any = None  # what puts callbacks into the run queue
        self.new_tasks: list[Any] = []  # what carries asyncio Tasks whose trio tasks were made in the running step
        self.ended = False
        self.broken: trio.TrioInternalError | None = None
        self.steps_itself = not instruments
        self.in_batch = False
        with _outside_any_run():
            self.runner = setup_runner(clock, instruments, False, True)
            # As a plain tuple: sys's own kind is not seen by the garbage collector, and may lead back to the loop.
            self._asyncgen_hooks = tuple(sys.get_asyncgen_hooks())
            self.runner.ki_manager.close()
        # Signals wake the run only while it is driven, so the wakeup descriptor is set there, not by trio.
        self._steps = unrolled_run(self.runner, self._hold_nursery, (), host_uses_signal_set_wakeup_fd=True)
        with self.current():
            self._steps.send(None)  # type: ignore[arg-type]
            while not hasattr(self, "nursery"):
                self._steps.send(self.runner.io_manager.get_events(0))
            self.callback_task = make_task(self.nursery, self.runner, _Nobody(), "asyncio callbacks", Context())
            self.callback_task._abort_func = _give_up  # it waits without a first step
        _open_runs.add(self)

    async def _hold_nursery(self) -> None:
        async with trio.open_nursery() as self.nursery:
            while True:
                try:
                    await trio.sleep_forever()
                except KeyboardInterrupt as error:  # trio brings Ctrl-C here when it hit code that must not be broken
                    self.stop_with(error)

    def stop_with(self, error: BaseException) -> None:
        """Stop after this step, or batch, and let drive() raise the error."""
        self.error, self.stopping = error, True

    @enable_ki_protection
    def drive(self) -> None:
        """Inside current(): run trio until `stopping` is set, and at least one batch; then stand still.

        What `before_poll` is set to is called once, between two batches.

        Raises what stop_with() was given, whatever breaks the run (trio.TrioInternalError), and what a signal handler
        raises while it waits for I/O.
        """
        if self.broken is not None:
            raise self.broken
        runner = self.runner
        runq, send = runner.runq, self._steps.send
        instruments = runner.instruments["_all"]
        timeout = 0.0  # of trio's loop; whatever happened while it stood still, look at it first
        last_poll = 0.0
        busy = 0  # batches since there was nothing to run
        try:
            while True:
                if self.before_poll is not None:
                    call, self.before_poll = self.before_poll, None
                    call()
                if instruments or runner.main_task_outcome is not None:
                    if self.steps_itself:
                        self._leave_to_trio()
                        timeout = 0.0
                    timeout = send(self._poll(0 if self.stopping else timeout))
                else:
                    if not self.steps_itself:
                        self.steps_itself = True
                        self.ready.take_over()
                    events = None
                    if runq or self.stopping or not busy:
                        busy += 1
                        now = monotonic()
                        if (
                            self.stopping
                            or self.files is not None
                            or busy <= POLLED_BUSY_BATCHES
                            or now - last_poll > BUSY_POLL_INTERVAL
                        ):
                            last_poll = now
                            events = self._poll(0)
                        self._run_batch(events)
                    elif runner.waiting_for_idle or runner.clock_autojump_threshold != inf:
                        if not self._run_batch(self._poll(0)):
                            self._wait_as_trio_does()
                    else:
                        busy = 1
                        seconds = runner.clock.deadline_to_sleep_time(runner.deadlines.next_deadline())
                        self._run_batch(self._poll(min(max(0, seconds), LONGEST_SLEEP)))
                if self.stopping:
                    break
        except StopIteration:
            self.ended = True
            self.runner.main_task_outcome.unwrap()  # type: ignore[union-attr]
        except trio.TrioInternalError as break_down:
            self.ended, self.broken = True, break_down
            _open_runs.discard(self)
            raise
        finally:
            self.stopping = False
        if self.error is not None:
            error, self.error = self.error, None
            try:
                raise error
            finally:
                del error  # its traceback has this frame

    def poll_through(self, files: Any) -> None:
        """Poll by files.poll(timeout) from now on, while that object lives.

        Its `epoll` has trio's in it, and poll() tells whether that is ready. The other way round, as add_to_polls() has
        it, each poll that finds something takes two calls of the system and some work of trio's: 2 microseconds.
        """
        files.epoll.register(self.runner.io_manager._epoll.fileno(), select.EPOLLIN)  # type: ignore[attr-defined,unused-ignore]
        self.files = weakref.ref(files)

    def _poll(self, timeout: float) -> Any:
        files = None if self.files is None else self.files()
        if files is not None and not files.poll(timeout):
            return NO_EVENTS
        return self.runner.io_manager.get_events(timeout if files is None else 0)

    def _leave_to_trio(self) -> None:
        """From here on trio's loop steps."""
        self.steps_itself = False
        self.ready.hand_over()

    @enable_ki_protection
    def _wait_as_trio_does(self) -> None:
        """Leave an idle time, and what is due after it, to trio's loop."""
        self._leave_to_trio()
        start(self.callback_task)  # its loop has to make up its mind anew, after a batch: when it last did is long ago
        timeout = self._steps.send(NO_EVENTS)
        self._steps.send(self._poll(timeout))

    @enable_ki_protection
    def _run_batch(self, events: Any) -> bool:
        """Run what is due, as unrolled_run() does between two polls for I/O; tell whether there was anything."""
        runner = self.runner
        runq = runner.runq
        take_next = runq.popleft
        new_tasks = self.new_tasks
        task: Any  # its coroutine is the abort function of PARKED
        entry: Any
        size = 0
        try:
            if events:
                runner.io_manager.process_events(events)
            heap = runner.deadlines._heap
            if heap and (heap[0][0] <= (now := runner.clock.current_time()) or len(heap) > MANY_DEADLINES):
                runner.deadlines.expire(now)

            size = len(runq)
            RUN.callback_task = self.callback_task
            for _ in range(size):
                entry = take_next()
                kind = type(entry)
                if kind is tuple:  # a step of an asyncio Task's
                    try:
                        if len(entry) == 3:
                            entry[0].run(entry[1], entry[2])
                        else:
                            entry[0].run(entry[1])
                    except (SystemExit, KeyboardInterrupt) as error:
                        self.stop_with(error)
                    except BaseException as error:
                        if (
                            isinstance(error.__context__, SystemExit | KeyboardInterrupt)
                            and runner in _runners_of_parent
                        ):
                            # In the child of os.fork() 3.14 cannot leave the Task that forked, and raises that instead.
                            self.stop_with(error.__context__)
                        else:
                            self.ready.report(entry, error)
                    if new_tasks:
                        self._take_new_tasks()
                elif kind is Task:
                    task = entry
                    RUN.task = task
                    send, answer = task._next_send_fn, task._next_send
                    task._next_send_fn = task._next_send = None
                    try:
                        trap = task.context.run(send, answer)
                    except BaseException as error:
                        self._end_of(task, _outcome_of(error))
                    else:
                        if trap is PARKED:
                            task._schedule_points += 1
                            task._cancel_points += 1
                            task._abort_func = task.coro
                            if task._cancel_status.effectively_cancelled:
                                task._attempt_delivery_of_any_pending_cancel()
                        elif trap is CancelShieldedCheckpoint or isinstance(trap, _TRAPS):
                            take_trap(task, trap)
                        else:
                            _take_unknown(task, trap)
                            runner.reschedule(task, TypeError(f"neither trio nor asyncio can wait for {trap!r}"))  # type: ignore[arg-type]
                            task._next_send_fn = task.coro.throw
                        trap = None
                    if new_tasks:
                        self._take_new_tasks()
                    del RUN.task
                elif not entry._cancelled:  # a callback
                    try:
                        if entry._loop._debug:
                            entry._loop._run_timed(entry)
                        else:
                            entry._run()
                    except (SystemExit, KeyboardInterrupt) as error:
                        self.stop_with(error)
                    if new_tasks:
                        self._take_new_tasks()
                if self.error is not None:  # SystemExit, say: asyncio leaves at once
                    break
        except BaseException as error:
            RUN.__dict__.pop("task", None)
            self._steps.throw(error)  # as if it had happened there: trio closes the run and raises TrioInternalError
        finally:
            task = entry = trap = send = answer = None  # a traceback may lead to this frame
            self.in_batch = False
        return size > 0

    def _end_of(self, task: Any, outcome: Outcome[Any]) -> None:
        if type(outcome) is Error and outcome.error.__traceback__ is None and hasattr(task.coro, "refuse"):
            outcome = task.coro.refuse(outcome.error)  # without a frame: its context cannot be entered
        self.runner.task_exited(task, outcome)

    def _take_new_tasks(self) -> None:
        """Have trio know how the asyncio Tasks wait that have got trio tasks in the step that is just over."""
        new_tasks = self.new_tasks
        while new_tasks:
            new_tasks.pop().settle()

    def finish(self) -> None:
        """Inside current(): cancel what the nursery holds and drive the run to its end."""
        _open_runs.discard(self)
        if self.runner in _runners_of_parent:
            self.abandon()
        self.nursery.cancel_scope.cancel()
        while not self.ended:
            self.drive()

    def abandon(self) -> None:
        """Let go of the run as it is; silently, while trio would warn of a guest run."""
        self.ended = True
        with warnings.catch_warnings(), _outside_any_run():
            warnings.simplefilter("ignore")
            self._steps.close()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Give it the thread as trio.run() would: context, sniffio's name, async generator hooks, Ctrl-C, wakeups."""
        runner = self.runner
        in_main_thread = threading.current_thread() is threading.main_thread()
        with _outside_any_run():
            sys.set_asyncgen_hooks(*self._asyncgen_hooks)
            sniffio_thread.name = "trio"
            RUN.runner = runner
            RUN.run = self
            runner.ki_manager.install(runner.deliver_ki, False)
            if in_main_thread:
                wakeup = runner.entry_queue.wakeup.write_sock.fileno()
                outer_wakeup = signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
            try:
                yield
            finally:
                if in_main_thread:
                    signal.set_wakeup_fd(outer_wakeup, warn_on_full_buffer=False)
                runner.ki_manager.close()


_TRAPS = (WaitTaskRescheduled, PermanentlyDetachCoroutineObject)


def _outcome_of(error: BaseException) -> Outcome[Any]:
    """How a coroutine has ended, without the frames of who has stepped it."""
    if isinstance(error, StopIteration):
        return Value(error.value)
    traceback = error.__traceback__
    for _ in range(1 + _run.CONTEXT_RUN_TB_FRAMES):
        traceback = traceback and traceback.tb_next
    return Error(error.with_traceback(traceback))


@contextmanager
def _outside_any_run() -> Iterator[None]:
    """Hide the thread's trio run, if it has one, and put back afterwards all that says which run is current."""
    hidden, library, hooks = dict(RUN.__dict__), sniffio_thread.name, sys.get_asyncgen_hooks()
    RUN.__dict__.clear()
    try:
        yield
    finally:
        RUN.__dict__.clear()
        RUN.__dict__.update(hidden)
        sniffio_thread.name = library
        sys.set_asyncgen_hooks(*hooks)


_open_runs: set[Run] = set()


@atexit.register
def _abandon_open_runs() -> None:
    # A loop that was never closed ends with the program, as asyncio's.
    for run in _open_runs:
        run.abandon()
