"""A soak: mixed load for a while, with counts of all that could be left behind, which must be flat.

    python tests/soak.py --minutes 30

Each round runs the whole load three times: in a loop that lives as long as the soak, in a loop that is opened and
closed for it, and in a loop inside a trio run. What is counted between rounds, when nothing should be there, is printed
at intervals. The exit status is 1 if at the end something is left, or memory has grown. tests/test_soak.py has a short
form of it.
"""

import argparse
import gc
import logging
import os
import random
import signal
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from array import array
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import trio
import trustme

import compat
from compat import asyncio
from compat.adapters.events import BaseLoop

BULK = 200_000
MOST_GROWTH = 0.03  # of memory: caches that fill up, and what the moment of the measurement finds
ARENAS = 4096  # KiB by which resident memory moves without anything being kept: some arenas of the allocator
CA = trustme.CA()
SERVER_CONTEXT = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
CA.issue_cert("localhost").configure_cert(SERVER_CONTEXT)
CLIENT_CONTEXT = ssl.create_default_context()
CA.configure_trust(CLIENT_CONTEXT)


# --- the load --------------------------------------------------------------------------------------------------------


async def echo(reader, writer):
    """A server's side; clients go away in the middle of things."""
    with suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
    with suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


async def talk(connection):
    reader, writer = await connection
    try:
        for n in range(10):
            writer.write(b"line %d\n" % n)
            assert await reader.readline() == b"line %d\n" % n
        sending = asyncio.create_task(write_bulk(writer))
        assert await reader.readexactly(BULK) == bytes(BULK)
        await sending
    finally:
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


async def write_bulk(writer):
    writer.write(bytes(BULK))
    await writer.drain()


async def talk_to(server, connect):
    """Some clients to the end, some that are cut off by a timeout."""
    async with server:
        await asyncio.gather(*[talk(connect()) for _ in range(3)])
        for _ in range(3):
            with suppress(TimeoutError):
                async with asyncio.timeout(random.random() * 0.004):
                    await talk(connect())
    await server.wait_closed()


async def streams():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await talk_to(server, lambda: asyncio.open_connection("127.0.0.1", port))


async def tls():
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=SERVER_CONTEXT)
    port = server.sockets[0].getsockname()[1]
    await talk_to(
        server,
        lambda: asyncio.open_connection("127.0.0.1", port, ssl=CLIENT_CONTEXT, server_hostname="localhost"),
    )


async def unix_sockets():
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/socket"
        await talk_to(await asyncio.start_unix_server(echo, path), lambda: asyncio.open_unix_connection(path))


