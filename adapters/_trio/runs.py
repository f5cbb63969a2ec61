"""A trio run that can stand still: trio.run() ends with its main function, an asyncio loop stops and goes on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import trio
from trio.abc import Clock, Instrument
from trio.lowlevel import enable_ki_protection

from . import patches, waits  # noqa: F401  (waits is there for what it replaces)
from .names import RUN, SNIFFIO, THREAD_CACHE, Runner, Task, setup_runner, unrolled_run
from .nurseries import LoopNursery, open_loop_nursery
from .scheduler import Scheduler


def current_runner() -> Runner | None:
    """The runner of this thread's trio run; None outside of any."""
    return getattr(RUN, "runner", None)


def current_scheduler() -> Scheduler | None:
    """What runs the batches of this thread's trio run; None if no loop is open in it."""
    scheduler: Scheduler | None = RUN.__dict__.get("scheduler")
    return scheduler


def is_in_run() -> bool:
    """Tell whether this thread is in a trio run; what os.fork() has copied of one with a loop does not count."""
    scheduler = current_scheduler()
    return current_runner() is not None and not (scheduler is not None and scheduler.is_of_parent)


def clock_of(runner: Runner) -> Clock:
    """The run's clock, also while the run stands still, when trio.current_clock() refuses."""
    return runner.clock


def root_task(runner: Runner) -> Task | None:
    """The root of a run's tasks. trio.lowlevel.current_root_task() knows that of the thread's own run only."""
    return runner.init_task


def is_main(task: Task) -> bool:
    """Tell whether it is the task of the function that was given to trio.run()."""
    return task is task._runner.main_task


def is_cancel_called(scope: trio.CancelScope) -> bool:
    """Tell whether a scope was cancelled. Its public attribute also cancels it, and works inside the run only."""
    return scope._cancel_called


def wake(runner: Runner) -> None:
    """Have the run end its wait for I/O. From any thread, and from a signal handler."""
    try:
        runner.io_manager.force_wakeup()  # by way of its entry queue, a trio task would be woken, too
    except OSError:
        pass  # the run has ended


def _note_run_of_parent() -> None:
    # Called in the child of os.fork(). It cannot go on with this run: it may start one of its own, or end.
    scheduler = current_scheduler()
    if scheduler is not None:
        scheduler.is_of_parent = True
        signal.set_wakeup_fd(-1)
        THREAD_CACHE._idle_workers.clear()  # the parent's; newer releases of trio do it themselves


os.register_at_fork(after_in_child=_note_run_of_parent)


def claim() -> bool:
    """Reserve this thread's trio run for a loop that is about to be opened; False if it has one."""
    if RUN.__dict__.get("scheduler") is not None or "claimed" in RUN.__dict__:
        return False
    RUN.claimed = True
    return True


def is_current(runner: object) -> bool:
    """Tell whether this is the runner of this thread's trio run."""
    return runner is not None and runner is RUN.__dict__.get("runner")


def handle_interrupts(runner: Runner) -> None:
    """Let trio handle Ctrl-C again in this run, which is under way: Python's handler would break into trio's code."""
    manager = runner.ki_manager
    if manager.handler is None:  # as in asyncio.run(), which handles it
        manager.install(runner.deliver_ki, False)
    else:
        signal.signal(signal.SIGINT, manager.handler)


def schedule(runner: Runner, nursery: LoopNursery, *, is_hosted: bool) -> Scheduler:
    """Have the run keep asyncio's order from now on, with the nursery for the loop's Tasks. One for each run."""
    patches.install()
    scheduler = nursery.scheduler = Scheduler._create(runner, nursery, is_hosted)
    return scheduler


class HostedRun:
    """The trio run that is under way in this thread, for a loop in it."""

    def __init__(self, nursery: LoopNursery) -> None:
        runner = current_runner()
        assert runner is not None
        self.runner = runner
        self.scheduler = RUN.scheduler = schedule(runner, nursery, is_hosted=True)
        RUN.__dict__.pop("claimed", None)

    def leave(self) -> None:
        """The loop ends, and the run goes on without."""
        self.scheduler.leave()
        RUN.__dict__.pop("scheduler", None)
        patches.uninstall()


