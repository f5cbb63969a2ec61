"""asyncio code on trio: the ways in.

- `python -m compat app.py` runs a program with asyncio being on trio; `-m MODULE` and `-c CODE` as `python` has them.
- `from compat import asyncio` is asyncio, module by module, without touching what others import.
- `from compat import native as asyncio` is asyncio's names with trio's meaning, for porting.
- `install()` makes every later `import asyncio` of this process get it; `uninstall()` ends that.
- `is_active()` tells whether asyncio is replaced in this process, `running_on()` what the running code runs on.
- `as_channels()` shows an asyncio Queue as a pair of trio channels, `as_queue()` the other way round.
- `run()` starts a trio run in which both worlds work; `open_loop()` does it inside a trio run that exists already.
- `as_streams()` makes an asyncio reader and writer of a trio stream, `as_trio_stream()` a trio stream of such a pair.
- `from compat import trio_asyncio` has trio-asyncio's names, for a program that uses it.
- `print_tasks()` prints the tree of all tasks, what each awaits and where; `print_tasks_on()` does it on a signal.
- `virtual_time()` gives loops and runs of native a clock that jumps; `compat.pytest_plugin` brings it to tests.

Importing this package imports neither asyncio nor trio; each of its names brings what it needs on first use.
"""

TYPE_CHECKING = False  # type checkers know the name, and to import typing takes several times as long as all of this
if TYPE_CHECKING:
    import asyncio as asyncio

    from compat._channels import QueueShutDown, as_channels, as_queue
    from compat._print_tasks import print_tasks, print_tasks_on
    from compat._redirect import install, is_active, uninstall
    from compat._run import open_loop, run, running_on
    from compat._streams import as_streams, as_trio_stream
    from compat._virtual_time import virtual_time

__all__ = [
    "QueueShutDown",
    "as_channels",
    "as_queue",
    "as_streams",
    "as_trio_stream",
    "asyncio",
    "install",
    "is_active",
    "open_loop",
    "print_tasks",
    "print_tasks_on",
    "run",
    "running_on",
    "uninstall",
    "virtual_time",
]

__version__ = "0.1.0"

_HOMES = {
    "QueueShutDown": "_channels",
    "as_channels": "_channels",
    "as_queue": "_channels",
    "as_streams": "_streams",
    "as_trio_stream": "_streams",
    "install": "_redirect",
    "is_active": "_redirect",
    "open_loop": "_run",
    "print_tasks": "_print_tasks",
    "print_tasks_on": "_print_tasks",
    "run": "_run",
    "running_on": "_run",
    "uninstall": "_redirect",
    "virtual_time": "_virtual_time",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = __import__(f"{__name__}.{_HOMES[name]}", fromlist=[name])
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
