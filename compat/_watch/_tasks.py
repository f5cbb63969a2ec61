"""The Task and the Future of a program that is watched: where they were made, and who waits for a Task."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import weakref
from asyncio import Future
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from types import CoroutineType, FrameType
from typing import TYPE_CHECKING, Any

from compat.adapters import _asyncio, tasks

from ._cancellations import CancellableTask
from ._findings import Run, error_of, is_failure, note, record
from ._makers import Made, has_ended, maker_of, place_of
from ._places import TASKS_FILE, Place, hide_this, is_program, last_operation, place_in

if TYPE_CHECKING:
    from traceback import FrameSummary

__all__ = ["AtOnce", "MadeFuture", "Survival", "Task", "are_one", "around_create_task", "note_task", "settle"]

WAKEUP_TYPE, current_task = _asyncio.WAKEUP_TYPE, _asyncio.interpreters_current_task


class AtOnce(functools.partial[object]):
    """A callback of a future that is called when the future is done, and not in the next batch."""


@dataclass(slots=True)
class Survival:
    """What went on after gather() had raised, or the wait for a shield() was cancelled. One finding for all tasks."""

    kind: str
    place: Place
    noted: bool = False

    def note(self) -> None:
        """Take note of it, for the first task that tells."""
        if not self.noted:
            self.noted = True
            note(self.kind, self.place)


class _StandsFor(type):
    """Of classes that stand for their base: isinstance() and issubclass() answer as for that."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _BASES[cls]) if cls in _BASES else super().__instancecheck__(instance)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, _BASES[cls]) if cls in _BASES else super().__subclasscheck__(other)


class _Tasks(_StandsFor):
    """Of Task, whose objects get to know where they are made before they begin. An __init__() for that takes longer."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        new: Any = cls.__new__
        task: Task = new(cls, *args, **kwargs)
        task._made, generator, function = maker_of(sys._getframe(1))
        task._awaiter = task._request = None
        if generator is not None:
            task._generator = generator
        task.__init__(*args, **kwargs)  # type: ignore[misc]
        _has_begun(task, function)
        if task._source_traceback:
            hide_this(task)
        return task


class Task(CancellableTask, metaclass=_Tasks):
    """A Task that knows where it was made, who waits for it, and how it was cancelled."""

    __slots__ = ("_awaiter",)

    if TYPE_CHECKING:
        _awaiter: weakref.ref[asyncio.Task[object]] | None  # who has waited for it first

    _generator: FrameType | None = None  # of its maker: it may be suspended where nobody sees it
    _is_shared = False
    _survivals: tuple[Survival, ...] = ()
    _tells_its_end = False
    _acts_for: asyncio.Task[object] | None = None  # who waits for it by wait_for(), which is no other task from 3.12 on

    _source_traceback: list[FrameSummary] | None  # asyncio's

    def _tell_end(self) -> None:
        if self._made is None and not self._tells_its_end:
            self._tells_its_end = True
            _add_done_callback(self, _on_end, context=_no_context)

    def add_done_callback(self, fn: Callable[[Task], object], *, context: Context | None = None) -> None:
        _add_done_callback(self, fn, context=context)
        awaiter: Any
        if self._made is None:
            return  # of asyncio's own, as the parts of gather() are
        if type(fn) is WAKEUP_TYPE:
            awaiter = fn.__self__
        elif getattr(getattr(fn, "__code__", None), "co_filename", None) == TASKS_FILE:  # gather(), wait() ...
            awaiter = current_task(self.get_loop())
        else:
            return
        if self._awaiter is None:
            self._awaiter = None if awaiter is None else _weak(awaiter)
        elif not self._is_shared and not self.done() and not are_one(self._awaiter(), awaiter):
            self._is_shared = True
            note("task-shared", place_of(self._made))

    @property
    def _callbacks(self) -> list[tuple[Callable[[Task], object], Context]] | None:  # type: ignore[override]
        """For its repr."""
        return [each for each in super()._callbacks or () if type(each[0]) is not AtOnce] or None


Task.__module__ = asyncio.Task.__module__


class MadeFuture(Future[Any], metaclass=_StandsFor):
    """A Future that the program makes."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        note("future-by-hand", place_in(sys._getframe(1)))
        super().__init__(loop=loop)
        hide_this(self)


MadeFuture.__name__ = MadeFuture.__qualname__ = "Future"
MadeFuture.__module__ = Future.__module__

