"""Tasks: a trio task in a nursery, with a trio.CancelScope of its own.

create_task() starts them in one nursery of the run, which run() or open_background() opens. What differs from asyncio
follows from that:

- An error belongs to who awaits the task. If nobody does when the task fails, it is the nursery's, and ends the run.
- Task.cancel() cancels the scope: it holds for each checkpoint from then on, and cannot be taken back or swallowed.
- What is started together is left together: gather() does not leave others running behind an error.
- Tasks start in no particular order.
"""

import contextvars
import functools
import inspect
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import asynccontextmanager
from types import CoroutineType
from typing import Any, Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar, final, overload

import trio

from .exceptions import InvalidStateError
from .refusals import NOT_EAGER, Refusing, refuse_others
from .timeouts import timeout as open_timeout
from .timeouts import timeout_at

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Task",
    "all_tasks",
    "as_completed",
    "create_task",
    "current_task",
    "gather",
    "open_background",
    "shield",
    "sleep",
    "wait",
    "wait_for",
]

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

FIRST_COMPLETED: Final = "FIRST_COMPLETED"
FIRST_EXCEPTION: Final = "FIRST_EXCEPTION"
ALL_COMPLETED: Final = "ALL_COMPLETED"


CoroutineOf: TypeAlias = Coroutine[Any, Any, T]
AnyTask: TypeAlias = "Task[Any]"
Tasks: TypeAlias = "dict[object, AnyTask]"  # those of a run, by trio task; by themselves until they have one


class Background(NamedTuple):
    """The nursery of a run, and the tasks that failed while somebody waited, who has not asked for the error yet."""

    nursery: trio.Nursery
    tasks: Tasks
    unread: set[AnyTask]


_background: trio.lowlevel.RunVar[Background | None] = trio.lowlevel.RunVar("compat.native background", None)
_tasks: trio.lowlevel.RunVar[Tasks] = trio.lowlevel.RunVar("compat.native tasks")


@asynccontextmanager
async def open_nursery() -> AsyncIterator[trio.Nursery]:
    """trio.open_nursery(), out of which a cancellation comes as one trio.Cancelled, and not as a group of them.

    `except CancelledError` around what is made of a nursery would not see it in a group.
    """
    cancelled = None
    try:
        async with trio.open_nursery(strict_exception_groups=True) as nursery:  # trio 0.24 has another default
            try:
                yield nursery
            except trio.Cancelled as error:
                if not has_been_cancelled():
                    # The body has awaited a task that was cancelled. The nursery would take its Cancelled for its own.
                    cancelled = error
                raise
    except BaseExceptionGroup as group:
        cancelled = cancelled_in(group)
        if cancelled is None:
            raise
    if cancelled is not None:
        try:
            raise cancelled
        finally:
            del cancelled  # its traceback keeps this frame


@asynccontextmanager
async def open_background() -> AsyncIterator[None]:
    """Open the nursery for create_task(), servers, connections and processes in a trio run that exists.

    run() has it open. In a plain trio program, or in one of the exact side, put it around what uses native: at the end
    of the block what still runs is cancelled. Raises an ExceptionGroup of the errors of tasks that nobody has awaited,
    as a nursery does; RuntimeError where one is open already.
    """
    if _background.get() is not None:
        raise RuntimeError("create_task()'s nursery is open in this run already")
    unread: set[AnyTask] = set()
    errors: list[BaseException] = []
    try:
        async with open_nursery() as nursery:
            _background.set(Background(nursery, tasks_here(), unread))
            yield
            nursery.cancel_scope.cancel()
    except BaseException as error:
        if not unread:
            raise
        errors += error.exceptions if isinstance(error, BaseExceptionGroup) else [error]
    finally:
        _background.set(None)
    errors += [task.failure for task in unread if task.failure is not None]
    if errors:
        raise BaseExceptionGroup("errors of tasks that nobody has asked for", errors)


def the_background() -> Background:
    """The nursery for what outlives the call that starts it. Raises RuntimeError where none is open."""
    try:
        background = _background.get()
    except RuntimeError:  # there is no run either
        background = None
    if background is None:
        raise RuntimeError(
            "there is no nursery here for what runs in the background: start the program by native.run(), put "
            "`async with native.open_background():` around it, or use trio.open_nursery()"
        )
    return background


def has_been_cancelled() -> bool:
    """Whether a scope around this task's code is cancelled, so that a Cancelled here is trio's own."""
    return trio.current_effective_deadline() == -math.inf


