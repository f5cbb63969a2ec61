"""What a suspended coroutine is made of, for those who look at tasks."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import CoroutineType, FrameType

__all__ = ["parts_of"]


def parts_of(coro: object) -> Iterator[tuple[object, FrameType]]:
    """The coroutine and what it awaits, the outermost first: coroutines and generators, with their frames."""
    # For speed. From another thread than the coroutine's it may end meanwhile.
    while type(coro) is CoroutineType and (frame := coro.cr_frame) is not None:
        yield coro, frame
        coro = coro.cr_await
    while coro is not None and type(coro).__name__ != "FutureIter":
        for kind, inner in ("cr", "await"), ("gi", "yieldfrom"), ("ag", "await"):
            if hasattr(coro, f"{kind}_frame"):
                frame = getattr(coro, f"{kind}_frame")
                if frame is not None:
                    yield coro, frame
                coro = getattr(coro, f"{kind}_{inner}")
                break
        else:  # what steps an asynchronous generator, or what __await__() of a coroutine gives
            inside = (each for each in gc.get_referents(coro) if hasattr(each, "ag_frame") or hasattr(each, "cr_frame"))
            coro = next(inside, None)
