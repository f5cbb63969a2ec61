"""create_subprocess_exec, create_subprocess_shell and Process, with real processes."""

import os
import signal
import sys

import pytest
import trio

from compat import native
from native.cancelling import at_each_step

PIPE, STDOUT, DEVNULL = native.subprocess.PIPE, native.subprocess.STDOUT, native.subprocess.DEVNULL
REAL_TIME = True
CAT = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def python(code, **options):
    return await native.create_subprocess_exec(sys.executable, "-c", code, **options)


async def test_communicate():
    process = await python(CAT + "; print('told', file=sys.stderr)", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert process.returncode is None
    assert await process.communicate(b"meow" * 2**16) == (b"meow" * 2**16, b"told\n")
    assert process.returncode == 0
    assert str(process.pid) in repr(process)


async def test_what_is_no_pipe_is_none():
    process = await python("print(1)", stdout=DEVNULL)
    assert (process.stdin, process.stdout, process.stderr) == (None, None, None)
    assert await process.communicate() == (None, None)
    process = await python("import os; os.write(1, b'a'); os.write(2, b'b')", stdout=PIPE, stderr=STDOUT)
    assert await process.communicate() == (b"ab", None)


async def test_a_process_that_does_not_read_its_input():
    process = await python("pass", stdin=PIPE)
    assert await process.communicate(b"x" * 2**20) == (None, None)


async def test_communicate_after_the_input_is_closed():
    process = await python(CAT, stdin=PIPE, stdout=PIPE)
    process.stdin.write(b"meow")
    process.stdin.close()
    with pytest.raises(trio.ClosedResourceError):
        await process.communicate(b"more")
    assert await process.communicate() == (b"meow", None)


async def test_communicate_that_is_cancelled_keeps_what_has_come():
    code = "import os, time; os.write(1, b'out'); os.close(1); os.write(2, b'err'); time.sleep(1000)"
    process = await python(code, stdout=PIPE, stderr=PIPE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(process.communicate)
        while not (process.stdout._at_end and process.stderr._buffer):
            await native.sleep(0.001)
        nursery.cancel_scope.cancel()
    process.kill()
    assert await process.communicate() == (b"out", b"err")


async def test_talking_line_by_line():
    process = await python("for line in iter(input, 'end'): print(line.upper(), flush=True)", stdin=PIPE, stdout=PIPE)
    for word in (b"one\n", b"two\n"):
        process.stdin.write(word)
        await process.stdin.drain()
        assert await process.stdout.readline() == word.upper()
    process.stdin.write(b"end\n")
    assert [line async for line in process.stdout] == []
    assert await process.wait() == 0
    process.stdin.close()


async def test_the_end_of_the_input():
    process = await python(CAT, stdin=PIPE, stdout=PIPE)
    process.stdin.write(b"x" * 2**20)
    process.stdin.write_eof()
    assert await process.stdout.read() == b"x" * 2**20
    await process.stdin.wait_closed()
    assert await process.wait() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="has no signals")
async def test_signals():
    for send, status in (
        (lambda process: process.send_signal(signal.SIGINT), -signal.SIGINT),
        (lambda process: process.terminate(), -signal.SIGTERM),
        (lambda process: process.kill(), -signal.SIGKILL),
    ):
        process = await native.create_subprocess_exec("sleep", "1000")
        send(process)
        assert await process.wait() == status == process.returncode
        send(process)  # as in subprocess, that does nothing


async def test_shell():
    process = await native.create_subprocess_shell("echo hello; exit 3", stdout=PIPE)
    assert await process.communicate() == ((b"hello\r\n" if sys.platform == "win32" else b"hello\n"), None)
    assert process.returncode == 3


async def test_what_cannot_be_started():
    with pytest.raises(FileNotFoundError):
        await native.create_subprocess_exec("/no/such/program")
    with pytest.raises(TypeError):
        await python("pass", text=True)
    with pytest.raises(AttributeError, match="Process"):
        getattr(await python("pass"), "_transport")  # noqa: B009


async def test_two_waits_and_one_that_is_cancelled():
    process = await python("input()", stdin=PIPE)
    waiting = native.create_task(process.wait())
    with trio.move_on_after(0.01) as scope:
        await process.wait()
    assert scope.cancelled_caught
    assert process.returncode is None
    process.stdin.write(b"\n")
    assert await waiting == 0


def test_a_process_ends_with_the_run():
    async def main():
        process = await native.create_subprocess_exec("sleep", "1000", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        assert is_there(process.pid)
        return process

    process = native.run(main())
    assert process.returncode == -signal.SIGKILL
    assert not is_there(process.pid)


def test_without_a_nursery():
    async def main():
        for function in (native.create_subprocess_exec, native.create_subprocess_shell):
            with pytest.raises(RuntimeError, match="open_background"):
                await function("true")

    trio.run(main)


def test_a_process_whose_nursery_is_left_meanwhile():
    async def start():
        with pytest.raises(RuntimeError, match="open_background"):
            await native.create_subprocess_exec("sleep", "1000")

    async def main():
        async with trio.open_nursery() as nursery:
            async with native.open_background():
                nursery.start_soon(start)
                await trio.sleep(0)

    trio.run(main)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_cancelled_at_each_step_no_process_is_left():
    async def case(cut):
        async def work():
            process = await native.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
            assert await process.communicate(b"meow") == (b"meow", None)
            assert process.returncode == 0

        await cut(work())  # tests/leaves.py looks for children

    assert trio.run(at_each_step, case) > 5
