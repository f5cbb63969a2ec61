"""asyncio's transport for datagrams, and how the loop makes it, on the loop's `_polling.Poller`.

trio.socket would need a task that receives and another one that sends. Here a datagram is received when the poller says
so, and sent in sendto() itself, as asyncio does; only what would block is kept until the socket is ready. asyncio's own
class would do, but on 3.13.0, where it counts the write buffer wrongly; this one shares what SocketTransport has.
"""

from __future__ import annotations

import socket
from asyncio import BaseProtocol, Future, WriteTransport, constants
from asyncio import transports as std_transports
from asyncio.log import logger
from collections import deque

from ._asyncio import SendfileMode
from ._interface import LoopPart
from ._types import Address, BytesLike
from .transports import RECEIVE_SIZE, SINCE_3_13, SocketTransport

HEADER_SIZE = 8 if SINCE_3_13 else 0  # bytes that a datagram counts in the buffer, besides its own
WOULD_BLOCK = (BlockingIOError, InterruptedError)


class DatagramTransport(SocketTransport, std_transports.DatagramTransport):
    """A transport on a datagram socket, which is its own from now on.

    https://docs.python.org/3/library/asyncio-protocol.html#datagram-transports
    """

    _start_tls_compatible = False
    _sendfile_compatible = SendfileMode.UNSUPPORTED
    # It derives from asyncio.Transport because asyncio's does, and like that cannot write a stream.
    write = WriteTransport.write
    write_eof = WriteTransport.write_eof
    can_write_eof = WriteTransport.can_write_eof
    _buffer: deque[tuple[bytes, Address | None]]  # type: ignore[assignment]

    def __init__(
        self,
        loop: LoopPart,
        sock: socket.socket,
        protocol: BaseProtocol,
        address: Address | None = None,
        extra: dict[str, object] | None = None,
    ) -> None:
        super().__init__(loop, sock, protocol, extra=extra)
        self._address = address

    def _receive_now(self) -> None:
        if self._conn_lost:
            return
        try:
            data, address = self._sock.recvfrom(RECEIVE_SIZE)
        except WOULD_BLOCK:
            return
        except OSError as error:
            self._protocol.error_received(error)
        else:
            self._protocol.datagram_received(data, address)

    def sendto(self, data: BytesLike, addr: Address | None = None) -> None:
        """Send a datagram, in the background if it would block; the protocol is told if that fails.

        Raises ValueError if there is a remote address, and it is another one.
        """
        if not isinstance(data, BytesLike):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if not data and not SINCE_3_13:
            return
        if self._address:
            if addr not in (None, self._address):
                raise ValueError(f"Invalid address: must be None or {self._address}")
            addr = self._address
        if self._closed or (self._conn_lost and self._address):
            if self._conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
                logger.warning("socket.send() raised exception.")
            self._conn_lost += 1
            return
        if self._buffer or not self._try_to_send(data, addr):
            data = bytes(data)
            self._buffer.append((data, addr))
            self._buffer_size += len(data) + HEADER_SIZE
            self._start_sending()
            self._maybe_pause_protocol()

    def _try_to_send(self, data: BytesLike, address: Address | None) -> bool:
        """Send a datagram, and tell the protocol if that fails. Return False if it would block."""
        try:
            if self._extra["peername"]:
                self._sock.send(data)
            else:
                self._sock.sendto(data, address)  # type: ignore[arg-type]
        except WOULD_BLOCK:
            return False
        except OSError as error:
            self._protocol.error_received(error)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal write error on datagram transport")
        return True

    def _send_now(self) -> None:
        while self._buffer:
            data, address = self._buffer[0]
            if not self._try_to_send(data, address):
                break
            if self._conn_lost:
                return  # it has failed for good, and the buffer is gone
            self._buffer.popleft()
            self._buffer_size -= len(data) + HEADER_SIZE
        self._maybe_resume_protocol()
        if not self._buffer:
            self._stop_sending()
            if self._closing:
                self._call_connection_lost(None)


class Datagrams(LoopPart):
    """Makes the transport for the interpreter's create_datagram_endpoint()."""

    def _make_datagram_transport(
        self,
        sock: socket.socket,
        protocol: BaseProtocol,
        address: Address | None = None,
        waiter: Future[None] | None = None,
        extra: dict[str, object] | None = None,
    ) -> DatagramTransport:
        self._ensure_fd_no_transport(sock)
        transport = DatagramTransport(self, sock, protocol, address, extra)
        transport.start(waiter)
        return transport
