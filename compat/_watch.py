"""What `python -m compat --watch` finds: where a program relies on a meaning that trio does not have.

Nothing of this is there without the option: at the start `install()` puts a Task of its own and some methods around
those of `adapters`. They note what happens, and leave it as it is. The program's code is all code outside of the
standard library, trio and this project: what is installed beside it belongs to it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import dis
import errno
import functools
import gc
import inspect
import json
import os
import stat
import sys
import weakref
from asyncio import Future
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from contextvars import Context
from dataclasses import dataclass, field
from types import CodeType, CoroutineType, FrameType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeAlias, TypeVar

import outcome
import sniffio
import trio

from compat import adapters
from compat._coroutines import parts_of
from compat.adapters import _asyncio, _types, events, futures, locks, queues, runners, tasks
from compat.report._watch import FORMAT, VERSION

if TYPE_CHECKING:
    from traceback import FrameSummary

    class _Lock(asyncio.Lock):
        _holder: asyncio.Task[object] | None  # who has taken it
        _used_in: Callable[[], object]  # the loop, as far as it is there; up to 3.11 to ask for it takes long
        _locked: bool
        _waiters: deque[asyncio.Future[object]] | None

    class _Queue(asyncio.Queue[object]):
        _made_in: _Run
        _made_at: Place


__all__ = ["fail", "install"]

P = ParamSpec("P")
T = TypeVar("T")

STEP_TYPE, WAKEUP_TYPE, WAKEUP_NAME = _asyncio.STEP_TYPE, _asyncio.WAKEUP_TYPE, _asyncio.WAKEUP_NAME
get_running_loop, current_task = _asyncio.get_running_loop, _asyncio.interpreters_current_task

# Each kind of finding: what happened, and what to do before the port.
KINDS = {
    "cancel-swallowed": (
        "A cancelled task caught CancelledError and waited again, or ended although who awaited it was cancelled, too.",
        "Raise CancelledError again after the clean-up: trio raises Cancelled at each wait until the scope is left.",
    ),
    "cleanup-wait": (
        "A task that was cancelled waited in its clean-up.",
        "Put it into a trio.CancelScope with shield=True and a time limit: on native and trio it is cancelled, too.",
    ),
    "task-outlived": (
        "A task was still running when the async function that had made it ended.",
        "Start it in a TaskGroup of a function that lives longer, or await it before the function ends.",
    ),
    "error-unretrieved": (
        "A task failed, and nobody asked for its error.",
        "Await the task, or handle the error in it: on native and trio the error ends the run.",
    ),
    "gather-survivor": (
        "gather() raised an error, and another of its tasks went on.",
        "Use a TaskGroup, which cancels the others, or return_exceptions=True if they are to go on.",
    ),
    "lock-other-task": (
        "A Lock was released by another task than the one that had acquired it.",
        "Release it in the same task, or use a Semaphore or an Event, which belong to no task.",
    ),
    "queue-left": (
        "A Queue had items in it at its end, or at the end of the program.",
        "Take the items out, or make sure that they may be lost: who closes a channel drops them.",
    ),
    "loop-callback": (
        "call_soon(), call_later() or call_at() was called.",
        "Start a task instead, which sleeps first if it has to: native and trio have no callbacks.",
    ),
    "future-by-hand": (
        "A Future was made by hand.",
        "Use an Event and a variable, or a Queue of one item: native and trio have no futures.",
    ),
    "task-shared": (
        "Several tasks waited for one task.",
        "Have the task keep its result and set an Event for which the others wait: trio has no task to be awaited.",
    ),
    "shield": (
        "shield() was called.",
        "Put what must not be interrupted into a CancelScope(shield=True), or start it in a nursery that lives longer.",
    ),
    "shield-survivor": (
        "The wait for a shield() was cancelled, and what it shields went on.",
        "Decide who waits for its end: in trio a nursery that lives longer has to hold it.",
    ),
}

Place: TypeAlias = tuple[str, int]  # a file and a line

_found: Counter[tuple[str, Place]] = Counter()
_NOWHERE = "", 0


def _note(kind: str, place: Place) -> None:
    if place is not _NOWHERE:
        _found[kind, place] += 1


# --- places ----------------------------------------------------------------------------------------------------------


def _folder(module: ModuleType) -> str:
    return os.path.dirname(str(module.__file__)) + os.sep


_LIBRARY = _folder(os)
_HIDDEN = (*map(_folder, (trio, outcome, sniffio)), os.path.dirname(__file__) + os.sep, *adapters.__path__, "<frozen ")


class _ProgramFiles(dict[str, bool]):
    """Whether the code of a file is the program's."""

    def __missing__(self, file: str) -> bool:
        of_library = file.startswith(_LIBRARY) and not file.startswith(
            (f"{_LIBRARY}site-packages", f"{_LIBRARY}dist-packages")
        )
        self[file] = of_program = not (of_library or file.startswith(_HIDDEN))
        return of_program


