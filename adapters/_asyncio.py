"""The names of asyncio's that are not public, checked at import; and how the interpreter schedules the step of a Task.

A function or a class of asyncio's has a public name here, and stands nowhere else under its own. Attributes are used
where the object is; `ATTRIBUTES` names them by the class that owns them.
"""

from __future__ import annotations

import _asyncio as _std_in_c  # nest_asyncio replaces each name of the classes in it
import asyncio
import sys
import types
from asyncio import Handle, constants, transports
from collections.abc import Callable
from socket import socket
from typing import TYPE_CHECKING, Any

from ._required import SetBy, missing
from ._types import AnyTask, Step

_std: Any = asyncio  # to a type checker its underscored names do not exist
_events, _tasks = _std.events, _std.tasks


def _made_public(name: str) -> Any:
    """A name of asyncio.events; 3.14 has put an underscore before those of the policies."""
    return getattr(_events, f"_{name}", None) or getattr(_events, name)


try:
    SendfileMode = constants._SendfileMode
    _FlowControlMixin = transports._FlowControlMixin

    # The interpreter's own, in C: trio_asyncio, for one, replaces the other names of it.
    get_running_loop: Callable[[], asyncio.AbstractEventLoop | None] = _events._c__get_running_loop
    set_running_loop: Callable[[asyncio.AbstractEventLoop | None], None] = asyncio._set_running_loop

    # The interpreter's account of which Task runs in which loop.
    enter_task: Callable[[object, object], None] = _tasks._enter_task
    leave_task: Callable[[object, object], None] = _tasks._leave_task
    interpreters_current_task: Callable[[object], asyncio.Task[object] | None]
    if sys.version_info >= (3, 12):
        interpreters_current_task = _tasks._c_current_task
    else:
        interpreters_current_task = _tasks._current_tasks.get
    python_current_task: Callable[[object], asyncio.Task[object] | None]
    if sys.version_info >= (3, 14):  # Tasks written in Python have an account of their own
        python_current_task = _tasks._py_current_task
    else:
        python_current_task = interpreters_current_task

    # Callbacks by which a Task in Python schedules its step.
    PYTHON_STEPS = {vars(_tasks._PyTask)[name] for name in ("_Task__step", "_Task__wakeup")}
    _PENDING, _PythonFuture = _std.futures._PENDING, _std.futures._PyFuture

    # 3.14 on: a Handle that another thread may cancel.
    ThreadSafeHandle: type[Handle] = getattr(_events, "_ThreadSafeHandle", Handle)

    _std.coroutines._is_debug_mode  # noqa: B018
    format_handle: Callable[[Handle], str] = _std.base_events._format_handle
    _format_callback_source: Callable[..., str] = _std.format_helpers._format_callback_source
    DatagramTransport: Any = _std.selector_events._SelectorDatagramTransport
    # 3.13 on: each datagram counts for some bytes more in the buffer. 3.13.0 adds them, and does not subtract them.
    DATAGRAMS_ARE_MISCOUNTED = sys.version_info >= (3, 13) and not hasattr(DatagramTransport, "_header_size")
    set_nodelay: Callable[[socket], None] = _std.base_events._set_nodelay
    feed_buffered: Callable[[asyncio.BufferedProtocol, bytes], None] = _std.protocols._feed_data_to_buffered_proto

    # The loop policies; asyncio keeps the current one in _event_loop_policy.
    AbstractEventLoopPolicy: type = _made_public("AbstractEventLoopPolicy")
    BaseDefaultEventLoopPolicy: Any = _made_public("BaseDefaultEventLoopPolicy")
    get_asyncios_policy: Callable[[], asyncio.AbstractEventLoopPolicy] = _made_public("get_event_loop_policy")
    _events._event_loop_policy  # noqa: B018

    # From some patch release on, wait() of a subprocess does not wait for the pipes, which a grandchild may keep open.
    _process_exited = _std.base_subprocess.BaseSubprocessTransport._process_exited
    WAIT_ENDS_WITH_PROCESS: bool = "_exit_waiters" in _process_exited.__code__.co_names
    # And the transport is told of the end at once, not one iteration later.
    _when_exited = _std.unix_events.SelectorEventLoop._child_watcher_callback
    TOLD_OF_EXIT_AT_ONCE: bool = "call_soon_threadsafe" not in _when_exited.__code__.co_names

    # fmt: off
    ATTRIBUTES: list[tuple[object, str]] = [
        # Entries of the ready queue and of the timers.
        (Handle, "_run _callback _cancelled _source_traceback _loop"),
        (asyncio.TimerHandle, "_when _scheduled"),
        # What a Task waits for, how it is cancelled, and what it logs. Of both kinds of Task.
        *((kind, "_log_destroy_pending _source_traceback _make_cancelled_error _log_traceback"
                 " _asyncio_future_blocking _loop") for kind in (_std_in_c.Task, _tasks._PyTask)),
        *((owner, "_fut_waiter _must_cancel") for owner in (_std_in_c.Task, SetBy(_tasks._PyTask.__init__))),
        # What our subclasses look at, or replace. The last are for a queue that can be shut down before 3.13.
        (SetBy(_FlowControlMixin.__init__), "_loop _protocol_paused"),
        (_FlowControlMixin, "_maybe_pause_protocol _maybe_resume_protocol"),
        (asyncio.BaseTransport, "_extra"),
        (asyncio.TaskGroup, "_abort"),
        (_std_in_c.Task, "_callbacks"),
        (_tasks._PyTask, "_state"),
        (asyncio.Server, "_attach _detach"),
        (asyncio.SelectorEventLoop, "_check_closed _check_callback _check_signal _ensure_fd_no_transport"),
        (asyncio.SelectorEventLoop, "_check_thread _set_coroutine_origin_tracking _asyncgen_finalizer_hook"),
        (SetBy(asyncio.TaskGroup.__init__), "_loop _tasks _aborting"),
        (asyncio.Lock, "_get_loop _loop"),
        (SetBy(asyncio.Lock.__init__), "_locked _waiters"),
        (SetBy(_tasks._GatheringFuture.__init__), "_children"),
        (BaseDefaultEventLoopPolicy, "_loop_factory"),
        (asyncio.Queue, "_wakeup_next"),
        (SetBy(asyncio.Runner.__init__), "_loop _interrupt_count"),
        (asyncio.Runner, "_on_sigint"),
        (SetBy(asyncio.StreamReaderProtocol.__init__), "_task"),
        (asyncio.StreamReaderProtocol, "_stream_reader"),
        (SetBy(_std.base_subprocess.BaseSubprocessTransport.__init__),
            "_closed _protocol _loop _proc _pid _returncode _exit_waiters _pending_calls _pipes _finished"),
        (_std.base_subprocess.BaseSubprocessTransport, "_check_proc _call _pipe_connection_lost _pipe_data_received"),
        (asyncio.SelectorEventLoop, "_make_read_pipe_transport _make_write_pipe_transport"),
        (SetBy(asyncio.StreamReader.__init__), "_limit _loop _buffer _eof _waiter _exception _transport _paused"),
        (SetBy(asyncio.Queue.__init__), "_getters _putters"),
        # The transport that asyncio.sslproto makes for the program.
        (SetBy(_std.sslproto.SSLProtocol.__init__), "_app_transport"),
    ]
    # fmt: on
    _missing = missing(ATTRIBUTES)
    if _missing:
        raise ImportError(f"asyncio has no {', '.join(_missing)}")
