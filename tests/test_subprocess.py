"""Subprocesses: create_subprocess_exec() and _shell(), loop.subprocess_exec() and _shell().

Most programs run on the real asyncio first, and must give the same on ours; after each, no descriptor and no child is
left, not even a zombie.
"""

import asyncio as std
import ctypes
import errno
import gc
import logging
import os
import random
import re
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager, suppress
from functools import partial

import pytest
import trio

import compat
from compat import asyncio
from compat.adapters.events import MonotonicClock
from worlds import ON_TRIO, PATIENCE, WORLDS, Ended, nothing_left, on_both

MIB = 2**20
BULK = int(os.environ.get("SUBPROCESS_MIB", "64")) * MIB
PIPE, STDOUT, DEVNULL = subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL
FOREVER = ["sleep", "1000"]
PROGRAMS = []
IN_REAL_TIME = pytest.mark.parametrize(
    "world", [pytest.param(partial(world, clock=MonotonicClock()), id=world.__name__) for world in WORLDS]
)


def program(function):
    """Collect an async program(asyncio, log) that is to give the same on both."""
    PROGRAMS.append(function)
    return function


def python(code):
    return [sys.executable, "-I", "-S", "-c", code]


def has_children():
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


@contextmanager
def nobody_left():
    """Fail if there is a child or a descriptor afterwards that was not there before."""
    assert not has_children()
    with nothing_left():
        yield
    assert not has_children()


async def caught(awaitable):
    """The result, or the exception as text."""
    try:
        return await awaitable
    except (Exception, std.CancelledError) as error:
        return f"{type(error).__name__}: {error}"


async def ready(process):
    """Until the child has said that it is."""
    assert await process.stdout.readline() == b"ready\n"


# --- Process ---------------------------------------------------------------------------------------------------------


@program
async def a_child_and_what_it_says(asyncio, log):
    child = await asyncio.create_subprocess_exec("sh", "-c", "echo out; echo err >&2; exit 3", stdout=PIPE, stderr=PIPE)
    log += [child.stdin, child.pid > 0, re.sub(r"\d+", "", repr(child))]
    log += [await child.stdout.read(), await child.stderr.readline(), await child.wait(), child.returncode]
    log += [await child.wait(), await child.communicate()]


@program
async def nothing_is_piped(asyncio, log):
    child = await asyncio.create_subprocess_exec("true")
    log += [child.stdin, child.stdout, child.stderr, await child.communicate(), child.returncode]
    child = await asyncio.create_subprocess_exec("false")
    log += [await child.wait(), child.returncode]


@program
async def the_shell(asyncio, log):
    child = await asyncio.create_subprocess_shell("read name; echo $name; exit 5", stdin=PIPE, stdout=PIPE)
    log += [await child.communicate(b"Ada\nunread\n"), child.returncode]
    child = await asyncio.create_subprocess_shell(b"echo as bytes", None, PIPE, DEVNULL, 100)
    log += [await child.communicate(), child.returncode]
    child = await asyncio.create_subprocess_shell("no-such-command", stderr=PIPE)
    log += [len((await child.communicate())[1]) > 10, child.returncode]
    child = await asyncio.create_subprocess_shell("kill -9 $$")
    log.append(await child.wait())


@program
async def where_output_goes(asyncio, log):
    talk = "echo out; echo err >&2; echo end"
    child = await asyncio.create_subprocess_shell(talk, stdout=PIPE, stderr=STDOUT)
    log.append(await child.communicate())
    child = await asyncio.create_subprocess_shell(talk, stdout=DEVNULL, stderr=PIPE)
    log.append(await child.communicate())
    with open("file", "wb+") as file:
        child = await asyncio.create_subprocess_shell(talk, stdout=file, stderr=file.fileno())
        log += [await child.communicate(), file.seek(0), file.read()]
        child = await asyncio.create_subprocess_exec("cat", stdin=file, stdout=PIPE)
        log.append(await child.communicate())
    child = await asyncio.create_subprocess_exec("cat", stdin=DEVNULL, stdout=PIPE)
    log.append(await child.communicate())