_is_program = _ProgramFiles()


def _place(frame: FrameType | None) -> Place:
    """Where the frame is, if it is the program's."""
    if frame is None or not _is_program[frame.f_code.co_filename]:
        return _NOWHERE
    return frame.f_code.co_filename, frame.f_lineno


def _place_around(frame: FrameType | None) -> Place:
    """Where the program is, in this frame or one around it."""
    while frame is not None and not _is_program[frame.f_code.co_filename]:
        frame = frame.f_back
    return _place(frame)


def _line(code: CodeType, instruction: int) -> int:
    lines = (line for start, end, line in code.co_lines() if start <= instruction < end)
    return next(lines, None) or code.co_firstlineno


def _last_operation(frame: FrameType) -> str:
    return dis.opname[frame.f_code.co_code[frame.f_lasti]]


def _hide_this(made: T) -> T:
    """In debug mode a Task, a Future or a Handle remembers where it was made: not here."""
    frames: list[FrameSummary] | None = getattr(made, "_source_traceback", None)
    if frames:
        frames[:] = [frame for frame in frames if frame.filename != __file__]
    return made


class _AtOnce(functools.partial[object]):
    """A callback of a future that is called when the future is done, and not in the next batch."""


# --- tasks -----------------------------------------------------------------------------------------------------------


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
        task._made = task._awaiter = task._request = None
        frame, function, in_group = _program_that_calls(sys._getframe(1))
        if frame is None:
            task.__init__(*args, **kwargs)  # type: ignore[misc]
            _note_user(task, function)
        else:
            task._made, task._generator = _maker(frame, in_group)
            task.__init__(*args, **kwargs)  # type: ignore[misc]
            _add_done_callback(task, _on_end, context=_no_context)
        if task._source_traceback:
            _hide_this(task)
        return task


def _program_that_calls(frame: FrameType) -> tuple[FrameType | None, str, bool]:
    """The program's frame that comes to a Task of its own by this one, and whether it does so by a TaskGroup.

    If there is none: None, and the function that the task is for.
    """
    in_group = False
    while not _is_program[(code := frame.f_code).co_filename]:
        name = code.co_qualname
        in_group = in_group or name == "TaskGroup.create_task"
        if name not in _CREATE or frame.f_back is None:
            return None, name, in_group
        frame = frame.f_back
    return frame, "", in_group


def _note_user(task: Task, function: str) -> None:
    if function in _START:
        _begin_run(task)
    elif function == "wait_for":  # up to 3.11
        task._acts_for = current_task(task.get_loop())


def _maker(frame: FrameType, in_group: bool) -> tuple[_Made, FrameType | None]:
    """Find the async function that makes a task in this frame, and its frame if it is a generator's.

    Outside of a task, it is the function.
    """
    loop = get_running_loop()
    task = None if loop is None else current_task(loop)
    code = frame.f_code
    if in_group:
        return (code, frame.f_lasti, code, 0, None), None
    outer: FrameType | None = frame if task is not None else None
    while outer is not None and not (
        outer.f_code.co_flags & _ASYNC and outer.f_code.co_name[0] != "<" and _is_program[outer.f_code.co_filename]
    ):
        outer = outer.f_back
    maker = outer or frame
    while maker.f_code.co_name in _COMPREHENSIONS and maker.f_back is not None:
        maker = maker.f_back
    is_trios = task is None and maker.f_code.co_flags & _ASYNC
    reference = None if task is None else _weak(task)
    made = code, frame.f_lasti, maker.f_code, 0 if is_trios else id(maker), reference
    is_generator = maker.f_code.co_flags & _GENERATORS and maker.f_code.co_name[0] != "<"
    return made, maker if is_generator else None


