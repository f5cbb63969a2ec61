"""A finalizer that asks for the current task between two steps; Tasks that are cancelled while the run stands still."""

import gc
import logging
from functools import partial

import pytest
import trio

from compat import asyncio
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
