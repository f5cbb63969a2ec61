"""run, Runner, Task, create_task, gather, wait, as_completed, shield, sleep, wait_for, timeouts and TaskGroup."""

import contextvars
import math

import pytest
import trio
import trio.testing

from compat import native
from native.coroutines import VAR, failing, follow, noting, value

# --- tasks ------------------------------------------------------------------------------------------------------------


async def test_task_is_a_trio_task():
    async def main():
        assert native.current_task() is task
        assert task in native.all_tasks()
        assert trio.lowlevel.current_task().name == "worker" == task.get_name()
        task.set_name("another")
        assert trio.lowlevel.current_task().name == "another"
        return 1

    coro = main()
    task = native.create_task(coro, name="worker")
    assert (task.done(), task.cancelled(), task.cancelling(), task.get_coro()) == (False, False, 0, coro)
    with pytest.raises(native.InvalidStateError):
        task.result()
    with pytest.raises(native.InvalidStateError):
        task.exception()
    assert await task == 1 == await task
    assert (task.done(), task.cancelled(), task.result(), task.exception()) == (True, False, 1, None)
    assert task not in native.all_tasks()
    assert "another" in repr(task)
    assert task.cancel() is False
    assert native.current_task() is None  # pytest-trio has started this one


async def test_task_that_has_ended_can_be_awaited():
    task = native.create_task(value(1))
    await trio.testing.wait_all_tasks_blocked()
    assert task.done()
    assert await task == 1


async def test_error_goes_to_who_awaits():
    error = ValueError("mine")
    task = native.create_task(failing(error, 1))
    for _ in range(2):
        with pytest.raises(ValueError, match="mine") as caught:
            await task
        assert caught.value is error is task.exception()


async def test_error_goes_to_all_who_await():
    error, seen = ValueError(), []
    task = native.create_task(failing(error, 1))

    async def wait_for_it():
        try:
            await task
        except ValueError as each:
            seen.append(each)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait_for_it)
    assert seen == [error] * 3


async def test_cancel_is_level_triggered_and_awaiting_raises_it():
    interruptions = 0

    async def stubborn():
        nonlocal interruptions
        for _ in range(3):
            try:
                await native.sleep(10)
            except native.CancelledError:
                interruptions += 1
        await native.sleep(10)

    task = native.create_task(stubborn())
    await trio.testing.wait_all_tasks_blocked()
    start = trio.current_time()
    assert task.cancel() is True
    assert task.cancelling() == 1
    with pytest.raises(native.CancelledError):
        await task
    assert (interruptions, task.cancelled(), trio.current_time()) == (3, True, start)
    for method in (task.result, task.exception):
        with pytest.raises(trio.Cancelled):
            method()


async def test_cancel_after_the_wait_has_ended():
    event, log = native.Event(), []

    async def main():
        await event.wait()
        log.append("went on")  # asyncio raises in the wait that has ended
        await native.sleep(0)

    task = native.create_task(main())
    await trio.testing.wait_all_tasks_blocked()
    event.set()
    task.cancel()
    with pytest.raises(trio.Cancelled):
        await task
    assert log == ["went on"]


async def test_cancel_before_it_has_started():
    steps = []

    async def worker():
        steps.append("started")
        await native.sleep(0)
        steps.append("not reached")

    task = native.create_task(worker())
    task.cancel("unwanted")
    with pytest.raises(native.CancelledError):
        await task
    assert steps == ["started"]


async def test_a_task_that_answers_a_cancellation_by_a_result_or_an_error():
    async def answers(error=None):
        try:
            await native.sleep(10)
        except native.CancelledError:
            if error is not None:
                raise error from None
        return "answer"

    task = native.create_task(answers())
    await trio.testing.wait_all_tasks_blocked()
    task.cancel()
    assert await task == "answer"
    assert not task.cancelled()
    task = native.create_task(answers(KeyError()))
    await trio.testing.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(KeyError):
        await task


async def test_a_nursery_in_a_task_that_is_cancelled():
    async def worker():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)

    task = native.create_task(worker())
    await trio.testing.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(trio.Cancelled):  # and no group
        await task


async def test_cancelling_the_wait_cancels_the_task_and_waits_for_it():
    notes = []

    async def worker():
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await native.sleep(5)
            notes.append("cleaned up")

    task = native.create_task(worker())
    start = trio.current_time()
    with trio.move_on_after(1) as scope:
        await task
    assert scope.cancelled_caught
    assert notes == ["cleaned up"]
    assert task.cancelled()
    assert trio.current_time() == start + 6


