"""open_connection, start_server, the Unix variants, StreamReader, StreamWriter and TLS, on real sockets."""

import logging
import os
import socket
import ssl
import sys
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
import trustme

from by_hand import TLSByHand
from compat import native
from native.cancelling import at_each_step

REAL_TIME = True
MUCH = bytes(range(256)) * 4096 * 8


@pytest.fixture(scope="module")
def tls():
    """The contexts of a server and a client that trust each other."""
    ca = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    ca.issue_cert("localhost").configure_cert(server)
    ca.configure_trust(client)
    return server, client


def reader_of(*chunks, limit=2**16):
    """A reader of what a trio stream has: the chunks, each for itself, and its end."""
    stream = trio.testing.MemoryReceiveStream()
    parts = iter(chunks)

    def next_part():
        for part in parts:
            return stream.put_data(part)
        stream.put_eof()

    async def hook():
        next_part()

    stream.receive_some_hook = hook
    return native.StreamReader(stream, limit)


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


@asynccontextmanager
async def connected(handler=echo, server_tls=None, **options):
    """A server, and a reader and writer of a connection to it."""
    async with await native.start_server(handler, "127.0.0.1", 0, ssl=server_tls) as server:
        reader, writer = await native.open_connection(*server.sockets[0].getsockname(), **options)
        try:
            yield reader, writer
        finally:
            writer.close()


# --- the reader -------------------------------------------------------------------------------------------------------


async def test_read():
    reader = reader_of(b"abc", b"def", b"ghi")
    assert await reader.read(0) == b""
    assert await reader.read(2) == b"ab"
    assert await reader.read(2) == b"c"
    assert not reader.at_eof()
    assert await reader.read() == b"defghi"
    assert reader.at_eof()
    with trio.testing.assert_checkpoints():
        assert await reader.read() == b""
    with trio.testing.assert_checkpoints():
        assert await reader.read(5) == b""


async def test_what_is_there_stays_in_a_cancelled_scope():
    reader = reader_of(b"abc")
    assert await reader.read(1) == b"a"
    for read in reader.read, reader.readexactly:
        with trio.CancelScope() as scope:
            scope.cancel()
            await read(1)
        assert scope.cancelled_caught
    assert await reader.read() == b"bc"


async def test_reads_of_what_is_there_are_checkpoints():
    reader = reader_of(b"one\ntwo\nthree--four")
    assert await reader.readline() == b"one\n"
    for read, expected in (
        (lambda: reader.read(0), b""),
        (lambda: reader.read(1), b"t"),
        (lambda: reader.readexactly(0), b""),
        (lambda: reader.readexactly(1), b"w"),
        (reader.readline, b"o\n"),
        (lambda: reader.readuntil(b"--"), b"three--"),
        (reader.read, b"four"),
    ):
        with trio.testing.assert_checkpoints():
            assert await read() == expected


async def test_readexactly():
    reader = reader_of(b"abc", b"def", b"gh")
    assert await reader.readexactly(0) == b""
    assert await reader.readexactly(4) == b"abcd"
    with pytest.raises(native.IncompleteReadError) as caught:
        await reader.readexactly(5)
    assert (caught.value.partial, caught.value.expected) == (b"efgh", 5)
    with pytest.raises(ValueError):
        await reader.readexactly(-1)


async def test_lines():
    reader = reader_of(b"one\ntw", b"o\n", b"\nlast")
    assert [line async for line in reader] == [b"one\n", b"two\n", b"\n", b"last"]
    assert await reader.readline() == b""


async def test_readuntil():
    reader = reader_of(b"a-", b"-b", b"--c;d--", b"e")
    assert await reader.readuntil(b"--") == b"a--"
    assert await reader.readuntil((b"--", b"x")) == b"b--"
    assert await reader.readuntil((b"--", b";")) == b"c;"
    assert await reader.readuntil((b"d--", b"-", b"--")) == b"d-"
    assert await reader.readuntil((b"-", b"zz")) == b"-"
    with pytest.raises(native.IncompleteReadError) as caught:
        await reader.readuntil(b"--")
    assert (caught.value.partial, caught.value.expected) == (b"e", None)
    for separator in (b"", (), (b"", b"x")):
        with pytest.raises(ValueError):
            await reader.readuntil(separator)


