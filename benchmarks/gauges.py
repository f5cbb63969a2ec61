"""What is not a time per operation inside a loop: memory, and how long it takes to get there."""

import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from .carriers import CARRIERS, load

IDLE_TASKS = 2000


class Gauge(NamedTuple):
    title: str
    unit: Literal["ms CPU", "KiB"]
    measure: Callable[[str], float]  # given the name of a carrier: seconds, or bytes


@contextmanager
def traced_memory() -> Iterator[Callable[[], int]]:
    """Gives a function that returns the bytes allocated since the block was entered."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def memory(carrier: str) -> float:
    """Bytes that Python has allocated for a task that waits."""
    module, run = load(carrier)
    run(lambda: module.idle_tasks(10))  # what is made once only
    size: int = run(lambda: module.idle_tasks(IDLE_TASKS))
    return size / IDLE_TASKS


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
    "memory": Gauge("memory of an idle task", "KiB", memory),
    "import_time": Gauge("import", "ms CPU", import_time),
    "first_step": Gauge("import and run an empty program", "ms CPU", first_step),
}
