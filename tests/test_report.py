"""python -m compat.report: what it finds, beside a count by bytecode; what it says of it; how it is shown and ends."""

import ast
import asyncio
import inspect
import json
import math
import os
import pty
import re
import subprocess
import sys
import textwrap
from html.parser import HTMLParser
from pathlib import Path

import pytest
import trio.testing

import bytecode
from compat import _redirect, native
from compat import asyncio as drop_in
from compat.report import _cache, _table, _tree
from compat.report._reading import as_api, read, uses_in
from compat.report._tree import python_files, read_tree
from compat.report._watch import read_watch_file
from worlds import PATIENCE, ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Every test has a cache of its own."""
    monkeypatch.setitem(ENVIRONMENT, "XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    return tmp_path / ".cache" / "asyncio-on-trio" / "report"


def found(source: str, tmp_path: Path) -> list[str]:
    """Each use of asyncio as "LINE API", and the kind where it is no code."""
    path = tmp_path / "source.py"
    path.write_text(textwrap.dedent(source))
    return [f"{use.line} {use.api}{'' if use.kind == 'code' else ' ' + use.kind}" for use in read(path).asyncio]


def possible(source: str, tmp_path: Path) -> list[str]:
    """Each possible use as "LINE API"."""
    path = tmp_path / "source.py"
    path.write_text(textwrap.dedent(source))
    return [f"{use.line} {use.api}" for use in read(path).possible]


def report(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "compat.report", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)


# --- the table -------------------------------------------------------------------------------------------------------


def test_every_public_name_has_a_row():
    names = {f"asyncio.{name}" for name in asyncio.__all__ if not name.startswith("_")}
    methods = {f"loop.{name}" for name in vars(asyncio.AbstractEventLoop) if not name.startswith("_")}
    assert (names | methods) - set(_table.ROWS) == set()


def test_every_row_says_something():
    assert [api for api, row in _table.ROWS.items() if not row.trio and not row.changes] == []
    assert [api for api, row in _table.ROWS.items() if row.changes and not row.changes.endswith(".")] == []
    assert [api for api, row in _table.ROWS.items() if row.native and not row.native.endswith(".")] == []
    assert {api.partition(".")[0] for api in _table.ROWS} == {"asyncio", "loop"}


def test_each_recipe_is_code():
    for api, row in _table.ROWS.items():
        body = textwrap.indent(row.trio or "pass", "    ")
        names = "compat, trio, fn, arg, send, receive"
        compile(f"async def recipe({names}):\n{body}\n", api, "exec")


def recipe(api: str, **names: object) -> dict[str, object]:
    """Run a recipe of several lines in a trio run; the names that it leaves."""
    body = textwrap.indent(_table.ROWS[api].trio, "    ")
    namespace = {"trio": trio, "math": math, **names}
    exec(f"async def recipe():\n{body}\n    return locals()", namespace)
    return trio.run(namespace["recipe"])


def test_recipes_do_what_they_say(capsys):
    async def double(number):
        await trio.sleep(0)
        return 2 * number

    assert recipe("asyncio.gather", urls=[1, 2, 3], fetch=double)["results"] == [2, 4, 6]

    recipe("asyncio.as_completed", urls=[1, 2, 3], fetch=double)
    assert sorted(capsys.readouterr().out.split()) == ["2", "4", "6"]

    seen = []

    async def work(number):
        await trio.sleep(0)
        seen.append(number)
        return [number - 1, number - 2] if number > 1 else []

    recipe("asyncio.Queue.join", first=4, workers=3, work=work)
    assert sorted(seen) == sorted([4, 3, 2, 2, 1, 1, 1, 0, 0])  # each feeds the queue it is fed from

    lines = recipe("asyncio.StreamReader.readline")["lines"]

    async def read_lines():
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(b"one\ntwo\n\nth")
        await theirs.send_all(b"ree")
        await theirs.aclose()
        return [line async for line in lines(ours)]

    assert trio.run(read_lines) == [b"one\n", b"two\n", b"\n", b"three"]


def test_replacements_that_are_code_name_what_trio_has():
    """`trio.x.y` in a replacement exists."""
    for api, row in _table.ROWS.items():
        for name in re.findall(r"\btrio(?:\.[A-Za-z_]\w*)+", f"{row.trio} {row.changes}"):
            value = trio
            for part in name.split(".")[1:]:
                if name == "trio.lowlevel.in_trio_run":
                    break  # trio 0.29 and later
                value = getattr(value, part, None)
                assert value is not None, f"{api}: {name}"


def test_whether_it_runs_is_asked_of_the_code(monkeypatch):
    assert _table.state_of("asyncio.sleep") == _table.state_of("loop.call_later") == "runs"
    assert _table.state_of("asyncio.Queue.get") == "runs"
    assert _table.state_of("asyncio.coroutine") == _table.state_of("asyncio.Queue.nope") == "unknown"
    assert _table.state_of("asyncio.tasks._enter_task") == _table.state_of("loop._ready") == "private"
    try:
        _table.state_of.cache_clear()
        monkeypatch.setattr(_redirect, "_refusing", [drop_in.sleep])
        assert _table.state_of("asyncio.sleep") == "not yet"
        assert _table.state_of("asyncio.wait") == "runs"
    finally:
        _table.state_of.cache_clear()


# asyncio has no name for it: it is for programs that have a trio run already.
NATIVES_OWN = {"open_background"}


def test_what_native_has_and_refuses_is_what_the_rows_say():
    for name in set(native.__all__) - NATIVES_OWN:
        assert _table.row_of(f"asyncio.{name}") is not _table.ELSEWHERE
        assert _table.native_of(f"asyncio.{name}").verdict != "refused"
    for api, row in _table.ROWS.items():
        owner, *names = api.split(".")
        verdict, why = _table.native_of(api)
        assert bool(why) == (verdict != "same")
        value = native
        try:
            for name in names:
                value = getattr(native if owner == "loop" else value, "get_running_loop" if owner == "loop" else name)
        except AttributeError:
            assert verdict == "refused"
            assert not row.native, f"{api}: native does not have it, so that nothing changes"
        else:
            assert verdict == ("check" if row.native else "same")


async def hello():
    return None


# How each name is called, and what of asyncio's parameters it is given.
CONNECTING = ("ssl_shutdown_timeout", "flags", "family", "proto", "interleave", "all_errors")
CALLS = {
    "asyncio.run": (hello, ("debug", "loop_factory")),
    "asyncio.Runner": (None, ("debug", "loop_factory")),
    "asyncio.open_connection": (lambda: "localhost", (*CONNECTING, "happy_eyeballs_delay")),
    "asyncio.start_server": (lambda: print, ("family", "flags", "reuse_port", "keep_alive", "ssl_shutdown_timeout")),
    "asyncio.all_tasks": (None, ("loop",)),
    "asyncio.current_task": (None, ("loop",)),
    "asyncio.gather": (None, ("loop", "return_exceptions")),
    "asyncio.Queue": (None, ("loop", "maxsize")),
    "asyncio.Task": (hello, ("loop", "name")),
    "asyncio.StreamReader": (None, ("limit", "loop")),
    "asyncio.create_task": (hello, ("name", "context", "eager_start")),
    "asyncio.sleep": (lambda: 0, ("result",)),
}


@pytest.mark.parametrize(("api", "parameter"), [(api, each) for api, call in CALLS.items() for each in call[1]])
def test_what_the_report_says_of_a_parameter_is_what_native_does(api, parameter):
    """Native takes or refuses it by TypeError when it is called; what else comes of the call does not matter."""
    first, _ = CALLS[api]
    arguments = [] if first is None else [first()]

    def call():
        return getattr(native, api.partition(".")[2])(*arguments, **{parameter: object()})

    async def called():
        result = call()
        return await result if inspect.isawaitable(result) and not isinstance(result, native.Task) else result

    refused = False
    try:
        call() if api in ("asyncio.run", "asyncio.Runner") else native.run(called())
    except TypeError as error:
        refused = parameter in str(error) or "argument" in str(error)
    except Exception:
        pass
    finally:
        if first is hello:
            arguments[0].close()
    given = (*([] if first is None else [""]), parameter)
    assert (_table.native_of(api, given).verdict == "refused") == refused


def test_calls_that_native_refuses():
    for api in _table.REFUSED_CALLS:
        assert _table.native_of(api, ("", "")).verdict == "refused"
        assert _table.native_of(api).verdict == "check"
    with pytest.raises(TypeError):
        native.CancelledError()
    coroutine = hello()
    with pytest.raises(TypeError, match="current_trio_token"):
        native.run_coroutine_threadsafe(coroutine, object())
    assert _table.native_of("asyncio.gather", ("*", "return_exceptions")).verdict == "same"
    assert _table.native_of("asyncio.run", ("", "debug=")).verdict == "same"
    assert _table.native_of("asyncio.run", ("*", "**")).verdict == "same"
    for api, known in ("asyncio.TaskGroup.create_task", "eager_start"), ("asyncio.start_server", "reuse_port"):
        assert _table.native_of(api, ("", f"{known}=")).verdict != "refused"
        for given, name in (known, known), ("typo", "typo"), ("typo=", "typo"):
            found = _table.native_of(api, ("", given))
            assert (found.verdict, found.why) == ("refused", f"{api.removeprefix('asyncio.')}() takes no {name}=.")
    assert _table.native_of("asyncio.Queue", kind="subclass").verdict == "check"
    assert _table.native_of("asyncio.QueueFull", kind="subclass").verdict == "same"
    derived = _table.native_of("asyncio.CancelledError", kind="subclass")
    assert derived == ("refused", "trio.Cancelled cannot be derived from.")
    with pytest.raises(TypeError):
        type(native.CancelledError)("Derived", (native.CancelledError,), {})
    assert _table.native_of("asyncio").verdict == "check"
    assert _table.native_of("asyncio.tasks._enter_task").verdict == "refused"
    assert _table.native_of("asyncio.Task.__name__").verdict == "same"
    assert _table.native_of("asyncio.Future.__name__").verdict == "refused"


STARTING = {
    "asyncio.create_task": "tasks = [a.create_task(work(n)) for n in range(4)]\nfor task in tasks: await task",
    "asyncio.TaskGroup.create_task": "async with a.TaskGroup() as g:\n    for n in range(4): g.create_task(work(n))",
    "asyncio.gather": "await a.gather(*map(work, range(4)))",
    "asyncio.gather, return_exceptions": "await a.gather(*map(work, range(4)), return_exceptions=True)",
}


@pytest.mark.parametrize("way", STARTING)
def test_what_the_report_says_of_the_order_of_tasks(way):
    """It names what starts tasks on native in an order that differs from run to run; the exact side has asyncio's."""

    def orders(of) -> set[tuple[int, ...]]:
        namespace = {"a": of}
        body = textwrap.indent(STARTING[way], "    ")
        exec(
            "async def main():\n    seen = []\n"
            f"    async def work(n): seen.append(n)\n{body}\n    return tuple(seen)\n",
            namespace,
        )
        return {of.run(namespace["main"]()) for _ in range(200)}

    assert orders(asyncio) == orders(drop_in) == {(0, 1, 2, 3)}
    assert len(orders(native)) > 1
    assert way.partition(",")[0] in _table.STARTS
    assert {each.partition(",")[0] for each in STARTING} == _table.STARTS


