"""Every test of the suite ends with nothing left, and with nothing reported to nobody: see `leaves_nothing`.

What a test may leave all the same it says, with the reason: @pytest.mark.leaves("thread", reason="...").
"""

import asyncio
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SETTLING = 60.0  # seconds for what ends by itself, in a thread or a process


def tasks() -> dict[object, str]:
    """The asyncio Tasks that are pending, of whatever loop."""
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), asyncio.Task)]
    return {id(task): repr(task) for task in found if not task.done()}


def threads() -> dict[object, str]:
    """The threads that run, but for those that trio keeps for a while for the next piece of work."""
    frames = sys._current_frames()
    running = [thread for thread in threading.enumerate() if thread.ident in frames]
    return {thread: repr(thread) for thread in running if frames[thread.ident].f_code.co_name != "_work"}


def children() -> dict[object, str]:
    """The processes that are children of this one, with those that have ended and are not waited for."""
    found: dict[object, str] = {}
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            for pid in (thread / "children").read_text().split():
                found[pid] = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") or "a zombie"
    return found


def files() -> dict[object, str]:
    """The descriptors that are open."""
    found: dict[object, str] = {}
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one for the folder itself
            target = os.readlink(f"/proc/self/fd/{number}")
            found[number, target] = target
    return found


KINDS = {"task": tasks, "thread": threads}
if sys.platform == "linux":
    KINDS |= {"child": children, "file": files}


class Reports(logging.Handler):
    """Collects what asyncio logs as an error: what no exception handler gets but the loop's default one."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


@contextmanager
def collected_reports() -> Iterator[list[str]]:
    reports, logger = Reports(), logging.getLogger("asyncio")
    logger.addHandler(reports)
    try:
        yield reports.texts
    finally:
        logger.removeHandler(reports)


@pytest.fixture(autouse=True)
def leaves_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail if the test leaves a task, thread, child or file that was not there before, or if asyncio logs an error.

    What has not been awaited or closed warns when it is collected, which is here, and a warning is an error.
    """
    marks = list(request.node.iter_markers("leaves"))
    may_leave = {kind for mark in marks for kind in mark.args}
    assert may_leave <= {"report", *KINDS}
    assert all(mark.kwargs.keys() == {"reason"} for mark in marks)
    before = {kind: there() for kind, there in KINDS.items()}

    def left() -> list[str]:
        gc.collect()
        now = {kind: there() for kind, there in KINDS.items() if kind not in may_leave}
        return [f"{kind}: {each[key]}" for kind, each in now.items() for key in each.keys() - before[kind].keys()]

    with collected_reports() as reports:
        yield
        if request.node.stash.get(FAILED, True):
            return  # its traceback holds what it held
        until = time.monotonic() + SETTLING
        while (found := left()) and time.monotonic() < until:
            time.sleep(0.01)
    if "report" not in may_leave:
        found += [f"report: {text}" for text in reports]
    if found:
        pytest.fail("the test has left\n" + "\n".join(found), pytrace=False)


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Note whether the test fails, or is skipped."""
    item.stash[FAILED] = True
    yield
    item.stash[FAILED] = False
