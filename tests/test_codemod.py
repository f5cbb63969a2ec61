"""python -m compat.codemod: what it replaces, what it leaves alone, and that programs do the same afterwards."""

import inspect
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import test_examples
from compat.codemod import NO_LIBCST, change
from compat.codemod.__main__ import main
from worlds import PATIENCE, ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def codemod(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "compat.codemod", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)


def changed(line: str, before: str = "from compat import asyncio") -> str:
    """What becomes of a line of an async function."""
    text = f"{before}\nasync def f():\n    {line}\n"
    after = change(text).text
    return "\n".join(new.strip() for new in after.splitlines() if new and new not in text.splitlines())


REPLACED = {
    "await asyncio.sleep(1)": "import trio\nawait trio.sleep(1)",
    "await asyncio.sleep(0.5), await asyncio.sleep(2)": "import trio\nawait trio.sleep(0.5), await trio.sleep(2)",
    "await asyncio.Future(), await asyncio.sleep(0)": (
        "import trio\nawait trio.sleep_forever(), await trio.lowlevel.checkpoint()"
    ),
    "await asyncio.sleep(0)": "import trio\nawait trio.lowlevel.checkpoint()",
    "é = 'é'; await asyncio.sleep(0); 'é'": "import trio\né = 'é'; await trio.lowlevel.checkpoint(); 'é'",
    "await asyncio.Event().wait()": "import trio\nawait trio.sleep_forever()",
    "await asyncio.Future()": "import trio\nawait trio.sleep_forever()",
    "await asyncio.get_running_loop().create_future()": "import trio\nawait trio.sleep_forever()",
    "t = asyncio.get_event_loop().time()": "import trio\nt = trio.current_time()",
    "raise asyncio.TimeoutError": "raise TimeoutError",
    "x = asyncio.exceptions.TimeoutError": "x = TimeoutError",
    "p = asyncio.subprocess.PIPE": "import subprocess\np = subprocess.PIPE",
}


@pytest.mark.parametrize("line", REPLACED)
def test_replaced(line):
    assert changed(line) == REPLACED[line]


@pytest.mark.parametrize(
    "line",
    [
        "await asyncio.sleep(x)",
        "await asyncio.sleep(-1)",
        "await asyncio.sleep(1, 'result')",
        "await asyncio.sleep(delay=1)",
        "await asyncio.sleep(*x)",
        "await asyncio.sleep(True)",
        "asyncio.gather(asyncio.sleep(1))",
        "nap = asyncio.sleep",
        "await asyncio.Event().wait",
        "await asyncio.Future(loop=x)",
        "asyncio.Future()",
        "event = asyncio.Event(); await event.wait()",
        "def g(): asyncio.get_running_loop().time()",
        "(asyncio.get_running_loop().time() for x in y)",
        "def g(t=asyncio.get_running_loop()): t.time()",
        "self.loop.time()",
        "asyncio.TimeoutError = x",
        "await mine.sleep(1)",
        "await asyncio.wait_for(x, 1)",
    ],
)
def test_left_alone(line):
    assert changed(line) == ""


def test_names_that_are_taken():
    sleep = "await asyncio.sleep(1)"
    assert changed(sleep, "from compat import asyncio\ntrio = 3") == ""
    assert changed(sleep, "from compat import asyncio\ndef g(trio): pass") == ""
    assert changed(sleep, "from compat import asyncio\nimport trio") == "await trio.sleep(1)"
    assert changed(sleep, "from compat import asyncio\ndef g():\n    import trio") == "import trio\nawait trio.sleep(1)"
    assert changed("asyncio.subprocess.PIPE", "from compat import asyncio\nfrom compat.asyncio import subprocess") == ""
    assert changed("raise asyncio.TimeoutError", "from compat import asyncio\nfrom x import TimeoutError") == ""
    assert changed(sleep, "try:\n    from compat import asyncio\nexcept ImportError: pass") == ""
    assert (
        changed(sleep, "try:\n    from compat import asyncio\nexcept ImportError:\n    import other as asyncio") == ""
    )
    assert changed(sleep, "import os\nasyncio = os") == ""


def test_other_names_for_asyncio():
    assert changed("await nap(1)", "from compat.asyncio import sleep as nap") == "import trio\nawait trio.sleep(1)"
    assert changed("await aio.sleep(1)", "from compat import asyncio as aio") == "import trio\nawait trio.sleep(1)"
    assert changed("raise TimeoutError", "from compat.asyncio import TimeoutError") == ""