@final
class Task(Refusing, Generic[T]):
    """A trio task, its trio.CancelScope, and what comes of it. Made by create_task() and TaskGroup.create_task().

    `await task` waits for its end, and raises its error, or trio.Cancelled if it was cancelled. Cancelling this wait
    cancels the task, and goes on when that has ended: with its result, if it has come to one all the same. shield()
    leaves it alone.
    https://docs.python.org/3/library/asyncio-task.html#asyncio.Task
    """

    _result: T
    _error: BaseException | None = None
    _done = _left_to_others = False
    _end: trio.Event | None = None  # there once somebody waits
    _trio_task: trio.lowlevel.Task | None = None
    _background: Background | None = None
    _callbacks: "tuple[tuple[Callable[[Task[T]], object], contextvars.Context], ...]" = ()
    _watchers: "tuple[Callable[[Task[T]], object], ...]" = ()
    _held: "tuple[trio.lowlevel.Task, ...]" = ()  # trio tasks that do not go on before its end, cancelled or not

    def __init__(self, coro: CoroutineOf[T], name: object, scope: trio.CancelScope | None = None) -> None:
        if not isinstance(coro, (CoroutineType, Coroutine)):  # the first is quick to tell
            raise TypeError(f"a coroutine was expected, got {coro!r}")
        self._coro = coro
        self._name = getattr(coro, "__qualname__", "task") if name is None else str(name)
        self._scope = scope

    # --- its life -----------------------------------------------------------------------------------------------------

    def start_in(
        self,
        nursery: trio.Nursery,
        tasks: Tasks,
        context: contextvars.Context | None = None,
        background: Background | None = None,
    ) -> None:
        """nursery.start_soon(), in a copy of the context. Raises RuntimeError if the nursery is closed."""
        self._background = background
        try:
            if context is None:
                nursery.start_soon(self.work, self._report, tasks, name=self._name)
            else:  # a copy, as one that is in use cannot be entered; trio makes another
                start = functools.partial(nursery.start_soon, self.work, self._report, tasks, name=self._name)
                context.copy().run(start)
        except RuntimeError:
            self._coro.close()
            raise
        tasks[self] = self

    def _report(self, _: "Task[T]") -> None:
        """Give the nursery an error that is nobody else's."""
        try:
            if self.failure is not None and not self._left_to_others:
                raise self.failure
        finally:
            del self, _

    def _is_awaited(self) -> bool:
        return bool(self._watchers) or (self._end is not None and self._end.statistics().tasks_waiting > 0)

    async def work(self, then: "Callable[[Task[T]], object] | None" = None, tasks: "Tasks | None" = None) -> None:
        """Run the coroutine in this trio task, and keep what comes of it; an error is shown to `then`, with the task.

        Raises what `then` raises, and what cancels the task from outside, without calling it.
        """
        if tasks is None:
            tasks = tasks_here()
        self._trio_task = trio_task = trio.lowlevel.current_task()
        tasks.pop(self, None)
        tasks[trio_task] = self
        try:
            if self._scope is None:
                self._result = await self._coro
            else:
                with self._scope:
                    try:
                        self._result = await self._coro
                    except BaseException as error:
                        self._error = error
                        raise
        except BaseException as error:  # what the scope has left
            self._error = error
        del tasks[trio_task]
        self._done = True
        if self._error is not None:
            self._error = cancelled_in(self._error) or self._error
            if isinstance(self._error, Exception) and self._background is not None and self._is_awaited():
                self._background.unread.add(self)  # until somebody asks for it
                self._left_to_others = True
        if self._end is not None:
            self._end.set()
        try:
            if self._watchers or self._callbacks:
                self._tell(then)
            if self._error is not None:
                # Any other Cancelled came out of a task that this one has awaited: it ends quietly, as if cancelled
                # itself.
                if isinstance(self._error, trio.Cancelled) and has_been_cancelled():
                    raise self._error
                if then is not None:
                    then(self)
        finally:
            # An error keeps by its traceback the frames that it came through. No frame may keep the error, or the Task,
            # which has it: such a circle, with all locals of the coroutine, waits for the garbage collector.
            del self, then, trio_task

    def _tell(self, then: "Callable[[Task[T]], object] | None") -> None:
        watchers, self._watchers = self._watchers, ()
        for watcher in watchers:
            watcher(self)
        try:
            for callback, context in self._callbacks:
                context.copy().run(callback, self)
        except BaseException:
            if self.failure is not None and then is not None:
                then(self)
            raise
        finally:
            del self, then

    @property
    def end(self) -> trio.Event:
        """Set when the task has ended, whatever has come of it. Cancelling a wait for it leaves the task alone."""
        if self._end is None:
            self._end = trio.Event()
            if self._done:
                self._end.set()
        return self._end

    def watch(self, watcher: "Callable[[Task[T]], object]") -> None:
        """Have a function called with the task when it ends, at once if it has: for who waits for several.

        Who watches has to see to the task's error.
        """
        if self._done:
            watcher(self)
        else:
            self._watchers += (watcher,)

    def unwatch(self, watcher: "Callable[[Task[T]], object]") -> None:
        """Take watch() back."""
        self._watchers = tuple(each for each in self._watchers if each != watcher)

    def __await__(self) -> Generator[Any, Any, T]:
        return self._join().__await__()

    async def _join(self) -> T:
        try:
            if self._trio_task is trio.lowlevel.current_task() and not self._done:
                raise RuntimeError(f"{self!r} cannot await itself")
            had_ended = self._done
            try:
                await self.end.wait()
            except BaseException as error:
                await self.cancelled_and_ended()
                is_news = self.failure is not None or (self._done and not had_ended and not self.cancelled())
                if not is_news or not isinstance(error, trio.Cancelled):
                    raise
            return self.result()
        finally:
            del self

    async def cancelled_and_ended(self) -> None:
        """Cancel the task, and wait for its end, shielded; unless it waits itself for the end of who calls this."""
        try:
            self.cancel()
            here = trio.lowlevel.current_task()
            if self._done or self._ends_after(here):
                return
            self._held += (here,)
            with trio.CancelScope(shield=True):
                await self.end.wait()
        finally:
            del self

    def _ends_after(self, trio_task: trio.lowlevel.Task) -> bool:
        """Whether a trio task is in a nursery of this task's, or this waits for it shielded; at any remove."""
        tasks, background = tasks_here(), _background.get()
        seen, left = set(), [trio_task]
        while left:
            each = left.pop()
            if each is self._trio_task:
                return True
            if each in seen:
                continue
            seen.add(each)
            nursery, task = each.parent_nursery, tasks.get(each)
            if nursery is not None and (background is None or nursery is not background.nursery):
                left.append(nursery.parent_task)
            if task is not None:
                left += task._held
        return False

    # --- asyncio's methods --------------------------------------------------------------------------------------------

    def cancel(self, msg: str | None = None) -> bool:
        """Cancel the task's scope, for good: CancelScope.cancel(). Returns whether the task was still running.

        A task that has not started runs to its first checkpoint. Raises RuntimeError for a coroutine of gather(), whose
        scope is the one around them all. msg is trio's `reason`, where trio has one.
        """
        if self._done:
            return False
        if self._scope is None:
            raise RuntimeError(f"{self!r} is a part of gather(): cancel that, or put a trio.CancelScope into this")
        scope = self._scope
        del self  # the frames that a scope is cancelled in stay with the Cancelled
        if msg is None or not _SCOPES_TAKE_A_REASON:
            scope.cancel()
        else:
            scope.cancel(reason=msg)
        return True

    def cancelling(self) -> int:
        """1 from cancel() on, 0 before: CancelScope.cancel_called."""
        return int(self._scope is not None and self._scope.cancel_called)

    def done(self) -> bool:
        """Whether the task has ended."""
        return self._done

    def cancelled(self) -> bool:
        """Whether the task has ended by trio.Cancelled."""
        return self._done and isinstance(self._error, trio.Cancelled)

    @property
    def failure(self) -> BaseException | None:
        """The error by which the task has ended, unless that is trio.Cancelled."""
        return None if not self._done or isinstance(self._error, trio.Cancelled) else self._error

    def result(self) -> T:
        """The result. Raises the task's error, trio.Cancelled if it was cancelled, InvalidStateError before its end."""
        error = self.outcome()
        if error is not None:
            try:
                raise error
            finally:
                del self, error
        return self._result

    def exception(self) -> BaseException | None:
        """The error, or None. Raises trio.Cancelled if the task was cancelled, InvalidStateError before its end."""
        error = self.outcome()
        if isinstance(error, trio.Cancelled):
            try:
                raise error
            finally:
                del self, error
        return error

    def outcome(self) -> BaseException | None:
        """What it has ended by: an error, trio.Cancelled or None. Who asks for it has to see to the error."""
        if not self._done:
            raise InvalidStateError(f"{self!r} has not ended")
        if self._background is not None:
            self._background.unread.discard(self)
        return self._error

    def add_done_callback(
        self, fn: Callable[["Task[T]"], object], /, *, context: contextvars.Context | None = None
    ) -> None:
        """Call a function with the task when it ends, in its own trio task; at once if it has ended.

        It is called in a copy of the context. What it raises is an error of that trio task, and so its nursery's.
        """
        context = contextvars.copy_context() if context is None else context
        if self._done:
            context.copy().run(fn, self)
        else:
            self._callbacks += ((fn, context),)

    def remove_done_callback(self, fn: Callable[["Task[T]"], object], /) -> int:
        """Take a function back; returns how many times it was there."""
        kept = tuple(entry for entry in self._callbacks if entry[0] != fn)
        removed = len(self._callbacks) - len(kept)
        self._callbacks = kept
        return removed

    def get_name(self) -> str:
        """The trio task's name."""
        return self._name

    def set_name(self, value: object) -> None:
        """Rename the trio task."""
        self._name = str(value)
        if self._trio_task is not None:
            self._trio_task.name = self._name

    def get_coro(self) -> CoroutineOf[T]:
        """The coroutine."""
        return self._coro

    def __repr__(self) -> str:
        state = "running" if not self._done else "cancelled" if self.cancelled() else "done"
        return f"<Task {self._name!r} {state}>"


