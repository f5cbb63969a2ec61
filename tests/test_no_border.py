"""No border: trio inside asyncio code, asyncio inside trio tasks, and cancellation across, in both directions.

A mixing case runs in each world: the main Task of asyncio.run(), a Task of a loop that is open in a trio run, and a
plain trio task of such a run.
"""

import asyncio as std
import contextvars
import itertools
import socket
import sys
import threading
import time
from contextlib import ExitStack, aclosing, nullcontext, suppress
from functools import partial

import pytest
import sniffio
import trio
import trio.testing

import compat
from compat import asyncio
from compat.adapters.events import Loop
from worlds import FOREVER, WORLDS, Steps, asyncio_tasks, plain, settle, trio_tasks, virtual_time


@pytest.fixture(params=WORLDS, ids=lambda world: world.__name__)
def world(request):
    return request.param


@pytest.fixture(params=[asyncio_tasks, trio_tasks], ids=["Task", "trio task"])
def tasks(request):
    """How tasks are started: with either, what is started has an asyncio Task."""
    return request.param


def is_by_task(error):
    """Tell whether an exception is Task.cancel()'s, alone or as trio's nurseries wrap it, and not a trio scope's."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_by_task(inner) for inner in error.exceptions)
    return isinstance(error, asyncio.CancelledError) and not isinstance(error, trio.Cancelled)


def test_cancel_after_a_wait_of_trios_has_ended(world):
    async def main():
        async def wait(event):
            await event.wait()
            steps.append("went on")
            await asyncio.sleep(1)

        for event in (asyncio.Event(), trio.Event()):
            steps = []
            task = asyncio.create_task(wait(event))
            await settle()
            event.set()
            assert task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert steps == ([] if isinstance(event, asyncio.Event) else ["went on"])

    world(main)


# --- trio inside asyncio code ----------------------------------------------------------------------------------------


def test_trio_functions(world):
    async def main():
        async def double(value, results):
            await asyncio.sleep(value)
            results.append(2 * value)

        assert sniffio.current_async_library() == ("trio" if world is plain else "asyncio")
        start = trio.current_time()
        await trio.sleep(1)
        results = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(double, 3, results)
            nursery.start_soon(double, 2, results)
            await trio.lowlevel.checkpoint()
        assert results == [4, 6]
        with trio.move_on_after(2) as scope:
            await asyncio.sleep(FOREVER)
        assert scope.cancelled_caught
        assert trio.current_time() - start == 6
        assert asyncio.get_running_loop().time() == trio.current_time()

    world(main)


def test_memory_channel_between_both(world):
    async def main():
        async def produce(send, values):
            async with send:
                for value in values:
                    await send.send(value)

        send, receive = trio.open_memory_channel(0)
        async with trio.open_nursery() as nursery, asyncio.TaskGroup() as group:
            nursery.start_soon(produce, send.clone(), [1, 2, 3])
            group.create_task(produce(send, [4, 5]))
            assert sorted([value async for value in receive]) == [1, 2, 3, 4, 5]

    world(main)


def test_each_asyncio_api(world):
    """Every high-level API of asyncio's tasks, one after the other, where only trio's would be expected."""

    async def main():
        async def later(delay, value):
            await asyncio.sleep(delay)
            return value

        assert await asyncio.sleep(1, "slept") == "slept"
        assert await asyncio.create_task(later(1, "task"), name="T") == "task"
        assert await asyncio.gather(later(2, "a"), later(1, "b")) == ["a", "b"]
        assert await asyncio.wait_for(later(1, "in time"), 2) == "in time"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(later(2, "late"), 1)
        assert await asyncio.shield(later(1, "shielded")) == "shielded"
        done, pending = await asyncio.wait([asyncio.ensure_future(later(n, n)) for n in (1, 5)], timeout=2)
        assert [task.result() for task in done] == [1]
        assert [await task for task in pending] == [5]
        async with asyncio.timeout(2):
            assert await later(1, 1) == 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + 1):
                await later(2, 2)
        async with asyncio.TaskGroup() as group:
            children = [group.create_task(later(n, n)) for n in (2, 1)]
        assert [child.result() for child in children] == [2, 1]
        assert [await each for each in asyncio.as_completed([later(2, 2), later(1, 1)])] == [1, 2]
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(1, future.set_result, "future")
        assert await future == "future"
        assert asyncio.current_task() in asyncio.all_tasks()
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "T"]

    world(main)


def test_first_of_each_api_in_a_new_trio_task():
    """The first asyncio call of a plain trio task, whichever it is, makes it a Task, in the middle of a step."""

    async def later(value):
        await asyncio.sleep(0.01)
        return value

    async def in_group():
        async with asyncio.TaskGroup() as group:
            task = group.create_task(later(1))
        return task.result()

    async def in_timeout():
        async with asyncio.timeout(2):
            return await later(1)

    async def first_done():
        done, _ = await asyncio.wait([asyncio.create_task(later(1))])
        return done.pop().result()

    async def future():
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, 1)
        return await future

    async def as_completed():
        (each,) = asyncio.as_completed([later(1)])
        return await each

    async def step():
        await asyncio.sleep(0)
        return 1

    async def timeout_in_thread():
        async with asyncio.timeout(FOREVER):
            return await trio.to_thread.run_sync(int, "1")

    async def nursery_after_task():
        assert asyncio.current_task() is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(later, 1)
        return 1

    first_calls = [
        in_group,
        in_timeout,
        first_done,
        future,
        as_completed,
        step,
        timeout_in_thread,
        nursery_after_task,
        lambda: asyncio.sleep(0.01, 1),
        lambda: asyncio.create_task(later(1)),
        lambda: asyncio.wait_for(later(1), 2),
        lambda: asyncio.shield(later(1)),
        lambda: asyncio.to_thread(int, "1"),
        lambda: asyncio.get_running_loop().run_in_executor(None, int, "1"),
    ]

    async def main():
        results = []

        async def call(first_call):
            results.append(await first_call())
            assert asyncio.current_task().get_name() == trio.lowlevel.current_task().name
            results.append(await first_call())

        async with trio.open_nursery() as nursery:
            for first_call in first_calls:
                nursery.start_soon(call, first_call)
        assert results == [1] * 2 * len(first_calls)

    async def gathered():
        assert await asyncio.gather(later(1), later(2)) == [1, 2]

    compat.run(main)
    compat.run(gathered)


def test_to_thread_has_the_callers_context(world):
    variable = contextvars.ContextVar("variable", default="unset")

    async def main():
        variable.set("set")
        thread, value = await asyncio.to_thread(lambda: (threading.current_thread(), variable.get()))
        assert thread is not threading.current_thread()
        assert value == "set"
        assert await trio.to_thread.run_sync(variable.get) == "set"
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 1, 0)
        assert await trio.to_thread.run_sync(trio.from_thread.run, asyncio.sleep, 0, "back") == "back"

    world(main, clock=trio.testing.MockClock(rate=1))


def test_from_thread_has_the_threads_context(world):
    """Over waits of both worlds, and without a change to the context of the task that waits for the thread."""
    variable = contextvars.ContextVar("variable", default="unset")

    async def read():
        values = [variable.get()]
        for wait in (trio.sleep, asyncio.sleep):
            for delay in (0, 0.01):
                await wait(delay)
                values.append(variable.get())
        variable.set("set in the run")
        return values

    def in_thread():
        variable.set("set in the thread")
        values = trio.from_thread.run(read)
        assert variable.get() == "set in the thread"
        return values

    async def task():
        variable.set("set in the task")
        assert await trio.to_thread.run_sync(in_thread) == ["set in the thread"] * 5
        assert variable.get() == "set in the task"
        await asyncio.sleep(0)
        assert variable.get() == "set in the task"

    async def main():
        await asyncio.gather(task(), task())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(task)

    world(main, clock=trio.testing.MockClock(rate=1000))


# --- Task.cancel() into native trio waits ----------------------------------------------------------------------------


class Native:
    """A wait of trio's own: `wait` does it and gives a value, `wake` ends it."""

    def __init__(self, wait, wake, value=None):
        self.wait, self.wake, self.value = wait, wake, value


