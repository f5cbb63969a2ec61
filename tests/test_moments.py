"""The mixing matrix: a task of each kind is cancelled at each moment, in each path; and what once broke there."""

import asyncio as std
import queue
import signal
import sys
import threading
import types
from functools import partial

import pytest
import trio
from trio.testing import MockClock

import compat
from compat import asyncio
from worlds import FOREVER, driven, hosted, in_time, plain, settle, stepped_by_trio, virtual_time

# --- paths ------------------------------------------------------------------------------------------------------------


def in_open_loop(async_fn):
    async def main():
        async with compat.open_loop():
            return await in_time(async_fn)

    return trio.run(main, clock=virtual_time())


def guest(async_fn):
    """In a trio run that is the guest of a host loop, here a queue. MockClock does not jump there: it runs faster."""
    calls = queue.SimpleQueue()
    ended = []

    async def main():
        async with compat.open_loop():
            return await in_time(async_fn)

    trio.lowlevel.start_guest_run(
        main, run_sync_soon_threadsafe=calls.put, done_callback=ended.append, clock=MockClock(rate=20)
    )
    while not ended:
        calls.get(timeout=60)()
    return ended[0].unwrap()


PATHS = [driven, stepped_by_trio, hosted, plain, in_open_loop, pytest.param(guest, marks=pytest.mark.slow)]
each_path = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)

# --- kinds of task ----------------------------------------------------------------------------------------------------


async def cold(body, nursery, group):
    """A plain trio task that nobody has asked for its asyncio Task before its first wait."""
    nursery.start_soon(body)


async def warm(body, nursery, group):
    async def ask_first():
        asyncio.current_task()
        await asyncio.sleep(0)
        await body()

    nursery.start_soon(ask_first)


async def task(body, nursery, group):
    return asyncio.create_task(body())


async def eager(body, nursery, group):
    return asyncio.eager_task_factory(asyncio.get_running_loop(), body())


async def in_group(body, nursery, group):
    return group.create_task(body())


KINDS = [cold, warm, task, in_group] + ([eager] if sys.version_info >= (3, 12) else [])
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


class Waits:
    """A wait of trio's or of asyncio's, and what ends it."""

    def __init__(self, of_trio):
        self.event = trio.Event() if of_trio else asyncio.Event()

    async def __call__(self):
        await self.event.wait()


@each_path
@each_kind
@pytest.mark.parametrize("of_trio", [True, False], ids=["trio waits", "asyncio waits"])
@pytest.mark.parametrize("by_scope", [True, False], ids=["scope", "cancel"])
@pytest.mark.parametrize("moment", ["batch", "wait", "wake-up", "after"])
def test_cancelled_at_a_moment(path, kind, of_trio, by_scope, moment):
    """It is interrupted once, or not at all where the wait had ended; it cleans up, and ends."""

    async def main():
        log, began, wait, scope = [], [], Waits(of_trio), trio.CancelScope()

        async def body():
            began.append(asyncio.current_task)
            if kind is not cold or not by_scope:
                own.append(asyncio.current_task())
            try:
                with scope:
                    await wait()
                    log.append("woken")
                    await asyncio.sleep(1)
                    log.append("slept")
            except asyncio.CancelledError:
                log.append("cancelled")
                await asyncio.sleep(0)
                raise
            finally:
                log.append("ended")

        own = []

        def cancel():
            scope.cancel() if by_scope else own[0].cancel()

        async with trio.open_nursery() as nursery:
            with trio.CancelScope():
                async with asyncio.TaskGroup() as group:
                    await kind(body, nursery, group)
                    while not began:
                        await asyncio.sleep(0)
                    if moment == "batch":
                        cancel()
                    await settle()
                    if moment == "wait":
                        cancel()
                    await settle()
                    wait.event.set()
                    if moment == "wake-up":
                        cancel()
                    await asyncio.sleep(2)
                    if moment == "after":
                        cancel()
        how = ["ended"] if by_scope else ["cancelled", "ended"]
        if moment in ("batch", "wait"):
            assert log == how
        elif moment == "wake-up":
            assert log in (["woken", *how], how)  # asyncio's cancellation may come before what was waited for
            assert not of_trio or log[0] == "woken"
        else:
            assert log == ["woken", "slept", "ended"]

    path(main)


# --- what once broke --------------------------------------------------------------------------------------------------


def test_two_trio_tasks_await_one_task():
    async def main():
        shared, got = asyncio.create_task(asyncio.sleep(1, "value")), []

        async def wait():
            got.append(await shared)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(wait)
        assert got == ["value"] * 2

    plain(main)


def test_timeout_that_is_over_in_a_cold_task():
    async def main():
        async def body():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await asyncio.sleep(FOREVER)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(body)

    plain(main)


def test_first_wait_in_a_cancelled_scope():
    async def main():
        async def body(wait):
            with trio.CancelScope() as scope:
                scope.cancel()
                await wait()
            assert scope.cancelled_caught

        async with trio.open_nursery() as nursery:
            for wait in (asyncio.Event().wait, partial(asyncio.sleep, FOREVER), partial(std.sleep, 0)):
                nursery.start_soon(body, wait)

    plain(main)


