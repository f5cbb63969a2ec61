"""asyncpg with PostgreSQL: https://magicstack.github.io/asyncpg/"""

import asyncio
import datetime
import io

import pytest
import trio

from worlds import PATIENCE

from .peers import NAME, POSTGRES, require

asyncpg = pytest.importorskip("asyncpg", reason="the extra `libraries` is not installed")
require(POSTGRES)

SLEEP = "SELECT pg_sleep(100)"


async def still_asleep(connection):
    """How many queries of this run the server still works at."""
    return await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = $1 AND application_name = $2",
        SLEEP,
        NAME,
    )


def pool(size):
    return asyncpg.create_pool(POSTGRES, min_size=size, max_size=size, server_settings={"application_name": NAME})


async def healthy(pool):
    """All connections of the pool answer at once, none is in a transaction, and the server works at nothing else."""
    size = pool.get_max_size()
    together = asyncio.Barrier(size)

    async def use():
        async with pool.acquire() as connection:
            assert not connection.is_in_transaction()
            await together.wait()
            return await connection.fetchval("SELECT 41 + 1")

    assert await asyncio.gather(*[use() for _ in range(size)]) == [42] * size
    assert pool.get_idle_size() == pool.get_size() == size
    async with pool.acquire() as connection:
        assert await still_asleep(connection) == 0


def test_as_in_the_readme(run):
    async def main():
        connection = await asyncpg.connect(POSTGRES)
        await connection.execute("CREATE TEMP TABLE users(id serial PRIMARY KEY, name text, dob date)")
        await connection.execute("INSERT INTO users(name, dob) VALUES($1, $2)", "Bob", datetime.date(1984, 3, 1))
        row = await connection.fetchrow("SELECT * FROM users WHERE name = $1", "Bob")
        await connection.close()
        return dict(row)

    assert run(main) == {"id": 1, "name": "Bob", "dob": datetime.date(1984, 3, 1)}


def test_transactions(run):
    async def main():
        connection = await asyncpg.connect(POSTGRES)
        await connection.execute("CREATE TEMP TABLE t(n int)")
        async with connection.transaction():
            await connection.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(asyncpg.DivisionByZeroError):
                async with connection.transaction():  # a savepoint
                    await connection.execute("INSERT INTO t VALUES (2)")
                    await connection.execute("SELECT 1 / 0")
            await connection.executemany("INSERT INTO t VALUES ($1)", [(n,) for n in range(3, 6)])
        with pytest.raises(KeyError):
            async with connection.transaction(isolation="serializable"):
                await connection.execute("INSERT INTO t VALUES (6)")
                raise KeyError
        async with connection.transaction():
            found = [row["n"] async for row in connection.cursor("SELECT n FROM t ORDER BY n", prefetch=2)]
        await connection.close()
        return found

    assert run(main) == [1, 3, 4, 5]


def test_pool_shared_by_many_tasks(run):
    async def main():
        async with pool(4) as connections:

            async def power(n):
                async with connections.acquire() as connection:
                    async with connection.transaction():
                        return await connection.fetchval("SELECT 2 ^ $1", n)

            results = await asyncio.gather(*[power(n) for n in range(40)])
            await healthy(connections)
        return results

    assert run(main) == [2**n for n in range(40)]


def test_copy(run, tmp_path):
    async def main():
        connection = await asyncpg.connect(POSTGRES)
        await connection.execute("CREATE TEMP TABLE t(n int, word text)")
        records = [(n, f"word {n}") for n in range(20_000)]
        assert await connection.copy_records_to_table("t", records=records) == "COPY 20000"

        async def lines():
            for n in range(20_000, 20_100):
                yield b"%d\tlate\n" % n
                await asyncio.sleep(0)

        assert await connection.copy_to_table("t", source=lines()) == "COPY 100"
        assert await connection.copy_to_table("t", source=io.BytesIO(b"-1,x\n"), format="csv") == "COPY 1"

        out, blocks = tmp_path / "out", []

        async def keep(block):
            await asyncio.sleep(0)
            blocks.append(block)

        assert await connection.copy_from_table("t", output=out) == "COPY 20101"
        assert await connection.copy_from_query("SELECT n FROM t ORDER BY n", output=keep) == "COPY 20101"
        assert len(out.read_bytes().splitlines()) == 20101
        assert b"".join(blocks).split() == [b"%d" % n for n in range(-1, 20_100)]
        await connection.close()

    run(main)


