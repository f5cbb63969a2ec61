"""What the workloads of the same names do, written for trio by hand: in trio's own idiom, with its own primitives.

There is no equal of futures, call_soon, call_later and protocols.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio
from trio.abc import Stream
from trio.lowlevel import checkpoint

from . import certificate, gauges
from .certificate import HOST
from .stopwatch import timed

MESSAGE, MESSAGES, MIB = bytes(100), 10, bytes(2**20)


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


@asynccontextmanager
async def connected(
    serve: Callable[[Stream], Awaitable[None]], connections: int, tls: bool = False
) -> AsyncIterator[list[Stream]]:
    """The clients' ends of connections to a server."""

    async def handle(stream: Stream) -> None:
        if tls:
            stream = trio.SSLStream(stream, certificate.contexts()[0], server_side=True)
        async with stream:
            await serve(stream)

    async def client(port: int) -> Stream:
        stream = await trio.open_tcp_stream(HOST, port)
        return trio.SSLStream(stream, certificate.contexts()[1], server_hostname=HOST) if tls else stream

    async with trio.open_nursery() as handlers, trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host=HOST)
        nursery.start_soon(partial(trio.serve_listeners, handle, listeners, handler_nursery=handlers))
        port = listeners[0].socket.getsockname()[1]
        clients = [await client(port) for _ in range(connections)]
        yield clients
        for stream in clients:
            await stream.aclose()
        nursery.cancel_scope.cancel()


async def echo(stream: Stream) -> None:
    while data := await stream.receive_some(65536):
        await stream.send_all(data)


async def exchange(streams: list[Stream], messages: int) -> int:
    total = 0

    async def talk(stream: Stream) -> None:
        nonlocal total
        for _ in range(messages):
            await stream.send_all(MESSAGE)
            received = 0
            while received < len(MESSAGE):
                received += len(await stream.receive_some(65536))
            total += received

    async with trio.open_nursery() as nursery:
        for stream in streams:
            nursery.start_soon(talk, stream)
    return total


async def echo_by_streams(connections: int, n: int, tls: bool = False) -> int:
    async with connected(echo, connections, tls) as clients:
        await exchange(clients, 1)
        with timed():
            return await exchange(clients, n * MESSAGES)


async def stream_echo_1(n: int) -> int:
    return await echo_by_streams(1, n)


async def stream_echo_50(n: int) -> int:
    return await echo_by_streams(50, n)


async def stream_echo_500(n: int) -> int:
    return await echo_by_streams(500, n)


async def bulk(n: int, tls: bool = False) -> int:
    total = 0
    arrived = trio.Event()

    async def count(stream: Stream) -> None:
        nonlocal total
        while data := await stream.receive_some(65536):
            total += len(data)
            if total == n * len(MIB):
                arrived.set()

    async with connected(count, 1, tls) as [stream]:
        with timed():
            for _ in range(n):
                await stream.send_all(MIB)
            await arrived.wait()
    return total


async def stream_bulk(n: int) -> int:
    return await bulk(n)


async def tls_echo_1(n: int) -> int:
    return await echo_by_streams(1, n, tls=True)


async def tls_echo_50(n: int) -> int:
    return await echo_by_streams(50, n, tls=True)


async def tls_bulk(n: int) -> int:
    return await bulk(n, tls=True)


async def idle_tasks(n: int) -> int:
    event = trio.Event()

    async def idle() -> None:
        await event.wait()

    async with trio.open_nursery() as nursery:
        with gauges.traced_memory() as used:
            for _ in range(n):
                nursery.start_soon(idle)
            await trio.sleep(0.01)
            size = used()
        event.set()
    return size


async def idle_connections(n: int) -> int:
    with gauges.traced_memory() as used:
        async with connected(echo, n) as clients:
            await exchange(clients, 1)
            await trio.sleep(0.01)
            return used()
