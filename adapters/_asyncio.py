"""The private functions of asyncio's that the core needs, and how the interpreter schedules the step of a Task."""

from __future__ import annotations

import asyncio
import sys
import types
from asyncio import Handle
from collections.abc import Callable
from typing import Any

_std: Any = asyncio
_tasks: Any = asyncio.tasks

# The interpreter's own, in C: trio_asyncio, for one, replaces the other names of it.
get_running_loop: Callable[[], Any] = _std.events._c__get_running_loop
set_running_loop: Callable[[Any], None] = asyncio._set_running_loop

# The interpreter's account of which Task runs in which loop.
enter_task: Callable[[Any, Any], None] = _tasks._enter_task
leave_task: Callable[[Any, Any], None] = _tasks._leave_task
if sys.version_info >= (3, 12):
    interpreters_current_task: Callable[[Any], Any] = _tasks._c_current_task
else:
    interpreters_current_task = _tasks._current_tasks.get
if sys.version_info >= (3, 14):  # Tasks written in Python have an account of their own
    python_current_task: Callable[[Any], Any] = _tasks._py_current_task
else:
    python_current_task = interpreters_current_task


def running_task(loop: Any) -> Any:
    """The Task of the loop whose step this is; None if it is nobody's."""
    return interpreters_current_task(loop) or python_current_task(loop)


def _type_of_steps() -> type:
    class Recorder:
        def call_soon(self, step: object, *, context: object) -> None:
            self.step = step

        def get_debug(self) -> bool:
            return False

    async def nothing() -> None:
        pass

    recorder, coro = Recorder(), nothing()
    task: Any = asyncio.Task(coro, loop=recorder, name="")  # type: ignore[arg-type]
    task._log_destroy_pending = False
    coro.close()
    return type(recorder.step)


# Callbacks by which a Task in C schedules its step: by an object of this type, or by a method of this name.
STEP_TYPE, WAKEUP_TYPE, WAKEUP_NAME = _type_of_steps(), types.BuiltinFunctionType, "task_wakeup"
# Callbacks by which a Task in Python schedules its step.
PYTHON_STEPS = {vars(_tasks._PyTask)[name] for name in ("_Task__step", "_Task__wakeup")}

# Up to 3.12 Task.uncancel() leaves a cancellation that is due at the next step as it is.
UNCANCEL_KEEPS_THE_REQUEST = sys.version_info < (3, 13)


def report_failed_step(step: tuple[Any, ...], error: BaseException) -> None:
    """Tell the exception handler that the interpreter could not make the step of a Task.

    A step is its context, the function, and for a Task that is woken the future that is done.
    """
    context, function, *args = step
    loop = function.__self__.get_loop()
    source = _std.format_helpers._format_callback_source(function, args)
    loop.call_exception_handler(
        {
            "message": f"Exception in callback {source}",
            "exception": error,
            "handle": Handle(function, args, loop, context),
        }
    )


def replace_result(task: Any, error: BaseException) -> None:
    """Have a Task that has just ended, and whose result nobody has seen, end with an error instead."""
    asyncio.Future.__init__(task, loop=task.get_loop())
    asyncio.Future.set_exception(task, error)


def is_suspended(coro: Any) -> bool:
    """Tell whether a coroutine has begun and waits now."""
    return bool(getattr(coro, "cr_suspended", False) or getattr(coro, "gi_suspended", False))
