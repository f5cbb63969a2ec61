"""Functions of the real asyncio's that are replaced once a loop of ours has run, to know it and the trio tasks in it.

Code that has imported asyncio itself asks them. On the loops of others they answer as before. Patches of others that a
loop of ours cannot run with are refused.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn, TypeAlias

from ._asyncio import get_running_loop, interpreters_current_task
from ._trio.scheduler import Scheduler

CurrentTask: TypeAlias = Callable[..., Task[object] | None]


def patch_asyncio() -> None:
    """Replace the functions, in asyncio and in each module that has imported them by name, unless that is done.

    asyncio's timeout() and TaskGroup ask current_task(), and the interpreter's account of running Tasks cannot hold
    one that nobody has asked for: that of a trio task. get_running_loop() is in C, and knows our loops, unless somebody
    has replaced it, as trio_asyncio does.
    """
    for module, name, replace in _REPLACEMENTS:
        original = getattr(module, name)
        if not hasattr(original, "_knows_our_loops") and (replace is _current_task or inspect.isfunction(original)):
            replacement = replace(original)
            for holder in [module, *_modules_that_imported(name, original)]:
                setattr(holder, name, replacement)


def refuse_nesting() -> NoReturn:
    """Raise RuntimeError for nest_asyncio."""
    raise RuntimeError(
        "nest_asyncio patches asyncio, and a loop on trio cannot run inside itself: do without nest_asyncio.apply(); "
        "await the coroutine, or run it in a thread, `await asyncio.to_thread(asyncio.run, ...)`"
    )


def refuse_patches() -> None:
    """Raise RuntimeError where a package has patched what asyncio on trio cannot do without."""
    if "_nest_patched" in vars(asyncio):
        refuse_nesting()
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is not None and any(map(monkey.is_module_patched, ("select", "threading", "socket"))):
        raise RuntimeError(
            "gevent has patched the standard library, where trio polls and has its threads: do without "
            "gevent.monkey.patch_all(), or run asyncio's part of the program in a process of its own"
        )


def _modules_that_imported(name: str, function: object) -> list[ModuleType]:
    """The modules that have it by `from asyncio import name` when a loop of ours first runs, as anyio's backend has."""
    modules = [module for key, module in list(sys.modules.items()) if key != "_asyncio"]  # other threads may import
    return [module for module in modules if getattr(module, "__dict__", {}).get(name) is function]


def _is_ours(loop: object) -> bool:
    return isinstance(getattr(loop, "_scheduler", None), Scheduler)  # a mock of a loop has each name


def _current_task(original: CurrentTask) -> CurrentTask:
    @functools.wraps(original)
    def replacement(loop: AbstractEventLoop | None = None) -> Task[object] | None:
        task = original(loop)
        if task is None:
            running = get_running_loop()
            if loop in (None, running) and _is_ours(running):
                return running._scheduler.current_aio_stand_in()  # type: ignore[union-attr,no-any-return]
        return task

    replacement._knows_our_loops = True  # type: ignore[attr-defined]
    return replacement


# asyncio.current_task(), of a loop that is given.
current_task: CurrentTask = _current_task(interpreters_current_task)


def _get_running_loop(original: Callable[[], AbstractEventLoop | None]) -> Callable[[], AbstractEventLoop | None]:
    @functools.wraps(original)
    def replacement() -> AbstractEventLoop | None:
        running = get_running_loop()
        return running if _is_ours(running) else original()

    replacement._knows_our_loops = True  # type: ignore[attr-defined]
    return replacement


_REPLACEMENTS: tuple[tuple[ModuleType, str, Callable[..., object]], ...] = (
    (asyncio, "current_task", _current_task),
    (asyncio.tasks, "current_task", _current_task),
    *(
        (module, name, _get_running_loop)
        for module in (asyncio, asyncio.events)
        for name in ("get_running_loop", "_get_running_loop", "get_event_loop")
    ),
)
