"""The workloads, in plain asyncio. Each does `n` rounds of its operations and returns what it has counted.

The same code runs on every carrier that offers asyncio; carriers.load() decides which asyncio the import below finds.
"""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import Callable, Coroutine
from typing import Any, Literal, NamedTuple

from . import gauges

Function = Callable[[int], Coroutine[Any, Any, int]]


class Workload(NamedTuple):
    title: str
    unit: Literal["µs CPU", "µs wall"]
    operations: int  # in each of the n rounds


WORKLOADS: dict[str, Workload] = {}


def workload(
    title: str, operations: int = 1, unit: Literal["µs CPU", "µs wall"] = "µs CPU"
) -> Callable[[Function], Function]:
    """Make the function that is decorated a workload, called by its own name on the command line."""

    def add(function: Function) -> Function:
        WORKLOADS[function.__name__] = Workload(title, unit, operations)
        return function

    return add


async def number(value: int) -> int:
    return value


@workload("spawn and gather 100", operations=100)
async def spawn_gather(n: int) -> int:
    total = 0
    for _ in range(n):
        total += sum(await asyncio.gather(*[number(i) for i in range(100)]))
    return total


@workload("spawn and await")
async def spawn_await(n: int) -> int:
    total = 0
    for i in range(n):
        total += await asyncio.create_task(number(i))
    return total


@workload("TaskGroup of 10", operations=10)
async def task_group(n: int) -> int:
    total = 0
    for _ in range(n):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(number(i)) for i in range(10)]
        total += sum(task.result() for task in tasks)
    return total


@workload("spawn 100, cancel all", operations=100)
async def mass_cancel(n: int) -> int:
    ended = 0
    for _ in range(n):
        tasks = [asyncio.create_task(asyncio.Event().wait()) for _ in range(100)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        ended += sum(isinstance(result, asyncio.CancelledError) for result in results)
    return ended


@workload("sleep(0), 1 task")
async def switch_1(n: int) -> int:
    for _ in range(n):
        await asyncio.sleep(0)
    return n


@workload("sleep(0), 100 tasks", operations=100)
async def switch_100(n: int) -> int:
    return sum(await asyncio.gather(*[switch_1(n) for _ in range(100)]))


@workload("queue, ping-pong")
async def queue_ping_pong(n: int) -> int:
    there: asyncio.Queue[int] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()
    total = 0

    async def echo() -> None:
        for _ in range(n):
            await back.put(await there.get())

    task = asyncio.create_task(echo())
    for i in range(n):
        await there.put(i)
        total += await back.get()
    await task
    return total


@workload("queue of 10, producer, consumer")
async def queue_bounded(n: int) -> int:
    queue: asyncio.Queue[int] = asyncio.Queue(10)
    total = 0

    async def produce() -> None:
        for i in range(n):
            await queue.put(i)

    task = asyncio.create_task(produce())
    for _ in range(n):
        total += await queue.get()
    await task
    return total


@workload("lock, free")
async def lock_free(n: int) -> int:
    lock = asyncio.Lock()
    held = 0
    for _ in range(n):
        async with lock:
            held += 1
    return held


@workload("lock, 10 tasks", operations=10)
async def lock_contended(n: int) -> int:
    return await shared_by_10(asyncio.Lock(), n)


@workload("semaphore of 3, 10 tasks", operations=10)
async def semaphore(n: int) -> int:
    return await shared_by_10(asyncio.Semaphore(3), n)


async def shared_by_10(lock: asyncio.Lock | asyncio.Semaphore, n: int) -> int:
    held = 0

    async def use() -> None:
        nonlocal held
        for _ in range(n):
            async with lock:
                held += 1
                await asyncio.sleep(0)

    await asyncio.gather(*[use() for _ in range(10)])
    return held


@workload("event, 100 waiters", operations=100)
async def event_fan_out(n: int) -> int:
    events = [asyncio.Event() for _ in range(n)]
    seen = 0

    async def watch() -> None:
        nonlocal seen
        for event in events:
            await event.wait()
            seen += 1

    tasks = [asyncio.create_task(watch()) for _ in range(100)]
    await asyncio.sleep(0)
    for event in events:
        event.set()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    return seen


@workload("future, set by call_soon")
async def future_wake(n: int) -> int:
    loop = asyncio.get_running_loop()
    total = 0
    for i in range(n):
        future = loop.create_future()
        loop.call_soon(future.set_result, i)
        total += await future
    return total


@workload("call_soon, chain")
async def call_soon(n: int) -> int:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    called = 0

    def call() -> None:
        nonlocal called
        called += 1
        if called < n:
            loop.call_soon(call)
        else:
            done.set_result(None)

    loop.call_soon(call)
    await done
    return called


@workload("100 timers, 99 of them cancelled", operations=100)
async def timers(n: int) -> int:
    loop = asyncio.get_running_loop()
    fired = 0
    for _ in range(n):
        handles = [loop.call_later(10 + i, print, "too late") for i in range(99)]
        future = loop.create_future()
        loop.call_later(0, future.set_result, 1)
        for handle in handles:
            handle.cancel()
        fired += await future
    return fired


@workload("wait_for, ends at once")
async def wait_for(n: int) -> int:
    total = 0
    for i in range(n):
        total += await asyncio.wait_for(number(i), 10)
    return total


@workload("timeout around sleep(0)")
async def timeout(n: int) -> int:
    for _ in range(n):
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
    return n


@workload("to_thread")
async def to_thread(n: int) -> int:
    total = 0
    for i in range(n):
        total += await asyncio.to_thread(int, i)
    return total


@workload("to_thread, until it is back", unit="µs wall")
async def to_thread_and_back(n: int) -> int:
    return await to_thread(n)


@workload("subprocess, spawn and wait")
async def subprocess_spawn(n: int) -> int:
    ended = 0
    for _ in range(n):
        process = await asyncio.create_subprocess_exec("true")
        ended += await process.wait() == 0
    return ended


@workload("subprocess, 1 KiB through cat")
async def subprocess_communicate(n: int) -> int:
    total = 0
    for _ in range(n):
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        total += len((await process.communicate(bytes(1024)))[0])
    return total


async def idle_tasks(n: int) -> int:
    """Bytes that n tasks take that wait for an event."""
    event = asyncio.Event()
    with gauges.traced_memory() as used:
        tasks = [asyncio.create_task(event.wait()) for _ in range(n)]
        await asyncio.sleep(0.01)
        size = used()
    event.set()
    await asyncio.gather(*tasks)
    return size
