"""A trio stream as asyncio's pair of reader and writer, and the pair as a trio stream."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from compat.adapters import events, streams, transports

__all__ = ["as_streams", "as_trio_stream"]

T = TypeVar("T")

RECEIVE_SIZE = 64 * 1024  # bytes, where the caller leaves it open


def as_streams(
    stream: trio.abc.Stream, *, limit: int = streams.DEFAULT_LIMIT
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A trio stream as an asyncio StreamReader and StreamWriter, which own it from now on.

    Any trio.abc.Stream will do: TCP, TLS, Unix, a StapledStream of pipes, one of trio.testing's memory_stream_pair().
    The reader receives in the background, up to twice the limit (in bytes). Closing the writer closes the stream, once
    everything has been sent; write_eof() needs a trio.abc.HalfCloseableStream. Who closes the stream before that, as
    trio.serve_tcp() does when its handler returns, drops what is left: wait for writer.wait_closed().

    Raises RuntimeError where no loop of asyncio-on-trio runs: see compat.run() and compat.open_loop().
    https://docs.python.org/3/library/asyncio-stream.html
    """
    loop = events.get_running_loop()
    if not isinstance(loop, events.BaseLoop):
        raise RuntimeError(f"{loop!r} does not run on trio")
    reader = streams.StreamReader(limit=limit, loop=loop)
    protocol = streams.StreamReaderProtocol(reader, loop=loop)
    transport = transports.StreamTransport(loop, stream, protocol, extra=_describe(stream))
    protocol.connection_made(transport)
    transport._start_receiving()
    writer = streams.StreamWriter(transport, protocol, reader, loop)
    return reader, writer


def _describe(stream: trio.abc.Stream) -> dict[str, object]:
    """What get_extra_info() tells."""
    extra: dict[str, object] = {}
    while isinstance(stream, trio.SSLStream):
        extra.setdefault("sslcontext", stream.context)
        extra.setdefault("ssl_object", stream)  # it answers what an ssl.SSLObject does
        stream = stream.transport_stream
    if isinstance(stream, trio.SocketStream):
        extra["socket"] = stream.socket
        for name, ask in ("sockname", stream.socket.getsockname), ("peername", stream.socket.getpeername):
            try:
                extra[name] = ask()
            except OSError:
                extra[name] = None
    return extra


def as_trio_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> trio.abc.HalfCloseableStream:
    """An asyncio StreamReader and StreamWriter as a trio stream, which owns them from now on.

    What the reader has in its buffer is received first. send_all() returns when the writer's buffer has room, and
    aclose() when everything has been sent; cancelled, it closes the connection at once. send_eof() raises
    NotImplementedError where the writer cannot write_eof(), as over TLS.

    The stream works in any trio task while the loop of the pair runs. As any trio stream, it raises
    trio.BrokenResourceError with the OSError as its cause, trio.ClosedResourceError and trio.BusyResourceError.
    https://trio.readthedocs.io/en/stable/reference-io.html#the-abstract-stream-api
    """
    return _PairStream(reader, writer)


class _PairStream(trio.abc.HalfCloseableStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._busy: set[str] = set()
        self._closed = self._eof_sent = False

    async def _do(self, what: str, action: Callable[[], Awaitable[T]]) -> T:
        """Do it as trio's streams do: with a checkpoint before anything, by one task at a time, with trio's errors."""
        if what in self._busy:
            raise trio.BusyResourceError(f"another task is {what} on this stream")
        self._busy.add(what)
        try:
            await trio.lowlevel.checkpoint()
            self._check_open(what)
            result = await action()
            self._check_open(what)
        except OSError as error:
            self._check_open(what)
            raise trio.BrokenResourceError(str(error)) from error
        finally:
            self._busy.discard(what)
        return result

    def _check_open(self, what: str) -> None:
        if self._closed or (what == "sending" and self._eof_sent):
            raise trio.ClosedResourceError("this stream was closed")

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive up to so many bytes, as soon as there are any; b"" at the end."""
        size = RECEIVE_SIZE if max_bytes is None else operator.index(max_bytes)
        if size < 1:
            raise ValueError("max_bytes must be >= 1")
        return await self._do("receiving", lambda: self._reader.read(size))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send the data, and wait until the writer's buffer has room again."""

        async def send() -> None:
            if data:
                self._writer.write(data)
                await self._writer.drain()

        await self._do("sending", send)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the writer's buffer has room."""
        await self._do("sending", self._writer.drain)

    async def send_eof(self) -> None:
        """Close the sending side, once everything has been sent."""
        if self._eof_sent and not self._closed:
            await trio.lowlevel.checkpoint()
            return

        async def send_eof() -> None:
            self._writer.write_eof()

        await self._do("sending", send_eof)
        self._eof_sent = True

    async def aclose(self) -> None:
        """Send what is in the buffer, then close; cancelled, close at once."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        self._writer.close()
        try:
            await trio.lowlevel.checkpoint()
            await self._writer.wait_closed()
        except OSError:
            pass  # closed it is
        except BaseException:
            self._writer.transport.abort()
            raise
