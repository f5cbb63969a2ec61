"""What is put around asyncio's functions and methods: gather() and shield(), those of loops, locks and queues."""

from __future__ import annotations

import asyncio
import functools
import sys
import weakref
from asyncio import Future
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from compat.adapters import _asyncio, _types, events, locks, queues

from ._findings import Run, error_of, note, record
from ._places import NOWHERE, Place, hide_this, place_around, place_in
from ._tasks import AtOnce, Survival, Task, are_one, around_create_task, note_task, settle

if TYPE_CHECKING:

    class _Lock(asyncio.Lock):
        _holder: asyncio.Task[object] | None  # who has taken it
        _used_in: Callable[[], object]  # the loop, as far as it is there; up to 3.11 to ask for it takes long
        _locked: bool
        _waiters: deque[asyncio.Future[object]] | None

    class _Queue(asyncio.Queue[object]):
        _made_in: Run
        _made_at: Place


__all__ = ["gather", "note_left_items", "shield", "watch_locks", "watch_loops", "watch_queues"]

P = ParamSpec("P")
T = TypeVar("T")

STEP_TYPE, WAKEUP_TYPE, WAKEUP_NAME = _asyncio.STEP_TYPE, _asyncio.WAKEUP_TYPE, _asyncio.WAKEUP_NAME
get_running_loop, current_task = _asyncio.get_running_loop, _asyncio.interpreters_current_task

_gather, _shield = asyncio.gather, asyncio.shield


@functools.wraps(_gather)
def gather(*aws: Awaitable[object], return_exceptions: bool = False) -> Future[list[object]]:
    outer: Future[list[object]] = _gather(*aws, return_exceptions=return_exceptions)
    if not return_exceptions:
        place = place_in(sys._getframe(1))
        outer.add_done_callback(AtOnce(_end_of_gather, place))
    return outer


def _end_of_gather(place: Place, outer: _types.AnyFuture) -> None:
    if error_of(outer) is not None:
        _survive(Survival("gather-survivor", place), getattr(outer, "_children", []))


@functools.wraps(_shield)
def shield(arg: Awaitable[T]) -> Future[T]:
    place = place_in(sys._getframe(1))
    note("shield", place)
    inner = asyncio.ensure_future(arg)
    outer = _shield(inner)
    if outer is not inner:
        outer.add_done_callback(AtOnce(_end_of_shield, place, inner))
    return outer


def _end_of_shield(place: Place, inner: _types.AnyFuture, outer: _types.AnyFuture) -> None:
    if outer.cancelled():
        _survive(Survival("shield-survivor", place), [inner])


def _survive(survival: Survival, futures: list[_types.AnyFuture]) -> None:
    for future in futures:
        if type(future) is Task and not future.done():
            future._survivals += (survival,)
            future._tell_end()


def watch_loops() -> None:
    """Watch callbacks, futures, Tasks, and the errors that nobody has asked for, which the loop is told of."""
    loop: Any = events.BaseLoop
    call_soon = loop.call_soon

    @functools.wraps(call_soon)
    def watched_call_soon(self: Any, callback: Any, *args: Any, context: Any = None) -> Any:
        kind = type(callback)
        if kind is STEP_TYPE:  # for speed, as all that is not note()
            if self._closed:
                call_soon(self, callback, context=context)
            self._append((context, callback))
            return None
        if kind is WAKEUP_TYPE and callback.__name__ == WAKEUP_NAME and not self._closed:
            self._append((context, callback, args[0]))
            return None
        if kind is AtOnce:
            return callback(*args)
        # The interpreter gives a context with what a Future calls when it is done.
        if context is None or not (args and isinstance(args[0], Future)):
            note("loop-callback", place_in(sys._getframe(1)))
        handle = call_soon(self, callback, *args, context=context)
        return hide_this(handle) if self._debug else handle

    loop.call_soon, loop.create_task = watched_call_soon, around_create_task(loop.create_task)
    for name, kind in (
        ("call_later", "loop-callback"),
        ("call_at", "loop-callback"),
        ("create_future", "future-by-hand"),
    ):
        setattr(loop, name, _noting(kind, getattr(loop, name)))

    call_exception_handler = loop.call_exception_handler

    @functools.wraps(call_exception_handler)
    def watched_call_exception_handler(self: Any, context: dict[str, object]) -> None:
        task = context.get("future") or context.get("task")
        message = str(context.get("message", ""))
        if type(task) is Task:
            if message.endswith(("never retrieved", "run() shutdown")):
                note_task("error-unretrieved", task)
            elif message == "Task was destroyed but it is pending!":
                settle(task)
        call_exception_handler(self, context)

    loop.call_exception_handler = watched_call_exception_handler


def _noting(kind: str, method: Callable[P, T]) -> Callable[P, T]:
    """A method of the loop that takes note of the program's calls."""

    @functools.wraps(method)
    def noting(*args: P.args, **kwargs: P.kwargs) -> T:
        note(kind, place_in(sys._getframe(1)))
        return hide_this(method(*args, **kwargs))

    return noting


def watch_locks() -> None:
    """Watch who takes and releases a Lock; a Condition makes one of these, too."""
    lock: Any = locks.Lock
    condition: Any = locks.Condition
    acquire, release, init = lock.acquire, lock.release, condition.__init__

    @functools.wraps(acquire)
    async def watched_acquire(self: _Lock) -> bool:
        if self._locked or self._waiters:
            await acquire(self)
        else:  # for speed; it is the same
            self._locked = True
        loop = self._used_in()
        holder = None if loop is None else current_task(loop)
        if holder is None:
            loop = get_running_loop()
            if loop is not None:
                holder = current_task(loop)
                self._used_in = weakref.ref(loop)
        self._holder = holder
        return True

    @functools.wraps(release)
    def watched_release(self: _Lock) -> None:
        holder = self._holder
        if holder is None or current_task(holder.get_loop()) is not holder:  # up to 3.11 to ask for the loop takes long
            loop = get_running_loop()
            releasing = None if loop is None else current_task(loop)
            if holder is not releasing and self._locked and not are_one(holder, releasing):
                note("lock-other-task", place_around(sys._getframe(1)))
        self._holder = None
        release(self)

    @functools.wraps(init)
    def watched_init(self: asyncio.Condition, lock: asyncio.Lock | None = None) -> None:
        init(self, locks.Lock() if lock is None else lock)

    lock._holder, lock._used_in = None, type(None)
    lock.acquire, lock.release, condition.__init__ = watched_acquire, watched_release, watched_init


def watch_queues() -> None:
    """Watch where a Queue is made, and what is in it at its end."""
    base: Any = queues._Base

    @functools.wraps(base.__init__)
    def watched_init(self: _Queue, *args: Any, **kwargs: Any) -> None:
        super(base, self).__init__(*args, **kwargs)
        self._made_in, self._made_at = record.run, place_in(sys._getframe(1))

    base.__init__, base.__del__ = watched_init, note_left_items


def note_left_items(queue: _Queue) -> None:
    """Take note of a queue that ends with items in it, if its run has not failed."""
    place, queue._made_at = getattr(queue, "_made_at", NOWHERE), NOWHERE
    if place is not NOWHERE and not queue._made_in.has_failed and queue.qsize():
        note("queue-left", place)
