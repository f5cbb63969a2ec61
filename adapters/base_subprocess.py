"""asyncio's transport for a subprocess, and how the loop makes it.

subprocess.Popen starts the child in the loop's thread, and its pidfd is polled with the loop's files; where there is
none, a thread waits for the child. No other child is waited for, and no signal is handled.
trio.lowlevel.open_process() would not do: it forks in another thread, so that the child has that thread's signal mask,
PR_SET_PDEATHSIG kills it when trio drops the idle thread, and it starts later than in asyncio.
"""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
from asyncio import SubprocessProtocol
from asyncio import base_subprocess as std
from asyncio.log import logger
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import trio

from ._asyncio import TOLD_OF_EXIT_AT_ONCE, WAIT_ENDS_WITH_PROCESS
from ._interface import LoopPart
from ._polling import READ, Activity, Watch
from ._types import Argument, File

Command: TypeAlias = str | bytes | Sequence[Argument]  # as subprocess.Popen takes it
Connect: TypeAlias = Callable[..., Awaitable[tuple[asyncio.BaseTransport, "PipeProtocol"]]]


class Pidfd:
    """A descriptor by which a child's end can be polled. It is closed when nobody refers to it any more."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


def call_at_exit(loop: LoopPart, process: subprocess.Popen[bytes], callback: Callable[[int], object]) -> None:
    """Wait for the child in the background, and then call callback(returncode) in the loop."""

    @trio.lowlevel.enable_ki_protection
    def tell() -> None:
        returncode = _reap(process)
        if TOLD_OF_EXIT_AT_ONCE:
            callback(returncode)
        else:
            loop.call_soon(callback, returncode)

    @trio.lowlevel.enable_ki_protection
    def ended(pidfd: Pidfd) -> None:
        watch.cancel()
        tell()

    async def wait_in_thread(me: Activity) -> None:
        # A limiter of its own: a child must not have to wait until another one has ended.
        limiter = trio.CapacityLimiter(1)
        await trio.to_thread.run_sync(_wait_for_end, process, abandon_on_cancel=True, limiter=limiter)
        tell()

    try:
        pidfd = Pidfd(os.pidfd_open(process.pid))
    except (AttributeError, OSError):
        Activity(loop, wait_in_thread, f"asyncio subprocess {process.pid}: wait")
    else:
        watch = Watch(loop, pidfd.fd, READ, ended, pidfd)


def _wait_for_end(process: subprocess.Popen[bytes]) -> None:
    """Block until the child has ended. Its id stays its own until it is reaped, so signals reach no stranger."""
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        pass
    except AttributeError:
        process.wait()  # macOS, before Python 3.13


def _reap(process: subprocess.Popen[bytes]) -> int:
    """The child's exit status, once it has one; 255 if somebody else has taken it, which the log is told."""
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        if process.returncode is None:
            logger.warning(
                "child process pid %d: its exit status was read elsewhere; reporting returncode 255", process.pid
            )
            process.returncode = 255
    except AttributeError:
        pass  # macOS, before Python 3.13
    return process.wait()


if TYPE_CHECKING:

    class PipeProtocol(std.WriteSubprocessPipeProto):
        """asyncio's, with what a type checker does not know of it."""

        pipe: Any  # the transport
        disconnected: bool