def test_constants_of_the_module():
    assert (
        changed("await asyncio.sleep(NAP)", "from compat import asyncio\nNAP = 0.1")
        == "import trio\nawait trio.sleep(NAP)"
    )
    assert changed("await asyncio.sleep(NAP)", "from compat import asyncio\nNAP = 0.1\nNAP = -1") == ""
    assert changed("await asyncio.sleep(NAP)", "from compat import asyncio\nNAP = -0.1") == ""
    assert (
        changed(
            "await asyncio.sleep(NAP)", "from compat import asyncio\nNAP = 0.1\ndef g():\n    global NAP\n    NAP = x"
        )
        == ""
    )
    assert changed("await asyncio.sleep(NAP); NAP = 3", "from compat import asyncio\nNAP = 0.1") == ""


def test_where_the_import_goes():
    head = '"""Doc."""\nfrom __future__ import annotations\nfrom compat import asyncio; x = """\n"""\n'
    text = head + "async def f(): await asyncio.sleep(1)\n"
    assert change(text).text.splitlines()[:5] == [
        *text.splitlines()[:2],
        "import trio",
        'from compat import asyncio; x = """',
        '"""',
    ]
    assert change("from compat import asyncio\r\nasync def f(): await asyncio.sleep(1); asyncio").text == (
        "import trio\r\nfrom compat import asyncio\r\nasync def f(): await trio.sleep(1); asyncio"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from compat import asyncio\n", ""),
        ("from compat import asyncio, run\n", "from compat import run\n"),
        ("import compat\ncompat.install()\nimport asyncio\n", "import compat\ncompat.install()\n"),
        ("'For asyncio.'\nfrom compat import asyncio\n", "'For asyncio.'\n"),
        ("from compat import asyncio\nx: 'asyncio.Task'\n",) * 2,
        ("from compat import asyncio\n__all__ = ['asyncio']\n",) * 2,
        ("from compat import asyncio\nasyncio\n",) * 2,
    ],
)
def test_an_import_that_nothing_needs_any_more(before, after):
    changed = change(f"{before}async def f(): await asyncio.sleep(1)\n").text
    assert changed.replace("import trio\n", "") == f"{after}async def f(): await trio.sleep(1)\n"


@pytest.mark.parametrize(
    ("other", "is_kept"),
    [
        ("import it\nprint(it.asyncio)\n", True),
        ("import it as of\nprint(of.asyncio)\n", True),
        ("mock.patch('it.asyncio.gather')\n", True),
        ("from it import asyncio\n", True),
        ("from .it import (\n    f,\n    asyncio,\n)\n", True),
        ("from it import *\n", True),
        ("import it, asyncio\nfrom compat import asyncio\nasyncio.run(it.f)\n", False),
    ],
)
@pytest.mark.parametrize("name", ["", "native as "])
def test_an_import_that_another_module_takes(tmp_path, other, is_kept, name):
    (tmp_path / "it.py").write_text(f"from compat import {name}asyncio\nasync def f(): await asyncio.sleep(1)\n")
    (tmp_path / "other.py").write_text(other)
    assert codemod("--write", "it.py", cwd=tmp_path).returncode == 0
    text = (tmp_path / "it.py").read_text()
    assert ("await trio.sleep(1)" in text, "asyncio" in text) == (True, is_kept)


def test_comments_and_lines_stay():
    text = textwrap.dedent("""
        from compat import asyncio  # why

        async def f():
            await asyncio.sleep(  # some time
                1,
            )
            await asyncio.sleep(
                0
            )
            await (asyncio.  # odd
                sleep(1))
            print(f"{await asyncio.sleep(1)}")
    """)
    lines = change(text).text.splitlines()
    assert lines[1:4] == ["import trio", "from compat import asyncio  # why", ""]
    assert lines[5:7] == ["    await trio.sleep(  # some time", "        1,"]
    assert lines[8:13] == text.splitlines()[7:12]  # in several lines
    # In an f-string no place is known before 3.12.
    assert lines[13] in ('    print(f"{await trio.sleep(1)}")', '    print(f"{await asyncio.sleep(1)}")')