async def trio_streams():
    """asyncio's server, trio's client."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.sockets[0].getsockname()[1])
        async with stream:
            await stream.send_all(b"over")
            assert await stream.receive_some() == b"over"


async def subprocesses():
    pipe = asyncio.subprocess.PIPE
    cat = await asyncio.create_subprocess_exec("cat", stdin=pipe, stdout=pipe)
    assert await cat.communicate(b"text") == (b"text", None)
    failing = await asyncio.create_subprocess_shell("echo no >&2; exit 3", stderr=pipe)
    assert await failing.communicate() == (None, b"no\n")
    assert failing.returncode == 3
    sleeping = await asyncio.create_subprocess_exec("sleep", "1000", stdout=pipe)
    waiting = asyncio.create_task(sleeping.communicate())
    await asyncio.sleep(0)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    sleeping.kill()
    assert await sleeping.wait() == -signal.SIGKILL
    assert (await trio.run_process(["cat"], stdin=b"trio", capture_stdout=True)).stdout == b"trio"


async def pipes():
    loop = asyncio.get_running_loop()
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader()
    receiving, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", 0)
    )
    sending, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(write_end, "wb", 0))
    sending.write(bytes(BULK))
    sending.close()
    assert len(await reader.read()) == BULK
    receiving.close()
    await asyncio.sleep(0)


class Answering(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


class Collecting(asyncio.DatagramProtocol):
    def __init__(self):
        self.received = asyncio.Queue()

    def datagram_received(self, data, address):
        self.received.put_nowait(data)


async def datagrams():
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Answering, ("127.0.0.1", 0))
    address = server.get_extra_info("sockname")
    client, protocol = await loop.create_datagram_endpoint(Collecting, remote_addr=address)
    for n in range(20):
        client.sendto(b"%d" % n)
        assert await protocol.received.get() == b"%d" % n
    client.close()
    server.abort()
    await asyncio.sleep(0)


async def raw_sockets():
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        receiving = asyncio.create_task(loop.sock_recv(right, 100))
        await loop.sock_sendall(left, b"raw")
        assert await receiving == b"raw"
        ready = loop.create_future()
        loop.add_reader(right, lambda: ready.done() or ready.set_result(None))
        left.send(b"more")
        await ready
        loop.remove_reader(right)
        waiting = asyncio.create_task(loop.sock_recv(left, 1))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])


async def threads():
    loop = asyncio.get_running_loop()

    def from_outside(n):
        return asyncio.run_coroutine_threadsafe(asyncio.sleep(0.001, n), loop).result(600)

    assert await asyncio.gather(*[asyncio.to_thread(from_outside, n) for n in range(5)]) == [*range(5)]
    with ThreadPoolExecutor(2) as pool:
        results = await asyncio.gather(*[loop.run_in_executor(pool, pow, n, 2) for n in range(20)])
    assert results == [n * n for n in range(20)]
    assert await trio.to_thread.run_sync(pow, 2, 3) == 8


async def timers():
    loop, called = asyncio.get_running_loop(), []
    for n in range(300):
        loop.call_later(random.random() * 0.01, called.append, n)
        loop.call_later(1000, called.append, None).cancel()
    await asyncio.sleep(0.02)
    assert sorted(called) == [*range(300)]


async def wait_somehow(n, lock, queue, event):
    """One of the waits there are; it is cancelled at any time."""
    match n % 7:
        case 0:
            await asyncio.sleep(1000)
        case 1:
            async with lock:
                await asyncio.sleep(1000)
        case 2:
            await queue.get()
        case 3:
            await asyncio.wait_for(event.wait(), 1000)
        case 4:
            await trio.sleep(1000)
        case 5:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(1000))
                group.create_task(trio.sleep(1000))
        case 6:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asyncio.sleep, 1000)
                nursery.start_soon(trio.sleep, 1000)


async def cancel_storm():
    lock, queue, event = asyncio.Lock(), asyncio.Queue(), asyncio.Event()
    tasks = [asyncio.create_task(wait_somehow(n, lock, queue, event)) for n in range(100)]
    random.shuffle(tasks)
    for task in tasks:
        if random.random() < 0.2:
            await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    with trio.move_on_after(0.002) as scope:
        await asyncio.gather(*[wait_somehow(n, lock, queue, event) for n in range(30)])
    assert scope.cancelled_caught


async def failures():
    async def fail(n):
        await asyncio.sleep(0)
        raise ValueError(n)

    results = await asyncio.gather(*[fail(n) for n in range(30)], return_exceptions=True)
    assert [error.args for error in results] == [(n,) for n in range(30)]
    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            for n in range(5):
                group.create_task(fail(n))
            await trio.sleep(1000)


LOADS = [
    streams,
    tls,
    unix_sockets,
    trio_streams,
    subprocesses,
    pipes,
    datagrams,
    raw_sockets,
    threads,
    timers,
    cancel_storm,
    failures,
]


async def all_at_once():
    async with asyncio.timeout(600), asyncio.TaskGroup() as group:
        for load in random.sample(LOADS, len(LOADS)):
            group.create_task(load(), name=load.__name__)
    # What they leave for the loop's next turns: transports that are closing.
    for _ in range(3):
        await asyncio.sleep(0)


# --- what is left ----------------------------------------------------------------------------------------------------


def counted():
    """Counts of what a soak could leave behind."""
    gc.collect()
    objects = gc.get_objects()
    process = Path("/proc/self")
    return {
        "tasks": sum(isinstance(thing, asyncio.Task) for thing in objects),
        "trio tasks": sum(type(thing) is trio.lowlevel.Task for thing in objects),
        "loops": sum(isinstance(thing, BaseLoop) for thing in objects),
        "descriptors": len(os.listdir("/proc/self/fd")) - 1,
        "threads": threading.active_count(),
        "children": sum(len(children.read_text().split()) for children in process.glob("task/*/children")),
        "blocks": sys.getallocatedblocks(),
        "resident KiB": int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024,
    }


def show(start, rounds, counts):
    words = "  ".join(f"{name} {count}" for name, count in counts.items())
    print(f"{time.monotonic() - start:7.1f} s  round {rounds:5}  {words}", flush=True)


def grown(sizes):
    """By what part memory has grown, from the second quarter of the rounds to the last; the first warms up."""
    quarter = len(sizes) // 4
    return statistics.median(sizes[-quarter:]) / statistics.median(sizes[quarter : 2 * quarter]) - 1


class Reports(logging.Handler):
    """Collects what is reported to nobody: by a loop's exception handler, and from where nothing can be raised."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.texts = []
        logging.getLogger("asyncio").addHandler(self)
        sys.unraisablehook = lambda unraisable: self.texts.append(repr(unraisable))

    def emit(self, record):
        self.texts.append(self.format(record))


