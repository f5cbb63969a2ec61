"""Locks: trio's own, and a ParkingLot for Barrier.

What differs from asyncio: acquire() and wait() are checkpoints also where they need not wait, and a lock belongs to the
task that has taken it: only that can release it, and taking it twice is an error rather than a deadlock.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Generic, Literal, TypeVar

import trio

from .exceptions import BrokenBarrierError

__all__ = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "Semaphore"]

T = TypeVar("T")
L = TypeVar("L", bound=trio.Lock | trio.Condition | trio.Semaphore)


class _Acquired(Generic[L]):
    """One of trio's locks under asyncio's names."""

    def __init__(self, lock: L) -> None:
        self._lock = lock

    @trio.lowlevel.enable_ki_protection
    async def acquire(self) -> Literal[True]:
        """trio's acquire(). Cancelled, it has acquired nothing."""
        await self._lock.acquire()
        return True

    @trio.lowlevel.enable_ki_protection
    def release(self) -> None:
        """trio's release()."""
        self._lock.release()

    @trio.lowlevel.enable_ki_protection
    async def __aenter__(self) -> None:
        await self._lock.acquire()

    @trio.lowlevel.enable_ki_protection
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._lock!r}>"


class Lock(_Acquired[trio.Lock]):
    """A trio.Lock. release() by another task raises RuntimeError, and so does acquire() by the one that holds it.

    https://docs.python.org/3/library/asyncio-sync.html#asyncio.Lock
    """

    def __init__(self) -> None:
        super().__init__(trio.Lock())

    def locked(self) -> bool:
        """Lock.locked()."""
        return self._lock.locked()


class Event:
    """A trio.Event, and a new one after clear().

    https://docs.python.org/3/library/asyncio-sync.html#asyncio.Event
    """

    def __init__(self) -> None:
        self._event = trio.Event()

    def is_set(self) -> bool:
        """Event.is_set()."""
        return self._event.is_set()

    def set(self) -> None:
        """Event.set(): all who wait go on."""
        self._event.set()

    def clear(self) -> None:
        """Begin with a new trio.Event, if this one is set: nobody waits for it any more."""
        if self._event.is_set():
            self._event = trio.Event()

    async def wait(self) -> Literal[True]:
        """Event.wait()."""
        await self._event.wait()
        return True

    def __repr__(self) -> str:
        return f"<Event {'set' if self.is_set() else 'unset'} at {id(self):#x}>"


class Condition(_Acquired[trio.Condition]):
    """A trio.Condition, with a lock of its own or one that is given.

    A task that is notified and then cancelled, while it waits for the lock, keeps its notification, as trio has it.
    https://docs.python.org/3/library/asyncio-sync.html#asyncio.Condition
    """

    def __init__(self, lock: Lock | None = None) -> None:
        if not isinstance(lock, Lock | None):
            raise TypeError(f"a Condition takes a Lock of compat.native, not {lock!r}")
        super().__init__(trio.Condition(None if lock is None else lock._lock))

    def locked(self) -> bool:
        """Condition.locked()."""
        return self._lock.locked()

    async def wait(self) -> Literal[True]:
        """Condition.wait(). Cancelled, it takes the lock again first. Raises RuntimeError without the lock."""
        await self._lock.wait()
        return True

    async def wait_for(self, predicate: Callable[[], T]) -> T:
        """Condition.wait() until the predicate is true; returns what it is."""
        await trio.lowlevel.checkpoint()
        while not (result := predicate()):
            await self._lock.wait()
        return result

    def notify(self, n: int = 1) -> None:
        """Condition.notify(). Raises RuntimeError without the lock."""
        self._lock.notify(n)

    def notify_all(self) -> None:
        """Condition.notify_all(). Raises RuntimeError without the lock."""
        self._lock.notify_all()


class Semaphore(_Acquired[trio.Semaphore]):
    """A trio.Semaphore. Raises ValueError for a value below 0.

    https://docs.python.org/3/library/asyncio-sync.html#asyncio.Semaphore
    """

    def __init__(self, value: int = 1) -> None:
        super().__init__(trio.Semaphore(value))

    def locked(self) -> bool:
        """Whether Semaphore.value is 0."""
        return self._lock.value == 0


class BoundedSemaphore(Semaphore):
    """A trio.Semaphore with a max_value: release() raises ValueError above it.

    https://docs.python.org/3/library/asyncio-sync.html#asyncio.BoundedSemaphore
    """

    def __init__(self, value: int = 1) -> None:
        _Acquired.__init__(self, trio.Semaphore(value, max_value=value))


class Barrier:
    """A trio.lowlevel.ParkingLot that is emptied when enough tasks are in it.

    A wait that is cancelled leaves the barrier as if it had not come. `async with barrier as place:` waits.
    https://docs.python.org/3/library/asyncio-sync.html#asyncio.Barrier
    """

    def __init__(self, parties: int) -> None:
        if parties < 1:
            raise ValueError("a Barrier needs one party or more")
        self._parties = parties
        self._waiting = trio.lowlevel.ParkingLot()
        self._places: dict[trio.lowlevel.Task, int] = {}  # of those that go on
        self._broken = False

    @property
    def parties(self) -> int:
        """How many tasks it takes."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def broken(self) -> bool:
        """Whether abort() was called."""
        return self._broken

    @trio.lowlevel.enable_ki_protection
    async def wait(self) -> int:
        """Park until `parties` tasks wait, this one included; returns the task's place among them, from 0 on.

        Raises BrokenBarrierError after abort(), and in tasks that wait during abort() or reset().
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._broken:
            raise BrokenBarrierError("this barrier was aborted")
        if len(self._waiting) < self._parties - 1:
            await self._waiting.park()
            place = self._places.pop(trio.lowlevel.current_task(), None)
            if place is None:
                raise BrokenBarrierError("this barrier was aborted or reset")
            return place
        self._places.update((task, place) for place, task in enumerate(self._waiting.unpark_all()))
        await trio.lowlevel.cancel_shielded_checkpoint()
        return self._parties - 1

    async def abort(self) -> None:
        """Break the barrier, for those who wait and those who come."""
        self._broken = True
        self._waiting.unpark_all()
        await trio.lowlevel.checkpoint()

    async def reset(self) -> None:
        """Break it for those who wait, and begin anew."""
        self._broken = False
        self._waiting.unpark_all()
        await trio.lowlevel.checkpoint()

    async def __aenter__(self) -> int:
        return await self.wait()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def __repr__(self) -> str:
        state = "broken" if self._broken else f"{self.n_waiting} of {self._parties}"
        return f"<Barrier {state} at {id(self):#x}>"
