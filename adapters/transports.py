"""asyncio's transports for streams: on a socket, or on any trio stream.

`SocketTransport` receives and sends by itself when the loop's `_polling.Poller` says that the socket is ready. A
trio.SocketStream would not do: write() has to try to send in the call. What it gives over asyncio's own class, on the
same loop: a MiB in bulk takes 0.6 of the time on CPython 3.11, and to receive a small message 1.2 microseconds instead
of 10 where malloc maps the large blocks that asyncio receives into. Else the two take the same time. And sendfile()
does not wait for ever while the transport is aborted.

`StreamTransport` sits on a trio stream. Two trio tasks move the bytes, one each way, and only while there is something
to wait for: one receives and feeds the protocol, one sends what write() has left in the buffer. What differs from the
stream: bytes arrive without being asked for, until pause_reading(); write() never waits; and the protocol is told of
the end.

TLS is a protocol on top of either: asyncio.sslproto, the interpreter's own, which turns bytes into bytes and waits for
nothing. A trio.SSLStream would not do: write() and close() have to encrypt and send in the call.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import socket
import sys
import warnings
from asyncio import constants, trsock
from asyncio.log import logger
from asyncio.transports import *  # noqa: F403
from asyncio.transports import __all__ as __all__
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any

import trio

from ._asyncio import FlowControl, SendfileMode, feed_buffered, set_nodelay
from ._polling import READ, WRITE, Activity, Watch
from ._types import BytesLike

if TYPE_CHECKING:
    from ._interface import LoopPart

MOST_GATHERED = 64  # pieces in one call: below every system's limit
SINCE_3_12 = sys.version_info >= (3, 12)  # writelines() names itself in its errors
SINCE_3_13 = sys.version_info >= (3, 13)
RECEIVE_SIZE = 256 * 1024  # bytes asked for at once, as asyncio does
SEND_SIZE = 64 * 1024  # bytes handed to a trio stream at once: the buffer is seen to shrink by that


def as_os_error(error: Exception, when_broken: type[OSError]) -> Exception:
    """The OSError for an exception of trio's: the error that caused it, if there is one."""
    if isinstance(error, trio.ClosedResourceError):
        return OSError(errno.EBADF, os.strerror(errno.EBADF))
    if not isinstance(error, trio.BrokenResourceError):
        return error
    cause = error.__cause__
    if isinstance(cause, trio.BrokenResourceError):
        return as_os_error(cause, when_broken)
    return cause if isinstance(cause, OSError) else when_broken(*error.args)


