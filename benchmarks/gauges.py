"""What is not a time per operation inside a loop: memory, and how long it takes to get there."""

import gc
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from .modes import FOR_BOTH, IN_TASKS, load


class Gauge(NamedTuple):
    title: str
    unit: Literal["ms CPU", "KiB"]
    section: str  # a key of report.SECTIONS
    measure: Callable[[str], float]  # given the name of a mode: seconds, or bytes
    modes: Collection[str]


@contextmanager
def traced_memory() -> Iterator[Callable[[], int]]:
    """Gives a function that returns the bytes allocated since the block was entered, and still in use."""

    def used() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        yield used
    finally:
        tracemalloc.stop()


def memory(mode: str, name: str, number: int, after_trio: bool = False) -> float:
    """Bytes that Python has allocated for one of what that function of the workloads' makes."""
    function_of, run = load(mode)
    function = function_of(name)
    options = {}
    if after_trio:
        from trio.lowlevel import checkpoint  # only here: see modes

        options["first"] = checkpoint
    run(lambda: function(10, **options))  # what is made once only
    size: int = run(lambda: function(number, **options))
    return size / number


START = {
    "own": ["-m", "compat", "-c", "pass"],
    "hosted": ["-c", "from compat import asyncio, run"],
    "trio-asyncio": ["-c", "import trio_asyncio"],
    "trio": ["-c", "import trio, asyncio"],
}


def start(mode: str) -> float:
    """Processor time of an interpreter from its start to its end, with what a program of that mode imports."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *START[mode]], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def import_compat(mode: str) -> float:
    program = "import time; start = time.process_time(); import compat; print(time.process_time() - start)"
    return float(subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE).stdout)


GAUGES = {
    "start": Gauge("start of a program", "ms CPU", "start", start, START),
    "import_compat": Gauge("import compat", "ms CPU", "absolute", import_compat, ["own"]),
    "memory": Gauge("idle task", "KiB", "absolute", lambda mode: memory(mode, "idle_tasks", 2000), FOR_BOTH),
    "memory_after_trio": Gauge(
        "idle task that has called trio",
        "KiB",
        "absolute",
        lambda mode: memory(mode, "idle_tasks", 2000, True),
        IN_TASKS,
    ),
    "connection_memory": Gauge(
        "idle connection", "KiB", "absolute", lambda mode: memory(mode, "idle_connections", 200), FOR_BOTH
    ),
}
