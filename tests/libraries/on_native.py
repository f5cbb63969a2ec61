"""A pytest plugin for the suites that upstream.py runs on native: each async test is a native.run() of its own."""

import inspect
from collections.abc import Coroutine
from typing import Any

import pytest

from compat import native


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    native.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names if name in pyfuncitem.funcargs}))
    return True


class Loop:
    """What the decorator of aioitertools' tests makes, to run one test in."""

    def set_debug(self, enabled: bool) -> None:
        pass

    def run_until_complete(self, main: Coroutine[Any, Any, Any]) -> Any:
        return native.run(main)

    def close(self) -> None:
        pass


setattr(native, "new_event_loop", Loop)  # noqa: B010
