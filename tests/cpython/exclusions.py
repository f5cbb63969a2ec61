"""Which of CPython's test modules are run, and the one list of what in them is not expected to pass.

A pattern is matched by fnmatch against `module.Class.test`. The run fails when a pattern matches nothing, and when a
test passes although it is excluded: the list stays as short as it can be.
"""

import sys
from typing import NamedTuple

MODULES = (
    "test_taskgroups",
    "test_timeouts",
    "test_waitfor",
    "test_runners",
    "test_threads",
    "test_context",
    "test_staggered",
    "test_futures2",
    "test_eager_task_factory",
    "test_queues",
    "test_locks",
    "test_tasks",
    "test_futures",
    "test_streams",
    "test_server",
    "test_buffered_proto",
    "test_sslproto",
    "test_ssl",
    "test_subprocess",
)

# Test classes in which Task and Future are both CPython's own: they say nothing about us, and are not run at all.
LEFT_OUT = (
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
)


class Exclusion(NamedTuple):
    """Tests that need not pass, why, and whether that holds on this interpreter."""

    pattern: str
    reason: str
    holds: bool = True


EXCLUDED = (
    Exclusion(
        "test_tasks.CTask*.test_error_in_call_soon",
        "tests that a Task asks for its first step by loop.call_soon; ours is a trio task, spawned into a nursery",
    ),
    Exclusion(
        "test_tasks.CTask*.test_log_destroyed_pending_task",
        "tests that only weak references hold a pending Task; trio's nursery holds ours, so it cannot get lost",
    ),
    Exclusion(
        "test_subprocess.GenericWatcherTests.test_create_subprocess_fails_with_inactive_watcher",
        "a child watcher that is not active keeps asyncio from starting a child; our loop needs no watcher",
        holds=sys.version_info < (3, 14),
    ),
    Exclusion(
        "test_subprocess.SubprocessFastWatcherTests.test_close_dont_kill_finished",
        "empties a private dict of CPython's child watcher at its end; with the other watchers this test passes",
        holds=sys.version_info < (3, 14),
    ),
)
