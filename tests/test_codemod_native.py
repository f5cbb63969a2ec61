"""The codemod for modules on native: what each rule makes of a program, that it prints the same, and what is left."""

import contextlib
import io
import re
import textwrap

import pytest

from compat.codemod import NOT_AT_THE_TOP, change
from compat.codemod._project import Others
from test_codemod import codemod

NATIVE = "from compat import native as asyncio"


def program(text: str, head: str = f"{NATIVE}\n") -> str:
    return head + textwrap.dedent(text)


def printed(text: str) -> str:
    """What a program prints, and how it ends."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            exec(compile(text, "<program>", "exec"), {"__name__": "__main__"})
        except BaseException as error:
            print(repr(error))
    return out.getvalue()


# --- the rules: each program before and after ------------------------------------------------------------------------

RULES = {
    "run and sleep": (
        """
        NAP = 0.01

        async def main(name, delay=-1):
            await asyncio.sleep(0.01)  # some time
            await asyncio.sleep(0)
            await asyncio.sleep(NAP * 2)
            await asyncio.sleep(delay)
            if delay > 0 and name:
                await asyncio.sleep(delay)
            await asyncio.sleep(delay=max(delay, 0))
            await asyncio.sleep(min(NAP * 2 ** len(name), abs(delay)))
            print(name)
            return 3

        print(asyncio.run(main("a")))
        """,
        """
        NAP = 0.01

        async def main(name, delay=-1):
            await trio.sleep(0.01)  # some time
            await trio.lowlevel.checkpoint()
            await trio.sleep(NAP * 2)
            await trio.sleep(max(delay, 0))
            if delay > 0 and name:
                await trio.sleep(delay)
            await trio.sleep(max(delay, 0))
            await trio.sleep(min(NAP * 2 ** len(name), abs(delay)))
            print(name)
            return 3

        print(trio.run(main, "a"))
        """,
    ),
    "run with keywords": (
        """
        class Program:
            async def main(self, *args, **options):
                print(args, options)
                raise KeyError(args)

        asyncio.run(Program().main(1, *[2], x=3))
        """,
        """
        class Program:
            async def main(self, *args, **options):
                print(args, options)
                raise KeyError(args)

        trio.run(functools.partial(Program().main, 1, *[2], x=3))
        """,
    ),
    "threads": (
        """
        async def main():
            print(await asyncio.to_thread(sum, [1, 2]))
            print(await asyncio.to_thread(sorted, [1, 2], reverse=True))
            try:
                await asyncio.to_thread(int, "x")
            except ValueError as error:
                print(error)

        asyncio.run(main())
        """,
        """
        async def main():
            print(await trio.to_thread.run_sync(sum, [1, 2]))
            print(await trio.to_thread.run_sync(functools.partial(sorted, [1, 2], reverse=True)))
            try:
                await trio.to_thread.run_sync(int, "x")
            except ValueError as error:
                print(error)

        trio.run(main)
        """,
    ),
    "a child that takes too long": (
        """
        async def main():
            child = await asyncio.create_subprocess_exec("sleep", "60")
            try:
                await asyncio.wait_for(child.wait(), 0.01)
            except TimeoutError:
                print("too long")
                child.kill()
                print(await child.wait())

        asyncio.run(main())
        """,
        """
        async def main():
            child = await asyncio.create_subprocess_exec("sleep", "60")
            try:
                with trio.fail_after(0.01):
                    await child.wait()
            except trio.TooSlowError:
                print("too long")
                child.kill()
                print(await child.wait())

        asyncio.run(main())
        """,
    ),
    "wait_for() over several lines": (
        """
        async def work(*args):
            print(args)
            return args

        async def main(x=None):
            await asyncio.wait_for(
                work(
                    1,  # one
                    [
                        2,
                    ],
                ),
                timeout=1,
            )
            x = await asyncio.wait_for(work(
                3,
            ), 1)
            y = await asyncio.wait_for(
                work(
                    4,
                ),
                None,
            )
            return x, y

        print(asyncio.run(main()))
        """,
        """
        async def work(*args):
            print(args)
            return args

        async def main(x=None):
            with trio.move_on_after(1) as scope:
                await work(
                    1,  # one
                    [
                        2,
                    ],
                )
            if scope.cancelled_caught:
                raise TimeoutError
            with trio.move_on_after(1) as scope1:
                x = await work(
                    3,
                )
            if scope1.cancelled_caught:
                raise TimeoutError
            y = await work(
                4,
            )
            return x, y

        print(trio.run(main))
        """,
    ),
    "functools.partial by its name": (
        """
        from functools import partial

        async def main(*, x):
            print(await asyncio.to_thread(
                sorted,  # a function
                x,
                reverse=True,
            ))

        asyncio.run(main(x=[1, 2]))
        """,
        """
        from functools import partial

        async def main(*, x):
            print(await trio.to_thread.run_sync(partial(
                sorted,  # a function
                x,
                reverse=True,
            )))

        trio.run(partial(main, x=[1, 2]))
        """,
    ),
    "what a nursery's tasks are given": (
        """
        import functools
        import trio

        class Store:
            def __init__(self, group: "asyncio.TaskGroup", lock: "asyncio.Lock | None" = None):
                self.group = group
                self.lock = lock

            def start(self, event: "asyncio.Event"):
                self.group.create_task(self.work(event))

            async def work(self, event):
                if self.lock:
                    async with self.lock:
                        await event.wait()
                print("works")

        async def put(queue: "asyncio.Queue[int]", last: int, *, done: asyncio.Event) -> None:
            for number in range(last):
                await queue.put(number)
            done.set()

        async def get(queue: asyncio.Queue[int], event: asyncio.Event) -> None:
            await event.wait()
            print(await queue.get())

        async def main():
            queue: "asyncio.Queue[int]" = asyncio.Queue(3)
            done = asyncio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(functools.partial(put, queue, 3, done=done))
                nursery.start_soon(get, queue, done, name="get")
            async with asyncio.TaskGroup() as group:
                Store(group, asyncio.Lock()).start(done)

        asyncio.run(main())
        """,
        """
        import functools
        import trio

        class Store:
            def __init__(self, group: "trio.Nursery", lock: "trio.Lock | None" = None):
                self.group = group
                self.lock = lock

            def start(self, event: "trio.Event"):
                self.group.start_soon(self.work, event)

            async def work(self, event):
                if self.lock:
                    async with self.lock:
                        await event.wait()
                print("works")

        async def put(queue: "trio.MemorySendChannel[int]", last: int, *, done: trio.Event) -> None:
            for number in range(last):
                await queue.send(number)
            done.set()

        async def get(queue: trio.MemoryReceiveChannel[int], event: trio.Event) -> None:
            await event.wait()
            print(await queue.receive())

        async def main():
            send_channel, receive_channel = trio.open_memory_channel[int](3)
            done = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(functools.partial(put, send_channel, 3, done=done))
                nursery.start_soon(get, receive_channel, done, name="get")
            async with trio.open_nursery() as group:
                Store(group, trio.Lock()).start(done)

        trio.run(main)
        """,
    ),
    "exceptions and constants": (
        """
        async def main():
            print(asyncio.CancelledError, asyncio.exceptions.CancelledError, asyncio.subprocess.PIPE)
            raise asyncio.TimeoutError("x")

        asyncio.run(main())
        """,
        """
        async def main():
            print(trio.Cancelled, trio.Cancelled, subprocess.PIPE)
            raise TimeoutError("x")

        trio.run(main)
        """,
    ),
    "timeout": (
        """
        async def main(seconds: float, other=None):
            try:
                async with asyncio.timeout(seconds):
                    print("begins")
                    await asyncio.sleep(3600)
                    print("never")
            except TimeoutError as error:
                print("over", repr(error))
            async with asyncio.timeout(other):
                await asyncio.sleep(0)
            for number in range(3):
                async with asyncio.timeout(60):
                    if number == 1:
                        break
            async with asyncio.timeout_at(number - 10):
                await asyncio.sleep(1)

        asyncio.run(main(0.01))
        """,
        """
        async def main(seconds: float, other=None):
            try:
                with trio.move_on_at(trio.current_time() + seconds) as scope:
                    print("begins")
                    await trio.sleep(3600)
                    print("never")
                if scope.cancelled_caught:
                    raise TimeoutError
            except TimeoutError as error:
                print("over", repr(error))
            with trio.move_on_at(math.inf if other is None else trio.current_time() + other) as scope1:
                await trio.lowlevel.checkpoint()
            if scope1.cancelled_caught:
                raise TimeoutError
            for number in range(3):
                with trio.move_on_after(60) as scope2:
                    if number == 1:
                        break
                if scope2.cancelled_caught:
                    raise TimeoutError
            with trio.move_on_at(number - 10) as scope3:
                await trio.sleep(1)
            if scope3.cancelled_caught:
                raise TimeoutError

        trio.run(main, 0.01)
        """,
    ),
    "a timeout with a name": (
        """
        async def main():
            try:
                async with asyncio.timeout(3600) as limit:
                    limit.reschedule(-1.0 * 5)
                    await asyncio.sleep(3600)
            finally:
                print(limit.expired())

        asyncio.run(main())
        """,
        """
        async def main():
            try:
                with trio.move_on_after(3600) as limit:
                    limit.deadline = -1.0 * 5
                    await trio.sleep(3600)
                if limit.cancelled_caught:
                    raise TimeoutError
            finally:
                print(limit.cancel_called)

        trio.run(main)
        """,
    ),
    "errors of timeouts that nobody looks at": (
        """
        from contextlib import suppress

        class Waiter:
            def __init__(self):
                self.never = asyncio.Event()

            async def wait(self):
                await self.never.wait()

            async def main(self):
                with suppress(TimeoutError):
                    # not long
                    await asyncio.wait_for(self.wait(), 0.01)
                try:
                    async with asyncio.timeout(0.01):
                        await self.never.wait()
                except asyncio.TimeoutError:
                    print("over")
                try:
                    await asyncio.wait_for(self.never.wait(), 0.01)
                except TimeoutError:
                    print("over")
                else:
                    print("never")

        asyncio.run(Waiter().main())
        """,
        """

        class Waiter:
            def __init__(self):
                self.never = trio.Event()

            async def wait(self):
                await self.never.wait()

            async def main(self):
                # not long
                with trio.move_on_after(0.01):
                    await self.wait()
                try:
                    with trio.fail_after(0.01):
                        await self.never.wait()
                except trio.TooSlowError:
                    print("over")
                try:
                    with trio.fail_after(0.01):
                        await self.never.wait()
                except trio.TooSlowError:
                    print("over")
                else:
                    print("never")

        trio.run(Waiter().main)
        """,
    ),
    "wait_for": (
        """
        async def work(x):
            await asyncio.sleep(x)
            return x

        async def main():
            print(await asyncio.wait_for(work(0), 5))
            got = await asyncio.wait_for(work(0.01), timeout=None)
            print(got)
            try:
                # it takes long
                return await asyncio.wait_for(work(3600), 0.01)
            except TimeoutError as error:
                print(repr(error))

        asyncio.run(main())
        """,
        """
        async def work(x):
            await trio.sleep(max(x, 0))
            return x

        async def main():
            with trio.move_on_after(5) as scope:
                print(await work(0))
            if scope.cancelled_caught:
                raise TimeoutError
            got = await work(0.01)
            print(got)
            try:
                # it takes long
                with trio.move_on_after(0.01) as scope1:
                    return await work(3600)
                if scope1.cancelled_caught:
                    raise TimeoutError
            except TimeoutError as error:
                print(repr(error))

        trio.run(main)
        """,
    ),
    "task groups": (
        """
        async def work(name, results, *, fails=False):
            await asyncio.sleep(0.01)
            results.append(name)
            if fails:
                raise ValueError(name)

        async def more(group: asyncio.TaskGroup, results):
            group.create_task(work("more", results))

        async def main():
            results = []
            async with asyncio.TaskGroup() as group:
                group.create_task(work("a", results))
                task = group.create_task(
                    work("b", results),  # the second
                    name="b",
                )
                for name in "cd":
                    group.create_task(work(name, results=results))
                group.create_task(asyncio.sleep(0.01))
                group.create_task(asyncio.to_thread(results.append, "e"))
                await more(group, results)
            print(sorted(results))
            async with asyncio.TaskGroup() as group, asyncio.timeout(5):
                group.create_task(work("x", results, fails=True))
                await asyncio.sleep(1)

        asyncio.run(main())
        """,
        """
        async def work(name, results, *, fails=False):
            await trio.sleep(0.01)
            results.append(name)
            if fails:
                raise ValueError(name)

        async def more(group: trio.Nursery, results):
            group.start_soon(work, "more", results)

        async def main():
            results = []
            async with trio.open_nursery() as group:
                group.start_soon(work, "a", results)
                group.start_soon(
                    work, "b", results,  # the second
                    name="b",
                )
                for name in "cd":
                    group.start_soon(functools.partial(work, name, results=results))
                group.start_soon(trio.sleep, 0.01)
                group.start_soon(trio.to_thread.run_sync, results.append, "e")
                await more(group, results)
            print(sorted(results))
            async with trio.open_nursery() as group:
                with trio.move_on_after(5) as scope:
                    group.start_soon(functools.partial(work, "x", results, fails=True))
                    await trio.sleep(1)
                if scope.cancelled_caught:
                    raise TimeoutError

        trio.run(main)
        """,
    ),
    "locks": (
        """
        from dataclasses import dataclass, field
        from collections import defaultdict

        @dataclass
        class Job:
            done: asyncio.Event = field(default_factory=asyncio.Event)

        async def end(job, lock: asyncio.Lock, slots):
            async with lock, slots:
                job.done.set()

        async def main(most):
            job = Job()
            tables = defaultdict(asyncio.Lock)
            lock = asyncio.Lock()
            slots = asyncio.Semaphore()
            places = asyncio.BoundedSemaphore(value=most)
            changed = asyncio.Condition()
            async with asyncio.TaskGroup() as group:
                group.create_task(end(job, lock, slots))
                await job.done.wait()
                await asyncio.wait_for(job.done.wait(), 5)
            async with tables["x"], places, changed:
                changed.notify_all()
                await changed.wait_for(lambda: job.done.is_set() or most)
                await changed.wait_for(lambda: not lock.locked())
            print(lock.locked(), job.done.is_set())
            places.release()

        asyncio.run(main(2))
        """,
        """
        from dataclasses import dataclass, field
        from collections import defaultdict

        @dataclass
        class Job:
            done: trio.Event = field(default_factory=trio.Event)

        async def end(job, lock: trio.Lock, slots):
            async with lock, slots:
                job.done.set()

        async def main(most):
            job = Job()
            tables = defaultdict(trio.Lock)
            lock = trio.Lock()
            slots = trio.Semaphore(1)
            places = trio.Semaphore(most, max_value=most)
            changed = trio.Condition()
            async with trio.open_nursery() as group:
                group.start_soon(end, job, lock, slots)
                await job.done.wait()
                with trio.move_on_after(5) as scope:
                    await job.done.wait()
                if scope.cancelled_caught:
                    raise TimeoutError
            async with tables["x"], places, changed:
                changed.notify_all()
                await trio.lowlevel.checkpoint()
                while not (job.done.is_set() or most):
                    await changed.wait()
                await trio.lowlevel.checkpoint()
                while lock.locked():
                    await changed.wait()
            print(lock.locked(), job.done.is_set())
            places.release()

        trio.run(main, 2)
        """,
    ),
    "queues": (
        """
        async def produce(queue: asyncio.Queue[int], count):
            for number in range(count):
                await queue.put(number)

        async def consume(queue, count):
            for _ in range(count):
                print(await queue.get())

        class Log:
            def __init__(self):
                self.lines: asyncio.Queue[str] = asyncio.Queue()

            async def show(self):
                print(await self.lines.get())

        async def main():
            queue: asyncio.Queue[int] = asyncio.Queue(2)
            log = Log()
            log.lines.put_nowait("line")
            async with asyncio.TaskGroup() as group:
                group.create_task(produce(queue, 5))
                group.create_task(consume(queue, 5))
                await log.show()

        asyncio.run(main())
        """,
        """
        async def produce(queue: trio.MemorySendChannel[int], count):
            for number in range(count):
                await queue.send(number)

        async def consume(queue, count):
            for _ in range(count):
                print(await queue.receive())

        class Log:
            def __init__(self):
                self.send_lines, self.receive_lines = trio.open_memory_channel[str](math.inf)

            async def show(self):
                print(await self.receive_lines.receive())

        async def main():
            send_channel, receive_channel = trio.open_memory_channel[int](2)
            log = Log()
            log.send_lines.send_nowait("line")
            async with trio.open_nursery() as group:
                group.start_soon(produce, send_channel, 5)
                group.start_soon(consume, receive_channel, 5)
                await log.show()

        trio.run(main)
        """,
    ),
}


def body_of(text: str) -> str:
    """A module without its imports of modules, and without blank lines."""
    return "\n".join(line for line in text.splitlines() if line and not line.startswith(("import ", NATIVE)))


@pytest.mark.parametrize("name", RULES)
def test_rules(name):
    before, after = map(program, RULES[name])
    changed = change(before)
    assert body_of(changed.text) == body_of(after)
    assert printed(changed.text) == printed(before) != ""
    assert change(changed.text).text == changed.text


def by_names(text: str) -> str:
    """A program that imports names from native, in the place of native itself."""
    found = re.compile(r"\basyncio\.(?:exceptions\.)?(\w+)")
    names = sorted(set(found.findall(text)))
    head = f"from compat.native import {', '.join(names)}\n" if names else ""
    return head + found.sub(lambda name: name[1], text)


@pytest.mark.parametrize("name", [name for name, (before, _) in RULES.items() if "subprocess" not in before])
def test_rules_for_names_that_are_imported_from_native(name):
    before, after = (by_names(textwrap.dedent(text)) for text in RULES[name])
    changed = change(before)
    assert body_of(changed.text) == body_of(after)
    assert printed(changed.text) == printed(before) != ""
    assert change(changed.text).text == changed.text


NAMES_THAT_GO = {
    # what is left keeps its lines and comments
    "from compat.native import (\n    TimeoutError,\n    # two\n    sleep,  # a nap\n    gather,\n)\n"
    "async def f(x):\n    await sleep(1), gather(x)\n    raise TimeoutError\n": (
        "import trio\nfrom compat.native import (\n    # two\n    gather,\n)\n"
        "async def f(x):\n    await trio.sleep(1), gather(x)\n    raise TimeoutError\n"
    ),
    "from compat.native import (sleep, gather)  # both\nasync def f(x): await sleep(1), gather(x)\n": (
        "import trio\nfrom compat.native import (gather)  # both\nasync def f(x): await trio.sleep(1), gather(x)\n"
    ),
    "from compat.native import (sleep,  # one\n    gather)\nasync def f(x): await sleep(1), gather(x)\n": (
        "import trio\nfrom compat.native import (sleep,  # one\n    gather)\n"
        "async def f(x): await trio.sleep(1), gather(x)\n"
    ),
    "from compat.native import sleep, \\\n    gather\nasync def f(x): await sleep(1), gather(x)\n": (
        "import trio\nfrom compat.native import gather\nasync def f(x): await trio.sleep(1), gather(x)\n"
    ),
    # in a function; alone in its block
    "'''Doc.'''\n\nasync def f():\n    from compat.native import sleep\n    await sleep(1)\n": (
        "'''Doc.'''\n\nimport trio\n\nasync def f():\n    await trio.sleep(1)\n"
    ),
    "import os\nif os:\n    from compat.native import sleep\nasync def f(): await sleep(1)\n": (
        "import os\n\nimport trio\nif os:\n    from compat.native import sleep\nasync def f(): await trio.sleep(1)\n"
    ),
    # what only type checkers read
    "from typing import TYPE_CHECKING\n\nfrom compat.native import run\n\nif TYPE_CHECKING:\n"
    "    from compat.native import Event\n\nasync def f(x: 'Event'): await x.wait()\n\n"
    "async def main():\n    from compat.native import Event as Made\n    await f(Made())\n\nrun(main())\n": (
        "import trio\n\nasync def f(x: 'trio.Event'): await x.wait()\n\n"
        "async def main():\n    await f(trio.Event())\n\ntrio.run(main)\n"
    ),
    "import typing\nfrom compat.native import sleep\nif typing.TYPE_CHECKING:\n"
    "    from compat.native import sleep as nap\nasync def f(x: typing.Any): await sleep(x if x else 1)\n": (
        "import typing\nimport trio\nif typing.TYPE_CHECKING:\n    from compat.native import sleep as nap\n"
        "async def f(x: typing.Any): await trio.sleep(max(x if x else 1, 0))\n"
    ),
    # beside what stays asyncio's
    "from asyncio import iscoroutine\nfrom compat.native import sleep\nasync def f(): iscoroutine, await sleep(1)\n": (
        "from asyncio import iscoroutine\nimport trio\nasync def f(): iscoroutine, await trio.sleep(1)\n"
    ),
}


@pytest.mark.parametrize("before", NAMES_THAT_GO)
def test_names_that_nothing_needs_any_more(before):
    after = change(before)
    assert (after.text, after.refusal) == (NAMES_THAT_GO[before], "")


def test_a_name_that_may_be_something_else_is_left():
    """And is taken for native's where that forbids something."""
    text = (
        "import os\ntry:\n    from compat.native import create_task, timeout\nexcept ImportError:\n"
        "    from async_timeout import timeout\n    create_task = None\nfrom compat.native import run\n"
        "async def main():\n    async with timeout(1): create_task(main())\nrun(main())\n"
    )
    after = change(text)
    assert after.text == text
    assert [(use.line, use.api, reason) for use, reason in after.left] == [
        (9, "asyncio.timeout", "the name may be something else's, too"),
        (9, "asyncio.create_task", "the name may be something else's, too"),
        (10, "asyncio.run", "create_task() in line 9 needs the nursery that it opens"),
    ]