def test_the_order_of_tasks_is_said_once_for_a_file(tmp_path):
    """What is the same but for this stays so: it is a note, and counts nowhere."""
    (tmp_path / "starts.py").write_text(
        "import asyncio\nasync def main(f):\n    async with asyncio.TaskGroup() as g:\n        g.create_task(f())\n"
        "    await asyncio.gather(f(), f(), return_exceptions=True)\n"
    )
    (tmp_path / "many.py").write_text("import asyncio\n" + "asyncio.gather(x, y, return_exceptions=True)\n" * 12)
    (tmp_path / "none.py").write_text("import asyncio\nfrom asyncio import gather\nasyncio.sleep(1)\n")
    text = " ".join(report(".", cwd=tmp_path).stdout.split())
    assert text.count(_table.ORDER) == 2
    assert f"note {_table.ORDER} See lines 4, 5. " in text
    assert f"note {_table.ORDER} See lines {', '.join(map(str, range(2, 12)))} and 2 more. " in text
    assert "4 same asyncio.TaskGroup.create_task" in text
    assert "Native, same: but for the order in which tasks start." in text
    assert "With native: 16 as it stands." in text

    data = json.loads(report(".", "--json", cwd=tmp_path).stdout)
    notes = {file["path"]: file["notes"] for file in data["files"]}
    assert (len(notes["starts.py"]), len(notes["many.py"]), notes["none.py"]) == (1, 1, [])
    page = Page(report(".", "--html", cwd=tmp_path).stdout)
    assert page.says(f"Native: {_table.ORDER} See lines 4, 5.")


