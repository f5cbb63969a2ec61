"""`python -m compat --watch`: what it finds in small programs, each of which counts by itself, and on asyncio, too."""

import contextlib
import json
import os
import re
import runpy
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from compat._watch._file import target_of, write
from compat._watch._findings import KINDS
from compat.report._watch import FORMAT
from worlds import PATIENCE, ROOT

PROGRAMS = Path(__file__).parent / "watch_programs"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}


def run(*arguments, cwd):
    command = [sys.executable, "-m", "compat", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)


def expected(program):
    """What the comments of the program say: `# finds: KIND x2, KIND`."""
    for number, line in enumerate(program.read_text().splitlines(), 1):
        for each in filter(None, line.partition("# finds: ")[2].split(", ")):
            kind, _, times = each.partition(" x")
            yield (kind, number), int(times or 1)


PATHS = sorted(PROGRAMS.glob("*.py"))
RUNS_ALL = """
import runpy, sys
for path in sys.argv[1:]:
    print("program", path)
    runpy.run_path(path, run_name="__main__")
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """What each program prints, and what is found in it: all in one process, but for one that fails at its end."""
    folder = tmp_path_factory.mktemp("watched")
    found, results = [], ""
    for paths in [path for path in PATHS if path.stem != "queue_left_not"], [PROGRAMS / "queue_left_not.py"]:
        done = run("--watch-json", "found.json", "-c", RUNS_ALL, *paths, cwd=folder)
        found += json.loads((folder / "found.json").read_text())["findings"]
        results += done.stdout
    assert done.stderr == "the program has failed\n"
    printed = re.findall(r"^program (.*)\n((?:(?!program ).*\n)*)", results, re.MULTILINE)
    return {path: (text, [each for each in found if each["file"] == path]) for path, text in printed}


@pytest.mark.slow
@pytest.mark.leaves("report", reason="the programs have errors that nobody retrieves")
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_finds_what_the_program_counts(watched, path, capsys):
    """A program does what its name says, or `_not`: something that looks like it. It counts how often it does."""
    printed, found = watched[str(path)]
    assert {(each["kind"], each["line"]): each["count"] for each in found} == dict(expected(path))

    counted = int(re.findall(r"^counted (\d+)$", printed, re.MULTILINE)[0])
    kind = path.stem.removesuffix("_not").replace("_", "-")
    assert counted == sum(each["count"] for each in found if each["kind"] == kind)
    assert bool(counted) == (not path.stem.endswith("_not"))

    with contextlib.suppress(SystemExit):
        runpy.run_path(str(path), run_name="__main__")
    assert printed == capsys.readouterr().out


def test_each_kind_has_two_programs():
    names = {path.stem for path in PROGRAMS.glob("*.py")}
    kinds = {kind.replace("-", "_") for kind in KINDS}
    assert names == kinds | {f"{kind}_not" for kind in kinds}


SHIELD = "import asyncio, sys\nasync def main(): await asyncio.shield(asyncio.sleep(0))\nasyncio.run(main())\n"
ENDINGS = {
    "none": "",
    "error": "1 / 0",
    "exit": "sys.exit(3)",
    "fork": "import os\nif not os.fork(): sys.exit()\nos.wait()",
}


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_list_comes_after_what_the_program_says(ending, tmp_path):
    (tmp_path / "app.py").write_text(SHIELD + ENDINGS[ending])
    plain, watched = run("app.py", cwd=tmp_path), run("--watch", "app.py", cwd=tmp_path)
    assert watched.stdout == plain.stdout
    assert watched.returncode == plain.returncode
    what, todo = KINDS["shield"]
    found = f"compat --watch: 1 place\n\nshield: {what}\n  Before the port: {todo}\n  app.py:2\n"
    assert watched.stderr == plain.stderr + found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "file"),
    [(["app.py", "a"], "app.py"), (["-m", "app", "--watch"], "app.py"), (["-c", SHIELD], "<string>")],
    ids=lambda value: value[0],
)
def test_writes_json(arguments, file, tmp_path):
    (tmp_path / "app.py").write_text(SHIELD + "import os; os.chdir('/')")
    done = run("--watch", "--watch-json=found.json", *arguments, cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("", 0)
    assert f"  {tmp_path / file if file == 'app.py' else file}:2\n" in done.stderr
    what, todo = KINDS["shield"]
    assert json.loads((tmp_path / "found.json").read_text()) == {
        "format": "asyncio-on-trio watch",
        "version": 1,
        "python": sys.version.split()[0],
        "program": arguments,
        "findings": [
            {
                "kind": "shield",
                "file": str(tmp_path / file) if file == "app.py" else file,
                "line": 2,
                "count": 1,
                "what": what,
                "todo": todo,
            }
        ],
    }


@pytest.mark.slow
@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_file_of_a_program_that_is_killed_stays_as_it_was(number, tmp_path):
    (tmp_path / "app.py").write_text(
        SHIELD + "import os, signal\nif sys.argv[1:]: os.kill(os.getpid(), signal.Signals[sys.argv[1]])"
    )
    kill = "--watch-json", "found.json", "app.py", number
    assert run(*kill, cwd=tmp_path).returncode == -signal.Signals[number]
    assert [path.name for path in tmp_path.iterdir()] == ["app.py"]
    assert run("--watch-json", "found.json", "app.py", cwd=tmp_path).returncode == 0
    content = (tmp_path / "found.json").read_bytes()
    assert json.loads(content)["findings"]
    run(*kill, cwd=tmp_path)
    assert (tmp_path / "found.json").read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_list_at_ctrl_c(tmp_path):
    (tmp_path / "app.py").write_text(SHIELD + "import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    assert run("--watch-json", "found.json", "app.py", cwd=tmp_path).returncode == -signal.SIGINT
    assert json.loads((tmp_path / "found.json").read_text())["findings"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "link"])
@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_list_on_standard_output(name, kind, tmp_path):
    (tmp_path / "link").symlink_to("/dev/stdout")
    command = [sys.executable, "-m", "compat", "--watch-json", name, "-c", "print('said by the program')\n" + SHIELD]
    with open(tmp_path / "output", "w") as file:
        output = file if kind == "file" else subprocess.PIPE
        done = subprocess.run(
            command, cwd=tmp_path, env=ENVIRONMENT, stdout=output, text=True, timeout=PATIENCE, check=True
        )
        file.write("written after it")
    said, _, written = ((tmp_path / "output").read_text() if kind == "file" else done.stdout).partition("\n")
    assert said == "said by the program"
    assert json.loads(written.removesuffix("written after it"))["findings"]


@pytest.mark.parametrize("mode", [0o600, 0o664, None])
def test_file_keeps_its_mode_and_links_to_it(mode, tmp_path):
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to("folder/found.json")
    target = target_of(str(link))
    assert list(folder.iterdir()) == []
    if mode is not None:
        link.write_text(f'"{FORMAT}"')
        link.chmod(mode)
        assert target_of(str(link)) == target
    old = os.umask(0o027)
    try:
        write(target, "new")
    finally:
        os.umask(old)
    assert link.is_symlink()
    assert link.read_text() == "new"
    assert stat.S_IMODE(link.stat().st_mode) == (0o640 if mode is None else mode)
    assert list(folder.iterdir()) == [folder / "found.json"]


def test_file_whose_folder_takes_no_other(tmp_path):
    (tmp_path / f".watch-json-{os.getpid()}").mkdir()
    target = tmp_path / "found.json"
    with pytest.raises(FileExistsError):
        write(str(target), "new")
    target.write_text("old")
    write(str(target), "new")
    assert target.read_text() == "new"


def test_file_that_cannot_be_written_to_its_end(tmp_path):
    target = tmp_path / "found.json"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write(str(target), "new\udcff")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_list_into_a_fifo(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    target = target_of(str(fifo))
    writer = threading.Thread(target=write, args=(target, "new"))
    writer.start()
    assert fifo.read_text() == "new"
    writer.join(PATIENCE)
    assert fifo.is_fifo()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("circle", "Too many levels of symbolic links"),
        (".", "Is a directory"),
        ("nowhere/found.json", "No such file or directory"),
        ("text", "it is there, and is no list of --watch-json's"),
        ("", "No such file or directory"),
    ],
)
def test_where_no_list_can_be_written(path, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "text").write_text("a letter")
    with pytest.raises(SystemExit) as exit:
        target_of(path)
    assert exit.value.code == 2
    assert f"--watch-json: cannot write {path}: " in (text := capsys.readouterr().err)
    assert reason in text
    assert (tmp_path / "text").read_text() == "a letter"


@pytest.mark.slow
def test_watches_a_test_suite(tmp_path):
    (tmp_path / "test_app.py").write_text(
        "import asyncio, unittest\n"
        "class Tests(unittest.IsolatedAsyncioTestCase):\n"
        "    async def asyncSetUp(self):\n"
        "        self.task = asyncio.create_task(asyncio.sleep(0))\n"
        "    async def test(self):\n"
        "        await self.task\n"
    )
    done = run("--watch", "-m", "pytest", "-q", "-p", "no:asyncio", "test_app.py", cwd=tmp_path)
    assert "1 passed" in done.stdout
    assert done.stderr.endswith("  test_app.py:4\n")
    assert "task-outlived" in done.stderr
    assert done.stderr.startswith("compat --watch: 1 place\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--watch", "--native", "app.py"], "--native has trio's meaning already"),
        (["--watch-json"], "Argument expected for --watch-json"),
        (["--watch", "-c"], "Argument expected for -c"),
    ],
)
def test_wrong_command_lines(arguments, says, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(says)


def test_nothing_is_there_without_the_option(tmp_path):
    code = "import sys; print([name for name in sys.modules if 'compat._watch' in name])"
    assert run("-c", code, cwd=tmp_path).stdout == "[]\n"


@pytest.mark.slow
def test_debug_mode_tells_the_same_places(tmp_path):
    """Where tasks, callbacks and futures were made, of what the programs see of it."""
    (tmp_path / "app.py").write_text(
        "import asyncio\n"
        "async def main():\n"
        "    loop = asyncio.get_running_loop()\n"
        "    made = [loop.call_soon(print), loop.call_later(0, print), loop.call_at(0, print), loop.create_future()]\n"
        "    made += [asyncio.create_task(asyncio.sleep(0)), loop.create_task(asyncio.sleep(0)), asyncio.Future()]\n"
        "    for each in made:\n"
        "        print([(frame.name, frame.lineno) for frame in each._source_traceback][-1], repr(each)[:17])\n"
        "    await made[-2]\n"
        "asyncio.run(main(), debug=True)\n"
    )
    plain, watched = run("app.py", cwd=tmp_path), run("--watch", "app.py", cwd=tmp_path)
    assert watched.stdout == plain.stdout != ""


def test_cancels_a_task_of_a_loop_that_is_closed(tmp_path):
    code = """