def event():
    event = trio.Event()
    return Native(event.wait, event.set)


def receive(size=0):
    send, receive = trio.open_memory_channel(size)
    return Native(receive.receive, partial(send.send_nowait, "item"), "item")


def send():
    send, receive = trio.open_memory_channel(0)
    return Native(partial(send.send, "item"), receive.receive_nowait)


def lock():
    lock = trio.Lock()
    lock.acquire_nowait()
    return Native(lock.acquire, lock.release)


def limiter():
    limiter, borrower = trio.CapacityLimiter(1), object()
    limiter.acquire_on_behalf_of_nowait(borrower)
    return Native(limiter.acquire, partial(limiter.release_on_behalf_of, borrower))


def nursery():
    gate = trio.Event()

    async def wait():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gate.wait)

    return Native(wait, gate.set)


def nested():
    """The wait of a coroutine below an asynchronous generator and a context manager, as libraries have it."""
    event = trio.Event()

    async def generate():
        with trio.CancelScope():
            await event.wait()
            yield "item"

    async def wait():
        async with aclosing(generate()) as items:
            return await anext(items)

    return Native(wait, event.set, "item")


NATIVE = [event, receive, partial(receive, 1), send, lock, limiter, nursery, nested]
NATIVE_IDS = ["event", "receive", "receive buffered", "send", "lock", "limiter", "nursery", "nested"]
each_native_wait = pytest.mark.parametrize("native", NATIVE, ids=NATIVE_IDS)


@each_native_wait
def test_cancel_before_the_start(world, native):
    async def main():
        ran = []

        async def body():
            ran.append(1)
            await native().wait()

        task = asyncio.create_task(body())
        assert task.cancel("early")
        with pytest.raises(asyncio.CancelledError, match="early"):
            await task
        assert task.cancelled()
        assert not ran

    world(main)


@each_native_wait
def test_cancel_before_the_wait(world, tasks, native):
    """A request that waits for the next wait is raised there, once."""

    async def main():
        wait, caught = native(), []

        async def body():
            asyncio.current_task().cancel()
            try:
                await wait.wait()
            except BaseException as error:
                caught.append(is_by_task(error))
            await asyncio.sleep(1)
            await trio.sleep(1)
            caught.append("goes on")

        async with tasks() as spawn:
            await asyncio.wait([await spawn(body)])
        assert caught == [True, "goes on"]

    world(main)


@each_native_wait
def test_cancel_during_the_wait(world, tasks, native):
    async def main():
        wait, caught = native(), []

        async def body():
            try:
                await wait.wait()
            except BaseException as error:
                caught.append(error)
                raise

        async with tasks() as spawn:
            task = await spawn(body)
            await settle()
            assert not caught
            assert task.cancel()
            assert not task.done()
            await asyncio.wait([task])
            assert task.cancelled()
            assert task.cancelling() == 1
            assert is_by_task(caught[0])
            assert len(caught) == 1

    world(main)


@each_native_wait
@pytest.mark.parametrize("hops", range(5))
def test_cancel_around_the_wakeup(world, tasks, native, hops):
    """The cancellation comes in the batch of the wake-up, or some batches later: what the wait gave is not lost."""

    async def main():
        wait, log = native(), []

        async def body():
            log.append(await wait.wait())
            await trio.sleep(FOREVER)

        async def cancel():
            for _ in range(hops):
                await asyncio.sleep(0)
            task.cancel()

        async with tasks() as spawn:
            task = await spawn(body)
            await settle()
            wait.wake()
            canceller = asyncio.create_task(cancel()) if hops else task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            if native is not nursery or hops > 1:
                assert log == [wait.value]
            assert hops == 0 or canceller.done()

    world(main)


@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_no_item_is_lost(world, tasks, moment):
    """Of consumers that are cancelled at each moment none takes an item away with it."""

    async def main():
        send, receive = trio.open_memory_channel(0)
        got = []

        async def consume():
            if moment == "before":
                asyncio.current_task().cancel()
            got.append(await receive.receive())

        async with tasks() as spawn:
            for _ in range(5):
                task = await spawn(consume)
                await settle()
                if moment == "during":
                    task.cancel()
                with suppress(trio.WouldBlock):
                    send.send_nowait("item")
                    got.append("sent")
                if moment == "after":
                    task.cancel()
                await asyncio.wait([task])
        assert got.count("item") == got.count("sent") == (5 if moment == "after" else 0)

    world(main)


def test_cancelled_once_only(world, tasks):
    """The code may catch it and go on waiting, in trio's ways and in asyncio's; the next request is another one."""

    async def main():
        log = []

        async def body():
            for wait in (trio.sleep_forever, partial(asyncio.sleep, FOREVER), trio.Event().wait):
                try:
                    await wait()
                except asyncio.CancelledError as error:
                    log.append(error.args)
                await trio.sleep(0.01)
                await asyncio.sleep(0.01)

        async with tasks() as spawn:
            task = await spawn(body)
            for message in ("one", "two", "three"):
                await asyncio.sleep(1)
                task.cancel(message)
            await asyncio.wait([task])
        assert log == [("one",), ("two",), ("three",)]
        assert not task.cancelled()
        assert task.cancelling() == 3

    world(main)


@each_native_wait
def test_cancelled_twice_before_the_step(world, tasks, native):
    """Two requests before the Task has seen the first are met by one error, as in asyncio."""

    async def main():
        wait, log = native(), []

        async def body():
            try:
                await wait.wait()
            except BaseException as error:
                log.append(is_by_task(error))
            await asyncio.sleep(0.01)
            await trio.sleep(0.01)
            log.append("goes on")

        async with tasks() as spawn:
            task = await spawn(body)
            await settle()
            assert task.cancel()
            assert task.cancel()
            await asyncio.wait([task])
        if (
            native is not nursery
        ):  # a nursery is interrupted by the first, and by the second while it waits for its child
            assert log == [True, "goes on"]
        assert task.cancelling() == 2

    world(main)


