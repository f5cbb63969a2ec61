"""The ways in: the command line beside python's own, `from compat import asyncio`, install() and run()."""

import asyncio as std
import importlib
import inspect
import json
import os
import py_compile
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import tomllib
import traceback
import types
import zipfile

import pytest
import trio.testing

import compat
import compat.adapters.tasks
import compat.adapters.timeouts
from compat import adapters, asyncio
from worlds import PATIENCE, ROOT

PYTHON = [sys.executable]
COMPAT = [sys.executable, "-m", "compat"]
# The folder of compat is on the path in any case, so that python's path and ours are the same.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}

SHOW = """
import asyncio, os, sys
main = sys.modules["__main__"]
print(sys.argv, sys.path[0], len(sys.path), vars(main) is globals(), sorted({*globals()} - {"__annotations__"}))
print(__name__, globals().get("__file__"), __package__, __spec__ and (__spec__.name, __spec__.origin), __builtins__)
print(getattr(__loader__, "__name__", type(__loader__).__name__), __doc__, sys.flags, sys.warnoptions)
async def double(x):
    await asyncio.sleep(0)
    return 2 * x
print(asyncio.run(double(21)))
"""


class Ended:
    """How a process ended, in a form that can be compared."""

    def __init__(self, command, cwd, stdin=""):
        env = {**ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=cwd, env=env, input=stdin, capture_output=True, text=True, timeout=PATIENCE)
        self.out, self.error, self.status = done.stdout, done.stderr, done.returncode

    def comparable(self):
        """Without runpy's frames, which python shows for -m, and without what depends on the machine's load.

        asyncio's REPL waits for a concurrent future in one of two lines, as it is done already or not. In debug mode
        asyncio logs a step that has taken 0.1 seconds.
        """
        runpys = re.compile(r' *File "<frozen runpy>".*\n(    .*\n)*')
        error = re.sub(r"line \d+, in result", "line N, in result", runpys.sub("", self.error))
        error = re.sub(r"Executing .* took [0-9.]+ seconds\n", "", error)
        return runpys.sub("", self.out).lstrip(), error, self.status


@pytest.fixture
def folder(tmp_path):
    """Programs of every kind."""
    for name in ("show.py", "package/__init__.py", "package/__main__.py", "folder/__main__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("" if name.endswith("__init__.py") else SHOW)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link.py").symlink_to("folder/__main__.py")
    (tmp_path / "broken.py").write_text("x = (1,\n")
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        archive.write(tmp_path / "show.py", "__main__.py")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        "show.py a -c --help",
        "./folder/../show.py",
        "link.py",
        "folder a",
        "folder/",
        "program.zip",
        "-m show a -m b",
        "-mshow",
        "-m package",
        "- a",
        "",
        "broken.py",
        "nope.py",
        "empty",
        "-m nope",
        "-m package.nope",
        "-m empty",
        "-m broken",
    ],
)
def test_runs_what_python_runs(folder, arguments):
    stdin = SHOW if arguments in ("", "- a") else ""
    expected = Ended([*PYTHON, *arguments.split()], folder, stdin)
    assert Ended([*COMPAT, *arguments.split()], folder, stdin).comparable() == expected.comparable()


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["-P"], ["-X", "dev"], ["-W", "error"], ["-O"]], ids="".join)
@pytest.mark.parametrize("program", [["show.py"], ["folder"], ["-c", SHOW, "a"]], ids=lambda program: program[0])
def test_keeps_pythons_own_flags(folder, flags, program):
    expected = Ended([*PYTHON, *flags, *program], folder)
    assert Ended([*PYTHON, *flags, *COMPAT[1:], *program], folder).comparable() == expected.comparable()


