"""pytest-asyncio: a suite of asyncio tests, run as it is and by `python -m compat -m pytest`."""

import os
import subprocess

import pytest

from worlds import PATIENCE, ROOT

from .peers import PYTHON

pytest.importorskip("pytest_asyncio", reason="the extra `libraries` is not installed")
pytestmark = pytest.mark.slow

SUITE = """
import asyncio

import pytest
import pytest_asyncio

ON_TRIO = {on_trio}


def loop_is_right():
    return (asyncio.get_running_loop().__class__.__module__ == "compat.adapters.events") is ON_TRIO


@pytest_asyncio.fixture
async def server():
    async def echo(reader, writer):
        writer.write(await reader.readline())
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    yield server
    server.close()
    await server.wait_closed()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def queue():
    queue = asyncio.Queue()
    yield queue
    assert queue.qsize() == 3


@pytest.fixture(params=[1, 2])
def number(request):
    return request.param


@pytest.mark.asyncio
async def test_server(server):
    assert loop_is_right()
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello\\n")
    assert await reader.read() == b"hello\\n"
    writer.close()
    await writer.wait_closed()


@pytest.mark.asyncio
async def test_numbers(number):
    assert loop_is_right()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(0, n)) for n in range(number)]
    assert [task.result() for task in tasks] == list(range(number))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("n", range(3))
async def test_one_loop(queue, n):
    await queue.put(asyncio.get_running_loop())
    loops = [queue.get_nowait() for _ in range(queue.qsize())]
    assert len(set(loops)) == 1
    for loop in loops:
        queue.put_nowait(loop)


@pytest.mark.asyncio
async def test_that_fails():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(10)
    raise KeyError("on purpose")


@pytest.mark.asyncio
@pytest.mark.xfail(strict=True, raises=ZeroDivisionError)
async def test_that_is_expected_to_fail():
    await asyncio.sleep(0)
    1 / 0


@pytest.mark.asyncio
async def test_a_task_that_is_left():
    asyncio.create_task(asyncio.sleep(100))
"""
OF_TRIO = """

@pytest.mark.asyncio
async def test_trio_in_an_asyncio_test():
    import trio

    with trio.move_on_after(0.01) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asyncio.sleep, 10)
    assert scope.cancelled_caught
"""


@pytest.mark.parametrize("mode", ["strict", "auto"])
@pytest.mark.parametrize("world", PYTHON)
def test_a_suite(tmp_path, world, mode):
    on_trio = world == "trio"
    suite = SUITE.replace("{on_trio}", str(on_trio)) + OF_TRIO * on_trio
    (tmp_path / "test_suite.py").write_text(suite)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    done = subprocess.run(
        [*PYTHON[world], "-m", "pytest", "-q", f"--asyncio-mode={mode}", "-p", "no:trio"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert f"1 failed, {8 if on_trio else 7} passed, 1 xfailed" in done.stdout, done.stdout + done.stderr
    assert "KeyError: 'on purpose'" in done.stdout