def test_it_says_what_it_left():
    after = change(
        "from compat import asyncio\nasync def f(q: asyncio.Queue, t):\n"
        "    await asyncio.sleep(t)\n    await asyncio.wait(q)\n"
    )
    assert [(use.line, use.api, reason) for use, reason in after.left] == [
        (2, "asyncio.Queue", "a declaration, which changes with what it declares"),
        (3, "asyncio.sleep", "trio.sleep() refuses a time below 0, and this one is not known"),
        (4, "asyncio.wait", "in trio it means something else (see compat.report)"),
    ]


THE_REAL_ONE = "this file imports the real asyncio: write `from compat import asyncio`, or let --to-native do it"


@pytest.mark.parametrize(
    "before",
    [
        "import asyncio",
        "import asyncio, trio",
        "import asyncio, compat",
        "from asyncio import sleep\nimport asyncio",
        "import asyncio, compat\ncompat.print_tasks()\nasyncio.run(f())",
        "import asyncio, compat\ndef g():\n    compat.run(f)\n    asyncio.run(f())",
        "import asyncio, compat\ndef g(loop):\n    compat.run(f)\n    loop.run_until_complete(f())",
        "import asyncio, my.compat as compat\ncompat.install()",
    ],
)
def test_where_asyncio_may_be_the_real_one_nothing_is_replaced(before):
    text = f"{before}\nasync def f():\n    await asyncio.sleep(1)\n    raise asyncio.TimeoutError\n"
    assert change(text) == (text, [], THE_REAL_ONE)


@pytest.mark.parametrize(
    "before",
    [
        "from compat import asyncio\nimport asyncio.tasks",
        "try:\n    from compat import asyncio\nexcept ImportError:\n    import asyncio",
    ],
)
def test_where_asyncio_is_one_of_two_nothing_is_replaced(before):
    assert changed("await asyncio.sleep(1)", before) == ""


