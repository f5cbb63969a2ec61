"""Shows what runs: the tree of trio's nurseries and tasks, with the asyncio tasks in their places.

It only reads: nothing is cancelled, awaited or scheduled, so it works from another thread and from a signal handler, in
the middle of a step that never ends.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import linecache
import math
import os
import signal
import sys
import threading
import types
from collections.abc import Iterable, Iterator
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import TextIO, TypeAlias

import outcome
import sniffio
import trio

from compat import adapters
from compat._coroutines import parts_of
from compat.adapters import _trio, _types, events

__all__ = ["print_tasks", "print_tasks_on"]

Task: TypeAlias = "asyncio.Task[object] | trio.lowlevel.Task"


def print_tasks(file: TextIO | None = None) -> None:
    """Print every task, what it awaits and where, as a tree of nurseries; to sys.stderr or the file given.

    It shows the trio run of the calling thread and every run with an asyncio loop, in whatever thread. It may be called
    anywhere: in a task, outside of any run, from another thread. See print_tasks_on() for a program that hangs.
    """
    _write(_describe_all(inspect.currentframe()), file or sys.stderr)


def print_tasks_on(signum: int | str) -> None:
    """From now on print what print_tasks() prints, to sys.stderr, when the signal comes: `kill -USR1 PID`.

    The signal is a number, such as signal.SIGUSR1, or a name, "USR1" or "SIGUSR1". Its handler is replaced. It works
    while a step never ends, too, as long as that is Python code. Raises ValueError for what cannot be handled, and
    outside of the main thread. https://docs.python.org/3/library/signal.html#signal.signal
    """
    try:
        number = signal.Signals["SIG" + signum.upper().removeprefix("SIG")] if isinstance(signum, str) else signum
        signal.signal(number, lambda signum, frame: _write(_describe_all(frame), sys.stderr))
    except (KeyError, OSError, OverflowError):
        names = ", ".join(each.name[3:] for each in signal.Signals if each.name not in ("SIGKILL", "SIGSTOP"))
        raise ValueError(f"{signum!r} is no signal that can be handled; these can be: {names}") from None
    if hasattr(signal, "siginterrupt"):
        signal.siginterrupt(number, False)


def _write(text: str, file: TextIO) -> None:
    try:
        file.write(text)
        file.flush()
    except RuntimeError:  # the signal came in the middle of a write to the same file
        os.write(file.fileno(), text.encode(errors="backslashreplace"))


@dataclass
class _Node:
    """One entry of the tree: a task or a nursery."""

    lines: list[str]
    children: list[_Node] = field(default_factory=list)

    def show(self, first: str = "", rest: str = "") -> Iterator[str]:
        yield first + self.lines[0]
        for line in self.lines[1:]:
            yield f"{rest}{'│' if self.children else ' '}  {line}"
        for child in self.children[:-1]:
            yield from child.show(f"{rest}├─ ", f"{rest}│  ")
        for child in self.children[-1:]:
            yield from child.show(f"{rest}└─ ", f"{rest}   ")


def _describe_all(frame: types.FrameType | None) -> str:
    stacks = {**sys._current_frames(), threading.get_ident(): frame}
    found: dict[object, _Run] = {}
    runner = _trio.runs.current_runner()
    if runner is not None:
        found[runner] = _Run(runner, None, threading.get_ident(), stacks)
    for loop in _loops():
        found[loop._runner] = _Run(loop._runner, loop, loop._thread_id, stacks)
    trees = [line for run in found.values() for line in run.tree().show()]
    return "\n".join([*(trees or ["no trio run and no asyncio loop"]), ""])


def _loops() -> list[events.BaseLoop]:
    while True:
        try:
            return list(events.open_loops)
        except RuntimeError:  # another thread has just opened one
            continue


class _Run:
    """One trio run, with the loop in it if there is one."""

    def __init__(
        self,
        runner: _trio.names.Runner,
        loop: events.BaseLoop | None,
        thread: int | None,
        stacks: dict[int, types.FrameType | None],
    ) -> None:
        self.root = _trio.runs.root_task(runner)
        self.loop = loop
        self.thread = thread
        self.stack = list(_outwards(stacks.get(thread))) if thread is not None else []
        self.stacks = stacks
        self.now = _trio.runs.clock_of(runner).current_time()
        self.internal = 0
        self.tasks: set[Task] = set() if self.root is None else {*_tasks_below(self.root)}
        if loop is not None:
            self.tasks.update(map(_key, _tasks_of(loop)))
        # Who waits for which asyncio tasks, by TaskGroup, or by gather() and the like under None.
        self.awaited_by: dict[Task, dict[object, list[asyncio.Task[object]]]] = {}
        self.below: dict[Task, Task] = {}  # the other way round
        if loop is not None:
            self.find_children(loop)
        # The locks, and the like, that tasks hold and wait for; and the other way round, by the id of the lock.
        self.holds: dict[Task, list[object]] = {}
        self.wants: dict[Task, object] = {}
        self.holders: dict[int, list[str]] = {}
        self.waiters: dict[int, list[str]] = {}
        self.find_locks()

    def find_children(self, loop: events.BaseLoop) -> None:
        """Find out which tasks others wait for: what wakes these is among the callbacks of the former."""
        waits: dict[int, Task] = {}
        for task in self.tasks:
            futures = [_awaited_future(task)]
            for future in futures:
                waits[id(future)] = task
                futures += [each for each in getattr(future, "_children", ()) if not isinstance(each, asyncio.Task)]
        waits.pop(id(None), None)
        for task in self.tasks:
            if not isinstance(task, asyncio.Task) or task in loop._scheduler.homes:
                continue  # trio's, or in the nursery of its TaskGroup
            callback: object
            for callback, *_ in getattr(task, "_callbacks", None) or ():
                group = getattr(callback, "__self__", None)
                if group is not None and hasattr(group, "_parent_task"):
                    self.note_child(task, _key(group._parent_task), group)
                args = callback.args if isinstance(callback, partial) else ()
                cells = (callback.__closure__ or ()) if isinstance(callback, types.FunctionType) else ()
                for future in (*args, *gc.get_referents(*cells)):
                    self.note_child(task, waits.get(id(future)), None)
        for task in self.tasks:
            future = _awaited_future(task)
            if isinstance(future, asyncio.Task) and any(
                frame.f_code.co_name == "wait_for" for frame in _innermost(_frames(_coro(task)))
            ):
                self.note_child(future, task, None)

    def note_child(self, task: asyncio.Task[object], parent: Task | None, group: object) -> None:
        above = parent
        while above is not None and above is not task:
            above = self.below.get(above)
        if parent in self.tasks and above is None and task not in self.below:  # else they wait for one another
            self.below[task] = parent
            self.awaited_by.setdefault(parent, {}).setdefault(group, []).append(task)

    def find_locks(self) -> None:
        """Find out who has entered `async with lock`, and who waits for that."""
        for task in self.tasks:
            coro = _coro(task)
            if self.frames_of(coro)[1]:
                continue  # what a running frame has entered is not to be seen
            calls = [
                (frame.f_code.co_name, _lock_of(frame.f_locals.get("self"))) for frame in _innermost(_frames(coro))
            ]
            for name, lock in calls:
                if name == "acquire":
                    self.wants[task] = lock
            inside = {id(lock) for _, lock in calls}  # to wait in a Condition is to hold it no longer
            self.holds[task] = [lock for lock in _entered(coro) if id(lock) not in inside]
        for task, lock in self.wants.items():
            self.waiters.setdefault(id(lock), []).append(_name(task))
        for task, locks in self.holds.items():
            for lock in locks:
                self.holders.setdefault(id(lock), []).append(_name(task))

    def tree(self) -> _Node:
        thread = next((each.name for each in threading.enumerate() if each.ident == self.thread), None)
        title = f"trio run in thread {thread}" if thread else "trio run that stands still"
        children = [*self.callback(), *(self.children_of(self.root) if self.root is not None else [])]
        if self.internal:
            children.append(_Node([f"(and {self.internal} tasks that do the work behind)"]))
        return _Node([title if self.loop is None else f"{title}, {self.loop!r}"], children)

    def callback(self) -> Iterator[_Node]:
        """What call_soon() runs right now, if it does."""
        for depth, frame in enumerate(self.stack):
            if frame.f_code is events.Handle._run.__code__:
                inside = [each for each in self.stack[:depth] if not _is_hidden(each)]
                yield _Node(["a callback, running", *map(_place, reversed(inside))])

    def tasks_without_trio(self) -> Iterator[asyncio.Task[object]]:
        """The asyncio tasks in which nothing of trio's has been called yet: trio does not know them."""
        assert self.loop is not None
        for task in _tasks_of(self.loop):
            if task not in self.loop._scheduler.stand_ins and not isinstance(task, _trio.stand_ins.AsyncioStandIn):
                yield task

    def thread_calls(self) -> Iterator[str]:
        """The functions that run_in_executor() runs in threads now."""
        assert self.loop is not None
        in_thread = _trio.threads.call_as_thread_of.__code__
        for frame in (frame for stack in self.stacks.values() for frame in _outwards(stack)):
            if frame.f_code is in_thread and frame.f_locals["token"].runner is self.loop._runner:
                yield _name_of_function(frame.f_locals["fn"])

    def node_of(self, task: asyncio.Task[object]) -> _Node:
        frames, running = self.frames_of(task.get_coro())
        return _Node(self.lines_of(task, frames, running), self.nodes_awaited_by(task))

    def nodes_awaited_by(self, task: Task) -> list[_Node]:
        """What a task waits for by TaskGroup, gather() and the like."""
        nodes = []
        for group, children in self.awaited_by.get(_key(task), {}).items():
            inside = []
            for child in sorted(children, key=lambda child: _by_number(child.get_name())):
                stand_in = None if self.loop is None else self.loop._scheduler.stand_ins.get(child)
                inside += [self.node_of(child)] if stand_in is None else self.nodes_of(stand_in, False)
            nodes += inside if group is None else [_Node(["TaskGroup"], inside)]
        return nodes

    def frames_of(self, coro: object) -> tuple[list[types.FrameType], bool]:
        """The frames of a coroutine, the outermost first, and whether it is running."""
        frames = list(_frames(coro))
        running = bool(frames) and frames[0] in self.stack
        if running:  # of these the coroutine itself knows only the outermost
            frames = self.stack[self.stack.index(frames[0]) :: -1]
        return frames, running

    def children_of(self, task: trio.lowlevel.Task, in_ours: bool = True) -> list[_Node]:
        """The nurseries of a task; what is in a nursery of our own or trio's comes in their place."""
        nodes = []
        for nursery in task.child_nurseries:
            of_loop = self.loop is not None and nursery is self.loop._nursery
            ours = in_ours or of_loop or any(_holds_loop(task) for task in nursery.child_tasks)
            tasks = [task for task in nursery.child_tasks if _key(task) not in self.below]
            found = [(_place_of(task), self.nodes_of(task, ours)) for task in tasks]
            if of_loop:
                bare = (task for task in self.tasks_without_trio() if task not in self.below)
                found += [((True, *_by_number(each.get_name())), [self.node_of(each)]) for each in bare]
                found += [((True, -1, name), [_Node([f"a thread: {name}"])]) for name in self.thread_calls()]
            children = [node for _, nodes in sorted(found, key=lambda each: each[0]) for node in nodes]
            if of_loop:
                nodes += [_Node(["the loop's tasks"], children)] if children else []
            elif ours:
                nodes += children
            elif children:
                nodes.append(_Node([self.title_of(nursery)], children))
        return nodes

    def title_of(self, nursery: trio.Nursery) -> str:
        scope = nursery.cancel_scope
        left = scope.deadline - self.now
        return (
            ("nursery" if getattr(nursery, "aio_tasks", None) is None else "TaskGroup")
            + (
                ", cancelled"
                if _trio.runs.is_cancel_called(scope)
                else f", {left:.1f} seconds left"
                if left < math.inf
                else ""
            )
            + (", shielded" if scope.shield else "")
        )

    def nodes_of(self, task: trio.lowlevel.Task, in_ours: bool) -> list[_Node]:
        """The entry of a task; if it is not the program's own, the entries of what it holds."""
        if type(task) is _trio.scheduler.Scheduler:
            self.internal += 1
            return []
        carried = task.aio_task if type(task) is _trio.stand_ins.TrioStandIn else task
        frames, running = self.frames_of(_coro(carried))
        if in_ours and carried is task and (not frames or all(map(_is_hidden, frames))):
            self.internal += 1
            return self.children_of(task) + self.nodes_awaited_by(task)
        lines = self.lines_of(carried, frames, running)
        return [_Node(lines, self.children_of(task, in_ours=False) + self.nodes_awaited_by(task))]

    def lines_of(self, task: Task, frames: list[types.FrameType], running: bool) -> list[str]:
        coro = _coro(task)
        if isinstance(task, asyncio.Task):
            title = f"asyncio task {task.get_name()!r}: {getattr(coro, '__qualname__', coro)}"
        else:
            title = f"{'main' if _trio.runs.is_main(task) else 'trio'} task: {task.name}"
        places = [_place(frame) for frame in frames if not _is_hidden(frame)]
        if running:
            return [f"{title}, running", *places]
        if inspect.iscoroutine(coro) and inspect.getcoroutinestate(coro) == inspect.CORO_CREATED:
            return [f"{title}, about to begin"]
        return [title, *places, *_what_is_awaited(frames, _awaited_future(task)), *self.locks_of(_key(task))]

    def locks_of(self, task: Task) -> Iterator[str]:
        """Who holds what a task waits for, and who waits for what it holds."""
        if task in self.wants and (names := self.holders.get(id(self.wants[task]))):
            yield f"held by {_list_of_tasks(names)}"
        for lock in self.holds.get(task, ()):
            if names := self.waiters.get(id(lock)):
                yield f"holds the {type(lock).__name__} for {_list_of_tasks(names)}"


