"""The bridges: a Queue seen as trio channels, trio channels seen as a Queue."""

import asyncio as std
import math
import sys

import pytest
import trio
from trio.testing import assert_checkpoints

import compat
from compat import QueueShutDown, as_channels, as_queue, asyncio
from moving import ITEMS, assert_in_order, move
from worlds import WORLDS, settle


@pytest.fixture(params=WORLDS, ids=lambda world: world.__name__)
def world(request):
    return request.param


async def receive_all(channel):
    return [item async for item in channel]


async def get_all(queue):
    items = []
    with pytest.raises(QueueShutDown):
        while True:
            items.append(await queue.get())
            queue.task_done()
    return items


def test_the_exception_is_asyncios_where_it_has_one():
    assert getattr(asyncio, "QueueShutDown", QueueShutDown) is QueueShutDown


def test_what_is_no_queue_of_ours():
    with pytest.raises(TypeError, match=r"^as_channels\(\) takes an asyncio Queue, not \[\]$"):
        as_channels([])
    if sys.version_info >= (3, 13):
        as_channels(std.Queue())
    else:
        with pytest.raises(TypeError, match="which is the real asyncio's: .*`from compat import asyncio`"):
            as_channels(std.Queue())


# --- a Queue as channels ---------------------------------------------------------------------------------------------


def test_asyncio_puts_and_trio_receives(world):
    async def main():
        queue = asyncio.Queue(2)
        send, receive = as_channels(queue)

        async def produce():
            for number in range(5):
                await queue.put(number)
            await send.aclose()

        producer = asyncio.create_task(produce())
        assert await receive_all(receive) == [0, 1, 2, 3, 4]
        await producer

    world(main)


def test_trio_sends_and_asyncio_gets(world):
    async def main():
        queue = asyncio.Queue(2)
        send, _ = as_channels(queue)

        async def produce():
            async with send:
                for number in range(5):
                    await send.send(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce)
            assert await asyncio.create_task(get_all(queue)) == [0, 1, 2, 3, 4]
            await queue.join()

    world(main)


def test_items_stay_when_the_receive_channel_is_closed(world):
    async def main():
        queue = asyncio.Queue(2)
        send, receive = as_channels(queue)
        await send.send(1)
        await queue.put(2)
        refused = []

        async def send_one_more():
            with pytest.raises(trio.BrokenResourceError):
                await send.send(3)
            refused.append(3)

        async def put_one_more():
            with pytest.raises(QueueShutDown):
                await queue.put(4)
            refused.append(4)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_one_more)
            await settle()
            nursery.start_soon(put_one_more)
            await settle()
            await receive.aclose()
        assert refused == [3, 4]
        assert [queue.get_nowait(), await queue.get()] == [1, 2]
        with pytest.raises(QueueShutDown):
            queue.get_nowait()
        with pytest.raises(QueueShutDown):
            queue.put_nowait(5)

    world(main)


def test_who_waits_when_a_channel_is_closed(world):
    async def main():
        for closes, error in [(0, trio.EndOfChannel), (1, trio.ClosedResourceError)]:
            channels = as_channels(asyncio.Queue())

            async def receive_in_vain(channels=channels, error=error):
                with pytest.raises(error):
                    await channels[1].receive()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive_in_vain)
                await settle()
                await channels[closes].aclose()

    world(main)


def test_a_closed_channel_refuses(world):
    async def main():
        send, receive = as_channels(asyncio.Queue())
        await send.aclose()
        await send.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await send.send(1)
        with pytest.raises(trio.EndOfChannel):
            await receive.receive()
        await receive.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await receive.receive()

    world(main)


def test_all_are_checkpoints(world):
    async def main():
        send, receive = as_channels(asyncio.Queue())
        with assert_checkpoints():
            await send.send(1)
        with assert_checkpoints():
            assert await receive.receive() == 1
        with assert_checkpoints():
            await send.aclose()
        with trio.CancelScope() as scope:
            scope.cancel()
            await receive.receive()
        assert scope.cancelled_caught

    world(main)


