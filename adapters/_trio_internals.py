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
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context
from functools import partial
from math import inf
from sys import getrefcount
from typing import Any, Final, NoReturn
from weakref import getweakrefcount

import trio
from outcome import Outcome, Value, capture
from trio.abc import Clock, Instrument
from trio.lowlevel import Abort, enable_ki_protection

__all__ = [
    "HAS_EPOLL",
    "AfterPolls",
    "Alarm",
    "Cancelled",
    "Run",
    "add_to_polls",
    "answer",
    "current_runner",
    "current_trio_task",
    "detach",
    "first_in_first_out",
    "hire",
    "interrupt",
    "is_cancel_called",
    "is_cancelled_whole",
    "is_in_run",
    "is_main",
    "is_trap",
    "lay_off",
    "leave_nursery",
    "make_task",
    "make_trap",
    "own_clock_time",
    "reschedule",
    "root_task",
    "start",
    "step_now",
]

WORKS_WITH: Final = "0.28 to 0.35"

try:
    from sniffio import thread_local as sniffio_thread
    from trio._core import _run
    from trio._core._parking_lot import GLOBAL_PARKING_LOT_BREAKER
    from trio._core._run import GLOBAL_RUN_CONTEXT as RUN
    from trio._core._run import Runner, Task, setup_runner, unrolled_run
    from trio._core._traps import CancelShieldedCheckpoint, PermanentlyDetachCoroutineObject, WaitTaskRescheduled

    _missing = [
        f"{owner!r}.{name}"
        for owner, names in {
            Task: "_abort_func _attempt_abort _activate_cancel_status _ki_protected _next_send_fn _create",
            Runner: "reschedule task_exited close deliver_ki",
            trio.Nursery: "_child_finished",
            trio.Cancelled: "_create",
            trio.CancelScope: "_cancel_called",
            _run: "_r _ALLOW_DETERMINISTIC_SCHEDULING _hypothesis_plugin_setup",
        }.items()
        for name in names.split()
        if not hasattr(owner, name)
    ]
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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_run_of_parent)


def current_trio_task() -> Any:
    """The trio task that is being stepped in this thread; None between steps. trio.lowlevel's raises instead."""
    return getattr(RUN, "task", None)


def own_clock_time(runner: Runner) -> float:
    """The run's time in seconds, also while it stands still, when trio.current_time() refuses."""
    return runner.clock.current_time()


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
    """Have the first step in the next batch."""
    task._runner.reschedule(task, None)  # type: ignore[arg-type]


def hire(task: Task, nursery: trio.Nursery, name: str, context: Context) -> None:
    """Have a task that was laid off ready for start() or step_now(), in the nursery."""
    task.name = name
    task.context = context
    if task._parent_nursery is not nursery:
        _move(task, nursery)


def lay_off(task: Task, nursery: trio.Nursery, context: Context) -> bool:
    """Leave the task idle in the nursery, in its last step, to be hired again; False if that would show.

    It takes 3 microseconds to make and end a trio task, half of what a short asyncio Task takes. But to trio's users a
    task is a task: where any of them may hold this one, or it leaves something open, it has to end.
    """
    parent = task._parent_nursery
    assert parent is not None
    if (
        getrefcount(task) > HELD_BY_TRIO
        or getweakrefcount(task)
        or task._child_nurseries
        or task._cancel_status is not parent._cancel_status
        or task in GLOBAL_PARKING_LOT_BREAKER
        or any(type(instrument) is not AfterPolls for instrument in task._runner.instruments["_all"])
    ):
        return False
    task.name = "<idle asyncio task>"
    task.context = context
    if parent is not nursery:
        _move(task, nursery)
    return True


# References to a task in its last step: runner.tasks, nursery._children, cancel_status._tasks, its carrier, RUN.task,
# the run loop's variable; and the argument of lay_off() and of getrefcount(), of which 3.14 counts only one.
HELD_BY_TRIO = 6 + (lambda argument: getrefcount(argument))(object())


def _move(task: Task, nursery: trio.Nursery) -> None:
    # As Nursery.start() moves the task that has called started().
    if task._parent_nursery is not None:
        task._parent_nursery._children.remove(task)
    task._parent_nursery = nursery
    nursery._children.add(task)
    task._activate_cancel_status(nursery._cancel_status)


def step_now(task: Task) -> None:
    """Have the first step at once, inside the running step: asyncio's eager start.

    trio has no such thing, so what its run loop does around a step is done here.
    """
    runner, outer = task._runner, current_trio_task()
    task._abort_func = None
    RUN.task = task
    try:
        trap = task.context.run(task.coro.send, None)  # type: ignore[arg-type]
    except StopIteration as stop:
        runner.task_exited(task, Value(stop.value))
        return
    finally:
        if outer is None:
            del RUN.task
        else:
            RUN.task = outer
    task._schedule_points += 1
    if trap is CancelShieldedCheckpoint:
        runner.reschedule(task)
    else:
        task._cancel_points += 1
        task._abort_func = trap.abort_func
        task._attempt_delivery_of_any_pending_cancel()


