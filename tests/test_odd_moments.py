"""A finalizer that asks for the current task between two steps; Tasks that are cancelled while the run stands still."""

import asyncio as std
import copy
import gc
import logging
import pickle
import signal
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial

import pytest
import trio

import compat
from compat import asyncio
from compat.adapters._trio import scheduler
from compat.adapters.events import MonotonicClock
from worlds import FOREVER, WORLDS, hosted


@pytest.fixture(params=WORLDS, ids=lambda world: world.__name__)
def world(request):
    """How the loop runs. In real time it goes from one batch to the next without trio's loop in between."""
    return partial(request.param, clock=MonotonicClock())


@pytest.mark.leaves("report", reason="the error that nobody retrieves is what the test is about")
def test_lost_error_is_logged_while_a_trio_task_waits_for_its_turn(world):
    """logging asks for the current task, from 3.12 on, where no step is under way."""
    names = []
    filters = logging.getLogger("asyncio").filters

    def ask(record):
        names.append(asyncio.current_task())
        return False

    async def bad():
        raise ValueError("nobody retrieves this")

    async def child():
        await trio.sleep(0.01)
        names.append("child")

    async def main():
        filters.append(ask)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(child)
                asyncio.create_task(bad())
                await trio.sleep(0.02)
        finally:
            filters.remove(ask)

    world(main)
    assert names == [None, "child"]


def test_result_of_a_task_that_asks_for_the_current_task(world):
    class Curious:
        def __del__(self):
            asked.append(asyncio.current_task())

    async def main():
        async def make():
            return Curious()

        asyncio.create_task(make())
        await trio.sleep(0.01)
        assert asked == [None]

    asked = []
    world(main)


def test_a_task_is_let_go_when_it_has_ended(world):
    """Not when the next entry comes."""

    class Result:
        def __del__(self):
            log.append("gone")

    async def main():
        async def make():
            return Result()

        asyncio.create_task(make())
        asyncio.get_running_loop().call_later(0.01, log.append, "next entry")
        await asyncio.sleep(0.02)
        assert log == ["gone", "next entry"]

    log = []
    world(main)


async def waits_at_the_exit_of_a_nursery():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, FOREVER)


async def waits_for_a_start():
    async def start(task_status):
        await trio.sleep(FOREVER)

    async with trio.open_nursery() as nursery:
        await nursery.start(start)


@pytest.mark.parametrize("wait", [waits_at_the_exit_of_a_nursery, waits_for_a_start])
def test_cancel_while_the_run_stands_still(wait):
    loop = asyncio.new_event_loop()
    task = loop.create_task(wait())
    loop.run_until_complete(asyncio.sleep(0.01))
    assert task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


@pytest.mark.parametrize("wait", [waits_at_the_exit_of_a_nursery, waits_for_a_start])
def test_pending_task_at_the_end_of_run(wait):
    tasks = []

    async def main():
        tasks.append(asyncio.create_task(wait()))
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert tasks[0].cancelled()


def test_cancel_of_a_trio_task_while_the_run_stands_still():
    async def main():
        async def child():
            tasks.append(asyncio.current_task())
            await waits_at_the_exit_of_a_nursery()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)

    tasks = []
    loop = asyncio.new_event_loop()
    task = loop.create_task(main())
    loop.run_until_complete(asyncio.sleep(0.01))
    assert tasks[0].cancel()
    loop.run_until_complete(task)
    assert tasks[0].cancelled()
    loop.close()


def test_dropped_task_that_waits_inside_a_scope():
    """It is ended by close(), since it could not leave the scope later on."""

    async def waits():
        with trio.move_on_after(FOREVER):
            await asyncio.sleep(FOREVER)

    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(waits()), loop.create_task(trio.sleep(FOREVER))]
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    assert all(task.done() for task in tasks)


