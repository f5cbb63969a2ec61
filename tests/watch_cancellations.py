"""Small programs in which a task is cancelled and catches CancelledError, for test_watch_cancellations.py.

Each is one async function, and returns nothing: what happens in it is in `seen`. The decorator says what --watch finds.
They run on asyncio and on native, so they keep to the names that both have.
"""

import asyncio
import contextlib
import sys

CASES = {}  # each function, and what is found in it: kinds, or UNSEEN
UNSEEN = "it differs, and is not found"
SWALLOWED, CLEANUP = "cancel-swallowed", "cleanup-wait"

seen = []


def finds(*kinds):
    def add(function):
        CASES[function.__name__] = function, kinds
        return function

    return add


def run(name):
    """What the case has seen; at last the error by which it ends."""
    seen.clear()
    try:
        asyncio.run(CASES[name][0]())
    except asyncio.CancelledError:
        seen.append("the run was cancelled")
    except Exception as error:
        seen.append(type(error).__name__)
    return seen


async def outcome(awaitable):
    try:
        seen.append(await awaitable)
    except asyncio.CancelledError:
        seen.append("cancelled")
    except Exception as error:
        seen.append(type(error).__name__)


async def cancel(coro):
    """Start it, cancel it, and await it."""
    task = asyncio.create_task(coro)
    await asyncio.sleep(0.01)
    task.cancel()
    await outcome(task)
    seen.append(task.cancelled())


async def swallows():
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    return "result"


async def fails():
    await asyncio.sleep(0.01)
    raise ValueError


# --- it ends, whoever looks ------------------------------------------------------------------------------------------


@finds()
async def returns():
    await cancel(swallows())


@finds()
async def returns_out_of_a_loop():
    async def worker():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                break

    await cancel(worker())


@finds()
async def returns_in_finally():
    async def worker():
        try:
            await asyncio.sleep(60)
        finally:
            return "result"  # noqa: B012

    await cancel(worker())


@finds()
async def goes_on_without_a_wait():
    async def no_wait():
        seen.append("went on")

    async def worker():
        await swallows()
        await no_wait()

    await cancel(worker())


@finds()
async def nobody_awaits_it():
    task = asyncio.create_task(swallows())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0.01)
    seen.append(task.done())


@finds()
async def callback_asks_for_cancelled():
    task = asyncio.create_task(swallows())
    task.add_done_callback(lambda task: seen.append(task.cancelled()))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0.01)


@finds()
async def asks_itself_for_cancelling():
    async def worker():
        await swallows()
        seen.append(asyncio.current_task().cancelling())

    await cancel(worker())


@finds()
async def is_cancelled_twice():
    task = asyncio.create_task(swallows())
    await asyncio.sleep(0.01)
    task.cancel()
    task.cancel()
    await outcome(task)


@finds()
async def is_cancelled_twice_and_raises():
    async def worker():
        await asyncio.sleep(60)

    task = asyncio.create_task(worker())
    await asyncio.sleep(0.01)
    task.cancel()
    task.cancel()
    await outcome(task)


@finds()
async def was_woken_before():
    event = asyncio.Event()

    async def worker():
        with contextlib.suppress(asyncio.CancelledError):
            await event.wait()
        return "result"

    task = asyncio.create_task(worker())
    await asyncio.sleep(0.01)
    event.set()
    task.cancel()
    await outcome(task)


@finds()
async def raises_another_error():
    async def worker():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError from None

    await cancel(worker())


@finds()
async def generator_ends():
    async def ticks():
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(60)
                yield

    async def worker():
        async for _ in ticks():
            pass
        return "result"

    await cancel(worker())


@finds()
async def gathered_after_it():
    tasks = [asyncio.create_task(swallows()) for _ in range(2)]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await outcome(asyncio.gather(*tasks, return_exceptions=True))


@finds()
async def waited_for_after_it():
    tasks = [asyncio.create_task(swallows()) for _ in range(2)]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    done, pending = await asyncio.wait(tasks)
    seen.append((len(done), len(pending)))


