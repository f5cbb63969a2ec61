"""Random programs that mix asyncio and trio, judged in each path: see mixed.py.

MIXED_PROGRAMS says how many. What is wrong with one is printed with its seed; `python tests/mixed.py SEED` runs it again,
and with --shrink makes it smaller. The small programs of faults that were mended stand here, under MENDED.
"""

import asyncio as std
import gc
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import trio

import mixed
from compat import asyncio
from compat.adapters import taskgroups
from compat.adapters._trio import nurseries
from compat.adapters._trio.cancellation import Told
from compat.adapters._trio.stand_ins import FutureWait, TrioStandIn
from mixed import EAGER, OPERATIONS, PATHS, Program, draw_program, judge, run

PROGRAMS = int(os.environ.get("MIXED_PROGRAMS", "100"))
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


MENDED = {
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
                        ("group", ((("finally", (("event",),), (("cancel_scope", 0),)),),), (("hops", 1), ("raise", "OSError"))),
                        ("event",),
                    ),
                ),
            ),
        ),
    ),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", MENDED)
@pytest.mark.parametrize("eager", [False, *([True] if EAGER else [])])
def test_mended(path: str, name: str, eager: bool) -> None:
    tasks: Any = MENDED[name]
    if "spawn_eager" in str(tasks) and not EAGER:
        pytest.skip("asyncio has eager tasks from 3.12 on")
    fault = judge(Program(tasks, eager=eager), ("own", path))
    assert not fault, fault
