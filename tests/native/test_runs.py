"""The runs themselves: run, Runner, what they leave and what ends them; cancellation at each step of a run."""

import contextvars
import gc
import signal
import sys

import pytest
import trio
import trio.testing

from compat import native
from native.cancelling import at_each_step
from native.coroutines import VAR, failing, follow, noting, value


def test_run_returns_and_raises():
    assert native.run(value(5)) == 5
    with pytest.raises(KeyError, match="mine"):
        native.run(failing(KeyError("mine")))


def test_what_is_left_running_ends_with_the_run():
    notes = []

    async def main():
        native.create_task(noting(notes, "one"))
        native.create_task(noting(notes, "two"))
        await native.sleep(0)
        await native.sleep(0)
        return "done"

    assert native.run(main()) == "done"
    assert sorted(notes) == ["one", "two"]


def test_an_error_that_nobody_awaits_ends_the_run():
    notes = []

    async def main():
        native.create_task(noting(notes, "task"))
        native.create_task(failing(ValueError("unheard")))
        await noting(notes, "main")

    with pytest.raises(ExceptionGroup) as caught:
        native.run(main())
    [error] = caught.value.exceptions
    assert repr(error) == "ValueError('unheard')"
    assert sorted(notes) == ["main", "task"]


def test_errors_of_the_main_coroutine_and_of_the_background():
    async def main():
        native.create_task(failing(ValueError("background")))
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("main")

    with pytest.raises(ExceptionGroup) as caught:
        native.run(main())
    assert sorted(map(repr, caught.value.exceptions)) == ["KeyError('main')", "ValueError('background')"]


def test_an_error_in_a_clean_up_at_the_end_of_the_run():
    async def worker():
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("late")

    async def main():
        native.create_task(worker())
        await trio.testing.wait_all_tasks_blocked()

    with pytest.raises(ExceptionGroup) as caught:
        native.run(main())
    assert list(map(repr, caught.value.exceptions)) == ["ValueError('late')"]


def test_an_error_that_wait_has_seen_and_nobody_asks_for_ends_the_run_at_its_end():
    async def main(asks, error=None):
        done, pending = await native.wait([native.create_task(failing(ValueError(1)))])
        assert not pending
        if asks:
            assert repr(done.pop().exception()) == "ValueError(1)"
        if error is not None:
            raise error
        return "end"

    assert native.run(main(asks=True)) == "end"
    with pytest.raises(ExceptionGroup) as caught:
        native.run(main(asks=False))
    assert list(map(repr, caught.value.exceptions)) == ["ValueError(1)"]
    with pytest.raises(ExceptionGroup) as caught:
        native.run(main(asks=False, error=KeyError(2)))
    assert list(map(repr, caught.value.exceptions)) == ["KeyError(2)", "ValueError(1)"]


def test_unread_errors_beside_others():
    async def main():
        async with native.open_background():
            await native.wait([native.create_task(failing(ValueError(1)))])
            raise KeyError(2)

    with pytest.raises(ExceptionGroup) as caught:
        trio.run(main)
    assert sorted(map(repr, caught.value.exceptions)) == ["KeyError(2)", "ValueError(1)"]


def test_the_main_task_cancelled_by_itself():
    async def main():
        native.current_task().cancel()
        await native.sleep(1)

    with pytest.raises(native.CancelledError):
        native.run(main())


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_exit_out_of_the_main_coroutine_and_of_a_task(error):
    with pytest.raises(type(error)):
        native.run(failing(error))

    async def main():
        await native.create_task(failing(error))

    with pytest.raises(BaseExceptionGroup) as caught:  # awaited or not: it is the run's
        native.run(main())
    assert error in caught.value.exceptions


def test_ctrl_c_ends_the_run():
    notes = []

    async def main():
        native.create_task(noting(notes, "task"))
        await trio.testing.wait_all_tasks_blocked()
        signal.raise_signal(signal.SIGINT)
        await noting(notes, "main")

    with pytest.raises(KeyboardInterrupt):
        native.run(main())
    assert "task" in notes


def test_refusals_of_run():
    with pytest.raises(ValueError, match="coroutine"):
        native.run(value)  # type: ignore[arg-type]
    coro = value(1)
    with pytest.raises(TypeError, match="Instrument"):
        native.run(coro, debug=True)
    with pytest.raises(TypeError, match="loop"):
        native.run(coro, loop_factory=object)  # type: ignore[arg-type]

    async def nested():
        native.run(coro)

    with pytest.raises(RuntimeError, match="inside"):
        native.run(nested())
    coro.close()


