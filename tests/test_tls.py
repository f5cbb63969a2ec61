"""Streams over TLS: each program runs on the real asyncio first, and must give the same on ours."""

import asyncio as std
import gc
import socket
import ssl
import threading
import time

import pytest
import trio
import trustme

import compat
from by_hand import TLSByHand
from compat import asyncio
from test_streams import (
    BULK,
    HOST,
    IS_AT_LEAST_3_13,
    closed,
    contexts_of_connections,
    files_sent,
    in_loop,
    leaving_no_task,
    move_in_bulk,
    outcome,
    server_elsewhere,
    serving,
)
from worlds import PATIENCE, moments, nothing_left, on_both

CA = trustme.CA()
OTHER_CA = trustme.CA()
PROGRAMS = []


def program(function):
    """Collect an async program(asyncio) that is to give the same on both."""
    PROGRAMS.append(function)
    return function


def server_context(*, asks_for_client=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("localhost", HOST).configure_cert(context)
    context.set_alpn_protocols(["mirror", "echo"])
    if asks_for_client:
        CA.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(*, trusts=CA, certificate=False):
    context = ssl.create_default_context()
    trusts.configure_trust(context)
    context.set_alpn_protocols(["echo"])
    if certificate:
        CA.issue_cert("client@example.org").configure_cert(context)
    return context


async def echo(reader, writer):
    try:
        while block := await reader.read(10_000):
            writer.write(block)
            await writer.drain()
    except OSError:
        pass
    await closed(writer)


@program
async def echo_and_what_is_known_of_tls(asyncio):
    server, connect = await serving(asyncio, echo, ssl=server_context())
    reader, writer = await connect(ssl=client_context(), server_hostname="localhost")
    log = []
    for size in (1, 1000, 100_000):
        writer.write(b"x" * size)
        await writer.drain()
        log.append(len(await reader.readexactly(size)))
    tls = writer.get_extra_info("ssl_object")
    log += [type(tls), tls.selected_alpn_protocol(), tls.version(), writer.get_extra_info("cipher")]
    log.append(sorted(writer.get_extra_info("peercert")))
    log += [writer.get_extra_info("compression"), isinstance(writer.get_extra_info("sslcontext"), ssl.SSLContext)]
    log += [writer.get_extra_info("peername")[0], writer.can_write_eof()]
    try:
        writer.write_eof()
    except NotImplementedError as error:
        log.append(type(error).__name__)
    writer.close()
    log += [writer.is_closing(), await outcome(writer.wait_closed()), await reader.read()]
    await closed(server)
    return log


@program
async def certificate_of_another_host(asyncio):
    """Where no name is given, it must be that of the host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("another.example").configure_cert(context)
    server, connect = await serving(asyncio, echo, ssl=context)
    log = [await outcome(connect(ssl=client_context()))]
    reader, writer = await connect(ssl=client_context(), server_hostname="another.example")
    writer.write(b"x")
    log.append(await reader.readexactly(1))
    await closed(writer, server)
    return log


@program
async def much_both_ways(asyncio):
    size = 3_000_000

    async def source_and_sink(reader, writer):
        writer.write(b"s" * size)
        got = await reader.readexactly(size)
        writer.write(b"%d" % len(got))
        await closed(writer)

    server, connect = await serving(asyncio, source_and_sink, ssl=server_context())
    reader, writer = await connect(ssl=client_context())
    log = []

    async def send():
        for _ in range(size // 50_000):
            writer.write(b"c" * 50_000)
            await writer.drain()

    sending = asyncio.create_task(send())
    log.append(len(await reader.readexactly(size)))
    await sending
    log.append(await reader.read())
    await closed(writer, server)
    return log


@program
async def who_is_not_trusted(asyncio):
    reports = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context["message"]))
    server, connect = await serving(asyncio, echo, ssl=server_context())
    log = []
    for options in (
        {"ssl": True},
        {"ssl": client_context(trusts=OTHER_CA)},
        {"ssl": client_context(), "server_hostname": "elsewhere.example.org"},
    ):
        kind, message = await outcome(connect(**options))
        log.append((kind, message))
    await closed(server)
    return log, reports


@program
async def certificates_of_clients(asyncio):
    async def who(reader, writer):
        writer.write(repr(writer.get_extra_info("peercert")["subjectAltName"]).encode())
        await closed(writer)

    server, connect = await serving(asyncio, who, ssl=server_context(asks_for_client=True))
    reader, writer = await connect(ssl=client_context(certificate=True))
    log = [await reader.read()]
    await closed(writer)
    # With TLS 1.3 it is only told when it has sent its own part.
    reader, writer = await connect(ssl=client_context())
    ended = await outcome(reader.read())
    log.append(ended if isinstance(ended, bytes) else ended[0])
    await closed(writer, server)
    return log


@program
async def peers_that_do_not_speak_tls(asyncio):
    async def mute(reader, writer):
        await outcome(reader.read())
        await closed(writer)

    async def hang_up(reader, writer):
        await closed(writer)

    async def chat(reader, writer):
        writer.write(b"220 welcome\r\n" * 5)
        await outcome(reader.read())
        await closed(writer)

    log = []
    for handler in (mute, hang_up, chat):
        server, connect = await serving(asyncio, handler)
        patience = 0.2 if handler is mute else PATIENCE
        log.append(await outcome(connect(ssl=client_context(), ssl_handshake_timeout=patience)))
        await closed(server)
    # The other way round: a client that does not.
    reports = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context["message"]))
    server, connect = await serving(asyncio, echo, ssl=server_context(), ssl_handshake_timeout=0.2)
    for word in (b"", b"nonsense\n" * 10):
        reader, writer = await connect()
        writer.write(word)
        log.append((await outcome(reader.read()))[:0])
        await closed(writer)
    await closed(server)
    return log, reports


@program
async def cancelled_handshake(asyncio):
    async def mute(reader, writer):
        await outcome(reader.read())
        await closed(writer)

    server, connect = await serving(asyncio, mute)
    task = asyncio.create_task(connect(ssl=client_context()))
    await asyncio.sleep(0.05)
    task.cancel()
    log = [await outcome(task), task.cancelled()]
    log.append(await outcome(asyncio.wait_for(connect(ssl=client_context()), 0.05)))
    await closed(server)
    return log


@program
async def upgrade_of_a_live_connection(asyncio):
    log, ended = [], asyncio.Event()

    async def handler(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        await writer.start_tls(server_context())
        log.append(writer.get_extra_info("peername")[0])
        writer.write((await reader.readline()).upper())
        await writer.drain()
        log.append(await reader.read())
        await closed(writer)
        ended.set()

    server, connect = await serving(asyncio, handler)
    reader, writer = await connect()
    writer.write(b"plain\n")
    log += [await reader.readline(), writer.get_extra_info("sslcontext"), writer.can_write_eof()]
    await writer.start_tls(client_context(), server_hostname="localhost")
    log += [writer.get_extra_info("ssl_object").version(), writer.can_write_eof()]
    writer.write(b"secret\n")
    log.append(await reader.readline())
    await closed(writer)
    await ended.wait()
    server.close()
    await server.wait_closed()
    return log


@program
async def upgrade_that_fails(asyncio):
    begins = asyncio.Event()

    async def handler(reader, writer):
        await reader.readline()
        context = server_context()
        begins.set()
        try:
            await writer.start_tls(context, ssl_handshake_timeout=PATIENCE)
        except OSError:
            pass
        await closed(writer)

    server, connect = await serving(asyncio, handler)
    reader, writer = await connect()
    log = [await outcome(writer.start_tls("no context"))]
    writer.write(b"\n")
    await begins.wait()  # what comes before the server's own start_tls() is lost on TLS
    log.append(await outcome(writer.start_tls(client_context(trusts=OTHER_CA), server_hostname="localhost")))
    log += [writer.is_closing(), (await outcome(reader.read()))[:0]]
    await closed(writer, server)
    return log


async def upgrade_on_what_was_received_early(asyncio):
    """The client's handshake comes with the line before it."""
    log = []

    async def handler(reader, writer):
        log.append(await reader.readline())
        await writer.start_tls(server_context(), ssl_handshake_timeout=10)
        writer.write((await reader.readexactly(6)).upper())
        await closed(writer)

    server, connect = await serving(asyncio, handler)
    reader, writer = await connect()
    client = TLSByHand(reader, writer, client_context(), "localhost")
    await client.do_handshake(after=b"PROXY\n")
    await client.write(b"secret")
    log.append(await client.read(100))
    await closed(writer, server)
    return log


# Before 3.14.4, and in older releases of 3.13, asyncio leaves it in the reader's buffer, and the handshake never ends.
if "_stream_reader" in std.BaseEventLoop.start_tls.__code__.co_consts:
    program(upgrade_on_what_was_received_early)


@program
async def end_without_goodbye(asyncio):
    async def handler(reader, writer):
        writer.write(b"some")
        await reader.readexactly(1)
        # What TLS does not know of: asyncio takes it for an end.
        with writer.get_extra_info("socket").dup() as sock:
            sock.shutdown(socket.SHUT_WR)
        writer.transport.abort()

    server, connect = await serving(asyncio, handler, ssl=server_context())
    reader, writer = await connect(ssl=client_context())
    log = [await reader.readexactly(4)]
    writer.write(b"!")
    log.append(await reader.read())
    await asyncio.sleep(0.05)
    log += [writer.is_closing(), await outcome(writer.wait_closed())]
    await closed(server)
    return log


@program
async def goodbye_that_is_not_answered(asyncio):
    accepted = asyncio.get_running_loop().create_future()

    async def handler(reader, writer):
        writer.transport.pause_reading()
        accepted.set_result(writer)

    server, connect = await serving(asyncio, handler, ssl=server_context())
    reader, writer = await connect(ssl=client_context(), ssl_shutdown_timeout=0.1)
    other = await accepted
    writer.close()
    log = [await outcome(writer.wait_closed()), (await outcome(reader.read()))]
    other.transport.abort()
    await closed(server)
    return log


@program
async def tls_over_a_unix_socket(asyncio):
    path = f"{id(asyncio)}.socket"
    server = await asyncio.start_unix_server(echo, path, ssl=server_context())
    reader, writer = await asyncio.open_unix_connection(path, ssl=client_context(), server_hostname="localhost")
    writer.write(b"hello\n")
    log = [await reader.readline(), writer.get_extra_info("ssl_object").selected_alpn_protocol()]
    await closed(writer, server)
    return log


@program
async def server_that_ends_its_clients(asyncio):
    if not IS_AT_LEAST_3_13:
        return []
    log = []

    async def handler(reader, writer):
        writer.write(b"x" * 100)
        log.append(await outcome(reader.read()))
        await closed(writer)

    for end in ("close_clients", "abort_clients"):
        server, connect = await serving(asyncio, handler, ssl=server_context())
        pairs = [await connect(ssl=client_context()) for _ in range(5)]
        await moments(asyncio)
        server.close()
        getattr(server, end)()
        await server.wait_closed()
        log += [await outcome(reader.read()) for reader, _ in pairs]
        await closed(*[writer for _, writer in pairs])
    return log


@program
async def steps_of_the_end(asyncio):
    """What each side sees in each iteration, from close() to connection_lost()."""
    log = []

    class Side(asyncio.Protocol):
        def __init__(self, name):
            self.name = name
            self.lost = asyncio.get_running_loop().create_future()

        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            log.append((self.name, data, self.transport.is_closing()))

        def eof_received(self):
            log.append((self.name, "eof", self.transport.is_closing()))

        def connection_lost(self, error):
            log.append((self.name, "lost", error, self.transport.is_closing()))
            self.lost.set_result(None)

    loop = asyncio.get_running_loop()
    ends = socket.socketpair()
    client, server = Side("client"), Side("server")
    _, (transport, _) = await asyncio.gather(
        loop.connect_accepted_socket(lambda: server, ends[0], ssl=server_context()),
        loop.create_connection(lambda: client, sock=ends[1], ssl=client_context(), server_hostname="localhost"),
    )
    await moments(asyncio)
    transport.write(b"last words")
    transport.close()
    transport.write(b"too late")
    for _ in range(10):
        log.append((transport.is_closing(), transport.get_write_buffer_size(), client.lost.done()))
        await asyncio.sleep(0)
    await client.lost
    await server.lost
    return log


@program
async def unsent_when_the_peer_breaks_off(asyncio):
    """The client ends without goodbye while the server has much left to send: it is sent all the same."""
    size = 2_000_000
    ended = asyncio.get_running_loop().create_future()

    async def handler(reader, writer):
        writer.write(b"x" * size)
        log = [await reader.read(), writer.is_closing(), writer.transport.get_write_buffer_size() > 0]
        log.append(await outcome(writer.wait_closed()))
        ended.set_result(log)

    server, connect = await serving(asyncio, handler, ssl=server_context())
    reader, writer = await connect(ssl=client_context())
    with writer.get_extra_info("socket").dup() as sock:
        sock.shutdown(socket.SHUT_WR)
    await asyncio.sleep(0.05)
    log = [len(await reader.read()), await ended]
    await closed(writer, server)
    return log


@program
async def upgrade_with_plain_data_unsent(asyncio):
    """What was written before start_tls() goes first, in the open."""
    size = 3_000_000
    loop = asyncio.get_running_loop()
    ours, other = socket.socketpair()
    got = []

    def peer():
        time.sleep(0.05)
        left = size
        while left:
            left -= len(other.recv(min(left, 100_000)))
        with client_context().wrap_socket(other, server_hostname="localhost") as tls:
            got.append(tls.recv(100))
            tls.sendall(b"fine")

    thread = threading.Thread(target=peer)
    thread.start()
    answer = loop.create_future()

    class Plain(asyncio.Protocol):
        def data_received(self, data):
            answer.set_result(data)

    transport, protocol = await loop.create_connection(Plain, sock=ours)
    transport.set_write_buffer_limits(high=size)
    transport.write(b"x" * size)
    log = [transport.get_write_buffer_size() > 0]
    transport = await loop.start_tls(transport, protocol, server_context(), server_side=True)
    transport.write(b"hello")
    log += [await answer, got]
    transport.close()
    await asyncio.to_thread(thread.join)
    await asyncio.sleep(0.02)
    return log


@program
async def tls_in_tls(asyncio):
    async def handler(reader, writer):
        await writer.start_tls(server_context())
        writer.write((await reader.readline()).upper())
        await closed(writer)

    server, connect = await serving(asyncio, handler, ssl=server_context())
    reader, writer = await connect(ssl=client_context())
    await writer.start_tls(client_context(), server_hostname="localhost")
    writer.write(b"hello\n")
    log = [await reader.read(), writer.get_extra_info("ssl_object").version()]
    await closed(writer, server)
    return log


@program
async def files_sent_over_tls(asyncio):
    log = await files_sent(asyncio, {"ssl": server_context()}, {"ssl": client_context()})
    server, connect = await serving(asyncio, echo, ssl=server_context())
    _, writer = await connect(ssl=client_context())
    with open("file", "rb") as file:
        sending = asyncio.get_running_loop().sendfile(writer.transport, file, fallback=False)
        log.append((await outcome(sending))[1].partition(" <")[0])
    await closed(writer, server)
    return log


@program
async def contexts(asyncio):
    client = {"ssl": client_context(), "server_hostname": "localhost"}
    return await contexts_of_connections(asyncio, server=server_context(), client=client)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_same_on_both(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(asyncio):
        with nothing_left():
            return asyncio.run(leaving_no_task(asyncio, program))

    theirs, ours = on_both(run)
    assert ours == theirs


def test_a_reader_that_is_full_stays_paused_when_tls_begins():
    size = 20_000_000  # bytes: more than the system takes

    async def main():
        all_sent = asyncio.Event()

        async def handle(reader, writer):
            writer.write(b"open" * 1000)
            await writer.start_tls(server_context())
            for _ in range(size // 100_000):
                writer.write(bytes(100_000))
                await writer.drain()
            all_sent.set()
            await closed(writer)

        server, connect = await serving(asyncio, handle)
        reader, writer = await connect(limit=1000)
        while "paused" not in repr(reader):
            await asyncio.sleep(0)
        await writer.start_tls(client_context(), server_hostname="localhost")
        await asyncio.sleep(0.2)
        assert not all_sent.is_set()
        assert await reader.readexactly(4000) == b"open" * 1000
        assert await reader.readexactly(size) == bytes(size)
        assert await reader.read() == b""
        await closed(writer, server)

    asyncio.run(main())


@pytest.mark.parametrize("how", ["Task.cancel()", "trio scope"])
@pytest.mark.parametrize("what", ["open_connection", "open_unix_connection", "start_tls", "start_tls over memory"])
def test_a_cancelled_handshake_leaves_nothing_open(what, how, tmp_path):
    async def mute(reader, writer):
        await outcome(reader.read())
        await closed(writer)

    async def main():
        path, options = str(tmp_path / "socket"), {"ssl": client_context(), "server_hostname": "localhost"}
        async with await asyncio.start_unix_server(mute, path):
            server, connect = await serving(asyncio, mute)
            if what == "open_connection":
                attempt = connect(**options)
            elif what == "open_unix_connection":
                attempt = asyncio.open_unix_connection(path, **options)
            else:
                mine, other = trio.testing.memory_stream_pair()
                _, writer = compat.as_streams(mine) if "memory" in what else await connect()
                attempt = writer.start_tls(options["ssl"], server_hostname="localhost")
            if how == "trio scope":
                with trio.move_on_after(0.05) as scope:
                    await attempt
                assert scope.cancelled_caught
            else:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(attempt, 0.05)
            if what == "start_tls over memory":
                assert await other.receive_some()  # the first words of the handshake, which nobody answers
                assert await other.receive_some() == b""
            await closed(server)

    with nothing_left():
        in_loop(main)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_bulk_at_bounded_memory(direction):
    move_in_bulk(direction, BULK // 4, {"ssl": server_context()}, {"ssl": client_context()})


def test_timeouts_have_to_be_positive():
    """asyncio says the same, and leaves the socket open."""

    async def main():
        server, connect = await serving(asyncio, echo)
        for name in ("ssl_handshake_timeout", "ssl_shutdown_timeout"):
            with pytest.raises(ValueError, match=f"{name} should be a positive number, got -1"):
                await connect(ssl=client_context(), **{name: -1})
        await closed(server)

    with nothing_left():
        asyncio.run(main())


@pytest.mark.parametrize(("serving_one", "client"), [(std, asyncio), (asyncio, std)], ids=["std", "ours"])
def test_with_real_asyncio(serving_one, client):
    async def main(address):
        reader, writer = await client.open_connection(*address, ssl=client_context())
        for size in (1, 1000, 50_000):
            writer.write(b"x" * size)
            assert await reader.readexactly(size) == b"x" * size
        await closed(writer)

    with server_elsewhere(serving_one, echo, ssl=server_context()) as address:
        client.run(main(address))


def test_with_trios_own_tls():
    """A trio.SSLStream as reader and writer, to a server of asyncio's; a pair over TLS as a trio stream."""

    async def main():
        server, connect = await serving(asyncio, echo, ssl=server_context())
        address = server.sockets[0].getsockname()
        tls = trio.SSLStream(await trio.open_tcp_stream(*address), client_context(), server_hostname=HOST)
        reader, writer = compat.as_streams(tls)
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        assert writer.get_extra_info("peername") == address
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        await closed(writer)

        stream = compat.as_trio_stream(*await connect(ssl=client_context()))
        await stream.send_all(b"hello\n")
        assert await stream.receive_some() == b"hello\n"
        with pytest.raises(NotImplementedError):
            await stream.send_eof()
        await stream.aclose()
        await closed(server)

    with nothing_left():
        in_loop(main)


def test_tls_in_tls_over_memory():
    async def main():
        ends = trio.testing.memory_stream_pair()
        (_, one), (_, other) = pairs = [compat.as_streams(end) for end in ends]
        other._protocol._client_connected_cb = echo  # what makes it the server's side
        for _ in range(2):
            await asyncio.gather(
                one.start_tls(client_context(), server_hostname="localhost"), other.start_tls(server_context())
            )
        one.write(b"hello\n")
        assert await pairs[1][0].readline() == b"hello\n"
        one.close()
        await closed(other, one)

    in_loop(main)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_what_was_written_last_is_sent():
    """By a program that ends without waiting for it, which leaves the goodbye unanswered and the socket open."""
    got: list[bytes] = []

    async def handler(reader, writer):
        got.append(await reader.read())
        await closed(writer)

    async def main(address):
        _, writer = await asyncio.open_connection(*address, ssl=client_context())
        writer.write(b"bye")
        writer.close()

    with server_elsewhere(std, handler, ssl=server_context()) as address:
        asyncio.run(main(address))
        for _ in range(3000):
            if got:
                break
            time.sleep(0.02)
    gc.collect()
    assert got == [b"bye"]
