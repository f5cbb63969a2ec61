"""asyncio's event loop, carried by a trio run.

A batch of trio's run queue is an iteration of asyncio's loop (`_trio/scheduler.py`). The first of the timers is a
deadline of trio's (`_timers.py`). Other threads append to the run queue, and wake trio's poll. What differs from a bare
trio run: its order is first in, first out while a loop is open in it; callbacks and the steps of Tasks have their place
in that order; and the run can stand still between two calls of run_until_complete().

`Loop` has a run of its own. `HostedLoop` lives in a trio run that somebody else started.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import threading
import time
import types
import warnings
import weakref
from asyncio import AbstractEventLoop, Handle, Task, TimerHandle
from asyncio import unix_events as std_unix_events
from asyncio.log import logger
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from heapq import heappush
from typing import Any, NoReturn, ParamSpec, TypeAlias

import trio
from trio.abc import Clock, Instrument
from trio.lowlevel import disable_ki_protection, enable_ki_protection

from ._asyncgens import AsyncGenerators
from ._asyncio import (
    PYTHON_STEPS,
    STEP_TYPE,
    WAKEUP_NAME,
    WAKEUP_TYPE,
    AbstractEventLoopPolicy,
    BaseDefaultEventLoopPolicy,
    ThreadSafeHandle,
    Timer,
    forget_last_frames,
    format_handle,
    get_asyncios_policy,
    is_debug_mode,
    replace_policy,
    set_running_loop,
)
from ._asyncio import get_running_loop as _get_running_loop
from ._connections import Connections
from ._datagrams import Datagrams
from ._executors import Executors
from ._patches import patch_asyncio, refuse_nesting, refuse_patches
from ._pipes import Pipes
from ._signals import Signals
from ._sockets import Sockets
from ._timers import Timers
from ._trio import runs
from ._trio.names import protect_all_of, protected
from ._trio.nurseries import open_loop_nursery
from ._trio.stand_ins import FutureWait
from ._types import CoroutineLike, T, Ts
from .base_subprocess import Subprocesses

if sys.version_info < (3, 14):
    from . import _child_watchers
    from ._child_watchers import AbstractChildWatcher as ChildWatcher

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

P = ParamSpec("P")
BaseEventLoop = asyncio.BaseEventLoop

# Ctrl-C must not interrupt these classes and functions of the interpreter's either: a waiter might never be woken, or
# the KeyboardInterrupt be lost, as the interpreter ignores what a finalizer raises.
_CLASSES = (
    *(asyncio.Lock, asyncio.Event, asyncio.Condition, asyncio.Semaphore, asyncio.BoundedSemaphore, asyncio.Barrier),
    *(asyncio.Queue, asyncio.PriorityQueue, asyncio.LifoQueue, asyncio.TaskGroup, asyncio.Timeout),
    *(asyncio.SelectorEventLoop, asyncio.Server),
)
for _class in {base for kind in _CLASSES for base in kind.__mro__}:
    protected(_class)
for _function in (
    *(asyncio.gather, asyncio.shield, asyncio.wait, asyncio.sleep, asyncio.as_completed),
    *(weakref.WeakSet.__init__, weakref.WeakKeyDictionary.__init__, weakref.WeakValueDictionary.__init__),
):
    protect_all_of(_function.__code__)

# They call code of the program's, which Ctrl-C may interrupt.
for _class in asyncio.SelectorEventLoop.__mro__:
    for _method in vars(_class).values():
        if inspect.iscoroutinefunction(_method) and "protocol_factory" in _method.__code__.co_varnames:
            disable_ki_protection(_method)
disable_ki_protection(BaseEventLoop.run_in_executor)  # an executor's submit()

# Callbacks are the program's own code: Ctrl-C may interrupt them.
disable_ki_protection(Handle._run)
disable_ki_protection(ThreadSafeHandle._run)


@disable_ki_protection
def _call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a task factory or a Task's class, which may run code of the program's: Ctrl-C may interrupt that."""
    return function(*args, **kwargs)


class MonotonicClock(Clock):
    """The clock of asyncio's loops, for a loop's own run: loop.time() and trio.current_time() are time.monotonic()."""

    def start_clock(self) -> None:
        pass

    current_time = staticmethod(time.monotonic)

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return deadline - time.monotonic()


# Makes the clock of a loop that is given none. compat.virtual_time() replaces it.
make_clock: Callable[[], Clock] = MonotonicClock


