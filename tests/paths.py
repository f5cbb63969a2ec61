"""The paths that code can take through the core. CPython's tests, and the trace test, run in each of them.

- own: a loop with a trio run of its own, as asyncio.run() makes it. Nothing is to be changed for it.
- instrument: the same with a trio instrument that looks at the steps of tasks, so that each Task has a trio task.
- carried: each Task has a trio task from its first step, as if it used trio at once.
- hosted: a loop that was opened in a trio run.
- plain: the same, and a coroutine that is given to run_until_complete() or a Runner is no Task, but a plain trio task.
- adopted: what create_task() makes is a plain trio task with an asyncio Task, unless there is a task factory.

A loop in a trio run ends with its block, and has no run_until_complete(). So that the tests can run on it, its trio run
is driven by hand here, and stands still when the loop stops.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import Context, copy_context
from itertools import count
from typing import Any
from unittest.mock import patch

import trio
from outcome import Outcome, Value, acapture
from trio.abc import Clock, Instrument
from trio.lowlevel import enable_ki_protection

from compat.adapters import events, runners
from compat.adapters._asyncio import STEP_TYPE, WAKEUP_NAME
from compat.adapters._trio import runs
from compat.adapters._trio.names import RUN, setup_runner, unrolled_run
from compat.adapters._trio.stand_ins import AsyncioStandIn
from compat.adapters.events import BaseLoop, HostedLoop, Loop
from worlds import Steps

Patch = tuple[Any, str, Any]

# --- a loop with an instrument, and Tasks with trio tasks -------------------------------------------------------------

_init = Loop.__init__


def _init_with_instrument(self: Any, *, clock: Clock | None = None, instruments: Sequence[Instrument] = ()) -> None:
    _init(self, clock=clock, instruments=[Steps(), *instruments])


_call_soon = BaseLoop.call_soon


def _call_soon_and_carry(self: Any, callback: Any, *args: Any, context: Context | None = None) -> Any:
    """A Task asks for its next step by this."""
    handle = _call_soon(self, callback, *args, context=context)
    if isinstance(callback, STEP_TYPE) or getattr(callback, "__name__", "") in (WAKEUP_NAME, "__step", "__wakeup"):
        self._scheduler.stand_in_for(callback.__self__)
    return handle


# --- a loop in a trio run that is driven by hand ----------------------------------------------------------------------


class HostedByHand(runs.Run):
    """A trio run whose main function opens a loop."""

    def __init__(self, loop: Any, clock: Clock, instruments: Sequence[Instrument]) -> None:
        self.broken = None
        self._ended = trio.Event()
        with runs._outside_any_run():
            self.runner = setup_runner(clock, instruments, False, True)
            self._asyncgen_hooks = tuple(sys.get_asyncgen_hooks())
            self.runner.ki_manager.close()
        self._steps = unrolled_run(
            self.runner, self._open_loop, (weakref.ref(loop),), host_uses_signal_set_wakeup_fd=True
        )
        self._at_exit = weakref.finalize(self, runs._abandon, self._steps)
        with runs._outside_any_run():
            RUN.runner = self.runner
            self._steps.send(None)  # type: ignore[arg-type]
            while not hasattr(self, "scheduler"):
                self._steps.send(self.runner.io_manager.get_events(0))
        self.scheduler.stopping = False

    async def _open_loop(self, loop: Any) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loop()._hold_nursery)
            await loop()._has_nursery.wait()
            self.nursery, self.scheduler, self.hosted = loop()._nursery, loop()._scheduler, loop()._run
            self.scheduler.stopping = True
            await self._ended.wait()
            self.nursery.cancel_scope.cancel()

    @enable_ki_protection
    def drive(self) -> None:
        if self.broken is not None:
            raise self.broken
        scheduler, timeout = self.scheduler, 0.0
        try:
            while True:
                timeout = self._steps.send(self.runner.io_manager.get_events(0 if scheduler.stopping else timeout))
                if scheduler.stopping:
                    break
        except trio.TrioInternalError as break_down:
            self.broken = break_down
            raise
        finally:
            scheduler.stopping = False
        error, scheduler.error = scheduler.error, None
        if error is not None:
            raise error

    def poll_through(self, files: Any) -> None:
        self.hosted.poll_through(files)

    def finish(self) -> None:
        self._at_exit.detach()
        if self.scheduler.is_of_parent:
            runs._abandon(self._steps)
            return
        self.hosted.leave()
        self._ended.set()
        with suppress(StopIteration):
            timeout = 0.0
            while True:
                timeout = self._steps.send(self.runner.io_manager.get_events(timeout))
        self.runner.init_task = self.runner.main_task = self.runner.system_nursery = None
        assert self.runner.main_task_outcome is not None
        self.runner.main_task_outcome.unwrap()


def _init_hosted(self: Any, *, clock: Clock | None = None, instruments: Sequence[Instrument] = ()) -> None:
    BaseLoop.__init__(self)
    self._stops_with, self._has_nursery = None, trio.Event()
    self._run = HostedByHand(self, clock or events.make_clock(), instruments)


HOSTED: list[Patch] = [(Loop, "__init__", _init_hosted), (Loop, "_hold_nursery", HostedLoop._hold_nursery)]

# --- coroutines as plain trio tasks -----------------------------------------------------------------------------------


def run_as_trio_task(loop: Any, coro: Coroutine[Any, Any, Any], context: Context) -> Any:
    """Run the coroutine in the loop, as a trio task, until it has ended."""
    outcomes: list[Outcome[Any]] = []

    async def body() -> None:
        outcomes.append(await acapture(lambda: coro))
        loop.call_soon(loop.stop)  # as a Task's callback would do it

    loop._check_closed()
    loop._check_running()
    loop._scheduler.start(body(), getattr(coro, "__qualname__", "?"), context)
    loop.run_forever()
    if not outcomes:
        raise RuntimeError("Event loop stopped before Future completed.")
    return outcomes.pop().unwrap()  # a cycle through its error's traceback would keep alive what tests see end


_run_until_complete = Loop.run_until_complete


def _run_until_complete_as_trio_task(self: Any, future: Any) -> Any:
    if asyncio.iscoroutine(future) and not self.get_task_factory():
        return run_as_trio_task(self, future, copy_context())
    return _run_until_complete(self, future)


def _run_as_trio_task(self: Any, coro: Any, *, context: Context | None = None) -> Any:
    self._lazy_init()
    return run_as_trio_task(self._loop, coro, self._context if context is None else context)


class Adopted(AsyncioStandIn):
    """The asyncio Task of a plain trio task whose failure is for who awaits it, and not for a nursery."""

    def finish(self, outcome: Outcome[Any]) -> Outcome[Any]:
        super().finish(outcome)
        return Value(None)


_create_task = BaseLoop.create_task
_numbers = count(1)


def _create_trio_task(self: Any, coro: Any, **kwargs: Any) -> Any:
    if self.get_task_factory() or not asyncio.iscoroutine(coro) or self.is_closed() or "eager_start" in kwargs:
        return _create_task(self, coro, **kwargs)
    scheduler = self._scheduler
    name, context = kwargs.get("name"), kwargs.get("context")
    scheduler.start(coro, f"Task-{next(_numbers)}" if name is None else str(name), context or copy_context())
    trio_task = scheduler.queue[-1]
    task = scheduler.aio_stand_ins[trio_task] = Adopted(trio_task, scheduler, self)
    return task


PATHS: dict[str, list[Patch]] = {
    "own": [],
    "instrument": [(Loop, "__init__", _init_with_instrument)],
    "carried": [(BaseLoop, "call_soon", _call_soon_and_carry)],
    "hosted": HOSTED,
    "plain": [
        *HOSTED,
        (Loop, "run_until_complete", _run_until_complete_as_trio_task),
        (runners.Runner, "run", _run_as_trio_task),
    ],
    "adopted": [(BaseLoop, "create_task", _create_trio_task)],
}


@contextmanager
def taken(path: str) -> Iterator[None]:
    """Have loops take the path in the block."""
    with ExitStack() as stack:
        for owner, name, replacement in PATHS[path]:
            stack.enter_context(patch.object(owner, name, replacement, create=True))
        yield
