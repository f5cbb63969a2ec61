"""What is found: the kinds, what this process has found of them so far, and the list that is made of it at the end."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TypeAlias

from compat.adapters import _types
from compat.report._watch import FORMAT, VERSION

from ._places import NOWHERE, Place

__all__ = ["KINDS", "Run", "as_json", "as_text", "error_of", "is_failure", "note", "record"]

# Each kind of finding: what happened, and what to do before the port.
KINDS = {
    "cancel-swallowed": (
        "A cancelled task caught CancelledError and waited again, or ended although who awaited it was cancelled, too.",
        "Raise CancelledError again after the clean-up: trio raises Cancelled at each wait until the scope is left.",
    ),
    "cleanup-wait": (
        "A task that was cancelled waited in its clean-up.",
        "Put it into a trio.CancelScope with shield=True and a time limit: on native and trio it is cancelled, too.",
    ),
    "task-outlived": (
        "A task was still running when the async function that had made it ended.",
        "Start it in a TaskGroup of a function that lives longer, or await it before the function ends.",
    ),
    "error-unretrieved": (
        "A task failed, and nobody asked for its error.",
        "Await the task, or handle the error in it: on native and trio the error ends the run.",
    ),
    "gather-survivor": (
        "gather() raised an error, and another of its tasks went on.",
        "Use a TaskGroup, which cancels the others, or return_exceptions=True if they are to go on.",
    ),
    "lock-other-task": (
        "A Lock was released by another task than the one that had acquired it.",
        "Release it in the same task, or use a Semaphore or an Event, which belong to no task.",
    ),
    "queue-left": (
        "A Queue had items in it at its end, or at the end of the program.",
        "Take the items out, or make sure that they may be lost: who closes a channel drops them.",
    ),
    "loop-callback": (
        "call_soon(), call_later() or call_at() was called.",
        "Start a task instead, which sleeps first if it has to: native and trio have no callbacks.",
    ),
    "future-by-hand": (
        "A Future was made by hand.",
        "Use an Event and a variable, or a Queue of one item: native and trio have no futures.",
    ),
    "task-shared": (
        "Several tasks waited for one task.",
        "Have the task keep its result and set an Event for which the others wait: trio has no task to be awaited.",
    ),
    "shield": (
        "shield() was called.",
        "Put what must not be interrupted into a CancelScope(shield=True), or start it in a nursery that lives longer.",
    ),
    "shield-survivor": (
        "The wait for a shield() was cancelled, and what it shields went on.",
        "Decide who waits for its end: in trio a nursery that lives longer has to hold it.",
    ),
}

Found: TypeAlias = list[tuple[tuple[str, Place], int]]  # the kind and the place, and how often


@dataclass(slots=True)
class Run:
    """A call of asyncio.run() or the like; what comes before the first is one, too."""

    has_failed: bool = False


@dataclass(slots=True)
class _Record:
    """What this process has found so far, and what it knows of its program: what is left in a queue depends on that."""

    found: Counter[tuple[str, Place]] = field(default_factory=Counter)
    run: Run = field(default_factory=Run)  # the one that has begun last
    program_has_failed: bool = False

    def in_order(self) -> Found:
        """All findings: by kind, and by place."""
        return sorted(self.found.items(), key=lambda item: (list(KINDS).index(item[0][0]), item[0][1]))


record = _Record()  # the only one; all that changes and that several modules use is in it


def note(kind: str, place: Place) -> None:
    """Take note of a finding, if its place is the program's."""
    if place is not NOWHERE:
        record.found[kind, place] += 1


def is_failure(error: BaseException | None) -> bool:
    """Tell whether what ends by this error has failed: sys.exit() does not."""
    return error is not None and not (isinstance(error, SystemExit) and not error.code)


def error_of(future: _types.AnyFuture) -> BaseException | None:
    """Its error, without taking note that somebody has asked for it."""
    error: BaseException | None = getattr(future, "_exception", None)
    return error


def as_json(program: list[str], found: Found) -> dict[str, object]:
    """The list for --watch-json, as compat.report reads it."""
    findings = [
        {
            "kind": kind,
            "file": file if file[0] == "<" else os.path.abspath(file),
            "line": line,
            "count": count,
            "what": KINDS[kind][0],
            "todo": KINDS[kind][1],
        }
        for (kind, (file, line)), count in found
    ]
    python = sys.version.partition(" ")[0]
    return {"format": FORMAT, "version": VERSION, "python": python, "program": program, "findings": findings}


def as_text(found: Found) -> str:
    """The list for --watch."""
    places = f"{len(found)} place{'s' if len(found) > 1 else ''}" if found else "nothing found"
    lines = [f"compat --watch: {places}"]
    kinds = dict.fromkeys(kind for (kind, _), _ in found)
    for kind in kinds:
        what, todo = KINDS[kind]
        lines += ["", f"{kind}: {what}", f"  Before the port: {todo}"]
        for (_, (file, line)), count in (each for each in found if each[0][0] == kind):
            here = os.path.abspath(file).removeprefix(os.getcwd() + os.sep) if file[0] != "<" else file
            lines.append(f"  {here}:{line}{f', {count} times' if count > 1 else ''}")
    return "\n".join(lines)