@pytest.mark.parametrize("handler", ["except* KeyboardInterrupt", "except KeyboardInterrupt"])
def test_ctrl_c_on_native_is_said_once_for_a_file(handler, tmp_path):
    """And is as the note says: in a group out of a TaskGroup, which only `except*` catches."""
    program = (
        "import asyncio, signal\nasync def main():\n    async with asyncio.TaskGroup() as group:\n"
        "        signal.raise_signal(signal.SIGINT)\n        await asyncio.sleep(5)\n"
        f"try:\n    asyncio.run(main())\n{handler}:\n    print('interrupted')\n"
    )
    (tmp_path / "app.py").write_text(program)
    text = " ".join(report("app.py", cwd=tmp_path).stdout.split())
    assert f"note {_table.CTRL_C} See line 7. " in text
    assert "With native: 3 as it stands." in text

    def prints(name: str) -> str:
        line = f"import compat; from compat import {name}; import sys; sys.modules['asyncio'] = {name}; "
        command = [sys.executable, "-c", f"{line}exec(open('app.py').read())"]
        return subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60).stdout

    assert prints("asyncio") == "interrupted\n"
    assert prints("native") == ("interrupted\n" if "*" in handler else "")


def test_what_has_no_row_is_told_apart():
    assert _table.row_of("asyncio") is _table.MODULE
    assert _table.row_of("asyncio.tasks") is _table.SUBMODULE
    assert _table.row_of("asyncio.coroutine") is _table.ELSEWHERE
    assert _table.row_of("asyncio.tasks._enter_task") is _table.row_of("loop._ready") is _table.PRIVATE
    assert _table.row_of("asyncio.Lock.locked") is _table.row_of("asyncio.Lock.__name__") is _table.ROWS["asyncio.Lock"]


# --- what is found ---------------------------------------------------------------------------------------------------


def test_import_styles(tmp_path):
    source = """\
        import asyncio as aio, os, asyncio.subprocess
        from asyncio import sleep as nap, Queue
        from asyncio.queues import LifoQueue as L
        import asyncio.events as events
        import compat.asyncio
        from compat.asyncio import gather
        aio.sleep(1), nap(1), Queue(), L(), events.get_event_loop()
        compat.asyncio.wait(), gather(), asyncio.subprocess.PIPE
        """
    assert found(source, tmp_path) == [
        *("1 asyncio import", "1 asyncio.subprocess import", "2 asyncio.sleep import", "2 asyncio.Queue import"),
        *("3 asyncio.LifoQueue import", "4 asyncio.events import", "5 asyncio import", "6 asyncio.gather import"),
        *("7 asyncio.sleep", "7 asyncio.sleep", "7 asyncio.Queue", "7 asyncio.LifoQueue", "7 asyncio.get_event_loop"),
        *("8 asyncio.wait", "8 asyncio.gather", "8 asyncio.subprocess.PIPE"),
    ]


def test_imports_in_odd_places(tmp_path):
    source = """\
        from typing import TYPE_CHECKING, cast
        if TYPE_CHECKING:
            from asyncio import Queue
        try:
            import uvloop as loops
        except ImportError:
            import asyncio as loops
        def f(q: "Queue[int] | None") -> "list[Queue[str]]":
            from asyncio import sleep
            global later
            import asyncio as later
            return loops.new_event_loop(), sleep(1)
        later.wait(cast("Queue[int]", 1))
        """
    assert found(source, tmp_path) == [
        *("3 asyncio.Queue import", "7 asyncio import", "8 asyncio.Queue annotation", "8 asyncio.Queue annotation"),
        *("9 asyncio.sleep import", "11 asyncio import", "12 asyncio.new_event_loop", "12 asyncio.sleep"),
        *("13 asyncio.wait", "13 asyncio.Queue annotation"),
    ]


def test_star_imports(tmp_path):
    assert found("from asyncio import *\nsleep(1), print(2)\ndef f(wait): wait()\n", tmp_path) == [
        "1 asyncio import",
        "2 asyncio.sleep",
    ]
    assert found("from asyncio.queues import *\nQueue(), sleep(1)\n", tmp_path) == [
        "1 asyncio.queues import",
        "2 asyncio.Queue",
    ]


def test_await_of_what_gather_or_shield_gave_is_no_future_by_hand(tmp_path):
    source = """\
        import asyncio
        async def f(coro, future: asyncio.Future):
            both, kept = asyncio.gather(coro, coro), asyncio.shield(coro)
            await both, await kept, await future
            both.cancel()
        """
    assert found(source, tmp_path)[1:] == [
        *("2 asyncio.Future annotation", "3 asyncio.gather", "3 asyncio.shield"),
        *("4 asyncio.gather", "4 asyncio.shield", "4 asyncio.Future", "5 asyncio.Future.cancel"),
    ]


