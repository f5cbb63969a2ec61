"""Libraries that help with tasks: aiostream, tenacity, aiojobs, async_lru, aiocache, apscheduler."""

import asyncio

import pytest

REASON = "the extra `more-libraries` is not installed"


def test_aiostream(ended):
    aiostream = pytest.importorskip("aiostream", reason=REASON)
    from aiostream import pipe, stream

    async def main(give_up):
        closed = []

        async def numbers(name):
            try:
                for n in range(20):
                    yield n
                    await asyncio.sleep(0)
            finally:
                await asyncio.sleep(0.001)
                closed.append(name)

        async def square(n):
            await asyncio.sleep(0.001)
            return n * n

        squares = stream.iterate(numbers("a")) | pipe.map(square, ordered=True, task_limit=5) | pipe.accumulate()
        total = await squares
        merged = stream.merge(numbers("b"), stream.range(100, 120), stream.just(1000))
        chunks = await stream.list(merged | pipe.chunks(6))
        assert sorted(n for chunk in chunks for n in chunk) == [*range(20), *range(100, 120), 1000]

        async def work(soon):
            async with aiostream.streamcontext(stream.merge(numbers("c"), stream.never())) as streamer:
                soon()
                async for _ in streamer:
                    pass

        await give_up(work)
        with pytest.raises(TimeoutError):
            await (stream.never() | pipe.timeout(0.01))
        first = await (stream.merge(numbers("d"), stream.never()) | pipe.take(3))
        return total, len(chunks), first, sorted(closed)

    assert ended(main) == (2470, 7, 2, ["a", "b", "c", "d"])


def test_tenacity(ended):
    tenacity = pytest.importorskip("tenacity", reason=REASON)

    async def main(give_up):
        tries = []

        @tenacity.retry(stop=tenacity.stop_after_attempt(4), wait=tenacity.wait_fixed(0.001), reraise=True)
        async def connect(fail):
            tries.append(fail)
            await asyncio.sleep(0)
            if len(tries) < fail:
                raise ConnectionError(len(tries))
            return len(tries)

        assert await connect(3) == 3
        tries.clear()
        with pytest.raises(ConnectionError):
            await connect(100)
        assert len(tries) == 4

        async def work(soon):
            soon()
            async for attempt in tenacity.AsyncRetrying(wait=tenacity.wait_fixed(0.001)):
                with attempt:
                    await asyncio.sleep(0)
                    raise ConnectionError

        await give_up(work)
        tries.clear()
        return await connect(2)

    assert ended(main) == 2


def test_aiojobs(ended):
    aiojobs = pytest.importorskip("aiojobs", reason=REASON)

    async def main(give_up):
        done = []

        async def job(n, seconds=0.001):
            try:
                await asyncio.sleep(seconds)
            finally:
                await asyncio.sleep(0)
                done.append(n)
            return n

        async with aiojobs.Scheduler(limit=5, pending_limit=1, wait_timeout=0.01) as scheduler:
            jobs = [await scheduler.spawn(job(n)) for n in range(20)]
            assert [await each.wait() for each in jobs] == [*range(20)]
            first = await scheduler.spawn(job(100, 1000))

            async def work(soon):
                soon()
                for n in range(101, 110):  # the sixth waits for a place, and the seventh for its
                    await scheduler.spawn(job(n, 1000))

            await give_up(work)
            assert scheduler.active_count == 5

            async def wait(soon):
                soon()
                await scheduler.shield(job("shielded", 0.2))

            await give_up(wait)
            with pytest.raises(TimeoutError):
                await first.wait(timeout=0.001)
            await scheduler.wait_and_close(timeout=0.01)
        return done[20:]

    done = ended(main)
    assert sorted(done, key=str) == [100, 101, 102, 103, 104, 105, "shielded"]


def test_async_lru(ended):
    async_lru = pytest.importorskip("async_lru", reason=REASON)

    async def main(give_up):
        calls = []
        gate = asyncio.Event()

        @async_lru.alru_cache(maxsize=3, ttl=1000)
        async def fetch(key):
            calls.append(key)
            if key == "slow":
                await gate.wait()
            await asyncio.sleep(0)
            return key * 2

        assert await asyncio.gather(*[fetch("a") for _ in range(10)]) == ["aa"] * 10
        for key in "abcd":
            await fetch(key)

        async def work(soon):
            soon()
            await fetch("slow")

        other = asyncio.create_task(fetch("slow"))
        await give_up(work)  # the other one goes on waiting for the same call
        gate.set()
        assert await other == "slowslow"
        misses = fetch.cache_info().misses
        await fetch.cache_close()
        return calls, misses

    assert ended(main) == (["a", "b", "c", "d", "slow"], 5)


def test_aiocache(ended):
    aiocache = pytest.importorskip("aiocache", reason=REASON)
    from aiocache.lock import RedLock

    async def main(give_up):
        cache = aiocache.SimpleMemoryCache(namespace="test:")
        calls = []

        @aiocache.cached(ttl=1000, cache=aiocache.SimpleMemoryCache)
        async def fetch(key):
            calls.append(key)
            await asyncio.sleep(0.001)
            return key * 2

        assert [await fetch("a"), await fetch("a"), await fetch("b")] == ["aa", "aa", "bb"]
        await cache.multi_set([(n, n * n) for n in range(10)])
        assert await cache.multi_get(range(3)) == [0, 1, 4]
        await cache.set("short", 1, ttl=0.001)
        while await cache.exists("short"):
            await asyncio.sleep(0.001)

        async def work(soon):
            async with RedLock(cache, "resource", lease=1000):
                soon()
                await asyncio.sleep(1000)

        await give_up(work)
        async with RedLock(cache, "resource", lease=1000):  # it was given back
            await cache.increment("count")
        found = await cache.get("count")
        await cache.clear()
        await cache.close()
        return found, calls

    assert ended(main) == (1, ["a", "b"])


def test_apscheduler(ended):
    pytest.importorskip("apscheduler", reason=REASON)
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    async def main(give_up):
        scheduler = AsyncIOScheduler(timezone="UTC")
        got = asyncio.Queue()

        async def job(name):
            await asyncio.sleep(0.001)
            await got.put(name)

        scheduler.start()
        scheduler.add_job(job, "interval", seconds=0.01, args=["interval"], id="interval")
        scheduler.add_job(job, args=["now"])
        found = {await got.get() for _ in range(5)}
        scheduler.remove_job("interval")

        async def work(soon):
            soon()
            await asyncio.Event().wait()

        await give_up(work)
        scheduler.add_job(job, args=["afterwards"])
        while await got.get() != "afterwards":
            pass
        jobs = scheduler.get_jobs()
        scheduler.shutdown()
        await asyncio.sleep(0)
        return found, jobs

    assert ended(main) == ({"interval", "now"}, [])
