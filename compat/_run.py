"""compat.run: a trio run with an asyncio loop in it."""

import asyncio
import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeVar, TypeVarTuple

import trio

from compat.adapters import _patches, events, runners

__all__ = ["open_loop", "run", "running_on"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

open_loop = runners.open_loop


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

    Raises RuntimeError when a trio run or an asyncio loop already runs in this thread, and TypeError for a coroutine
    in place of a function. See trio.run():
    https://trio.readthedocs.io/en/stable/reference-core.html#trio.run
    """
    _refuse_coroutine(async_fn)
    _refuse_inside_a_run(async_fn)
    _patches.refuse_patches()

    async def with_loop() -> T:
        async with open_loop():
            awaitable = async_fn(*args)
            if not inspect.isawaitable(awaitable):
                raise TypeError(f"compat.run() takes an async function: {async_fn!r} returned {awaitable!r}")
            return await awaitable

    functools.update_wrapper(with_loop, async_fn)  # its name is the main task's
    if clock is None and events.make_clock is not events.MonotonicClock:
        clock = events.make_clock()
    try:
        return trio.run(with_loop, clock=clock, instruments=instruments)
    except BaseException as error:
        # The traceback goes from who has called this on to async_fn.
        traceback = error.__traceback__
        while traceback is not None and traceback.tb_frame.f_code is not with_loop.__code__:
            traceback = traceback.tb_next
        if traceback is not None:
            error.__traceback__ = traceback.tb_next
        raise


def running_on() -> Literal["trio", "asyncio on trio", "asyncio"] | None:
    """Tell what runs the code that calls this, in this thread.

    - "trio": a trio task, with or without a loop around it; asyncio's functions work there if there is a loop
    - "asyncio on trio": an asyncio Task or a callback of a loop on trio, where trio's functions work as well
    - "asyncio": a Task or a callback of any other loop
    - None: neither a trio run nor a loop
    """
    loop = asyncio._get_running_loop()
    if isinstance(loop, events.BaseLoop):
        return "trio" if loop._scheduler.is_in_trio_task() else "asyncio on trio"
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return None if loop is None else "asyncio"
    return "trio"  # of a guest run, if there is a loop


def _refuse_coroutine(async_fn: object) -> None:
    if inspect.iscoroutine(async_fn):
        name = async_fn.__name__
        async_fn.close()  # without a warning that it was never awaited
        raise TypeError(
            f"compat.run() takes an async function and its arguments, as trio.run() does: "
            f"write compat.run({name}) or compat.run({name}, ...), and not compat.run({name}(...))"
        )


def _refuse_inside_a_run(async_fn: object) -> None:
    if not events.is_thread_taken():
        return
    name = getattr(async_fn, "__name__", "main")
    loop = asyncio._get_running_loop()
    if loop is None:
        where = "a trio run"
        remedy = f"there use `async with compat.open_loop(): await {name}(...)`"
    elif isinstance(loop, events.BaseLoop):
        where = f"an asyncio loop on trio, {loop!r}"
        remedy = f"there use `await {name}(...)`"
    else:
        where = f"a loop of {type(loop).__module__}, {loop!r}, which does not run on trio"
        remedy = f"there use a thread, `await asyncio.to_thread(compat.run, {name}, ...)`"
        if "ipykernel" in sys.modules:
            where += " (it is the notebook's)"
            remedy += ", or the kernel on trio, which `python -m compat.kernel install` gives Jupyter"
    raise RuntimeError(f"compat.run() cannot be called inside {where}: {remedy}")
