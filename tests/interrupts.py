"""Ctrl-C at random moments: each time the run ends with KeyboardInterrupt, all of it has ended, and the next run works.

    PYTHONPATH=.:tests python tests/interrupts.py PATH NUMBER [SEED]

The program that is interrupted goes on for ever, and does what mixed programs do. Some of it keeps Ctrl-C out: what
counts begun and ended blocks; and what opens nurseries and task groups, since there is a moment between the end of the
body of an `async with` and the first instruction of `__aexit__()`. trio's nurseries are corrupted by Ctrl-C in there.
"""

import asyncio as std
import faulthandler
import gc
import signal
import sys
import threading
import traceback
from contextlib import suppress
from random import Random

import trio
from trio.lowlevel import disable_ki_protection, enable_ki_protection

import compat
from compat import asyncio
from compat.adapters.events import Loop
from worlds import Steps

LATEST = 0.004  # seconds
PATIENCE = 120.0  # seconds for one interrupt; who has started this waits for longer


class Account:
    """How many blocks were begun, and how many have ended."""

    def __init__(self):
        self.begun = self.ended = 0

    @enable_ki_protection
    async def keep(self, async_fn, *args):
        self.begun += 1
        try:
            await _run(async_fn, *args)
            await std.sleep(0)
        finally:
            self.ended += 1


@disable_ki_protection
async def _run(async_fn, *args):
    await async_fn(*args)


@enable_ki_protection
async def use_asyncio(account):
    lock, queue, event = asyncio.Lock(), asyncio.Queue(1), asyncio.Event()

    async def contend():
        while True:
            async with lock:
                await asyncio.sleep(0)

    async def put():
        while True:
            await queue.put(1)

    async def get():
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.0005):
                    await queue.get()
                    await event.wait()

    async def call():
        while True:
            event.clear()
            asyncio.get_running_loop().call_soon(event.set)
            await event.wait()
            await asyncio.gather(asyncio.sleep(0), asyncio.wait_for(asyncio.sleep(0), 1))

    async with asyncio.TaskGroup() as group:
        for function in (contend, contend, put, get, call):
            group.create_task(account.keep(function))


@enable_ki_protection
async def use_trio(account):
    send, receive = trio.open_memory_channel(0)
    lock, condition = trio.Lock(), trio.Condition()

    async def give():
        while True:
            await send.send(1)
            async with lock:
                await trio.lowlevel.checkpoint()

    async def take():
        while True:
            with trio.move_on_after(0.0005):
                await receive.receive()
                async with lock:
                    await asyncio.sleep(0)
                async with condition:
                    await condition.wait()

    async def give_up():
        with trio.CancelScope() as scope:
            scope.cancel()
            await asyncio.sleep(1)

    @enable_ki_protection
    async def nest():
        while True:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_run, trio.lowlevel.checkpoint)
                nursery.start_soon(_run, asyncio.sleep, 0)
            await _run(give_up)

    async with trio.open_nursery() as nursery:
        for function in (give, take, take, nest):
            nursery.start_soon(account.keep, function)


@enable_ki_protection
async def mix(account):
    async with trio.open_nursery() as nursery, asyncio.TaskGroup() as group:
        nursery.start_soon(account.keep, use_asyncio, account)
        group.create_task(account.keep(use_trio, account))
        nursery.start_soon(account.keep, use_trio, account)
        group.create_task(account.keep(use_asyncio, account))


def own(async_fn, *args):
    asyncio.run(async_fn(*args))


def instrument(async_fn, *args):
    asyncio.run(async_fn(*args), **LOOP_FACTORY) if LOOP_FACTORY else _run_with(async_fn(*args))


def _new_loop():
    return Loop(instruments=[Steps()])


LOOP_FACTORY = {"loop_factory": _new_loop} if sys.version_info >= (3, 12) else {}


def _run_with(coro):
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(coro)


def plain(async_fn, *args):
    compat.run(async_fn, *args)


def task(async_fn, *args):
    async def main():
        await asyncio.create_task(async_fn(*args))

    compat.run(main)


def open_loop(async_fn, *args):
    async def main():
        async with compat.open_loop():
            await async_fn(*args)

    trio.run(main)


PATHS = {function.__name__: function for function in (own, instrument, plain, task, open_loop)}


def is_interrupt(error):
    """Tell whether it is KeyboardInterrupt, alone or in a group, beside errors that come of it."""
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, BaseExceptionGroup) and error.subgroup(KeyboardInterrupt) is not None
    )


def state_of_thread():
    return (
        std._get_running_loop(),
        signal.getsignal(signal.SIGINT),
        sys.get_asyncgen_hooks(),
        threading.active_count(),
        {name: value for name, value in vars(trio._core._run.GLOBAL_RUN_CONTEXT).items() if value is not None},
    )


async def fine():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asyncio.sleep, 0)
    return await asyncio.create_task(asyncio.sleep(0, "fine"))


def interrupt_once(run, delay):
    """What is wrong when Ctrl-C comes after that delay; None if nothing is."""
    gc.collect()  # of the run before: Python drops Ctrl-C where it comes in a finalizer
    account, before, reports = Account(), state_of_thread(), []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))
        signal.setitimer(signal.ITIMER_REAL, delay)
        await mix(account)

    error = None
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    try:
        run(main)
    except BaseException as raised:
        error = raised
    signal.setitimer(signal.ITIMER_REAL, 0)
    wrong = []
    if not is_interrupt(error):
        wrong.append("it has ended with\n" + "".join(traceback.format_exception(error)))
    del error
    if account.begun != account.ended:
        wrong.append(f"{account.begun} blocks were begun, {account.ended} have ended")
    if reports:
        wrong.append(f"reported: {reports}")
    if state_of_thread() != before:
        wrong.append(f"the thread is left in another state: {state_of_thread()} instead of {before}")
    for path in (own, plain):
        try:
            results = []

            async def main(results=results):
                results.append(await fine())

            path(main)
            assert results == ["fine"]
        except BaseException as raised:
            wrong.append(f"the next run, {path.__name__}:\n" + "".join(traceback.format_exception(raised)))
    return "\n".join(wrong)


def main(path, number, seed="0"):
    random, failed = Random(int(seed)), 0
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGALRM, lambda *args: signal.raise_signal(signal.SIGINT))
    gc.collect()
    gc.freeze()
    for n in range(int(number)):
        delay = random.uniform(1e-6, LATEST)
        wrong = interrupt_once(PATHS[path], delay)
        if wrong:
            failed += 1
            print(f"--- {path}, number {n}, after {delay:.6f} s\n{wrong}", flush=True)
    print(f"{path}: {failed} of {number} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
