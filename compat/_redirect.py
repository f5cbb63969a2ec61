"""Builds asyncio anew out of `adapters` and the standard library, and puts it in asyncio's place.

Each submodule of asyncio is one of three things here:

- `adapters.<name>` itself, where that exists. Whoever patches or reads `asyncio.tasks.X` reaches the code that runs.
- The standard library's own module, where nothing in it waits, wakes or schedules (STANDARD_MODULES).
- A stand-in for a module that is not adapted yet.

A public name that ours lack is the standard library's if it is a constant, an exception or one of STANDARD_NAMES. Any
other raises NotImplementedError when it is called, rather than run asyncio's own code in the middle of ours. Private
names are the standard library's. A module that is added to `adapters` takes its place by being there.
"""

import asyncio as std
import functools
import importlib
import pkgutil
import sys
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

from compat import adapters
from compat.adapters import events

from . import _other_packages

__all__ = ["fill", "install", "is_active", "uninstall"]

# fmt: off
STANDARD_MODULES = {
    "base_events", "base_futures", "base_subprocess", "base_tasks", "constants", "coroutines", "exceptions",
    "format_helpers", "graph", "log", "mixins", "proactor_events", "protocols", "selector_events", "sslproto",
    "staggered", "tools", "transports", "trsock",
}
STANDARD_NAMES = {
    "AbstractEventLoop", "AbstractEventLoopPolicy", "AbstractServer", "Handle", "TimerHandle",
    "future_add_to_awaited_by", "future_discard_from_awaited_by",
}
# fmt: on

# asyncio and its submodules as they are here, by their full names; "asyncio" itself comes in when fill() is called.
_modules: dict[str, ModuleType] = {}


def _not_there_yet(name: str, original: Callable[..., object]) -> object:
    """Make what stands for a class or function that is not adapted: it can be imported and subclassed, not called."""

    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise NotImplementedError(f"{name} is not on trio yet")

    if isinstance(original, type):
        members = {"__new__": refuse, "__module__": original.__module__, "__doc__": original.__doc__}
        stand_in: object = type(original)(name.rpartition(".")[2], (original,), members)
    else:
        stand_in = functools.wraps(original)(refuse)
    _refusing.append(stand_in)
    return stand_in


_refusing: list[object] = []


def is_stand_in(value: object) -> bool:
    """Tell whether this class or function only says that it is not adapted yet."""
    return any(value is each for each in _refusing)


def _acts(name: str, value: object) -> bool:
    """Tell whether a name of asyncio's does something, so that the standard library's own cannot pass for ours."""
    if name.startswith("_") or name in STANDARD_NAMES:
        return False
    return callable(value) and not (isinstance(value, type) and issubclass(value, BaseException))


def _complete(module: ModuleType, original: ModuleType) -> None:
    """Give a module of ours every name of the original. The original's own are looked up late, as some change."""
    missing = {}
    for name in getattr(original, "__all__", ()):
        if name in vars(module):
            value = vars(module)[name]
            # Reprs and tracebacks read as asyncio's.
            if getattr(value, "__module__", None) == module.__name__:
                value.__module__ = original.__name__
        elif _acts(name, value := getattr(original, name)):
            full_name = f"asyncio.{name}" if hasattr(std, name) else f"{original.__name__}.{name}"
            missing[name] = _not_there_yet(full_name, value)

    def __getattr__(name: str) -> object:
        value: object = missing[name] if name in missing else getattr(original, name)
        if name == "DefaultEventLoopPolicy":  # from 3.14 on the standard library has it here, and warns
            value = events.DefaultEventLoopPolicy
        # `asyncio.tasks.futures` and the like: a submodule seen through another one.
        return _modules.get(value.__name__, value) if isinstance(value, ModuleType) else value

    def __dir__() -> list[str]:
        return sorted({*vars(module), *dir(original)})

    vars(module).update(__getattr__=__getattr__, __dir__=__dir__)


def fill(drop_in: ModuleType) -> None:
    """Make an empty module the drop-in for asyncio: give it all names and submodules that asyncio has."""
    ours = {
        info.name: importlib.import_module(f"{adapters.__name__}.{info.name}")
        for info in pkgutil.iter_modules(adapters.__path__)
        if not info.ispkg and not info.name.startswith("_")
    }
    names = {name: value for name, value in vars(std).items() if not name.startswith("__")}
    for full_name, original in sorted(_loaded().items()):
        bare = full_name.partition(".")[2]
        if original is std:
            continue
        if bare in STANDARD_MODULES and bare not in ours:
            module = original
        else:
            module = ours.get(bare) or ModuleType(full_name, original.__doc__)
            module.__spec__ = module.__spec__ or original.__spec__
            _complete(module, original)
        _modules[full_name] = names[bare] = module
        names.update((name, getattr(module, name)) for name in getattr(original, "__all__", ()) if name in names)

    # As the package asyncio it has submodules that nobody has imported yet (asyncio.tools, asyncio.__main__).
    assert drop_in.__spec__ is not None
    spec = ModuleSpec("asyncio", drop_in.__spec__.loader, origin=drop_in.__file__, is_package=True)
    spec.submodule_search_locations = list(std.__path__)
    vars(drop_in).update(names, __all__=std.__all__, __path__=std.__path__, __spec__=spec)
    drop_in.__name__ = drop_in.__package__ = "asyncio"
    sys.modules.update((f"compat.{name}", module) for name, module in _modules.items())
    _complete(drop_in, std)
    _modules[std.__name__] = drop_in


# --- in asyncio's place -----------------------------------------------------------------------------------------------


def _policy_function(name: str) -> Any:
    """Find a function of the real asyncio's. Its public name warns from 3.14 on, and 3.16 has no policies any more."""
    return getattr(std.events, f"_{name}", None) or getattr(std.events, name, None)


_get_policy = _policy_function("get_event_loop_policy")
_set_policy = _policy_function("set_event_loop_policy")

_lock = threading.Lock()
_replaced: dict[str, ModuleType] = {}
_replaced_policy: object = None


def _loaded() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "asyncio"}


def install() -> None:
    """From here on, `import asyncio` anywhere in this process, or of a submodule of it, gives the one on trio.

    Call it first, before the imports that are to see it. A module that has imported asyncio earlier keeps the real one;
    it works all the same on a loop of ours, and what it starts itself (by its own asyncio.run, for instance) gets a
    loop of ours, because the event loop policy of the real asyncio is replaced as well, on Pythons that have policies.
    Loops that exist already stay what they are. A second call changes nothing; uninstall() takes it back.
    """
    from . import asyncio as _  # noqa: F401  # it fills _modules

    global _replaced_policy
    with _lock:
        if not _replaced:
            if _set_policy is not None:
                _replaced_policy = _get_policy()
                _set_policy(events._get_event_loop_policy())
            _replaced.update(_loaded())
            sys.modules.update(_modules)
            _other_packages.put_in()


def uninstall() -> None:
    """From here on, `import asyncio` gives the real one: sys.modules and the policy are again as install() found them.

    Modules that have imported asyncio in between keep the one on trio, which goes on working. Without an install()
    before it, it changes nothing.
    """
    with _lock:
        if _replaced:
            sys.modules.update(_replaced)
            for name in _loaded().keys() - _replaced.keys():
                del sys.modules[name]
            _replaced.clear()
            _other_packages.take_out()
            if _set_policy is not None and _get_policy() is events._get_event_loop_policy():
                _set_policy(_replaced_policy)


def is_active() -> bool:
    """Tell whether `import asyncio` gives the one on trio here: after install(), or under `python -m compat`."""
    return bool(_replaced)