async def test_what_is_longer_than_the_limit():
    reader = reader_of(b"abcdefgh", b"ij\nkl\n", limit=4)
    with pytest.raises(native.LimitOverrunError) as caught:
        await reader.readuntil(b"\n")
    assert caught.value.consumed == 8
    with pytest.raises(ValueError, match="limit"):
        await reader.readline()
    with pytest.raises(ValueError, match="limit"):
        native.StreamReader(trio.testing.MemoryReceiveStream(), 0)
    reader = reader_of(b"abcdefgh\nij\n", limit=4)
    with pytest.raises(ValueError, match="limit"):
        await reader.readline()
    assert await reader.readline() == b"ij\n"


def test_cancelled_at_each_step_a_reader_loses_nothing():
    async def case(cut):
        reader, got = reader_of(b"one\ntw", b"o\nabc", b"defg", b"--rest"), []

        async def read():
            got.append(await reader.readline())
            got.append(await reader.readline())
            got.append(await reader.readexactly(5))
            got.append(await reader.readuntil(b"--"))
            got.append(await reader.read(2))
            got.append(await reader.read())

        await cut(read())
        got.append(await reader.read())
        assert b"".join(got) == b"one\ntwo\nabcdefg--rest"

    assert trio.run(at_each_step, case) > 4


async def test_two_tasks_cannot_read_at_once():
    async with connected() as (reader, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.read, 1)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await reader.read(1)
            nursery.cancel_scope.cancel()


# --- connections ------------------------------------------------------------------------------------------------------


async def test_echo():
    async with connected() as (reader, writer):
        assert isinstance(reader, native.StreamReader)
        assert isinstance(writer, native.StreamWriter)
        writer.write(b"one\n")
        assert await reader.readline() == b"one\n"  # sent without a drain()
        writer.writelines([b"two", bytearray(b"\n"), memoryview(b"three\n")])
        await writer.drain()
        assert [await reader.readline(), await reader.readline()] == [b"two\n", b"three\n"]
        assert writer.can_write_eof()
        writer.write(b"end")
        writer.write_eof()
        assert await reader.read() == b"end"
        with pytest.raises(trio.ClosedResourceError):
            writer.write(b"more")


@pytest.mark.parametrize("with_tls", [False, True])
async def test_much_at_once_goes_as_fast_as_it_is_read(tls, with_tls):
    async def handler(reader, writer):
        writer.write(MUCH)
        assert not writer.is_closing()
        await writer.drain()
        writer.close()
        assert writer.is_closing()
        await writer.wait_closed()

    server_tls, client_tls = tls if with_tls else (None, None)
    async with connected(handler, server_tls, ssl=client_tls, server_hostname="localhost" if with_tls else None) as (
        reader,
        _,
    ):
        assert await reader.read() == MUCH


async def test_drain_waits_for_who_does_not_read():
    go_on, got = native.Event(), []

    async def handler(reader, writer):
        await go_on.wait()
        got.append(await reader.read())

    async with connected(handler) as (_, writer):
        writer.write(MUCH)
        with trio.move_on_after(0.01) as scope:
            await writer.drain()
        assert scope.cancelled_caught
        go_on.set()
        await writer.drain()
    assert got == [MUCH]


async def test_what_came_before_the_connection_broke_can_be_read():
    begun = native.Event()

    async def handler(reader, writer):
        writer.write(b"the end")
        await begun.wait()

    async with connected(handler) as (reader, writer):
        assert await reader.read(4) == b"the "
        begun.set()
        await native.sleep(0.01)
        with pytest.raises(OSError):
            for _ in range(100):
                writer.write(MUCH)
                await writer.drain()
        assert await reader.readexactly(3) == b"end"


