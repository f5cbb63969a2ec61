"""Streams: a trio.abc.Stream with a buffer before its receive_some() and one before its send_all().

What differs from asyncio: reads and drain() are checkpoints also where they need not wait; nothing is read ahead, so
that the end and the loss of a connection are noticed where it is read; a TLS connection ends without a close_notify, as
HTTPS does; and the connections of a server belong to it, so that an error of a handler ends the run. What write() has
taken is sent by a task in create_task()'s nursery: drain() may be cancelled, and no byte is lost or sent twice. At the
end of the run all connections are closed.
"""

import functools
import logging
import os
import socket
import ssl as ssl_module
import stat
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, final

import trio

from .exceptions import IncompleteReadError, LimitOverrunError
from .refusals import Refusing, refuse, refuse_others
from .tasks import open_nursery, task_of, the_background

__all__ = [
    "Server",
    "StreamReader",
    "StreamWriter",
    "open_connection",
    "open_unix_connection",
    "start_server",
    "start_unix_server",
]

_LIMIT = 2**16
_BACKLOG = 100
_HANDSHAKE_TIMEOUT = 60.0
_logger = logging.getLogger("compat.native")


@final
class StreamReader(Refusing):
    """A trio.abc.ReceiveStream with a buffer. Made by open_connection() and the like, or of any stream of trio's.

    Each read is a checkpoint, also of what is in the buffer; cancelled, it has taken nothing. Each raises OSError when
    the stream breaks, trio.ClosedResourceError when this side has closed it, and trio.BusyResourceError when another
    task is reading.
    https://docs.python.org/3/library/asyncio-stream.html#asyncio.StreamReader
    """

    def __init__(self, stream: trio.abc.ReceiveStream, limit: int = _LIMIT) -> None:
        if limit <= 0:
            raise ValueError(f"a limit above 0 is needed, not {limit}")
        self._stream = stream
        self._limit = limit
        self._buffer = bytearray()
        self._at_end = False

    def at_eof(self) -> bool:
        """Whether a read has met the end, and the buffer is empty."""
        return self._at_end and not self._buffer

    async def read(self, n: int = -1) -> bytes:
        """receive_some(n); all until the end if n is below 0. Returns b"" at the end."""
        if n < 0:
            while await self._fill():
                pass
            return self._take(len(self._buffer))
        if self._buffer or not n:
            return await self._take_at_once(n)
        await self._fill()
        return self._take(n)

    async def readexactly(self, n: int) -> bytes:
        """receive_some() until there are n bytes. Raises IncompleteReadError, with what there was, at the end."""
        if n < 0:
            raise ValueError("readexactly() needs a size of 0 or more")
        if len(self._buffer) >= n:
            return await self._take_at_once(n)
        while len(self._buffer) < n:
            if not await self._fill():
                raise IncompleteReadError(self._take(len(self._buffer)), n)
        return self._take(n)

    async def readline(self) -> bytes:
        """Read to the end of the line, or of the stream. Raises ValueError, and drops the line, if it is too long."""
        try:
            return await self.readuntil(b"\n")
        except IncompleteReadError as error:
            return error.partial
        except LimitOverrunError as error:
            ends_in_buffer = self._buffer.startswith(b"\n", error.consumed)
            self._take(error.consumed + 1 if ends_in_buffer else len(self._buffer))
            raise ValueError(*error.args) from None

    async def readuntil(self, separator: bytes | tuple[bytes, ...] = b"\n") -> bytes:
        """receive_some() until the separator, or the first of several, has come; it is part of what is returned.

        Raises IncompleteReadError at the end, LimitOverrunError, taking nothing, if there is more than the limit.
        """
        separators = separator if isinstance(separator, tuple) else (separator,)
        if not separators or not all(separators):
            raise ValueError("readuntil() needs separators of a byte or more")
        longest = max(map(len, separators))
        searched, received = 0, False
        while True:
            found = [
                (start + len(each), start) for each in separators if (start := self._buffer.find(each, searched)) >= 0
            ]
            if found:
                end, start = min(found, key=lambda place: (place[0], -place[1]))  # the shortest, if two end there
                if start > self._limit:
                    raise LimitOverrunError(f"the separator is further off than the limit of {self._limit}", start)
                return self._take(end) if received else await self._take_at_once(end)
            searched = max(0, len(self._buffer) + 1 - longest)
            if searched > self._limit:
                raise LimitOverrunError(f"no separator within the limit of {self._limit}", searched)
            received = await self._fill()
            if not received:
                raise IncompleteReadError(self._take(len(self._buffer)), None)

    def __aiter__(self) -> "StreamReader":
        return self

    async def __anext__(self) -> bytes:
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    async def _fill(self) -> bool:
        """Receive what there is; False at the end."""
        if self._at_end:
            await trio.lowlevel.checkpoint()
            return False
        try:
            data = await self._stream.receive_some()
        except trio.BrokenResourceError as error:
            raise _os_error(error) from None
        self._buffer += data
        self._at_end = not data
        return not self._at_end

    async def _take_at_once(self, n: int) -> bytes:
        """Take what is there already, at a checkpoint: a stream of lines in the buffer is not to hold up the others."""
        await trio.lowlevel.checkpoint_if_cancelled()
        data = self._take(n)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return data

    def _take(self, n: int) -> bytes:
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data