@pytest.mark.parametrize("next_wait", [trio.sleep_forever, partial(asyncio.sleep, FOREVER)], ids=["trio", "asyncio"])
def test_what_trio_shields_from_itself_is_interrupted(world, tasks, next_wait):
    """A shield keeps trio's cancellation out; Task.cancel() is none, as with asyncio code in a shielded scope."""

    async def main():
        async def body():
            with trio.CancelScope(shield=True):
                await next_wait()

        async with tasks() as spawn:
            task = await spawn(body)
            await settle()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    world(main)


@pytest.mark.parametrize(
    "next_wait",
    [trio.sleep_forever, partial(asyncio.sleep, FOREVER), trio.Event().wait],
    ids=["sleep", "asyncio", "event"],
)
def test_wait_that_cannot_be_aborted(world, tasks, next_wait):
    """It comes to its end first, and its value is had; the request is met by the next wait."""

    async def main():
        log = []

        async def body():
            trio_task = trio.lowlevel.current_task()
            asyncio.get_running_loop().call_later(5, trio.lowlevel.reschedule, trio_task)
            await trio.lowlevel.wait_task_rescheduled(lambda raise_cancel: trio.lowlevel.Abort.FAILED)
            log.append(trio.current_time())
            await next_wait()

        async with tasks() as spawn:
            start = trio.current_time()
            task = await spawn(body)
            await settle()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert log == [start + 5]
            assert trio.current_time() == start + 5

    world(main)


@pytest.mark.parametrize("abandon", [False, True], ids=["waits", "abandons"])
def test_cancel_trio_to_thread(world, tasks, abandon):
    """A thread that trio must wait for is waited for; one that it may abandon is left."""

    async def main():
        started, release, log = threading.Event(), threading.Event(), []

        def in_thread():
            started.set()
            release.wait()
            return "value"

        async def body():
            log.append(await trio.to_thread.run_sync(in_thread, abandon_on_cancel=abandon))
            await trio.sleep_forever()

        async with tasks() as spawn:
            task = await spawn(body)
            await asyncio.to_thread(started.wait)
            task.cancel()
            await asyncio.sleep(0.01)
            assert task.done() is abandon
            release.set()
            await asyncio.wait([task])
            assert task.cancelled()
            assert log == ([] if abandon else ["value"])

    world(main, clock=trio.testing.MockClock(rate=1))


@pytest.mark.parametrize(
    "checkpoint", [partial(trio.sleep, 0), trio.lowlevel.checkpoint], ids=["sleep(0)", "checkpoint"]
)
def test_cancel_a_loop_of_checkpoints(world, tasks, checkpoint):
    """trio's checkpoints are waits, too."""

    async def main():
        steps = 0

        async def body():
            nonlocal steps
            while steps < 1000:
                steps += 1
                await checkpoint()

        async with tasks() as spawn:
            task = await spawn(body)
            for _ in range(10):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert steps < 20

    world(main)


def test_cancel_io(world, tasks):
    async def main():
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            async with tasks() as spawn:
                task = await spawn(partial(trio.lowlevel.wait_readable, left))
                await asyncio.sleep(0.01)
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled()
                right.send(b"x")
                await trio.lowlevel.wait_readable(left)  # nobody else is registered any more

    world(main, clock=trio.testing.MockClock(rate=1))


# --- a nursery inside a Task -----------------------------------------------------------------------------------------


def test_cancelled_nursery_cancels_its_children_by_scope(world, tasks):
    async def main():
        log = []

        async def child():
            try:
                await asyncio.sleep(FOREVER)
            except asyncio.CancelledError as error:
                log.append(isinstance(error, trio.Cancelled))
                with trio.CancelScope(shield=True):
                    await asyncio.sleep(2)
                    log.append("child has cleaned up")
                raise

        async def body():
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(child)
                    await trio.sleep_forever()
            finally:
                log.append("nursery has ended")

        async with tasks() as spawn:
            task = await spawn(body)
            await settle()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert log == [True, "child has cleaned up", "nursery has ended"]

    world(main)


def test_failure_beside_the_cancellation_is_not_lost(world):
    """A nursery that is cancelled while a child fails: the Task has failed, and is not merely cancelled."""

    async def main():
        async def child():
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("clean-up")

        async def body():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(child)
                await trio.sleep_forever()

        task = asyncio.create_task(body())
        await settle()
        task.cancel()
        await asyncio.wait([task])
        assert not task.cancelled()
        assert task.exception().split(ValueError)[0].exceptions[0].args == ("clean-up",)

    world(main)


def test_asyncio_tasks_inside_a_nurserys_child(world):
    """A Task that a nursery's child has made lives in the loop, not in the nursery, and dies with nobody."""

    async def main():
        made = []

        async def child():
            made.append(asyncio.create_task(asyncio.sleep(5, "value")))

        with trio.move_on_after(1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(child)
                await trio.sleep_forever()
        assert await made[0] == "value"

    world(main)


# --- asyncio's timeouts around trio code -----------------------------------------------------------------------------


def test_timeout_around_a_nursery(world, tasks):
    async def main():
        ended = []

        async def child():
            try:
                await trio.sleep_forever()
            finally:
                ended.append("child")

        async def body():
            start = trio.current_time()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3) as limit:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(child)
                        nursery.start_soon(child)
            assert limit.expired()
            assert asyncio.current_task().cancelling() == 0
            assert trio.current_time() - start == 3
            await trio.sleep(1)
            ended.append("body")

        async with tasks() as spawn:
            task = await spawn(body)
        await task
        assert ended == ["child", "child", "body"]

    world(main)


@pytest.mark.parametrize("wait", [trio.sleep_forever, partial(trio.sleep, FOREVER), trio.Event().wait])
def test_wait_for_a_trio_function(world, wait):
    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait(), 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait(), 0)
        await trio.sleep(1)

    world(main)


def test_inner_and_outer_deadlines(world):
    """Whichever passes first ends its own block, trio's or asyncio's."""

    async def main():
        log = []
        async with asyncio.timeout(10):
            with trio.move_on_after(1) as scope:
                await asyncio.sleep(FOREVER)
            log.append(scope.cancelled_caught)
        with trio.move_on_after(10) as scope:
            try:
                async with asyncio.timeout(1):
                    await trio.sleep_forever()
            except TimeoutError:
                log.append("timeout")
        log.append(scope.cancelled_caught)
        with trio.move_on_after(1) as scope:
            async with asyncio.timeout(10):
                await asyncio.sleep(FOREVER)
        log.append(scope.cancelled_caught)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                with trio.move_on_after(10) as scope:
                    await asyncio.sleep(FOREVER)
        log.append(scope.cancelled_caught)
        assert log == [True, "timeout", False, True, False]
        assert asyncio.current_task().cancelling() == 0

    world(main)


def test_both_deadlines_at_once(world):
    async def main():
        with trio.move_on_after(1) as scope:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await asyncio.sleep(FOREVER)
            await asyncio.sleep(1)
        assert scope.cancelled_caught
        await asyncio.sleep(1)
        await trio.sleep(1)
        assert asyncio.current_task().cancelling() == 0

    world(main)


# --- trio scopes around asyncio code ---------------------------------------------------------------------------------


