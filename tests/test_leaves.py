"""The check that every test has: it finds what a test leaves, and lets pass what the test says that it may leave."""

import os
import re
import subprocess
import sys

import pytest

from worlds import PATIENCE, ROOT

SUITE = """
import asyncio, gc, logging, os, socket, subprocess, sys, threading, time
import pytest
import leaves

leaves.SETTLING = 0.2
kept = []


def leave_task():
    loop = asyncio.new_event_loop()
    kept.append((loop, loop.create_task(asyncio.sleep(1))))
    loop.close()

def leave_thread():
    release = threading.Event()
    threading.Thread(target=release.wait, daemon=True).start()
    kept.append(release)

def leave_child():
    kept.append(subprocess.Popen(["sleep", "1000"]))

def leave_file():
    kept.append(socket.socket())

def leave_report():
    asyncio.run(fail())

async def fail():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)

@pytest.mark.parametrize("leave", [leave_task, leave_thread, leave_child, leave_file, leave_report])
def test_found(leave):
    leave()

@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.leaves(kind, reason="is tested"))
                                  for kind in ("task", "thread", "child", "file", "report")])
def test_allowed(kind):
    globals()[f"leave_{kind}"]()

@pytest.mark.leaves("file", reason="is tested")
def test_allowed_something_else():
    leave_thread()

def drop(*things):
    # For the garbage collector.
    cycle = [*things]
    cycle.append(cycle)

def test_dropped_task():
    loop = asyncio.new_event_loop()
    task = loop.create_task(asyncio.sleep(1))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    drop(task)

def test_dropped_coroutine():
    drop(asyncio.sleep(1))

def test_dropped_file():
    drop(socket.socket())

@pytest.mark.leaves("nonsense", reason="is tested")
def test_wrong_kind():
    pass

@pytest.mark.leaves("file")
def test_no_reason():
    pass

def test_fails_and_leaves_a_file():
    leave_file()
    assert False

def test_settles():
    leaves.SETTLING = 60.0  # from here on nothing is left
    threading.Thread(target=time.sleep, args=[0.05]).start()
    kept.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.05)"]))
    threading.Thread(target=kept[-1].wait).start()

def test_idle_thread_of_trio():
    import trio

    trio.run(trio.to_thread.run_sync, int)

def test_end():
    for each in kept:
        if isinstance(each, subprocess.Popen):
            each.kill()
            each.wait()
        elif isinstance(each, socket.socket):
            each.close()
        elif isinstance(each, threading.Event):
            each.set()
"""


@pytest.mark.slow
def test_what_is_left_is_found(tmp_path):
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\nmarkers = leaves: see leaves.py\naddopts = -p leaves -p no:asyncio\n"
    )
    command = [sys.executable, "-m", "pytest", "-rA", "-s", "-p", "no:cacheprovider"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=PATIENCE)
    summary = done.stdout.partition("short test summary info")[2]
    ends = {kind: re.findall(rf"^{kind} test_suite.py::test_(\S+)", summary, re.M) for kind in ("ERROR", "FAILED")}
    assert ends == {
        "ERROR": [
            *(f"found[leave_{kind}]" for kind in ("task", "thread", "child", "file", "report")),
            "allowed_something_else",
            "dropped_task",
            "dropped_coroutine",
            "dropped_file",
            "wrong_kind",
            "no_reason",
        ],
        "FAILED": ["fails_and_leaves_a_file"],
    }, done.stdout
    for shown in (
        "task: <Task pending",
        "thread: <Thread(Thread-",
        "child: sleep 1000",
        "file: socket:",
        "report: Exception in callback fail.",
        "report: Task was destroyed but it is pending!",
        "coroutine 'sleep' was never awaited",
        "ResourceWarning: unclosed <socket.socket",
    ):
        assert shown in done.stdout, shown