async def test_an_error_that_comes_when_the_wait_is_cancelled_is_not_lost():
    async def worker():
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("in the clean-up")

    task = native.create_task(worker())
    with pytest.raises(KeyError), trio.move_on_after(1):
        await task


async def test_a_result_that_comes_when_the_wait_is_cancelled_is_not_lost():
    async def outer(task):
        got.append(await task)
        await native.sleep(0)
        got.append("not reached")

    async def answers():
        try:
            await trio.sleep_forever()
        except native.CancelledError:
            return "answer"

    got, queue = [], native.Queue()
    task = native.create_task(outer(native.create_task(queue.get())))
    await trio.testing.wait_all_tasks_blocked()
    queue.put_nowait("item")  # which the inner task has from here on
    task.cancel()
    with pytest.raises(trio.Cancelled):
        await task
    assert got == ["item"]
    assert await native.wait_for(native.create_task(answers()), 1) == "answer"


async def test_awaiting_a_task_that_has_ended_can_be_cancelled():
    task = native.create_task(value(3))
    await trio.testing.wait_all_tasks_blocked()
    with trio.CancelScope() as scope:
        scope.cancel()
        await task
    assert scope.cancelled_caught


async def test_awaiting_a_cancelled_task_ends_a_task_and_nobody_else():
    """The Cancelled of another task passes for a cancellation of the task that awaits it, as in asyncio."""
    victim = native.create_task(trio.sleep_forever())
    follower = native.create_task(follow(victim))
    bystander = native.create_task(value("well", 5))
    await trio.testing.wait_all_tasks_blocked()
    victim.cancel()
    with pytest.raises(native.CancelledError):
        await follower
    assert follower.cancelled()
    assert await bystander == "well"


async def test_a_task_cannot_await_itself():
    async def worker():
        with pytest.raises(RuntimeError, match="await itself"):
            await native.current_task()

    await native.create_task(worker())


@pytest.mark.parametrize("join", [follow, native.gather])
@pytest.mark.parametrize("kind", ["awaits", "gathers", "group"])
async def test_a_task_that_cancels_and_awaits_the_one_that_waits_for_it(kind, join):
    ended = []

    async def child(parent):
        try:
            parent.cancel()
            await join(parent)
        finally:
            ended.append("child")

    async def parent():
        work = child(native.current_task())
        try:
            if kind == "group":
                async with native.TaskGroup() as group:
                    group.create_task(work)
            else:
                await (native.create_task(work) if kind == "awaits" else native.gather(native.create_task(work)))
        finally:
            ended.append("parent")

    task = native.create_task(parent())
    with pytest.raises(native.CancelledError):
        await task
    assert ended == ["child", "parent"]
    assert task.cancelled()


async def test_three_tasks_that_wait_for_each_other_can_be_cancelled():
    tasks = []

    async def worker(number):
        await native.sleep(1)
        await tasks[(number + 1) % 3]

    tasks += [native.create_task(worker(number)) for number in range(3)]
    await native.sleep(2)
    tasks[0].cancel()
    _, pending = await native.wait(tasks)
    assert not pending
    assert all(task.cancelled() for task in tasks)


async def test_all_tasks_has_those_that_have_not_started():
    tasks = {native.create_task(trio.sleep_forever())}
    async with native.TaskGroup() as group:
        tasks.add(group.create_task(trio.sleep_forever()))
        assert native.all_tasks() == tasks
        await trio.testing.wait_all_tasks_blocked()
        assert native.all_tasks() == tasks
        for task in tasks:
            task.cancel()
    await native.wait(tasks)
    assert native.all_tasks() == set()


async def test_callbacks():
    called = []
    task = native.create_task(value(3, 1))
    task.add_done_callback(called.append)
    task.add_done_callback(called.append)
    task.add_done_callback(print)
    assert task.remove_done_callback(print) == 1
    context = contextvars.copy_context()
    context.run(VAR.set, 7)
    task.add_done_callback(lambda _: called.append(VAR.get()), context=context)
    await task
    assert called == [task, task, 7]
    task.add_done_callback(called.append)
    assert called[3:] == [task]


async def test_callback_in_the_context_of_the_task():
    async def work():
        native.current_task().add_done_callback(called.append, context=trio.lowlevel.current_task().context)

    called = []
    task = native.create_task(work())
    await task
    assert called == [task]