def test_what_is_not_asyncio(tmp_path):
    """Other modules of that name, names that hide it, text."""
    source = """\
        '''asyncio.sleep(1)'''
        from . import asyncio as mine
        from .asyncio import sleep
        from redis import asyncio
        import redis.asyncio
        import asyncio_extras
        asyncio.sleep(1), mine.sleep(2), sleep(3), redis.asyncio.sleep(4), asyncio_extras.sleep(5)
        # asyncio.sleep(6)
        """
    assert found(source, tmp_path) == []
    source = """\
        import asyncio
        def f(asyncio): asyncio.sleep(1)
        lambda asyncio: asyncio.sleep(2)
        [asyncio.sleep(3) for asyncio in f]
        class C:
            asyncio = f
            print(asyncio.sleep(4))
            def m(self): asyncio.sleep(5)
        """
    assert found(source, tmp_path) == ["1 asyncio import", "8 asyncio.sleep"]


def test_other_names_for_it(tmp_path):
    source = """\
        import asyncio, importlib
        nap = asyncio.sleep
        both, other = asyncio.wait, print
        nap(1), both(2), other(3)
        getattr(asyncio, "timeout", None)(4)
        importlib.import_module("asyncio").run(5)
        __import__("asyncio").run(6)
        asyncio.sleep = nap
        print(asyncio)
        x = x.y
        """
    assert found(source, tmp_path)[1:] == [
        *("2 asyncio.sleep", "3 asyncio.wait", "4 asyncio.sleep", "4 asyncio.wait", "5 asyncio.timeout"),
        *("6 asyncio.run", "7 asyncio.run", "8 asyncio.sleep", "8 asyncio.sleep", "9 asyncio"),
    ]


def test_methods_of_what_is_surely_asyncios(tmp_path):
    source = """\
        import asyncio
        from typing import Optional
        def f(loop=None, queue: Optional[asyncio.Queue] = None, other=None):
            loop = loop or asyncio.get_running_loop()
            loop.call_later(1, queue.join).cancel()
            other.call_soon()
            for loop2 in asyncio.get_event_loop(), None:
                loop2.call_soon()
            if (task := asyncio.create_task(f())).done():
                task.cancel()
        class C:
            loop: "asyncio.AbstractEventLoop"
            def __init__(self, loop):
                self._loop = loop or asyncio.get_event_loop()
                self._lock, self._x = asyncio.Lock(), 1
                self._mixed = asyncio.Lock()
            async def m(self):
                self.loop.time(); self._loop._ready; self._lock.locked(); self._x.real
                self._mixed = object()
                self._mixed.locked()
                reader, writer = await asyncio.open_connection()
                await reader.readline(), writer.drain()
                async with asyncio.TaskGroup() as group, asyncio.timeout(1) as limit:
                    group.create_task(1).cancel(), limit.when()
                process = await asyncio.create_subprocess_exec("ls")
                process.stdout, process.nope
        """
    uses = [use for use in found(source, tmp_path) if len(use.split(".")) > 2 or "loop." in use]
    assert uses == [
        *("5 loop.call_later", "5 asyncio.Queue.join", "5 asyncio.TimerHandle.cancel"),
        *("8 loop.call_soon", "9 asyncio.Task.done", "10 asyncio.Task.cancel"),
        *("18 loop.time", "18 loop._ready", "18 asyncio.Lock.locked"),
        *("22 asyncio.StreamReader.readline", "22 asyncio.StreamWriter.drain"),
        *("24 asyncio.TaskGroup.create_task", "24 asyncio.Task.cancel", "24 asyncio.Timeout.when"),
        *("26 asyncio.subprocess.Process.stdout", "26 asyncio.subprocess.Process.nope"),
    ]


def test_what_is_in_lists_and_dicts(tmp_path):
    source = """\
        import asyncio
        from collections import deque
        async def f(coros, given: list[asyncio.Task], by_name: dict[str, "asyncio.Queue[int]"]):
            tasks = [asyncio.create_task(coro) for coro in coros]
            for task in tasks: task.cancel()
            done, pending = await asyncio.wait(tasks)
            for index, each in enumerate(pending): each.cancel()
            [each.result() for each in done]
            later = set()
            later.add(asyncio.create_task(1))
            for each in list(later): each.done()
            given[0].cancel(), given.pop().cancel()
            for name, queue in by_name.items(): queue.join()
            for queue in by_name.values(): queue.get_nowait()
            for name in by_name: name.join()
            waiters = deque()
            waiters.append(asyncio.Event())
            waiters.popleft().set()
            workers = {}
            workers[1] = asyncio.Lock()
            workers.get(1).locked(), workers.keys().locked()
            for one in tasks + [1]: one.cancel()
            tasks = [task for task in tasks if not task.done()]
        """
    uses = [use for use in found(source, tmp_path) if len(use.split(".")) > 2]
    assert uses == [
        *("5 asyncio.Task.cancel", "7 asyncio.Task.cancel", "8 asyncio.Task.result", "11 asyncio.Task.done"),
        *("12 asyncio.Task.cancel", "12 asyncio.Task.cancel", "13 asyncio.Queue.join", "14 asyncio.Queue.get_nowait"),
        *("18 asyncio.Event.set", "21 asyncio.Lock.locked", "23 asyncio.Task.done"),
    ]
    assert possible(source, tmp_path) == ["22 asyncio.Task.cancel"]


def test_attributes_of_self_and_of_own_objects(tmp_path):
    source = """\
        import asyncio
        from dataclasses import dataclass, field
        class Base:
            def __init__(self):
                self.limit = asyncio.Semaphore(3)
                self.tasks = []
            def start(self):
                self.tasks.append(asyncio.create_task(self.work()))
            async def work(self):
                async with self.limit: pass
                await self.tasks[0]
        class Own(Base):
            async def stop(self):
                for task in self.tasks: task.cancel()
                async with self.limit as x: pass
        @dataclass
        class Job:
            done: asyncio.Event = field(default_factory=asyncio.Event)
            def again(self): self.done = unknown()
            @property
            def queue(self) -> asyncio.Queue[int]: ...
        def make() -> Own: ...
        async def open_it() -> asyncio.StreamReader: ...
        async def main(job: Job):
            make().limit.locked(), Own().limit.locked(), job.done.set(), job.queue.join()
            async for line in await open_it(): pass
            reader = await open_it()
            async for line in reader: pass
        """
    uses = [use for use in found(source, tmp_path) if int(use.split()[0]) in (10, 11, 14, 15, 25, 28)]
    assert uses == [
        *("10 asyncio.Semaphore.acquire", "11 asyncio.Task", "14 asyncio.Task.cancel", "15 asyncio.Semaphore.acquire"),
        *("25 asyncio.Semaphore.locked", "25 asyncio.Semaphore.locked", "25 asyncio.Event.set"),
        *("25 asyncio.Queue.join", "28 asyncio.StreamReader.readline"),
    ]


