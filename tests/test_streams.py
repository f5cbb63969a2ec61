"""Streams over TCP and Unix sockets, servers, and the bridges between a trio stream and a pair of asyncio streams.

Most programs run on the real asyncio first, and must give the same on ours; after each, no file is left open.
"""

import array
import asyncio as std
import os
import resource
import socket
import struct
import sys
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import trio
import trio.testing

import compat
from compat import asyncio
from compat.adapters.events import BaseLoop, MonotonicClock
from worlds import PATIENCE, WORLDS, moments, nothing_left, on_both

MIB = 2**20
BULK = int(os.environ.get("STREAM_MIB", "64")) * MIB
CONNECTIONS = min(2000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
HOST = "127.0.0.1"
IS_AT_LEAST_3_12 = sys.version_info >= (3, 12)
IS_AT_LEAST_3_13 = sys.version_info >= (3, 13)

PROGRAMS = []


def program(function):
    """Collect an async program(asyncio) that is to give the same on both."""
    PROGRAMS.append(function)
    return function


async def leaving_no_task(asyncio, program, seconds=30):
    """Run it; on ours, fail if it leaves a trio task in the loop's nursery that was not there before."""
    loop = asyncio.get_running_loop()
    before = trio_tasks(loop)
    result = await asyncio.wait_for(program(asyncio), seconds)
    for _ in range(100):
        if trio_tasks(loop) <= before:
            break
        await asyncio.sleep(0.01)
    assert trio_tasks(loop) <= before
    return result


def trio_tasks(loop):
    """The trio tasks at work in the loop, by name; not the two that serve the loop itself, nor that which asks."""
    if not isinstance(loop, BaseLoop):
        return Counter()
    others = {"asyncio event loop", asyncio.current_task().get_name()}
    return Counter(task.name for task in loop._nursery.child_tasks if task.name not in others)


async def serving(asyncio, handler, **options):
    """A server, and a function that connects to it."""
    server = await asyncio.start_server(handler, HOST, 0, **options)
    return server, partial(asyncio.open_connection, *server.sockets[0].getsockname())


async def closed(*closables):
    for one in closables:
        one.close()
        with suppress(OSError):
            await one.wait_closed()


def reset(writer):
    """Have the connection end with a reset when it is closed, which it is."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def shown(error):
    return type(error).__name__, str(error)


async def outcome(awaitable):
    try:
        return await awaitable
    except (Exception, std.CancelledError) as error:
        return shown(error)


# --- both ------------------------------------------------------------------------------------------------------------


@program
async def echo_and_half_close_by_client(asyncio):
    async def echo(reader, writer):
        async for line in reader:
            writer.write(line)
            await writer.drain()
        writer.writelines([b"that", b" was ", b"all\n"])
        await closed(writer)

    server, connect = await serving(asyncio, echo)
    reader, writer = await connect()
    log = [writer.can_write_eof(), writer.is_closing(), reader.at_eof()]
    for n in range(5):
        writer.write(b"%d\n" % n)
        log.append(await reader.readline())
    writer.write(b"last, without newline")
    writer.write_eof()
    log += [await reader.read(), reader.at_eof(), await reader.read(), await reader.readline()]
    log.append(writer.get_extra_info("peername") == server.sockets[0].getsockname())
    log.append(writer.get_extra_info("sockname") == writer.get_extra_info("socket").getsockname())
    log += [writer.get_extra_info("sslcontext"), writer.get_extra_info("nonsense", "default")]
    await closed(writer, server)
    return log, writer.is_closing()


@program
async def half_close_by_server(asyncio):
    got = asyncio.get_running_loop().create_future()

    async def handler(reader, writer):
        writer.write(b"all that I have to say")
        writer.write_eof()
        got.set_result(await reader.read())
        await closed(writer)

    server, connect = await serving(asyncio, handler)
    reader, writer = await connect()
    log = [await reader.read()]
    await asyncio.sleep(0.01)
    log.append(writer.is_closing())
    writer.write(b"after your end")
    writer.write_eof()
    log.append(await outcome(asyncio.sleep(0, writer.write_eof())))
    try:
        writer.write(b"more")
    except RuntimeError as error:
        log.append(str(error))
    log.append(await got)
    await closed(writer, server)
    return log


@program
async def a_byte_at_a_time(asyncio):
    text = b"one line\n12345two;three;;rest"

    async def drip(reader, writer):
        for n in range(len(text)):
            writer.write(text[n : n + 1])
            await writer.drain()
            await asyncio.sleep(0)
        await closed(writer)

    server, connect = await serving(asyncio, drip)
    reader, writer = await connect()
    log = [await reader.readline(), await reader.readexactly(5), await reader.readuntil(b";")]
    log += [await reader.readuntil(b";;"), await outcome(reader.readexactly(10)), await reader.read()]
    await closed(writer, server)
    return log


@program
async def end_before_what_was_expected(asyncio):
    async def handler(reader, writer):
        writer.write(await reader.readexactly(3))
        await closed(writer)

    server, connect = await serving(asyncio, handler)
    log = []
    for read in (
        lambda reader: reader.readexactly(10),
        lambda reader: reader.readuntil(b"xy"),
        lambda reader: reader.readline(),
        lambda reader: reader.read(),
    ):
        reader, writer = await connect()
        writer.write(b"abc")
        try:
            log.append(await read(reader))
        except asyncio.IncompleteReadError as error:
            log.append((error.partial, error.expected, str(error)))
        log.append(await reader.read())
        await closed(writer)
    await closed(server)
    return log


@program
async def limits(asyncio):
    async def handler(reader, writer):
        writer.write(await reader.readexactly(130))
        await closed(writer)

    server, connect = await serving(asyncio, handler)
    reader, writer = await connect(limit=32)
    text = b"x" * 32 + b"\n" + b"y" * 33 + b"\n" + b"z" * 60 + b"\nab"
    writer.write(text)
    while writer.transport.is_reading():
        await asyncio.sleep(0.001)
    log = [repr(reader).split(" transport")[0]]
    log += [await outcome(reader.readline()), await outcome(reader.readline()), writer.transport.is_reading()]
    try:
        await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError as error:
        log.append((str(error), error.consumed))
        log.append(await reader.readexactly(error.consumed + 1))
    log += [await outcome(reader.readuntil(b"")), await reader.read(1), await reader.read()]
    await closed(writer, server)
    return log


@program
async def separators(asyncio):
    log = []
    for separator in (b";", (b";", b"\n"), (b"long", b"o"), (), (b"",)):
        reader = asyncio.StreamReader()
        reader.feed_data(b"x\ny;no, longer")
        reader.feed_eof()
        log.append(await outcome(reader.readuntil(separator)))
    return log


@program
async def fed_by_hand(asyncio):
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=4)
    log = [repr(reader)]
    first = asyncio.create_task(reader.readexactly(6))
    await asyncio.sleep(0)
    log += [await outcome(reader.read(1)), await outcome(reader._wait_for_data("some_library"))]
    loop.call_soon(reader.feed_data, b"ab")
    loop.call_soon(reader.feed_data, b"")
    loop.call_soon(reader.feed_data, b"cdefgh")
    log += [await first, await reader.read(1), reader.at_eof()]
    second = asyncio.create_task(reader.readline())
    await asyncio.sleep(0)
    second.cancel()
    log += [await outcome(second), await reader.read(1)]
    loop.call_soon(reader.feed_data, b"i")
    log += [await reader._wait_for_data("some_library"), await reader.read(1)]
    third = asyncio.create_task(reader.readline())
    await asyncio.sleep(0)
    reader.set_exception(ValueError("bad"))
    log += [await outcome(third), await outcome(reader.read(1)), shown(reader.exception()), repr(reader)]
    reader.feed_eof()
    try:
        reader.feed_data(b"late")
    except AssertionError as error:
        log.append(str(error))

    class Told(asyncio.ReadTransport):
        def pause_reading(self):
            log.append("pause")

        def resume_reading(self):
            log.append("resume")

    for size in 3, 4:
        full = asyncio.StreamReader(limit=1)
        full.set_transport(Told())
        full.feed_data(b"abc")
        full.feed_eof()
        log.append(await outcome(full.readexactly(size)))
    return log


@program
async def refused_and_unknown(asyncio):
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    log = []
    for host, options in (
        (HOST, {}),
        ([HOST], {}),
        (HOST, {"happy_eyeballs_delay": 0.01}),
        (HOST, {"local_addr": (HOST, 0)}),
        ("::1", {"family": socket.AF_INET}),
        (HOST, {"local_addr": ("192.0.2.1", 0)}),
    ):
        try:
            await asyncio.open_connection(host, port, **options)
        except (OSError, TypeError) as error:
            log.append((type(error).__name__, str(error).replace(str(port), "PORT")))
    try:
        await asyncio.open_unix_connection("/no/such/socket")
    except OSError as error:
        log.append(shown(error))
    return log


@program
async def wrong_arguments(asyncio):
    async def handler(reader, writer):
        raise AssertionError

    log = []
    with socket.socket() as sock, socket.socket(type=socket.SOCK_DGRAM) as datagram, socket.socket() as unbound:
        for function, options in (
            (asyncio.open_connection, {}),
            (asyncio.open_connection, {"host": HOST, "port": 1, "sock": sock}),
            (asyncio.open_connection, {"sock": datagram}),
            (asyncio.open_connection, {"host": HOST, "port": 1, "server_hostname": "x"}),
            (asyncio.open_connection, {"host": HOST, "port": 1, "ssl_handshake_timeout": 1}),
            (asyncio.open_connection, {"host": HOST, "port": 1, "ssl_shutdown_timeout": 1}),
            (asyncio.open_connection, {"port": 1, "ssl": True}),
            (asyncio.open_connection, {"host": HOST, "port": 1, "limit": 0}),
            (asyncio.open_connection, {"host": HOST, "port": 1, "nonsense": 0}),
            (asyncio.open_unix_connection, {}),
            (asyncio.open_unix_connection, {"sock": unbound}),
            (asyncio.open_unix_connection, {"path": "x", "sock": unbound}),
            (asyncio.open_unix_connection, {"path": "x", "ssl": True}),
            (asyncio.open_unix_connection, {"path": "x", "server_hostname": "x"}),
            (partial(asyncio.start_server, handler), {}),
            (partial(asyncio.start_server, handler), {"host": HOST, "port": 1, "sock": sock}),
            (partial(asyncio.start_server, handler), {"sock": datagram}),
            (partial(asyncio.start_server, handler), {"host": HOST, "port": 0, "ssl": True}),
            (partial(asyncio.start_server, handler), {"host": HOST, "port": 0, "ssl_handshake_timeout": 1}),
            (partial(asyncio.start_server, handler), {"host": "192.0.2.1", "port": 0}),
            (partial(asyncio.start_unix_server, handler), {}),
            (partial(asyncio.start_unix_server, handler), {"sock": unbound}),
            (partial(asyncio.start_unix_server, handler), {"path": "/no/such/folder/socket"}),
        ):
            kind, message = await outcome(function(**options))
            # A socket shows its own number, and the method is of another class.
            log.append((kind, message.partition("<socket")[0].partition("create_connection()")[2] or message[:40]))
    return log


@program
async def written_after_eof(asyncio):
    async def handler(reader, writer):
        log.append(await reader.read())
        await closed(writer)

    log = []
    server, connect = await serving(asyncio, handler)
    reader, writer = await connect()
    writer.write_eof()
    for method, what in (writer.write, b"x"), (writer.writelines, [b"x"]), (writer.writelines, []):
        try:
            method(what)
        except RuntimeError as error:
            log.append(str(error))
    await reader.read()
    await closed(writer, server)
    return log


@program
async def nagles_algorithm(asyncio):
    """Off for what says that it is TCP, and for no other socket."""
    server, _ = await serving(asyncio, lambda reader, writer: writer.close())
    log = []
    for protocol in 0, socket.IPPROTO_TCP:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, server.sockets[0].getsockname())
        _, writer = await asyncio.open_connection(sock=sock)
        log.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)
        await closed(writer)
    await closed(server)
    return log


@program
async def reset_by_peer(asyncio):
    async def handler(reader, writer):
        await reader.readexactly(1)
        reset(writer)

    server, connect = await serving(asyncio, handler)
    reader, writer = await connect()
    writer.write(b"!")
    log = [await outcome(reader.read()), await outcome(reader.readline()), await outcome(writer.drain())]
    log += [shown(reader.exception()), writer.is_closing(), await outcome(writer.wait_closed())]
    writer.write(b"nobody gets this")
    await closed(server)
    return log


@program
async def reset_in_the_middle_of_a_write(asyncio):
    async def handler(reader, writer):
        await reader.readexactly(1)
        reset(writer)

    server, connect = await serving(asyncio, handler, limit=1)
    reader, writer = await connect()
    writer.write(b"x" * 8 * MIB)
    log = [writer.transport.get_write_buffer_size() > 0, (await outcome(writer.drain()))[0]]
    log += [writer.transport.get_write_buffer_size(), (await outcome(reader.read()))[0]]
    await closed(writer, server)
    return log


@program
async def a_peer_that_never_reads(asyncio):
    parked = asyncio.get_running_loop().create_future()

    async def handler(reader, writer):
        writer.transport.pause_reading()
        await parked
        reset(writer)

    server, connect = await serving(asyncio, handler, limit=1)
    _, writer = await connect()
    writer.transport.set_write_buffer_limits(high=100_000, low=10_000)
    rounds = 0
    while True:
        writer.write(b"x" * 50_000)
        try:
            async with asyncio.timeout(0.3):
                await writer.drain()
        except TimeoutError:
            break
        rounds += 1
        assert rounds < 10_000
    size = writer.transport.get_write_buffer_size()
    log = [rounds > 1, 100_000 < size <= 150_000, writer.transport.get_write_buffer_limits()]
    drainers = [asyncio.create_task(writer.drain()) for _ in range(3)]
    await asyncio.sleep(0.01)
    log.append([drainer.done() for drainer in drainers])
    writer.transport.abort()
    log += [[await outcome(drainer) for drainer in drainers], writer.transport.get_write_buffer_size()]
    log.append(await outcome(writer.wait_closed()))
    parked.set_result(None)
    await closed(server)
    return log


@program
async def close_sends_what_is_in_the_buffer(asyncio):
    async def handler(reader, writer):
        writer.write(b"x" * 4 * MIB)
        writer.close()
        writer.close()
        await writer.wait_closed()

    server, connect = await serving(asyncio, handler)
    reader, writer = await connect()
    log = [len(await reader.read())]
    writer.close()
    log += [writer.is_closing(), await outcome(writer.drain()), await outcome(writer.wait_closed())]
    log += [await outcome(writer.wait_closed()), reader.at_eof()]
    await closed(server)
    return log


@program
async def pausing_the_transport(asyncio):
    async def handler(reader, writer):
        for n in range(3):
            await reader.readexactly(1)
            writer.write(b"%d" % n)
        await closed(writer)

    server, connect = await serving(asyncio, handler)
    reader, writer = await connect()
    transport, log = writer.transport, []
    for _ in range(3):
        transport.pause_reading()
        transport.pause_reading()
        writer.write(b"?")
        log += [transport.is_reading(), await outcome(asyncio.wait_for(reader.read(1), 0.05))]
        transport.resume_reading()
        log += [transport.is_reading(), await reader.read(1)]
    await closed(writer, server)
    log.append(transport.is_reading())
    return log


@program
async def cancelled_read_loses_nothing(asyncio):
    async def handler(reader, writer):
        for n in range(200):
            writer.write(b"%03d" % n)
            await asyncio.sleep(0)
        await closed(writer)

    server, connect = await serving(asyncio, handler)
    reader, writer = await connect()
    pieces = []
    while not reader.at_eof():
        task = asyncio.create_task(reader.readexactly(3))
        for _ in range(2):
            await asyncio.sleep(0)
        task.cancel()
        try:
            pieces.append(await task)
        except asyncio.CancelledError:
            pass
        except asyncio.IncompleteReadError as error:
            assert error.partial == b""
    await closed(writer, server)
    return pieces == [b"%03d" % n for n in range(200)]


@program
async def handler_in_a_task_of_the_factorys(asyncio):
    class Wrapped:  # no more than a Task shows
        def __init__(self, task):
            self._task = task

        def __getattr__(self, name):
            if name.startswith("_") and name not in ("_asyncio_future_blocking", "_loop"):
                raise AttributeError(name)
            return getattr(self._task, name)

        def __await__(self):
            return self._task.__await__()

    async def handler(reader, writer):
        writer.write(await reader.readline())
        writer.close()

    server, connect = await serving(asyncio, handler)
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **kwargs: Wrapped(asyncio.Task(coro, loop=loop, **kwargs)))
    try:
        reader, writer = await connect()
        writer.write(b"line\n")
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        loop.set_task_factory(None)
        await closed(writer, server)


@program
async def handler_cancelled_at_each_await(asyncio):
    log, handlers = [], []
    # Up to 3.12 asyncio reports a handler that is cancelled.
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

    async def at_read(reader, writer):
        await reader.read()

    async def at_drain(reader, writer):
        writer.transport.set_write_buffer_limits(0)
        while True:
            writer.write(b"x" * 100_000)
            await writer.drain()

    async def at_wait_closed(reader, writer):
        await writer.wait_closed()

    async def at_sleep(reader, writer):
        await asyncio.sleep(1000)

    for body in (at_read, at_drain, at_wait_closed, at_sleep):

        async def handler(reader, writer, body=body):
            handlers.append(asyncio.current_task())
            try:
                await body(reader, writer)
            finally:
                writer.transport.abort()

        server, connect = await serving(asyncio, handler, limit=1)
        _, writer = await connect(limit=1)
        await moments(asyncio)
        handlers[-1].cancel()
        log.append([await outcome(handlers[-1]), handlers[-1].cancelled()])
        await closed(writer, server)
    return log


@program
async def what_goes_wrong_in_a_handler_is_reported(asyncio):
    reports = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))

    async def handler(reader, writer):
        if await reader.read(1) == b"!":
            raise ValueError("of the handler")
        writer.write(b"fine")
        await closed(writer)

    server, connect = await serving(asyncio, handler)
    log = []
    for word in (b"!", b"?"):
        reader, writer = await connect()
        writer.write(word)
        log.append(await reader.read())
        await closed(writer)
    await closed(server)
    log += [(report["message"], shown(report["exception"]), sorted(report)) for report in reports]
    return log


@program
async def plain_function_as_handler(asyncio):
    tasks = []

    async def answer(reader, writer):
        writer.write(await reader.readline())
        await closed(writer)

    server, connect = await serving(asyncio, lambda *pair: tasks.append(asyncio.create_task(answer(*pair))))
    reader, writer = await connect()
    writer.write(b"hello\n")
    log = [await reader.read(), len(tasks)]
    await closed(writer, server)
    return log


@program
async def life_of_a_server(asyncio):
    async def handler(reader, writer):
        writer.write(b"served")
        await closed(writer)

    server = await asyncio.start_server(handler, HOST, 0, start_serving=False)
    log = [server.is_serving(), len(server.sockets), server.get_loop() is asyncio.get_running_loop()]
    address = server.sockets[0].getsockname()
    log.append((await outcome(asyncio.open_connection(*address)))[0])
    await server.start_serving()
    await server.start_serving()
    reader, writer = await asyncio.open_connection(*address)
    log += [server.is_serving(), await reader.read()]
    await closed(writer)
    forever = asyncio.create_task(server.serve_forever())
    await asyncio.sleep(0)
    log.append((await outcome(server.serve_forever()))[0])
    forever.cancel()
    log += [await outcome(forever), server.is_serving(), server.sockets, repr(server)]
    log.append(await outcome(server.serve_forever()))
    server.close()
    async with await asyncio.start_server(handler, HOST, 0) as server:
        forever = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        server.close()
        log.append(await outcome(forever))
    log.append((await outcome(asyncio.open_connection(*address)))[0])
    return log


@program
async def server_closed_with_clients_connected(asyncio):
    async def handler(reader, writer):
        writer.write(await reader.readline())
        await reader.read()
        await closed(writer)

    server, connect = await serving(asyncio, handler)
    reader, writer = await connect()
    writer.write(b"still there?\n")
    await asyncio.sleep(0.01)
    server.close()
    waiting = asyncio.create_task(server.wait_closed())
    log = [await reader.readline()]
    await asyncio.sleep(0.01)
    log.append(waiting.done())
    await closed(writer)
    await waiting
    return log


@program
async def server_that_ends_its_clients(asyncio):
    if not IS_AT_LEAST_3_13:
        return [hasattr(asyncio.Server, name) for name in ("close_clients", "abort_clients")]
    log = []

    async def handler(reader, writer):
        writer.write(b"x" * 100)
        log.append(await reader.read())
        await closed(writer)

    for end in ("close_clients", "abort_clients"):
        server, connect = await serving(asyncio, handler)
        pairs = [await connect() for _ in range(5)]
        await moments(asyncio)
        server.close()
        getattr(server, end)()
        await server.wait_closed()
        log += [len(await reader.read()) for reader, _ in pairs]
        await closed(*[writer for _, writer in pairs])
    return log


@program
async def options_of_connections_and_servers(asyncio):
    async def handler(reader, writer):
        writer.write(repr(writer.get_extra_info("peername")[0]).encode())
        await closed(writer)

    log = []
    for server_options, options in (
        ({}, {"local_addr": ("127.0.0.2", 0)}),
        ({"backlog": 1, "reuse_address": True, "reuse_port": True}, {"family": socket.AF_INET}),
        ({"family": socket.AF_INET}, {"happy_eyeballs_delay": 0.05}),
        ({}, {"happy_eyeballs_delay": 0.05, "interleave": 2}),
        ({}, {"interleave": 1, "flags": socket.AI_NUMERICHOST}),
    ):
        server, connect = await serving(asyncio, handler, **server_options)
        reader, writer = await connect(**options)
        log.append(await reader.read())
        await closed(writer, server)

    listener = socket.create_server((HOST, 0))
    server = await asyncio.start_server(handler, sock=listener)
    client = socket.create_connection(listener.getsockname())
    reader, writer = await asyncio.open_connection(sock=client)
    log += [await reader.read(), writer.get_extra_info("socket").fileno() == client.fileno()]
    await closed(writer, server)

    server = await asyncio.start_server(handler, [HOST, "127.0.0.2", HOST], 0)
    log.append(sorted(sock.getsockname()[0] for sock in server.sockets))
    await closed(server)
    return log


@program
async def unix_sockets(asyncio):
    async def handler(reader, writer):
        writer.write((await reader.readline()).upper())
        await closed(writer)

    log, path = [], Path(f"stream-{os.getpid()}.socket")
    for options in ({}, {"cleanup_socket": False}) if IS_AT_LEAST_3_13 else ({},):
        server = await asyncio.start_unix_server(handler, path, **options)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"hello\n")
        log += [await reader.read(), writer.get_extra_info("peername"), path.is_socket()]
        log[-2] = log[-2] == str(path)
        await closed(writer, server)
        log.append(path.exists())
    again = await asyncio.start_unix_server(handler, path)  # over what is left
    log.append(path.is_socket())
    await closed(again)
    path.unlink(missing_ok=True)
    path.write_text("no socket")
    kind, message = await outcome(asyncio.start_unix_server(handler, path))
    log.append((kind, message.replace(str(path), "PATH").replace(f"{path!r}", "PATH")))
    path.unlink()
    return log


@program
async def streams_in_a_context(asyncio):
    """A handler runs in the context in which the server was started."""
    import contextvars

    variable = contextvars.ContextVar("variable", default="unset")

    async def handler(reader, writer):
        writer.write(variable.get().encode())
        await closed(writer)

    variable.set("as the server was started")
    server, connect = await serving(asyncio, handler)
    variable.set("later")
    reader, writer = await connect()
    log = [await reader.read()]
    await closed(writer, server)
    return log


@program
async def contexts_of_connections(asyncio, **options):
    """What each call of a protocol sees of the one before, and of other connections, depends on the version."""
    import contextvars

    variable = contextvars.ContextVar("variable", default="unset")

    class Traced(asyncio.Protocol):
        def __init__(self, what_is_sent=b""):
            self.log, self.what_is_sent, self.got = [], what_is_sent, 0
            self.lost = asyncio.get_running_loop().create_future()
            self.saw("factory")

        def saw(self, call):
            self.log.append(f"{call}: {variable.get()}")
            variable.set(call)

        def connection_made(self, transport):
            self.transport = transport
            self.saw("made")
            if self.what_is_sent:
                transport.write(self.what_is_sent)
                asyncio.get_running_loop().call_soon(self.saw, "call_soon")

        def pause_writing(self):
            self.saw("pause")

        def resume_writing(self):
            self.saw("resume")

        def data_received(self, data):
            if not self.got:
                self.saw("data")
            self.got += len(data)
            if data.endswith(b"end"):
                self.saw("end")
                self.transport.close()

        def connection_lost(self, error):
            self.saw("lost")
            self.lost.set_result(self.log)

    loop, accepted, log = asyncio.get_running_loop(), [], []

    def accept():
        accepted.append(Traced())
        return accepted[-1]

    variable.set("server")
    server = await loop.create_server(accept, HOST, 0, ssl=options.get("server"), start_serving=False)
    variable.set("serving")
    await server.start_serving()
    variable.set("client")
    for _ in range(2):
        _, protocol = await loop.create_connection(
            partial(Traced, b"x" * 20 * MIB + b"end"), *server.sockets[0].getsockname(), **options.get("client", {})
        )
        log += [await protocol.lost, await accepted.pop().lost, variable.get()]
    await closed(server)
    return log


@program
async def protocols_of_ones_own(asyncio):
    loop, log = asyncio.get_running_loop(), []
    done = loop.create_future()

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            log.append(asyncio.current_task())

        def data_received(self, data):
            log.append(asyncio.current_task())
            self.transport.write(data)

    class Client(asyncio.BufferedProtocol):
        def __init__(self):
            self.buffer, self.got = bytearray(3), b""

        def connection_made(self, transport):
            transport.write(b"hello, world")
            transport.write_eof()

        def get_buffer(self, sizehint):
            return self.buffer

        def buffer_updated(self, nbytes):
            self.got += self.buffer[:nbytes]

        def connection_lost(self, error):
            done.set_result((self.got, error))

    server = await loop.create_server(Echo, HOST, 0)
    transport, protocol = await loop.create_connection(Client, *server.sockets[0].getsockname())
    log += [await done, transport.get_protocol() is protocol]
    await closed(server)
    return log


@program
async def what_goes_wrong_in_a_protocol_is_reported(asyncio):
    loop, reports, log = asyncio.get_running_loop(), [], []
    loop.set_exception_handler(lambda loop, context: reports.append(context))

    class Failing(asyncio.Protocol):
        def __init__(self, method):
            self.lost = loop.create_future()
            setattr(self, method, self.fail)

        def connection_made(self, transport):
            self.transport = transport

        def fail(self, *args):
            raise ValueError("of the protocol")

        def connection_lost(self, error):
            self.lost.set_result(error)

    async def handler(reader, writer):
        writer.write(b"data")
        await asyncio.sleep(0.01)
        await closed(writer)

    server, _ = await serving(asyncio, handler)
    for method in ("connection_made", "data_received", "eof_received", "pause_writing", "connection_lost"):
        transport, protocol = await loop.create_connection(partial(Failing, method), *server.sockets[0].getsockname())
        if method == "pause_writing":
            transport.write(b"x" * 20 * MIB)
        if method != "connection_lost":
            error = await asyncio.wait_for(protocol.lost, PATIENCE)
            # The peer's reset is found by whichever comes first, a send or a receive.
            log.append((method, isinstance(error, ConnectionError) or type(error).__name__))
        while not transport.is_closing():
            await asyncio.sleep(0.001)
        await moments(asyncio)
    await closed(server)
    # Whose callback it was differs.
    return log, [(report["message"].partition(" callback ")[0], shown(report["exception"])) for report in reports]


@program
async def server_out_of_files(asyncio):
    reports, (soft, hard) = set(), resource.getrlimit(resource.RLIMIT_NOFILE)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.add(context["message"]))

    async def handler(reader, writer):
        writer.write(b"served")
        await closed(writer)

    server, _ = await serving(asyncio, handler)
    with socket.socket() as client:
        client.setblocking(False)
        with open(os.devnull) as highest:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno(), hard))
        try:
            with suppress(BlockingIOError):
                client.connect(server.sockets[0].getsockname())
            await asyncio.sleep(0.1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        log = [sorted(reports)]
        reader, writer = await asyncio.open_connection(sock=client)
        log.append(await reader.read())
        await closed(writer, server)
    return log


async def files_sent(asyncio, serving_options, connect_options):
    """What loop.sendfile() returns, where it leaves the file, and what the other side gets."""
    content = bytes(n * n % 251 for n in range(700_001))
    Path("file").write_bytes(content)
    loop = asyncio.get_running_loop()
    got = loop.create_future()

    async def handler(reader, writer):
        await asyncio.sleep(0.05)  # the buffers fill
        got.set_result(await reader.read())
        await closed(writer)

    server, connect = await serving(asyncio, handler, **serving_options)
    _, writer = await connect(**connect_options)
    log, expected = [], b"first"
    writer.write(b"first")
    with open("file", "rb") as file:
        for offset, count in ((0, None), (600_000, 5_000), (699_000, 100_000), (0, 0), (800_000, None)):
            log += [await outcome(loop.sendfile(writer.transport, file, offset, count)), file.tell()]
            expected += content[offset:][: count or None]
            writer.write(b"between")
            expected += b"between"
        log.append(writer.transport.is_reading())
        log.append((await outcome(loop.sendfile(writer.transport, file, -1)))[0])
        writer.close()
        log.append(await outcome(loop.sendfile(writer.transport, file)))
    log.append(await got == expected)
    await closed(writer, server)
    return log


@program
async def files_sent_by_the_system(asyncio):
    return await files_sent(asyncio, {}, {})


@program
async def what_may_not_be_done_while_a_file_is_sent(asyncio):
    checked, ended = asyncio.Event(), asyncio.Event()

    async def handler(reader, writer):
        await checked.wait()
        await outcome(reader.read())
        await closed(writer)
        ended.set()

    Path("file").write_bytes(bytes(10_000_000))
    server, connect = await serving(asyncio, handler)
    _, writer = await connect()
    loop = asyncio.get_running_loop()
    with open("file", "rb") as file:
        sending = asyncio.create_task(loop.sendfile(writer.transport, file))
        await asyncio.sleep(0.01)
        log = [sending.done(), writer.transport.is_reading()]
        for method, what in (writer.write, b"x"), (writer.write, b""), (writer.writelines, [b"x"]):
            try:
                method(what)
            except RuntimeError as error:
                log.append(str(error))
        checked.set()
        log.append(await sending)
        # Cancelled, it may be followed by others.
        sending = asyncio.create_task(loop.sendfile(writer.transport, file))
        await asyncio.sleep(0)
        sending.cancel()
        log += [(await outcome(sending))[0], writer.transport.is_reading()]
        writer.write(b"x")
    await closed(writer)
    await ended.wait()
    await closed(server)
    return log


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_same_on_both(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(asyncio):
        async def main():
            result = await leaving_no_task(asyncio, program)
            await moments(asyncio)
            return result, len(asyncio.all_tasks())

        with nothing_left():
            return asyncio.run(main())

    theirs, ours = on_both(run)
    assert ours == theirs
    assert ours[1] == 1


@pytest.mark.parametrize(
    "program",
    [echo_and_half_close_by_client, reset_in_the_middle_of_a_write, a_peer_that_never_reads, pausing_the_transport]
    + [close_sends_what_is_in_the_buffer, handler_cancelled_at_each_await, cancelled_read_loses_nothing]
    + [contexts_of_connections],
    ids=lambda program: program.__name__,
)
def test_same_without_epoll(program, monkeypatch):
    monkeypatch.setattr("compat.adapters._polling.HAS_EPOLL", False)
    with nothing_left():
        theirs, ours = on_both(lambda asyncio: asyncio.run(program(asyncio)))
    assert ours == theirs


# --- as large as it gets ---------------------------------------------------------------------------------------------


def test_items_of_several_bytes_are_counted_in_bytes():
    """asyncio sends such a memoryview, too, but counts its items, from 3.12 on."""

    async def main():
        near, far = socket.socketpair()
        reader, other = await asyncio.open_connection(sock=near)
        _, writer = await asyncio.open_connection(sock=far)
        transport = writer.transport
        writer.write(bytes(MIB))
        before = transport.get_write_buffer_size()
        writer.write(memoryview(numbers))
        assert transport.get_write_buffer_size() == before + 4000
        writer.write_eof()
        assert (await reader.read())[MIB:] == numbers.tobytes()
        assert transport.get_write_buffer_size() == 0
        await closed(writer, other)

    numbers = array.array("I", range(1000))
    assert numbers.itemsize == 4
    compat.run(main)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_bulk_at_bounded_memory(direction):
    move_in_bulk(direction, BULK, {}, {})


def move_in_bulk(direction, total, server_options, client_options):
    """Send so many bytes to the server, or from it, and fail if more than a MiB of them is in memory at a time."""
    peak = 0

    def look(reader, writer):
        nonlocal peak
        peak = max(peak, len(reader._buffer) + writer.transport.get_write_buffer_size())

    async def send(reader, writer):
        block = bytes(range(256)) * 256
        for _ in range(total // len(block)):
            writer.write(block)
            look(reader, writer)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()

    async def receive(reader, writer):
        got = 0
        while block := await reader.read(50_000):
            got += len(block)
            look(reader, writer)
        assert got == total

    async def main(asyncio):
        server_side, client_side = (receive, send) if direction == "up" else (send, receive)
        finished = asyncio.Event()

        async def handler(reader, writer):
            await server_side(reader, writer)
            await finished.wait()
            await closed(writer)

        server, connect = await serving(asyncio, handler, **server_options)
        reader, writer = await connect(**client_options)
        await client_side(reader, writer)
        finished.set()
        await closed(writer, server)

    with nothing_left():
        asyncio.run(leaving_no_task(asyncio, main, 300))
    assert peak < MIB


def test_many_connections_at_once():
    async def handler(reader, writer):
        writer.write(await reader.readexactly(8))
        await reader.read()
        await closed(writer)

    async def main(asyncio):
        server, connect = await serving(asyncio, handler, backlog=1000)
        pairs = await asyncio.gather(*[connect() for _ in range(CONNECTIONS)])
        for n, (_, writer) in enumerate(pairs):
            writer.write(b"%8d" % n)
        answers = await asyncio.gather(*[reader.readexactly(8) for reader, _ in pairs])
        assert [int(answer) for answer in answers] == list(range(CONNECTIONS))
        await closed(*[writer for _, writer in pairs], server)

    with nothing_left():
        asyncio.run(leaving_no_task(asyncio, main, 300))


def test_aborted_while_a_file_is_sent(tmp_path):
    """asyncio waits for ever."""
    (tmp_path / "file").write_bytes(bytes(10_000_000))

    async def main():
        (_, other), (_, writer), server = await connected_pairs()
        other.transport.pause_reading()
        with open(tmp_path / "file", "rb") as file:
            sending = asyncio.create_task(asyncio.get_running_loop().sendfile(writer.transport, file))
            await asyncio.sleep(0.05)
            assert not sending.done()
            writer.transport.abort()
            with pytest.raises(OSError):
                await asyncio.wait_for(sending, PATIENCE)
            assert 0 < file.tell() < 10_000_000
        await closed(writer, other, server)

    with nothing_left():
        asyncio.run(main())


# --- with the real asyncio -------------------------------------------------------------------------------------------


@contextmanager
def server_elsewhere(asyncio, handler, **options):
    """Serve in another thread; the address."""
    started: list = []
    ready = threading.Event()

    async def serve():
        server, _ = await serving(asyncio, handler, **options)
        stop = asyncio.Event()
        started.append((server.sockets[0].getsockname(), asyncio.get_running_loop(), stop))
        ready.set()
        await stop.wait()
        await closed(server)
        if handlers := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(handlers)  # before 3.12 the server does not: see wait_closed()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(PATIENCE)
    address, loop, stop = started[0]
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)


async def mirror(reader, writer):
    while block := await reader.read(10_000):
        writer.write(block[::-1])
        await writer.drain()
    writer.write_eof()
    await closed(writer)


@pytest.mark.parametrize(("serving_one", "client"), [(std, asyncio), (asyncio, std)], ids=["std", "ours"])
def test_with_real_asyncio(serving_one, client):
    async def main(address):
        reader, writer = await client.open_connection(*address)
        log = []
        for size in (1, 10, 1000, 10_000):
            writer.write(bytes(n % 251 for n in range(size)))
            log.append(sorted(await reader.readexactly(size)) == sorted(n % 251 for n in range(size)))
        writer.write(b"the end")
        writer.write_eof()
        log.append(sorted(await reader.read()) == sorted(b"the end"))
        await closed(writer)
        return log

    with server_elsewhere(serving_one, mirror) as address:
        assert client.run(main(address)) == [True] * 5


# --- with trio -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", WORLDS)
def test_streams_under_trio_scopes_in_every_world(world):
    timeouts = 0

    async def handler(reader, writer):
        with suppress(OSError):
            for n in count():
                if not (line := await reader.readline()):
                    break
                while timeouts <= n:
                    await trio.sleep(0.001)
                writer.write(line)
            await closed(writer)

    async def main():
        nonlocal timeouts
        server, connect = await serving(asyncio, handler)
        reader, writer = await connect()
        got = b""
        writer.write(b"".join(b"%02d\n" % n for n in range(10)))
        writer.write_eof()
        while not reader.at_eof():
            with trio.move_on_after(0.005) as scope:
                got += await reader.read(2)
            timeouts += scope.cancelled_caught
        assert got == b"".join(b"%02d\n" % n for n in range(10))
        await closed(writer, server)

    with nothing_left():
        world(main, clock=MonotonicClock())


def in_loop(async_fn):
    """Run it in a plain trio task, with a loop open; no trio task of the loop's is left afterwards."""

    async def main():
        with trio.fail_after(PATIENCE):
            result = await async_fn()
            while trio_tasks(asyncio.get_running_loop()):
                await trio.sleep(0.01)
            return result

    return compat.run(main)


async def connected_pairs():
    """Two connected pairs of reader and writer, one of the server's and one of the client's."""
    accepted = asyncio.get_running_loop().create_future()
    server, connect = await serving(asyncio, lambda *pair: accepted.set_result(pair))
    client = await connect()
    return await accepted, client, server


def test_a_pair_is_a_trio_stream():
    async def make():
        one, other, server = await connected_pairs()
        server.close()
        return compat.as_trio_stream(*one), compat.as_trio_stream(*other)

    with nothing_left():
        in_loop(partial(trio.testing.check_half_closeable_stream, make, None))


def test_a_pair_over_a_memory_stream_is_a_trio_stream():
    async def make():
        one, other = trio.testing.memory_stream_pair()
        pairs = compat.as_streams(one), compat.as_streams(other)
        return tuple(compat.as_trio_stream(*pair) for pair in pairs)

    in_loop(partial(trio.testing.check_half_closeable_stream, make, None))


def test_trio_stream_of_a_pair_has_what_was_buffered():
    async def main():
        (_, server_writer), (reader, writer), server = await connected_pairs()
        server_writer.write(b"line\nrest")
        assert await reader.readline() == b"line\n"
        stream = compat.as_trio_stream(reader, writer)
        with trio.move_on_after(0) as scope:
            await stream.receive_some()
        assert scope.cancelled_caught
        assert await stream.receive_some(3) == b"res"
        assert await stream.receive_some() == b"t"
        with pytest.raises(ValueError, match="max_bytes"):
            await stream.receive_some(0)
        reset(server_writer)
        with pytest.raises(trio.BrokenResourceError) as caught:
            await stream.receive_some()
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        await stream.aclose()
        await closed(server)

    with nothing_left():
        in_loop(main)


@pytest.mark.parametrize("kind", ["memory", "lockstep", "socket", "stapled"])
def test_a_trio_stream_as_reader_and_writer(kind):
    async def pair():
        if kind == "socket":
            listeners = await trio.open_tcp_listeners(0, host=HOST)
            client = await trio.testing.open_stream_to_socket_listener(listeners[0])
            accepted = await listeners[0].accept()
            await listeners[0].aclose()
            return client, accepted
        if kind == "lockstep":
            return trio.testing.lockstep_stream_pair()
        one, other = trio.testing.memory_stream_pair()
        return (trio.StapledStream(one.send_stream, one.receive_stream) if kind == "stapled" else one), other

    async def main():
        ours, theirs = await pair()
        reader, writer = compat.as_streams(ours, limit=1000)
        assert (writer.get_extra_info("peername") is not None) is (kind == "socket")
        assert repr(writer).startswith("<StreamWriter transport=<StreamTransport ")

        async def other_side():
            async for block in theirs:
                await theirs.send_all(block.upper())
            await theirs.send_eof()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other_side)
            writer.write(b"hello\n")
            assert await reader.readline() == b"HELLO\n"
            for _ in range(100):
                writer.write(b"x" * 1000)
                await writer.drain()
                assert await reader.readexactly(1000) == b"X" * 1000
            assert writer.can_write_eof()
            writer.write(b"bye")
            writer.write_eof()
            assert await reader.read() == b"BYE"
        await closed(writer)
        await theirs.aclose()

    with nothing_left():
        in_loop(main)


