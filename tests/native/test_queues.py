"""Queue, PriorityQueue and LifoQueue."""

import pytest
import trio
import trio.testing

from compat import native
from native.cancelling import at_each_step

KINDS = pytest.mark.parametrize("kind", [native.Queue, native.PriorityQueue, native.LifoQueue])
ORDER = {native.Queue: [2, 3, 1], native.PriorityQueue: [1, 2, 3], native.LifoQueue: [1, 3, 2]}


async def put_all(queue, items):
    for item in items:
        await queue.put(item)


@KINDS
async def test_order_and_size(kind):
    queue = kind(3)
    assert (queue.maxsize, queue.qsize(), queue.empty(), queue.full()) == (3, 0, True, False)
    for item in (2, 3, 1):
        queue.put_nowait(item)
    assert (queue.qsize(), queue.empty(), queue.full()) == (3, False, True)
    with pytest.raises(native.QueueFull):
        queue.put_nowait(4)
    assert [queue.get_nowait() for _ in range(3)] == ORDER[kind]
    with pytest.raises(native.QueueEmpty):
        queue.get_nowait()
    assert kind.__name__ in repr(queue)


@KINDS
@pytest.mark.parametrize("maxsize", [0, -1])
async def test_without_a_bound(kind, maxsize):
    queue = kind(maxsize)
    for item in range(1000):
        queue.put_nowait(item)
    assert not queue.full()
    assert sorted([await queue.get() for _ in range(1000)]) == [*range(1000)]


@KINDS
async def test_who_waits_longest_is_served_first(kind):
    queue, got = kind(1), []

    async def get(name):
        got.append((name, await queue.get()))

    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(get, name)
            await trio.testing.wait_all_tasks_blocked()
        for item in range(3):
            queue.put_nowait(item)
            assert queue.qsize() == 0  # it goes straight to who waits
    assert sorted(got) == [("a", 0), ("b", 1), ("c", 2)]
    async with trio.open_nursery() as nursery:
        for item in range(4):
            nursery.start_soon(queue.put, item)
            await trio.testing.wait_all_tasks_blocked()
        assert [await queue.get() for _ in range(4)] == [0, 1, 2, 3]


async def test_an_item_that_cannot_be_compared_is_for_who_puts_it():
    queue = native.PriorityQueue(2)
    queue.put_nowait(1)
    queue.put_nowait(2)

    async def put():
        with pytest.raises(TypeError):
            await queue.put("three")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put)
        await trio.testing.wait_all_tasks_blocked()
        assert await queue.get() == 1
    assert [queue.get_nowait() for _ in range(queue.qsize())] == [2]


def test_an_item_that_cannot_be_compared_is_not_kept():
    """A heap keeps it, at a place that depends on where the comparison fails."""

    class Small:
        def __lt__(self, other):
            if other == 1:
                raise TypeError
            return True

    for item in Small(), "three":
        queue = native.PriorityQueue()
        for number in (1, 3, 2, 5, 4, 7):
            queue.put_nowait(number)
        with pytest.raises(TypeError):
            queue.put_nowait(item)
        assert [queue.get_nowait() for _ in range(queue.qsize())] == [1, 2, 3, 4, 5, 7]


@KINDS
async def test_put_and_get_are_checkpoints(kind):
    queue = kind()
    with trio.testing.assert_checkpoints():
        await queue.put(1)
    with trio.testing.assert_checkpoints():
        await queue.get()
    with trio.testing.assert_checkpoints():
        await native.Queue().join()
    with trio.CancelScope() as scope:
        scope.cancel()
        await queue.put(1)
    assert queue.empty()


@KINDS
async def test_join(kind):
    queue, steps = kind(1), []

    async def work():
        for _ in range(4):
            steps.append(await queue.get())
            queue.task_done()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put_all, queue, range(4))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(work)
        await queue.join()
        assert len(steps) == 4
    with pytest.raises(ValueError, match="task_done"):
        queue.task_done()


@KINDS
async def test_join_waits_for_no_item_of_a_put_that_was_cancelled(kind):
    queue = kind(1)
    queue.put_nowait(1)
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1):
            await queue.put(2)
        nursery.start_soon(queue.join)
        await trio.testing.wait_all_tasks_blocked()
        assert queue.get_nowait() == 1
        queue.task_done()
    assert queue.empty()


@pytest.mark.parametrize("kind", [native.PriorityQueue, native.LifoQueue])
async def test_a_put_that_was_cancelled_keeps_no_item(kind):
    queue = kind(1)
    queue.put_nowait(1)
    with trio.move_on_after(1):
        await queue.put(2)
    assert not queue._send._offered


@KINDS
async def test_shutdown(kind):
    queue, got = kind(1), []
    queue.put_nowait(1)

    async def put():
        with pytest.raises(native.QueueShutDown):
            await queue.put(2)
        got.append("not put")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put)
        await trio.testing.wait_all_tasks_blocked()
        queue.shutdown()
        queue.shutdown()
    assert got == ["not put"]
    with pytest.raises(native.QueueShutDown):
        queue.put_nowait(3)
    with pytest.raises(native.QueueShutDown):
        await queue.put(3)
    assert await queue.get() == 1
    queue.task_done()
    await queue.join()
    with pytest.raises(native.QueueShutDown):
        await queue.get()
    with pytest.raises(native.QueueShutDown):
        queue.get_nowait()


@KINDS
async def test_shutdown_wakes_who_waits_for_items(kind):
    queue = kind()

    async def get():
        with pytest.raises(native.QueueShutDown):
            await queue.get()

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(get)
        await trio.testing.wait_all_tasks_blocked()
        queue.shutdown()


@KINDS
async def test_immediate_shutdown(kind):
    queue = kind(2)
    for item in (1, 2):
        queue.put_nowait(item)

    async def put():
        with pytest.raises(native.QueueShutDown):
            await queue.put(3)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.join)
        nursery.start_soon(put)
        await trio.testing.wait_all_tasks_blocked()
        queue.shutdown(immediate=True)
    assert queue.empty()
    with pytest.raises(native.QueueShutDown):
        await queue.get()


@KINDS
async def test_immediate_shutdown_drops_what_is_done_already(kind):
    queue = kind()
    queue.put_nowait(1)
    queue.task_done()
    queue.shutdown(immediate=True)
    await queue.join()
    with pytest.raises(ValueError, match="task_done"):
        queue.task_done()


@KINDS
def test_cancelled_at_each_step_no_item_is_lost(kind):
    async def producing(cut):
        queue, items = kind(2), []

        async def get_all():
            while True:
                items.append(await queue.get())
                queue.task_done()

        put = []

        async def put_all():
            for item in range(6):
                await queue.put(item)
                put.append(item)

        getter = native.create_task(get_all())
        await cut(put_all())
        await queue.join()
        assert sorted(items) == put
        getter.cancel()

    async def consuming(cut):
        queue, items = kind(2), []

        async def get_some():
            while len(items) < 6:
                items.append(await queue.get())

        putter = native.create_task(put_all(queue, range(8)))
        await cut(get_some())
        while len(items) < 8:
            items.append(await queue.get())
        await putter
        assert sorted(items) == [*range(8)]
        assert queue.empty()

    assert trio.run(at_each_step, producing) > 6
    assert trio.run(at_each_step, consuming) > 6
