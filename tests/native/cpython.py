"""Runs one of CPython's own asyncio test modules on native, and counts; tells which tests differ, and why.

    PYTHONPATH=.:tests python -m native.cpython test_queues

The tests say `asyncio` and get native. What they need of a loop only to arrange themselves, and not as what they test,
a small stand-in does on trio: run_until_complete(), create_task(), call_soon(), call_later(), time(). DIFFERENT lists
what does not pass, with the reason. A test that passes although it is in the list is a failure, as is the other way
round, and an entry that nothing matches.
"""

import asyncio as std  # the real one, for what the tests' helpers import
import fnmatch
import inspect
import json
import math
import queue
import sys
import types
import unittest
from collections import Counter
from pathlib import Path
from typing import Any

import outcome
import trio
from test.test_asyncio import utils  # type: ignore[import-not-found]
from trio.testing import MemoryReceiveStream

from compat import native

PACKAGE = "test.test_asyncio."
PATIENCE = 5.0  # seconds for a test
IS_AT_LEAST_3_13 = sys.version_info >= (3, 13)
MODULES = (
    "test_queues",
    "test_locks",
    "test_taskgroups",
    "test_timeouts",
    "test_waitfor",
    "test_streams",
    "test_subprocess",
    "test_threads",
)


class Loop:
    """What the tests arrange themselves by: a trio run in guest mode, which is paused between two calls."""

    def __init__(self) -> None:
        self._due: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._requests: Any = None
        self._over = False

    open: "list[Loop]" = []  # noqa: RUF012

    @staticmethod
    def close_all() -> None:
        while Loop.open:
            Loop.open.pop().close()

    def run_until_complete(self, awaitable: Any) -> Any:
        if self._requests is None:
            Loop.open.append(self)
            self._requests, requests = trio.open_memory_channel[Any](math.inf)
            trio.lowlevel.start_guest_run(
                self._main, requests, run_sync_soon_threadsafe=self._due.put, done_callback=self._end
            )
        results: list[outcome.Outcome[Any]] = []

        async def answer() -> None:
            with trio.fail_after(PATIENCE):
                results.append(await outcome.acapture(native.gather, awaitable))

        self._due.put(lambda: self._requests.send_nowait(answer))
        self._pump(lambda: results or self._over)
        if self._over:
            self._outcome.unwrap()
        return results[0].unwrap()[0]

    async def _main(self, requests: Any) -> None:
        async with native.open_background():
            async for answer in requests:
                await answer()

    def _end(self, result: Any) -> None:
        self._over, self._outcome = True, result

    def _pump(self, until: Any) -> None:
        while not until():
            self._due.get(timeout=2 * PATIENCE)()

    def close(self) -> None:
        if self._requests is not None and not self._over:
            self._due.put(self._requests.close)
            self._pump(lambda: self._over)
            self._requests, self._over = None, False

    def create_task(self, coro: Any, **options: Any) -> Any:
        async def start() -> Any:
            return native.create_task(coro, **options)

        return native.create_task(coro, **options) if in_a_run() else self.run_until_complete(start())

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> None:
        self.call_later(0, callback, *args)

    def call_later(self, delay: float, callback: Any, *args: Any) -> None:
        async def call() -> None:
            await native.sleep(delay)
            callback(*args)

        self.create_task(call())

    call_soon_threadsafe = call_soon

    def time(self) -> float:
        return trio.current_time()

    def set_debug(self, enabled: bool) -> None: ...
    def set_exception_handler(self, handler: Any) -> None: ...
    def get_debug(self) -> bool:
        return False

    def is_closed(self) -> bool:
        return self._over


def in_a_run() -> bool:
    try:
        trio.lowlevel.current_trio_token()
    except RuntimeError:
        return False
    return True


class StreamReader(native.StreamReader):  # type: ignore[misc]
    """A reader that is fed by hand: a trio stream for tests is behind it."""

    def __init__(self, limit: int = 2**16, loop: Any = None) -> None:
        self.source = MemoryReceiveStream()
        super().__init__(self.source, limit)

    def feed_data(self, data: bytes) -> None:
        if data:
            self.source.put_data(data)

    def feed_eof(self) -> None:
        self.source.put_eof()


