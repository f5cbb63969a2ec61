"""Where a program can run on trio, and how a test runs it: shared by the tests of the core."""

import asyncio as std
import gc
import os
import subprocess
import sys
import textwrap
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio
from trio.testing import MockClock

import compat
from compat import asyncio
from compat.adapters.events import Loop

ROOT = Path(__file__).parent.parent
FOREVER = 1000.0
# Seconds after which a test gives up what hangs. Nothing takes so long on a busy machine; pytest waits for longer.
PATIENCE = 600.0


def virtual_time():
    """A clock that jumps to the next deadline as soon as everybody waits."""
    return MockClock(autojump_threshold=0)


async def in_time(async_fn):
    """Nothing here takes long: a program that hangs fails, and in virtual time it does so at once."""
    with trio.fail_after(FOREVER):
        return await async_fn()


def driven(async_fn, clock=None, instruments=()):
    """In the main Task of asyncio.run(): its loop has a trio run of its own."""

    def new_loop():
        return Loop(clock=clock or virtual_time(), instruments=instruments)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(in_time(async_fn))


def stepped_by_trio(async_fn, clock=None, instruments=()):
    """The same with an instrument, for which trio makes each step, and each Task has a trio task from the start."""
    return driven(async_fn, clock, [Steps(), *instruments])


def hosted(async_fn, clock=None, instruments=()):
    """In an asyncio Task of a loop that has been opened in a trio run."""

    async def main():
        return await asyncio.create_task(in_time(async_fn))

    return compat.run(main, clock=clock or virtual_time(), instruments=instruments)


def plain(async_fn, clock=None, instruments=()):
    """In a plain trio task, the main one, in a trio run with an open loop."""
    return compat.run(in_time, async_fn, clock=clock or virtual_time(), instruments=instruments)


WORLDS = [driven, stepped_by_trio, hosted, plain]


@asynccontextmanager
async def asyncio_tasks():
    """spawn(async_fn) by asyncio.create_task(): a Task."""

    async def spawn(async_fn):
        return asyncio.create_task(async_fn())

    yield spawn


@asynccontextmanager
async def trio_tasks():
    """spawn(async_fn) by trio's nursery: a plain trio task, which has been given an asyncio Task."""

    async def adopted(async_fn, task_status):
        task_status.started(asyncio.current_task())
        await async_fn()

    async with trio.open_nursery() as nursery:

        async def spawn(async_fn):
            return await nursery.start(adopted, async_fn)

        yield spawn


class Steps(trio.abc.Instrument):
    """Counts the steps of all tasks of a trio run."""

    def __init__(self):
        self.count = 0

    def before_task_step(self, task):
        self.count += 1


async def settle():
    """In virtual time: until everybody else waits."""
    await asyncio.sleep(0.001)


async def moments(asyncio):
    """In real time: until what is ready in the system has been seen. However late a sleep ends, it has polled once."""
    for _ in range(5):
        await asyncio.sleep(0.002)


class Ended:
    """How a program ended, given as text: what it wrote, and its exit status."""

    def __init__(self, program, *command, **environment):
        command = [sys.executable, *command, "-c", textwrap.dedent(program)]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE)
        self.out, self.error, self.status = done.stdout, done.stderr, done.returncode


ON_TRIO = ("-m", "compat")


def on_both(program):
    """What program(asyncio) returns with the real asyncio, and with ours."""
    return program(std), program(asyncio)


def open_descriptors():
    return sorted(
        (int(name), os.readlink(f"/proc/self/fd/{name}"))
        for name in os.listdir("/proc/self/fd")
        if os.path.islink(f"/proc/self/fd/{name}")
    )


@contextmanager
def nothing_left():
    """Fail if descriptors are open afterwards that were not before."""
    gc.collect()
    before = open_descriptors()
    yield
    gc.collect()
    assert open_descriptors() == before
