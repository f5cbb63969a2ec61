"""A pytest plugin: every trio run of the process has a loop of ours open around its main function.

For the suites of trio and of libraries on trio, which then have to end as they do without (`upstream.py`).
"""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

import compat
from compat import asyncio as _  # noqa: F401  # the loop's own runs are made by what trio has now

from trio._core import _run  # isort: skip

unrolled_run: Any = _run.unrolled_run


def with_loop(runner: Any, async_fn: Callable[..., Any], args: Any, **options: Any) -> Any:
    """trio's, whose main function is run in compat.open_loop()."""
    if not inspect.iscoroutinefunction(async_fn):
        return unrolled_run(runner, async_fn, args, **options)  # trio says what is wrong with it

    @functools.wraps(getattr(async_fn, "func", async_fn))  # its name is the task's
    async def main(*args: Any) -> Any:
        async with compat.open_loop():
            return await async_fn(*args)

    return unrolled_run(runner, main, args, **options)


_run.unrolled_run = with_loop

# anyio runs its tests in guest mode, where the loop is the thread's running one between the ticks, too. There
# blockbuster would take the host's wait for a blocking call.
sys.modules["blockbuster"] = None  # type: ignore[assignment]