def test_listen(run):
    async def main():
        notes = asyncio.Queue()
        listening, notifying = [await asyncpg.connect(POSTGRES) for _ in range(2)]

        def note(connection, pid, channel, payload):
            assert connection is listening
            assert pid == notifying.get_server_pid()
            notes.put_nowait((channel, payload))

        await listening.add_listener(NAME, note)
        for n in range(3):
            await notifying.execute("SELECT pg_notify($1, $2)", NAME, str(n))
        found = [await notes.get() for _ in range(3)]
        await listening.remove_listener(NAME, note)
        await listening.close()
        await notifying.close()
        return found

    assert run(main) == [(NAME, "0"), (NAME, "1"), (NAME, "2")]


def test_cancelled_in_the_middle_of_a_query(run):
    async def main():
        async with pool(3) as connections:
            for _ in range(3):
                tasks = [asyncio.create_task(connections.execute(SLEEP)) for _ in range(5)]
                async with asyncio.timeout(10):
                    async with asyncpg.create_pool(POSTGRES, min_size=1, max_size=1) as other:
                        while await other.fetchval("SELECT 1") and await still_asleep(other) < 3:
                            await asyncio.sleep(0.01)
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                assert [type(result) for result in results] == [asyncio.CancelledError] * 5
                await healthy(connections)
            with pytest.raises(TimeoutError):
                await connections.fetch(SLEEP, timeout=0.05)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await connections.fetch(SLEEP)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connections.fetch(SLEEP), 0.05)
            await healthy(connections)

    run(main)


def test_trio_timeouts_in_the_middle_of_a_query(run_mixed):
    async def main():
        async with pool(3) as connections:
            scopes = []

            async def impatient(patience):
                with trio.move_on_after(patience) as scope:
                    scopes.append(scope)
                    async with connections.acquire() as connection:
                        await connection.fetch(SLEEP)

            for _ in range(3):
                async with trio.open_nursery() as nursery:
                    for n in range(10):
                        nursery.start_soon(impatient, 0.02 * (n + 1))
                await healthy(connections)
            assert [scope.cancelled_caught for scope in scopes] == [True] * 30

            with pytest.raises(trio.TooSlowError):
                with trio.fail_after(0.05):
                    await connections.execute(SLEEP)
            await healthy(connections)

    run_mixed(main)


def test_a_trio_scope_that_ends_a_transaction(run_mixed):
    async def main():
        async with pool(2) as connections:
            await connections.execute(f"CREATE TABLE {NAME}(n int)")
            try:
                for number in range(5):
                    with trio.move_on_after(0.05) as scope:
                        async with connections.acquire() as connection, connection.transaction():
                            await connection.execute(f"INSERT INTO {NAME} VALUES ($1)", number)
                            await trio.sleep_forever()
                    assert scope.cancelled_caught
                    await healthy(connections)
                return await connections.fetch(f"SELECT * FROM {NAME}")
            finally:
                await connections.execute(f"DROP TABLE {NAME}")

    assert run_mixed(main) == []


def test_a_nursery_of_queries(run_mixed):
    """The first that fails ends the others, and their connections go back."""

    async def main():
        async with pool(4) as connections:
            with pytest.raises(ExceptionGroup) as caught:
                async with trio.open_nursery() as nursery:
                    for _ in range(6):
                        nursery.start_soon(connections.execute, SLEEP)
                    await trio.sleep(0.05)
                    nursery.start_soon(connections.acquire().__aenter__)
                    raise KeyError("mine")
            assert caught.group_contains(KeyError, match="mine", depth=1)
            assert len(caught.value.exceptions) == 1
            await healthy(connections)

    run_mixed(main)


def test_connecting_is_given_up(run_mixed):
    async def main():
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        port = listener.socket.getsockname()[1]
        with trio.move_on_after(0.05) as scope:
            await asyncpg.connect(host="127.0.0.1", port=port, user="nobody", ssl=False)
        assert scope.cancelled_caught
        accepted = await listener.accept()
        with trio.fail_after(PATIENCE):
            assert await accepted.receive_some()  # the start-up message
            with pytest.raises(trio.BrokenResourceError):
                assert not await accepted.receive_some()
                raise trio.BrokenResourceError  # an orderly end will do
        await accepted.aclose()
        await listener.aclose()

    run_mixed(main)
