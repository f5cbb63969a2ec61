"""Locks, where asyncio and trio tasks share them.

What asyncio alone can see is compared with asyncio in test_traces, and by CPython's own tests.
"""

from collections import Counter
from random import Random

import pytest
import trio

import compat
from compat import asyncio
from moving import ITEMS, Interrupter
from worlds import WORLDS, settle


@pytest.fixture(params=WORLDS, ids=lambda world: world.__name__)
def world(request):
    return request.param


class Both:
    """Starts tasks of both kinds in turn."""

    async def __aenter__(self):
        self.count = 0
        self.group, self.manager = asyncio.TaskGroup(), trio.open_nursery()
        await self.group.__aenter__()
        self.nursery = await self.manager.__aenter__()
        return self

    async def __aexit__(self, *exc_info):
        await self.manager.__aexit__(*exc_info)
        await self.group.__aexit__(*exc_info)

    async def start(self, async_fn, *args):
        """Start a task, of the other kind than the last one, and let it run until it waits."""
        self.count += 1
        if self.count % 2:
            self.nursery.start_soon(async_fn, *args)
        else:
            self.group.create_task(async_fn(*args))
        await settle()


# Each with: how to have somebody wait, how to wake him, and where the waiters stand.


def locked():
    lock = asyncio.Lock()
    lock._locked = True
    return lock, lock.acquire, lock.release, lock._waiters


def emptied(semaphore_class):
    semaphore = semaphore_class(1)
    semaphore._value = 0
    return semaphore, semaphore.acquire, semaphore.release, semaphore._waiters


def unset():
    event = asyncio.Event()
    return event, event.wait, event.set, event._waiters


def awaited():
    condition = asyncio.Condition()

    async def wait():
        async with condition:
            await condition.wait()

    def notify():
        condition._lock._locked = True
        condition.notify()
        condition.release()

    return condition, wait, notify, condition._waiters


def filling():
    barrier = asyncio.Barrier(2)
    return barrier, barrier.wait, None, barrier._cond._waiters