# The loops of all threads that are not closed, for compat.print_tasks().
open_loops: weakref.WeakSet[BaseLoop] = weakref.WeakSet()


@protected
class BaseLoop(AsyncGenerators, Connections, Datagrams, Executors, Pipes, Signals, Sockets, Subprocesses):
    """What the two loops share. https://docs.python.org/3/library/asyncio-eventloop.html

    Callbacks, timers, Tasks and the state of the loop are here; the other methods are in its parts.
    """

    _closed = True  # until it has a run
    _checks_calls = True  # of call_soon() and the like: the loop is closed, or in debug mode

    def __init__(self) -> None:
        refuse_patches()
        super().__init__()
        self._thread_id: int | None = None
        self._debug = is_debug_mode()
        self.slow_callback_duration = 0.1
        self._current_handle: Handle | None = None
        self._exception_handler: Callable[..., object] | None = None
        self._task_factory: Callable[..., object] | None = None
        self._coroutine_origin_tracking_enabled = False
        self._coroutine_origin_tracking_saved_depth: int | None = None
        self._transports = weakref.WeakValueDictionary()

    def _enter_run(self, run: runs.Run | runs.HostedRun) -> None:
        self._runner = run.runner
        self._scheduler = scheduler = run.scheduler
        self._nursery = scheduler.nursery
        self._now = runs.clock_of(run.runner).current_time
        self._ready = scheduler.queue
        self._append = scheduler.queue.append
        self._timers = Timers(scheduler.polls, self._append)
        self._timer_handle_cancelled = self._timers.note_cancelled  # a TimerHandle's cancel() calls it
        this = scheduler.loop = weakref.ref(self)
        scheduler.on_break = lambda: this()._leave_thread()  # type: ignore[union-attr]
        scheduler.debug = self._debug
        self._closed = False
        self._checks_calls = self._debug
        open_loops.add(self)

    # --- state -------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return super().__repr__().replace(" ", " on trio ", 1)

    def time(self) -> float:
        """The time of the run's clock in seconds; for a loop with a run of its own it is time.monotonic()."""
        return self._now()

    if sys.version_info >= (3, 12):

        def is_running(self) -> bool:
            """Tell whether the loop runs."""
            # The interpreter asks before an eager Task takes its first step, inside the step of another. So forget
            # which trio task the running step is of. No call comes after that: after one, a signal handler may ask for
            # the current task.
            is_running, is_here = super().is_running(), self._thread_id == threading.get_ident()
            state = self._scheduler.state
            if is_here and "task" in state:
                del state["task"]
            return is_running

    def set_debug(self, enabled: bool) -> None:
        """Set debug mode. Slow callbacks and steps of Tasks are logged from the next batch on."""
        self._debug = self._scheduler.debug = enabled
        self._checks_calls = self._closed or enabled
        if self.is_running():
            self.call_soon_threadsafe(self._set_coroutine_origin_tracking, enabled)

    def _take_nothing_more(self) -> None:
        """Close the loop to timers, signals, files, executors and other threads."""
        if not sys.is_finalizing():
            self._remove_signal_handlers()
        self._closed = self._checks_calls = True
        open_loops.discard(self)
        self._timers.clear()
        if self._poller is not None:
            self._poller.close()
        self._selector = None
        self._executor_shutdown_called = True
        if self._default_executor is not None:
            self._default_executor.shutdown(wait=False)
            self._default_executor = None

    @contextmanager
    def _as_running_loop(self) -> Iterator[None]:
        """Make it this thread's running loop in the block, for the interpreter and for asyncio's own functions."""
        patch_asyncio()
        self._set_coroutine_origin_tracking(self._debug)
        self._thread_id = threading.get_ident()
        self._set_asyncgen_hooks()
        set_running_loop(self)
        try:
            yield
        finally:
            self._leave_thread()

    def _leave_thread(self) -> None:
        """Stop being this thread's running loop, if it still is."""
        self._thread_id = None
        if _get_running_loop() in (self, None):  # None in the child of os.fork()
            set_running_loop(None)
        self._reset_asyncgen_hooks()
        self._set_coroutine_origin_tracking(False)

    # --- callbacks ---------------------------------------------------------------------------------------------------

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Handle:
        """Call callback(*args) in the next batch, after everything that is queued already."""
        if self._checks_calls:
            self._check_closed()
            if self._debug:
                self._check_thread()
        kind: type = type(callback)
        if kind is STEP_TYPE:
            self._append((context, callback))  # the interpreter does not use a handle
            return None  # type: ignore[return-value]
        if kind is WAKEUP_TYPE and callback.__name__ == WAKEUP_NAME:
            self._append((context, callback, args[0]))  # type: ignore[misc]
            return None  # type: ignore[return-value]
        if kind is FutureWait:
            callback.wake()  # type: ignore[attr-defined]
            return None  # type: ignore[return-value]
        if kind is types.MethodType and callback.__func__ in PYTHON_STEPS:  # type: ignore[attr-defined]
            self._append((context, callback, *args))
            return None  # type: ignore[return-value]
        handle = Handle(callback, args, self, context)
        if self._debug:
            self._check_callback(callback, "call_soon")
            forget_last_frames(handle)
        self._append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Handle:
        """call_soon() from another thread or a signal handler."""
        self._check_closed()
        if self._debug:
            self._check_callback(callback, "call_soon_threadsafe")
        handle = ThreadSafeHandle(callback, args, self, context)
        forget_last_frames(handle, 1 if ThreadSafeHandle is Handle else 2)  # it has an __init__ of its own
        self._append_from_anywhere(handle)
        return handle

    def _write_to_self(self) -> None:
        """Have the run look at the ready queue. From any thread, and from a signal handler."""
        runs.wake(self._runner)

    def _append_from_anywhere(self, handle: Handle) -> None:
        self._append(handle)
        if not (self._scheduler.in_batch and threading.get_ident() == self._thread_id):
            runs.wake(self._runner)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> TimerHandle:
        """Call callback(*args) at a time, in seconds, of the loop's clock."""
        if when is None:
            raise TypeError("when cannot be None")
        if self._checks_calls:
            self._check_closed()
        timer = Timer(when, callback, args, self, context)
        if self._debug:
            self._check_thread()
            self._check_callback(callback, "call_at")
            forget_last_frames(timer)
        timers = self._timers
        try:
            heappush(timers.heap, timer)  # here: a method of Timers for it would cost 5 % of call_later()
            timer._scheduled = True
            if timers.heap[0] is timer:
                timers.tell_polls()
        except (TypeError, OverflowError):
            timers.take_back(timer)  # its time is no number, or too large for trio's clocks
            raise
        return timer

    def run_due_timers(self) -> None:
        """Queue the callbacks of the timers that are due. The scheduler calls it before each batch that has any."""
        self._scheduler.polls.poll_files()  # where trio's loop has polled: what is ready comes first
        self._timers.queue_due(self.time())

    @property
    def _nest_patched(self) -> NoReturn:
        refuse_nesting()  # nest_asyncio, or what is made of it, asks before it patches the loop's class

    def __dir__(self) -> list[str]:  # for inspect.getmembers(), and others that look at everything
        return [name for name in super().__dir__() if name != "_nest_patched"]

    @property
    def _scheduled(self) -> list[Timer]:
        """The timers' heap, under asyncio's name for it."""
        return self._timers.heap

    def _run_timed(self, handle: Handle) -> None:
        """Debug mode: run a callback, and log it if it took long."""
        self._current_handle = handle
        start = self.time()
        try:
            handle._run()
            self._log_if_slow(format_handle, handle, self.time() - start)
        finally:
            self._current_handle = None
            del handle  # a traceback may lead to this frame

    def _log_if_slow(self, describe: Callable[[Any], str], what: object, seconds: float) -> None:
        if seconds >= self.slow_callback_duration:
            logger.warning("Executing %s took %.3f seconds", describe(what), seconds)

    # --- futures and tasks -------------------------------------------------------------------------------------------

    if "kwargs" in inspect.signature(BaseEventLoop.create_task).parameters:

        def create_task(self, coro: CoroutineLike[T], **kwargs: Any) -> Task[T]:
            """Run a coroutine as a Task: `name`, `context`, and `eager_start` where Task has it."""
            if self._checks_calls or self._task_factory is not None or "eager_start" in kwargs:
                return self._make_task(coro, **kwargs)
            return Task(coro, loop=self, **kwargs)

    else:

        def create_task(  # type: ignore[misc]
            self, coro: CoroutineLike[T], *, name: str | None = None, context: Context | None = None
        ) -> Task[T]:
            """Run a coroutine as a Task, with a name, in a context (a copy of the current one)."""
            if self._task_factory is None:
                if self._checks_calls:
                    return self._make_task(coro, name=name, context=context)
                return Task(coro, loop=self, name=name, context=context)
            task = self._make_task(coro, **({} if context is None else {"context": context}))
            if name is not None:
                task.set_name(name)
            return task

    def _make_task(self, coro: CoroutineLike[T], **kwargs: Any) -> Task[T]:
        """Make a Task in the less frequent cases: with a task factory, in debug mode, or eager."""
        self._check_closed()
        make: Any = Task if self._task_factory is None else functools.partial(self._task_factory, self)
        if self._task_factory is None:
            kwargs["loop"] = self
        task: Task[T] = _call(make, coro, **kwargs)
        if self._task_factory is None and self._debug:
            forget_last_frames(task, 3)
        return task