# --- programs that might see a difference ----------------------------------------------------------------------------

TRICKY = {
    "a handler in a caller": """
        import trio
        async def group():
            async with asyncio.TaskGroup() as g:
                g.create_task(asyncio.sleep(3600))
                await asyncio.sleep(3600)
        async def main():
            with trio.move_on_after(0.01):
                try:
                    await group()
                except asyncio.CancelledError:
                    print("seen"); raise
            print("end")
        asyncio.run(main())
    """,
    "a handler around a function that is handed on": """
        import trio
        async def group():
            async with asyncio.TaskGroup() as g:
                g.create_task(asyncio.sleep(3600))
        async def guard(f):
            try:
                await f()
            except asyncio.CancelledError:
                print("seen"); raise
        async def main():
            with trio.move_on_after(0.01):
                await guard(group)
            print("end")
        asyncio.run(main())
    """,
    "a timeout that is left by continue": """
        async def main():
            n = 0
            while n < 3:
                n += 1
                try:
                    async with asyncio.timeout(0.01 * n) as t, asyncio.timeout(5):
                        if n == 2: continue
                        await asyncio.sleep(3600)
                except TimeoutError as e:
                    print(n, type(e), t.expired())
                else: print("else")
        asyncio.run(main())
    """,
    "timeouts below 0 and None": """
        async def main(a: float, b):
            for x in (a, -1, 0, 0.0, b):
                try:
                    async with asyncio.timeout(x):
                        await asyncio.sleep(0)
                        print("through", x)
                except TimeoutError: print("late", x)
            try:
                async with asyncio.timeout(a):
                    await asyncio.sleep(0)
            except TimeoutError: print("late")
            try:
                async with asyncio.timeout(-1):
                    await asyncio.sleep(0)
            except TimeoutError: print("late")
            try:
                print(await asyncio.wait_for(asyncio.sleep(0), a - 1))
            except TimeoutError: print("late")
        asyncio.run(main(-0.5, None))
    """,
    "errors of groups": """
        async def bad(n):
            await asyncio.sleep(0)
            raise ValueError(n)
        async def main():
            try:
                async with asyncio.TaskGroup() as g:
                    g.create_task(bad(1)); g.create_task(bad(1))
                    raise KeyError
            except* ValueError as e: print(len(e.exceptions) > 0)
            except* KeyError as e: print(e)
            try:
                async with asyncio.TaskGroup() as g:
                    g.create_task(bad(3))
            except ExceptionGroup as e: print(e, e.exceptions)
        asyncio.run(main())
    """,
    "an end of a queue": """
        async def prod(q):
            for i in range(4): await q.put(i)
            await q.put(None)
        async def cons(q):
            while (x := await q.get()) is not None:
                print(x)
        async def main():
            jobs = asyncio.Queue(maxsize=1)
            async with asyncio.TaskGroup() as tg:
                tg.create_task(prod(jobs))
                tg.create_task(cons(q=jobs))
            with_timeout = asyncio.Queue()
            try:
                await asyncio.wait_for(with_timeout.get(), 0.01)
            except TimeoutError: print("empty")
            await with_timeout.put(1)
            print(await asyncio.wait_for(with_timeout.get(), 5))
        asyncio.run(main())
    """,
    "a queue that another object keeps": """
        class A:
            def __init__(self, inbox):
                self.inbox = inbox
            async def go(self):
                print(await self.inbox.get())
        async def main():
            q = asyncio.Queue()
            a = A(q)
            await q.put("hello")
            await a.go()
        asyncio.run(main())
    """,
    "a lock and a queue of the module": """
        lock = asyncio.Lock()
        events = asyncio.Queue()
        async def f(n):
            async with lock:
                await events.put(n)
        async def main():
            async with asyncio.TaskGroup() as tg:
                tg.create_task(f(1))
            print(await events.get(), lock.locked())
            await lock.acquire()
            print(lock.locked()); lock.release()
            try: lock.release()
            except RuntimeError as e: print("no")
        asyncio.run(main())
    """,
    "the error is raised again": """
        async def f():
            e = asyncio.Event()
            try:
                await asyncio.wait_for(e.wait(), 0.01)
            except TimeoutError:
                raise
        async def main():
            try: await f()
            except TimeoutError as e: print(repr(e))
            except Exception as e: print("other", repr(e))
        asyncio.run(main())
    """,
    "the error is another's context": """
        async def f():
            e = asyncio.Event()
            try:
                await asyncio.wait_for(e.wait(), 0.01)
            except TimeoutError:
                raise KeyError("x")
        async def main():
            try: await f()
            except KeyError as e: print(repr(e), repr(e.__context__))
        asyncio.run(main())
    """,
    "two conditions of one name, and a predicate that is changed itself": """
        class A:
            def __init__(self):
                self.changed = asyncio.Condition()

            async def wait(self):
                async with self.changed, asyncio.timeout(5) as limit:
                    await self.changed.wait_for(lambda: not limit.expired())
                    print("a")

        class B(A):
            def __init__(self):
                self.changed = asyncio.Condition()

        async def main():
            await A().wait()
            await B().wait()

        asyncio.run(main())
    """,
    "scope is a name of the module": """
        scope = 3
        async def main():
            async with asyncio.timeout(5):
                async with asyncio.timeout(5):
                    print(scope)
            def inner():
                return scope
            print(inner())
        asyncio.run(main())
    """,
    "trio is another name": """
        async def main():
            trio = 3
            await asyncio.sleep(0)
            print(trio)
        asyncio.run(main())
    """,
    "tasks of a loop and of a list": """
        async def main():
            out = []
            async def work(n): out.append(n)
            async with asyncio.TaskGroup() as g:
                for i in range(3):
                    g.create_task(work(i), name=f"w{i}")
                g.create_task((lambda x: work(x))(7))
                [g.create_task(work(j)) for j in (8,)]
            print(sorted(out))
        asyncio.run(main())
    """,
    "wait_for in all kinds of statements": """
        async def main():
            async def slow():
                try: await asyncio.sleep(3600)
                finally: print("cleaned")
            try:
                x = y = await asyncio.wait_for(slow(), 0.01)
            except TimeoutError: print("late")
            finally: print("fin")
            d = {}
            d["a"] = await asyncio.wait_for(asyncio.to_thread(int, "5"), timeout=5)
            d["a"] += await asyncio.wait_for(asyncio.to_thread(int, "5"), timeout=5)
            print(d)
        asyncio.run(main())
    """,
    "context variables": """
        import contextvars
        v = contextvars.ContextVar("v", default=0)
        async def child(n):
            v.set(n); await asyncio.sleep(0); print(v.get())
        async def main():
            v.set(1)
            async with asyncio.TaskGroup() as g:
                g.create_task(child(5))
            print(v.get(), await asyncio.to_thread(v.get))
        asyncio.run(main())
        print(v.get())
    """,
}