_SCOPES_TAKE_A_REASON = "reason" in inspect.signature(trio.CancelScope.cancel).parameters


def cancelled_in(error: BaseException) -> trio.Cancelled | None:
    """The trio.Cancelled in an error that is nothing else: itself or, out of a nursery, a group of them."""
    while isinstance(error, BaseExceptionGroup) and error.split(trio.Cancelled)[1] is None:
        error = error.exceptions[0]
    return error if isinstance(error, trio.Cancelled) else None


def tasks_here() -> Tasks:
    """The Tasks of this run. Raises RuntimeError outside a run."""
    try:
        return _tasks.get()
    except LookupError:
        tasks: Tasks = {}
        _tasks.set(tasks)
        return tasks


def task_of(awaitable: Awaitable[T], scope: trio.CancelScope | None = None) -> Task[T]:
    """A Task as it is, one that has not started of any other awaitable."""
    if isinstance(awaitable, Task):
        return awaitable
    if isinstance(awaitable, (CoroutineType, Coroutine)):
        return Task(awaitable, None, scope)
    if not isinstance(awaitable, Awaitable):
        raise TypeError(f"a coroutine or another awaitable was expected, got {awaitable!r}")

    async def wait_for_it() -> T:
        return await awaitable

    return Task(wait_for_it(), None, scope)


