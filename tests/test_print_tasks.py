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
import unittest.mock
from pathlib import Path

import pytest
import trio
import trio.testing

import compat
from compat import asyncio, native
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
        "│  │  │  └─ TaskGroup",
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


def shown_in(main, *args) -> list[str]:
    """What print_tasks() prints of main's run when everybody else waits, without the lines that name places."""

    async def show(task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(main, *args, name="main")
            await trio.sleep(1)
            lines.extend(printed().splitlines())
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            nursery.cancel_scope.cancel()

    lines: list[str] = []
    compat.run(show, trio.TASK_STATUS_IGNORED, clock=trio.testing.MockClock(autojump_threshold=0))
    return [line for line in lines if ": " in line or line.endswith("TaskGroup") or " task" in line]


def parents(lines: list[str]) -> dict[str, str]:
    """The task, or the like, under which each task is shown."""
    found, above = {}, [(-1, "")]
    for line in lines:
        if match := re.search(
            r"[├└]─ (?:(?:asyncio|trio) task:? '?(?:__main__\.)?([\w-]+)|(TaskGroup|nursery|the loop))", line
        ):
            while above[-1][0] >= match.start():
                above.pop()
            name = match[1] or match[2]
            found[name] = above[-1][1]
            above.append((match.start(), name))
    return found


async def nap() -> None:
    await asyncio.sleep(3600)


async def trio_nap() -> None:
    await trio.sleep(3600)


def named(name: str, coro) -> "asyncio.Task[None]":
    return asyncio.create_task(coro, name=name)


@pytest.mark.parametrize("kind", ["task", "trio task"])
def test_children_stand_below_who_waits_for_them(kind):
    async def in_group():
        async with asyncio.TaskGroup() as group:
            group.create_task(nap(), name="G-1")
            group.create_task(in_gather(), name="G-2")
            await asyncio.sleep(3600)

    async def in_gather():
        both = asyncio.gather(named("A-2", trio_nap()), asyncio.shield(named("A-3", nap())))
        await asyncio.gather(named("A-1", nap()), both)

    async def in_wait_for():
        await asyncio.wait_for(named("W-1", nap()), 5000)

    async def in_wait():
        await asyncio.wait([named("X-1", nap()), named("X-2", trio_nap())])

    for main, expected in {
        in_group: {"TaskGroup": "me", "G-1": "TaskGroup", "G-2": "TaskGroup", "A-1": "G-2", "A-2": "G-2", "A-3": "G-2"},
        in_gather: {"A-1": "me", "A-2": "me", "A-3": "me"},
        in_wait_for: {"W-1": "me"},
        in_wait: {"X-1": "me", "X-2": "me"},
    }.items():

        async def start(main=main):
            if kind == "task":
                named("me", main())
            else:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(main, name="me")

        found = parents(shown_in(start))
        assert {name: found.get(name) for name in expected} == expected


def test_callbacks_of_any_kind():
    """They are looked at, and not all of them are asyncio's."""

    async def main():
        named("M-1", nap()).add_done_callback(unittest.mock.MagicMock())

    assert any("asyncio task 'M-1'" in line for line in shown_in(main))


def test_tasks_that_wait_for_one_another():
    """Each is shown, once."""

    async def main():
        async def wait_for(name):
            await asyncio.wait([tasks[name]])

        tasks = {}
        tasks["D-1"] = named("D-1", wait_for("D-2"))
        tasks["D-2"] = named("D-2", wait_for("D-1"))

    lines = shown_in(main)
    assert [sum(f"asyncio task 'D-{n}'" in line for line in lines) for n in (1, 2)] == [1, 1]


@pytest.mark.parametrize(
    "make", [asyncio.Lock, asyncio.Condition, asyncio.Semaphore, trio.Lock, trio.Semaphore, trio.Condition]
)
def test_who_holds_a_lock_and_who_waits_for_it(make):
    async def main():
        async def hold():
            async with lock:
                await nap()

        async def wait():
            async with lock:
                await lock.wait()

        lock = make(1) if "Semaphore" in make.__name__ else make()
        if "Condition" in make.__name__:
            named("not L-0", wait())  # it has entered, and holds it no longer
        for number in (1, 2, 3):
            named(f"L-{number}", hold())

    lines = shown_in(main)
    told = [line.strip("│ ├└─") for line in lines if "held by" in line or "holds the" in line]
    kind = "Semaphore" if make is asyncio.Semaphore or make is trio.Semaphore else "Lock"
    assert told == [f"holds the {kind} for tasks 'L-2', 'L-3'", "held by task 'L-1'", "held by task 'L-1'"]


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


def test_native():
    async def hold(lock, event):
        async with lock:
            await event.wait()

    async def main():
        lock, event = native.Lock(), native.Event()
        async with native.TaskGroup() as group:
            group.create_task(hold(lock, event), name="holder")
            await trio.testing.wait_all_tasks_blocked()
            task = group.create_task(lock.acquire(), name="wanter")
            native.create_task(native.Queue().get(), name="getter")
            await trio.testing.wait_all_tasks_blocked()
            text = printed()
            event.set()
            await task
        return text

    text = native.run(main())
    assert "holds the Lock for task 'wanter'" in text
    assert "awaits asyncio.Queue.get\n" in text
    assert "task: wanter\n" in text
    assert "held by task 'holder'" in text
    assert "Task.work" not in text


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

    def show(line):
        for _ in range(3000):
            if line in (shown := printed()):  # else it is on the way there
                break
            time.sleep(0.01)
        seen.append(shown)

    async def waiting():
        thread = threading.Thread(target=show, args=["awaits asyncio.to_thread"])
        thread.start()
        await asyncio.to_thread(thread.join)

    async def busy():
        thread = threading.Thread(target=show, args=["busy: thread.join()\n"])
        thread.start()
        thread.join()

    def callback(done):
        thread = threading.Thread(target=show, args=["callback: thread.join()\n"])
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
            while (time.monotonic() < end or times <= 5) and not failures:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(some, 3)
                    nursery.start_soon(asyncio.to_thread, int)
        finally:
            stop.set()
            await asyncio.to_thread(thread.join)

    compat.run(main)
    assert failures == []


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
    lines = ask_twice(start("\n".join(lines), tmp_path), "program.py:5 in main: ")
    assert sum(line.startswith("trio run in thread MainThread") for line in lines) == 1
    assert any(", running" in line for line in lines) == (hang == "busy")


def ask_twice(process, place):
    """What the program prints on the signal, the second time that it is in the place; it goes on in between."""
    with process:
        assert process.stdout.readline() == "ready\n"
        seen = 0
        for _ in range(3000):  # it may be on its way there
            process.send_signal(signal.SIGUSR1)
            lines = [process.stderr.readline()]
            while lines[-1] and "tasks that do the work behind" not in lines[-1]:
                lines.append(process.stderr.readline())
            seen += any(place in line for line in lines)
            if seen == 2:
                break
            time.sleep(0.01)
        process.kill()
        process.communicate()
    assert seen == 2, lines
    return lines


@pytest.mark.parametrize(
    ("options", "way"),
    [
        (["--tasks-on", "USR1"], "compat.run(main)"),
        (["--tasks-on=SIGUSR1"], "asyncio.run(main())"),
        (["--native", "--tasks-on", "USR1"], "asyncio.run(main())"),
    ],
)
def test_on_a_signal_by_an_option(tmp_path, options, way):
    """The program need not be changed, also while it waits in trio's epoll."""
    lines = ["import asyncio, compat, trio", "async def main():", "    print('ready', flush=True)"]
    lines += ["    await trio.sleep(9999)", way]
    (tmp_path / "program.py").write_text("\n".join(lines))
    command = [sys.executable, "-m", "compat", *options, "program.py"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, **pipes)
    ask_twice(process, "program.py:4 in main: await trio.sleep(9999)")


@pytest.mark.parametrize("name", [str(int(signal.SIGUSR1)), "sigusr1"])
def test_other_names_of_a_signal(name):
    code = "import signal; print(callable(signal.getsignal(signal.SIGUSR1)))"
    command = [sys.executable, "-m", "compat", "--tasks-on", name, "-c", code]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize("name", ["USR9", "KILL", "9", "9999", "99999999999999999999", ""])
def test_what_is_no_signal(name):
    command = [sys.executable, "-m", "compat", "--tasks-on", name, "-c", "pass"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    shown = name if name.isdecimal() else repr(name)
    reason = "signal number out of range" if name == "9999" else f"{shown} is no signal that"
    assert done.stderr.startswith(f"--tasks-on: {reason}")
    assert name == "9999" or " USR1, " in done.stderr


def test_a_signals_name():
    before = signal.getsignal(signal.SIGUSR1)
    try:
        compat.print_tasks_on("USR1")
        assert signal.getsignal(signal.SIGUSR1) is not before
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(ValueError, match=r"'NOPE' is no signal that can be handled; these can be: .*\bUSR1, "):
        compat.print_tasks_on("NOPE")


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
