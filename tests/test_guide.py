"""docs/porting.md: each stage of its program runs and prints the same, and what the page says of them holds."""

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

import test_examples
from compat.codemod import change
from compat.report._reading import read
from compat.report._tree import count
from worlds import PATIENCE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "porting.md").read_text(encoding="utf-8")
STEPS = sorted((ROOT / "examples" / "guide").glob("step*.py"))
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", GUIDE, re.S)


class Server:
    """Answers each connection with what is given, then closes it; with None, says nothing and waits for its end."""

    def __init__(self, says: bytes | None) -> None:
        self.says = says
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            with connection, suppress(ConnectionError):
                if self.closing.is_set():
                    return
                if self.says is not None:
                    connection.sendall(self.says)
                else:
                    connection.recv(1)

    closing = threading.Event()

    def close(self) -> None:
        socket.create_connection(self.listener.getsockname()).close()
        self.thread.join()
        self.listener.close()


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    """Places by what they say, and what the program is to print of them."""
    Server.closing.clear()
    with ExitStack() as stack:
        expected = {}
        for says, shown in [
            (b"220 mail\r\nmore\r\n", "220 mail"),
            (b"SSH-2.0", "SSH-2.0"),
            (b"", "(says nothing)"),
            (b"\xff\xfe?\n", "\ufffd\ufffd?"),
            (None, "(too slow)"),
            (None, "(too slow)"),
        ]:
            server = Server(says)
            stack.callback(server.close)
            expected[server.address] = shown
        with socket.create_server(("127.0.0.1", 0)) as gone:
            expected[f"127.0.0.1:{gone.getsockname()[1]}"] = "(no connection)"
        yield expected
        Server.closing.set()


def test_there_are_five_steps():
    assert [step.stem.partition("_")[0] for step in STEPS] == [f"step{number}" for number in range(6)]
    assert all(f"`{step.name}`" in GUIDE for step in STEPS)


@pytest.mark.parametrize("workers", [1, 3, 10])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.stem)
def test_each_step_prints_the_same(step, workers, servers):
    expected = "".join(f"{place} {shown}\n" for place, shown in servers.items())
    options = [*servers, "--workers", str(workers), "--seconds", "0.5"]
    ways = [(str(step),), ("-m", "compat", str(step))] if step is STEPS[0] else [(str(step),)]
    for way in ways:
        assert test_examples.run(*way, *options) == (0, expected, "")


def test_the_table_of_uses():
    table = dict(re.findall(r"^\| `(step\w+\.py)` \| (\d+) \|$", GUIDE, re.M))
    assert table == {step.name: str(count(read(step))) for step in STEPS}
    numbers = [int(number) for number in table.values()]
    assert numbers == sorted({*numbers}, reverse=True)
    assert numbers[-1] == 0


def test_the_last_step_is_ported_and_the_others_are_not():
    for step in STEPS:
        done = subprocess.run(
            [sys.executable, "-m", "compat.report", "--ported", str(step)],
            cwd=ROOT,
            capture_output=True,
            timeout=PATIENCE,
        )
        assert done.returncode == (0 if step is STEPS[-1] else 1), step
    assert read(STEPS[-1]).world == "trio"
    assert "compat" not in STEPS[-1].read_text().partition('"""\n')[2]


def test_what_the_codemod_does_in_step_1():
    before = STEPS[0].read_text()
    assert change(before).text == before  # its asyncio is the real one, in which trio does not work
    after = change(before.replace("import asyncio\n", "from compat import asyncio\n")).text
    assert "await trio.sleep(2)" in after
    assert "await trio.sleep(2)" in STEPS[1].read_text()
    assert change(STEPS[1].read_text()).text == STEPS[1].read_text()  # that is all it finds


def test_the_code_of_the_page_is_that_of_the_steps():
    """Each block of a step's section stands in the file of that step, line for line, and not in the one before."""
    for number, section in enumerate(GUIDE.split("## Step ")[1:], 1):
        blocks = [
            code for language, code in re.findall(r"```(\w*)\n(.*?)```", section.split("\n## ")[0], re.S) if language
        ]
        assert blocks, number
        for block in blocks:
            assert block in STEPS[number].read_text(), block
            assert block not in STEPS[number - 1].read_text(), block


def test_the_commands_and_names_of_the_page(tmp_path):
    """What it tells people to type exists."""
    commands = [line.split("#")[0].split() for language, code in BLOCKS if not language for line in code.splitlines()]
    for command in commands:
        if command[:2] == ["python", "-m"]:
            module, *arguments = command[2:]
            assert module in ("compat", "compat.report", "compat.codemod")
            assert all(Path(ROOT, each).exists() for each in arguments if each.startswith("examples"))
    for target in re.findall(r"\]\((\.\.[^)]+)\)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target
    import compat

    for name in re.findall(r"`?compat\.(\w+)\(", GUIDE):
        assert name in compat.__all__, name


def test_the_tree_that_is_shown():
    """Its lines are those of the file, where it says."""
    shown = re.findall(r"(step\w+\.py):(\d+) in \w+: (.*)", GUIDE)
    assert len(shown) == 4
    for name, line, text in shown:
        lines = (ROOT / "examples" / "guide" / name).read_text().splitlines()
        assert lines[int(line) - 1].strip() == text
