"""The loop: runs that pause, threads, executors, signals, asynchronous generators, debug mode, and wrong uses.

Most programs run on the real asyncio first, and must give the same on ours.
"""

import asyncio as std
import concurrent.futures
import contextvars
import functools
import gc
import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from fractions import Fraction

import pytest
import trio
import trio.testing
from trio.lowlevel import enable_ki_protection

import compat
from compat import asyncio
from worlds import WORLDS, Ended, hosted, on_both, stepped_by_trio, virtual_time

PROGRAMS = []


def program(function):
    """Collect a program(asyncio) that is to give the same on both."""
    PROGRAMS.append(function)
    return function


# --- runs that pause -------------------------------------------------------------------------------------------------


@program
def runner_keeps_background_tasks(asyncio):
    log = []

    async def background():
        for n in range(100):
            log.append(n)
            await asyncio.sleep(0)

    async def start():
        return asyncio.create_task(background())

    async def steps(n):
        log.append("steps")
        for _ in range(n):
            await asyncio.sleep(0)

    with asyncio.Runner() as runner:
        task = runner.run(start())
        log.append("pause")
        runner.run(steps(3))
        log.append("pause")
        runner.run(steps(2))
        log.append(task.done())
    log.append(task.cancelled())
    return log


@program
def runner_keeps_its_context(asyncio):
    variable = contextvars.ContextVar("variable", default=0)

    async def count():
        variable.set(variable.get() + 1)
        return variable.get()

    with asyncio.Runner() as runner:
        counts = [runner.run(count()) for _ in range(3)]
        counts.append(runner.run(count(), context=contextvars.Context()))
    return counts, variable.get()


@program
def runner_with_a_factory_that_is_false(asyncio):
    class Factory(list):
        def __call__(self):
            made.append("loop")
            return asyncio.new_event_loop()

    made = []
    with asyncio.Runner(loop_factory=Factory()) as runner:
        runner.run(asyncio.sleep(0))
    return made


@program
def timers_go_on_while_the_loop_stands_still(asyncio):
    log = []
    loop = asyncio.new_event_loop()
    loop.call_later(0.6, log.append, "second")
    loop.call_later(0.5, log.append, "first")  # late enough for a busy machine
    loop.run_until_complete(asyncio.sleep(0))
    log.append("pause")
    time.sleep(0.7)
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    return log


@program
def work_given_to_a_stopped_loop(asyncio):
    log = []

    async def body(name):
        log.append(name)
        await asyncio.sleep(0)
        log.append(name)
        return name

    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(body("a")), loop.create_task(body("b"))]
    loop.call_soon(log.append, "callback")
    tasks.append(loop.create_task(body("c")))
    future = loop.create_future()
    future.add_done_callback(lambda future: log.append(future.result()))
    future.set_result("future")
    log.append("nothing has run")
    log += [loop.run_until_complete(task) for task in tasks]
    loop.close()
    return log


@program
def stop_before_and_during(asyncio):
    log = []
    loop = asyncio.new_event_loop()

    def repeat(n):
        log.append(n)
        if n == 3:
            loop.stop()
        loop.call_soon(repeat, n + 1)

    loop.call_soon(repeat, 0)
    loop.stop()
    loop.run_forever()
    log.append("stopped at once")
    loop.run_forever()
    log.append("stopped")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    return log


@program
def run_until_complete_that_is_stopped(asyncio):
    loop = asyncio.new_event_loop()
    loop.call_soon(loop.stop)
    future = loop.create_future()
    log = []
    try:
        loop.run_until_complete(future)
    except RuntimeError as error:
        log.append(str(error))
    loop.call_soon(future.set_result, "value")
    log.append(loop.run_until_complete(future))
    loop.close()
    return log


@program
def several_loops_in_turn(asyncio):
    log = []

    async def body(name):
        for n in range(4):
            log.append((name, n))
            await asyncio.sleep(0)
            log.append(asyncio.get_running_loop() is loops[name])

    loops = {name: asyncio.new_event_loop() for name in "abc"}
    tasks = {name: loop.create_task(body(name)) for name, loop in loops.items()}
    for _ in range(3):
        for name, loop in loops.items():
            loop.call_soon(loop.stop)
            loop.run_forever()
            log.append(tasks[name].done())
    for name, loop in loops.items():
        loop.run_until_complete(tasks[name])
        loop.close()
    return log


@program
def loop_made_and_fed_while_another_runs(asyncio):
    log = []
    other = None

    async def body(name):
        log.append(name)
        await asyncio.sleep(0.001)
        log.append(name)
        return name

    async def main():
        nonlocal other
        other = asyncio.new_event_loop()
        other.call_soon(log.append, "callback")
        other.call_later(0.002, log.append, "timer")
        task = other.create_task(body("inner"))
        log.append(await body("outer"))
        try:
            other.run_until_complete(task)
        except RuntimeError as error:
            log.append(str(error))
        return task

    task = asyncio.run(main())
    log.append("switch")
    log.append(other.run_until_complete(task))
    other.run_until_complete(asyncio.sleep(0.01))
    other.close()
    return log


@program
def loop_per_thread(asyncio):
    def in_thread(name):
        log = []

        async def body():
            for n in range(5):
                log.append((name, n))
                await asyncio.sleep(0.001)
            return asyncio.get_running_loop() is asyncio.get_event_loop()

        log.append(asyncio.run(body()))
        return log

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(in_thread, "abcd"))