@pytest.mark.parametrize("name", TRICKY)
def test_programs_print_the_same(name):
    before = program(TRICKY[name])
    after = change(before).text
    assert printed(after) == printed(before) != ""
    assert change(after).text == after


# --- what is left ----------------------------------------------------------------------------------------------------

TASKS = "async def work(): print('works')\n"

LEFT = {
    "await asyncio.sleep(1, 'result')": "trio.sleep() gives no result",
    "nap = asyncio.sleep": "it is not called here, but handed on",
    "await asyncio.to_thread(*x)": "its function is not known",
    "asyncio.run(other())": "other is not surely an async function of this module",
    "asyncio.run(work(), debug=False)": "trio.run() has none of its options",
    "w = work(); asyncio.run(w)": "its coroutine was made elsewhere, and trio.run() makes it itself",
    "asyncio.create_task(work())": (
        "its task belongs to the run, and its errors end that: start it in a TaskGroup, which is a nursery"
    ),
    "await asyncio.gather(work(), work())": "a nursery gives no results, and raises errors in a group",
    "await asyncio.shield(work())": (
        "its task belongs to the run: trio.CancelScope(shield=True) holds off the cancellation of a block"
    ),
    "await asyncio.open_connection('x', 1)": "trio's streams have no lines, and raise errors of their own",
    "asyncio.Barrier(3)": "trio has no barrier",
    "def f(q: asyncio.Queue): pass": "a declaration, which changes with what it declares",
    "t = asyncio.timeout(3)": "it is not entered where it is made",
    "async with asyncio.timeout(None): pass": "None sets no deadline: take it away",
    "async with asyncio.timeout(f()): pass": "its delay may be None",
    "async with asyncio.timeout(1) as t: print(t)": "its object is handed on in line 4",
    "async with asyncio.timeout(1) as t: t.when()": "trio.CancelScope has no when() of that kind (line 4)",
    "while await asyncio.wait_for(work(), 1): pass": (
        "it is in a part of a statement that cannot stand in a block of its own"
    ),
    "x = [await asyncio.wait_for(work(), 1) for _ in y]": "it is in a comprehension",
    "print(await asyncio.wait_for(work(), 1), await work())": "there is another await in the statement",
    "await asyncio.wait_for(work(slowly()), 1)": "slowly() in the statement may take time outside of the timeout",
    "w = asyncio.wait_for(work(), 1)": "its coroutine is not awaited here, but handed on",
    "e = asyncio.Event(); e.clear()": "trio.Event has no clear() as in line 4",
    "e = asyncio.Event(); x = await e.wait()": "the result of wait() in line 4 is used, or may be",
    "e = asyncio.Event(); print(e)": "it is handed to print() in line 4",
    "e = asyncio.Event(); x = [e]": "it is handed on in line 4: e",
    "return asyncio.Event()": "it is handed on in line 4: return asyncio.Event()",
    "s = asyncio.Semaphore(); s.locked()": "trio.Semaphore has no locked() as in line 4",
    "async with asyncio.TaskGroup() as g: t = g.create_task(work()); t.cancel()": (
        "the task of line 4 may be cancelled in line 4, and awaited in it"
    ),
    "async with asyncio.TaskGroup() as g: print(g.create_task(work()))": (
        "the task of line 4 is kept, and trio has no object for it"
    ),
    "async with asyncio.TaskGroup() as g: g.create_task(work())\n    g = None": (
        "its name is bound to something else, too, in line 5"
    ),
    "async with asyncio.TaskGroup() as g: g.create_task(w)": (
        "the coroutine in line 4 was made elsewhere, and a nursery makes it itself"
    ),
    "async with asyncio.TaskGroup() as g: g.create_task(work(), context=c)": (
        "context=c in line 4 is not surely a task's name"
    ),
    "async with asyncio.TaskGroup(): asyncio.current_task()": "current_task() in line 4 may show its tasks",
    "q = asyncio.Queue(); await q.join()": "a channel has no join() of that kind (line 4)",
    "q = asyncio.Queue(); await q.get() if q else await q.put(1)": "it is compared or tested in line 4",
    "q = asyncio.Queue(3); q.put_nowait(1)": "a channel has no put_nowait() of that kind (line 4)",
    "q = asyncio.Queue(); q = None; await q.get()": "None in line 4 may be in its place",
    "q = asyncio.Queue(size()); await q.get()": "its size is not known",
    "await asyncio.wait_for(work(), 1  # why\n    )": "there is a comment inside",
}