@program
async def much_both_ways_at_once(asyncio, log):
    child = await asyncio.create_subprocess_exec("tee", "/dev/stderr", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    text = random.Random(1).randbytes(3_000_001)
    log += [await child.communicate(text) == (text, text), child.returncode]
    for wrapped in bytearray(text), memoryview(text):
        child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        log.append((await child.communicate(wrapped))[0] == text)


@program
async def communicate_with_no_input(asyncio, log):
    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    log.append(await child.communicate(b""))
    child = await asyncio.create_subprocess_exec("echo", "said", stdin=PIPE, stdout=PIPE)
    log.append((await child.communicate(None), child.stdin.is_closing()))
    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    if sys.version_info >= (3, 12):
        log.append(await child.communicate(None))
    else:  # there, stdin stays open
        log.append(await caught(asyncio.wait_for(child.communicate(None), 0.1)))
        child.kill()
        await child.wait()


@program
async def input_for_a_child_that_has_no_pipe(asyncio, log):
    child = await asyncio.create_subprocess_exec("echo", "said", stdout=PIPE)
    log.append(await caught(child.communicate(b"unheard")))
    await child.wait()


@program
async def a_child_that_reads_little(asyncio, log):
    child = await asyncio.create_subprocess_exec("head", "-c", "3", stdin=PIPE, stdout=PIPE)
    log.append((await child.communicate(b"abcdef" * 200_000), child.returncode))


@program
async def a_child_that_closes_its_input(asyncio, log):
    code = "import os; os.close(0); print('ready', flush=True); os.read(3, 1); print('end')"
    r, w = os.pipe()
    os.dup2(r, 90)
    child = await asyncio.create_subprocess_exec(
        *python(code.replace("3", "90", 1)), stdin=PIPE, stdout=PIPE, pass_fds=[90]
    )
    os.close(90)
    os.close(r)
    await ready(child)
    for _ in range(20):
        await asyncio.sleep(0.005)
    log += [child.stdin.is_closing(), await caught(child.stdin.wait_closed())]
    child.stdin.write(b"unread")
    log.append(await caught(child.stdin.drain()))
    os.close(w)
    log += [await child.communicate(b"x" * 100_000), child.returncode]


@program
async def a_reader_that_goes_in_the_middle_of_a_write(asyncio, log):
    child = await asyncio.create_subprocess_exec(*python("import os; os.read(0, 10)"), stdin=PIPE)
    child.stdin.write(b"x" * 1_000_000)
    log.append((await caught(child.stdin.drain())).split(":")[0] in ("BrokenPipeError", "ConnectionResetError"))
    await child.wait()
    log.append((await caught(child.stdin.wait_closed())).split(":")[0])


@program
async def conversation(asyncio, log):
    child = await asyncio.create_subprocess_exec(
        *python("for line in iter(input, 'end'): print(line.upper(), flush=True)"), stdin=PIPE, stdout=PIPE
    )
    for word in b"one", b"two", b"three":
        child.stdin.write(word + b"\n")
        await child.stdin.drain()
        log.append(await child.stdout.readline())
    child.stdin.writelines([b"end", b"\n"])
    log += [child.stdin.can_write_eof(), child.stdin.get_extra_info("pipe") is not None]
    child.stdin.write_eof()
    log += [await child.stdin.wait_closed(), child.stdin.is_closing(), await child.stdout.read(), await child.wait()]


@program
async def line_after_line_within_the_limit(asyncio, log):
    code = "for n in range(20000): print('line', n)"
    child = await asyncio.create_subprocess_exec(*python(code), stdout=PIPE, limit=100)
    lines = [line async for line in child.stdout]
    log += [len(lines), lines[0], lines[-1], await child.wait()]
    child = await asyncio.create_subprocess_exec(*python("print('x' * 1000); print('short')"), stdout=PIPE, limit=100)
    log += [await caught(child.stdout.readline()), await child.stdout.readline(), await child.wait()]


@program
async def output_after_the_end(asyncio, log):
    child = await asyncio.create_subprocess_exec(*python("print('x' * 60_000, end='')"), stdout=PIPE)
    while child.returncode is None:
        await asyncio.sleep(0.005)
    log += [child.returncode, len(await child.stdout.read()), await child.stdout.read(), await child.wait()]


@program
async def a_grandchild_that_keeps_the_pipe(asyncio, log):
    command = "exec 3<&0; (read line <&3; echo late) & echo early; exit 7"
    r, w = os.pipe()
    child = await asyncio.create_subprocess_shell(command, stdin=r, stdout=PIPE)
    os.close(r)
    while child.returncode is None:
        await asyncio.sleep(0.005)
    waiting = asyncio.create_task(child.wait())
    await asyncio.sleep(0.02)
    log += [child.returncode, await child.stdout.readline(), waiting.done()]
    os.close(w)
    log += [await child.stdout.read(), await waiting]


@program
async def waited_for_before_a_grandchild_lets_go(asyncio, log):
    r, w = os.pipe()
    command = "read go; exec 3<&0; (read line <&3) & exit 7"
    child = await asyncio.create_subprocess_shell(command, stdin=r, stdout=PIPE)
    os.close(r)
    waiting = asyncio.create_task(child.wait())
    await asyncio.sleep(0)
    os.write(w, b"go\n")
    while child.returncode is None:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)
    log.append(waiting.done())
    os.close(w)
    log += [await waiting, await child.stdout.read()]


@program
async def many_wait(asyncio, log):
    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    tasks = [asyncio.create_task(child.wait()) for _ in range(20)]
    await asyncio.sleep(0.01)
    for task in tasks[::3]:
        task.cancel()
    await asyncio.sleep(0)
    log.append([task.cancelled() for task in tasks])
    child.stdin.close()
    log += [await asyncio.gather(*tasks, return_exceptions=True) and [t.cancelled() or t.result() for t in tasks]]


@program
async def cancelled_waits(asyncio, log):
    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    for wait in child.wait, child.stdout.read, partial(child.stdout.readexactly, 5):
        log.append(await caught(asyncio.wait_for(wait(), 0.01)))
    child.stdin.write(b"abcdef")
    log.append(await caught(asyncio.wait_for(child.stdout.readexactly(5), PATIENCE)))
    log += [await child.communicate(b"ghi"), child.returncode]