@finds()
async def cancels_itself():
    async def worker():
        asyncio.current_task().cancel()
        return await swallows()

    await outcome(asyncio.create_task(worker()))


@finds()
async def main_task_cancels_itself():
    asyncio.current_task().cancel()
    seen.append(await swallows())


@finds()
async def at_the_end_of_the_run():
    asyncio.create_task(swallows())
    await asyncio.sleep(0.01)


# --- it waits again --------------------------------------------------------------------------------------------------


@finds(SWALLOWED)
async def waits_again():
    async def worker():
        await swallows()
        await asyncio.sleep(0)
        seen.append("went on")

    await cancel(worker())


@finds(SWALLOWED)
async def waits_again_in_a_loop():
    async def worker():
        for _ in range(2):
            try:
                await asyncio.sleep(0.05)
                seen.append("slept")
            except asyncio.CancelledError:
                seen.append("caught")

    await cancel(worker())


@finds(SWALLOWED)
async def raises_another_error_and_waits_again():
    async def inner():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError from None

    async def worker():
        try:
            await inner()
        except ValueError:
            await asyncio.sleep(0)
            seen.append("went on")

    await cancel(worker())


@finds(SWALLOWED)
async def generator_waits_again():
    async def ticks():
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)
                seen.append("slept")
            seen.append("tick")
            yield

    async def worker():
        async for _ in ticks():
            pass

    await cancel(worker())


@finds(SWALLOWED)
async def waits_again_though_it_was_woken_before():
    event = asyncio.Event()

    async def worker():
        with contextlib.suppress(asyncio.CancelledError):
            await event.wait()
        await asyncio.sleep(0.01)
        seen.append("went on")

    task = asyncio.create_task(worker())
    await asyncio.sleep(0.01)
    event.set()
    task.cancel()
    await outcome(task)


@finds(SWALLOWED)
async def cancels_itself_and_waits_again():
    async def worker():
        asyncio.current_task().cancel()
        await swallows()
        await asyncio.sleep(0)
        return "result"

    await outcome(asyncio.create_task(worker()))


@finds(SWALLOWED)
async def main_task_waits_again():
    asyncio.current_task().cancel()
    await swallows()
    await asyncio.sleep(0)
    seen.append("went on")


@finds(SWALLOWED)
async def waits_again_at_the_end_of_the_run():
    async def worker():
        await swallows()
        await asyncio.sleep(0)
        seen.append("went on")

    asyncio.create_task(worker())
    await asyncio.sleep(0.01)


@finds(CLEANUP)
async def clean_up_waits():
    async def worker():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("clean")

    await cancel(worker())


@finds(CLEANUP, SWALLOWED)
async def clean_up_waits_and_more_is_waited_for():
    async def inner():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("clean")

    async def worker():
        await inner()
        await asyncio.sleep(0)
        seen.append("went on")

    await cancel(worker())


# --- timeouts --------------------------------------------------------------------------------------------------------


@finds()
async def timeout_in_which_it_ends():
    async with asyncio.timeout(0.01) as timeout:
        seen.append(await swallows())
    seen.append(timeout.expired())
    await asyncio.sleep(0.01)
    seen.append("went on")


@finds(SWALLOWED)
async def timeout_in_which_it_waits_again():
    async def worker():
        async with asyncio.timeout(0.01):
            await swallows()
            await asyncio.sleep(0.01)
            seen.append("went on")

    await outcome(worker())


@finds()
async def timeout_around_a_task():
    async def worker():
        async with asyncio.timeout(0.01):
            seen.append(await task)
        await asyncio.sleep(0.01)
        seen.append("went on")

    task = asyncio.create_task(swallows())
    await outcome(worker())


@finds(SWALLOWED)
async def timeout_around_a_task_and_another_wait():
    async def worker():
        async with asyncio.timeout(0.01):
            seen.append(await task)
            await asyncio.sleep(0.01)
            seen.append("went on")

    task = asyncio.create_task(swallows())
    await outcome(worker())