def test_cancel_at_the_checkpoint_of_receive(world):
    """Task.cancel() comes before receive() has taken its item: that stays in the queue."""

    async def main():
        queue = asyncio.Queue()
        _, receive = as_channels(queue)
        queue.put_nowait(1)
        getter = asyncio.create_task(receive.receive())
        await asyncio.sleep(0)
        getter.cancel()
        await asyncio.wait([getter])
        assert getter.cancelled()
        assert queue.get_nowait() == 1

    world(main)


@pytest.mark.skipif(not hasattr(asyncio, "QueueShutDown"), reason="asyncio's queues can be shut down from 3.13 on")
def test_shutdown_ends_the_channels(world):
    async def main():
        queue = asyncio.Queue()
        send, receive = as_channels(queue)
        await send.send(1)
        queue.shutdown()
        with pytest.raises(trio.BrokenResourceError):
            await send.send(2)
        assert await receive_all(receive) == [1]

    world(main)


# --- channels as a Queue ---------------------------------------------------------------------------------------------


def test_trio_sends_into_its_channel_and_asyncio_gets(world):
    async def main():
        send, receive = trio.open_memory_channel(2)
        queue = as_queue(send, receive)

        async def produce():
            async with send:
                for number in range(5):
                    await send.send(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce)
            assert await asyncio.create_task(get_all(queue)) == [0, 1, 2, 3, 4]
        await queue.join()
        with pytest.raises(QueueShutDown):
            queue.put_nowait(5)

    world(main)


def test_asyncio_puts_and_trio_receives_from_its_channel(world):
    async def main():
        send, receive = trio.open_memory_channel(2)
        queue = as_queue(send, receive)

        async def produce():
            for number in range(5):
                await queue.put(number)
            await queue.join()
            send.close()

        async def consume():
            async for number in receive:
                got.append(number)
                queue.task_done()

        got = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(consume)
            await asyncio.create_task(produce())
        assert got == [0, 1, 2, 3, 4]

    world(main)


def test_join_waits_for_items_from_both_sides(world):
    async def main():
        send, receive = trio.open_memory_channel(math.inf)
        queue = as_queue(send, receive)
        queue.put_nowait(1)
        send.send_nowait(2)
        assert [await queue.get(), await queue.get()] == [1, 2]
        joined = asyncio.create_task(queue.join())
        for _ in range(2):
            await settle()
            assert not joined.done()
            queue.task_done()
        await joined
        with pytest.raises(ValueError, match="too many times"):
            queue.task_done()

    world(main)


@pytest.mark.parametrize("size", [0, 1, 2])
def test_join_when_an_item_is_done_before_its_put_goes_on(world, size):
    async def main():
        queue = as_queue(*trio.open_memory_channel(size))
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(queue.put(number))
            await settle()
            for _ in range(4):
                await queue.get()
                queue.task_done()
            await asyncio.wait_for(queue.join(), 1)
        await asyncio.wait_for(queue.join(), 1)

    world(main)


@pytest.mark.parametrize("got_before", [0, 1])
def test_join_waits_for_no_item_of_a_put_that_was_cancelled(world, got_before):
    async def main():
        send, receive = trio.open_memory_channel(1)
        queue = as_queue(send, receive)
        send.send_nowait(1)
        for wait in send.send(2), queue.put(3):
            put = asyncio.create_task(wait)
            await settle()
        got = [await queue.get() for _ in range(got_before)]
        put.cancel()
        await asyncio.wait([put])
        got += [await queue.get() for _ in range(2 - got_before)]
        assert got == [1, 2]
        for _ in got:
            queue.task_done()
        await asyncio.wait_for(queue.join(), 1)
        with pytest.raises(ValueError, match="too many times"):
            queue.task_done()

    world(main)