@program
async def communicate_again(asyncio, log):
    child = await asyncio.create_subprocess_exec(
        "sh", "-c", "cat; echo end; echo err >&2; exit 4", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    task = asyncio.create_task(child.communicate())
    await asyncio.sleep(0)
    task.cancel()
    log += [await caught(task), child.returncode]
    log += [await child.communicate(b"input\n" if not child.stdin.is_closing() else None), child.returncode]
    log += [await child.communicate(), child.returncode]


@program
async def signals(asyncio, log):
    for name in "terminate", "kill":
        child = await asyncio.create_subprocess_exec(*FOREVER)
        log += [getattr(child, name)(), child.returncode, await child.wait()]
        await asyncio.sleep(0.01)  # from Python 3.14 on, wait() ends before the transport does
        for late in child.terminate, child.kill, partial(child.send_signal, signal.SIGINT):
            with pytest.raises(ProcessLookupError):
                late()
    child = await asyncio.create_subprocess_exec(*FOREVER)
    child.send_signal(signal.SIGUSR1)  # not SIGHUP, which is ignored under nohup
    log.append(await child.communicate())
    log.append(child.returncode)
    with pytest.raises(TypeError):
        child._transport.send_signal()


@program
async def one_that_ignores_sigterm(asyncio, log):
    stubborn = "trap '' TERM; echo ready; while :; do sleep 0.01; done"
    child = await asyncio.create_subprocess_shell(stubborn, stdout=PIPE)
    await ready(child)
    child.terminate()
    log.append(await caught(asyncio.wait_for(child.wait(), 0.1)))
    child.kill()
    log += [await child.wait(), await child.stdout.read()]  # which the last `sleep` has open a little longer


@program
async def stopped_and_continued(asyncio, log):
    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    child.send_signal(signal.SIGSTOP)
    child.stdin.write(b"x")
    log.append(await caught(asyncio.wait_for(child.stdout.read(1), 0.05)))
    log.append(child.returncode)
    child.send_signal(signal.SIGCONT)
    log += [await child.communicate(), child.returncode] if sys.version_info >= (3, 12) else []
    if sys.version_info < (3, 12):
        log += [await child.communicate(b""), child.returncode]


# --- how it is started -----------------------------------------------------------------------------------------------


async def output_of(asyncio, *command, **options):
    child = await asyncio.create_subprocess_exec(*command, stdout=PIPE, **options)
    return (await child.communicate())[0]


@program
async def options_of_popen(asyncio, log):
    ask = partial(output_of, asyncio)
    os.mkdir("folder")
    log.append((await ask("pwd", cwd="folder")).endswith(b"/folder\n"))
    log.append(await ask("sh", "-c", "echo $NAME $HOME", env={"NAME": "value", "PATH": os.environ["PATH"]}))
    log.append(await ask("sh", "-c", "umask", umask=0o27))
    log.append(await ask("called-otherwise", "-c", "echo $0", executable="/bin/sh"))
    log.append(await ask(b"echo", "mixed", os.fsencode("kinds")))
    session = python("import os; print(os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid())")
    log += [await ask(*session), await ask(*session, start_new_session=True), await ask(*session, process_group=0)]
    log.append(await ask(*session, preexec_fn=os.setsid))
    if os.getuid() == 0:
        log.append(await ask("id", user=1, group=1, extra_groups=[2, 3]))
    r, w = os.pipe()
    can_write = python(f"import os; print(os.write({w}, b'x'))")
    log.append(await ask(*can_write, pass_fds=[w]))
    log.append(await ask(*can_write, stderr=DEVNULL))
    log.append(await ask(*can_write, close_fds=False, stderr=DEVNULL))
    os.set_inheritable(w, True)
    log.append(await ask(*can_write, close_fds=False))
    log.append(os.read(r, 10))
    os.close(r)
    os.close(w)
    mask = python("import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    log.append(await ask(*mask))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    dispositions = python("import signal; print(signal.getsignal(signal.SIGPIPE))")
    log += [await ask(*dispositions), await ask(*dispositions, restore_signals=False)]


@program
async def a_path_for_a_program(asyncio, log):
    class Path:
        def __fspath__(self):
            return "/bin/echo"

    log.append(await output_of(asyncio, Path(), "hello"))


@program
async def forked_here_and_now(asyncio, log):
    """In the thread that calls, before anything else runs: for preexec_fn, thread-locals and PR_SET_PDEATHSIG."""
    seen = []
    asyncio.get_running_loop().call_soon(seen.append, "an iteration later")
    where = f"os.write(2, str(threading.get_ident() == {threading.get_ident()}).encode())"
    creating = asyncio.create_subprocess_exec(
        "true", stderr=PIPE, preexec_fn=partial(exec, f"import os, threading; {where}")
    )
    popen = subprocess.Popen

    def start(*args, **kwargs):
        seen.append("forked")
        return popen(*args, **kwargs)

    subprocess.Popen = start
    try:
        child = await creating
    finally:
        subprocess.Popen = popen
    log += [seen, await child.communicate()]


@program
async def the_parents_death_signal(asyncio, log):
    """It comes when the thread that has forked ends: a child must not be forked in a thread that is idle soon."""

    def die_with_parent():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)

    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, preexec_fn=die_with_parent)
    log += [await child.communicate(b"alive"), child.returncode]


@program
async def what_cannot_be_started(asyncio, log):
    def fail():
        raise LookupError

    with open("no-program", "w"):
        pass
    for command, options in [
        (["/no/such/program"], {}),
        (["./no-program"], {"stdin": PIPE, "stdout": PIPE}),
        (["true"], {"cwd": "/no/such/folder"}),
        (["true"], {"preexec_fn": fail}),
        (["true"], {"pass_fds": [-1]}),
        (["true"], {"stdout": 12345}),
        (["true", 1], {"stdin": PIPE}),
        ([None], {}),
        (["tr\0ue"], {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}),
        (["true"], {"user": "no-such-user"}),
        (["true"], {"nonsense": True}),
    ]:
        log.append((command, await caught(asyncio.create_subprocess_exec(*command, **options))))
    log.append(await caught(asyncio.create_subprocess_shell(["echo", "x"])))
    log.append(await caught(asyncio.create_subprocess_shell("echo", cwd="/no/such/folder")))