class BaseSubprocessTransport(std.BaseSubprocessTransport):
    """A child process. https://docs.python.org/3/library/asyncio-protocol.html#asyncio.SubprocessTransport

    asyncio's own class, but for how the pipes are connected, what becomes of the child if that fails or is cancelled,
    who is woken by the end, and close() in a loop that is closed: see docs/differences.md.
    """

    _closed = True  # until there is something to close
    _extra: dict[str, object]
    _proc: subprocess.Popen[bytes] = None  # type: ignore[assignment]  # as it is after the end
    _pid: int | None = None
    _returncode: int | None = None
    # Calls of the protocol, until it is connected.
    _pending_calls: deque[tuple[Callable[..., object], tuple[object, ...]]] | None  # type: ignore[assignment]
    _pipes: dict[int, PipeProtocol | None]  # type: ignore[assignment]  # None for one that is not connected yet

    def __init__(
        self,
        loop: LoopPart,
        protocol: asyncio.BaseProtocol,
        args: Command,
        shell: bool,
        stdin: File,
        stdout: File,
        stderr: File,
        bufsize: int,
        waiter: asyncio.Future[None] | None = None,
        extra: dict[str, object] | None = None,
        **kwargs: Any,
    ) -> None:
        asyncio.SubprocessTransport.__init__(self, extra)  # asyncio's own would start the child
        self._loop = loop
        self._protocol: Any = protocol  # a SubprocessProtocol, or what has its methods
        self._finished = False
        self._exit_waiters: list[asyncio.Future[None]] = []
        self._pending_calls = deque()
        self._pipes = {fd: None for fd, to in enumerate((stdin, stdout, stderr)) if to == subprocess.PIPE}
        self._start(args=args, shell=shell, stdin=stdin, stdout=stdout, stderr=stderr, bufsize=bufsize, **kwargs)
        self._closed = False
        self._pid = self._proc.pid
        self._extra["subprocess"] = self._proc
        if loop.get_debug():
            logger.debug("process %r created: pid %s", args if isinstance(args, bytes | str) else args[0], self._pid)
        connecting = loop.create_task(self._connect(waiter))
        connecting.add_done_callback(lambda task: self._close_if_not_connected(task, waiter))

    def _start(self, **options: Any) -> None:  # type: ignore[override]
        self._proc = subprocess.Popen(**options)

    # --- pipes -------------------------------------------------------------------------------------------------------

    async def _connect(self, waiter: asyncio.Future[None] | None) -> None:
        """Connect the pipes, in this order; then call the protocol's connection_made(), and what was pending."""
        loop, process = self._loop, self._proc
        try:
            for fd, pipe in enumerate((process.stdin, process.stdout, process.stderr)):
                if pipe is not None:
                    connect: Connect = loop.connect_write_pipe if fd == 0 else loop.connect_read_pipe
                    kind = std.WriteSubprocessPipeProto if fd == 0 else std.ReadSubprocessPipeProto
                    transport, self._pipes[fd] = await connect(functools.partial(kind, self, fd), pipe)
                    if self._closed:
                        transport.close()
            loop.call_soon(self._protocol.connection_made, self)
            calls, self._pending_calls = self._pending_calls, None
            for function, args in calls or ():
                loop.call_soon(function, *args)
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        finally:
            del waiter  # its exception refers to this frame

    def _close_if_not_connected(self, connecting: asyncio.Task[None], waiter: asyncio.Future[None] | None) -> None:
        """If the pipes could not be connected, nobody will close the transport: that is done here."""
        error = asyncio.CancelledError() if connecting.cancelled() else connecting.exception()
        if error is None or isinstance(error, SystemExit | KeyboardInterrupt):
            return
        self._protocol = asyncio.SubprocessProtocol()  # the other one was never connected
        self._pending_calls = None
        self.close()
        for fd, pipe in enumerate((self._proc.stdin, self._proc.stdout, self._proc.stderr)):
            if self._pipes.get(fd) is None:
                self._pipes.pop(fd, None)
                if pipe is not None:
                    pipe.close()
        self._try_finish()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    # --- the process -------------------------------------------------------------------------------------------------

    def send_signal(self, signal: int) -> None:
        """Send a signal. Raises ProcessLookupError once the process has ended and the protocol knows.

        By Popen, also from 3.13 on: what asyncio's own sends there may reach another process that has the number now.
        """
        self._check_proc()
        self._proc.send_signal(signal)

    def _process_exited(self, returncode: int) -> None:
        if self._loop.get_debug():
            logger.info("%r exited with return code %r", self, returncode)
        self._returncode = returncode
        self._call(self._protocol.process_exited)
        self._try_finish()
        if WAIT_ENDS_WITH_PROCESS:
            self._wake_up()

    async def _wait(self) -> int:
        """The exit status. Can be cancelled, and called by many."""
        if self._returncode is None:
            waiter = self._loop.create_future()
            self._exit_waiters.append(waiter)
            try:
                await waiter
            finally:
                self._exit_waiters.remove(waiter)
        assert self._returncode is not None
        return self._returncode

    def _wake_up(self) -> None:
        for waiter in self._exit_waiters:
            if not waiter.done():
                waiter.set_result(None)

    # --- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the pipes, and kill the process if it runs."""
        if self._closed:
            return
        self._closed = True
        for protocol in self._pipes.values():
            if protocol is not None and self._loop is not None and not self._loop.is_closed():
                protocol.pipe.close()
        if self._proc is not None and self._returncode is None and self._proc.poll() is None:
            if self._loop.get_debug():
                logger.warning("Close running child process: kill %r", self)
            try:
                self._proc.kill()
            except (ProcessLookupError, PermissionError):
                return  # it has ended just now, or runs as another user
            if self._loop.is_closed():  # which does not wait for it any more
                with suppress(subprocess.TimeoutExpired):
                    self._proc.wait(1)

    def _try_finish(self) -> None:
        ended = all(pipe is not None and pipe.disconnected for pipe in self._pipes.values())
        if ended and self._returncode is not None and not self._finished:
            self._finished = True
            self._call(self._finish, None)

    def _finish(self, error: Exception | None) -> None:
        """Call the protocol's connection_lost(), wake those who wait, and drop all references."""
        try:
            self._protocol.connection_lost(error)
        finally:
            self._wake_up()
            self._loop = self._proc = self._protocol = None  # type: ignore[assignment]


class Subprocesses(LoopPart):
    """Makes the transport for the interpreter's subprocess_exec() and subprocess_shell()."""

    async def _make_subprocess_transport(
        self,
        protocol: SubprocessProtocol,
        args: Command,
        shell: bool,
        stdin: File,
        stdout: File,
        stderr: File,
        bufsize: int,
        extra: dict[str, object] | None = None,
        **kwargs: Any,
    ) -> BaseSubprocessTransport:
        """Start the child; the transport, when its pipes are connected.

        Cancelled, it kills the process and waits for its end.
        """
        waiter = self.create_future()
        transport = BaseSubprocessTransport(
            self, protocol, args, shell, stdin, stdout, stderr, bufsize, waiter, extra, **kwargs
        )
        call_at_exit(self, transport._proc, transport._process_exited)
        try:
            await waiter
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            transport.close()
            # A trio scope that is cancelled would interrupt this at once.
            with trio.CancelScope(shield=True) if isinstance(error, trio.Cancelled) else nullcontext():
                await transport._wait()
            raise
        finally:
            del waiter  # its exception refers to this frame
        return transport
