"""Runs the batches of a trio run in which a loop is open.

trio's loop takes all entries of its run queue, in a random order, and steps them as tasks. While a loop is open, the
run queue shows it a single entry, the `Scheduler`. That is a trio task, and its step runs the real entries, first in,
first out: callbacks, steps of asyncio Tasks, and trio tasks. So a batch is an iteration of asyncio's loop.

The scheduler goes on with further batches in one step, and polls for I/O in between, as trio's loop does. It returns to
trio's loop where that has something else to do: with instruments, in guest mode, and while somebody, or a clock, waits
for idleness.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import Handle
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context
from functools import partial
from math import inf
from time import monotonic
from types import CoroutineType
from typing import Any, NoReturn

import trio
from outcome import Error, Outcome, Value
from trio.lowlevel import Abort, disable_ki_protection, enable_ki_protection

from .. import _asyncio
from .._asyncio import running_task
from .._types import AnyCoroutine, AnyFuture, AnyTask, Step, StepFunction
from ..exceptions import without_task_cancellation
from .cancellation import Cancelled, Told, as_scopes, raised_by
from .names import (
    CONTEXT_FRAMES,
    ENTRY_QUEUE,
    RUN,
    SNIFFIO,
    CancelShieldedCheckpoint,
    CancelStatus,
    Derivable,
    PermanentlyDetachCoroutineObject,
    Runner,
    Task,
    WaitTaskRescheduled,
    protected,
)
from .nurseries import LoopNursery
from .patches import replaces
from .polls import Polls
from .stand_ins import (
    AsyncioStandIn,
    CancelRequest,
    FutureWait,
    TrioStandIn,
    failure_of,
    make_stand_in,
    unfinished_children,
)

# A poll of the system can take a third of a short batch: 1.2 of 3.5 microseconds for a lone task in sleep(0). So after
# so many batches with no pause, in a loop that watches no files, a poll is made only so many seconds after the last.
POLLED_BUSY_BATCHES = 16
BUSY_POLL_INTERVAL = 50e-6


class RunTasks(set[Task]):
    """The tasks of a run in which a loop is open. trio counts asyncio's Tasks among them when somebody asks."""

    scheduler: Scheduler | None

    def __bool__(self) -> bool:
        return set.__len__(self) > 0

    def __len__(self) -> int:
        return set.__len__(self) + (0 if self.scheduler is None else len(self.scheduler.all_tasks()))


class _NoLoop:
    def get_debug(self) -> bool:
        return False


DONE: AnyFuture = asyncio.Future(loop=_NoLoop())  # type: ignore[arg-type]
DONE.set_result(None)  # wakes a Task after a wait of trio's


_HOOKS_FOR_TASKS = ("task_spawned", "task_scheduled", "before_task_step", "after_task_step", "task_exited")


class RunQueue(deque[Any]):
    """The run queue of a trio run in which a loop is open. To trio's loop, a batch of it is the scheduler alone."""

    __slots__ = ("scheduler",)

    scheduler: Scheduler | None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.scheduler,))

    def clear(self) -> None:
        """Called by trio's loop when it has taken a batch; the scheduler takes the entries itself."""


@disable_ki_protection
def make_step(step: Any) -> None:
    """Make the step of a Task. Ctrl-C may interrupt the program's own code in it."""
    try:
        if len(step) == 2:
            step[0].run(step[1])
        else:
            step[0].run(step[1], step[2])  # with *, a call takes twice as long
    finally:
        del step  # a traceback may lead to this frame


# The functions that Ctrl-C may break into, each with the last line at which the entry has not begun to run: in
# make_step() that of len(), the fourth below its decorator; in Handle._run() its first.
_OPEN_TO_INTERRUPTS = {
    make_step.__code__: make_step.__code__.co_firstlineno + 4,
    Handle._run.__code__: Handle._run.__code__.co_firstlineno,
}


def _has_begun(error: BaseException) -> bool:
    """Tell whether an entry had begun to run when Ctrl-C came."""
    traceback = error.__traceback__
    while traceback is not None:
        last_line_before = _OPEN_TO_INTERRUPTS.get(traceback.tb_frame.f_code)
        if last_line_before is not None:
            return traceback.tb_lineno > last_line_before
        traceback = traceback.tb_next
    return True


def never(raise_cancel: Callable[[], NoReturn]) -> Abort:
    """The abort function of the scheduler."""
    return Abort.FAILED


