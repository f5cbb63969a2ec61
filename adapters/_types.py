"""Types that several modules name."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import IO, Any, ParamSpec, Protocol, TypeAlias, TypeVar, TypeVarTuple

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

AnyTask: TypeAlias = "asyncio.Task[Any]"
AnyFuture: TypeAlias = "asyncio.Future[Any]"

# What a Task runs.
if sys.version_info >= (3, 12):
    CoroutineLike: TypeAlias = Coroutine[Any, Any, T]
else:
    CoroutineLike: TypeAlias = Coroutine[Any, Any, T] | Generator[Any, None, T]

AnyCoroutine: TypeAlias = CoroutineLike[Any]

BytesLike: TypeAlias = bytes | bytearray | memoryview  # what a transport sends

# What subprocess.Popen takes: a word of the command; a descriptor, a file, PIPE or the like, None to inherit.
Argument: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
File: TypeAlias = int | IO[bytes] | IO[str] | None

TLS: TypeAlias = ssl.SSLContext | bool | None  # True: the default context of a client


class StepFunction(Protocol):
    """What the interpreter has the loop call for a step of a Task."""

    @property
    def __self__(self) -> AnyTask: ...

    def __call__(self, future: AnyFuture = ...) -> object: ...


# The step of a Task: in which context, the function, and for a Task that is woken the future that is done.
Step: TypeAlias = tuple[Context, StepFunction] | tuple[Context, StepFunction, AnyFuture]