@program
def close_with_pending_tasks(asyncio):
    log = []

    async def body():
        try:
            await asyncio.sleep(30)
        except BaseException as error:
            log.append(type(error))
            raise

    loop = asyncio.new_event_loop()
    task = loop.create_task(body())
    task._log_destroy_pending = False
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.call_soon(log.append, "not run")
    loop.close()
    loop.close()
    log.append((task.done(), loop.is_closed()))
    task.get_coro().close()
    return log


@program
def uses_of_a_closed_loop(asyncio):
    async def body():
        pass

    loop = asyncio.new_event_loop()
    loop.close()
    log = [loop.is_running(), loop.is_closed()]
    coro = body()
    for use in (
        lambda: loop.call_soon(print),
        lambda: loop.call_later(1, print),
        lambda: loop.call_at(1, print),
        lambda: loop.call_soon_threadsafe(print),
        lambda: loop.create_task(coro),
        lambda: loop.run_in_executor(None, print),
        lambda: loop.run_forever(),
        lambda: loop.run_until_complete(coro),
        lambda: loop.add_signal_handler(signal.SIGUSR1, print),
    ):
        try:
            use()
        except RuntimeError as error:
            log.append(str(error))
    coro.close()
    return log


@program
def order_of_callbacks_and_tasks(asyncio):
    log = []

    async def body(name):
        loop = asyncio.get_running_loop()
        for n in range(3):
            log.append((name, n))
            loop.call_soon(log.append, (name, n, "callback"))
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*[body(name) for name in range(5)])
        await asyncio.sleep(0)

    asyncio.run(main())
    return log


@program
def handles_and_timers(asyncio):
    log = []

    async def main():
        loop = asyncio.get_running_loop()
        handle = loop.call_soon(log.append, "cancelled")
        handle.cancel()
        log.append(handle.cancelled())
        timer = loop.call_later(0.001, log.append, "cancelled")
        timer.cancel()
        now = loop.time()
        timers = [loop.call_at(now + 0.002 * n, log.append, n) for n in (3, 1, 2)]
        log.append([timer.when() - now > 0 for timer in timers])
        await asyncio.sleep(0.02)
        log.append([timer.cancelled() for timer in timers])
        for bad in (lambda: loop.call_later(None, print), lambda: loop.call_at(None, print)):
            try:
                bad()
            except TypeError as error:
                log.append(str(error))

    asyncio.run(main())
    return log


@program
def timers_of_which_most_are_cancelled(asyncio):
    """So many that all of these are taken out at once: the others come in their order."""
    log = []

    async def main():
        loop, delays = asyncio.get_running_loop(), random.Random(18).sample(range(300), 300)
        start = loop.time() + 0.005
        for timer in [loop.call_at(start + delay / 10_000, log.append, delay) for delay in delays][:200]:
            timer.cancel()
        await asyncio.sleep(0.05)

    asyncio.run(main())
    return log


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
@pytest.mark.parametrize("others", [[], [5], [1, 5], [5, 6, 7, 8]])
def test_a_time_that_is_no_number(world, others):
    """It is refused, whatever timers there are, and these come as if nothing had been. asyncio's loop can break."""

    async def main():
        loop, log = asyncio.get_running_loop(), []
        for delay in others:
            loop.call_later(delay, log.append, delay)
        for call in (loop.call_at, loop.call_later):
            with pytest.raises(TypeError):
                call("x", log.append, "x")
        loop.call_at(Fraction(loop.time() + 2), log.append, 2)
        await asyncio.sleep(10)
        assert log == sorted([*others, 2])

    world(main)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
def test_a_cancelled_timer_wakes_nobody(world):
    """Also if it has come to be the first one since."""

    class Waits(trio.abc.Instrument):
        def before_io_wait(self, timeout):
            times.add(trio.current_time())

    async def main():
        loop = asyncio.get_running_loop()
        loop.call_later(1, log.append, 1)
        loop.call_later(2, log.append, 2).cancel()
        await asyncio.sleep(3)

    times, log = set(), []
    world(main, instruments=[Waits()])
    assert log == [1]
    assert times == {0, 1, 3}


# --- contexts --------------------------------------------------------------------------------------------------------


@program
def contexts(asyncio):
    variable = contextvars.ContextVar("variable", default="unset")
    log = []

    async def body(value):
        log.append(variable.get())
        variable.set(value)
        await asyncio.sleep(0)
        log.append(variable.get())

    async def main():
        loop = asyncio.get_running_loop()
        variable.set("main")
        context = contextvars.copy_context()
        await asyncio.create_task(body("own"))
        await asyncio.create_task(body("given"), context=context)
        log.append((variable.get(), context[variable]))
        loop.call_soon(lambda: (log.append(variable.get()), variable.set("callback")))
        loop.call_soon(lambda: (log.append(variable.get()), variable.set("callback")), context=context)
        await asyncio.sleep(0)
        log.append((variable.get(), context[variable]))
        loop.call_later(0, lambda: log.append(variable.get()), context=context)
        future = loop.create_future()
        future.add_done_callback(lambda future: log.append(variable.get()), context=context)
        future.set_result(None)
        async with asyncio.TaskGroup() as group:
            group.create_task(body("group"), context=context)
        log.append((variable.get(), context[variable]))
        log.append(await asyncio.to_thread(variable.get))
        log.append(await loop.run_in_executor(None, variable.get))
        await asyncio.sleep(0.001)

    asyncio.run(main())
    return log


# --- threads ---------------------------------------------------------------------------------------------------------