# Where a task was made, and by which function, whose frame is not kept: the objects in it would live longer. A plain
# tuple, for speed:
#   the code and the instruction;
#   the function;
#   id() of the function's frame; 0, if a TaskGroup takes care of the task, or a trio task has made it;
#   the task in which the function runs; None in a callback, and outside of a loop.
_Made: TypeAlias = tuple[CodeType, int, CodeType, int, weakref.ref[asyncio.Task[object]] | None]


def _place_of(made: _Made) -> Place:
    return made[0].co_filename, _line(made[0], made[1])


def _has_ended(made: _Made) -> bool:
    """Tell whether the function that has made the task has ended."""
    _, _, function, number, reference = made

    def is_function(frame: FrameType) -> bool:
        return id(frame) == number and frame.f_code is function

    if reference is None:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and not is_function(frame):
            frame = frame.f_back
        return frame is None
    task = reference()
    if task is None or task.done():
        return True
    if current_task(task.get_loop()) is task:
        return False
    return not any(is_function(frame) for _, frame in parts_of(task.get_coro()))


class _Request(NamedTuple):
    """A task was told to cancel. The frames in which it was are kept until it is clear whether one swallows it."""

    place: Place  # of the call, if the task has cancelled itself
    waiter: _types.AnyFuture | None  # what the task awaited; None if what comes of that does not matter
    cancelling: int  # task.cancelling(), with this request
    frames: list[tuple[object, FrameType, int]]  # each coroutine, its frame, and the instruction at which it waits
    origin: _Origin | None  # what makes a difference of its end; None, if it may swallow the error and end
    in_clean_up: bool = False  # it has waited while it handled the error
    passed_on: Place | None = None  # where the task that it awaited has swallowed it

    def was_swallowed(self, task: Task) -> bool:
        """Tell whether the task, which goes on, has got the CancelledError, and has not taken back the request.

        What the task awaited may have swallowed it, too.
        """
        waiter = self.waiter
        told = waiter is None or waiter.cancelled() or isinstance(_error_of(waiter), asyncio.CancelledError)
        return (told or self.passed_on is not None) and task.cancelling() >= self.cancelling

    def note(self, catching: Iterator[tuple[FrameType, int]]) -> None:
        """Note it for the first of the frames that may have caught it."""
        place = self.place_of(catching)
        if place is not _NOWHERE:
            _note("cancel-swallowed", place)

    def place_of(self, catching: Iterator[tuple[FrameType, int]]) -> Place:
        if self.passed_on is not None:
            return self.passed_on
        frame, instruction = next(catching, (None, 0))
        if not self.frames:
            return self.place
        if frame is not None and _is_program[frame.f_code.co_filename]:
            return frame.f_code.co_filename, _line(frame.f_code, instruction)
        return _NOWHERE


class _Origin:
    """Who has cancelled a task, if it is not the program by Task.cancel(), a timeout, or the end of the run.

    For these it makes no difference whether a task ends by CancelledError or swallows it and ends.
    """

    def end(self, task: Task, request: _Request) -> None:
        """The task has ended. Here: in wait_for(), which raises CancelledError all the same. Native's does not."""
        if (place := _swallowed_at(task, request)) is not None:
            _note("cancel-swallowed", place)


@dataclass(slots=True)
class _Awaiter(_Origin):
    """Who awaits the task was cancelled. It goes on with the task's result; trio cancels its next wait."""

    task: weakref.ref[Task]

    def end(self, task: Task, request: _Request) -> None:
        awaiter, place = self.task(), _swallowed_at(task, request)
        theirs = None if awaiter is None else awaiter._request
        if awaiter is not None and theirs is not None and theirs.waiter is task and place is not None:
            awaiter._request = theirs = theirs._replace(passed_on=place)
            _look_later(awaiter, theirs, task)


@dataclass(slots=True)
class _Together(_Origin):
    """Who waits for several tasks was cancelled. If all swallow it, asyncio raises it there, and trio does not."""

    running: set[Task] = field(default_factory=set)
    has_raised: bool = False  # one of them
    swallowed: list[Place] = field(default_factory=list)

    def end(self, task: Task, request: _Request) -> None:
        self.running.discard(task)
        if task.cancelled() or _error_of(task) is not None:
            self.has_raised = True
        elif (place := _swallowed_at(task, request)) is not None:
            self.swallowed.append(place)
        if not self.running and not self.has_raised:
            for place in self.swallowed:
                _note("cancel-swallowed", place)