@pytest.mark.parametrize(
    "before",
    [
        "import compat.asyncio as asyncio",
        "import compat\ncompat.install()\nimport asyncio",
        "from compat import install\ninstall()\nimport asyncio",
        "import asyncio, compat\ndef g(): compat.run(f)",
        "import asyncio\nfrom compat import run\ndef g(): run(f)",
        "import asyncio, compat\nasync def g():\n    async with compat.open_loop(): await f()",
    ],
)
def test_where_asyncio_is_compats_trio_is_used(before):
    assert "await trio.sleep(1)" in changed("await asyncio.sleep(1)", before)


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_difference_first(tmp_path):
    before = "from compat import asyncio\n\nasync def f(x: asyncio.Task):\n    await asyncio.sleep(1)"
    (tmp_path / "a.py").write_text(before)
    (tmp_path / "b.py").write_text("import asyncio\nasyncio.run(1)\n")
    (tmp_path / "c.py").write_text("x = (\n")
    done = codemod(".", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout == (
        "--- a/a.py\n+++ b/a.py\n@@ -1,4 +1,5 @@\n+import trio\n from compat import asyncio\n \n"
        " async def f(x: asyncio.Task):\n"
        "-    await asyncio.sleep(1)\n\\ No newline at end of file\n"
        "+    await trio.sleep(1)\n\\ No newline at end of file\n"
    )
    assert done.stderr.splitlines() == [
        "c.py: not read: line 1: '(' was never closed",
        "a.py:3: asyncio.Task left alone: a declaration, which changes with what it declares",
        f"b.py: left alone: {THE_REAL_ONE}",
        "2 files read, 1 can be changed (--write does it); left alone: 1 file as a whole, 1 use of asyncio in others",
    ]
    assert (tmp_path / "a.py").read_text() == before
    written = codemod("--write", ".", cwd=tmp_path)
    assert written.stdout == done.stdout
    assert (tmp_path / "a.py").read_text() == "import trio\n" + before.replace("asyncio.sleep", "trio.sleep")
    assert codemod("--write", "a.py", cwd=tmp_path).stdout == ""


def test_a_file_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    """It is named, and the others are written."""
    before = "from compat import asyncio\nasync def f(): await asyncio.sleep(1)\n"
    for name in "abc":
        (tmp_path / f"{name}.py").write_text(before)
    write = Path.write_bytes

    def refuse(path, data):
        if path.name == "b.py":
            raise PermissionError(13, "Permission denied", str(path))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.chdir(tmp_path)
    assert main(["--write", "."]) == 3
    assert capsys.readouterr().err.splitlines() == [
        "b.py: not written: Permission denied",
        "3 files read, 2 changed; left alone: 0 files as a whole, 0 uses of asyncio in others",
    ]
    assert [(tmp_path / f"{name}.py").read_text() == before for name in "abc"] == [False, True, False]


def test_encodings(tmp_path):
    for name, encoding, head in ("bom", "utf-8-sig", ""), ("latin", "latin-1", "# coding: latin-1\n"):
        path = tmp_path / f"{name}.py"
        text = f"{head}import trio\nfrom compat import asyncio\nasync def f(): 'é'; await asyncio.sleep(1); asyncio\n"
        path.write_bytes(text.encode(encoding))
        assert codemod(path, "--write").returncode == 0
        assert path.read_bytes() == text.replace("asyncio.sleep", "trio.sleep").encode(encoding)


@pytest.mark.parametrize("arguments", [[], ["nope"], [".", "--nope"], ["--check", "."], ["a.py", "nope"]])
def test_wrong_command_lines(tmp_path, arguments):
    """A folder without Python files is one: --check would pass."""
    (tmp_path / "a.py").mkdir()
    done = codemod(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--nope" in arguments or not arguments or re.search("a.py: |nope: |no Python files in it", done.stderr)


def test_check_of_what_it_does_not_look_at(tmp_path):
    """Modules on the real asyncio are counted, and pass: a port has them. Native without libcst cannot be checked."""
    (tmp_path / "real.py").write_text("import asyncio\nasyncio.run(1)\n")
    done = codemod("--check", ".", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[1].endswith("left alone: 1 file as a whole, 0 uses of asyncio in others")
    (tmp_path / "native.py").write_text("from compat import native as asyncio\nasyncio.run(1)\n")
    (tmp_path / "libcst.py").write_text("raise ModuleNotFoundError(name='libcst')\n")
    done = codemod("--check", "--quiet", "real.py", "native.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"native.py: left alone: {NO_LIBCST}\n"


# --- programs do the same afterwards ---------------------------------------------------------------------------------

PROGRAM = """
import asyncio
from asyncio import subprocess as sub

NAP = 0.02


async def step(name, log):
    for number in range(3):
        log.append(f"{name}{number}")
        await asyncio.sleep(0)
    await asyncio.sleep(NAP)
    log.append(f"{name} awake")


async def wait_until_cancelled(how, log):
    try:
        if how == "event":
            await asyncio.Event().wait()
        elif how == "future":
            await asyncio.Future()
        elif how == "created":
            await asyncio.get_running_loop().create_future()
        elif how == "sleep":
            await asyncio.sleep(3600)
        else:
            while True:
                await asyncio.sleep(0)
    except asyncio.CancelledError as error:
        log.append(f"{how} cancelled {error.args}")
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        log.append(f"{how} cleaned up")
        raise


async def main():
    log = []
    await asyncio.gather(*(step(name, log) for name in "abc"))
    print(sorted(log), log[:9])
    log.clear()
    for how in "event", "future", "created", "sleep", "busy":
        task = asyncio.create_task(wait_until_cancelled(how, log))
        await asyncio.sleep(0.01)
        task.cancel("enough")
        try:
            await task
        except asyncio.CancelledError as error:
            log.append(f"{how} ended {error.args}")
        try:
            await asyncio.wait_for(wait_until_cancelled(how, log), 0.01)
        except asyncio.TimeoutError:
            log.append(f"{how} out of time")
    print(*log, sep="\\n")
    start = asyncio.get_running_loop().time()
    await asyncio.sleep(0.05)
    print(0.04 < asyncio.get_running_loop().time() - start < 5)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        tasks = [group.create_task(step(name, log), name=name) for name in "xy"]
    print(asyncio.subprocess.PIPE, sub.DEVNULL, [task.get_name() for task in tasks])


asyncio.run(main())
"""


def with_compat(text: str) -> str:
    """A program that imports compat's asyncio, as in the first step of docs/porting.md."""
    text = re.sub("^import asyncio$", "from compat import asyncio", text, flags=re.M)
    return re.sub(r"^from asyncio\b", "from compat.asyncio", text, flags=re.M)


def test_a_program_on_asyncio_is_left_alone(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = codemod(program, "--write")
    assert done.returncode == 0
    assert f"left alone: {THE_REAL_ONE}" in done.stderr
    assert program.read_text() == PROGRAM


@pytest.mark.slow
def test_a_program_does_the_same_afterwards(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    expected = test_examples.run(str(program))
    assert expected[0] == 0
    program.write_text(with_compat(PROGRAM))
    assert test_examples.run(str(program)) == expected
    assert codemod(program, "--write").returncode == 0
    text = program.read_text()
    assert text.count("trio.sleep_forever()") == 3
    assert text.count("trio.current_time()") == 2
    assert text.count("trio.lowlevel.checkpoint()") == 3
    assert text.count("await trio.sleep(") == 5
    assert "asyncio.sleep" not in text
    assert test_examples.run("-m", "compat", str(program)) == expected


@pytest.fixture(scope="session")
def examples_after(tmp_path_factory):
    """A copy of the examples after the codemod."""
    copy = tmp_path_factory.mktemp("changed") / "examples"
    shutil.copytree(ROOT / "examples", copy)
    for example in copy.glob("*.py"):
        example.write_text(with_compat(example.read_text()))
    done = codemod(copy, "--write")
    assert done.returncode == 0
    assert "await trio.sleep(2)" in (copy / "codecount.py").read_text()
    return copy


@pytest.fixture
def changed_examples(examples_after, monkeypatch):
    """That copy, in the place where the tests of the examples look."""
    monkeypatch.setattr(test_examples, "EXAMPLES", examples_after)
    # What runs on trio only is compared with what the original prints on asyncio.
    monkeypatch.setattr(
        test_examples, "run", lambda *command, **options: run_original(examples_after, command, options)
    )


real_run = test_examples.run


def run_original(copy: Path, command: tuple[str, ...], options: dict) -> tuple[int, str, str]:
    original = command[0].replace(str(copy), str(ROOT / "examples"))
    if command[0] != "-m" and "compat" not in Path(original).read_text():
        command = original, *command[1:]
    return real_run(*command, **options)


folder = test_examples.folder

EXAMPLES = [
    name
    for name, test in vars(test_examples).items()
    if name.startswith("test_")
    and not hasattr(test, "pytestmark")
    and {*inspect.signature(test).parameters} <= {"folder", "tmp_path", "tmp_path_factory"}
]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_print_the_same(name, changed_examples, request):
    test = getattr(test_examples, name)
    test(**{each: request.getfixturevalue(each) for each in inspect.signature(test).parameters})


@pytest.mark.slow
def test_the_streaming_examples_print_the_same(changed_examples, tmp_path):
    test_examples.test_chat(test_examples.ON_TRIO, test_examples.ON_TRIO, tmp_path)
    test_examples.test_tls_echo(test_examples.ON_TRIO, test_examples.ON_TRIO, [], tmp_path)


REPLACERS = {
    "a string": 'monkeypatch.setattr("asyncio.sleep", fake)',
    "the name of a module, too": "mocker.patch(\n    'work.asyncio.sleep', fake)",
    "a name of the module's own": "@patch('work.sleep')\ndef f(): pass",
    "an object": 'mock.patch.object(work.asyncio, "sleep", fake)',
    "setattr()": 'setattr(asyncio, "sleep", fake)',
    "an assignment": "work.asyncio.sleep = fake",
}


@pytest.mark.parametrize("before", ["from compat import asyncio", "from compat import native as asyncio"])
@pytest.mark.parametrize("replacer", REPLACERS)
def test_what_a_test_replaces_is_left(replacer, before, tmp_path):
    (tmp_path / "work.py").write_text(f"{before}\nasync def f():\n    await asyncio.sleep(1), asyncio.TimeoutError\n")
    (tmp_path / "test_work.py").write_text(f"import work\n{REPLACERS[replacer]}\n")
    done = codemod("--write", tmp_path)
    assert "await asyncio.sleep(1), TimeoutError" in (tmp_path / "work.py").read_text()
    assert "work.py:3: asyncio.sleep left alone: a module puts something else in its place" in done.stderr


@pytest.mark.parametrize("before", ["from compat import asyncio", "from compat import native as asyncio"])
def test_what_is_only_spoken_of_is_replaced(before, tmp_path):
    (tmp_path / "work.py").write_text(f"{before}\nasync def f():\n    await asyncio.sleep(1)\n")
    (tmp_path / "test_work.py").write_text('assert asyncio.sleep == x, "asyncio.sleep"\nf(asyncio.sleep, "sleep")\n')
    codemod("--write", tmp_path)
    assert "asyncio.sleep" not in (tmp_path / "work.py").read_text()
