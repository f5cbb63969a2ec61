"""trio's threads, for the loop's default executor."""

from __future__ import annotations

import types
from collections.abc import Callable

import trio

from .._types import P, T, Ts
from .names import PARENT_TASK_DATA, Derivable, Runner, protected


@protected
class LoopToken(Derivable, trio.lowlevel.TrioToken):  # type: ignore[misc]
    """The run's token, in the threads of a loop: what they have run by trio.from_thread.run() ends with the loop.

    trio would run it in a system task, and these go on until the run ends. The loop waits for its threads before that.
    """

    __slots__ = ("nursery", "runner")

    runner: Runner
    nursery: trio.Nursery

    def run_sync_soon(self, sync_fn: Callable[[*Ts], object], *args: *Ts, idempotent: bool = False) -> None:
        """Called by trio.from_thread: with a method that calls a function, or a function that starts a system task."""
        if isinstance(sync_fn, types.FunctionType):
            super().run_sync_soon(self._call_with_nursery, sync_fn)
        else:
            super().run_sync_soon(sync_fn, *args, idempotent=idempotent)

    def _call_with_nursery(self, start_system_task: Callable[..., object]) -> None:
        runner = self.runner
        outer = runner.system_nursery
        if not self.nursery._closed:
            runner.system_nursery = self.nursery
        try:
            start_system_task()
        finally:
            runner.system_nursery = outer


def token_of(runner: Runner, nursery: trio.Nursery) -> LoopToken:
    """The token for the threads of a loop, with the loop's nursery."""
    token: LoopToken = LoopToken._create(runner.entry_queue)
    token.runner, token.nursery = runner, nursery
    return token


def call_as_thread_of(token: LoopToken, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call fn(*args, **kwargs); trio.from_thread finds its run in it, as in a thread of trio.to_thread's."""
    here = PARENT_TASK_DATA
    here.token, here.abandon_on_cancel, here.cancel_register, here.task_register = token, True, [None], [None]
    try:
        return fn(*args, **kwargs)
    finally:
        del here.token, here.abandon_on_cancel, here.cancel_register, here.task_register