async def test_extra_info(tls):
    async with connected() as (_, writer):
        sock = writer.get_extra_info("socket")
        assert writer.get_extra_info("peername") == sock.getpeername()
        assert writer.get_extra_info("sockname") == sock.getsockname()
        assert writer.get_extra_info("cipher", "none") == "none"
    await writer.wait_closed()
    assert writer.get_extra_info("peername") is None
    async with connected(echo, tls[0], ssl=tls[1], server_hostname="localhost") as (_, writer):
        assert writer.get_extra_info("peercert")["subjectAltName"] == (("DNS", "localhost"),)
        assert writer.get_extra_info("sslcontext") is tls[1]
        assert writer.get_extra_info("ssl_object").version().startswith("TLS")
        assert len(writer.get_extra_info("cipher")) == 3
        assert writer.get_extra_info("compression") is None
        assert writer.get_extra_info("peername")


async def test_close_sends_what_was_written():
    got = []

    async def handler(reader, writer):
        got.append(await reader.read())

    async with connected(handler) as (_, writer):
        writer.write(MUCH)
        writer.close()
        with pytest.raises(trio.ClosedResourceError):
            writer.write(b"more")
        await writer.wait_closed()
    assert got == [MUCH]


async def test_a_broken_connection():
    async def handler(reader, writer):
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # to reset it

    async with connected(handler) as (reader, writer):
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        with pytest.raises(OSError):
            for _ in range(100):
                writer.write(MUCH)
                await writer.drain()
        assert writer.is_closing()
        writer.write(b"into nothing")
        with pytest.raises(OSError):
            await writer.drain()
        with pytest.raises(OSError):
            await writer.wait_closed()


async def test_reading_from_what_this_side_has_closed():
    async with connected() as (reader, writer):
        writer.close()
        await writer.wait_closed()
        with pytest.raises(trio.ClosedResourceError):
            await reader.read()


def test_connections_and_servers_end_with_the_run():
    async def main():
        server = await native.start_server(echo, "127.0.0.1", 0)
        reader, writer = await native.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x")
        assert await reader.read(1) == b"x"
        return server

    server = native.run(main())  # tests/leaves.py looks for their sockets
    assert not server.is_serving()


async def test_a_server_whose_callback_starts_a_task():
    """As on asyncio, what is no coroutine is not the server's to run."""
    async with native.TaskGroup() as group:
        server = await native.start_server(lambda *streams: group.create_task(echo(*streams)), "127.0.0.1", 0)
        async with server:
            reader, writer = await native.open_connection(*server.sockets[0].getsockname())
            writer.write(b"x")
            assert await reader.read(1) == b"x"
            writer.close()
            await writer.wait_closed()


async def test_no_answer():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            await native.open_connection(*sock.getsockname())
        with pytest.raises(ConnectionRefusedError):
            await native.open_connection("localhost", sock.getsockname()[1])


async def test_a_socket_that_is_connected():
    here, there = socket.socketpair()
    with there:
        with trio.testing.assert_checkpoints():
            reader, writer = await native.open_connection(sock=here, limit=10)
        writer.write(b"hello")
        with trio.testing.assert_checkpoints():
            await writer.drain()
        assert there.recv(10) == b"hello"
        there.send(b"hi")
        assert await reader.read(10) == b"hi"
        writer.close()
        await writer.wait_closed()


async def test_local_addr():
    async with connected(local_addr=("127.0.0.1", 0)) as (_, writer):
        assert writer.get_extra_info("sockname")[0] == "127.0.0.1"


