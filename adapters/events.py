"""asyncio's event loop, carried by a trio run.

The loop runs nothing itself. A Task's steps are those of a trio task, a batch of trio's run queue is an iteration of
asyncio's loop, timers are trio deadlines, and other threads come in by trio's entry queue. What differs from a bare
trio run: its order is first in, first out while a loop is open in it; callbacks of call_soon() have their place in that
order (`ReadyQueue`); and the run can stand still between two calls of run_until_complete().

`Loop` has a run of its own. `HostedLoop` lives in a trio run that somebody else started.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import heapq
import inspect
import math
import signal
import sys
import threading
import time
import types
import warnings
import weakref
from asyncio import AbstractEventLoop, Handle, Task, TimerHandle
from asyncio import events as std_events
from asyncio import unix_events as std_unix_events
from asyncio.events import _get_running_loop, _set_running_loop
from asyncio.log import logger
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context
from typing import Any, NoReturn

import trio
from trio.abc import Clock, Instrument
from trio.lowlevel import Abort, disable_ki_protection, enable_ki_protection

from . import _trio_internals as internals
from ._carriers import Carrier, carry, release_adopted
from ._connections import Connections
from ._datagrams import Datagrams
from ._executors import Executors
from ._pipes import Pipes
from ._sockets import Sockets
from .base_subprocess import Subprocesses
from .futures import Future

__all__ = (
    "AbstractEventLoop",
    "Handle",
    "TimerHandle",
    "get_event_loop",
    "get_event_loop_policy",
    "get_running_loop",
    "new_event_loop",
    "set_event_loop",
    "set_event_loop_policy",
)

# 3.14 on: a Handle that another thread may cancel.
ThreadSafeHandle: type[Handle] = getattr(std_events, "_ThreadSafeHandle", Handle)

# Callbacks are the program's own code: Ctrl-C may interrupt them, though not the pump that calls them.
disable_ki_protection(Handle._run)
disable_ki_protection(ThreadSafeHandle._run)


class Pump:
    """A parked trio task that runs callbacks when its turn comes, in the place of a coroutine."""

    __slots__ = ("entries", "queue", "trap", "trio_task")

    cr_frame = cr_await = None

    def __init__(self, queue: ReadyQueue) -> None:
        self.queue = queue
        self.entries: list[Any] = []
        self.trap = internals.make_trap(_give_up)
        self.trio_task = internals.make_task(queue.nursery, queue.runner, self, "asyncio callbacks", Context())

    def send(self, answer: object) -> object:
        queue = self.queue
        if queue.open is self:
            queue.open = None
        entries, self.entries = self.entries, []
        with internals.callbacks_run_in(self.trio_task):
            queue.run(entries)
        if answer is not None or len(queue.parked) > MOST_PARKED_PUMPS:
            raise StopIteration  # trio is closing the nursery, or a burst is over
        queue.parked.append(self)
        return self.trap


def _give_up(raise_cancel: Callable[[], NoReturn]) -> Abort:
    return Abort.SUCCEEDED


MOST_PARKED_PUMPS = 64


class ReadyQueue:
    """Puts callbacks into trio's run queue, among the tasks.

    A batch that a loop's own run steps by itself may have callbacks in it. One that trio steps may not: they run in
    pumps there. One pump for all callbacks would bring them out of order. So a callback joins the newest pump only
    while that is the last entry of the run queue; once a task has been queued behind it, another pump takes the
    callback.
    """

    __slots__ = ("append", "new_tasks", "nursery", "open", "parked", "runner", "stop_with")

    append: Callable[[Any], None]
    """Run a callback, or a step of a Task, in the next batch, after everything that is queued already."""

    def __init__(
        self,
        runner: Any,
        nursery: trio.Nursery,
        new_tasks: list[Carrier],
        stop_with: Callable[[BaseException], None],
    ) -> None:
        self.runner = runner
        self.nursery = nursery
        self.new_tasks = new_tasks
        self.stop_with = stop_with
        self.open: Pump | None = None
        self.parked: list[Pump] = []
        self.hand_over()

    def take_over(self) -> None:
        """A loop's own run steps the next batch."""
        self.append = self.runner.runq.append

    def hand_over(self) -> None:
        """Trio steps the next batch: make pumps of the callbacks in the run queue."""
        self.append = self._append_to_pump
        runq = self.runner.runq
        for _ in range(len(runq)):
            entry = runq.popleft()
            (runq if internals.is_task(entry) else self).append(entry)

    def clear(self) -> None:
        """Drop every callback that has not run."""
        for trio_task in self.nursery.child_tasks:
            pump: Any = trio_task.coro
            if type(pump) is Pump:
                pump.entries.clear()
        tasks = [entry for entry in self.runner.runq if internals.is_task(entry)]
        self.runner.runq.clear()
        self.runner.runq.extend(tasks)

    def _append_to_pump(self, entry: Handle | TaskStep) -> None:
        if isinstance(entry, tuple) and internals.is_watched(self.runner):
            context, step, *argument = entry
            carry(step.__self__, step.__self__.get_loop()).schedule(step, tuple(argument), context)
            return
        runq, pump = self.runner.runq, self.open
        if pump is None or not runq or runq[-1] is not pump.trio_task:
            pump = self.parked.pop() if self.parked else Pump(self)
            internals.start(pump.trio_task)
            self.open = pump
        pump.entries.append(entry)

    def run(self, entries: list[Any]) -> None:
        """Run callbacks now, in the running step of trio's, and take them off the list."""
        entries.reverse()
        while entries:
            entry = entries.pop()
            try:
                if isinstance(entry, tuple):
                    run_step(entry)
                elif entry._cancelled:
                    continue
                elif entry._loop._debug:
                    entry._loop._run_timed(entry)
                else:
                    entry._run()
            except (SystemExit, KeyboardInterrupt) as error:
                self.stop_with(error)
                while entries:
                    self.append(entries.pop())
            finally:
                entry = None  # a traceback may lead to this frame
                while self.new_tasks:
                    self.new_tasks.pop().settle()

    @staticmethod
    def report(entry: TaskStep, error: BaseException) -> None:
        """Tell the loop's exception handler what the interpreter has raised instead of making a step of a Task."""
        context, step, *args = entry
        loop = step.__self__.get_loop()
        source = _std.format_helpers._format_callback_source(step, args)
        handle = Handle(step, args, loop, context)
        loop.call_exception_handler(
            {"message": f"Exception in callback {source}", "exception": error, "handle": handle}
        )