class Work:
    """Tasks that end after five seconds, or, cancelled, one after the other; and what became of them."""

    def __init__(self):
        self.log = []
        self.children = []
        self.patience = itertools.count(1)

    async def child(self):
        patience = next(self.patience)
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            # In a task group it is in the scope itself, whose cancellation stays.
            with trio.CancelScope(shield=True):
                await asyncio.sleep(patience)
            self.log.append("child cleaned up")
            raise
        return "value"

    def task(self):
        task = asyncio.create_task(self.child())
        self.children.append(task)
        return task


async def sleep(work):
    return await asyncio.sleep(5, "value")


async def future(work):
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(5, future.set_result, "value")
    return await future


async def task(work):
    return await work.task()


async def gather(work):
    return (await asyncio.gather(work.task(), work.child(), work.task()))[1]


async def gather_exceptions(work):
    return (await asyncio.gather(work.task(), work.task(), return_exceptions=True))[0]


async def wait_for(work):
    return await asyncio.wait_for(work.task(), FOREVER)


async def in_timeout(work):
    async with asyncio.timeout(FOREVER):
        return await work.task()


async def task_group(work):
    async with asyncio.TaskGroup() as group:
        work.children += [group.create_task(work.child()), group.create_task(work.child())]
    return work.children[0].result()


async def task_group_body(work):
    async with asyncio.TaskGroup() as group:
        work.children.append(group.create_task(work.child()))
        return await work.children[0]


async def wait(work):
    done, _ = await asyncio.wait([work.task()])
    return done.pop().result()


async def shield(work):
    return await asyncio.shield(work.task())


async def as_completed(work):
    (each,) = asyncio.as_completed([work.task()])
    return await each


ENDS_WITH_ITS_TASKS = [task, gather, gather_exceptions, wait_for, in_timeout, task_group, task_group_body]
LEAVES_ITS_TASKS = [sleep, future, wait, shield, as_completed]
each_asyncio_wait = pytest.mark.parametrize("api", ENDS_WITH_ITS_TASKS + LEAVES_ITS_TASKS, ids=lambda api: api.__name__)


async def in_scope(api, work, scope):
    """Wait in a cancel scope, clean up as asyncio code does, and tell whether there was a value."""
    value = None
    with scope:
        try:
            value = await api(work)
        except asyncio.CancelledError as error:
            work.log.append("cleaned up" if isinstance(error, trio.Cancelled) else "wrong error")
            raise
    if api in ENDS_WITH_ITS_TASKS:
        assert all(child.done() for child in work.children)
    assert value == (None if scope.cancelled_caught else "value")
    assert ("cleaned up" in work.log) is scope.cancelled_caught
    assert asyncio.current_task().cancelling() == 0
    # What comes after the scope has nothing to do with it.
    await asyncio.sleep(1)
    await trio.sleep(1)
    return value


@each_asyncio_wait
def test_scope_is_cancelled_before_the_wait(world, tasks, api):
    async def main():
        async def body():
            scope = trio.CancelScope()
            scope.cancel()
            assert await in_scope(api, Work(), scope) is None
            log.append("ended")

        log = []
        async with tasks() as spawn:
            task = await spawn(body)
        await task
        assert log == ["ended"]

    world(main)


@each_asyncio_wait
def test_scope_is_cancelled_during_the_wait(world, tasks, api):
    async def main():
        work = Work()

        async def body():
            assert await in_scope(api, work, trio.CancelScope(deadline=trio.current_time() + 2)) is None

        async with tasks() as spawn:
            task = await spawn(body)
        await task
        if api in ENDS_WITH_ITS_TASKS:
            assert "child cleaned up" in work.log
            assert work.log[-1] == "cleaned up"
        else:
            assert [await child for child in {*work.children}] == ["value"] * len({*work.children})

    world(main)


@each_asyncio_wait
def test_scope_is_cancelled_around_the_wakeup(world, tasks, api):
    """In each of the batches from the one in which the work ends: first the scope wins, and from some batch on the
    value does; never is there neither or both."""

    async def outcome(hops):
        work, scope = Work(), trio.CancelScope()

        async def cancel():
            await asyncio.sleep(5)
            for _ in range(hops):
                await asyncio.sleep(0)
            scope.cancel()

        async def body():
            canceller = asyncio.create_task(cancel())
            values.append(await in_scope(api, work, scope))
            await canceller

        values = []
        async with tasks() as spawn:
            task = await spawn(body)
        await task
        return values[0]

    async def main():
        outcomes = [await outcome(hops) for hops in range(12)]
        assert outcomes == sorted(outcomes, key=lambda value: value is not None)
        assert outcomes[-1] == "value"

    world(main)


def test_scope_around_to_thread(world, tasks):
    """asyncio leaves the thread to finish."""

    async def main():
        release, log = threading.Event(), []

        async def body():
            with trio.move_on_after(0.01) as scope:
                try:
                    await asyncio.to_thread(release.wait)
                except asyncio.CancelledError:
                    log.append("cleaned up")
                    raise
            log.append(scope.cancelled_caught)

        async with tasks() as spawn:
            task = await spawn(body)
        await task
        release.set()
        assert log == ["cleaned up", True]

    world(main, clock=trio.testing.MockClock(rate=1))


def test_scope_waits_for_a_task_that_takes_its_time(world, tasks):
    """The scope is left when the awaited task has ended, however long its clean-up takes."""

    async def main():
        async def slow():
            try:
                await asyncio.sleep(FOREVER)
            finally:
                await asyncio.sleep(7)
                await trio.sleep(2)

        async def body():
            start = trio.current_time()
            with trio.move_on_after(1) as scope:
                await asyncio.create_task(slow())
            assert scope.cancelled_caught
            assert trio.current_time() - start == 10

        async with tasks() as spawn:
            task = await spawn(body)
        await task

    world(main)


def test_task_that_swallows_the_scopes_cancellation(world, tasks):
    """What the awaited task makes of it counts: it has a result, and the scope's block goes on to its next wait."""

    async def main():
        log = []

        async def swallow():
            try:
                await asyncio.sleep(FOREVER)
            except asyncio.CancelledError:
                return "swallowed"

        async def body():
            with trio.move_on_after(1) as scope:
                log.append(await asyncio.create_task(swallow()))
                await asyncio.sleep(0)
                log.append("not reached")
            log.append(scope.cancelled_caught)

        async with tasks() as spawn:
            task = await spawn(body)
        await task
        assert log == ["swallowed", True]

    world(main)


def test_a_scope_that_interrupts_a_bare_yield_is_no_request_to_cancel(world, tasks):
    counts = []

    async def main():
        async def body():
            with trio.CancelScope() as scope:
                scope.cancel()
                await asyncio.sleep(0)
            assert scope.cancelled_caught
            await asyncio.sleep(0)
            counts.append(asyncio.current_task().cancelling())

        async with tasks() as spawn:
            task = await spawn(body)
        await task

    world(main)
    assert counts == [0]


