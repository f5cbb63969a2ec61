"""The trace test: a random asyncio program takes the same steps on trio as on asyncio.

Each program runs on real asyncio, and twice on our loop: by our API, and by that of the real asyncio module, which code
may hold that was imported before. TRACE_PROGRAMS says how many programs there are of each family, and TRACE_PATHS which
of the paths they take through the core; those that are not named there are taken by a tenth of the programs.

Where asyncio takes an order from a set, ours need not be the one that it happened to take, but one that it can take. So
a program whose traces differ runs on asyncio again, with other orders. If none gives our trace, but they differ from
each other, too, the program says nothing and is discarded. There must be few of these.
"""

import asyncio
import gc
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from trio.testing import MockClock

from compat import asyncio as ours
from compat.adapters.events import Loop
from faulty import Lossy
from paths import PATHS, taken
from traces import AsyncioLoop, Program, ShuffledAsyncioLoop, draw_program, names, programs, run

PROGRAMS = int(os.environ.get("TRACE_PROGRAMS", "100"))
TAKEN = os.environ.get("TRACE_PATHS", "own").split()
ORDERS = 100

# A task may be cancelled before its first step, and then a coroutine made for it is not awaited: on asyncio as on trio.
# Where the garbage collector meets it in a namedtuple's __new__ (of asyncio's selector), which has no builtins, Python
# cannot even import what it needs to warn: KeyError('__import__'), which is ignored, and reported as a coroutine's.
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored .*<coroutine object:pytest.PytestUnraisableExceptionWarning"),
]

FAMILIES = [
    pytest.param({"sync": False, "eager": False}, id="tasks"),
    pytest.param({"sync": True, "eager": False}, id="queues and locks"),
    pytest.param(
        {"sync": False, "eager": True},
        id="eager tasks",
        marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has eager tasks from 3.12 on"),
    ),
]


@pytest.fixture(autouse=True)
def collect() -> Iterator[None]:
    """What is left of the programs warns now, where that is ignored, and not in another test."""
    yield
    gc.collect()


def virtual_loop() -> Loop:
    return Loop(clock=MockClock(autojump_threshold=0))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Let a program fail that goes round in circles."""

    def give_up(*args: object) -> None:
        pytest.fail(f"the program has not ended after {seconds} seconds")

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def without_old_errors(log: list[str]) -> list[str]:
    """What is to be the same where a plain trio task stands for a Task.

    Who awaits a Task that was cancelled gets, once, the very exception that has ended it, with its cause and context.
    The interpreter has no way to put that into another Future: there the exception is a new one each time.
    """
    return [re.sub(r" (after|from) \w+(\([^()]*\)|\[.*\])|(?<=CancelledError)\([^()]*\)", "", step) for step in log]


def compare(
    program: Program,
    api: Any,
    make_loop: Callable[[], Any],
    expected: list[str],
    look: Callable[[list[str]], list[str]] = list,
) -> str:
    """Run the program and compare its trace with asyncio's; AssertionError where asyncio cannot have it."""
    expected = look(expected)
    with time_limit(10):
        actual = look(run(program, api, make_loop()))
    if actual == expected:
        return "same"
    differ = False
    for seed in range(ORDERS):
        other = look(run(program, asyncio, ShuffledAsyncioLoop(seed)))
        if actual == other:
            return "same in another order"
        differ = differ or other != expected
    if differ:
        return "discarded"
    step = next((i for i, pair in enumerate(zip(actual, expected, strict=False)) if pair[0] != pair[1]), len(actual))
    raise AssertionError(
        "\n  ".join([f"by the API of {api.__name__}, after the steps", *expected[:step]])
        + "\n  ".join(["\nasyncio goes on", *expected[step:]])
        + "\n  ".join(["\nwe go on", *actual[step:]])
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("family", FAMILIES)
def test_same_steps_as_on_asyncio(
    family: dict[str, bool],
    path: str,
    request: pytest.FixtureRequest,
    figures: Callable[[str, str, Mapping[str, int]], None],
) -> None:
    counts: Counter[str] = Counter()
    look = without_old_errors if path == "adopted" else list

    @settings(
        max_examples=PROGRAMS if path in TAKEN else PROGRAMS // 10,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(programs(**family))
    def check(program: Program) -> None:
        expected = run(program, asyncio, AsyncioLoop())
        counts["programs"] += 1
        counts["steps"] += len(expected)
        for api in (ours, asyncio):
            counts[compare(program, api, virtual_loop, expected, look)] += 1

    with taken(path):
        check()
    figures("Traces", request.node.callspec.id, counts)
    assert counts["discarded"] <= counts["programs"] // 100


# --- does the test find what it is there to find? ---------------------------------------------------------------------


@pytest.mark.slow
def test_cancellation_arrives_in_every_wait() -> None:
    """Long before a program is stuck, and everything in it is cancelled."""
    waits = (names("wait") | names("block")) - {"reset_barrier", "abort_barrier"}  # which hardly ever wait
    random = Random(0)
    cancelled = set()
    for _ in range(2000):
        for step in run(draw_program(random, sync=True, eager=False), asyncio, AsyncioLoop()):
            _, who, _, what, *rest = [*step.split(), "", "", "", ""]
            if what == "stuck:":
                break
            if who != "-" and "raises CancelledError" in " ".join(rest):
                cancelled.add(what)
    assert waits <= cancelled


class LateLoop(AsyncioLoop):
    """Its tasks take their first step one iteration late."""

    def create_task(self, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        async def late() -> Any:
            await asyncio.sleep(0)
            return await coro

        return super().create_task(late(), **kwargs)


class LateEvent(asyncio.Event):
    async def wait(self) -> Any:
        await super().wait()
        await asyncio.sleep(0)


class LossyQueue(Lossy, asyncio.Queue[Any]):
    pass


class HastyCondition(asyncio.Condition):
    def notify_all(self) -> None:
        self.notify(1)


class ForgetfulTimeout(asyncio.Timeout):
    """It does not take back its request to cancel."""

    async def __aexit__(self, *exc: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        try:
            return await super().__aexit__(*exc)
        finally:
            if task.cancelling() < before:
                task.cancel()


FAULTS: dict[str, Any] = {
    "Event": LateEvent,
    "Queue": LossyQueue,
    "Condition": HastyCondition,
    "timeout": lambda delay: ForgetfulTimeout(None if delay is None else asyncio.get_running_loop().time() + delay),
    "shield": asyncio.ensure_future,
    "gather": lambda *args, **kwargs: asyncio.shield(asyncio.gather(*args, **kwargs)),
}


@pytest.mark.parametrize("fault", [*FAULTS, "LateLoop"])
def test_a_fault_is_found(fault: str) -> None:
    api = SimpleNamespace(**{**vars(asyncio), **{name: FAULTS[name] for name in FAULTS if name == fault}})
    random = Random(0)
    with pytest.raises(AssertionError, match="goes on"):
        for _ in range(2000):
            program = draw_program(random, sync=True, eager=False)
            compare(
                program, api, LateLoop if fault == "LateLoop" else AsyncioLoop, run(program, asyncio, AsyncioLoop())
            )
