"""Everything public says what it is: modules, functions, classes and their methods, of compat and of adapters."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator

import pytest

import compat
import compat.asyncio
from compat import adapters

PACKAGES = {"compat": compat, "compat.adapters": adapters}


def modules() -> Iterator[str]:
    for name, package in PACKAGES.items():
        yield name
        for info in pkgutil.walk_packages(package.__path__, f"{name}."):
            if info.name.endswith("._child_watchers") and sys.version_info >= (3, 14):
                continue  # asyncio has none any more
            if info.name not in ("compat.asyncio", "compat.asyncio.", "compat.report.__main__", "compat.__main__"):
                yield info.name


def is_ours(function: object) -> bool:
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None  # type: ignore[arg-type]
    return code is not None and code.co_filename.startswith(tuple(package.__path__[0] for package in PACKAGES.values()))


def undocumented(module_name: str) -> Iterator[str]:
    module = importlib.import_module(module_name)
    if not (module.__doc__ or "").strip():
        yield module_name
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        methods = {} if not inspect.isclass(value) else vars(value)
        functions = {
            key: getattr(each, "fget", None) or getattr(each, "__func__", each) for key, each in methods.items()
        }
        if (is_ours(value) or any(map(is_ours, functions.values()))) and not (value.__doc__ or "").strip():
            yield f"{module_name}.{name}"
        for method, function in functions.items():
            if not method.startswith("_") and is_ours(function) and not inspect.getdoc(getattr(value, method)):
                yield f"{module_name}.{name}.{method}"


@pytest.mark.parametrize("module", [*modules()])
def test_docstrings(module):
    assert list(undocumented(module)) == []


def test_the_drop_in_says_what_asyncio_says():
    """A name of asyncio's that is ours has a docstring wherever asyncio's own has one."""
    import asyncio

    from compat import asyncio as drop_in

    missing = [
        name
        for name in asyncio.__all__
        if not name.startswith("_") and getattr(asyncio, name).__doc__ and not getattr(drop_in, name).__doc__
    ]
    assert missing == []


def test_the_package_names_all_of_it():
    for name in compat.__all__:
        assert f"{name}()`" in compat.__doc__ or name in ("asyncio", "QueueShutDown"), name
