"""Random asyncio programs: what they are made of, how they are drawn, and how one is run and its steps are logged.

A Program is plain data. Its nodes are tuples, an operation's name and then its arguments, and come in three kinds:

- actions, which do something at once; they also stand in callbacks: `("cancel", 2, "why")`;
- waits, each an awaitable made on the spot, alone or inside another: `("wait_for", ("shield", ("get",)), 1)`;
- blocks, which hold statements: `("timeout", 1, (("acquire", "lock"), ("look",)))`.

The tables below say what each operation takes, and how often it is drawn; what it does is in the class Tracer. Tasks,
futures, timers, timeouts ... are known by a number, taken modulo how many there are, so that every number is valid.
No loop and no recursion can be written: a program ends, if need be after its tasks, waiting in vain, were cancelled.

Times are whole numbers, so that timers often tie, and a run has a virtual clock: it takes about a millisecond.
"""

import asyncio
import builtins
import contextvars
import itertools
import re
import selectors
import sys
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, NamedTuple

from hypothesis import strategies as st

Node = tuple[Any, ...]


@dataclass(frozen=True)
class Program:
    """A program: what its first tasks do, and the objects that all its tasks share."""

    tasks: tuple[tuple[Node, ...], ...]
    queue: str = "Queue"
    maxsize: int = 0
    permits: int = 1
    parties: int = 2
    eager: bool = False
    """Whether tasks are made by the eager task factory (3.12 and later)."""
    strict: bool = False
    """Whether an error ends the body that it is raised in, as a cancellation does, or just the statement."""
    ticks: bool = False
    """Whether a callback counts the loop's iterations; it shows each step's iteration, and keeps the loop busy."""


# --- what a program is made of ----------------------------------------------------------------------------------------


class Several(NamedTuple):
    """So many of something."""

    what: Any
    least: int
    most: int


CALLBACK, BODY, WAITS = Several("action", 1, 3), Several("statement", 1, 6), Several("wait", 0, 3)
NUMBER, FLAG, TIME, TIMEOUT, MESSAGE = range(10), (False, True), range(4), (1, 2, 0, None, -1), (None, "a", "b")
ERROR = ("ValueError", "KeyError", "TimeoutError", "CancelledError", "StopIteration")
LOCK = ("lock", "semaphore", "bounded")
RETURN_WHEN = ("FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED")

# Topic, kind and name of each operation: how often it is drawn, then what each of its arguments is drawn from.
# fmt: off
OPERATIONS: dict[str, dict[str, dict[str, tuple[Any, ...]]]] = {"tasks": {
    "action": {
        "look": (1,), "set_variable": (1, NUMBER), "raise": (1, ERROR), "stop": (1,),
        "spawn": (8, BODY, FLAG), "cancel": (8, NUMBER, MESSAGE), "uncancel": (1, NUMBER),
        "set_result": (5, NUMBER, NUMBER), "set_exception": (2, NUMBER, ERROR),
        "cancel_future": (1, NUMBER), "new_future": (1, NUMBER),
        "add_done_callback": (2, NUMBER, CALLBACK), "remove_done_callback": (1, NUMBER),
        "call_soon": (2, CALLBACK), "call_later": (4, TIME, CALLBACK), "call_at": (1, TIME, CALLBACK),
        "cancel_handle": (1, NUMBER), "reschedule": (1, NUMBER, TIMEOUT), "spawn_in_group": (1, NUMBER, BODY),
    },
    "wait": {
        "sleep": (12, TIME), "future": (4, NUMBER), "task": (4, NUMBER), "call": (3, BODY),
        "ensure_future": (1, "wait"), "custom": (1, "wait"), "shield": (3, "wait"), "wait_for": (4, "wait", TIMEOUT),
        "gather": (3, WAITS, FLAG), "wait": (3, WAITS, TIMEOUT, RETURN_WHEN),
    },
    "block": {
        "catch": (6, ("both", "cancel", "error"), BODY, BODY, FLAG), "finally": (2, BODY, BODY),
        "timeout": (3, TIMEOUT, BODY), "timeout_at": (1, TIMEOUT, BODY), "group": (4, Several(BODY, 0, 3), BODY),
        "as_completed": (2, WAITS, TIMEOUT),
    },
}, "queue": {
    "action": {"put_nowait": (12, NUMBER), "get_nowait": (6,), "task_done": (6,)},
    "wait": {"put": (14, NUMBER), "get": (20,), "join": (6,)},
}, "locks": {
    "action": {"release": (14, LOCK)},
    "wait": {"acquire": (12, LOCK)},
    "block": {"with": (30, LOCK, BODY)},
}, "event": {
    "action": {"set_event": (10,), "clear_event": (4,)},
    "wait": {"wait_event": (20,)},
}, "condition": {
    "action": {"notify": (1, NUMBER), "notify_all": (1,), "release": (2, ("condition",))},
    "wait": {"wait_condition": (1,), "wait_condition_for": (1, NUMBER), "acquire": (2, ("condition",))},
    "block": {"with_condition": (40, Several("with condition", 1, 4))},
    "with condition": {
        "wait_condition": (8,), "wait_condition_for": (3, NUMBER), "notify": (4, NUMBER), "notify_all": (4,),
        "look": (1,), "sleep": (1, TIME), "cancel": (2, NUMBER, MESSAGE), "put_nowait": (1, NUMBER),
    },
}, "barrier": {
    "wait": {"wait_barrier": (20,), "reset_barrier": (3,), "abort_barrier": (1,)},
    "block": {"with": (10, ("barrier",), BODY)},
}}
# fmt: on