ENDINGS = {
    "exception": "def f(): 1/0\ntry: f()\nexcept Exception as e: raise ValueError('x') from e",
    "exit": "raise SystemExit",
    "exit with a number": "import sys; sys.exit(3)",
    "exit with a text": "import sys; sys.exit('bye')",
    "interrupt": "raise KeyboardInterrupt",
    "excepthook": "import sys, traceback\nsys.excepthook = lambda *a: print(*traceback.format_tb(a[2]))\n1/0",
    "excepthook that fails": "import sys\nsys.excepthook = lambda *a: print(1/0)\n[][0]",
    "last traceback": "import atexit, sys, traceback\n"
    "atexit.register(lambda: print(*traceback.format_tb(sys.last_traceback), sys.excepthook))\n"
    "1/0",
    "late": "import atexit, sys\natexit.register(lambda: print(vars(sys.modules['__main__']) is globals()))",
    "thread": "import threading, time\nthreading.Thread(target=lambda: [time.sleep(0.1), print('end')]).start()\n1/0",
    "missing module": "import nope.nope",
    "syntax": "x = = 1",
}


WAYS = [(ending, "script") for ending in ENDINGS]
for ending in ("exception", "exit with a text", "interrupt", "syntax"):
    WAYS += [(ending, way) for way in ("-m", "-c", "-")]


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "way"), WAYS)
def test_ends_as_python_ends(tmp_path, ending, way):
    code = ENDINGS[ending]
    (tmp_path / "program.py").write_text(code)
    arguments = {"script": ["program.py"], "-m": ["-m", "program"], "-c": ["-c", code], "-": ["-"]}[way]
    stdin = code if way == "-" else ""
    expected = Ended([*PYTHON, *arguments], tmp_path, stdin).comparable()
    out, error, status = Ended([*COMPAT, *arguments], tmp_path, stdin).comparable()
    # In "excepthook that fails" python shows the hook's own traceback, which begins with the one who called it.
    error = re.sub(r'  File ".*compat/__main__.py".*\n(    .*\n)*', "", error) if "hook that" in ending else error
    assert (out, error, status) == expected


@pytest.mark.parametrize(
    "arguments",
    ["-h", "--help", "--version", "-c", "-m", "-x show.py", "--native -x", "--tasks-on", "--native --watch show.py"],
)
def test_own_options(folder, arguments):
    ended = Ended([*COMPAT, *arguments.split()], folder)
    if arguments == "--version":
        assert ended.comparable() == (f"asyncio-on-trio {compat.__version__}\n", "", 0)
    elif arguments in ("-h", "--help"):
        assert ended.out.startswith("usage: ")
        assert {"python -m compat.report", "python -m compat.codemod"} <= {
            *re.findall("python -m compat.[a-z]+", ended.out)
        }
        assert (ended.error, ended.status) == ("", 0)
    else:
        assert ended.error.count("\n") == 1
        assert "leave out one" in ended.error or "try python -m compat --help" in ended.error
        assert (ended.out, ended.status) == ("", 2)


def test_compiled_script(folder):
    compiled = py_compile.compile(str(folder / "show.py"), cfile=str(folder / "show.pyc"))
    assert Ended([*COMPAT, compiled], folder).comparable() == Ended([*PYTHON, compiled], folder).comparable()


def test_source_lines_of_warnings_and_pickles_of_main(tmp_path):
    code = """
        import pickle, warnings
        class Thing: pass
        print(type(pickle.loads(pickle.dumps(Thing()))) is Thing)
        warnings.warn("old", DeprecationWarning)
        """
    (tmp_path / "program.py").write_text(textwrap.dedent(code))
    expected = Ended([*PYTHON, "program.py"], tmp_path).comparable()
    assert Ended([*COMPAT, "program.py"], tmp_path).comparable() == expected


def test_ctrl_c(tmp_path):
    (tmp_path / "program.py").write_text(
        "import asyncio\n"
        "async def main():\n"
        "    print('ready', flush=True)\n"
        "    try: await asyncio.sleep(30)\n"
        "    finally: print('cleaned up', flush=True)\n"
        "asyncio.run(main())\n"
    )
    ends = []
    for command in (PYTHON, COMPAT):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen([*command, "program.py"], cwd=tmp_path, env=ENVIRONMENT, **pipes) as process:
            first_line = process.stdout.readline()
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=PATIENCE)
        ends.append((first_line, out, error.splitlines()[-1], process.returncode))
    assert ends[0] == ends[1]
    assert ends[0][3] == -signal.SIGINT


