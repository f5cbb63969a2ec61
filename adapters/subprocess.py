"""asyncio.subprocess: a child process with streams, on the loop's subprocess transport (`base_subprocess.py`).

The streams of a trio.Process are read when a task asks. Here what the child writes is read in the background, up to the
limit. And several tasks may call wait() and communicate().
"""

from __future__ import annotations

import asyncio
import subprocess
from asyncio import AbstractEventLoop
from asyncio import subprocess as std
from typing import Any

from ._types import Argument, File
from .events import get_running_loop
from .streams import DEFAULT_LIMIT, StreamReader

__all__ = std.__all__

PIPE = subprocess.PIPE
STDOUT = subprocess.STDOUT
DEVNULL = subprocess.DEVNULL

Process = std.Process


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


class SubprocessStreamProtocol(std.SubprocessStreamProtocol):
    """asyncio's, which feeds StreamReaders: ours."""

    _limit: int
    _loop: AbstractEventLoop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the transport."""
        super().connection_made(transport)
        self.stdout = self._as_ours(self.stdout)
        self.stderr = self._as_ours(self.stderr)

    def _as_ours(self, made: asyncio.StreamReader | None) -> StreamReader | None:
        if made is None:
            return None
        reader = StreamReader(self._limit, self._loop)
        reader.set_transport(made._transport)  # type: ignore[attr-defined]
        return reader
