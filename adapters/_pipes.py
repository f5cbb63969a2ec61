"""asyncio's transports for pipes: the interpreter's own, on the loop's `_polling.Poller`.

They read and write by themselves when the poller says that the pipe is ready. trio.lowlevel.FdStream would not do:
write() has to try to send in the call, and nothing may be received that the protocol is not given at once.
"""

from __future__ import annotations

import asyncio
from typing import IO, TypeAlias

from ._interface import LoopPart

Pipe: TypeAlias = IO[bytes] | IO[str]  # a file object for one end


class Pipes(LoopPart):
    """Makes the transports for the interpreter's connect_read_pipe() and connect_write_pipe()."""

    def _make_read_pipe_transport(self, pipe: Pipe, *args: object, **kwargs: object) -> asyncio.ReadTransport:
        pipe.fileno()  # fails before there is a transport, whose finalizer would fail, too
        return super()._make_read_pipe_transport(pipe, *args, **kwargs)  # type: ignore[misc,no-any-return]

    def _make_write_pipe_transport(self, pipe: Pipe, *args: object, **kwargs: object) -> asyncio.WriteTransport:
        pipe.fileno()
        return super()._make_write_pipe_transport(pipe, *args, **kwargs)  # type: ignore[misc,no-any-return]
