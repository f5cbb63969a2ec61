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
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

import outcome
import sniffio
import trio

from compat import adapters
from compat.adapters import _executors, _trio, events

__all__ = ["print_tasks", "print_tasks_on"]


def print_tasks(file: TextIO | None = None) -> None:
    """Print every task, what it awaits and where, as a tree of nurseries; to sys.stderr or the file given.

    It shows the trio run of the calling thread and every run with an asyncio loop, in whatever thread. It may be called
    anywhere: in a task, outside of any run, from another thread. See print_tasks_on() for a program that hangs.
    """
    _write(_describe_all(inspect.currentframe()), file or sys.stderr)


def print_tasks_on(signum: int) -> None:
    """From now on print what print_tasks() prints, to sys.stderr, when the signal comes: `kill -USR1 PID`.

    It replaces the signal's handler, and works while a step never ends, too, as long as that is Python code. Raises
    ValueError outside of the main thread. https://docs.python.org/3/library/signal.html#signal.signal
    """
    signal.signal(signum, lambda signum, frame: _write(_describe_all(frame), sys.stderr))
    if hasattr(signal, "siginterrupt"):
        signal.siginterrupt(signum, False)


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
    found: dict[Any, _Run] = {}
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

    def __init__(self, runner: Any, loop: events.BaseLoop | None, thread: int | None, stacks: dict[int, Any]) -> None:
        self.root = _trio.runs.root_task(runner)
        self.loop = loop
        self.thread = thread
        self.stack = list(_outwards(stacks.get(thread))) if thread is not None else []
        self.stacks = stacks
        self.now = _trio.runs.clock_of(runner).current_time()
        self.internal = 0

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

    def tasks_without_trio(self) -> Iterator[Any]:
        """The asyncio tasks in which nothing of trio's has been called yet: trio does not know them."""
        assert self.loop is not None
        for task in _tasks_of(self.loop):
            if task not in self.loop._scheduler.stand_ins and not isinstance(task, _trio.stand_ins.AsyncioStandIn):
                yield task

    def thread_calls(self) -> Iterator[str]:
        """The functions that run_in_executor() runs in threads now."""
        assert self.loop is not None
        token = _trio.threads.token_of(self.loop._runner)
        for frame in (frame for stack in self.stacks.values() for frame in _outwards(stack)):
            if name := _executors.called_in_thread(frame, token):
                yield name

    def node_of(self, task: Any) -> _Node:
        frames, running = self.frames_of(task.get_coro())
        return _Node(self.lines_of(None, task, frames, running))

    def frames_of(self, coro: Any) -> tuple[list[types.FrameType], bool]:
        """The frames of a coroutine, the outermost first, and whether it is running."""
        frames = list(_frames(coro))
        running = bool(frames) and frames[0] in self.stack
        if running:  # of these the coroutine itself knows only the outermost
            frames = self.stack[self.stack.index(frames[0]) :: -1]
        return frames, running

    def children_of(self, task: Any, in_ours: bool = True) -> list[_Node]:
        """The nurseries of a task; what is in a nursery of our own or trio's comes in their place."""
        nodes = []
        for nursery in task.child_nurseries:
            of_loop = self.loop is not None and nursery is self.loop._nursery
            ours = in_ours or of_loop or any(_holds_loop(task) for task in nursery.child_tasks)
            found = [(_place_of(task), self.nodes_of(task, ours)) for task in nursery.child_tasks]
            if of_loop:
                bare = self.tasks_without_trio()
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
            "nursery"
            + (
                ", cancelled"
                if _trio.runs.is_cancel_called(scope)
                else f", {left:.1f} seconds left"
                if left < math.inf
                else ""
            )
            + (", shielded" if scope.shield else "")
        )

    def nodes_of(self, task: Any, in_ours: bool) -> list[_Node]:
        """The entry of a task; if it is not the program's own, the entries of what it holds."""
        if type(task) is _trio.scheduler.Scheduler:
            self.internal += 1
            return []
        asyncio_task = task.aio_task if type(task) is _trio.stand_ins.TrioStandIn else None
        frames, running = self.frames_of(asyncio_task.get_coro() if asyncio_task is not None else task.coro)
        if in_ours and asyncio_task is None and (not frames or all(map(_is_hidden, frames))):
            self.internal += 1
            return self.children_of(task)
        lines = self.lines_of(task, asyncio_task, frames, running)
        return [_Node(lines, self.children_of(task, in_ours=False))]

    def lines_of(self, task: Any, asyncio_task: Any, frames: list[types.FrameType], running: bool) -> list[str]:
        if asyncio_task is not None:
            coro = asyncio_task.get_coro()
            title = f"asyncio task {asyncio_task.get_name()!r}: {getattr(coro, '__qualname__', coro)}"
        else:
            title = f"{'main' if _trio.runs.is_main(task) else 'trio'} task: {task.name}"
        places = [_place(frame) for frame in frames if not _is_hidden(frame)]
        if running:
            return [f"{title}, running", *places]
        coro = asyncio_task.get_coro() if asyncio_task is not None else task.coro
        if inspect.iscoroutine(coro) and inspect.getcoroutinestate(coro) == inspect.CORO_CREATED:
            return [f"{title}, about to begin"]
        awaited = _trio.stand_ins.awaited_future(task) if asyncio_task is None else asyncio_task._fut_waiter
        if type(awaited) is _trio.stand_ins.TrioStandIn:
            awaited = None  # a wait of trio's
        return [title, *places, *_what_is_awaited(frames, awaited)]


