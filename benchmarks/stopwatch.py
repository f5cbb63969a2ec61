"""What is timed of a workload: all of it, or what it puts in a block of its own."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

clock = time.process_time  # or the one that the workload's unit asks for
laps: list[float] = []  # the seconds of each block that has ended: the first is the innermost


@contextmanager
def timed() -> Iterator[None]:
    """Time the block. A workload that has to open connections first has one around the rest."""
    gc.collect()
    start = clock()
    yield
    laps.append(clock() - start)
