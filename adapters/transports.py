"""asyncio's transports for streams, carried by trio streams.

Two small trio tasks move the bytes, one each way, and only while there is something to wait for: one receives and feeds
the protocol, one sends what write() has left in the buffer. What differs from a bare trio stream: bytes arrive without
being asked for, until pause_reading(); write() never waits; and the end of the connection is told to the protocol.

`StreamTransport` sits on any trio stream, `TLSTransport` on a trio.SSLStream. `SocketTransport` stands for a
trio.SocketStream: since write() must try to send at once, it moves the bytes of the socket itself. Where there is
epoll, all sockets of a loop share one (`Poller`), and trio waits for that: waiting for each alone takes twice the time.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
import select
import socket
import ssl
import warnings
import weakref
from asyncio import constants, protocols, trsock
from asyncio import transports as std_transports
from asyncio.log import logger
from asyncio.transports import *  # noqa: F403
from asyncio.transports import __all__ as __all__
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from . import _trio_internals as internals

if TYPE_CHECKING:
    from ._connections import Server

_FlowControl: Any = std_transports._FlowControlMixin
_feed_buffered: Any = protocols._feed_data_to_buffered_proto  # type: ignore[attr-defined]

RECEIVE_SIZE = 256 * 1024  # bytes asked for at once, as asyncio does
SEND_SIZE = 64 * 1024  # bytes handed to a trio stream at once: the buffer is seen to shrink by that


class Activity:
    """A trio task in which the loop itself is at work: not an asyncio Task, and current_task() is None in it.

    It can be cancelled, also while the loop stands still. What it raises is reported to the loop.
    """

    __slots__ = ("_coro", "_loop", "scope", "send")

    def __init__(self, loop: Any, function: Callable[[Activity], Awaitable[None]], name: str) -> None:
        self.scope = trio.CancelScope()
        self._loop = weakref.ref(loop)  # the loop's own run must not keep the loop
        self._coro = self._run(function)
        self.send = self._coro.send
        context = contextvars.copy_context()
        internals.start(internals.make_task(loop._nursery, loop._runner, self, name, context))

    @trio.lowlevel.enable_ki_protection
    async def _run(self, function: Callable[[Activity], Awaitable[None]]) -> None:
        try:
            with self.scope:
                await function(self)
        except trio.Cancelled:
            raise
        except BaseException as error:
            self.report(error)

    def report(self, error: BaseException) -> None:
        """Tell the loop of an error, as it is told of one in a callback."""
        loop = self._loop()
        if loop is None:
            raise error
        if isinstance(error, SystemExit | KeyboardInterrupt):
            loop._stop_with(error)
        else:
            loop.call_exception_handler({"message": f"Exception in {self._coro!r}", "exception": error})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)  # trio looks at its coroutine's frame and state

    def cancel(self) -> None:
        """Interrupt its wait, if it is in one: what it waited for is let go of before this returns."""
        self.scope.cancel()


READ, WRITE = 1, 4  # as select.EPOLLIN and EPOLLOUT


class Watch:
    """One callback for one direction of a socket, until it is cancelled."""

    __slots__ = ("_poller", "event", "fd", "handle")

    def __init__(self, poller: Poller, fd: int, event: int, handle: Any) -> None:
        self._poller = poller
        self.fd = fd
        self.event = event
        self.handle = handle

    def cancel(self) -> None:
        """Call no more."""
        self._poller.remove(self)


class Poller:
    """One epoll for all sockets of a loop, and the trio task that waits for it and calls who is ready."""

    def __init__(self, loop: Any) -> None:
        self._epoll = select.epoll()
        self._watches: dict[tuple[int, int], Watch] = {}
        Activity(loop, self._run, "asyncio sockets")

    def _mask(self, fd: int) -> int:
        return (READ if (fd, READ) in self._watches else 0) | (WRITE if (fd, WRITE) in self._watches else 0)

    def add(self, watch: Watch) -> None:
        before = self._mask(watch.fd)
        if before:
            self._epoll.modify(watch.fd, before | watch.event)
        else:
            self._epoll.register(watch.fd, watch.event)
        self._watches[watch.fd, watch.event] = watch

    def remove(self, watch: Watch) -> None:
        if self._watches.get((watch.fd, watch.event)) is watch and not self._epoll.closed:
            del self._watches[watch.fd, watch.event]
            left = self._mask(watch.fd)
            with suppress(OSError):  # somebody else has closed it
                if left:
                    self._epoll.modify(watch.fd, left)
                else:
                    self._epoll.unregister(watch.fd)

    async def _run(self, me: Activity) -> None:
        with self._epoll as epoll:
            while True:
                ready = epoll.poll(0)
                if not ready:
                    await trio.lowlevel.wait_readable(epoll.fileno())
                    continue
                for fd, events in ready:
                    # An error or a hang-up, which is neither, is for whoever watches to find.
                    for event, others in (READ, ~WRITE), (WRITE, ~READ):
                        if events & others and (fd, event) in self._watches:
                            try:
                                self._watches[fd, event].handle._run()
                            except (SystemExit, KeyboardInterrupt) as error:
                                me.report(error)
                await trio.lowlevel.checkpoint()


def watch(loop: Any, fd: int, event: int, callback: Callable[[], None]) -> Watch | Activity:
    """Call back whenever the socket is ready to READ or WRITE, until cancel() of what this returns."""
    handle: Any = asyncio.Handle(callback, (), loop)
    if HAS_EPOLL:
        if loop._poller is None:
            loop._poller = Poller(loop)
        new = Watch(loop._poller, fd, event, handle)
        loop._poller.add(new)
        return new

    wait = trio.lowlevel.wait_readable if event == READ else trio.lowlevel.wait_writable

    async def wait_and_call(me: Activity) -> None:
        while not me.scope.cancel_called:
            await wait(fd)
            handle._run()

    return Activity(loop, wait_and_call, "asyncio socket")


HAS_EPOLL = hasattr(select, "epoll")


def as_os_error(error: Exception, when_broken: type[OSError]) -> Exception:
    """What an asyncio program is told instead of trio's exception: the error behind it, if there is one."""
    if isinstance(error, trio.ClosedResourceError):
        return OSError(errno.EBADF, os.strerror(errno.EBADF))
    if not isinstance(error, trio.BrokenResourceError):
        return error
    cause = error.__cause__
    if isinstance(cause, trio.BrokenResourceError):
        return as_os_error(cause, when_broken)
    return cause if isinstance(cause, OSError) else when_broken(*error.args)


