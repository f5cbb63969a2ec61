"""What each API of asyncio becomes in trio, and what changes in meaning. Whether it runs here is asked of the code.

asyncio's public names are `asyncio.NAME`, a method of one of its classes is `asyncio.CLASS.NAME` where there is more to
say than of the class, and a method of the event loop is `loop.NAME`, whatever class of loop it is.
"""

from __future__ import annotations

import asyncio
import asyncio.subprocess
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

__all__ = [
    "CLASSES",
    "LOOPS",
    "ORDER",
    "PUBLIC",
    "ROWS",
    "RUNS",
    "STARTS",
    "SUBMODULES",
    "OnNative",
    "Row",
    "is_method",
    "names_by_star",
    "native_of",
    "row_of",
    "state_of",
]


class Row(NamedTuple):
    """What an API becomes."""

    trio: str  # the replacement, as code; "" if there is none or nothing to do
    changes: str  # what changes in meaning
    native: str = ""  # what changes with compat.native; "" if nothing does, or if that refuses it


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

# With compat.native.
HOLDS = (
    "The cancellation holds: each later wait inside raises it again, so that a clean-up that waits needs a "
    "trio.CancelScope(shield=True), and nobody can swallow it."
)
IN_PLACE_OF_LOOP = "It takes trio.lowlevel.current_trio_token() in place of the loop."
OWNER = "Only the task that has taken it can release it; asyncio lets any."
LATE = "An error that nobody asks for is raised at the end of the run; asyncio logs it."
CHILD = "What still runs at the end of the run is killed and waited for; asyncio leaves it running."

# It holds for each program with several tasks, and is no change of a single use: a report says it once for a file.
ORDER = (
    "Tasks start, and go on when several are woken at once, in no particular order; asyncio has them in the order in "
    "which they were made and woken."
)
STARTS = {"asyncio.TaskGroup.create_task", "asyncio.create_task", "asyncio.gather"}
# The same for each program that can be interrupted.
CTRL_C = (
    "Ctrl-C raises KeyboardInterrupt in whatever task runs. Out of a TaskGroup it comes in a group, which ends the "
    "program with status 1 and not 130; `except* KeyboardInterrupt` catches both. asyncio cancels the main task."
)
RUNS = {"asyncio.run", "asyncio.Runner.run"}

# Recipes of several lines.
HANDLER = """\
async def handler(stream):
    async for data in stream:
        await stream.send_all(data)"""
AN_EVENT = """\
done = trio.Event()
await done.wait()"""
FEEDING_WORKERS = """\
todo = 0

def put(item):
    nonlocal todo
    todo += 1
    send.send_nowait(item)

async def worker():
    nonlocal todo
    async for item in receive:
        for more in await work(item):
            put(more)
        todo -= 1
        if not todo:
            send.close()

send, receive = trio.open_memory_channel(math.inf)
put(first)
async with trio.open_nursery() as nursery:
    for _ in range(workers):
        nursery.start_soon(worker)"""
LIMITER = """\
limiter = trio.CapacityLimiter(n)
async with limiter:
    await fn(arg)"""
SERVER = """\
async with trio.open_nursery() as nursery:
    listeners = await nursery.start(trio.serve_tcp, handler, port)
    await work(listeners)
    nursery.cancel_scope.cancel()"""
LINES = """\
async def lines(stream):
    buffer = b""
    async for data in stream:
        *complete, buffer = (buffer + data).split(b"\\n")
        for line in complete:
            yield line + b"\\n"
    if buffer:
        yield buffer"""
COMPLETED = """\
async def work(url, send):
    async with send:
        await send.send(await fetch(url))

send, receive = trio.open_memory_channel(0)
async with trio.open_nursery() as nursery:
    async with send:
        for url in urls:
            nursery.start_soon(work, url, send.clone())
    async for result in receive:
        print(result)"""
GATHER = """\
results = [None] * len(urls)

async def work(index, url):
    results[index] = await fetch(url)

async with trio.open_nursery() as nursery:
    for index, url in enumerate(urls):
        nursery.start_soon(work, index, url)"""
FAIL_AFTER = """\
with trio.fail_after(seconds):
    await fn(arg)"""
RACE = """\
async def race(fn):
    await fn()
    nursery.cancel_scope.cancel()

async with trio.open_nursery() as nursery:
    nursery.start_soon(race, one)
    nursery.start_soon(race, other)"""
SENDFILE = """\
while data := file.read(65536):
    await stream.send_all(data)"""

