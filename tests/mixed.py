"""Random programs that mix asyncio and trio: what they are made of, how they are drawn, how one is run and judged.

A Program is plain data, as in traces.py: nodes that are an operation's name and then its arguments, in three kinds
(actions, waits, blocks). No library runs such a program but this one. So it is judged by what holds of every program
(Interpreter.fault() notes what does not), and it has to take the same steps in each path, PATHS.

A run is in virtual time, and nothing in it depends on chance. Tasks that a scope reaches at once hear of it in the
order of their names, trio's deadlines are never the same, and threads and sockets are used while all else waits.

    python tests/mixed.py 17             runs the program of seed 17 in each path, and prints it and its steps
    python tests/mixed.py --shrink 17    makes a smaller program that fails, too
    python tests/mixed.py 0 1000         runs the programs of these seeds, and says which of them fail
"""

import argparse
import asyncio as std
import contextvars
import itertools
import pprint
import re
import signal
import socket
import sys
import types
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cache, partial
from math import inf
from random import Random
from typing import Any
from unittest.mock import patch

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import compat
from compat import asyncio
from compat.adapters._trio.names import CancelStatus
from compat.adapters._trio.nurseries import _TasksOfGroup
from compat.adapters._trio.runs import is_cancel_called
from compat.adapters.events import Loop
from paths import taken
from traces import Custom, Node, Several, brief, pick
from worlds import virtual_time

EAGER = sys.version_info >= (3, 12)


@dataclass(frozen=True)
class Program:
    """A program: its first tasks, each a kind of task and a body, and what all its tasks share."""

    tasks: tuple[tuple[str, tuple[Node, ...]], ...]
    size: int = 0
    """Of the queue, and of the channel."""
    permits: int = 1
    eager: bool = False
    """Whether tasks are made by the eager task factory (3.12 and later)."""
    strict: bool = False
    """Whether an error ends the body that it is raised in, as a cancellation does, or just the statement."""
    scopes_first: bool = False
    """Whether what stands still in the end is cancelled by its scopes first, or by Task.cancel()."""


# --- what a program is made of ----------------------------------------------------------------------------------------

CALLBACK, BODY, WAITS = Several("action", 1, 3), Several("statement", 1, 5), Several("wait", 0, 3)
YIELDS, CHILDREN = Several(BODY, 1, 3), Several(BODY, 0, 3)
NUMBER, FLAG, TIME, TIMEOUT, MESSAGE = range(10), (False, True), range(4), (1, 2, 0, None), (None, "a", "b")
MOMENT = "moment"  # a time for trio, which no other is equal to
ERROR = ("ValueError", "KeyError", "TimeoutError", "OSError")
CAUGHT = ("both", "cancel", "error")
LOCK = ("lock", "semaphore", "trio lock", "trio semaphore", "limiter")
WORLD = ("asyncio", "trio")
KIND = ("task", "plain", *(("eager",) if EAGER else ()))

# Kind and name of each operation: how often it is drawn, then what each of its arguments is drawn from.
# fmt: off
OPERATIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "action": {
        "look": (3,), "set_variable": (1, NUMBER), "raise": (2, ERROR),
        "spawn": (6, BODY), "start_soon": (4, NUMBER, BODY), "spawn_in_group": (2, NUMBER, BODY),
        "cancel": (9, NUMBER, MESSAGE), "uncancel": (2, NUMBER),
        "cancel_scope": (8, NUMBER), "set_deadline": (2, NUMBER, MOMENT), "set_shield": (1, NUMBER, FLAG),
        "set_result": (5, NUMBER), "set_event": (3,), "set_trio_event": (5, NUMBER),
        "put_nowait": (2,), "get_nowait": (1,), "send_nowait": (2,), "receive_nowait": (1,),
        "call_soon": (2, CALLBACK), "call_later": (2, TIME, CALLBACK),
        **({"spawn_eager": (4, BODY)} if EAGER else {}),
    },
    "wait": {
        "sleep": (6, TIME), "trio_sleep": (6, MOMENT), "hops": (4, (1, 2, 3, 4)), "checkpoints": (3, (1, 2)),
        "checkpoint_if_cancelled": (2,), "shielded_checkpoint": (2,), "bare_yield": (2,), "forever": (2, WORLD),
        "event": (3,), "trio_event": (5, NUMBER), "future": (5, NUMBER), "task": (5, NUMBER),
        "put": (4,), "get": (5,), "send": (4,), "receive": (5,),
        "call": (2, BODY), "custom": (1, "wait"), "gather": (4, WAITS, FLAG), "wait_for": (4, "wait", TIMEOUT),
        "shield": (3, "wait"), "ensure_future": (1, "wait"), "wait": (2, WAITS, TIMEOUT),
        "thread": (1, WORLD, MOMENT), "write": (1, WORLD), "read": (1, WORLD),
    },
    "block": {
        "catch": (8, CAUGHT, BODY, BODY, FLAG), "finally": (3, BODY, BODY),
        "move_on_after": (4, MOMENT, BODY), "fail_after": (2, MOMENT, BODY), "scope": (5, FLAG, BODY),
        "timeout": (4, TIMEOUT, BODY), "nursery": (7, CHILDREN, BODY), "group": (5, CHILDREN, BODY),
        "with": (5, LOCK, BODY), "with_condition": (4, WORLD, BODY), "generator": (3, YIELDS, BODY, BODY, NUMBER),
    },
    "condition": {"wait_condition": (3,), "notify": (3,), "notify_all": (2,)},
}
# fmt: on
ACTIONS, BLOCKS = OPERATIONS["action"].keys() | {"notify", "notify_all"}, OPERATIONS["block"].keys()


