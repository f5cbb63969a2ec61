"""Loops in several threads at once: each receives its own bytes, calls, children and errors, and no other's."""

import concurrent.futures
import contextvars
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading

import pytest
import trio
import trustme

import compat
from compat import asyncio
from worlds import nothing_left

HOST = "127.0.0.1"
MARKS = [b"A", b"B", b"C", b"D"]  # one for each thread
ROUNDS = 200
SIZE = 20_000  # bytes: it takes long enough to be copied for another thread to come in between

FAMILIES = []


def family(function):
    """Collect an async function(mark) that fails if it gets anything with another mark."""
    FAMILIES.append(function)
    return function


@pytest.fixture(autouse=True)
def threads_switch_often():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def in_threads(run, async_fn):
    """run(async_fn, mark) in several threads at once, each with a mark of its own."""
    start = threading.Barrier(len(MARKS))

    def in_thread(mark):
        start.wait()
        run(async_fn, mark)

    with concurrent.futures.ThreadPoolExecutor(len(MARKS)) as pool:
        for future in [pool.submit(in_thread, mark) for mark in MARKS]:
            future.result()


def by_asyncio_run(async_fn, mark):
    asyncio.run(async_fn(mark))


@pytest.mark.parametrize("run", [by_asyncio_run, compat.run], ids=["asyncio.run", "compat.run"])
@pytest.mark.parametrize("async_fn", FAMILIES, ids=lambda async_fn: async_fn.__name__)
def test_each_gets_its_own(async_fn, run):
    with nothing_left():
        in_threads(run, async_fn)


# --- bytes -----------------------------------------------------------------------------------------------------------


async def echo(reader, writer):
    while data := await reader.read(3 * SIZE):
        writer.write(data)
    writer.close()
    await writer.wait_closed()


async def talk(mark, server, **options):
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2], **options)
    for _ in range(ROUNDS):
        writer.write(mark * SIZE)
        assert await reader.readexactly(SIZE) == mark * SIZE
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


@family
async def streams(mark):
    await talk(mark, await asyncio.start_server(echo, HOST, 0))


CA = trustme.CA()
SERVER_CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
CA.issue_cert(HOST).configure_cert(SERVER_CONTEXT)
CLIENT_CONTEXT = ssl.create_default_context()
CA.configure_trust(CLIENT_CONTEXT)


@family
async def tls(mark):
    """All threads share the contexts."""
    await talk(mark, await asyncio.start_server(echo, HOST, 0, ssl=SERVER_CONTEXT), ssl=CLIENT_CONTEXT)


@family
async def trio_streams(mark):
    left, right = trio.testing.memory_stream_pair()
    (reader, writer), (other_reader, other_writer) = compat.as_streams(left), compat.as_streams(right)
    echoing = asyncio.create_task(echo(other_reader, other_writer))
    for _ in range(ROUNDS):
        writer.write(mark * SIZE)
        assert await reader.readexactly(SIZE) == mark * SIZE
    writer.close()
    await echoing


@family
async def sockets(mark):
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        for _ in range(ROUNDS):
            sending = asyncio.create_task(loop.sock_sendall(left, mark * SIZE))
            received = b""
            while len(received) < SIZE:
                received += await loop.sock_recv(right, SIZE)
            assert received == mark * SIZE
            await sending


class Received(asyncio.Protocol):
    """Puts what it is told into a queue."""

    def __init__(self):
        self.queue = asyncio.Queue()

    def data_received(self, data):
        self.queue.put_nowait(data)

    def datagram_received(self, data, address):
        self.queue.put_nowait(data)

    def connection_lost(self, error):
        self.queue.put_nowait(error)


@family
async def datagrams(mark):
    loop = asyncio.get_running_loop()
    receiving, received = await loop.create_datagram_endpoint(Received, (HOST, 0))
    address = receiving.get_extra_info("sockname")
    sending, _ = await loop.create_datagram_endpoint(Received, remote_addr=address)
    for _ in range(ROUNDS):
        sending.sendto(mark * SIZE)
        assert await received.queue.get() == mark * SIZE
    sending.close()
    receiving.close()
    assert await received.queue.get() is None


@family
async def pipes(mark):
    loop = asyncio.get_running_loop()
    read_end, write_end = os.pipe()
    _reading, received = await loop.connect_read_pipe(Received, os.fdopen(read_end, "rb", 0))
    writing, _ = await loop.connect_write_pipe(Received, os.fdopen(write_end, "wb", 0))
    for _ in range(ROUNDS):
        writing.write(mark * SIZE)
        data = b""
        while len(data) < SIZE:
            data += await received.queue.get()
        assert data == mark * SIZE
    writing.close()
    assert await received.queue.get() is None


