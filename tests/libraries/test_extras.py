"""Further libraries with servers: nats-py, aiomysql, aiomqtt."""

import asyncio
from urllib.parse import urlsplit

import pytest
import trio

from .peers import MQTT, MYSQL, NAME, NATS, require

REASON = "the extra `libraries` is not installed"


@pytest.fixture
def nats():
    library = pytest.importorskip("nats", reason=REASON)
    require(NATS)
    return library


def test_nats(run, nats):
    async def main():
        client = await nats.connect(NATS)
        got = asyncio.Queue()

        async def answer(message):
            await message.respond(message.data.upper())

        await client.subscribe(f"{NAME}.upper", cb=answer)
        await client.subscribe(f"{NAME}.news.*", cb=got.put)
        answers = await asyncio.gather(*[client.request(f"{NAME}.upper", b"x%d" % n, timeout=5) for n in range(20)])
        assert [each.data for each in answers] == [b"X%d" % n for n in range(20)]
        for n in range(20):
            await client.publish(f"{NAME}.news.{n}", b"%d" % n)
        found = [(await got.get()).data for _ in range(20)]
        with pytest.raises(nats.errors.NoRespondersError):
            await client.request(f"{NAME}.nobody", b"", timeout=5)
        await client.drain()
        return found

    assert run(main) == [b"%d" % n for n in range(20)]


def test_nats_and_trio_timeouts(run_mixed, nats):
    async def main():
        client = await nats.connect(NATS)
        subscription = await client.subscribe(NAME)
        for n in range(5):
            with trio.move_on_after(0.02) as scope:
                await subscription.next_msg(timeout=10)
            assert scope.cancelled_caught
            await client.publish(NAME, b"%d" % n)
            assert (await subscription.next_msg(timeout=5)).data == b"%d" % n
        await client.close()

    run_mixed(main)


@pytest.fixture
def mysql():
    library = pytest.importorskip("aiomysql", reason=REASON)
    require(MYSQL)
    address = urlsplit(MYSQL)

    def pool(size):
        return library.create_pool(
            minsize=1, maxsize=size, host=address.hostname, port=address.port, user=address.username, password=""
        )

    return pool


def test_aiomysql(run, mysql):
    async def main():
        async with mysql(3) as pool:

            async def square(n):
                async with pool.acquire() as connection, connection.cursor() as cursor:
                    await cursor.execute("SELECT %s * %s", (n, n))
                    return (await cursor.fetchone())[0]

            return await asyncio.gather(*[square(n) for n in range(20)])

    assert run(main) == [n * n for n in range(20)]


def test_aiomysql_and_trio_timeouts(run_mixed, mysql):
    async def main():
        async with mysql(2) as pool:
            for _ in range(3):
                with trio.move_on_after(0.05) as scope:
                    async with pool.acquire() as connection, connection.cursor() as cursor:
                        await cursor.execute("SELECT SLEEP(10)")
                assert scope.cancelled_caught
                async with pool.acquire() as connection, connection.cursor() as cursor:
                    await cursor.execute("SELECT 42")
                    assert await cursor.fetchone() == (42,)

    run_mixed(main)


def test_aiomqtt(run):
    """paho, below it, has the loop watch its socket, by add_reader() and add_writer()."""
    aiomqtt = pytest.importorskip("aiomqtt", reason=REASON)
    require(MQTT)
    address = urlsplit(MQTT)

    async def main():
        async with aiomqtt.Client(address.hostname, address.port) as client:
            await client.subscribe(f"{NAME}/#")
            for n in range(10):
                await client.publish(f"{NAME}/{n}", payload=str(n), qos=1)
            got = []
            async for message in client.messages:
                got.append((str(message.topic), message.payload))
                if len(got) == 10:
                    break
        return got

    assert run(main) == [(f"{NAME}/{n}", b"%d" % n) for n in range(10)]
