"""loop.sendfile(): a file through a transport.

On a socket it is os.sendfile(), when the transport's buffer is empty; elsewhere, as over TLS, blocks that are read in
threads and written while the transport's flow control allows it. trio has no function for either.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import constants
from collections.abc import Awaitable, Callable
from typing import Any

Mode: Any = constants._SendfileMode
BLOCK_SIZE = 16 * 1024  # bytes
# 3.14 on: sent is what begins at the offset, also if that is 0 and the file's position is not.
SEEKS_ALWAYS = sys.version_info >= (3, 14)


async def send_file(loop: Any, transport: Any, file: Any, offset: int, count: int | None, fallback: bool) -> int:
    """See Connections.sendfile()."""
    if transport.is_closing():
        raise RuntimeError("Transport is closing")
    mode = getattr(transport, "_sendfile_compatible", Mode.UNSUPPORTED)
    if mode is Mode.UNSUPPORTED:
        raise RuntimeError(f"sendfile is not supported for transport {transport!r}")
    if mode is Mode.TRY_NATIVE:
        try:
            sent: int = await loop._sendfile_native(transport, file, offset, count)
            return sent
        except asyncio.SendfileNotAvailableError:
            if not fallback:
                raise
    if not fallback:
        raise RuntimeError(f"fallback is disabled and native sendfile is not supported for transport {transport!r}")
    return await _send_by_writing(loop, transport, file, offset, count)


async def send_natively(loop: Any, transport: Any, file: Any, offset: int, count: int | None) -> int:
    """By the system. Raises asyncio.SendfileNotAvailableError where that cannot be, and nothing has been sent then."""
    loop._transports.pop(transport._sock_fd)  # sock_sendfile() refuses a socket that a transport uses
    reading = transport.is_reading()
    transport.pause_reading()
    try:
        await transport._make_empty_waiter()
        sent: int = await loop.sock_sendfile(transport._sock, file, offset, count, fallback=False)
        return sent
    finally:
        loop._transports[transport._sock_fd] = transport
        transport._reset_empty_waiter()  # not before: it may close the socket, whose number others may get then
        if reading:
            transport.resume_reading()


async def _send_by_writing(loop: Any, transport: Any, file: Any, offset: int, count: int | None) -> int:
    stand_in = _StandIn(loop, transport)
    try:
        return await send_in_blocks(loop, file, offset, count, BLOCK_SIZE, stand_in.send)
    finally:
        stand_in.leave()


async def send_in_blocks(
    loop: Any,
    file: Any,
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
            size = await loop.run_in_executor(None, file.readinto, block)
            if not size:
                break
            await send(block[:size])
            sent += size
        return sent
    finally:
        if sent and hasattr(file, "seek"):
            file.seek(offset + sent)


class _StandIn(asyncio.Protocol):
    """Has the place of a transport's protocol while a file is sent: what it is told makes the sender wait, or fail."""

    def __init__(self, loop: Any, transport: Any) -> None:
        if not hasattr(transport, "_protocol_paused"):
            raise TypeError("transport should be _FlowControlMixin instance")
        self._loop = loop
        self._transport = transport
        self._protocol = transport.get_protocol()
        self._was_reading = transport.is_reading()
        self._was_paused = transport._protocol_paused
        self._room: Any = loop.create_future() if self._was_paused else None  # done when there is room
        self._lost = False
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
        """Give the place back, and tell the protocol if the buffer has become full or is no longer."""
        self._transport.set_protocol(self._protocol)
        if self._was_reading:
            self._transport.resume_reading()
        room, self._room = self._room, None  # its exception refers to frames that refer to this object
        if room is not None:
            room.cancel()
        if not self._lost and self._transport._protocol_paused != self._was_paused:
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
        self._lost = True
        if self._room is not None and not self._room.done():
            self._room.set_exception(error or ConnectionError("Connection is closed by peer"))
        self._protocol.connection_lost(error)
