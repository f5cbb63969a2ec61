"""compat.print_tasks(): every task once, in its place, with what it awaits and where; from anywhere, at any time."""

import io
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import trio
import trio.testing

import compat
from compat import asyncio
from worlds import PATIENCE, ROOT

pytestmark = pytest.mark.slow

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def printed() -> str:
    file = io.StringIO()
    compat.print_tasks(file)
    return file.getvalue()


def start(code: str, folder: Path) -> subprocess.Popen[str]:
    (folder / "program.py").write_text(textwrap.dedent(code))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "program.py"], cwd=folder, env=ENVIRONMENT, **pipes)


def run(code: str, folder: Path) -> str:
    """What a program prints on standard error."""
    with start(code, folder) as process:
        out, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, "")
    return error


def test_both_worlds(tmp_path):
    program = """\
        import time, trio, compat
        from compat import asyncio
        async def get(queue):
            await queue.get()
        async def group():
            with trio.CancelScope():
                async with asyncio.TaskGroup() as group:
                    group.create_task(get(asyncio.Queue()), name="in a group")
                    group.create_task(asyncio.to_thread(time.sleep, 0.5), name="thread")
        async def generate():
            await asyncio.Future()
            yield
        async def iterate():
            async for _ in generate():
                pass
        async def nap():
            await trio.sleep(3600)
        async def gather(task):
            await asyncio.gather(task, nap())
        async def wait_for(task):
            await task
        async def main():
            first = asyncio.create_task(get(asyncio.Queue()), name="A-1")
            tasks = [first]
            for number, coro in enumerate([group(), iterate(), wait_for(first), asyncio.Event().wait()], 2):
                tasks.append(asyncio.create_task(coro, name=f"A-{number}"))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(nap)
                nursery.start_soon(trio.sleep, 5)
                nursery.cancel_scope.deadline = trio.current_time() + 100.04
                nursery.cancel_scope.shield = True
                await trio.sleep(0.1)
                tasks.append(asyncio.create_task(nap(), name="A-10"))
                compat.print_tasks()
                [task.cancel() for task in tasks]
                nursery.cancel_scope.cancel()
        compat.run(main)
        """
    shown = re.sub(r"9\d\.\d seconds", "99.9 seconds", run(program, tmp_path))  # however long the machine takes
    *lines, last = shown.splitlines()
    assert last.endswith(" tasks that do the work behind)")
    assert lines == [
        "trio run in thread MainThread, <HostedLoop on trio running=True closed=False debug=False>",
        "├─ main task: __main__.main, running",
        "│  │  program.py:34 in main: compat.print_tasks()",
        "│  ├─ the loop's tasks",
        "│  │  ├─ a thread: sleep",
        "│  │  ├─ asyncio task 'A-1': get",
        "│  │  │     program.py:4 in get: await queue.get()",
        "│  │  │     awaits asyncio.Queue.get",
        "│  │  ├─ asyncio task 'A-2': group",
        "│  │  │  │  program.py:7 in group: async with asyncio.TaskGroup() as group:",
        "│  │  │  │  awaits the tasks of its TaskGroup",
        "│  │  │  └─ nursery",
        "│  │  │     ├─ asyncio task 'in a group': get",
        "│  │  │     │     program.py:4 in get: await queue.get()",
        "│  │  │     │     awaits asyncio.Queue.get",
        "│  │  │     └─ asyncio task 'thread': to_thread",
        "│  │  │           awaits asyncio.to_thread",
        "│  │  ├─ asyncio task 'A-3': iterate",
        "│  │  │     program.py:14 in iterate: async for _ in generate():",
        "│  │  │     program.py:11 in generate: await asyncio.Future()",
        "│  │  │     awaits a Future",
        "│  │  ├─ asyncio task 'A-4': wait_for",
        "│  │  │     program.py:21 in wait_for: await task",
        "│  │  │     awaits task 'A-1'",
        "│  │  ├─ asyncio task 'A-5': Event.wait",
        "│  │  │     awaits asyncio.Event.wait",
        "│  │  └─ asyncio task 'A-10': nap, about to begin",
        "│  └─ nursery, 99.9 seconds left, shielded",
        "│     ├─ trio task: __main__.nap",
        "│     │     program.py:17 in nap: await trio.sleep(3600)",
        "│     │     awaits trio.sleep",
        "│     └─ trio task: trio.sleep",
        "│           awaits trio.sleep",
    ]


def test_nothing_runs():
    assert printed() == "no trio run and no asyncio loop\n"


def test_plain_trio():
    async def main() -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever, name="sleeper")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            return printed()

    lines = trio.run(main).splitlines()
    assert lines[0] == f"trio run in thread {threading.current_thread().name}"
    assert "test_plain_trio.<locals>.main, running" in lines[1]
    assert [line.strip("│ ├└─") for line in lines[-4:-1]] == [
        "nursery, cancelled",
        "trio task: sleeper",
        "awaits trio.sleep_forever",
    ]


