"""asyncio.Future, carried by trio's wait_task_rescheduled.

State, result and callbacks are those of CPython's own Future, in C. What is ours is the wait: a trio task of any kind
may await a Future, where asyncio's may be awaited by asyncio's Tasks only.
"""

from __future__ import annotations

import _asyncio
import asyncio
import concurrent.futures
from asyncio import isfuture
from collections.abc import Generator
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeVar

from . import _trio_internals as internals
from ._carriers import OWN_FUTURES, Carrier, NewCarrier, std_current_task
from .events import BaseLoop, get_event_loop

if TYPE_CHECKING:
    CFuture = asyncio.Future
else:
    CFuture = _asyncio.Future
CTask: Any = _asyncio.Task  # type: ignore[attr-defined,unused-ignore]

__all__ = ("Future", "isfuture", "wrap_future")

T = TypeVar("T")
std: Any = asyncio

_new = CFuture.__new__
_init = CFuture.__init__
_iterate = CFuture.__await__


class Future(CFuture[T]):
    """A result that is not there yet. https://docs.python.org/3/library/asyncio-future.html

    `await future` gives the result or raises the exception. Task.cancel() of the waiting task, or a trio cancel scope
    around the wait, cancels the future first; the wait ends when the future has.
    """

    __slots__ = ()

    def __init__(self, *, loop: Any = None) -> None:
        _init(self, loop=get_event_loop() if loop is None else loop)
        if self._source_traceback:  # type: ignore[attr-defined]
            del self._source_traceback[-1]  # type: ignore[attr-defined]

    def __await__(self) -> Generator[Any, None, T]:
        coro = internals.current_coro()
        if type(coro) is Carrier or not isinstance(coro, NewCarrier | CoroutineType):
            return _iterate(self)  # it yields the future to the Task, which waits for it
        if std_current_task(self._loop) is not None:
            return _iterate(self)  # to an eager Task of the interpreter's, which runs within a plain trio task's step
        return _wait_in_trio_task(self)

    __iter__ = __await__


OWN_FUTURES.add(Future)


def create_future(self: BaseLoop) -> Future[Any]:
    """A Future of this loop."""
    future: Future[Any] = _new(Future)
    _init(future, loop=self)  # past __init__, which looks for a loop: half the time
    return future


BaseLoop.create_future = create_future  # type: ignore[method-assign]  # it is called often: no second function around it


def _wait_in_trio_task(future: Future[T]) -> Generator[Any, None, T]:
    """The first wait of a plain trio task: from its next step on its Task does this, like any other."""
    if not future.done():
        from .tasks import current_task

        task: Any = current_task()
        yield task.wait_for_future(future)
    return future.result()


# 3.14 on: who awaits a future, for asyncio.capture_call_graph(). None stands for nobody.


def add_awaiter(future: Any, task: Any) -> None:
    """Note that the Task waits for the future."""
    if task is not None:
        std.future_add_to_awaited_by(future, task)


def discard_awaiter(future: Any, task: Any) -> None:
    """Note that it waits no more."""
    if task is not None:
        std.future_discard_from_awaited_by(future, task)


def wrap_future(future: concurrent.futures.Future[T] | asyncio.Future[T], *, loop: Any = None) -> asyncio.Future[T]:
    """Wrap a concurrent.futures.Future in an asyncio Future of the loop; an asyncio Future is returned as it is."""
    if isfuture(future):
        return future
    return asyncio.wrap_future(future, loop=get_event_loop() if loop is None else loop)