import asyncio
loop = asyncio.new_event_loop()
task = loop.create_task(asyncio.sleep(0))
loop.close()
calls = []
loop.is_closed = lambda: calls.append("is_closed") or True  # a test may count its calls
print(task.cancel(), calls)
"""
    done = run("--watch", "-c", code, cwd=tmp_path)
    assert done.stdout == run("-c", code, cwd=tmp_path).stdout == "True []\n"
    assert "Error" not in done.stderr


def test_tasks_that_a_trio_task_makes_in_a_comprehension(tmp_path):
    code = """
import asyncio, compat

async def main():
    tasks = [asyncio.create_task(asyncio.sleep(0.001)) for _ in range(2)]
    for task in tasks:
        await task

compat.run(main)
"""
    assert run("--watch", "-c", code, cwd=tmp_path).stderr == "compat --watch: nothing found\n"


def test_clean_up_behind_a_shield(tmp_path):
    """What --watch says to do about a clean-up that waits is no finding."""
    code = """
import asyncio, trio

async def work(shield):
    try:
        await asyncio.sleep(60)
    finally:
        with trio.move_on_after(1, shield=shield), trio.CancelScope():
            await asyncio.sleep(0)  # waits
            print("cleaned up")

async def main():
    for shield in True, False:
        task = asyncio.create_task(work(shield))
        await asyncio.sleep(0)
        task.cancel()
        print(await asyncio.gather(task, return_exceptions=True))