@each_path
def test_bare_yields_in_a_cancelled_scope(path):
    @types.coroutine
    def bare():
        yield

    async def main():
        for wait in (bare, partial(std.sleep, 0)):
            with trio.CancelScope() as scope:
                asyncio.get_running_loop().call_soon(scope.cancel)
                for _ in range(20):
                    await wait()
            assert scope.cancelled_caught

    path(main)


@each_path
def test_code_that_answers_a_scope_by_an_error_of_its_own(path):
    async def by_future():
        future = asyncio.get_running_loop().create_future()
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            future.cancel()
            await future

    async def by_new():
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            raise asyncio.CancelledError from None

    async def main():
        for function in (by_future, by_new):
            with trio.move_on_after(1) as scope:
                await function()
            assert scope.cancelled_caught

    path(main)


@each_path
def test_siblings_cancellation_has_no_foreign_context(path):
    async def main():
        contexts = []

        async def sibling():
            try:
                await trio.sleep_forever()
            except trio.Cancelled as error:
                contexts.append(error.__context__)
                raise

        async def fail():
            await trio.lowlevel.checkpoint()
            raise ValueError

        with pytest.raises(ExceptionGroup):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sibling)
                nursery.start_soon(fail)
        assert contexts == [None]

    path(main)


def test_two_loops_are_opened_in_one_batch():
    ends = []

    async def work():
        try:
            async with compat.open_loop():
                await asyncio.sleep(1)
                ends.append("worked")
        except RuntimeError:
            ends.append("refused")

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            nursery.start_soon(work)

    trio.run(main, clock=virtual_time())
    assert ends == ["refused", "worked"]


@pytest.mark.leaves(
    "report", reason="the generator is finalized outside of the task in which it has opened the nursery"
)
@pytest.mark.parametrize("kind", [std.Task, std.tasks._PyTask], ids=["in C", "in Python"])
def test_generator_that_leaves_a_nursery_open(kind, caplog):
    nurseries = []

    async def generate():
        async with trio.open_nursery() as nursery:
            nurseries.append(nursery)
            nursery.start_soon(trio.sleep_forever)
            yield 1

    async def use():
        items = generate()
        await anext(items)

    async def main():
        task = kind(use())
        if kind is std.Task and sys.version_info >= (3, 15):  # it cannot be initialized again
            await task
            assert "has ended inside" in caplog.text
        else:
            with pytest.raises(RuntimeError, match="has ended inside"):
                await task
        with pytest.raises(RuntimeError, match="closed"):
            nurseries.pop().start_soon(trio.sleep_forever)
        await trio.sleep(1)

    driven(main)


def test_message_where_no_loop_is():
    async def main():
        for wait in (partial(asyncio.sleep, 0), asyncio.Event().wait):
            with pytest.raises(RuntimeError, match=r"compat\.run\(\).*open_loop"):
                await wait()

    trio.run(main)


@pytest.mark.parametrize("from_thread", [False, True], ids=["signal handler", "thread"])
def test_callback_that_comes_while_a_trio_task_becomes_a_task(from_thread, monkeypatch):
    """It is queued between the first step that the interpreter asks for, and our taking that back."""

    async def main():
        loop, log = asyncio.get_running_loop(), []
        call_soon = loop.call_soon

        def call_and_interrupt(*args, **kwargs):
            handle = call_soon(*args, **kwargs)
            monkeypatch.undo()
            if from_thread:
                thread = threading.Thread(target=loop.call_soon_threadsafe, args=[log.append, "late"])
                thread.start()
                thread.join()
            else:
                signal.signal(signal.SIGUSR1, lambda *args: loop.call_soon_threadsafe(log.append, "late"))
                signal.raise_signal(signal.SIGUSR1)
                signal.signal(signal.SIGUSR1, signal.SIG_DFL)
            return handle

        async def child():
            monkeypatch.setattr(loop, "call_soon", call_and_interrupt)
            log.append(asyncio.current_task().get_name())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            log.append("child")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, name="name")
        assert log == ["name", "late", "child"]

    plain(main)


def test_guest_run_whose_main_task_ends_before_the_loop():
    """Its host takes the outcome apart, so the Task that stands for the main task may not have done so before."""
    calls, ended = queue.SimpleQueue(), []

    async def hold_loop(opened):
        async with compat.open_loop():
            opened.set()
            await trio.sleep_forever()

    async def main():
        opened = trio.Event()
        trio.lowlevel.spawn_system_task(hold_loop, opened)
        await opened.wait()
        await trio.lowlevel.checkpoint()
        assert asyncio.current_task() is not None
        return "result"

    trio.lowlevel.start_guest_run(main, run_sync_soon_threadsafe=calls.put, done_callback=ended.append)
    while not ended:
        calls.get(timeout=60)()
    assert ended[0].unwrap() == "result"


def test_group_waits_for_its_tasks_when_ctrl_c_comes_in_the_main_task():
    log = []

    async def child():
        try:
            await asyncio.sleep(FOREVER)
        finally:
            await asyncio.sleep(1)
            log.append("child")

    async def main():
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                group.create_task(child())
                asyncio.get_running_loop().call_later(1, interrupt)
        finally:
            log.append("main")

    @trio.lowlevel.enable_ki_protection
    def interrupt():
        trio.lowlevel.current_task()._runner.deliver_ki()

    with pytest.raises(KeyboardInterrupt):
        compat.run(main, clock=virtual_time())
    assert log == ["child", "child", "main"]
