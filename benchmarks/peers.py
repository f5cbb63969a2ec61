"""The protocols of the workloads that echo by them."""

from __future__ import annotations

import asyncio
from typing import cast

from .workloads import MESSAGE


class Peer(asyncio.Protocol):
    """One end of a connection."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


class EchoServer(Peer):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class EchoClient(Peer):
    def exchange(self, messages: int) -> asyncio.Future[int]:
        self.received, self.expected = 0, messages * len(MESSAGE)
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.transport.write(MESSAGE)
        return self.done

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if self.received == self.expected:
            self.done.set_result(self.received)
        elif self.received % len(MESSAGE) == 0:
            self.transport.write(MESSAGE)