@program
def call_soon_threadsafe(asyncio):
    log = []

    async def main():
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def in_thread():
            for n in range(100):
                loop.call_soon_threadsafe(log.append, n)
            loop.call_soon_threadsafe(lambda: done.set_result(threading.current_thread() is threading.main_thread()))

        thread = threading.Thread(target=in_thread)
        thread.start()
        log.append(await done)
        thread.join()

    asyncio.run(main())
    return log


@program
def threadsafe_callbacks_while_the_loop_stands_still(asyncio):
    log = []
    loop = asyncio.new_event_loop()
    loop.call_soon_threadsafe(log.append, 1)
    thread = threading.Thread(target=lambda: [loop.call_soon_threadsafe(log.append, n) for n in (2, 3)])
    thread.start()
    thread.join()
    loop.call_soon(log.append, 4)
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    return log


@program
def run_coroutine_threadsafe(asyncio):
    log, in_loop = [], []

    async def body(value):
        try:
            await asyncio.sleep(value)
        except asyncio.CancelledError:
            in_loop.append("cancelled")
            raise
        return value

    async def fail():
        raise ValueError("body")

    async def main():
        loop = asyncio.get_running_loop()
        running = []

        async def keep():
            running.append(asyncio.current_task())
            await asyncio.sleep(30)

        def in_thread():
            log.append(asyncio.run_coroutine_threadsafe(body(0.001), loop).result())
            try:
                asyncio.run_coroutine_threadsafe(fail(), loop).result()
            except ValueError as error:
                log.append(str(error))
            # Cancelled from here, and from there.
            future = asyncio.run_coroutine_threadsafe(body(30), loop)
            with suppress(concurrent.futures.TimeoutError):
                future.result(0.01)
            log.append(future.cancel())
            future = asyncio.run_coroutine_threadsafe(keep(), loop)
            while not running:
                time.sleep(0.001)
            loop.call_soon_threadsafe(running[0].cancel)
            try:
                future.result()
            except concurrent.futures.CancelledError:
                log.append("cancelled there")
            try:
                asyncio.run_coroutine_threadsafe(print, loop)
            except TypeError as error:
                log.append(str(error))
            return "end"

        log.append(await asyncio.to_thread(in_thread))
        await asyncio.sleep(0.01)

    asyncio.run(main())
    return log, in_loop


@program
def executors(asyncio):
    def where():
        return threading.current_thread().name.rpartition("_")[0]

    async def main():
        loop = asyncio.get_running_loop()
        log = []
        with concurrent.futures.ThreadPoolExecutor(1, "own") as own:
            log.append(await loop.run_in_executor(own, where))
            try:
                await loop.run_in_executor(own, divmod, 1, 0)
            except ZeroDivisionError as error:
                log.append(str(error))
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1, "default"))
        log.append(await loop.run_in_executor(None, where))
        log.append(await asyncio.to_thread(where))
        try:
            # Forked, as others keep a child of multiprocessing's running from here on.
            fork = multiprocessing.get_context("fork")
            loop.set_default_executor(concurrent.futures.ProcessPoolExecutor(1, fork))
        except TypeError as error:
            log.append(str(error))
        await loop.shutdown_default_executor()
        try:
            await loop.run_in_executor(None, where)
        except RuntimeError as error:
            log.append(str(error))
        return log

    return asyncio.run(main())


@program
def default_executor_is_waited_for(asyncio):
    log = []

    async def main():
        end_of_main = threading.Event()
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, lambda: (end_of_main.wait(), time.sleep(0.02), log.append("thread")))
        log.append("main")
        end_of_main.set()

    asyncio.run(main())
    log.append("end")
    return log


@program
def cancelled_call_in_a_thread_goes_on(asyncio):
    log = []

    async def main():
        begun, release = threading.Event(), threading.Event()

        def in_thread():
            begun.set()
            release.wait()
            log.append("thread")

        task = asyncio.create_task(asyncio.to_thread(in_thread))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            log.append("cancelled")
        release.set()

    asyncio.run(main())
    return log


@program
def default_executor_has_as_many_threads(asyncio):
    """And what does not fit waits for its turn."""
    at_work, most, lock = 0, 0, threading.Lock()

    def work():
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.05)
        with lock:
            at_work -= 1

    async def main():
        await asyncio.gather(*[asyncio.to_thread(work) for _ in range(20)])

    asyncio.run(main())
    return most, at_work


@program
def close_leaves_calls_in_threads_at_work(asyncio):
    """Those that have begun, and those that wait for their turn."""
    gate, ended = threading.Event(), threading.Semaphore(0)
    loop, names, calls = asyncio.new_event_loop(), set(), 40

    def work():
        gate.wait()
        names.add(threading.current_thread().name)
        ended.release()

    async def main():
        for _ in range(calls):
            loop.run_in_executor(None, work)

    loop.run_until_complete(main())
    loop.close()
    gate.set()
    for _ in range(calls):
        ended.acquire()
    return names <= {f"asyncio_{n}" for n in range(calls)}


@program
def calls_in_threads_that_are_cancelled_before_their_turn(asyncio):
    gate, called = threading.Event(), []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))
        blocking = loop.run_in_executor(None, gate.wait)
        waiting = [loop.run_in_executor(None, called.append, n) for n in range(3)]
        waiting[1].cancel()
        await asyncio.sleep(0)  # the executor is told by a callback
        gate.set()
        await asyncio.wait([blocking, *waiting])
        return [each.cancelled() for each in waiting]

    return asyncio.run(main()), called