@final
class StreamWriter(Refusing):
    """A trio.abc.SendStream with a buffer, and the task that sends it. Made by open_connection() and the like.

    https://docs.python.org/3/library/asyncio-stream.html#asyncio.StreamWriter
    """

    def __init__(
        self, stream: trio.abc.SendStream, reader: StreamReader | None = None, *, of_server: bool = False
    ) -> None:
        self._stream = stream
        self._reader = reader
        self._of_server = of_server
        self._buffer = bytearray()
        self._sending = 0  # bytes that send_all() is at
        self._end_wanted = self._end_sent = False
        self._closing = False
        self._closed = trio.Event()
        self._error: OSError | None = None
        self._news, self._progress = trio.lowlevel.ParkingLot(), trio.lowlevel.ParkingLot()

    async def carry(self) -> None:
        """Send what is written until the writer is closed, then close the stream: the task behind the writer."""
        try:
            while True:
                if self._buffer:
                    data, self._buffer = self._buffer, bytearray()
                    self._sending = len(data)
                    await self._stream.send_all(data)
                    self._sending = 0
                    self._progress.unpark_all()
                elif self._closing:
                    break
                elif self._end_wanted and not self._end_sent:
                    self._end_sent = True
                    assert isinstance(self._stream, trio.abc.HalfCloseableStream)
                    await self._stream.send_eof()
                else:
                    await self._news.park()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._error = _os_error(error)
            self._progress.unpark_all()
            while not self._closing:  # there may be something left to read
                await self._news.park()
        finally:
            self._closing = True
            try:
                await self._stream.aclose()
            finally:
                self._closed.set()
                self._progress.unpark_all()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send what goes at once, and have the rest sent by send_all() in the task behind.

        Raises trio.ClosedResourceError after close() and write_eof(); drain() says so if the stream is broken.
        """
        if self._error is not None:
            return  # drain() says so
        if self._closing or self._end_wanted:
            raise trio.ClosedResourceError("this writer was closed")
        rest = memoryview(data).cast("B")
        if not self._buffer and not self._sending:
            rest = rest[self._send_now(rest) :]
        if rest:
            self._buffer += rest
            self._news.unpark()

    def _send_now(self, data: memoryview) -> int:
        """Send what a socket takes at once, as asyncio does: a step of the task behind would take as long again."""
        if isinstance(self._stream, trio.SocketStream) and sys.platform != "win32":
            fileno = self._stream.socket.fileno()
            if fileno >= 0:  # else it was closed
                with suppress(OSError):  # it takes none, or is broken: then send_all() says so
                    return os.write(fileno, data)
        return 0

    def writelines(self, data: Iterable[bytes | bytearray | memoryview]) -> None:
        """write() for each of several."""
        for each in data:
            self.write(each)

    async def drain(self) -> None:
        """Wait until no more than 64 KiB are left to send; cancelled, it leaves them to be sent.

        A checkpoint in any case. Raises OSError if the stream is broken.
        """
        await self._sent(_LIMIT)

    async def _sent(self, all_but: int) -> None:
        await trio.lowlevel.checkpoint()
        while len(self._buffer) + self._sending > all_but and not (self._error or self._closed.is_set()):
            await self._progress.park()
        if self._error is not None:
            raise self._error

    def can_write_eof(self) -> bool:
        """Whether the stream can end in this direction alone: not with TLS."""
        return not isinstance(self._stream, trio.SSLStream)

    def write_eof(self) -> None:
        """Have the stream ended, after what is written: send_eof(), or aclose() of what only sends.

        Raises NotImplementedError with TLS.
        """
        if not self.can_write_eof():
            raise NotImplementedError("a TLS connection cannot be closed in one direction")
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            self._end_wanted = True
            self._news.unpark()
        else:
            self.close()

    def close(self) -> None:
        """Have the stream closed, after what is written: aclose(), in the task behind."""
        self._closing = True
        self._news.unpark()

    def is_closing(self) -> bool:
        """Whether it was closed, or is broken."""
        return self._closing or self._error is not None

    async def wait_closed(self) -> None:
        """Wait until all is sent and the stream is closed. Raises OSError if it has broken before."""
        if self._error is None or self._closing:
            await self._closed.wait()
        if self._error is not None:
            raise self._error

    async def start_tls(
        self,
        sslcontext: ssl_module.SSLContext,
        *,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
    ) -> None:
        """Put a trio.SSLStream around the stream, for the reader as well, when all that was written is sent.

        Raises OSError (ssl.SSLError, mostly) or TimeoutError, and the connection is closed then. What a server's reader
        has in its buffer is the beginning of the client's handshake, as in asyncio from 3.14.4 on; a client's reader
        keeps it, since the server says nothing in TLS before the client does.
        """
        await self._sent(0)
        if not isinstance(self._stream, trio.abc.Stream) or self._reader is None:
            raise TypeError("this stream goes in one direction only")
        stream = self._stream
        if self._of_server and (early := self._reader._take(len(self._reader._buffer))):
            stream = trio.StapledStream(stream, _EarlyFirst(early, stream))
        self._stream = self._reader._stream = await _with_tls(
            stream, sslcontext, server_hostname, self._of_server, ssl_handshake_timeout
        )

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the trio.socket or the trio.SSLStream has to say: peername, sockname, socket; sslcontext, ssl_object
        (the SSLStream), peercert, cipher, compression.
        """
        stream: Any = self._stream
        if isinstance(stream, trio.SSLStream):
            if name in ("peercert", "cipher", "compression"):
                return getattr(stream, "getpeercert" if name == "peercert" else name)()
            if name in ("sslcontext", "ssl_object"):
                return stream.context if name == "sslcontext" else stream
            stream = stream.transport_stream
            if isinstance(stream, trio.StapledStream):
                stream = stream.send_stream
        if isinstance(stream, trio.SocketStream):
            try:
                if name in ("peername", "sockname"):
                    return stream.socket.getpeername() if name == "peername" else stream.socket.getsockname()
            except OSError:  # it is closed
                return default
            if name == "socket":
                return stream.socket
        return default


