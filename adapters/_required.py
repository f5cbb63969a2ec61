"""Checks at import that names which are not public are where they are expected: see `_asyncio.py`, `_trio/names.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable


class SetBy:
    """Has the attributes that a method names: those that a class without slots sets in its instances."""

    def __init__(self, method: Callable[..., object]) -> None:
        self.__dict__.update(dict.fromkeys(method.__code__.co_names))
        self._method = method.__qualname__

    def __repr__(self) -> str:
        return str(self._method)


def missing(required: Iterable[tuple[object, str]]) -> list[str]:
    """The attributes that their owners do not have. An owner comes with the names of its attributes, in one string."""
    return [f"{owner!r}.{name}" for owner, names in required for name in names.split() if not hasattr(owner, name)]
