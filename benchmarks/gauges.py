"""What is not a time per operation inside a loop: memory, and how long it takes to get there."""

import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from .carriers import CARRIERS, load


class Gauge(NamedTuple):
    title: str
    unit: Literal["ms CPU", "KiB"]
    measure: Callable[[str], float]  # given the name of a carrier: seconds, or bytes
    section: str = "other"


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


def memory(carrier: str, name: str, number: int) -> float:
    """Bytes that Python has allocated for one of what that function of the workloads' makes."""
    module, run = load(carrier)
    function = getattr(module, name)
    run(lambda: function(10))  # what is made once only
    size: int = run(lambda: function(number))
    return size / number


def seconds_of(statements: str) -> float:
    """Processor time that the statements take in an interpreter that has imported nothing."""
    program = f"import time; start = time.process_time()\n{statements}\nprint(time.process_time() - start)"
    return float(subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE).stdout)


def import_time(carrier: str) -> float:
    return seconds_of(CARRIERS[carrier].imports)


def first_step(carrier: str) -> float:
    imports, run, _ = CARRIERS[carrier]
    return seconds_of(f"{imports}\nasync def main(): pass\n{run}")


GAUGES = {
    "memory": Gauge("memory of an idle task", "KiB", lambda carrier: memory(carrier, "idle_tasks", 2000)),
    "connection_memory": Gauge(
        "memory of an idle connection", "KiB", lambda carrier: memory(carrier, "idle_connections", 200)
    ),
    "import_time": Gauge("import", "ms CPU", import_time),
    "first_step": Gauge("import and run an empty program", "ms CPU", first_step),
}