# --- signals ---------------------------------------------------------------------------------------------------------


@program
def signal_handlers(asyncio):
    log = []

    async def main():
        loop = asyncio.get_running_loop()
        came = asyncio.Event()

        def handler(*args):
            log.append(args)
            came.set()

        loop.add_signal_handler(signal.SIGUSR1, handler, 1, 2)
        os.kill(os.getpid(), signal.SIGUSR1)
        await came.wait()
        came.clear()
        loop.add_signal_handler(signal.SIGUSR1, handler, "replaced")
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        await came.wait()
        log.append((loop.remove_signal_handler(signal.SIGUSR1), loop.remove_signal_handler(signal.SIGUSR1)))
        for bad in (
            lambda: loop.add_signal_handler("SIGUSR1", handler),
            lambda: loop.add_signal_handler(1000, handler),
            lambda: loop.add_signal_handler(signal.SIGKILL, handler),
            lambda: loop.add_signal_handler(signal.SIGUSR1, main),
            lambda: loop.remove_signal_handler("SIGUSR1"),
            lambda: loop.remove_signal_handler(1000),
        ):
            try:
                bad()
            except (TypeError, ValueError, RuntimeError) as error:
                log.append((type(error), str(error)))
        with pytest.raises(RuntimeError) as refused:
            await asyncio.to_thread(loop.add_signal_handler, signal.SIGUSR2, handler)
        log.append((str(refused.value), loop.remove_signal_handler(signal.SIGUSR2)))
        loop.add_signal_handler(signal.SIGUSR1, handler, "left")

    asyncio.run(main())
    log.append(signal.getsignal(signal.SIGUSR1))
    return log


@pytest.mark.skipif(sys.platform != "linux", reason="needs epoll")
@pytest.mark.parametrize("with_files", [False, True], ids=["trio's files alone", "files of the loop's"])
def test_what_a_failed_poll_has_seen_is_seen_again(with_files, monkeypatch):
    """Where a signal handler raises as a poll ends. trio's epoll reports once what is ready, the signal among it."""

    class OfHandler(Exception):
        pass

    async def wait_for_data(sock):
        return await sock.recv(1)

    async def main():
        near, far = trio.socket.socketpair()
        loop = asyncio.get_running_loop()
        if with_files:
            loop.add_reader(far.fileno(), int)
        receiving = asyncio.create_task(wait_for_data(near))
        await asyncio.sleep(0.001)
        kind = type(loop._runner.io_manager)
        get_events = kind.get_events

        def failing(self, timeout):
            if get_events(self, timeout):
                monkeypatch.undo()
                raise OfHandler
            return []

        monkeypatch.setattr(kind, "get_events", failing)
        await far.send(b"x")
        with near, far:
            return await receiving

    loop = asyncio.new_event_loop()
    try:
        ends = loop.create_task(main())
        with pytest.raises(OfHandler):
            loop.run_until_complete(ends)
        assert loop.run_until_complete(asyncio.wait_for(ends, 5)) == b"x"
    finally:
        loop.close()


@pytest.mark.parametrize("world", [hosted, stepped_by_trio])
def test_ctrl_c_is_trios_again_when_its_handler_is_removed(world):
    """Python's own handler would break into trio's code, and what had been under way would be lost."""

    async def main():
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, int)
        loop.remove_signal_handler(signal.SIGINT)

        @enable_ki_protection
        async def interrupted():
            signal.raise_signal(signal.SIGINT)
            log.append("goes on")
            await trio.sleep(1)

        await interrupted()

    log = []
    with pytest.raises(KeyboardInterrupt):
        world(main)
    assert log == ["goes on"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_call_soon_threadsafe_from_a_signal_handler():
    """Real signal handlers, at any time: while the loop waits, and while it is busy."""
    came = []

    async def main():
        loop = asyncio.get_running_loop()
        signal.signal(signal.SIGUSR1, lambda *args: loop.call_soon_threadsafe(came.append, 1))
        for wait in (0.01, 0):
            for _ in range(50):
                before = len(came)
                os.kill(os.getpid(), signal.SIGUSR1)
                while len(came) == before:
                    await asyncio.sleep(wait)

    handler = signal.getsignal(signal.SIGUSR1)
    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGUSR1, handler)
    assert len(came) == 100


# --- asynchronous generators -----------------------------------------------------------------------------------------


@program
def asyncgens_are_closed_at_the_end(asyncio):
    log = []

    async def generate(name):
        try:
            yield name
            yield name
        finally:
            await asyncio.sleep(0)
            log.append(f"{name} closed")

    async def main():
        generators = [generate("a"), generate("b")]
        log.extend([await anext(generator) for generator in generators])
        log.append("end of main")
        return generators

    kept = asyncio.run(main())
    log.append(len(kept))
    return sorted(log, key=str)


@program
def asyncgen_that_nobody_holds_is_finalized(asyncio):
    log = []

    async def generate():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            log.append("closed")

    async def main():
        async for value in generate():
            log.append(value)
            break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        log.append("main")

    asyncio.run(main())
    return log


@program
def asyncgen_that_fails_at_the_end(asyncio):
    log = []

    async def generate():
        try:
            yield 1
        finally:
            raise ValueError("closing")

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: log.append((str(context["exception"]), sorted(context))))
        generator = generate()
        log.append(await anext(generator))
        return generator

    kept = asyncio.run(main())
    log.append(kept is not None)
    return log