_by_wait_for, _by_itself = _Origin(), _Origin()


def _owner(frame: FrameType) -> Any:
    """The object whose method a frame runs."""
    return frame.f_locals.get(frame.f_code.co_varnames[0])


def _groups_left(frames: Iterator[FrameType]) -> Iterator[asyncio.TaskGroup]:
    """The TaskGroups that are being left in the frames: they wait there for their tasks, and so does trio."""
    for frame in frames:
        if frame.f_code.co_name in ("__aexit__", "_aexit") and isinstance(group := _owner(frame), asyncio.TaskGroup):
            yield group


def _origin_of(frame: FrameType, task: Task) -> _Origin | None:
    """Who cancels the task, by the frame of the call, which is not the program's."""
    code, outer = frame.f_code, frame.f_back
    name = code.co_qualname
    if code is _CANCEL:
        return _Awaiter(_weak(_owner(frame)))
    if code.co_filename == _TASKS:
        if name == "_GatheringFuture.cancel":
            gathering = _owner(frame)
            if all(type(child) is Task and child._made is None for child in gathering._children):
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


def _together(owner: Any, task: Task) -> _Together:
    together: _Together | None = getattr(owner, "_cancelled_together", None)
    if together is None:
        together = owner._cancelled_together = _Together()
    together.running.add(task)
    return together


def _swallowed_at(task: Task, request: _Request) -> Place | None:
    """Where a task that has ended has swallowed the CancelledError of the request."""
    if task.cancelled() or _error_of(task) is not None or request.in_clean_up or not request.was_swallowed(task):
        return None
    place = request.place_of((frame, at) for _, frame, at in reversed(request.frames) if _went_on(frame, at))
    return None if place is _NOWHERE else place


@dataclass(slots=True)
class _Survival:
    """What went on after gather() had raised, or the wait for a shield() was cancelled. One finding for all tasks."""

    kind: str
    place: Place
    noted: bool = False

    def note(self) -> None:
        if not self.noted:
            self.noted = True
            _note(self.kind, self.place)


def _error_of(future: _types.AnyFuture) -> BaseException | None:
    """Its error, without taking note that somebody has asked for it."""
    error: BaseException | None = getattr(future, "_exception", None)
    return error


# The functions through which the program comes to a Task of its own; others, such as gather(), take care of theirs.
_CREATE = {
    *("create_task", "ensure_future", "_ensure_future", "create_eager_task_factory.<locals>.factory"),
    *("BaseLoop.create_task", "BaseLoop._make_task", "_call", "_LoopOfNursery.create_task", "TaskGroup.create_task"),
    "_watch_loops.<locals>.watched_create_task",
}
_START = {"Runner.run", "Loop.run_until_complete"}

# Up to 3.11 functions of their own.
_COMPREHENSIONS = {"<listcomp>", "<setcomp>", "<dictcomp>"}

_GENERATORS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_ASYNC = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR

_cancel, _add_done_callback = asyncio.Task.cancel, asyncio.Task.add_done_callback