def test_asyncios_own_repl(tmp_path):
    stdin = "await asyncio.gather(asyncio.sleep(0, 'a'), asyncio.sleep(0, 'b'))\n1/0\n"
    expected = Ended([*PYTHON, "-m", "asyncio"], tmp_path, stdin).comparable()
    assert Ended([*COMPAT, "-m", "asyncio"], tmp_path, stdin).comparable() == expected


@pytest.fixture
def command(tmp_path_factory):
    """The console script, as pip writes it."""
    script = tmp_path_factory.mktemp("bin") / "asyncio-on-trio"
    script.write_text("import sys\nfrom compat.__main__ import main\nsys.exit(main())\n")
    return [sys.executable, str(script)]


@pytest.mark.slow
def test_console_script_is_the_same(folder, command):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"asyncio-on-trio": "compat.__main__:main"}
    assert project["version"] == compat.__version__
    for arguments in (["show.py", "a"], ["folder"], ["-m", "package"], ["-c", SHOW, "b"], ["broken.py"], ["nope.py"]):
        expected = Ended([*PYTHON, *arguments], folder)
        assert Ended([*command, *arguments], folder).comparable() == expected.comparable()


def test_which_pythons_and_trios():
    """README, CHANGELOG, the classifiers and the workflow say the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pythons = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    [(low, high)] = re.findall(r"trio>=(0\.\d+),<0\.(\d+)", project["dependencies"][0])
    for file, words in ("README.md", " and"), ("CHANGELOG.md", ","):
        told = f"Python {pythons[0]} to {pythons[-1]}{words} trio {low} to 0.{int(high) - 1}"
        assert told in (ROOT / file).read_text()
    assert f"python: {json.dumps(pythons)}" in (ROOT / ".github/workflows/tests.yml").read_text()


@pytest.mark.parametrize("kind", ["module", "package"])
@pytest.mark.parametrize("place", ["", "src"])
def test_program_has_a_compat_and_adapters_of_its_own(tmp_path, command, kind, place):
    """They are the ones it imports, in its folder or where it finds them later; asyncio goes on working."""
    for name in ("compat", "adapters"):
        file = tmp_path / place / (f"{name}.py" if kind == "module" else f"{name}/__init__.py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("import asyncio\nmine = asyncio.sleep\n")
    (tmp_path / "program.py").write_text(
        f"import sys; sys.path.insert(0, {str(tmp_path / place)!r})\n"
        "import asyncio, sniffio, compat, adapters\n"
        "async def main():\n"
        "    await asyncio.gather(compat.mine(0), adapters.mine(0))\n"
        "    print(type(asyncio.get_running_loop()).__mro__[0].__name__)\n"
        "asyncio.run(main())\n"
    )
    ended = Ended([*command, "program.py"], tmp_path)
    assert ended.comparable() == ("Loop\n", "", 0)


@pytest.mark.parametrize("where", ["clone", "wheel"])
def test_what_is_imported_claims_no_name_but_compat(tmp_path, where):
    """Not `adapters`: a package of that name on PyPI is another one."""
    shutil.copytree(ROOT / "compat", tmp_path / "compat")
    if where == "wheel":
        (tmp_path / "compat" / "adapters.py").unlink()
    inside = tmp_path / {"clone": "adapters", "wheel": "compat/adapters"}[where]
    shutil.copytree(ROOT / "adapters", inside)
    (tmp_path / "site" / "adapters").mkdir(parents=True)
    (tmp_path / "site" / "adapters" / "__init__.py").write_text("WHOSE = 'theirs'")
    code = """
        import asyncio, sys, adapters
        from compat.adapters import tasks
        modules = {name.partition(".")[0] for name, module in sys.modules.items() if module is tasks}
        result = asyncio.run(asyncio.sleep(0, 5))
        print(adapters.WHOSE, asyncio.tasks is tasks, tasks.__file__, *sorted(modules), result)
        """
    path = os.pathsep.join([str(tmp_path / "site"), str(tmp_path)])
    done = subprocess.run(
        [*COMPAT, "-c", textwrap.dedent(code)],
        cwd=tmp_path / "site",
        env={**ENVIRONMENT, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    expected = f"theirs True {inside / 'tasks.py'} asyncio asyncio-on-trio:compat compat 5\n"
    assert done.stdout == expected, done.stderr


def test_nobody_gets_ours_by_the_name_adapters(tmp_path):
    code = "import compat.adapters\ntry: import adapters\nexcept ModuleNotFoundError as error: print(error.name)"
    assert run_code(code, tmp_path) == "adapters\n"


def test_program_can_import_ours(tmp_path):
    (tmp_path / "program.py").write_text(
        "import sys, asyncio, compat.adapters.tasks, compat.asyncio\n"
        "from compat import _redirect, adapters\n"
        "print(asyncio is compat.asyncio, asyncio.tasks is adapters.tasks, _redirect._modules['asyncio'] is asyncio)\n"
        "print(compat.__spec__, adapters.tasks.__spec__, adapters.tasks.__package__)\n"
    )
    ended = Ended([*COMPAT, "program.py"], tmp_path)
    expected = f"True True True\n{compat.__spec__} {adapters.tasks.__spec__} compat.adapters\n"
    assert re.sub("0x[0-9a-f]+", "", ended.out) == re.sub("0x[0-9a-f]+", "", expected)


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["unittest", "pytest"])
def test_test_runners(tmp_path, runner):
    (tmp_path / "test_it.py").write_text(
        "import asyncio, sniffio, unittest, compat.adapters.runners, unittest.async_case\n"
        "class Test(unittest.IsolatedAsyncioTestCase):\n"
        "    async def test(self):\n"
        "        self.assertEqual(type(asyncio.get_running_loop()).__module__, 'compat.adapters.events')\n"
        "        self.assertIs(unittest.async_case.asyncio.Runner, compat.adapters.runners.Runner)\n"
        "        await asyncio.sleep(0)\n"
        "    async def test_fails(self):\n"
        "        self.assertEqual(await asyncio.gather(asyncio.sleep(0, 1)), [2])\n"
    )
    ended = Ended([*COMPAT, "-m", runner, *(["-p", "no:cacheprovider"] if runner == "pytest" else [])], tmp_path)
    assert ended.status == 1
    assert "AssertionError: Lists differ: [1] != [2]" in ended.out + ended.error
    assert {"unittest": "FAILED (failures=1)", "pytest": "1 failed, 1 passed"}[runner] in ended.out + ended.error


# --- the module ------------------------------------------------------------------------------------------------------


def run_code(code, cwd):
    """Run code in a process of its own, which must end well; return what it printed."""
    ended = Ended([*PYTHON, "-W", "error", "-c", textwrap.dedent(code)], cwd)
    assert (ended.error, ended.status) == ("", 0)
    return ended.out


def test_who_took_current_task_before(tmp_path):
    """A module that has asyncio's function by its name knows a trio task in asyncio's loop, too: anyio's has."""
    (tmp_path / "taken.py").write_text("from asyncio import current_task")
    code = """
        import asyncio, taken, trio, compat

        async def main():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio_task)

        async def trio_task():
            print(taken.current_task() is asyncio.current_task() is not None)

        compat.run(main)
        print(taken.current_task is asyncio.current_task)
        """
    assert run_code(code, tmp_path) == "True\nTrue\n"