def _os_error(error: BaseException) -> OSError:
    """What asyncio code expects where trio's stream says that it is broken."""
    return error.__cause__ if isinstance(error.__cause__, OSError) else ConnectionResetError(*error.args)


class _EarlyFirst(trio.abc.ReceiveStream):
    """Gives what was received early, then what a stream receives."""

    def __init__(self, early: bytes, stream: trio.abc.ReceiveStream) -> None:
        self._early = early
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self._early:
            return await self._stream.receive_some(max_bytes)
        await trio.lowlevel.checkpoint()
        data, self._early = self._early[:max_bytes], b"" if max_bytes is None else self._early[max_bytes:]
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _with_tls(
    stream: trio.abc.Stream,
    context: ssl_module.SSLContext,
    server_hostname: str | None,
    server_side: bool,
    handshake_timeout: float | None,
) -> "trio.SSLStream[trio.abc.Stream]":
    try:
        tls = trio.SSLStream(
            stream, context, server_hostname=server_hostname or None, server_side=server_side, https_compatible=True
        )
        with trio.fail_after(_HANDSHAKE_TIMEOUT if handshake_timeout is None else handshake_timeout):
            await tls.do_handshake()
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if isinstance(error, trio.BrokenResourceError):
            raise _os_error(error) from None
        if isinstance(error, trio.TooSlowError):
            raise TimeoutError("the TLS handshake took too long") from None
        raise
    return tls


