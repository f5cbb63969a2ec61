"""The modes: what a workload is run on, and how. A process has one of them, and sets it up by calling load(), once.

What they need is imported in here only: a process imports one asyncio, and no trio where it measures the interpreter's.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

Main = Callable[[], Coroutine[Any, Any, Any]]
Run = Callable[[Main], Any]


def plain_asyncio() -> Run:
    """The interpreter's own asyncio: the base."""
    import asyncio

    return lambda main: asyncio.run(main())


def own() -> Run:
    """asyncio.run(), as a program gets it that is run with `python -m compat`."""
    import compat

    compat.install()
    import asyncio

    return lambda main: asyncio.run(main())


def carried() -> Run:
    """The same; each Task has a trio task from its first step on, as if it had called trio there."""
    run = own()
    import asyncio

    async def main_in_carried_task(main: Main) -> Any:
        loop: Any = asyncio.get_running_loop()
        create_task, stand_in_for = loop.create_task, loop._scheduler.stand_in_for

        def create_carried_task(coro: Coroutine[Any, Any, Any], **options: Any) -> Any:
            task = create_task(coro, **options) if options else create_task(coro)
            stand_in_for(task)
            return task

        loop.create_task = create_carried_task
        return await asyncio.create_task(main())

    return lambda main: run(partial(main_in_carried_task, main))


def hosted() -> Run:
    """A Task in compat.run()."""
    import compat

    compat.install()
    import asyncio

    async def main_in_task(main: Main) -> Any:
        return await asyncio.create_task(main())

    return lambda main: compat.run(main_in_task, main)


def open_loop() -> Run:
    """A Task in compat.open_loop() in a trio.run()."""
    import trio

    import compat

    compat.install()
    import asyncio

    async def main_in_loop(main: Main) -> Any:
        async with compat.open_loop():
            return await asyncio.create_task(main())

    return lambda main: trio.run(main_in_loop, main)


def adopted() -> Run:
    """A plain trio task in compat.run()."""
    import compat

    compat.install()
    return compat.run


def imported() -> Run:
    """trio.run(), in a process that has imported compat, and in which a loop was open and is no more."""
    import trio

    import compat

    compat.run(trio.sleep, 0)
    return trio.run


def native() -> Run:
    """asyncio's names with trio's meaning, as a program gets them that is run with `python -m compat --native`."""
    from compat import native

    native.install()
    return lambda main: native.run(main())


def trio_asyncio() -> Run:
    """The bridge that emulates asyncio's loop in a trio task."""
    import trio_asyncio

    return lambda main: trio_asyncio.run(trio_asyncio.aio_as_trio(main))


def plain_trio() -> Run:
    """trio by hand."""
    import trio

    return trio.run


MODES = {
    "asyncio": plain_asyncio,
    "own": own,
    "carried": carried,
    "hosted": hosted,
    "open_loop": open_loop,
    "adopted": adopted,
    "imported": imported,
    "trio-asyncio": trio_asyncio,
    "native": native,
    "trio": plain_trio,
}
IN_TASKS = ("own", "hosted", "open_loop")  # where trio's work is done in Tasks
FOR_ASYNCIO = ("asyncio", "own", "carried", "hosted", "open_loop", "adopted", "trio-asyncio")
FOR_BOTH = (*FOR_ASYNCIO, "native", "trio")  # what by_trio has as well
FOR_TRIO = ("trio", *IN_TASKS, "adopted", "imported", "trio-asyncio")


def load(mode: str) -> tuple[Callable[[str], Callable[[int], Coroutine[Any, Any, int]]], Run]:
    """Set this process up for a mode: what gives the function of a workload by its name, and what runs one.

    Before anything else has imported the workloads: they keep the asyncio that they find.
    """
    run = MODES[mode]()
    from . import workloads

    def function_of(name: str) -> Callable[[int], Coroutine[Any, Any, int]]:
        if hasattr(workloads, name) and mode != "trio":
            function: Callable[..., Any] = getattr(workloads, name)
            return function
        from . import by_trio, trio_work

        if hasattr(by_trio, name):
            function = getattr(by_trio, name)
        elif mode == "trio-asyncio":
            import trio_asyncio

            function = trio_asyncio.trio_as_aio(partial(getattr(trio_work, name), trio_work.in_nursery))
        else:
            together = trio_work.in_tasks if mode in IN_TASKS else trio_work.in_nursery
            function = partial(getattr(trio_work, name), together)
        return function

    return function_of, run
