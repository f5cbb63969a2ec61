"""How a test of a library is run: the worlds, the time limit, what must not be left behind, and TLS."""

import asyncio
import gc
import os
import ssl
import time
from collections.abc import Iterator

import pytest
import trio
import trustme

import compat
from worlds import PATIENCE

from .peers import REDIRECTED


async def checked(async_fn):
    """Run it; no task of its may be left."""
    before = asyncio.all_tasks()
    async with asyncio.timeout(PATIENCE):
        result = await async_fn()
        # A task that was cancelled, or that ends with its connection, may still have some steps to go.
        while left := [task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()]:
            try:
                await asyncio.wait(left, timeout=1)
            finally:
                assert not [task for task in left if not task.done()]
    return result


def by_asyncio(async_fn):
    """In a Task of asyncio.run()."""
    return asyncio.run(checked(async_fn))


def by_trio(async_fn):
    """In a plain trio task, the main one of a trio run with an open loop."""
    return compat.run(checked, async_fn)


def open_files():
    gc.collect()
    files = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            files[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:  # the one for the folder itself
            pass
    return files


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """No descriptor may be open that was not before."""
    before = open_files()
    yield
    left = {}
    for _ in range(50):  # pycares, by which aiohttp looks names up where it is installed, closes its own in a thread
        left = {fd: file for fd, file in open_files().items() if before.get(fd) != file}
        if not left:
            break
        time.sleep(0.1)
    assert left == {}


@pytest.fixture(params=[by_asyncio, by_trio], ids=["asyncio.run", "compat.run"])
def run(request: pytest.FixtureRequest, nothing_left: None) -> object:
    """Run an asyncio program: run(async_fn)."""
    return request.param


@pytest.fixture(params=[by_asyncio, by_trio] if REDIRECTED else [by_trio])
def run_mixed(request: pytest.FixtureRequest, nothing_left: None) -> object:
    """Run a program that uses trio, too, which asyncio's own loop cannot."""
    return request.param


async def by_timeout(async_fn):
    """asyncio's way to give something up."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as timeout:
            await async_fn(lambda: timeout.reschedule(asyncio.get_running_loop().time() + 0.03))


async def by_scope(async_fn):
    """trio's."""
    with trio.CancelScope() as scope:
        await async_fn(lambda: setattr(scope, "deadline", trio.current_time() + 0.03))
    assert scope.cancelled_caught


def in_a_task(async_fn):
    """In a Task of a loop that is open in a trio run."""

    async def main():
        return await asyncio.create_task(checked(async_fn))

    return compat.run(main)


WAYS = {
    "asyncio.run-timeout": (by_asyncio, by_timeout),
    "asyncio.run-scope": (by_asyncio, by_scope),
    "compat.run-timeout": (by_trio, by_timeout),
    "compat.run-scope": (by_trio, by_scope),
    "Task-scope": (in_a_task, by_scope),
}
if not REDIRECTED:  # asyncio's own loop
    del WAYS["asyncio.run-scope"]


@pytest.fixture(params=WAYS.values(), ids=list(WAYS))
def ended(request, nothing_left):
    """ended(async_fn): run it; it gets the function by which something is given up."""
    run, give_up = request.param

    def ended(async_fn):
        async def main():
            return await async_fn(give_up)

        return run(main)

    return ended


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """For a server on localhost or 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    """For a client of that server."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