class Case(unittest.TestCase):
    """unittest.IsolatedAsyncioTestCase on native."""

    async def asyncSetUp(self) -> None: ...
    async def asyncTearDown(self) -> None: ...
    def _callTestMethod(self, method: Any) -> None:
        if not inspect.iscoroutinefunction(method):
            return method()

        async def main() -> None:
            with trio.fail_after(PATIENCE):
                await self.asyncSetUp()
                await native.create_task(method())  # the task's coroutine is the test's, as there
                await self.asyncTearDown()

        native.run(main())

    def addAsyncCleanup(self, *args: Any) -> None:
        raise NotImplementedError


def namespace() -> types.ModuleType:
    """The module that the tests get as asyncio."""
    module = types.ModuleType("asyncio")
    loop = Loop()
    here = {
        "StreamReader": StreamReader,
        "get_running_loop": lambda: loop,
        "get_event_loop": lambda: loop,
        "new_event_loop": Loop,
        "set_event_loop": lambda loop: None,
        "set_event_loop_policy": lambda policy: None,
    }
    # What the tests' modules name when they are imported, and nothing here runs.
    names = (
        "SubprocessProtocol",
        "AbstractEventLoopPolicy",
        "base_subprocess",
        "Future",
        "coroutines",
        "ThreadedChildWatcher",
        "EventLoop",
    )
    vars(module).update({name: getattr(std, name) for name in names if hasattr(std, name)})
    vars(module).update({name: getattr(native, name) for name in native.__all__}, **here)
    vars(module).update({name: getattr(native, name) for name in ("taskgroups", "queues", "locks", "tasks", "streams")})

    def __getattr__(name: str) -> Any:
        return getattr(native, name)

    vars(module)["__getattr__"] = __getattr__
    return module


def in_order() -> None:
    """Have trio step tasks in the order in which they were woken: it shuffles, and many of these tests count steps."""
    trio._core._run._r.random = lambda: 0.0  # type: ignore[attr-defined]


def main(name: str, results: str = "/dev/null") -> int:
    in_order()
    unittest.IsolatedAsyncioTestCase = Case  # type: ignore[misc,assignment]
    utils.TestCase.set_event_loop = lambda self, loop, **options: self.addCleanup(loop.close)
    utils.run_briefly = lambda loop: None
    utils.TestCase.tearDown = lambda self: self.doCleanups()
    native.install()
    sys.modules["asyncio"] = asyncio = namespace()
    vars(asyncio)["subprocess"] = sys.modules["asyncio.subprocess"]
    if name == "test_subprocess":
        sys.modules["asyncio.unix_events"] = std.unix_events
    module = __import__(PACKAGE + name, fromlist=["*"])
    if name == "test_subprocess":
        only_mixin(module)
    vars(module).pop("TestEagerTaskTaskGroup", None)  # the same tests, with a task factory, which Case does not set
    tests = [*all_tests(unittest.defaultTestLoader.loadTestsFromModule(module))]
    names = [test.id().removeprefix(PACKAGE) for test in tests]
    different = {pattern: reason for pattern, reason in DIFFERENT.items() if pattern.startswith(f"{name}.")}
    # The tests that the list names came with one Python after the other.
    there = different if sys.version_info >= (3, 15, 2) else different.keys() - LATER if IS_AT_LEAST_3_13 else ()
    complaints = [f"nothing matches {each}" for each in there if not fnmatch.filter(names, each)]
    if not hasattr(trio.lowlevel, "add_parking_lot_breaker"):  # trio before 0.27
        # Its task ends while it holds a lock. That trio gives it to nobody else then, and the run would hang.
        tests = [test for test in tests if not test.id().endswith("ConditionTests.test_wait")]
        names = [test.id().removeprefix(PACKAGE) for test in tests]
    record = unittest.TestResult()
    for test in tests:
        test.addCleanup(Loop.close_all)
        test(record)
    reports: dict[str, str] = {}
    for test, report in record.failures + record.errors:
        reports[getattr(test, "test_case", test).id().removeprefix(PACKAGE)] = report
    skipped = {test.id().removeprefix(PACKAGE) for test, _ in record.skipped}
    figures: Counter[str] = Counter()
    for each in names:
        reason = next((reason for pattern, reason in different.items() if fnmatch.fnmatchcase(each, pattern)), None)
        report = reports.pop(each, None)
        kind = "skipped" if each in skipped else "different" if reason else "passed" if report is None else "failed"
        figures[kind] += 1
        if kind == "failed":
            complaints.append(f"--- {each}\n{report}")
        if kind == "different" and report is None:
            complaints.append(f"{each} passes, although: {reason}")
    complaints += reports.values()
    print(*complaints, sep="\n")
    print(name, dict(figures))
    Path(results).write_text(json.dumps(figures))
    return 1 if complaints else 0