class TransportBase(FlowControl):
    """What the transports share. https://docs.python.org/3/library/asyncio-protocol.html#transports"""

    _start_tls_compatible = True  # asyncio.sslproto asks for it by this name

    _closed = False  # the stream or socket is; also when __init__ did not get far
    _extra: dict[str, object]
    _loop: LoopPart
    _protocol: Any  # of a kind that fits the transport; None once the connection is lost
    _context: Context | None = None  # in which the protocol is called; None: in that of whoever starts what calls it
    _receiving: Watch | Activity | None = None
    _sending: Watch | Activity | None = None
    _paused = False
    _closing = False
    _conn_lost = 0  # set when connection_lost() is due; counts writes after that

    if TYPE_CHECKING:
        # Each kind gives:

        def _describe_stream(self) -> str:
            """What it sits on, for its repr."""

        def _start_receiving(self) -> None:
            """Receive, unless it is done already, or must not be."""

        def _send_at_once(self, data: BytesLike) -> BytesLike:
            """Send what can be sent in the call, and return the rest."""

        def _start_sending(self) -> None:
            """Send what is in the buffer, unless it is done already."""

        def _close_stream(self) -> None:
            """Close what is still open, at once."""

    def __init__(self, loop: LoopPart, protocol: asyncio.BaseProtocol, extra: dict[str, object] | None) -> None:
        super().__init__(extra, loop)
        self._buffer: deque[bytes | memoryview] = deque()
        self._buffer_size = 0
        self._eof_sent = False
        self._empty_waiter: asyncio.Future[None] | None = None  # while a file is sent: done when the buffer is empty
        self.set_protocol(protocol)

    def __repr__(self) -> str:
        info = [type(self).__name__]
        if self._closed:
            info.append("closed")
        elif self._closing:
            info.append("closing")
        info.append(self._describe_stream())
        info.append(f"read={'idle' if self._receiving is None else 'polling'}")
        info.append(f"write=<{'idle' if self._sending is None else 'polling'}, bufsize={self._buffer_size}>")
        return f"<{' '.join(info)}>"

    # --- the protocol -------------------------------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another protocol have what arrives from now on."""
        self._protocol = protocol
        self._wants_buffer = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol; None once the connection is lost."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def _feed_eof(self) -> None:
        if self._loop.get_debug():
            logger.debug("%r received EOF", self)
        try:
            stays_open = self._protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.eof_received() call failed.")
            return
        if stays_open:
            self._stop_receiving()
        else:
            self.close()

    # --- receiving ----------------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        """Tell whether it receives: neither paused nor closing."""
        return not self._closing and not self._paused

    def pause_reading(self) -> None:
        """Receive no more until resume_reading(). The system buffers what the other side sends, up to its limit."""
        if self.is_reading():
            self._paused = True
            self._stop_receiving()
            if self._loop.get_debug():
                logger.debug("%r pauses reading", self)

    def resume_reading(self) -> None:
        """Receive again."""
        if self._paused and not self._closing:
            self._paused = False
            self._start_receiving()
            if self._loop.get_debug():
                logger.debug("%r resumes reading", self)

    def _stop_receiving(self) -> None:
        receiving, self._receiving = self._receiving, None
        if receiving is not None:
            receiving.cancel()

    # --- sending ------------------------------------------------------------------------------------------------------

    def write(self, data: BytesLike) -> None:
        """Send bytes, in the background as far as they do not go out at once; nothing is raised if they do not."""
        if not isinstance(data, BytesLike):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._eof_sent:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._empty_waiter is not None:
            raise RuntimeError("unable to write; sendfile is in progress")
        if not data:
            return
        if self._conn_lost:
            if self._conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
                logger.warning("socket.send() raised exception.")
            self._conn_lost += 1
            return
        rest = data if self._buffer else self._send_at_once(data)
        if rest:
            if type(data) is not bytes:
                rest = bytes(rest)  # the caller may change it, and the items of a memoryview may be longer than a byte
            self._buffer.append(rest)  # type: ignore[arg-type]
            self._buffer_size += len(rest)
            self._start_sending()
            self._maybe_pause_protocol()

    def writelines(self, list_of_data: Iterable[BytesLike]) -> None:
        """Send several pieces, as one."""
        if SINCE_3_12:
            if self._eof_sent:
                raise RuntimeError("Cannot call writelines() after write_eof()")
            if self._empty_waiter is not None:
                raise RuntimeError("unable to writelines; sendfile is in progress")
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        """How many bytes write() was given that have not been sent."""
        return self._buffer_size

    def _discard_sent(self, sent: int) -> None:
        """Remove so many bytes from the head of the buffer."""
        self._buffer_size -= sent
        buffer = self._buffer
        while sent:
            first = buffer.popleft()
            if len(first) > sent:
                buffer.appendleft(memoryview(first)[sent:])
                return
            sent -= len(first)

    def _stop_sending(self) -> None:
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.cancel()

    # --- the end ------------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Tell whether it is closed or about to be."""
        return self._closing

    def abort(self) -> None:
        """Close at once, and lose what is in the buffer."""
        self._force_close(None)

    def _fatal_error(self, error: BaseException, message: str) -> None:
        """Close because of an error. Only one that is no OSError goes to the exception handler."""
        if not isinstance(error, OSError):
            context = {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
            self._loop.call_exception_handler(context)
        elif self._loop.get_debug():
            logger.debug("%r: %s", self, message, exc_info=error)
        self._force_close(error)

    def _force_close(self, error: BaseException | None) -> None:
        """Close at once, because of the error. asyncio.sslproto calls it by this name."""
        if not self._conn_lost:
            self._closing = True
            self._buffer.clear()
            self._buffer_size = 0
            self._stop_receiving()
            self._stop_sending()
            self._call_connection_lost_soon(error)

    def _call_connection_lost_soon(self, error: BaseException | None) -> None:
        if not self._conn_lost:
            self._conn_lost = 1
            self._loop.call_soon(self._call_connection_lost, error, context=self._context)

    def _call_connection_lost(self, error: BaseException | None) -> None:
        """Call the protocol's connection_lost(), close the stream, and drop all references."""
        try:
            if self._protocol is not None:
                self._protocol.connection_lost(error)
        finally:
            self._close_stream()
            self._protocol = None


class StreamTransport(TransportBase):
    """A transport on a trio stream."""

    _sendfile_compatible = SendfileMode.FALLBACK  # loop.sendfile() asks for it by this name

    def __init__(
        self,
        loop: LoopPart,
        stream: Any,  # a trio.abc.Stream
        protocol: asyncio.BaseProtocol,
        extra: dict[str, object],
    ) -> None:
        super().__init__(loop, protocol, extra)
        self._stream = stream
        self._received_while_paused: bytes | None = None  # received while reading was being paused
        self._receive_lock: trio.Lock | None = None  # an Activity that was cancelled may take some steps to end

    def _describe_stream(self) -> str:
        return f"stream={self._stream!r}"

    # --- receiving ----------------------------------------------------------------------------------------------------

    def _start_receiving(self) -> None:
        if self.is_reading() and self._receiving is None:
            self._receiving = Activity(self._loop, self._receive, "asyncio transport: receive")

    async def _receive(self, me: Activity) -> None:
        if self._receive_lock is None:
            self._receive_lock = trio.Lock()
        async with self._receive_lock:
            while self._receiving is me:
                if self._received_while_paused is not None:
                    data, self._received_while_paused = self._received_while_paused, None
                else:
                    try:
                        data = bytes(await self._stream.receive_some(RECEIVE_SIZE))
                    except Exception as error:
                        if self._receiving is me:
                            failure = as_os_error(error, ConnectionResetError)
                            self._fatal_error(failure, "Fatal read error on transport")
                        break
                    if self._receiving is not me:
                        self._received_while_paused = data
                        return
                if not self._feed(data):
                    break
        if self._receiving is me:
            self._receiving = None

    @trio.lowlevel.disable_ki_protection
    def _feed(self, data: bytes) -> bool:
        """Give received bytes to the protocol; b"" is the end of the stream. Tell whether to go on."""
        if not data:
            self._feed_eof()
            return False
        try:
            if self._wants_buffer:
                feed_buffered(self._protocol, data)
            else:
                self._protocol.data_received(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            method = "get_buffer() or buffer_updated" if self._wants_buffer else "data_received"
            self._fatal_error(error, f"Fatal error: protocol.{method}() call failed.")
            return False
        return True

    # --- sending ------------------------------------------------------------------------------------------------------

    def _send_at_once(self, data: BytesLike) -> BytesLike:
        """Nothing: a trio stream sends in a task."""
        return data

    def _start_sending(self) -> None:
        if self._sending is None:
            self._sending = Activity(self._loop, self._send, "asyncio transport: send")

    async def _send(self, me: Activity) -> None:
        try:
            await self._send_buffer()
            if self._eof_sent and not self._closing:
                await self._stream.send_eof()
            if self._closing and not self._conn_lost:  # close() may have come while this waited
                await self._stream.aclose()
                self._closed = True
                self._call_connection_lost_soon(None)
        except Exception as error:
            self._fatal_error(as_os_error(error, BrokenPipeError), "Fatal write error on transport")
        finally:
            self._sending = None

    async def _send_buffer(self) -> None:
        while self._buffer:
            pieces, size = [], 0
            for piece in self._buffer:
                pieces.append(piece)
                size += len(piece)
                if size >= SEND_SIZE:
                    break
            block = b"".join(pieces) if len(pieces) > 1 else memoryview(pieces[0])[:SEND_SIZE]
            await self._stream.send_all(block)
            self._discard_sent(len(block))
            self._maybe_resume_protocol()

    def can_write_eof(self) -> bool:
        """Tell whether write_eof() works: the stream can be closed one way."""
        return isinstance(self._stream, trio.abc.HalfCloseableStream)

    def write_eof(self) -> None:
        """Close this side when everything has been sent. Raises NotImplementedError if can_write_eof() is False."""
        if not self.can_write_eof():
            raise NotImplementedError
        if not self._closing and not self._eof_sent:
            self._eof_sent = True
            self._start_sending()

    # --- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Receive no more, send what is in the buffer, close, and then tell the protocol."""
        if not self._closing:
            self._closing = True
            self._stop_receiving()
            self._start_sending()

    def _close_stream(self) -> None:
        if not self._closed:
            self._closed = True
            stream = self._stream

            async def close(me: Activity) -> None:
                try:
                    await trio.aclose_forcefully(stream)
                except Exception as error:
                    self._loop.call_exception_handler({"message": "Error on closing a stream", "exception": error})

            Activity(self._loop, close, "asyncio transport: close")


def wake(waiter: asyncio.Future[None]) -> None:
    """End a wait, unless it was cancelled."""
    if not waiter.done():
        waiter.set_result(None)


class SocketTransport(TransportBase):
    """A transport on a connected, non-blocking stream socket, which is its own from now on."""

    _sendfile_compatible = SendfileMode.TRY_NATIVE
    _sock: socket.socket
    _receives_much = False  # the last piece was large: the next is received into bytes of its own, and not copied

    def __init__(
        self,
        loop: LoopPart,
        sock: socket.socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None,
        extra: dict[str, object] | None,
        server: asyncio.Server | None,
        context: Context | None,
    ) -> None:
        """The waiter is done when the protocol has been told, and what arrives is received."""
        super().__init__(loop, protocol, extra)
        self._context = context
        self._server = server
        if server is not None:
            server._attach(*self._told_to_server())  # type: ignore[attr-defined]
        self._sock = sock
        self._sock_fd = sock.fileno()
        self._extra["socket"] = trsock.TransportSocket(sock)
        for name, ask in ("sockname", sock.getsockname), ("peername", sock.getpeername):
            if name not in self._extra:
                try:
                    self._extra[name] = ask()
                except OSError:
                    self._extra[name] = None
        loop._transports[self._sock_fd] = self
        set_nodelay(sock)
        # In the next batch, in this order.
        loop.call_soon(protocol.connection_made, self, context=context)
        loop.call_soon(self._start_receiving, context=context)
        if waiter is not None:
            loop.call_soon(wake, waiter, context=context)

    def _describe_stream(self) -> str:
        return f"fd={self._sock_fd}"

    def _close_stream(self) -> None:
        if self._empty_waiter is not None:
            # sendfile() waits for the socket, and would wait forever if it were closed.
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
        elif not self._closed:
            self._closed = True
            self._sock.close()

    def _told_to_server(self) -> tuple[asyncio.BaseTransport, ...]:
        """What asyncio.Server counts a connection by: up to 3.12 it is not told which."""
        return (self,) if SINCE_3_13 else ()

    def _leave_server(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server._detach(*self._told_to_server())  # type: ignore[attr-defined]

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if not self._closed and hasattr(self, "_sock"):
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self._close_stream()
            self._leave_server()

    # --- receiving ---------------------------------------------------------------------------------------------------

    def _start_receiving(self) -> None:
        if self.is_reading() and self._receiving is None:
            self._receiving = Watch(self._loop, self._sock_fd, READ, self._receive_now, context=self._context)

    def _receive_now(self) -> None:
        if self._wants_buffer:
            self._receive_into_buffer()
            return
        try:
            if self._receives_much:
                data = self._sock.recv(RECEIVE_SIZE)
            else:
                buffer = self._loop._receive_buffer
                data = bytes(buffer[: self._sock.recv_into(buffer)])
        except (BlockingIOError, InterruptedError):
            return
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal read error on socket transport")
            return
        if not data:
            self._feed_eof()
            return
        self._receives_much = len(data) > SEND_SIZE
        try:
            self._protocol.data_received(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.data_received() call failed.")

    def _receive_into_buffer(self) -> None:
        try:
            buffer = self._protocol.get_buffer(-1)
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.get_buffer() call failed.")
            return
        try:
            received = self._sock.recv_into(buffer)
        except (BlockingIOError, InterruptedError):
            return
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal read error on socket transport")
            return
        if not received:
            self._feed_eof()
            return
        try:
            self._protocol.buffer_updated(received)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.buffer_updated() call failed.")

    # --- sending -----------------------------------------------------------------------------------------------------

    def _send_at_once(self, data: BytesLike) -> BytesLike:
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return data
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal write error on socket transport")
            return b""
        if sent == len(data) and type(data) is not memoryview:
            return b""
        return memoryview(data).cast("B")[sent:]

    def _start_sending(self) -> None:
        if self._sending is None:
            self._sending = Watch(self._loop, self._sock_fd, WRITE, self._send_now, context=self._context)

    def _send_now(self) -> None:
        try:
            if len(self._buffer) == 1:
                sent = self._sock.send(self._buffer[0])
            else:
                sent = self._sock.sendmsg(itertools.islice(self._buffer, MOST_GATHERED))
        except (BlockingIOError, InterruptedError):
            return
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal write error on socket transport")
            return
        self._discard_sent(sent)
        self._maybe_resume_protocol()
        if not self._buffer:
            self._stop_sending()
            if self._empty_waiter is not None:
                wake(self._empty_waiter)
            if self._closing:
                if not self._conn_lost:
                    self._conn_lost = 1
                    self._call_connection_lost(None)
            elif self._eof_sent:
                self._shut_down()

    def _make_empty_waiter(self) -> asyncio.Future[None]:
        """Let nobody write, until _reset_empty_waiter(); a Future that is done when the buffer is empty."""
        if self._empty_waiter is not None:
            raise RuntimeError("Empty waiter is already set")
        self._empty_waiter = self._loop.create_future()
        if not self._buffer:
            self._empty_waiter.set_result(None)
        return self._empty_waiter

    def _reset_empty_waiter(self) -> None:
        self._empty_waiter = None
        if self._protocol is None:
            self._close_stream()

    def _call_connection_lost(self, error: BaseException | None) -> None:
        try:
            super()._call_connection_lost(error)
        finally:
            self._leave_server()
        if self._empty_waiter is not None and not self._empty_waiter.done():
            self._empty_waiter.set_exception(error or ConnectionError("Connection is closed by peer"))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._closing and not self._eof_sent:
            self._eof_sent = True
            if not self._buffer:
                self._shut_down()

    def _shut_down(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._stop_receiving()
            if not self._buffer:
                self._call_connection_lost_soon(None)
