"""loop.sendfile(): a file through a transport.

On a socket os.sendfile() sends, when the transport's buffer is empty. Elsewhere, as over TLS, threads read blocks,
which are written while the transport's flow control allows it. trio has no function for either.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import IO, TYPE_CHECKING

from ._asyncio import FlowControl, SendfileMode

if TYPE_CHECKING:
    from ._interface import LoopPart
    from .transports import SocketTransport

BLOCK_SIZE = 16 * 1024  # bytes
# 3.14 on: sent is what begins at the offset, also if that is 0 and the file's position is not.
SEEKS_ALWAYS = sys.version_info >= (3, 14)


async def send_file(
    loop: LoopPart,
    transport: asyncio.WriteTransport,
    file: IO[bytes],
    offset: int,
    count: int | None,
    fallback: bool,
) -> int:
    """See Connections.sendfile()."""
    if transport.is_closing():
        raise RuntimeError("Transport is closing")
    mode = getattr(transport, "_sendfile_compatible", SendfileMode.UNSUPPORTED)
    if mode is SendfileMode.UNSUPPORTED:
        raise RuntimeError(f"sendfile is not supported for transport {transport!r}")
    if mode is SendfileMode.TRY_NATIVE:
        try:
            return await loop._sendfile_native(transport, file, offset, count)  # type: ignore[arg-type]
        except asyncio.SendfileNotAvailableError:
            if not fallback:
                raise
    if not fallback:
        raise RuntimeError(f"fallback is disabled and native sendfile is not supported for transport {transport!r}")
    return await _send_by_writing(loop, transport, file, offset, count)


async def send_natively(
    loop: LoopPart, transport: SocketTransport, file: IO[bytes], offset: int, count: int | None
) -> int:
    """By the system. Raises asyncio.SendfileNotAvailableError where that cannot be, and nothing has been sent then."""
    loop._transports.pop(transport._sock_fd)  # sock_sendfile() refuses a socket that a transport uses
    reading = transport.is_reading()
    transport.pause_reading()
    try:
        await transport._make_empty_waiter()
        return await loop.sock_sendfile(transport._sock, file, offset, count, fallback=False)
    finally:
        loop._transports[transport._sock_fd] = transport
        transport._reset_empty_waiter()  # not before: it may close the socket, whose number others may get then
        if reading:
            transport.resume_reading()


async def _send_by_writing(
    loop: LoopPart, transport: asyncio.WriteTransport, file: IO[bytes], offset: int, count: int | None
) -> int:
    sender = _SendingProtocol(loop, transport)
    try:
        return await send_in_blocks(loop, file, offset, count, BLOCK_SIZE, sender.send)
    finally:
        sender.leave()


async def send_in_blocks(
    loop: LoopPart,
    file: IO[bytes],
    offset: int,
    count: int | None,
    block_size: int,
    send: Callable[[memoryview], Awaitable[object]],
) -> int:
    """Read a file in threads, from the offset on, and send() it block by block; how many bytes have been sent."""
    if offset or (SEEKS_ALWAYS and hasattr(file, "seek")):
        file.seek(offset)
    buffer = memoryview(bytearray(min(count or block_size, block_size)))
    sent = 0
    try:
        while not count or sent < count:
            block = buffer[: count - sent] if count else buffer
            size = await loop.run_in_executor(None, file.readinto, block)  # type: ignore[attr-defined]
            if not size:
                break
            await send(block[:size])
            sent += size
        return sent
    finally:
        if sent and hasattr(file, "seek"):
            file.seek(offset + sent)


class _SendingProtocol(asyncio.Protocol):
    """The protocol of a transport while a file is sent through it: pause_writing() makes the sender wait.

    When the file is sent, or sending fails, the transport has its own protocol again.
    """

    def __init__(self, loop: LoopPart, transport: asyncio.WriteTransport) -> None:
        if not isinstance(transport, FlowControl):
            raise TypeError("transport should be _FlowControlMixin instance")
        self._loop = loop
        self._transport = transport
        self._protocol = transport.get_protocol()
        self._was_reading = transport.is_reading()
        self._was_paused = transport._protocol_paused
        # Done when there is room in the transport's buffer.
        self._room: asyncio.Future[None] | None = loop.create_future() if self._was_paused else None
        self._connection_lost = False
        transport.pause_reading()
        transport.set_protocol(self)

    async def send(self, block: memoryview) -> None:
        """Write the block as soon as there is room."""
        if self._transport.is_closing():
            raise ConnectionError("Connection closed by peer")
        if self._room is not None:
            await self._room
        self._transport.write(bytes(block))

    def leave(self) -> None:
        """Restore the transport's protocol, and call its pause_writing() or resume_writing() if that has changed."""
        self._transport.set_protocol(self._protocol)
        if self._was_reading:
            self._transport.resume_reading()
        room, self._room = self._room, None  # its exception refers to frames that refer to this object
        if room is not None:
            room.cancel()
        if not self._connection_lost and self._transport._protocol_paused != self._was_paused:
            if self._was_paused:
                self._protocol.resume_writing()
            else:
                self._protocol.pause_writing()

    def pause_writing(self) -> None:
        if self._room is None:
            self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._connection_lost = True
        if self._room is not None and not self._room.done():
            self._room.set_exception(error or ConnectionError("Connection is closed by peer"))
        self._protocol.connection_lost(error)
