"""The names of trio's that are used and not public. They are checked here, so that an unknown trio is one clear error.

Each has its reason beside it. `_NEEDED` names the attributes by the class that owns them.
"""

from __future__ import annotations

import sys
import types
import warnings
from typing import Any, Final

import sniffio
import trio

from .._required import SetBy, missing
from .._types import T

WORKS_WITH: Final = "0.28 to 0.35"

try:
    from trio._core import _ki, _parking_lot, _run, _traps

    # trio says through sniffio that a thread runs trio code. In the steps of asyncio Tasks it is asyncio code.
    SNIFFIO = sniffio.thread_local

    # Thread-local: the current run and the current task.
    RUN = _run.GLOBAL_RUN_CONTEXT

    # trio.run() without the loop around it: a run that can be driven by hand, and stand still.
    from trio._core._run import CancelStatus as CancelStatus
    from trio._core._run import NurseryManager as NurseryManager
    from trio._core._run import Runner as Runner
    from trio._core._run import Task as Task
    from trio._core._run import setup_runner as setup_runner
    from trio._core._run import unrolled_run as unrolled_run

    # The child of os.fork() has none of the parent's idle threads.
    from trio._core._thread_cache import THREAD_CACHE as THREAD_CACHE

    _EntryQueue: Any = vars(_run)["EntryQueue"]  # other threads wake the run through it
    _IOManager: Any = vars(_run)["TheIOManager"]

    # What a task yields to trio's loop.
    from trio._core._traps import CancelShieldedCheckpoint as CancelShieldedCheckpoint
    from trio._core._traps import PermanentlyDetachCoroutineObject as PermanentlyDetachCoroutineObject
    from trio._core._traps import WaitTaskRescheduled as WaitTaskRescheduled

    # By this trio.from_thread finds its run, in a thread that trio.to_thread has not started.
    from trio._threads import PARENT_TASK_DATA as PARENT_TASK_DATA

    # fmt: off
    _NEEDED = {
        # A task is stepped by `_next_send_fn(_next_send)`; while it waits, `_abort_func` interrupts the wait.
        Task: "_abort_func _attempt_abort _attempt_delivery_of_any_pending_cancel _attempt_delivery_of_pending_ki"
              " _activate_cancel_status _next_send _next_send_fn _schedule_points _cancel_points _runner"
              " _parent_nursery _child_nurseries _cancel_status context coro name custom_sleep_data"
              " _eventual_parent_nursery _counter _ki_protected",
        # The run: its queue, its tasks, its deadlines, and what ends it.
        Runner: "reschedule spawn_impl task_exited deliver_ki waiting_for_idle clock_autojump_threshold main_task"
                " main_task_outcome init_task runq tasks deadlines clock instruments io_manager ki_manager ki_pending"
                " entry_queue current_trio_token system_nursery is_guest force_guest_tick_asap",
        _ki.KIManager: "install close",
        SetBy(_ki.KIManager.install): "handler",
        _EntryQueue: "wakeup task",
        _run.Deadlines: "_heap add remove expire next_deadline",
        _IOManager: "get_events process_events force_wakeup",
        # Which waits a cancelled scope interrupts.
        CancelStatus: "effectively_cancelled abandoned_by_misnesting parent _parent _scope _tasks _children close",
        trio.CancelScope: "__exit__ _cancel_called _cancel_status _has_been_entered _registered_deadline _shield",
        trio.Cancelled: "_create",
        # A nursery that is entered and left without the wait of `async with`.
        NurseryManager: "__aexit__",
        SetBy(NurseryManager.__aenter__): "_nursery _scope",
        SetBy(trio.Nursery.__init__):
            "_children _cancel_status cancel_scope _closed _nested_child_running _pending_excs _pending_starts"
            " _parent_waiting_in_aexit",
        trio.Nursery: "_create _add_exc",
        THREAD_CACHE: "_idle_workers",
        _parking_lot: "GLOBAL_PARKING_LOT_BREAKER",
        _traps: "_async_yield",
        _run: "CONTEXT_RUN_TB_FRAMES",
    }
    # fmt: on
    _missing = missing(_NEEDED.items())
    if sys.platform == "linux":
        from trio._core._io_epoll import EpollWaiters as _EpollWaiters

        _missing += missing([(_IOManager, "_epoll _registered"), (_EpollWaiters, "current_flags")])
    if _missing:
        raise ImportError(f"trio has no {', '.join(_missing)}")
except (AttributeError, ImportError, KeyError) as error:
    raise ImportError(
        f"asyncio-on-trio does not know the inside of trio {trio.__version__}: it works with trio {WORKS_WITH}. "
        f"Install one of these, or a newer asyncio-on-trio. ({error})"
    ) from error


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


if _numbers(trio.__version__) > _numbers(WORKS_WITH.rpartition(" ")[2]):
    warnings.warn(
        f"asyncio-on-trio was not tested with trio {trio.__version__}, but with trio {WORKS_WITH}",
        RuntimeWarning,
        stacklevel=2,
    )

traps = _traps
parking_lot = _parking_lot
ENTRY_QUEUE: types.CodeType = _EntryQueue.task.__code__  # of the task that calls what other threads send
CancelReason: Any = getattr(_run, "CancelReason", None)  # in newer trio
CONTEXT_FRAMES: Final = 1 + _run.CONTEXT_RUN_TB_FRAMES  # the frames of who steps a task, on top of its traceback


# trio leaves it out: Ctrl-C in there would leave a task in its nursery that never begins.
trio.lowlevel.enable_ki_protection(Runner.spawn_impl)


def protected(cls: type[T]) -> type[T]:
    """Keep Ctrl-C out of the methods of a class, as trio keeps it out of its own: it comes at the next checkpoint."""
    for member in vars(cls).values():
        function = getattr(member, "fget", member)
        if isinstance(function, types.FunctionType) and function.__module__ == cls.__module__:
            trio.lowlevel.enable_ki_protection(function)
    return cls


def protect_all_of(code: types.CodeType) -> None:
    """Keep Ctrl-C out of a function that is not ours, and of the functions in it."""
    trio.lowlevel.enable_ki_protection(types.SimpleNamespace(__code__=code))
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            protect_all_of(inner)


class Derivable:
    """The first base of a class that derives from a final class of trio's, whose __init_subclass__ would refuse."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        pass