def test_pausing_a_trio_stream_loses_nothing():
    async def main():
        ours, theirs = trio.testing.memory_stream_pair()
        reader, writer = compat.as_streams(ours)
        for n in range(50):
            # Received in the very step in which reading is paused, half of the times.
            await theirs.send_all(b"%02d" % n)
            for _ in range(n % 3):
                await trio.lowlevel.checkpoint()
            writer.transport.pause_reading()
            await trio.lowlevel.checkpoint()
            writer.transport.resume_reading()
        await theirs.send_eof()
        assert await reader.read() == b"".join(b"%02d" % n for n in range(50))
        await closed(writer)

    in_loop(main)


@pytest.mark.parametrize("batches", range(6))
def test_closed_while_a_trio_stream_sends_its_end(batches):
    async def main():
        ours, theirs = trio.testing.memory_stream_pair()
        _, writer = compat.as_streams(ours)
        writer.write(b"all")
        writer.write_eof()
        for _ in range(batches):
            await asyncio.sleep(0)
        await closed(writer)
        assert b"".join([block async for block in theirs]) == b"all"
        await theirs.aclose()

    in_loop(main)


def test_trio_errors_come_as_errors_of_the_system():
    async def main():
        ours, theirs = trio.testing.memory_stream_pair()
        reader, writer = compat.as_streams(ours)
        await theirs.aclose()
        writer.write(b"x")
        with pytest.raises(ConnectionError):
            for _ in range(3):
                await writer.drain()
                await trio.testing.wait_all_tasks_blocked()
        await closed(writer)

        ours, _ = trio.testing.memory_stream_pair()
        reader, writer = compat.as_streams(ours)
        await trio.testing.wait_all_tasks_blocked()
        await ours.aclose()
        with pytest.raises(OSError, match="Bad file descriptor"):
            await reader.read()
        await closed(writer)

    in_loop(main)