def test_an_error_is_not_lost_when_a_callback_fails_too():
    def fail(task):
        raise KeyError

    async def main(work, cancelled):
        task = native.create_task(work)
        task.add_done_callback(fail)
        await trio.testing.wait_all_tasks_blocked()
        if cancelled:
            task.cancel()
        await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        native.run(main(failing(ValueError()), False))
    [error] = caught.value.exceptions
    assert (type(error), type(error.__context__)) == (ValueError, KeyError)
    with pytest.raises(ExceptionGroup) as caught:
        native.run(main(trio.sleep_forever(), True))
    assert [type(error) for error in caught.value.exceptions] == [KeyError]


async def test_context_is_copied():
    async def change():
        VAR.set(VAR.get() + 1)
        return VAR.get()

    context = contextvars.copy_context()
    context.run(VAR.set, 10)
    assert await native.create_task(change(), context=context) == 11
    assert await native.create_task(change()) == 1
    async with native.TaskGroup() as group:
        task = group.create_task(change(), context=context)
    assert task.result() == 11
    assert context[VAR] == 10


async def test_create_task_starts_nothing_at_once():
    coro = value(1)
    async with native.TaskGroup() as group:
        for create in native.create_task, group.create_task:
            with pytest.raises(TypeError, match=r"create_task\(\) takes no eager_start= here: a trio task"):
                create(coro, eager_start=True)
        assert await group.create_task(coro, eager_start=False) == 1


async def test_create_task_takes_coroutines():
    with pytest.raises(TypeError, match="coroutine"):
        native.create_task(trio.sleep_forever)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="scope|argument"):
        native.Task()  # type: ignore[call-arg]


# --- TaskGroup --------------------------------------------------------------------------------------------------------


async def test_group_waits_for_its_tasks():
    async with native.TaskGroup() as group:
        tasks = [group.create_task(value(i, i), name=f"t{i}") for i in range(3)]
        assert tasks[1].get_name() == "t1"
    assert [task.result() for task in tasks] == [0, 1, 2]


async def test_group_is_cancelled_by_the_first_error():
    notes = []
    with pytest.raises(ExceptionGroup) as caught:
        async with native.TaskGroup() as group:
            group.create_task(noting(notes, "task"))
            group.create_task(failing(ValueError(1), 1))
            await noting(notes, "body")
    assert list(map(repr, caught.value.exceptions)) == ["ValueError(1)"]
    assert sorted(notes) == ["body", "task"]


async def test_group_with_an_error_of_its_body():
    notes = []
    with pytest.raises(ExceptionGroup) as caught:
        async with native.TaskGroup() as group:
            group.create_task(noting(notes, "task"))
            await native.sleep(1)
            raise ValueError(2)
    assert list(map(repr, caught.value.exceptions)) == ["ValueError(2)"]
    assert notes == ["task"]


async def test_group_and_a_task_of_it_that_is_cancelled():
    async with native.TaskGroup() as group:
        task = group.create_task(trio.sleep_forever())
        other = group.create_task(value(1, 1))
        await native.sleep(0.5)
        task.cancel()
    assert task.cancelled()
    assert other.result() == 1


async def test_group_whose_body_awaits_a_cancelled_task_is_left_by_that():
    notes = []
    with pytest.raises(native.CancelledError):
        async with native.TaskGroup() as group:
            group.create_task(noting(notes, "other"))
            task = group.create_task(trio.sleep_forever())
            await trio.testing.wait_all_tasks_blocked()
            task.cancel()
            await task
    assert notes == ["other"]


def test_group_whose_nursery_is_cancelled_is_left_quietly():
    async def cancel():
        trio.lowlevel.current_task().parent_nursery.cancel_scope.cancel()

    async def main():
        notes = []
        async with native.TaskGroup() as group:
            group.create_task(noting(notes, "other"))
            group.create_task(cancel())
            await trio.sleep_forever()
        return notes

    assert native.run(main()) == ["other"]


@pytest.mark.parametrize("when", ["before", "inside", "by a task"])
async def test_group_that_is_cancelled_is_left_quietly(when):
    notes = []
    group = native.TaskGroup()
    if when == "before":
        group.cancel()
    async with group:
        group.create_task(noting(notes, "task"))
        if when == "inside":
            group.cancel()
            group.cancel()
        elif when == "by a task":

            async def cancel():
                group.cancel()

            group.create_task(cancel())
        await trio.sleep_forever()
    group.cancel()
    assert notes == ["task"]


