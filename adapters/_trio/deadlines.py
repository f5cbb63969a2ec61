"""A deadline of a run, without the cancel scope and the task that trio has around one."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from .names import Runner, protected


@protected
class Alarm:
    """A deadline of a run that rings a function.

    It rings between the poll for I/O and the batch of tasks, which is when asyncio looks at its timers. It can be set
    while the run stands still, and MockClock jumps to it.
    """

    __slots__ = ("_registered_deadline", "_ring", "_runner")

    def __init__(self, runner: Runner, ring: Callable[[], object]) -> None:
        self._runner = runner
        self._ring = ring
        self._registered_deadline = inf  # the name by which trio's Deadlines know that an entry still holds

    def set(self, when: float) -> None:
        """Ring at this time of the run's clock, in seconds, and at no other; math.inf for never."""
        if when == self._registered_deadline:
            return
        deadlines = self._runner.deadlines
        if self._registered_deadline != inf:
            deadlines.remove(self._registered_deadline, self)  # type: ignore[arg-type]
        self._registered_deadline = when
        if when != inf:
            deadlines.add(when, self)  # type: ignore[arg-type]
        if self._runner.is_guest:
            self._runner.force_guest_tick_asap()

    def cancel(self, reason: object = None) -> None:
        """Called by trio when the time has come: to it, this is a cancel scope."""
        self.set(inf)
        self._ring()

    _cancel = cancel  # what newer trio calls