def _tasks_of(loop: events.BaseLoop) -> list[Any]:
    while True:
        try:
            return list(asyncio.all_tasks(loop))
        except RuntimeError:  # another thread has just made one
            continue


def _holds_loop(task: Any) -> bool:
    """Tell whether it is the task that open_loop() starts to hold the loop's nursery."""
    frame = getattr(task.coro, "cr_frame", None)
    return frame is not None and frame.f_code is events.HostedLoop._hold_nursery.__code__


def _place_of(task: Any) -> tuple[bool, int, str]:
    """The main task first, and the others by their names."""
    return not _trio.runs.is_main(task), *_by_number(task.name)


def _by_number(name: str) -> tuple[int, str]:
    """Order names by the number that asyncio ends them with: trio keeps its tasks in no order."""
    number = name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1, name


# --- frames ----------------------------------------------------------------------------------------------------------


def _outwards(frame: types.FrameType | None) -> Iterator[types.FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _frames(coro: Any) -> Iterator[types.FrameType]:
    """The frames of a suspended coroutine, the outermost first."""
    while coro is not None:
        if type(coro).__name__ in ("async_generator_asend", "async_generator_athrow", "anext_awaitable"):
            coro = next((each for each in gc.get_referents(coro) if hasattr(each, "ag_frame")), None)
        for kind, inner in ("cr", "await"), ("gi", "yieldfrom"), ("ag", "await"):
            if hasattr(coro, f"{kind}_frame"):
                frame = getattr(coro, f"{kind}_frame")
                coro = getattr(coro, f"{kind}_{inner}")
                break
        else:
            return
        if frame is not None:
            yield frame


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


def _what_is_awaited(frames: list[types.FrameType], future: Any) -> Iterator[str]:
    """The function of trio or asyncio that the innermost line calls, and the task or future behind it."""
    own = [position for position, frame in enumerate(frames) if not _is_hidden(frame)]
    calls = [_function(frame) for frame in frames[own[-1] + 1 if own else 0 :]]
    calls = [call for call in calls if call]
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
        names = (each.get_name() for each in children if isinstance(each, asyncio.Task) and not each.done())
        what += f"{': ' if what else ''}tasks {', '.join(repr(name) for name in sorted(names, key=_by_number))}"
    elif future is not None and not what:
        what = "a Future"
    if what:
        yield f"awaits {what}"


def _function(frame: types.FrameType) -> str:
    """The public name of a function of the machine, "" for what everything passes through."""
    module = frame.f_globals.get("__name__", "")
    if module.rpartition(".")[2] in ("futures", "_traps", "waits", "types"):
        return ""
    world = "trio" if module.partition(".")[0] == "trio" else "asyncio"
    return f"{world}.{frame.f_code.co_qualname.replace('<locals>.', '')}"
