"""trio's threads, for the loop's default executor."""

from __future__ import annotations

from collections.abc import Callable

import trio

from .._types import P, T
from .names import PARENT_TASK_DATA, Runner


def token_of(runner: Runner) -> trio.lowlevel.TrioToken:
    """The run's token, also while it stands still."""
    return runner.current_trio_token()


def call_as_thread_of(token: trio.lowlevel.TrioToken, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call fn(*args, **kwargs); trio.from_thread finds its run in it, as in a thread of trio.to_thread's."""
    here = PARENT_TASK_DATA
    here.token, here.abandon_on_cancel, here.cancel_register, here.task_register = token, True, [None], [None]
    try:
        return fn(*args, **kwargs)
    finally:
        del here.token, here.abandon_on_cancel, here.cancel_register, here.task_register