def test_what_may_be_asyncios(tmp_path):
    source = """\
        import asyncio, threading
        from base import Base, thing
        class C(Base):
            async def f(self, writer, my_queue, other):
                self.queue.join(), writer.drain(), my_queue.get(), other.get()
                writer.nope(), self.task.cancel, thing.lock.acquire()
                queue = thing()
                queue.get_nowait()
                lock, their_queue = threading.Lock(), other.Queue()
                lock.acquire(), their_queue.get()
                mixed = asyncio.Event() if other else thing
                mixed.set()
                thing.add_reader(1), self.their_loop.stop(), self.x.add_done_callback(1), thing.call_soon()
        """
    assert possible(source, tmp_path) == [
        *("5 asyncio.Queue.join", "5 asyncio.StreamWriter.drain", "5 asyncio.Queue.get"),
        *("8 asyncio.Queue.get_nowait", "10 asyncio.Queue.get", "12 asyncio.Event.set"),
        *("13 loop.stop", "13 asyncio.Future.add_done_callback"),
    ]
    assert possible(source.replace("import asyncio,", "import trio,"), tmp_path) == []


def test_subclasses_and_arguments(tmp_path):
    source = """\
        import asyncio
        class Loop(asyncio.SelectorEventLoop): pass
        class Own(asyncio.Queue[int]): pass
        asyncio.run(1, debug=True), asyncio.run(1, debug=False), asyncio.run
        raise asyncio.CancelledError
        """
    path = tmp_path / "source.py"
    path.write_text(textwrap.dedent(source))
    assert [(use.line, use.api, use.kind, use.arguments) for use in read(path).asyncio][1:] == [
        (2, "asyncio.SelectorEventLoop", "subclass", None),
        (3, "asyncio.Queue", "subclass", None),
        (4, "asyncio.run", "code", ("", "debug")),
        (4, "asyncio.run", "code", ("", "debug=")),
        (4, "asyncio.run", "code", None),
        (5, "asyncio.CancelledError", "code", ()),
    ]
    text = report(path).stdout
    assert (
        "      2  refused   asyncio.SelectorEventLoop (subclass) -> trio.run(main)  [is of an own loop, and may not]"
        in text
    )
    assert "5 run on trio, 1 is of an own loop, and may not." in text
    assert "[native: run() takes no debug=.]" in text


def test_what_is_called_loop(tmp_path):
    source = """\
        import asyncio
        from base import Base
        class C(Base):
            def m(self, loop, other):
                self._loop.call_soon(), self._loop.nope(), self.other.call_soon()
                loop.create_future(), other.create_future(), other.loop.create_future()
                mine = self._loop
                loop2 = self.loop
                mine.call_later(), loop2.stop()
                self.theirs = other.loop.run_in_executor
                self.get_loop().create_task(), other.get_loop(1).create_task()
        def f(make):
            loop = make()
            loop.call_soon()
            for loop in make:
                loop.stop()
        """
    assert found(source, tmp_path)[1:] == [
        *("5 loop.call_soon", "6 loop.create_future", "6 loop.create_future"),
        *("10 loop.run_in_executor", "11 loop.create_task"),
    ]
    assert found(source.replace("import asyncio", ""), tmp_path) == []


def test_trio_and_the_world_of_a_file(tmp_path):
    worlds = {}
    for name, text in {
        "a": "import asyncio",
        "t": "import trio\ntrio.sleep(1)",
        "m": "from compat import asyncio\nimport trio",
        "n": "import compat",
    }.items():
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        worlds[name] = read(path).world
    assert worlds == {"a": "asyncio", "t": "trio", "m": "mixed", "n": "neither"}
    assert [use.api for use in read(tmp_path / "t.py").trio] == ["trio", "trio.sleep"]


def own_files() -> list[Path]:
    return list(python_files([ROOT / "examples", ROOT / "benchmarks", ROOT / "tests", ROOT / "adapters"]))


def cpythons_files() -> list[Path]:
    import unittest

    import test.test_asyncio

    return list(python_files([Path(test.test_asyncio.__path__[0]), Path(unittest.__path__[0])]))


@pytest.mark.slow
@pytest.mark.parametrize("files", [own_files, cpythons_files])
def test_finds_what_the_bytecode_shows(files):
    """Nothing is missing; what is more has its reason: declarations, methods, and names that were assigned."""
    compared = more = 0
    for path in files():
        text = path.read_text("utf-8", "replace")
        uses = read(path).asyncio
        lines = text.splitlines()
        shown = {(line, as_api(name)) for line, _, name in bytecode.uses(path) if as_api(name)}
        listed = {(use.line, use.api) for use in uses if use.kind != "import"}
        # getattr(asyncio, "name") loads the module only; the report knows the name.
        missing = {(line, api) for line, api in shown - listed if "attr(" not in lines[line - 1]}
        assert missing == set(), path
        compared += len(shown)

        spelled = {name.lineno for name in ast.walk(ast.parse(text)) if isinstance(name, ast.Name | ast.Attribute)}
        for use in uses:
            if use.kind == "code" and (use.line, use.api) not in shown:
                assert use.line in spelled
                more += 1
    assert compared > 400
    assert more


