"""asyncio.StreamReader and StreamWriter, on our transports (`transports.py`).

A transport receives in the background and feeds a StreamReader, so there are two buffers, the reader's and the
transport's, where a trio stream has none. The writer is the interpreter's own, and so is the protocol, but for the two
points that its docstring names. The reader is written anew where bytes go in and out, for speed: it keeps a block as it
came, and a MiB takes 700 microseconds instead of 1240. A trio stream becomes a reader and a writer by
compat.as_streams(), and the two become a trio stream by compat.as_trio_stream().
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import AbstractEventLoop, Future, IncompleteReadError, LimitOverrunError
from asyncio import streams as std_streams
from collections.abc import Awaitable, Callable, Sequence
from os import PathLike
from typing import Any, NoReturn

from ._asyncio import forget_last_frames
from ._types import BytesLike
from .events import get_event_loop, get_running_loop

__all__ = std_streams.__all__

SINCE_3_13 = sys.version_info >= (3, 13)
# 3.12.2 on, and in late releases of 3.11: a server's connection is closed when its client_connected_cb is cancelled.
# Before that asyncio asks that Task for its error, which fails.
CLOSES_WHEN_CANCELLED = sys.version_info >= (3, 12, 2)
DEFAULT_LIMIT = 2**16  # bytes

StreamWriter = asyncio.StreamWriter

ClientConnected = Callable[["StreamReader", StreamWriter], Awaitable[None] | None]


async def open_connection(
    host: str | None = None, port: str | int | None = None, *, limit: int = DEFAULT_LIMIT, **kwds: Any
) -> tuple[StreamReader, StreamWriter]:
    """Connect to a host; the keywords are those of loop.create_connection(). limit: see StreamReader.

    https://docs.python.org/3/library/asyncio-stream.html#asyncio.open_connection

    Raises OSError (socket.gaierror and ConnectionRefusedError among them) and ssl.SSLError. Task.cancel() and trio
    scopes end it, and leave nothing open.
    """
    return await _open(get_running_loop().create_connection, (host, port), limit, kwds)


async def start_server(
    client_connected_cb: ClientConnected,
    host: str | Sequence[str] | None = None,
    port: str | int | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    **kwds: Any,
) -> asyncio.Server:
    """The Server, which calls client_connected_cb(reader, writer) for each connection; a coroutine is run as a Task.

    https://docs.python.org/3/library/asyncio-stream.html#asyncio.start_server

    The keywords are those of loop.create_server(). Raises OSError.
    """
    create_server: Callable[..., Awaitable[asyncio.Server]] = get_running_loop().create_server
    return await create_server(_make_factory(client_connected_cb, limit), host, port, **kwds)


async def open_unix_connection(
    path: str | bytes | PathLike[str] | None = None, *, limit: int = DEFAULT_LIMIT, **kwds: Any
) -> tuple[StreamReader, StreamWriter]:
    """open_connection() to a Unix socket; the keywords are those of loop.create_unix_connection().

    https://docs.python.org/3/library/asyncio-stream.html#asyncio.open_unix_connection
    """
    return await _open(get_running_loop().create_unix_connection, (path,), limit, kwds)


async def start_unix_server(
    client_connected_cb: ClientConnected,
    path: str | bytes | PathLike[str] | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    **kwds: Any,
) -> asyncio.Server:
    """start_server() on a Unix socket; the keywords are those of loop.create_unix_server().

    https://docs.python.org/3/library/asyncio-stream.html#asyncio.start_unix_server
    """
    create_unix_server: Callable[..., Awaitable[asyncio.Server]] = get_running_loop().create_unix_server
    return await create_unix_server(_make_factory(client_connected_cb, limit), path, **kwds)


async def _open(
    connect: Callable[..., Awaitable[tuple[asyncio.Transport, object]]],
    address: tuple[object, ...],
    limit: int,
    kwds: dict[str, object],
) -> tuple[StreamReader, StreamWriter]:
    loop = get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    protocol = StreamReaderProtocol(reader, loop=loop)
    transport, _ = await connect(lambda: protocol, *address, **kwds)
    return reader, StreamWriter(transport, protocol, reader, loop)


def _make_factory(client_connected_cb: ClientConnected, limit: int) -> Callable[[], StreamReaderProtocol]:
    loop = get_running_loop()
    return lambda: StreamReaderProtocol(StreamReader(limit=limit, loop=loop), client_connected_cb, loop=loop)


class StreamReaderProtocol(asyncio.StreamReaderProtocol):
    """Feeds a StreamReader. https://docs.python.org/3/library/asyncio-stream.html

    It differs from asyncio's in two points. A reader that is full stays paused when TLS begins. And before 3.12.2 a
    connection is closed when the Task of client_connected_cb() is cancelled, as in later Pythons.
    """

    _stream_reader: StreamReader | None
    _task: asyncio.Task[None] | None

    def __init__(
        self,
        stream_reader: asyncio.StreamReader | None,
        client_connected_cb: ClientConnected | None = None,
        loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(stream_reader, client_connected_cb, get_event_loop() if loop is None else loop)  # type: ignore[arg-type]

    if not CLOSES_WHEN_CANCELLED:

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """Called by the transport: a server's client_connected_cb() is called here."""
            super().connection_made(transport)
            task = self._task
            callbacks = getattr(task, "_callbacks", None)  # what a task factory makes may have none
            if task is not None and callbacks:
                report = callbacks[-1][0]
                task.remove_done_callback(report)
                task.add_done_callback(lambda task: transport.close() if task.cancelled() else report(task))

    def _replace_transport(self, transport: asyncio.Transport) -> None:
        super()._replace_transport(transport)  # type: ignore[misc]
        self._pause_if_full(transport)

    def _replace_writer(self, writer: StreamWriter) -> None:  # what asyncio calls up to 3.12
        super()._replace_writer(writer)  # type: ignore[misc]
        self._pause_if_full(writer.transport)  # type: ignore[arg-type]

    def _pause_if_full(self, transport: asyncio.Transport) -> None:
        reader = self._stream_reader
        if reader is not None:
            reader._transport = transport
            if reader._paused:
                transport.pause_reading()