# A step of an asyncio Task's: its context, the function, and the future that is done, if it is one that wakes the Task.
TaskStep = tuple[Any, ...]


@disable_ki_protection
def run_step(entry: TaskStep) -> None:
    """Make the step of a Task, as Handle._run() does it."""
    try:
        entry[0].run(*entry[1:])
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        ReadyQueue.report(entry, error)
    finally:
        del entry  # a traceback may lead to this frame


class MonotonicClock(Clock):
    """The clock of asyncio's loops, for a loop's own run: loop.time() and trio.current_time() are time.monotonic()."""

    def start_clock(self) -> None:
        pass

    current_time = staticmethod(time.monotonic)

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return deadline - time.monotonic()


# What makes the clock of a loop that is given none; for compat.virtual_time().
make_clock: Callable[[], Clock] = MonotonicClock


def _type_of_steps() -> type:
    class Recorder:
        def call_soon(self, step: object, *, context: object) -> None:
            self.step = step

        def get_debug(self) -> bool:
            return False

    async def nothing() -> None:
        pass

    recorder, coro = Recorder(), nothing()
    task: Any = Task(coro, loop=recorder, name="")  # type: ignore[arg-type]
    task._log_destroy_pending = False
    coro.close()
    return type(recorder.step)


# By these the interpreter asks for the next step of a Task, and in their second line its twin in Python does.
StepOfTask, BuiltinFunction, WAKEUP = _type_of_steps(), types.BuiltinFunctionType, "task_wakeup"
STEPS_IN_PYTHON = {vars(asyncio.tasks._PyTask)[name] for name in ("_Task__step", "_Task__wakeup")}  # type: ignore[attr-defined]

_std: Any = asyncio  # to a type checker its underscored names do not exist

# To a type checker AbstractEventLoop has dozens of abstract methods; at run time it has none.
_AbstractEventLoop: Any = AbstractEventLoop

CLOCK_RESOLUTION = time.get_clock_info("monotonic").resolution
FEWEST_TIMERS_TO_PRUNE = 100


# For compat.print_tasks(): the loops of all threads that are not closed.
open_loops: weakref.WeakSet[BaseLoop] = weakref.WeakSet()