_BASES: dict[type, type] = {Task: asyncio.Task, MadeFuture: Future}

_add_done_callback = asyncio.Task.add_done_callback
_weak = weakref.ref
_no_context = Context()


# --- how one is made -------------------------------------------------------------------------------------------------


def _has_begun(task: Task, function: str) -> None:
    """Have it looked at when it is done, if the program has made it, and otherwise see what it is for."""
    if task._made is not None:
        _add_done_callback(task, _on_end, context=_no_context)
    elif function in _START:
        _begin_run(task)
    elif function == "wait_for":  # up to 3.11
        task._acts_for = current_task(task.get_loop())


_START = {"Runner.run", "Loop.run_until_complete"}


def _begin_run(main: Task) -> None:
    """Let what follows belong to a new run, which ends with this task."""
    run = record.run = Run()

    def end(task: Task) -> None:
        run.has_failed = task.cancelled() or is_failure(error_of(task))

    _add_done_callback(main, AtOnce(end))


def around_create_task(create_task: Any) -> Any:
    """The loop's create_task(), which makes a Task: for speed without the metaclass, where that makes the same."""

    @functools.wraps(create_task)
    def watched_create_task(self: Any, coro: Any, **kwargs: Any) -> Any:
        if self._closed or self._debug or self._task_factory is not None or "eager_start" in kwargs:
            return create_task(self, coro, **kwargs)
        frame: Any = sys._getframe(1)
        caller = code = frame.f_code
        if caller is _CREATE_TASK or caller is _GROUPS_CREATE_TASK:
            frame = frame.f_back
            code = frame.f_code
        made: Made | None
        generator, function, is_programs = None, "", is_program[code.co_filename]
        if is_programs and caller is _GROUPS_CREATE_TASK:
            made = code, frame.f_lasti, code, 0, None
        elif is_programs and code.co_flags & inspect.CO_COROUTINE and (maker := current_task(self)) is not None:
            made = code, frame.f_lasti, code, id(frame), _weak(maker)
        else:
            made, generator, function = maker_of(frame)
        task = _make(coro, loop=self, **kwargs)
        task._made, task._awaiter, task._request = made, None, None
        if generator is not None:
            task._generator = generator
        if made is None:
            _has_begun(task, function)
        else:
            _add_done_callback(task, _on_end, context=_no_context)
        return task

    return watched_create_task


_make: Any = type.__call__.__get__(Task)  # without what the metaclass does
_CREATE_TASK, _GROUPS_CREATE_TASK = tasks.create_task.__code__, asyncio.TaskGroup.create_task.__code__


# --- how one ends ----------------------------------------------------------------------------------------------------


def are_one(first: object, second: object) -> bool:
    """Tell whether two Tasks that wait are one to the program. The first is None if it is gone."""
    return (getattr(first, "_acts_for", None) or first) is (getattr(second, "_acts_for", None) or second)


def _ends(task: Task) -> None:
    """Called when a task is done, before anything else can know it."""
    request = task._request
    if request is not None:
        task._request = None
        if request.origin is not None:
            request.origin.end(task, request)
    if task._survivals:
        settle(task)
        return
    made = task._made
    if made is not None and (reference := made[4]) is not None and (maker := reference()) is not None:  # for speed
        coro: Any = maker.get_coro()
        function, number = made[2], made[3]
        while type(coro) is CoroutineType and (frame := coro.cr_frame) is not None:
            if id(frame) == number and frame.f_code is function:
                return
            coro = coro.cr_await
    elif (made is None or made[3] == 0) and task._generator is None:
        return
    settle(task)


def settle(task: Task) -> None:
    """Note what there is to say of a task that has ended, or will never end."""
    generator, task._generator = task._generator, None
    if generator is not None:
        has_outlived = last_operation(generator).startswith(("RETURN", "RERAISE"))
    else:
        has_outlived = task._made is not None and task._made[3] != 0 and has_ended(task._made)
    if has_outlived:
        note_task("task-outlived", task)
    if task._survivals and (not task.cancelled() or task._is_told_by_run):
        for survival in task._survivals:
            survival.note()
        task._survivals = ()


def note_task(kind: str, task: Task) -> None:
    """Take note of a finding at the place where the task was made, if the program has made it."""
    if task._made is not None:
        note(kind, place_of(task._made))


_on_end = AtOnce(_ends)
