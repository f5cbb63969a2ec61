"""The loop's asynchronous generators: which of them are asyncio's, and how they are closed.

trio has hooks of its own for the generators that its tasks iterate. The loop's hooks take those that an asyncio Task
has begun to iterate, and leave the others to trio's.
"""

from __future__ import annotations

import sys
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable
from typing import Never, TypeAlias

from ._interface import LoopPart
from ._trio.names import protected

FEWEST_IDS_TO_PRUNE = 100

Agen: TypeAlias = AsyncGenerator[object, Never]
Hook: TypeAlias = Callable[[Agen], None]  # of sys.set_asyncgen_hooks()


@protected
class AsyncGenerators(LoopPart):
    """The thread's hooks while the loop runs. shutdown_asyncgens() is the interpreter's own."""

    def __init__(self) -> None:
        super().__init__()
        self._asyncgens: weakref.WeakSet[Agen] = weakref.WeakSet()
        self._asyncgen_ids: set[int] = set()
        self._asyncgens_shutdown_called = False
        self._outer_hooks: tuple[Hook | None, Hook | None] = (None, None)  # trio's, while ours are set

    def _set_asyncgen_hooks(self) -> None:
        self._outer_hooks = _current_hooks()
        sys.set_asyncgen_hooks(self._asyncgen_firstiter_hook, self._asyncgen_finalizer_hook)

    def _reset_asyncgen_hooks(self) -> None:
        if _current_hooks() == (self._asyncgen_firstiter_hook, self._asyncgen_finalizer_hook):
            sys.set_asyncgen_hooks(*self._outer_hooks)

    def _asyncgen_firstiter_hook(self, agen: Agen) -> None:
        if self._scheduler.is_in_trio_task():
            self._asyncgen_ids.discard(id(agen))  # of one that has run to its end
            trios, _ = self._outer_hooks
            assert trios is not None
            trios(agen)
            return
        if self._asyncgens_shutdown_called:
            warnings.warn(
                f"asynchronous generator {agen!r} was scheduled after loop.shutdown_asyncgens() call",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
        self._asyncgens.add(agen)
        # By id, since the weak set has lost a generator when it is finalized. One that runs to its end is not
        # finalized: its id stays, until so many have gathered.
        self._asyncgen_ids.add(id(agen))
        if len(self._asyncgen_ids) > 2 * len(self._asyncgens) + FEWEST_IDS_TO_PRUNE:
            self._asyncgen_ids.intersection_update(map(id, self._asyncgens))

    def _asyncgen_finalizer_hook(self, agen: Agen) -> None:
        if id(agen) in self._asyncgen_ids:
            self._asyncgen_ids.discard(id(agen))
            super()._asyncgen_finalizer_hook(agen)  # type: ignore[misc]
        else:
            _, trios = self._outer_hooks
            assert trios is not None
            trios(agen)


def _current_hooks() -> tuple[Hook | None, Hook | None]:
    hooks = sys.get_asyncgen_hooks()
    # As a plain tuple: sys's own kind is not seen by the garbage collector, and may lead back to the loop.
    return hooks.firstiter, hooks.finalizer