@pytest.mark.parametrize("line", LEFT)
def test_left(line):
    changed = change(f"{NATIVE}\n{TASKS}async def main(x=None, y=(), c=None, w=None):\n    {line}\n")
    reasons = {reason for use, reason in changed.left if use.line == 4}
    assert LEFT[line] in reasons
    assert "asyncio." in changed.text.splitlines()[-1 - line.count("\n")]


@pytest.mark.parametrize(
    ("handler", "is_left"),
    [
        ("except asyncio.CancelledError: raise", True),
        ("except (ValueError, asyncio.CancelledError): raise", True),
        ("except BaseException as error: print(error)", True),
        ("except BaseExceptionGroup: raise", True),
        ("except: print(sys.exc_info())", True),
        ("except BaseException: raise", False),
        ("except Exception as error: print(error)", False),
        ("except: raise", False),
        ("finally: pass", False),
    ],
)
@pytest.mark.parametrize("is_far", [True, False])
def test_who_sees_a_cancellation_come_out_of_a_group(handler, is_left, is_far):
    group = "async with asyncio.TaskGroup() as group:\n        group.create_task(work())\n"
    block = "await middle()" if is_far else textwrap.indent(group, "    ").strip()
    text = (
        f"{NATIVE}\n{TASKS}async def inner():\n    {group}async def middle():\n    await inner()\n"
        f"async def main():\n    try:\n        {block}\n    {handler}\n"
    )
    left = [reason for use, reason in change(text).left if use.api == "asyncio.TaskGroup"]
    assert bool(left) is is_left
    assert all(reason.endswith("catches a cancellation, which comes out of a nursery in a group") for reason in left)


