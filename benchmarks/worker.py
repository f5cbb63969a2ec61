"""A process that measures one workload in one mode.

`python -m benchmarks.worker measure MODE NAME SECONDS` answers the first line of its input when it is ready to measure,
and each further one with a value. `python -m benchmarks.worker check MODE NAMES...` measures nothing: it writes what
each of these workloads returns for n = 3, as JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from . import stopwatch
from .gauges import GAUGES
from .modes import load


def measurement(mode: str, name: str, seconds: float) -> Callable[[], float]:
    """A function that returns the seconds that one operation has taken, or what a gauge says.

    It runs the workload as often as it takes to fill `seconds`, found out by trying. That warms it up, too.
    """
    if name in GAUGES:
        return partial(GAUGES[name].measure, mode)
    function_of, run = load(mode)
    function = function_of(name)
    from .workloads import WORKLOADS  # only now: they keep the asyncio that they find

    workload = WORKLOADS[name]
    if workload.unit == "µs wall":
        stopwatch.clock = time.perf_counter

    def elapsed(n: int) -> float:
        async def main() -> None:
            with stopwatch.timed():
                await function(n)

        stopwatch.laps.clear()
        run(main)
        return stopwatch.laps[0]

    n = 1
    while elapsed(n) < seconds:
        n *= 2
    return lambda: elapsed(n) / (n * workload.operations)


def check(mode: str, names: list[str]) -> dict[str, Any]:
    """What the workloads return, by name."""
    function_of, run = load(mode)
    return {name: run(partial(function_of(name), 3)) for name in names}


def settle_malloc() -> None:
    """Make glibc's malloc keep large blocks, as it does in a program that has freed one of more than that size.

    In one that has not, each recv() of asyncio's maps and unmaps 256 KiB, and an echo takes twice as long. Which of the
    two a worker was would depend on what it has imported. MALLOC_MMAP_THRESHOLD_=131072 in the environment keeps it so.
    """
    bytes(2**24)


def main() -> None:
    settle_malloc()
    match sys.argv[1:]:
        case ["check", mode, *names]:
            print(json.dumps(check(mode, names)))
        case ["measure", mode, name, seconds]:
            measure = measurement(mode, name, float(seconds))
            for number, _ in enumerate(sys.stdin):
                print(measure() if number else "ready", flush=True)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