class Run:
    """A trio run driven by hand, for a loop of its own.

    Any number may exist in a thread, also while another trio run is under way there; one at a time is driven. Nothing
    here refers to the loop that owns it, so that a loop nobody holds any longer is collected, and closes its run.
    """

    nursery: LoopNursery

    def __init__(self, clock: Clock | None, instruments: Sequence[Instrument]) -> None:
        self.broken: trio.TrioInternalError | None = None
        with _outside_any_run():
            self.runner = setup_runner(clock, instruments, False, True)
            # As a plain tuple: sys's own kind is not seen by the garbage collector, and may lead back to the loop.
            self._asyncgen_hooks = tuple(sys.get_asyncgen_hooks())
            self.runner.ki_manager.close()
        # Signals wake the run only while it is driven, so the wakeup descriptor is set there, not by trio.
        self._steps = unrolled_run(self.runner, self._hold_nursery, (), host_uses_signal_set_wakeup_fd=True)
        # A loop that is never closed ends with the program.
        self._at_exit = weakref.finalize(self, _abandon, self._steps)
        with _outside_any_run():
            RUN.runner = self.runner
            self._steps.send(None)  # type: ignore[arg-type]
            while not hasattr(self, "nursery"):
                self._steps.send(self.runner.io_manager.get_events(0))
            self.scheduler = schedule(self.runner, self.nursery, is_hosted=False)
        self._watch_system_tasks()

    def _watch_system_tasks(self) -> None:
        """Stop when a system task fails, or a call of TrioToken.run_sync_soon(): trio cancels the main task then.

        Here that is shielded, and would wait for ever.
        """
        nursery: Any = self.runner.system_nursery
        # Nothing waits for the garbage collector: the nursery refers to this function, so this does not refer to it.
        this, add_error, scheduler = weakref.ref(nursery), type(nursery)._add_exc, self.scheduler

        def stop_with(error: BaseException, *reason: Any) -> None:
            nursery: Any = this()
            if not is_cancel_called(nursery.cancel_scope):
                failure = trio.TrioInternalError("a system task of trio's has failed, or a call from another thread")
                failure.__cause__ = error
                scheduler.stop_with(failure)
            add_error(nursery, error, *reason)

        nursery._add_exc = stop_with

    @property
    def ended(self) -> bool:
        """Tell whether it was finished, has broken, or the program is ending."""
        return not self._at_exit.alive

    async def _hold_nursery(self) -> None:
        with trio.CancelScope(shield=True):  # system tasks are cancelled while the loop goes on
            async with open_loop_nursery() as self.nursery:
                while True:
                    try:
                        await trio.sleep_forever()
                    except KeyboardInterrupt as error:  # brought here when it hit code that must not be broken
                        self.scheduler.stop_with(error)

    @enable_ki_protection
    def drive(self) -> None:
        """Inside current(): run trio until the scheduler stops, and at least one batch; then stand still.

        Raises what the scheduler has stopped with, whatever breaks the run (trio.TrioInternalError), and what a signal
        handler raises while it waits for I/O.
        """
        if self.broken is not None:
            raise self.broken
        scheduler = self.scheduler
        timeout = 0.0  # whatever happened while it stood still, look at it first
        try:
            while True:
                timeout = self._steps.send(scheduler.polls.poll(0 if scheduler.stopping else timeout))
                if scheduler.stopping:
                    break
        except trio.TrioInternalError as break_down:
            self.broken = break_down
            self._at_exit.detach()
            patches.uninstall()
            raise
        finally:
            scheduler.stopping = False
        if scheduler.error is not None:
            error, scheduler.error = scheduler.error, None
            try:
                raise error
            finally:
                del error  # its traceback has this frame

    def cancel_system_tasks(self) -> None:
        """Inside current(): cancel the run's system tasks, as trio does when the main function has ended."""
        self.runner.system_nursery.cancel_scope.cancel()  # type: ignore[union-attr]

    def finish(self) -> None:
        """Inside current(): cancel what the nursery holds and drive the run to its end."""
        self._at_exit.detach()
        patches.uninstall()
        if self.scheduler.is_of_parent:
            _abandon(self._steps)
            return
        self.scheduler.leave()
        self.nursery.cancel_scope.cancel()
        timeout = 0.0
        try:
            while True:
                timeout = self._steps.send(self.runner.io_manager.get_events(timeout))
        except StopIteration:
            pass
        except trio.TrioInternalError:
            raise
        except BaseException:  # out of a signal handler
            _abandon(self._steps)
            raise
        runner = self.runner
        runner.init_task = runner.main_task = runner.system_nursery = None  # nothing waits for the garbage collector
        assert runner.main_task_outcome is not None
        runner.main_task_outcome.unwrap()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Give it the thread as trio.run() would: context, sniffio's name, async generator hooks, Ctrl-C, wakeups."""
        runner = self.runner
        in_main_thread = threading.current_thread() is threading.main_thread()
        with _outside_any_run():
            sys.set_asyncgen_hooks(*self._asyncgen_hooks)
            SNIFFIO.name = "trio"
            RUN.runner = runner
            RUN.scheduler = self.scheduler
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


# The root tasks of runs that were broken off where the process ends. They are kept: finalized, they would complain.
_abandoned: list[Any] = []


def _abandon(steps: Any) -> None:
    """Let go of a run as it is; silently, while trio would warn of a guest run."""
    _abandoned.append(steps.gi_frame.f_locals["runner"].init_task)
    with warnings.catch_warnings(), _outside_any_run():
        warnings.simplefilter("ignore")
        steps.close()


@contextmanager
def _outside_any_run() -> Iterator[None]:
    """Hide the thread's trio run, if it has one, and put back afterwards all that says which run is current."""
    hidden, library, hooks = dict(RUN.__dict__), SNIFFIO.name, sys.get_asyncgen_hooks()
    RUN.__dict__.clear()
    try:
        yield
    finally:
        RUN.__dict__.clear()
        RUN.__dict__.update(hidden)
        SNIFFIO.name = library
        sys.set_asyncgen_hooks(*hooks)