def test_nothing_is_kept_of_tasks_that_end_at_a_bare_yield():
    async def main():
        for _ in range(10):
            with trio.CancelScope() as scope:
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(0))
                    scope.cancel()
        await asyncio.sleep(0.01)
        gc.collect()
        scheduler = asyncio.get_running_loop()._scheduler
        assert not scheduler.pending
        assert len(scheduler.told.blocks) <= 1
        assert len(scheduler.stand_ins) <= 1  # this one's

    hosted(main)


# --- tasks that are trio's own ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [lambda main: asyncio.run(main()), compat.run], ids=["own", "hosted"])
def test_entry_queue_has_no_asyncio_task(run):
    """A function that another thread sends asks for the current task, as logging does from 3.12 on."""
    asked = []

    async def main():
        before = asyncio.all_tasks()
        await asyncio.to_thread(trio.from_thread.run_sync, lambda: asked.append(asyncio.current_task()))
        trio.lowlevel.current_trio_token().run_sync_soon(lambda: asked.append(asyncio.current_task()))
        await trio.sleep(0.01)
        assert asyncio.all_tasks() == before
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await trio.to_thread.run_sync(bool)

    run(main)
    assert asked == [None, None]


def test_instrument_that_asks_for_the_current_task():
    class Curious(trio.abc.Instrument):
        def before_task_step(self, task):
            asyncio.current_task()

        before_run = after_run = lambda self: None

    async def main():
        trio.lowlevel.add_instrument(Curious())
        await asyncio.sleep(0.01)
        await trio.sleep(0.01)

    asyncio.run(main())


# --- Ctrl-C and cancel() ----------------------------------------------------------------------------------------------


def test_ctrl_c_where_the_main_task_only_yields():
    """It comes in `asyncio.sleep(0)` of a plain trio task, which is a bare yield."""

    async def main():
        async with compat.open_loop():
            signal.raise_signal(signal.SIGINT)
            for _ in range(1000):
                await asyncio.sleep(0)
        pytest.fail("it has not come")

    with pytest.raises(KeyboardInterrupt):
        trio.run(main, restrict_keyboard_interrupt_to_checkpoints=True)


def test_ctrl_c_just_before_a_step(monkeypatch):
    """The step is made later: without it the Task would never end, nor the loop, which waits for its Tasks."""
    ended = []

    async def main():
        async def work():
            try:
                while True:
                    await asyncio.sleep(0)
            finally:
                ended.append(True)

        def interrupt_and_measure(step):
            if type(step) is tuple and step[1].__self__ is task:
                monkeypatch.undo()
                signal.raise_signal(signal.SIGINT)
            return len(step)

        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        monkeypatch.setattr(scheduler, "len", interrupt_and_measure, raising=False)
        await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        compat.run(main)
    assert ended


@pytest.mark.parametrize("wait", ["bare yield", "checkpoint", "future that is done"])
@pytest.mark.parametrize("in_trio_task", [False, True], ids=["Task", "trio task"])
def test_cancel_and_uncancel_when_the_wait_is_over(wait, in_trio_task):
    log = []

    async def main():
        future = asyncio.get_running_loop().create_future()
        tasks = []

        async def body():
            tasks.append(asyncio.current_task())
            await asyncio.sleep(0)
            try:
                if wait == "bare yield":
                    await asyncio.sleep(0)
                elif wait == "checkpoint":
                    await trio.lowlevel.checkpoint()
                else:
                    await future
                log.append("goes on")
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                log.append("cancelled")

        async with trio.open_nursery() as nursery:
            if in_trio_task:
                nursery.start_soon(body)
            else:
                waiter = asyncio.create_task(body())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if not future.done():
                future.set_result(None)
            tasks[0].cancel()
            tasks[0].uncancel()
            if not in_trio_task:
                await waiter

    compat.run(main)
    assert log == (["goes on"] if sys.version_info >= (3, 13) else ["cancelled"])


