"""What the workloads of the same names do, written for trio by hand: in trio's own idiom, with its own primitives.

There is no equal of futures, call_soon and call_later.
"""

import trio
from trio.lowlevel import checkpoint

from . import gauges


async def spawn_gather(n: int, tasks: int = 100) -> int:
    total = 0

    async def add(value: int) -> None:
        nonlocal total
        total += value

    for _ in range(n):
        async with trio.open_nursery() as nursery:
            for i in range(tasks):
                nursery.start_soon(add, i)
    return total


async def task_group(n: int) -> int:
    return await spawn_gather(n, 10)


async def spawn_await(n: int) -> int:
    total = 0

    async def add(value: int) -> None:
        nonlocal total
        total += value

    for i in range(n):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(add, i)
    return total


async def mass_cancel(n: int) -> int:
    ended = 0

    async def wait() -> None:
        nonlocal ended
        try:
            await trio.Event().wait()
        except trio.Cancelled:
            ended += 1
            raise

    for _ in range(n):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(wait)
            await checkpoint()
            nursery.cancel_scope.cancel()
    return ended


async def switch_1(n: int) -> int:
    for _ in range(n):
        await checkpoint()
    return n


async def switch_100(n: int) -> int:
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(switch_1, n)
    return 100 * n


async def queue_ping_pong(n: int) -> int:
    send_there, receive_there = trio.open_memory_channel[int](1)
    send_back, receive_back = trio.open_memory_channel[int](1)
    total = 0

    async def echo() -> None:
        for _ in range(n):
            await send_back.send(await receive_there.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo)
        for i in range(n):
            await send_there.send(i)
            total += await receive_back.receive()
    return total


async def queue_bounded(n: int) -> int:
    send, receive = trio.open_memory_channel[int](10)
    total = 0

    async def produce() -> None:
        for i in range(n):
            await send.send(i)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        for _ in range(n):
            total += await receive.receive()
    return total


async def lock_free(n: int) -> int:
    lock = trio.Lock()
    held = 0
    for _ in range(n):
        async with lock:
            held += 1
    return held


async def lock_contended(n: int) -> int:
    return await shared_by_10(trio.Lock(), n)


async def semaphore(n: int) -> int:
    return await shared_by_10(trio.Semaphore(3), n)


async def shared_by_10(lock: trio.Lock | trio.Semaphore, n: int) -> int:
    held = 0

    async def use() -> None:
        nonlocal held
        for _ in range(n):
            async with lock:
                held += 1
                await checkpoint()

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(use)
    return held


async def event_fan_out(n: int) -> int:
    events = [trio.Event() for _ in range(n)]
    seen = 0

    async def watch() -> None:
        nonlocal seen
        for event in events:
            await event.wait()
            seen += 1

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(watch)
        await checkpoint()
        for event in events:
            event.set()
            await checkpoint()
    return seen


async def number(value: int) -> int:
    return value


async def wait_for(n: int) -> int:
    total = 0
    for i in range(n):
        with trio.fail_after(10):
            total += await number(i)
    return total


async def timeout(n: int) -> int:
    for _ in range(n):
        with trio.fail_after(10):
            await checkpoint()
    return n


async def to_thread(n: int) -> int:
    total = 0
    for i in range(n):
        total += await trio.to_thread.run_sync(int, i)
    return total


async def to_thread_and_back(n: int) -> int:
    return await to_thread(n)


async def subprocess_spawn(n: int) -> int:
    ended = 0
    for _ in range(n):
        ended += (await trio.run_process(["true"])).returncode == 0
    return ended


async def subprocess_communicate(n: int) -> int:
    total = 0
    for _ in range(n):
        total += len((await trio.run_process(["cat"], stdin=bytes(1024), capture_stdout=True)).stdout)
    return total


async def idle_tasks(n: int) -> int:
    event = trio.Event()
    async with trio.open_nursery() as nursery:
        with gauges.traced_memory() as used:
            for _ in range(n):
                nursery.start_soon(event.wait)
            await trio.sleep(0.01)
            size = used()
        event.set()
    return size
