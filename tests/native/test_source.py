"""What native is made of, and what it leaves alone: public names, no patch, real types, a word on what it has not."""

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import trio

from compat import adapters, native
from compat.adapters.native.refusals import OTHERS

ROOT = Path(__file__).parents[2]
FOLDER = Path(adapters.__path__[0], "native")
PAGES = sorted(FOLDER.glob("*.py"))
DOCUMENTATION = "https://docs.python.org/3/library/asyncio"

# https://docs.python.org/3/library/asyncio-api-index.html
INDEX = """
run Runner Task TaskGroup create_task current_task all_tasks sleep gather wait_for shield wait timeout
to_thread run_coroutine_threadsafe as_completed Queue PriorityQueue LifoQueue create_subprocess_exec
create_subprocess_shell open_connection open_unix_connection start_server start_unix_server StreamReader
StreamWriter Lock Event Condition Semaphore BoundedSemaphore Barrier CancelledError BrokenBarrierError
TimeoutError QueueEmpty QueueFull IncompleteReadError LimitOverrunError
""".split()  # noqa: SIM905


def python(code, *options):
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=100,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_all_of_the_index_is_there():
    assert set(INDEX) <= set(native.__all__)
    assert all(hasattr(native, name) for name in native.__all__)
    beyond = {"InvalidStateError", "QueueShutDown", "Server", "Timeout", "subprocess", "timeout_at", "open_background"}
    beyond |= {"ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"}
    assert set(native.__all__) == set(INDEX) | beyond


@pytest.mark.parametrize("name", [name for name in INDEX if name not in ("CancelledError", "TimeoutError")])
def test_each_says_what_it_is_and_where_asyncio_describes_it(name):
    value = getattr(native, name)
    if value.__module__.startswith("compat."):
        assert DOCUMENTATION in value.__doc__
        assert any(word in value.__doc__ for word in ("trio", "nursery", "channel", "CancelScope"))


