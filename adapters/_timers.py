"""The loop's timers, by a deadline of the trio run.

A trio task that sleeps would need a step of its own before the callback's. Here trio's deadlines know when the first
timer is due (`Polls.set_timer`), and ask for the callbacks between its poll for I/O and the next batch, where
asyncio looks at its timers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from heapq import heapify, heappop
from typing import TYPE_CHECKING

from ._asyncio import Timer
from ._trio.names import protected

if TYPE_CHECKING:
    from ._trio.polls import Polls

CLOCK_RESOLUTION = time.get_clock_info("monotonic").resolution
FEWEST_TIMERS_TO_PRUNE = 100


@protected
class Timers:
    """A heap of TimerHandles. call_at() pushes a timer, and calls tell_polls() if it is the first now."""

    def __init__(self, polls: Polls, append: Callable[[Timer], None]) -> None:
        """append: puts a callback at the end of the ready queue."""
        self.heap: list[Timer] = []
        self._polls = polls
        self._append = append
        self._cancelled = 0  # of those in the heap

    def note_cancelled(self, timer: Timer) -> None:
        """A timer was cancelled. As in asyncio, it stays in the heap: the next poll may take it out, see _prune()."""
        if timer._scheduled:
            self._cancelled += 1
            if self._polls.before_next is None:
                self._polls.before_next = self._prune

    def take_back(self, timer: Timer) -> None:
        """Take out a timer that cannot be compared with the others, wherever the heap has left it."""
        self.heap = [other for other in self.heap if other is not timer]
        heapify(self.heap)

    def clear(self) -> None:
        """Call no timer any more."""
        for timer in self.heap:
            timer._scheduled = False
        self.heap.clear()
        self._cancelled = 0
        self._polls.set_timer(math.inf)

    def queue_due(self, now: float) -> None:
        """Put the callbacks that are due at this time into the ready queue."""
        until, heap = now + CLOCK_RESOLUTION, self.heap
        while heap and not heap[0]._when >= until:
            timer = heappop(heap)
            timer._scheduled = False
            if timer._cancelled:
                self._cancelled -= 1
            self._append(timer)
        self.tell_polls()
        if self._cancelled:
            self._polls.before_next = self._prune

    def _prune(self) -> None:
        """Take cancelled timers off the head of the heap; all of them, if they are many."""
        if len(self.heap) > FEWEST_TIMERS_TO_PRUNE and self._cancelled * 2 > len(self.heap):
            for timer in self.heap:
                timer._scheduled = not timer._cancelled
            self.heap = [timer for timer in self.heap if timer._scheduled]
            heapify(self.heap)
            self._cancelled = 0
        while self.heap and self.heap[0]._cancelled:
            heappop(self.heap)._scheduled = False
            self._cancelled -= 1
        self.tell_polls()

    def tell_polls(self) -> None:
        """Tell when the first timer is due."""
        if not self.heap:
            self._polls.set_timer(math.inf)
            return
        # asyncio takes NaN for due. trio's clocks calculate with floats, and not with a Decimal.
        when = self.heap[0]._when
        self._polls.set_timer(-math.inf if math.isnan(when) else float(when))
