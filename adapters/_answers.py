"""What the real asyncio's functions answer about our loops, and about trio tasks in them."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from asyncio import Task
from collections.abc import Callable
from typing import Any

from ._asyncio import get_running_loop, interpreters_current_task

_std: Any = asyncio


def answer_first() -> None:
    """Have the real asyncio's functions know our loops and, in them, the Task of a trio task.

    Its timeout() and TaskGroup ask current_task(), and the interpreter's account cannot hold a Task that nobody has
    asked for. get_running_loop() is the interpreter's own, unless somebody has replaced it (trio_asyncio, for one).
    On the loops of others the answer is what it was.
    """
    for module, name, answer in _ANSWERS:
        theirs = getattr(module, name)
        if not hasattr(theirs, "_knows_our_loops") and (answer is _task_of_ours_or or inspect.isfunction(theirs)):
            ours = answer(theirs)
            for holder in [module, *_modules_that_took(name, theirs)]:
                setattr(holder, name, ours)


def refuse_patches() -> None:
    """Raise RuntimeError where a package has patched what asyncio on trio cannot do without."""
    if hasattr(_std, "_nest_patched"):
        raise RuntimeError(
            "nest_asyncio has patched asyncio, and a loop on trio cannot run inside itself: do without "
            "nest_asyncio.apply(); await the coroutine, or run it in a thread, "
            "`await asyncio.to_thread(asyncio.run, ...)`"
        )
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None and any(map(monkey.is_module_patched, ("select", "threading", "socket"))):
        raise RuntimeError(
            "gevent has patched the standard library, where trio polls and has its threads: do without "
            "gevent.monkey.patch_all(), or run asyncio's part of the program in a process of its own"
        )


def _modules_that_took(name: str, function: Any) -> list[Any]:
    """The modules that have said `from asyncio import name` before this one was imported, as anyio's backend has."""
    modules = [module for key, module in list(sys.modules.items()) if key != "_asyncio"]  # other threads may import
    return [module for module in modules if getattr(module, "__dict__", {}).get(name) is function]


def _is_ours(loop: Any) -> bool:
    return hasattr(loop, "_scheduler")


def _task_of_ours_or(theirs: Callable[..., Any]) -> Any:
    @functools.wraps(theirs)
    def answer(loop: Any = None) -> Any:
        running = get_running_loop()
        scheduler = getattr(running, "_scheduler", None)
        if scheduler is None or (loop is not None and loop is not running):
            return theirs(loop)
        task = interpreters_current_task(running)
        return scheduler.current_aio_stand_in() if task is None else task

    answer._knows_our_loops = True  # type: ignore[attr-defined]
    return answer


# asyncio.current_task(), of a loop that is given.
current_task: Callable[[Any], Task[Any] | None] = _task_of_ours_or(interpreters_current_task)


def _loop_of_ours_or(theirs: Callable[[], Any]) -> Any:
    @functools.wraps(theirs)
    def answer() -> Any:
        running = get_running_loop()
        return running if _is_ours(running) else theirs()

    answer._knows_our_loops = True  # type: ignore[attr-defined]
    return answer


_ANSWERS: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = (
    (_std, "current_task", _task_of_ours_or),
    (_std.tasks, "current_task", _task_of_ours_or),
    *(
        (module, name, _loop_of_ours_or)
        for module in (_std, _std.events)
        for name in ("get_running_loop", "_get_running_loop", "get_event_loop")
    ),
)