@program
async def text_is_refused(asyncio, log):
    for options in [
        {"universal_newlines": True},
        {"text": True},
        {"encoding": "utf-8"},
        {"errors": "strict"},
        {"bufsize": 1},
        {"bufsize": -1},
        {"text": True, "encoding": "utf-8", "bufsize": 1, "shell": True, "universal_newlines": 1},
        {"encoding": ""},
    ]:
        log.append(await caught(asyncio.create_subprocess_exec("true", **options)))
        log.append(await caught(asyncio.create_subprocess_shell("true", **options)))
    log.append(await caught(asyncio.create_subprocess_exec("true", shell=True)))
    log.append(await caught(asyncio.create_subprocess_shell("true", shell=False)))
    child = await asyncio.create_subprocess_exec("true", text=False, universal_newlines=False, bufsize=0, shell=False)
    log.append(await child.wait())


# --- transports and protocols ----------------------------------------------------------------------------------------


def noting(asyncio, log):
    """A SubprocessProtocol that notes what it is told, in its order."""

    class Noting(asyncio.SubprocessProtocol):
        def __init__(self):
            self.lost = asyncio.get_running_loop().create_future()
            self.exited = asyncio.get_running_loop().create_future()

        def connection_made(self, transport):
            log.append("made")

        def pipe_data_received(self, fd, data):
            log.append((fd, data if len(data) < 100 else "much"))

        def pipe_connection_lost(self, fd, error):
            log.append((fd, "lost", type(error).__name__))

        def process_exited(self):
            log.append("exited")
            self.exited.set_result(None)

        def connection_lost(self, error):
            log.append(("lost", error))
            self.lost.set_result(None)

        def pause_writing(self):
            log.append("pause")

        def resume_writing(self):
            log.append("resume")

    return Noting


@program
async def what_a_protocol_is_told(asyncio, log):
    loop = asyncio.get_running_loop()
    code = "import os; print(input(), flush=True); os.write(2, input().encode()); os.close(1); input(); os.close(2)"
    r, w = os.pipe()  # by which the child is told that all else has been seen
    transport, protocol = await loop.subprocess_exec(
        noting(asyncio, log), *python(f"{code}; input(); os.close(0); os.read({r}, 1)"), pass_fds=[r]
    )
    os.close(r)
    stdin = transport.get_pipe_transport(0)
    log += [transport.get_protocol() is protocol, transport.get_pipe_transport(3), transport.is_closing()]
    log += [transport.get_pid() == transport.get_extra_info("subprocess").pid, transport.get_returncode()]
    log += [isinstance(transport, asyncio.SubprocessTransport), isinstance(stdin, asyncio.WriteTransport)]
    answers = (1, b"one\n"), (1, "lost", "NoneType"), (2, "lost", "NoneType"), (0, "lost", "NoneType")
    for word, answer in zip((b"one\n", b"two\n", b"three\n", b"four\n"), answers, strict=True):
        log.append(word)
        stdin.write(word)
        while answer not in log:
            await asyncio.sleep(0.01)
    os.close(w)
    await protocol.lost
    log += [transport.get_returncode(), transport.is_closing(), transport.get_protocol()]
    transport.close()
    transport.close()
    log.append(transport.is_closing())
    for method in transport.kill, transport.terminate, partial(transport.send_signal, 2):
        with pytest.raises(ProcessLookupError):
            method()


@program
async def no_pipes_for_a_protocol(asyncio, log):
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(noting(asyncio, log), "true", stdin=None, stdout=None, stderr=None)
    log += [transport.get_pipe_transport(fd) for fd in range(3)]
    await protocol.lost
    log.append(await transport._wait())
    transport.close()


@program
async def who_waits_for_the_end_without_pipes(asyncio, log):
    loop = asyncio.get_running_loop()
    no_pipes = dict.fromkeys(("stdin", "stdout", "stderr"))
    transport, _ = await loop.subprocess_exec(noting(asyncio, log), "sleep", "0.2", **no_pipes)
    log.append(await transport._wait())
    await asyncio.sleep(0)
    transport.close()