async def test_group_in_a_cancelled_scope():
    notes = []
    with trio.move_on_after(1) as scope:
        async with native.TaskGroup() as group:
            group.create_task(noting(notes, "task"))
    assert scope.cancelled_caught
    assert notes == ["task"]


async def test_group_when_it_takes_no_tasks():
    group = native.TaskGroup()
    with pytest.raises(RuntimeError, match="entered"):
        group.create_task(value(1))
    async with group:
        with pytest.raises(RuntimeError, match="once"):
            await group.__aenter__()
    with pytest.raises(RuntimeError, match="closed"):
        group.create_task(value(1))


async def test_group_that_is_being_cancelled_starts_tasks_cancelled():
    steps = []

    async def late():
        steps.append("started")
        await native.sleep(0)
        steps.append("not reached")

    with pytest.raises(ExceptionGroup):
        async with native.TaskGroup() as group:
            group.create_task(failing(ValueError()))
            try:
                await trio.sleep_forever()
            finally:
                group.create_task(late())
    assert steps == ["started"]


async def test_group_that_is_cancelled_and_fails():
    with pytest.raises(ExceptionGroup) as caught:
        async with native.TaskGroup() as group:
            group.cancel()
            raise ValueError(1)
    assert list(map(repr, caught.value.exceptions)) == ["ValueError(1)"]


async def test_group_that_is_cancelled_in_a_scope_that_is_cancelled_too():
    with trio.move_on_after(1) as scope:
        async with native.TaskGroup() as group:
            group.cancel()
        await trio.sleep(2)
    assert scope.cancelled_caught


# --- gather -----------------------------------------------------------------------------------------------------------


async def test_gather():
    same = value(3)
    with trio.testing.assert_checkpoints():
        assert await native.gather() == []
    assert await native.gather(value(1, 2), native.create_task(value(2)), same, same) == [1, 2, 3, 3]

    class Awaitable:
        def __await__(self):
            return value(7).__await__()

    assert await native.gather(Awaitable()) == [7]
    with pytest.raises(TypeError, match="awaitable"):
        await native.gather(7)  # type: ignore[arg-type]


async def test_gather_cancels_the_others_on_the_first_error():
    notes = []
    task = native.create_task(noting(notes, "task"))
    with pytest.raises(ValueError, match="first"):
        await native.gather(noting(notes, "coroutine"), task, failing(ValueError("first"), 1))
    assert sorted(notes) == ["coroutine", "task"]
    assert task.cancelled()


async def test_gather_loses_no_error():
    async def worker():
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("second")

    for make in (lambda coro: coro, native.create_task):
        with pytest.raises(ExceptionGroup) as caught:
            await native.gather(failing(ValueError("first"), 1), make(worker()))
        assert list(map(repr, caught.value.exceptions)) == ["ValueError('first')", "KeyError('second')"]
        with pytest.raises(KeyError), trio.move_on_after(1):
            await native.gather(trio.sleep_forever(), make(worker()))


async def test_gather_with_return_exceptions_lets_the_others_run():
    cancelled = native.create_task(trio.sleep_forever())
    await trio.testing.wait_all_tasks_blocked()
    cancelled.cancel()
    error = ValueError()
    results = await native.gather(value(1, 5), failing(error, 1), cancelled, return_exceptions=True)
    assert results[:2] == [1, error]
    assert isinstance(results[2], native.CancelledError)


async def test_gather_of_a_task_that_is_cancelled_is_cancelled():
    notes = []
    task = native.create_task(trio.sleep_forever())
    await trio.testing.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(native.CancelledError):
        await native.gather(noting(notes, "other"), task)
    assert notes == ["other"]


async def test_gather_of_several_that_are_cancelled_is_cancelled_once():
    tasks = [native.create_task(trio.sleep_forever()) for _ in range(3)]
    for task in tasks:
        task.cancel()
    with pytest.raises(native.CancelledError):  # and no group
        await native.gather(*tasks)

    async def fail_when_cancelled():
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):  # beside an error they are no news
        await native.gather(fail_when_cancelled(), *tasks)


async def test_gather_returns_no_exit_as_a_result():
    with pytest.raises(SystemExit):
        await native.gather(failing(SystemExit(3)), value(1, 1), return_exceptions=True)