def test_a_scope_absorbs_the_answer_to_its_cancellation_in_a_group_with_errors(world, tasks):
    left = []

    async def main():
        async def body():
            try:
                with trio.CancelScope() as scope:
                    scope.cancel()
                    try:
                        await asyncio.sleep(FOREVER)
                    except asyncio.CancelledError:
                        raise BaseExceptionGroup("two", [asyncio.CancelledError(), ValueError()]) from None
            except BaseExceptionGroup as group:
                left.extend(map(type, group.exceptions))

        async with tasks() as spawn:
            task = await spawn(body)
        await task

    world(main)
    assert left == [ValueError]


def test_a_request_to_itself_that_a_task_takes_back_ends_nothing(world, tasks):
    async def main():
        async def body():
            task = asyncio.current_task()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(FOREVER)
            task.uncancel()

        async with tasks() as spawn:
            task = await spawn(body)
        await task
        assert not task.cancelled()

    world(main)


def test_outer_scope_is_cancelled_after_the_inner_one_was_swallowed(world, tasks):
    """As with asyncio's timeouts: each scope tells once."""

    async def body():
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(FOREVER)
        log.append("inner")
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            log.append("outer")
            raise

    async def scopes():
        with trio.CancelScope() as outer:
            with trio.CancelScope() as inner:
                loop = asyncio.get_running_loop()
                loop.call_soon(inner.cancel)
                loop.call_later(0.01, outer.cancel)
                await body()
        log.append((inner.cancelled_caught, outer.cancelled_caught))

    async def main():
        async with tasks() as spawn:
            await (await spawn(scopes))

    log = []
    world(main)
    assert log == ["inner", "outer", (False, True)]


def test_scope_around_a_failed_clean_up(world, tasks):
    async def main():
        async def fail():
            try:
                await asyncio.sleep(FOREVER)
            finally:
                raise ValueError("clean-up")

        async def body():
            with pytest.raises(ValueError, match="clean-up"):
                with trio.move_on_after(1):
                    await asyncio.create_task(fail())

        async with tasks() as spawn:
            task = await spawn(body)
        await task

    world(main)


def test_asyncio_code_that_swallows_trios_cancellation(world, tasks):
    """The scope interrupts one wait of asyncio's, and each of trio's."""

    async def main():
        log = []
        waits = [partial(asyncio.sleep, 9), partial(trio.sleep, 9), partial(asyncio.sleep, 0), trio.Event().wait]

        async def body():
            with trio.move_on_after(1) as scope:
                for wait in (*waits, partial(asyncio.sleep, 9)):
                    try:
                        await wait()
                        log.append("waited")
                    except asyncio.CancelledError:
                        log.append("swallowed")
            log.append(scope.cancelled_caught)

        async with tasks() as spawn:
            task = await spawn(body)
        await task
        assert log == ["swallowed", "swallowed", "waited", "swallowed", "waited", False]

    world(main)


def test_shield_inside_a_cancelled_scope(world, tasks):
    """asyncio code can clean up in a trio shield: waits of all kinds go on there."""

    async def main():
        log = []

        async def body():
            with trio.move_on_after(1):
                try:
                    await asyncio.sleep(FOREVER)
                finally:
                    with trio.CancelScope(shield=True):
                        log.append(await asyncio.wait_for(asyncio.sleep(2, "a"), 5))
                        log.append(await asyncio.gather(asyncio.sleep(2, "b"), asyncio.sleep(1, "c")))
                        async with asyncio.TaskGroup() as group:
                            group.create_task(trio.sleep(1))
                        await trio.sleep(1)
                        log.append("end")

        async with tasks() as spawn:
            task = await spawn(body)
        await task
        assert log == ["a", ["b", "c"], "end"]

    world(main)


def test_task_cancel_and_scope_together(world, tasks):
    """Task.cancel() inside a scope that is cancelled in the same batch: both are heeded, in either order."""

    async def main():
        for first in (0, 1):
            scope = trio.CancelScope()

            async def body(scope=scope):
                with scope:
                    await asyncio.sleep(FOREVER)
                await asyncio.sleep(FOREVER)

            async with tasks() as spawn:
                task = await spawn(body)
                await settle()
                requests = [task.cancel, scope.cancel]
                requests[first]()
                requests[1 - first]()
                await asyncio.sleep(1)
                # Once the scope's; and the Task's, which one of the two waits must have seen.
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled()

    world(main)


# --- TaskGroup and trio ----------------------------------------------------------------------------------------------


def test_shielded_clean_up_of_a_groups_child(world, tasks):
    """A group whose children take their time to end is waited for asleep, not by asking again and again."""

    async def main():
        log = []

        async def child():
            try:
                await asyncio.sleep(FOREVER)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(20)
                    await asyncio.sleep(20)
                    log.append("child")

        async def body():
            with trio.move_on_after(1) as scope:
                async with asyncio.TaskGroup() as group:
                    group.create_task(child())
                    group.create_task(child())
            log.append(scope.cancelled_caught)

        before = steps.count
        async with tasks() as spawn:
            task = await spawn(body)
        await task
        assert log == ["child", "child", True]
        assert steps.count - before < 100

    steps = Steps()
    world(main, instruments=[steps])


def test_lock_taken_and_released_in_callbacks(world):
    async def main():
        lock, loop = trio.Lock(), asyncio.get_running_loop()
        loop.call_soon(lock.acquire_nowait)
        await trio.sleep(1)
        assert lock.locked()
        loop.call_soon(lock.release)
        await trio.sleep(1)
        await lock.acquire()

    world(main)


class CurrentTasks(trio.abc.Instrument):
    """Collects whether trio's current task is the one that an instrument is told of."""

    def __init__(self):
        self.seen = []

    def before_task_step(self, task):
        self.seen.append(trio.lowlevel.current_task() is task)

    after_task_step = before_task_step


def test_instrument_sees_the_task_that_is_stepped(world):
    async def child():
        await asyncio.sleep(0)
        await trio.sleep(0)

    async def main():
        await asyncio.gather(child(), child())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)

    tasks = CurrentTasks()
    world(main, instruments=[tasks])
    assert len(tasks.seen) > 10
    assert all(tasks.seen)


def test_child_of_a_group_that_fails_cancels_the_others(world):
    async def main():
        ended = []

        async def wait():
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        async def fail():
            await asyncio.sleep(0.5)
            raise LookupError

        for scope in nullcontext(), trio.CancelScope():
            with scope, pytest.raises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(wait())
                    group.create_task(fail())
        assert ended == ["cancelled", "cancelled"]

    world(main)


def test_child_of_a_group_is_reached_by_the_scope_itself(world):
    """It sits in the scope: trio's cancellation arrives there, and stays, until the child shields itself."""

    async def main():
        log = []

        async def child():
            for wait in (asyncio.sleep, trio.sleep):
                try:
                    await wait(FOREVER)
                except asyncio.CancelledError as error:
                    log.append(isinstance(error, trio.Cancelled))

        with trio.move_on_after(1):
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
        assert log == [True, True]

    world(main)