@pytest.mark.parametrize("moment", ["in a step", "bare yield", "future that is done"])
def test_uncancel_that_leaves_an_earlier_cancel(moment):
    """From 3.13 on Task.uncancel() takes back what is due at the next step when it has come to zero, not before."""

    async def body(asyncio):
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        future = loop.create_future()

        def cancel_and_uncancel():
            future.set_result(None)
            task.cancel("again")
            task.uncancel()

        if moment == "in a step":
            cancel_and_uncancel()
        else:
            loop.call_soon(cancel_and_uncancel)
        try:
            await (future if moment == "future that is done" else asyncio.sleep(0))
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            return error.args, task.cancelling()

    expected = std.run(body(std))
    assert asyncio.run(body(asyncio)) == expected
    assert compat.run(body, asyncio) == expected


def test_timeout_around_a_wait_that_cannot_be_interrupted(world):
    """It takes its cancellation back when its block is left."""

    async def main():
        async with asyncio.timeout(0.01):
            await trio.to_thread.run_sync(time.sleep, 0.1)
        assert asyncio.current_task().cancelling() == 0
        await trio.sleep(0)
        await asyncio.sleep(0)

    world(main)


def test_profiler_that_asks_for_the_current_task(world):
    """It asks before a step has begun, too."""
    asked = []

    def profile(frame, event, argument):
        for ask in (trio.lowlevel.current_task, asyncio.current_task):
            with suppress(RuntimeError):
                asked.append(ask())

    async def body():
        for _ in range(2):
            await trio.lowlevel.checkpoint()
        with trio.move_on_after(0.001):
            await asyncio.sleep(FOREVER)
        async with asyncio.TaskGroup() as group:
            group.create_task(trio.lowlevel.checkpoint())
            group.create_task(trio.sleep(0.001))

    async def main():
        sys.setprofile(profile)
        try:
            await body()
            await asyncio.gather(body(), body())
        finally:
            sys.setprofile(None)
        assert trio.lowlevel.current_task() in asked

    world(main)


def test_cancel_while_the_run_stands_still_and_the_wait_falls_due():
    loop = asyncio.new_event_loop()
    task = loop.create_task(trio.sleep(0.01))
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    time.sleep(0.02)
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()
    assert task.cancelled()


# --- coroutines, generators and exceptions of other kinds -------------------------------------------------------------


class Methods(Coroutine):
    """A coroutine that has methods only."""

    def __init__(self, coro):
        self.send, self.throw, self.close = coro.send, coro.throw, coro.close

    send = throw = close = None

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)


def test_scope_in_a_task_whose_coroutine_has_methods_only(world):
    async def work():
        with trio.move_on_after(0.01) as scope:
            await asyncio.sleep(FOREVER)
        return scope.cancelled_caught

    async def main():
        assert await asyncio.create_task(Methods(work()))

    world(main)


def test_ctrl_c_while_an_async_generator_is_finalized(monkeypatch):
    """Raised there it would be lost: nobody catches what a finalizer raises."""

    async def numbers():
        yield 1

    async def begin():
        await anext(numbers())

    async def main():
        loop = asyncio.get_running_loop()

        def is_closed():
            monkeypatch.undo()
            signal.raise_signal(signal.SIGINT)
            return False

        monkeypatch.setattr(loop, "is_closed", is_closed)
        await asyncio.create_task(begin())
        for _ in range(100):
            await asyncio.sleep(0)
        pytest.fail("it has not come")

    with pytest.raises(KeyboardInterrupt):
        compat.run(main)


def test_ids_of_async_generators_do_not_pile_up():
    async def numbers():
        yield 1

    async def main():
        generators = [numbers() for _ in range(1000)]
        for generator in generators:
            assert [number async for number in generator] == [1]
        del generators, generator
        for _ in range(2):
            assert [number async for number in numbers()] == [1]
        assert len(asyncio.get_running_loop()._asyncgen_ids) < 200

    asyncio.run(main())


def test_copies_of_a_scopes_cancellation_are_for_both_worlds(world):
    async def main():
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError as error:
                copies = copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))
        for made in copies:
            assert isinstance(made, asyncio.CancelledError)
            assert isinstance(made, trio.Cancelled)

    world(main)