# --- clients ----------------------------------------------------------------------------------------------------------


async def open_connection(
    host: str | None = None,
    port: int | None = None,
    *,
    limit: int = _LIMIT,
    ssl: bool | ssl_module.SSLContext | None = None,
    sock: socket.socket | None = None,
    local_addr: tuple[str, int] | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    happy_eyeballs_delay: float | None = 0.25,
    **others: object,
) -> tuple[StreamReader, StreamWriter]:
    """trio.open_tcp_stream(), and a trio.SSLStream around it with ssl=.

    Cancelled, it leaves no connection. Raises OSError, one of several if no address answers; RuntimeError without
    create_task()'s nursery, TypeError for what trio has no parameter for.
    https://docs.python.org/3/library/asyncio-stream.html#asyncio.open_connection
    """
    refuse_others("open_connection", "trio.open_tcp_stream() chooses from all addresses, or sock= is connected", others)
    if local_addr is not None:
        refuse("open_connection", "trio chooses the local port, or sock= is bound to it", local_addr=local_addr[1])
    _check_connecting(ssl, server_hostname)
    stream: trio.abc.Stream
    if sock is not None:
        if host is not None or port is not None:
            raise ValueError("give host and port, or sock")
        stream = await _stream_of(sock)
    elif host is None or port is None:
        raise ValueError("host and port are needed, or sock")
    else:
        try:
            stream = await trio.open_tcp_stream(
                host,
                port,
                happy_eyeballs_delay=happy_eyeballs_delay,
                local_address=None if local_addr is None else local_addr[0],
            )
        except OSError as error:
            raise _one_for_all(error) from None
    return await _connected(stream, limit, ssl, host, server_hostname, ssl_handshake_timeout)


async def open_unix_connection(
    path: str | None = None,
    *,
    limit: int = _LIMIT,
    ssl: bool | ssl_module.SSLContext | None = None,
    sock: socket.socket | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    **others: object,
) -> tuple[StreamReader, StreamWriter]:
    """trio.open_unix_socket(), and a trio.SSLStream around it with ssl=. As open_connection() for the rest.

    https://docs.python.org/3/library/asyncio-stream.html#asyncio.open_unix_connection
    """
    refuse_others("open_unix_connection", "trio.open_unix_socket() has none of it", others)
    _check_connecting(ssl, server_hostname)
    if sock is not None and path is None:
        stream = await _stream_of(sock)
    elif path is not None and sock is None:
        stream = await trio.open_unix_socket(path)
    else:
        raise ValueError("give either path or sock")
    return await _connected(stream, limit, ssl, None, server_hostname, ssl_handshake_timeout)


