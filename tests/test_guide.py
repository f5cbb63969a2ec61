"""docs/porting.md: all stages of its program do the same, so do the pairs of its chapters; what it shows is there."""

import difflib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

import compat
import test_examples
from worlds import PATIENCE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "examples" / "guide"
GUIDE = (ROOT / "docs" / "porting.md").read_text(encoding="utf-8")
ASYNCIO, EXACT, ADVICE, NATIVE, TRIO = STEPS = [
    FOLDER / f"step{number}_{name}.py" for number, name in enumerate(["asyncio", "exact", "advice", "native", "trio"])
]
WAYS = {
    "asyncio": (str(ASYNCIO),),
    "command": ("-m", "compat", str(ASYNCIO)),
    **{step.stem: (str(step),) for step in STEPS[1:]},
}
CHAPTERS = {
    "workers": "/ ann bin bob home notes",
    "server": "b'ONE'\nclosed for others\nb'TWO'\na client has gone\nb''",
    "child": "child: name?\nchild: hello, ann\nended with 3",
    "signals": "still here\nended",
    "threads": "in a thread: 1024\nfrom a thread: 8",
    "locks": "open\nclosed with 3\nopen",
    "lines": "ONE\nTWO\ntoo quiet\nFOUR\ntoo long",
}


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def way(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """How Python is called for a stage."""
    command: tuple[str, ...] = request.param
    return command


# --- the program ------------------------------------------------------------------------------------------------------

DEMO = """\
status page: 4 built, 1 cancelled, 1 failed with status 3, 1 has no recipe, 1 needs itself, \
1 not built, for want of broken, 1 not built, for want of hen, 1 took too long
ann> build app
ann: lex| reads letters
ann: parse| reads words
ann: parse| builds trees
ann: docs| chapter one
ann: docs| chapter two
ann: app| links
ann: = app: built
ann> build all
ann: lex| reads letters
ann: parse| reads words
ann: parse| builds trees
ann: docs| chapter one
ann: docs| chapter two
ann: app| links
ann: = all: not built, for want of broken
ann> build stubborn
ann: stubborn| starts
ann: = stubborn: cancelled
ann: = the service ends
bob> build docs lex
bob: docs| chapter one
bob: docs| chapter two
bob: lex| reads letters
bob: = docs: built, lex: built
bob> build egg slow unknown
bob: = egg: not built, for want of hen, slow: took too long, unknown: has no recipe
bob> cancel stubborn
bob: = stubborn: to be cancelled
bob> wait stubborn
bob: = stubborn: cancelled
bob> dance
bob: = cannot dance
eve: = not a line
eve is alone
ended; all: not built, for want of broken, app: built, broken: failed with status 3, docs: built, \
egg: not built, for want of hen, hen: needs itself, lex: built, parse: built, slow: took too long, \
stubborn: cancelled, unknown: has no recipe
"""


def test_the_demonstration(way: tuple[str, ...]) -> None:
    assert test_examples.run(*way, "--demo") == (0, DEMO, "")


class Client:
    """A client over TCP, in this process."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.file = self.socket.makefile("rw", encoding="utf-8", newline="\n")

    def say(self, line: str) -> None:
        self.file.write(f"{line}\n")
        self.file.flush()

    def hear(self) -> str:
        return self.file.readline()

    def close(self) -> None:
        self.file.close()
        self.socket.close()


class Service:
    """A stage that runs as a process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        self.port, self.status_port = map(int, re.findall(r"port (\d+)", line))
        self.clients: list[Client] = []

    def connect(self) -> Client:
        self.clients.append(Client(self.port))
        return self.clients[-1]

    def is_closed(self) -> bool:
        """Whether nobody listens at its port.

        It is not tried by a connection: where asyncio has accepted one just before its server is closed, Python from
        3.13 on prints an error in __del__().
        """
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", self.port))
            except OSError:
                return False
        return True

    def ends(self) -> str:
        """What it has printed at its end."""
        out, err = self.process.communicate(timeout=PATIENCE)
        assert (self.process.returncode, err) == (0, "")
        return out


@pytest.fixture
def start(way: tuple[str, ...], tmp_path: Path) -> Callable[..., object]:
    recipes = {
        "lib": "run: echo first; until [ -e go ]; do sleep 0.05; done; echo second",
        "app": "needs: lib\nrun: echo third",
        "slow": "run: echo starts; sleep 600",
    }
    for name, text in recipes.items():
        (tmp_path / f"{name}.recipe").write_text(text)

    @contextmanager
    def started(*options: str) -> Iterator[Service]:
        process = subprocess.Popen(
            [sys.executable, *way, str(tmp_path), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        service = Service(process)
        try:
            yield service
        finally:
            for client in service.clients:
                client.close()
            process.kill()
            process.communicate()

    return started


def test_clients_and_signals(start: Callable[..., Iterator[Service]], tmp_path: Path) -> None:
    """Output comes live; after the first signal what was asked for is built, after the second nothing."""
    with start() as service:
        one, other = service.connect(), service.connect()
        one.say("build app")
        assert one.hear() == "lib| first\n"
        other.say("build app lib")  # the same, from the first line on
        assert other.hear() == "lib| first\n"
        with urlopen(f"http://127.0.0.1:{service.status_port}/") as page:
            assert page.read() == b"2 under way"
        (tmp_path / "go").touch()
        assert [one.hear() for _ in range(3)] == ["lib| second\n", "app| third\n", "= app: built\n"]
        assert [other.hear() for _ in range(3)] == ["lib| second\n", "app| third\n", "= app: built, lib: built\n"]

        one.say("build slow")
        assert one.hear() == "slow| starts\n"
        service.process.send_signal(signal.SIGTERM)
        while not service.is_closed():
            pass
        other.say("build lib")
        assert other.hear() == "= cannot build lib\n"
        other.say("status")
        assert other.hear() == "= 2 built, 1 under way\n"
        service.process.send_signal(signal.SIGINT)
        assert [one.hear() for _ in range(3)] == ["= slow: cancelled\n", "= the service ends\n", ""]
        assert [other.hear() for _ in range(2)] == ["= the service ends\n", ""]
        assert service.ends() == "ended; app: built, lib: built, slow: cancelled\n"


def test_patience(start: Callable[..., Iterator[Service]]) -> None:
    """A client that says nothing is left, and so is a build that takes too long after a signal."""
    with start("--idle", "1", "--patience", "0.1") as service:
        one, other = service.connect(), service.connect()
        one.say("build slow")
        assert one.hear() == "slow| starts\n"
        assert [other.hear() for _ in range(2)] == ["= too quiet\n", ""]
        service.process.send_signal(signal.SIGINT)
        assert one.hear() == "= slow: cancelled\n"
        assert service.ends() == "ended; slow: cancelled\n"


# --- the chapters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_pair_of_a_chapter(chapter: str) -> None:
    for world in ("asyncio", "trio"):
        done = test_examples.run(str(FOLDER / f"{chapter}_{world}.py"))
        assert done == (0, f"{CHAPTERS[chapter]}\n", ""), world


# --- the page ---------------------------------------------------------------------------------------------------------


def without_docstring(file: Path) -> list[str]:
    return file.read_text().partition('"""\n')[2].splitlines()


def test_steps_of_one_line() -> None:
    """From asyncio to exact, and from there to native, a module changes its import."""
    for before, after in ((ASYNCIO, EXACT), (ADVICE, NATIVE)):
        changed = [
            line[2:]
            for line in difflib.ndiff(without_docstring(before), without_docstring(after))
            if line[0] in "-+" and line[2:]
        ]
        assert all(re.fullmatch(r"(from compat )?import (native as )?asyncio", line) for line in changed), changed
        assert len(changed) == 2


def test_what_is_ported_uses_trio_alone() -> None:
    ported = sorted(FOLDER.glob("*_trio.py"))
    assert len(ported) == 1 + len(CHAPTERS) + 3
    for file in ported:
        text = "\n".join(without_docstring(file))
        assert "compat" not in text, file
        assert "asyncio" not in text, file
    report = ("-m", "compat.report", "--ported")
    assert test_examples.run(*report, str(FOLDER / "step4_trio.py"))[0] == 0
    assert test_examples.run(*report, str(FOLDER / "step2_advice.py"))[0] == 1


def test_the_code_of_the_page_is_that_of_the_files() -> None:
    files = [file.read_text() for file in FOLDER.glob("*.py")]
    of_other_files = ["compat.print_tasks()\n", 'pytest_plugins = ["compat.pytest_plugin"]\n']
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE, re.M | re.S)
    assert len(blocks) > 8
    for block in blocks:
        assert block in of_other_files or any(block in file for file in files), block


def test_the_links_and_commands_of_the_page() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target
    linked = {Path(target).name for target in re.findall(r"\]\(([^)]+)\)", GUIDE)}
    assert {file.name for file in FOLDER.glob("*.py")} <= linked
    commands = re.findall(r"^python -m (\S+)(.*)$", GUIDE, re.M)
    assert {module for module, _ in commands} == {"compat", "compat.report", "compat.codemod"}
    for _, arguments in commands:
        assert all((ROOT / each).exists() for each in arguments.split() if each.startswith("examples/"))
    for name in re.findall(r"compat\.(\w+)\(", GUIDE):
        assert name in compat.__all__, name


def test_the_tree_that_is_shown() -> None:
    """Its lines are those of the file, where it says."""
    lines = ADVICE.read_text().splitlines()
    shown = re.findall(rf"{ADVICE.name}:(\d+) in [\w.]+: (.*)", GUIDE)
    assert len(shown) == 6
    for number, text in shown:
        assert lines[int(number) - 1].strip() == text


# --- the codemod ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["step4", "jobrunner", "chat", "linkcheck"])
def test_the_lines_that_were_ported_by_hand(name: str, tmp_path: Path) -> None:
    """The codemod does no less than the page says, and leaves no more to be done by hand."""
    source = NATIVE if name == "step4" else ROOT / "examples" / f"{name}.py"
    on_native = source.read_text().replace("import asyncio\n", "from compat import native as asyncio\n")
    file = tmp_path / "program.py"
    file.write_text(on_native)
    assert test_examples.run("-m", "compat.codemod", "--write", "--quiet", str(file))[0] == 0
    ported = FOLDER / f"{name}_trio.py"
    before = on_native.partition('"""\n')[2].splitlines()
    after, by_hand = without_docstring(file), without_docstring(ported)
    claimed = re.search(rf"`{ported.name}`.*\| (\d+) \| (\d+) \|", GUIDE)
    assert claimed is not None
    assert new_lines(before, after) >= int(claimed[1])
    assert new_lines(after, by_hand) <= int(claimed[2])


def new_lines(before: list[str], after: list[str]) -> int:
    return sum(line[0] == "+" for line in difflib.ndiff(before, after))