class Task(asyncio.Task[Any], metaclass=_Tasks):
    """A Task that knows where it was made, who waits for it, and how it was cancelled."""

    __slots__ = "_awaiter", "_made", "_request"

    if TYPE_CHECKING:
        _made: _Made | None
        _awaiter: weakref.ref[asyncio.Task[object]] | None  # who has waited for it first
        _request: _Request | None

    _generator: FrameType | None = None  # of its maker: it may be suspended where nobody sees it
    _is_shared = False
    _survivals: tuple[_Survival, ...] = ()
    _is_told_by_run = False  # to cancel, at the end of the run, and by nobody else
    _tells_its_end = False
    _acts_for: asyncio.Task[object] | None = None  # who waits for it by wait_for(), which is no other task from 3.12 on

    # asyncio's:
    _fut_waiter: _types.AnyFuture | trio.lowlevel.Task | None
    _must_cancel: bool
    _source_traceback: list[FrameSummary] | None

    def _tell_end(self) -> None:
        if self._made is None and not self._tells_its_end:
            self._tells_its_end = True
            _add_done_callback(self, _on_end, context=_no_context)

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
        if not _is_program[file]:
            origin = _origin_of(frame, self) or origin
            if origin is _by_itself:  # a TaskGroup that is being left, of the task that leaves it
                return True
        if self._made is None:
            self._tell_end()
        place: Place = _NOWHERE
        frames: list[tuple[object, FrameType, int]] = []
        if waiter is None and current_task(self.get_loop()) is self:
            place = _place_around(frame)
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

    def add_done_callback(self, fn: Callable[[Task], object], *, context: Context | None = None) -> None:
        _add_done_callback(self, fn, context=context)
        awaiter: Any
        if self._made is None:
            return  # of asyncio's own, as the parts of gather() are
        if type(fn) is WAKEUP_TYPE:
            awaiter = fn.__self__
        elif getattr(getattr(fn, "__code__", None), "co_filename", None) == _TASKS:  # gather(), wait() ...
            awaiter = current_task(self.get_loop())
        else:
            return
        if self._awaiter is None:
            self._awaiter = None if awaiter is None else _weak(awaiter)
        elif not self._is_shared and not self.done() and not _are_one(self._awaiter(), awaiter):
            self._is_shared = True
            _note("task-shared", _place_of(self._made))

    @property
    def _callbacks(self) -> list[tuple[Callable[[Task], object], Context]] | None:  # type: ignore[override]
        """For its repr."""
        return [each for each in super()._callbacks or () if type(each[0]) is not _AtOnce] or None


_CANCEL = Task.cancel.__code__
_TASKS = asyncio.tasks.__file__
_RUNNERS = {asyncio.runners.__file__, runners.__file__}
Task.__module__ = asyncio.Task.__module__