def only_mixin(module: Any) -> None:
    """Of test_subprocess the tests of processes: not those of asyncio's transports and child watchers."""
    mixin = module.SubprocessMixin
    for key, value in list(vars(module).items()):
        if isinstance(value, type) and issubclass(value, unittest.TestCase):
            delattr(module, key)

    class NativeTests(mixin, unittest.TestCase):  # type: ignore[misc]
        def setUp(self) -> None:
            self.loop = Loop()
            self.addCleanup(self.loop.close)

        def set_event_loop(self, loop: Any) -> None: ...

    NativeTests.__module__ = module.__name__
    NativeTests.__qualname__ = "NativeTests"
    module.NativeTests = NativeTests


def all_tests(suite: Any) -> Any:
    for test in suite:
        if isinstance(test, unittest.TestCase):
            yield test
        else:
            yield from all_tests(test)


WHY = {
    "looks at what is private in asyncio's class": """
        test_queues.*.test_format
        test_queues.QueueGetTests.test_cancelled_getters_not_being_held_in_self_getters
        test_queues.QueuePutTests.test_cancelled_puts_not_being_held_in_self_putters
        test_locks.BarrierTests.test_reset_barrier_when_tasks_half_draining
        test_locks.ConditionTests.test_explicit_lock
        test_locks.EventTests.test_clear_with_waiters
        test_locks.EventTests.test_wait_cancel
        test_locks.LockTests.test_acquire_cancel
        test_locks.LockTests.test_finished_waiter_cancelled
        test_locks.SemaphoreTests.test_acquire_cancel
        test_locks.SemaphoreTests.test_acquire_fifo_order_4
        test_locks.SemaphoreTests.test_semaphore
        test_taskgroups.TestTaskGroup.test_taskgroup_23
        test_streams.StreamTests.test_open_*connection_error
        test_streams.StreamTests.test_feed_nonempty_data
        test_streams.StreamTests.test_read_zero
        test_streams.StreamTests.test_readexactly_zero_or_less
        test_streams.StreamTests.test_start_tls_buffered_data
        test_streams.StreamTests.test_streamreader_constructor_*
        test_streams.StreamTests.test_multiple_drain""",
    "compares a repr, the wording of an error, or a generic alias": """
        test_queues.QueueBasicTests.test_generic_alias
        test_queues.QueueBasicTests.test_repr
        test_queues.QueueBasicTests.test_str
        test_locks.*.test_repr
        test_locks.BarrierTests.test_barrier
        test_locks.BarrierTests.test_filling_task_by_task
        test_timeouts.TimeoutTests.test_repr_*
        test_timeouts.TimeoutTests.test_timeout_*enter*
        test_timeouts.TimeoutTests.test_timeout_expired
        test_timeouts.TimeoutTests.test_timeout_without_task
        test_taskgroups.TestTaskGroup.test_taskgroup_already_entered
        test_taskgroups.TestTaskGroup.test_taskgroup_double_enter
        test_taskgroups.TestTaskGroup.test_taskgroup_finished
        test_taskgroups.TestTaskGroup.test_taskgroup_without_parent_task
        test_taskgroups.TestTaskGroup.test_coro_closed_when_tg_closed
        test_streams.StreamTests.test___repr__*
        test_streams.StreamTests.test_readuntil_limit_found_sep
        test_streams.StreamTests.test_readuntil_multi_separator_limit
        test_streams.StreamTests.test_readuntil_separator""",
    "takes a future made by hand, or another thing of the loop, for what trio has an Event, a nursery or a process": """
        test_queues.QueueGetTests.test_get_with_putters
        test_locks.LockTests.test_cancel_race
        test_timeouts.TimeoutTests.test_reschedule
        test_waitfor.AsyncioWaitForTest.test_cancel_blocking_wait_for
        test_waitfor.AsyncioWaitForTest.test_cancel_wait_for
        test_waitfor.AsyncioWaitForTest.test_wait_for_race_condition
        test_waitfor.AsyncioWaitForTest.test_wait_for_timeout_less_then_0_or_0
        test_waitfor.AsyncioWaitForTest.test_wait_for_timeout_less_then_0_or_0_future_done
        test_subprocess.NativeTests.test_cancel_post_init
        test_subprocess.NativeTests.test_close_dont_kill_finished
        test_subprocess.NativeTests.test_close_kill_running
        test_subprocess.NativeTests.test_pause_reading
        test_subprocess.NativeTests.test_subprocess_protocol_events
        test_subprocess.NativeTests.test_subprocess_*_pipe_cancelled
        test_streams.StreamTests.test_streamwriter_start_tls_updates_reader_transport
        test_streams.StreamTests.test_loop_is_closed_resource_warnings
        test_streams.StreamTests.test_unclosed_server_resource_warnings""",
    "feeds a reader, or puts an error into it, by hand: a trio stream is behind it": """
        test_streams.StreamTests.test_*exception
        test_streams.StreamTests.test_exception_*
        test_streams.StreamTests.test_streamreaderprotocol_*""",
    "counts the steps that asyncio takes: here put(), get(), acquire() and wait() are checkpoints in any case": """
        test_queues.*.test_shutdown_empty
        test_queues.*.test_shutdown_nonempty
        test_queues.*.test_shutdown_immediate
        test_queues.QueueBasicTests.test_maxsize
        test_queues.QueuePutTests.test_put_cancelled
        test_queues.QueuePutTests.test_put_cancelled_race
        test_locks.ConditionTests.test_notify
        test_locks.ConditionTests.test_notify_all
        test_locks.ConditionTests.test_wait
        test_locks.BarrierTests.test_draining_state
        test_locks.LockTests.test_acquire
        test_locks.SemaphoreTests.test_acquire
        test_subprocess.NativeTests.test_create_subprocess_env_*""",
    "cancels who has been given what it waited for: that is not taken back": """
        test_queues.QueuePutTests.test_cancelled_put_silence_value_error_exception
        test_queues.QueuePutTests.test_get_cancel_drop_many_pending_readers
        test_locks.SemaphoreTests.test_acquire_no_hang
        test_locks.LockTests.test_cancel_release_race
        test_locks.ConditionTests.test_cancelled_wakeup*
        test_taskgroups.TestTaskGroup.test_taskgroup_cancel_one_winner""",
    "a lock belongs to the task that has taken it, and a task that has it cannot take it again": """
        test_locks.ConditionTests.test_ambiguous_loops
        test_locks.ConditionTests.test_wait_cancel
        test_locks.ConditionTests.test_wait_cancel_contested""",
    "the tasks that wait for a trio.Event go on in no particular order": """
        test_locks.EventTests.test_wait""",
    "trio.Cancelled is made by trio: it does not carry the arguments of cancel()": """
        test_locks.ConditionTests.test_cancelled_error_*
        test_taskgroups.TestTaskGroup.test_taskgroup_cancel_keeps_outer_cancellation""",
    "a barrier is not draining: a round is over when its tasks are let go, and they can come again at once": """
        test_locks.BarrierTests.test_filling_one_task_twice
        test_locks.BarrierTests.test_abort_barrier_when_tasks_half_draining_half_blocking
        test_locks.BarrierTests.test_reset_barrier_when_tasks_half_draining_half_blocking
        test_locks.BarrierTests.test_reset_barrier_while_tasks_draining""",
    "a memory channel takes a whole number": """
        test_queues.QueuePutTests.test_float_maxsize""",
    "a clean-up in a cancelled scope is interrupted at its first checkpoint: cancellation is level-triggered": """
        test_taskgroups.TestTaskGroup.test_taskgroup_15
        test_taskgroups.TestTaskGroup.test_taskgroup_16
        test_timeouts.TimeoutTests.test_timeout_after_cancellation""",
    "a nursery takes tasks while it is cancelled, and they start cancelled": """
        test_taskgroups.TestTaskGroup.test_taskgroup_no_create_task_after_failure
        test_taskgroups.TestTaskGroup.test_taskgroup_cancel_before_create_task""",
    "an error in a nursery comes in a group, KeyboardInterrupt as well": """
        test_taskgroups.TestTaskGroup.test_taskgroup_20
        test_taskgroups.TestTaskGroup.test_exception_refcycles_base_error
        test_taskgroups.TestTaskGroup.test_taskgroup_generator_exit_01""",
    "a task runs in a copy of the context it is given": """
        test_taskgroups.TestTaskGroup.test_taskgroup_task_context""",
    "the context of an error out of a timeout is the trio.Cancelled that came before": """
        test_timeouts.TimeoutTests.test_timeout_taskgroup""",
    "a deadline can be moved as long as the scope is active": """
        test_timeouts.TimeoutTests.test_timeout_expiring""",
    "what is under a timeout of 0 runs to its first checkpoint": """
        test_waitfor.AsyncioWaitForTest.test_wait_for_timeout_less_then_0_or_0_coroutine_do_not_started""",
    "shield() is a coroutine, and no future": """
        test_waitfor.WaitForShieldTests.test_zero_timeout""",
    "trio.lowlevel.open_process() raises TypeError for what is not bytes, and not ValueError": """
        test_subprocess.NativeTests.test_create_subprocess_*_text_mode_fails""",
    "the end of a stream is noticed where it is read": """
        test_streams.StreamTests.test_at_eof""",
    "using what this side has closed raises trio.ClosedResourceError": """
        test_streams.StreamTests.test_async_writer_api_exception_after_close
        test_streams.StreamTests.test_eof_feed_when_closing_writer""",
    "what is left open is closed with the run, without a warning": """
        test_streams.StreamTests.test_unclosed_resource_warnings""",
    "an error of a handler ends the run": """
        test_streams.StreamTests.test_unhandled_exception*""",
    "trio.open_tcp_stream() has the errors of all addresses in a list, and their tracebacks lead to it": """
        test_streams.StreamTests.test_open_connection_happy_eyeball_refcycles""",
}
if IS_AT_LEAST_3_13:
    WHY["the context of an error out of a timeout is the trio.Cancelled that came before"] += """
        test_timeouts.TimeoutTests.test_foreign_exception_on_timeout*
        test_timeouts.TimeoutTests.test_nested_timeout_in_finally"""