def soak(seconds, interval):
    """Run the load for so long, and return what is wrong at the end, as sentences."""
    reports = Reports()
    start = shown = time.monotonic()
    before, rounds = counted(), 0
    history = {name: array("q") for name in before}  # no objects: they would count among the blocks
    show(start, rounds, before)
    with asyncio.Runner() as runner:
        while time.monotonic() - start < seconds or rounds < 8:
            runner.run(all_at_once())
            asyncio.run(all_at_once())
            compat.run(all_at_once)
            rounds += 1
            counts = counted()
            for name, seen in history.items():
                seen.append(counts[name])
            if time.monotonic() - shown > interval:
                shown = time.monotonic()
                show(start, rounds, counts)
    show(start, rounds, counts)

    # Idle threads of trio's end after ten seconds.
    until = time.monotonic() + 60
    while threading.active_count() > before["threads"] and time.monotonic() < until:
        time.sleep(0.1)
    after = counted()
    show(start, rounds, after)
    wrong = [
        f"{name}: {before[name]} before, {after[name]} after"
        for name in ("tasks", "trio tasks", "loops", "descriptors", "threads", "children")
        if after[name] != before[name]
    ]
    wrong += [
        f"{name} between rounds: {sorted(seen)}"
        for name in ("tasks", "loops", "descriptors", "children")
        if len(seen := set(history[name][rounds // 4 :])) > 1
    ]
    for name in ("blocks", "resident KiB"):
        growth = grown(history[name])
        print(f"{name}: {growth:+.2%} from the second quarter to the last")
        moves = ARENAS / after[name] if name == "resident KiB" else 0
        if growth > max(MOST_GROWTH, moves):
            wrong.append(f"{name} grew by {growth:.2%}")
    return wrong + [f"{len(reports.texts)} reports, the first: {text}" for text in reports.texts[:1]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default: 30)")
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between lines of counts (default: 10)")
    parser.add_argument("--seed", type=int, default=None, help="for the order and the timing (default: a new one)")
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed
    random.seed(seed)
    print(f"Python {sys.version.split()[0]}, trio {trio.__version__}, seed {seed}")
    wrong = soak(options.minutes * 60, options.interval)
    print(*(wrong or ["flat"]), sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