def test_the_hooks_for_asyncgens_are_given_back():
    async def main():
        before = sys.get_asyncgen_hooks()
        async with compat.open_loop():
            assert sys.get_asyncgen_hooks() != before
        assert sys.get_asyncgen_hooks() == before

    before = sys.get_asyncgen_hooks()
    trio.run(main)
    asyncio.run(asyncio.sleep(0))
    assert sys.get_asyncgen_hooks() == before


def test_the_hooks_of_others_stay():
    """A loop whose run has broken leaves its thread late: the hooks may be those of another run."""

    def others(agen):
        pass

    async def main():
        async with compat.open_loop() as loop:
            pass
        sys.set_asyncgen_hooks(firstiter=others)
        loop._leave_thread()
        assert sys.get_asyncgen_hooks().firstiter is others

    trio.run(main)


def test_asyncgen_with_the_id_of_one_that_has_ended():
    """It is told by its id whose it is. Here a trio task's has the id that one of an asyncio Task's had."""

    async def generate():
        yield 1

    async def to_the_end():
        async for _ in generate():
            pass

    async def main():
        async with compat.open_loop() as loop:
            kept = []
            while not kept or id(kept[-1]) not in loop._asyncgen_ids:
                await asyncio.create_task(to_the_end())
                kept.append(generate())
            await anext(kept[-1])
            assert id(kept[-1]) not in loop._asyncgen_ids
            await kept[-1].aclose()

    trio.run(main)


def test_asyncgen_of_a_plain_trio_task_is_trios(autojump_clock):
    """It is trio that finalizes it, in a cancelled scope, when the run ends; ours when the loop ends."""
    log = []

    async def generate(name):
        try:
            yield name
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
            log.append(name)

    async def main():
        async with trio.open_nursery() as nursery:
            kept = []

            async def in_trio():
                kept.append(generate("trio"))
                await anext(kept[-1])

            async def in_asyncio():
                kept.append(generate("asyncio"))
                await anext(kept[-1])

            async with compat.open_loop():
                nursery.start_soon(in_trio)
                await asyncio.create_task(in_asyncio())
            log.append("loop closed")
        return kept

    kept = trio.run(main, clock=virtual_time())
    assert len(kept) == 2
    assert log == ["asyncio", "loop closed", "trio"]


# --- exception handler, debug mode -----------------------------------------------------------------------------------


@program
def exception_handler(asyncio):
    log = []

    def handler(loop, context):
        log.append((context["message"].partition(" at 0x")[0], repr(context.get("exception")), sorted(context)))

    def fail():
        raise ValueError("callback")

    async def fail_later():
        await asyncio.sleep(0)
        raise ValueError("task")

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(handler)
        log.append(loop.get_exception_handler() is handler)
        loop.call_soon(fail)
        asyncio.create_task(fail_later())
        future = loop.create_future()
        future.add_done_callback(lambda future: fail())
        future.set_result(None)
        for _ in range(4):
            await asyncio.sleep(0)
        gc.collect()
        loop.call_exception_handler({"message": "by hand"})

    asyncio.run(main())
    return [entry if isinstance(entry, bool) else (entry[0].split("<")[0], *entry[1:]) for entry in log]


@program
def slow_callbacks_are_logged(asyncio):
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    logger.propagate = False

    def slow():
        time.sleep(0.16)

    async def main():
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0.15
        loop.call_soon(slow)
        await asyncio.sleep(0.001)
        slow()
        await asyncio.sleep(0.001)

    try:
        asyncio.run(main(), debug=True)
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    slow_ones = [message for message in records if message.startswith("Executing")]
    return (
        len(slow_ones),
        ["Task" in message for message in slow_ones],
        [" took 0." in message for message in slow_ones],
    )


@program
def quick_callbacks_are_not_described(asyncio):
    class Callback:
        def __call__(self):
            called.append(self)

        def __repr__(self):
            raise ValueError

    async def main():
        asyncio.get_running_loop().call_soon(Callback())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    called = []
    asyncio.run(main(), debug=True)
    return len(called)


@program
def debug_mode(asyncio):
    log = []

    async def main():
        loop = asyncio.get_running_loop()
        log.append((loop.get_debug(), sys.get_coroutine_origin_tracking_depth() > 0))
        for bad in (lambda: loop.call_soon(main), lambda: loop.call_later(1, 5)):
            try:
                bad()
            except TypeError as error:
                log.append(str(error).partition(" at 0x")[0])

        future = loop.create_future()

        def in_thread():
            for use in (
                lambda: loop.call_soon(print),
                lambda: loop.call_later(1, print),
                lambda: future.set_result(None),
            ):
                try:
                    use()
                except RuntimeError as error:
                    log.append(str(error))

        async def wait():
            await future

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        await asyncio.to_thread(in_thread)
        waiting._log_destroy_pending = False  # nothing wakes it
        task = asyncio.create_task(asyncio.sleep(0))
        log.append(task._source_traceback[-1].name)
        log.append(loop.create_future()._source_traceback[-1].name)
        log.append(loop.call_soon(int)._source_traceback[-1].name)
        await task

    asyncio.run(main(), debug=True)
    log.append(sys.get_coroutine_origin_tracking_depth())
    return log


@program
def unclosed_loop(asyncio):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop = asyncio.new_event_loop()
        del loop
        gc.collect()
    return [(warning.category, str(warning.message).partition("<")[0]) for warning in caught]


@program
def loop_repr(asyncio):
    """Ours says also what it is on."""

    def state():
        return repr(loop).replace(" on trio", "").partition(" ")[2]

    loop = asyncio.new_event_loop()
    states = [state()]
    loop.call_soon(lambda: states.append(state()))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    return [*states, state()]


