"""`from compat import asyncio` in a module that another loop runs, the interpreter's own or uvloop: as on that loop."""

import asyncio as std
import sys

import pytest

from compat import asyncio

HOST = "127.0.0.1"


def on_asyncio(main):
    with std.Runner(loop_factory=std.SelectorEventLoop) as runner:
        return runner.run(main())


def on_uvloop(main):
    uvloop = pytest.importorskip("uvloop", reason="the extra `set-ups` is not installed")
    with std.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


KEEPS_A_PIPE = pytest.mark.leaves("file", reason="uvloop has a pipe for the whole process")


@pytest.fixture(params=[on_asyncio, pytest.param(on_uvloop, marks=KEEPS_A_PIPE)])
def same(request):
    """Run a program by the drop-in and by the real asyncio, both on that loop, and require the same result."""

    def compare(program):
        result = request.param(lambda: program(asyncio))
        assert result == request.param(lambda: program(std))
        return result

    return compare


def test_tasks(same):
    async def program(asyncio):
        async def work(n):
            await asyncio.sleep(0.001 * n)
            return n, asyncio.current_task().get_name()

        loop = asyncio.get_running_loop()
        assert loop is asyncio.get_event_loop()
        task = asyncio.create_task(work(1), name="one")
        assert asyncio.all_tasks() == {task, asyncio.current_task()}
        done, pending = await asyncio.wait([task, asyncio.ensure_future(work(0))])
        shielded = await asyncio.shield(work(2))
        first = [await each for each in asyncio.as_completed([work(3), work(1)])]
        gathered = await asyncio.gather(work(2), work(1), return_exceptions=True)
        numbers = [n for n, _ in (shielded, *first, *gathered)]
        return task.result(), len(done), len(pending), numbers, await asyncio.sleep(0, "slept")

    assert same(program)[0] == (1, "one")


def test_task_groups(same):
    async def program(asyncio):
        log = []

        async def wait(n):
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0)
                log.append(n)

        async def fail():
            raise ValueError

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, n)) for n in range(3)]
        log.extend(task.result() for task in tasks)
        with pytest.raises(ExceptionGroup) as raised:
            async with asyncio.TaskGroup() as group:
                group.create_task(wait("waiter"))
                await asyncio.sleep(0)
                group.create_task(fail())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001), asyncio.TaskGroup() as group:
                group.create_task(wait("timed out"))
                await asyncio.sleep(3600)
        return log, [type(error) for error in raised.value.exceptions], asyncio.current_task().cancelling()

    assert same(program)[:2] == ([0, 1, 2, "waiter", "timed out"], [ValueError])


def test_a_task_group_that_is_cancelled(same):
    async def program(asyncio):
        log = []

        async def wait():
            try:
                await asyncio.sleep(3600)
            finally:
                log.append("cleaned up")

        async def parent():
            async with asyncio.TaskGroup() as group:
                group.create_task(wait())

        task = asyncio.create_task(parent())
        await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled(), log

    assert same(program) == (True, ["cleaned up"])


def test_timeouts(same):
    async def program(asyncio):
        log = []
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(3600)
        except TimeoutError:
            log.append("timeout")
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time()):
                await asyncio.Event().wait()
        except TimeoutError:
            log.append("timeout_at")
        try:
            await asyncio.wait_for(asyncio.Future(), 0.001)
        except TimeoutError:
            log.append("wait_for")
        return log, await asyncio.wait_for(asyncio.sleep(0, "in time"), 10), asyncio.current_task().cancelling()

    assert same(program) == (["timeout", "timeout_at", "wait_for"], "in time", 0)


