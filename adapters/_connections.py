"""asyncio.Server and the loop's methods that make connections, on the loop's `_polling.Poller`.

Attempts to connect to several addresses race in a trio nursery. What differs from trio's own listeners: each connection
is served by an asyncio Task, and connections outlive the Server.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import itertools
import os
import socket
import ssl as ssl_module
import sys
import weakref
from asyncio import constants, sslproto, trsock
from asyncio.log import logger
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from typing import IO, TypeAlias

import trio

from ._asyncio import ensure_resolved, feed_buffered, interleave_addrinfos
from ._interface import LoopPart
from ._polling import READ, Watch
from ._sendfile import send_file, send_natively
from ._types import TLS, Address, AddressInfo, ProtocolFactory, ProtocolT
from .exceptions import is_cancellation
from .transports import RECEIVE_SIZE, SocketTransport, is_abstract, remove_stale_socket

SINCE_3_12 = sys.version_info >= (3, 12)
SINCE_3_13 = sys.version_info >= (3, 13)
SINCE_3_14 = sys.version_info >= (3, 14)
# 3.15 on: a connection has a context of its own, in which all that calls its protocol runs.
CONTEXT_OF_CONNECTION = sys.version_info >= (3, 15)

OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
Timeouts: TypeAlias = tuple[float | None, float | None]  # of TLS, in seconds: handshake and shutdown


class Server(asyncio.Server):
    """Listening sockets. https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.Server

    Nothing of asyncio's own runs here: it is a base for isinstance().
    """

    def __init__(
        self,
        loop: LoopPart,
        sockets: list[socket.socket],
        protocol_factory: ProtocolFactory,
        ssl_context: TLS,
        backlog: int,
        ssl_handshake_timeout: float | None,
        ssl_shutdown_timeout: float | None = None,
    ) -> None:
        self._loop = loop
        self._sockets: list[socket.socket] | None = sockets
        self._protocol_factory = protocol_factory
        self._backlog = backlog
        self._ssl_context = ssl_context
        self._ssl_timeouts = ssl_handshake_timeout, ssl_shutdown_timeout
        self._connections = 0
        self._clients: weakref.WeakSet[asyncio.WriteTransport] = weakref.WeakSet()
        self._waiters: list[asyncio.Future[None]] | None = []
        self._accepting: dict[socket.socket, Watch] = {}
        self._serving = False
        self._serving_forever_fut: asyncio.Future[None] | None = None
        self._unix_path: tuple[str | bytes, int] | None = None  # to be removed by close(), and its inode
        self._context = copy_context()  # of which each connection has a copy, from 3.15 on

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets!r}>"

    def _attach(self, transport: asyncio.WriteTransport | None = None) -> None:
        """Count a connection. Until 3.12 asyncio's servers are not told which."""
        self._connections += 1
        if transport is not None:
            self._clients.add(transport)

    def _detach(self, transport: asyncio.WriteTransport | None = None) -> None:
        self._connections -= 1
        if transport is not None:
            self._clients.discard(transport)
        if not self._connections and self._sockets is None:
            self._wake_up()

    def _wake_up(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        return self._loop

    def is_serving(self) -> bool:
        """Tell whether it accepts connections."""
        return self._serving

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """What it listens on, as objects that show a socket and cannot use it; none once it is closed."""
        return tuple(trsock.TransportSocket(sock) for sock in self._sockets or ())  # type: ignore[misc]

    def _start_serving(self) -> None:
        if not self._serving:
            self._serving = True
            for sock in self._sockets or ():
                sock.listen(self._backlog)
                self._accept_from(sock)

    def _accept_from(self, sock: socket.socket) -> None:
        if self._sockets is not None:
            self._accepting[sock] = Watch(self._loop, sock.fileno(), READ, self._accept, sock)

    def _accept(self, sock: socket.socket) -> None:
        try:
            for _ in range(max(self._backlog, 1)):
                connection, address = sock.accept()
                connection.setblocking(False)
                if CONTEXT_OF_CONNECTION:
                    context = self._context.copy()
                    self._loop.create_task(self._serve_connection(connection, address, context), context=context)
                else:
                    self._loop.create_task(self._serve_connection(connection, address, None))
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            pass
        except OSError as error:
            if error.errno not in OUT_OF_RESOURCES:
                raise
            self._loop.call_exception_handler(
                {
                    "message": "socket.accept() out of system resource",
                    "exception": error,
                    "socket": trsock.TransportSocket(sock),
                }
            )
            self._accepting.pop(sock).cancel()
            self._loop.call_later(constants.ACCEPT_RETRY_DELAY, self._accept_from, sock)

    async def _serve_connection(self, sock: socket.socket, address: Address, context: Context | None) -> None:
        try:
            await connect_transport(
                self._loop,
                sock,
                self._protocol_factory,
                self._ssl_context,
                self._ssl_timeouts,
                server=self,
                address=address,
                server_side=True,
                context=context,
            )
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            if self._loop.get_debug():
                message = "Error on transport creation for incoming connection"
                self._loop.call_exception_handler({"message": message, "exception": error})
            if isinstance(error, trio.Cancelled):
                raise

    def close(self) -> None:
        """Stop listening. Connections that exist live on."""
        sockets, self._sockets = self._sockets, None
        if sockets is None:
            return
        for accepting in self._accepting.values():
            accepting.cancel()
        for sock in sockets:
            sock.close()
        if self._unix_path is not None:
            _remove_own_socket(*self._unix_path)
        self._serving = False
        if self._serving_forever_fut is not None:
            self._serving_forever_fut.cancel()
            self._serving_forever_fut = None
        if not self._connections:
            self._wake_up()

    if SINCE_3_13:

        def close_clients(self) -> None:
            """Close every connection, after what is in its buffer has been sent."""
            for transport in self._clients.copy():
                transport.close()

        def abort_clients(self) -> None:
            """Close every connection at once."""
            for transport in self._clients.copy():
                transport.abort()

    async def start_serving(self) -> None:
        """Begin to accept connections; nothing if it does already."""
        self._start_serving()
        await asyncio.sleep(0)

    async def serve_forever(self) -> None:
        """Accept connections until cancelled, by Task.cancel() or a trio scope; the server is closed then.

        Raises RuntimeError if it is closed, or is served forever by somebody else.
        """
        if self._serving_forever_fut is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        self._start_serving()
        self._serving_forever_fut = self._loop.create_future()
        try:
            await self._serving_forever_fut
        except asyncio.CancelledError:
            try:
                self.close()
                if SINCE_3_14:
                    self.close_clients()
                await self.wait_closed()
            finally:
                raise
        finally:
            self._serving_forever_fut = None

    async def wait_closed(self) -> None:
        """Wait until it is closed and, from 3.12 on, every connection is. Cancelling it changes nothing."""
        if self._waiters is None or (self._sockets is None and not SINCE_3_12):
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter


def _remove_own_socket(path: str | bytes, inode: int) -> None:
    try:
        if os.stat(path).st_ino == inode:
            os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.error("Unable to clean up listening UNIX socket %r: %r", path, error)


@contextmanager
def _closing_if_it_fails(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):  # which would hide the other
            sock.close()
        raise


async def connect_transport(
    loop: LoopPart,
    sock: socket.socket,
    protocol_factory: Callable[[], ProtocolT],
    tls: TLS,
    timeouts: Timeouts,
    *,
    server: Server | None = None,
    address: Address | None = None,
    server_side: bool = False,
    server_hostname: str | None = None,
    context: Context | None = None,
) -> tuple[asyncio.Transport, ProtocolT]:
    """A transport and its protocol on a connected socket; `address` is that of the other side, if it is known.

    When it fails or is cancelled, the socket is closed. Raises RuntimeError if another transport has it.
    """
    with _closing_if_it_fails(sock):
        sock.setblocking(False)
        if CONTEXT_OF_CONNECTION and context is None:
            context = copy_context()
        protocol = protocol_factory()
    loop._ensure_fd_no_transport(sock)
    waiter = loop.create_future()
    extra: dict[str, object] | None = None if address is None else {"peername": address}
    transport: asyncio.Transport
    with _closing_if_it_fails(sock):
        if tls:
            ssl_context = None if tls is True else tls
            layer = _tls_layer(loop, protocol, ssl_context, waiter, server_side, server_hostname, timeouts)
            SocketTransport(loop, sock, layer, context, extra, server).start()
            transport = layer._app_transport
        else:
            transport = socket_transport = SocketTransport(loop, sock, protocol, context, extra, server)
            socket_transport.start(waiter)
    try:
        await waiter
    except BaseException:
        transport.close()
        raise
    finally:
        del waiter  # its exception refers to this frame
    return transport, protocol


def _tls_layer(
    loop: LoopPart,
    protocol: asyncio.BaseProtocol,
    context: ssl_module.SSLContext | None,
    waiter: asyncio.Future[None],
    server_side: bool,
    server_hostname: str | None,
    timeouts: Timeouts,
    connected: bool = False,
) -> sslproto.SSLProtocol:
    """The protocol for a transport that speaks TLS to it, and bytes to another protocol, through a second transport.

    The waiter, a Future, is done when the handshake is. connected: the other protocol is; it is not told then.
    """
    handshake, shutdown = timeouts
    return sslproto.SSLProtocol(
        loop,
        protocol,
        context,  # type: ignore[arg-type]  # typeshed does not know that None and fractions of seconds will do
        waiter,
        server_side,
        server_hostname,
        call_connection_made=not connected,
        ssl_handshake_timeout=handshake,  # type: ignore[arg-type]
        ssl_shutdown_timeout=shutdown,
    )


def _check_tls(
    tls: TLS, handshake: float | None, shutdown: float | None, server_hostname: str | None = None
) -> Timeouts:
    """Raise ValueError if there are options of TLS without TLS. Return the timeouts."""
    options = {
        "server_hostname": server_hostname,
        "ssl_handshake_timeout": handshake,
        "ssl_shutdown_timeout": shutdown,
    }
    for name, value in options.items():
        if value is not None and not tls:
            raise ValueError(f"{name} is only meaningful with ssl")
    return handshake, shutdown


def _check_stream_socket(sock: socket.socket) -> None:
    if isinstance(sock, ssl_module.SSLSocket):
        raise TypeError("Socket cannot be of type SSLSocket")
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A Stream Socket was expected, got {sock!r}")


def _check_unix_socket(sock: socket.socket) -> None:
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")


def _check_source(
    what: str, is_given: bool, sock: socket.socket | None, check: Callable[[socket.socket], None], if_neither: str
) -> None:
    """Raise ValueError unless there is either an address, or a socket that passes the check."""
    if is_given:
        if sock is not None:
            raise ValueError(f"{what} and sock can not be specified at the same time")
    elif sock is None:
        raise ValueError(if_neither)
    else:
        check(sock)


class Connections(LoopPart):
    """The loop's methods for connections and servers.

    https://docs.python.org/3/library/asyncio-eventloop.html#opening-network-connections
    """

    @functools.cached_property
    def _receive_buffer(self) -> memoryview:
        """Bytes are received into it and copied out at once. One for each loop: recv_into() lets other threads run."""
        return memoryview(bytearray(RECEIVE_SIZE))

    # --- names and addresses -----------------------------------------------------------------------------------------

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[AddressInfo]:
        """socket.getaddrinfo() in a thread."""
        return await self.run_in_executor(None, socket.getaddrinfo, host, port, family, type, proto, flags)

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int = 0
    ) -> tuple[str, str]:
        """socket.getnameinfo() in a thread."""
        return await self.run_in_executor(None, socket.getnameinfo, sockaddr, flags)

    # An address as getaddrinfo() has it; what is one already is not looked up.
    _ensure_resolved = ensure_resolved

    # --- connecting --------------------------------------------------------------------------------------------------

    async def create_connection(
        self,
        protocol_factory: Callable[[], ProtocolT],
        host: str | None = None,
        port: str | int | None = None,
        *,
        ssl: TLS = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: socket.socket | None = None,
        local_addr: tuple[str, int] | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[asyncio.Transport, ProtocolT]:
        """Connect to a host, or use a connected socket; the transport and the protocol.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_connection

        Raises OSError, ssl.SSLError; with all_errors an ExceptionGroup of the former. Cancelled, leaves nothing open.
        """
        timeouts = _check_tls(ssl, ssl_handshake_timeout, ssl_shutdown_timeout, server_hostname)
        if server_hostname is None and ssl:
            if not host:
                raise ValueError("You must set server_hostname when using ssl without a host")
            server_hostname = host
        by_address = host is not None or port is not None
        missing = "host and port was not specified and no sock specified"
        _check_source("host/port", by_address, sock, _check_stream_socket, missing)
        if by_address:
            infos = await self._ensure_resolved((host, port), family=family, proto=proto, flags=flags, loop=self)
            local_infos = None
            if local_addr is not None:
                local_infos = await self._ensure_resolved(
                    local_addr, family=family, proto=proto, flags=flags, loop=self
                )
            if not infos or local_infos == []:
                raise OSError("getaddrinfo() returned empty list")
            if happy_eyeballs_delay is not None and interleave is None:
                interleave = 1
            if interleave:
                infos = interleave_addrinfos(infos, interleave)
            sock = await _connect_to_any(self, infos, local_infos, happy_eyeballs_delay, all_errors)
        assert sock is not None

        transport, protocol = await connect_transport(
            self, sock, protocol_factory, ssl, timeouts, server_hostname=server_hostname
        )
        if self._debug:
            sock = transport.get_extra_info("socket")
            logger.debug("%r connected to %s:%r: (%r, %r)", sock, host, port, transport, protocol)
        return transport, protocol

    async def create_unix_connection(
        self,
        protocol_factory: Callable[[], ProtocolT],
        path: str | bytes | os.PathLike[str] | None = None,
        *,
        ssl: TLS = None,
        sock: socket.socket | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.Transport, ProtocolT]:
        """Connect to a Unix socket, or use a connected one; the transport and the protocol.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_unix_connection
        """
        if ssl and server_hostname is None:
            raise ValueError("you have to pass server_hostname when using ssl")
        timeouts = _check_tls(ssl, ssl_handshake_timeout, ssl_shutdown_timeout, server_hostname)
        _check_source("path", path is not None, sock, _check_unix_socket, "no path and sock were specified")
        if path is not None:
            sock = await _connect(self, (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", os.fspath(path)), None, [])
        assert sock is not None
        return await connect_transport(self, sock, protocol_factory, ssl, timeouts, server_hostname=server_hostname)

    async def connect_accepted_socket(
        self,
        protocol_factory: Callable[[], ProtocolT],
        sock: socket.socket,
        *,
        ssl: TLS = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.Transport, ProtocolT]:
        """The transport and the protocol for a connection that was accepted outside of asyncio.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.connect_accepted_socket
        """
        _check_stream_socket(sock)
        timeouts = _check_tls(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        transport, protocol = await connect_transport(self, sock, protocol_factory, ssl, timeouts, server_side=True)
        if self._debug:
            sock = transport.get_extra_info("socket")
            logger.debug("%r handled: (%r, %r)", sock, transport, protocol)
        return transport, protocol

    async def start_tls(  # type: ignore[override]  # a transport that sends only will not do
        self,
        transport: asyncio.Transport,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl_module.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> asyncio.Transport:
        """Go on with TLS on a connection; the new transport. The protocol is not told of it.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.start_tls

        Raises ssl.SSLError, OSError. When it fails or is cancelled, the connection is closed.
        """
        if not isinstance(sslcontext, ssl_module.SSLContext):
            raise TypeError(f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}")
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        waiter = self.create_future()
        timeouts = ssl_handshake_timeout, ssl_shutdown_timeout
        layer = _tls_layer(self, protocol, sslcontext, waiter, server_side, server_hostname, timeouts, connected=True)
        # Receive nothing until the layer is connected: what comes before stays in the system.
        transport.pause_reading()
        transport.set_protocol(layer)
        steps = [self.call_soon(layer.connection_made, transport)]
        if SINCE_3_14 and server_side:
            steps += self._feed_what_came_early(layer, protocol)
        steps.append(self.call_soon(transport.resume_reading))
        try:
            await waiter
        except BaseException:
            transport.close()
            for step in steps:
                step.cancel()
            raise
        finally:
            del waiter  # its exception refers to this frame
        return layer._app_transport

    async def sendfile(
        self,
        transport: asyncio.WriteTransport,
        file: IO[bytes],
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> int:
        """Send a file, from an offset on, at most so many bytes; how many have been sent.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.sendfile

        By os.sendfile() where the transport is that of a socket; elsewhere, unless `fallback` is False, by reading in a
        thread. However it ends, the file's position is behind what has been sent. Nobody else may write meanwhile.
        Raises OSError, RuntimeError, asyncio.SendfileNotAvailableError.
        """
        return await send_file(self, transport, file, offset, count, fallback)

    async def _sendfile_native(
        self, transport: SocketTransport, file: IO[bytes], offset: int, count: int | None
    ) -> int:
        return await send_natively(self, transport, file, offset, count)

    def _feed_what_came_early(
        self, layer: sslproto.SSLProtocol, protocol: asyncio.BaseProtocol
    ) -> list[asyncio.Handle]:
        """Give the TLS layer, soon, what a StreamReader has received and nobody has read: the client's first bytes."""
        reader = getattr(protocol, "_stream_reader", None)
        if reader is None or not reader._buffer:
            return []
        early = bytes(reader._buffer)
        reader._buffer.clear()
        return [self.call_soon(feed_buffered, layer, early)]

    # --- serving -----------------------------------------------------------------------------------------------------

    async def create_server(
        self,
        protocol_factory: ProtocolFactory,
        host: str | Sequence[str] | None = None,
        port: str | int | None = None,
        *,
        family: int = socket.AF_UNSPEC,
        flags: int = socket.AI_PASSIVE,
        sock: socket.socket | None = None,
        backlog: int = 100,
        ssl: TLS = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Server:
        """Listen on the addresses of a host, of several, of all (None or ""), or on a socket.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_server

        Raises OSError. Cancelled, it leaves nothing open.
        """
        if isinstance(ssl, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        timeouts = _check_tls(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        by_address = host is not None or port is not None
        missing = "Neither host/port nor sock were specified"
        _check_source("host/port", by_address, sock, _check_stream_socket, missing)
        if by_address:
            hosts = [*host] if isinstance(host, Iterable) and not isinstance(host, str) else [host or None]
            infos = [await self._ensure_resolved((name, port), family=family, flags=flags, loop=self) for name in hosts]
            for name, found in zip(hosts, infos, strict=True):
                if not found:
                    raise OSError(f"getaddrinfo({name!r}) returned empty list")
            if reuse_address is None:
                reuse_address = os.name == "posix" and sys.platform != "cygwin"
            options = {
                socket.SO_REUSEADDR: reuse_address,
                getattr(socket, "SO_REUSEPORT", None): reuse_port,
                socket.SO_KEEPALIVE: keep_alive,
            }
            sockets = self._bind_all(dict.fromkeys(itertools.chain.from_iterable(infos)), options)
        else:
            assert sock is not None
            sockets = [sock]
        for sock in sockets:
            sock.setblocking(False)
        return await self._serve(
            Server(self, sockets, protocol_factory, ssl, backlog, *timeouts),
            start_serving,
        )

    def _bind_all(self, infos: Iterable[AddressInfo], options: dict[int | None, bool | None]) -> list[socket.socket]:
        sockets: list[socket.socket] = []
        try:
            for info in infos:
                try:
                    sock = socket.socket(*info[:3])
                except OSError:  # a family that this machine does not have
                    if self._debug:
                        logger.warning("create_server() failed to create socket%r", info[:3], exc_info=True)
                    continue
                sockets.append(sock)
                self._bind(sock, info, options)
                if sock.fileno() < 0:
                    sockets.pop()
            if not sockets:
                raise OSError(f"could not bind on any address out of {[info[4] for info in infos]!r}")
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        return sockets

    def _bind(self, sock: socket.socket, info: AddressInfo, options: dict[int | None, bool | None]) -> None:
        """Bind the socket; from 3.13 on, close it if the machine does not have the address."""
        for option, wanted in options.items():
            if wanted:
                if option is None:
                    raise ValueError("reuse_port not supported by socket module")
                sock.setsockopt(socket.SOL_SOCKET, option, True)
        if sock.family == socket.AF_INET6:
            # IPv4 has a socket of its own.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
        try:
            sock.bind(info[4])
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL or not SINCE_3_13:
                raise _bind_error(error, info[4]) from None
            sock.close()
            if self._debug:
                logger.warning(_bind_error(error, info[4]).args[1])

    async def create_unix_server(
        self,
        protocol_factory: ProtocolFactory,
        path: str | bytes | os.PathLike[str] | None = None,
        *,
        sock: socket.socket | None = None,
        backlog: int = 100,
        ssl: TLS = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        cleanup_socket: bool = SINCE_3_13,
    ) -> Server:
        """Listen on a Unix socket, by its path or as it is. cleanup_socket: close() removes the path (3.13).

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_unix_server
        """
        if isinstance(ssl, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        timeouts = _check_tls(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        missing = "path was not specified, and no sock specified"
        _check_source("path", path is not None, sock, _check_unix_socket, missing)
        if path is not None:
            sock = _bind_unix(os.fspath(path))
        assert sock is not None
        sock.setblocking(False)
        server = Server(self, [sock], protocol_factory, ssl, backlog, *timeouts)
        bound = sock.getsockname()
        if cleanup_socket and not is_abstract(bound):
            try:
                server._unix_path = bound, os.stat(bound).st_ino
            except FileNotFoundError:
                pass
        return await self._serve(server, start_serving)

    async def _serve(self, server: Server, start_serving: bool) -> Server:
        if start_serving:
            server._start_serving()
            try:
                await asyncio.sleep(0)
            except BaseException:
                server.close()
                raise
        if self._debug:
            logger.info("%r is serving", server)
        return server


def _bind_unix(path: str | bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        remove_stale_socket(path)
        sock.bind(path)
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise OSError(errno.EADDRINUSE, f"Address {path!r} is already in use") from None
        raise
    return sock


async def _connect(
    loop: LoopPart,
    info: tuple[int, int, int, str, Address],
    local_infos: list[AddressInfo] | None,
    errors: list[OSError],
) -> socket.socket:
    """A socket connected to the address. Raises OSError; cancelled or failed, it leaves none open.

    Local addresses that could not be bound to are among the errors, even if another one could.
    """
    family, kind, proto, _, address = info
    sock = socket.socket(family=family, type=kind, proto=proto)
    with _closing_if_it_fails(sock):
        sock.setblocking(False)
        if local_infos is not None:
            _bind_to_one(sock, local_infos, errors)
        await loop.sock_connect(sock, address)
    return sock


def _bind_error(error: OSError, address: Address) -> OSError:
    reason = str(error) if SINCE_3_13 else str(error.strerror)
    return OSError(error.errno, f"error while attempting to bind on address {address!r}: {reason.lower()}")


def _bind_to_one(sock: socket.socket, infos: list[AddressInfo], errors: list[OSError]) -> None:
    failed = False
    for family, _, _, _, address in infos:
        if family == sock.family:
            try:
                return sock.bind(address)
            except OSError as error:
                errors.append(_bind_error(error, address))
                failed = True
    raise errors.pop() if failed else OSError(f"no matching local address with family={sock.family!r} found")


async def _connect_to_any(
    loop: LoopPart,
    infos: list[AddressInfo],
    local_infos: list[AddressInfo] | None,
    delay: float | None,
    all_errors: bool,
) -> socket.socket:
    """A socket connected to one of the addresses: each is tried when the one before has failed, or after the delay."""
    errors: list[OSError] = []
    if delay is None:
        for info in infos:
            try:
                return await _connect(loop, info, local_infos, errors)
            except OSError as error:
                errors.append(error)
    else:
        winner = await _race(loop, infos, local_infos, delay, errors)
        if winner is not None:
            return winner
    try:
        if all_errors:
            raise ExceptionGroup("create_connection failed", errors)
        if len({str(error) for error in errors}) == 1:
            raise errors[0]
        raise OSError(f"Multiple exceptions: {', '.join(str(error) for error in errors)}")
    finally:
        errors.clear()  # they refer to the frames that refer to the list


async def _race(
    loop: LoopPart, infos: list[AddressInfo], local_infos: list[AddressInfo] | None, delay: float, errors: list[OSError]
) -> socket.socket | None:
    winners: list[socket.socket] = []

    async def attempt(info: AddressInfo, failed: trio.Event) -> None:
        try:
            winners.append(await _connect(loop, info, local_infos, errors))
        except OSError as error:
            errors.append(error)
            failed.set()
        else:
            nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            for info in infos:
                failed = trio.Event()
                nursery.start_soon(attempt, info, failed)
                with trio.move_on_after(delay):
                    await failed.wait()
    except BaseException as error:
        for sock in winners:
            sock.close()
        if isinstance(error, BaseExceptionGroup) and is_cancellation(error):
            raise _first_leaf(error) from None
        raise
    for late in winners[1:]:
        late.close()
    return winners[0] if winners else None


def _first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