def test_has_every_name():
    assert {*dir(std)} <= {*dir(asyncio)}
    assert asyncio.__all__ == std.__all__
    assert [name for name in std.__all__ if not hasattr(asyncio, name)] == []
    for name, original in vars(std).items():
        if isinstance(original, types.ModuleType) and original.__name__ == f"asyncio.{name}":
            ours = getattr(asyncio, name)
            assert importlib.import_module(f"compat.asyncio.{name}") is ours
            assert [each for each in dir(original) if not hasattr(ours, each) or each not in dir(ours)] == []


def test_one_name_is_one_thing_everywhere():
    for module in vars(std).values():
        if isinstance(module, types.ModuleType) and module.__name__.startswith("asyncio."):
            for name in getattr(module, "__all__", ()):
                if name in std.__all__:
                    ours = getattr(asyncio, module.__name__.partition(".")[2])
                    assert getattr(ours, name) is getattr(asyncio, name), name


def test_each_name_comes_from_where_it_should():
    """Adapted modules are the adapters themselves, what has no concurrency is the standard library's."""
    assert (asyncio.tasks, asyncio.timeouts) == (adapters.tasks, adapters.timeouts)
    assert asyncio.tasks.base_tasks.coroutines is asyncio.coroutines
    assert asyncio.staggered.locks is not asyncio.locks
    assert repr(asyncio.TaskGroup) == "<class 'asyncio.taskgroups.TaskGroup'>"
    assert asyncio.gather.__module__ == "asyncio.tasks"
    for name in ("CancelledError", "TimeoutError", "QueueEmpty", "Handle", "AbstractEventLoop", "Protocol"):
        assert getattr(asyncio, name) is getattr(std, name), name
    for name in ("log", "constants", "protocols", "sslproto", "coroutines"):
        assert getattr(asyncio, name) is getattr(std, name), name
    assert asyncio.tasks._enter_task is std.tasks._enter_task
    with pytest.raises(AttributeError, match=r"^module 'asyncio' has no attribute 'nope'$"):
        _ = asyncio.nope
    with pytest.raises(AttributeError, match=r"^module 'asyncio.tasks' has no attribute 'nope'$"):
        _ = asyncio.tasks.nope