def _tasks_below(task: trio.lowlevel.Task) -> Iterator[Task]:
    yield _key(task)
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from _tasks_below(child)


def _key(task: Task) -> Task:
    """The one of the two tasks, asyncio's and trio's, for which the other stands in."""
    if type(task) is _trio.stand_ins.TrioStandIn:
        return task.aio_task
    return task.trio_task if type(task) is _trio.stand_ins.AsyncioStandIn else task


def _name(task: Task) -> str:
    return task.get_name() if isinstance(task, asyncio.Task) else task.name


def _coro(task: Task) -> object:
    return task.get_coro() if isinstance(task, asyncio.Task) else task.coro


def _awaited_future(task: Task) -> _types.AnyFuture | None:
    if not isinstance(task, asyncio.Task):
        return _trio.stand_ins.awaited_future(task)
    future = task._fut_waiter  # type: ignore[attr-defined]
    return None if type(future) is _trio.stand_ins.TrioStandIn else future  # that is a wait of trio's


def _list_of_tasks(names: list[str]) -> str:
    names = [repr(name) for name in sorted(names, key=_by_number)]
    return f"task{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _tasks_of(loop: events.BaseLoop) -> list[asyncio.Task[object]]:
    while True:
        try:
            return list(asyncio.all_tasks(loop))
        except RuntimeError:  # another thread has just made one
            continue