def test_other_modules():
    """What another module speaks of is not changed under its hands."""
    event = f"{NATIVE}\nstop = asyncio.Event()\nasync def main(): stop.set()\nasyncio.run(main())\n"
    assert "trio.Event()" in change(event).text
    assert change(event, Others(names=frozenset({"stop"}))).left[0][1] == "stop is a name that other modules use"
    left = change(event, Others(background="other.py")).left
    assert [reason for _, reason in left] == ["other.py needs the nursery that it opens"]


# --- the text --------------------------------------------------------------------------------------------------------


def test_comments_and_layout_stay():
    before = program(
        """
        # one

        async def main( x ):  # two
            # three
            await asyncio.sleep(  # four
                1,  # five
            )  ;  x = 1
            async with asyncio.timeout(  2  ):  # six
                '''text
        of more lines'''
                # seven
            # eight
            if x :
                # nine
                await asyncio.wait_for( main(x) , 3)  # ten
                # eleven
        """
    )
    after = change(before).text
    assert [line.split("#")[1] for line in after.splitlines() if "#" in line] == [
        *(" one", " two", " three", " four", " five", " six", " seven", " eight", " nine", " ten", " eleven")
    ]
    assert "\n    await trio.sleep(  # four\n        1,  # five\n    )  ;  x = 1\n" in after
    assert "        '''text\nof more lines'''\n" in after