if sys.version_info >= (3, 13):
    OPERATIONS["tasks"]["block"]["async_for_as_completed"] = (2, WAITS, TIMEOUT)
    OPERATIONS["queue"]["action"]["shutdown"] = (2, FLAG)


def names(kind: str) -> set[str]:
    """All operations of that kind."""
    return {name for kinds in OPERATIONS.values() for name in kinds.get(kind, ())}


ACTIONS, BLOCKS = names("action"), names("block")


def programs(*, sync: bool, eager: bool) -> st.SearchStrategy[Program]:
    """Programs of tasks and futures; with `sync`, of queues and locks as well; with `eager`, of eager tasks.

    They are drawn from a Random that Hypothesis makes and shrinks. Were each part a strategy of its own, most examples
    would be variations of another one: that took five times as many programs to find a fault.
    """
    return st.randoms(use_true_random=False).map(lambda random: draw_program(random, sync, eager))


def draw_program(random: Random, sync: bool, eager: bool) -> Program:
    """One program, by the tables above; what it has of queues and locks is mostly of one sort, so that they contend."""
    sorts = tuple(OPERATIONS)[1:]
    topics = ("tasks", *random.choice([*((sort,) for sort in sorts), sorts])) if sync else ("tasks",)

    def draw(what: Any, depth: int = 3) -> Any:
        match what:
            case Several(each, least, most):
                some: list[Any] = []
                while len(some) < least or (len(some) < most and random.randint(0, 3)):
                    some.append(draw(each, depth))
                return tuple(some)
            case str(kind):
                name, *arguments = random.choice(operations(kind, topics, depth > 0))
                return (name, *(draw(argument, depth - 1) for argument in arguments))
            case _:
                return random.choice(what)

    return Program(
        tasks=draw(Several(BODY, 1, 6)),
        queue=draw(("Queue", "PriorityQueue", "LifoQueue")) if sync else "Queue",
        maxsize=draw(range(3)),
        permits=draw(range(3)),
        parties=draw(range(1, 4)),
        eager=eager,
        strict=draw(FLAG),
        ticks=draw(FLAG),
    )


@cache
def operations(kind: str, topics: tuple[str, ...], nesting: bool) -> list[Node]:
    """The operations to choose from: each name with what its arguments are, as often as its weight says."""
    kinds = ("action", "wait", "block") if kind == "statement" else (kind,)
    return [
        (name, *arguments)
        for topic in topics
        for each in kinds
        for name, (weight, *arguments) in OPERATIONS[topic].get(each, {}).items()
        if nesting or not any(isinstance(argument, (str, Several)) for argument in arguments)
        for _ in range(weight)
    ]


