"""Async tests of native run in a trio run of their own, with create_task()'s nursery open.

Time is virtual, unless the module says REAL_TIME = True: then a wait for the network does not count as idle.
"""

import inspect

import pytest
import trio
from trio.testing import MockClock

from compat import native

PATIENCE = 60.0  # seconds, by either clock


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    real_time = getattr(pyfuncitem.module, "REAL_TIME", False)

    async def main() -> None:
        with trio.fail_after(PATIENCE if real_time else 1000 * PATIENCE):
            async with native.open_background():
                await pyfuncitem.obj(**arguments)

    trio.run(main, clock=None if real_time else MockClock(autojump_threshold=0))
    return True


# The exact side, which these need, does not know a trio as old as native works with.
if tuple(map(int, trio.__version__.split(".")[:2])) < (0, 28):
    collect_ignore = ["test_pairs.py", "test_examples.py"]