# --- wrong uses ------------------------------------------------------------------------------------------------------


@program
def sleep_for_no_number_of_seconds(asyncio):
    """Up to 3.12 it comes behind the timers that are there; from 3.13 on it is refused."""
    log = []

    async def sleep(result):
        log.append(await asyncio.sleep(float("nan"), result))

    async def outcome(awaitable):
        try:
            await awaitable
        except (ValueError, TimeoutError) as error:
            log.append(type(error).__name__)

    async def main():
        await outcome(sleep("alone"))
        await outcome(asyncio.wait_for(sleep("in wait_for"), 0.01))
        asyncio.get_running_loop().call_later(0.01, log.append, "timer")
        await outcome(sleep("behind a timer"))
        await asyncio.sleep(0.02)

    asyncio.run(main())
    return log


@program
def asyncio_run_inside_a_running_loop(asyncio):
    log = []

    async def body():
        pass

    async def main():
        loop, other = asyncio.get_running_loop(), asyncio.new_event_loop()
        coro = body()
        for use in (
            lambda: asyncio.run(coro),
            lambda: asyncio.Runner().run(coro),
            lambda: asyncio.Runner().run(1),
            lambda: loop.run_until_complete(coro),
            lambda: loop.close(),
            lambda: other.run_until_complete(other.create_future()),
        ):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    use()
            except Exception as error:
                log.append((type(error), str(error)))
        coro.close()
        other.close()

    asyncio.run(main())
    return log


@program
def no_running_loop(asyncio):
    async def body():
        pass

    log = []
    coro = body()
    for use in (
        asyncio.get_running_loop,
        asyncio.current_task,
        asyncio.all_tasks,
        lambda: asyncio.create_task(coro),
        lambda: asyncio.sleep(1).send(None),
        lambda: asyncio.timeout(1),
        lambda: asyncio.to_thread(print).send(None),
        lambda: asyncio.TaskGroup().__aenter__().send(None),
        lambda: asyncio.wait_for(coro, 1).send(None),
    ):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                use()
        except Exception as error:
            log.append((type(error), str(error)))
    coro.close()
    return log


@program
def wrong_arguments(asyncio):
    async def body():
        pass

    log = []

    async def main():
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(asyncio.sleep(30), name="T")
        await asyncio.sleep(0)
        coro = body()
        other = asyncio.new_event_loop()
        foreign = other.create_future()

        async def foreign_future():
            await foreign

        async def itself():
            await asyncio.current_task()

        @functools.partial(lambda function: function)
        async def bad_yield():
            class Bad:
                def __await__(self):
                    yield "bad"

            await Bad()

        async def twice():
            async with asyncio.timeout(1) as limit:
                async with limit:
                    pass

        async def group_twice():
            async with asyncio.TaskGroup() as group:
                async with group:
                    pass

        async def reschedule():
            async with asyncio.timeout(1) as limit:
                pass
            limit.reschedule(1)

        async def finished_group():
            async with asyncio.TaskGroup() as group:
                pass
            group.create_task(coro)

        def stop_iteration():
            future = loop.create_future()
            future.set_exception(StopIteration())
            return future

        for use in (
            lambda: asyncio.create_task(1),
            lambda: asyncio.create_task(task),
            lambda: asyncio.ensure_future(1),
            lambda: asyncio.ensure_future(foreign, loop=loop),
            lambda: asyncio.gather(1),
            lambda: asyncio.gather(task, foreign),
            lambda: asyncio.wait([]),
            lambda: asyncio.wait(coro),
            lambda: asyncio.wait([coro]),
            lambda: asyncio.wait([task], return_when="never"),
            lambda: asyncio.wait_for(1, 1),
            lambda: asyncio.shield(1),
            lambda: asyncio.sleep("1"),
            lambda: list(asyncio.as_completed(coro)),
            lambda: list(asyncio.as_completed(task)),
            lambda: task.set_result(1),
            lambda: task.set_exception(ValueError()),
            lambda: task.result(),
            lambda: task.exception(),
            lambda: loop.create_future().result(),
            stop_iteration,
            lambda: asyncio.Runner().run(1),
            lambda: asyncio.timeout(1).reschedule(1),
            lambda: asyncio.TaskGroup().create_task(coro),
            foreign_future,
            itself,
            bad_yield,
            twice,
            group_twice,
            reschedule,
            finished_group,
        ):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    result = use()
                    if hasattr(result, "__await__"):
                        await asyncio.ensure_future(result)
            except Exception as error:
                text = str(error).partition("<")[0]
                if isinstance(error, ExceptionGroup):
                    text = str(error.exceptions[0])
                log.append((getattr(use, "__name__", ""), type(error), text))
            else:
                log.append("no error")
        coro.close()
        other.close()
        task.cancel()

    asyncio.run(main())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
    return log


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_same_as_on_asyncio(program):
    expected, result = on_both(program)
    assert result == expected
    assert result  # an empty log compares nothing


def message(use):
    with pytest.raises(Exception) as caught:
        use()
    return type(caught.value), str(caught.value)


