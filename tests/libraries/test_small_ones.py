"""Libraries that are about threads and queues: aiosqlite, aiofiles, janus."""

import asyncio
import os
import threading
import time

import pytest
import trio

from worlds import PATIENCE

REASON = "the extra `libraries` is not installed"


def test_aiosqlite(run, tmp_path):
    aiosqlite = pytest.importorskip("aiosqlite", reason=REASON)

    async def main():
        async with aiosqlite.connect(tmp_path / "db") as db:
            await db.execute("CREATE TABLE t(n INTEGER PRIMARY KEY, word TEXT)")
            await db.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"word {n}") for n in range(1000)])
            await db.commit()
            db.row_factory = aiosqlite.Row
            async with db.execute("SELECT * FROM t WHERE n < 3") as cursor:
                rows = [(row["n"], row["word"]) async for row in cursor]
            await db.execute("DELETE FROM t")
            await db.rollback()
            async with db.execute("SELECT count(*) FROM t") as cursor:
                count = (await cursor.fetchone())[0]
            await asyncio.gather(*[db.execute("SELECT ?", (n,)) for n in range(50)])
        return rows, count

    assert run(main) == ([(0, "word 0"), (1, "word 1"), (2, "word 2")], 1000)


def test_aiosqlite_and_trio_timeouts(run_mixed):
    aiosqlite = pytest.importorskip("aiosqlite", reason=REASON)

    async def main():
        async with aiosqlite.connect(":memory:") as db:
            await db.create_function("nap", 1, time.sleep)
            for _ in range(3):
                with trio.move_on_after(0.02) as scope:
                    await db.execute("SELECT nap(0.1)")
                assert scope.cancelled_caught
                async with db.execute("SELECT 42") as cursor:
                    assert await cursor.fetchone() == (42,)

    run_mixed(main)


def test_aiofiles(run, tmp_path):
    aiofiles = pytest.importorskip("aiofiles", reason=REASON)
    pytest.importorskip("aiofiles.os")
    pytest.importorskip("aiofiles.tempfile")

    async def main():
        async with aiofiles.open(tmp_path / "file", "w") as file:
            await file.writelines(f"line {n}\n" for n in range(100))
        async with aiofiles.open(tmp_path / "file") as file:
            assert [line async for line in file] == [f"line {n}\n" for n in range(100)]
            await file.seek(0)
            assert (await file.readline(), await file.tell()) == ("line 0\n", 7)
        assert (await aiofiles.os.stat(tmp_path / "file")).st_size == 790
        async with aiofiles.tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            async with aiofiles.tempfile.NamedTemporaryFile("wb", dir=folder) as file:
                await file.write(b"x")
            assert await aiofiles.os.listdir(folder) == []
        with pytest.raises(FileNotFoundError):
            async with aiofiles.open(tmp_path / "none"):
                pass
        return sorted(await aiofiles.os.listdir(tmp_path))

    assert run(main) == ["file"]


def test_aiofiles_and_trio_timeouts(run_mixed):
    """The thread of a read() that is given up goes on, and has what it reads, if it has begun by then."""
    aiofiles = pytest.importorskip("aiofiles", reason=REASON)

    async def main():
        reading, writing = os.pipe()
        async with aiofiles.open(reading, "rb", buffering=0) as file:
            with trio.move_on_after(0.02) as scope:
                await file.read(10)
            assert scope.cancelled_caught
            os.write(writing, b"for the thread")
            os.close(writing)
            rest = b""
            with trio.fail_after(PATIENCE):
                while part := await file.read(10):
                    rest += part
            assert rest in b"for the thread"

    run_mixed(main)


def test_janus(run):
    janus = pytest.importorskip("janus", reason=REASON)

    def threaded(sync_q):
        for n in range(1000):
            sync_q.put(n)
        sync_q.join()

    async def main():
        queue = janus.Queue(maxsize=10)
        future = asyncio.get_running_loop().run_in_executor(None, threaded, queue.sync_q)
        got = []
        for _ in range(1000):
            got.append(await queue.async_q.get())
            queue.async_q.task_done()
        await future

        thread = threading.Thread(target=lambda: got.extend(queue.sync_q.get() for _ in range(1000)))
        thread.start()
        for n in range(1000):
            await queue.async_q.put(n)
        await asyncio.to_thread(thread.join)
        await queue.aclose()
        return got

    assert run(main) == [*range(1000)] * 2


def test_janus_and_trio_timeouts(run_mixed):
    """Neither a get() nor a put() that is given up loses an item."""
    janus = pytest.importorskip("janus", reason=REASON)

    async def main():
        queue = janus.Queue(maxsize=1)
        got = []

        def feed():
            for n in range(200):
                queue.sync_q.put(n)
                if n % 10 == 0:
                    time.sleep(0.002)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, feed)
            given_up = 0
            while len(got) < 200:
                with trio.move_on_after(0.001) as scope:
                    got.append(await queue.async_q.get())
                given_up += scope.cancelled_caught
        assert got == [*range(200)]
        assert given_up
        await queue.async_q.put(1)
        with trio.move_on_after(0.01) as scope:
            await queue.async_q.put(2)
        assert scope.cancelled_caught
        assert queue.sync_q.get() == 1
        assert queue.sync_q.empty()
        await queue.aclose()

    run_mixed(main)
