"""Lock, Event, Condition, Semaphore, BoundedSemaphore and Barrier."""

import pytest
import trio
import trio.testing

from compat import native
from native.cancelling import at_each_step


async def test_lock():
    lock = native.Lock()
    assert not lock.locked()
    assert await lock.acquire() is True
    assert lock.locked()
    lock.release()
    async with lock as nothing:
        assert nothing is None
        assert lock.locked()
    assert not lock.locked()
    assert "Lock" in repr(lock)


async def test_lock_belongs_to_its_task():
    lock = native.Lock()
    async with lock:
        with pytest.raises(RuntimeError):
            await lock.acquire()

        async def steal():
            with pytest.raises(RuntimeError):
                lock.release()

        await native.gather(steal())
    with pytest.raises(RuntimeError):
        lock.release()


async def test_condition_takes_a_lock_of_native():
    with pytest.raises(TypeError, match="compat.native"):
        native.Condition(trio.Lock())  # type: ignore[arg-type]


async def test_lock_is_fair():
    lock, order = native.Lock(), []

    async def use(name):
        async with lock:
            order.append(name)

    async with lock:
        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(use, name)
                await trio.testing.wait_all_tasks_blocked()
            lock.release()
        await lock.acquire()
    assert order == ["a", "b", "c"]


async def test_all_are_checkpoints():
    event, condition, semaphore, barrier = native.Event(), native.Condition(), native.Semaphore(), native.Barrier(1)
    event.set()
    waits = (native.Lock().acquire, condition.acquire, semaphore.acquire, event.wait)
    for wait in (*waits, barrier.wait, barrier.abort, barrier.reset):
        with trio.testing.assert_checkpoints():
            await wait()
    with trio.testing.assert_checkpoints():
        assert await condition.wait_for(lambda: 5) == 5


async def test_event():
    event, woken = native.Event(), []

    async def wait():
        assert await event.wait() is True
        woken.append(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        event.clear()  # which changes nothing for those who wait
        event.set()
        event.clear()
        assert not event.is_set()
    assert woken == [1, 1]
    with trio.move_on_after(1) as scope:
        await event.wait()
    assert scope.cancelled_caught
    event.set()
    event.set()
    assert event.is_set()
    await wait()
    assert "set" in repr(event)


async def test_condition():
    lock = native.Lock()
    condition, ready, woken = native.Condition(lock), [], []

    async def wait(name):
        async with condition:
            assert await condition.wait() is True
            assert condition.locked()
            assert lock.locked()
            woken.append(name)

    async def wait_for(name):
        async with condition:
            assert await condition.wait_for(lambda: len(ready)) == 1
            woken.append(name)

    async with trio.open_nursery() as nursery:
        for function, name in (wait, "a"), (wait, "b"), (wait_for, "c"):
            nursery.start_soon(function, name)
            await trio.testing.wait_all_tasks_blocked()
        async with condition:
            condition.notify()
        await trio.testing.wait_all_tasks_blocked()
        assert woken == ["a"]
        async with condition:
            condition.notify_all()
        await trio.testing.wait_all_tasks_blocked()
        assert woken == ["a", "b"]
        ready.append(1)
        async with lock:
            condition.notify(2)
    assert woken == ["a", "b", "c"]


async def test_condition_without_its_lock():
    condition = native.Condition()
    for method in (condition.notify, condition.notify_all, condition.release):
        with pytest.raises(RuntimeError):
            method()
    with pytest.raises(RuntimeError):
        await condition.wait()


async def test_semaphore():
    semaphore, running, most = native.Semaphore(2), 0, 0

    async def work():
        nonlocal running, most
        async with semaphore:
            running += 1
            most = max(most, running)
            await native.sleep(1)
            running -= 1

    await native.gather(*(work() for _ in range(5)))
    assert most == 2
    assert not semaphore.locked()
    assert await semaphore.acquire() is True
    await semaphore.acquire()
    assert semaphore.locked()
    semaphore.release()
    semaphore.release()
    semaphore.release()  # it has no bound
    with pytest.raises(ValueError):
        native.Semaphore(-1)


async def test_bounded_semaphore():
    semaphore = native.BoundedSemaphore(1)
    async with semaphore:
        assert semaphore.locked()
    with pytest.raises(ValueError):
        semaphore.release()


async def test_barrier():
    barrier, places = native.Barrier(3), []

    async def arrive():
        async with barrier as place:
            places.append(place)

    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (3, 0, False)
    await native.gather(*(arrive() for _ in range(6)))
    assert sorted(places) == [0, 0, 1, 1, 2, 2]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(arrive)
        await trio.testing.wait_all_tasks_blocked()
        assert barrier.n_waiting == 1
        assert "1 of 3" in repr(barrier)
        nursery.cancel_scope.cancel()
    assert barrier.n_waiting == 0
    with pytest.raises(ValueError):
        native.Barrier(0)


@pytest.mark.parametrize("method", ["abort", "reset"])
async def test_barrier_that_is_broken(method):
    barrier, broken = native.Barrier(3), []

    async def arrive():
        try:
            await barrier.wait()
        except native.BrokenBarrierError:
            broken.append(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(arrive)
        nursery.start_soon(arrive)
        await trio.testing.wait_all_tasks_blocked()
        await getattr(barrier, method)()
        assert barrier.broken is (method == "abort")
    assert broken == [1, 1]
    if method == "abort":
        await arrive()
        assert broken == [1, 1, 1]
        await barrier.reset()
    assert sorted(await native.gather(barrier.wait(), barrier.wait(), barrier.wait())) == [0, 1, 2]


@pytest.mark.parametrize("make", [native.Lock, native.Condition, native.Semaphore, native.BoundedSemaphore])
def test_cancelled_at_each_step_nothing_is_held(make):
    async def case(cut):
        lock, inside = make(), 0

        async def use():
            nonlocal inside
            for _ in range(2):
                async with lock:
                    inside += 1
                    assert inside == 1
                    try:
                        await native.sleep(0)
                    finally:
                        inside -= 1

        async with native.TaskGroup() as group:
            group.create_task(use())
            await cut(use())
        with trio.fail_after(5):
            async with lock:
                assert inside == 0

    assert trio.run(at_each_step, case) > 4


def test_cancelled_at_each_step_of_a_condition():
    async def case(cut):
        condition = native.Condition()

        async def wait():
            async with condition:
                try:
                    await condition.wait()
                finally:
                    condition.notify()  # raises without the lock

        async def notify():
            async with condition:
                condition.notify_all()

        async with native.TaskGroup() as group:
            group.create_task(cut(wait()))
            for _ in range(3):
                await native.sleep(0)
            waiting = group.create_task(wait())
            while not waiting.done():
                await notify()
        assert not condition.locked()

    assert trio.run(at_each_step, case) > 4


def test_cancelled_at_each_step_of_a_barrier():
    async def case(cut):
        barrier, places = native.Barrier(2), []

        async def arrive():
            places.append(await barrier.wait())

        async with native.TaskGroup() as group:
            group.create_task(cut(arrive()))
            group.create_task(arrive())
            for _ in range(20):
                await native.sleep(0)
            if barrier.n_waiting:
                await barrier.wait()
        assert barrier.n_waiting == 0
        assert len(set(places)) == len(places)

    assert trio.run(at_each_step, case) > 1
