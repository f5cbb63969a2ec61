"""psycopg 3's AsyncConnection, which waits for its socket by add_reader() and add_writer(): https://www.psycopg.org"""

import asyncio

import pytest
import trio

from .peers import NAME, POSTGRES, require

psycopg = pytest.importorskip("psycopg", reason="the extra `libraries` is not installed")
psycopg_pool = pytest.importorskip("psycopg_pool", reason="the extra `libraries` is not installed")
require(POSTGRES)


def connect(**options):
    return psycopg.AsyncConnection.connect(POSTGRES, application_name=NAME, **options)


def test_as_in_the_readme(run):
    async def main():
        async with await connect() as connection:
            async with connection.cursor() as cursor:
                await cursor.execute("CREATE TEMP TABLE test (id serial PRIMARY KEY, num integer, data text)")
                await cursor.execute("INSERT INTO test (num, data) VALUES (%s, %s)", (100, "abc'def"))
                await cursor.execute("SELECT * FROM test")
                first = await cursor.fetchone()
                return first, [record async for record in await connection.execute("SELECT generate_series(1, 5)")]

    assert run(main) == ((1, 100, "abc'def"), [(n,) for n in range(1, 6)])


def test_transactions_pipelines_and_copy(run):
    async def main():
        async with await connect(autocommit=True) as connection:
            await connection.execute("CREATE TEMP TABLE t (n int)")
            with pytest.raises(psycopg.errors.DivisionByZero):
                async with connection.transaction():
                    await connection.execute("INSERT INTO t VALUES (1)")
                    await connection.execute("SELECT 1/0")
            async with connection.pipeline():
                for n in range(50):
                    await connection.execute("INSERT INTO t VALUES (%s)", (n,))
            async with connection.cursor() as cursor:
                async with cursor.copy("COPY t FROM STDIN") as copy:
                    for n in range(50, 20_000):
                        await copy.write_row((n,))
                async with cursor.copy("COPY (SELECT n FROM t ORDER BY n) TO STDOUT") as copy:
                    rows = [int(row[0]) async for row in copy.rows()]
            return rows == list(range(20_000))

    assert run(main)


def test_notifications(run):
    async def main():
        async with await connect(autocommit=True) as listening, await connect(autocommit=True) as notifying:
            await listening.execute(f"LISTEN {NAME}")

            async def notify():
                for n in range(5):
                    await asyncio.sleep(0.005)
                    await notifying.execute(f"NOTIFY {NAME}, '{n}'")

            task = asyncio.create_task(notify())
            got = [notification.payload async for notification in listening.notifies(timeout=10, stop_after=5)]
            await task
            return got

    assert run(main) == ["0", "1", "2", "3", "4"]


def test_cancelled_query(run):
    async def main():
        async with await connect(autocommit=True) as connection:
            for _ in range(2):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(connection.execute("SELECT pg_sleep(100)"), 0.1)
            return await (await connection.execute("SELECT 41 + 1")).fetchone()

    assert run(main) == (42,)


def test_trio_timeout_in_the_middle_of_a_query_leaves_the_pool_healthy(run_mixed):
    async def main():
        async with psycopg_pool.AsyncConnectionPool(POSTGRES, min_size=2, max_size=2, open=False) as pool:
            cut, results = 0, []

            async def use(n):
                async with pool.connection() as connection:
                    results.append((await (await connection.execute("SELECT %s::int", (n,))).fetchone())[0])

            for delay in 0.001, 0.01, 0.1:
                with trio.move_on_after(delay) as scope:
                    async with pool.connection() as connection:
                        await connection.execute("SELECT pg_sleep(100)")
                cut += scope.cancelled_caught
            async with trio.open_nursery() as nursery:
                for n in range(20):
                    nursery.start_soon(use, n)
            return cut, sorted(results)

    assert run_mixed(main) == (3, list(range(20)))