@pytest.mark.parametrize(("size", "maxsize"), [(0, 0), (2, 2), (math.inf, 0)])
def test_sizes(world, size, maxsize):
    async def main():
        queue = as_queue(*trio.open_memory_channel(size))
        assert queue.maxsize == maxsize
        assert queue.empty()
        assert queue.full() == (size == 0)
        with pytest.raises(asyncio.QueueEmpty):
            queue.get_nowait()
        while queue.qsize() < min(size, 3):
            queue.put_nowait(queue.qsize())
        assert queue.full() == (size < 3)
        putter = asyncio.create_task(queue.put("last"))
        await settle()
        assert putter.done() == (size > 2)
        assert not queue.empty()
        if size < 3:
            with pytest.raises(asyncio.QueueFull):
                queue.put_nowait("more")
        items = []
        while not queue.empty():
            items.append(queue.get_nowait())
        assert items == [*range(min(size, 3)), "last"]
        await putter
        getter = asyncio.create_task(queue.get())
        await settle()
        assert not queue.full()
        queue.put_nowait(1)
        assert await getter == 1

    world(main)


def test_what_is_there_is_got_without_a_checkpoint(world):
    async def main():
        queue = as_queue(*trio.open_memory_channel(1))
        with trio.testing.assert_no_checkpoints():
            await queue.put(1)
        with trio.testing.assert_no_checkpoints():
            assert await queue.get() == 1

    world(main)


def test_who_was_handed_an_item_is_not_overtaken(world):
    async def main():
        send, receive = trio.open_memory_channel(3)
        queue, got = as_queue(send, receive), []

        async def get():
            got.append(await queue.get())

        first = asyncio.create_task(get())
        await settle()
        for number in range(3):
            send.send_nowait(number)
        await get()
        assert got == [0, 1]
        await first
        with trio.testing.assert_no_checkpoints():
            assert await queue.get() == 2

    world(main)


def test_a_wait_that_is_cancelled_moves_nothing(world):
    async def main():
        send, receive = trio.open_memory_channel(0)
        queue = as_queue(send, receive)
        for wait in (queue.get, lambda: queue.put(1)):
            with trio.move_on_after(1) as scope:
                await wait()
            assert scope.cancelled_caught
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait(), 1)
        assert queue.empty()
        assert receive.statistics().tasks_waiting_receive == 0

    world(main)


@pytest.mark.parametrize("move_late", ["get", "put"])
def test_an_item_that_was_handed_over_wins_over_a_late_cancellation(world, move_late):
    """The Task that is woken with an item, or by its taker, and cancelled before its step, ends with the item moved."""

    async def main():
        send, receive = trio.open_memory_channel(0)
        queue = as_queue(send, receive)
        task = asyncio.create_task(queue.get() if move_late == "get" else queue.put(1))
        await settle()
        if move_late == "get":
            send.send_nowait(1)
        else:
            assert receive.receive_nowait() == 1
        task.cancel()
        assert await task == (1 if move_late == "get" else None)

        async def goes_on():
            await queue.get()
            steps.append("got")
            await asyncio.sleep(1)
            steps.append("slept")

        steps = []
        task = asyncio.create_task(goes_on())
        await settle()
        send.send_nowait(1)
        task.cancel("late")
        with pytest.raises(asyncio.CancelledError, match="late"):
            await task
        assert steps == ["got"]

    world(main)


def test_when_all_receivers_are_gone_put_fails(world):
    async def main():
        send, receive = trio.open_memory_channel(1)
        queue = as_queue(send, receive)
        receive.close()
        with pytest.raises(QueueShutDown):
            await queue.put(1)
        with pytest.raises(QueueShutDown):
            await queue.get()

    world(main)


@pytest.mark.skipif(not hasattr(asyncio, "QueueShutDown"), reason="asyncio's queues can be shut down from 3.13 on")
@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_closes_the_channel(world, immediate):
    async def main():
        send, receive = trio.open_memory_channel(2)
        queue = as_queue(send, receive)
        await queue.put(1)
        await send.send(2)
        queue.shutdown(immediate)
        with pytest.raises(QueueShutDown):
            await queue.put(3)
        assert await get_all(queue) == ([] if immediate else [1, 2])
        await queue.join()

    world(main)


