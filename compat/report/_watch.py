"""Reads a watch file: what `python -m compat --watch` has seen a program do that means something else in trio."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

__all__ = ["FORMAT", "VERSION", "Finding", "read_watch_file"]

FORMAT, VERSION = "asyncio-on-trio watch", 1
WRITE_AGAIN = "run the program with --watch-json again, and stop it by Ctrl-C or SIGINT if it does not end"


@dataclass(frozen=True, order=True)
class Finding:
    """What was seen at one place."""

    file: str
    line: int
    kind: str  # "cancel-swallowed" and the like
    count: int  # how often it was seen
    what: str
    todo: str


def read_watch_file(path: Path) -> list[Finding]:
    """The findings, by file and line. Raises OSError, and ValueError, which says what is wrong, for other content."""
    content = path.read_bytes()
    if not content.strip():
        raise ValueError(f"it is empty: {WRITE_AGAIN}")
    try:
        data = json.loads(content)
    except ValueError as error:
        if FORMAT.encode() in content:
            raise ValueError(f"it is cut off ({error}): {WRITE_AGAIN}") from None
        raise ValueError(f"it is not JSON: {error}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f'it has no "format": "{FORMAT}", which `python -m compat --watch --watch-json FILE` writes')
    if data.get("version") != VERSION:
        raise ValueError(f'its "version" is {data.get("version")!r}, and this report reads {VERSION}')
    findings = data.get("findings")
    if not isinstance(findings, list):
        raise ValueError('"findings" is no list')
    return sorted({finding_of(each, number) for number, each in enumerate(findings)})


def finding_of(item: Any, number: int) -> Finding:
    for field in fields(Finding):
        is_number = field.name in ("line", "count")
        if not isinstance(item, dict) or type(item.get(field.name)) is not (int if is_number else str):
            raise ValueError(f'"findings"[{number}] has no {"number" if is_number else "text"} "{field.name}"')
    return Finding(**{field.name: item[field.name] for field in fields(Finding)})