def test_queues(same):
    async def program(asyncio):
        log = []
        for kind in (asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue):
            queue = kind(2)

            async def produce(queue=queue):
                for n in (3, 1, 2, 0):
                    await queue.put(n)

            task = asyncio.create_task(produce())
            await asyncio.sleep(0)
            for _ in range(4):
                log.append(await queue.get())
                queue.task_done()
            await task
            await queue.join()
            with pytest.raises(asyncio.QueueEmpty):
                queue.get_nowait()
        if sys.version_info >= (3, 13):
            queue.shutdown()
            with pytest.raises(asyncio.QueueShutDown):
                await queue.get()
        return log

    assert len(same(program)) == 12


def test_locks(same):
    async def program(asyncio):
        log = []
        lock, event, condition = asyncio.Lock(), asyncio.Event(), asyncio.Condition()
        semaphore, barrier = asyncio.BoundedSemaphore(1), asyncio.Barrier(2)

        async def use(name):
            for each in (lock, semaphore):
                async with each:
                    log.append((name, type(each).__name__))
                    await asyncio.sleep(0)
            await event.wait()
            async with condition:
                log.append(name)
                condition.notify_all()
            log.append((name, await barrier.wait()))

        tasks = [asyncio.create_task(use(name)) for name in "ab"]
        async with condition:
            event.set()
            await condition.wait_for(lambda: len([each for each in log if isinstance(each, str)]) > 0)
        await asyncio.gather(*tasks)
        return log

    assert len(same(program)) == 8


def test_streams(same, tmp_path):
    async def program(asyncio):
        async def echo(reader, writer):
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
            writer.close()

        log = []
        path = str(tmp_path / asyncio.__name__)
        for start, connect in (
            (asyncio.start_server, asyncio.open_connection),
            (asyncio.start_unix_server, asyncio.open_unix_connection),
        ):
            is_unix = start is asyncio.start_unix_server
            server = await start(echo, *([path] if is_unix else [HOST, 0]))
            async with server:
                address = [path] if is_unix else server.sockets[0].getsockname()
                reader, writer = await connect(*address)
                writer.writelines([b"one\n", b"two" * 1000 + b"\n" + b"x" * 999 + b"\n"])
                writer.write_eof()
                log.append(await reader.readuntil())
                log.append(len(await reader.read()))
                with pytest.raises(asyncio.IncompleteReadError):
                    await reader.readexactly(1)
                writer.close()
                await writer.wait_closed()
        return log

    assert same(program) == [b"ONE\n", 4_001] * 2


def test_subprocesses(same):
    async def program(asyncio):
        pipe = asyncio.subprocess.PIPE
        cat = await asyncio.create_subprocess_exec("cat", stdin=pipe, stdout=pipe)
        out, _ = await cat.communicate(b"data")
        shell = await asyncio.create_subprocess_shell("echo out; echo err >&2; exit 3", stdout=pipe, stderr=pipe)
        lines = await shell.stdout.readline(), await shell.stderr.readline()
        sleeper = await asyncio.create_subprocess_exec("sleep", "3600")
        sleeper.terminate()
        return out, lines, await shell.wait(), await sleeper.wait(), cat.returncode

    assert same(program) == (b"data", (b"out\n", b"err\n"), 3, -15, 0)


def test_threads(same):
    async def program(asyncio):
        loop = asyncio.get_running_loop()

        def from_thread():
            return asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "from a thread"), loop).result()

        future = loop.create_future()
        loop.run_in_executor(None, lambda: loop.call_soon_threadsafe(future.set_result, "called"))
        return await asyncio.to_thread(from_thread), await future, await asyncio.wrap_future(future)

    assert same(program) == ("from a thread", "called", "called")


def test_protocols(same):
    async def program(asyncio):
        received = asyncio.get_running_loop().create_future()

        class Server(asyncio.DatagramProtocol):
            def datagram_received(self, data, address):
                received.set_result(data)

        loop = asyncio.get_running_loop()
        server, _ = await loop.create_datagram_endpoint(Server, (HOST, 0))
        address = server.get_extra_info("sockname")
        client, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=address)
        client.sendto(b"hello")
        result = await received
        client.close()
        server.close()
        await asyncio.sleep(0.001)
        return result

    assert same(program) == b"hello"