# --- trees of files --------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path):
    for name, text in {
        "pack/__init__.py": "",
        "pack/old.py": "import asyncio\nasyncio.run(1)\n",
        "pack/both.py": "import asyncio, trio\nasyncio.sleep(1)\ntrio.sleep(1)\n",
        "pack/sub/__init__.py": "import trio\n",
        "pack/sub/new.py": "import trio\ntrio.run(1)\n",
        "script.py": "print()\n",
        ".hidden/x.py": "import asyncio\n",
        "env/pyvenv.cfg": "",
        "env/lib/x.py": "import asyncio\n",
        "pack/__pycache__/x.py": "import asyncio\n",
        "notes.ipynb": "import asyncio\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_tree(tree):
    (tree / "pack" / "loop").symlink_to(tree)
    (tree / "again.py").symlink_to("script.py")
    os.mkfifo(tree / "pipe.py")
    read_all = read_tree([tree, tree / "pack"])
    names = [str(file.path.relative_to(tree)) for file in read_all.files]
    assert names == [
        "again.py",
        *(f"pack/{name}.py" for name in ("__init__", "both", "old", "sub/__init__", "sub/new")),
    ]
    packages = {package.name: (package.world, package.asyncio, package.trio) for package in read_all.packages}
    assert packages == {
        f"{tree}/": ("neither", 0, 0),
        "pack": ("mixed", 2, 1),
        "pack.sub": ("trio", 0, 1),
    }
    assert [file.path.name for file in read_tree([tree / "env"]).files] == ["x.py"]


@pytest.mark.slow
def test_files_that_cannot_be_read_are_named(tree):
    (tree / "bom.py").write_bytes(b"\xef\xbb\xbfimport asyncio\nasyncio.run(1)\n")
    (tree / "latin.py").write_bytes(b"# coding: latin-1\nimport asyncio\nn = '\xe9'; asyncio.run(1)\n")
    (tree / "escapes.py").write_text("import asyncio\nx = '\\d'; x is 1\n")
    (tree / "broken.py").write_text("import asyncio\nx = (1,\n")
    (tree / "old.py").write_text("print 'python 2, asyncio'\n")
    (tree / "bytes.py").write_bytes(b"# asyncio \xff\n")
    (tree / "nul.py").write_bytes(b"asyncio = 1\0\n")
    (tree / "coding.py").write_bytes(b"# coding: nope, asyncio\n")
    (tree / "deep.py").write_text("asyncio = " + "(" * 5000 + ")" * 5000)
    (tree / "without.py").write_text("(it says nothing of patriots or my_asyncio_x, and is not parsed\n")
    (tree / "secret.py").symlink_to("/no/such/file")
    (tree / "long.py").write_text("import asyncio\nx = [\n" + "asyncio.sleep(1),\n" * 50_000 + "]\n")
    (tree / "sum.py").write_text("import asyncio\nx = asyncio.a" + " + 1" * 2000 + "\n")
    all_read = read_tree([tree])
    unread = {path.name: reason for path, reason in all_read.unread}
    assert sorted(unread) == ["broken.py", "bytes.py", "coding.py", "deep.py", "nul.py", "old.py", "secret.py"]
    assert unread["broken.py"] == "line 2: '(' was never closed"
    assert unread["secret.py"] == "No such file or directory"
    uses = {file.path.name: len(file.asyncio) for file in all_read.files if file.asyncio}
    assert uses == {
        "bom.py": 2,
        "both.py": 2,
        "escapes.py": 1,
        "latin.py": 2,
        "long.py": 50_001,
        "old.py": 2,
        "sum.py": 2,
    }

    done = report(tree, "--json")
    assert done.returncode == 3
    assert {Path(item["path"]).name for item in json.loads(done.stdout)["unread"]} == set(unread)
    assert f"{tree}/broken.py: not read: line 2: '(' was never closed\n" in done.stderr


# --- the command -----------------------------------------------------------------------------------------------------


def test_text(tree):
    done = report("pack", "script.py", cwd=tree)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "pack/both.py: mixed\n"
        "   line  native    use\n"
        "      2  same      asyncio.sleep -> await trio.sleep(seconds)\n\n"
        "pack/old.py: asyncio\n"
        "   line  native    use\n"
        "      2  same      asyncio.run -> trio.run(main, arg)\n"
        "   note  Ctrl-C raises KeyboardInterrupt in whatever task runs. Out of a TaskGroup it comes in a group, "
        "which\n"
        "         ends the program with status 1 and not 130; `except* KeyboardInterrupt` catches both. asyncio "
        "cancels\n"
        "         the main task. See line 2.\n\n"
        "What changes:\n"
    )
    assert done.stdout.endswith(
        "package   is          files  asyncio    mixed     trio  neither  asyncio uses  trio uses\n"
        "pack      mixed           3        1        1        0        1             2          1\n"
        "./        neither         1        0        0        0        1             0          0\n"
        "pack.sub  trio            2        0        0        2        0             0          1\n\n"
        "6 files: 1 asyncio, 1 mixed, 2 trio, 2 neither. 2 uses of asyncio: 2 run on trio. "
        "With native: 2 as it stands.\n"
    )


def test_one_and_many(tmp_path):
    (tmp_path / "a.py").write_text("import asyncio\nasyncio.run(1)\n")
    assert report("a.py", cwd=tmp_path).stdout.endswith(
        "1 file: 1 asyncio, 0 mixed, 0 trio, 0 neither. 1 use of asyncio: 1 runs on trio. "
        "With native: 1 as it stands.\n"
    )


