"""Objects of both profiles in one program: each has its own meaning, and they meet without loss.

`exact` is asyncio's meaning on trio (compat.asyncio), `native` trio's meaning under asyncio's names.
"""

import sys
from contextlib import suppress

import pytest
import trio
import trio.testing

import compat
from compat import asyncio as exact
from compat import native


def in_exact_run(main):
    """A program of the exact side, one module of which is native."""

    async def with_background():
        async with native.open_background():
            return await main()

    return exact.run(with_background())


def in_hosted_run(main):
    """A trio program with a loop open, and both in it."""

    async def with_background():
        async with native.open_background():
            return await main()

    return compat.run(with_background)


def in_native_run(main):
    """A native program, one module of which is exact."""

    async def with_loop():
        async with compat.open_loop():
            return await main()

    return native.run(with_loop())


@pytest.fixture(params=[in_exact_run, in_hosted_run, in_native_run])
def run(request):
    def run_in_time(main):
        async def in_time():
            with trio.fail_after(60):
                return await main()

        return request.param(in_time)

    return run_in_time


MAKERS = pytest.mark.parametrize("makers", [(exact, native), (native, exact)], ids=["exact first", "native first"])
BOTH = pytest.mark.parametrize("of", [exact, native], ids=["exact", "native"])


async def number(result, of):
    await of.sleep(0)
    return result


async def failing(error, of):
    await of.sleep(0)
    raise error


@MAKERS
def test_a_task_awaited_in_a_task_of_the_other(run, makers):
    inner, outer = makers

    async def main():
        async def wait_for_it():
            return await inner.create_task(number(5, inner))

        async def wait_for_error():
            with pytest.raises(KeyError):
                await inner.create_task(failing(KeyError(), inner))
            return "seen"

        assert await outer.create_task(wait_for_it()) == 5
        assert await outer.create_task(wait_for_error()) == "seen"

    run(main)


@MAKERS
@pytest.mark.parametrize("kind", ["Queue", "PriorityQueue", "LifoQueue"])
@BOTH
def test_a_queue_filled_by_one_and_emptied_by_the_other(run, makers, kind, of):
    filler, emptier = makers

    async def main():
        queue, got = getattr(of, kind)(2), []

        async def fill():
            for item in range(20):
                await queue.put(item)

        async def empty():
            for _ in range(20):
                got.append(await queue.get())
                queue.task_done()

        tasks = filler.create_task(fill()), emptier.create_task(empty())
        for task in tasks:
            await task
        await queue.join()
        assert sorted(got) == [*range(20)]

    run(main)


@MAKERS
@BOTH
def test_a_wait_for_a_queue_that_is_cancelled_loses_nothing(run, makers, of):
    filler, emptier = makers

    async def main():
        queue, got = of.Queue(1), []

        async def get():
            got.append(await queue.get())

        for item in range(30):
            task = emptier.create_task(get())
            for _ in range(item % 4):
                await trio.lowlevel.checkpoint()
            task.cancel()
            await filler.create_task(queue.put(item))
            for _ in range(item % 3):
                await trio.lowlevel.checkpoint()
            with suppress(exact.CancelledError, native.CancelledError):
                await task
            if len(got) == item:
                got.append(await queue.get())
        assert got == [*range(30)]

    run(main)


@BOTH
@pytest.mark.parametrize("kind", ["Lock", "Condition", "Semaphore", "BoundedSemaphore"])
def test_a_lock_among_tasks_of_both(run, of, kind):
    async def main():
        lock, inside, entered = getattr(of, kind)(), 0, []

        async def use(name, sleep):
            nonlocal inside
            for _ in range(5):
                async with lock:
                    inside += 1
                    assert inside == 1
                    await sleep(0)
                    inside -= 1
                    entered.append(name)

        tasks = [maker.create_task(use(maker, maker.sleep)) for maker in (exact, native) * 2]
        for task in tasks:
            await task
        assert len(entered) == 20
        assert not lock.locked()

    run(main)


@BOTH
def test_an_event_and_a_barrier_among_tasks_of_both(run, of):
    async def main():
        event, barrier, steps = of.Event(), of.Barrier(3), []

        async def work(maker):
            await event.wait()
            steps.append(await barrier.wait())

        tasks = [maker.create_task(work(maker)) for maker in (exact, native, exact)]
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        event.set()
        for task in tasks:
            await task
        assert sorted(steps) == [0, 1, 2]

    run(main)


def test_a_task_of_the_exact_side_in_a_native_task_group(run):
    async def main():
        notes = []

        async def wait_long(task):
            try:
                await task
            finally:
                notes.append("told")

        async with native.TaskGroup() as group:
            forever = exact.create_task(exact.sleep(1000))
            waiting = group.create_task(wait_long(forever))
            await trio.testing.wait_all_tasks_blocked()
            waiting.cancel()
        assert notes == ["told"]
        assert forever.cancelled()
        assert waiting.cancelled()

    run(main)


