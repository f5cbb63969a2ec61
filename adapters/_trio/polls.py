"""What comes between two batches of a run in which a loop is open: a poll for I/O, and a look at the time.

trio polls its own files. Those that the loop watches are in an epoll of the loop's; the two are polled together, since
one is a file in the other. The loop's timers are one deadline of trio's.
"""

from __future__ import annotations

import select
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Any, Protocol

from .deadlines import Alarm
from .names import Runner, protected

LONGEST_SLEEP = 86400.0  # seconds; the system's own limit is not much higher
MANY_DEADLINES = 1000  # of which some may be stale: trio clears them out then


class Files(Protocol):
    """The files that a loop watches."""

    epoll: Any

    def poll(self, timeout: float) -> bool:
        """Queue what is ready, after so many seconds at most. Tell whether trio's epoll has something."""


@protected
class Polls:
    """The polls of a run. They are made here, or by trio's loop."""

    def __init__(self, runner: Runner, run_due_timers: Callable[[], object]) -> None:
        self._runner = runner
        self._run_due_timers = run_due_timers
        self._timer = inf  # when the first of the loop's timers is due
        self._alarm = Alarm(runner, run_due_timers)  # where trio's loop sees it
        self._trio_makes_them = True  # trio's loop makes the polls; else this does
        self.before_next: Callable[[], object] | None = None  # called once, before the next poll
        self.watches_files = False  # or has
        self._files: weakref.ref[Files] | None = None
        self._goes_through_files = False  # else through trio's epoll
        self._has_polled_files = True  # since trio's loop has polled last

    def take_over(self) -> None:
        """From here on this makes the polls. trio's loop has made the one before this batch."""
        self._trio_makes_them = False
        self.poll_files()

    def give_back(self, *, may_wait: bool) -> None:
        """From here on trio's loop makes the polls. It may be about to wait."""
        if may_wait and self._goes_through_files:
            self._nest_epolls(ours_outside=False)
        self._has_polled_files, self._trio_makes_them = False, True
        self._alarm.set(self._timer)

    def close(self) -> None:
        """The loop ends."""
        self._alarm.set(inf)
        self.before_next = None
        del self._alarm, self._run_due_timers  # nothing waits for the garbage collector

    # Time.

    def set_timer(self, when: float) -> None:
        """Have the loop's timers run at this time of the run's clock, in seconds; math.inf for never."""
        self._timer = when
        if self._trio_makes_them:
            self._alarm.set(when)

    def seconds_to_wait(self) -> float:
        """How long the next poll may wait, if there is nothing to run."""
        deadline, deadlines = self._timer, self._runner.deadlines
        if deadlines._heap:
            deadline = min(deadline, deadlines.next_deadline())
        if deadline == inf:
            return LONGEST_SLEEP
        seconds = self._runner.clock.deadline_to_sleep_time(deadline)
        return min(max(0, seconds), LONGEST_SLEEP)

    def expire_deadlines(self) -> None:
        """Cancel the scopes whose time has come, and run the timers that are due, in order of time."""
        deadlines, timer = self._runner.deadlines, self._timer
        heap = deadlines._heap
        if timer == inf and not heap:
            return
        now = self._runner.clock.current_time()
        is_due = bool(heap) and heap[0][0] <= now
        if timer <= now and not is_due:
            self._run_due_timers()
        elif is_due or len(heap) > MANY_DEADLINES:
            self._alarm.set(timer)
            deadlines.expire(now)

    # Files.

    def watch(self, files: Files) -> None:
        """Poll these with each poll for I/O, while that object lives."""
        files.epoll.register(self._runner.io_manager._epoll.fileno(), select.EPOLLIN)  # type: ignore[attr-defined,unused-ignore]
        self._files = weakref.ref(files)
        self.watches_files = self._goes_through_files = True

    def poll(self, timeout: float) -> Any:
        """Wait for I/O, for so many seconds at most. Return trio's events; what is ready for the loop is queued."""
        files = None if self._files is None else self._files()
        try:
            if files is not None:
                if not self._goes_through_files:
                    self._nest_epolls(ours_outside=True)
                if not files.poll(timeout):
                    return []
                timeout = 0
            return self._runner.io_manager.get_events(timeout)
        except BaseException:  # out of a signal handler
            self._report_again()
            raise

    def _report_again(self) -> None:
        """Have trio's epoll report again what it has reported in a poll that has failed.

        It reports what is ready once. The signal itself is among it, since it wakes the run: without this, nothing that
        another thread or a signal handler sends would arrive any more.
        """
        io_manager: Any = self._runner.io_manager
        if sys.platform != "linux":
            return
        for fd, waiters in io_manager._registered.items():
            with suppress(OSError):
                io_manager._epoll.modify(fd, waiters.current_flags | select.EPOLLONESHOT)

    def poll_files(self) -> None:
        """After a poll of trio's own, before its batch: queue what is ready for the loop."""
        if self._files is None or self._goes_through_files or self._has_polled_files:
            return
        files = self._files()
        if files is not None:
            self._has_polled_files = True
            files.poll(0)

    def _nest_epolls(self, *, ours_outside: bool) -> None:
        """Have one of the two epolls tell whether the other has something.

        Where trio's loop polls, trio's epoll has to be the outer one. Each poll that finds something then takes one
        more call of the system, and some work of trio's: a fifth of an echo. Else ours is the outer one.
        """
        files = None if self._files is None else self._files()
        self._goes_through_files = ours_outside
        if files is not None and not files.epoll.closed:
            epolls = files.epoll, self._runner.io_manager._epoll  # type: ignore[attr-defined,unused-ignore]
            outer, inner = epolls if ours_outside else reversed(epolls)
            inner.unregister(outer.fileno())
            outer.register(inner.fileno(), select.EPOLLIN)