class StreamTransport(_FlowControl):  # type: ignore[misc]
    """A transport on a trio stream. https://docs.python.org/3/library/asyncio-protocol.html#transports"""

    _start_tls_compatible = True
    _closed = False  # the stream is; also when __init__ did not get far

    def __init__(
        self, loop: Any, stream: Any, protocol: Any, extra: dict[str, Any] | None = None, server: Server | None = None
    ) -> None:
        super().__init__(extra, loop)
        self._stream = stream
        self._server = server
        self._buffer = bytearray()
        self._receiving: Watch | Activity | None = None
        self._sending: Watch | Activity | None = None
        self._held: bytes | None = None  # received while reading was being paused
        self._paused = self._closing = self._eof_sent = self._eof_received = False
        self._lost = 0  # set when connection_lost() is due; counts writes after that
        self._sent: Any = None  # a Future that is done when the buffer is empty
        self._turn_to_receive = trio.Lock()  # one that was cancelled may take some steps to end
        self.set_protocol(protocol)
        if server is not None:
            server._attach(self)

    def start(self, waiter: Any = None) -> None:
        """Tell the protocol, begin to receive, then wake the waiter: in the next batch, in this order."""
        self._loop.call_soon(self._protocol.connection_made, self)
        self._loop.call_soon(self._start_receiving)
        if waiter is not None:
            self._loop.call_soon(_wake, waiter)

    def __repr__(self) -> str:
        info = [type(self).__name__]
        if self._closed:
            info.append("closed")
        elif self._closing:
            info.append("closing")
        info += self._details()
        info.append(f"read={'idle' if self._receiving is None else 'polling'}")
        info.append(f"write=<{'idle' if self._sending is None else 'polling'}, bufsize={len(self._buffer)}>")
        return f"<{' '.join(info)}>"

    def _details(self) -> list[str]:
        return [f"stream={self._stream!r}"]

    # --- the protocol ------------------------------------------------------------------------------------------------

    def set_protocol(self, protocol: Any) -> None:
        """Let another protocol have what arrives from now on."""
        self._protocol = protocol
        self._wants_buffer = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> Any:
        """The protocol."""
        return self._protocol

    @trio.lowlevel.disable_ki_protection
    def _feed(self, data: bytes) -> None:
        """Hand what has been received to the protocol; nothing means the end."""
        method = "data_received"
        try:
            if not data:
                method = "eof_received"
                self._eof_received = True
                if self._loop.get_debug():
                    logger.debug("%r received EOF", self)
                if not self._protocol.eof_received() or not self._stays_open_after_eof():
                    self.close()
            elif self._wants_buffer:
                method = "get_buffer or buffer_updated"
                _feed_buffered(self._protocol, data)
            else:
                self._protocol.data_received(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fail(error, f"Fatal error: protocol.{method}() call failed.")

    def _stays_open_after_eof(self) -> bool:
        return True

    # --- receiving ---------------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        """Tell whether it receives: neither paused nor closing."""
        return not self._closing and not self._paused

    def pause_reading(self) -> None:
        """Receive no more until resume_reading(). What the other side sends waits in the system, and then there."""
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

    def _start_receiving(self) -> None:
        if self.is_reading() and not self._eof_received and self._receiving is None:
            self._receiving = Activity(self._loop, self._receive, "asyncio transport: receive")

    def _stop_receiving(self) -> None:
        receiving, self._receiving = self._receiving, None
        if receiving is not None:
            receiving.cancel()

    async def _receive(self, me: Activity) -> None:
        async with self._turn_to_receive:
            while self._receiving is me and not self._eof_received:
                if self._held is not None:
                    data, self._held = self._held, None
                else:
                    try:
                        data = bytes(await self._stream.receive_some(RECEIVE_SIZE))
                    except Exception as error:
                        failure = as_os_error(error, ConnectionResetError)
                        if not self._is_end(failure):
                            if self._receiving is me:
                                self._fail(failure, "Fatal read error on transport")
                            break
                        data = b""
                    if self._receiving is not me:
                        self._held = data
                        return
                self._feed(data)
        if self._receiving is me:
            self._receiving = None

    def _is_end(self, error: Exception) -> bool:
        return False

    # --- sending -----------------------------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Send bytes, in the background as far as they do not go out at once; nothing is raised if they do not."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._eof_sent:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._lost:
            if self._lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
                logger.warning("socket.send() raised exception.")
            self._lost += 1
            return
        if not self._buffer and data:
            data = self._send_at_once(data)
        if data and not self._lost:
            self._buffer += data
            self._start_sending()
            self._maybe_pause_protocol()

    def _send_at_once(self, data: Any) -> Any:
        """What of the data has not been sent."""
        return data

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Send several pieces, as one."""
        self.write(b"".join(list_of_data))

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

    def get_write_buffer_size(self) -> int:
        """How many bytes write() was given that have not been sent."""
        return len(self._buffer)

    def _start_sending(self) -> None:
        if self._sending is None:
            self._sending = Activity(self._loop, self._send, "asyncio transport: send")

    async def _send(self, me: Activity) -> None:
        try:
            await self._send_buffer()
            if not self._closing:
                if self._eof_sent:
                    await self._stream.send_eof()
            elif not self._lost:
                await self._end_stream()
                self._lose_soon(None)
        except Exception as error:
            self._fail(as_os_error(error, BrokenPipeError), "Fatal write error on transport")
        finally:
            self._end_sending()

    def _stop_sending(self) -> None:
        if self._sending is not None:
            self._sending.cancel()

    def _end_sending(self) -> None:
        self._sending = None
        if self._sent is not None and not self._sent.done():
            self._sent.set_result(None)

    async def _send_buffer(self) -> None:
        while self._buffer:
            piece = bytes(self._buffer[:SEND_SIZE])
            await self._stream.send_all(piece)
            del self._buffer[: len(piece)]
            self._maybe_resume_protocol()

    # --- the end -----------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Tell whether it is closed or about to be."""
        return bool(self._closing)

    def close(self) -> None:
        """Receive no more, send what is in the buffer, close, and then tell the protocol."""
        if not self._closing:
            self._closing = True
            self._stop_receiving()
            self._start_sending()

    def abort(self) -> None:
        """Close at once, and lose what is in the buffer."""
        self._close_at_once(None)

    def _fail(self, error: BaseException, message: str) -> None:
        """Something went wrong: an error of the system goes to the protocol, one of the program is reported, too."""
        if not isinstance(error, OSError):
            context = {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
            self._loop.call_exception_handler(context)
        elif self._loop.get_debug():
            logger.debug("%r: %s", self, message, exc_info=error)
        self._close_at_once(error)

    def _close_at_once(self, error: BaseException | None) -> None:
        if not self._lost:
            self._closing = True
            self._buffer.clear()
            self._stop_receiving()
            self._stop_sending()
            self._lose_soon(error)

    def _lose_soon(self, error: BaseException | None) -> None:
        if not self._lost:
            self._lost = 1
            self._loop.call_soon(self._lose, error)

    def _lose(self, error: BaseException | None) -> None:
        """Tell the protocol that the connection is gone, and let go of everything."""
        try:
            if self._protocol is not None:
                self._protocol.connection_lost(error)
        finally:
            self._close_stream()
            self._protocol = None
            self._leave_server()

    def _leave_server(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server._detach(self)

    async def _end_stream(self) -> None:
        """Close the stream as its kind wants it."""
        await self._stream.aclose()
        self._closed = True

    def _close_stream(self) -> None:
        """Close what is still open, at once."""
        if not self._closed:
            self._closed = True
            stream = self._stream

            async def close(me: Activity) -> None:
                try:
                    await trio.aclose_forcefully(stream)
                except Exception as error:
                    self._loop.call_exception_handler({"message": "Error on closing a stream", "exception": error})

            Activity(self._loop, close, "asyncio transport: close")

    # --- what trio.SSLStream, and code for trio, take over ------------------------------------------------------------

    async def _give_away(self) -> tuple[Any, Any]:
        """Stop, with everything sent, and hand over the trio stream, and its socket if the new owner has to close that.

        Reading has to be paused. Raises ConnectionResetError if the connection is lost before.
        """
        if self._sending is not None:
            self._sent = self._loop.create_future()
            await self._sent
        if self._closing:
            raise ConnectionResetError("Connection lost")
        async with self._turn_to_receive:
            pass
        self._closing = self._closed = True
        self._lost = 1
        self._protocol = None
        return self._what_to_give()

    def _what_to_give(self) -> tuple[Any, Any]:
        return (self._stream if self._held is None else _Resumed(self._stream, self._held)), None


class _Resumed(trio.abc.Stream):
    """A stream of which something has been received already."""

    def __init__(self, stream: Any, received: bytes) -> None:
        self._stream = stream
        self._received = received

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if not self._received:
            return bytes(await self._stream.receive_some(max_bytes))
        await trio.lowlevel.checkpoint()
        received, self._received = self._received, b""
        return received

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


def _wake(waiter: Any) -> None:
    if not waiter.done():
        waiter.set_result(None)


class _OnSocket(StreamTransport):
    """What transports share that close a socket of their own."""

    def __init__(self, loop: Any, sock: socket.socket, stream: Any, protocol: Any, **options: Any) -> None:
        super().__init__(loop, stream, protocol, **options)
        self._sock = sock
        self._fd = sock.fileno()
        self._extra.setdefault("socket", trsock.TransportSocket(sock))
        for name, ask in ("sockname", sock.getsockname), ("peername", sock.getpeername):
            if name not in self._extra:
                try:
                    self._extra[name] = ask()
                except OSError:
                    self._extra[name] = None

    def _details(self) -> list[str]:
        return [f"fd={self._fd}"]

    def _close_stream(self) -> None:
        if not self._closed:
            self._closed = True
            self._sock.close()

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if getattr(self, "_sock", None) is not None and not self._closed:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self._close_stream()
            self._leave_server()


class SocketTransport(_OnSocket):
    """A transport on a connected, non-blocking stream socket, which is its own from now on."""

    def __init__(self, loop: Any, sock: socket.socket, protocol: Any, **options: Any) -> None:
        super().__init__(loop, sock, None, protocol, **options)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _start_receiving(self) -> None:
        if self.is_reading() and not self._eof_received and self._receiving is None:
            self._receiving = watch(self._loop, self._fd, READ, self._receive_now)

    def _receive_now(self) -> None:
        try:
            data = self._sock.recv(RECEIVE_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(error, "Fatal read error on socket transport")
            return
        self._feed(data)
        if not data:
            self._stop_receiving()

    def _send_at_once(self, data: Any) -> Any:
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return data
        except OSError as error:
            self._fail(error, "Fatal write error on socket transport")
            return b""
        return memoryview(data).cast("B")[sent:] if isinstance(data, memoryview) else memoryview(data)[sent:]

    def _start_sending(self) -> None:
        if self._sending is None:
            self._sending = watch(self._loop, self._fd, WRITE, self._send_now)

    def _stop_sending(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._end_sending()

    def _send_now(self) -> None:
        try:
            sent = self._sock.send(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(error, "Fatal write error on socket transport")
            return
        del self._buffer[:sent]
        self._maybe_resume_protocol()
        if not self._buffer:
            self._stop_sending()
            if self._closing and not self._lost:
                self._lost = 1
                self._lose(None)
            elif self._eof_sent:
                self._shut_down()

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
                self._lose_soon(None)

    def _what_to_give(self) -> tuple[Any, Any]:
        return trio.SocketStream(trio.socket.from_stdlib_socket(self._sock)), self._sock


class _ContextThatRemembers:
    """Stands for an SSLContext to trio.SSLStream, to know the ssl.SSLObject that programs ask a transport for."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        self.ssl_object = self._context.wrap_bio(*args, **kwargs)
        return self.ssl_object


def check_timeouts(handshake: float | None, shutdown: float | None) -> tuple[float, float]:
    """The two timeouts of TLS in seconds, with asyncio's defaults. Raises ValueError."""
    for name, value in ("handshake", handshake), ("shutdown", shutdown):
        if value is not None and value <= 0:
            raise ValueError(f"ssl_{name}_timeout should be a positive number, got {value}")
    return handshake or constants.SSL_HANDSHAKE_TIMEOUT, shutdown or constants.SSL_SHUTDOWN_TIMEOUT


class TLSTransport(_OnSocket):
    """A transport on a trio.SSLStream over another trio stream, whose socket, if any, is its own from now on.

    The end that the other side leaves without TLS's goodbye is an end like any other, as in asyncio.
    """

    _ended_without_goodbye = False

    def __init__(
        self,
        loop: Any,
        stream: Any,
        sock: Any,
        protocol: Any,
        context: ssl.SSLContext | None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        timeouts: tuple[float, float],
        **options: Any,
    ) -> None:
        self._handshake_timeout, self._shutdown_timeout = timeouts
        if context is None:
            if server_side:
                raise ValueError("Server side SSL needs a valid SSLContext")
            context = ssl.create_default_context()
            context.check_hostname = bool(server_hostname)
        self._context = context
        self._handshake_scope = trio.CancelScope()
        self._shutdown_timer: Any = None
        self._server_side = server_side
        self._server_hostname = server_hostname
        self._below = stream
        if sock is None:
            StreamTransport.__init__(self, loop, stream, protocol, **options)
            self._sock = self._fd = None  # type: ignore[assignment]
        else:
            super().__init__(loop, sock, stream, protocol, **options)
        self._extra["sslcontext"] = context
        if server_hostname:
            self._extra["server_hostname"] = server_hostname

    def _details(self) -> list[str]:
        return [f"fd={self._fd}"] if self._fd is not None else [f"stream={self._stream!r}"]

    async def shake_hands(self, connected: bool = False) -> None:
        """Do the handshake. If it fails, or is cancelled, the connection is closed.

        The protocol is told of that only if it is connected already. Raises ssl.SSLError, OSError, and
        ConnectionAbortedError when it takes too long.
        """
        try:
            await self._shake_hands()
        except BaseException as error:
            if not connected:
                self._protocol = None
            self._close_at_once(error if isinstance(error, OSError) else None)
            raise

    async def _shake_hands(self) -> None:
        context: Any = _ContextThatRemembers(self._context)
        self._stream = trio.SSLStream(
            self._stream,
            context,
            server_hostname=self._server_hostname or None,
            server_side=self._server_side,
        )
        tls = context.ssl_object
        with trio.move_on_after(self._handshake_timeout) as patience:
            with self._handshake_scope:
                try:
                    await self._stream.do_handshake()
                except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    failure = as_os_error(error, ConnectionResetError)
                    raise (ConnectionResetError() if self._is_end(failure) else failure) from None
        if patience.cancelled_caught:
            raise ConnectionAbortedError(
                f"SSL handshake is taking longer than {self._handshake_timeout} seconds: aborting the connection"
            )
        if self._closing:
            raise ConnectionAbortedError("SSL handshake was aborted")
        self._extra.update(
            peercert=tls.getpeercert(), cipher=tls.cipher(), compression=tls.compression(), ssl_object=tls
        )

    def _stays_open_after_eof(self) -> bool:
        logger.warning("returning true from eof_received() has no effect when using ssl")
        return False

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        if not self._closing:
            super().close()
            self._shutdown_timer = self._loop.call_later(
                self._shutdown_timeout, self._close_at_once, TimeoutError("SSL shutdown timed out")
            )

    async def _end_stream(self) -> None:
        async with self._turn_to_receive:
            if not self._ended_without_goodbye:
                try:
                    await self._stream.unwrap()
                except trio.BrokenResourceError as error:
                    if not self._is_end(as_os_error(error, ConnectionResetError)):
                        raise

    def _is_end(self, error: Exception) -> bool:
        if isinstance(error, ssl.SSLEOFError) or "UNEXPECTED_EOF_WHILE_READING" in str(error):
            self._ended_without_goodbye = True
        return self._ended_without_goodbye

    def _close_at_once(self, error: BaseException | None) -> None:
        self._handshake_scope.cancel()
        super()._close_at_once(error)

    def _lose(self, error: BaseException | None) -> None:
        if self._shutdown_timer is not None:
            self._shutdown_timer.cancel()
        super()._lose(error)

    def _close_stream(self) -> None:
        if self._sock is not None:
            super()._close_stream()
        else:
            self._stream = self._below
            StreamTransport._close_stream(self)

    def _what_to_give(self) -> tuple[Any, Any]:
        return super()._what_to_give()[0], self._sock