except (AttributeError, ImportError, KeyError) as error:
    raise ImportError(
        f"asyncio-on-trio does not know the inside of asyncio in Python {sys.version.partition(' ')[0]}: "
        f"use a newer asyncio-on-trio, or another Python. ({error})"
    ) from error

if TYPE_CHECKING:
    from traceback import StackSummary

    class FlowControl(transports._FlowControlMixin):
        """asyncio's flow control of what a transport sends, with what a type checker does not know of it."""

        _protocol_paused: bool

        def _maybe_pause_protocol(self) -> None: ...

        def _maybe_resume_protocol(self) -> None: ...

    class Timer(asyncio.TimerHandle):
        """A TimerHandle, likewise."""

        _when: float
        _scheduled: bool

    class TaskGroupBase(asyncio.TaskGroup):
        """asyncio.TaskGroup, likewise."""

        _loop: Any
        _tasks: Any
        _aborting: bool

        def _abort(self) -> None: ...

        async def __aexit__(self, *error: object) -> bool | None: ...  # type: ignore[override]

else:
    FlowControl, Timer, TaskGroupBase = _FlowControlMixin, asyncio.TimerHandle, asyncio.TaskGroup


def replace_policy(old: object, new: object) -> None:
    """Let the real asyncio have the policy `new`, if it has `old` now."""
    if _events._event_loop_policy is old:
        _events._event_loop_policy = new


