"""Which of CPython's test modules are run, and the one list of what in them is not expected to pass.

A pattern is matched by fnmatch against `module.Class.test`. The run fails when a pattern matches nothing, and when a
test passes although it is excluded: the list stays as short as it can be.
"""

import sys
from collections.abc import Collection
from typing import NamedTuple

from paths import PATHS

SINCE_3_14 = sys.version_info >= (3, 14)

MODULES = (
    "test_taskgroups",
    "test_timeouts",
    "test_waitfor",
    "test_runners",
    "test_threads",
    "test_context",
    "test_staggered",
    "test_pep492",
    "test_futures2",
    "test_eager_task_factory",
    "test_queues",
    "test_locks",
    "test_tasks",
    "test_futures",
    "test_streams",
    "test_server",
    "test_server_context",
    "test_buffered_proto",
    "test_graph",
    "test_free_threading",
    "test_sslproto",
    "test_ssl",
    "test_sendfile",
    "test_subprocess",
    "test_sock_lowlevel",
    "test_events",
    "test_unix_events",
    "test_base_events",
)

# What the path replaces says nothing in it.
NOT_IN_PATH = {("test_runners", "plain")}

# Test classes that are not run at all, because they say nothing about us: Task and Future in them are both asyncio's in
# pure Python, which no program gets, or the function that looks up the running loop is; they test private classes of
# asyncio's loops; or the loop polls with another of its selectors, where ours is the same whichever it is given.
LEFT_OUT: tuple[str, ...] = (
    "test_sock_lowlevel.SelectEventLoopTests",
    "test_sock_lowlevel.PollEventLoopTests",
    "test_sendfile.SelectEventLoopTests",
    "test_sendfile.PollEventLoopTests",
    "test_events.SelectEventLoopTests",
    "test_events.PollEventLoopTests",
    "test_events.TestPyGetEventLoop",
    "test_unix_events.UnixReadPipeTransportTests",
    "test_unix_events.UnixWritePipeTransportTests",
    "test_tasks.PyTask_PyFuture_Tests",
    "test_tasks.PyTask_PyFuture_SubclassTests",
    "test_tasks.PyIntrospectionTests",
    "test_tasks.PyCurrentLoopTests",
    "test_futures.PyFutureTests",
    "test_futures.PyFutureDoneCallbackTests",
    "test_futures.PyFutureInheritanceTests",
    "test_futures2.PyFutureTests",
    "test_eager_task_factory.PyEagerTaskFactoryLoopTests",
    "test_eager_task_factory.NonEagerPyTaskTests",
    "test_eager_task_factory.EagerPyTaskTests",
    "test_graph.TestCallStackPy",
    "test_free_threading.TestPyFreeThreading",
    "test_free_threading.TestEagerPyFreeThreading",
)
if not SINCE_3_14:
    LEFT_OUT += (
        "test_unix_events.AbstractChildWatcherTests",
        "test_unix_events.BaseChildWatcherTests",
        "test_unix_events.SafeChildWatcherTests",
        "test_unix_events.FastChildWatcherTests",
    )


class Exclusion(NamedTuple):
    """Tests that need not pass, why, whether that holds on this interpreter, whether they are better not run, where."""

    pattern: str
    reason: str
    holds: bool = True
    hangs: bool = False
    paths: Collection[str] = tuple(PATHS)


PLAIN = ("plain",)
MOCKED = "replaces a module inside asyncio.unix_events by a mock; ours is used elsewhere"