else:
    WHY["a coroutine that is refused is closed, as from 3.13 on"] = """
        test_taskgroups.TestTaskGroup.test_taskgroup_not_entered"""
if sys.version_info < (3, 12):
    WHY[
        "a clean-up in a cancelled scope is interrupted at its first checkpoint: cancellation is level-triggered"
    ] += """
        test_waitfor.AsyncioWaitForTest.test_wait_for_self_cancellation"""
if sys.version_info < (3, 14):
    WHY["feeds a reader, or puts an error into it, by hand: a trio stream is behind it"] += """
        test_streams.StreamTests.test_read_all_from_pipe_reader"""
# These came with 3.14, or with a later release of it or of 3.13, or with 3.15.
LATER = {
    "test_taskgroups.TestTaskGroup.test_exception_refcycles_base_error",
    "test_taskgroups.TestTaskGroup.test_taskgroup_cancel_before_create_task",
    "test_taskgroups.TestTaskGroup.test_taskgroup_cancel_keeps_outer_cancellation",
    "test_taskgroups.TestTaskGroup.test_taskgroup_cancel_one_winner",
    "test_taskgroups.TestTaskGroup.test_taskgroup_generator_exit_01",
    "test_streams.StreamTests.test_open_connection_happy_eyeball_refcycles",
    "test_streams.StreamTests.test_start_tls_buffered_data",
    "test_streams.StreamTests.test_streamwriter_start_tls_updates_reader_transport",
    "test_subprocess.NativeTests.test_subprocess_*_pipe_cancelled",
}
DIFFERENT = {pattern: reason for reason, patterns in WHY.items() for pattern in patterns.split()}

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