async def test_gather_that_is_cancelled_cancels_all():
    notes = []
    task = native.create_task(noting(notes, "task"))
    with trio.move_on_after(1) as scope:
        await native.gather(noting(notes, "coroutine"), task)
    assert scope.cancelled_caught
    assert sorted(notes) == ["coroutine", "task"]


async def test_a_part_of_gather_has_a_task_that_cannot_be_cancelled_alone():
    async def part():
        task = native.current_task()
        assert task.get_name().endswith("part")
        assert task not in native.all_tasks()
        with pytest.raises(RuntimeError, match="gather"):
            task.cancel()
        return task.cancelling()

    assert await native.gather(part()) == [0]


async def in_group():
    async with native.TaskGroup() as group:
        group.create_task(trio.sleep_forever())
        group.create_task(trio.sleep_forever())
        await trio.sleep_forever()


async def in_gather():
    await native.gather(trio.sleep_forever(), native.create_task(trio.sleep_forever()), trio.sleep_forever())


async def in_wait():
    await native.wait([native.create_task(trio.sleep_forever()) for _ in range(3)])


async def in_background_group():
    await native.create_task(in_group())


@pytest.mark.parametrize("work", [in_group, in_gather, in_wait, in_background_group])
async def test_a_cancellation_is_one_exception_and_no_group(work):
    seen = []

    async def catching():
        try:
            await work()
        except native.CancelledError:
            seen.append("told")
            raise

    task = native.create_task(catching())
    await trio.testing.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(native.CancelledError):
        await task
    with trio.move_on_after(1) as scope:
        await catching()
    assert scope.cancelled_caught
    assert seen == ["told", "told"]


# --- wait, as_completed -----------------------------------------------------------------------------------------------


async def test_wait():
    start = trio.current_time()
    tasks = [native.create_task(value(i, i)) for i in range(1, 4)]
    assert await native.wait(tasks, return_when=native.FIRST_COMPLETED) == ({tasks[0]}, set(tasks[1:]))
    assert await native.wait(tasks, timeout=1.5) == (set(tasks[:2]), {tasks[2]})
    assert await native.wait(tasks) == (set(tasks), set())
    assert trio.current_time() == start + 3


async def test_wait_for_the_first_error():
    tasks = [
        native.create_task(value(1, 1)),
        native.create_task(failing(ValueError(), 2)),
        native.create_task(value(1, 3)),
    ]
    done, pending = await native.wait(tasks, return_when=native.FIRST_EXCEPTION)
    assert (done, pending) == ({tasks[0], tasks[1]}, {tasks[2]})
    assert isinstance(tasks[1].exception(), ValueError)


async def test_wait_that_is_cancelled_cancels_nothing():
    task = native.create_task(value(1, 5))
    with trio.move_on_after(1):
        await native.wait([task])
    assert await task == 1


async def test_wait_takes_tasks():
    with pytest.raises(TypeError, match="create_task"):
        await native.wait([value(1)])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="a Task or more"):
        await native.wait([])
    task = native.create_task(value(1))
    with pytest.raises(ValueError, match="NEVER"):
        await native.wait([task], return_when="NEVER")


async def test_as_completed():
    task = native.create_task(value("b", 2))
    assert [await each for each in native.as_completed([value("c", 3), task, value("a", 1)])] == ["a", "b", "c"]
    tasks = [each async for each in native.as_completed([value("c", 2), value("a", 1)])]
    assert [each.result() for each in tasks] == ["a", "c"]
    assert [each async for each in native.as_completed([task])] == [task]
    assert list(native.as_completed([])) == []


async def test_as_completed_raises_errors_where_they_are_awaited():
    results = []
    for each in native.as_completed([failing(ValueError("x"), 1), value("a", 2)]):
        try:
            results.append(await each)
        except ValueError as error:
            results.append(str(error))
    assert results == ["x", "a"]


async def test_as_completed_out_of_time():
    tasks = [native.create_task(value(i, i)) for i in (1, 5)]
    iterator = native.as_completed(tasks, timeout=2)
    assert await next(iterator) == 1
    with pytest.raises(TimeoutError):
        await next(iterator)
    assert await tasks[1] == 5


async def test_as_completed_takes_several():
    coro = value(1)
    with pytest.raises(TypeError, match="several"):
        native.as_completed(coro)  # type: ignore[arg-type]
    coro.close()