def test_the_documentation_has_each_name_and_a_test_that_uses_it():
    lines = Path(ROOT, "docs", "native.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert set(INDEX) <= documented <= set(native.__all__)
    for names, primitive, files in rows:
        assert primitive
        tests = [Path(__file__).with_name(file).read_text() for file in re.findall(r"`(\w+\.py)`", files)]
        for name in re.findall(r"`(\w+)`", names):
            assert any(re.search(rf"native\.{name}\b", test) for test in tests), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_of_others_are_public(page):
    """A private name is one of our own: defined in native itself, or looked up on self."""
    tree = ast.parse(page.read_text())
    own = {
        name
        for each in PAGES
        for node in ast.walk(ast.parse(each.read_text()))
        for name in (
            [node.name]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            else [node.attr]
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            else [node.id]
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            else []
        )
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not any(part.startswith("_") for module in modules for part in module.split("."))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            assert node.attr in own, f"line {node.lineno}: {node.attr}"
            assert not ast.unparse(node).startswith(("trio.", "asyncio.", "ssl", "socket"))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("setattr", "getattr"):
            names = [argument.value for argument in node.args[1:2] if isinstance(argument, ast.Constant)]
            assert not any(name.startswith("_") and not name.startswith("__") for name in names)


def test_importing_it_changes_nothing_in_trio_and_brings_nothing_of_the_exact_side():
    done = python(
        """
        import sys, trio
        def state():
            return {
                f"{name}.{key}": value if isinstance(value, type) or callable(value) else id(value)
                for name, module in list(sys.modules.items())
                if name.split(".")[0] == "trio"
                for key, value in vars(module).items()
                if not key.startswith("__")
            }
        before = state()
        from compat import native
        assert state() == before
        ours = [name for name in sys.modules if name.startswith("compat")]
        assert all(name in ("compat", "compat.adapters") or "native" in name for name in ours), ours
        async def main():
            await native.sleep(0)
        native.run(main())
        assert state() == before
        print("same")
        """
    )
    assert done.stdout == "same\n", done.stderr


def test_it_works_with_a_trio_that_shows_public_names_only():
    done = python(
        """
        import sys, types, trio, trio.testing
        def public(module):
            shown = types.ModuleType(module.__name__)
            for name in dir(module):
                if not name.startswith("_"):
                    value = getattr(module, name)
                    is_module = isinstance(value, types.ModuleType)
                    setattr(shown, name, public(value) if is_module and value.__name__ != module.__name__ else value)
            return shown
        real = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "trio"}
        for name in real:
            del sys.modules[name]
        sys.modules["trio"] = public(trio)
        assert not [name for name in dir(sys.modules["trio"]) if name.startswith("_") and not name.startswith("__")]
        from compat import native
        async def echo(reader, writer):
            writer.write(await reader.readline())
        async def main():
            queue = native.PriorityQueue()
            async with native.TaskGroup() as group:
                group.create_task(queue.put(1))
                assert await queue.get() == 1
            assert await native.gather(native.sleep(0, 1), native.to_thread(int)) == [1, 0]
            async with native.Lock(), native.timeout(5):
                await native.create_task(native.Barrier(1).wait())
            server = await native.start_server(echo, "127.0.0.1", 0)
            reader, writer = await native.open_connection(*server.sockets[0].getsockname())
            writer.write(b"line\\n")
            process = await native.create_subprocess_exec("cat", stdin=-1, stdout=-1)
            print(await reader.readline(), await process.communicate(b"meow"))
        native.run(main())
        """
    )
    assert done.stdout == "b'line\\n' (b'meow', None)\n", done.stderr


@pytest.mark.parametrize("name", [each for each in asyncio.__all__ if each[0] != "_" and each not in native.__all__])
def test_what_is_not_there_names_the_way_of_trio(name):
    with pytest.raises(AttributeError, match=f"has no {name}: .") as caught:
        getattr(native, name)
    assert any(word in str(caught.value) for word in ("trio", "inspect", "create_task", "process"))


def test_what_nobody_has():
    with pytest.raises(AttributeError, match=r"has no nonsense$"):
        native.nonsense  # noqa: B018
    assert not hasattr(native, "get_running_loop")


def test_what_is_not_there_and_is_imported_by_name():
    with pytest.raises(ImportError, match=r"has no Future: .*trio\.Event"):
        from compat.native import Future  # type: ignore[attr-defined]  # noqa: F401
    with pytest.raises(ImportError, match=r"has no nonsense$"):
        from compat.native import gather, nonsense  # type: ignore[attr-defined]  # noqa: F401


def test_submodules_have_the_names_of_asyncios():
    for name in ("locks", "queues", "runners", "streams", "subprocess", "taskgroups", "tasks", "timeouts"):
        ours, theirs = sys.modules[f"compat.native.{name}"], getattr(asyncio, name)
        for each in ours.__all__:
            assert hasattr(theirs, each) or each in ("open_background", "QueueShutDown", "Server"), f"{name}.{each}"


@pytest.mark.parametrize("name", [name for name in INDEX if inspect.isfunction(getattr(native, name))])
def test_parameters_are_asyncios(name):
    """What we name of them, in asyncio's order; the rest is refused by **others."""
    ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (native, asyncio))
    names = [each for each in ours if each not in ("others", "kwds")]
    known = [each for each in names if each in theirs]
    through_kwds = {"ssl", "sock", "local_addr", "server_hostname", "ssl_handshake_timeout", "happy_eyeballs_delay"}
    through_kwds |= {"backlog", "reuse_address", "start_serving"}
    through_kwargs = {"name", "context"}  # of create_task(), from 3.14 on
    through = through_kwds if "kwds" in theirs else through_kwargs if "kwargs" in theirs else {"loop_factory"}
    assert set(names) - set(known) <= through
    assert known == [each for each in theirs if each in known]


@pytest.mark.parametrize("name", OTHERS)
async def test_parameters_that_asyncio_does_not_know(name):
    """They are refused as by asyncio, whatever their value; an empty value of what it knows asks for nothing."""
    ours = inspect.signature(getattr(native, name)).parameters
    assert "others" in ours
    assert not set(OTHERS[name]) & set(ours)
    methods = {"create_task": "create_task", "open_connection": "create_connection", "start_server": "create_server"}
    methods |= {"open_unix_connection": "create_unix_connection", "start_unix_server": "create_unix_server"}
    theirs = inspect.signature(getattr(asyncio.SelectorEventLoop, methods[name])).parameters
    assert set(theirs) - {"self", "coro", "protocol_factory", "kwargs", "path"} <= set(OTHERS[name]) | set(ours)

    coro = trio.sleep(0)
    arguments = {"create_task": (coro,), "start_server": (print,), "start_unix_server": (print,)}.get(name, ())
    refused = rf"{name}\(\) got an unexpected keyword argument 'typo'"
    functions = [getattr(native, name)]
    async with native.TaskGroup() as group:
        if name == "create_task":
            functions.append(group.create_task)
        for function in functions:
            for value in None, 0, 1:
                with pytest.raises(TypeError, match=refused):
                    await function(*arguments, typo=value)
            for each in OTHERS[name]:
                with pytest.raises(TypeError, match=rf"{name}\(\) takes no {each}= here: "):
                    await function(*arguments, **{each: 1})
        if name == "create_task":
            await native.create_task(coro, eager_start=None)
        else:
            with pytest.raises(ValueError):  # it has not been told where
                await functions[0](*arguments, **dict.fromkeys(OTHERS[name]))
    coro.close()


@pytest.mark.slow
def test_a_type_checker_sees_real_types(tmp_path):
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            from compat import native as asyncio

            async def number() -> int:
                return 1

            async def text() -> str:
                return ""

            async def main() -> None:
                queue: asyncio.Queue[int] = asyncio.Queue()
                task = asyncio.create_task(number())
                reveal_type(await queue.get())
                reveal_type(task)
                reveal_type(await task)
                reveal_type(await asyncio.gather(number(), text()))
                reveal_type(await asyncio.gather(number(), number(), number(), number()))
                reveal_type(await asyncio.wait_for(text(), 1))
                reveal_type(await asyncio.to_thread(len, "x"))
                reveal_type(await asyncio.open_connection("x", 1))
                reveal_type((await asyncio.create_subprocess_exec("x")).returncode)
                async with asyncio.TaskGroup() as group:
                    reveal_type(group.create_task(text()))
                asyncio.get_running_loop()
                task.uncancel()

            reveal_type(asyncio.run(text()))
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(program)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        timeout=600,
    )
    seen = [line.partition('type is "')[2].rstrip('"') for line in done.stdout.splitlines() if "Revealed" in line]
    assert [each.replace("builtins.", "").replace("adapters.native.", "") for each in seen] == [
        "int",
        "tasks.Task[int]",
        "int",
        "tuple[int, str]",
        "list[int]",
        "str",
        "int",
        "tuple[streams.StreamReader, streams.StreamWriter]",
        "int | None",
        "tasks.Task[str]",
        "str",
    ], done.stdout
    errors = [line for line in done.stdout.splitlines() if "error" in line and "Found" not in line]
    assert ["get_running_loop" in errors[0], "uncancel" in errors[1], len(errors)] == [True, True, 2]