async def test_what_is_refused():
    def handler(reader, writer):
        raise AssertionError

    for function, options, error in (
        (native.open_connection, {"family": socket.AF_INET}, TypeError),
        (native.open_connection, {"local_addr": ("127.0.0.1", 5)}, TypeError),
        (native.open_connection, {"ssl_shutdown_timeout": 1}, TypeError),
        (native.open_unix_connection, {"path": "x", "unknown": 1}, TypeError),
        (native.open_connection, {"sock": object(), "host": "x"}, ValueError),
        (native.open_unix_connection, {"sock": object(), "path": "x"}, ValueError),
        (native.open_connection, {}, ValueError),
        (native.open_unix_connection, {}, ValueError),
    ):
        with pytest.raises(error):
            await function(**options)
    for function, options, error in (
        (native.start_server, {"port": 0, "reuse_port": True}, TypeError),
        (native.start_server, {"port": 0, "reuse_address": False}, TypeError),
        (native.start_server, {"port": 0, "sock": object()}, ValueError),
        (native.start_server, {}, ValueError),
        (native.start_unix_server, {}, ValueError),
        (native.start_unix_server, {"path": "x", "cleanup_socket": True}, TypeError),
    ):
        with pytest.raises(error):
            await function(handler, **options)
    async with connected() as (reader, writer):
        for name, thing in (("transport", writer), ("feed_data", reader), ("feed_eof", reader)):
            with pytest.raises(AttributeError, match="trio"):
                getattr(thing, name)
    with pytest.raises(ValueError, match="ssl"):  # before it connects
        await native.open_connection("127.0.0.1", 1, server_hostname="x")
    with pytest.raises(ValueError, match="ssl"):
        await native.open_unix_connection("/nowhere", server_hostname="x")


def test_without_a_nursery():
    async def main():
        for function in (native.open_connection, native.open_unix_connection):
            with pytest.raises(RuntimeError, match="open_background"):
                await function()
        for function in (native.start_server, native.start_unix_server):
            with pytest.raises(RuntimeError, match="open_background"):
                await function(echo)
        async with native.open_background():
            server = await native.start_server(echo, "127.0.0.1", 0, start_serving=False)
        with pytest.raises(RuntimeError, match="open_background"):
            await server.start_serving()
        server.close()
        with trio.fail_after(1):
            await server.wait_closed()

    trio.run(main)


def test_a_connection_whose_nursery_is_left_meanwhile():
    """It would be reported as unclosed."""

    async def connect(port):
        with pytest.raises(RuntimeError, match="open_background"):
            await native.open_connection("127.0.0.1", port)

    async def main():
        with socket.create_server(("127.0.0.1", 0)) as sock:
            async with trio.open_nursery() as nursery:
                async with native.open_background():
                    nursery.start_soon(connect, sock.getsockname()[1])
                    await trio.sleep(0)

    trio.run(main)


# --- servers ----------------------------------------------------------------------------------------------------------


def bound_socket():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@pytest.mark.parametrize("start_serving", [False, True])
async def test_start_server_is_a_checkpoint_and_leaves_nothing_when_it_is_cancelled(start_serving):
    with trio.testing.assert_checkpoints():
        server = await native.start_server(echo, sock=bound_socket(), start_serving=start_serving)
    server.close()
    sock = bound_socket()
    address = sock.getsockname()
    with trio.CancelScope() as scope:
        scope.cancel()
        await native.start_server(echo, sock=sock, start_serving=start_serving)
    assert scope.cancelled_caught
    with pytest.raises(ConnectionRefusedError):
        await native.open_connection(*address)


async def test_server():
    server = await native.start_server(echo, ["127.0.0.1"], 0, start_serving=False)
    assert not server.is_serving()
    [sock] = server.sockets
    forever = native.create_task(server.serve_forever())
    reader, writer = await native.open_connection(*sock.getsockname())
    assert server.is_serving()
    server.close()
    server.close()
    assert (server.is_serving(), server.sockets) == (False, ())
    with pytest.raises(ConnectionRefusedError):
        await native.open_connection(*writer.get_extra_info("peername"))
    writer.write(b"still there")
    assert await reader.read(100) == b"still there"
    with trio.move_on_after(0.01) as scope:
        await server.wait_closed()
    assert scope.cancelled_caught  # it waits for the connection
    writer.close()
    await server.wait_closed()
    await forever
    with pytest.raises(RuntimeError, match="closed"):
        await server.start_serving()
    for name in ("get_loop", "close_clients", "abort_clients"):
        with pytest.raises(AttributeError, match="trio"):
            getattr(server, name)