def _holds_loop(task: trio.lowlevel.Task) -> bool:
    """Tell whether it is the task that open_loop() starts to hold the loop's nursery."""
    frame = getattr(task.coro, "cr_frame", None)
    return frame is not None and frame.f_code is events.HostedLoop._hold_nursery.__code__


def _place_of(task: trio.lowlevel.Task) -> tuple[bool, int, str]:
    """The main task first, and the others by their names."""
    return not _trio.runs.is_main(task), *_by_number(task.name)


def _name_of_function(func: object) -> str:
    """The function's own name, also where to_thread() has wrapped it up with its arguments and its context."""
    if isinstance(func, partial):
        in_context = isinstance(getattr(func.func, "__self__", None), Context) and func.args
        return _name_of_function(func.args[0] if in_context else func.func)
    return getattr(func, "__qualname__", None) or repr(func)


def _by_number(name: str) -> tuple[int, str]:
    """Order names by the number that asyncio ends them with: trio keeps its tasks in no order."""
    number = name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1, name


# --- frames ----------------------------------------------------------------------------------------------------------


def _outwards(frame: types.FrameType | None) -> Iterator[types.FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _frames(coro: object) -> Iterator[types.FrameType]:
    """The frames of a suspended coroutine, the outermost first."""
    return (frame for _, frame in parts_of(coro))


def _innermost(frames: Iterable[types.FrameType]) -> list[types.FrameType]:
    """Those of the machine that the program's innermost one has called."""
    inside: list[types.FrameType] = []
    for frame in frames:
        inside = [*inside, frame] if _is_hidden(frame) else []
    return inside


def _lock_of(lock: object) -> object:
    return getattr(lock, "_lock", lock)  # a Condition's


_METHODS = types.FunctionType, types.MethodType, types.BuiltinMethodType


def _entered(coro: object) -> Iterator[object]:
    """What `async with` has entered in a suspended coroutine, or is about to: its __aexit__ is kept by the frame.

    As a bound method; from Python 3.14 on as a function, followed by what it is a method of.
    """
    for each, _ in parts_of(coro):
        for method, following in pairwise([*gc.get_referents(each), None]):
            if type(method) in _METHODS and method.__name__ == "__aexit__":
                yield _lock_of(getattr(method, "__self__", following))


def _folder(package: types.ModuleType) -> str:
    return package.__path__[0] + os.sep


_OURS = os.path.dirname(__file__) + os.sep
_HIDDEN = (_OURS, *map(_folder, (adapters, trio, outcome, sniffio, asyncio)), "<frozen ")


def _is_hidden(frame: types.FrameType) -> bool:
    """Tell whether a frame is of the machine, and not of the program or a library of it."""
    return frame.f_code.co_filename.startswith(_HIDDEN)


def _place(frame: types.FrameType) -> str:
    code, line = frame.f_code, frame.f_lineno or frame.f_code.co_firstlineno
    path, here = code.co_filename, os.getcwd() + os.sep
    text = linecache.getline(path, line, frame.f_globals).strip()
    return f"{path.removeprefix(here)}:{line} in {code.co_qualname}{': ' if text else ''}{text}"


def _what_is_awaited(frames: list[types.FrameType], future: _types.AnyFuture | None) -> Iterator[str]:
    """The function of trio or asyncio that the innermost line calls, and the task or future behind it."""
    calls = [call for call in map(_function, _innermost(frames)) if call]
    named = [call for call in calls if not call.endswith("__")] or calls
    if calls and calls[0] == "trio.NurseryManager.__aexit__":
        what = "the tasks of its nursery"
    elif calls and calls[0] == "asyncio.TaskGroup.__aexit__":
        what = "the tasks of its TaskGroup"
    else:
        what = named[0] if named else ""
    if isinstance(future, asyncio.Task):
        what += f"{': ' if what else ''}task {future.get_name()!r}"
    elif children := getattr(future, "_children", None):
        names = [each.get_name() for each in children if isinstance(each, asyncio.Task) and not each.done()]
        what += f"{': ' if what else ''}{_list_of_tasks(names)}"
    elif future is not None and not what:
        what = "a Future"
    if what:
        yield f"awaits {what}"


def _function(frame: types.FrameType) -> str:
    """The public name of a function of the machine, "" for what everything passes through."""
    module = frame.f_globals.get("__name__", "")
    name = frame.f_code.co_qualname
    if module.rpartition(".")[2] in ("futures", "_traps", "waits", "types") or name == "Task.work":  # that of native
        return ""
    world = "trio" if module.partition(".")[0] == "trio" else "asyncio"
    return f"{world}.{name.replace('<locals>.', '')}"
