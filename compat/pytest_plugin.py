"""A pytest plugin: asyncio on trio in the tests, virtual time, tests on native, a loop in the tests of pytest-trio.

It is there for who asks for it, by `-p compat.pytest_plugin` or a line in the conftest.py at the root. In the ini file:

    [tool.pytest.ini_options]
    addopts = ["-p", "compat.pytest_plugin"]
    asyncio_on_trio = true

- The ini option `asyncio_on_trio` has plain `pytest` run asyncio on trio, also in an IDE and in the workers of
  pytest-xdist, as `python -m compat -m pytest` does it; but not in the programs that the tests start.
- The marker `virtual_time`, for a test, a class or a module, runs the test with compat.virtual_time(): a test of
  asyncio code, by whatever plugin, that sleeps for an hour ends at once. With `--virtual-time` all tests have it. It
  concerns the loops, and the runs of native's, that are made for the test; the code must run on trio.
- The marker `native`, for the same, has an async test be a native.run() of its own: for code that is written
  `from compat import native as asyncio`. Its fixtures are not async.
- The fixture `asyncio_loop` opens a loop in a test of pytest-trio's (compat.open_loop()). With pytest-trio's own
  fixture autojump_clock beside it, asyncio's time is virtual as well.

It is no entry point of the distribution's: pytest would rewrite the assertions in all of compat, and so import a second
one beside that of `python -m compat -m pytest`.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

import compat

__all__ = ["asyncio_loop"]


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options; and replace asyncio, if that is asked for, before anything of the tests is imported."""
    group = parser.getgroup("compat", "asyncio on trio")
    group.addoption("--virtual-time", action="store_true", help="run every test with virtual time")
    parser.addini("asyncio_on_trio", "have asyncio run on trio, as compat.install() does", type="bool", default=False)

    config = pluginmanager.get_plugin("pytestconfig")  # the ini file has been read
    assert isinstance(config, pytest.Config)
    if config.getini("asyncio_on_trio"):
        from compat import asyncio as on_trio

        if sys.modules["asyncio"] is not on_trio:  # as it is by `python -m compat -m pytest`
            compat.install()
            config.add_cleanup(compat.uninstall)


def pytest_configure(config: pytest.Config) -> None:
    """Add the markers."""
    config.addinivalue_line("markers", "virtual_time: the test's asyncio loops have virtual time, by trio's MockClock")
    config.addinivalue_line("markers", "native: the async test is run by compat.native.run()")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Give the test virtual time, from before its fixtures are made: they may make the loop."""
    if item.get_closest_marker("virtual_time") is None and not item.config.getoption("--virtual-time"):
        return (yield)
    with compat.virtual_time():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Refuse what has no effect: native where another plugin runs the test, virtual time where that is pytest-trio."""
    others = [name for name in ("asyncio", "trio", "anyio") if item.get_closest_marker(name)]
    if others and item.get_closest_marker("native"):
        told = f"the marker native has no effect on a test that the marker or mode {others[0]} gives to another plugin"
        pytest.fail(told, pytrace=False)
    fixtures = getattr(item, "fixturenames", ())
    asked = item.get_closest_marker("virtual_time") or (
        "asyncio_loop" in fixtures and item.config.getoption("--virtual-time")
    )
    if asked and item.get_closest_marker("trio") and not {"autojump_clock", "mock_clock"} & {*fixtures}:
        told = "virtual_time has no effect on pytest-trio's run: use its fixture autojump_clock as well"
        pytest.fail(told, pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that is marked `native`."""
    test = pyfuncitem.obj
    if pyfuncitem.get_closest_marker("native") is None or not inspect.iscoroutinefunction(test):
        return None
    from compat import native

    wanted = inspect.signature(test).parameters.keys() & pyfuncitem.funcargs.keys()  # mock.patch() gives others
    native.run(test(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


@pytest.fixture
async def asyncio_loop() -> AsyncIterator[asyncio.AbstractEventLoop]:
    """An asyncio loop around a test of pytest-trio's. Its tasks are cancelled and awaited when the test has ended."""
    async with compat.open_loop() as loop:
        yield loop