class MadeFuture(Future[Any], metaclass=_StandsFor):
    """A Future that the program makes."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        _note("future-by-hand", _place(sys._getframe(1)))
        super().__init__(loop=loop)
        _hide_this(self)


MadeFuture.__name__ = MadeFuture.__qualname__ = "Future"
MadeFuture.__module__ = Future.__module__

_BASES: dict[type, type] = {Task: asyncio.Task, MadeFuture: Future}


_weak, _new = weakref.ref, tuple.__new__
_make: Any = type.__call__.__get__(Task)  # without what the metaclass does
_no_context = Context()
_CREATE_TASK, _GROUPS_CREATE_TASK = tasks.create_task.__code__, asyncio.TaskGroup.create_task.__code__


def _are_one(first: object, second: object) -> bool:
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
        _settle(task)
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
    _settle(task)


def _settle(task: Task) -> None:
    generator, task._generator = task._generator, None
    if generator is not None:
        has_outlived = _last_operation(generator).startswith(("RETURN", "RERAISE"))
    else:
        has_outlived = task._made is not None and task._made[3] != 0 and _has_ended(task._made)
    if has_outlived:
        _note_task("task-outlived", task)
    if task._survivals and (not task.cancelled() or task._is_told_by_run):
        for survival in task._survivals:
            survival.note()
        task._survivals = ()


def _note_task(kind: str, task: Task) -> None:
    if task._made is not None:
        _note(kind, _place_of(task._made))


_on_end = _AtOnce(_ends)


def _went_on(frame: FrameType, waited_at: int) -> bool:
    """Tell whether a frame has caught the error that was raised where it waited: it returned, or waits elsewhere."""
    operation = _last_operation(frame)
    return operation.startswith("RETURN") or (operation in ("YIELD_VALUE", "RESUME") and frame.f_lasti != waited_at)


def _look_later(task: Task, request: _Request, waiter: _types.AnyFuture | None) -> None:
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


def _look(task: Task, request: _Request, waiter: object = None) -> None:
    if task._request is not request:
        return
    awaited = task._fut_waiter
    if awaited is not None and not isinstance(awaited, Future):
        task._request = None  # a wait of trio's
    elif _is_to_step(task):
        _look_later(task, request, awaited)
    else:
        _look_after(task, request)


def _is_to_step(task: Task) -> bool:
    """Tell whether a step of the task is still to come, which gives it what it was told."""
    awaited = task._fut_waiter
    return task._must_cancel or (isinstance(awaited, Future) and awaited.done())


def _look_after(task: Task, request: _Request) -> None:
    """Look at a task that waits again, and note whether it has swallowed the CancelledError."""
    if not request.was_swallowed(task):
        task._request = None
        return
    awaited: Any = task._fut_waiter
    coroutines = list(parts_of(task.get_coro()))
    now = {id(coro) for coro, _ in coroutines}
    request.frames[:] = [
        each for each in request.frames if id(each[0]) in now or _last_operation(each[1]).startswith("RETURN")
    ]
    # The error that a coroutine handles is among what it refers to.
    handling = [
        number
        for number, (coro, _) in enumerate(coroutines)
        if any(isinstance(each, asyncio.CancelledError) for each in gc.get_referents(coro))
    ]
    if handling:  # a clean-up; later looks will tell whether the task waits again after it
        if not request.in_clean_up:
            request = task._request = request._replace(in_clean_up=True)
            _note("cleanup-wait", _place_of_clean_up([frame for _, frame in coroutines[handling[-1] :]]))
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
        frames = [frame for frame in frames[1:] if _is_program[frame.f_code.co_filename]]
    return _place(frames[0] if frames else None)


# --- the run ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Run:
    """A call of asyncio.run() or the like; what comes before the first is one, too."""

    has_failed: bool = False


_run = _Run()


def _begin_run(main: Task) -> None:
    global _run
    run = _run = _Run()

    def end(task: Task) -> None:
        run.has_failed = task.cancelled() or _is_failure(_error_of(task))

    _add_done_callback(main, _AtOnce(end))


def _is_failure(error: BaseException | None) -> bool:
    return error is not None and not (isinstance(error, SystemExit) and not error.code)


# --- what is put around asyncio's ------------------------------------------------------------------------------------


def gather(*aws: Awaitable[object], return_exceptions: bool = False) -> Future[list[object]]:
    outer: Future[list[object]] = _gather(*aws, return_exceptions=return_exceptions)
    if not return_exceptions:
        place = _place(sys._getframe(1))
        outer.add_done_callback(_AtOnce(_end_of_gather, place))
    return outer


def _end_of_gather(place: Place, outer: _types.AnyFuture) -> None:
    if _error_of(outer) is not None:
        _survive(_Survival("gather-survivor", place), getattr(outer, "_children", []))


def shield(arg: Awaitable[T]) -> Future[T]:
    place = _place(sys._getframe(1))
    _note("shield", place)
    inner = asyncio.ensure_future(arg)
    outer = _shield(inner)
    if outer is not inner:
        outer.add_done_callback(_AtOnce(_end_of_shield, place, inner))
    return outer


def _end_of_shield(place: Place, inner: _types.AnyFuture, outer: _types.AnyFuture) -> None:
    if outer.cancelled():
        _survive(_Survival("shield-survivor", place), [inner])


def _survive(survival: _Survival, futures: list[_types.AnyFuture]) -> None:
    for future in futures:
        if type(future) is Task and not future.done():
            future._survivals += (survival,)
            future._tell_end()


_gather, _shield = asyncio.gather, asyncio.shield


def _watch_loops() -> None:
    loop: Any = events.BaseLoop
    call_soon, create_task = loop.call_soon, loop.create_task

    @functools.wraps(call_soon)
    def watched_call_soon(self: Any, callback: Any, *args: Any, context: Any = None) -> Any:
        kind = type(callback)
        if kind is STEP_TYPE:  # for speed, as all that is not _note()
            if self._closed:
                call_soon(self, callback, context=context)
            self._append((context, callback))
            return None
        if kind is WAKEUP_TYPE and callback.__name__ == WAKEUP_NAME and not self._closed:
            self._append((context, callback, args[0]))
            return None
        if kind is _AtOnce:
            return callback(*args)
        # The interpreter gives a context with what a Future calls when it is done.
        if context is None or not (args and isinstance(args[0], Future)):
            _note("loop-callback", _place(sys._getframe(1)))
        handle = call_soon(self, callback, *args, context=context)
        return _hide_this(handle) if self._debug else handle

    @functools.wraps(create_task)
    def watched_create_task(self: Any, coro: Any, **kwargs: Any) -> Any:
        frame: Any = sys._getframe(1)
        caller = code = frame.f_code
        if code is _CREATE_TASK or code is _GROUPS_CREATE_TASK:
            frame = frame.f_back
            code = frame.f_code
        if self._closed or self._debug or self._task_factory is not None or "eager_start" in kwargs:
            return create_task(self, coro, **kwargs)
        made: _Made
        generator = None
        if not _is_program[code.co_filename]:
            found, function, in_group = _program_that_calls(frame)
            if found is None:
                task = _make(coro, loop=self, **kwargs)
                task._made = task._awaiter = task._request = None
                _note_user(task, function)
                return task
            made, generator = _maker(found, in_group)
        elif caller is _GROUPS_CREATE_TASK:
            made = code, frame.f_lasti, code, 0, None
        elif code.co_flags & inspect.CO_COROUTINE and (maker := current_task(self)) is not None:
            made = code, frame.f_lasti, code, id(frame), _weak(maker)
        else:
            made, generator = _maker(frame, False)
        task = _make(coro, loop=self, **kwargs)
        task._made = made
        if generator is not None:
            task._generator = generator
        task._awaiter = task._request = None
        _add_done_callback(task, _on_end, context=_no_context)
        return task

    loop.call_soon, loop.create_task = watched_call_soon, watched_create_task
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
                _note_task("error-unretrieved", task)
            elif message == "Task was destroyed but it is pending!":
                _settle(task)
        call_exception_handler(self, context)

    loop.call_exception_handler = watched_call_exception_handler


def _noting(kind: str, method: Callable[P, T]) -> Callable[P, T]:
    """A method of the loop that takes note of the program's calls."""

    @functools.wraps(method)
    def noting(*args: P.args, **kwargs: P.kwargs) -> T:
        _note(kind, _place(sys._getframe(1)))
        return _hide_this(method(*args, **kwargs))

    return noting