@program
async def who_is_cancelled_when_the_end_comes_is_passed_over(asyncio, log):
    """Such a waiter is in line until its next step."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(noting(asyncio, log), "cat")
    first, second = waiters = [asyncio.create_task(transport._wait()) for _ in range(2)]
    protocol.connection_lost = protocol.process_exited = lambda *error: first.cancel()
    await asyncio.sleep(0)
    transport.get_pipe_transport(0).close()
    await asyncio.wait(waiters)
    log.append(await second)
    transport.close()


@program
async def the_end_and_then_the_pipes(asyncio, log):
    loop = asyncio.get_running_loop()
    r, w = os.pipe()
    command = "exec 3<&0; (read line <&3; echo late) & exit 3"
    transport, protocol = await loop.subprocess_shell(noting(asyncio, log), command, stdin=r, stderr=None)
    os.close(r)
    await protocol.exited
    log.append(transport.get_returncode())
    await asyncio.sleep(0.02)
    os.close(w)
    await protocol.lost
    transport.close()


@program
async def flow_control_of_stdin(asyncio, log):
    loop = asyncio.get_running_loop()
    code = "input(); import os\nwhile os.read(0, 100000): pass"
    transport, protocol = await loop.subprocess_exec(noting(asyncio, log), *python(code), stdout=None, stderr=None)
    stdin = transport.get_pipe_transport(0)
    stdin.write(b"x" * 200_000)
    log.append("written")
    await asyncio.sleep(0.02)
    stdin.write(b"\n")
    while stdin.get_write_buffer_size():
        await asyncio.sleep(0.005)
    stdin.close()
    await protocol.lost
    transport.close()


@program
async def closed_while_it_runs(asyncio, log):
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.subprocess_exec(noting(asyncio, log), "cat")
    transport.close()
    log += [transport.is_closing(), transport.get_returncode()]
    await protocol.lost
    log += [transport.get_returncode(), await transport._wait()]


async def closed_before_it_is_noticed_that_it_has_ended(asyncio, log):
    loop = asyncio.get_running_loop()
    options = {"stdin": None, "stdout": None, "stderr": None}
    transport, protocol = await loop.subprocess_exec(noting(asyncio, log), "sleep", "0.5", **options)
    os.waitid(os.P_PID, transport.get_pid(), os.WEXITED | os.WNOWAIT)
    transport.close()
    await protocol.lost


@program
async def another_protocol(asyncio, log):
    loop = asyncio.get_running_loop()
    first, second = [], noting(asyncio, log)()
    r, w = os.pipe()  # by which the child is told that all else has been seen
    code = f"import os; os.write(1, os.read(0, 1)); os.read(0, 1); os.close(1); os.read({r}, 1)"
    transport, _ = await loop.subprocess_exec(noting(asyncio, first), *python(code), stderr=None, pass_fds=[r])
    os.close(r)
    transport.set_protocol(second)
    transport.get_pipe_transport(0).write(b"x")
    while not log:
        await asyncio.sleep(0.005)
    transport.get_pipe_transport(0).close()
    while (1, "lost", "NoneType") not in log:
        await asyncio.sleep(0.005)
    os.close(w)
    await second.lost
    log.append(first)
    transport.close()


def test_a_child_that_has_been_reaped_gets_no_signal(monkeypatch):
    """Its number may be another process's; asyncio of 3.13.0 sends it."""

    async def main():
        loop = asyncio.get_running_loop()
        command = "exec 3<&0; (read line <&3) & exit 3"  # what goes on holds the pipe, so the transport lives
        transport, protocol = await loop.subprocess_shell(noting(asyncio, []), command, stdout=None, stderr=None)
        await protocol.exited
        sent = []
        with monkeypatch.context() as patch:
            patch.setattr(os, "kill", lambda *args: sent.append(args))
            transport.send_signal(signal.SIGTERM)
            transport.terminate()
            transport.kill()
        transport.get_pipe_transport(0).close()
        await protocol.lost
        transport.close()
        return sent

    assert asyncio.run(main()) == []


@program
async def reprs(asyncio, log):
    def shown(thing):
        return re.sub(r"_Unix|Base|pid=\d+|fd=\d+|0x\w+", "", repr(thing))

    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    log += [shown(child._transport), shown(child._protocol), shown(child.stdin), shown(child.stdout)]
    await child.communicate(b"")
    await asyncio.sleep(0.02)
    log += [shown(child._transport), shown(child._protocol)]


@program
async def what_is_logged(asyncio, log):
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = 10
    loop.set_debug(True)
    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    await child.communicate(b"input")
    child = await asyncio.create_subprocess_shell("echo error >&2", stdout=PIPE, stderr=STDOUT)
    await child.communicate()
    child = await asyncio.create_subprocess_exec("true", stdin=DEVNULL, stdout=2, stderr=STDOUT)
    await child.wait()
    transport, protocol = await loop.subprocess_exec(noting(asyncio, []), "cat")
    transport.close()
    await protocol.lost
    loop.set_debug(False)


# --- cancelled on the way --------------------------------------------------------------------------------------------


@program
async def cancelled_while_it_starts(asyncio, log):
    for steps in range(5):
        task = asyncio.create_task(asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, PATIENCE)
        log.append((steps, task.cancelled()))
        if not task.cancelled():
            child = task.result()
            child.kill()
            await child.communicate(b"")


