"""Has the python interpreters that a program starts run on trio, too, as `python -m compat` does it for the program.

The command line of such an interpreter gets one argument more: `_child.py` in front of its program. That is done where
subprocess, multiprocessing, asyncio and os start a process, so nobody sees it but the system. Left alone is what names
no sys.executable, asks for an interactive interpreter, or goes through a shell.
"""

import _posixsubprocess as std_posixsubprocess
import os
import subprocess as std_subprocess
import sys
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, TypeAlias, TypeVar

__all__ = ["START", "start_on_trio"]

T = TypeVar("T")
Argument: TypeAlias = str | bytes | PathLike[str] | PathLike[bytes]

_posixsubprocess: Any = std_posixsubprocess
_subprocess: Any = std_subprocess

START = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_child.py")


def start_on_trio() -> None:
    """From here on every python interpreter that this process starts runs its program on trio."""
    fork_exec: Callable[..., int] = _posixsubprocess.fork_exec

    def fork_exec_on_trio(arguments: Sequence[Argument], executables: Sequence[bytes], *options: object) -> int:
        if len(executables) == 1:  # else it is to be searched for in PATH
            arguments = on_trio(executables[0], arguments)
        return fork_exec(arguments, executables, *options)

    # multiprocessing asks the module, subprocess has a name of its own.
    _posixsubprocess.fork_exec = _subprocess._fork_exec = fork_exec_on_trio
    for name in ("execv", "execve", "posix_spawn", "posix_spawnp"):
        if hasattr(os, name):
            setattr(os, name, _with_arguments_on_trio(getattr(os, name)))


def _with_arguments_on_trio(start: Callable[..., T]) -> Callable[..., T]:
    def start_on_trio(path: Argument, argv: Sequence[Argument], *options: object, **more: object) -> T:
        return start(path, on_trio(path, argv), *options, **more)

    return start_on_trio


def on_trio(executable: Argument, arguments: Sequence[Argument]) -> Sequence[Argument]:
    """The arguments with which an interpreter runs its program on trio; as they are, if it is another executable."""
    try:
        words = [os.fsdecode(argument) for argument in arguments]
        if os.fsdecode(executable) != sys.executable or words[:1] != [sys.executable]:
            return arguments
    except TypeError:
        return arguments  # whoever is called with them refuses them
    place = _place_of_program(words)
    if place is None or words[place] == START or words[place : place + 2] == ["-m", "compat"]:
        return arguments
    if words[place] == "-c" and "multiprocessing.resource_tracker" in words[place + 1]:
        return arguments  # a part of multiprocessing, in which nothing of the program runs
    flags = words[place][: -len(_without_flags(words[place]))]  # of `-uc CODE`, which python is to see before START
    return [*arguments[:place], *([flags] if flags not in ("", "-") else []), START, *arguments[place:]]


def _without_flags(word: str) -> str:
    """What of a word on python's command line is no flag that stands by itself: "cCODE" of "-ucCODE"."""
    return word[1:].lstrip("BEIOPRSbdqsuv") if word[:1] == "-" and word != "-" else word


def _place_of_program(words: list[str]) -> int | None:
    """The index in python's command line where -c, -m, a file or - names the program; None if there is none."""
    place = 1
    while place < len(words):
        word = words[place]
        option = _without_flags(word)
        if option == word:
            return place
        if option[:1] in ("c", "m"):
            return place if option[1:] or place + 1 < len(words) else None
        if option in ("-check-hash-based-pycs", "W", "X"):
            place += 2
        elif option[:1] in ("", "W", "X"):
            place += 1
        else:
            return None
    return None