@pytest.mark.skipif(not hasattr(asyncio, "QueueShutDown"), reason="asyncio's queues can be shut down from 3.13 on")
@pytest.mark.parametrize("make", [lambda: asyncio.Queue(), lambda: as_queue(*trio.open_memory_channel(2))])
def test_immediate_shutdown_drops_what_is_done_already(world, make):
    async def main():
        queue = make()
        await queue.put(1)
        queue.task_done()
        queue.shutdown(immediate=True)
        await queue.join()
        with pytest.raises(ValueError, match="too many times"):
            queue.task_done()

    world(main)


@pytest.mark.skipif(not hasattr(asyncio, "QueueShutDown"), reason="asyncio's queues can be shut down from 3.13 on")
def test_immediate_shutdown_ends_the_channel_for_other_senders(world):
    async def main():
        send, receive = trio.open_memory_channel(2)
        queue = as_queue(send, receive)
        with send.clone() as other:
            queue.shutdown(immediate=True)
            with pytest.raises(QueueShutDown):
                queue.get_nowait()
            with pytest.raises(trio.BrokenResourceError):
                await other.send(1)

    world(main)


# --- under stress ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("producers", "consumers"), [("tt", "aa"), ("aa", "tt"), ("ta", "at")])
@pytest.mark.parametrize("size", [1, 5])
def test_stress_of_a_queue_as_channels(world, producers, consumers, size):
    async def main():
        queue = asyncio.Queue(size)
        send, receive = as_channels(queue)
        put = send.send if producers == "tt" else queue.put
        get = receive.receive if consumers == "tt" else queue.get
        count = ITEMS // len(WORLDS) // 6
        got = await move(count, put, get, producers=producers, consumers=consumers, seed=size)
        assert_in_order(got, count, len(producers))
        assert queue.empty()
        assert not queue._getters
        assert not queue._putters

    world(main)


@pytest.mark.parametrize(("producers", "consumers"), [("tt", "aa"), ("aa", "tt"), ("aa", "aa"), ("ta", "at")])
@pytest.mark.parametrize("size", [0, 5])
def test_stress_of_channels_as_a_queue(world, producers, consumers, size):
    async def main():
        send, receive = trio.open_memory_channel(size)
        queue = as_queue(send, receive)
        put = send.send if producers == "tt" else queue.put
        take = receive.receive if consumers == "tt" else queue.get

        async def get():
            item = await take()
            queue.task_done()
            return item

        count = ITEMS // len(WORLDS) // 6
        got = await move(count, put, get, producers=producers, consumers=consumers, seed=size)
        assert_in_order(got, count, len(producers))
        statistics = receive.statistics()
        assert statistics.current_buffer_used == statistics.tasks_waiting_receive == statistics.tasks_waiting_send == 0
        await asyncio.wait_for(queue.join(), 60)

    world(main)


def test_a_half_ported_pipeline():
    """trio reads, asyncio works, trio collects: each stage is what it would be in its own world."""

    async def read(send):
        async with send:
            for number in range(100):
                await send.send(number)

    async def work(numbers, squares):
        try:
            while True:
                await squares.put(await numbers.get() ** 2)
                numbers.task_done()
        except QueueShutDown:
            return

    async def main():
        send, receive = trio.open_memory_channel(3)
        squares = asyncio.Queue(3)
        end, results = as_channels(squares)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, send)

            async def work_in_parallel():
                async with asyncio.TaskGroup() as group:
                    for _ in range(4):
                        group.create_task(work(as_queue(send, receive), squares))
                await end.aclose()

            nursery.start_soon(work_in_parallel)
            assert sorted(await receive_all(results)) == [number**2 for number in range(100)]

    compat.run(main)