def test_what_is_not_adapted_says_so(tmp_path):
    """Names that a later Python may add to asyncio: all but a call works."""
    code = """
        import asyncio as std
        def turn(): "Turn."
        class Turnstile: "Turns."
        for new in (turn, Turnstile):
            new.__module__ = "asyncio.streams"
            setattr(std.streams, new.__name__, new)
            setattr(std, new.__name__, new)
            std.streams.__all__ += type(std.streams.__all__)([new.__name__])

        from compat import asyncio
        class Mine(asyncio.Turnstile):
            thing: asyncio.streams.Turnstile
        print(asyncio.Turnstile, asyncio.Turnstile.__doc__, asyncio.turn.__doc__, isinstance(1, asyncio.Turnstile))
        for call in (asyncio.turn, asyncio.Turnstile, Mine, asyncio.streams.turn, asyncio.streams.Turnstile):
            try:
                call()
            except NotImplementedError as error:
                print(error)
        """
    assert run_code(code, tmp_path).splitlines() == [
        "<class 'asyncio.streams.Turnstile'> Turns. Turn. False",
        "asyncio.turn is not on trio yet",
        "asyncio.Turnstile is not on trio yet",
        "asyncio.Turnstile is not on trio yet",
        "asyncio.turn is not on trio yet",
        "asyncio.Turnstile is not on trio yet",
    ]


def test_what_is_added_to_a_module_of_the_interpreters_own_classes_works(tmp_path):
    """Names that a later Python may add to asyncio's locks, say."""
    code = """
        import asyncio as std
        class Turnstile(std.Lock): "Turns."
        std.locks.Turnstile = std.Turnstile = Turnstile
        std.locks.__all__ += type(std.locks.__all__)(["Turnstile"])

        from compat import asyncio
        print(asyncio.Turnstile().locked(), asyncio.locks.Turnstile is asyncio.Turnstile)
        """
    assert run_code(code, tmp_path) == "False True\n"


def test_a_new_adapter_is_found(tmp_path):
    (tmp_path / "staggered.py").write_text("__all__ = ['staggered_race']\ndef staggered_race(): pass\n")
    code = """
        import sys
        from compat import adapters
        adapters.__path__.append(sys.path[0] or ".")
        from compat import asyncio
        print(asyncio.staggered.__name__, asyncio.staggered.staggered_race.__module__)
        """
    assert run_code(code, tmp_path) == "compat.adapters.staggered asyncio.staggered\n"


def test_importing_compat_imports_nothing(tmp_path):
    code = """
        import sys
        before = set(sys.modules)
        import compat
        print(*sys.modules.keys() - before)
        print([name for name in compat.__all__ if name not in dir(compat)])
        try: compat.nope
        except AttributeError as error: print(error)
        """
    assert run_code(code, tmp_path) == "compat\n[]\nmodule 'compat' has no attribute 'nope'\n"


