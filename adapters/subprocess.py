"""asyncio.subprocess: a child process with streams, on the loop's subprocess transport (`base_subprocess.py`).

The streams of a trio.Process are read when a task asks. Here what the child writes is read in the background, up to the
limit. And several tasks may call wait() and communicate().
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from asyncio import AbstractEventLoop, Future
from asyncio import subprocess as std
from asyncio.log import logger
from typing import TYPE_CHECKING, Any

from ._types import BytesLike
from .events import get_running_loop
from .streams import DEFAULT_LIMIT, FlowControlMixin, StreamReader, StreamWriter

if TYPE_CHECKING:
    from .base_subprocess import Argument, BaseSubprocessTransport, File

__all__ = std.__all__

PIPE = subprocess.PIPE
STDOUT = subprocess.STDOUT
DEVNULL = subprocess.DEVNULL

SINCE_3_12 = sys.version_info >= (3, 12)


async def create_subprocess_exec(
    program: Argument,
    *args: Argument,
    stdin: File = None,
    stdout: File = None,
    stderr: File = None,
    limit: int = DEFAULT_LIMIT,
    **kwds: Any,
) -> Process:
    """Start a program with arguments. limit: see StreamReader. The keywords are those of subprocess.Popen.

    https://docs.python.org/3/library/asyncio-subprocess.html#asyncio.create_subprocess_exec

    Raises what Popen does, OSError if there is no such program, and ValueError if text is asked for. Cancelled, by
    Task.cancel() or a trio scope, it kills the process and waits for its end.
    """
    loop = get_running_loop()
    transport, protocol = await loop.subprocess_exec(
        lambda: SubprocessStreamProtocol(limit, loop), program, *args, stdin=stdin, stdout=stdout, stderr=stderr, **kwds
    )
    return Process(transport, protocol, loop)


async def create_subprocess_shell(
    cmd: str | bytes,
    stdin: File = None,
    stdout: File = None,
    stderr: File = None,
    limit: int = DEFAULT_LIMIT,
    **kwds: Any,
) -> Process:
    """Have the shell run a command. limit: see StreamReader. The keywords are those of subprocess.Popen.

    https://docs.python.org/3/library/asyncio-subprocess.html#asyncio.create_subprocess_shell

    Raises what Popen does, and ValueError if text is asked for. Cancelled, by Task.cancel() or a trio scope, it kills
    the shell and waits for its end.
    """
    loop = get_running_loop()
    transport, protocol = await loop.subprocess_shell(
        lambda: SubprocessStreamProtocol(limit, loop), cmd, stdin=stdin, stdout=stdout, stderr=stderr, **kwds
    )
    return Process(transport, protocol, loop)


class SubprocessStreamProtocol(FlowControlMixin, asyncio.SubprocessProtocol):
    """Feeds the StreamReaders of a Process, and closes the transport when the process has ended."""

    def __init__(self, limit: int, loop: AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._limit = limit
        self.stdin: StreamWriter | None = None
        self.stdout: StreamReader | None = None
        self.stderr: StreamReader | None = None
        self._transport: BaseSubprocessTransport | None = None
        self._process_exited = False
        self._pipe_fds: set[int] = set()  # those that may bring output
        self._stdin_closed: Future[None] = self._loop.create_future()

    def __repr__(self) -> str:
        pipes = [f"{name}={getattr(self, name)!r}" for name in ("stdin", "stdout", "stderr") if getattr(self, name)]
        return f"<{' '.join([type(self).__name__, *pipes])}>"

    def connection_made(self, transport: BaseSubprocessTransport) -> None:  # type: ignore[override]
        """Called by the transport."""
        self._transport = transport
        self.stdout = self._reader_of(1, transport)
        self.stderr = self._reader_of(2, transport)
        stdin = transport.get_pipe_transport(0)
        if stdin is not None:
            self.stdin = StreamWriter(stdin, self, None, self._loop)

    def _reader_of(self, fd: int, transport: BaseSubprocessTransport) -> StreamReader | None:
        pipe = transport.get_pipe_transport(fd)
        if pipe is None:
            return None
        self._pipe_fds.add(fd)
        reader = StreamReader(limit=self._limit, loop=self._loop)
        reader.set_transport(pipe)
        return reader

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Called by the transport."""
        reader = self.stdout if fd == 1 else self.stderr
        if reader is not None:
            reader.feed_data(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Called by the transport."""
        if fd == 0:
            if self.stdin is not None:
                self.stdin.close()
            self.connection_lost(exc)
            if exc is None:
                self._stdin_closed.set_result(None)
            else:
                self._stdin_closed.set_exception(exc)
                self._stdin_closed.exception()  # who never calls wait_closed() is not told
            return
        reader = self.stdout if fd == 1 else self.stderr
        if reader is not None:
            if exc is None:
                reader.feed_eof()
            else:
                reader.set_exception(exc)
        self._pipe_fds.discard(fd)
        self._close_if_over()

    def process_exited(self) -> None:
        """Called by the transport."""
        self._process_exited = True
        self._close_if_over()

    def _close_if_over(self) -> None:
        if self._process_exited and not self._pipe_fds and self._transport is not None:
            self._transport.close()
            self._transport = None

    def _get_close_waiter(self, stream: StreamWriter) -> Future[None]:
        return self._stdin_closed


class Process:
    """A child process. https://docs.python.org/3/library/asyncio-subprocess.html#asyncio.subprocess.Process

    stdin is a StreamWriter, stdout and stderr are StreamReaders; None where no pipe was asked for.
    """

    def __init__(
        self, transport: asyncio.SubprocessTransport, protocol: SubprocessStreamProtocol, loop: AbstractEventLoop
    ) -> None:
        self._transport: Any = transport  # that of our loop, or one with the same methods
        self._protocol = protocol
        self._loop = loop
        self.stdin = protocol.stdin
        self.stdout = protocol.stdout
        self.stderr = protocol.stderr
        self.pid: int = transport.get_pid()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.pid}>"

    @property
    def returncode(self) -> int | None:
        """The exit status, -N if signal N has ended it, None while it runs."""
        returncode: int | None = self._transport.get_returncode()
        return returncode

    async def wait(self) -> int:
        """Wait until the process has ended, and return its exit status. Any number of tasks may wait.

        Task.cancel() and trio scopes end the wait, and leave the process alone.
        """
        returncode: int = await self._transport._wait()
        return returncode

    def send_signal(self, signal: int) -> None:
        """Send a signal. Raises ProcessLookupError if the process has ended."""
        self._transport.send_signal(signal)

    def terminate(self) -> None:
        """Send SIGTERM. Raises ProcessLookupError if the process has ended."""
        self._transport.terminate()

    def kill(self) -> None:
        """Send SIGKILL. Raises ProcessLookupError if the process has ended."""
        self._transport.kill()

    async def communicate(self, input: BytesLike | None = None) -> tuple[bytes | None, bytes | None]:
        """Send the input and close stdin, read all of stdout and stderr, and wait; what has been read, None if no pipe.

        Task.cancel() and trio scopes end it and leave the process alone. What was read until then is lost, as in
        asyncio; what was written is sent all the same.
        """
        feeds = self.stdin is not None if SINCE_3_12 else input is not None
        _, stdout, stderr = await asyncio.gather(
            self._feed_stdin(input) if feeds else _nothing(),
            self._read_stream(1) if self.stdout is not None else _nothing(),
            self._read_stream(2) if self.stderr is not None else _nothing(),
        )
        await self.wait()
        return stdout, stderr

    async def _feed_stdin(self, input: BytesLike | None) -> None:
        stdin: StreamWriter = self.stdin  # type: ignore[assignment]
        try:
            if input is not None:
                stdin.write(input)
                self._log("feed stdin (%s bytes)", len(input))
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            self._log("stdin got %r", error)  # the process need not read all
        self._log("close stdin")
        stdin.close()

    async def _read_stream(self, fd: int) -> bytes:
        stream: StreamReader = self.stdout if fd == 1 else self.stderr  # type: ignore[assignment]
        name = "stdout" if fd == 1 else "stderr"
        pipe = self._transport.get_pipe_transport(fd)
        self._log("read %s", name)
        output = await stream.read()
        self._log("close %s", name)
        pipe.close()
        return output

    def _log(self, message: str, *args: object) -> None:
        if self._loop.get_debug():
            logger.debug("%r communicate: " + message, self, *args)


async def _nothing() -> None:
    return None
