"""What the loop inherits from asyncio's and adds to: given up at any moment, nothing stays open; Ctrl-C gets through.

Where asyncio's own leaves a socket behind, ours does not; tests/leaves.py looks for what is left after each test.
"""

import io
import socket
import ssl
import sys
from contextlib import suppress

import pytest
import trio

import compat
from compat import asyncio

HOST = "127.0.0.1"


class Protocol(asyncio.Protocol):
    """Closes its transport at the end of the test."""


async def in_each_batch(function):
    """Call the function in a scope that is cancelled at once, then after one batch, two and so on; until it returns."""
    for batches in range(100):
        scope = trio.CancelScope()

        async def cancel(scope=scope, batches=batches):
            for _ in range(batches):
                await asyncio.sleep(0)
            scope.cancel()

        task = asyncio.create_task(cancel())
        with scope:
            closable = await function()
            closable.close()
            task.cancel()
            return
        await task
    pytest.fail("it never returns")


@pytest.mark.parametrize("to_task", [False, True], ids=["in a trio task", "in a Task"])
def test_servers(tmp_path, to_task):
    async def main():
        loop = asyncio.get_running_loop()
        await in_each_batch(lambda: loop.create_server(Protocol, HOST, 0))
        await in_each_batch(lambda: loop.create_unix_server(Protocol, tmp_path / "socket"))
        with pytest.raises(ConnectionRefusedError):  # nobody listens any more, if the path is still there
            try:
                await loop.create_unix_connection(Protocol, tmp_path / "socket")
            except FileNotFoundError:
                raise ConnectionRefusedError from None

    compat.run((lambda: asyncio.create_task(main())) if to_task else main)


@pytest.mark.parametrize("delay", [None, 0.1], ids=["one by one", "happy eyeballs"])
def test_connections(delay):
    async def main():
        loop = asyncio.get_running_loop()
        async with await loop.create_server(Protocol, HOST, 0) as server:
            port = server.sockets[0].getsockname()[1]

            async def connect():
                transport, _ = await loop.create_connection(Protocol, HOST, port, happy_eyeballs_delay=delay)
                return transport

            await in_each_batch(connect)
            with pytest.raises(ZeroDivisionError):
                await loop.create_connection(lambda: 1 / 0, HOST, port, happy_eyeballs_delay=delay)
            server.close()
            await asyncio.sleep(0.01)  # the connections' other sides are closed, too

    compat.run(main)


def test_accepted_by_a_server_that_is_closed_or_fails():
    class Closing(asyncio.Protocol):
        def connection_made(self, transport):
            transport.close()

    async def main():
        loop = asyncio.get_running_loop()
        for factory in Closing, lambda: 1 / 0:
            server = await loop.create_server(factory, HOST, 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            if factory is Closing:
                await asyncio.sleep(0)
                server.close()  # the connection is accepted, and its task has not begun, or not even that
            with suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            server.close()

    compat.run(main)


def test_a_file_that_waits_for_the_buffer():
    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with right:
            transport, _ = await loop.create_connection(Protocol, sock=left)
            transport.write(bytes(10_000_000))
            with trio.move_on_after(0.01):
                await loop.sendfile(transport, io.BytesIO(b"file"), fallback=True)
            assert transport.is_reading()
            transport.write(b"it goes on")
            transport.abort()
            await asyncio.sleep(0)
            assert transport.get_extra_info("socket").fileno() == -1

    compat.run(main)


@pytest.mark.parametrize("tls", [False, True])
def test_a_socket_of_another_transport(tls):
    """It is refused. asyncio 3.14.10, not 3.13, closes the socket then: create_connection() is the interpreter's."""

    async def main():
        loop = asyncio.get_running_loop()
        options = {}
        if tls:
            options = {"ssl": ssl.create_default_context(), "server_hostname": "x", "ssl_handshake_timeout": 0}
        left, right = socket.socketpair()
        with right:
            transport, _ = await loop.create_connection(Protocol, sock=left)
            with pytest.raises(RuntimeError, match="is used by transport"):
                await loop.create_connection(Protocol, sock=left, **options)
            assert left.fileno() >= 0 or sys.version_info >= (3, 14)
            transport.close()

    compat.run(main)


def test_ctrl_c_reaches_the_programs_code():
    protected = []

    class Noting(Protocol):
        def __init__(self):
            protected.append(trio.lowlevel.currently_ki_protected())

    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with right:
            transport, _ = await loop.create_connection(Noting, sock=left)
            transport.close()
            endpoint, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, (HOST, 0))
            endpoint.close()
        await asyncio.sleep(0)

    compat.run(main)
    assert protected == [False]


def test_a_subclass_that_makes_transports():
    """asyncio does not call it for TLS."""

    class Loop(asyncio.SelectorEventLoop):
        def _make_socket_transport(self, sock, protocol, waiter=None, **options):
            made.append(protocol)
            return super()._make_socket_transport(sock, protocol, waiter, **options)

    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with right:
            transport, protocol = await loop.create_connection(Protocol, sock=left)
            assert made == [protocol]
            transport.close()
        left, right = socket.socketpair()
        right.close()
        with pytest.raises(ConnectionError):
            await loop.create_connection(Protocol, sock=left, ssl=ssl.create_default_context(), server_hostname="x")
        assert made == [protocol]

    made = []
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


def test_who_would_patch_the_loop_is_refused():
    async def main():
        with pytest.raises(RuntimeError, match="cannot run inside itself"):
            hasattr(asyncio.get_running_loop(), "_nest_patched")
        assert not hasattr(asyncio.get_running_loop(), "nothing")

    compat.run(main)


def test_a_time_too_large_for_a_timer():
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(OverflowError):
            loop.call_at(10**400, print)
        await asyncio.sleep(0.001)

    compat.run(main)


def test_code_without_a_module_in_a_group():
    """As jinja2 makes it. A TaskGroup clears the frames of asyncio in an error that it raises."""

    async def group(function):
        async with asyncio.TaskGroup():
            await function()

    async def main():
        names = {"asyncio": asyncio}
        exec("async def wait():\n    await asyncio.sleep(3600)", names)
        task = asyncio.create_task(group(names["wait"]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    compat.run(main)