@finds()
async def wait_for_is_over():
    await outcome(asyncio.wait_for(swallows(), 0.01))


@finds(SWALLOWED)
async def wait_for_is_over_and_it_waits_again():
    async def worker():
        await swallows()
        await asyncio.sleep(0.01)
        return "went on"

    await outcome(asyncio.wait_for(worker(), 0.01))


@finds()
async def wait_for_a_task_is_over():
    await outcome(asyncio.wait_for(asyncio.create_task(swallows()), 0.01))


# Up to 3.11 wait_for() makes a task, and raises CancelledError when it is cancelled, whatever that does.
@finds(*[SWALLOWED] * (sys.version_info < (3, 12)))
async def wait_for_is_cancelled():
    await cancel(asyncio.wait_for(swallows(), 60))


@finds(*[SWALLOWED] * (sys.version_info < (3, 12)))
async def wait_for_a_task_is_cancelled():
    async def worker():
        seen.append(await asyncio.wait_for(task, 60))
        return "went on"

    task = asyncio.create_task(swallows())
    await cancel(worker())


# --- who awaits it is cancelled --------------------------------------------------------------------------------------


@finds()
async def awaiter_is_cancelled():
    async def worker():
        seen.append(await task)
        return "went on"

    task = asyncio.create_task(swallows())
    await cancel(worker())


@finds(SWALLOWED)
async def awaiter_is_cancelled_and_waits_again():
    async def worker():
        seen.append(await task)
        await asyncio.sleep(0.01)
        return "went on"

    task = asyncio.create_task(swallows())
    await cancel(worker())


@finds()
async def awaiter_is_cancelled_and_catches_it():
    async def worker():
        try:
            await task
        except asyncio.CancelledError:
            seen.append("caught")

    task = asyncio.create_task(swallows())
    await cancel(worker())


@finds()
async def awaiter_of_the_awaiter_is_cancelled():
    async def worker():
        return await task

    async def outer():
        return await outer_task

    task = asyncio.create_task(swallows())
    outer_task = asyncio.create_task(worker())
    await cancel(outer())


@finds(SWALLOWED)
async def awaiter_of_the_awaiter_waits_again():
    async def worker():
        return await task

    async def outer():
        seen.append(await outer_task)
        await asyncio.sleep(0.01)
        return "went on"

    task = asyncio.create_task(swallows())
    outer_task = asyncio.create_task(worker())
    await cancel(outer())


@finds()
async def awaiter_is_cancelled_by_its_group():
    async def worker():
        seen.append(await task)

    async def group_fails():
        async with asyncio.TaskGroup() as group:
            group.create_task(worker())
            group.create_task(fails())

    task = asyncio.create_task(swallows())
    await outcome(group_fails())


@finds()
async def shield_is_cancelled():
    async def worker():
        await asyncio.shield(task)

    task = asyncio.create_task(swallows())
    await cancel(worker())
    task.cancel()
    await outcome(task)


# --- gather() --------------------------------------------------------------------------------------------------------


@finds(SWALLOWED)
async def gather_is_cancelled():
    async def worker():
        seen.append(await asyncio.gather(swallows(), swallows()))
        return "went on"

    await cancel(worker())


@finds(SWALLOWED)
async def gather_with_exceptions_is_cancelled():
    async def worker():
        seen.append(await asyncio.gather(swallows(), swallows(), return_exceptions=True))
        return "went on"

    await cancel(worker())


@finds(SWALLOWED)
async def gather_is_cancelled_twice():
    async def worker():
        seen.append(await asyncio.gather(swallows(), swallows()))
        return "went on"

    task = asyncio.create_task(worker())
    await asyncio.sleep(0.01)
    task.cancel()
    task.cancel()
    await outcome(task)


@finds()
async def gather_is_cancelled_and_one_part_raises_it():
    async def worker():
        seen.append(await asyncio.gather(swallows(), asyncio.sleep(60)))

    await cancel(worker())