@pytest.mark.parametrize("tool", ["mypy", "pyright"])
def test_type_checkers_see_asyncio(tmp_path, tool):
    pytest.importorskip(tool, reason="the linters are no part of the test extra")
    (tmp_path / "program.py").write_text(
        "import compat\n"
        "import compat.asyncio\n"
        "from compat import asyncio\n"
        "from compat.asyncio import Queue\n"
        "async def f(n: int) -> str:\n"
        "    q: Queue[int] = asyncio.Queue()\n"
        "    await compat.asyncio.sleep(q.qsize())\n"
        "    return ''\n"
        "reveal_type(asyncio.run(f(1)))\n"
        "reveal_type(compat.run(f, 1))\n"
        "compat.run(f, '')\n"
        "asyncio.tasks.nope\n"
    )
    strict = ["--strict", "--no-incremental"] if tool == "mypy" else []
    ended = Ended([sys.executable, "-m", tool, *strict, "program.py"], tmp_path)
    found = [int(line) for line in re.findall(r"program\.py:(\d+)", ended.out)]
    assert sorted({*found}) == [9, 10, 11, 12], ended.out
    assert len(re.findall(r'(?:is|of) "(?:builtins\.)?str"', ended.out)) == 2, ended.out


TYPED = """\
import signal
from collections.abc import Awaitable

import trio

import compat
from compat import asyncio


class Counter:
    def __init__(self, limit: int) -> None:
        self.slots = asyncio.Semaphore(limit)
        self.done: asyncio.Event = asyncio.Event()

    async def count(self, queue: asyncio.Queue[int], total: list[int]) -> int:
        async with self.slots, asyncio.timeout(5):
            while (number := await queue.get()) > 0:
                total.append(number)
        self.done.set()
        return sum(total)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    await writer.drain()
    stream = compat.as_trio_stream(reader, writer)
    await stream.send_all(b"")


async def main(limit: int) -> str:
    queue: asyncio.Queue[int] = asyncio.Queue()
    counter = Counter(limit)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(counter.count(queue, []))
        queue.put_nowait(0)
    send, receive = compat.as_channels(queue)
    await send.send(3)
    number: int = await receive.receive()
    other: asyncio.Queue[int] = compat.as_queue(*trio.open_memory_channel[int](1))
    waiting: Awaitable[None] = other.put(number)
    first, _ = await asyncio.gather(asyncio.sleep(0, "x"), waiting)
    async with compat.open_loop() as loop:
        loop.call_soon(print, 1)
    compat.print_tasks()
    return first * task.result()


async def with_trio(stream: trio.SocketStream) -> bytes:
    reader, writer = compat.as_streams(stream, limit=100)
    writer.close()
    return await reader.read()


compat.install()
active: bool = compat.is_active()
where: str | None = compat.running_on()
compat.print_tasks_on(signal.SIGUSR1)
with compat.virtual_time():
    text: str = compat.run(main, 3)
    asyncio.run(main(3))
compat.uninstall()
"""


@pytest.mark.parametrize("tool", ["mypy", "pyright"])
def test_type_checkers_are_content_with_a_program(tmp_path, tool):
    """In strict mode, with every public function of ours."""
    pytest.importorskip(tool, reason="the linters are no part of the test extra")
    public = [name for name in compat.__all__ if name not in ("asyncio", "QueueShutDown")]
    assert [name for name in public if f"compat.{name}(" not in TYPED] == []
    (tmp_path / "program.py").write_text(TYPED)
    settings = f'{{"typeCheckingMode": "strict", "extraPaths": ["{ROOT}"], "include": ["program.py"]}}'
    (tmp_path / "pyrightconfig.json").write_text(settings)
    options = {"mypy": ["--strict", "--no-incremental", "program.py"], "pyright": ["--pythonpath", sys.executable]}
    ended = Ended([sys.executable, "-m", tool, *options[tool]], tmp_path)
    assert ended.status == 0, ended.out
    assert ended.out.strip().startswith(("Success: no issues found", "0 errors"))