asyncio.run(main())
"""
    done = run("--watch-json", "found.json", "-c", code, cwd=tmp_path)
    assert done.stdout == "cleaned up\n[CancelledError('')]\n" * 2
    [found] = json.loads((tmp_path / "found.json").read_text())["findings"]
    assert (found["kind"], found["count"]) == ("cleanup-wait", 1)
    assert code.splitlines()[found["line"] - 1].endswith("# waits")


def test_tasks_made_in_each_other_way(tmp_path):
    """Those that come to the loop's create_task() by other ways than asyncio.create_task() and a TaskGroup."""
    code = """
import asyncio

class Named(asyncio.Task):
    def __init__(self, coro, **options):
        super().__init__(coro, **options)

def factory(loop, coro, **options):
    return Named(coro, loop=loop, **options)  # made

async def late():
    await asyncio.sleep(0)
    await asyncio.sleep(0)

async def direct():
    return asyncio.Task(late(), loop=asyncio.get_running_loop())  # made

async def by_factory():
    asyncio.get_running_loop().set_task_factory(factory)
    task = asyncio.create_task(late())
    asyncio.get_running_loop().set_task_factory(None)
    return task

async def by_loop():
    return asyncio.get_running_loop().create_task(late(), name="late")  # made

async def in_lambda():
    return (lambda: asyncio.ensure_future(late()))()  # made

async def main():
    for function in direct, by_factory, by_loop, in_lambda:
        task = await function()
        print(type(task) in (asyncio.Task, Named), isinstance(task, asyncio.Task), task.get_name())
        await task
    try:
        asyncio.get_running_loop().create_task(None)
    except TypeError as error:
        print(error)

asyncio.run(main())
"""
    done = run("--watch-json", "found.json", "-c", code, cwd=tmp_path)
    assert done.stdout == run("-c", code, cwd=tmp_path).stdout
    assert done.stdout.count("True True") == 4
    found = json.loads((tmp_path / "found.json").read_text())["findings"]
    made = [number for number, line in enumerate(code.splitlines(), 1) if line.endswith("  # made")]
    assert [each["line"] for each in found if each["kind"] == "task-outlived"] == made
    assert len(made) == 4