def test_reader_and_writer_need_a_loop_of_ours():
    one, _ = trio.testing.memory_stream_pair()

    async def without():
        with pytest.raises(RuntimeError, match="no running event loop"):
            compat.as_streams(one)

    trio.run(without)

    async def elsewhere():
        with pytest.raises(RuntimeError, match="does not run on trio"):
            compat.as_streams(one)

    std.run(elsewhere())


def test_a_reader_that_takes_from_the_buffer_itself():
    """A subclass as aioconsole's, for a separator beyond the limit: the transport goes on reading."""

    async def program(asyncio):
        class Reader(asyncio.StreamReader):
            async def readuntil(self, separator=b"\n"):
                while True:
                    try:
                        return await super().readuntil(separator)
                    except asyncio.LimitOverrunError as error:
                        if self._buffer.startswith(separator, error.consumed):
                            line = self._buffer[: error.consumed + len(separator)]
                            del self._buffer[: error.consumed + len(separator)]
                            self._maybe_resume_transport()
                            return bytes(line)
                        await self._wait_for_data("readuntil")

        loop = asyncio.get_running_loop()
        here, there = os.pipe()
        with os.fdopen(here, "rb") as file:
            reader = Reader(limit=1000)
            transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
            lines = [b"x" * 50_000 + b"\n", b"y\n", b"z" * 200_000 + b"\n"]
            writer = threading.Thread(target=lambda: os.write(there, b"".join(lines)) and os.close(there))
            writer.start()
            got = [await reader.readline() for _ in lines]
            writer.join()
            transport.close()
            await asyncio.sleep(0.001)
        return got == lines

    assert on_both(lambda asyncio: asyncio.run(program(asyncio))) == (True, True)