EXCLUDED = (
    Exclusion(
        "test_events.HandleTests.test_handle_source_traceback",
        "looks for the caller of call_soon(), which is the path's own wrapper",
        paths=("carried",),
    ),
    Exclusion(
        "test_tasks.*.test_log_destroyed_pending_task",
        "a Task that has a trio task is held by the run, and is not collected while it waits",
        paths=("carried", "instrument"),
    ),
    Exclusion(
        "test_events.EPollEventLoopTests.test_run_until_complete_stopped",
        "closes the loop while a coroutine waits: a trio task cannot stay pending, as a Task does",
        hangs=True,
        paths=PLAIN,
    ),
    Exclusion(
        "test_subprocess.GenericWatcherTests.test_create_subprocess_fails_with_inactive_watcher",
        "a child watcher that is not active keeps asyncio from starting a child; our loop needs no watcher",
        holds=sys.version_info < (3, 14),
    ),
    *(
        Exclusion(f"test_subprocess.{test}", "tests a private attribute, _watcher; our loop has none", holds=SINCE_3_14)
        for test in (
            "SubprocessPidfdWatcherTests.test_watcher_implementation",
            "SubprocessThreadedWatcherTests.test_watcher_implementation",
            "SubprocessThreadedWatcherTests.test_pid_not_reaped_before_exit_published",
        )
    ),
    Exclusion(
        "test_subprocess.SubprocessFastWatcherTests.test_close_dont_kill_finished",
        "empties a private dict of CPython's child watcher at its end; with the other watchers this test passes",
        holds=sys.version_info < (3, 14),
    ),
    Exclusion(
        "test_graph.TestCallStackC.test_stack_tgroup",
        "tests the name of the method inside asyncio's TaskGroup in which a task waits: _aexit",
        holds=SINCE_3_14,
    ),
    Exclusion(
        "test_ssl.TestSSL.test_remote_shutdown_receives_trailing_data_on_slow_socket",
        "replaces the private _sock of CPython's transport, when its private _read_ready_cb is None",
        holds=SINCE_3_14,
        hangs=True,
    ),
    Exclusion(
        "test_events.EPollEventLoopTests.test_internal_fds",
        "counts the private sockets by which asyncio's loop wakes itself up; trio wakes ours",
    ),
    *(
        Exclusion(f"test_base_events.BaseEventLoopTests.{test}", "calls the private loop._run_once()")
        for test in (
            "test__run_once*",
            "test_set_exc_handler_[bc]*",
            "test_default_exc_handler_broken",
        )
    ),
    *(
        Exclusion(f"test_base_events.BaseEventLoopTests.{test}", "replaces the private loop._selector by a mock")
        for test in ("test_run_forever_pre_stopped", "test_single_selecter_event_callback_after_stopping")
    ),
    Exclusion(
        "test_base_events.BaseEventLoopTests.test_custom_run_forever_integration",
        "calls private methods of the loop",
        holds=sys.version_info >= (3, 13),
    ),
    Exclusion("test_base_events.BaseEventLoopTests.test_not_implemented", "tests a private method of the loop"),
    Exclusion(
        "test_unix_events.PidfdChildWatcherTests.test_pidfd_closed_when_waitpid_raises",
        "tests how a private class of asyncio's waits for a child: by os.waitpid()",
        holds=SINCE_3_14,
    ),
    Exclusion(
        "test_events.EPollEventLoopTests.test_timeout_rounding",
        "counts the calls of the private loop._run_once()",
    ),
    *(
        Exclusion(f"test_unix_events.SelectorEventLoopSignalTests.{test}", MOCKED)
        for test in (
            "test_*_error2",
            "test_*_error3",
            "test_*_install_error",
            "test_remove_signal_handler_error",
            "test_*_setup_error",
        )
        + ("test_remove_signal_handler", "test_remove_signal_handler_2", "test_close", "test_close_on_finalizing")
    ),
    Exclusion("test_unix_events.SelectorEventLoopUnixSocketTests.test_create_unix_server_bind_error", MOCKED),
    Exclusion("test_unix_events.SelectorEventLoopUnixSockSendfileTests.test_sock_sendfile_not_available", MOCKED),
    Exclusion(
        "test_unix_events.PolicyTests.test_child_watcher_replace_mainloop_existing",
        "tests a private attribute of asyncio's child watchers; no process of ours needs one",
        holds=not SINCE_3_14,
    ),
)