_GROUPED = {
    # --- running ---
    "asyncio.run": (
        "trio.run(main, arg)",
        "While asyncio code is left: compat.run(main, arg). "
        "Takes the function and its arguments, not a coroutine. No debug mode. Ctrl-C raises KeyboardInterrupt in the "
        "main task; asyncio cancels that task.",
    ),
    "asyncio.Runner": (
        "trio.run(main)",
        "A trio run ends with its main function: nothing stays between two calls. What must stay is a nursery of main.",
        "Each run() is a run of its own: no task and no context variable goes on from one to the next.",
    ),
    "asyncio.create_task": (
        "nursery.start_soon(fn, arg)",
        f"{NO_NURSERY} {NO_TASK}",
        "An error that nobody awaits ends the run; asyncio logs it.",
    ),
    "asyncio.ensure_future": ("nursery.start_soon(fn, arg)", f"{NO_NURSERY} {NO_TASK}"),
    "asyncio.TaskGroup": (
        "async with trio.open_nursery() as nursery:\n    nursery.start_soon(fn, arg)",
        "The same shape. In a trio task, what ends the block comes out of a nursery in an exception group. A group's "
        "task that is cancelled by itself just ends; in trio give it a cancel scope of its own.",
    ),
    "asyncio.TaskGroup.create_task": (
        "nursery.start_soon(fn, arg)",
        f"{NO_TASK} To cancel one of them, open a trio.CancelScope in it. To wait until it is ready: nursery.start().",
    ),
    "asyncio.Task": (
        "with trio.CancelScope() as scope:\n    await fn(arg)",
        f"A function in a nursery, with a scope of its own where it is cancelled by itself. {NO_TASK} {EDGE}",
    ),
    "asyncio.Task.cancel": (
        "cancel_scope.cancel()",
        f"{EDGE} And nobody need ask the task whether it heeded: the scope is left when its block has ended.",
        f"{HOLDS} A wait that has ended returns, also if its task has not gone on yet; asyncio raises there.",
    ),
    "asyncio.Task.uncancel": ("", "Not needed: a scope absorbs its own cancellation and no other."),
    "asyncio.Task.cancelling": (
        "trio.current_effective_deadline() == -math.inf",
        "Asked inside the task, not from outside.",
        "1 from cancel() on; asyncio counts the calls.",
    ),
    "asyncio.Task.add_done_callback": (
        "await fn(arg)\ncallback()",
        "No callbacks: what comes next is next.",
        "The callback is called in the task itself, and its error is the nursery's; asyncio calls it in a later step.",
    ),
    "asyncio.Task.get_name": ("trio.lowlevel.current_task().name", ""),
    "asyncio.Task.set_name": ("nursery.start_soon(fn, name=...)", "The name is given at the start."),
    "asyncio.current_task": (
        "trio.lowlevel.current_task()",
        "It is there to tell tasks apart and to show them; it cannot be cancelled or awaited.",
    ),
    "asyncio.all_tasks": (
        "trio.lowlevel.current_root_task().child_nurseries",
        "A tree, not a set, and it cannot be cancelled task by task. compat.print_tasks() shows it.",
    ),
    "asyncio.gather": (
        GATHER,
        "When one fails, gather raises at once and the others go on running unseen; a nursery cancels them, waits for "
        "them and raises a group. Results: have each put its own into a list or dict.",
        "The first error cancels the others, and is raised when they have ended, in a group if several have failed; "
        "asyncio raises the first, and lets them go on unseen. All start when gather() is awaited.",
    ),
    "asyncio.wait": (
        RACE,
        "wait() neither cancels nor raises, and leaves the rest running: a nursery does the opposite.",
        LATE,
    ),
    "asyncio.as_completed": (
        COMPLETED,
        "What is not taken goes on running in asyncio; in trio leaving the nursery's block ends it.",
        LATE,
    ),
    "asyncio.shield": (
        "with trio.CancelScope(shield=True):\n    await fn(arg)",
        "asyncio lets the caller go and the work go on unseen; trio's shield makes the caller wait for the work.",
        "It starts when shield() is awaited. Once the wait was cancelled, its error ends the run; asyncio logs it.",
    ),
    "asyncio.sleep": (
        "await trio.sleep(seconds)",
        "sleep(0) is trio.lowlevel.checkpoint(). No result argument, and a negative time is a ValueError.",
    ),
    "asyncio.timeout": (
        FAIL_AFTER,
        "Not async with. fail_after raises trio.TooSlowError, which is no TimeoutError. move_on_after raises nothing: "
        f"ask scope.cancelled_caught. {EDGE}",
        HOLDS,
    ),
    "asyncio.timeout_at": (
        "with trio.fail_at(deadline):\n    await fn(arg)",
        "The deadline is by trio.current_time(). fail_at raises trio.TooSlowError, which is no TimeoutError.",
        HOLDS,
    ),
    "asyncio.Timeout": (
        "with trio.CancelScope(deadline=trio.current_time() + seconds) as scope:\n    await fn(arg)",
        "Its deadline is an attribute that can be set.",
    ),
    "asyncio.Timeout.reschedule": (
        "scope.deadline = trio.current_time() + seconds",
        "",
        "Once the block is cancelled, another deadline changes nothing; asyncio raises RuntimeError.",
    ),
    "asyncio.Timeout.expired": ("scope.cancelled_caught", ""),
    "asyncio.Timeout.when": ("scope.deadline", "math.inf instead of None."),
    "asyncio.wait_for": (
        FAIL_AFTER,
        "trio.TooSlowError, which is no TimeoutError. It runs in the same task, no other is made.",
        HOLDS,
    ),
    "asyncio.to_thread": (
        "await trio.to_thread.run_sync(fn, arg)",
        "No keyword arguments: functools.partial. Cancelled, trio waits for the thread (abandon_on_cancel=True lets it "
        "go, as asyncio does). Up to 40 threads at a time.",
        "Cancelled, the wait goes on until the function has returned; asyncio leaves the thread alone.",
    ),
    "asyncio.run_coroutine_threadsafe": (
        "trio.from_thread.run(fn, arg, trio_token=token)",
        "token is trio.lowlevel.current_trio_token(), taken in the run; trio's own threads need none. "
        "It waits for the result and is cancelled with the thread's caller. A thread of your own needs the token.",
        IN_PLACE_OF_LOOP,
    ),
    "asyncio.iscoroutine": (
        "inspect.iscoroutine",
        "trio's functions take async functions; coroutines are not passed on.",
    ),
    "asyncio.iscoroutinefunction": ("inspect.iscoroutinefunction", ""),
    # --- futures ---
    "asyncio.Future": (
        AN_EVENT,
        "The value goes into a variable beside it. "
        "Nobody sets exceptions from outside: raise where the error is, or send an outcome.Outcome.",
    ),
    "asyncio.Future.set_result": ("done.set()", "The value goes into a variable before."),
    "asyncio.Future.set_exception": (
        "raise error",
        "Raise it where it happens; to hand it over, send an outcome.Error.",
    ),
    "asyncio.Future.add_done_callback": (("await done.wait()\ncallback()"), ""),
    "asyncio.isfuture": ("", "There are no futures to ask for."),
    "asyncio.wrap_future": ("await trio.to_thread.run_sync(future.result)", ""),
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
    "asyncio.Queue.get": (
        "item = await receive.receive()",
        f"`async for item in receive` takes all. {CHECKPOINT} Ends with the senders.",
    ),
    "asyncio.Queue.put_nowait": ("send.send_nowait(item)", "trio.WouldBlock instead of QueueFull."),
    "asyncio.Queue.get_nowait": ("receive.receive_nowait()", "trio.WouldBlock instead of QueueEmpty."),
    "asyncio.Queue.join": (
        FEEDING_WORKERS,
        "Workers that put nothing back need no counting: close the sending end, and leave their nursery. "
        "A channel does not count tasks done. That the workers have ended says that all is done.",
    ),
    "asyncio.Queue.task_done": ("", "Not needed: see join()."),
    "asyncio.Queue.qsize": ("send.statistics().current_buffer_used", ""),
    "asyncio.Queue.empty": ("receive.statistics().current_buffer_used == 0", ""),
    "asyncio.Queue.full": ("send.statistics().current_buffer_used == send.statistics().max_buffer_size", ""),
    "asyncio.Queue.shutdown": (
        "await send.aclose()",
        "EndOfChannel for who receives, ClosedResourceError for who sends.",
    ),
    "asyncio.LifoQueue": (
        "items, condition = [], trio.Condition()\n"
        "\n"
        "async def put(item):\n"
        "    async with condition:\n"
        "        items.append(item)\n"
        "        condition.notify()\n"
        "\n"
        "async def get():\n"
        "    async with condition:\n"
        "        while not items:\n"
        "            await condition.wait()\n"
        "        return items.pop()",
        "Channels are first in, first out.",
    ),
    "asyncio.PriorityQueue": (
        "items, condition = [], trio.Condition()\n"
        "\n"
        "async def put(item):\n"
        "    async with condition:\n"
        "        heapq.heappush(items, item)\n"
        "        condition.notify()\n"
        "\n"
        "async def get():\n"
        "    async with condition:\n"
        "        while not items:\n"
        "            await condition.wait()\n"
        "        return heapq.heappop(items)",
        "Channels are first in, first out.",
    ),
    "asyncio.QueueEmpty": ("trio.WouldBlock", "One error for both."),
    "asyncio.QueueFull": ("trio.WouldBlock", "One error for both."),
    "asyncio.QueueShutDown": ("trio.EndOfChannel, trio.ClosedResourceError", "For who receives, and for who sends."),
    # --- locks ---
    "asyncio.Lock": ("trio.Lock", f"{CHECKPOINT} Only the task that holds it may release it. It belongs to no loop."),
    "asyncio.Event": (
        "trio.Event",
        f"{CHECKPOINT} It cannot be cleared: make a new one. It wakes its waiters in no particular order.",
    ),
    "asyncio.Event.clear": ("event = trio.Event()", "Who waits for the old one is not woken by the new one."),
    "asyncio.Condition": ("trio.Condition", f"{CHECKPOINT} No wait_for(): loop around wait()."),
    "asyncio.Condition.wait_for": (("while not predicate():\n    await condition.wait()"), ""),
    "asyncio.Semaphore": (
        LIMITER,
        f"trio.Semaphore counts what no task holds. {CHECKPOINT} A limiter knows who holds it: each task once, and it "
        "alone gives it back.",
    ),
    "asyncio.BoundedSemaphore": (LIMITER, f"trio.Semaphore(n, max_value=n) counts what no task holds. {CHECKPOINT}"),
    "asyncio.Barrier": (
        "arrived, all_here = 0, trio.Event()\n"
        "\n"
        "async def wait():\n"
        "    nonlocal arrived\n"
        "    arrived += 1\n"
        "    if arrived == parties:\n"
        "        all_here.set()\n"
        "    await all_here.wait()",
        "There is none in trio.",
    ),
    "asyncio.BrokenBarrierError": ("", "There is no barrier in trio."),
    # --- streams ---
    "asyncio.open_connection": (
        "stream = await trio.open_tcp_stream(host, port)",
        "With TLS: trio.open_ssl_over_tcp_stream(host, port). One stream, not two; async with closes it. "
        f"{ERRORS} trio tries the addresses of a name side by side.",
    ),
    "asyncio.start_server": (
        "listeners = await nursery.start(trio.serve_tcp, handler, 0)",
        "With TLS: trio.serve_ssl_over_tcp. listeners[0].socket.getsockname() tells the port. "
        "It runs until it is cancelled, in a nursery. A handler that fails brings the server down: catch there what "
        "may fail. The handler gets one stream, which is closed when it returns.",
        "The error of a handler ends the server and the run; asyncio logs it.",
    ),
    "asyncio.open_unix_connection": ("stream = await trio.open_unix_socket(path)", f"One stream, not two. {ERRORS}"),
    "asyncio.start_unix_server": (
        "await trio.serve_listeners(handler, [trio.SocketListener(sock)])",
        "trio makes no listening Unix socket: bind and listen on a trio.socket first.",
        "The error of a handler ends the server and the run; asyncio logs it.",
    ),
    "asyncio.Server": (SERVER, "Cancel its scope to close it."),
    "asyncio.Server.serve_forever": ("await trio.serve_listeners(handler, listeners)", ""),
    "asyncio.Server.close": ("nursery.cancel_scope.cancel()", "This ends the connections' handlers as well."),
    "asyncio.Server.wait_closed": ("nursery.cancel_scope.cancel()", "And the end of the nursery's block, which waits."),
    "asyncio.StreamReader": (
        "stream = compat.as_trio_stream(reader, writer)",
        "For the time in between; in trio it is a trio.abc.ReceiveStream. "
        "It has receive_some() only: no readline, readexactly or readuntil, so keep a buffer of your own.",
    ),
    "asyncio.StreamReader.read": ("await stream.receive_some(n)", 'read() to the end: loop until b"".'),
    "asyncio.StreamReader.readline": (LINES, "trio has no lines."),
    "asyncio.StreamReader.readexactly": (
        "data = bytearray()\n"
        "while len(data) < n:\n"
        "    more = await stream.receive_some(n - len(data))\n"
        "    if not more:\n"
        "        raise EOFError\n"
        "    data += more",
        "No IncompleteReadError: you count.",
    ),
    "asyncio.StreamReader.readuntil": (
        "buffer = bytearray()\n"
        "while separator not in buffer:\n"
        "    more = await stream.receive_some()\n"
        "    if not more:\n"
        "        raise EOFError\n"
        "    buffer += more\n"
        "found, _, buffer = buffer.partition(separator)",
        "No LimitOverrunError: you keep the limit.",
    ),
    "asyncio.StreamReader.at_eof": (
        "data = await stream.receive_some()\nif not data:\n    return",
        "",
        "True once a read has met the end; asyncio reads ahead, and may know before.",
    ),
    "asyncio.StreamReaderProtocol": ("", f"{UNDER}"),
    "asyncio.StreamWriter": (
        "stream = compat.as_trio_stream(reader, writer)",
        "For the time in between; in trio it is a trio.abc.SendStream. "
        "send_all() waits until the data are on their way: there is no write buffer, and no drain().",
    ),
    "asyncio.StreamWriter.write": (
        "await stream.send_all(data)",
        "It waits. Cancelled half-way, nobody knows how much was sent.",
    ),
    "asyncio.StreamWriter.writelines": ('await stream.send_all(b"".join(lines))', "It waits."),
    "asyncio.StreamWriter.drain": ("", "Not needed: send_all() waits."),
    "asyncio.StreamWriter.close": (
        "await stream.aclose()",
        "`async with stream` does it, too. It waits; trio.aclose_forcefully() does not.",
    ),
    "asyncio.StreamWriter.wait_closed": ("", "Not needed: aclose() waits."),
    "asyncio.StreamWriter.write_eof": ("await stream.send_eof()", ""),
    "asyncio.StreamWriter.get_extra_info": ("stream.socket.getpeername()", "Attributes instead of names."),
    "asyncio.StreamWriter.start_tls": ("trio.SSLStream(stream, context)", ""),
    "asyncio.IncompleteReadError": ("", "You count yourself what receive_some() gave."),
    "asyncio.LimitOverrunError": ("", "You keep the limit of your buffer yourself."),
    # --- subprocesses ---
    "asyncio.create_subprocess_exec": (
        "await trio.run_process([program, arg])",
        "For one that runs beside: process = await nursery.start(trio.run_process, [program, arg]). "
        "run_process waits for the end, raises CalledProcessError for a status other than 0 (check=False), and kills "
        "the child when it is cancelled.",
        CHILD,
    ),
    "asyncio.create_subprocess_shell": (
        "await trio.run_process(command, shell=True)",
        "As create_subprocess_exec: it waits, checks the status, and kills the child when it is cancelled.",
        CHILD,
    ),
    "asyncio.subprocess.Process": (
        "start = functools.partial(trio.run_process, [program, arg], stdout=subprocess.PIPE)\n"
        "process = await nursery.start(start)\n"
        "async for data in process.stdout:\n"
        "    print(data)",
        "Its pipes are trio streams, and no communicate(): run_process does it.",
    ),
    "asyncio.subprocess.Process.communicate": (
        "done = await trio.run_process([program, arg], stdin=data, capture_stdout=True)",
        "The result is a subprocess.CompletedProcess.",
    ),
    "asyncio.subprocess.Process.wait": ("await process.wait()", ""),
    "asyncio.subprocess.PIPE": ("subprocess.PIPE", "It is the same value."),
    "asyncio.subprocess.STDOUT": ("subprocess.STDOUT", "It is the same value."),
    "asyncio.subprocess.DEVNULL": ("subprocess.DEVNULL", "It is the same value."),
    # --- errors and constants ---
    "asyncio.CancelledError": (
        "try:\n    await fn(arg)\nfinally:\n    with trio.CancelScope(shield=True):\n        await clean_up()",
        f"trio.Cancelled is seldom named. {EDGE} It must not be swallowed, and cannot be made or raised by hand.",
        "It is trio.Cancelled: it has to be let through, and each wait in the clean-up raises it again, "
        "unless a trio.CancelScope(shield=True) is around.",
    ),
    "asyncio.TimeoutError": (
        "TimeoutError",
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
    "asyncio.new_event_loop": ("trio.run(main)", "A run is one call; it cannot be made first and used later."),
    "asyncio.set_event_loop": ("", POLICY),
    "asyncio.get_event_loop_policy": ("", POLICY),
    "asyncio.set_event_loop_policy": ("", POLICY),
    "asyncio.AbstractEventLoopPolicy": ("", POLICY),
    "asyncio.DefaultEventLoopPolicy": ("", POLICY),
    "asyncio.WindowsSelectorEventLoopPolicy": ("", POLICY),
    "asyncio.WindowsProactorEventLoopPolicy": ("", POLICY),
    "asyncio.AbstractEventLoop": ("", "No loop is passed around in trio: drop the argument."),
    "asyncio.BaseEventLoop": ("", "No loop is passed around in trio: drop the argument."),
    "asyncio.SelectorEventLoop": ("trio.run(main)", "trio has one kind of run, and no loop objects."),
    "asyncio.ProactorEventLoop": ("trio.run(main)", "trio has one kind of run, and no loop objects."),
    "asyncio.IocpProactor": ("", UNDER),
    "asyncio.EventLoop": ("trio.run(main)", "trio has one kind of run, and no loop objects."),
    "asyncio.AbstractServer": (SERVER, ""),
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
    "asyncio.BaseProtocol": (HANDLER, UNDER),
    "asyncio.Protocol": (HANDLER, UNDER),
    "asyncio.BufferedProtocol": (HANDLER, UNDER),
    "asyncio.DatagramProtocol": (
        "data, address = await sock.recvfrom(65536)\nawait sock.sendto(data, address)",
        UNDER,
    ),
    "asyncio.SubprocessProtocol": ("await trio.run_process([program, arg])", UNDER),
    "asyncio.BaseTransport": ("trio.abc.AsyncResource", UNDER),
    "asyncio.ReadTransport": ("trio.abc.ReceiveStream", UNDER),
    "asyncio.WriteTransport": ("trio.abc.SendStream", UNDER),
    "asyncio.Transport": ("trio.abc.Stream", UNDER),
    "asyncio.DatagramTransport": ("trio.socket.SocketType", UNDER),
    "asyncio.SubprocessTransport": ("trio.Process", UNDER),
    # --- methods of the loop ---
    "loop.run_until_complete": ("trio.run(fn, arg)", "Once: nothing stays between two calls."),
    "loop.run_forever": ("trio.run(main)", ("main holds a nursery. It ends when main returns or is cancelled.")),
    "loop.stop": ("nursery.cancel_scope.cancel()", "What runs is cancelled and waited for, not left standing."),
    "loop.close": ("", "trio.run() closes what it opened."),
    "loop.is_running": ("trio.lowlevel.in_trio_run()", "trio 0.29 and later."),
    "loop.is_closed": ("", "trio.run() closes what it opened."),
    "loop.create_task": ("nursery.start_soon(fn, arg)", f"{NO_NURSERY} {NO_TASK}"),
    "loop.create_future": (
        AN_EVENT,
        "The value goes into a variable beside it. Nobody sets exceptions from outside.",
    ),
    "loop.time": (
        "trio.current_time()",
        "The same clock while both run together; trio.run() alone starts at a random time.",
    ),
    "loop.call_soon": ("nursery.start_soon(fn)", "A task, not a callback. Order among tasks is not promised."),
    "loop.call_soon_threadsafe": (
        "token.run_sync_soon(fn)",
        "token is trio.lowlevel.current_trio_token(), taken in the run. In trio's threads: "
        "trio.from_thread.run_sync(fn). "
        "run_sync waits for the result; run_sync_soon does not, and brings the run down if fn raises.",
    ),
    "loop.call_later": (
        "async def later():\n    await trio.sleep(seconds)\n    fn()\n\nnursery.start_soon(later)",
        "Cancelled by its scope, not by a handle.",
    ),
    "loop.call_at": (
        "async def later():\n    await trio.sleep_until(deadline)\n    fn()\n\nnursery.start_soon(later)",
        "Cancelled by its scope, not by a handle.",
    ),
    "loop.run_in_executor": (
        "await trio.to_thread.run_sync(fn, arg)",
        "Cancelled, trio waits for the thread. Other executors: submit to them, and wait in a thread.",
    ),
    "loop.set_default_executor": ("trio.to_thread.current_default_thread_limiter()", "A limit, not a pool."),
    "loop.shutdown_default_executor": ("", "trio's threads need no shutdown."),
    "loop.shutdown_asyncgens": ("", "trio.run() does it; close generators where they are used: contextlib.aclosing."),
    "loop.add_signal_handler": (
        "with trio.open_signal_receiver(signal.SIGTERM) as signals:\n"
        "    async for _ in signals:\n"
        "        nursery.cancel_scope.cancel()",
        "A loop in a task.",
    ),
    "loop.remove_signal_handler": ("scope.cancel()", "The scope around the receiver: its block is left."),
    "loop.add_reader": (
        "while True:\n    await trio.lowlevel.wait_readable(sock)\n    fn()",
        "A loop in a task, not a callback.",
    ),
    "loop.remove_reader": ("scope.cancel()", "The scope around the task's wait."),
    "loop.add_writer": (
        "while True:\n    await trio.lowlevel.wait_writable(sock)\n    fn()",
        "A loop in a task, not a callback.",
    ),
    "loop.remove_writer": ("scope.cancel()", "The scope around the task's wait."),
    "loop.sock_accept": ("connection, address = await sock.accept()", "trio.socket.from_stdlib_socket(sock) first."),
    "loop.sock_connect": ("await sock.connect(address)", "It looks names up, too."),
    "loop.sock_recv": ("data = await sock.recv(n)", "trio.socket.from_stdlib_socket(sock) first."),
    "loop.sock_recv_into": ("await sock.recv_into(buffer)", "trio.socket.from_stdlib_socket(sock) first."),
    "loop.sock_recvfrom": ("data, address = await sock.recvfrom(n)", "trio.socket.from_stdlib_socket(sock) first."),
    "loop.sock_recvfrom_into": ("await sock.recvfrom_into(buffer)", "trio.socket.from_stdlib_socket(sock) first."),
    "loop.sock_sendall": ("await trio.SocketStream(sock).send_all(data)", "trio's sockets have send() only."),
    "loop.sock_sendto": ("await sock.sendto(data, address)", "trio.socket.from_stdlib_socket(sock) first."),
    "loop.sock_sendfile": (SENDFILE, "trio has no sendfile."),
    "loop.sendfile": (SENDFILE, "trio has no sendfile."),
    "loop.start_tls": ("trio.SSLStream(stream, context)", ""),
    "loop.create_connection": ("await trio.open_tcp_stream(host, port)", UNDER),
    "loop.create_server": ("listeners = await nursery.start(trio.serve_tcp, handler, port)", UNDER),
    "loop.create_unix_connection": ("await trio.open_unix_socket(path)", UNDER),
    "loop.create_unix_server": ("await trio.serve_listeners(handler, [trio.SocketListener(sock)])", UNDER),
    "loop.create_datagram_endpoint": ("sock = trio.socket.socket(type=trio.socket.SOCK_DGRAM)", UNDER),
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
    "loop.call_exception_handler": ("raise error", "Exceptions reach the nursery."),
    "loop.set_task_factory": ("trio.lowlevel.add_instrument(instrument)", "It sees each task, and changes none."),
    "loop.get_task_factory": ("", "trio has no task factories."),
    "loop.set_debug": ("", "trio has no debug mode."),
    "loop.get_debug": ("", "trio has no debug mode."),
    "loop.slow_callback_duration": ("trio.lowlevel.add_instrument(instrument)", "trio has no debug mode."),
}

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


def is_method(owner: str, name: str) -> bool:
    """Tell whether a class of asyncio's, or the loop, has this public method or attribute."""
    value: object = asyncio.AbstractEventLoop if owner == "loop" else asyncio
    for part in owner.split(".")[1:]:
        value = getattr(value, part, None)
    return not name.startswith("_") and hasattr(value, name)


def is_private(name: str) -> bool:
    """Tell whether a name is asyncio's own affair. `__name__` and the like are Python's."""
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def row_of(api: str) -> Row:
    """What the API becomes; a method that has no row of its own stands under its class."""
    if api in ROWS:
        return ROWS[api]
    owner, _, _ = api.rpartition(".")
    if any(map(is_private, api.split("."))):
        return PRIVATE
    if owner in ROWS:
        return ROWS[owner] if state_of(api) != "unknown" else ELSEWHERE
    if api == "asyncio":
        return MODULE
    return SUBMODULE if api.removeprefix("asyncio.") in SUBMODULES else ELSEWHERE


class OnNative(NamedTuple):
    """What compat.native does with a use as it stands."""

    verdict: str  # "same", "check" (it may change what the program does) or "refused"
    why: str


# Calls that native refuses although their arguments fit, and parameters that it has only to refuse them.
REFUSED_CALLS = {
    "asyncio.CancelledError": "trio.Cancelled cannot be made or raised by hand: cancel a scope.",
    "asyncio.run_coroutine_threadsafe": IN_PLACE_OF_LOOP,
}
REFUSED_PARAMETERS = {"asyncio.run": ("debug", "loop_factory"), "asyncio.Runner": ("debug", "loop_factory")}


@functools.lru_cache(10_000)
def native_of(api: str, arguments: tuple[str, ...] | None = None, kind: str = "code") -> OnNative:
    """What compat.native does with a use: whether it refuses it is asked of native, what it changes of the table."""
    from compat import native

    owner, *names = api.split(".")
    if any(map(is_private, names)):
        return OnNative("refused", "asyncio's own machine is not there.")
    if owner == "loop":
        return OnNative("refused", what_it_says(native, "get_running_loop").partition(": ")[2])
    if not names:
        return OnNative("check", "The module is handed on; what is taken from it, only running the program tells.")
    value: object = native
    for name in names:
        value, of = getattr(value, name, None), value
        if value is None and not hasattr(of, name):
            if sets_on_itself(of, name):
                break
            return OnNative("refused", what_it_says(of, name))
    if arguments is not None and callable(value):
        why = refusal(api, value, arguments, is_method=isinstance(of, type))
        if why:
            return OnNative("refused", why)
    if kind == "subclass" and isinstance(value, type):
        if not can_be_derived_from(value):
            return OnNative("refused", f"{value.__module__.partition('.')[0]}.{value.__name__} cannot be derived from.")
        if not issubclass(value, BaseException):
            return OnNative("check", "The subclass may rely on what asyncio's class does inside.")
    if api == "asyncio.gather" and arguments is not None and "return_exceptions" in arguments:
        return OnNative("same", "")
    row = ROWS.get(api)
    return OnNative("check", row.native) if row is not None and row.native else OnNative("same", "")


def can_be_derived_from(value: type) -> bool:
    """Tell whether a class lets others derive from it: trio.Cancelled does not."""
    try:
        type(value)("Derived", (value,), {})
    except TypeError:
        return False
    return True


def what_it_says(owner: object, name: str) -> str:
    """Native's error for a name that it does not have, itself or in one of its classes."""
    try:
        getattr(object.__new__(owner) if isinstance(owner, type) else owner, name)
    except AttributeError as error:
        return f"{error}."
    return ""


def refusal(api: str, function: Callable[..., object], arguments: tuple[str, ...], is_method: bool) -> str:
    """Why native refuses a call with these arguments, "" if it does not."""
    from compat.adapters import native

    if api in REFUSED_CALLS:
        return REFUSED_CALLS[api]
    name = api.removeprefix("asyncio.")
    given = [each for each in arguments if each not in ("", "*", "**", "**=")]
    for each in REFUSED_PARAMETERS.get(api, ()):
        if each in given:
            return f"{name}() takes no {each}=."
    try:
        signature = inspect.signature(function)
    except ValueError:  # a class written in C
        return ""
    if "others" in signature.parameters:  # those are refused, if they are not empty or asyncio has no such
        for each in given:
            bare = each.rstrip("=")
            is_empty = each != bare and bare in native.refusals.OTHERS[function.__name__]
            if bare not in signature.parameters and not is_empty:
                return f"{name}() takes no {bare}=."
    if "*" in arguments or "**" in arguments:
        return ""
    by_position = [None] * (arguments.count("") + is_method)
    try:
        signature.bind(*by_position, **{each.rstrip("="): None for each in given})
    except TypeError as error:
        return f"{name}(): {error}."
    return ""


@functools.cache
def state_of(api: str) -> str:
    """Whether it runs here: "runs", "not yet", "private" (asyncio's own, which may not fit), or "unknown".

    Asked of the code that would run: of the drop-in module and of the loop.
    """
    from compat import _redirect
    from compat import asyncio as drop_in
    from compat.adapters import events

    owner, *names = api.split(".")
    value: object = events.Loop if owner == "loop" else drop_in
    if any(map(is_private, names)):
        return "private"
    for name in names:
        owner_value = value
        value = getattr(owner_value, name, None)
        if value is None and not hasattr(owner_value, name):
            return "runs" if sets_on_itself(owner_value, name) else "unknown"
        if _redirect.is_stand_in(value):
            return "not yet"
    return "runs"


def sets_on_itself(owner: object, name: str) -> bool:
    """Tell whether a class gives its instances this attribute: its __init__ names it."""
    codes = (getattr(vars(each).get("__init__"), "__code__", None) for each in getattr(owner, "__mro__", ()))
    return any(name in code.co_names for code in codes if code is not None)