def draw_program(seed: int) -> Program:
    """The program of a seed, by the tables above."""
    random = Random(seed)

    def draw(what: Any, depth: int = 3, in_condition: bool = False) -> Any:
        match what:
            case Several(each, least, most):
                some: list[Any] = []
                while len(some) < least or (len(some) < most and random.randint(0, 3)):
                    some.append(draw(each, depth, in_condition))
                return tuple(some)
            case "moment":
                # A fraction that no sum of the others is likely to have
                return random.choice((0, 1, 2, 3)) and random.choice((0, 1, 2)) + random.randint(1, 2**30) / 2**31
            case str(kind):
                in_condition = in_condition and random.random() < 0.6
                name, *arguments = random.choice(operations("condition" if in_condition else kind, depth > 0))
                return (name, *(draw(each, depth - 1, name == "with_condition") for each in arguments))
            case _:
                return random.choice(what)

    return Program(
        tasks=tuple((draw(KIND), draw(BODY)) for _ in range(random.randint(1, 5))),
        size=draw(range(3)),
        permits=draw((1, 2)),
        eager=draw(FLAG) if EAGER else False,
        strict=draw(FLAG),
        scopes_first=draw(FLAG),
    )


@cache
def operations(kind: str, nesting: bool) -> list[Node]:
    """The operations to choose from: each name with what its arguments are, as often as its weight says."""
    kinds = ("action", "wait", "block") if kind == "statement" else (kind,)
    return [
        (name, *arguments)
        for each in kinds
        for name, (weight, *arguments) in OPERATIONS[each].items()
        if nesting or not any(isinstance(a, Several) or a == "wait" for a in arguments)
        for _ in range(weight)
    ]


# --- the paths --------------------------------------------------------------------------------------------------------

Main = Callable[[], Any]


def own(main: Main) -> None:
    """A loop with a trio run of its own."""
    with asyncio.Runner(loop_factory=lambda: Loop(clock=virtual_time())) as runner:
        runner.run(main())


def instrument(main: Main) -> None:
    """The same with an instrument, for which trio makes each step."""
    with taken("instrument"):
        own(main)


def carried(main: Main) -> None:
    """Each Task has a trio task from its first step on; an eager one, from its first wait on."""
    with taken("carried"):
        own(main)


def hosted(main: Main) -> None:
    """A loop in a trio run that was begun with it."""

    async def hosting() -> None:
        await asyncio.create_task(main())

    compat.run(hosting, clock=virtual_time())


def opened(main: Main) -> None:
    """A loop that was opened in a trio run."""

    async def opening() -> None:
        async with compat.open_loop():
            await asyncio.create_task(main())

    trio.run(opening, clock=virtual_time())


PATHS: dict[str, Callable[[Main], None]] = {
    "own": own,
    "instrument": instrument,
    "carried": carried,
    "hosted": hosted,
    "opened": opened,
}


# --- nothing by chance ------------------------------------------------------------------------------------------------


class InOrder(set[Any]):
    """A set of tasks that is gone through by their names."""

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(set.__iter__(self), key=order))


def order(task: Any) -> tuple[bool, int, str]:
    """By name, and those that asyncio has made for itself, Task-99 and Task-100, in the order in which it did."""
    name: str = task.name if isinstance(task, trio.lowlevel.Task) else task.get_name()
    return name.startswith("Task-"), len(name), name


def recalculate_in_order(self: Any) -> None:
    """CancelStatus.recalculate(), which goes through sets: tell the tasks in the order of their names."""
    todo, tasks = [self], []
    while todo:
        status = todo.pop()
        is_cancelled = is_cancel_called(status._scope) or status.parent_cancellation_is_visible_to_us
        if is_cancelled != status.effectively_cancelled:
            if getattr(status._scope, "_cancel_reason", 0) is None and status.parent_cancellation_is_visible_to_us:
                status._scope._cancel_reason = status._parent._scope._cancel_reason
            if is_cancelled:
                tasks += status._tasks  # which may make some; they are told in their turn
            status.effectively_cancelled = is_cancelled
            todo += status._children
    for task in sorted(tasks, key=order):
        task._attempt_delivery_of_any_pending_cancel()


@contextmanager
def in_order() -> Iterator[None]:
    with (
        patch.object(CancelStatus, "recalculate", recalculate_in_order),
        patch.object(_TasksOfGroup, "__iter__", InOrder.__iter__),
    ):
        yield


# --- how a program is run ---------------------------------------------------------------------------------------------

LONG = 1000  # seconds; longer than what a program waits for by itself
ROUNDS = 40  # of cancelling what is left; each statement may swallow one
LIMIT = 20  # seconds of real time


class GivenUp(BaseException):
    """The program has not ended."""