async def _connected(
    stream: trio.abc.Stream,
    limit: int,
    ssl: bool | ssl_module.SSLContext | None,
    host: str | None,
    server_hostname: str | None,
    handshake_timeout: float | None,
) -> tuple[StreamReader, StreamWriter]:
    if ssl:
        context = ssl_module.create_default_context() if ssl is True else ssl
        name = host if server_hostname is None else server_hostname
        stream = await _with_tls(stream, context, name, False, handshake_timeout)
    reader = StreamReader(stream, limit)
    writer = StreamWriter(stream, reader)
    try:
        the_background().nursery.start_soon(writer.carry)
    except RuntimeError:  # its block was left meanwhile
        await trio.aclose_forcefully(stream)
        raise
    return reader, writer


def _check_connecting(ssl: object, server_hostname: str | None) -> None:
    """Refuse, before anything is connected, what cannot work."""
    the_background()
    if server_hostname is not None and not ssl:
        raise ValueError("server_hostname is for ssl")


async def _stream_of(sock: socket.socket) -> trio.SocketStream:
    await trio.lowlevel.checkpoint()
    return trio.SocketStream(trio.socket.from_stdlib_socket(sock))


def _one_for_all(error: OSError) -> OSError:
    """What asyncio raises when no address answers: their error, if it is of one kind."""
    cause = error.__cause__
    causes = cause.exceptions if isinstance(cause, BaseExceptionGroup) else [cause]
    first = causes[0]
    same = isinstance(first, OSError) and len({type(each) for each in causes}) == 1
    return first if same and isinstance(first, OSError) else error


# --- servers ----------------------------------------------------------------------------------------------------------

ClientConnected = Callable[[StreamReader, StreamWriter], Awaitable[None] | None]


async def start_server(
    client_connected_cb: ClientConnected,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    limit: int = _LIMIT,
    sock: socket.socket | None = None,
    backlog: int = _BACKLOG,
    ssl: ssl_module.SSLContext | None = None,
    reuse_address: bool | None = None,
    ssl_handshake_timeout: float | None = None,
    start_serving: bool = True,
    **others: object,
) -> "Server":
    """trio.open_tcp_listeners(), and trio.serve_listeners() in create_task()'s nursery.

    A coroutine function is run as a Task for each connection, which is closed when it returns; its error ends the
    server, and the run. A plain function is called, and the connection is there until it is closed. A client that fails
    in the TLS handshake is logged, and left. Cancelled, it leaves no server, and closes sock=. Raises OSError,
    RuntimeError without create_task()'s nursery, TypeError for what trio has no parameter for.
    https://docs.python.org/3/library/asyncio-stream.html#asyncio.start_server
    """
    refuse_others("start_server", "trio.open_tcp_listeners() has none of it; bind a socket for sock=", others)
    refuse("start_server", "trio.open_tcp_listeners() always sets it on Unix", reuse_address=reuse_address is False)
    the_background()
    if sock is not None:
        if host is not None or port is not None:
            raise ValueError("give host and port, or sock")
        listeners = [_listener(sock, backlog)]
    elif port is None:
        raise ValueError("port is needed, or sock")
    else:
        listeners = []
        try:
            for each in [host or None] if host is None or isinstance(host, str) else host:
                listeners += await trio.open_tcp_listeners(port, host=each, backlog=backlog)
        except BaseException:
            for listener in listeners:
                listener.socket.close()
            raise
    return await _started(Server(client_connected_cb, listeners, limit, ssl, ssl_handshake_timeout), start_serving)


async def start_unix_server(
    client_connected_cb: ClientConnected,
    path: str | None = None,
    *,
    limit: int = _LIMIT,
    sock: socket.socket | None = None,
    backlog: int = _BACKLOG,
    ssl: ssl_module.SSLContext | None = None,
    ssl_handshake_timeout: float | None = None,
    start_serving: bool = True,
    **others: object,
) -> "Server":
    """A trio.SocketListener on a Unix socket, and trio.serve_listeners(); as start_server() for the rest.

    A socket that another server has left at the path is replaced; this one's stays there.
    https://docs.python.org/3/library/asyncio-stream.html#asyncio.start_unix_server
    """
    refuse_others("start_unix_server", "trio.SocketListener has none of it", others)
    the_background()
    if sys.platform == "win32":
        raise RuntimeError("there are no Unix sockets on Windows")
    if (path is None) == (sock is None):
        raise ValueError("give either path or sock")
    if sock is None:
        where = trio.Path(path or "")
        if await where.exists() and stat.S_ISSOCK((await where.stat()).st_mode):
            await where.unlink()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(path or "")
        except BaseException:
            sock.close()
            raise
    return await _started(
        Server(client_connected_cb, [_listener(sock, backlog)], limit, ssl, ssl_handshake_timeout), start_serving
    )