async def test_a_server_that_has_one_address_of_two_leaves_nothing():
    """The first would be reported as unclosed."""
    with pytest.raises(OSError):
        await native.start_server(echo, ["127.0.0.1", "256.0.0.1"], 0)


async def test_server_that_never_serves():
    async with await native.start_server(echo, "127.0.0.1", 0, start_serving=False) as server:
        assert len(server.sockets) == 1


async def test_serve_forever_closes_when_it_is_cancelled():
    server = await native.start_server(echo, "127.0.0.1", 0)
    with trio.move_on_after(0.01):
        await server.serve_forever()
    assert not server.is_serving()
    await server.wait_closed()


async def test_server_of_a_socket():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    async with await native.start_server(echo, sock=sock) as server:
        reader, writer = await native.open_connection(*server.sockets[0].getsockname())
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


async def test_a_plain_function_as_handler():
    tasks = []

    def handler(reader, writer):
        tasks.append(native.create_task(echo(reader, writer)))

    async with connected(handler) as (reader, writer):
        writer.write(b"x")
        writer.write_eof()
        assert await reader.read() == b"x"
    await native.gather(*tasks)


async def test_a_handler_is_a_task_and_its_connection_ends_with_it():
    async def handler(reader, writer):
        writer.write(type(native.current_task()).__name__.encode())

    async with connected(handler) as (reader, _):
        assert await reader.read() == b"Task"


async def test_a_handler_that_cancels_itself():
    async def handler(reader, writer):
        writer.write(b"so far")
        native.current_task().cancel()
        await native.sleep(0)

    async with connected(handler) as (reader, _):
        assert await reader.read() == b"so far"


def test_an_error_of_a_handler_ends_the_run():
    async def handler(reader, writer):
        raise KeyError("in the handler")

    async def main():
        async with connected(handler) as (reader, _):
            await reader.read()
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        native.run(main())
    error = caught.value
    while isinstance(error, ExceptionGroup):
        [error] = error.exceptions
    assert repr(error) == "KeyError('in the handler')"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no Unix sockets")
async def test_unix(tmp_path):
    path = str(tmp_path / "socket")
    for _ in range(2):  # the second replaces what the first has left
        async with await native.start_unix_server(echo, path) as server:
            reader, writer = await native.open_unix_connection(path)
            writer.write(b"hello")
            writer.write_eof()
            assert await reader.read() == b"hello"
            writer.close()
            assert server.sockets[0].getsockname() == path
        assert os.path.exists(path)
    here, there = socket.socketpair()
    with there:
        reader, writer = await native.open_unix_connection(sock=here)
        there.send(b"x")
        assert await reader.read(1) == b"x"
        writer.close()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="in use"):
        await native.start_unix_server(echo, str(tmp_path / "file"))


# --- TLS --------------------------------------------------------------------------------------------------------------


async def test_tls(tls):
    async with connected(echo, tls[0], ssl=tls[1], server_hostname="localhost") as (reader, writer):
        writer.write(b"secret")
        assert await reader.read(100) == b"secret"
        assert not writer.can_write_eof()
        with pytest.raises(NotImplementedError):
            writer.write_eof()
        writer.write(MUCH)
        assert await reader.readexactly(len(MUCH)) == MUCH


async def test_a_certificate_that_is_not_trusted(tls, caplog):
    caplog.set_level(logging.DEBUG, "compat.native")
    async with await native.start_server(echo, "127.0.0.1", 0, ssl=tls[0]) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ssl.SSLCertVerificationError):
            await native.open_connection("127.0.0.1", port, ssl=True)
        reader, writer = await native.open_connection("127.0.0.1", port, ssl=tls[1], server_hostname="localhost")
        writer.write(b"the server goes on")
        assert await reader.readexactly(18) == b"the server goes on"
        writer.close()
    assert ["TLS handshake" in record.message for record in caplog.records] == [True]


async def test_a_handshake_that_takes_too_long():
    async def silent(reader, writer):
        await reader.read()

    with pytest.raises(TimeoutError):
        async with connected(silent, ssl=ssl.create_default_context(), ssl_handshake_timeout=0.01):
            pass


