"""What is left for the garbage collector: nothing that asyncio frees at once, and no local of who handled an error."""

import asyncio as std
import gc
import io
import socket
import struct
import sys
import tempfile
import weakref

import pytest
import trio

import compat
from compat import asyncio

HOST = "127.0.0.1"
NOBODY = HOST, 1  # where nobody listens
UNKNOWN = "nope.invalid", 1

FAILING = []


def failing(function):
    """Collect an async function(asyncio, loop) that raises an error."""
    FAILING.append(function)
    return function


def fail():
    raise ValueError("failed")


# --- threads and names -----------------------------------------------------------------------------------------------


@failing
async def to_thread(asyncio, loop):
    await asyncio.to_thread(fail)


@failing
async def run_in_executor(asyncio, loop):
    await loop.run_in_executor(None, fail)


@failing
async def getaddrinfo(asyncio, loop):
    await loop.getaddrinfo(*UNKNOWN, flags=socket.AI_NUMERICHOST)


@failing
async def getnameinfo(asyncio, loop):
    await loop.getnameinfo(("nope",))


# --- connections and servers -----------------------------------------------------------------------------------------


@failing
async def connection(asyncio, loop):
    await asyncio.open_connection(*NOBODY)


@failing
async def connection_to_any_of_several(asyncio, loop):
    await asyncio.open_connection("localhost", 1)


if sys.version_info >= (3, 12):

    @failing
    async def connection_with_all_errors(asyncio, loop):
        await loop.create_connection(asyncio.Protocol, "localhost", 1, all_errors=True)


@failing
async def connection_to_an_unknown_host(asyncio, loop):
    await loop.create_connection(asyncio.Protocol, *UNKNOWN, flags=socket.AI_NUMERICHOST)


@failing
async def connection_from_an_address_of_others(asyncio, loop):
    await asyncio.open_connection(*NOBODY, local_addr=("192.0.2.1", 0))


@failing
async def connection_to_a_path(asyncio, loop):
    await asyncio.open_unix_connection("/nope/nope")


@failing
async def server_on_a_port_that_is_taken(asyncio, loop):
    with socket.create_server((HOST, 0)) as other:
        await asyncio.start_server(print, *other.getsockname())


@failing
async def server_on_a_path(asyncio, loop):
    await asyncio.start_unix_server(print, "/nope/nope")


@failing
async def server_on_an_unknown_host(asyncio, loop):
    await loop.create_server(asyncio.Protocol, *UNKNOWN, flags=socket.AI_NUMERICHOST)


@failing
async def datagrams(asyncio, loop):
    await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("192.0.2.1", 0))


@failing
async def datagrams_to_an_unknown_host(asyncio, loop):
    await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=UNKNOWN, flags=socket.AI_NUMERICHOST)


# --- sockets ---------------------------------------------------------------------------------------------------------


def pair():
    left, right = socket.socketpair()
    left.setblocking(False)
    return left, right


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@failing
async def sock_connect(asyncio, loop):
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, NOBODY)


@failing
async def sock_sendall_at_once(asyncio, loop):
    left, right = pair()
    with left:
        right.close()
        await loop.sock_sendall(left, b"x")


@failing
async def sock_sendall_later(asyncio, loop):
    left, right = pair()
    with left:
        loop.call_later(0.01, right.close)
        await loop.sock_sendall(left, bytes(10_000_000))


@failing
async def sock_recv_later(asyncio, loop):
    with socket.create_server((HOST, 0)) as server, socket.create_connection(server.getsockname()) as sock:
        sock.setblocking(False)
        loop.call_later(0.01, reset, server.accept()[0])
        await loop.sock_recv(sock, 10)


@failing
async def sock_accept(asyncio, loop):
    left, right = pair()
    with left, right:
        await loop.sock_accept(left)


@failing
async def sock_sendfile(asyncio, loop):
    left, right = pair()
    with left, tempfile.TemporaryFile() as file:
        right.close()
        file.truncate(100)
        await loop.sock_sendfile(left, file)


@failing
async def sock_sendfile_by_reading(asyncio, loop):
    left, right = pair()
    with left:
        right.close()
        await loop.sock_sendfile(left, io.BytesIO(bytes(100)))