@family
async def subprocesses(mark):
    for number in range(5):
        process = await asyncio.create_subprocess_shell(
            f"cat; exit {mark[0] + number}", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert await process.communicate(mark * SIZE) == (mark * SIZE, None)
        assert await process.wait() == mark[0] + number


# --- calls -----------------------------------------------------------------------------------------------------------


@family
async def executors(mark):
    loop = asyncio.get_running_loop()
    variable = contextvars.ContextVar("variable")
    variable.set(mark)

    def ask():
        return asyncio.run_coroutine_threadsafe(asyncio.sleep(0, mark), loop).result(), variable.get()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for _ in range(ROUNDS):
            assert await asyncio.to_thread(ask) == (mark, mark)
            assert await loop.run_in_executor(pool, bytes.lower, mark) == mark.lower()
            assert await trio.to_thread.run_sync(trio.from_thread.run, asyncio.sleep, 0, mark) == mark
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, mark[0], 0)


@family
async def timers(mark):
    loop = asyncio.get_running_loop()
    here, called = threading.get_ident(), []

    def note(number, whose):
        called.append((threading.get_ident(), number, whose))

    start = loop.time()
    handles = [loop.call_at(start + n / 20_000, note, n, mark) for n in reversed(range(20 * ROUNDS))]
    for handle in handles[::2]:
        handle.cancel()
    await asyncio.gather(*[asyncio.sleep(n / 1000, n) for n in range(ROUNDS)])
    async with asyncio.timeout_at(start + 1000):
        while len(called) < 10 * ROUNDS:
            await asyncio.sleep(0.001)
    assert called == [(here, n, mark) for n in range(0, 20 * ROUNDS, 2)]


@family
async def errors(mark):
    loop = asyncio.get_running_loop()
    reported = []
    loop.set_exception_handler(lambda loop, context: reported.append((loop, str(context["exception"]))))

    def fail(number):
        raise ValueError(f"{mark} {number}")

    async def fail_soon(number):
        await asyncio.sleep(0)
        fail(number)

    for number in range(ROUNDS):
        loop.call_soon(fail, number)
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail_soon(number))
        results = await asyncio.gather(fail_soon(number), return_exceptions=True)
        assert str(results[0]) == f"{mark} {number}"
    assert reported == [(loop, f"{mark} {number}") for number in range(ROUNDS)]


@family
async def both_worlds(mark):
    async def put_all(queue):
        for number in range(ROUNDS):
            await queue.put((mark, number))

    async def send_all(send):
        async with send:
            for number in range(ROUNDS):
                await send.send((mark, number))

    expected = [(mark, number) for number in range(ROUNDS)]
    queue, (send, receive) = asyncio.Queue(2), trio.open_memory_channel(2)
    with trio.fail_after(1000):
        async with trio.open_nursery() as nursery, asyncio.TaskGroup() as group:
            nursery.start_soon(put_all, queue)
            group.create_task(send_all(send))
            assert [await queue.get() for _ in range(ROUNDS)] == expected
            assert [item async for item in receive] == expected
    for _ in range(ROUNDS):
        with trio.CancelScope() as scope:
            scope.cancel()
            await asyncio.sleep(1000)
        assert scope.cancelled_caught
        task = asyncio.create_task(trio.sleep_forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# --- what belongs to the process -------------------------------------------------------------------------------------


def test_signals_in_the_main_thread_while_other_threads_run_loops():
    signals = []

    async def with_signals():
        loop = asyncio.get_running_loop()
        got = asyncio.Event()

        def note():
            signals.append(threading.current_thread())
            got.set()

        loop.add_signal_handler(signal.SIGUSR1, note)
        while not all(thread.done() for thread in others) or len(signals) < ROUNDS:
            got.clear()
            os.kill(os.getpid(), signal.SIGUSR1)
            await got.wait()
        loop.remove_signal_handler(signal.SIGUSR1)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        others = [pool.submit(by_asyncio_run, async_fn, b"%d" % n) for n, async_fn in enumerate((streams, timers))]
        asyncio.run(with_signals())
        for other in others:
            other.result()
    assert set(signals) == {threading.main_thread()}


def test_children_without_pidfd(monkeypatch):
    def no_pidfd(*args):
        raise OSError

    monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    in_threads(by_asyncio_run, subprocesses)