# --- how a program is run ---------------------------------------------------------------------------------------------

LONG = 1000  # seconds; longer than what a program waits for by itself


class VirtualSelector(selectors.SelectSelector):
    """Instead of waiting it lets a virtual clock jump; nothing else of asyncio's loop is changed."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "the tracer's own timer is always set"
        self.now += max(timeout, 0)
        return []


class AsyncioLoop(asyncio.SelectorEventLoop):
    """Real asyncio's loop, with virtual time."""

    task_class = asyncio.Task

    def __init__(self) -> None:
        self._virtual = VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


class ShuffledAsyncioLoop(AsyncioLoop):
    """One whose orders are others, where they come from a set: by the seed, and not by the addresses of objects."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        random = Random(seed)
        self.task_class, self._future_class = shuffled(asyncio.Task, random), shuffled(asyncio.Future, random)

    def create_future(self) -> asyncio.Future[Any]:
        return self._future_class(loop=self)

    def create_task(self, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        if self.get_task_factory():
            return super().create_task(coro, **kwargs)
        return self.task_class(coro, loop=self, **kwargs)


def shuffled(base: Any, random: Random) -> Any:
    """A subclass whose objects have random hashes."""

    class Shuffled(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._hash = random.getrandbits(32)
            super().__init__(*args, **kwargs)

        def __hash__(self) -> int:
            return self._hash

    return Shuffled


def run(program: Program, aio: Any, loop: Any) -> list[str]:
    """Run the program with the API of `aio`, an asyncio module, on a new loop with virtual time; return its log."""
    try:
        tracer = Tracer(program, aio, loop)
        loop.call_soon(tracer.start)
        while not tracer.finished:
            loop.run_forever()
            tracer.log.append("the loop stands still")
    finally:
        loop.close()
    return tracer.log


class Custom:
    """An awaitable that is neither a coroutine nor a future."""

    def __init__(self, awaitable: Any) -> None:
        self.awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self.awaitable.__await__())


class Tracer:
    """Runs one program and logs what it does."""

    def __init__(self, program: Program, aio: Any, loop: Any) -> None:
        self.program, self.aio, self.loop = program, aio, loop
        self.log: list[str] = []
        self.tick = self.idle_ticks = self.rounds = 0
        self.ticking = self.finished = False
        self.names = itertools.count()
        self.variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
        self.shared_context = contextvars.copy_context()
        self.tasks: list[Any] = []
        self.handles: list[Any] = []
        self.callbacks: list[tuple[Any, Callable[[Any], None]]] = []
        self.timeouts: list[Any] = []
        self.groups: list[Any] = []
        self.futures = [loop.create_future() for _ in range(3)]
        self.queue = getattr(aio, program.queue)(program.maxsize)
        lock = aio.Lock()
        self.shared = {
            "lock": lock,
            "condition": aio.Condition(lock),
            "semaphore": aio.Semaphore(program.permits),
            "bounded": aio.BoundedSemaphore(program.permits),
            "barrier": aio.Barrier(program.parties),
        }
        self.event = aio.Event()
        self.first_number = 0
        loop.set_exception_handler(self.handle_exception)

    def start(self) -> None:
        """Set the timer which sees to it that the program ends, and make the first tasks."""
        self.loop.call_later(LONG, self.watch)
        if self.program.eager:
            self.loop.set_task_factory(self.eager_factory())
        self.first_number = int(self.aio.ensure_future(self.aio.sleep(0)).get_name().removeprefix("Task-"))
        for body in self.program.tasks:
            self.create(self.aio.create_task, body)

    def eager_factory(self) -> Any:
        """Asyncio's eager task factory; the loop that shuffles still gets tasks of its own class."""
        base = self.loop.task_class if isinstance(self.loop, AsyncioLoop) else self.aio.Task

        class EagerTask(base):  # type: ignore[misc]
            def set_name(self, name: object) -> None:
                if name is not None:  # before 3.13.3, a loop with a factory names the nameless "None"
                    super().set_name(name)

        return self.aio.create_eager_task_factory(EagerTask)

    def watch(self) -> None:
        """Time has come this far since nothing goes on by itself: cancel what is left, then look again."""
        left = sorted((t for t in self.aio.all_tasks(self.loop) if not t.done()), key=self.order)
        self.rounds += 1
        self.write(f"stuck: {self.show(left)}" if left else "ended")
        self.write(self.state())
        for task in left:
            task.cancel("stuck")
        if self.shared["lock"].locked():  # Condition.wait wants it back, however often it is cancelled
            self.shared["lock"].release()
        if left and self.rounds < 20:
            self.loop.call_later(LONG, self.watch)
        else:
            self.finished = True
            self.loop.stop()

    # The log.

    def write(self, text: str) -> None:
        """Log a step: when, in which task, how often that was cancelled, its context variable, and what was done."""
        task = self.aio.current_task()
        who = "-" if task is None else f"{self.name(task)}:{task.cancelling()}"
        self.idle_ticks = 0
        if self.program.ticks and not self.ticking:
            self.ticking = True
            self.loop.call_soon(self.count_iteration)
        self.log.append(f"{self.loop.time():g}.{self.tick} {who} {self.variable.get()} {text}")

    def count_iteration(self) -> None:
        self.tick += 1
        self.idle_ticks += 1
        self.ticking = self.idle_ticks < 8
        if self.ticking:
            self.loop.call_soon(self.count_iteration)

    def name(self, task: Any) -> str:
        """The task's name; that of a task which asyncio made for itself is made the same in every run."""
        name: str = task.get_name()
        prefix, _, number = name.partition("-")
        return f"task-{int(number) - self.first_number}" if prefix == "Task" else name

    def order(self, task: Any) -> tuple[int, str]:
        """What sorts tasks by name, and not as all_tasks() happens to have them."""
        name = self.name(task)
        return len(name), name

    def show(self, value: Any) -> str:
        match value:
            case BaseExceptionGroup():
                return f"{type(value).__name__}{self.show(value.exceptions)}"
            case BaseException():
                arguments = re.sub(r"<.*>", "<...>", str(value.args))  # that may hold addresses
                cause = f" from {self.show(value.__cause__)}" if value.__cause__ else ""
                context = f" after {self.show(value.__context__)}" if value.__context__ else ""
                return f"{type(value).__name__}{arguments}{cause}{context}"
            case object(get_name=_):
                return self.name(value)
            case self.aio.Future():
                return next((f"future-{i}" for i, future in enumerate(self.futures) if future is value), "future")
            case set():
                return f"{{{', '.join(sorted(map(self.show, value)))}}}"
            case list() | tuple():
                return f"[{', '.join(map(self.show, value))}]"
            case _:
                return repr(value)

    def state(self) -> str:
        """The state of everything; the reprs say how many wait."""
        states = [
            f"{self.show(future)} {'cancelled' if future.cancelled() else 'done' if future.done() else 'pending'}"
            for future in self.tasks + self.futures
        ]
        locked = [name for name in LOCK if self.shared[name].locked()]
        objects = (*self.shared.values(), self.event, self.queue)
        reprs = [repr(each).partition(" at ")[2].partition(" ")[2] for each in objects]  # without names and addresses
        return (
            f"{', '.join(states)}; handles {[handle.cancelled() for handle in self.handles]}"
            f"; timeouts {[(timeout.when(), timeout.expired()) for timeout in self.timeouts]}; locked {locked}"
            f"; queue {self.queue.qsize()} {self.queue.empty()} {self.queue.full()}; {reprs}"
        )

    def handle_exception(self, loop: Any, context: dict[str, Any]) -> None:
        # When an object is collected is nobody's promise, so "was never retrieved" and "was destroyed" do not count.
        if not re.search("never retrieved|destroyed", context["message"]):
            self.write(f"exception handler: {self.show(context.get('exception'))}")

    # Actions.

    def act(self, node: Node) -> Any:
        """Carry out an action and return what it gives; a wrong use raises what asyncio raises."""
        aio, loop = self.aio, self.loop
        match node:
            case ("look",):
                return self.state()
            case ("stop",):
                loop.stop()  # it goes on at once
            case "spawn", body, in_shared_context:
                context = {"context": self.shared_context} if in_shared_context and not self.program.eager else {}
                return self.create(aio.create_task, body, **context)
            case "cancel", number, message:
                return pick(self.tasks, number).cancel(message)
            case "uncancel", number:
                return pick(self.tasks, number).uncancel()
            case "set_result", number, value:
                pick(self.futures, number).set_result(value)
            case "set_exception", number, error:
                pick(self.futures, number).set_exception(self.error(error))
            case "cancel_future", number:
                return pick(self.futures, number).cancel()
            case "new_future", number:
                self.futures[number % len(self.futures)] = loop.create_future()
            case "add_done_callback", number, actions:
                future, callback = pick(self.tasks + self.futures, number), self.callback(actions)
                self.callbacks.append((future, callback))
                future.add_done_callback(callback)
            case "remove_done_callback", number if self.callbacks:
                future, callback = pick(self.callbacks, number)
                return future.remove_done_callback(callback)
            case "call_soon", actions:
                self.handles.append(loop.call_soon(self.callback(actions)))
            case "call_later", delay, actions:
                self.handles.append(loop.call_later(delay, self.callback(actions)))
            case "call_at", when, actions:
                self.handles.append(loop.call_at(when, self.callback(actions)))
            case "cancel_handle", number if self.handles:
                pick(self.handles, number).cancel()
            case "reschedule", number, delay if self.timeouts:
                pick(self.timeouts, number).reschedule(None if delay is None else loop.time() + delay)
            case "spawn_in_group", number, body if self.groups:
                return self.create(pick(self.groups, number).create_task, body)
            case "raise", error:
                raise self.error(error)
            case "set_variable", value:
                self.variable.set(value)
            case "put_nowait", value:
                self.queue.put_nowait(value)
            case ("get_nowait",):
                return self.queue.get_nowait()
            case ("task_done",):
                self.queue.task_done()
            case "shutdown", immediate:
                self.queue.shutdown(immediate)
            case "release", name:
                self.shared[name].release()
            case ("set_event",):
                self.event.set()
            case ("clear_event",):
                self.event.clear()
            case "notify", number:
                self.shared["condition"].notify(number % 3)
            case ("notify_all",):
                self.shared["condition"].notify_all()
        return None

    def create(self, create_task: Any, body: Iterable[Node], **context: Any) -> Any:
        """Make a task by the given function, and remember it."""
        coroutine = self.call(body)
        try:
            task = create_task(coroutine, name=f"t{next(self.names)}", **context)
        except BaseException:
            coroutine.close()
            raise
        self.remember(task)
        return task

    def remember(self, task: Any) -> int:
        """The number of a task. A task waits for those with higher numbers only: so tasks never wait in a circle."""
        if task not in self.tasks:
            self.tasks.append(task)
        return self.tasks.index(task)

    def error(self, name: str) -> BaseException:
        return getattr(builtins, name, self.aio.CancelledError)("raised")

    def callback(self, actions: Iterable[Node]) -> Callable[..., None]:
        number = next(self.names)

        def callback(*args: Any) -> None:
            self.write(f"callback {number} {self.show(args)}")
            for action in actions:
                self.do_action(action)

        return callback

    # Waits.

    def wait(self, node: Node) -> Any:
        """The awaitable that a node describes."""
        aio = self.aio
        match node:
            case "sleep", delay:
                return aio.sleep(delay, "slept")
            case "future", number:
                return pick(self.futures, number)
            case "task", number:
                later = self.tasks[self.remember(aio.current_task()) + 1 :]
                return pick(later, number) if later else aio.sleep(0)
            case "call", body:
                return self.call(body)
            case "ensure_future", inner:
                return aio.ensure_future(self.wait(inner))
            case "custom", inner:
                return Custom(self.wait(inner))
            case "gather", inner, return_exceptions:
                return aio.gather(*map(self.wait, inner), return_exceptions=return_exceptions)
            case "wait", inner, timeout, return_when:
                return aio.wait(self.ensure_futures(inner), timeout=timeout, return_when=getattr(aio, return_when))
            case "wait_for", inner, timeout:
                return aio.wait_for(self.wait(inner), timeout)
            case "shield", inner:
                return aio.shield(self.wait(inner))
            case "put", value:
                return self.queue.put(value)
            case ("get",):
                return self.queue.get()
            case ("join",):
                return self.queue.join()
            case "acquire", name:
                return self.shared[name].acquire()
            case ("wait_event",):
                return self.event.wait()
            case ("wait_condition",):
                return self.shared["condition"].wait()
            case "wait_condition_for", value:
                return self.shared["condition"].wait_for(lambda: self.queue.qsize() == value % 3)
            case ("wait_barrier",):
                return self.shared["barrier"].wait()
            case ("reset_barrier",):
                return self.shared["barrier"].reset()
            case ("abort_barrier",):
                return self.shared["barrier"].abort()
        raise AssertionError(node)

    def ensure_futures(self, nodes: Iterable[Node]) -> list[Any]:
        return [self.aio.ensure_future(self.wait(node)) for node in nodes]

    # Statements.

    async def call(self, body: Iterable[Node]) -> int:
        """What a task runs, and what is awaited as a coroutine."""
        number = self.remember(self.aio.current_task())
        self.write("begin")
        await self.run(body)
        self.write("end")
        return number

    async def run(self, body: Iterable[Node]) -> None:
        for node in body:
            if node[0] in ACTIONS:
                self.do_action(node)
                continue
            try:
                result = await (self.block(node) if node[0] in BLOCKS else self.wait(node))
            except (Exception, self.aio.CancelledError) as error:
                self.write(f"{brief(node)} raises {self.show(error)}")
                if self.program.strict or isinstance(error, self.aio.CancelledError):
                    raise
            else:
                self.write(f"{brief(node)}: {self.show(result)}")

    def do_action(self, node: Node) -> None:
        """Carry out an action and log it. What it refuses to do ends neither task nor callback."""
        try:
            self.write(f"{brief(node)}: {self.show(self.act(node))}")
        except (Exception, self.aio.CancelledError) as error:
            self.write(f"{brief(node)} raises {self.show(error)}")
            if node[0] == "raise":
                raise

    async def block(self, node: Node) -> None:
        """Carry out a block, or what else is more than one await."""
        aio = self.aio
        match node:
            case "catch", caught, body, handler, again:
                kinds = {"error": Exception, "cancel": aio.CancelledError, "both": (Exception, aio.CancelledError)}
                try:
                    await self.run(body)
                except kinds[caught]:
                    await self.run(handler)
                    if again:
                        raise
            case "finally", body, cleanup:
                try:
                    await self.run(body)
                finally:
                    await self.run(cleanup)
            case ("timeout" | "timeout_at") as name, time, body:
                async with getattr(aio, name)(time) as timeout:
                    self.timeouts.append(timeout)
                    await self.run(body)
            case "group", children, body:
                async with aio.TaskGroup() as group:
                    self.groups.append(group)
                    for child in children:
                        self.create(group.create_task, child)
                    await self.run(body)
            case "with", name, body:
                async with self.shared[name]:
                    await self.run(body)
            case "with_condition", body:
                async with self.shared["condition"]:
                    await self.run(body)
            case "as_completed", nodes, timeout:
                for future in aio.as_completed(self.ensure_futures(nodes), timeout=timeout):
                    await self.take(future)
            case "async_for_as_completed", nodes, timeout:
                async for future in aio.as_completed(self.ensure_futures(nodes), timeout=timeout):
                    self.write(f"completed {self.show(future)}")
                    await self.take(future)

    async def take(self, future: Any) -> None:
        """Log what as_completed has given; an error in it does not end the iteration."""
        try:
            self.write(f"next: {self.show(await future)}")
        except Exception as error:
            self.write(f"next raises {self.show(error)}")


def pick(items: list[Any], number: int) -> Any:
    return items[number % len(items)]


def brief(node: Node) -> str:
    """A node without the nodes in it."""
    return " ".join(str(part) for part in node if not isinstance(part, tuple))
