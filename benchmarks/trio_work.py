"""trio's own work, in plain trio: run by trio alone, in asyncio Tasks, and in plain trio tasks beside a loop.

Each workload is given the way in which it shall run several functions at a time: that is what the modes differ in.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio
from trio.lowlevel import checkpoint

from .certificate import HOST
from .stopwatch import timed
from .workloads import MESSAGE, MESSAGES, number, workload

AsyncFn = Callable[[], Any]
Together = Callable[..., Awaitable[None]]  # of any number of AsyncFn


async def in_nursery(*functions: AsyncFn) -> None:
    """In plain trio tasks."""
    async with trio.open_nursery() as nursery:
        for function in functions:
            nursery.start_soon(function)


async def in_tasks(*functions: AsyncFn) -> None:
    """In asyncio Tasks."""
    await asyncio.gather(*[function() for function in functions])


@workload("checkpoint", section="trio")
async def checkpoints(together: Together, n: int) -> int:
    for _ in range(n):
        await checkpoint()
    return n


@workload("checkpoint, 10 tasks", operations=10, section="trio")
async def checkpoints_10(together: Together, n: int) -> int:
    await together(*[partial(checkpoints, together, n)] * 10)
    return 10 * n


@workload("memory channel, ping-pong", section="trio")
async def channel_ping_pong(together: Together, n: int) -> int:
    send_there, receive_there = trio.open_memory_channel[int](1)
    send_back, receive_back = trio.open_memory_channel[int](1)
    total = 0

    async def echo() -> None:
        for _ in range(n):
            await send_back.send(await receive_there.receive())

    async def talk() -> None:
        nonlocal total
        for i in range(n):
            await send_there.send(i)
            total += await receive_back.receive()

    await together(echo, talk)
    return total


@workload("nursery of 10", operations=10, section="trio")
async def nursery_10(together: Together, n: int) -> int:
    total = 0

    async def add(value: int) -> None:
        nonlocal total
        total += await number(value)

    for _ in range(n):
        async with trio.open_nursery() as nursery:
            for i in range(10):
                nursery.start_soon(add, i)
    return total


@workload("cancel scope around a checkpoint", section="trio")
async def scope(together: Together, n: int) -> int:
    for _ in range(n):
        with trio.fail_after(10):
            await checkpoint()
    return n


@workload("cancel scope that fires", section="trio")
async def scope_cancelled(together: Together, n: int) -> int:
    caught = 0
    for _ in range(n):
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.sleep_forever()
        caught += scope.cancelled_caught
    return caught


@workload("trio.Event, 10 waiters", operations=10, section="trio")
async def trio_event(together: Together, n: int) -> int:
    events = [trio.Event() for _ in range(n)]
    seen = 0

    async def watch() -> None:
        nonlocal seen
        for event in events:
            await event.wait()
            seen += 1

    async def wake() -> None:
        for event in events:
            await checkpoint()
            event.set()

    await together(*[watch] * 10, wake)
    return seen


@workload("trio sockets, echo", operations=MESSAGES, section="trio")
async def trio_sockets(together: Together, n: int) -> int:
    return await echo_by_sockets(together, 1, n)


@workload("trio sockets, echo, 20 connections", operations=20 * MESSAGES, section="trio")
async def trio_sockets_20(together: Together, n: int) -> int:
    return await echo_by_sockets(together, 20, n)


async def echo_by_sockets(together: Together, connections: int, n: int) -> int:
    total = 0

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            while data := await stream.receive_some(65536):
                await stream.send_all(data)

    async def talk(stream: trio.SocketStream) -> None:
        nonlocal total
        async with stream:
            for _ in range(n * MESSAGES):
                await stream.send_all(MESSAGE)
                received = 0
                while received < len(MESSAGE):
                    received += len(await stream.receive_some(65536))
                total += received

    functions: list[AsyncFn] = []
    [listener] = await trio.open_tcp_listeners(0, host=HOST)
    async with listener:
        for _ in range(connections):
            client = await trio.open_tcp_stream(HOST, listener.socket.getsockname()[1])
            functions += [partial(serve, await listener.accept()), partial(talk, client)]
    with timed():
        await together(*functions)
    return total