class Loop(BaseLoop):
    """An event loop with a trio run of its own, driven by hand so that it can stand still between calls.

    Takes the run's clock (trio.testing.MockClock gives asyncio code virtual time) and instruments.
    """

    def __init__(self, *, clock: Clock | None = None, instruments: Sequence[Instrument] = ()) -> None:
        super().__init__()
        if type(self).time is not BaseLoop.time:
            raise TypeError(
                f"{type(self).__name__} has a time() of its own, and timers follow the clock of the loop's trio run: "
                f"give a trio.abc.Clock as `clock`, or use compat.virtual_time()"
            )
        self._run = runs.Run(clock or make_clock(), instruments)
        self._enter_run(self._run)

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

    def stop(self) -> None:
        """Stop run_forever() after the batch that is being run."""
        self._scheduler.stopping = True

    def close(self) -> None:
        """End the run. Tasks that are left stay pending, as asyncio leaves them; cancel them before.

        A task in a nursery, a cancel scope or a wait of trio's is cancelled and waited for, since these cannot be left
        later on; and so are trio tasks that are in no Task's nursery, as those of trio.lowlevel.spawn_system_task().
        """
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self._closed:
            return
        if self._debug:
            logger.debug("Close %r", self)
        self._end_tasks_in_trio()
        self._take_nothing_more()
        if not self._run.ended:
            with self._run.current():
                self._run.finish()

    def _end_tasks_in_trio(self) -> None:
        if self._run.ended or is_thread_taken():
            return
        holders = [stand_in.aio_task for stand_in in self._scheduler.stand_ins.values() if stand_in.is_in_trio()]
        if holders or self._scheduler.other_trio_tasks():
            self._scheduler.drop_callbacks()
            self._timers.clear()
            with self._run.current():
                self._nursery.cancel_scope.cancel()
            if holders:
                self.run_until_complete(asyncio.wait(holders))
            with self._run.current():
                self._run.cancel_system_tasks()
            while left := self._scheduler.other_trio_tasks():
                self.run_until_complete(asyncio.wait(left))


