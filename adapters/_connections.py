"""How the loop makes the transports of connections.

`create_connection()`, `create_server()`, `start_tls()` and the like are the interpreter's own: they use sockets that do
not block, `sock_connect()` and `_add_reader()` of our loop, and make transports by the methods below. Where asyncio's,
given up, leave a socket open, it is closed here: cancel scopes interrupt them more often than Task.cancel() does.
trio.open_tcp_stream() and trio.serve_tcp() would not do: they make trio streams, on which write() cannot send in the
call (`transports.py`).
"""

from __future__ import annotations

import asyncio
import functools
import socket
import sys
from asyncio import sslproto
from contextvars import Context, ContextVar, copy_context
from typing import IO, Any

from ._interface import LoopPart
from ._types import TLS
from .transports import RECEIVE_SIZE, SocketTransport

# 3.15 on: a connection has a context of its own, in which all that calls its protocol runs.
CONTEXT_OF_CONNECTION = sys.version_info >= (3, 15)


# The sockets that create_connection() has connected, in this call.
_connected: ContextVar[list[socket.socket]] = ContextVar("connected")


async def _begin(server: asyncio.Server, start_serving: bool) -> asyncio.Server:
    if start_serving:
        try:
            await server.start_serving()
        except BaseException:
            server.close()
            raise
    return server


class Connections(LoopPart):
    """The loop's methods for connections and servers.

    https://docs.python.org/3/library/asyncio-eventloop.html#opening-network-connections
    """

    def __init__(self) -> None:
        super().__init__()
        self._unix_server_sockets: dict[socket.socket, int] = {}  # those whose paths asyncio removes, from 3.13 on

    @functools.cached_property
    def _receive_buffer(self) -> memoryview:
        """Bytes are received into it and copied out at once. One for each loop: recv_into() lets other threads run."""
        return memoryview(bytearray(RECEIVE_SIZE))

    async def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        """Connect, as asyncio's loop does. Given up, or where the protocol factory fails, nothing is left open."""
        connected: list[socket.socket] = []
        token = _connected.set(connected)
        try:
            return await super().create_connection(*args, **kwargs)
        finally:
            _connected.reset(token)
            for sock in connected:
                self._close_if_unused(sock)

    async def _connect_sock(self, *args: object, **kwargs: object) -> socket.socket:
        try:
            sock: socket.socket = await super()._connect_sock(*args, **kwargs)  # type: ignore[misc]
        finally:
            del args  # the errors that are collected there refer to this frame
        _connected.get([]).append(sock)
        return sock

    async def create_server(self, *args: Any, start_serving: bool = True, **kwargs: Any) -> asyncio.Server:
        """Listen, as asyncio's loop does. Given up, the server is closed."""
        return await _begin(await super().create_server(*args, start_serving=False, **kwargs), start_serving)

    async def create_unix_server(self, *args: Any, start_serving: bool = True, **kwargs: Any) -> asyncio.Server:
        """Listen, as asyncio's loop does. Given up, the server is closed."""
        return await _begin(await super().create_unix_server(*args, start_serving=False, **kwargs), start_serving)

    async def _accept_connection2(self, factory: object, sock: socket.socket, *args: object, **kwargs: object) -> None:
        """Serve a connection. Where no transport comes of it, as the server was closed meanwhile, close the socket."""
        try:
            await super()._accept_connection2(factory, sock, *args, **kwargs)  # type: ignore[misc]
        finally:
            self._close_if_unused(sock)

    def _close_if_unused(self, sock: socket.socket) -> None:
        """Close a socket that is no transport's. One that had the same descriptor may still be noted for it."""
        transport = self._transports.get(sock.fileno())
        if transport is None or transport._sock is not sock:
            sock.close()

    async def _sendfile_native(
        self, transport: SocketTransport, file: IO[bytes], offset: int, count: int | None
    ) -> int:
        """Send a file, as asyncio's loop does. Given up while it waits for the buffer, the transport goes on."""
        was_reading = transport.is_reading()
        try:
            return await super()._sendfile_native(transport, file, offset, count)  # type: ignore[misc,no-any-return]
        finally:
            if transport._empty_waiter is not None:
                transport._reset_empty_waiter()
                self._transports[transport._sock_fd] = transport
                if was_reading:
                    transport.resume_reading()

    def _make_socket_transport(
        self,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: dict[str, object] | None = None,
        server: asyncio.Server | None = None,
        context: Context | None = None,
    ) -> SocketTransport:
        self._ensure_fd_no_transport(sock)
        if CONTEXT_OF_CONNECTION and context is None:
            context = copy_context()
        return SocketTransport(self, sock, protocol, waiter, extra, server, context)

    def _make_ssl_transport(
        self,
        rawsock: socket.socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: TLS,
        waiter: asyncio.Future[None] | None = None,
        *,
        extra: dict[str, object] | None = None,
        server: asyncio.Server | None = None,
        context: Context | None = None,
        **options: Any,  # of SSLProtocol
    ) -> asyncio.Transport:
        self._ensure_fd_no_transport(rawsock)
        layer: sslproto.SSLProtocol | None = None
        try:
            layer = sslproto.SSLProtocol(self, protocol, sslcontext, waiter, **options)  # type: ignore[arg-type]
            # Not a subclass's own, which asyncio does not call for this.
            Connections._make_socket_transport(self, rawsock, layer, extra=extra, server=server, context=context)
        except BaseException:
            # asyncio leaves these to the garbage collector.
            if layer is not None:
                layer._app_transport.close()
            rawsock.close()
            raise
        return layer._app_transport