def is_debug_mode() -> bool:
    """Tell whether a new loop is in debug mode, by the environment or the interpreter's flags."""
    return bool(_std.coroutines._is_debug_mode())  # looked up each time, as tests replace it


def running_task(loop: object) -> asyncio.Task[object] | None:
    """The Task of the loop whose step this is; None if it is nobody's."""
    return interpreters_current_task(loop) or python_current_task(loop)


def _type_of_steps() -> type:
    class Recorder:
        def call_soon(self, step: object, *, context: object) -> None:
            self.step = step

        def get_debug(self) -> bool:
            return False

    async def nothing() -> None:
        pass

    recorder, coro = Recorder(), nothing()
    task: Any = asyncio.Task(coro, loop=recorder, name="")  # type: ignore[arg-type]
    task._log_destroy_pending = False
    coro.close()
    return type(recorder.step)


# Callbacks by which a Task in C schedules its step: by an object of this type, or by a method of this name.
STEP_TYPE, WAKEUP_TYPE, WAKEUP_NAME = _type_of_steps(), types.BuiltinFunctionType, "task_wakeup"

# Up to 3.12 Task.uncancel() leaves a cancellation that is due at the next step as it is.
UNCANCEL_KEEPS_THE_REQUEST = sys.version_info < (3, 13)


def report_failed_step(step: Step, error: BaseException) -> None:
    """Tell the exception handler that the interpreter could not make the step of a Task.

    A step is its context, the function, and for a Task that is woken the future that is done.
    """
    context, function, *args = step
    loop = function.__self__.get_loop()
    loop.call_exception_handler(
        {
            "message": f"Exception in callback {_format_callback_source(function, args)}",
            "exception": error,
            "handle": Handle(function, args, loop, context),
        }
    )


def replace_result(task: AnyTask, error: BaseException) -> None:
    """Have a Task that has just ended, and whose result nobody has seen, end with an error instead.

    From 3.15 on a Task in C cannot be initialized again: its result stays, and the exception handler gets the error.
    """
    loop = task.get_loop()
    if not isinstance(task, asyncio.Future):
        task._state = _PENDING
        _PythonFuture.set_exception(task, error)
    elif sys.version_info < (3, 15):
        asyncio.Future.__init__(task, loop=loop)
        asyncio.Future.set_exception(task, error)
    else:
        loop.call_exception_handler({"message": "Error at the end of a Task", "exception": error, "task": task})


def is_suspended(coro: object) -> bool:
    """Tell whether a coroutine has begun and waits now."""
    return bool(getattr(coro, "cr_suspended", False) or getattr(coro, "gi_suspended", False))


def forget_last_frames(made: object, count: int = 1) -> None:
    """In debug mode a Handle or a Task remembers where it was made; the last frames, ours, are of no interest there."""
    frames: StackSummary | None = getattr(made, "_source_traceback", None)
    if frames:
        del frames[-count:]