def _start(task: AnyTask, context: contextvars.Context | None = None) -> None:
    try:
        background = the_background()
    except RuntimeError:
        task.get_coro().close()
        raise
    task.start_in(background.nursery, background.tasks, context, background)


def create_task(
    coro: CoroutineOf[T], *, name: object = None, context: contextvars.Context | None = None, **others: object
) -> Task[T]:
    """nursery.start_soon() in the nursery that run() has open, in a copy of the context.

    Raises RuntimeError where there is no such nursery (see open_background()), TypeError for what is no coroutine and
    for eager_start=True. The task is cancelled when the main coroutine has ended, or another task in the background has
    failed.
    https://docs.python.org/3/library/asyncio-task.html#asyncio.create_task
    """
    if others:
        refuse_others("create_task", NOT_EAGER, others)
    task = Task(coro, name, trio.CancelScope())
    _start(task, context)
    return task


def current_task() -> "AnyTask | None":
    """The Task of trio.lowlevel.current_task(), None in one that trio code has started.

    Raises RuntimeError outside a run. https://docs.python.org/3/library/asyncio-task.html#asyncio.current_task
    """
    return tasks_here().get(trio.lowlevel.current_task())


def all_tasks() -> set[AnyTask]:
    """The Tasks of the trio run that were started and have not ended, but for the parts of gather(): see Task.cancel().

    Raises RuntimeError outside a run. https://docs.python.org/3/library/asyncio-task.html#asyncio.all_tasks
    """
    return {task for task in tasks_here().values() if task._scope is not None}