def test_failure_in_a_group_in_a_nursery(world):
    async def main():
        async def fail():
            await trio.sleep(1)
            raise ValueError

        async def child(log):
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(fail())
                    await trio.sleep_forever()
            except* ValueError:
                log.append("group")
            await trio.sleep(1)
            log.append("on")

        log = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, log)
            await asyncio.sleep(5)
        assert log == ["group", "on"]

    world(main)


def test_failure_in_a_nursery_in_a_group(world):
    async def main():
        async def fail():
            await asyncio.sleep(1)
            raise ValueError

        async def child():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail)
                await asyncio.sleep(FOREVER)

        log = []
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                try:
                    await trio.sleep_forever()
                except asyncio.CancelledError:
                    log.append("body")
                    raise
        except* ValueError:
            log.append("failed")
        assert log == ["body", "failed"]
        await asyncio.sleep(1)

    world(main)


# --- the region that holds a loop ------------------------------------------------------------------------------------


async def serve(log, clean_up=3):
    try:
        await asyncio.sleep(FOREVER)
    except asyncio.CancelledError as error:
        log.append(type(error))
        await asyncio.sleep(clean_up)
        await trio.sleep(clean_up)
        log.append("cleaned up")
        raise


@pytest.mark.trio
@pytest.mark.parametrize("wait", [trio.sleep_forever, partial(asyncio.sleep, FOREVER)], ids=["trio", "asyncio"])
async def test_region_is_cancelled_during_its_body(autojump_clock, wait):
    """The loop's tasks are cancelled the asyncio way, once and with time to clean up, and waited for."""
    log, start = [], trio.current_time()
    with trio.move_on_after(1) as scope:
        async with compat.open_loop() as loop:
            tasks = [asyncio.create_task(serve(log)) for _ in range(2)]
            await wait()
    assert scope.cancelled_caught
    assert log == [asyncio.CancelledError] * 2 + ["cleaned up"] * 2
    assert all(task.cancelled() for task in tasks)
    assert trio.current_time() - start == 7
    assert loop.is_closed()


@pytest.mark.trio
async def test_region_is_cancelled_before_its_start(autojump_clock):
    log = []
    with trio.CancelScope() as scope:
        scope.cancel()
        async with compat.open_loop():
            asyncio.create_task(serve(log))
            await asyncio.sleep(1)
            log.append("not reached")
    assert scope.cancelled_caught
    assert log in ([], [asyncio.CancelledError, "cleaned up"])
    async with compat.open_loop():
        await asyncio.sleep(1)


@pytest.mark.trio
async def test_region_is_cancelled_after_the_wakeup_of_its_body(autojump_clock):
    log = []
    with trio.CancelScope() as scope:
        async with compat.open_loop() as loop:
            task = asyncio.create_task(serve(log))
            future = loop.create_future()
            loop.call_later(1, future.set_result, "value")
            loop.call_later(1, scope.cancel)
            log.append(await future)
    assert log == ["value", asyncio.CancelledError, "cleaned up"]
    assert task.cancelled()


@pytest.mark.trio
async def test_region_ends_by_itself_or_by_an_error(autojump_clock):
    for error in (None, ValueError("body")):
        log = []
        with suppress(ValueError):
            async with compat.open_loop():
                task = asyncio.create_task(serve(log))
                await asyncio.sleep(0)
                if error is not None:
                    raise error
        assert log == [asyncio.CancelledError, "cleaned up"]
        assert task.cancelled()


@pytest.mark.trio
async def test_errors_of_the_body_come_out_as_they_are(autojump_clock):
    with pytest.raises(ValueError, match=r"^body$"):
        async with compat.open_loop():
            raise ValueError("body")
    with pytest.raises(KeyError):
        async with compat.open_loop():
            await asyncio.create_task(asyncio.sleep(1))
            {}["key"]


@pytest.mark.trio
async def test_region_waits_for_tasks_that_swallow(autojump_clock):
    async def stubborn():
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(FOREVER)
        await asyncio.sleep(5)
        return "done"

    start = trio.current_time()
    with trio.move_on_after(1):
        async with compat.open_loop():
            task = asyncio.create_task(stubborn())
            await trio.sleep_forever()
    assert task.result() == "done"
    assert trio.current_time() - start == 6


@pytest.mark.trio
async def test_error_while_the_region_ends_goes_to_the_exception_handler(autojump_clock):
    async def fail():
        try:
            await asyncio.sleep(FOREVER)
        finally:
            raise ValueError("clean-up")

    contexts = []
    async with compat.open_loop() as loop:
        loop.set_exception_handler(lambda loop, context: contexts.append(context))
        task = asyncio.create_task(fail())
        await asyncio.sleep(1)
    (context,) = contexts
    assert context["message"] == "unhandled exception during asyncio.run() shutdown"
    assert context["task"] is task
    assert context["exception"] is task.exception()


@pytest.mark.trio
async def test_trio_tasks_outlive_the_region(autojump_clock):
    """A trio task that was adopted belongs to its nursery, not to the loop: it is not cancelled at the end."""
    log = []

    async def child(opened):
        await asyncio.sleep(1)
        opened.set()
        await trio.sleep(9)
        log.append("child")

    async with trio.open_nursery() as nursery:
        async with compat.open_loop():
            opened = trio.Event()
            nursery.start_soon(child, opened)
            await opened.wait()
        log.append("region")
    assert log == ["region", "child"]


@pytest.mark.trio
async def test_regions_one_after_the_other(autojump_clock):
    """A trio task that has been a Task of one loop is, in the next, a Task of the next."""
    tasks = []
    for _ in range(3):
        async with compat.open_loop() as loop:
            await asyncio.sleep(1)
            tasks.append(asyncio.current_task())
            assert tasks[-1].get_loop() is loop is asyncio.get_running_loop()
            async with asyncio.timeout(5):
                assert await asyncio.gather(asyncio.sleep(1, 1), asyncio.sleep(2, 2)) == [1, 2]
        await trio.sleep(1)


# --- trio tasks as asyncio Tasks -------------------------------------------------------------------------------------


def test_identity_of_an_adopted_task(world):
    async def main():
        async def child(task_status):
            task = asyncio.current_task()
            assert task is asyncio.current_task()
            await trio.sleep(1)
            assert task is asyncio.current_task() is asyncio.current_task(asyncio.get_running_loop())
            assert isinstance(task, asyncio.Task)
            assert task in asyncio.all_tasks()
            assert task.get_name() == trio.lowlevel.current_task().name
            assert task.get_name().endswith("child")
            task.set_name("renamed")
            assert trio.lowlevel.current_task().name == "renamed"
            if hasattr(task, "get_context"):  # 3.12 on
                assert task.get_context() is trio.lowlevel.current_task().context
            assert task.get_stack()[-1].f_code is child.__code__
            assert "child()" in repr(task)
            task_status.started(task)
            await trio.sleep(1)

        async with trio.open_nursery() as nursery:
            task = await nursery.start(child)
            assert not task.done()
        assert task.done()
        assert task.result() is None
        assert task not in asyncio.all_tasks()

    world(main)


