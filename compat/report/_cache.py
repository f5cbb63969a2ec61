"""Keeps what was found in a source text in the user's cache folder, by the text, so that each is read once.

The report's own code and the Python that runs it are part of the key. Nothing changes once it is there: any number of
runs can share the folder, and it may be deleted at any time.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from ._reading import Found, Use

__all__ = ["key_of", "load", "store"]


def folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "asyncio-on-trio", "report")


@functools.cache
def version() -> bytes:
    """What else the findings depend on."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return b"".join([sys.version.encode(), *(hashlib.sha256(path.read_bytes()).digest() for path in sources)])


def key_of(data: bytes) -> str:
    """The key of a source text."""
    return hashlib.sha256(version() + data).hexdigest()


def place_of(key: str) -> Path:
    return folder() / key[:2] / f"{key[2:]}.json"


def load(key: str) -> Found | None:
    """What was stored under this key, None if there is nothing that can be read."""
    try:
        lines, uses, possible = json.loads(place_of(key).read_bytes())
        return Found(lines, [use_of(*each) for each in uses], [use_of(*each) for each in possible])
    except (OSError, ValueError, TypeError):
        return None


def use_of(line: int, column: int, api: str, kind: str, arguments: list[str] | None) -> Use:
    return Use(line, column, api, kind, None if arguments is None else tuple(arguments))


def store(key: str, found: Found) -> None:
    """Store what was found; a folder that cannot be written is no error."""
    path = place_of(key)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump(found, file)
        os.replace(file.name, path)