class HostedLoop(BaseLoop):
    """An event loop inside a trio run that somebody else started: see compat.open_loop().

    Its tasks are shielded from the cancel scopes around it: they are ended the asyncio way, when the loop is left.
    """

    def __init__(self, stop_with: Callable[[BaseException], None]) -> None:
        super().__init__()
        self._stops_with = stop_with
        self._has_nursery = trio.Event()

    async def _hold_nursery(self) -> None:
        with trio.CancelScope(shield=True):
            async with open_loop_nursery() as nursery:
                self._run = runs.HostedRun(nursery)
                self._enter_run(self._run)
                self._scheduler.stops_with = self._stops_with
                self._has_nursery.set()
                await trio.sleep_forever()

    def _end(self) -> None:
        self._take_nothing_more()
        self._run.leave()
        self._nursery.cancel_scope.cancel()

    def run_forever(self) -> NoReturn:
        """Refuse: trio runs it."""
        self._check_closed()
        raise RuntimeError("This event loop is already running")

    def run_until_complete(self, future: object) -> NoReturn:
        """Refuse: trio runs it. Await the future instead."""
        self._check_closed()
        raise RuntimeError("This event loop is already running")

    def stop(self) -> NoReturn:
        """Refuse: it ends with its block."""
        raise RuntimeError("this loop ends with its compat.open_loop() block or compat.run(): leave it, or cancel it")

    def close(self) -> None:
        """Refuse: it is closed at the end of its block."""
        if not self._closed:
            raise RuntimeError("Cannot close a running event loop")

    def __del__(self) -> None:
        """Do nothing, where asyncio's loop warns and is closed: the block closes this one, or its run has broken."""


