"""Random programs that mix asyncio and trio, judged in each path: see mixed.py.

MIXED_PROGRAMS says how many. What is wrong with one is printed with its seed; `python tests/mixed.py SEED` runs it
again, and with --shrink makes it smaller. The small programs of faults that were mended stand here, under MENDED.
"""

import gc
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import mixed
from compat import asyncio
from compat.adapters._trio.cancellation import Told
from faulty import Lossy
from mixed import EAGER, PATHS, Program, draw_program, judge

PROGRAMS = int(os.environ.get("MIXED_PROGRAMS", "60"))
PARTS = 4  # for the workers of pytest-xdist

# A task may be cancelled before its first step, and a coroutine that was made for a wait need not get there.
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored .*<coroutine object:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def collect() -> Iterator[None]:
    """What is left of the programs warns now, where that is ignored, and not in another test."""
    yield
    gc.collect()


@pytest.mark.parametrize("part", range(PARTS))
def test_same_steps_in_each_path(part: int, figures: Callable[[str, str, Mapping[str, int]], None]) -> None:
    counts: Counter[str] = Counter()
    for seed in range(part, PROGRAMS, PARTS):
        program = draw_program(seed)
        fault = judge(program)
        assert not fault, f"python tests/mixed.py {seed}\n{program}\n{fault}"
        counts["programs"] += 1
        counts["runs"] += len(PATHS)
    figures("Mixed programs", f"part {part}", counts)


BODY_THAT_FAILS = (("hops", 1), ("raise", "OSError"))
MENDED = {
    "a group in a scope that was cancelled before it fails, and the next wait is told": (
        (
            "eager",
            (
                ("nursery", (), (("set_trio_event", 2),)),
                ("nursery", ((("send",),),), (("sleep", 3),)),
                (
                    "nursery",
                    (
                        (("cancel_scope", 2),),
                        (("group", ((("cancel_scope", 2),),), (("raise", "TimeoutError"),)), ("put",)),
                    ),
                    (("put_nowait",),),
                ),
            ),
        ),
    ),
    "group in a scope, by an eager Task of a trio task": (
        ("plain", (("spawn_eager", (("group", ((("receive_nowait",),),), (("look",),)),)),)),
    ),
    "group in a group in a scope": (
        (
            "plain",
            (
                (
                    "group",
                    (
                        (("group", ((("task", 4),),), (("set_result", 6),)),),
                        (("cancel_scope", 2), ("spawn", (("get",),))),
                    ),
                    (("set_result", 3),),
                ),
            ),
        ),
    ),
    "a Task made in a group whose scope is cancelled": (
        ("plain", (("group", (), (("cancel_scope", 0), ("spawn_in_group", 0, (("event",),)), ("event",))),)),
    ),
    "a bare yield is interrupted, and a block is entered in the same step": (
        (
            "task",
            (
                (
                    "spawn",
                    (
                        ("scope", False, (("hops", 2),)),
                        ("nursery", ((("cancel_scope", 8),),), (("cancel_scope", 5), ("get",))),
                    ),
                ),
                ("hops", 1),
                ("cancel_scope", 2),
            ),
        ),
    ),
    "a scope is cancelled while a group in it fails": (
        (
            "task",
            (
                (
                    "scope",
                    False,
                    (
                        (
                            "group",
                            ((("finally", (("event",),), (("cancel_scope", 0),)),),),
                            (("hops", 1), ("raise", "OSError")),
                        ),
                        ("event",),
                    ),
                ),
            ),
        ),
    ),
    "a scope is cancelled while a group in it is cancelled": (
        (
            "task",
            (
                (
                    "scope",
                    False,
                    (
                        (
                            "catch",
                            "cancel",
                            (("group", ((("finally", (("event",),), (("cancel_scope", 0),)),),), (("event",),)),),
                            (("event",),),
                            True,
                        ),
                    ),
                ),
            ),
        ),
        ("task", (("hops", 2), ("cancel", 0, "a"))),
    ),
    "gather() that returns exceptions has one already": (
        ("plain", (("gather", (("trio_event", 8), ("wait_for", ("future", 0), 0)), True), ("get",))),
        ("task", (("sleep", 1), ("cancel_scope", 0))),
    ),
    "gather() in a Task that returns exceptions has one already": (
        (
            "task",
            (("scope", False, (("gather", (("trio_event", 8), ("wait_for", ("future", 0), 0)), True), ("get",))),),
        ),
        ("task", (("sleep", 1), ("cancel_scope", 0))),
    ),
    "a scope is cancelled around two tasks that were told of one inside": (
        (
            "plain",
            (
                (
                    "nursery",
                    (
                        (
                            ("cancel_scope", 5),
                            ("generator", ((("wait_condition",),),), (("send",),), (("future", 8),), 1),
                        ),
                    ),
                    (
                        (
                            "generator",
                            ((("trio_event", 2),),),
                            (("trio_event", 5),),
                            (("with", "semaphore", (("uncancel", 0),)),),
                            8,
                        ),
                    ),
                ),
            ),
        ),
        ("task", (("with", "semaphore", (("receive",),)),)),
    ),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", [name for name, tasks in MENDED.items() if EAGER or "eager" not in str(tasks)])
@pytest.mark.parametrize("eager", [False, *([True] if EAGER else [])])
def test_mended(path: str, name: str, eager: bool) -> None:
    tasks: Any = MENDED[name]
    fault = judge(Program(tasks, eager=eager), ("own", path))
    assert not fault, fault


# --- does the test find what it is there to find? ---------------------------------------------------------------------


class LossyQueue(Lossy, asyncio.Queue[Any]):
    pass


class StickyLock(asyncio.Lock):
    """A cancellation leaves it locked."""

    async def __aexit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        if not isinstance(exc, asyncio.CancelledError):
            self.release()


class ForgetfulGroup(asyncio.TaskGroup):
    """Its errors are lost."""

    async def __aexit__(self, *exc: Any) -> Any:
        try:
            return await super().__aexit__(*exc)
        except BaseExceptionGroup:
            return True


class HastyGroup(asyncio.TaskGroup):
    """It does not wait for its Tasks."""

    async def __aexit__(self, *exc: Any) -> Any:
        self._tasks.clear()
        return await super().__aexit__(*exc)


def late(main: mixed.Main) -> None:
    """A path in which a Task begins one iteration later."""

    async def start() -> None:
        loop: Any = asyncio.get_running_loop()
        create_task = loop.create_task

        def create_late(coro: Any, **kwargs: Any) -> Any:
            async def begin() -> Any:
                await asyncio.sleep(0)
                return await coro

            return create_task(begin(), **kwargs)

        loop.create_task = create_late
        try:
            await main()
        finally:
            del loop.create_task

    mixed.own(start)


FAULTS = {
    "lost": (asyncio, "Queue", LossyQueue),
    "is not free": (asyncio, "Lock", StickyLock),
    "error of .* is lost": (asyncio, "TaskGroup", ForgetfulGroup),
    "has left a group": (asyncio, "TaskGroup", HastyGroup),
    "in a cancelled scope": (Told, "is_due", lambda told, task: False),
    "goes on": (mixed, "PATHS", {"own": mixed.own, "late": late}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*FAULTS[fault])
    found = (judge(draw_program(seed), tuple(mixed.PATHS)[:2]) for seed in range(500))
    assert any(re.search(fault, text) for text in found)
