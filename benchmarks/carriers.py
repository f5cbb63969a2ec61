"""The machines that a workload can run on, as the lines of a program that uses them."""

import importlib
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any, NamedTuple


class Carrier(NamedTuple):
    imports: str  # statements
    run: str  # an expression: runs `main()`, a coroutine function, to its end and gives its result
    module: str  # where its workloads are


CARRIERS = {
    "asyncio": Carrier("import asyncio", "asyncio.run(main())", "workloads"),
    "us": Carrier("import compat; compat.install(); import asyncio", "asyncio.run(main())", "workloads"),
    "trio-asyncio": Carrier("import trio_asyncio", "trio_asyncio.run(trio_asyncio.aio_as_trio(main))", "workloads"),
    "trio": Carrier("import trio", "trio.run(main)", "by_trio"),
}


def load(carrier: str) -> tuple[ModuleType, Callable[[Callable[[], Awaitable[Any]]], Any]]:
    """Set this process up for a carrier: the module with its workloads, and a function that runs an async function.

    Once per process, and before anything else has imported the workloads: they keep the asyncio that they find.
    """
    imports, run, module = CARRIERS[carrier]
    names: dict[str, Any] = {}
    exec(imports, names)
    return importlib.import_module(f"benchmarks.{module}"), lambda main: eval(run, names, {"main": main})