FUTURE = "from __future__ import annotations"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{native}\n", "import math\n\nimport trio\n"),
        ("import sys\n\n{native}\n", "import math\nimport sys\n\nimport trio\n"),
        (
            "import abc\n\nimport attr\n{native}\nfrom other import x\n",
            "import abc\nimport math\n\nimport attr\nimport trio\nfrom other import x\n",
        ),
        (
            f"'Doc.'\n\n{FUTURE}\n\n{{native}}\n\nfrom . import x\n",
            f"'Doc.'\n\n{FUTURE}\n\nimport math\n\nimport trio\n\nfrom . import x\n",
        ),
        ("import math\nimport trio\n{native}, adapters\n", "import math\nimport trio\nfrom compat import adapters\n"),
        ("{native}\nimport trio\n\n\n", "import math\n\nimport trio\n\n\n"),
        (
            "#!/usr/bin/env python\n# A licence.\n{native}\n",
            "#!/usr/bin/env python\n# A licence.\nimport math\n\nimport trio\n",
        ),
        ("'Doc.'; {native}; x = 1\n", f"'Doc.'; {NATIVE}; x = 1\nimport trio\nimport math\n"),
        # what stands there already, if later
        ("{native}\nx = 1\nimport math, trio\n", "x = 1\nimport math, trio\n"),
        ("{native}\nx = lambda: trio\nimport trio\n", "import math\n\nimport trio\nx = lambda: trio\nimport trio\n"),
    ],
)
def test_where_imports_go(before, after):
    text = "async def f(x: object) -> None:\n    async with asyncio.timeout(x):\n        pass\n"
    changed = change(before.format(native=NATIVE) + text).text
    assert changed.partition("async def")[0] == after