def test_adopted_task_that_is_cancelled_ends_quietly(world):
    """Its nursery goes on: to asyncio the cancellation of a task is no failure."""

    async def main():
        log = []

        async with trio_tasks() as spawn:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 3)
                task = await spawn(trio.sleep_forever)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            log.append("siblings have ended by themselves")
        assert task.cancelled()

    world(main)


def test_adopted_task_that_fails_breaks_its_nursery(world):
    async def main():
        async def fail():
            await asyncio.sleep(1)
            raise ValueError("child")

        with pytest.raises(ExceptionGroup) as caught:
            async with trio_tasks() as spawn:
                task = await spawn(fail)
                await asyncio.sleep(FOREVER)
        assert [str(error) for error in caught.value.exceptions] == ["child"]
        assert task.exception() is caught.value.exceptions[0]

    world(main)


def test_awaiting_an_adopted_task(world):
    async def main():
        async def waiter(task):
            return await task

        async with trio_tasks() as spawn:
            task = await spawn(partial(asyncio.sleep, 2))
            called = []
            task.add_done_callback(called.append)
            assert await asyncio.gather(waiter(task), task, asyncio.create_task(waiter(task))) == [None] * 3
            assert called == [task]

    world(main)


def test_scope_cancels_an_adopted_task(world):
    """It is in its own trio scope: the Task ends as cancelled, and the cancellation goes on to the scope."""

    async def main():
        with trio.move_on_after(1) as scope:
            async with trio_tasks() as spawn:
                task = await spawn(partial(asyncio.sleep, FOREVER))
        assert scope.cancelled_caught
        assert task.cancelled()

    world(main)


def test_task_of_a_callback_is_none(world):
    async def main():
        seen = []
        asyncio.get_running_loop().call_soon(lambda: seen.append(asyncio.current_task()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert seen == [None]

    world(main)


def test_what_trio_counts_as_a_checkpoint(world):
    """As its trio.testing.assert_checkpoints() sees it; and it forgets a task's custom_sleep_data there."""

    async def main():
        task = trio.lowlevel.current_task()
        for half in (trio.lowlevel.cancel_shielded_checkpoint, trio.lowlevel.checkpoint_if_cancelled):
            with pytest.raises(AssertionError), trio.testing.assert_checkpoints():
                await half()
        for whole in (trio.lowlevel.checkpoint, partial(trio.sleep, 0), partial(trio.sleep, 0.001)):
            task.custom_sleep_data = "something"
            with trio.testing.assert_checkpoints():
                await whole()
            assert task.custom_sleep_data is None

    world(main)


def test_task_is_visible_in_trios_task_tree(world):
    async def main():
        inside = []

        async def child():
            inside.append(trio.lowlevel.current_task())
            await asyncio.sleep(1)

        task = asyncio.create_task(child(), name="visible")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert inside[0].name == "visible"
        assert inside[0] in inside[0].parent_nursery.child_tasks
        frames = [frame.f_code.co_name for frame, _ in inside[0].iter_await_frames()]
        assert frames[:2] == ["child", "sleep"]
        await task
        assert inside[0].parent_nursery is None or inside[0] not in inside[0].parent_nursery.child_tasks

    world(main)


def test_futures_of_the_real_asyncio_in_plain_trio_tasks():
    """What a library that holds the real asyncio makes itself, and a plain trio task awaits: also in its first step."""
    log = []

    def future(result):
        made = std.Future()
        std.get_running_loop().call_later(0.01, made.set_result, result)
        return made

    async def child(number):
        log.append(await future(number))
        log.append(await std.gather(future(number), std.sleep(0, "slept")))
        with trio.move_on_after(1) as scope:
            await std.Future()
        assert scope.cancelled_caught
        with trio.CancelScope() as scope:
            scope.cancel()
            await std.Future()
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError):
            async with std.timeout(1):
                await std.Future()
        std.get_running_loop().call_soon(std.current_task().cancel)
        with pytest.raises(std.CancelledError):
            await std.Future()
        log.append("end")

    async def alone():
        with pytest.raises(ZeroDivisionError):
            made = std.Future()
            std.get_running_loop().call_soon(made.set_exception, ZeroDivisionError())
            await made

    async def foreign():
        class Foreign:
            def __await__(self):
                yield 5

        with pytest.raises(TypeError, match="5"):
            await Foreign()

    async def main():
        assert await future("main") == "main"
        async with trio.open_nursery() as nursery:
            for function in (child, 1), (alone,), (foreign,):
                nursery.start_soon(*function)

    compat.run(main, clock=virtual_time())
    assert log == [1, [1, "slept"], "end"]
    log.clear()

    async def in_a_task():
        async with trio.open_nursery() as nursery:
            for function in (child, 2), (alone,), (foreign,):
                nursery.start_soon(*function)

    with asyncio.Runner(loop_factory=lambda: Loop(clock=virtual_time())) as runner:
        runner.run(in_a_task())
    assert log == [2, [2, "slept"], "end"]


def test_subclass_of_task_group_in_a_scope(world):
    """It stays what it is, and its own create_task() is the one that is called."""

    class Group(asyncio.TaskGroup):
        __slots__ = ("made",)

        def create_task(self, coro, **kwargs):
            self.made = [*getattr(self, "made", ()), super().create_task(coro, **kwargs)]
            return self.made[-1]

    async def main():
        with trio.move_on_after(FOREVER) as scope:
            async with Group() as group:
                group.create_task(asyncio.sleep(0))
                group.create_task(asyncio.sleep(FOREVER))
                await group.made[0]
                scope.cancel()
        assert type(group) is Group
        assert [task.cancelled() for task in group.made] == [False, True]

    world(main)


def test_future_that_is_done_when_it_is_awaited(world, tasks):
    """The wait has ended when it begins: a scope that is cancelled in the next step interrupts the next wait."""

    class Done:
        def __await__(self):
            future = asyncio.get_running_loop().create_future()
            future.set_result(None)
            future._asyncio_future_blocking = True
            yield future

    async def body():
        with trio.CancelScope() as scope:
            await Done()
            scope.cancel()
            await asyncio.sleep(FOREVER)
        assert scope.cancelled_caught

    async def main():
        async with tasks() as spawn:
            await (await spawn(body))

    world(main)


def test_hosted_loop_after_its_block():
    async def main():
        async with compat.open_loop() as loop:
            pass
        loop.close()
        for run in (loop.run_forever, partial(loop.run_until_complete, None)):
            with pytest.raises(RuntimeError, match="Event loop is closed"):
                run()

    trio.run(main)


def test_task_factory_that_makes_no_task(world):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **kwargs: coro)
        coro = asyncio.sleep(0)
        assert asyncio.create_task(coro) is coro
        loop.set_task_factory(None)
        await coro

    world(main)


def test_a_scope_with_thousands_inside():
    """It is cancelled without recursion, as trio does it."""

    async def main():
        with trio.CancelScope() as outermost, ExitStack() as stack:
            for _ in range(3000):
                stack.enter_context(trio.CancelScope())
            outermost.cancel()
            await asyncio.sleep(3600)
        assert outermost.cancelled_caught
        with trio.CancelScope() as outermost, ExitStack() as stack:
            for _ in range(3000):
                stack.enter_context(trio.CancelScope())
            asyncio.get_running_loop().call_soon(outermost.cancel)
            await asyncio.sleep(3600)
        assert outermost.cancelled_caught

    compat.run(main)
    asyncio.run(main())