# --- the loop of a thread --------------------------------------------------------------------------------------------


def forget_dead_loop() -> None:
    """If the run of this thread's loop has broken, let the thread run another loop."""
    loop = _get_running_loop()
    if isinstance(loop, BaseLoop) and not runs.is_current(loop._runner):
        loop._leave_thread()


def is_thread_taken() -> bool:
    """Tell whether a loop or a trio run is under way in this thread, so that no loop can be run in it."""
    forget_dead_loop()
    return _get_running_loop() is not None or runs.is_in_run()


def get_running_loop() -> AbstractEventLoop:
    """The running loop of this thread. Raises RuntimeError if there is none."""
    loop = _get_running_loop()
    if loop is None:
        if runs.current_runner() is not None:
            raise RuntimeError(
                "no running event loop: this trio run has none. Start it with compat.run(), or wrap the code in "
                "`async with compat.open_loop():`"
            )
        raise RuntimeError("no running event loop")
    return loop


class DefaultEventLoopPolicy(BaseDefaultEventLoopPolicy):  # type: ignore[misc]
    """asyncio's policy, one loop for each thread, with loops on trio."""

    _loop_factory = Loop

    def set_event_loop(self, loop: AbstractEventLoop | None) -> None:
        """Set the loop of this thread, or unset it by None; in the real asyncio, too.

        A Future or Task that is made without a loop, while none is running, asks that.
        """
        super().set_event_loop(loop)
        policy = get_asyncios_policy()
        if policy is not self:
            policy.set_event_loop(loop)

    if sys.version_info < (3, 14):
        _watcher: ChildWatcher | None = None

        def get_child_watcher(self) -> ChildWatcher:
            """What set_child_watcher() was given, or one that stands for asyncio's: the loop needs none."""
            if self._watcher is None:
                has_pidfd = sys.version_info >= (3, 12) and std_unix_events.can_use_pidfd()
                watchers = _child_watchers
                self._watcher = watchers.PidfdChildWatcher() if has_pidfd else watchers.ThreadedChildWatcher()
            _child_watchers.warn_of("get_child_watcher")
            return self._watcher

        def set_child_watcher(self, watcher: ChildWatcher | None) -> None:
            """Keep it for get_child_watcher(), and close the one before."""
            assert watcher is None or isinstance(watcher, ChildWatcher)
            if self._watcher is not None:
                self._watcher.close()
            self._watcher = watcher
            _child_watchers.warn_of("set_child_watcher")


Policy: TypeAlias = "asyncio.AbstractEventLoopPolicy"  # a string, as later Pythons warn of it
_event_loop_policy: Policy | None = None
_policy_lock = threading.Lock()


def _get_event_loop_policy() -> Policy:
    global _event_loop_policy
    with _policy_lock:
        if _event_loop_policy is None:
            _event_loop_policy = DefaultEventLoopPolicy()
    return _event_loop_policy


def _set_event_loop_policy(policy: Policy | None) -> None:
    global _event_loop_policy
    if policy is not None and not isinstance(policy, AbstractEventLoopPolicy):
        raise TypeError(f"policy must be an instance of AbstractEventLoopPolicy or None, not '{type(policy).__name__}'")
    old, _event_loop_policy = _event_loop_policy, policy
    if old is not None:
        replace_policy(old, policy or DefaultEventLoopPolicy())


def get_event_loop_policy() -> Policy:
    """The policy that new_event_loop() and get_event_loop() ask. Deprecated from 3.14 on."""
    _warn_of_policies("get_event_loop_policy")
    return _get_event_loop_policy()


def set_event_loop_policy(policy: Policy | None) -> None:
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
    return _get_event_loop_policy().get_event_loop() if running is None else running


def set_event_loop(loop: AbstractEventLoop | None) -> None:
    """Set the loop of this thread, or unset it by None."""
    _get_event_loop_policy().set_event_loop(loop)


def new_event_loop() -> AbstractEventLoop:
    """A new loop, with a trio run of its own."""
    return _get_event_loop_policy().new_event_loop()


if sys.version_info < (3, 14):

    def get_child_watcher() -> ChildWatcher:
        """The policy's child watcher, which nothing depends on: the loop waits for its children by itself."""
        return get_event_loop_policy().get_child_watcher()

    def set_child_watcher(watcher: ChildWatcher) -> None:
        """Set the policy's child watcher, which nothing depends on."""
        get_event_loop_policy().set_child_watcher(watcher)
