"""Which function of the program has made a task, and whether it has ended."""

from __future__ import annotations

import asyncio
import inspect
import sys
import weakref
from types import CodeType, FrameType
from typing import TypeAlias

from compat._coroutines import parts_of
from compat.adapters import _asyncio

from ._places import Place, is_program, line_of

__all__ = ["Made", "has_ended", "maker_of", "place_of"]

get_running_loop, current_task = _asyncio.get_running_loop, _asyncio.interpreters_current_task

# Where a task was made, and by which function, whose frame is not kept: the objects in it would live longer. A plain
# tuple, for speed:
#   the code and the instruction;
#   the function;
#   id() of the function's frame; 0, if a TaskGroup takes care of the task, or a trio task has made it;
#   the task in which the function runs; None in a callback, and outside of a loop.
Made: TypeAlias = tuple[CodeType, int, CodeType, int, weakref.ref[asyncio.Task[object]] | None]

# The functions through which the program comes to a Task of its own; others, such as gather(), take care of theirs.
_CREATE = {
    *("create_task", "ensure_future", "_ensure_future", "create_eager_task_factory.<locals>.factory"),
    *("BaseLoop.create_task", "BaseLoop._make_task", "_call", "_LoopOfNursery.create_task", "TaskGroup.create_task"),
    "around_create_task.<locals>.watched_create_task",
}

# Up to 3.11 functions of their own.
_COMPREHENSIONS = {"<listcomp>", "<setcomp>", "<dictcomp>"}

_GENERATORS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_ASYNC = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR


def maker_of(frame: FrameType) -> tuple[Made | None, FrameType | None, str]:
    """Find the async function of the program that makes a task by this frame, and its frame if it is a generator's.

    Outside of a task, it is the function. If it is not the program that makes it: None, and at last the name of the
    function that the task is for.
    """
    in_group = False
    while not is_program[(code := frame.f_code).co_filename]:
        name = code.co_qualname
        in_group = in_group or name == "TaskGroup.create_task"
        if name not in _CREATE or frame.f_back is None:
            return None, None, name
        frame = frame.f_back
    if in_group:
        return (code, frame.f_lasti, code, 0, None), None, ""
    loop = get_running_loop()
    task = None if loop is None else current_task(loop)
    outer: FrameType | None = frame if task is not None else None
    while outer is not None and not (
        outer.f_code.co_flags & _ASYNC and outer.f_code.co_name[0] != "<" and is_program[outer.f_code.co_filename]
    ):
        outer = outer.f_back
    maker = outer or frame
    while maker.f_code.co_name in _COMPREHENSIONS and maker.f_back is not None:
        maker = maker.f_back
    is_trios = task is None and maker.f_code.co_flags & _ASYNC
    reference = None if task is None else weakref.ref(task)
    made = code, frame.f_lasti, maker.f_code, 0 if is_trios else id(maker), reference
    is_generator = maker.f_code.co_flags & _GENERATORS and maker.f_code.co_name[0] != "<"
    return made, maker if is_generator else None, ""


def place_of(made: Made) -> Place:
    """Where the task was made."""
    return made[0].co_filename, line_of(made[0], made[1])


def has_ended(made: Made) -> bool:
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