@finds()
async def gather_of_tasks_is_cancelled():
    async def worker():
        seen.append(await asyncio.gather(*tasks))

    tasks = [asyncio.create_task(swallows()) for _ in range(2)]
    await cancel(worker())


# --- TaskGroup -------------------------------------------------------------------------------------------------------


@finds(SWALLOWED)
async def group_is_cancelled():
    async def worker():
        async with asyncio.TaskGroup() as group:
            group.create_task(swallows())
            group.create_task(swallows())
        return "went on"

    await cancel(worker())


@finds()
async def group_is_cancelled_and_one_task_raises_it():
    async def worker():
        async with asyncio.TaskGroup() as group:
            group.create_task(swallows())
            group.create_task(asyncio.sleep(60))
        seen.append("went on")

    await cancel(worker())


@finds()
async def group_is_cancelled_in_its_body():
    async def worker():
        async with asyncio.TaskGroup() as group:
            group.create_task(swallows())
            await asyncio.sleep(60)
        seen.append("went on")

    await cancel(worker())


@finds()
async def group_fails():
    async def worker():
        async with asyncio.TaskGroup() as group:
            group.create_task(swallows())
            group.create_task(fails())

    await outcome(worker())


@finds()
async def group_fails_and_its_body_ends():
    async def worker():
        async with asyncio.TaskGroup() as group:
            group.create_task(swallows())
            group.create_task(fails())
            seen.append(await swallows())

    await outcome(worker())


@finds(SWALLOWED)
async def group_fails_and_its_body_waits_again():
    async def worker():
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            await swallows()
            await asyncio.sleep(0)
            seen.append("went on")

    await outcome(worker())


@finds()
async def group_fails_when_its_body_has_ended():
    async def worker():
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(60))
                group.create_task(fails())
        except* ValueError:
            seen.append("failed")
        await asyncio.sleep(0)
        seen.append("went on")

    await outcome(worker())


@finds()
async def group_fails_inside_of_another_that_waits():
    async def worker():
        async with asyncio.TaskGroup() as outer:
            outer.create_task(asyncio.sleep(60))
            async with asyncio.TaskGroup() as inner:
                inner.create_task(fails())

    await outcome(worker())


@finds()
async def groups_are_cancelled_and_the_inner_one_fails():
    async def fails_in_the_end():
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError

    async def worker():
        async with asyncio.TaskGroup() as outer:
            outer.create_task(asyncio.sleep(60))
            async with asyncio.TaskGroup() as inner:
                inner.create_task(fails_in_the_end())
                await asyncio.sleep(60)

    await cancel(worker())


@finds(SWALLOWED)
async def body_ends_before_its_tasks():
    async def ends():
        await asyncio.sleep(0.05)
        seen.append("task ended")

    async def worker():
        async with asyncio.TaskGroup() as group:
            group.create_task(ends())
            await swallows()
        seen.append("went on")

    await cancel(worker())


@finds()
async def body_ends_after_its_tasks():
    async def worker():
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
            seen.append(await swallows())
        seen.append("went on")

    await cancel(worker())


@finds()
async def task_of_a_group_is_cancelled():
    async with asyncio.TaskGroup() as group:
        task = group.create_task(swallows())
        await asyncio.sleep(0.01)
        task.cancel()
    await outcome(task)


# --- what is not seen ------------------------------------------------------------------------------------------------


@finds(UNSEEN)
async def waits_again_where_it_need_not():
    """On native and trio each wait is a checkpoint. In asyncio this one does not come to the loop."""

    async def worker():
        await swallows()
        await asyncio.Queue().put(1)
        seen.append("went on")

    await cancel(worker())


@finds(UNSEEN)
async def cancels_itself_and_does_not_wait():
    """Nothing is caught. asyncio cancels the task at its end, and trio at its next wait, which does not come."""

    async def worker():
        asyncio.current_task().cancel()
        return "result"

    await outcome(asyncio.create_task(worker()))