def _watch_locks() -> None:
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
                self._used_in = _weak(loop)
        self._holder = holder
        return True

    @functools.wraps(release)
    def watched_release(self: _Lock) -> None:
        holder = self._holder
        if holder is None or current_task(holder.get_loop()) is not holder:  # up to 3.11 to ask for the loop takes long
            loop = get_running_loop()
            releasing = None if loop is None else current_task(loop)
            if holder is not releasing and self._locked and not _are_one(holder, releasing):
                _note("lock-other-task", _place_around(sys._getframe(1)))
        self._holder = None
        release(self)

    @functools.wraps(init)
    def watched_init(self: asyncio.Condition, lock: asyncio.Lock | None = None) -> None:
        init(self, locks.Lock() if lock is None else lock)

    lock._holder, lock._used_in = None, type(None)
    lock.acquire, lock.release, condition.__init__ = watched_acquire, watched_release, watched_init


def _watch_queues() -> None:
    base: Any = queues._Base

    @functools.wraps(base.__init__)
    def watched_init(self: _Queue, *args: Any, **kwargs: Any) -> None:
        super(base, self).__init__(*args, **kwargs)
        self._made_in, self._made_at = _run, _place(sys._getframe(1))

    base.__init__, base.__del__ = watched_init, _note_left_items


def _note_left_items(queue: _Queue) -> None:
    place, queue._made_at = getattr(queue, "_made_at", _NOWHERE), _NOWHERE
    if place is not _NOWHERE and not queue._made_in.has_failed and queue.qsize():
        _note("queue-left", place)


def install(program: list[str], prints: bool, json_file: str | None) -> None:
    """Watch from here on, and tell at the end: print it to stderr, write it to a file as JSON, or both.

    Call it before compat.install(), which brings the functions to the program.
    """
    target = None if json_file is None else _target_of(json_file)
    vars(events)["Task"] = Task
    _watch_loops()
    _watch_locks()
    _watch_queues()
    replaced: dict[str, object] = {
        "Task": Task,
        "gather": functools.wraps(_gather)(gather),
        "shield": functools.wraps(_shield)(shield),
    }
    if sys.version_info >= (3, 12):
        replaced["eager_task_factory"] = asyncio.create_eager_task_factory(Task)
    vars(tasks).update(replaced)
    vars(futures).update(Future=MadeFuture)
    atexit.register(_end, program, prints, target, os.getpid())


# --- the file --------------------------------------------------------------------------------------------------------


def _target_of(path: str) -> str | int:
    """Where to write the list: a file, links followed, or one of this process's files, as /dev/stdout is.

    Exits with status 2 if it cannot be written there, or something else would be lost. The file stays as it is.
    """
    try:
        target = _follow(os.path.abspath(path) if path else path)
        if isinstance(target, int):
            os.write(target, b"")
            return target
        try:
            status = os.stat(target)
        except FileNotFoundError:
            with open(target, "x"):
                pass
            os.unlink(target)
            return target
        if stat.S_ISREG(status.st_mode):
            with open(target, "r+") as file:
                content = file.read()
            if content and FORMAT not in content:
                sys.exit(_cannot_write(path, "it is there, and is no list of --watch-json's"))
        elif stat.S_ISDIR(status.st_mode) or not os.access(target, os.W_OK):
            number = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EACCES
            raise OSError(number, os.strerror(number))
    except (OSError, ValueError) as error:
        sys.exit(_cannot_write(path, error))
    return target