def run(program, asyncio, caplog):
    log = []
    caplog.clear()

    async def main():
        await asyncio.wait_for(program(asyncio, log), PATIENCE)
        await asyncio.sleep(0.01)
        return len(asyncio.all_tasks())

    with nobody_left(), caplog.at_level(logging.DEBUG, "asyncio"):
        assert asyncio.run(main()) == 1
    texts = [
        re.sub(r"_Unix|Base|pid[= ]\d+|fd=\d+|pipe \d+|<Process \d+>|<.*Noting.*>", "", record.getMessage())
        for record in caplog.records
    ]
    # Two of asyncio's child watchers log, in threads of theirs.
    logged = sorted(text for text in texts if not re.search("selector|process \\d+ exited with returncode", text))
    for name in "folder", "file", "no-program":
        with suppress(OSError):
            os.rmdir(name) if name == "folder" else os.remove(name)
    return log, logged


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_same_on_both(program, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    theirs, ours = on_both(lambda asyncio: run(program, asyncio, caplog))
    assert ours == theirs
    assert ours[0] or ours[1]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_same_without_pidfd(program, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    theirs = run(program, std, caplog)
    monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    assert run(program, asyncio, caplog) == theirs


def no_pidfd(*args):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


WITH_AND_WITHOUT_PIDFD = pytest.mark.parametrize("pidfd", [True, False], ids=["pidfd", "thread"])

# --- ours: other children, other handlers ----------------------------------------------------------------------------


def test_the_status_is_known_though_nobody_had_noticed_the_end(caplog):
    log = []
    with nobody_left():
        asyncio.run(closed_before_it_is_noticed_that_it_has_ended(asyncio, log))
    assert log == ["made", "exited", ("lost", None)]
    assert caplog.records == []


@WITH_AND_WITHOUT_PIDFD
def test_a_status_that_the_program_has_taken(pidfd, monkeypatch, caplog):
    if not pidfd:
        monkeypatch.setattr(os, "pidfd_open", no_pidfd)

    async def main():
        child = await asyncio.create_subprocess_exec("sh", "-c", "sleep 0.5; exit 3")
        os.waitpid(child.pid, 0)
        return await child.wait(), child.returncode

    with nobody_left():
        result = asyncio.run(main())
    assert result == (255, 255)
    assert "its exit status was read elsewhere; reporting returncode 255" in caplog.text


@pytest.mark.parametrize("how", ["wait", "poll"])
def test_a_status_that_popen_has_read(how):
    async def main():
        child = await asyncio.create_subprocess_exec("sh", "-c", "exit 3")
        popen = child._transport.get_extra_info("subprocess")
        while getattr(popen, how)() is None:
            pass
        return await child.wait(), child.returncode

    with nobody_left():
        assert asyncio.run(main()) == (3, 3)


@WITH_AND_WITHOUT_PIDFD
def test_sigchld_is_ignored(pidfd, monkeypatch, caplog):
    """The system throws the exit status away then."""
    if not pidfd:
        monkeypatch.setattr(os, "pidfd_open", no_pidfd)

    async def main():
        children = [await asyncio.create_subprocess_exec("sh", "-c", "exit 3") for _ in range(3)]
        return [await asyncio.wait_for(child.wait(), PATIENCE) for child in children]

    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with nobody_left():
            assert asyncio.run(main()) == [255] * 3
    finally:
        signal.signal(signal.SIGCHLD, before)


@WITH_AND_WITHOUT_PIDFD
def test_no_interference_with_the_programs_own_children(pidfd, monkeypatch):
    if not pidfd:
        monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    told = []

    async def main():
        bare = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 11"], os.environ)
        popen = subprocess.Popen(["sh", "-c", "exit 12"])
        trios = await trio.lowlevel.open_process(["sh", "-c", "exit 13"])
        ours = [await asyncio.create_subprocess_exec("sh", "-c", f"exit {n}") for n in range(5)]
        statuses = await asyncio.gather(*[child.wait() for child in ours])
        await asyncio.sleep(0.05)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(bare, 0)[1]))
        return [*statuses, popen.wait(), await trios.wait()]

    def handler(signum, frame):
        told.append(signum)

    before = signal.signal(signal.SIGCHLD, handler)
    try:
        with nobody_left():
            assert asyncio.run(main()) == [0, 1, 2, 3, 4, 11, 12, 13]
        assert signal.getsignal(signal.SIGCHLD) is handler
        assert set(told) == {signal.SIGCHLD}
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_signal_handler_of_the_loop_for_sigchld():
    async def main():
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, told.set)
        child = await asyncio.create_subprocess_exec("sh", "-c", "exit 3")
        await told.wait()
        return await child.wait()

    with nobody_left():
        assert asyncio.run(main()) == 3


@WITH_AND_WITHOUT_PIDFD
def test_in_threads(pidfd, monkeypatch):
    """Several loops at once, none of them in the main thread."""
    if not pidfd:
        monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    results = {}

    async def main(n):
        children = [await asyncio.create_subprocess_shell(f"cat; exit {n}", stdin=PIPE, stdout=PIPE) for _ in range(5)]
        outputs = await asyncio.gather(*[child.communicate(b"%d" % n) for child in children])
        results[n] = outputs, [child.returncode for child in children]

    with nobody_left():
        threads = [threading.Thread(target=lambda n=n: asyncio.run(main(n))) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == {n: ([(b"%d" % n, None)] * 5, [n] * 5) for n in range(4)}


def test_the_loop_stands_still_while_the_child_ends():
    with nobody_left(), asyncio.Runner() as runner:

        async def start():
            return await asyncio.create_subprocess_shell("echo out; exit 3", stdout=PIPE)

        child = runner.run(start())
        with suppress(ChildProcessError):  # so quick that the end was seen already
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert runner.run(child.communicate()) == (b"out\n", None)
        assert child.returncode == 3


# --- ours: ends ------------------------------------------------------------------------------------------------------


@WITH_AND_WITHOUT_PIDFD
@pytest.mark.parametrize("options", [{}, {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}], ids=["bare", "piped"])
def test_the_loop_ends_with_a_child_alive(options, pidfd, monkeypatch):
    """As in asyncio, the child lives on until its transport is collected: then it is killed, and there is a warning."""
    if not pidfd:
        monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    children = []

    async def main():
        children.append(await asyncio.create_subprocess_exec(*FOREVER, **options))

    def drop():
        children.clear()
        gc.collect()

    with nobody_left():
        asyncio.run(main())
        assert children[0]._transport.get_extra_info("subprocess").poll() is None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            drop()
    assert {warning.category for warning in caught} == {ResourceWarning}
    assert any(str(w.message).startswith("unclosed transport <BaseSubprocessTransport pid=") for w in caught)


def test_nothing_is_said_where_the_loop_is_closed_after_close():
    """The transport was closed: the child is killed, and is no zombie though the loop has not seen its end."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.subprocess_exec(asyncio.SubprocessProtocol, *FOREVER, stdin=None, stdout=None)
        transport.close()
        return transport.get_extra_info("subprocess")

    with asyncio.Runner() as runner:
        popen = runner.run(main())
    assert popen.wait(PATIENCE) == -9
    gc.collect()
    assert not has_children()


@pytest.mark.parametrize("steps", range(8))
def test_the_loop_ends_while_a_child_is_being_started(steps):
    started = Ended(
        f"""
        import asyncio, gc, os, warnings
        from subprocess import PIPE

        async def main():
            for _ in range(3):
                create = asyncio.create_subprocess_exec("sleep", "1000", stdin=PIPE, stdout=PIPE, stderr=PIPE)
                tasks.append(asyncio.create_task(create))
            for _ in range({steps}):
                await asyncio.sleep(0)

        tasks = []
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.run(main())
        tasks.clear()
        gc.collect()
        try:
            print(os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT))
        except ChildProcessError:
            print("nobody left", len(os.listdir("/proc/self/fd")) < 10)
        """,
        *ON_TRIO,
    )
    assert (started.out, started.error) == ("nobody left True\n", "")


def test_the_pipes_cannot_be_connected():
    """The child is killed and everything is closed. The protocol is told nothing."""
    told = []

    async def main(how_many):
        loop = asyncio.get_running_loop()
        connect = loop.connect_read_pipe

        async def fail_at_last(*args):
            nonlocal how_many
            how_many -= 1
            if how_many < 0:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return await connect(*args)

        loop.connect_read_pipe = fail_at_last
        with pytest.raises(OSError, match="Too many open files"):
            await asyncio.wait_for(loop.subprocess_exec(noting(asyncio, told), *FOREVER), PATIENCE)

    for how_many in 0, 1:
        with nobody_left():
            asyncio.run(main(how_many))
        assert told == []


def test_given_up_and_then_the_pipes_cannot_be_connected():
    """Who has started the child waits for its end, which comes first, and not for ever."""

    async def main():
        loop = asyncio.get_running_loop()
        connects = asyncio.Event()

        async def fail_late(*args):
            connects.set()
            await asyncio.sleep(0.1)  # the child is killed meanwhile
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        loop.connect_read_pipe = fail_late
        starting = asyncio.create_task(loop.subprocess_exec(noting(asyncio, []), *FOREVER))
        await connects.wait()
        starting.cancel()
        await asyncio.wait([starting], timeout=PATIENCE)
        return starting.cancelled()

    with nobody_left():
        assert asyncio.run(main())


def test_one_that_may_not_be_killed():
    """A set-user-ID program, say."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.subprocess_exec(asyncio.SubprocessProtocol, "cat")
        popen = transport.get_extra_info("subprocess")
        popen.kill = lambda: os.kill(-(10**9), 9) if os.getuid() else deny()
        transport.close()
        return await transport._wait()  # it ends by itself, with its input

    def deny():
        raise PermissionError

    with nobody_left():
        assert asyncio.run(main()) == 0


