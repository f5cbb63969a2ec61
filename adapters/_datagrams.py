"""asyncio's transport for datagrams: the interpreter's own, on the loop's `_polling.Poller`.

trio.socket would need a task that receives and another one that sends. asyncio's receives when the poller says that the
socket is ready, and sends in sendto() itself; only what would block is kept until the socket is ready.
"""

from __future__ import annotations

import socket

from . import _asyncio
from ._interface import LoopPart

HEADER_SIZE = 8  # bytes


class DatagramTransport(_asyncio.DatagramTransport):  # type: ignore[misc]
    """A transport on a datagram socket, which is its own from now on.

    https://docs.python.org/3/library/asyncio-protocol.html#datagram-transports
    """

    if _asyncio.DATAGRAMS_ARE_MISCOUNTED:

        def get_write_buffer_size(self) -> int:
            """How many bytes sendto() was given that have not been sent, with what each datagram counts besides."""
            return sum(len(data) + HEADER_SIZE for data, _ in self._buffer)


class Datagrams(LoopPart):
    """Makes the transport for the interpreter's create_datagram_endpoint()."""

    def _make_datagram_transport(self, sock: socket.socket, *args: object, **kwargs: object) -> DatagramTransport:
        self._ensure_fd_no_transport(sock)  # asyncio does so from 3.12 on
        return DatagramTransport(self, sock, *args, **kwargs)