# --- install and run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["", "import asyncio.tasks, unittest.async_case"], ids=["first", "later"])
def test_install_and_uninstall(tmp_path, first):
    (tmp_path / "extra.py").write_text("from . import tasks\nfrom .queues import Queue\n")
    code = f"""
        import importlib, sys, compat, compat.asyncio
        {first}
        def entries(): return {{name: id(module) for name, module in sys.modules.items() if "asyncio" in name}}
        before = entries()
        for _ in range(2):
            assert not compat.is_active()
            compat.install()
            compat.install()
            assert compat.is_active()
            import asyncio
            assert asyncio is compat.asyncio
            asyncio.__path__.append({str(tmp_path)!r})
            import asyncio.tasks, asyncio.queues, asyncio.extra
            from asyncio import tasks, Queue, extra
            import asyncio.timeouts as timeouts
            assert tasks is compat.asyncio.tasks is extra.tasks is sys.modules["compat.adapters.tasks"]
            assert timeouts is compat.asyncio.timeouts
            assert Queue is compat.asyncio.Queue is extra.Queue
            assert importlib.import_module("asyncio.queues") is asyncio.queues is compat.asyncio.queues
            assert importlib.util.find_spec("asyncio.streams")
            star = {{}}
            exec("from asyncio import *", star)
            assert star["gather"] is asyncio.gather
            assert [name for name in asyncio.__all__ if name not in star] == []

            compat.uninstall()
            compat.uninstall()
            assert not compat.is_active()
            assert entries() == before
            import asyncio
            assert asyncio.tasks.__name__ == "asyncio.tasks" and asyncio.Queue is not Queue
        """
    run_code(code, tmp_path)


def test_code_that_imported_asyncio_earlier_gets_our_loops(tmp_path):
    """It starts a loop, by the real asyncio.run or by unittest; what is imported later is awaited on it."""
    code = """
        import asyncio as real, unittest.async_case, compat, sniffio
        compat.install()
        import asyncio

        async def main(which):
            await which.sleep(0)
            try:
                return type(which.get_running_loop()).__name__, await which.gather(which.sleep(0, 1), which.sleep(0, 2))
            finally:
                assert which.get_running_loop() is asyncio.get_running_loop() is real.get_running_loop()
        class Test(unittest.IsolatedAsyncioTestCase):
            async def test(self): print(await main(asyncio), await main(real))

        assert asyncio is not real
        print(real.run(main(asyncio)), real.run(main(real)), asyncio.run(main(real)))
        assert unittest.TextTestRunner(open("/dev/null", "w")).run(Test("test")).wasSuccessful()
        compat.uninstall()
        print(real.run(real.sleep(0, sniffio)).thread_local.name, type(real.new_event_loop()) is real.SelectorEventLoop)
        """
    ended = Ended([*PYTHON, "-c", textwrap.dedent(code)], tmp_path)
    trios = "('Loop', [1, 2])"
    assert ended.comparable()[:2] == (f"{trios} {trios} {trios}\n{trios} {trios}\nNone True\n", "")


def test_nothing_but_ours_holds_the_real_asyncio(tmp_path):
    """What the command line imports before the redirect would keep it."""
    code = """
        import sys, asyncio, compat._redirect
        real = compat._redirect.std
        theirs = [module for name, module in sys.modules.items()
                  if name.partition(".")[0] not in ("__main__", "asyncio", "compat") and ":" not in name]
        print([module.__name__ for module in theirs if any(value is real for value in vars(module).values())])
        """
    assert Ended([*COMPAT, "-c", textwrap.dedent(code)], tmp_path).comparable() == ("[]\n", "", 0)