@dataclass(eq=False)
class Frame:
    """What runs statements: a task, or what asyncio makes a task of."""

    name: str
    number: int
    """One waits for tasks with higher numbers only: so they never wait in a circle, in which cancel() does not end."""
    scopes: list[trio.CancelScope] = field(default_factory=list)
    """The trio scopes around what it does, from the outermost on."""
    told: set[trio.CancelScope] = field(default_factory=set)
    conditions: list[Any] = field(default_factory=list)
    """Those that it has acquired."""
    waits: tuple[str, Node] | None = None
    begun: bool = False
    done: bool = False
    error: BaseException | None = None
    task: Any = None
    names: Any = field(default_factory=itertools.count)


@types.coroutine
def bare_yield() -> Iterator[None]:
    yield


ERRORS = (
    (trio.TooSlowError, trio.WouldBlock, trio.BusyResourceError, TimeoutError)
    + (std.QueueFull, std.QueueEmpty, std.InvalidStateError)
)  # fmt: skip
COMPLAINTS = re.compile(
    "raised|closed to new arrivals|is shutting down|is finished|attempt to re-acquire an already held Lock"
    "|already holding"
    # Task.cancel() interrupts trio's Condition.wait() where that takes its lock back
    "|can't release a Lock you don't own|must hold the lock"
    # trio's checkpoint_if_cancelled(), where a shield is set meanwhile
    "|this should never happen"
)