def test_what_to_port_first_comes_first(tmp_path):
    for name, text in {
        "a.py": "asyncio.get_event_loop()",
        "b.py": "asyncio.sleep(1)\nasyncio.wait_for(1, 2)",
        "c.py": "asyncio.sleep(1)\nasyncio.sleep(1)",
        "d.py": "asyncio.sleep(1)",
        "other/e.py": "asyncio.sleep(1)",
        "empty/f.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"import asyncio\n{text}\n" if text else "")
    text = report(".", cwd=tmp_path).stdout
    assert re.findall(r"^(\S+\.py):", text, re.MULTILINE) == ["d.py", "other/e.py", "c.py", "b.py", "a.py"]
    assert re.findall(r"^(\S*/) ", text, re.MULTILINE) == ["other/", "./", "empty/"]


def test_json(tree):
    done = report(tree, "--json")
    data = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    old = next(file for file in data["files"] if file["path"].endswith("pack/old.py"))
    use = {"state": "runs", "native": {"verdict": "same", "why": ""}}
    assert old["asyncio"] == [
        {"line": 1, "column": 8, "api": "asyncio", "kind": "import", **use},
        {"line": 2, "column": 9, "api": "asyncio.run", "kind": "code", **use},
    ]
    assert (old["world"], old["lines"], old["trio"], old["possible"], old["watch"]) == ("asyncio", 2, [], [], [])
    assert data["apis"]["asyncio.run"] == {"uses": 1, **_table.ROWS["asyncio.run"]._asdict(), **use}
    assert [package["name"] for package in data["packages"]] == ["pack", f"{tree}/", "pack.sub"]
    assert not data["partial"]


def test_import_is_to_be_checked_where_nothing_else_shows_what_becomes_of_it(tmp_path):
    (tmp_path / "a.py").write_text(
        "import asyncio\nfrom asyncio import Event, gather, get_running_loop, wait_for\nasyncio.sleep(1)\ngather()\n"
    )
    data = json.loads(report("a.py", "--json", cwd=tmp_path).stdout)
    verdicts = [(each["line"], each["api"], each["native"]["verdict"]) for each in data["files"][0]["asyncio"]]
    assert verdicts == [
        (1, "asyncio", "same"),
        (2, "asyncio.Event", "same"),
        (2, "asyncio.gather", "same"),
        (2, "asyncio.get_running_loop", "refused"),
        (2, "asyncio.wait_for", "check"),
        (3, "asyncio.sleep", "same"),
        (4, "asyncio.gather", "check"),
    ]


class Page(HTMLParser):
    """Checks that every element is closed, and collects what is shown and what is fetched."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.fetched = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.fetched += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def says(self, text):
        return text in "".join(self.text)


def test_html(tree):
    (tree / "pack" / "<b>.py").write_text("import asyncio\nasyncio.sleep(1)\n")
    (tree / "bad.py").write_text("asyncio = (\n")
    done = report(tree, "--html", "--output", tree / "page.html")
    assert (done.returncode, done.stdout) == (3, "")
    page = Page((tree / "page.html").read_text(encoding="utf-8"))
    assert (page.open, page.fetched) == ([], [])
    assert all(map(page.says, ["pack.sub", f"{tree}/pack/<b>.py", "asyncio.sleep", f"{tree}/bad.py"]))


def test_ported(tree):
    """CI's question: is there asyncio where it is gone?"""
    assert report(tree / "pack", "--ported", tree / "pack" / "sub").returncode == 0
    assert report("--ported", tree / "pack" / "sub", "--ported", tree / "script.py").returncode == 0
    done = report(tree, "--ported", "pack", cwd=tree)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"{tree}/pack/both.py:1: asyncio is asyncio, and this is ported",
        f"{tree}/pack/both.py:2: asyncio.sleep is asyncio, and this is ported",
        f"{tree}/pack/old.py:1: asyncio is asyncio, and this is ported",
        f"{tree}/pack/old.py:2: asyncio.run is asyncio, and this is ported",
    ]


@pytest.mark.parametrize(
    "arguments",
    ["", "nope", ". --ported nope", "empty", ". --ported empty", ". --json --html", ". --nope"]
    + [". --output nope/page", ". --output empty"],
)
def test_wrong_command_lines(tree, arguments):
    (tree / "empty").mkdir()
    done = report(*arguments.split(), cwd=tree)
    assert (done.returncode, done.stdout) == (2, "")
    [error] = re.findall(r"error: (.*)", done.stderr)
    assert "output" not in arguments or error in (
        "--output nope/page: No such file or directory",
        "--output empty: Is a directory",
    )


def test_progress_in_a_terminal_only(tree):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "compat.report", str(tree)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        out, _ = process.communicate(timeout=PATIENCE)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    assert b"[....................] 0/6 " in shown
    assert shown.endswith(b"\r\x1b[K")
    assert out == report(tree).stdout


# --- watch files -----------------------------------------------------------------------------------------------------


def finding(path: object, line: int, count: int = 1, **other: object) -> dict[str, object]:
    texts = {"kind": "cancel-swallowed", "what": "It is <caught>.", "todo": "Raise it again."}
    return {"file": str(path), "line": line, "count": count, **texts, **other}


