"""How a task was told to cancel, and whether it, or a task that it awaited, has swallowed the CancelledError.

A request is kept from `cancel()` until the task has ended, or waits again: then it is looked at.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import sys
import weakref
from asyncio import Future
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CoroutineType, FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import trio

from compat._coroutines import parts_of
from compat.adapters import _asyncio, _types, runners

from ._findings import error_of, note
from ._makers import Made
from ._places import NOWHERE, TASKS_FILE, Place, is_program, last_operation, line_of, place_around, place_in

__all__ = ["CancellableTask"]

current_task = _asyncio.interpreters_current_task


class _Request(NamedTuple):
    """A task was told to cancel. The frames in which it was are kept until it is clear whether one swallows it."""

    place: Place  # of the call, if the task has cancelled itself
    waiter: _types.AnyFuture | None  # what the task awaited; None if what comes of that does not matter
    cancelling: int  # task.cancelling(), with this request
    frames: list[tuple[object, FrameType, int]]  # each coroutine, its frame, and the instruction at which it waits
    origin: _Origin | None  # what makes a difference of its end; None, if it may swallow the error and end
    in_clean_up: bool = False  # it has waited while it handled the error
    passed_on: Place | None = None  # where the task that it awaited has swallowed it

    def was_swallowed(self, task: CancellableTask) -> bool:
        """Tell whether the task, which goes on, has got the CancelledError, and has not taken back the request.

        What the task awaited may have swallowed it, too.
        """
        waiter = self.waiter
        told = waiter is None or waiter.cancelled() or isinstance(error_of(waiter), asyncio.CancelledError)
        return (told or self.passed_on is not None) and task.cancelling() >= self.cancelling

    def note(self, catching: Iterator[tuple[FrameType, int]]) -> None:
        """Note it for the first of the frames that may have caught it."""
        place = self.place_of(catching)
        if place is not NOWHERE:
            note("cancel-swallowed", place)

    def place_of(self, catching: Iterator[tuple[FrameType, int]]) -> Place:
        if self.passed_on is not None:
            return self.passed_on
        frame, instruction = next(catching, (None, 0))
        if not self.frames:
            return self.place
        if frame is not None and is_program[frame.f_code.co_filename]:
            return frame.f_code.co_filename, line_of(frame.f_code, instruction)
        return NOWHERE


class _Origin:
    """Who has cancelled a task, if it is not the program by Task.cancel(), a timeout, or the end of the run.

    For these it makes no difference whether a task ends by CancelledError or swallows it and ends.
    """

    def end(self, task: CancellableTask, request: _Request) -> None:
        """The task has ended. Here: in wait_for(), which raises CancelledError all the same. Native's does not."""
        if (place := _swallowed_at(task, request)) is not None:
            note("cancel-swallowed", place)


@dataclass(slots=True)
class _Awaiter(_Origin):
    """Who awaits the task was cancelled. It goes on with the task's result; trio cancels its next wait."""

    task: weakref.ref[CancellableTask]

    def end(self, task: CancellableTask, request: _Request) -> None:
        awaiter, place = self.task(), _swallowed_at(task, request)
        theirs = None if awaiter is None else awaiter._request
        if awaiter is not None and theirs is not None and theirs.waiter is task and place is not None:
            awaiter._request = theirs = theirs._replace(passed_on=place)
            _look_later(awaiter, theirs, task)


@dataclass(slots=True)
class _Together(_Origin):
    """Who waits for several tasks was cancelled. If all swallow it, asyncio raises it there, and trio does not."""

    running: set[CancellableTask] = field(default_factory=set)
    has_raised: bool = False  # one of them
    swallowed: list[Place] = field(default_factory=list)

    def end(self, task: CancellableTask, request: _Request) -> None:
        self.running.discard(task)
        if task.cancelled() or error_of(task) is not None:
            self.has_raised = True
        elif (place := _swallowed_at(task, request)) is not None:
            self.swallowed.append(place)
        if not self.running and not self.has_raised:
            for place in self.swallowed:
                note("cancel-swallowed", place)


_by_wait_for, _by_itself = _Origin(), _Origin()


