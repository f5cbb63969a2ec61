"""compat.run: a trio run with an asyncio loop in it."""

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, TypeVarTuple

import trio

from adapters import events
from adapters.runners import open_loop

__all__ = ["open_loop", "run"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def run(
    async_fn: Callable[[*Ts], Awaitable[T]],
    *args: *Ts,
    clock: trio.abc.Clock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """Run `await async_fn(*args)` on trio with an asyncio loop around it, and return its result.

    It is trio.run() and open_loop() in one: inside, trio's functions and asyncio's can be used side by side. clock and
    instruments are trio's; a trio.testing.MockClock makes asyncio's time virtual as well. What async_fn raises comes
    out as it is. When async_fn has returned, the tasks that asyncio code has left running are cancelled and awaited.

    Raises RuntimeError when a trio run or an asyncio loop already runs in this thread. See trio.run():
    https://trio.readthedocs.io/en/stable/reference-core.html#trio.run
    """

    @functools.wraps(async_fn)  # its name is the main task's
    async def with_loop() -> T:
        async with open_loop():
            return await async_fn(*args)

    if clock is None and events.make_clock is not events.MonotonicClock:
        clock = events.make_clock()
    return trio.run(with_loop, clock=clock, instruments=instruments)