@MAKERS
def test_a_group_in_a_task_of_the_other(run, makers):
    inner, outer = makers

    async def main():
        notes = []

        async def forever():
            try:
                await inner.sleep(1000)
            finally:
                notes.append("ended")

        async def work():
            async with inner.TaskGroup() as group:
                group.create_task(forever())
                group.create_task(failing(ValueError(1), inner))

        with pytest.raises(ExceptionGroup) as caught:
            await outer.create_task(work())
        assert list(map(repr, caught.value.exceptions)) == ["ValueError(1)"]
        assert notes == ["ended"]

    run(main)


@MAKERS
def test_a_timeout_around_a_wait_of_the_other(run, makers):
    inner, outer = makers

    async def main():
        async def work():
            with pytest.raises(TimeoutError):
                async with outer.timeout(0.01):
                    await inner.sleep(1000)
            with pytest.raises(TimeoutError):
                await outer.wait_for(inner.Event().wait(), 0.01)
            with pytest.raises(TimeoutError):
                await outer.wait_for(inner.Queue().get(), 0.01)
            return await outer.wait_for(inner.sleep(0, "in time"), 60)

        assert await outer.create_task(work()) == "in time"

    run(main)


@MAKERS
def test_cancelling_a_task_that_waits_for_something_of_the_other(run, makers):
    inner, outer = makers

    async def main():
        for wait in (inner.Event().wait, inner.Queue().get, lambda: inner.sleep(1000), inner.Barrier(2).wait):
            notes = []

            async def work(wait=wait, notes=notes):
                try:
                    await wait()
                except outer.CancelledError:
                    notes.append("told")
                    raise

            task = outer.create_task(work())
            await trio.testing.wait_all_tasks_blocked()
            task.cancel()
            with pytest.raises(outer.CancelledError):
                await task
            assert notes == ["told"]
            assert task.cancelled()

    run(main)


@MAKERS
def test_cancelling_a_task_that_awaits_a_task_of_the_other(run, makers):
    inner, outer = makers

    async def main():
        notes = []

        async def forever():
            try:
                await inner.sleep(1000)
            except inner.CancelledError:
                notes.append("inner")
                raise

        async def work():
            await inner.create_task(forever())

        task = outer.create_task(work())
        await trio.testing.wait_all_tasks_blocked()
        task.cancel()
        with pytest.raises(outer.CancelledError):
            await task
        assert notes == ["inner"]

    run(main)


@MAKERS
def test_gather_of_the_other(run, makers):
    inner, outer = makers

    async def main():
        async def work():
            results = await outer.gather(inner.create_task(number(1, inner)), number(2, inner), number(3, outer))
            with pytest.raises(KeyError):
                await outer.gather(failing(KeyError(), inner), number(1, inner))
            return results

        assert await outer.create_task(work()) == [1, 2, 3]

    run(main)


async def echo(reader, writer):
    while data := await reader.read(1000):
        writer.write(data)
        await writer.drain()
    writer.close()


@MAKERS
@BOTH
def test_streams_of_one_in_a_task_of_the_other(run, makers, of):
    server_of, client_of = makers

    async def main():
        async def talk():
            reader, writer = await client_of.open_connection(*server.sockets[0].getsockname()[:2])
            for _ in range(10):
                writer.write(b"line\n")
                await writer.drain()
                assert await reader.readline() == b"line\n"
            writer.close()
            await writer.wait_closed()
            return "talked"

        server = await server_of.start_server(echo, "127.0.0.1", 0)
        assert await of.create_task(talk()) == "talked"
        server.close()
        await server.wait_closed()

    run(main)


@MAKERS
@pytest.mark.skipif(sys.platform == "win32", reason="has no cat")
def test_processes_of_one_in_a_task_of_the_other(run, makers):
    inner, outer = makers

    async def main():
        async def work():
            process = await inner.create_subprocess_exec("cat", stdin=-1, stdout=-1)
            return await process.communicate(b"meow"), await process.wait()

        assert await outer.create_task(work()) == ((b"meow", None), 0)

    run(main)


@MAKERS
def test_threads_of_one_in_a_task_of_the_other(run, makers):
    inner, outer = makers

    async def main():
        assert await outer.create_task(inner.to_thread(sum, [1, 2])) == 3

    run(main)


def test_an_error_that_nobody_awaits_has_the_meaning_of_its_side(run):
    async def main():
        task = exact.create_task(failing(KeyError("exact"), exact))
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(task.exception(), KeyError)  # it waits there to be asked for
        native.create_task(failing(ValueError("native"), native))
        await native.sleep(60)

    with pytest.raises(ExceptionGroup) as caught:
        run(main)
    assert "ValueError('native')" in repr(caught.value)


def test_each_has_its_own_current_task(run):
    async def main():
        async def tasks():
            return exact.current_task(), native.current_task()

        of_exact, of_native = await exact.create_task(tasks())
        assert isinstance(of_exact, exact.Task)
        assert of_native is None
        task = native.create_task(tasks())
        of_exact, of_native = await task
        assert of_native is task
        assert of_exact is not None

    run(main)