def test_inside_a_trio_run_without_a_loop(caplog):
    """asyncio's exceptions, and for what to do about it a text of ours."""

    async def body():
        pass

    coro = body()

    async def main():
        log = [message(lambda: asyncio.run(coro)), message(lambda: asyncio.Runner().run(coro))]
        log += [message(use) for use in (asyncio.get_running_loop, asyncio.current_task)]
        log.append(message(lambda: asyncio.create_task(coro)))
        with pytest.raises(RuntimeError) as caught:
            await asyncio.sleep(1)
        log.append((RuntimeError, str(caught.value)))
        loop = asyncio.new_event_loop()
        log.append(message(lambda: loop.run_until_complete(coro)))
        loop.close()
        return log

    log = trio.run(main)
    coro.close()
    assert all(error is RuntimeError for error, _ in log)
    texts = [text for _, text in log]
    assert texts[:2] == [
        "asyncio.run() cannot be called from a running event loop",
        "Runner.run() cannot be called from a running event loop",
    ]
    for text in texts[2:6]:
        assert text.startswith("no running event loop")
        assert "compat.run()" in text
        assert "compat.open_loop()" in text
    assert texts[6] == "Cannot run the event loop while another loop is running"


def test_open_loop_where_it_cannot_be():
    async def main():
        async with compat.open_loop():
            async with compat.open_loop():
                pass

    opening = compat.open_loop().__aenter__()
    error, text = message(lambda: opening.send(None))
    assert error is RuntimeError
    assert "trio.run()" in text
    assert "compat.run()" in text
    error, text = message(lambda: trio.run(main))
    assert error is RuntimeError
    assert "asyncio.get_running_loop()" in text
    error, text = message(lambda: asyncio.run(main()))
    assert error is RuntimeError


def test_compat_run_inside_a_run():
    async def inner():
        pass

    async def main():
        compat.run(inner)

    for run in (lambda: compat.run(main), lambda: trio.run(main), lambda: asyncio.run(main())):
        with pytest.raises(RuntimeError):
            run()


def test_hosted_loop_says_who_ends_it():
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        assert message(loop.run_forever) == (RuntimeError, "This event loop is already running")
        assert message(lambda: loop.run_until_complete(future)) == (RuntimeError, "This event loop is already running")
        assert message(loop.close) == (RuntimeError, "Cannot close a running event loop")
        error, text = message(loop.stop)
        assert error is RuntimeError
        assert "open_loop()" in text

    compat.run(main)


# --- our loop beside other runs --------------------------------------------------------------------------------------


def test_only_our_run_is_in_order():
    """A trio run in another thread stays as shuffled as it was, while a loop of ours runs; and afterwards."""
    running, done = threading.Event(), threading.Event()

    async def order():
        log = []

        async def child(n):
            log.append(n)

        async with trio.open_nursery() as nursery:
            for n in range(8):
                nursery.start_soon(child, n)
        return tuple(log)

    async def orders():
        return {await order() for _ in range(30)}

    async def main():
        running.set()
        ours = set()
        while not done.is_set():
            ours.add(await order())
            await asyncio.sleep(0.001)
        return ours

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        ours = pool.submit(asyncio.run, main())
        running.wait()
        try:
            theirs = trio.run(orders)
        finally:
            done.set()
        assert ours.result() == {tuple(range(8))}
    assert len(theirs) > 1
    assert len(trio.run(orders)) > 1


OURS, HYPOTHESIS, PYTEST_TRIO = "compat.asyncio as asyncio", "hypothesis", "pytest_trio.plugin"
IMPORTS = [(OURS,), (OURS, HYPOTHESIS, PYTEST_TRIO), (HYPOTHESIS, OURS, PYTEST_TRIO), (HYPOTHESIS, PYTEST_TRIO, OURS)]


@pytest.mark.parametrize("imports", IMPORTS, ids=", ".join)
def test_hypothesis_does_not_shuffle_a_loop(imports):
    """Hypothesis and pytest-trio have trio sort and shuffle every batch: in other runs they still do."""
    program = f"""
        import {", ".join(imports)}
        import trio

        async def order():
            log = []
            async def child(n):
                log.append(n)
            async with trio.open_nursery() as nursery:
                for n in range(8):
                    nursery.start_soon(child, n)
            return log

        print({{str(asyncio.run(order())) for _ in range(30)}} == {{str([*range(8)])}})
        print(len({{str(trio.run(order)) for _ in range(30)}}) > 1)
    """
    ended = Ended(program)
    assert (ended.out, ended.error) == ("True\nTrue\n", "")


def test_order_of_a_trio_run_before_and_after_a_loop():
    """The order is kept while the loop is open, not for the rest of the run."""

    async def order():
        log = []

        async def child(n):
            log.append(n)

        async with trio.open_nursery() as nursery:
            for n in range(8):
                nursery.start_soon(child, n)
        return tuple(log)

    async def main():
        before = {await order() for _ in range(30)}
        async with compat.open_loop():
            during = {await order() for _ in range(30)}
        after = {await order() for _ in range(30)}
        return before, during, after

    before, during, after = trio.run(main)
    assert len(before) > 1
    assert during == {tuple(range(8))}
    assert len(after) > 1


def test_loops_in_threads_beside_each_other():
    """Many driven loops and trio runs at once, in threads: none notices another."""

    async def body(seed):
        source = random.Random(seed)
        total = 0
        for _ in range(20):
            total += sum(await asyncio.gather(*[asyncio.sleep(source.random() / 1000, n) for n in range(5)]))
            await asyncio.to_thread(int)
        return total

    def run(seed):
        return (asyncio.run(body(seed)), compat.run(body, seed), std.run(asyncio_only(seed)))

    async def asyncio_only(seed):
        return sum(await std.gather(*[std.sleep(0.001, n) for n in range(5)])) * 20

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(8))) == [(200, 200, 200)] * 8


