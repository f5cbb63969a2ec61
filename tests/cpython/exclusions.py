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
    "test_graph",
    "test_free_threading",
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
    "test_graph.TestCallStackPy",
    "test_free_threading.TestPyFreeThreading",
    "test_free_threading.TestEagerPyFreeThreading",
)


SINCE_3_14 = sys.version_info >= (3, 14)


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
    Exclusion(
        "test_taskgroups.*.test_exception_refcycles_propagate_cancellation_error",
        "tests that nothing refers to the error while it is being thrown into the task; the driver does, for that long",
        holds=SINCE_3_14,
    ),
    *(
        Exclusion(
            f"test_graph.TestCallStackC.{test}",
            "tests the names of the functions inside asyncio in which a task waits (_wait, _aexit, _wait_for_one ...)",
            holds=SINCE_3_14,
        )
        for test in (
            "test_stack_as_completed",
            "test_stack_as_completed_timeout",
            "test_stack_tgroup",
            "test_stack_wait",
            "test_stack_wait_for_non_positive_timeout",
        )
    ),
    Exclusion(
        "test_tasks.CIntrospectionTests.test_register_task_resurrection",
        "gives a Task a loop that is none; ours refuses it with TypeError, the interpreter's with AttributeError",
        holds=SINCE_3_14,
    ),
    Exclusion(
        "test_tasks.CTask_CFuture_Tests.test_get_context_uninitialized_segfault",
        "tests that an empty field of the C object is read as None in a Task whose __init__ was never called",
        holds=SINCE_3_14,
    ),
)