# --- shield, sleep, wait_for, timeouts --------------------------------------------------------------------------------


async def test_shield():
    task = native.create_task(value(1, 5))
    with trio.move_on_after(1) as scope:
        await native.shield(task)
    assert scope.cancelled_caught
    assert not task.done()
    assert await native.shield(task) == 1
    assert await native.shield(value(2)) == 2
    with pytest.raises(ValueError, match="x"):
        await native.shield(failing(ValueError("x")))


async def test_shield_of_a_coroutine_goes_on_after_the_wait_was_cancelled():
    notes = []

    async def save():
        await native.sleep(5)
        notes.append("saved")

    with trio.move_on_after(1):
        await native.shield(save())
    assert notes == []
    await native.sleep(5)
    assert notes == ["saved"]


async def test_sleep():
    start = trio.current_time()
    assert await native.sleep(3, "result") == "result"
    await native.sleep(0)
    await native.sleep(-1)
    assert trio.current_time() == start + 3
    with pytest.raises(ValueError):
        await native.sleep(math.nan)
    with trio.CancelScope() as scope:
        scope.cancel()
        await native.sleep(0)
    assert scope.cancelled_caught


async def test_wait_for():
    notes = []
    assert await native.wait_for(value(1, 1), 2) == 1
    assert await native.wait_for(value(1, 1), None) == 1
    assert await native.wait_for(native.create_task(value(2, 1)), 2) == 2
    for seconds in (1, 0, -1):
        with pytest.raises(native.TimeoutError):
            await native.wait_for(noting(notes, seconds), seconds)
    task = native.create_task(noting(notes, "task"))
    with pytest.raises(TimeoutError):
        await native.wait_for(task, 1)
    assert task.cancelled()
    assert notes == [1, 0, -1, "task"]
    with pytest.raises(KeyError):
        await native.wait_for(failing(KeyError()), 1)


async def test_timeout():
    start = trio.current_time()
    async with native.timeout(5) as scope:
        await native.sleep(1)
        assert scope.when() == start + 5
        assert not scope.expired()
    assert not scope.expired()
    with pytest.raises(TimeoutError):
        async with native.timeout(5) as scope:
            try:
                await native.sleep(10)
            finally:
                assert scope.expired()
    assert scope.expired()
    assert trio.current_time() == start + 6
    async with native.timeout(None) as scope:
        assert scope.when() is None
        await native.sleep(100)


async def test_timeout_that_is_moved():
    start = trio.current_time()
    with pytest.raises(TimeoutError):
        async with native.timeout(100) as scope:
            scope.reschedule(start + 2)
            await native.sleep(10)
    assert trio.current_time() == start + 2
    async with native.timeout_at(start + 4) as scope:
        scope.reschedule(None)
        assert scope.when() is None
        await native.sleep(10)
    assert "finished" in repr(scope)
    with pytest.raises(RuntimeError, match="finished"):
        scope.reschedule(1)
    with pytest.raises(RuntimeError, match="created"):
        native.timeout(1).reschedule(1)
    with pytest.raises(RuntimeError, match="once"):
        async with scope:
            pass


async def test_timeout_that_is_moved_too_late():
    with pytest.raises(TimeoutError):
        async with native.timeout(1) as scope:
            with pytest.raises(trio.Cancelled):
                await native.sleep(10)
            scope.reschedule(trio.current_time() + 10)  # asyncio raises RuntimeError
            await native.sleep(1)


async def test_timeouts_in_each_other_and_with_errors():
    start = trio.current_time()
    with pytest.raises(TimeoutError):
        async with native.timeout(2):
            with pytest.raises(TimeoutError):
                async with native.timeout(1):
                    await native.sleep(10)
            assert trio.current_time() == start + 1
            async with native.timeout(10):
                await native.sleep(10)
    assert trio.current_time() == start + 2
    with pytest.raises(KeyError):
        async with native.timeout(1):
            await failing(KeyError())
    with trio.move_on_after(1) as scope:
        async with native.timeout(5):
            await native.sleep(10)
    assert scope.cancelled_caught


async def test_timeout_is_level_triggered():
    interruptions = 0
    with pytest.raises(TimeoutError):
        async with native.timeout(1):
            for _ in range(3):
                try:
                    await native.sleep(10)
                except native.CancelledError:
                    interruptions += 1
            await native.sleep(10)
    assert interruptions == 3