@failing
async def sendfile(asyncio, loop):
    server = await asyncio.start_server(lambda reader, writer: writer.transport.abort(), HOST, 0)
    _reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    server.close()
    with tempfile.TemporaryFile() as file:
        file.truncate(100_000_000)
        try:
            await loop.sendfile(writer.transport, file)
        finally:
            writer.close()


# --- pipes and children ----------------------------------------------------------------------------------------------


@failing
async def read_end_that_is_no_pipe(asyncio, loop):
    with tempfile.TemporaryFile() as file:
        await loop.connect_read_pipe(asyncio.Protocol, file)


@failing
async def write_end_that_is_no_pipe(asyncio, loop):
    with tempfile.TemporaryFile() as file:
        await loop.connect_write_pipe(asyncio.Protocol, file)


@failing
async def subprocess_of_no_program(asyncio, loop):
    await asyncio.create_subprocess_exec("/nope/nope")


# ---------------------------------------------------------------------------------------------------------------------


FAILING_IN_THREADS = to_thread, run_in_executor, getaddrinfo


class Big:
    """What nobody wants to keep."""


async def outcome(asyncio, function):
    """The types of the error and its context, and whether what was in a frame on its way is still there."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)

    async def call():
        data = Big()
        try:
            await function(asyncio, loop)
        except Exception as error:
            return weakref.ref(data), (type(error), type(error.__context__))

    gc.collect()
    gc.disable()
    try:
        big, error = await call()
        for _ in range(100 if function in FAILING_IN_THREADS else 0):
            if big() is None:  # a thread that has delivered an error forgets it a moment later
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        return error, big() is not None
    finally:
        gc.enable()


def by_compat_run(coro):
    return compat.run(lambda: asyncio.create_task(coro))


RUNS = pytest.mark.parametrize("run", [asyncio.run, by_compat_run], ids=["asyncio.run", "compat.run"])


@RUNS
@pytest.mark.parametrize("function", FAILING, ids=lambda function: function.__name__)
def test_errors_keep_no_locals(function, run):
    expected, kept_by_asyncio = std.run(outcome(std, function))
    error, kept = run(outcome(asyncio, function))
    assert error == expected
    assert kept <= kept_by_asyncio


@RUNS
def test_pipe_of_a_subprocess_that_fails_keeps_no_locals(run):
    """On asyncio that one waits for ever."""

    async def subprocess_whose_pipe_fails(asyncio, loop):
        loop.connect_read_pipe = lambda factory, pipe: fail()
        await asyncio.create_subprocess_exec("true", stdout=asyncio.subprocess.PIPE)

    assert run(outcome(asyncio, subprocess_whose_pipe_fails)) == ((ValueError, type(None)), False)


# --- objects ---------------------------------------------------------------------------------------------------------

OPERATIONS, MIXED = [], []  # async functions of the module asyncio; the latter use trio as well


def operation(function):
    OPERATIONS.append(function)
    return function


def mixed(function):
    MIXED.append(function)
    return function


async def fail_later(asyncio):
    await asyncio.sleep(0)
    raise ValueError


@operation
async def tasks(asyncio):
    done, cancelled = asyncio.create_task(asyncio.sleep(0)), asyncio.create_task(asyncio.sleep(3600))
    await done
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    with pytest.raises(ValueError):
        await asyncio.create_task(fail_later(asyncio))


@operation
async def gathered(asyncio):
    await asyncio.gather(fail_later(asyncio), asyncio.sleep(0), return_exceptions=True)
    with pytest.raises(ValueError):
        await asyncio.gather(fail_later(asyncio), asyncio.sleep(0))


@operation
async def group(asyncio):
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))


@operation
async def group_given_up(asyncio):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.0001), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(3600))


@operation
async def timeouts(asyncio):
    async with asyncio.timeout(3600):
        await asyncio.sleep(0)
    for wait in (asyncio.sleep(3600), asyncio.Queue().get(), asyncio.Event().wait()):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.0001):
                await wait
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.sleep(3600), 0.0001)


@operation
async def lock_given_up(asyncio):
    async with (lock := asyncio.Lock()):
        task = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)


@operation
async def timers(asyncio):
    loop = asyncio.get_running_loop()
    loop.call_later(3600, print).cancel()
    loop.call_later(0.0001, int)
    await asyncio.sleep(0.001)


@operation
async def in_thread(asyncio):
    await asyncio.to_thread(int)
    with pytest.raises(ValueError):
        await asyncio.to_thread(int, "x")


@operation
async def async_generator(asyncio):
    async def numbers():
        yield 1
        await asyncio.sleep(0)
        yield 2

    assert [n async for n in numbers()] == [1, 2]


@operation
async def child(asyncio):
    process = await asyncio.create_subprocess_exec("echo", stdout=asyncio.subprocess.PIPE)
    await process.communicate()


@operation
async def datagram_endpoint(asyncio):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, (HOST, 0))
    transport.close()
    await asyncio.sleep(0.001)


@operation
async def sock_recv_given_up(asyncio):
    left, right = pair()
    with left, right, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.0001):
            await asyncio.get_running_loop().sock_recv(left, 1)


@operation
async def connections(asyncio):
    async def echo(reader, writer):
        writer.write(await reader.readline())
        writer.close()

    async with await asyncio.start_server(echo, HOST, 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await reader.read()
        writer.write(b"line\n")
        assert await reader.read() == b"line\n"
        writer.close()
        await writer.wait_closed()
    await asyncio.sleep(0.001)


@mixed
async def scopes(asyncio):
    with trio.move_on_after(3600):
        await trio.sleep(0)
    for wait in (trio.sleep(3600), asyncio.sleep(3600), asyncio.create_task(trio.sleep(3600)), asyncio.Queue().get()):
        with trio.move_on_after(0.0001):
            await wait


@mixed
async def nurseries(asyncio):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 0)
        nursery.start_soon(asyncio.sleep, 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 3600)
        nursery.start_soon(asyncio.sleep, 3600)
        await asyncio.sleep(0)
        nursery.cancel_scope.cancel()
    with pytest.raises(ExceptionGroup):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_later, asyncio)
            nursery.start_soon(asyncio.sleep, 3600)


@mixed
async def group_in_a_scope(asyncio):
    with trio.move_on_after(3600):
        await group(asyncio)
    with trio.move_on_after(0.0001):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.sleep(3600))
            tasks.create_task(trio.sleep(3600))


@mixed
async def trio_in_tasks(asyncio):
    await asyncio.create_task(trio.sleep(0))
    task = asyncio.create_task(trio.sleep(3600))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.0001):
            await trio.sleep(3600)


@mixed
async def trios_thread(asyncio):
    await trio.to_thread.run_sync(int)


async def garbage(asyncio, function):
    """How many objects it leaves to the collector."""
    for _ in range(2):
        await function(asyncio)
    await asyncio.sleep(0.005)
    gc.collect()
    gc.disable()
    try:
        await function(asyncio)
        await asyncio.sleep(0.005)
        return gc.collect()
    finally:
        gc.enable()


@RUNS
@pytest.mark.parametrize("function", OPERATIONS + MIXED, ids=lambda function: function.__name__)
def test_nothing_is_left_to_the_collector(function, run):
    expected = std.run(garbage(std, function)) if function in OPERATIONS else 0
    assert run(garbage(asyncio, function)) <= expected


async def by_trio(asyncio, function):
    await trio.sleep(0)
    return await garbage(asyncio, function)


@pytest.mark.parametrize("function", OPERATIONS + MIXED, ids=lambda function: function.__name__)
@pytest.mark.parametrize("run", [lambda main: asyncio.run(main()), compat.run], ids=["a Task", "a trio task"])
def test_nothing_is_left_where_trio_was_called(function, run):
    expected = std.run(garbage(std, function)) if function in OPERATIONS else 0
    assert run(lambda: by_trio(asyncio, function)) <= expected


def test_a_closed_loop_leaves_nothing_of_its_run():
    gc.collect()
    gc.disable()
    try:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(trio_in_tasks(asyncio))
        parts = [weakref.ref(loop), weakref.ref(loop._runner), weakref.ref(loop._scheduler)]
        loop.close()
        del loop
        assert [part() for part in parts] == [None, None, None]
    finally:
        gc.enable()