async def test_start_tls(tls):
    async def handler(reader, writer):
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go\n")
        await writer.start_tls(tls[0])
        await echo(reader, writer)

    async with connected(handler) as (reader, writer):
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go\n"
        await writer.start_tls(tls[1], server_hostname="localhost")
        writer.write(b"secret")
        assert await reader.read(100) == b"secret"
        assert writer.get_extra_info("cipher")


async def test_start_tls_on_what_was_received_early(tls):
    """The client's handshake comes with the line before it, and the reader has both in its buffer."""

    async def handler(reader, writer):
        assert await reader.readline() == b"PROXY\n"
        address = writer.get_extra_info("peername")
        await writer.start_tls(tls[0], ssl_handshake_timeout=10)
        assert writer.get_extra_info("peername") == address
        await echo(reader, writer)

    async with connected(handler) as (reader, writer):
        client = TLSByHand(reader, writer, tls[1], "localhost")
        await client.do_handshake(after=b"PROXY\n")
        await client.write(b"secret")
        assert await client.read(100) == b"secret"


async def test_start_tls_leaves_a_client_what_came_before(tls):
    async def handler(reader, writer):
        writer.write(b"hello\nstart\n")
        await writer.start_tls(tls[0])
        await echo(reader, writer)

    async with connected(handler) as (reader, writer):
        assert await reader.readline() == b"hello\n"
        await writer.start_tls(tls[1], server_hostname="localhost")
        assert await reader.readline() == b"start\n"
        writer.write(b"secret")
        assert await reader.read(100) == b"secret"


async def test_start_tls_with_the_wrong_name(tls, caplog):
    async def handler(reader, writer):
        with pytest.raises(OSError):
            await writer.start_tls(tls[0])

    async with connected(handler) as (_, writer):
        with pytest.raises(ssl.SSLCertVerificationError):
            await writer.start_tls(tls[1], server_hostname="elsewhere")


# --- cancellation at every step ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_tls", [False, True])
def test_cancelled_at_each_step_no_byte_is_lost(tls, with_tls):
    """What write() has taken comes, whatever is cancelled; what a read has not returned is there for the next."""
    server_tls, client_tls = tls if with_tls else (None, None)
    options = {"ssl": client_tls, "server_hostname": "localhost"} if with_tls else {}
    chunk, chunks = bytes(range(250)) * 400, 2

    async def case(cut):
        sent, got, echoed = 0, bytearray(), bytearray()

        async def handler(reader, writer):
            while data := await reader.read(2**16):
                got.extend(data)
                writer.write(data)
                await writer.drain()

        async with await native.start_server(handler, "127.0.0.1", 0, ssl=server_tls) as server:
            address = server.sockets[0].getsockname()
            reader, writer = await native.open_connection(*address, **options)

            async def work():
                nonlocal sent
                for _ in range(chunks):
                    writer.write(chunk)
                    sent += len(chunk)
                    await writer.drain()
                    echoed.extend(await reader.readexactly(len(chunk)))

            await cut(work())
            echoed.extend(await reader.readexactly(sent - len(echoed)))
            writer.close()
            await writer.wait_closed()
        assert bytes(got) == bytes(echoed) == chunk * (sent // len(chunk))

    assert trio.run(at_each_step, case) > 10


@pytest.mark.parametrize("with_tls", [False, True])
def test_cancelled_at_each_step_no_connection_is_left(tls, with_tls):
    server_tls, client_tls = tls if with_tls else (None, None)
    options = {"ssl": client_tls, "server_hostname": "localhost"} if with_tls else {}

    async def case(cut):
        async def work():
            async with await native.start_server(echo, "127.0.0.1", 0, ssl=server_tls) as server:
                reader, writer = await native.open_connection(*server.sockets[0].getsockname(), **options)
                writer.write(b"x")
                assert await reader.read(1) == b"x"
                writer.close()
                await writer.wait_closed()

        await cut(work())  # tests/leaves.py looks for sockets

    assert trio.run(at_each_step, case) > 10