def _nothing() -> None:
    pass


_PACKAGE = __name__.rpartition(".")[0] + "."


def _breaks_the_run(error: BaseException) -> bool:
    """Tell whether an error may have left the run half changed: trio's code was under way, or this package raised it.

    What a signal handler raises ends in the handler's frame.
    """
    traceback, module = error.__traceback__, ""
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        if module.startswith("trio."):
            return True
        traceback = traceback.tb_next
    return isinstance(error, Exception) and module.startswith(_PACKAGE)


def _internal_error(cause: BaseException) -> trio.TrioInternalError:
    error = trio.TrioInternalError("internal error in trio, in a batch of asyncio-on-trio's")
    error.__cause__ = cause
    return error


class _NoCoroutine:
    """The scheduler has no coroutine. This is what code that looks at all trio tasks finds instead."""

    cr_frame = cr_await = None
    cr_running = True  # trio.Lock asks whether the task that takes it has ended; in a callback that is the scheduler


_NO_COROUTINE = _NoCoroutine()


@protected
class Scheduler(Derivable, Task):  # type: ignore[misc]
    """A trio task whose step is a batch of the run in which a loop is open. In a callback it is trio's current task."""

    __slots__ = (
        "_trap",
        "aio_stand_ins",
        "debug",
        "ended",
        "entered",
        "entry",
        "error",
        "fresh",
        "has_new_stand_in",
        "homes",
        "in_batch",
        "instruments",
        "is_hosted",
        "is_of_parent",
        "loop",
        "nursery",
        "nursery_for",
        "on_break",
        "other_contexts",
        "pending",
        "polls",
        "queue",
        "runner",
        "stand_ins",
        "state",
        "stopping",
        "stops_with",
        "told",
    )

    def __init__(self, runner: Runner, nursery: LoopNursery, is_hosted: bool) -> None:
        super().__init__(nursery, _NO_COROUTINE, runner, "asyncio event loop", Context(), True)  # type: ignore[arg-type]
        self.runner = runner
        self.nursery = nursery
        self.is_hosted = is_hosted
        self.instruments = runner.instruments["_all"]
        self.loop: Any = None  # a weak reference
        self.debug = False
        self.stopping = self.ended = False  # set the first to stop after this batch
        self.error: BaseException | None = None
        self.stops_with: Callable[[BaseException], None] | None = None
        self.on_break: Callable[[], object] = _nothing  # called when the run is broken
        self.polls = Polls(runner, lambda: self.loop().run_due_timers())
        self.in_batch = self.is_of_parent = False
        self.entry: Any = None  # the one that runs, or has run last
        self.state: dict[str, Any] = {}  # of RUN in this thread, during a step
        # Which tasks stand for which others.
        self.stand_ins: dict[AnyTask, TrioStandIn] = {}
        self.has_new_stand_in = False  # maybe that of the step that runs
        self.aio_stand_ins: dict[Task, AsyncioStandIn] = {}
        self.entered: AsyncioStandIn | None = None  # in the interpreter's account of running Tasks
        # The nurseries of Tasks in a TaskGroup; and while a Task of a group is made, its coroutine and nursery.
        self.homes: dict[AnyTask, trio.Nursery] = {}
        self.nursery_for: tuple[AnyCoroutine, trio.Nursery] | None = None
        self.other_contexts: dict[TrioStandIn, Context] = {}  # in which trio has Tasks run
        # Those to deliver() to, and in `fresh` those of them that came in this entry. Only a step of its own changes
        # what holds for one of the others: to look at all after each entry would take a minute for 10,000 Tasks.
        self.pending: dict[TrioStandIn | AsyncioStandIn, None] = {}
        self.fresh: dict[TrioStandIn | AsyncioStandIn, None] = {}
        self.told = Told()
        self._trap = object.__new__(WaitTaskRescheduled)
        object.__setattr__(self._trap, "abort_func", never)
        self.queue = RunQueue(runner.runq)
        self.queue.scheduler = self
        runner.runq = self.queue
        runner.tasks = RunTasks(runner.tasks)
        runner.tasks.scheduler = self
        self._next_send_fn = self.send
        _add_task(self, nursery)

    def leave(self) -> None:
        """The loop ends. What is left in the run is trio's alone again."""
        self.ended = self.stopping = True
        self._leave_aio_task()
        stand_ins = list(self.stand_ins.values())
        self.stand_ins.clear()
        for stand_in in stand_ins:
            stand_in.let_go()
        for task in self._waiting_for_futures():  # which nobody finishes
            task.custom_sleep_data, task._abort_func = None, partial(self._give_up, task)
        self.aio_stand_ins.clear()
        self.pending.clear()
        self.fresh.clear()
        entries = [entry for entry in list(deque.__iter__(self.queue)) if type(entry) is Task]
        self.runner.runq = deque(entries)
        self.runner.tasks = {*set.__iter__(self.runner.tasks)}
        self.runner.task_exited(self, Value(None))
        self.polls.close()
        # Nothing waits for the garbage collector.
        self.queue.scheduler = self.nursery.scheduler = self._next_send_fn = self.stops_with = None

    def start(self, coro: Any, name: str, context: Context) -> None:
        """Run what has a coroutine's `send` and `cr_frame` as a trio task of the loop's own.

        Nursery.start_soon() takes only async functions, copies the context and refuses while the run stands still.
        """
        task = Task._create(self.nursery, coro, self.runner, name, context, False)
        _add_task(task, self.nursery)
        self.runner.reschedule(task, None)  # type: ignore[arg-type]

    def drop_callbacks(self) -> None:
        """Take the callbacks and the steps of Tasks out of the run queue."""
        entries = [entry for entry in list(deque.__iter__(self.queue)) if isinstance(entry, Task)]
        deque.clear(self.queue)
        self.queue.extend(entries)

    def stop_with(self, error: BaseException) -> None:
        """End the loop's run with an error; by default at once, and who drives the run raises it."""
        if self.stops_with is None:
            self.error, self.stopping = error, True
        else:
            self.stops_with(error)

    # --- what trio's loop calls ---------------------------------------------------------------------------------------

    def send(self, answer: object) -> object:
        """Run the batch that is due, and further ones as long as trio's loop has nothing else to do."""
        self._next_send_fn = self.send
        state: dict[str, Any] = RUN.__dict__
        state.pop("task", None)
        self.state = state
        library, SNIFFIO.name = SNIFFIO.name, None
        try:
            self.polls.take_over()
            self._run_batches()
        except BaseException as error:
            if not isinstance(error, trio.TrioInternalError):
                if not _breaks_the_run(error):
                    self.stop_with(error)  # a signal handler has raised it, between two steps
                    return self._trap
                error = _internal_error(error)
            self.ended, self.stopping, self.error = True, True, error
            self.on_break()
            raise error
        finally:
            self.state, self.in_batch, self.entry = {}, False, None
            if not self.ended:
                self.polls.give_back(may_wait=self.is_hosted)
            state["task"] = self
            SNIFFIO.name = library
        return self._trap

    def _activate_cancel_status(self, cancel_status: CancelStatus | None) -> None:
        if isinstance(self.error, trio.TrioInternalError):
            raise self.error  # trio wants to take it for the failure of this task
        super()._activate_cancel_status(cancel_status)

    def _attempt_delivery_of_any_pending_cancel(self) -> None:
        """No scope interrupts the scheduler."""

    # --- batches ------------------------------------------------------------------------------------------------------

    def _run_batches(self) -> None:
        runner, queue, polls = self.runner, self.queue, self.polls
        is_watched, is_guest = self._is_watched(), runner.is_guest
        last_poll, busy = 0.0, 0
        while True:
            self._run_batch(is_watched)
            if polls.before_next is not None:
                call, polls.before_next = polls.before_next, None
                call()
            if self.stopping or self.instruments or is_guest:
                return
            timeout = 0.0
            if queue:
                busy += 1
                if busy > POLLED_BUSY_BATCHES and not polls.watches_files:
                    now = monotonic()
                    if now - last_poll < BUSY_POLL_INTERVAL:
                        polls.expire_deadlines()
                        continue
                    last_poll = now
            elif runner.waiting_for_idle or runner.clock_autojump_threshold != inf:
                return  # trio's loop knows how to wait for that
            else:
                busy = 0
                timeout = polls.seconds_to_wait()
            try:
                events = polls.poll(timeout)
            except BaseException as error:  # out of a signal handler
                self.stop_with(error)
                if self.stopping:
                    return
                continue
            if events:
                runner.io_manager.process_events(events)
            polls.expire_deadlines()

    def _run_batch(self, is_watched: bool) -> None:
        """Run the entries that are in the run queue now. is_watched: an instrument is to see the tasks."""
        queue, state = self.queue, self.state
        is_plain = not (is_watched or self.debug or self.other_contexts)
        pending, stand_ins = self.pending, self.stand_ins
        in_trio = False  # whether the entry before was a trio task, for sniffio
        self.in_batch = True
        entry: Any
        stand_in: TrioStandIn | None = None
        for _ in range(len(queue)):
            entry = self.entry = queue.popleft()
            kind = type(entry)
            if kind is TrioStandIn:  # the Task goes on after a wait of trio's
                stand_in, kind = entry, tuple
                entry._next_send_fn = None
                entry = self.entry = entry.step_context, entry.wakeup, DONE
            if kind is Task:
                if not in_trio:
                    SNIFFIO.name, in_trio = "trio", True
                state["task"] = entry
                waited = type(entry.custom_sleep_data) is FutureWait
                if waited or self.aio_stand_ins or type(entry._next_send) is Error:
                    self._prepare(entry)
                if is_watched:
                    self.tell("before_task_step", entry)
                self._step(entry)
                if is_watched:
                    self.tell("after_task_step", entry)
                if self.entered is not None:
                    self._leave_aio_task()
            else:
                if in_trio:
                    SNIFFIO.name, in_trio = None, False
                try:
                    if kind is tuple:
                        if stand_ins and stand_in is None:
                            stand_in = stand_ins.get(entry[1].__self__)
                        if stand_in is not None:
                            state["task"] = stand_in
                            stand_in._schedule_points += 1
                            stand_in._cancel_points += 1
                        if is_plain and (stand_in is None or stand_in.interruption is None):
                            make_step(entry)
                        else:
                            self._make_step(entry, stand_in, is_watched)
                    elif not entry._cancelled:
                        if is_plain or not self.debug:
                            entry._run()
                        else:
                            entry._loop._run_timed(entry)
                except (SystemExit, KeyboardInterrupt) as error:
                    if not _has_begun(error):
                        queue.appendleft(entry)  # or who waits for it would wait for ever
                    self.stop_with(error)
                except BaseException as error:
                    self._report(entry, error)
                if stand_ins:
                    if stand_in is None and kind is tuple and self.has_new_stand_in:
                        self.has_new_stand_in = False
                        stand_in = stand_ins.get(entry[1].__self__)
                    if stand_in is not None and stand_in.aio_task.done():
                        stand_in.end()
            if pending:
                self.entry = None
                self.deliver_pending(stand_in or self._stand_in_of(entry))
            # A finalizer may ask whose step this is, and a traceback may lead to this frame.
            entry = stand_in = self.entry = None
            if "task" in state:
                del state["task"]
            if self.stopping and (self.error is not None or self.ended):
                break
        self.in_batch = False
        if in_trio:
            SNIFFIO.name = None

    # asyncio's entries.

    def _make_step(self, step: Any, stand_in: TrioStandIn | None, is_watched: bool) -> None:
        """Make the step of a Task that a scope has interrupted, that is watched or timed, or has another context."""
        try:
            if stand_in is not None and stand_in.interruption is not None:
                step = self._with_interruption(stand_in, step)
                if step is None:
                    return
            if stand_in in self.other_contexts:
                step = self.other_contexts[stand_in], *step[1:]
            if is_watched:
                self._make_watched_step(step)
            elif self.debug:
                self._make_timed_step(step)
            else:
                make_step(step)
        finally:
            del step, stand_in  # a traceback may lead to this frame

    def _with_interruption(
        self, stand_in: TrioStandIn, step: tuple[Context, StepFunction, AnyFuture]
    ) -> tuple[Context, StepFunction, object] | None:
        """The step of a Task whose wait a scope has interrupted: in it the scope's exception is raised.

        None if it is not time for that step.
        """
        context, wakeup, future = step
        unfinished = unfinished_children(future)
        if unfinished:
            unfinished[0].add_done_callback(lambda child: self.queue.append(step))
            return None
        task = stand_in.aio_task
        (cancels, cancellation, children), stand_in.interruption = stand_in.interruption, None  # type: ignore[misc]
        # If Task.cancel() has come as well, its CancelledError is the one that may not be lost.
        interrupted: tuple[Context, StepFunction, object] = step
        if task.cancelling() <= cancels:
            try:
                future.result()
            except asyncio.CancelledError:
                failure = failure_of(children)
                if failure is None:
                    return context, wakeup, _Failed(cancellation)
                interrupted = context, wakeup, _Failed(failure)
            except BaseException:
                pass
        # What was awaited has not heeded the scope: it interrupts the next wait.
        self.told.take_back(stand_in)
        self.note_pending(stand_in)
        return interrupted

    def _make_watched_step(self, step: Step) -> None:
        stand_in = self.state["task"] = self.stand_in_for(step[1].__self__)
        self.tell("before_task_step", stand_in)
        try:
            if self.debug:
                self._make_timed_step(step)
            else:
                make_step(step)
        finally:
            self.tell("after_task_step", stand_in)
            del step, stand_in  # a traceback may lead to this frame

    def _make_timed_step(self, step: Step) -> None:
        task, loop = step[1].__self__, self.loop()
        start = loop.time()
        try:
            make_step(step)
            loop._log_if_slow(repr, task, loop.time() - start)
        finally:
            del step, task  # a traceback may lead to this frame

    def _report(self, step: object, error: BaseException) -> None:
        """An entry has failed, and not the program's code in it."""
        if isinstance(error.__context__, SystemExit | KeyboardInterrupt) and self.is_of_parent:
            # In the child of os.fork() 3.14 cannot leave the Task that forked, and raises that instead.
            self.stop_with(error.__context__)
        elif type(step) is not tuple:
            self.stop_with(error)  # a callback reports its own errors: this is one of the log, in debug mode
        else:
            _asyncio.report_failed_step(step, error)

    def call_in_run(self, function: Callable[[], object]) -> None:
        """Call a function in the run, also while that stands still; from elsewhere, in the next batch."""
        loop = self.loop()
        if RUN.__dict__.get("runner") is self.runner:
            function()
        elif self.is_hosted or loop.is_running():
            loop.call_soon(function)
        else:
            with loop._run.current():
                function()

    def run_callback(self, handle: Handle) -> None:
        """Run a callback of the loop's within the step of a trio task."""
        if handle._cancelled:
            return
        entry, task = self.entry, self.state.pop("task", None)
        self.entry = handle
        try:
            if self.debug:
                self.loop()._run_timed(handle)
            else:
                handle._run()
        except (SystemExit, KeyboardInterrupt) as error:
            if not _has_begun(error):
                self.queue.append(handle)
            self.stop_with(error)
        finally:
            self.entry, self.state["task"] = entry, task

    # trio's entries.

    def _prepare(self, task: Task) -> None:
        stand_in = self.aio_stand_ins.get(task)
        if stand_in is not None:
            if stand_in._request is not None:
                stand_in.before_step()
            self._enter_aio_task(stand_in)
        answer, wait = task._next_send, task.custom_sleep_data
        if type(wait) is FutureWait:
            task.custom_sleep_data = None
            error = wait.error()
            if error is not None:
                task._next_send_fn, task._next_send = task.coro.throw, error
                del error
        elif type(answer) is Error and isinstance(answer.error, trio.Cancelled):
            self.told.note(task, self.count_cancels(task))
            Cancelled.of(answer.error)  # the task may run asyncio code

    def _step(self, task: Any) -> None:
        """Step a trio task, as trio's loop does."""
        send, answer = task._next_send_fn, task._next_send
        task._next_send_fn = task._next_send = None
        outcome: Outcome[Any]
        trap: Any = None
        try:
            trap = task.context.run(send, answer)
        except StopIteration as stop:
            outcome = Value(stop.value)
        except BaseException as error:
            traceback = error.__traceback__
            for _ in range(CONTEXT_FRAMES):
                traceback = traceback and traceback.tb_next
            outcome = Error(error.with_traceback(traceback))
            del traceback
        else:
            task._schedule_points += 1
            if type(trap) is WaitTaskRescheduled:
                task._cancel_points += 1
                task._abort_func = trap.abort_func
                if self.runner.ki_pending and task is self.runner.main_task:
                    self.runner.main_task._attempt_delivery_of_pending_ki()
                if task._cancel_status.effectively_cancelled:
                    task._attempt_delivery_of_any_pending_cancel()
            elif trap is CancelShieldedCheckpoint:
                self.runner.reschedule(task)
            elif type(trap) is PermanentlyDetachCoroutineObject:
                self._exit(task, trap.final_outcome)
            else:
                self._wait_for_asyncio(task, trap)
            return
        finally:
            del send, answer, trap  # a traceback may lead to this frame
        self._exit(task, outcome)
        del task, outcome

    def _wait_for_asyncio(self, task: Task, yielded: AnyFuture | None) -> None:
        """A trio task has yielded what a Task yields to the interpreter: wait for it."""
        blocking = getattr(yielded, "_asyncio_future_blocking", None)
        if self.ended or (yielded is not None and blocking is None):
            self.resume(task, TypeError(f"neither trio nor asyncio can wait for {yielded!r}"))
        elif yielded is None:
            task._cancel_points += 1
            if self.runner.ki_pending and task is self.runner.main_task:
                self.runner.ki_pending = False
                self.resume(task, KeyboardInterrupt())
            elif self.told.is_due(task):
                self.told.note(task, self.count_cancels(task))
                self.resume(task, Cancelled.of_scope(task._cancel_status))
            else:
                self.resume(task)
        elif not blocking:
            self.resume(task, RuntimeError(f"yield was used instead of yield from in task {task!r} with {yielded!r}"))
        elif yielded.get_loop() is not self.loop():
            self.resume(task, RuntimeError(f"Task {task!r} got Future {yielded!r} attached to a different loop"))
        elif yielded is self.aio_stand_ins.get(task):
            self.resume(task, RuntimeError(f"Task cannot await on itself: {task!r}"))
        else:
            task._cancel_points += 1
            wait = FutureWait(self, task, yielded)
            task._abort_func = task.custom_sleep_data = wait  # type: ignore[assignment]
            yielded._asyncio_future_blocking = False
            yielded.add_done_callback(wait, context=task.context)  # which ends the wait at once if it is done already
            if self.runner.ki_pending and task is self.runner.main_task:
                task._attempt_delivery_of_pending_ki()
            if task._abort_func is not None and self.told.is_due(task):
                task._attempt_delivery_of_any_pending_cancel()

    def resume(self, task: Task, error: BaseException | None = None) -> None:
        """Have a trio task go on, in the next batch, after a wait of asyncio's; raise the error in it."""
        if error is None:
            task._next_send_fn = task.coro.send
        else:
            task._next_send_fn, task._next_send = task.coro.throw, error
        self.runner.runq.append(task)
        if self.instruments:
            self.tell("task_scheduled", task)

    def _exit(self, task: Task, outcome: Outcome[Any]) -> None:
        """A trio task has ended. A cancellation of asyncio's is no failure for its nursery, but one for trio.run()."""
        stand_in = self.aio_stand_ins.pop(task, None)
        self.entry = None
        if type(outcome) is Error and not isinstance(outcome.error, Exception):
            outcome = Error(as_scopes(outcome.error, task._cancel_status))
        if stand_in is not None:
            outcome = stand_in.finish(outcome)
        if type(outcome) is Error and task is not self.runner.main_task:
            rest = without_task_cancellation(outcome.error)
            outcome = Value(None) if rest is None else Error(rest)
        if task in self.told.blocks:
            self.told.forget(task)
        self.runner.task_exited(task, outcome)

    # --- stand-ins ----------------------------------------------------------------------------------------------------

    def find_task(self) -> Task:
        """The current trio task, where trio has noted none."""
        loop, entry = self.loop(), self.entry
        aio_task = None if loop is None else running_task(loop)
        task: Task
        if aio_task is None or type(aio_task) is AsyncioStandIn:
            task = entry if type(entry) is Task else self
            if type(entry) is not Task and not isinstance(entry, Handle):
                return task  # a profiler or a finalizer asks before a step: trio may not keep this for the step
        else:
            task = self.stand_in_for(aio_task)
            if type(entry) is not tuple or entry[1].__self__ is not aio_task:
                # An eager Task, within the step of another task. It may end before that step does, so trio asks each
                # time which task it is.
                self.note_pending(task)
                return task
        self.state["task"] = task
        return task

    def stand_in_for(self, aio_task: AnyTask) -> TrioStandIn:
        """The trio task of an asyncio Task."""
        stand_in = self.stand_ins.get(aio_task)
        if stand_in is None:
            home = self._home(aio_task) if self.nursery_for or self.homes else None
            new = make_stand_in(aio_task, self, home or self.nursery)
            stand_in = self.stand_ins.setdefault(aio_task, new)
            self.has_new_stand_in = True
            if stand_in is not new:  # a signal handler has come in between
                new._activate_cancel_status(None)
                return stand_in
            if self.instruments:
                self.tell("task_spawned", stand_in)
            if stand_in._cancel_status.effectively_cancelled:
                stand_in._attempt_delivery_of_any_pending_cancel()
        return stand_in

    def _home(self, aio_task: AnyTask) -> trio.Nursery | None:
        """The nursery in which an asyncio Task is, if that is not the loop's."""
        if self.nursery_for is not None and aio_task.get_coro() is self.nursery_for[0]:
            return self.nursery_for[1]
        return self.homes.get(aio_task)

    def all_tasks(self) -> set[AnyTask]:
        """The Tasks of the loop that have not ended, without those that stand for trio tasks."""
        return {task for task in asyncio.all_tasks(self.loop()) if type(task) is not AsyncioStandIn}

    def current_task_in_scope(self) -> Task | None:
        """The current trio task, if it is in a cancel scope of the program's, beyond where the loop was opened."""
        task: Task | None = self.state.get("task")
        if task is None:
            aio_task = running_task(self.loop())
            is_plain = type(aio_task) is not AsyncioStandIn and aio_task not in self.stand_ins
            if aio_task is None or (is_plain and not self._home(aio_task)):
                return None
            task = self.find_task()
        nursery = self.nursery
        outermost = nursery._cancel_status, nursery.parent_task._parent_nursery._cancel_status  # type: ignore[union-attr]
        return None if task._cancel_status in outermost else task

    def current_aio_stand_in(self) -> AsyncioStandIn | None:
        """The asyncio Task of the trio task whose step this is; None if it is not a trio task's."""
        task = self.entry
        if not self.in_batch or type(task) is not Task or type(task.coro) is not CoroutineType or self.ended:
            return None
        stand_in = self.aio_stand_ins.get(task)
        if stand_in is None:
            if self._is_of_run(task):
                return None  # which is not to be cancelled
            stand_in = self.aio_stand_ins[task] = AsyncioStandIn(task, self, self.loop())
            self._enter_aio_task(stand_in)
        return stand_in

    def _is_of_run(self, task: Task) -> bool:
        """Tell whether it is one of the trio run's own tasks."""
        return task._parent_nursery is None or task is self.nursery.parent_task or task.coro.cr_code is ENTRY_QUEUE

    def other_trio_tasks(self) -> list[AnyTask]:
        """The program's trio tasks that are in no task's nursery and end before the loop does, as asyncio Tasks."""
        nurseries: list[Any] = [self.nursery] if self.is_hosted else [self.nursery, self.runner.system_nursery]
        return [task for nursery in nurseries for task in self.aio_tasks_in(nursery)]

    def aio_tasks_in(self, nursery: trio.Nursery) -> list[AnyTask]:
        """The program's trio tasks in a nursery, as asyncio Tasks. asyncio.all_tasks() has them from now on."""
        return [
            self.aio_stand_ins.get(task) or self.aio_stand_ins.setdefault(task, AsyncioStandIn(task, self, self.loop()))
            for task in list(nursery._children)
            if type(task.coro) is CoroutineType and not self._is_of_run(task)
        ]

    def is_shielded(self, aio_task: AnyTask) -> bool:
        """Tell whether a Task waits in a cancel scope of its own with a shield."""
        stand_in = self.stand_ins.get(aio_task)
        status = None if stand_in is None else stand_in._cancel_status
        while status is not None and status is not self.nursery._cancel_status:
            if status._scope.shield:
                return True
            status = status._parent
        return False

    def cancel_waits_for_futures(self) -> bool:
        """Cancel each trio task, but the current one, that waits for a future; tell whether there was any."""
        waiting = [task for task in self._waiting_for_futures() if task is not self.entry]
        for task in waiting:
            task.custom_sleep_data.cancel(CancelRequest("the event loop is closed", 0))
        return bool(waiting)

    def _give_up(self, task: Task, raise_cancel: Callable[[], NoReturn]) -> Abort:
        """The abort function of a trio task whose future nobody finishes any more."""
        self.resume(task, raised_by(raise_cancel))
        return Abort.FAILED

    def _waiting_for_futures(self) -> list[Task]:
        tasks = set.__iter__(self.runner.tasks)
        return [task for task in tasks if type(task.custom_sleep_data) is FutureWait]

    def _enter_aio_task(self, stand_in: AsyncioStandIn) -> None:
        if self.entered is None:  # else a finalizer has asked for it, just before the step
            _asyncio.enter_task(self.loop(), stand_in)
            self.entered = stand_in

    def _leave_aio_task(self) -> None:
        if self.entered is not None:
            _asyncio.leave_task(self.loop(), self.entered)
            self.entered = None

    def is_in_trio_task(self) -> bool:
        """Tell whether this is the step of a trio task, and in it no eager asyncio Task's."""
        if not self.in_batch or type(self.entry) is not Task:
            return False
        aio_task = running_task(self.loop())
        return aio_task is None or type(aio_task) is AsyncioStandIn

    def is_asyncio_task(self, task: Task) -> bool:
        """Tell whether a trio task is that of an asyncio Task."""
        return type(task) is TrioStandIn

    def count_cancels(self, task: Task) -> int:
        """How often Task.cancel() has been called, less the calls of uncancel()."""
        aio_task = task.aio_task if type(task) is TrioStandIn else self.aio_stand_ins.get(task)
        return 0 if aio_task is None else aio_task.cancelling()

    def explains(self, status: CancelStatus | None) -> bool:
        """Tell whether a CancelledError that leaves this block in the current task answers the block's cancellation."""
        task = RUN.task
        return self.told.explains(task, status, self.count_cancels(task))

    def note_pending(self, stand_in: TrioStandIn | AsyncioStandIn) -> None:
        """Deliver to it after this entry, or else after a step of its own."""
        self.pending[stand_in] = self.fresh[stand_in] = None

    def deliver_pending(self, stepped: TrioStandIn | AsyncioStandIn | None) -> None:
        """After an entry: interrupt the tasks that are to be interrupted and wait now; see to those that have ended."""
        fresh, self.fresh = self.fresh, {}
        self._deliver([*([] if stepped is None else [stepped]), *fresh])

    def deliver_within_step(self) -> None:
        """See to the eager Tasks that have ended in this step; the others are looked at again after it."""
        self._deliver(list(self.fresh))

    def _deliver(self, stand_ins: list[TrioStandIn | AsyncioStandIn]) -> None:
        for stand_in in stand_ins:
            if stand_in in self.pending and stand_in.deliver():
                self.pending.pop(stand_in, None)

    def _stand_in_of(self, entry: Any) -> TrioStandIn | AsyncioStandIn | None:
        """What stands for the task whose step an entry was."""
        if type(entry) is Task:
            return self.aio_stand_ins.get(entry)
        task = getattr(entry[1] if type(entry) is tuple else entry._callback, "__self__", None)
        return self.stand_ins.get(task) if isinstance(task, asyncio.Task) else None  # else it may have no hash

    def _is_watched(self) -> bool:
        """Tell whether the run has an instrument that is to see the tasks."""
        return not self.runner.instruments.keys().isdisjoint(_HOOKS_FOR_TASKS)

    def tell(self, hook: str, task: Task) -> None:
        if hook in self.runner.instruments:
            self.runner.instruments.call(hook, task)


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


def _add_task(task: Task, nursery: trio.Nursery) -> None:
    """Put a task into a nursery, and so into a trio run, as Nursery.start_soon() does; without scheduling it."""
    runner = task._runner
    runner.tasks.add(task)
    nursery._children.add(task)
    task._activate_cancel_status(nursery._cancel_status)
    if "task_spawned" in runner.instruments:
        runner.instruments.call("task_spawned", task)


class _MissingTask:
    """The attribute `task` of trio's thread-local object, where a thread has not set it.

    It is a descriptor. A __getattr__() of the class would slow down each of trio's looks at that object.
    """

    @enable_ki_protection
    def __get__(self, context: threading.local, owner: type) -> Task:
        scheduler: Scheduler | None = context.__dict__.get("scheduler")
        if scheduler is not None and scheduler.in_batch:
            return scheduler.find_task()
        raise AttributeError(f"{owner.__name__!r} object has no attribute 'task'")


# During the step of an asyncio Task there is none. Public, this would be a function that trio calls for the current
# task where another library steps it.
replaces(type(RUN), "task")(_MissingTask())
