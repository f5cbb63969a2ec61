"""A pytest plugin: asyncio's virtual time in any test, and an asyncio loop in the tests of pytest-trio.

It is there for who asks for it, by a line in the conftest.py at the root, or `-p compat.pytest_plugin`:

    pytest_plugins = ["compat.pytest_plugin"]

- The marker `virtual_time`, for a test, a class or a module, runs the test with compat.virtual_time(): a test of
  asyncio code, by whatever plugin, that sleeps for an hour ends at once. With `--virtual-time` all tests have it. It
  concerns the loops that are made for the test; the code must run on trio (`python -m compat -m pytest`).
- The fixture `asyncio_loop` opens a loop in a test of pytest-trio's (compat.open_loop()). With pytest-trio's own
  fixture autojump_clock beside it, asyncio's time is virtual as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import trio
from trio.testing import MockClock

import compat

__all__ = ["asyncio_loop"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    group = parser.getgroup("compat", "asyncio on trio")
    group.addoption("--virtual-time", action="store_true", help="run every test with virtual time")


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker."""
    config.addinivalue_line("markers", "virtual_time: the test's asyncio loops have virtual time, by trio's MockClock")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Give the test virtual time, from before its fixtures are made: they may make the loop."""
    if item.get_closest_marker("virtual_time") is None and not item.config.getoption("--virtual-time"):
        return (yield)
    with compat.virtual_time():
        return (yield)


@pytest.fixture
async def asyncio_loop(request: pytest.FixtureRequest) -> AsyncIterator[asyncio.AbstractEventLoop]:
    """An asyncio loop around a test of pytest-trio's. Its tasks are cancelled and awaited when the test has ended."""
    if request.node.get_closest_marker("virtual_time") and not isinstance(trio.lowlevel.current_clock(), MockClock):
        pytest.fail(
            "the marker virtual_time has no effect on pytest-trio's run: use its fixture autojump_clock as well"
        )
    async with compat.open_loop() as loop:
        yield loop
