"""redis with Redis: https://redis.readthedocs.io/en/stable/examples/asyncio_examples.html"""

import asyncio
from contextlib import asynccontextmanager

import pytest
import trio

from worlds import PATIENCE

from .peers import NAME, REDIS, require

redis = pytest.importorskip("redis.asyncio", reason="the extra `libraries` is not installed")
require(REDIS)


def test_as_in_the_readme(run):
    async def main():
        client = redis.from_url(REDIS, decode_responses=True)
        assert await client.ping()
        await client.set(f"{NAME}:foo", "bar", ex=60)
        value = await client.get(f"{NAME}:foo")
        await client.hset(f"{NAME}:hash", mapping={"a": "1", "b": "2"})
        mapping = await client.hgetall(f"{NAME}:hash")
        keys = sorted([key async for key in client.scan_iter(f"{NAME}:*")])
        await client.delete(*keys)
        await client.aclose()
        return value, mapping, keys

    assert run(main) == ("bar", {"a": "1", "b": "2"}, [f"{NAME}:foo", f"{NAME}:hash"])


def test_pipelines(run):
    async def main():
        async with redis.from_url(REDIS) as client:
            key = f"{NAME}:n"
            async with client.pipeline(transaction=True) as pipe:
                results = await pipe.set(key, 0).incrby(key, 5).get(key).execute()
            assert results == [True, 5, b"5"]

            conflicts = 0

            async def add_one():
                nonlocal conflicts
                async with client.pipeline() as pipe:
                    while True:
                        try:
                            await pipe.watch(key)
                            value = int(await pipe.get(key))
                            await asyncio.sleep(0)
                            pipe.multi()
                            pipe.set(key, value + 1)
                            await pipe.execute()
                            return
                        except redis.WatchError:
                            conflicts += 1

            await asyncio.gather(*[add_one() for _ in range(10)])
            assert conflicts
            return await client.pipeline(transaction=False).get(key).delete(key).execute()

    assert run(main) == [b"15", 1]


def test_publish_and_subscribe(run):
    async def main():
        async with redis.from_url(REDIS, decode_responses=True) as client:
            got = []

            async def reader(channel):
                async for message in channel.listen():
                    if message["type"] == "pmessage":
                        got.append((message["channel"], message["data"]))
                        if message["data"] == "STOP":
                            break

            async with client.pubsub() as pubsub:
                await pubsub.psubscribe(f"{NAME}:*")
                task = asyncio.create_task(reader(pubsub))
                await asyncio.sleep(0.05)
                for n in range(100):
                    await client.publish(f"{NAME}:1", n)
                await client.publish(f"{NAME}:2", "STOP")
                await task
                assert await pubsub.get_message(timeout=0.01) is None
        return got

    assert run(main) == [(f"{NAME}:1", str(n)) for n in range(100)] + [(f"{NAME}:2", "STOP")]


async def healthy(pool):
    """No answer is left that belongs to a request which was given up."""
    client = redis.Redis(connection_pool=pool)

    async def use(n):
        return await client.echo(f"{n}")

    assert await asyncio.gather(*[use(n) for n in range(50)]) == [b"%d" % n for n in range(50)]
    assert not pool._in_use_connections


def test_cancelled_in_the_middle_of_a_request(run):
    async def main():
        pool = redis.BlockingConnectionPool.from_url(REDIS, max_connections=3)
        client = redis.Redis(connection_pool=pool)
        for _ in range(3):
            await healthy(pool)  # connected: a cancellation while it connects, the library makes a TimeoutError
            tasks = [asyncio.create_task(client.blpop(f"{NAME}:empty", 100)) for _ in range(5)]
            await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(result) for result in results] == [asyncio.CancelledError] * 5
        await healthy(pool)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.blpop(f"{NAME}:empty", 100), 0.02)
        await healthy(pool)
        await pool.aclose()

    run(main)


@asynccontextmanager
async def noticing():
    """A cancellation while it connects, the library takes for its own timeout: then it fails, or just tries again.

    That is so in asyncio.timeout(), too. A scope interrupts each of trio's waits: here one comes after each request.
    """
    try:
        yield
    except redis.TimeoutError:
        await trio.lowlevel.checkpoint_if_cancelled()
        raise
    await trio.lowlevel.checkpoint_if_cancelled()


def test_trio_timeouts_in_the_middle_of_a_request(run_mixed):
    async def main():
        pool = redis.BlockingConnectionPool.from_url(REDIS, max_connections=3)
        client = redis.Redis(connection_pool=pool)
        ended = []

        async def impatient(patience):
            with trio.move_on_after(patience) as scope:
                while True:
                    async with noticing():
                        assert await client.blpop(f"{NAME}:empty", 1) is None
            ended.append(scope.cancelled_caught)

        async def impatient_with_pipeline(patience):
            with trio.move_on_after(patience) as scope:
                while True:
                    async with noticing(), client.pipeline() as pipe:
                        for n in range(1000):
                            pipe.echo(n)
                        assert await pipe.execute() == [b"%d" % n for n in range(1000)]
            ended.append(scope.cancelled_caught)

        for _ in range(3):
            async with trio.open_nursery() as nursery:
                for n in range(5):
                    nursery.start_soon(impatient, 0.01 * (n + 1))
                    nursery.start_soon(impatient_with_pipeline, 0.013 * (n + 1))
            await healthy(pool)
        assert ended == [True] * 30
        with pytest.raises(trio.TooSlowError):
            with trio.fail_after(0.02):
                while True:
                    async with noticing():
                        assert await client.blpop(f"{NAME}:empty", 1) is None
        await healthy(pool)
        await pool.aclose()

    run_mixed(main)


def test_a_nursery_that_listens(run_mixed):
    """Messages go from Redis into a trio channel, until the scope is left; the connection is closed."""

    async def main():
        send, receive = trio.open_memory_channel(0)

        async def listen(client, task_status):
            async with client.pubsub() as pubsub, send:
                await pubsub.subscribe(NAME)
                assert (await pubsub.get_message(timeout=5))["type"] == "subscribe"
                task_status.started()
                async for message in pubsub.listen():
                    await send.send(message["data"])

        async with redis.from_url(REDIS) as client:
            async with trio.open_nursery() as nursery:
                await nursery.start(listen, client)
                for n in range(10):
                    await client.publish(NAME, n)
                    assert await receive.receive() == b"%d" % n
                nursery.cancel_scope.cancel()
            assert [data async for data in receive] == []
            with trio.fail_after(PATIENCE):
                while (await client.pubsub_numsub(NAME))[0][1]:
                    await trio.sleep(0.01)

    run_mixed(main)