# --- with trio -------------------------------------------------------------------------------------------------------


@IN_REAL_TIME
def test_children_under_trio_scopes_in_every_world(world):
    async def main():
        child = await asyncio.create_subprocess_exec(*FOREVER)
        with trio.move_on_after(0.02) as scope:
            await child.wait()
        assert scope.cancelled_caught
        assert child.returncode is None
        child.terminate()
        assert await child.wait() == -signal.SIGTERM

        child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        for wait in child.stdout.read, child.stdout.readline, child.wait:
            with trio.move_on_after(0.01) as scope:
                await wait()
            assert scope.cancelled_caught
        child.stdin.write(b"still ")
        with trio.move_on_after(0):
            await child.stdin.drain()
        assert await child.communicate(b"there") == (b"still there", None)
        assert child.returncode == 0

        with trio.CancelScope() as scope:
            scope.cancel()
            await asyncio.create_subprocess_exec(*FOREVER, stdin=PIPE, stdout=PIPE)
        assert scope.cancelled_caught
        assert not has_children()

        statuses = {}

        async def keep(n):
            child = await asyncio.create_subprocess_exec("sh", "-c", f"exit {n}")
            statuses[n] = await child.wait()

        async with trio.open_nursery() as nursery:
            for n in range(10):
                nursery.start_soon(keep, n)
        assert statuses == {n: n for n in range(10)}

    with nobody_left():
        world(main)


@IN_REAL_TIME
def test_trios_own_processes_in_every_world(world):
    async def main():
        done = await trio.run_process(["sh", "-c", "cat; exit 3"], stdin=b"in", capture_stdout=True, check=False)
        assert (done.stdout, done.returncode) == (b"in", 3)
        with pytest.raises(subprocess.CalledProcessError):
            await trio.run_process(["false"])

        with trio.move_on_after(0.05) as scope:
            await trio.run_process(FOREVER)
        assert scope.cancelled_caught

        task = asyncio.create_task(trio.run_process(FOREVER))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        async with trio.open_nursery() as nursery:
            process = await nursery.start(partial(trio.run_process, FOREVER, check=False))
            ours = await asyncio.create_subprocess_exec(*FOREVER)
            process.terminate()
            ours.kill()
            assert await process.wait() == -signal.SIGTERM
            assert await ours.wait() == -9
            nursery.cancel_scope.cancel()

    with nobody_left():
        world(main)


def test_the_pipes_as_trio_streams():
    async def main():
        child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        stream = compat.as_trio_stream(child.stdout, child.stdin)
        await stream.send_all(b"through trio")
        assert await stream.receive_some(100) == b"through trio"
        await stream.send_eof()
        assert await stream.receive_some(100) == b""
        assert await child.wait() == 0

    with nobody_left():
        compat.run(main)


# --- ours: whoever holds the real asyncio ----------------------------------------------------------------------------


def test_the_real_functions_on_our_loop():
    async def main():
        child = await std.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        assert await child.communicate(b"input") == (b"input", b"")
        child = await std.create_subprocess_shell("echo line; exit 3", stdout=PIPE)
        return await child.stdout.readline(), await child.wait()

    with nobody_left():
        assert asyncio.run(main()) == (b"line\n", 3)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python 3.14 has no child watchers")