def test_runner():
    async def seen():
        VAR.set(VAR.get() + 1)
        return VAR.get()

    context = contextvars.copy_context()
    context.run(VAR.set, 40)
    with native.Runner() as runner:
        assert runner.run(seen()) == 1
        assert runner.run(seen()) == 1  # each run has a copy of the context
        assert runner.run(seen(), context=context) == 41
        with pytest.raises(AttributeError, match="run_sync_soon"):
            runner.get_loop()  # type: ignore[attr-defined]
    with native.Runner() as runner:
        assert context.run(runner.run, seen()) == 41
        assert runner.run(seen(), context=contextvars.Context()) == 1  # which is false, as it is empty
    coro = seen()
    with pytest.raises(RuntimeError, match="closed"):
        runner.run(coro)
    coro.close()
    with pytest.raises(RuntimeError, match="closed"), runner:
        pass


def test_without_a_nursery():
    async def main():
        coro = value(1)
        with pytest.raises(RuntimeError, match="open_background"):
            native.create_task(coro)
        with pytest.raises(RuntimeError, match="open_background"):
            await native.shield(value(1))
        assert await native.gather(value(1), value(2)) == [1, 2]
        async with native.TaskGroup() as group:
            task = group.create_task(value(3))
        assert await task == 3
        async with native.open_background():
            assert await native.create_task(value(4)) == 4
            with pytest.raises(RuntimeError, match="already"):
                async with native.open_background():
                    pass
        with pytest.raises(RuntimeError, match="open_background"):
            native.create_task(value(5))

    trio.run(main)
    with pytest.raises(RuntimeError, match=r"native.run\(\)"):
        native.create_task(value(1))
    with pytest.raises(RuntimeError):
        native.current_task()
    with pytest.raises(RuntimeError):
        native.all_tasks()


def test_a_block_that_awaits_a_cancelled_task_is_left_by_that():
    async def main():
        with pytest.raises(native.CancelledError):
            async with native.open_background():
                task = native.create_task(trio.sleep_forever())
                task.cancel()
                await task

    trio.run(main)


def test_a_cancelled_scope_around_the_nursery():
    notes = []

    async def main():
        with trio.move_on_after(1) as scope:
            async with native.open_background():
                native.create_task(noting(notes, "task"))
                await noting(notes, "body")
        assert scope.cancelled_caught

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert sorted(notes) == ["body", "task"]


def test_the_error_of_what_was_shielded_is_not_lost():
    async def main():
        with trio.move_on_after(0.01):
            await native.shield(failing(ValueError("unheard"), 0.05))
        await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        native.run(main())
    assert list(map(repr, caught.value.exceptions)) == ["ValueError('unheard')"]


@pytest.mark.parametrize(
    "work",
    [
        lambda notes: native.gather(value(1), *(counted(notes, i) for i in range(3))),
        lambda notes: native.gather(*(native.create_task(counted(notes, i)) for i in range(3))),
        lambda notes: in_group(notes),
        lambda notes: native.wait_for(counted(notes, 1), 100),
        lambda notes: follow(native.create_task(counted(notes, 1))),
    ],
    ids=["gather", "gather of tasks", "TaskGroup", "wait_for", "await"],
)
def test_cancelled_at_each_step_nothing_goes_on(work):
    async def case(cut):
        notes = {"begun": 0, "ended": 0}
        await cut(work(notes))
        assert notes["begun"] == notes["ended"]
        assert not native.all_tasks()

    assert trio.run(at_each_step, case) > 3


async def counted(notes, result):
    notes["begun"] += 1
    try:
        await native.sleep(0)
        await native.sleep(0.001)
        with trio.CancelScope(shield=True):
            await native.sleep(0.001)
    finally:
        notes["ended"] += 1
    return result


async def in_group(notes):
    async with native.TaskGroup() as group:
        for i in range(3):
            group.create_task(counted(notes, i))


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="counts references")
def test_a_task_that_has_ended_is_not_kept():
    async def main():
        task = native.create_task(value(object()))
        await task
        return task

    task = native.run(main())
    gc.collect()
    assert not [
        each for each in gc.get_referrers(task) if isinstance(each, dict | set | list) and each is not globals()
    ]