class Interpreter:
    """Runs one program once, logs what it does, and notes what should not be."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.log: list[str] = []
        self.faults: list[str] = []
        self.numbers, self.items, self.moments = itertools.count(), itertools.count(), itertools.count(1)
        self.variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
        self.frames: list[Frame] = []
        self.tasks: list[tuple[int, Any]] = []
        self.scopes: list[trio.CancelScope] = []
        self.nurseries: list[tuple[trio.Nursery, list[Frame], Frame]] = []
        self.groups: list[tuple[Any, list[Frame], Frame]] = []
        self.handed_in: list[int] = []
        self.handed_out: list[int] = []
        self.written = {"asyncio": 0, "trio": 0}
        self.read = {"asyncio": 0, "trio": 0}
        self.held = 0

    def fault(self, text: str) -> None:
        self.faults.append(text)
        self.log.append(f"FAULT {text}")

    # The run as a whole.

    async def main(self) -> None:
        self.loop: Any = asyncio.get_running_loop()
        self.loop.set_exception_handler(self.handle_exception)
        self.before = asyncio.all_tasks()
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        self.clock, self.start = clock, trio.current_time()
        before = trio.lowlevel.current_statistics().tasks_living
        if self.program.eager:
            self.loop.set_task_factory(asyncio.eager_task_factory)
        self.make_what_is_shared()
        async with trio.open_nursery() as self.root:
            for kind, body in self.program.tasks:
                self.begin(kind, body)
            for round in range(ROUNDS):
                await asyncio.sleep(LONG)
                left = self.left()
                if not left:
                    break
                self.cancel_what_is_left(left, round)
                if round >= ROUNDS // 2:
                    await self.wake_what_is_left()
            else:
                self.fault(f"never ends: {left}")
                signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
                raise GivenUp
        while self.held:
            await asyncio.sleep(LONG)
        for _ in range(1000):
            # A thread that was abandoned may still call back.
            if (now := trio.lowlevel.current_statistics().tasks_living) == before:
                break
            await trio.sleep(0.001)
        else:
            self.fault(f"{before} tasks before, {now} afterwards")
        self.check_what_is_shared()
        for number, task in self.tasks:
            error = None if task.cancelled() else task.exception()
            frame = self.frames[number]
            if frame.task is task and isinstance(frame.error, Exception) and error is not frame.error:
                self.fault(f"the error of {frame.name} is not that of its task")
        for each in (self.left_end, self.right_end):
            each.close()
        self.clock.autojump_threshold = inf  # the end of the loop waits for its threads

    def begin(self, kind: str, body: Any) -> None:
        """Begin one of the program's first tasks."""
        frame = self.frame("t", None)

        async def in_scope() -> None:
            try:
                with trio.CancelScope() as scope:
                    await self.in_scope(frame, scope, body, self.call)
            except (Exception, BaseExceptionGroup, std.CancelledError, trio.Cancelled) as error:
                self.check_error(frame, ("scope",), error)

        if kind == "plain":
            self.root.start_soon(in_scope, name=frame.name)
        else:
            self.create_task(frame, body, eager=kind == "eager")

    def left(self) -> list[str]:
        """Who has not ended, and what it waits for."""
        frames = [frame for frame in self.frames if frame.begun and not frame.done]
        if not frames and (tasks := asyncio.all_tasks() - self.before):
            self.fault(f"these are left: {tasks}")
        return [f"{frame.name} in {frame.waits and brief(frame.waits[1])}" for frame in frames]

    def cancel_what_is_left(self, left: list[str], round: int) -> None:
        self.log.append(f"{trio.current_time() - self.start:g} stands still: {', '.join(left)}")
        for frame in self.frames:
            if not frame.begun or frame.done or frame.waits is None or not is_in_cancelled_scope(frame):
                continue
            world, node = frame.waits
            if world == "trio" or (world == "asyncio" and not frame.told.issuperset(frame.scopes[-1:])):
                self.fault(f"{frame.name} waits in a cancelled scope: {brief(node)}")
        if round % 2 == self.program.scopes_first or round > 10:
            for task in sorted(asyncio.all_tasks() - self.before, key=order):
                task.cancel("stuck")
        if round % 2 != self.program.scopes_first or round > 10:
            for scope in self.scopes:
                scope.cancel()

    async def wake_what_is_left(self) -> None:
        """A plain trio task that was told of its scope's cancellation, and waits in its clean-up, is asyncio's now."""
        self.event.set()
        for future in self.futures:
            if not future.done():
                future.set_result(0)
        if self.queue.full():
            self.hand_out(self.queue.get_nowait())
        else:
            self.hand_in(self.queue.put_nowait)
        condition = self.conditions["asyncio"]
        if not condition.locked():
            async with condition:
                condition.notify_all()
        self.left_end._sock.send(b"x")
        self.written["trio"] += 1

    def handle_exception(self, loop: Any, context: dict[str, Any]) -> None:
        # gather(), shield() and wait() that were cancelled have nobody who retrieves the errors.
        # A Task that the collector has cleared does not say what it ran.
        future = repr(context.get("future"))
        by_asyncio = re.search("_GatheringFuture|Interpreter.leaf", future) or "coro=" not in future
        if not (by_asyncio and "never retrieved" in context["message"]):
            self.fault(f"exception handler: {context}")

    def make_what_is_shared(self) -> None:
        program = self.program
        self.futures = [self.loop.create_future() for _ in range(3)]
        self.event = asyncio.Event()
        self.trio_events = [trio.Event() for _ in range(3)]
        for event in self.trio_events:
            event._tasks = InOrder()
        self.queue: std.Queue[int] = asyncio.Queue(program.size)
        self.send, self.receive = trio.open_memory_channel[int](program.size)
        self.locks: dict[str, Any] = {
            "lock": asyncio.Lock(),
            "semaphore": asyncio.Semaphore(program.permits),
            "trio lock": trio.Lock(),
            "trio semaphore": trio.Semaphore(program.permits),
            "limiter": trio.CapacityLimiter(program.permits),
        }
        self.conditions: dict[str, Any] = {"asyncio": asyncio.Condition(), "trio": trio.Condition()}
        self.baton, self.reading = asyncio.Lock(), {"asyncio": asyncio.Lock(), "trio": asyncio.Lock()}
        left, self.right_end = socket.socketpair()
        self.left_end = trio.socket.from_stdlib_socket(left)
        self.right_end.setblocking(False)

    def check_what_is_shared(self) -> None:
        """Everything is free again, and nothing was lost."""
        locks = self.locks
        for name, lock in {**locks, **self.conditions, "baton": self.baton, **self.reading}.items():
            if name == "limiter":
                is_free = lock.borrowed_tokens == 0 and lock.statistics().tasks_waiting == 0
            elif "semaphore" in name:
                is_free = getattr(lock, "value", getattr(lock, "_value", 0)) == self.program.permits
            else:
                is_free = not lock.locked()
            if not is_free:
                self.fault(f"{name} is not free: {lock!r}")
        while not self.queue.empty():
            self.handed_out.append(self.queue.get_nowait())
        try:
            while True:
                self.handed_out.append(self.receive.receive_nowait())
        except trio.WouldBlock:
            pass
        statistics = self.send.statistics()
        if statistics.tasks_waiting_send or statistics.tasks_waiting_receive:
            self.fault(f"the channel has waiters: {statistics}")
        if sorted(self.handed_in) != sorted(self.handed_out):
            self.fault(f"items are lost: {sorted(self.handed_in)} in, {sorted(self.handed_out)} out")
        for world, end in (("trio", self.left_end), ("asyncio", self.right_end)):
            other = "asyncio" if world == "trio" else "trio"
            rest = 0
            try:
                rest = len(socket.socket.recv(end if world == "asyncio" else end._sock, 1000))
            except BlockingIOError:
                pass
            got, sent = self.read[world] + rest, self.written[other]
            # asyncio's sock_recv() may have read when it is cancelled.
            if got > sent or (got < sent and world == "trio"):
                self.fault(f"{world} has read {got} bytes, and {sent} were written")

    # The log.

    def write(self, frame: Frame, text: str) -> None:
        self.log.append(f"{trio.current_time() - self.start:g} {frame.name} {self.variable.get()} {text}")

    def show(self, value: Any) -> str:
        match value:
            case BaseExceptionGroup():
                return f"{type(value).__name__}[{', '.join(map(self.show, value.exceptions))}]"
            case trio.Cancelled():
                return "Cancelled"
            case BaseException():
                return f"{type(value).__name__}{re.sub('<.*>|0x[0-9a-f]+|Task-[0-9]+', '...', str(value.args))}"
            case list():
                return f"[{', '.join(map(self.show, value))}]"
            case None | bool() | int() | str():
                return repr(value)
            case _:
                return type(value).__name__

    def check_error(self, frame: Frame, node: Node, error: BaseException) -> None:
        """What a statement raises is something that it may raise."""
        for each in leaves(error):
            if isinstance(each, trio.Cancelled):
                # A shield may have come too late, and a group may be that of another task, which has failed.
                if each is error and not any(map(is_cancel_called, frame.scopes)):
                    self.fault(f"{frame.name}: {brief(node)} raises Cancelled, and no scope is cancelled")
                frame.told.update(frame.scopes)
            elif isinstance(each, std.CancelledError) and not each.args:
                frame.told.update(frame.scopes)  # so it comes in a bare yield
            elif not isinstance(each, (std.CancelledError, GivenUp, *ERRORS)) and not COMPLAINTS.search(str(each)):
                self.fault(f"{frame.name}: {brief(node)} raises {each!r}")

    # Tasks.

    def frame(self, name: str, parent: Frame | None) -> Frame:
        number = next(self.numbers)
        frame = Frame(f"{name}{number}" if parent is None else f"{parent.name}.{next(parent.names)}", number)
        self.frames.append(frame)
        return frame

    def create_task(self, frame: Frame, body: Any, eager: bool = False, create: Any = None) -> Any:
        coroutine = self.call(frame, body)
        try:
            if eager:
                task = asyncio.Task(coroutine, loop=self.loop, name=frame.name, eager_start=True)
            else:
                task = (create or asyncio.create_task)(coroutine, name=frame.name)
        except BaseException:
            coroutine.close()
            raise
        frame.task = task
        self.tasks.append((frame.number, task))
        return task

    async def call(self, frame: Frame, body: Any) -> str:
        """What a task runs."""
        frame.begun = True
        self.write(frame, "begin")
        try:
            await self.run(frame, body)
        except BaseException as error:
            frame.error = error
            self.write(frame, f"ends by {self.show(error)}")
            raise
        else:
            self.write(frame, "end")
        finally:
            frame.done = True
        return frame.name

    # Statements.

    async def run(self, frame: Frame, body: Any) -> None:
        for node in body:
            if node[0] in ACTIONS:
                self.do_action(frame, node)
                continue
            outer, frame.waits = frame.waits, (None if node[0] in BLOCKS else (world_of(node), node))
            try:
                result = await (self.block(frame, node) if node[0] in BLOCKS else self.wait(frame, node))
            except BaseException as error:
                frame.waits = outer
                if isinstance(error, (GeneratorExit, trio.TrioInternalError, GivenUp)):
                    raise
                self.write(frame, f"{brief(node)} raises {self.show(error)}")
                self.check_error(frame, node, error)
                if self.program.strict or not isinstance(error, Exception):
                    raise
            else:
                frame.waits = outer
                self.write(frame, f"{brief(node)}: {self.show(result)}")
                if node[0] == "wait_for" and not EAGER and is_in_cancelled_scope(frame):
                    frame.told.update(frame.scopes)  # up to 3.11 it swallows a cancellation when its time is up

    def do_action(self, frame: Frame, node: Node) -> None:
        try:
            self.write(frame, f"{brief(node)}: {self.show(self.act(frame, node))}")
        except Exception as error:
            self.write(frame, f"{brief(node)} raises {self.show(error)}")
            self.check_error(frame, node, error)
            if node[0] == "raise":
                raise

    def act(self, frame: Frame, node: Node) -> Any:
        """Carry out an action, and return what it gives."""
        match node:
            case ("look",):
                task = asyncio.current_task()
                if task is not None:
                    if task not in [each for _, each in self.tasks]:
                        self.tasks.append((frame.number, task))
                    return f"{task.get_name() if 'Task-' not in task.get_name() else '-'} {task.cancelling()}"
            case "set_variable", number:
                self.variable.set(number)
            case "raise", error:
                raise {"ValueError": ValueError, "KeyError": KeyError, "OSError": OSError}.get(error, TimeoutError)(
                    f"raised {next(self.items)}"
                )
            case "spawn", body:
                self.create_task(self.frame("", frame), body)
            case "spawn_eager", body:
                self.create_task(self.frame("", frame), body, eager=True)
            case "start_soon", number, body if self.nurseries:
                nursery, inside, owner = pick(self.nurseries, number)
                self.start_soon(nursery, inside, owner, body)
            case "spawn_in_group", number, body if self.groups:
                group, inside, owner = pick(self.groups, number)
                self.spawn_in_group(group, inside, owner, body)
            case "cancel", number, message if self.tasks:
                return pick(self.tasks, number)[1].cancel(message)
            case "uncancel", number if self.tasks:
                task = pick(self.tasks, number)[1]
                return task.uncancel() if task.cancelling() else None
            case "cancel_scope", number if self.scopes:
                pick(self.scopes, number).cancel()
            case "set_deadline", number, delay if self.scopes:
                pick(self.scopes, number).deadline = trio.current_time() + (self.moment(delay) - 1 if delay else inf)
            case "set_shield", number, shield if self.scopes:
                pick(self.scopes, number).shield = shield
            case "set_result", number:
                pick(self.futures, number).set_result(number)
            case ("set_event",):
                self.event.set()
            case "set_trio_event", number:
                pick(self.trio_events, number).set()
            case ("put_nowait",):
                self.hand_in(self.queue.put_nowait)
            case ("get_nowait",):
                return self.hand_out(self.queue.get_nowait())
            case ("send_nowait",):
                self.hand_in(self.send.send_nowait)
            case ("receive_nowait",):
                return self.hand_out(self.receive.receive_nowait())
            case "call_soon", actions:
                self.loop.call_soon(self.callback(frame, actions))
            case "call_later", delay, actions:
                self.loop.call_later(delay, self.callback(frame, actions))
            case ("notify",) if frame.conditions:
                frame.conditions[-1].notify()
            case ("notify_all",) if frame.conditions:
                frame.conditions[-1].notify_all()
        return None

    def hand_in(self, put: Callable[[int], None]) -> None:
        item = next(self.items)
        put(item)
        self.handed_in.append(item)

    def hand_out(self, item: int) -> int:
        self.handed_out.append(item)
        return item

    def callback(self, parent: Frame, actions: Any) -> Callable[[], None]:
        frame = self.frame("", parent)
        frame.done = True

        def callback() -> None:
            for action in actions:
                if action[0] != "raise":
                    self.do_action(frame, action)

        return callback

    def start_soon(self, nursery: trio.Nursery, inside: list[Frame], owner: Frame, body: Any) -> None:
        frame = self.frame("", owner)
        # Those of the nursery, which its owner has entered
        until = owner.scopes.index(nursery.cancel_scope) + 1 if nursery.cancel_scope in owner.scopes else 0
        frame.scopes = owner.scopes[:until]
        nursery.start_soon(self.call, frame, body, name=frame.name)
        inside.append(frame)

    def spawn_in_group(self, group: Any, inside: list[Frame], owner: Frame, body: Any) -> None:
        frame = self.frame("", owner)
        # Those of the group. Opened in a cancelled scope it is asyncio's alone.
        frame.scopes = list(group.scopes)
        self.create_task(frame, body, create=group.create_task)
        inside.append(frame)

    def moment(self, delay: float) -> float:
        """The delay, made a little longer: a generator's statements are executed more than once."""
        return delay and delay + next(self.moments) / 2**24

    # Waits.

    def wait(self, frame: Frame, node: Node) -> Any:
        """The awaitable that a node describes."""
        match node:
            case "sleep", delay:
                return asyncio.sleep(delay, "slept")
            case "trio_sleep", delay:
                return trio.sleep(self.moment(delay))
            case "forever", world:
                if world == "trio":
                    return trio.sleep_forever()
                self.futures.append(self.loop.create_future())
                return self.futures[-1]
            case ("checkpoint_if_cancelled",):
                return trio.lowlevel.checkpoint_if_cancelled()
            case ("shielded_checkpoint",):
                return trio.lowlevel.cancel_shielded_checkpoint()
            case ("event",):
                return self.event.wait()
            case "trio_event", number:
                return pick(self.trio_events, number).wait()
            case "future", number:
                return pick(self.futures, number)
            case "task", number:
                # Not with a condition held, which that task may want, and wait for however often it is cancelled.
                later = [] if frame.conditions else [task for n, task in self.tasks if n > frame.number]
                return pick(later, number) if later else asyncio.sleep(0)
            case "custom", inner:
                return Custom(self.wait(frame, inner))
            case "gather", inner, return_exceptions:
                return asyncio.gather(*self.apart(frame, inner), return_exceptions=return_exceptions)
            case "wait_for", inner, timeout:
                is_apart = timeout is not None and sys.version_info < (3, 12)
                (awaitable,) = self.apart(frame, [inner]) if is_apart else [self.wait(frame, inner)]
                return asyncio.wait_for(awaitable, timeout)
            case "shield", inner:
                return asyncio.shield(*self.apart(frame, [inner]))
            case "ensure_future", inner:
                return asyncio.ensure_future(*self.apart(frame, [inner]))
            case "wait", inner, timeout:
                futures = [asyncio.ensure_future(each) for each in self.apart(frame, inner)]
                return asyncio.wait(futures, timeout=timeout) if futures else asyncio.sleep(0)
        return self.several(frame, node)

    def apart(self, frame: Frame, nodes: Any) -> list[Any]:
        """Awaitables of which asyncio makes Tasks."""
        return [self.leaf(self.frame("", frame), node) for node in nodes]

    async def leaf(self, frame: Frame, node: Node) -> Any:
        frame.begun, frame.waits = True, (world_of(node), node)
        try:
            return await self.wait(frame, node)
        except trio.Cancelled:
            self.fault(f"{frame.name}: {brief(node)} raises Cancelled, and no scope is around it")
            raise
        finally:
            frame.done = True

    async def several(self, frame: Frame, node: Node) -> Any:
        """Waits that are more than one await."""
        match node:
            case "hops", count:
                for _ in range(count):
                    await asyncio.sleep(0)
            case "checkpoints", count:
                for _ in range(count):
                    await trio.lowlevel.checkpoint()
            case ("bare_yield",):
                await bare_yield()
            case ("put",):
                item = next(self.items)
                await self.queue.put(item)
                self.handed_in.append(item)
            case ("get",):
                return self.hand_out(await self.queue.get())
            case ("send",):
                item = next(self.items)
                await self.send.send(item)
                self.handed_in.append(item)
            case ("receive",):
                return self.hand_out(await self.receive.receive())
            case "call", body:
                await self.run(frame, body)
            case ("wait_condition",):
                if frame.conditions:
                    await frame.conditions[-1].wait()
            case "thread", world, delay:
                async with self.baton:
                    return await self.in_thread(world, delay)
            case "write", world:
                async with self.baton:
                    await wait_all_tasks_blocked()
                    if world == "trio":
                        await self.left_end.send(b"x")
                    else:
                        await self.loop.sock_sendall(self.right_end, b"x")
                    self.written[world] += 1
                    await wait_all_tasks_blocked()
            case "read", world:
                async with self.reading[world]:
                    if world == "trio":
                        got = await self.left_end.recv(1)
                    else:
                        got = await self.loop.sock_recv(self.right_end, 1)
                    self.read[world] += len(got)
                    return len(got)
        return None

    async def in_thread(self, world: str, delay: float) -> int:
        """A thread that calls back, and waits in there for a while of virtual time."""
        is_held = False

        def hold(value: bool) -> None:
            # Virtual time waits for the thread.
            nonlocal is_held
            self.held += value - is_held
            is_held = value
            self.clock.autojump_threshold = inf if self.held else 0

        async def visit() -> int:
            if is_held:  # else nobody waits for the thread any more
                hold(False)
                try:
                    await trio.sleep(self.moment(delay))
                finally:
                    hold(not is_over)
                    await blocked()
            return self.variable.get()

        async def blocked() -> None:
            with trio.CancelScope(shield=True):
                try:
                    await wait_all_tasks_blocked()
                except std.CancelledError:
                    await blocked()

        await wait_all_tasks_blocked()
        is_over = False
        hold(True)
        try:
            if world == "trio":
                return await trio.to_thread.run_sync(trio.from_thread.run, visit)
            return await asyncio.to_thread(trio.from_thread.run, visit)
        finally:
            is_over = True
            hold(False)

    # Blocks.

    async def block(self, frame: Frame, node: Node) -> Any:
        run = partial(self.run, frame)
        match node:
            case "catch", kind, body, handler, again:
                kinds: Any = {
                    "error": Exception,
                    "cancel": (std.CancelledError, trio.Cancelled),
                    "both": (Exception, BaseExceptionGroup, std.CancelledError, trio.Cancelled),
                }[kind]
                try:
                    await run(body)
                except kinds:
                    await run(handler)
                    if again:
                        raise
            case "finally", body, cleanup:
                try:
                    await run(body)
                finally:
                    await run(cleanup)
            case "move_on_after", delay, body:
                with trio.move_on_after(self.moment(delay)) as scope:
                    await self.in_scope(frame, scope, body)
                return scope.cancelled_caught
            case "fail_after", delay, body:
                with trio.fail_after(self.moment(delay)) as scope:
                    await self.in_scope(frame, scope, body)
            case "scope", shield, body:
                with trio.CancelScope(shield=shield) as scope:
                    await self.in_scope(frame, scope, body)
                return scope.cancelled_caught
            case "timeout", delay, body:
                async with asyncio.timeout(delay):
                    await run(body)
            case "nursery", children, body:
                await self.nursery(frame, children, body)
            case "group", children, body:
                await self.group(frame, children, body)
            case "with", name, body:
                async with self.locks[name]:
                    await run(body)
            case "with_condition", world, body:
                async with self.conditions[world]:
                    frame.conditions.append(self.conditions[world])
                    try:
                        await run(body)
                    finally:
                        frame.conditions.pop()
            case "generator", bodies, consumer, cleanup, count:

                async def generate() -> AsyncIterator[None]:
                    try:
                        for body in bodies:
                            await run(body)
                            yield
                    finally:
                        await run(cleanup)

                async with aclosing(generate()) as steps:
                    async for _ in steps:
                        await run(consumer)
                        count -= 1
                        if count < 0:
                            break
        return None

    async def in_scope(self, frame: Frame, scope: trio.CancelScope, body: Any, run: Any = None) -> None:
        self.scopes.append(scope)
        frame.scopes.append(scope)
        try:
            await (run or self.run)(frame, body)
        finally:
            frame.scopes.remove(scope)

    async def nursery(self, frame: Frame, children: Any, body: Any) -> None:
        inside: list[Frame] = []
        raised = None
        scope = None
        try:
            async with trio.open_nursery() as nursery:
                scope = nursery.cancel_scope
                frame.scopes.append(scope)
                self.scopes.append(scope)
                self.nurseries.append((nursery, inside, frame))
                for child in children:
                    self.start_soon(nursery, inside, frame, child)
                await self.run(frame, body)
        except BaseException as error:
            raised = error
            raise
        finally:
            if scope is not None:
                frame.scopes.remove(scope)
            self.check_children("nursery", frame, inside, raised)

    async def group(self, frame: Frame, children: Any, body: Any) -> None:
        inside: list[Frame] = []
        raised = None
        group: Any = asyncio.TaskGroup()
        group._tasks = InOrder()
        group.scopes = () if is_in_cancelled_scope(frame) else tuple(frame.scopes)
        try:
            async with group:
                self.groups.append((group, inside, frame))
                for child in children:
                    self.spawn_in_group(group, inside, frame, child)
                await self.run(frame, body)
        except BaseException as error:
            raised = error
            raise
        finally:
            self.check_children("group", frame, inside, raised)

    def check_children(self, what: str, frame: Frame, inside: list[Frame], raised: BaseException | None) -> None:
        """A block that holds tasks has been left: they have ended, and it has raised their errors."""
        accounted = {id(error) for error in chain(raised)}
        for child in inside:
            if not (child.done or (child.task is not None and child.task.done())):
                self.fault(f"{frame.name} has left a {what} in which {child.name} goes on")
            for error in leaves(child.error):
                if isinstance(error, Exception) and id(error) not in accounted:
                    self.fault(f"{frame.name} has left a {what}, and the error of {child.name} is lost: {error!r}")


