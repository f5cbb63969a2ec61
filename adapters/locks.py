"""asyncio's locks. Who waits, waits for a Future, that is in trio's wait_task_rescheduled.

trio's own Lock, Semaphore and Event would not do. trio.Lock knows its owner and hands itself over to the next waiter;
asyncio's is open between release() and the step of the waiter that was woken. trio.Event wakes in no order and cannot
be cleared. And all of trio's yield to the scheduler when nobody is in the way, where asyncio's return at once. As the
waiting line trio's ParkingLot would do, and takes 1.6 times as long as Futures: see README.md.
"""

from __future__ import annotations

import enum
import math
import sys
import threading
from asyncio import BrokenBarrierError, CancelledError
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from types import TracebackType
from typing import Any, Literal, TypeVar

import trio

from ._asyncio import get_running_loop as _get_running_loop
from .events import get_running_loop

__all__ = ("Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "Semaphore")

T = TypeVar("T")

_binding = threading.Lock()


class LoopBound:
    """What belongs to the loop in which somebody first had to wait for it; it can be made anywhere."""

    _loop: Any = None

    def _get_loop(self) -> Any:
        loop = _get_running_loop() or get_running_loop()  # ours says what to do where there is none
        if loop is self._loop:
            return loop
        if self._loop is None:
            with _binding:
                if self._loop is None:
                    self._loop = loop
        if loop is not self._loop:
            raise RuntimeError(f"{self!r} is bound to a different event loop")
        return loop


class Line(deque[Any]):
    """A Future for each task that waits, first in, first out.

    Who has been woken or cancelled stays in the line until its next step: who may overtake whom depends on it.
    """

    def join(self, loop: Any) -> Any:
        """A Future to wait for, last in the line; who waited takes it out."""
        waiter = loop.create_future()
        self.append(waiter)
        return waiter

    def wake(self, most: float = 1) -> int:
        """Wake those that have not been yet, up to so many; how many that were."""
        woken = 0
        for waiter in self:
            if woken >= most:
                break
            if not waiter.done():
                woken += 1
                waiter.set_result(None)
        return woken

    def wake_first(self) -> None:
        """Wake who is first in the line, unless that one is awake: then it is for him to wake the next."""
        if self and not self[0].done():
            self[0].set_result(None)

    def is_anyone_due(self) -> bool:
        """Tell whether anyone waits or has been woken; who has been cancelled does not count."""
        return bool(self) and not all(waiter.cancelled() for waiter in self)


class _Waitable(LoopBound):
    """What all but Barrier share: a line of waiters, and their number in the repr."""

    def __init__(self) -> None:
        self._waiters = Line()

    def _state(self) -> str:
        raise NotImplementedError

    def __repr__(self) -> str:
        waiters = f", waiters:{len(self._waiters)}" if self._waiters else ""
        return f"<{super().__repr__()[1:-1]} [{self._state()}{waiters}]>"


class _AsyncContextManager:
    acquire: Callable[[], Any]
    release: Callable[[], None]

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.release()


class Lock(_AsyncContextManager, _Waitable):
    """A lock that belongs to no task. https://docs.python.org/3/library/asyncio-sync.html#asyncio.Lock"""

    def __init__(self) -> None:
        super().__init__()
        self._locked = False

    def _state(self) -> str:
        return "locked" if self._locked else "unlocked"

    def locked(self) -> bool:
        """Tell whether the lock is held; it is not while the one it was released for has not taken its step."""
        return self._locked

    async def acquire(self) -> Literal[True]:
        """Take the lock: at once if it is free and nobody waits for it, else in turn. Returns True.

        Raises asyncio.CancelledError on Task.cancel(), which is a trio.Cancelled too when a trio scope is the cause;
        the lock is not held then.
        """
        if self._locked or self._waiters.is_anyone_due():
            waiter = self._waiters.join(self._get_loop())
            try:
                await waiter
            except BaseException:
                self._waiters.remove(waiter)
                if not self._locked:
                    self._waiters.wake_first()
                raise
            self._waiters.remove(waiter)
        self._locked = True
        return True

    def release(self) -> None:
        """Free the lock and wake the first waiter. Any task may do it. Raises RuntimeError if the lock is not held."""
        if not self._locked:
            raise RuntimeError("Lock is not acquired.")
        self._locked = False
        self._waiters.wake_first()


class Event(_Waitable):
    """A flag that tasks wait for. https://docs.python.org/3/library/asyncio-sync.html#asyncio.Event"""

    def __init__(self) -> None:
        super().__init__()
        self._value = False

    def _state(self) -> str:
        return "set" if self._value else "unset"

    def is_set(self) -> bool:
        """Tell whether the flag is set."""
        return self._value

    def set(self) -> None:
        """Set the flag and wake every waiter, in the order in which they came."""
        if not self._value:
            self._value = True
            self._waiters.wake(math.inf)

    def clear(self) -> None:
        """Unset the flag. Who has been woken already goes on all the same."""
        self._value = False

    async def wait(self) -> Literal[True]:
        """Return True once the flag is set: at once, without a checkpoint, if it is.

        Raises asyncio.CancelledError on Task.cancel(), which is a trio.Cancelled too when a trio scope is the cause.
        """
        if not self._value:
            waiter = self._get_loop().create_future()
            self._waiters.append(waiter)  # join(), whose call would take 3 % of the wait
            try:
                await waiter
            finally:
                self._waiters.remove(waiter)
        return True


# 3.13 on: wait() that fails notifies another waiter, and raises the cancellation itself, not a new one without message.
PASSES_NOTIFICATION_ON = sys.version_info >= (3, 13)


class Condition(_AsyncContextManager, _Waitable):
    """A lock, and tasks that wait to be notified by who holds it.

    https://docs.python.org/3/library/asyncio-sync.html#asyncio.Condition
    """

    def __init__(self, lock: Any = None) -> None:
        super().__init__()
        self._lock = Lock() if lock is None else lock
        self.locked: Callable[[], bool] = self._lock.locked
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def _state(self) -> str:
        return "locked" if self.locked() else "unlocked"

    async def wait(self) -> Literal[True]:
        """Release the lock, wait to be notified, take the lock again. Returns True.

        Raises RuntimeError if the lock is not held, and asyncio.CancelledError on Task.cancel(), which is a
        trio.Cancelled too when a trio scope is the cause. The lock is held again in any case: until then, it waits.
        """
        if not self.locked():
            raise RuntimeError("cannot wait on un-acquired lock")
        if PASSES_NOTIFICATION_ON:
            self._get_loop()
        self.release()
        try:
            cancellation = None
            try:
                waiter = self._waiters.join(self._get_loop())
                try:
                    await waiter
                finally:
                    self._waiters.remove(waiter)
            except CancelledError as error:
                cancellation = error
                raise
            finally:
                await self._acquire_again(cancellation)
        except BaseException:
            if PASSES_NOTIFICATION_ON:
                self._waiters.wake()
            raise
        return True

    async def _acquire_again(self, cancellation: CancelledError | None) -> None:
        """Take the lock, however often that is cancelled, and raise the cancellation then."""
        cancelled_here = False
        while True:
            # A trio scope that is cancelled would interrupt every attempt at once.
            by_trio = isinstance(cancellation, trio.Cancelled)
            try:
                with trio.CancelScope(shield=True) if by_trio else nullcontext():
                    await self.acquire()
                break
            except CancelledError as error:
                cancelled_here = True
                if not by_trio:
                    cancellation = error
        if cancelled_here and cancellation is not None:
            try:
                if PASSES_NOTIFICATION_ON or isinstance(cancellation, trio.Cancelled):
                    raise cancellation
                raise CancelledError
            finally:
                cancellation = None  # its traceback holds this frame

    async def wait_for(self, predicate: Callable[[], T]) -> T:
        """Call wait() until predicate() is true, and return that. The lock has to be held. Raises what wait() does."""
        while not (result := predicate()):
            await self.wait()
        return result

    def notify(self, n: int = 1) -> None:
        """Wake n of the waiters; each goes on when it has the lock. Raises RuntimeError if the lock is not held."""
        if not self.locked():
            raise RuntimeError("cannot notify on un-acquired lock")
        self._waiters.wake(n)

    def notify_all(self) -> None:
        """Wake every waiter. Raises RuntimeError if the lock is not held."""
        self.notify(len(self._waiters))


# 3.13 on: a waiter that leaves, cancelled or not, wakes as many as there are permits for; before, at most one.
WAKES_AS_MANY_AS_FIT = sys.version_info >= (3, 13)


class Semaphore(_AsyncContextManager, _Waitable):
    """A number of permits. https://docs.python.org/3/library/asyncio-sync.html#asyncio.Semaphore"""

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError("Semaphore initial value must be >= 0")
        super().__init__()
        self._value = value

    def _state(self) -> str:
        return "locked" if self.locked() else f"unlocked, value:{self._value}"

    def locked(self) -> bool:
        """Tell whether acquire() would have to wait: there is no permit, or others come first."""
        return self._value == 0 or self._waiters.is_anyone_due()

    async def acquire(self) -> Literal[True]:
        """Take a permit: at once if there is one and nobody waits, else in turn. Returns True.

        Raises asyncio.CancelledError on Task.cancel(), which is a trio.Cancelled too when a trio scope is the cause;
        no permit is taken then.
        """
        if not self.locked():
            self._value -= 1
            return True
        waiter = self._waiters.join(self._get_loop())
        try:
            await waiter
        except BaseException:
            self._waiters.remove(waiter)
            if waiter.done() and not waiter.cancelled():
                Semaphore.release(self)  # it was given a permit, and has not taken its step
            if WAKES_AS_MANY_AS_FIT:
                self._wake(self._value)
            raise
        self._waiters.remove(waiter)
        if self._value > 0:
            self._wake(self._value if WAKES_AS_MANY_AS_FIT else 1)
        return True

    def release(self) -> None:
        """Give a permit back and wake the next waiter, whose it is from then on. Any task may do it."""
        self._value += 1
        if self._waiters:
            self._wake(1)

    def _wake(self, most: int) -> None:
        self._value -= self._waiters.wake(most)


class BoundedSemaphore(Semaphore):
    """A Semaphore that is never given more permits back than it had.

    https://docs.python.org/3/library/asyncio-sync.html#asyncio.BoundedSemaphore
    """

    def __init__(self, value: int = 1) -> None:
        self._bound_value = value
        super().__init__(value)

    def release(self) -> None:
        """As Semaphore.release(). Raises ValueError if all permits are there already."""
        if self._value >= self._bound_value:
            raise ValueError("BoundedSemaphore released too many times")
        super().release()


class _BarrierState(enum.Enum):
    FILLING = "filling"
    DRAINING = "draining"
    RESETTING = "resetting"
    BROKEN = "broken"


class Barrier(LoopBound):
    """A point where tasks wait until so many have come. https://docs.python.org/3/library/asyncio-sync.html#asyncio.Barrier

    Everything happens under a Condition, and every change of state is notified to all who wait.
    """

    def __init__(self, parties: int) -> None:
        if parties < 1:
            raise ValueError("parties must be > 0")
        self._cond = Condition()
        self._parties = parties
        self._state = _BarrierState.FILLING
        self._count = 0  # of the tasks inside: they wait, or are on their way out

    def __repr__(self) -> str:
        waiters = "" if self.broken else f", waiters:{self.n_waiting}/{self.parties}"
        return f"<{super().__repr__()[1:-1]} [{self._state.value}{waiters}]>"

    async def __aenter__(self) -> int:
        return await self.wait()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        pass

    async def wait(self) -> int:
        """Wait until as many tasks as there are parties do; the place in which this one came, from 0.

        Raises BrokenBarrierError if the barrier is or gets broken or is reset, and asyncio.CancelledError on
        Task.cancel(), which is a trio.Cancelled too when a trio scope is the cause; others wait on then.
        """
        async with self._cond:
            await self._cond.wait_for(lambda: self._state not in (_BarrierState.DRAINING, _BarrierState.RESETTING))
            if self._state is _BarrierState.BROKEN:
                raise BrokenBarrierError("Barrier aborted")
            index = self._count
            self._count += 1
            try:
                if index + 1 == self._parties:
                    self._change_state(_BarrierState.DRAINING)
                else:
                    await self._cond.wait_for(lambda: self._state is not _BarrierState.FILLING)
                    if self._state is not _BarrierState.DRAINING:
                        raise BrokenBarrierError("Abort or reset of barrier")
                return index
            finally:
                self._count -= 1
                if self._count == 0:
                    self._change_state(_BarrierState.BROKEN if self.broken else _BarrierState.FILLING)

    def _change_state(self, state: _BarrierState) -> None:
        self._state = state
        self._cond.notify_all()

    async def reset(self) -> None:
        """Let the tasks that wait fail with BrokenBarrierError, and begin anew. Can be cancelled while it waits to."""
        async with self._cond:
            self._change_state(_BarrierState.RESETTING if self._count else _BarrierState.FILLING)

    async def abort(self) -> None:
        """Let the tasks that wait, or will, fail with BrokenBarrierError. Can be cancelled while it waits to."""
        async with self._cond:
            self._change_state(_BarrierState.BROKEN)

    @property
    def parties(self) -> int:
        """How many tasks the barrier waits for."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many tasks wait for others to come."""
        return self._count if self._state is _BarrierState.FILLING else 0

    @property
    def broken(self) -> bool:
        """Tell whether the barrier has been aborted, and not reset."""
        return self._state is _BarrierState.BROKEN
