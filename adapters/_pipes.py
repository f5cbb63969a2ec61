"""asyncio's transports for pipes, and how the loop makes them, on the loop's `_polling.Poller`.

The transports read and write by themselves when the poller says that the pipe is ready. trio.lowlevel.FdStream would
not do: write() has to try to send in the call, and nothing may be received that the protocol is not given at once. A
write end is watched for reading, too: it becomes readable when nobody reads from the pipe any more.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import warnings
from asyncio import constants
from asyncio.log import logger
from collections.abc import Callable
from typing import IO, TypeAlias

from ._asyncio import FlowControl
from ._interface import LoopPart
from ._polling import READ, WRITE, Watch
from ._types import BytesLike
from .transports import RECEIVE_SIZE, ReceivingTransport, TransportBase, wake

Pipe: TypeAlias = IO[bytes] | IO[str]  # a file object for one end


class _PipeTransport(TransportBase):
    """What the two ends of a pipe have in common: one descriptor, which is closed with the transport."""

    _wrong_kind: str
    _pipe: Pipe | None = None  # also when __init__ did not get far

    def _open(self, pipe: Pipe, protocol: asyncio.BaseProtocol) -> int:
        """Take over the pipe, and return the type of its file. Raises ValueError if it cannot be waited for."""
        self._fileno = pipe.fileno()
        kind = stat.S_IFMT(os.fstat(self._fileno).st_mode)
        if kind not in (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR):
            raise ValueError(self._wrong_kind)
        os.set_blocking(self._fileno, False)
        self._pipe = self._extra["pipe"] = pipe
        self._protocol = protocol
        return kind

    def _start(self, waiter: asyncio.Future[None] | None, read: bool) -> None:
        """Tell the protocol, begin to receive, then wake the waiter: in the next batch, in this order."""
        self._loop.call_soon(self._protocol.connection_made, self)
        if read:
            self._loop.call_soon(self._start_receiving)
        if waiter is not None:
            self._loop.call_soon(wake, waiter)

    def __repr__(self) -> str:
        info = [type(self).__name__]
        if self._pipe is None:
            info.append("closed")
        elif self._closing:
            info.append("closing")
        info.append(f"fd={self._fileno}")
        if self._pipe is None:
            info.append("closed")
        else:
            info.append("open" if self._loop.is_closed() else self._state())
        return f"<{' '.join(info)}>"

    def _state(self) -> str:
        raise NotImplementedError

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if self._pipe is not None:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self._stop_receiving()
            self._stop_sending()
            self._pipe.close()

    def _start_receiving(self) -> None:
        if not self._closing and self._receiving is None:
            self._receiving = Watch(self._loop, self._fileno, READ, self._read_ready)

    def _read_ready(self) -> None:
        raise NotImplementedError

    def _call_connection_lost(self, error: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            if self._pipe is not None:
                self._pipe.close()
            self._pipe = self._protocol = self._loop = None  # type: ignore[assignment]


class ReadPipeTransport(_PipeTransport, ReceivingTransport):
    """Receives from a pipe. https://docs.python.org/3/library/asyncio-protocol.html#asyncio.ReadTransport"""

    _wrong_kind = "Pipe transport is for pipes/sockets only."

    def __init__(
        self,
        loop: LoopPart,
        pipe: Pipe,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, object] | None = None,
    ) -> None:
        super().__init__(extra)
        self._loop = loop
        self._open(pipe, protocol)
        self._start(waiter, read=True)

    def _state(self) -> str:
        return "idle" if self._receiving is None else "polling"

    def _start_receiving(self) -> None:
        if not self._paused:
            super()._start_receiving()

    def _read_ready(self) -> None:
        try:
            data = os.read(self._fileno, RECEIVE_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            # A terminal raises EIO when the other side is closed.
            self._fatal_error(error, "Fatal read error on pipe transport", expected=error.errno == errno.EIO)
            return
        if data:
            self._protocol.data_received(data)
            return
        if self._loop.get_debug():
            logger.info("%r was closed by peer", self)
        self._closing = True
        self._stop_receiving()
        self._loop.call_soon(self._protocol.eof_received)
        self._call_connection_lost_soon(None)

    def close(self) -> None:
        """Receive no more, close the pipe, and tell the protocol."""
        if not self._closing:
            self._force_close(None)


class WritePipeTransport(_PipeTransport, FlowControl):
    """Sends into a pipe. https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport"""

    _wrong_kind = "Pipe transport is only for pipes, sockets and character devices"

    def __init__(
        self,
        loop: LoopPart,
        pipe: Pipe,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, object] | None = None,
    ) -> None:
        super().__init__(extra, loop)
        self._buffer = bytearray()
        self._failed_writes = 0
        kind = self._open(pipe, protocol)
        # A write end becomes readable when nobody reads any more, but not that of a terminal.
        self._start(waiter, read=kind != stat.S_IFCHR)

    def _state(self) -> str:
        return f"{'idle' if self._sending is None else 'polling'} bufsize={len(self._buffer)}"

    def get_write_buffer_size(self) -> int:
        """How many bytes write() was given that are not in the pipe."""
        return len(self._buffer)

    def _read_ready(self) -> None:
        if self._loop.get_debug():
            logger.info("%r was closed by peer", self)
        self._force_close(BrokenPipeError() if self._buffer else None)

    def write(self, data: BytesLike) -> None:
        """Send bytes, in the background as far as they do not go out at once; nothing is raised if they do not."""
        assert isinstance(data, BytesLike), repr(data)
        if not data:
            return
        if self._failed_writes or self._closing:
            if self._failed_writes >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
                logger.warning("pipe closed by peer or os.write(pipe, data) raised exception.")
            self._failed_writes += 1
            return
        if not self._buffer:
            with memoryview(data).cast("B") as rest:
                sent = self._send(rest)
                if sent is None or sent == len(rest):
                    return
                self._buffer += rest[sent:]
            self._sending = Watch(self._loop, self._fileno, WRITE, self._write_ready)
        else:
            self._buffer += data
        self._maybe_pause_protocol()

    def _send(self, data: bytearray | memoryview) -> int | None:
        """How many bytes the pipe has taken; None if it is broken, which ends the transport."""
        try:
            return os.write(self._fileno, data)
        except (BlockingIOError, InterruptedError):
            return 0
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._failed_writes += 1
            self._fatal_error(error, "Fatal write error on pipe transport")
            return None

    def _write_ready(self) -> None:
        sent = self._send(self._buffer)
        if sent is None:
            return
        del self._buffer[:sent]
        if not self._buffer:
            self._stop_sending()
            self._maybe_resume_protocol()  # which may write
            if self._closing and not self._conn_lost:
                self._conn_lost = 1
                self._stop_receiving()
                self._call_connection_lost(None)

    def can_write_eof(self) -> bool:
        """True: a pipe goes one way, so its end is that of the transport."""
        return True

    def write_eof(self) -> None:
        """Close the pipe, once everything has been sent."""
        if not self._closing:
            self._closing = True
            if not self._buffer:
                self._stop_receiving()
                self._call_connection_lost_soon(None)

    def close(self) -> None:
        """Close the pipe, once everything has been sent, and then tell the protocol."""
        self.write_eof()

    def abort(self) -> None:
        """Close at once, and lose what is in the buffer."""
        if self._pipe is not None:
            self._force_close(None)

    def _force_close(self, error: BaseException | None) -> None:
        self._buffer.clear()
        super()._force_close(error)


class Pipes(LoopPart):
    """Makes the transports for the interpreter's connect_read_pipe() and connect_write_pipe()."""

    def _make_read_pipe_transport(
        self,
        pipe: Pipe,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, object] | None = None,
    ) -> ReadPipeTransport:
        return ReadPipeTransport(self, pipe, protocol, waiter, extra)

    def _make_write_pipe_transport(
        self,
        pipe: Pipe,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, object] | None = None,
    ) -> WritePipeTransport:
        return WritePipeTransport(self, pipe, protocol, waiter, extra)
