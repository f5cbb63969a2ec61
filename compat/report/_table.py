"""What each API of asyncio becomes in trio, and what changes in meaning. Whether it runs here is asked of the code.

asyncio's public names are `asyncio.NAME`, a method of one of its classes is `asyncio.CLASS.NAME` where there is more to
say than of the class, and a method of the event loop is `loop.NAME`, whatever class of loop it is.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import pkgutil
from typing import Any, NamedTuple

__all__ = ["CLASSES", "LOOPS", "PUBLIC", "ROWS", "SUBMODULES", "Row", "names_by_star", "row_of", "state_of"]


class Row(NamedTuple):
    """What an API becomes."""

    trio: str  # the replacement, as code; "" if there is none or nothing to do
    changes: str  # what changes in meaning


EDGE = (
    "asyncio cancels once: who catches the error goes on. trio cancels for good: each later wait inside the scope "
    "raises again, so a clean-up that waits needs a shielded scope."
)
NO_NURSERY = (
    "This task belongs to nobody: what it raises may go unseen, and it may outlive its maker. A nursery waits for its "
    "tasks, and the first exception cancels the others and is raised."
)
NO_TASK = "trio's tasks have no result and are not awaited: let the function put its result where it is wanted."
CHECKPOINT = "trio's version is always a checkpoint: it yields and can be cancelled even if it need not wait."
ERRORS = "trio raises its own errors: BrokenResourceError, ClosedResourceError, BusyResourceError, not OSError."
UNDER = "Part of asyncio's lower level, on which libraries are built. trio has functions where this has callbacks."
POLICY = "Nothing sets loops in trio: a run is a call of trio.run()."
WATCHER = "trio watches child processes by itself."

_GROUPED = {
    # --- running ---
    "asyncio.run": (
        "trio.run(main, arg) (compat.run(main, arg) while asyncio code is left)",
        "Takes the function and its arguments, not a coroutine. No debug mode. Ctrl-C raises KeyboardInterrupt in the "
        "main task; asyncio cancels that task.",
    ),
    "asyncio.Runner": (
        "trio.run, once",
        "A trio run ends with its main function: nothing stays between two calls. What must stay is a nursery of main.",
    ),
    "asyncio.create_task": ("nursery.start_soon(fn, arg)", f"{NO_NURSERY} {NO_TASK}"),
    "asyncio.ensure_future": ("nursery.start_soon(fn, arg)", f"{NO_NURSERY} {NO_TASK}"),
    "asyncio.TaskGroup": (
        "async with trio.open_nursery() as nursery",
        "The same shape. In a trio task, what ends the block comes out of a nursery in an exception group. A group's "
        "task that is cancelled by itself just ends; in trio give it a cancel scope of its own.",
    ),
    "asyncio.TaskGroup.create_task": (
        "nursery.start_soon(fn, arg)",
        f"{NO_TASK} To cancel one of them, open a trio.CancelScope in it. To wait until it is ready: nursery.start().",
    ),
    "asyncio.Task": (
        "a function in a nursery, with a trio.CancelScope where it is cancelled by itself",
        f"{NO_TASK} {EDGE}",
    ),
    "asyncio.Task.cancel": (
        "cancel_scope.cancel()",
        f"{EDGE} And nobody need ask the task whether it heeded: the scope is left when its block has ended.",
    ),
    "asyncio.Task.uncancel": ("", "Not needed: a scope absorbs its own cancellation and no other."),
    "asyncio.Task.cancelling": (
        "trio.current_effective_deadline() == -inf",
        "Asked inside the task, not from outside.",
    ),
    "asyncio.Task.add_done_callback": (
        "code after the call, in the same task",
        "No callbacks: what comes next is next.",
    ),
    "asyncio.Task.get_name": ("trio.lowlevel.current_task().name", ""),
    "asyncio.Task.set_name": ("nursery.start_soon(fn, name=...)", "The name is given at the start."),
    "asyncio.current_task": (
        "trio.lowlevel.current_task()",
        "It is there to tell tasks apart and to show them; it cannot be cancelled or awaited.",
    ),
    "asyncio.all_tasks": (
        "trio.lowlevel.current_root_task() and its child_nurseries",
        "A tree, not a set, and it cannot be cancelled task by task. compat.print_tasks() shows it.",
    ),
    "asyncio.gather": (
        "async with trio.open_nursery() as nursery: nursery.start_soon(...) for each",
        "When one fails, gather raises at once and the others go on running unseen; a nursery cancels them, waits for "
        "them and raises a group. Results: have each put its own into a list or dict.",
    ),
    "asyncio.wait": (
        "a nursery; for the first to end: nursery.cancel_scope.cancel() by whoever is first",
        "wait() neither cancels nor raises, and leaves the rest running: a nursery does the opposite.",
    ),
    "asyncio.as_completed": (
        "a nursery whose tasks send into trio.open_memory_channel(0)",
        "What is not taken goes on running in asyncio; in trio leaving the nursery's block ends it.",
    ),
    "asyncio.shield": (
        "with trio.CancelScope(shield=True)",
        "asyncio lets the caller go and the work go on unseen; trio's shield makes the caller wait for the work.",
    ),
    "asyncio.sleep": (
        "trio.sleep(seconds); trio.lowlevel.checkpoint() for sleep(0)",
        "No result argument, and a negative time is a ValueError.",
    ),
    "asyncio.timeout": (
        "with trio.fail_after(seconds), with trio.move_on_after(seconds)",
        "Not async with. fail_after raises trio.TooSlowError, which is no TimeoutError. move_on_after raises nothing: "
        f"ask scope.cancelled_caught. {EDGE}",
    ),
    "asyncio.timeout_at": (
        "with trio.fail_at(deadline), with trio.move_on_at(deadline)",
        "The deadline is by trio.current_time(). fail_at raises trio.TooSlowError, which is no TimeoutError.",
    ),
    "asyncio.Timeout": ("trio.CancelScope(deadline=...)", "Its deadline is an attribute that can be set."),
    "asyncio.Timeout.reschedule": ("scope.deadline = trio.current_time() + seconds", ""),
    "asyncio.Timeout.expired": ("scope.cancelled_caught", ""),
    "asyncio.Timeout.when": ("scope.deadline", "math.inf instead of None."),
    "asyncio.wait_for": (
        "with trio.fail_after(seconds): await fn()",
        "trio.TooSlowError, which is no TimeoutError. It runs in the same task, no other is made.",
    ),
    "asyncio.to_thread": (
        "trio.to_thread.run_sync(fn, arg)",
        "No keyword arguments: functools.partial. Cancelled, trio waits for the thread (abandon_on_cancel=True lets it "
        "go, as asyncio does). Up to 40 threads at a time.",
    ),
    "asyncio.run_coroutine_threadsafe": (
        "trio.from_thread.run(fn, arg) in trio's threads; trio.lowlevel.TrioToken elsewhere",
        "It waits for the result and is cancelled with the thread's caller. A thread of your own needs the token.",
    ),
    "asyncio.iscoroutine": (
        "inspect.iscoroutine",
        "trio's functions take async functions; coroutines are not passed on.",
    ),
    "asyncio.iscoroutinefunction": ("inspect.iscoroutinefunction", ""),
    # --- futures ---
    "asyncio.Future": (
        "trio.Event, with the value beside it",
        "Nobody sets exceptions from outside: raise where the error is, or send an outcome.Outcome.",
    ),
    "asyncio.Future.set_result": ("event.set()", "The value goes into a variable before."),
    "asyncio.Future.set_exception": ("raise it, or send an outcome.Error", ""),
    "asyncio.Future.add_done_callback": ("await event.wait() in a task", ""),
    "asyncio.isfuture": ("", "There are no futures to ask for."),
    "asyncio.wrap_future": ("trio.to_thread.run_sync, or a trio.Event set by trio.from_thread.run_sync", ""),
    "asyncio.future_add_to_awaited_by": ("", "trio's tasks are a tree already."),
    "asyncio.future_discard_from_awaited_by": ("", "trio's tasks are a tree already."),
    "asyncio.FrameCallGraphEntry": ("trio.lowlevel.Task.iter_await_frames()", ""),
    "asyncio.FutureCallGraph": ("trio.lowlevel.Task", ""),
    "asyncio.capture_call_graph": ("trio.lowlevel.Task.iter_await_frames()", ""),
    "asyncio.format_call_graph": ("compat.print_tasks()", ""),
    "asyncio.print_call_graph": ("compat.print_tasks()", ""),
    "asyncio.create_eager_task_factory": ("", "trio has no eager tasks: call the function if it is to run now."),
    "asyncio.eager_task_factory": ("", "trio has no eager tasks: call the function if it is to run now."),
    # --- queues ---
    "asyncio.Queue": (
        "send, receive = trio.open_memory_channel(maxsize)",
        "Two ends; closing one tells the other, so no sentinels and no join(). maxsize 0 means none in between, not "
        "boundless: that is math.inf. compat.as_channels(queue) lets both sides be ported one after the other.",
    ),
    "asyncio.Queue.put": ("await send.send(item)", f"{CHECKPOINT} BrokenResourceError when nobody receives any more."),
    "asyncio.Queue.get": ("await receive.receive(), async for item in receive", f"{CHECKPOINT} Ends with the senders."),
    "asyncio.Queue.put_nowait": ("send.send_nowait(item)", "trio.WouldBlock instead of QueueFull."),
    "asyncio.Queue.get_nowait": ("receive.receive_nowait()", "trio.WouldBlock instead of QueueEmpty."),
    "asyncio.Queue.join": (
        "close the sending end and leave the workers' nursery",
        "A channel does not count tasks done. That the workers have ended says that all is done.",
    ),
    "asyncio.Queue.task_done": ("", "Not needed: see join()."),
    "asyncio.Queue.qsize": ("send.statistics().current_buffer_used", ""),
    "asyncio.Queue.empty": ("receive.statistics().current_buffer_used == 0", ""),
    "asyncio.Queue.full": ("compare send.statistics()'s current_buffer_used and max_buffer_size", ""),
    "asyncio.Queue.shutdown": (
        "await send.aclose()",
        "EndOfChannel for who receives, ClosedResourceError for who sends.",
    ),
    "asyncio.LifoQueue": ("a list and a trio.Condition", "Channels are first in, first out."),
    "asyncio.PriorityQueue": ("a heapq and a trio.Condition", "Channels are first in, first out."),
    "asyncio.QueueEmpty": ("trio.WouldBlock", "One error for both."),
    "asyncio.QueueFull": ("trio.WouldBlock", "One error for both."),
    "asyncio.QueueShutDown": ("trio.EndOfChannel, trio.ClosedResourceError", "For who receives, and for who sends."),
    # --- locks ---
    "asyncio.Lock": (
        "trio.Lock",
        f"{CHECKPOINT} Only the task that holds it may release it. It belongs to no loop.",
    ),
    "asyncio.Event": (
        "trio.Event",
        f"{CHECKPOINT} It cannot be cleared: make a new one. It wakes its waiters in no particular order.",
    ),
    "asyncio.Event.clear": ("a new trio.Event", "Who waits for the old one is not woken by the new one."),
    "asyncio.Condition": ("trio.Condition", f"{CHECKPOINT} No wait_for(): loop around wait()."),
    "asyncio.Condition.wait_for": ("while not predicate(): await condition.wait()", ""),
    "asyncio.Semaphore": (
        "trio.CapacityLimiter for a limit, trio.Semaphore for counting",
        f"{CHECKPOINT} A limiter knows who holds it: each task once, and it alone gives it back.",
    ),
    "asyncio.BoundedSemaphore": ("trio.CapacityLimiter, trio.Semaphore(n, max_value=n)", CHECKPOINT),
    "asyncio.Barrier": ("trio.testing.Sequencer, or a counter and a trio.Event", "There is none in trio."),
    "asyncio.BrokenBarrierError": ("", "There is no barrier in trio."),
    # --- streams ---
    "asyncio.open_connection": (
        "await trio.open_tcp_stream(host, port); trio.open_ssl_over_tcp_stream",
        f"One stream, not two; async with closes it. {ERRORS} trio tries the addresses of a name side by side.",
    ),
    "asyncio.start_server": (
        "await trio.serve_tcp(handler, port, host=host); trio.serve_ssl_over_tcp",
        "It runs until it is cancelled, in a nursery. A handler that fails brings the server down: catch there what "
        "may fail. The handler gets one stream, which is closed when it returns.",
    ),
    "asyncio.open_unix_connection": ("await trio.open_unix_socket(path)", f"One stream, not two. {ERRORS}"),
    "asyncio.start_unix_server": (
        "trio.serve_listeners(handler, [trio.SocketListener(sock)])",
        "trio makes no listening Unix socket: bind and listen on a trio.socket first.",
    ),
    "asyncio.Server": ("a nursery in which trio.serve_listeners runs", "Cancel its scope to close it."),
    "asyncio.Server.serve_forever": ("await trio.serve_listeners(handler, listeners)", ""),
    "asyncio.Server.close": ("nursery.cancel_scope.cancel()", "This ends the connections' handlers as well."),
    "asyncio.Server.wait_closed": ("leaving the nursery", ""),
    "asyncio.StreamReader": (
        "trio.abc.ReceiveStream; as_trio_stream(reader, writer) meanwhile",
        "It has receive_some() only: no readline, readexactly or readuntil, so keep a buffer of your own.",
    ),
    "asyncio.StreamReader.read": ("await stream.receive_some(n)", 'read() to the end: loop until b"".'),
    "asyncio.StreamReader.readline": ("a buffer and receive_some()", "trio has no lines."),
    "asyncio.StreamReader.readexactly": ("a buffer and receive_some()", "No IncompleteReadError: you count."),
    "asyncio.StreamReader.readuntil": ("a buffer and receive_some()", "No LimitOverrunError: you keep the limit."),
    "asyncio.StreamReader.at_eof": ('receive_some() gave b""', ""),
    "asyncio.StreamReaderProtocol": ("", f"{UNDER}"),
    "asyncio.StreamWriter": (
        "trio.abc.SendStream; as_trio_stream(reader, writer) meanwhile",
        "send_all() waits until the data are on their way: there is no write buffer, and no drain().",
    ),
    "asyncio.StreamWriter.write": (
        "await stream.send_all(data)",
        "It waits. Cancelled half-way, nobody knows how much was sent.",
    ),
    "asyncio.StreamWriter.writelines": ('await stream.send_all(b"".join(lines))', "It waits."),
    "asyncio.StreamWriter.drain": ("", "Not needed: send_all() waits."),
    "asyncio.StreamWriter.close": (
        "await stream.aclose(), or async with",
        "It waits; trio.aclose_forcefully() does not.",
    ),
    "asyncio.StreamWriter.wait_closed": ("", "Not needed: aclose() waits."),
    "asyncio.StreamWriter.write_eof": ("await stream.send_eof()", ""),
    "asyncio.StreamWriter.get_extra_info": ("stream.socket.getpeername() and so on", "Attributes instead of names."),
    "asyncio.StreamWriter.start_tls": ("trio.SSLStream(stream, context)", ""),
    "asyncio.IncompleteReadError": ("", "You count yourself what receive_some() gave."),
    "asyncio.LimitOverrunError": ("", "You keep the limit of your buffer yourself."),
    # --- subprocesses ---
    "asyncio.create_subprocess_exec": (
        "await trio.run_process([...]); trio.lowlevel.open_process([...]) for one that runs beside",
        "run_process waits for the end, raises CalledProcessError for a status other than 0 (check=False), and kills "
        "the child when it is cancelled.",
    ),
    "asyncio.create_subprocess_shell": (
        "await trio.run_process(command, shell=True)",
        "As create_subprocess_exec: it waits, checks the status, and kills the child when it is cancelled.",
    ),
    "asyncio.subprocess.Process": (
        "trio.Process",
        "Its pipes are trio streams, and no communicate(): run_process does it.",
    ),
    "asyncio.subprocess.Process.communicate": (
        "trio.run_process(..., stdin=data, capture_stdout=True)",
        "The result is a subprocess.CompletedProcess.",
    ),
    "asyncio.subprocess.Process.wait": ("await process.wait()", ""),
    "asyncio.subprocess.PIPE": ("subprocess.PIPE", "It is the same value."),
    "asyncio.subprocess.STDOUT": ("subprocess.STDOUT", "It is the same value."),
    "asyncio.subprocess.DEVNULL": ("subprocess.DEVNULL", "It is the same value."),
    # --- errors and constants ---
    "asyncio.CancelledError": (
        "trio.Cancelled, seldom named: use finally, or a cancel scope",
        f"{EDGE} It must not be swallowed. trio.Cancelled cannot be made or raised by hand.",
    ),
    "asyncio.TimeoutError": (
        "TimeoutError; trio.TooSlowError where trio's timeouts raise it",
        "The built-in TimeoutError is the same class. trio.TooSlowError is another.",
    ),
    "asyncio.InvalidStateError": ("", "There are no futures whose state could be wrong."),
    "asyncio.SendfileNotAvailableError": ("", "trio has no sendfile."),
    "asyncio.ALL_COMPLETED": ("", "See asyncio.wait."),
    "asyncio.FIRST_COMPLETED": ("", "See asyncio.wait."),
    "asyncio.FIRST_EXCEPTION": ("", "See asyncio.wait."),
    # --- loops and policies ---
    "asyncio.get_running_loop": (
        "",
        "No loop is passed around in trio: call trio's functions. trio.lowlevel.current_trio_token() for threads.",
    ),
    "asyncio.get_event_loop": ("", "No loop is passed around in trio, and none exists before trio.run()."),
    "asyncio.new_event_loop": ("trio.run", "A run is one call; it cannot be made first and used later."),
    "asyncio.set_event_loop": ("", POLICY),
    "asyncio.get_event_loop_policy": ("", POLICY),
    "asyncio.set_event_loop_policy": ("", POLICY),
    "asyncio.AbstractEventLoopPolicy": ("", POLICY),
    "asyncio.DefaultEventLoopPolicy": ("", POLICY),
    "asyncio.WindowsSelectorEventLoopPolicy": ("", POLICY),
    "asyncio.WindowsProactorEventLoopPolicy": ("", POLICY),
    "asyncio.AbstractEventLoop": ("", "No loop is passed around in trio: drop the argument."),
    "asyncio.BaseEventLoop": ("", "No loop is passed around in trio: drop the argument."),
    "asyncio.SelectorEventLoop": ("trio.run", "trio has one kind of run, and no loop objects."),
    "asyncio.ProactorEventLoop": ("trio.run", "trio has one kind of run, and no loop objects."),
    "asyncio.IocpProactor": ("", UNDER),
    "asyncio.EventLoop": ("trio.run", "trio has one kind of run, and no loop objects."),
    "asyncio.AbstractServer": ("a nursery in which trio.serve_listeners runs", ""),
    "asyncio.Handle": ("trio.CancelScope", "What was started is cancelled by its scope, not by a handle."),
    "asyncio.TimerHandle": ("trio.CancelScope", "What was started is cancelled by its scope, not by a handle."),
    "asyncio.AbstractChildWatcher": ("", WATCHER),
    "asyncio.FastChildWatcher": ("", WATCHER),
    "asyncio.MultiLoopChildWatcher": ("", WATCHER),
    "asyncio.PidfdChildWatcher": ("", WATCHER),
    "asyncio.SafeChildWatcher": ("", WATCHER),
    "asyncio.ThreadedChildWatcher": ("", WATCHER),
    "asyncio.get_child_watcher": ("", WATCHER),
    "asyncio.set_child_watcher": ("", WATCHER),
    # --- transports and protocols ---
    "asyncio.BaseProtocol": ("an async function that is given a stream", UNDER),
    "asyncio.Protocol": ("an async function that is given a trio.abc.Stream", UNDER),
    "asyncio.BufferedProtocol": ("an async function that is given a trio.abc.Stream", UNDER),
    "asyncio.DatagramProtocol": ("an async function around trio.socket's recvfrom and sendto", UNDER),
    "asyncio.SubprocessProtocol": ("trio.run_process, trio.lowlevel.open_process", UNDER),
    "asyncio.BaseTransport": ("trio.abc.AsyncResource", UNDER),
    "asyncio.ReadTransport": ("trio.abc.ReceiveStream", UNDER),
    "asyncio.WriteTransport": ("trio.abc.SendStream", UNDER),
    "asyncio.Transport": ("trio.abc.Stream", UNDER),
    "asyncio.DatagramTransport": ("trio.socket.SocketType", UNDER),
    "asyncio.SubprocessTransport": ("trio.Process", UNDER),
    # --- methods of the loop ---
    "loop.run_until_complete": ("trio.run(fn, arg)", "Once: nothing stays between two calls."),
    "loop.run_forever": ("trio.run(main), where main holds a nursery", "It ends when main returns or is cancelled."),
    "loop.stop": ("nursery.cancel_scope.cancel()", "What runs is cancelled and waited for, not left standing."),
    "loop.close": ("", "trio.run() closes what it opened."),
    "loop.is_running": ("trio.lowlevel.in_trio_run()", "trio 0.29 and later."),
    "loop.is_closed": ("", "trio.run() closes what it opened."),
    "loop.create_task": ("nursery.start_soon(fn, arg)", f"{NO_NURSERY} {NO_TASK}"),
    "loop.create_future": ("trio.Event, with the value beside it", "Nobody sets exceptions from outside."),
    "loop.time": (
        "trio.current_time()",
        "The same clock while both run together; trio.run() alone starts at a random time.",
    ),
    "loop.call_soon": ("nursery.start_soon(fn)", "A task, not a callback. Order among tasks is not promised."),
    "loop.call_soon_threadsafe": (
        "trio.from_thread.run_sync(fn); trio.lowlevel.TrioToken.run_sync_soon",
        "run_sync waits for the result; run_sync_soon does not, and brings the run down if fn raises.",
    ),
    "loop.call_later": ("a task: await trio.sleep(seconds), then the call", "Cancelled by its scope, not by a handle."),
    "loop.call_at": (
        "a task: await trio.sleep_until(deadline), then the call",
        "Cancelled by its scope, not by a handle.",
    ),
    "loop.run_in_executor": (
        "trio.to_thread.run_sync(fn, arg)",
        "Cancelled, trio waits for the thread. Other executors: submit to them, and wait in a thread.",
    ),
    "loop.set_default_executor": ("trio.to_thread.current_default_thread_limiter()", "A limit, not a pool."),
    "loop.shutdown_default_executor": ("", "trio's threads need no shutdown."),
    "loop.shutdown_asyncgens": ("", "trio.run() does it; close generators where they are used: contextlib.aclosing."),
    "loop.add_signal_handler": ("with trio.open_signal_receiver(sig) as signals: async for ...", "A loop in a task."),
    "loop.remove_signal_handler": ("leaving the receiver's block", ""),
    "loop.add_reader": ("await trio.lowlevel.wait_readable(sock)", "A loop in a task, not a callback."),
    "loop.remove_reader": ("cancel the task that waits", ""),
    "loop.add_writer": ("await trio.lowlevel.wait_writable(sock)", "A loop in a task, not a callback."),
    "loop.remove_writer": ("cancel the task that waits", ""),
    "loop.sock_accept": ("await trio.socket.SocketType.accept()", "trio.socket.from_stdlib_socket(sock) first."),
    "loop.sock_connect": ("await trio.socket.SocketType.connect(address)", "It looks names up, too."),
    "loop.sock_recv": ("await trio.socket.SocketType.recv(n)", "trio.socket.from_stdlib_socket(sock) first."),
    "loop.sock_recv_into": ("await trio.socket.SocketType.recv_into(buffer)", ""),
    "loop.sock_recvfrom": ("await trio.socket.SocketType.recvfrom(n)", ""),
    "loop.sock_recvfrom_into": ("await trio.socket.SocketType.recvfrom_into(buffer)", ""),
    "loop.sock_sendall": ("await trio.SocketStream(sock).send_all(data)", "trio's sockets have send() only."),
    "loop.sock_sendto": ("await trio.socket.SocketType.sendto(data, address)", ""),
    "loop.sock_sendfile": ("read and send_all in turns", "trio has no sendfile."),
    "loop.sendfile": ("read and send_all in turns", "trio has no sendfile."),
    "loop.start_tls": ("trio.SSLStream(stream, context)", ""),
    "loop.create_connection": ("await trio.open_tcp_stream(host, port)", UNDER),
    "loop.create_server": ("await trio.serve_tcp(handler, port)", UNDER),
    "loop.create_unix_connection": ("await trio.open_unix_socket(path)", UNDER),
    "loop.create_unix_server": ("trio.serve_listeners(handler, [trio.SocketListener(sock)])", UNDER),
    "loop.create_datagram_endpoint": ("trio.socket.socket(type=SOCK_DGRAM)", UNDER),
    "loop.connect_accepted_socket": ("trio.SocketStream(trio.socket.from_stdlib_socket(sock))", UNDER),
    "loop.connect_read_pipe": ("trio.lowlevel.FdStream(fd)", UNDER),
    "loop.connect_write_pipe": ("trio.lowlevel.FdStream(fd)", UNDER),
    "loop.subprocess_exec": ("await trio.lowlevel.open_process([...])", UNDER),
    "loop.subprocess_shell": ("await trio.lowlevel.open_process(command, shell=True)", UNDER),
    "loop.getaddrinfo": ("await trio.socket.getaddrinfo(host, port)", ""),
    "loop.getnameinfo": ("await trio.socket.getnameinfo(address, flags)", ""),
    "loop.set_exception_handler": ("", "Nothing is left to a handler in trio: exceptions reach the nursery."),
    "loop.get_exception_handler": ("", "Nothing is left to a handler in trio: exceptions reach the nursery."),
    "loop.default_exception_handler": ("", "Nothing is left to a handler in trio: exceptions reach the nursery."),
    "loop.call_exception_handler": ("raise", "Exceptions reach the nursery."),
    "loop.set_task_factory": ("a trio.abc.Instrument", "It sees each task, and changes none."),
    "loop.get_task_factory": ("", "trio has no task factories."),
    "loop.set_debug": ("", "trio has no debug mode."),
    "loop.get_debug": ("", "trio has no debug mode."),
    "loop.slow_callback_duration": ("a trio.abc.Instrument", "trio has no debug mode."),
}  # fmt: skip

ROWS = {api: Row(*row) for api, row in _GROUPED.items()}

MODULE = Row("", "The module itself: what is taken from it here, only running the program tells.")
SUBMODULE = Row("", "A part of asyncio: what is taken from it here, only running the program tells.")
PRIVATE = Row("", "Not documented: it describes asyncio's own machine, and may be gone in the next Python.")
ELSEWHERE = Row("", "This Python's asyncio does not have it.")

SUBMODULES = {info.name for info in pkgutil.iter_modules(asyncio.__path__)}

# Public names of asyncio, in this Python or another.
PUBLIC = {name for name in asyncio.__all__ if not name.startswith("_")} | {
    api.split(".")[1] for api in ROWS if api.startswith("asyncio.") and api.count(".") == 1
}

LOOPS = {
    f"asyncio.{name}"
    for name in ("AbstractEventLoop", "BaseEventLoop", "EventLoop", "SelectorEventLoop", "ProactorEventLoop")
}

CLASSES = {f"asyncio.{name}" for name in PUBLIC if isinstance(vars(asyncio).get(name), type)} - LOOPS
CLASSES |= {"asyncio.subprocess.Process"}


def names_by_star(module: str) -> list[str]:
    """The names that `from MODULE import *` brings, of asyncio or one of its submodules."""
    try:
        names: list[str] = list(importlib.import_module(module).__all__)
    except (ImportError, AttributeError):
        return []
    return names


def row_of(api: str) -> Row:
    """What the API becomes; a method that has no row of its own stands under its class."""
    if api in ROWS:
        return ROWS[api]
    owner, _, name = api.rpartition(".")
    if name.startswith("_") or any(part.startswith("_") for part in owner.split(".")):
        return PRIVATE
    if owner in ROWS:
        return ROWS[owner] if state_of(api) != "unknown" else ELSEWHERE
    if api == "asyncio":
        return MODULE
    return SUBMODULE if api.removeprefix("asyncio.") in SUBMODULES else ELSEWHERE


@functools.cache
def state_of(api: str) -> str:
    """Whether it runs here: "runs", "not yet", "private" (asyncio's own, which may not fit), or "unknown".

    Asked of the code that would run: of the drop-in module and of the loop.
    """
    from compat import _redirect
    from compat import asyncio as drop_in
    from compat.adapters import events

    owner, *names = api.split(".")
    value: Any = events.Loop if owner == "loop" else drop_in
    if any(name.startswith("_") for name in names):
        return "private"
    for name in names:
        owner_value = value
        value = getattr(owner_value, name, None)
        if value is None and not hasattr(owner_value, name):
            return "runs" if sets_on_itself(owner_value, name) else "unknown"
        if _redirect.is_stand_in(value):
            return "not yet"
    return "runs"


def sets_on_itself(owner: Any, name: str) -> bool:
    """Tell whether a class gives its instances this attribute: its __init__ names it."""
    codes = (getattr(vars(each).get("__init__"), "__code__", None) for each in getattr(owner, "__mro__", ()))
    return any(name in code.co_names for code in codes if code is not None)