def test_a_loop_that_stands_still():
    loop = asyncio.new_event_loop()
    task = loop.create_task(asyncio.sleep(3600), name="stopped")
    loop.run_until_complete(asyncio.sleep(0))
    lines = printed().splitlines()
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()
    assert lines[0].startswith("trio run that stands still, <Loop on trio running=False")
    assert [line.strip("│ ├└─") for line in lines[1:4]] == [
        "the loop's tasks",
        "asyncio task 'stopped': sleep",
        "awaits asyncio.sleep",
    ]
    assert printed() == "no trio run and no asyncio loop\n"


def test_an_adopted_trio_task():
    async def adopted():
        await asyncio.sleep(3600)

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(adopted)
            await asyncio.sleep(0.01)
            shown = printed()
            nursery.cancel_scope.cancel()
        return shown

    lines = [line.strip("│ ├└─") for line in compat.run(main).splitlines()]
    at = next(number for number, line in enumerate(lines) if line.endswith("<locals>.adopted"))
    assert lines[at].startswith("trio task: ")
    assert lines[at + 1].endswith("adopted: await asyncio.sleep(3600)")
    assert lines[at + 2] == "awaits asyncio.sleep"


def test_tasks_that_are_done_and_callbacks_are_not_shown():
    async def main():
        for _ in range(20):
            await asyncio.gather(*(asyncio.sleep(0) for _ in range(20)))
        asyncio.get_running_loop().call_soon(print)
        return printed()

    shown = compat.run(main)
    assert len(shown.splitlines()) == 5  # the run, its main task and where that is (two lines), the rest


def test_from_another_thread():
    """While the loop waits, and while a step of its lasts."""
    seen = []

    def show():
        time.sleep(0.05)
        seen.append(printed())

    async def waiting():
        thread = threading.Thread(target=show)
        thread.start()
        await asyncio.to_thread(thread.join)

    async def busy():
        thread = threading.Thread(target=show)
        thread.start()
        thread.join()

    def callback(done):
        thread = threading.Thread(target=show)
        thread.start()
        thread.join()
        done.set_result(None)

    async def calling():
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.call_soon(callback, done)
        await done

    for fn in waiting, busy, calling:
        asyncio.run(fn())
    assert "await asyncio.to_thread(thread.join)\n" in seen[0]
    assert "awaits asyncio.to_thread" in seen[0]
    assert "<locals>.busy, running\n" in seen[1]
    assert "busy: thread.join()\n" in seen[1]
    assert "a callback, running\n" in seen[2]
    assert "callback: thread.join()\n" in seen[2]


def test_often_while_tasks_come_and_go():
    """From another thread, it reads what changes under its eyes."""
    stop = threading.Event()
    failures, times = [], 0

    def watch():
        nonlocal times
        while not stop.is_set():
            try:
                assert "trio run in thread" in printed()
                times += 1
            except BaseException as error:
                failures.append(error)
                return

    async def some(depth):
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(asyncio.sleep(0.001))
            if depth:
                group.create_task(some(depth - 1))

    async def main():
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            end = time.monotonic() + 1
            while time.monotonic() < end and not failures:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(some, 3)
                    nursery.start_soon(asyncio.to_thread, int)
        finally:
            stop.set()
            await asyncio.to_thread(thread.join)

    compat.run(main)
    assert failures == []
    assert times > 5


HANGS = {
    "waiting": "    await asyncio.Event().wait()",
    "busy": "    while True: pass",
    "trio": "    await trio.sleep_forever()",
}


@pytest.mark.parametrize("hang", HANGS)
@pytest.mark.parametrize("way", ["compat.run(main)", "asyncio.run(main())"])
def test_on_a_signal(tmp_path, hang, way):
    lines = [
        "import compat, signal, trio",
        "from compat import asyncio",
        "async def main():",
        "    print('ready', flush=True)",
        HANGS[hang],
        "compat.print_tasks_on(signal.SIGUSR1)",
        way,
    ]
    with start("\n".join(lines), tmp_path) as process:
        assert process.stdout.readline() == "ready\n"
        lines = []
        for _ in range(2):  # and the program goes on
            time.sleep(0.2)
            process.send_signal(signal.SIGUSR1)
            lines.append(process.stderr.readline())
            while "tasks that do the work behind" not in lines[-1]:
                lines.append(process.stderr.readline())
        process.kill()
        process.communicate()
    assert sum("program.py:5 in main: " in line for line in lines) == 2, lines
    assert sum(line.startswith("trio run in thread MainThread") for line in lines) == 2
    assert any(", running" in line for line in lines) == (hang == "busy")


def test_on_a_signal_only_from_the_main_thread():
    async def main():
        with pytest.raises(ValueError, match="main thread"):
            await asyncio.to_thread(compat.print_tasks_on, signal.SIGUSR1)

    compat.run(main)


def test_it_changes_nothing():
    """trio's own `cancel_called` would cancel a scope whose deadline has just passed, by being asked."""

    clock = trio.testing.MockClock()

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = 1
            nursery.start_soon(trio.sleep_forever)
            await trio.testing.wait_all_tasks_blocked()
            clock.jump(1)
            assert "nursery, 0.0 seconds left\n" in printed()
            nursery.cancel_scope.deadline = 2
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    compat.run(main, clock=clock)
