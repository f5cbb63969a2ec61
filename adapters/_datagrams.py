"""The loop's datagram endpoints, carried by the loop's `_polling.Poller`.

trio.socket would need a task that receives and another one that sends. Here a datagram is received when the poller says
so, and sent in sendto() itself, as asyncio does; only what would block is kept until the socket is ready.
"""

from __future__ import annotations

import socket
import sys
from asyncio import BaseProtocol, WriteTransport, constants
from asyncio import transports as std_transports
from asyncio.log import logger
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from ._asyncio import SendfileMode, set_reuseport
from ._interface import LoopPart
from ._types import Address, BytesLike, ProtocolT
from .transports import RECEIVE_SIZE, SocketTransport, remove_stale_socket

Pair: TypeAlias = list[Address | None]  # a local address and a remote one

SINCE_3_13 = sys.version_info >= (3, 13)
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
        self, loop: LoopPart, sock: socket.socket, protocol: BaseProtocol, address: Address | None = None
    ) -> None:
        super().__init__(loop, sock, protocol)
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
        if self._buffer or not self._has_sent(data, addr):
            self._buffer.append((bytes(data), addr))
            self._buffer_size += len(data) + HEADER_SIZE
            self._start_sending()
            self._maybe_pause_protocol()

    def _has_sent(self, data: BytesLike, address: Address | None) -> bool:
        """Send a datagram, or have it fail; False if it would block."""
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
            if not self._has_sent(data, address):
                break
            if self._conn_lost:
                return  # it has failed for good, and the buffer is gone
            self._buffer.popleft()
            self._buffer_size -= len(data) + HEADER_SIZE
        self._maybe_resume_protocol()
        if not self._buffer:
            self._stop_sending()
            if self._closing:
                self._conn_lost = 1
                self._call_connection_lost(None)


class Datagrams(LoopPart):
    """The loop's method for datagram endpoints."""

    async def create_datagram_endpoint(  # type: ignore[override]  # reuse_address has gone
        self,
        protocol_factory: Callable[[], ProtocolT],
        local_addr: tuple[str, int] | str | None = None,
        remote_addr: tuple[str, int] | str | None = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: socket.socket | None = None,
    ) -> tuple[DatagramTransport, ProtocolT]:
        """A socket for datagrams, bound to local_addr, connected to remote_addr: its transport and its protocol.

        https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.create_datagram_endpoint

        Raises OSError. Cancelled, it leaves nothing open.
        """
        connected_to = None
        if sock is not None:
            if sock.type == socket.SOCK_STREAM or (sock.type != socket.SOCK_DGRAM and not SINCE_3_13):
                raise ValueError(f"A {'datagram socket' if SINCE_3_13 else 'UDP Socket'} was expected, got {sock!r}")
            options = {
                "local_addr": local_addr,
                "remote_addr": remote_addr,
                "family": family,
                "proto": proto,
                "flags": flags,
                "reuse_port": reuse_port,
                "allow_broadcast": allow_broadcast,
            }
            given = ", ".join(f"{name}={value}" for name, value in options.items() if value)
            if given:
                raise ValueError(f"socket modifier keyword arguments can not be used when sock is specified. ({given})")
            sock.setblocking(False)
        else:
            choices = await self._datagram_addresses(local_addr, remote_addr, family, proto, flags)
            failures: list[OSError] = []
            for (family, proto), (local, remote) in choices.items():
                try:
                    sock = await self._datagram_socket(family, proto, local, remote, reuse_port, allow_broadcast)
                    connected_to = remote
                    break
                except OSError as error:
                    failures.append(error)
            if sock is None:
                try:
                    raise failures[0]
                finally:
                    del failures  # they refer to this frame

        protocol = protocol_factory()
        transport = DatagramTransport(self, sock, protocol, connected_to)
        waiter = self.create_future()
        transport.start(waiter)
        if self._debug:
            where = f"local_addr={local_addr!r} " if local_addr else ""
            level = logger.info if local_addr else logger.debug
            level("Datagram endpoint %sremote_addr=%r created: (%r, %r)", where, remote_addr, transport, protocol)
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    async def _datagram_addresses(
        self,
        local_addr: tuple[str, int] | str | None,
        remote_addr: tuple[str, int] | str | None,
        family: int,
        proto: int,
        flags: int,
    ) -> dict[tuple[int, int], Pair]:
        """For each family and protocol that can be used, the local address and the remote one."""
        if not local_addr and not remote_addr:
            if family == 0:
                raise ValueError("unexpected address family")
            return {(family, proto): [None, None]}
        if family == getattr(socket, "AF_UNIX", None):
            for address in local_addr, remote_addr:
                if address is not None and not isinstance(address, str):
                    raise TypeError("string is expected")
            if isinstance(local_addr, str) and local_addr:
                remove_stale_socket(local_addr)
            return {(family, proto): [local_addr, remote_addr]}
        found: dict[tuple[int, int], Pair] = {}
        wanted = [(side, address) for side, address in enumerate((local_addr, remote_addr)) if address is not None]
        for side, address in wanted:
            if not (isinstance(address, tuple) and len(address) == 2):
                raise TypeError("2-tuple is expected")
            infos = await self._ensure_resolved(
                address, family=family, type=socket.SOCK_DGRAM, proto=proto, flags=flags, loop=self
            )
            if not infos:
                raise OSError("getaddrinfo() returned empty list")
            for info_family, _, info_proto, _, resolved in infos:
                found.setdefault((info_family, info_proto), [None, None])[side] = resolved
        usable = {key: pair for key, pair in found.items() if all(pair[side] is not None for side, _ in wanted)}
        if not usable:
            raise ValueError("can not get address information")
        return usable

    async def _datagram_socket(
        self,
        family: int,
        proto: int,
        local: Address | None,
        remote: Address | None,
        reuse_port: bool | None,
        allow_broadcast: bool | None,
    ) -> socket.socket:
        sock = socket.socket(family=family, type=socket.SOCK_DGRAM, proto=proto)
        try:
            if reuse_port:
                set_reuseport(sock)
            if allow_broadcast:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setblocking(False)
            if local:
                sock.bind(local)
            if remote and not allow_broadcast:
                await self.sock_connect(sock, remote)
        except BaseException:
            sock.close()
            raise
        return sock