@overload
async def sleep(delay: float) -> None: ...
@overload
async def sleep(delay: float, result: T) -> T: ...
async def sleep(delay: float, result: object = None) -> object:
    """trio.sleep(), or trio.lowlevel.checkpoint() for a delay of 0 or less. Raises ValueError for a delay that is NaN.

    https://docs.python.org/3/library/asyncio-task.html#asyncio.sleep
    """
    await (trio.lowlevel.checkpoint() if delay <= 0 else trio.sleep(delay))
    return result


async def wait_for(fut: Awaitable[T], timeout: float | None) -> T:
    """`with trio.fail_after(timeout):` around the await, in this task; raises TimeoutError.

    With a timeout of 0 or less it is cancelled at its first checkpoint. A result that is there in spite of the deadline
    is returned. It adds no checkpoint of its own. https://docs.python.org/3/library/asyncio-task.html#asyncio.wait_for
    """
    async with open_timeout(timeout):
        return await fut


async def shield(arg: Awaitable[T]) -> T:
    """Leave the awaitable running in create_task()'s nursery while only the wait for it is cancelled.

    It starts when shield() is awaited, and ends at the latest with the run; trio.CancelScope(shield=True) holds off the
    cancellation of a whole block instead. Raises what it raises; after the wait was cancelled its error ends the run.
    https://docs.python.org/3/library/asyncio-task.html#asyncio.shield
    """
    task = task_of(arg, trio.CancelScope())
    if task is not arg:
        _start(task)
    try:
        await task.end.wait()
        return task.result()
    finally:
        del arg, task


@overload
async def gather(  # type: ignore[overload-overlap]
    a: Awaitable[A], b: Awaitable[B], /, *, return_exceptions: Literal[False] = False
) -> tuple[A, B]: ...
@overload
async def gather(  # type: ignore[overload-overlap]
    a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], /, *, return_exceptions: Literal[False] = False
) -> tuple[A, B, C]: ...
@overload
async def gather(*coros_or_futures: Awaitable[T], return_exceptions: Literal[False] = False) -> list[T]: ...
@overload
async def gather(*coros_or_futures: Awaitable[T], return_exceptions: bool) -> list[T | BaseException]: ...
async def gather(*coros_or_futures: Awaitable[Any], return_exceptions: bool = False) -> Any:
    """A trio nursery around the awaitables, and the list of their results.

    The first error, or a task among them that is cancelled, cancels the others, and is raised when these have ended: by
    itself, or in a group if more than one has failed. With return_exceptions=True the errors are among the results, and
    cancel nothing; SystemExit and the like are raised all the same. Cancelling gather() cancels all. They start when
    gather() is awaited.
    https://docs.python.org/3/library/asyncio-task.html#asyncio.gather
    """
    tasks = {awaitable: task_of(awaitable) for awaitable in coros_or_futures}
    failures: list[BaseException] = []
    errors: list[BaseException] = []
    given: list[AnyTask] = []

    def note(task: AnyTask) -> None:
        if task._error is not None:
            task.outcome()  # it is seen to here
            if not return_exceptions or not isinstance(task._error, (Exception, trio.Cancelled)):
                failures.append(task._error)
                del task
                nursery.cancel_scope.cancel()

    def start() -> None:
        here = tasks_here()
        for awaitable, task in tasks.items():
            if task is awaitable:
                given.append(task)
            else:
                nursery.start_soon(task.work, note, here, name=task.get_name())

    try:
        try:
            async with open_nursery() as nursery:
                start()
                if given:
                    await _all_ended(given, note)
                if not tasks:
                    await trio.lowlevel.checkpoint()
        finally:
            # Several that were cancelled are one cancellation, and beside an error they are no news.
            errors += [error for error in failures if not isinstance(error, trio.Cancelled)] or failures[:1]
            if errors:
                raise errors[0] if len(errors) == 1 else BaseExceptionGroup("errors of gather()", errors)
        ended = [tasks[awaitable] for awaitable in coros_or_futures]
        return [task._result if task._error is None else task._error for task in ended]
    finally:
        # What an error's traceback keeps is empty: see Task.work().
        del coros_or_futures
        for each in (tasks, failures, errors, given):
            each.clear()


