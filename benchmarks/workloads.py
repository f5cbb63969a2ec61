"""The workloads, in plain asyncio. Each does `n` rounds of its operations and returns what it has counted.

The same code runs in every mode that offers asyncio; modes.load() decides which asyncio the import below finds.
"""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Literal, NamedTuple, TypeVar, cast

from . import certificate, gauges
from .certificate import HOST
from .stopwatch import timed

MESSAGE, MESSAGES = bytes(100), 10  # what is echoed on a connection in each of the n rounds
MIB = bytes(2**20)

Function = TypeVar("Function", bound=Callable[..., Coroutine[Any, Any, int]])
Unit = Literal["µs CPU", "ms CPU", "µs wall"]


class Workload(NamedTuple):
    title: str
    unit: Unit
    operations: int  # in each of the n rounds
    section: str  # a key of report.SECTIONS


WORKLOADS: dict[str, Workload] = {}


def workload(
    title: str, operations: int = 1, unit: Unit = "µs CPU", section: str = "core"
) -> Callable[[Function], Function]:
    """Make the function that is decorated a workload, called by its own name on the command line."""

    def add(function: Function) -> Function:
        WORKLOADS[function.__name__] = Workload(title, unit, operations, section)
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


@workload("to_thread, until it is back", unit="µs wall", section="wall")
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


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def connected(
    serve: Handler, connections: int, tls: bool = False
) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    """The clients' ends of connections to a server."""
    server_side, client_side = certificate.contexts() if tls else (None, None)
    tasks = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(cast("asyncio.Task[None]", asyncio.current_task()))
        await serve(reader, writer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handle, HOST, 0, ssl=server_side)
    port = server.sockets[0].getsockname()[1]
    clients = [await asyncio.open_connection(HOST, port, ssl=client_side) for _ in range(connections)]
    yield clients
    for _, writer in clients:
        writer.close()
    for _, writer in clients:
        await writer.wait_closed()
    await asyncio.gather(*tasks)
    server.close()
    await server.wait_closed()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, messages: int) -> int:
    total = 0
    for _ in range(messages):
        writer.write(MESSAGE)
        await writer.drain()
        total += len(await reader.readexactly(len(MESSAGE)))
    return total


async def echo_by_streams(connections: int, n: int, tls: bool = False) -> int:
    async with connected(echo, connections, tls) as clients:
        await asyncio.gather(*[exchange(*client, 1) for client in clients])
        with timed():
            return sum(await asyncio.gather(*[exchange(*client, n * MESSAGES) for client in clients]))


@workload("echo, streams, 1 connection", operations=MESSAGES, section="streams")
async def stream_echo_1(n: int) -> int:
    return await echo_by_streams(1, n)


@workload("echo, streams, 50 connections", operations=50 * MESSAGES, section="streams")
async def stream_echo_50(n: int) -> int:
    return await echo_by_streams(50, n)


@workload("echo, streams, 500 connections", operations=500 * MESSAGES, section="streams")
async def stream_echo_500(n: int) -> int:
    return await echo_by_streams(500, n)


async def echo_by_protocols(connections: int, n: int) -> int:
    from .peers import EchoClient, EchoServer, Peer  # only here: native has no protocols

    loop = asyncio.get_running_loop()
    peers: list[Peer] = []

    def accepted() -> EchoServer:
        peers.append(peer := EchoServer())
        return peer

    server = await loop.create_server(accepted, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    clients = [(await loop.create_connection(EchoClient, HOST, port))[1] for _ in range(connections)]
    await asyncio.gather(*[client.exchange(1) for client in clients])
    with timed():
        total = sum(await asyncio.gather(*[client.exchange(n * MESSAGES) for client in clients]))
    for client in clients:
        client.transport.close()
    await asyncio.gather(*[peer.lost for peer in [*clients, *peers]])
    server.close()
    await server.wait_closed()
    return total


@workload("echo, protocols, 1 connection", operations=MESSAGES, section="streams")
async def protocol_echo_1(n: int) -> int:
    return await echo_by_protocols(1, n)


@workload("echo, protocols, 50 connections", operations=50 * MESSAGES, section="streams")
async def protocol_echo_50(n: int) -> int:
    return await echo_by_protocols(50, n)


@workload("echo, protocols, 500 connections", operations=500 * MESSAGES, section="streams")
async def protocol_echo_500(n: int) -> int:
    return await echo_by_protocols(500, n)


async def bulk(n: int, tls: bool = False) -> int:
    total = 0
    arrived = asyncio.Event()

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal total
        while data := await reader.read(65536):
            total += len(data)
            if total == n * len(MIB):
                arrived.set()

    async with connected(count, 1, tls) as [(_, writer)]:
        with timed():
            for _ in range(n):
                writer.write(MIB)
                await writer.drain()
            await arrived.wait()
    return total


@workload("a MiB, streams", unit="ms CPU", section="streams")
async def stream_bulk(n: int) -> int:
    return await bulk(n)


@workload("TLS echo, 1 connection", operations=MESSAGES, section="streams")
async def tls_echo_1(n: int) -> int:
    return await echo_by_streams(1, n, tls=True)


@workload("TLS echo, 50 connections", operations=50 * MESSAGES, section="streams")
async def tls_echo_50(n: int) -> int:
    return await echo_by_streams(50, n, tls=True)


@workload("a MiB, TLS", unit="ms CPU", section="streams")
async def tls_bulk(n: int) -> int:
    return await bulk(n, tls=True)


async def idle_tasks(n: int, first: Callable[[], Awaitable[None]] | None = None) -> int:
    """Bytes that n tasks take that wait for an event; that have called `first` before."""
    event = asyncio.Event()

    async def idle() -> None:
        if first is not None:
            await first()
        await event.wait()

    with gauges.traced_memory() as used:
        tasks = [asyncio.create_task(idle()) for _ in range(n)]
        await asyncio.sleep(0.01)
        size = used()
    event.set()
    await asyncio.gather(*tasks)
    return size


async def idle_connections(n: int) -> int:
    """Bytes that n connections take, both ends and the server's tasks, when each has echoed a message."""
    with gauges.traced_memory() as used:
        async with connected(echo, n) as clients:
            await asyncio.gather(*[exchange(*client, 1) for client in clients])
            await asyncio.sleep(0.01)
            return used()
