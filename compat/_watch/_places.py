"""Where the program is: which code is the program's, and the place at which one of its frames stands."""

from __future__ import annotations

import asyncio
import dis
import os
from types import CodeType, FrameType, ModuleType
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import outcome
import sniffio
import trio

import compat
from compat import adapters

if TYPE_CHECKING:
    from traceback import FrameSummary

__all__ = [
    "NOWHERE",
    "TASKS_FILE",
    "Place",
    "hide_this",
    "is_program",
    "last_operation",
    "line_of",
    "place_around",
    "place_in",
]

T = TypeVar("T")

Place: TypeAlias = tuple[str, int]  # a file and a line
NOWHERE: Place = "", 0  # asked for by identity

TASKS_FILE = asyncio.tasks.__file__  # gather(), wait() and the like


def _folder(module: ModuleType) -> str:
    return os.path.dirname(str(module.__file__)) + os.sep


_LIBRARY = _folder(os)
_HIDDEN = (*map(_folder, (trio, outcome, sniffio, compat)), *adapters.__path__, "<frozen ")
_HERE = os.path.dirname(__file__) + os.sep


class _ProgramFiles(dict[str, bool]):
    """Whether the code of a file is the program's."""

    def __missing__(self, file: str) -> bool:
        of_library = file.startswith(_LIBRARY) and not file.startswith(
            (f"{_LIBRARY}site-packages", f"{_LIBRARY}dist-packages")
        )
        self[file] = of_program = not (of_library or file.startswith(_HIDDEN))
        return of_program


is_program = _ProgramFiles()


def place_in(frame: FrameType | None) -> Place:
    """Where the frame is, if it is the program's."""
    if frame is None or not is_program[frame.f_code.co_filename]:
        return NOWHERE
    return frame.f_code.co_filename, frame.f_lineno


def place_around(frame: FrameType | None) -> Place:
    """Where the program is, in this frame or one around it."""
    while frame is not None and not is_program[frame.f_code.co_filename]:
        frame = frame.f_back
    return place_in(frame)


def line_of(code: CodeType, instruction: int) -> int:
    """The line of an instruction."""
    lines = (line for start, end, line in code.co_lines() if start <= instruction < end)
    return next(lines, None) or code.co_firstlineno


def last_operation(frame: FrameType) -> str:
    """The name of the instruction at which the frame stands, or has ended."""
    return dis.opname[frame.f_code.co_code[frame.f_lasti]]


def hide_this(made: T) -> T:
    """In debug mode a Task, a Future or a Handle remembers where it was made: not here."""
    frames: list[FrameSummary] | None = getattr(made, "_source_traceback", None)
    if frames:
        frames[:] = [frame for frame in frames if not frame.filename.startswith(_HERE)]
    return made
