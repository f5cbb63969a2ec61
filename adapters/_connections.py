"""How the loop makes the transports of connections.

`create_connection()`, `create_server()`, `start_tls()` and the like are the interpreter's own: they use sockets that do
not block, `sock_connect()` and `_add_reader()` of our loop, and make transports by the methods below. What differs from
trio's own listeners: each connection is served by an asyncio Task, and connections outlive the Server.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import sys
from asyncio import sslproto
from contextvars import Context, copy_context

from ._interface import LoopPart
from ._types import TLS
from .transports import RECEIVE_SIZE, SocketTransport

# 3.15 on: a connection has a context of its own, in which all that calls its protocol runs.
CONTEXT_OF_CONNECTION = sys.version_info >= (3, 15)


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
        transport = SocketTransport(self, sock, protocol, context, extra, server)
        transport.start(waiter)
        return transport

    def _make_ssl_transport(
        self,
        rawsock: socket.socket,
        protocol: asyncio.BaseProtocol,
        sslcontext: TLS,
        waiter: asyncio.Future[None] | None = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: dict[str, object] | None = None,
        server: asyncio.Server | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        context: Context | None = None,
    ) -> asyncio.Transport:
        try:
            layer = sslproto.SSLProtocol(
                self,
                protocol,
                sslcontext,  # type: ignore[arg-type]
                waiter,  # type: ignore[arg-type]
                server_side,
                server_hostname,
                ssl_handshake_timeout=ssl_handshake_timeout,  # type: ignore[arg-type]
                ssl_shutdown_timeout=ssl_shutdown_timeout,
            )
        except BaseException:
            rawsock.close()  # asyncio leaves it to the garbage collector
            raise
        self._make_socket_transport(rawsock, layer, extra=extra, server=server, context=context)
        return layer._app_transport