@pytest.mark.parametrize("name", ["Threaded", "Pidfd", "Safe", "Fast", "MultiLoop"])
def test_child_watchers_may_be_set(name, recwarn):
    async def main():
        ended = asyncio.get_running_loop().create_future()
        with asyncio.get_child_watcher() as watcher:
            assert watcher.is_active()
            popen = subprocess.Popen(["sh", "-c", "exit 3"])
            watcher.add_child_handler(
                popen.pid, lambda *args: ended.get_loop().call_soon_threadsafe(ended.set_result, args), 5
            )
            popen.returncode = 3  # the watcher reads it
        child = await asyncio.create_subprocess_exec("sh", "-c", "exit 4")
        assert await ended == (popen.pid, 3, 5)
        return await child.wait()

    policy = asyncio.get_event_loop_policy()
    with nobody_left():
        kind = getattr(asyncio, f"{name}ChildWatcher")
        assert issubclass(kind, asyncio.AbstractChildWatcher)
        watcher = kind()
        try:
            asyncio.set_child_watcher(watcher)
            assert asyncio.get_child_watcher() is policy.get_child_watcher() is watcher
            watcher.attach_loop(None)
            assert asyncio.run(main()) == 4
        finally:
            policy.set_child_watcher(None)
        assert asyncio.get_child_watcher() is not watcher
        policy.set_child_watcher(None)
    warned = {str(warning.message).split("'")[1] for warning in recwarn if warning.category is DeprecationWarning}
    if sys.version_info < (3, 12):
        assert warned == set()
    else:
        deprecated = {f"{name}ChildWatcher"} if name in ("Safe", "Fast", "MultiLoop") else set()
        assert warned == {"get_child_watcher", "set_child_watcher", *deprecated}


# --- many, and much --------------------------------------------------------------------------------------------------


@WITH_AND_WITHOUT_PIDFD
def test_five_hundred_children(pidfd, monkeypatch):
    """20 at a time, some killed, some cancelled, at random moments: every status is right, nothing is left."""
    if not pidfd:
        monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    print("seed", seed)
    ends = {}

    async def exits(n):
        child = await asyncio.create_subprocess_exec("sh", "-c", f"exit {n % 200}")
        return await child.wait(), n % 200

    async def echoes(n):
        text = dice.randbytes(dice.randrange(200_000))
        child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        assert await child.communicate(text) == (text, None)
        return child.returncode, 0

    async def ends_by_a_signal_of_its_own(n):
        child = await asyncio.create_subprocess_shell("echo out; kill -USR1 $$", stdout=PIPE)
        assert await child.communicate() == (b"out\n", None)
        return child.returncode, -signal.SIGUSR1

    async def is_sent_a_signal(n):
        child = await asyncio.create_subprocess_exec(*FOREVER, stdout=PIPE)
        await asyncio.sleep(dice.random() / 50)
        sig = dice.choice([signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1])
        child.send_signal(sig)
        return await child.wait(), -sig

    async def wait_is_cancelled(n):
        child = await asyncio.create_subprocess_exec(*FOREVER, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        task = asyncio.create_task(dice.choice([child.wait, child.communicate])())
        await asyncio.sleep(dice.random() / 50)
        task.cancel()
        child.kill()
        await asyncio.wait([task])
        return await child.wait(), -9

    async def scope_ends(n):
        with trio.move_on_after(dice.random() / 50):
            child = None
            child = await asyncio.create_subprocess_exec(*FOREVER, stdin=PIPE, stdout=PIPE)
            await child.communicate(b"x" * 100_000)
        if child is None:
            return None, None
        child.kill()
        return await child.wait(), -9

    async def start_is_cancelled(n):
        task = asyncio.create_task(asyncio.create_subprocess_exec(*FOREVER, stdin=PIPE, stdout=PIPE, stderr=PIPE))
        for _ in range(dice.randrange(6)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            return None, None
        task.result().kill()
        return await task.result().wait(), -9

    async def transport_is_closed(n):
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(noting(asyncio, []), *FOREVER)
        await asyncio.sleep(dice.random() / 100)
        transport.close()
        await protocol.lost
        return transport.get_returncode(), -9

    kinds = [exits, echoes, ends_by_a_signal_of_its_own, is_sent_a_signal]
    kinds += [wait_is_cancelled, scope_ends, start_is_cancelled, transport_is_closed]

    async def one(n, turn):
        async with turn:
            kind = dice.choice(kinds)
            got, right = await kind(n)
            assert got == right, (kind.__name__, got, right)
            ends[n] = got

    async def main():
        turn = asyncio.Semaphore(20)
        async with asyncio.TaskGroup() as group:
            for n in range(500):
                group.create_task(one(n, turn))

    with nobody_left():
        asyncio.run(main())
    assert len(ends) == 500


def memory():
    """Resident, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def pattern(size):
    block = bytes(range(251))
    return (block * (size // 251 + 1))[:size]


def test_bulk_by_communicate():
    text = pattern(BULK)

    async def main():
        child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        output, _ = await child.communicate(text)
        assert output == text
        return child.returncode

    with nobody_left():
        assert asyncio.run(main()) == 0


def test_bulk_by_streams_at_bounded_memory():
    block = pattern(251 * 500)
    blocks = BULK // len(block)

    async def main():
        child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        start = most = memory()

        async def produce():
            for _ in range(blocks):
                child.stdin.write(block)
                await child.stdin.drain()
            child.stdin.close()

        producing = asyncio.create_task(produce())
        for _ in range(blocks):
            assert await child.stdout.readexactly(len(block)) == block
            most = max(most, memory())
        assert await child.stdout.read() == b""
        await producing
        assert await child.wait() == 0
        return most - start

    with nobody_left():
        grown = asyncio.run(main())
    assert grown < 16 * MIB, grown
