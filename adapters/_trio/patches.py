"""Functions of trio's that are replaced while a loop is open in any thread, and put back with the last one.

Each replacement is made by `@replaces(owner, name)`, beside the code that needs it. There it says why, and what it
would be as a public API of trio's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F")

_MISSING = object()


class _Patches:
    """The replacements, and how many loops need them. The lock is held while they are made or taken back."""

    def __init__(self) -> None:
        self.replacements: list[tuple[object, str, object]] = []  # owner, name, replacement
        self.originals: list[object] = []  # of each, what stood there when the first loop was opened
        self.lock = threading.Lock()
        self.users = 0


_patches = _Patches()


def replaces(owner: object, name: str) -> Callable[[F], F]:
    """Decorate what stands for `owner.name` while a loop is open; without a loop the attribute is what it was."""

    def note(replacement: F) -> F:
        _patches.replacements.append((owner, name, replacement))
        return replacement

    return note


def install() -> None:
    """Replace the functions: a loop opens. Any thread may call this, once for each uninstall()."""
    with _patches.lock:
        _patches.users += 1
        if _patches.users == 1:
            _patches.originals = [vars(owner).get(name, _MISSING) for owner, name, _ in _patches.replacements]
            for owner, name, replacement in _patches.replacements:
                setattr(owner, name, replacement)


def uninstall() -> None:
    """Put the originals back with the last loop. What somebody else has replaced meanwhile stays as it is."""
    with _patches.lock:
        _patches.users -= 1
        if _patches.users == 0:
            for (owner, name, replacement), original in zip(_patches.replacements, _patches.originals, strict=True):
                if vars(owner).get(name, _MISSING) is not replacement:
                    continue
                if original is _MISSING:
                    delattr(owner, name)
                else:
                    setattr(owner, name, original)