def _owner(frame: FrameType) -> Any:
    """The object whose method a frame runs."""
    return frame.f_locals.get(frame.f_code.co_varnames[0])


def _groups_left(frames: Iterator[FrameType]) -> Iterator[asyncio.TaskGroup]:
    """The TaskGroups that are being left in the frames: they wait there for their tasks, and so does trio."""
    for frame in frames:
        if frame.f_code.co_name in ("__aexit__", "_aexit") and isinstance(group := _owner(frame), asyncio.TaskGroup):
            yield group


def _origin_of(frame: FrameType, task: CancellableTask) -> _Origin | None:
    """Who cancels the task, by the frame of the call, which is not the program's."""
    code, outer = frame.f_code, frame.f_back
    name = code.co_qualname
    if code is _CANCEL:
        return _Awaiter(weakref.ref(_owner(frame)))
    if code.co_filename == TASKS_FILE:
        if name == "_GatheringFuture.cancel":
            gathering = _owner(frame)
            if all(isinstance(child, CancellableTask) and child._made is None for child in gathering._children):
                return _together(gathering, task)
        elif name == "_cancel_and_wait" and isinstance(sys.exception(), asyncio.CancelledError):
            return _by_wait_for  # whose own wait is cancelled; up to 3.11
    elif name == "TaskGroup._on_task_done":
        group = _owner(frame)
        if any(each is group for each in _groups_left(inner for _, inner in parts_of(task.get_coro()))):
            return _by_itself
    elif name == "TaskGroup._abort":
        while outer is not None and outer.f_code.co_name == "_abort":
            outer = outer.f_back
        parent = current_task(task.get_loop())
        request: _Request | None = getattr(parent, "_request", None)
        if request is not None and any(inner is outer for _, inner, _ in request.frames):
            return _together(_owner(frame), task)
    return None


def _together(owner: Any, task: CancellableTask) -> _Together:
    together: _Together | None = getattr(owner, "_cancelled_together", None)
    if together is None:
        together = owner._cancelled_together = _Together()
    together.running.add(task)
    return together


def _swallowed_at(task: CancellableTask, request: _Request) -> Place | None:
    """Where a task that has ended has swallowed the CancelledError of the request."""
    if task.cancelled() or error_of(task) is not None or request.in_clean_up or not request.was_swallowed(task):
        return None
    place = request.place_of((frame, at) for _, frame, at in reversed(request.frames) if _went_on(frame, at))
    return None if place is NOWHERE else place


class CancellableTask(asyncio.Task[Any]):
    """A Task that remembers how it was told to cancel, until it is clear what becomes of that."""

    __slots__ = "_made", "_request"

    if TYPE_CHECKING:
        _made: Made | None  # None, if it is asyncio's own, as the parts of gather() are
        _request: _Request | None

        def _tell_end(self) -> None:
            """Look at the task when it is done; who has made it does so already, if it is the program's."""

    _is_told_by_run = False  # to cancel, at the end of the run, and by nobody else

    # asyncio's:
    _fut_waiter: _types.AnyFuture | trio.lowlevel.Task | None
    _must_cancel: bool

    def cancel(self, msg: object = None) -> bool:
        request, origin = self._request, None
        if request is not None and current_task(self.get_loop()) is not self:
            if _is_to_step(self):
                origin = request.origin
            else:
                _look_after(self, request)
        waiter = self._fut_waiter
        if not _cancel(self, msg):
            return False
        frame = sys._getframe(1)
        file = frame.f_code.co_filename
        cancelling = self.cancelling()
        if file in _RUNNERS:
            self._is_told_by_run = cancelling == 1
        elif self._is_told_by_run:
            self._is_told_by_run = False
        if waiter is not None and not isinstance(waiter, Future):
            return True  # a wait of trio's
        if not is_program[file]:
            origin = _origin_of(frame, self) or origin
            if origin is _by_itself:  # a TaskGroup that is being left, of the task that leaves it
                return True
        if self._made is None:
            self._tell_end()
        place: Place = NOWHERE
        frames: list[tuple[object, FrameType, int]] = []
        if waiter is None and current_task(self.get_loop()) is self:
            place = place_around(frame)
        else:
            coro: Any = self.get_coro()
            while type(coro) is CoroutineType and (inner := coro.cr_frame) is not None:  # for speed
                frames.append((coro, inner, inner.f_lasti))
                coro = coro.cr_await
            frames += [(part, inner, inner.f_lasti) for part, inner in parts_of(coro)]
        told_by = None if self._must_cancel else waiter
        request = self._request = _new(_Request, (place, told_by, cancelling, frames, origin, False, None))
        _look_later(self, request, waiter)
        return True


