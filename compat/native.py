"""asyncio's names with trio's meaning: the high-level index on trio's own primitives, for porting.

    from compat import native as asyncio

`compat.asyncio` keeps asyncio's meaning; here a TaskGroup is a nursery, a timeout a cancel scope, a queue a memory
channel, a cancellation holds until its scope is left, and no error is lost. A module that changes this import keeps
every name, and its tests show the change of meaning; then the spelling can become trio's. Each module of
`adapters/native` says what differs. What is not in the index raises an AttributeError, or an ImportError, that names
trio's way.
https://docs.python.org/3/library/asyncio-api-index.html
"""

import sys
from opcode import opmap
from types import ModuleType
from typing import TYPE_CHECKING

from compat.adapters import native as _native

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Barrier",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "CancelledError",
    "Condition",
    "Event",
    "IncompleteReadError",
    "InvalidStateError",
    "LifoQueue",
    "LimitOverrunError",
    "Lock",
    "PriorityQueue",
    "Queue",
    "QueueEmpty",
    "QueueFull",
    "QueueShutDown",
    "Runner",
    "Semaphore",
    "Server",
    "StreamReader",
    "StreamWriter",
    "Task",
    "TaskGroup",
    "Timeout",
    "TimeoutError",
    "all_tasks",
    "as_completed",
    "create_subprocess_exec",
    "create_subprocess_shell",
    "create_task",
    "current_task",
    "gather",
    "open_background",
    "open_connection",
    "open_unix_connection",
    "run",
    "run_coroutine_threadsafe",
    "shield",
    "sleep",
    "start_server",
    "start_unix_server",
    "subprocess",
    "timeout",
    "timeout_at",
    "to_thread",
    "wait",
    "wait_for",
]

exceptions = _native.exceptions
locks = _native.locks
queues = _native.queues
runners = _native.runners
streams = _native.streams
subprocess = _native.subprocess
taskgroups = _native.taskgroups
tasks = _native.tasks
threads = _native.threads
timeouts = _native.timeouts

BrokenBarrierError = exceptions.BrokenBarrierError
CancelledError = exceptions.CancelledError
IncompleteReadError = exceptions.IncompleteReadError
InvalidStateError = exceptions.InvalidStateError
LimitOverrunError = exceptions.LimitOverrunError
TimeoutError = exceptions.TimeoutError

Barrier = locks.Barrier
BoundedSemaphore = locks.BoundedSemaphore
Condition = locks.Condition
Event = locks.Event
Lock = locks.Lock
Semaphore = locks.Semaphore

LifoQueue = queues.LifoQueue
PriorityQueue = queues.PriorityQueue
Queue = queues.Queue
QueueEmpty = queues.QueueEmpty
QueueFull = queues.QueueFull
QueueShutDown = queues.QueueShutDown

Runner = runners.Runner
run = runners.run

Server = streams.Server
StreamReader = streams.StreamReader
StreamWriter = streams.StreamWriter
open_connection = streams.open_connection
open_unix_connection = streams.open_unix_connection
start_server = streams.start_server
start_unix_server = streams.start_unix_server

create_subprocess_exec = subprocess.create_subprocess_exec
create_subprocess_shell = subprocess.create_subprocess_shell

TaskGroup = taskgroups.TaskGroup

ALL_COMPLETED = tasks.ALL_COMPLETED
FIRST_COMPLETED = tasks.FIRST_COMPLETED
FIRST_EXCEPTION = tasks.FIRST_EXCEPTION
Task = tasks.Task
all_tasks = tasks.all_tasks
as_completed = tasks.as_completed
create_task = tasks.create_task
current_task = tasks.current_task
gather = tasks.gather
open_background = tasks.open_background
shield = tasks.shield
sleep = tasks.sleep
wait = tasks.wait
wait_for = tasks.wait_for

run_coroutine_threadsafe = threads.run_coroutine_threadsafe
to_thread = threads.to_thread

Timeout = timeouts.Timeout
timeout = timeouts.timeout
timeout_at = timeouts.timeout_at

_submodules = {name: value for name, value in vars(_native).items() if isinstance(value, ModuleType)}
sys.modules.update((f"{__name__}.{name}", module) for name, module in _submodules.items())


def install() -> None:
    """From here on, `import asyncio` gives this in every module of the process, and `asyncio.queues` the queues here.

    That is what `python -m compat --native` does. A module that has imported asyncio earlier keeps the real one; so
    does unittest.mock, which needs no loop, but names that are not in the index.
    """
    import unittest.mock  # noqa: F401

    for name in [name for name in sys.modules if name.partition(".")[0] == "asyncio"]:
        del sys.modules[name]
    sys.modules["asyncio"] = sys.modules[__name__]
    sys.modules.update((f"asyncio.{name}", module) for name, module in _submodules.items())


if not TYPE_CHECKING:  # who would take it for a promise of any name

    def __getattr__(name: str) -> object:
        error = _native.refusals.instead_of(name)
        caller = sys._getframe(1)
        if caller.f_code.co_code[caller.f_lasti] == opmap["IMPORT_FROM"]:  # which hides what an AttributeError says
            raise ImportError(str(error), name=__name__)
        raise error