def watch_file(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "watch.json"
    head = {"format": "asyncio-on-trio watch", "version": 1, "python": "3.13.0", "program": ["app.py"], "findings": []}
    path.write_text(json.dumps({**head, **changes}))
    return path


def test_watch(tree):
    (tree / "link.py").symlink_to("pack/old.py")
    findings = [finding(tree / "pack/old.py", 2, 3), finding(tree / "script.py", 1), finding("/else/where.py", 7)]
    watched = watch_file(tree, findings=findings)
    text = report("pack", "script.py", "--watch", watched, cwd=tree).stdout
    assert (
        "pack/old.py: asyncio\n"
        "   line  native    use\n"
        "      2  same      asyncio.run -> trio.run(main, arg)\n"
        "      2  watch     cancel-swallowed, 3 times: It is <caught>. Raise it again.\n"
    ) in text
    assert "script.py: neither\n   line  native    use\n      1  watch     cancel-swallowed, 1 time: " in text
    assert "Seen by --watch in other files:\n  /else/where.py:7: cancel-swallowed, 1 time: It is <caught>." in text
    assert text.endswith(" Seen by --watch: 3 places.\n")

    data = json.loads(report("pack", "script.py", "--watch", watched, "--json", cwd=tree).stdout)
    assert {file["path"]: file["watch"] for file in data["files"] if file["watch"]} == {
        "pack/old.py": findings[:1],
        "script.py": findings[1:2],
    }
    assert data["watch_elsewhere"] == findings[2:]

    page = Page(report("pack", "script.py", "--watch", watched, "--html", cwd=tree).stdout)
    assert page.open == []
    said = " cancel-swallowed, 3 times: It is <caught>. Raise it again."
    assert page.text.count(said) == 1
    assert page.says("/else/where.py:7")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": "other"}, 'it has no "format": "asyncio-on-trio watch"'),
        ({"version": 2}, 'its "version" is 2, and this report reads 1'),
        ({"findings": {}}, '"findings" is no list'),
        ({"findings": [1]}, '"findings"[0] has no text "file"'),
        ({"findings": [finding("a", 1), finding("a", "1")]}, '"findings"[1] has no number "line"'),
        ({"findings": [finding("a", 1, True)]}, '"findings"[0] has no number "count"'),
        ({"findings": [finding("a", 1, what=None)]}, '"findings"[0] has no text "what"'),
    ],
)
def test_watch_files_with_wrong_content(tmp_path, changes, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        read_watch_file(watch_file(tmp_path, **changes))


@pytest.mark.parametrize(
    ("length", "reason"), [(0, "it is empty: run "), (90, "it is cut off ("), (9, "it is not JSON: ")]
)
def test_watch_files_of_a_program_that_was_killed(tmp_path, length, reason):
    path = watch_file(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=re.escape(reason)) as raised:
        read_watch_file(path)
    assert ("stop it by Ctrl-C or SIGINT" in str(raised.value)) == (length != 9)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", None])
def test_watch_files_that_are_none(tree, content):
    if content is not None:
        (tree / "watch.json").write_bytes(content)
    done = report("pack", "--watch", "watch.json", cwd=tree)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: --watch watch.json: " in done.stderr


# --- many files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(tree):
    for number in range(_tree.MANY):
        (tree / f"many{number:03}.py").write_text(f"import asyncio\nasyncio.sleep({number})\n")
    return tree


def said_of(tree: _tree.Tree) -> object:
    return tree.files, tree.unread, tree.interrupted


@pytest.mark.slow
@pytest.mark.leaves("child", "file", reason="multiprocessing's resource tracker lives as long as this process")
def test_several_processes_find_the_same(many, monkeypatch):
    (many / "bad.py").write_text("asyncio = (\n")
    monkeypatch.setattr(_tree, "usable_cpus", lambda: 2)
    by_two = read_tree([many])
    monkeypatch.setattr(_tree, "MANY", 1000)
    assert said_of(by_two) == said_of(read_tree([many]))
    assert [path.name for path, _ in by_two.unread] == ["bad.py"]


def test_cache(tree, cache, monkeypatch):
    first = read_tree([tree], use_cache=True)
    assert said_of(first) == said_of(read_tree([tree]))
    entries = list(cache.rglob("*.json"))
    assert len(entries) == 4  # what does not say asyncio or trio is not kept

    parsed = []
    monkeypatch.setattr(_tree, "uses_in", lambda data, name: parsed.append(Path(name).name) or uses_in(data, name))
    assert said_of(read_tree([tree], use_cache=True)) == said_of(first)
    assert parsed == []
    (tree / "pack" / "old.py").rename(tree / "pack" / "moved.py")
    assert len(read_tree([tree], use_cache=True).files) == len(first.files)
    assert parsed == []  # the text is the same
    monkeypatch.setattr(_cache, "version", lambda: b"next")
    assert len(read_tree([tree], use_cache=True).files) == len(first.files)
    assert sorted(parsed) == ["__init__.py", "both.py", "moved.py", "new.py"]
    assert len(list(cache.rglob("*.json"))) == 8


def test_cache_that_is_broken_or_cannot_be_written(tree, cache):
    first = read_tree([tree], use_cache=True)
    for entry, content in zip(cache.rglob("*.json"), ["[1, 2", "[1, [[2]], []]", "\xff", "{}"], strict=True):
        entry.write_text(content, encoding="latin-1")
    assert said_of(read_tree([tree], use_cache=True)) == said_of(first)
    assert said_of(read_tree([tree], use_cache=True)) == said_of(first)
    for entry in sorted(cache.rglob("*"), reverse=True):
        entry.rmdir() if entry.is_dir() else entry.unlink()
    cache.rmdir()
    cache.write_text("a file where the folder would be")
    assert said_of(read_tree([tree], use_cache=True)) == said_of(first)


def test_no_cache(tree, cache):
    assert report(tree, "--no-cache").stdout == report(tree).stdout
    assert len(list(cache.rglob("*.json"))) == 4
    for entry in cache.rglob("*.json"):
        entry.unlink()
    assert report(tree, "--no-cache").returncode == 0
    assert list(cache.rglob("*.json")) == []


def test_interrupted(tree):
    """What was read by then is reported, and the report says that it is a part."""
    calls = []

    def on_file(done, of, path):
        calls.append(path)
        if done == 3:
            raise KeyboardInterrupt

    half = read_tree([tree], on_file)
    assert half.interrupted
    assert [file.path for file in half.files] == calls[:3]


INTERRUPTED = """\
import os, signal, sys

from compat.report import __main__ as command

read_tree = command.read_tree


def read_some(paths, on_file, use_cache):
    def interrupt(done, of, path):
        if done == 20:
            os.killpg(0, signal.SIGINT)  # as a terminal does

    return read_tree(paths, interrupt, use_cache)


if __name__ == "__main__":
    command.read_tree = read_some
    sys.exit(command.main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["--json", "--html", "--no-cache"])
def test_ctrl_c(many, form):
    """What was read by then is written, and says so; the other processes end without a word."""
    (many / "interrupted").write_text(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, "interrupted", "--output", "report", ".", form],
        cwd=many,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted: the report is of what was read until then\n"
    written = (many / "report").read_text()
    if form == "--json":
        assert json.loads(written)["partial"]
        assert len(json.loads(written)["files"]) == 20
    else:
        assert "Interrupted: this is what was read until then." in written