def test_run():
    async def both(number):
        await trio.sleep(3)
        await std.sleep(4)
        return number, trio.current_time() - start, std.get_running_loop() is asyncio.get_running_loop()

    clock = trio.testing.MockClock(autojump_threshold=0)
    start = clock.current_time()
    assert compat.run(both, 5, clock=clock) == (5, 7, True)
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_run_passes_instruments():
    seen = []

    class Instrument(trio.abc.Instrument):
        def task_spawned(self, task):
            seen.append(task.name)

    async def main():
        return await asyncio.create_task(name())

    async def name():
        return asyncio.current_task().get_name()

    assert compat.run(main, instruments=[Instrument()]) in seen


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError(), None])
def test_run_ends_as_its_function_ends(error):
    """The exception comes out bare, and what was left running has ended in asyncio's way."""
    steps = []

    async def rest():
        try:
            await trio.sleep_forever()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            steps.append("ended")
            raise

    async def main():
        asyncio.create_task(rest())
        await asyncio.sleep(0)
        if error is not None:
            raise error
        return "result"

    if error is None:
        assert compat.run(main) == "result"
    else:
        with pytest.raises(type(error)) as caught:
            compat.run(main)
        assert caught.value is error
    assert steps == ["ended"]


def test_run_refuses_inside_a_run():
    async def inner():
        pass

    async def main():
        compat.run(inner)

    for outer, told in (
        (trio.run, r"inside a trio run: .* `async with compat\.open_loop\(\): await inner\(\.\.\.\)`"),
        (compat.run, r"inside an asyncio loop on trio, <HostedLoop .*: .* `await inner\(\.\.\.\)`"),
        (lambda main: asyncio.run(main()), r"inside an asyncio loop on trio, <Loop .*: .* `await inner\("),
        (
            lambda main: std.run(main()),
            r"inside a loop of asyncio\.unix_events, .* `await asyncio\.to_thread\(compat",
        ),
    ):
        with pytest.raises(RuntimeError, match=told):
            outer(main)


def test_run_inside_a_notebook_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))

    async def main():
        compat.run(asyncio.sleep, 0)

    told = r"\(it is the notebook's\): there use a thread, .*sleep, .*`python -m compat\.kernel install`"
    with pytest.raises(RuntimeError, match=told):
        std.run(main())


def test_run_shows_the_programs_frames():
    """A traceback has none of ours in between; but a nursery adds one to trio's own."""

    async def fail():
        await asyncio.sleep(0)
        raise ValueError("x")

    async def in_task():
        await asyncio.create_task(fail())

    async def in_nursery():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)

    def frames(error):
        return [frame.name for frame in traceback.extract_tb(error.__traceback__)][1:]

    for main in (fail, in_task):
        with pytest.raises(ValueError, match="x") as caught:
            compat.run(main)
        assert frames(caught.value) == [main.__name__, *(["fail"] if main is in_task else [])]
    with pytest.raises(ExceptionGroup) as caught:
        compat.run(in_nursery)
    assert frames(caught.value) == ["in_nursery", "exit_nursery", "__aexit__"]
    with pytest.raises(TypeError, match="missing"):  # before there is any
        compat.run(asyncio.sleep)


def test_running_on():
    async def callback():
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: future.set_result(compat.running_on()))
        return await future

    async def task():
        await trio.sleep(0)
        return compat.running_on()

    async def main():
        assert repr(asyncio.get_running_loop()) == "<HostedLoop on trio running=True closed=False debug=False>"
        return compat.running_on(), await asyncio.create_task(task()), await callback()

    async def plain():
        return compat.running_on()

    assert compat.running_on() is None
    assert compat.run(main) == ("trio", "asyncio on trio", "asyncio on trio")
    assert trio.run(plain) == "trio"
    assert asyncio.run(plain()) == "asyncio on trio"
    assert std.run(plain()) == "asyncio"


def test_the_remedies_that_run_names_work():
    async def inner(argument):
        await trio.sleep(0)
        return await asyncio.sleep(0, argument)

    async def in_trio():
        async with compat.open_loop():
            return await inner(1)

    assert trio.run(in_trio) == 1
    assert std.run(std.to_thread(compat.run, inner, 1)) == 1


def test_run_refuses_a_coroutine():
    async def main(argument):
        pass

    coro = main(5)
    with pytest.raises(TypeError, match=r"write compat\.run\(main\) or compat\.run\(main, \.\.\.\), and not"):
        compat.run(coro)
    assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED  # so nothing says that it was never awaited


def test_open_loop():
    async def main():
        async with compat.open_loop() as loop:
            assert loop is asyncio.get_running_loop()
            return await asyncio.gather(asyncio.sleep(0, 1))

    assert trio.run(main) == [1]