# --- the command line -------------------------------------------------------------------------------------------------

PROGRAM = """
import asyncio, asyncio.subprocess, sys
from asyncio.queues import Queue
async def main():
    async with asyncio.TaskGroup() as group:
        task = group.create_task(asyncio.sleep(0, sys.argv[1:]))
    assert asyncio.Queue is Queue and asyncio.subprocess.PIPE == -1
    print(asyncio.__file__, task.result())
asyncio.run(main())
"""


MOCKS = """
import asyncio
from unittest.mock import AsyncMock
async def main():
    print(await AsyncMock(return_value=7)())
asyncio.run(main())
"""


@pytest.mark.slow
def test_a_whole_program(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    for arguments in ([str(tmp_path / "program.py")], ["-c", PROGRAM], ["-m", "program"]):
        done = subprocess.run(
            [sys.executable, "-m", "compat", "--native", *arguments, "a", "b"],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            cwd=tmp_path if arguments[0] == "-m" else ROOT,
            timeout=100,
        )
        assert (done.returncode, done.stdout) == (0, f"{native.__file__} ['a', 'b']\n"), done.stderr


@pytest.mark.slow
def test_a_whole_program_that_is_tested_with_mocks():
    done = subprocess.run(
        [sys.executable, "-m", "compat", "--native", "-c", MOCKS],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=100,
    )
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr


@pytest.mark.slow
def test_a_whole_program_that_needs_what_is_not_there():
    done = python("import sys; sys.argv[1:] = ['--native', '-c']; import compat.__main__ as c; c.main()")
    assert done.returncode == 2
    done = subprocess.run(
        [sys.executable, "-m", "compat", "--native", "-c", "import asyncio; asyncio.get_event_loop()"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=100,
    )
    assert done.returncode == 1
    assert "run_sync_soon" in done.stderr