@pytest.mark.parametrize("moment", ["before the first step", "when all wait", "when all go on"])
def test_a_scope_with_thousands_of_tasks(world, moment):
    """Who looks at all that are to be interrupted after each step takes a minute for that."""
    interrupted = []

    async def waits(event):
        try:
            await event.wait()
            await trio.sleep_forever()
        except asyncio.CancelledError:
            interrupted.append(event)
            raise

    async def main():
        count, event = 10_000, asyncio.Event()
        start = time.process_time()
        with trio.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(waits(event))
                if moment != "before the first step":
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                if moment == "when all go on":
                    event.set()
                scope.cancel()
        assert scope.cancelled_caught
        assert len(interrupted) == count
        assert time.process_time() - start < 15

    world(main)


@pytest.mark.parametrize("wait", ["asyncio", "trio"])
@pytest.mark.parametrize("place", ["system task", "nursery of the main task", "that of a Task in compat.run()"])
def test_trio_task_of_no_nursery_when_the_loop_ends(place, wait):
    """It is cancelled as at the end of trio.run(), and its clean-up may use asyncio."""
    log = []

    async def serve():
        try:
            await (asyncio.Queue().get() if wait == "asyncio" else trio.sleep_forever())
        except (trio.Cancelled, asyncio.CancelledError):
            with trio.CancelScope(shield=True):
                await asyncio.wait_for(asyncio.sleep(0.001), 10)
                await trio.sleep(0.001)
            log.append("cleaned up")
            raise

    async def main():
        if place == "system task":
            trio.lowlevel.spawn_system_task(serve)
        else:
            trio.lowlevel.current_task().parent_nursery.start_soon(serve)
        await asyncio.sleep(0.001)
        log.append("main task ends")

    async def as_task():
        await asyncio.create_task(main())

    if place == "that of a Task in compat.run()":
        compat.run(as_task)
    else:
        asyncio.run(main())
    assert log == ["main task ends", "cleaned up"]


@pytest.mark.parametrize("run", [asyncio.run, compat.run], ids=["asyncio.run", "compat.run"])
@pytest.mark.parametrize("sleep", [asyncio.sleep, trio.sleep], ids=["in asyncio's wait", "in trio's wait"])
@pytest.mark.parametrize("what", ["system task", "call of a token"])
def test_a_system_task_that_fails_ends_the_run(what, sleep, run):
    """As trio.run() does: the main task is cancelled at once, cleans up, and TrioInternalError comes out."""
    log = []

    async def fails():
        raise KeyError("lost")

    async def main():
        if what == "system task":
            trio.lowlevel.spawn_system_task(fails)
        else:
            trio.lowlevel.current_trio_token().run_sync_soon({}.__getitem__, "lost")
        try:
            await sleep(20)
            log.append("went on")
        except asyncio.CancelledError:
            with trio.CancelScope(shield=True):
                await asyncio.sleep(0.001)
                await trio.sleep(0.001)
            log.append("cleaned up")
            raise

    with pytest.raises(trio.TrioInternalError) as caught:
        run(main() if run is asyncio.run else main)
    assert log == ["cleaned up"]
    error = caught.value.__cause__
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    assert repr(error) == "KeyError('lost')"


def test_loop_that_a_failed_system_task_has_stopped():
    """Whoever drives it is told, and may still end its Tasks."""

    async def fails():
        raise KeyError("lost")

    async def main():
        trio.lowlevel.spawn_system_task(fails)
        await asyncio.sleep(20)

    loop = asyncio.new_event_loop()
    task = loop.create_task(main())
    with pytest.raises(trio.TrioInternalError, match="system task") as caught:
        loop.run_until_complete(task)
    assert isinstance(caught.value.__cause__, KeyError)
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    assert task.cancelled()
    with pytest.raises(trio.TrioInternalError, match="internal error"):
        loop.close()
    assert loop.is_closed()


@pytest.mark.parametrize("run", [asyncio.run, compat.run], ids=["asyncio.run", "compat.run"])
@pytest.mark.parametrize("wait", [partial(asyncio.sleep, 30), partial(trio.sleep, 30)], ids=["asyncio", "trio"])
def test_thread_that_waits_for_a_trio_task_when_the_loop_ends(run, wait):
    """The trio task is cancelled with the Tasks, as one of asyncio.run_coroutine_threadsafe() is."""
    log, begun = [], threading.Event()

    async def in_trio():
        begun.set()
        try:
            await wait()
            log.append("went on")
        finally:
            with trio.CancelScope(shield=True):
                await asyncio.sleep(0.001)
                await trio.sleep(0.001)
            log.append("cleaned up")

    def in_thread():
        try:
            trio.from_thread.run(in_trio)
        except asyncio.CancelledError:
            log.append("the thread is told")

    async def main():
        tasks.append(asyncio.create_task(asyncio.to_thread(in_thread)))
        while not begun.is_set():
            await asyncio.sleep(0.001)

    tasks = []
    run(main() if run is asyncio.run else main)
    assert log == ["cleaned up", "the thread is told"]


def test_loop_is_closed_where_another_runs_while_a_system_task_waits():
    """Nothing can run its clean-up there, but it ends."""
    log = []

    async def serve():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            log.append("ended")

    async def start():
        trio.lowlevel.spawn_system_task(serve)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    inner = asyncio.new_event_loop()
    inner.run_until_complete(start())

    async def main():
        inner.close()

    asyncio.run(main())
    assert log == ["ended"]


@pytest.mark.parametrize("run", [asyncio.run, compat.run], ids=["asyncio.run", "compat.run"])
def test_child_of_a_task_when_the_loop_ends(run):
    """The Task alone is cancelled: what becomes of the child is its own affair."""
    log = []

    async def child():
        try:
            await asyncio.sleep(0.01)
        finally:
            log.append(sys.exc_info()[0])

    async def parent():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(FOREVER)

    async def main():
        tasks.add(asyncio.create_task(parent()))
        await asyncio.sleep(0.001)

    tasks = set()
    run(main() if run is asyncio.run else main)
    assert log == [None]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager Tasks")
def test_eager_task_while_a_signal_handler_asks_for_the_current_task(monkeypatch):
    """The interpreter asks is_running() before the first step; a signal handler comes in the middle of that."""
    is_running = std.BaseEventLoop.is_running

    def interrupted(loop):
        if std._get_running_loop() is loop and std.current_task() is not None:
            trio.lowlevel.current_task()
        return is_running(loop)

    async def eager():
        return trio.lowlevel.current_task().name, asyncio.current_task().get_name()

    async def main():
        trio.lowlevel.current_task()
        loop = asyncio.get_running_loop()
        with monkeypatch.context() as patches:
            patches.setattr(std.BaseEventLoop, "is_running", interrupted)
            task = std.Task(eager(), loop=loop, name="eager", eager_start=True)
        return await task

    assert asyncio.run(main()) == ("eager", "eager")
