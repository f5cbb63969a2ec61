"""Types that several modules name."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from typing_extensions import Buffer as Buffer  # typing's own from 3.12 on
else:
    Buffer = bytes | bytearray | memoryview

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

# What the methods of a socket take and return, for each of its families.
if sys.version_info >= (3, 14):
    Address: TypeAlias = tuple[Any, ...] | str | Buffer | int
else:
    Address: TypeAlias = tuple[Any, ...] | str | Buffer


class StepFunction(Protocol):
    """What the interpreter has the loop call for a step of a Task."""

    @property
    def __self__(self) -> AnyTask: ...

    def __call__(self, future: AnyFuture = ...) -> object: ...


# The step of a Task: in which context, the function, and for a Task that is woken the future that is done.
Step: TypeAlias = tuple[Context, StepFunction] | tuple[Context, StepFunction, AnyFuture]


class HasFileno(Protocol):
    """A file, a socket, or what has a descriptor in another way."""

    def fileno(self) -> int:
        """The descriptor."""


FileDescriptorLike: TypeAlias = int | HasFileno