async def _all_ended(tasks: list[AnyTask], note: Callable[[AnyTask], object]) -> None:
    """Wait for Tasks, and call `note` with each that ends. Cancelling the wait cancels them, and waits on."""
    if current_task() in tasks:
        raise RuntimeError(f"{current_task()!r} cannot await itself")
    running = set(tasks)
    none_left = trio.Event()
    cancelled = False

    def watch(task: AnyTask) -> None:
        running.discard(task)
        if not running:
            none_left.set()
        if not cancelled or task.failure is not None:
            note(task)
        del task

    for task in tasks:
        task.watch(watch)
    try:
        await none_left.wait()
    except BaseException:
        cancelled = True
        for task in running:
            task.cancel()
        for task in list(running):
            await task.cancelled_and_ended()
        del task
        raise


async def wait(
    fs: Iterable[Task[T]], *, timeout: float | None = None, return_when: str = ALL_COMPLETED
) -> tuple[set[Task[T]], set[Task[T]]]:
    """A trio.Event that Tasks set at their end; returns those that have ended, and the others.

    Nothing is cancelled, neither by the timeout nor when the wait is. The errors are in the Tasks: one that nobody asks
    for ends the run at its end. Raises TypeError for what is no Task, ValueError for no Tasks and an unknown
    return_when. https://docs.python.org/3/library/asyncio-task.html#asyncio.wait
    """
    tasks = {_checked(task) for task in fs}
    if not tasks:
        raise ValueError("wait() needs a Task or more")
    if return_when not in (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED):
        raise ValueError(f"return_when= is FIRST_COMPLETED, FIRST_EXCEPTION or ALL_COMPLETED, not {return_when!r}")
    enough = trio.Event()
    running = set(tasks)

    def watch(task: Task[T]) -> None:
        running.discard(task)
        failed = task.failure is not None
        if not running or return_when == FIRST_COMPLETED or (return_when == FIRST_EXCEPTION and failed):
            enough.set()

    for task in tasks:
        task.watch(watch)
    try:
        with trio.move_on_at(math.inf if timeout is None else trio.current_time() + timeout):
            await enough.wait()
    finally:
        for task in running:
            task.unwatch(watch)
    done = {task for task in tasks if task.done()}
    return done, tasks - done


def _checked(task: Task[T]) -> Task[T]:
    if not isinstance(task, Task):
        if inspect.iscoroutine(task):
            task.close()
        raise TypeError(f"wait() takes Tasks, made by create_task(), not {task!r}")
    return task


def as_completed(fs: Iterable[Awaitable[T]], *, timeout: float | None = None) -> "AsCompleted[T]":
    """The awaitables as tasks of create_task()'s nursery, which hand themselves over by a trio memory channel.

    `for coro in ...: await coro` gives their results in the order in which they end, and raises their errors;
    `async for task in ...` gives the Tasks. When the timeout is over that raises TimeoutError; nothing is cancelled.
    Raises RuntimeError where there is no such nursery.
    https://docs.python.org/3/library/asyncio-task.html#asyncio.as_completed
    """
    if isinstance(fs, Awaitable):
        raise TypeError(f"as_completed() takes several awaitables, not {fs!r}")
    tasks = []
    for awaitable in dict.fromkeys(fs):
        tasks.append(task_of(awaitable, trio.CancelScope()))
        if tasks[-1] is not awaitable:
            _start(tasks[-1])
    return AsCompleted(tasks, None if timeout is None else trio.current_time() + timeout)


@final
class AsCompleted(Generic[T]):
    """What as_completed() returns: an iterator of coroutines, and an async iterator of Tasks."""

    def __init__(self, tasks: list[Task[T]], deadline: float | None) -> None:
        self._left = len(tasks)
        self._deadline = deadline
        self._send, self._receive = trio.open_memory_channel[Task[T]](math.inf)
        for task in tasks:
            task.watch(self._send.send_nowait)

    async def _next_task(self) -> Task[T]:
        async with timeout_at(self._deadline):
            return await self._receive.receive()

    async def _next_result(self) -> T:
        task = await self._next_task()
        try:
            return task.result()
        finally:
            del task

    def __iter__(self) -> Iterator[CoroutineOf[T]]:
        return self

    def __next__(self) -> CoroutineOf[T]:
        if not self._left:
            raise StopIteration
        self._left -= 1
        return self._next_result()

    def __aiter__(self) -> "AsCompleted[T]":
        return self

    async def __anext__(self) -> Task[T]:
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        return await self._next_task()