IN_TRIO = {"trio_sleep", "checkpoints", "trio_event", "send", "receive"}
IN_ASYNCIO = {"sleep", "hops", "event", "put", "get", "future"}


def world_of(node: Node) -> str:
    """Whose wait it is; empty if it waits for what may take its time when it is cancelled."""
    if node[0] in IN_TRIO or node == ("forever", "trio"):
        return "trio"
    return "asyncio" if node[0] in IN_ASYNCIO or node == ("forever", "asyncio") else ""


def is_in_cancelled_scope(frame: Frame) -> bool:
    for scope in reversed(frame.scopes):
        if is_cancel_called(scope):
            return True
        if scope.shield:
            break
    return False


def leaves(error: BaseException | None) -> Iterator[BaseException]:
    """The errors in groups."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    elif error is not None:
        yield error


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, those in it, and those after which it came."""
    todo, seen = [error], set()
    while todo:
        each = todo.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            todo += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]


# --- the judgement ----------------------------------------------------------------------------------------------------


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End a program that does not end by itself."""

    def give_up(*args: object) -> None:
        raise GivenUp

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)  # again, if what it interrupts waits
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def run(program: Program, path: str) -> tuple[list[str], list[str]]:
    """Run the program in a path: what it has logged, and what is wrong with it."""
    interpreter = Interpreter(program)
    try:
        with in_order(), time_limit(LIMIT):
            PATHS[path](interpreter.main)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        interpreter.fault(f"the run ends by {error!r}")
    return interpreter.log, interpreter.faults


def judge(program: Program, paths: Any = tuple(PATHS)) -> str:
    """What is wrong with the program, as text; empty if nothing is."""
    first: list[str] | None = None
    for path in paths:
        log, faults = run(program, path)
        if faults:
            return "\n  ".join([f"{path}:", *log])
        if first is None:
            first = log
        elif log != first:
            step = next((i for i, pair in enumerate(zip(first, log, strict=False)) if pair[0] != pair[1]), len(log))
            return (
                "\n  ".join(["after the steps", *first[:step]])
                + "\n  ".join([f"\n{paths[0]} goes on", *first[step:]])
                + "\n  ".join([f"\n{path} goes on", *log[step:]])
            )
    return ""


# --- smaller programs -------------------------------------------------------------------------------------------------


def is_body(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(n, tuple) and n and isinstance(n[0], str) for n in value)


def smaller(value: Any) -> Iterator[Any]:
    """Values that are a little smaller: bodies with a node less, or with what is in a node in its place."""
    if not isinstance(value, tuple):
        return
    for i, each in enumerate(value):
        before, after = value[:i], value[i + 1 :]
        if isinstance(each, tuple):
            if len(value) > 1 and not isinstance(value[0], str):
                yield before + after
            if is_body(value):
                for inner in each:
                    if is_body(inner) and inner:
                        yield before + inner + after
                    elif isinstance(inner, tuple) and is_body(inner[:1]) is False and is_body((inner,)):
                        yield (*before, inner, *after)
                    elif isinstance(inner, tuple) and inner and all(map(is_body, inner)):
                        yield before + inner[0] + after
        for less in smaller(each):
            yield (*before, less, *after)


def smaller_programs(program: Program) -> Iterator[Program]:
    for i in range(len(program.tasks)):
        if len(program.tasks) > 1:
            yield replace(program, tasks=program.tasks[:i] + program.tasks[i + 1 :])
    for each in fields(program):
        if getattr(program, each.name) is True:
            yield replace(program, **{each.name: False})
    for i, (kind, body) in enumerate(program.tasks):
        for less in smaller(body):
            yield replace(program, tasks=(*program.tasks[:i], (kind, less), *program.tasks[i + 1 :]))


def shrink(program: Program, paths: Any) -> Program:
    """A program that fails, too, and of which nothing can be left out."""
    found = True
    while found:
        found = False
        for less in smaller_programs(program):
            try:
                if judge(less, paths):
                    program, found = less, True
                    break
            except Exception:  # what stands in a wrong place
                continue
    return program


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seed", type=int)
    parser.add_argument("until", type=int, nargs="?", help="run the programs from SEED up to this one")
    parser.add_argument("--shrink", action="store_true", help="make a smaller program that fails")
    parser.add_argument("--paths", default=",".join(PATHS))
    arguments = parser.parse_args()
    paths = tuple(arguments.paths.split(","))
    if arguments.until is not None:
        failed = []
        for seed in range(arguments.seed, arguments.until):
            text = judge(draw_program(seed), paths)
            if text:
                failed.append(seed)
                reason = next((line.strip() for line in text.splitlines() if "FAULT" in line), "the paths differ")
                print(seed, reason[:300], flush=True)
        print(f"{arguments.until - arguments.seed} programs in {len(paths)} paths, {len(failed)} fail: {failed}")
        return bool(failed)
    program = draw_program(arguments.seed)
    if arguments.shrink:
        program = shrink(program, paths)
    pprint.pp(program, width=120)
    text = judge(program, paths)
    print(text or "\n".join(run(program, paths[0])[0]))
    return bool(text)


if __name__ == "__main__":
    sys.exit(main())
