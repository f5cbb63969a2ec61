"""Errors and cancellations leave nothing for the garbage collector, as in trio: see Task.work().

Left out is what trio itself leaves: for an error out of a thread, a child process that does not start, or a connection
that nobody takes. A task in a variable of who handles its error is a circle of that program's.
"""

import gc
import sys

import pytest
import trio

from compat import native

TRIO = tuple(map(int, trio.__version__.split(".")[:2]))
OPERATIONS = []


def operation(function):
    OPERATIONS.append(function)
    return function


async def fail():
    await trio.sleep(0)
    raise ValueError


async def fail_at_once():
    raise ValueError


@operation
async def tasks():
    await native.create_task(native.sleep(0))
    with pytest.raises(ValueError):
        await native.create_task(fail())


@operation
async def task_waited_for():
    task = native.create_task(fail())
    await native.wait([task])
    assert isinstance(task.exception(), ValueError)


@operation
async def task_cancelled():
    tasks = {native.create_task(native.sleep(3600))}
    await native.sleep(0)
    for task in tasks:
        task.cancel()
    del task
    with pytest.raises(native.CancelledError):
        await tasks.pop()


@operation
async def task_cancelled_and_asked():
    tasks = {native.create_task(native.sleep(3600))}
    for task in tasks:
        task.cancel()
    del task
    await native.wait(tasks)
    with pytest.raises(native.CancelledError):
        tasks.pop().exception()


@operation
async def shield():
    with pytest.raises(ValueError):
        await native.shield(fail())


@operation
async def gathered():
    await native.gather(native.sleep(0), native.sleep(0))
    with pytest.raises(ValueError):
        await native.gather(fail(), native.sleep(3600))
    with pytest.raises(ExceptionGroup):
        await native.gather(fail_at_once(), fail_at_once())


async def gathered_tasks():
    with pytest.raises(ValueError):
        await native.gather(native.create_task(fail()), native.create_task(native.sleep(3600)))


# On 3.12 and 3.13 contextlib keeps an error that has entered an asynccontextmanager and does not come out.
if sys.version_info[:2] not in ((3, 12), (3, 13)):
    operation(gathered_tasks)


@operation
async def gathered_with_errors_as_results():
    await native.gather(fail(), native.create_task(fail()), native.sleep(0), return_exceptions=True)


@operation
async def gathered_given_up():
    for parts in ([native.sleep(3600), native.sleep(3600)], [native.create_task(native.sleep(3600))]):
        with pytest.raises(TimeoutError):
            async with native.timeout(0.001):
                await native.gather(*parts)
        parts.clear()


@operation
async def group():
    async with native.TaskGroup() as group:
        group.create_task(native.sleep(0))
    with pytest.raises(ExceptionGroup):
        async with native.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(native.sleep(3600))


@operation
async def groups_in_a_group():
    async def inner():
        async with native.TaskGroup() as group:
            group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        async with native.TaskGroup() as group:
            group.create_task(inner())


@operation
async def group_given_up():
    with pytest.raises(TimeoutError):
        async with native.timeout(0.001), native.TaskGroup() as group:
            group.create_task(native.sleep(3600))


@operation
async def wait_for():
    with pytest.raises(TimeoutError):
        await native.wait_for(native.sleep(3600), 0.001)
    with pytest.raises(ValueError):
        await native.wait_for(fail(), 3600)


@operation
async def as_completed():
    for each in native.as_completed([fail(), fail()]):
        with pytest.raises(ValueError):
            await each


@operation
async def queue_and_event_given_up():
    for wait in (native.Queue().get(), native.Event().wait()):
        with pytest.raises(TimeoutError):
            async with native.timeout(0.001):
                await wait


@operation
async def path_that_is_not_there():
    with pytest.raises(OSError):
        await native.open_unix_connection("/nope/nope")


@operation
async def connection_that_ends():
    async def handler(reader, writer):
        writer.close()

    async with await native.start_server(handler, "127.0.0.1", 0) as server:
        reader, writer = await native.open_connection(*server.sockets[0].getsockname())
        with pytest.raises(EOFError):
            await reader.readexactly(1)
        writer.close()
        await writer.wait_closed()


async def garbage(function):
    """How many objects it leaves to the collector."""
    for _ in range(2):
        await function()
    await trio.sleep(0.005)
    gc.collect()
    gc.disable()
    try:
        await function()
        await trio.sleep(0.005)
        return gc.collect()
    finally:
        gc.enable()


@pytest.mark.skipif(TRIO < (0, 28), reason="trio up to 0.27 looks into frames, where copies of their locals stay then")
@pytest.mark.parametrize("function", OPERATIONS, ids=lambda function: function.__name__)
def test_nothing_is_left_to_the_collector(function):
    assert native.run(garbage(function)) == 0