class StreamReader(asyncio.StreamReader):
    """The receiving side of a connection. https://docs.python.org/3/library/asyncio-stream.html#asyncio.StreamReader

    limit: of the length of a line, in bytes; and with more than twice as much in the buffer, nothing more is received.

    Every wait for data raises asyncio.CancelledError on Task.cancel(), which is a trio.Cancelled too when a trio scope
    is the cause; nothing is taken from the buffer then. What set_exception() was given is raised by all that read.
    """

    # What has been received and not been read: most often one block, which is kept as it came, since it takes as long
    # to copy it into a bytearray and out again as to receive it. The read part of it stays until all is read.
    _data: bytes | bytearray
    _read: int  # so many bytes at the beginning; none if it is a bytearray
    # asyncio's:
    _limit: int
    _loop: AbstractEventLoop
    _eof: bool
    _waiter: Future[None] | None
    _exception: Exception | None
    _transport: asyncio.ReadTransport | None
    _paused: bool

    def __init__(self, limit: int = DEFAULT_LIMIT, loop: AbstractEventLoop | None = None) -> None:
        super().__init__(limit, get_event_loop() if loop is None else loop)
        forget_last_frames(self)

    @property
    def _buffer(self) -> bytearray:
        """All that is unread: asyncio has it under this name, and some programs look at it, or take from it."""
        if type(self._data) is not bytearray:
            self._data, self._read = bytearray(memoryview(self._data)[self._read :]), 0
        return self._data

    @_buffer.setter
    def _buffer(self, data: bytearray) -> None:
        self._data, self._read = data, 0

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        """Add to the buffer."""
        assert not self._eof, "feed_data after feed_eof"
        if not data:
            return
        if type(data) is bytes and not self._data:
            self._data = data
        else:
            self._buffer.extend(data)
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.cancelled():
                waiter.set_result(None)
        if len(self._data) - self._read > 2 * self._limit and self._transport is not None and not self._paused:
            try:
                self._transport.pause_reading()
            except NotImplementedError:
                self._transport = None
            else:
                self._paused = True

    def _resume(self) -> None:
        self._paused = False
        if self._transport is not None:
            self._transport.resume_reading()

    def _take(self, size: int) -> bytes:
        """The first bytes of what is unread, which are read then."""
        data, start = self._data, self._read
        left = len(data) - start - size
        if left <= 0:
            self._data, self._read = b"", 0
            taken = bytes(data[start:] if start else data)
        elif type(data) is bytes:
            self._read = start + size
            taken = data[start : start + size]
        else:
            taken = bytes(memoryview(data)[:size])
            del data[:size]  # type: ignore[union-attr]
        if self._paused and left <= self._limit:
            self._resume()
        return taken

    def _make_data_waiter(self, func_name: str) -> Future[None]:
        """A Future that is done when something has been fed; who has awaited it sets `_waiter` to None.

        Not a coroutine that does both: each wait would make one more, and pass through it twice.
        """
        if self._waiter is not None:
            raise RuntimeError(f"{func_name}() called while another coroutine is already waiting for incoming data")
        assert not self._eof, "_wait_for_data after EOF"
        if self._paused:
            self._resume()
        self._waiter = waiter = self._loop.create_future()
        return waiter

    # --- the reading side --------------------------------------------------------------------------------------------

    def at_eof(self) -> bool:
        """Tell whether everything has been read and no more will come."""
        return self._eof and not self._data

    async def read(self, n: int = -1) -> bytes:
        """Read up to n bytes, as soon as there are any; all up to the end if n is negative. At the end it is b""."""
        if self._exception is not None:
            raise self._exception
        if n == 0:
            return b""
        if n < 0:
            blocks = []
            while block := await self.read(self._limit):
                blocks.append(block)
            return b"".join(blocks)
        if not self._data and not self._eof:
            waiter = self._make_data_waiter("read")
            try:
                await waiter
            finally:
                self._waiter = None
        return self._take(n)

    async def readexactly(self, n: int) -> bytes:
        """Read n bytes. Raises IncompleteReadError, with what there is, when the end comes before."""
        if n < 0:
            raise ValueError("readexactly size can not be less than zero")
        if self._exception is not None:
            raise self._exception
        if n == 0:
            return b""
        while len(self._data) - self._read < n:
            if self._eof:
                self._raise_incomplete(n)
            waiter = self._make_data_waiter("readexactly")
            try:
                await waiter
            finally:
                self._waiter = None
        return self._take(n)

    def _raise_incomplete(self, expected: int | None) -> NoReturn:
        partial = bytes(self._data[self._read :])
        self._data, self._read = b"", 0  # a transport that was paused stays so, as in asyncio
        raise IncompleteReadError(partial, expected)

    async def readuntil(self, separator: BytesLike | tuple[BytesLike, ...] = b"\n") -> bytes:  # type: ignore[override]
        """Read up to a separator, which is included; from 3.13 on it may be a tuple of which the first to end counts.

        Raises IncompleteReadError, with what there is, when the end comes before; LimitOverrunError when there are more
        bytes before it than the limit, which stay in the buffer.
        """
        if isinstance(separator, tuple) and SINCE_3_13:
            separators = sorted(separator, key=len)
            if not separators:
                raise ValueError("Separator should contain at least one element")
        else:
            separators = [separator]  # type: ignore[list-item]
        if not separators[0]:
            raise ValueError("Separator should be at least one-byte string")
        longest = len(separators[-1])
        if self._exception is not None:
            raise self._exception
        searched = start = 0  # no separator begins before this
        while True:
            data, read = self._data, self._read
            end = 0
            for one in separators:
                at = data.find(one, read + searched)
                if at >= 0 and (not end or at + len(one) < end):
                    start, end = at, at + len(one)
            if end:
                break
            searched = max(0, len(data) - read + 1 - longest)
            if searched > self._limit:
                raise LimitOverrunError("Separator is not found, and chunk exceed the limit", searched)
            if self._eof:
                self._raise_incomplete(None)
            waiter = self._make_data_waiter("readuntil")
            try:
                await waiter
            finally:
                self._waiter = None
        if start - read > self._limit:
            raise LimitOverrunError("Separator is found, but chunk is longer than limit", start - read)
        return self._take(end - read)