def _listener(sock: socket.socket, backlog: int) -> trio.SocketListener:
    sock.listen(backlog)
    return trio.SocketListener(trio.socket.from_stdlib_socket(sock))


async def _started(server: "Server", start_serving: bool) -> "Server":
    try:
        await (server.start_serving() if start_serving else trio.lowlevel.checkpoint())
    except BaseException:
        server.close()
        raise
    return server


@final
class Server(Refusing):
    """trio.serve_listeners() in create_task()'s nursery, with a nursery for its connections. Made by start_server().

    https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.Server
    """

    def __init__(
        self,
        callback: ClientConnected,
        listeners: list[trio.SocketListener],
        limit: int,
        ssl: ssl_module.SSLContext | None,
        handshake_timeout: float | None,
    ) -> None:
        self._callback, self._limit, self._ssl, self._handshake_timeout = callback, limit, ssl, handshake_timeout
        self._listeners = listeners
        self._accepting = trio.CancelScope()
        self._started = self._closed = False
        self._ended = trio.Event()

    @property
    def sockets(self) -> tuple[trio.socket.SocketType, ...]:
        """The listening trio sockets; none after close()."""
        return () if self._closed else tuple(listener.socket for listener in self._listeners)

    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return self._started and not self._closed

    async def start_serving(self) -> None:
        """Accept connections from here on. Raises RuntimeError after close()."""
        if self._closed:
            raise RuntimeError("this server is closed")
        if not self._started:
            the_background().nursery.start_soon(self._serve)
            self._started = True
        await trio.lowlevel.checkpoint()

    async def serve_forever(self) -> None:
        """Serve until this is cancelled, which closes the server, or close() is called. Raises as start_serving()."""
        await self.start_serving()
        try:
            await self._ended.wait()
        finally:
            self.close()

    def close(self) -> None:
        """Accept no more, and close the listening sockets. The connections that there are go on."""
        if not self._closed:
            self._closed = True
            self._accepting.cancel()  # first: who waits in accept() is not to meet a closed socket
            for listener in self._listeners:
                listener.socket.close()
            if not self._started:
                self._ended.set()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its connections have ended."""
        await self._ended.wait()

    async def __aenter__(self) -> "Server":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        await self.wait_closed()

    async def _serve(self) -> None:
        try:
            async with open_nursery() as connections:
                with self._accepting:
                    connect = functools.partial(self._connect, connections)
                    await trio.serve_listeners(connect, self._listeners, handler_nursery=connections)
        finally:
            self.close()
            self._ended.set()

    async def _connect(self, connections: trio.Nursery, stream: trio.abc.Stream) -> None:
        """Serve a connection; trio.serve_listeners() closes it afterwards."""
        if self._ssl is not None:
            try:
                stream = await _with_tls(stream, self._ssl, None, True, self._handshake_timeout)
            except OSError as error:
                _logger.debug("a client was left: its TLS handshake failed: %r", error)
                return
        reader = StreamReader(stream, self._limit)
        writer = StreamWriter(stream, reader, of_server=True)
        connections.start_soon(writer.carry)
        handling = self._callback(reader, writer)
        if isinstance(handling, Coroutine):  # a Task, say, runs already
            task = task_of(handling, trio.CancelScope())
            await task.work()
            if task.failure is not None:
                raise task.failure
            writer.close()
        await writer._closed.wait()
