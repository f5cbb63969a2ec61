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

from trio.lowlevel import enable_ki_protection

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
        self._hooks: tuple[Hook | None, Hook | None] = (None, None)  # ours, while they are set
        self._outer_hooks: tuple[Hook | None, Hook | None] = (None, None)

    def _set_asyncgen_hooks(self) -> None:
        # As a plain tuple: sys's own kind is not seen by the garbage collector, and may lead back to the loop.
        first_iteration, finalize = self._outer_hooks = _current_hooks()
        self._hooks = self._make_asyncgen_hooks(first_iteration, finalize)
        sys.set_asyncgen_hooks(*self._hooks)

    def _reset_asyncgen_hooks(self) -> None:
        if self._hooks == _current_hooks():
            sys.set_asyncgen_hooks(*self._outer_hooks)
        self._hooks = (None, None)

    def _make_asyncgen_hooks(
        self, trios_first_iteration: Hook | None, trios_finalize: Hook | None
    ) -> tuple[Hook, Hook]:
        def first_iteration(agen: Agen) -> None:
            if self._scheduler.is_in_trio_task():
                self._asyncgen_ids.discard(id(agen))  # of one that has run to its end
                assert trios_first_iteration is not None
                trios_first_iteration(agen)
                return
            if self._asyncgens_shutdown_called:
                warnings.warn(
                    f"asynchronous generator {agen!r} was scheduled after loop.shutdown_asyncgens() call",
                    ResourceWarning,
                    stacklevel=2,
                    source=self,
                )
            self._asyncgens.add(agen)
            # By id, since the weak set has lost a generator when finalize() comes. One that runs to its end is not
            # finalized: its id stays, until so many have gathered.
            self._asyncgen_ids.add(id(agen))
            if len(self._asyncgen_ids) > 2 * len(self._asyncgens) + FEWEST_IDS_TO_PRUNE:
                self._asyncgen_ids.intersection_update(map(id, self._asyncgens))

        def finalize(agen: Agen) -> None:
            if id(agen) not in self._asyncgen_ids:
                assert trios_finalize is not None
                trios_finalize(agen)
                return
            self._asyncgen_ids.discard(id(agen))
            if not self.is_closed():
                self.call_soon_threadsafe(self.create_task, agen.aclose())

        for function in (first_iteration, finalize):
            enable_ki_protection(function)
        return first_iteration, finalize


def _current_hooks() -> tuple[Hook | None, Hook | None]:
    hooks = sys.get_asyncgen_hooks()
    return hooks.firstiter, hooks.finalizer
