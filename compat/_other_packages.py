"""Packages that would take asyncio away from trio: who imports one, after install(), gets what stands for it here.

- uvloop: its loops are ours, and the first use says so on stderr. The program runs on trio, and need not be changed.
- trio_asyncio: compat.trio_asyncio. Its loops are made of asyncio's, which are on trio already.
- nest_asyncio, nest_asyncio2: their apply() raises an error that says what to do instead.

A package that is not installed stays away, and one that was imported before stays what it is.
"""

from __future__ import annotations

import sys
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Never, NoReturn, TypeVar

__all__ = ["put_in", "take_out"]

T = TypeVar("T")


class _Finder:
    """Of sys.meta_path."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _CONTENTS or PathFinder.find_spec(name, path) is None:
            return None
        loader: Any = self
        return ModuleSpec(name, loader)

    def create_module(self, spec: ModuleSpec) -> None:
        """Let the import system make it."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(_CONTENTS[module.__name__]())
        if module.__name__ == "uvloop":
            import_module("uvloop.loop")  # as uvloop does; its own, which is asked for types and libuv's version


_FINDER: Any = _Finder()


def put_in() -> None:
    """From here on, who imports such a package gets what stands for it."""
    sys.meta_path.insert(0, _FINDER)


def take_out() -> None:
    """From here on, who imports such a package gets the package."""
    sys.meta_path.remove(_FINDER)
    for name in _CONTENTS:
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if spec is not None and spec.loader is _FINDER:
            del sys.modules[name]


def _uvloop() -> dict[str, object]:
    from importlib.metadata import version

    from .adapters import events, runners, unix_events

    told = False

    def tell() -> None:
        nonlocal told
        if not told:
            told = True
            print("compat: the program asks for uvloop, and runs on trio", file=sys.stderr)

    class Loop(unix_events.SelectorEventLoop):
        """The loop under uvloop's name."""

        def __init__(self) -> None:
            tell()
            super().__init__()

    class EventLoopPolicy(events.DefaultEventLoopPolicy):
        """asyncio's policy, with these loops."""

        _loop_factory: type[events.Loop] = Loop

    def install() -> None:
        """Have asyncio make these loops."""
        tell()
        events._set_event_loop_policy(EventLoopPolicy())

    def run(
        main: Coroutine[object, Never, T],
        *,
        loop_factory: Callable[[], AbstractEventLoop] = Loop,
        debug: bool | None = None,
    ) -> T:
        """asyncio.run() on such a loop."""
        return runners.run(main, debug=debug, loop_factory=loop_factory)

    names = {"EventLoopPolicy": EventLoopPolicy, "install": install, "new_event_loop": Loop, "run": run}
    found: Any = PathFinder.find_spec("uvloop")  # its submodules are there
    return {
        "__version__": version("uvloop"),
        "__path__": found.submodule_search_locations,
        "__all__": tuple(names),
        "Loop": Loop,
        **names,
    }


def _trio_asyncio() -> dict[str, object]:
    from . import trio_asyncio

    return {name: value for name, value in vars(trio_asyncio).items() if name[:2] != "__" or name == "__all__"}


def _nest_asyncio() -> dict[str, object]:
    def apply(loop: object = None) -> NoReturn:
        raise RuntimeError(
            "nest_asyncio runs asyncio's loop inside itself, which a loop on trio cannot do: await the coroutine, or "
            "run it in a thread, `await asyncio.to_thread(asyncio.run, ...)`"
        )

    return {"apply": apply}


_CONTENTS = {
    "uvloop": _uvloop,
    "trio_asyncio": _trio_asyncio,
    "nest_asyncio": _nest_asyncio,
    "nest_asyncio2": _nest_asyncio,
}