def _follow(path: str) -> str | int:
    with contextlib.suppress(FileNotFoundError):
        os.stat(path)  # raises OSError for links that go in a circle
    while os.path.islink(path):
        folder, name = os.path.split(path)
        if os.path.realpath(folder) == f"/proc/{os.getpid()}/fd":
            return int(name)
        path = os.path.join(folder, os.readlink(path))
    return path


def _cannot_write(path: str, why: object) -> int:
    print(f"--watch-json: cannot write {path}: {why}", file=sys.stderr)
    return 2


def _write(target: str | int, text: str) -> None:
    """Write the list. Who reads the file finds the whole of it, or what was there before, whatever ends the process."""
    if isinstance(target, int):
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
        with open(target, "w", encoding="utf-8", closefd=False) as stream:  # so its place in a file moves
            stream.write(text)
        return
    try:
        status = os.stat(target)
    except FileNotFoundError:
        status = None
    if status is None or stat.S_ISREG(status.st_mode):
        beside = os.path.join(os.path.dirname(target), f".watch-json-{os.getpid()}")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError:
            if status is None:
                raise  # else the folder takes no new file, and the file is written in its place
        else:
            try:
                with open(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                if status is not None:
                    with contextlib.suppress(PermissionError):
                        os.chown(beside, status.st_uid, status.st_gid)
                    os.chmod(beside, stat.S_IMODE(status.st_mode))
                os.replace(beside, target)
            except BaseException:
                os.unlink(beside)
                raise
            return
    with open(target, "w", encoding="utf-8") as file:
        file.write(text)


# --- the end ---------------------------------------------------------------------------------------------------------


def fail(error: BaseException) -> None:
    """Take note of what the program has raised: then what is left in its queues means nothing."""
    global _program_has_failed
    _program_has_failed = _is_failure(error)


_program_has_failed = False


def _end(program: list[str], prints: bool, target: str | int | None, process: int) -> None:
    if os.getpid() != process:
        return  # of os.fork()
    for thing in gc.get_objects():
        kind = type(thing)
        if kind is Task:
            if thing._log_traceback:
                _note_task("error-unretrieved", thing)
            if not thing.done():
                _settle(thing)
        elif issubclass(kind, queues._Base) and not _program_has_failed:
            _note_left_items(thing)
    found = sorted(_found.items(), key=lambda item: (list(KINDS).index(item[0][0]), item[0][1]))
    if target is not None:
        _write(target, json.dumps(_as_json(program, found), indent=1) + "\n")
    if prints:
        print(_as_text(found), file=sys.stderr)


Found: TypeAlias = list[tuple[tuple[str, Place], int]]


def _as_json(program: list[str], found: Found) -> dict[str, object]:
    findings = [
        {
            "kind": kind,
            "file": file if file[0] == "<" else os.path.abspath(file),
            "line": line,
            "count": count,
            "what": KINDS[kind][0],
            "todo": KINDS[kind][1],
        }
        for (kind, (file, line)), count in found
    ]
    python = sys.version.partition(" ")[0]
    return {"format": FORMAT, "version": VERSION, "python": python, "program": program, "findings": findings}


def _as_text(found: Found) -> str:
    places = f"{len(found)} place{'s' if len(found) > 1 else ''}" if found else "nothing found"
    lines = [f"compat --watch: {places}"]
    kinds = dict.fromkeys(kind for (kind, _), _ in found)
    for kind in kinds:
        what, todo = KINDS[kind]
        lines += ["", f"{kind}: {what}", f"  Before the port: {todo}"]
        for (_, (file, line)), count in (each for each in found if each[0][0] == kind):
            here = os.path.abspath(file).removeprefix(os.getcwd() + os.sep) if file[0] != "<" else file
            lines.append(f"  {here}:{line}{f', {count} times' if count > 1 else ''}")
    return "\n".join(lines)