_cancel, _new = asyncio.Task.cancel, tuple.__new__
_CANCEL = CancellableTask.cancel.__code__
_RUNNERS = {asyncio.runners.__file__, runners.__file__}


def _went_on(frame: FrameType, waited_at: int) -> bool:
    """Tell whether a frame has caught the error that was raised where it waited: it returned, or waits elsewhere."""
    operation = last_operation(frame)
    return operation.startswith("RETURN") or (operation in ("YIELD_VALUE", "RESUME") and frame.f_lasti != waited_at)


def _look_later(task: CancellableTask, request: _Request, waiter: _types.AnyFuture | None) -> None:
    """Look after the step in which the task gets the CancelledError."""
    if waiter is not None and not waiter.done():
        Future.add_done_callback(waiter, functools.partial(_look, task, request))
        return
    loop: Any = task.get_loop()
    looks = getattr(loop, "_to_look", None)
    if looks is None:
        if loop._closed:
            return
        looks = loop._to_look = []
        loop.call_soon(_look_at_all, loop)
    looks.append((task, request))


def _look_at_all(loop: Any) -> None:
    looks, loop._to_look = loop._to_look, None
    for task, request in looks:
        _look(task, request)


def _look(task: CancellableTask, request: _Request, waiter: object = None) -> None:
    if task._request is not request:
        return
    awaited = task._fut_waiter
    if awaited is not None and not isinstance(awaited, Future):
        task._request = None  # a wait of trio's
    elif _is_to_step(task):
        _look_later(task, request, awaited)
    else:
        _look_after(task, request)


def _is_to_step(task: CancellableTask) -> bool:
    """Tell whether a step of the task is still to come, which gives it what it was told."""
    awaited = task._fut_waiter
    return task._must_cancel or (isinstance(awaited, Future) and awaited.done())


def _look_after(task: CancellableTask, request: _Request) -> None:
    """Look at a task that waits again, and note whether it has swallowed the CancelledError."""
    if not request.was_swallowed(task):
        task._request = None
        return
    awaited: Any = task._fut_waiter
    loop: Any = task.get_loop()
    coroutines = list(parts_of(task.get_coro()))
    now = {id(coro) for coro, _ in coroutines}
    request.frames[:] = [
        each for each in request.frames if id(each[0]) in now or last_operation(each[1]).startswith("RETURN")
    ]
    # The error that a coroutine handles is among what it refers to.
    handling = [
        number
        for number, (coro, _) in enumerate(coroutines)
        if any(isinstance(each, asyncio.CancelledError) for each in gc.get_referents(coro))
    ]
    if handling:  # a clean-up; later looks will tell whether the task waits again after it
        if not request.in_clean_up and not loop._scheduler.is_shielded(task):
            request = task._request = request._replace(in_clean_up=True)
            note("cleanup-wait", _place_of_clean_up([frame for _, frame in coroutines[handling[-1] :]]))
        _look_later(task, request, awaited)
        return
    if any(getattr(group, "_aborting", False) for group in _groups_left(frame for _, frame in coroutines)):
        _look_later(task, request, awaited)
        return
    task._request = None
    request.note((frame, instruction) for _, frame, instruction in reversed(request.frames))


def _place_of_clean_up(frames: list[FrameType]) -> Place:
    """Where the clean-up waits whose first frame handles the error."""
    if len(frames) > 1 and frames[1].f_code.co_name == "__aexit__":
        # The program's own, if there is one: a TaskGroup waits in its own for its tasks, and does so in trio.
        frames = [frame for frame in frames[1:] if is_program[frame.f_code.co_filename]]
    return place_in(frames[0] if frames else None)