def test_declarations_in_quotes_are_named():
    declared = "x: 'list[asyncio.Task | None]', y: 'trio.Event') -> 'asyncio.\\x51ueue'"
    text = f"import trio\n{NATIVE}\ndef f({declared}: ...\n"
    changed = change(text)
    assert changed.text == text
    assert [(*use[:3], reason) for use, reason in changed.left] == [
        (3, 10, "asyncio.Task", "a declaration, which changes with what it declares"),
        (3, 59, "asyncio.Queue", "a declaration, which changes with what it declares"),
    ]


def test_native_stays_where_it_is_used():
    for use in ("asyncio.gather(x)", "'asyncio.Task'", "x: 'asyncio.Task'"):
        text = f"{NATIVE}\nasync def f(x): await asyncio.sleep(1)\n{use}\n"
        assert change(text).text == f"import trio\n{text}".replace("asyncio.sleep", "trio.sleep")


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (f"{NATIVE}\nimport asyncio.events\n", "asyncio is native and something else in this file"),
        ("from compat.native import *\n", NOT_AT_THE_TOP),
        (f"'Doc.'; x = 1\ndef f():\n    {NATIVE}\n", NOT_AT_THE_TOP),
        ("import asyncio\nclass Mine(asyncio.SelectorEventLoop): pass\n", "it defines an event loop"),
        (f"{NATIVE}\nclass Mine(asyncio.AbstractEventLoop): pass\n", "it defines an event loop"),
    ],
)
def test_refused(text, refusal):
    assert change(text) == (text, [], refusal)


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command(tmp_path):
    before = f"{NATIVE}\nasync def f(x):\n    await asyncio.sleep(1)\n    asyncio.create_task(x)\n"
    path = tmp_path / "a.py"
    path.write_text(before)
    left = "a.py:4: asyncio.create_task left alone: its task belongs to the run, and its errors end that"
    done = codemod("a.py", cwd=tmp_path)
    assert (done.returncode, done.stdout.count("trio.sleep"), left in done.stderr) == (0, 1, True)
    assert codemod("a.py", "--quiet", "--diff", cwd=tmp_path).stdout == done.stdout
    done = codemod("a.py", "--check", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr, path.read_text()) == (1, "", "", before)
    done = codemod("a.py", "--write", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert path.read_text() == "import trio\n" + before.replace("asyncio.sleep", "trio.sleep")
    assert codemod("a.py", "--check", cwd=tmp_path).returncode == 0
    assert codemod("a.py", "--check", "--write", cwd=tmp_path).returncode == 2


def test_modules_of_one_program(tmp_path):
    """run() is trio's once no module that this imports needs its nursery; whatever another uses is left."""
    (tmp_path / "app.py").write_text(f"{NATIVE}\nimport lib\nasync def main(): await lib.work()\nasyncio.run(main())\n")
    lib = f"{NATIVE}\nasync def work():\n    async with asyncio.TaskGroup() as g: g.create_task(asyncio.sleep(0))\n"
    (tmp_path / "lib.py").write_text(f"{lib}    asyncio.create_task(work())\n")
    done = codemod(".", cwd=tmp_path)
    assert "app.py:4: asyncio.run left alone" in done.stderr
    assert "lib.py needs the nursery that it opens" in done.stderr
    (tmp_path / "lib.py").write_text(lib)
    assert codemod(".", "--write", cwd=tmp_path).returncode == 0
    assert "trio.run(main)" in (tmp_path / "app.py").read_text()
    assert codemod(".", "--check", cwd=tmp_path).returncode == 0
