"""trio's threads, for the loop's default executor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from .names import PARENT_TASK_DATA, Runner


def token_of(runner: Runner) -> trio.lowlevel.TrioToken:
    """The run's token, also while it stands still."""
    return runner.current_trio_token()


@contextmanager
def as_thread_of(token: trio.lowlevel.TrioToken) -> Iterator[None]:
    """Have trio.from_thread find its run in the block, as it does in a thread of trio.to_thread's."""
    here = PARENT_TASK_DATA
    here.token, here.abandon_on_cancel, here.cancel_register, here.task_register = token, True, [None], [None]
    try:
        yield
    finally:
        del here.token, here.abandon_on_cancel, here.cancel_register, here.task_register