class BaseLoop(Connections, Datagrams, Executors, Pipes, Sockets, Subprocesses, _AbstractEventLoop):  # type: ignore[misc]
    """What the two loops share. https://docs.python.org/3/library/asyncio-eventloop.html"""

    # What has no concurrency in it is asyncio's own, as this interpreter has it.
    get_exception_handler = _std.BaseEventLoop.get_exception_handler
    set_exception_handler = _std.BaseEventLoop.set_exception_handler
    default_exception_handler = _std.BaseEventLoop.default_exception_handler
    call_exception_handler = _std.BaseEventLoop.call_exception_handler
    get_task_factory = _std.BaseEventLoop.get_task_factory
    set_task_factory = _std.BaseEventLoop.set_task_factory
    _check_callback = _std.BaseEventLoop._check_callback
    _set_coroutine_origin_tracking = _std.BaseEventLoop._set_coroutine_origin_tracking
    __repr__ = _std.BaseEventLoop.__repr__

    _run: Any  # an internals.Run, or what says that there is none

    def __init__(self) -> None:
        super().__init__()
        self._closed = False
        self._thread_id: int | None = None
        self._start_or_append = threading.RLock()  # a signal handler may come in between
        self._debug: bool = _std.coroutines._is_debug_mode()
        self.slow_callback_duration = 0.1
        self._current_handle: Handle | None = None
        self._exception_handler: Callable[..., object] | None = None
        self._task_factory: Callable[..., Future[Any]] | None = None
        self._coroutine_origin_tracking_enabled = False
        self._coroutine_origin_tracking_saved_depth: int | None = None

        self._scheduled: list[Any] = []  # a heap of TimerHandles
        self._timer_cancelled_count = 0
        self._inbox: deque[Handle] = deque()
        self._signal_handlers: dict[int, Handle] = {}
        self._transports = weakref.WeakValueDictionary()

        self._asyncgens: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()
        self._asyncgen_ids: set[int] = set()
        self._asyncgens_shutdown_called = False

    def _enter_run(self, runner: Any, nursery: trio.Nursery, stop_with: Callable[[BaseException], None]) -> None:
        self._runner = runner
        self._now = internals.clock_of(runner).current_time
        self._nursery = nursery
        self._stop_with = stop_with
        # A coroutine, and the nursery for its Task: a TaskGroup sets it while it makes that.
        self._nursery_for: tuple[Any, trio.Nursery] | None = None
        self._ready = ReadyQueue(runner, nursery, self._run.new_tasks, stop_with)
        self._carriers: dict[Any, Carrier] = {}  # of the Tasks that have trio tasks
        self._adopted: set[Carrier] = set()  # of those, the ones that were plain trio tasks first
        this = weakref.ref(self)
        self._alarm = internals.Alarm(runner, lambda: this()._run_due_timers())  # type: ignore[union-attr]
        open_loops.add(self)

    # --- state -------------------------------------------------------------------------------------------------------

    def is_running(self) -> bool:
        """Tell whether the loop runs now, in any thread."""
        return self._thread_id is not None

    def is_closed(self) -> bool:
        """Tell whether the loop was closed."""
        return self._closed

    def time(self) -> float:
        """The time of the run's clock in seconds; for a loop with a run of its own it is time.monotonic()."""
        return self._now()

    def get_debug(self) -> bool:
        """Tell whether debug mode is on."""
        return self._debug

    def set_debug(self, enabled: bool) -> None:
        """Set debug mode. The slow steps of a Task are logged if it was on when the Task was made."""
        self._debug = enabled
        if self.is_running():
            self.call_soon_threadsafe(self._set_coroutine_origin_tracking, enabled)

    def _check_closed(self) -> None:
        if self._closed:
            raise RuntimeError("Event loop is closed")

    def _take_nothing_more(self) -> None:
        """Be closed: no timer, no signal and no other thread reaches the loop from here on."""
        if not sys.is_finalizing():
            for sig in list(self._signal_handlers):
                self.remove_signal_handler(sig)
        with self._start_or_append:
            self._closed = True
        open_loops.discard(self)
        self._inbox.clear()
        self._scheduled.clear()
        self._alarm.set(math.inf)
        if self._poller is not None:
            self._poller.close()
        self._executor_shutdown_called = True
        if self._default_executor is not None:
            self._default_executor.shutdown(wait=False)
            self._default_executor = None

    def _check_thread(self) -> None:
        if self._thread_id is not None and self._thread_id != threading.get_ident():
            raise RuntimeError("Non-thread-safe operation invoked on an event loop other than the current one")

    @contextmanager
    def _as_running_loop(self) -> Iterator[None]:
        """Make it known to the interpreter as this thread's running loop, to asyncio's own functions too."""
        from .tasks import answer_for_std

        answer_for_std()
        self._set_coroutine_origin_tracking(self._debug)
        with self._start_or_append:
            self._thread_id = threading.get_ident()
        outer_hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(*self._make_asyncgen_hooks(outer_hooks))
        _set_running_loop(self)
        try:
            with internals.first_in_first_out(self._runner):
                yield
        finally:
            _set_running_loop(None)
            sys.set_asyncgen_hooks(*outer_hooks)
            self._thread_id = None
            self._set_coroutine_origin_tracking(False)

    # --- callbacks ---------------------------------------------------------------------------------------------------

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Handle:
        """Call callback(*args) in the next batch, after everything that is queued already."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        kind: Any = type(callback)
        if kind is StepOfTask or (kind is BuiltinFunction and callback.__name__ == WAKEUP):
            # The interpreter steps a Task, and does not look at the handle.
            if self._carriers or self._nursery_for is not None:
                carrier = self._carrier_for(callback.__self__)  # type: ignore[attr-defined]
                if carrier is not None:
                    carrier.schedule(callback, args, context)
                    return None  # type: ignore[return-value]
            if not self._debug or internals.is_watched(self._runner):
                self._ready.append((context, callback, *args))
                return None  # type: ignore[return-value]
        elif self._carriers and kind is types.MethodType and callback.__func__ in STEPS_IN_PYTHON:  # type: ignore[attr-defined]
            carrier = self._carriers.get(callback.__self__)  # type: ignore[attr-defined]
            if carrier is not None:
                carrier.schedule(callback, args, context)
                return None  # type: ignore[return-value]
        if self._debug:
            self._check_thread()
            self._check_callback(callback, "call_soon")
        if self._inbox:
            self._empty_inbox()
        handle = Handle(callback, args, self, context)
        if self._debug:
            _forget_last_frame(handle)
        self._ready.append(handle)
        return handle

    def _carrier_for(self, task: Any) -> Carrier | None:
        """The carrier of a Task that has one, or is to have one from its first step on."""
        carrier = self._carriers.get(task)
        if carrier is None and self._nursery_for is not None and task.get_coro() is self._nursery_for[0]:
            carrier = carry(task, self)
        return carrier

    def _take_nursery_for(self, task: Any) -> trio.Nursery:
        """The nursery in which the trio task of the Task is to be."""
        if self._nursery_for is not None and task.get_coro() is self._nursery_for[0]:
            return self._nursery_for[1]
        return self._nursery

    def _note_new_task(self, carrier: Carrier) -> None:
        """Look at how the Task waits after the running step, in which it has got a trio task."""
        self._run.new_tasks.append(carrier)

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """call_soon() from another thread or a signal handler."""
        self._check_closed()
        if self._debug:
            self._check_callback(callback, "call_soon_threadsafe")
        handle = ThreadSafeHandle(callback, args, self, context)
        _forget_last_frame(handle)
        if ThreadSafeHandle is not Handle:
            _forget_last_frame(handle)  # that was its __init__
        self._append_from_anywhere(handle)
        return handle

    def _append_from_anywhere(self, handle: Handle) -> None:
        if self._thread_id is None:
            with self._start_or_append:
                if self._thread_id is None:  # it stands still, and nobody else touches the run queue
                    self._check_closed()
                    self._empty_inbox()
                    self._ready.append(handle)
                    return
        # Inside a step the run queue may be touched. Between steps, where a signal handler may be, trio may be about to
        # clear it.
        if internals.current_runner() is self._runner and internals.is_in_step():
            self._ready.append(handle)
        else:
            self._inbox.append(handle)
            with suppress(trio.RunFinishedError):  # closed meanwhile: as in asyncio, it may have been called or not
                self._runner.entry_queue.run_sync_soon(self._empty_inbox)

    def _empty_inbox(self) -> None:
        if self._closed:  # a thread has called while the loop was being closed
            self._inbox.clear()
        while self._inbox:
            self._ready.append(self._inbox.popleft())

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """Call callback(*args) after delay seconds."""
        if delay is None:
            raise TypeError("delay must not be None")
        timer = self.call_at(self.time() + delay, callback, *args, context=context)
        if self._debug:
            _forget_last_frame(timer)
        return timer

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """Call callback(*args) at a time, in seconds, of the loop's clock."""
        if when is None:
            raise TypeError("when cannot be None")
        if self._closed:
            raise RuntimeError("Event loop is closed")
        if self._debug:
            self._check_thread()
            self._check_callback(callback, "call_at")
        timer: Any = TimerHandle(when, callback, args, self, context)
        if self._debug:
            _forget_last_frame(timer)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        if self._scheduled[0] is timer:
            self._alarm.set(when)
        return timer  # type: ignore[no-any-return]

    def _timer_handle_cancelled(self, timer: Any) -> None:
        if timer._scheduled and not self._closed:
            self._timer_cancelled_count += 1
            self._prune_timers_soon()

    def _prune_timers_soon(self) -> None:
        """Have _prune_timers() called before the next poll for I/O, which is when asyncio does it."""
        raise NotImplementedError

    def _poll_also(self, files: Any) -> None:
        """Have files.poll(), which has an epoll, called before each batch, as asyncio polls."""
        raise NotImplementedError

    def _prune_timers(self) -> None:
        """Take cancelled timers off the head of the heap; all of them, if they are many."""
        scheduled = self._scheduled
        if len(scheduled) > FEWEST_TIMERS_TO_PRUNE and self._timer_cancelled_count * 2 > len(scheduled):
            for timer in scheduled:
                timer._scheduled = not timer._cancelled
            self._scheduled = [timer for timer in scheduled if timer._scheduled]
            heapq.heapify(self._scheduled)
            self._timer_cancelled_count = 0
        while self._scheduled and self._scheduled[0]._cancelled:
            heapq.heappop(self._scheduled)._scheduled = False
            self._timer_cancelled_count -= 1
        self._set_alarm()

    def _set_alarm(self) -> None:
        self._alarm.set(self._scheduled[0]._when if self._scheduled else math.inf)

    def _run_due_timers(self) -> None:
        until, scheduled = self.time() + CLOCK_RESOLUTION, self._scheduled
        while scheduled and scheduled[0]._when < until:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            if timer._cancelled:
                self._timer_cancelled_count -= 1
            self._ready.append(timer)
        self._set_alarm()
        if self._timer_cancelled_count:
            self._prune_timers_soon()

    def _run_timed(self, handle: Any) -> None:
        """Debug mode: run a callback, and log it if it took long."""
        self._current_handle = handle
        start = self.time()
        try:
            handle._run()
            self._log_if_slow(_std.base_events._format_handle(handle), self.time() - start)
        finally:
            self._current_handle = handle = None  # a traceback may lead to this frame

    def _log_if_slow(self, what: object, seconds: float) -> None:
        if seconds >= self.slow_callback_duration:
            logger.warning("Executing %s took %.3f seconds", what, seconds)

    # --- futures and tasks -------------------------------------------------------------------------------------------

    def create_future(self) -> asyncio.Future[Any]:
        """A Future of this loop."""
        return Future(loop=self)

    if "kwargs" in inspect.signature(_std.BaseEventLoop.create_task).parameters:

        def create_task(self, coro: Any, **kwargs: Any) -> Task[Any]:
            """Run a coroutine as a Task: `name`, `context`, and `eager_start` where Task has it."""
            if self._closed or self._debug or self._task_factory is not None or "eager_start" in kwargs:
                return self._make_task(coro, **kwargs)  # type: ignore[no-any-return]
            return Task(coro, loop=self, **kwargs)

    else:

        def create_task(  # type: ignore[misc]
            self, coro: Any, *, name: str | None = None, context: Context | None = None
        ) -> Task[Any]:
            """Run a coroutine as a Task, with a name, in a context (a copy of the current one)."""
            if self._task_factory is None:
                if self._closed or self._debug:
                    return self._make_task(coro, name=name, context=context)  # type: ignore[no-any-return]
                return Task(coro, loop=self, name=name, context=context)
            task: Any = self._make_task(coro, **({} if context is None else {"context": context}))
            if name is not None:
                task.set_name(name)
            return task  # type: ignore[no-any-return]

    def _make_task(self, coro: Any, **kwargs: Any) -> Any:
        """Make a Task by the task factory, if there is one; in debug mode; or one that takes its first step at once."""
        self._check_closed()
        make: Any = Task if self._task_factory is None else functools.partial(self._task_factory, self)
        if self._task_factory is None:
            kwargs["loop"] = self
        trio_task = internals.stepped_task()
        if trio_task is None:
            task = make(coro, **kwargs)
        else:  # the Task's first step may be in this one, which is a plain trio task's own
            with internals.callbacks_run_in(trio_task):
                task = make(coro, **kwargs)
                self._settle_new_tasks()
        if self._task_factory is None and self._debug and task._source_traceback:
            del task._source_traceback[-2:]
        return task

    def _settle_new_tasks(self) -> None:
        new_tasks = self._run.new_tasks
        while new_tasks:
            new_tasks.pop().settle()

    # --- signals -----------------------------------------------------------------------------------------------------

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:
        """Call callback(*args) in the loop when the signal comes. From the main thread only."""
        if asyncio.iscoroutine(callback) or inspect.iscoroutinefunction(callback):
            raise TypeError("coroutines cannot be used with add_signal_handler()")
        _check_signal(sig)
        self._check_closed()
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("set_wakeup_fd only works in main thread of the main interpreter")
        self._signal_handlers[sig] = Handle(callback, args, self, None)
        try:
            signal.signal(sig, self._on_signal)
            if hasattr(signal, "siginterrupt"):
                signal.siginterrupt(sig, False)
        except OSError as error:
            del self._signal_handlers[sig]
            if error.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught") from None
            raise

    def remove_signal_handler(self, sig: int) -> bool:
        """Give the signal back to Python; tell whether there was a handler."""
        _check_signal(sig)
        if self._signal_handlers.pop(sig, None) is None:
            return False
        try:
            signal.signal(sig, signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught") from None
            raise
        return True

    def _on_signal(self, signum: int, frame: object) -> None:
        handle = self._signal_handlers.get(signum)
        if handle is not None and not handle._cancelled:
            self._append_from_anywhere(handle)

    # --- async generators --------------------------------------------------------------------------------------------

    def _make_asyncgen_hooks(self, trio_hooks: Any) -> tuple[Callable[[Any], None], Callable[[Any], None]]:
        """asyncio's hooks for generators first iterated by an asyncio Task; trio's own for all others."""

        def first_iteration(agen: AsyncGenerator[Any, Any]) -> None:
            task = internals.stepped_task()
            if task is not None and isinstance(task.coro, types.CoroutineType):
                trio_hooks.firstiter(agen)
                return
            if self._asyncgens_shutdown_called:
                warnings.warn(
                    f"asynchronous generator {agen!r} was scheduled after loop.shutdown_asyncgens() call",
                    ResourceWarning,
                    stacklevel=2,
                    source=self,
                )
            self._asyncgens.add(agen)
            # A generator that is being finalized has left the weak set already.
            self._asyncgen_ids.add(id(agen))

        def finalize(agen: AsyncGenerator[Any, Any]) -> None:
            if id(agen) not in self._asyncgen_ids:
                trio_hooks.finalizer(agen)
                return
            self._asyncgen_ids.discard(id(agen))
            if not self._closed:
                self.call_soon_threadsafe(self.create_task, agen.aclose())

        return first_iteration, finalize

    async def shutdown_asyncgens(self) -> None:
        """Close every asynchronous generator that a Task has begun to iterate."""
        from .tasks import gather

        self._asyncgens_shutdown_called = True
        closing = list(self._asyncgens)
        if not closing:
            return
        self._asyncgens.clear()
        results = await gather(*[agen.aclose() for agen in closing], return_exceptions=True)
        for result, agen in zip(results, closing, strict=True):
            if isinstance(result, Exception):
                self.call_exception_handler(
                    {
                        "message": f"an error occurred during closing of asynchronous generator {agen!r}",
                        "exception": result,
                        "asyncgen": agen,
                    }
                )


class Loop(BaseLoop):
    """An event loop with a trio run of its own, driven by hand so that it can stand still between calls.

    Takes the run's clock (trio.testing.MockClock gives asyncio code virtual time) and instruments.
    """

    def __init__(self, *, clock: Clock | None = None, instruments: Sequence[Instrument] = ()) -> None:
        super().__init__()
        self._run = internals.Run(clock or make_clock(), instruments)
        self._enter_run(self._run.runner, self._run.nursery, self._run.stop_with)
        self._run.ready = self._ready
        if self._run.steps_itself:
            self._ready.take_over()

    def _prune_timers_soon(self) -> None:
        self._run.before_poll = self._prune_timers

    def _poll_also(self, files: Any) -> None:
        self._run.poll_through(files)

    def _check_running(self) -> None:
        if self.is_running():
            raise RuntimeError("This event loop is already running")
        if is_thread_taken():
            raise RuntimeError("Cannot run the event loop while another loop is running")

    @enable_ki_protection
    def run_forever(self) -> None:
        """Run until stop() is called."""
        self._check_closed()
        self._check_running()
        with self._run.current(), self._as_running_loop():
            self._run.drive()

    def run_until_complete(self, future: Any) -> Any:
        """Run until the future is done, and return its result; a coroutine is run as a Task."""
        from .tasks import ensure_future

        self._check_closed()
        self._check_running()
        new_task = not asyncio.isfuture(future)
        future = ensure_future(future, loop=self)
        if new_task:
            future._log_destroy_pending = False  # that it did not complete is raised below

        future.add_done_callback(_stop_loop_of)
        try:
            self.run_forever()
        except:
            if new_task and future.done() and not future.cancelled():
                future.exception()  # raised here, and nobody else has the task to retrieve it
            raise
        finally:
            future.remove_done_callback(_stop_loop_of)
        if not future.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return future.result()

    def stop(self) -> None:
        """Stop run_forever() after the batch that is being run."""
        self._run.stopping = True

    def close(self) -> None:
        """End the run. Tasks that are left stay pending, as asyncio leaves them; cancel them before.

        A task that has a trio nursery open is cancelled and waited for, since trio lets no nursery go.
        """
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self._closed:
            return
        if self._debug:
            logger.debug("Close %r", self)
        self._take_nothing_more()
        self._run.files = None
        self._ready.clear()
        if self._run.ended:
            return
        with self._run.current():
            trio_task: Any
            for trio_task in self._nursery.child_tasks:
                if type(trio_task.coro) is Carrier and not trio_task.child_nurseries:
                    internals.detach(trio_task)
                    trio_task.coro.part(self)
            self._run.finish()

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if not getattr(self, "_closed", True):
            _warn(f"unclosed event loop {self!r}", ResourceWarning, source=self)
            if not self.is_running():
                self.close()


def _stop_loop_of(future: Future[Any]) -> None:
    if not future.cancelled() and isinstance(future.exception(), SystemExit | KeyboardInterrupt):
        return  # it stops the loop by itself
    future.get_loop().stop()


class HostedLoop(BaseLoop):
    """An event loop inside a trio run that somebody else started: see compat.open_loop().

    Its tasks are shielded from the cancel scopes around it: they are ended the asyncio way, when the loop is left.
    """

    def __init__(self, stop_with: Callable[[BaseException], None]) -> None:
        super().__init__()
        self._run = types.SimpleNamespace(steps_itself=False, new_tasks=[])  # it has none of its own
        self._stop_with = stop_with
        self._pruning: Handle | None = None
        self._after_polls: internals.AfterPolls | None = None
        self._has_nursery = trio.Event()

    async def _hold_nursery(self) -> None:
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                self._enter_run(internals.current_runner(), nursery, self._stop_with)
                self._has_nursery.set()
                await trio.sleep_forever()

    def _prune_timers_soon(self) -> None:
        if self._pruning is None:
            self._pruning = self.call_soon(self._prune_timers)

    def _prune_timers(self) -> None:
        self._pruning = None
        super()._prune_timers()

    def _poll_also(self, files: Any) -> None:
        internals.add_to_polls(self._runner, files.epoll.fileno())
        poll = weakref.WeakMethod(files.poll)
        self._after_polls = internals.AfterPolls(self._runner, lambda: poll()(0))  # type: ignore[misc]

    def _end(self) -> None:
        self._take_nothing_more()
        if self._after_polls is not None:
            self._after_polls.remove()
        release_adopted(self)
        self._nursery.cancel_scope.cancel()

    def run_forever(self) -> NoReturn:
        """Refuse: trio runs it."""
        raise RuntimeError("This event loop is already running")

    def run_until_complete(self, future: Any) -> NoReturn:
        """Refuse: trio runs it. Await the future instead."""
        raise RuntimeError("This event loop is already running")

    def stop(self) -> NoReturn:
        """Refuse: it ends with its block."""
        raise RuntimeError("this loop ends with its compat.open_loop() block or compat.run(): leave it, or cancel it")

    def close(self) -> NoReturn:
        """Refuse: it is closed at the end of its block."""
        raise RuntimeError("Cannot close a running event loop")


def _not_there_yet(name: str) -> Callable[..., NoReturn]:
    def method(self: BaseLoop, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"loop.{name}() is not on trio yet")

    method.__name__, method.__qualname__ = name, f"BaseLoop.{name}"
    return method


# For the report: what the loop has under its name, and only refuses.
NOT_THERE_YET: list[object] = []

_owners = (Connections, Datagrams, Executors, Pipes, Sockets, Subprocesses, BaseLoop, Loop)
_defined = {name for owner in _owners for name in vars(owner)}
for _name, _member in vars(AbstractEventLoop).items():
    if callable(_member) and not _name.startswith("_") and _name not in _defined:
        NOT_THERE_YET.append(_not_there_yet(_name))
        setattr(BaseLoop, _name, NOT_THERE_YET[-1])


def _forget_last_frame(handle: Handle) -> None:
    """In debug mode a handle remembers where it was made; our own frame is of no interest there."""
    if handle._source_traceback:  # type: ignore[attr-defined]
        del handle._source_traceback[-1]  # type: ignore[attr-defined]


def _check_signal(sig: object) -> None:
    if not isinstance(sig, int):
        raise TypeError(f"sig must be an int, not {sig!r}")
    if sig not in signal.valid_signals():
        raise ValueError(f"invalid signal number {sig}")


# --- the loop of a thread --------------------------------------------------------------------------------------------


def is_thread_taken() -> bool:
    """Tell whether a loop or a trio run is under way in this thread: no other can run before it stands still."""
    return _get_running_loop() is not None or internals.is_in_run()


def get_running_loop() -> AbstractEventLoop:
    """The running loop of this thread. Raises RuntimeError if there is none."""
    loop = _get_running_loop()
    if loop is None:
        if internals.current_runner() is not None:
            raise RuntimeError(
                "no running event loop: this trio run has none. Start it with compat.run(), or wrap the code in "
                "`async with compat.open_loop():`"
            )
        raise RuntimeError("no running event loop")
    return loop


def _std_name(name: str) -> Any:
    """A name of asyncio.events; 3.14 has put an underscore before those of the policies."""
    return getattr(std_events, name, None) or getattr(std_events, "_" + name)


_get_std_policy: Any = getattr(std_events, "_get_event_loop_policy", None) or std_events.get_event_loop_policy


class DefaultEventLoopPolicy(_std_name("BaseDefaultEventLoopPolicy")):  # type: ignore[misc]
    """asyncio's policy, one loop for each thread, with loops on trio."""

    _loop_factory = Loop
    _watcher: Any = None

    def set_event_loop(self, loop: AbstractEventLoop | None) -> None:
        """Set the loop of this thread, or unset it by None; in the real asyncio, too.

        A Future or Task that is made without a loop, while none is running, asks that.
        """
        super().set_event_loop(loop)
        policy = _get_std_policy()
        if policy is not self:
            policy.set_event_loop(loop)

    if hasattr(std_events, "get_child_watcher"):

        def get_child_watcher(self) -> Any:
            """What set_child_watcher() was given, or one that stands for asyncio's: the loop needs none."""
            from . import unix_events

            if self._watcher is None:
                use_pidfd = getattr(std_unix_events, "can_use_pidfd", bool)  # from 3.12 on
                kind = unix_events.PidfdChildWatcher if use_pidfd() else unix_events.ThreadedChildWatcher
                self._watcher = kind()
            _warn_of_child_watchers("get_child_watcher")
            return self._watcher

        def set_child_watcher(self, watcher: Any) -> None:
            """Keep it for get_child_watcher(), and close the one before."""
            assert watcher is None or isinstance(watcher, _std.AbstractChildWatcher)
            if self._watcher is not None:
                self._watcher.close()
            self._watcher = watcher
            _warn_of_child_watchers("set_child_watcher")


def _warn_of_child_watchers(name: str) -> None:
    if sys.version_info >= (3, 12):
        text = f"{name!r} is deprecated as of Python 3.12 and will be removed in Python 3.14."
        warnings.warn(text, DeprecationWarning, stacklevel=3)


_event_loop_policy: Any = None
_policy_lock = threading.Lock()


def _get_event_loop_policy() -> Any:
    global _event_loop_policy
    with _policy_lock:
        if _event_loop_policy is None:
            _event_loop_policy = DefaultEventLoopPolicy()
    return _event_loop_policy


def _set_event_loop_policy(policy: Any) -> None:
    global _event_loop_policy
    if policy is not None and not isinstance(policy, _std_name("AbstractEventLoopPolicy")):
        raise TypeError(f"policy must be an instance of AbstractEventLoopPolicy or None, not '{type(policy).__name__}'")
    old, _event_loop_policy = _event_loop_policy, policy
    if old is not None and _std.events._event_loop_policy is old:
        _std.events._event_loop_policy = policy or DefaultEventLoopPolicy()


def get_event_loop_policy() -> Any:
    """The policy that new_event_loop() and get_event_loop() ask. Deprecated from 3.14 on."""
    _warn_of_policies("get_event_loop_policy")
    return _get_event_loop_policy()


def set_event_loop_policy(policy: Any) -> None:
    """Replace the policy; None for the default one. Where it is the real asyncio's too, it is replaced there, too."""
    _warn_of_policies("set_event_loop_policy")
    _set_event_loop_policy(policy)


def _warn_of_policies(name: str) -> None:
    if sys.version_info >= (3, 14):
        message = f"'asyncio.{name}' is deprecated and slated for removal in Python 3.16"
        warnings.warn(message, DeprecationWarning, stacklevel=3)


def get_event_loop() -> AbstractEventLoop:
    """The running loop, else the one that was set for this thread."""
    running = _get_running_loop()
    loop: AbstractEventLoop = running if running is not None else _get_event_loop_policy().get_event_loop()
    return loop


def set_event_loop(loop: AbstractEventLoop | None) -> None:
    """Set the loop of this thread, or unset it by None."""
    _get_event_loop_policy().set_event_loop(loop)


def new_event_loop() -> AbstractEventLoop:
    """A new loop, with a trio run of its own."""
    loop: AbstractEventLoop = _get_event_loop_policy().new_event_loop()
    return loop


if hasattr(std_events, "get_child_watcher"):

    def get_child_watcher() -> Any:
        """The policy's child watcher, which nothing depends on: the loop waits for its children by itself."""
        return get_event_loop_policy().get_child_watcher()

    def set_child_watcher(watcher: Any) -> None:
        """Set the policy's child watcher, which nothing depends on."""
        get_event_loop_policy().set_child_watcher(watcher)