def test_loop_driven_inside_a_trio_thread():
    """asyncio.run() in a worker thread of trio's, called back from there into trio."""

    def in_thread():
        async def main():
            await asyncio.sleep(0.001)
            return await asyncio.to_thread(int, "5")

        return asyncio.run(main())

    async def main():
        return await trio.to_thread.run_sync(in_thread)

    assert trio.run(main) == 5
    assert compat.run(main) == 5


# --- virtual time ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
def test_virtual_time(world):
    async def main():
        loop = asyncio.get_running_loop()
        start = loop.time()
        log = []
        loop.call_later(720, log.append, "timer")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(1_000_000), 360)
        assert loop.time() - start == 360
        await trio.sleep(361)
        assert log == ["timer"]
        assert trio.current_time() == loop.time() == start + 721

    world(main, clock=virtual_time())


def test_real_time():
    """Timers do not fire early, and the loop's time is time.monotonic(), as asyncio's."""

    async def main():
        loop = asyncio.get_running_loop()
        start = time.monotonic()
        assert start <= loop.time() <= time.monotonic()
        await asyncio.sleep(0.05)
        assert time.monotonic() - start > 0.049

    asyncio.run(main())


# --- eager tasks -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has eager tasks from 3.12 on")
def test_eager_tasks():
    def program(asyncio):
        log = []

        async def body(name, steps):
            log.append((name, asyncio.current_task().get_name().startswith("Task-")))
            for _ in range(steps):
                await asyncio.sleep(0)
                log.append(name)
            return name

        async def fail():
            raise ValueError

        async def main():
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            tasks = [asyncio.create_task(body(n, n), name=f"T{n}") for n in range(3)]
            log.append([task.done() for task in tasks])
            failed = asyncio.create_task(fail())
            log.append((failed.done(), type(failed.exception())))
            async with asyncio.TaskGroup() as group:
                log.append(group.create_task(body("group", 0)).done())
                group.create_task(body("later", 1))
            log.append(await asyncio.gather(*tasks))
            asyncio.get_running_loop().set_task_factory(None)
            log.append(asyncio.create_task(body("lazy", 0)).done())
            await asyncio.sleep(0)

        asyncio.run(main())
        return log

    expected, log = on_both(program)
    assert log == expected
    assert [True, False, False] in log


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has eager tasks from 3.12 on")
def test_eager_task_uses_trio_in_its_first_step():
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        outer = trio.lowlevel.current_task()
        inside = []

        async def body():
            inside.append(trio.lowlevel.current_task())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 1)
            return "value"

        task = asyncio.create_task(body())
        assert inside[0] is not outer
        assert trio.lowlevel.current_task() is outer
        assert not task.done()
        with trio.CancelScope() as scope:
            scope.cancel()
            eager = asyncio.create_task(body())
        assert await task == await eager == "value"

    compat.run(main, clock=virtual_time())


def test_call_soon_threadsafe_keeps_its_place_while_the_loop_stands_still():
    def program(asyncio):
        log = []

        async def task(number):
            log.append(("task", number))

        loop = asyncio.new_event_loop()
        loop.call_soon(log.append, "soon")
        loop.call_soon_threadsafe(log.append, "first")
        tasks = [loop.create_task(task(1))]
        loop.call_soon_threadsafe(log.append, "second")
        tasks.append(loop.create_task(task(2)))
        loop.run_until_complete(asyncio.sleep(0))
        log.append("stands still")
        loop.call_soon_threadsafe(loop.stop)
        loop.call_soon(log.append, "in the same batch")
        loop.run_forever()
        loop.close()
        return log

    theirs, ours = on_both(program)
    assert ours == theirs


def test_what_threads_have_done_is_known_when_they_have_ended():
    def program(asyncio):
        async def main():
            loop = asyncio.get_running_loop()
            loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(4))
            calls = [loop.run_in_executor(None, time.sleep, 0.001 * n) for n in range(20)]
            await loop.shutdown_default_executor()
            return [call.done() for call in calls]

        return asyncio.run(main())

    for _ in range(10):
        theirs, ours = on_both(program)
        assert ours == theirs == [True] * 20


def test_future_without_a_loop_belongs_to_the_one_that_was_set():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        assert asyncio.Future().get_loop() is loop
        coro = asyncio.sleep(0, "slept")
        assert loop.run_until_complete(asyncio.Task(coro)) == "slept"
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_call_from_a_thread_that_comes_in_while_the_loop_is_being_closed(monkeypatch):
    """A thread has seen the loop run, and puts its callback down when close() has looked for such."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    called, take_nothing_more = [], loop._take_nothing_more

    def thread_comes_in():
        take_nothing_more()
        loop._append_from_anywhere(asyncio.Handle(called.append, ("late",), loop))

    monkeypatch.setattr(loop, "_take_nothing_more", thread_comes_in)
    loop.close()
    assert loop.is_closed()
    assert not called


def test_callbacks_are_not_timed_without_debug_mode(caplog):
    """With an instrument that looks at the steps of tasks, neither."""

    async def main():
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0
        loop.call_soon(int)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    stepped_by_trio(main)
    assert not caplog.records


def test_a_loop_with_a_time_of_its_own_is_refused():
    """Its timers would not follow it."""

    class Loop(asyncio.SelectorEventLoop):
        def time(self):
            return 0.0

    with pytest.raises(TypeError, match=r"Loop has a time\(\) of its own, .* compat\.virtual_time\(\)"):
        Loop()
