"""python -m compat.report: what it finds, beside a count by bytecode; what it says of it; how it is shown and ends."""

import ast
import asyncio
import json
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
from compat import _redirect
from compat.report import _table
from compat.report._reading import as_api, read
from compat.report._tree import python_files, read_tree
from worlds import PATIENCE, ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def found(source: str, tmp_path: Path) -> list[str]:
    """Each use of asyncio as "LINE API", and the kind where it is no code."""
    path = tmp_path / "source.py"
    path.write_text(textwrap.dedent(source))
    return [f"{use.line} {use.api}{'' if use.kind == 'code' else ' ' + use.kind}" for use in read(path).asyncio]


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
    assert {api.partition(".")[0] for api in _table.ROWS} == {"asyncio", "loop"}


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
    from compat import asyncio as drop_in

    try:
        _table.state_of.cache_clear()
        monkeypatch.setattr(_redirect, "_refusing", [drop_in.sleep])
        assert _table.state_of("asyncio.sleep") == "not yet"
        assert _table.state_of("asyncio.wait") == "runs"
    finally:
        _table.state_of.cache_clear()


def test_what_has_no_row_is_told_apart():
    assert _table.row_of("asyncio") is _table.MODULE
    assert _table.row_of("asyncio.tasks") is _table.SUBMODULE
    assert _table.row_of("asyncio.coroutine") is _table.ELSEWHERE
    assert _table.row_of("asyncio.tasks._enter_task") is _table.row_of("loop._ready") is _table.PRIVATE
    assert _table.row_of("asyncio.Lock.locked") is _table.ROWS["asyncio.Lock"]


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
        *("9 asyncio.Task.done", "10 asyncio.Task.cancel"),
        *("18 loop.time", "18 loop._ready", "18 asyncio.Lock.locked"),
        *("22 asyncio.StreamReader.readline", "22 asyncio.StreamWriter.drain"),
        *("24 asyncio.TaskGroup.create_task", "24 asyncio.Task.cancel", "24 asyncio.Timeout.when"),
        *("26 asyncio.subprocess.Process.stdout", "26 asyncio.subprocess.Process.nope"),
    ]


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
    (tree / "old.py").write_text("print 'python 2'\n")
    (tree / "bytes.py").write_bytes(b"# \xff\n")
    (tree / "nul.py").write_bytes(b"x = 1\0\n")
    (tree / "coding.py").write_bytes(b"# coding: nope\n")
    (tree / "deep.py").write_text("x = " + "(" * 5000 + ")" * 5000)
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
        "      2  asyncio.sleep -> trio.sleep(seconds); trio.lowlevel.checkpoint() for sleep(0)\n\n"
        "pack/old.py: asyncio\n"
        "      2  asyncio.run -> trio.run(main, arg) (compat.run(main, arg) while asyncio code is left)\n\n"
        "What changes:\n"
    )
    assert done.stdout.endswith(
        "package   is          files  asyncio    mixed     trio  neither  asyncio uses  trio uses\n"
        "./        neither         1        0        0        0        1             0          0\n"
        "pack      mixed           3        1        1        0        1             2          1\n"
        "pack.sub  trio            2        0        0        2        0             0          1\n\n"
        "6 files: 1 asyncio, 1 mixed, 3 trio, 1 neither. 2 uses of asyncio: 2 runs on trio.\n".replace(
            "1 mixed, 3 trio, 1 neither", "1 mixed, 2 trio, 2 neither"
        )
    )


def test_json(tree):
    done = report(tree, "--json")
    data = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    old = next(file for file in data["files"] if file["path"].endswith("pack/old.py"))
    assert old["asyncio"] == [
        {"line": 1, "column": 8, "api": "asyncio", "kind": "import"},
        {"line": 2, "column": 9, "api": "asyncio.run", "kind": "code"},
    ]
    assert (old["world"], old["lines"], old["trio"]) == ("asyncio", 2, [])
    assert data["apis"]["asyncio.run"] == {"uses": 1, "state": "runs", **_table.ROWS["asyncio.run"]._asdict()}
    assert [package["name"] for package in data["packages"]][1:] == ["pack", "pack.sub"]


class Page(HTMLParser):
    """Checks that every element is closed, and collects what is shown and what is fetched."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.fetched = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.fetched += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_html(tree):
    (tree / "pack" / "<b>.py").write_text("import asyncio\nasyncio.sleep(1)\n")
    (tree / "bad.py").write_text("x = (\n")
    done = report(tree, "--html", "--output", tree / "page.html")
    assert (done.returncode, done.stdout) == (3, "")
    page = Page((tree / "page.html").read_text(encoding="utf-8"))
    assert (page.open, page.fetched) == ([], [])
    assert {"pack.sub", f"{tree}/pack/<b>.py", "asyncio.sleep", f"{tree}/bad.py"} <= set(page.text)


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


@pytest.mark.parametrize("arguments", ["", "nope", ". --ported nope", ". --json --html", ". --nope"])
def test_wrong_command_lines(tree, arguments):
    done = report(*arguments.split(), cwd=tree)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: " in done.stderr


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