KINDS = {
    "Lock": locked,
    "Semaphore": lambda: emptied(asyncio.Semaphore),
    "BoundedSemaphore": lambda: emptied(asyncio.BoundedSemaphore),
    "Event": unset,
    "Condition": awaited,
    "Barrier": filling,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_scope_cancels_a_wait_and_nothing_is_left(world, kind):
    async def main():
        subject, wait, _, waiters = KINDS[kind]()
        before = repr(subject)
        raised = []

        async def wait_in_scope():
            with trio.move_on_after(1) as scope:
                try:
                    await wait()
                except asyncio.CancelledError as error:
                    raised.append(error)
                    raise
            assert scope.cancelled_caught

        await wait_in_scope()
        await asyncio.create_task(wait_in_scope())
        assert len(raised) == 2
        assert all(isinstance(error, trio.Cancelled) for error in raised)
        assert not waiters
        assert repr(subject) == before

    world(main)


@pytest.mark.parametrize("kind", KINDS)
def test_a_scope_that_is_cancelled_already_lets_nobody_wait(world, kind):
    async def main():
        _, wait, _, waiters = KINDS[kind]()
        with trio.CancelScope() as scope:
            scope.cancel()
            await wait()
        assert scope.cancelled_caught
        assert not waiters

    world(main)


@pytest.mark.parametrize("kind", ["Lock", "Semaphore", "Condition"])
def test_trio_and_asyncio_tasks_are_woken_in_the_order_in_which_they_came(world, kind):
    async def main():
        _, wait, wake, _ = KINDS[kind]()
        log = []

        async def wait_once(number):
            await wait()
            log.append(number)

        async with Both() as tasks:
            for number in range(6):
                await tasks.start(wait_once, number)
            for number in range(6):
                wake()
                await settle()
                assert log == list(range(number + 1))

    world(main)


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
def test_who_is_cancelled_when_it_was_woken_wakes_the_next(world, kind):
    async def main():
        _, wait, wake, waiters = KINDS[kind]()
        woken = asyncio.create_task(wait())
        async with trio.open_nursery() as nursery:
            await asyncio.sleep(0)
            nursery.start_soon(wait)
            await settle()
            wake()
            woken.cancel()
        assert woken.cancelled()
        assert not waiters

    world(main)


@pytest.mark.parametrize("kind", ["trio", "asyncio"])
def test_who_is_cancelled_while_a_lock_is_held_wakes_nobody(world, kind):
    async def main():
        lock, holders = asyncio.Lock(), []

        async def hold(name):
            async with lock:
                holders.append(name)

        async def hold_in_scope():
            with scope:
                await hold("first")

        await lock.acquire()
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            first = asyncio.create_task(hold_in_scope())
            await settle()
            nursery.start_soon(hold, "second")
            await settle()
            first.cancel() if kind == "asyncio" else scope.cancel()
            await settle()
            assert holders == []
            lock.release()
        assert holders == ["second"]

    world(main)


def test_an_event_wakes_all_in_order(world):
    async def main():
        event, log = asyncio.Event(), []

        async def wait_once(number):
            await event.wait()
            log.append(number)

        async with Both() as tasks:
            for number in range(6):
                await tasks.start(wait_once, number)
            event.set()
            event.clear()  # who was woken goes on all the same
        assert log == list(range(6))

    world(main)


def test_a_barrier_of_both_kinds(world):
    async def main():
        barrier, places = asyncio.Barrier(4), []

        async def wait_once():
            places.append(await barrier.wait())

        async with Both() as tasks:
            for _ in range(8):
                await tasks.start(wait_once)
        assert sorted(places) == [0, 0, 1, 1, 2, 2, 3, 3]
        assert barrier.n_waiting == 0

    world(main)


def test_a_broken_barrier(world):
    async def main():
        barrier, broken = asyncio.Barrier(3), []

        async def wait_in_vain():
            with pytest.raises(asyncio.BrokenBarrierError):
                await barrier.wait()
            broken.append(True)

        async with Both() as tasks:
            await tasks.start(wait_in_vain)
            await tasks.start(wait_in_vain)
            await barrier.abort()
        assert len(broken) == 2
        assert barrier.broken
        await barrier.reset()
        assert not barrier.broken

    world(main)


def test_without_contention_nobody_yields(world):
    async def main():
        lock, semaphore, event = asyncio.Lock(), asyncio.Semaphore(2), asyncio.Event()
        event.set()
        with trio.testing.assert_no_checkpoints():
            async with lock, semaphore:
                await event.wait()
            async with asyncio.Condition():
                pass
            assert await asyncio.Barrier(1).wait() == 0

    world(main)


def test_a_condition_takes_its_lock_again_in_a_cancelled_scope(world):
    """Also while another has it, and however often the wait for it is cancelled."""

    async def main():
        condition, log = asyncio.Condition(), []

        async def wait_in_scope():
            nonlocal task
            task = asyncio.current_task()
            with scope:
                async with condition:
                    try:
                        await condition.wait()
                    finally:
                        assert condition.locked()
                        log.append("has the lock")
            assert scope.cancelled_caught

        for cancels in ("scope", "scope task", "task scope", "late"):
            scope, task = trio.CancelScope(), None
            async with Both() as tasks:
                await tasks.start(wait_in_scope)
                async with condition:
                    if cancels == "late":  # when it waits for the lock
                        condition.notify()
                        await settle()
                        scope.cancel()
                    for cancel in cancels.split():
                        {"scope": scope.cancel, "task": task.cancel, "late": bool}[cancel]()
                        await settle()
                    assert log == []
                await settle()
                while task.uncancel():
                    pass
            assert log.pop() == "has the lock"
            assert not condition.locked()
            assert not condition._waiters

    world(main)


def test_made_outside_of_a_loop_it_belongs_to_the_first_in_which_somebody_waits():
    lock = asyncio.Lock()

    async def contend(log):
        async with lock:
            waiter = asyncio.create_task(lock.acquire())
            await asyncio.sleep(0)
        await waiter
        try:
            with trio.move_on_after(0.001):
                await lock.acquire()
        finally:
            lock.release()

    asyncio.run(contend([]))

    async def main():
        async with lock:  # without a wait it does not matter
            with pytest.raises(RuntimeError) as caught:
                await lock.acquire()
            assert str(caught.value) == f"{lock!r} is bound to a different event loop"

    compat.run(main)
    assert not lock.locked()


def test_without_a_loop_the_error_says_what_to_do():
    async def main():
        lock = asyncio.Lock()
        async with lock:
            await lock.acquire()

    with pytest.raises(RuntimeError, match=r"Start it with compat\.run\(\)"):
        trio.run(main)


def test_two_threads_cannot_wait_for_one_lock():
    lock = asyncio.Lock()

    async def acquire():
        with pytest.raises(RuntimeError, match="is bound to a different event loop"):
            await lock.acquire()

    async def main():
        async with lock:
            waiter = asyncio.create_task(lock.acquire())
            await asyncio.sleep(0)
            await asyncio.to_thread(asyncio.run, acquire())
        await waiter

    asyncio.run(main())


def test_stress_of_random_cancellation(world):
    """At no time do more hold something than may, and at the end nobody holds it or waits for it."""

    async def main():
        random = Random(1)
        interrupter = Interrupter(random)
        lock, semaphore, bounded = asyncio.Lock(), asyncio.Semaphore(2), asyncio.BoundedSemaphore(3)
        condition, barrier, event = asyncio.Condition(), asyncio.Barrier(2), asyncio.Event()
        holders, done = Counter(), Counter()
        rounds = ITEMS // len(WORLDS) // 60

        def hold(subject, most):
            async def hold_once():
                async with subject:
                    holders[subject] += 1
                    try:
                        assert holders[subject] <= most
                        await asyncio.sleep(0)
                    finally:
                        holders[subject] -= 1

            return hold_once

        async def exchange():
            async with condition:
                if random.random() < 0.5:
                    condition.notify(random.randrange(3))
                else:
                    await condition.wait()
                assert condition.locked()

        async def signal():
            if random.random() < 0.5:
                event.set()
            else:
                event.clear()
                await event.wait()

        operations = [hold(lock, 1), hold(semaphore, 2), hold(bounded, 3), exchange, barrier.wait, signal]

        async def work(attempt):
            for _ in range(rounds):
                for operation in random.sample(operations, k=len(operations)):
                    done[await attempt(operation)] += 1
            done["workers"] += 1

        async with Both() as tasks:
            for _ in range(5):
                tasks.nursery.start_soon(work, interrupter.by_trio)
                tasks.group.create_task(work(interrupter.by_asyncio))
            tasks.nursery.start_soon(interrupter.run, lambda: done["workers"] == 10)

        assert done[True] > rounds
        assert done[False] > rounds
        assert not any(holders.values())
        for subject in (lock, semaphore, bounded, condition, event, barrier._cond):
            assert not subject._waiters
        assert not any(subject.locked() for subject in (lock, condition, barrier._cond))
        assert (semaphore._value, bounded._value, barrier._count) == (2, 3, 0)

    world(main)
