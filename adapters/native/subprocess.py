"""Processes: trio.lowlevel.open_process(), its pipes as StreamReader and StreamWriter.

What differs from asyncio: a process ends with the run at the latest, killed and waited for, as trio.run_process() has
it; signalling one that has ended does nothing, as in subprocess; and what trio says of options it does not take.
"""

import subprocess
from contextlib import suppress
from os import PathLike
from typing import IO, Any, TypeAlias, final

import trio

from .refusals import Refusing
from .streams import StreamReader, StreamWriter
from .tasks import open_nursery, the_background

__all__ = ["DEVNULL", "PIPE", "STDOUT", "Process", "create_subprocess_exec", "create_subprocess_shell"]

PIPE = subprocess.PIPE
STDOUT = subprocess.STDOUT
DEVNULL = subprocess.DEVNULL

_LIMIT = 2**16

Argument: TypeAlias = str | bytes | PathLike[str] | PathLike[bytes]
File: TypeAlias = int | IO[bytes] | IO[str] | None


async def create_subprocess_exec(
    program: Argument,
    *args: Argument,
    stdin: File = None,
    stdout: File = None,
    stderr: File = None,
    limit: int = _LIMIT,
    **kwds: Any,
) -> "Process":
    """trio.lowlevel.open_process([program, *args]). Cancelled, it has started nothing.

    Raises OSError, TypeError for options that trio does not take, RuntimeError without create_task()'s nursery.
    https://docs.python.org/3/library/asyncio-subprocess.html#asyncio.create_subprocess_exec
    """
    return await _open([program, *args], limit, stdin=stdin, stdout=stdout, stderr=stderr, **kwds)


async def create_subprocess_shell(
    cmd: str | bytes,
    stdin: File = None,
    stdout: File = None,
    stderr: File = None,
    limit: int = _LIMIT,
    **kwds: Any,
) -> "Process":
    """trio.lowlevel.open_process(cmd, shell=True). As create_subprocess_exec() for the rest.

    https://docs.python.org/3/library/asyncio-subprocess.html#asyncio.create_subprocess_shell
    """
    return await _open(cmd, limit, shell=True, stdin=stdin, stdout=stdout, stderr=stderr, **kwds)


async def _open(command: Any, limit: int, **options: Any) -> "Process":
    the_background()
    process = await trio.lowlevel.open_process(command, **options)
    try:
        return Process(process, limit)
    except RuntimeError:  # the nursery's block was left meanwhile
        await _end(process)
        raise


async def _end(process: trio.Process) -> None:
    process.kill()
    with trio.CancelScope(shield=True):
        await process.wait()


@final
class Process(Refusing):
    """A trio.Process. Made by create_subprocess_exec() and create_subprocess_shell().

    https://docs.python.org/3/library/asyncio-subprocess.html#asyncio.subprocess.Process
    """

    def __init__(self, process: trio.Process, limit: int) -> None:
        self._process = process
        self.stdin = None if process.stdin is None else StreamWriter(process.stdin)
        self.stdout = None if process.stdout is None else StreamReader(process.stdout, limit)
        self.stderr = None if process.stderr is None else StreamReader(process.stderr, limit)
        nursery = the_background().nursery
        nursery.start_soon(self._end_with_the_run)
        if self.stdin is not None:
            nursery.start_soon(self.stdin.carry)

    async def _end_with_the_run(self) -> None:
        try:
            await self._process.wait()
        finally:
            if self._process.returncode is None:
                await _end(self._process)

    @property
    def pid(self) -> int:
        """Process.pid."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Process.returncode: None while it runs, below 0 for the signal that has ended it."""
        return self._process.returncode

    async def wait(self) -> int:
        """Process.wait(). Cancelled, it leaves the process alone."""
        return await self._process.wait()

    def send_signal(self, signal: int) -> None:
        """Process.send_signal()."""
        self._process.send_signal(signal)

    def terminate(self) -> None:
        """Process.terminate()."""
        self._process.terminate()

    def kill(self) -> None:
        """Process.kill()."""
        self._process.kill()

    async def communicate(self, input: bytes | None = None) -> tuple[bytes | None, bytes | None]:
        """Write, read and wait in a nursery; returns what came from stdout and stderr, None for what is no pipe.

        A process that does not read its input is no error. Cancelled, it leaves the process alone, and what has come is
        there for the next call.
        """

        async def read(reader: StreamReader) -> None:
            while await reader._fill():
                pass

        async def write(writer: StreamWriter) -> None:
            with suppress(OSError):
                await writer.drain()
            writer.close()

        if self.stdin is not None and input:
            self.stdin.write(input)
        readers = self.stdout, self.stderr
        async with open_nursery() as nursery:
            if self.stdin is not None:
                nursery.start_soon(write, self.stdin)
            for reader in readers:
                if reader is not None:
                    nursery.start_soon(read, reader)
        await self.wait()
        out, err = (None if reader is None else reader._take(len(reader._buffer)) for reader in readers)
        return out, err

    def __repr__(self) -> str:
        return f"<Process {self.pid} returncode={self.returncode}>"
