"""Cancelling a piece of code at each of its steps, one after another."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from compat import native

MOST = 2000  # steps, which no test here comes near


class CancelAt(trio.abc.Instrument):
    """Cancels a scope before the nth step of whatever task after it was entered."""

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self.scope, self.steps_left = scope, step

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps_left -= 1
        if self.steps_left == 0:
            self.scope.cancel()


@asynccontextmanager
async def cancelled_at(step: int) -> AsyncIterator[trio.CancelScope]:
    with trio.CancelScope() as scope:
        instrument = CancelAt(scope, step)
        trio.lowlevel.add_instrument(instrument)
        try:
            yield scope
        finally:
            trio.lowlevel.remove_instrument(instrument)


async def at_each_step(case: Callable[[Callable[[Awaitable[object]], Awaitable[bool]]], Awaitable[None]]) -> int:
    """Run `case(cut)` again and again; `await cut(work)` cancels the work one step later each time.

    It returns whether the work came to its end. The case checks that nothing is lost and nothing is left. Ends, with
    the number of rounds, when the work comes to its end before it is cancelled.
    """
    for step in range(1, MOST):
        uncut = False

        async def cut(work: Awaitable[object], step: int = step) -> bool:
            nonlocal uncut
            finished = False
            async with cancelled_at(step) as scope:
                await work
                finished = True
            uncut = not scope.cancel_called
            return finished

        async with native.open_background():
            with trio.fail_after(60):
                await case(cut)
        if uncut:
            return step
    raise AssertionError("it never came to its end")