def detach(task: Task) -> None:
    """Make trio forget a task that will not be stepped again; its coroutine is left to whoever holds it.

    asyncio closes a loop without ending the tasks that are left in it; a trio run cannot end while it knows a task.
    """
    if task._next_send_fn is not None:
        task._runner.runq.remove(task)
    task._runner.task_exited(task, Value(None))


@types.coroutine
def leave_nursery(manager: Any) -> Generator[Any, Any, None]:
    """`__aexit__` of trio.open_nursery() without the schedule point that it has when no child is left.

    trio wants a checkpoint there; asyncio's program would be one batch late.
    """
    leaving, outcome = manager.__aexit__(None, None, None), None
    with suppress(StopIteration):
        while True:
            trap = leaving.send(outcome)
            outcome = Value(None) if trap is CancelShieldedCheckpoint else (yield trap)


def interrupt(task: Task, raise_cancel: Callable[[], NoReturn], unless: object) -> None:
    """Interrupt the task's wait with what raise_cancel raises, as trio does for Ctrl-C; not if it waits by `unless`.

    trio's own cancellation is by scope only, and level-triggered; asyncio's is by task, and once.
    """
    if task._abort_func is not None and task._abort_func != unless:
        task._attempt_abort(raise_cancel)


# --- traps: what a coroutine yields to trio's run loop ---------------------------------------------------------------


def make_trap(abort: Callable[[Callable[[], NoReturn]], Abort], kept: object = None) -> WaitTaskRescheduled:
    """What trio.lowlevel.wait_task_rescheduled(abort) yields: made once for each task and yielded for each wait.

    `kept` is something for trio's run loop to drop together with the trap, after the step.
    """
    trap = object.__new__(WaitTaskRescheduled)
    trap.__dict__["abort_func"] = abort  # it is frozen, and its __init__ takes three times as long
    trap.__dict__["kept"] = kept
    return trap


def is_trap(trap: object) -> bool:
    """Tell whether a yielded object is meant for trio's run loop."""
    return trap is CancelShieldedCheckpoint or isinstance(trap, WaitTaskRescheduled | PermanentlyDetachCoroutineObject)


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
        self._function()

    def remove(self) -> None:
        self._instruments.remove_instrument(self)


# --- a run that can stand still --------------------------------------------------------------------------------------


# While there is always something to run, a poll of the system takes as long as a short batch: 1.2 of 3.5 microseconds
# for a lone task in sleep(0). So when that goes on for a while, only every fourth batch is preceded by one.
POLLED_BUSY_BATCHES = 16
NO_EVENTS: Any = 0 if sys.platform == "win32" else []


class Run:
    """A trio run driven by hand: trio.run() ends only with its main function, an asyncio loop stops and goes on.

    Any number may exist in a thread, also while another trio run is under way there; one at a time is driven. Nothing
    here refers to the loop that owns it, so that a loop nobody holds any longer is collected, and closes its run.
    """

    nursery: trio.Nursery

    def __init__(self, clock: Clock | None, instruments: Sequence[Instrument]) -> None:
        self.stopping = False
        self.error: BaseException | None = None
        self.before_poll: Callable[[], object] | None = None
        self.after_poll: Callable[[], object] | None = None
        self.ended = False
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
        _open_runs.add(self)

    async def _hold_nursery(self) -> None:
        async with trio.open_nursery() as self.nursery:
            while True:
                try:
                    await trio.sleep_forever()
                except KeyboardInterrupt as error:  # trio brings Ctrl-C here when it hit code that must not be broken
                    self.stop_with(error)

    def stop_with(self, error: BaseException) -> None:
        """Stop after this batch, and let drive() raise the error."""
        self.error, self.stopping = error, True

    @enable_ki_protection
    def drive(self) -> None:
        """Inside current(): run trio until `stopping` is set, and at least one batch; then stand still.

        What `before_poll` is set to is called once, between two batches; `after_poll` whenever there were events.

        Raises what stop_with() was given, whatever breaks the run (trio.TrioInternalError), and what a signal handler
        raises while it waits for I/O.
        """
        get_events, send = self.runner.io_manager.get_events, self._steps.send
        timeout = 0.0  # whatever happened while it stood still, look at it first
        busy = 0
        try:
            while True:
                if self.before_poll is not None:
                    call, self.before_poll = self.before_poll, None
                    call()
                busy = 0 if timeout or self.stopping else busy + 1
                if busy > POLLED_BUSY_BATCHES and busy % 4 and self.after_poll is None:
                    timeout = send(NO_EVENTS)
                else:
                    events = get_events(0 if self.stopping else timeout)
                    if events and self.after_poll is not None:
                        self.after_poll()
                    timeout = send(events)
                if self.stopping:
                    break
        except StopIteration:
            self.ended = True
            self.runner.main_task_outcome.unwrap()  # type: ignore[union-attr]
        finally:
            self.stopping = False
        if self.error is not None:
            error, self.error = self.error, None
            try:
                raise error
            finally:
                del error  # its traceback has this frame

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
