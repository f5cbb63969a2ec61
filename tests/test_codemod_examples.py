"""The programs of examples/ on native, after the codemod: each does what it does on asyncio, by its own tests."""

import io
import re
import tokenize
from pathlib import Path

import pytest

import test_examples as project
from compat.codemod import change
from test_codemod import codemod
from test_examples import (  # noqa: F401
    folder,
    test_chat,
    test_checksums,
    test_checksums_of_what_cannot_be_read,
    test_checksums_out_of_patience,
    test_codecount,
    test_codecount_out_of_patience,
    test_jobrunner_side_by_side,
    test_portscan,
    test_tls_echo,
    test_wordcount,
)

pytestmark = pytest.mark.slow

PROGRAMS = sorted({*project.EXAMPLES.glob("*.py"), *project.EXAMPLES.glob("guide/*.py")})


def on_native(text: str) -> str:
    """A program that imports native in the place of asyncio."""
    text = re.sub(
        "^(import asyncio|from compat import asyncio)$", "from compat import native as asyncio", text, flags=re.M
    )
    return re.sub(r"^from (compat\.)?asyncio\b", "from compat.native", text, flags=re.M)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples on native, after the codemod."""
    copy = tmp_path_factory.mktemp("changed")
    for program in project.EXAMPLES.glob("*.py"):
        if "compat" not in program.read_text().replace("-m compat", ""):
            (copy / program.name).write_text(on_native(program.read_text()))
    assert codemod(copy, "--write", "--quiet").returncode == 0
    assert "trio.to_thread.run_sync(" in (copy / "checksums.py").read_text()
    return copy


@pytest.fixture(autouse=True)
def changed_in_the_place_of_exact(monkeypatch: pytest.MonkeyPatch, changed: Path) -> None:
    def in_its_place(command: tuple[str, ...]) -> tuple[str, ...]:
        return (str(changed / Path(command[2]).name), *command[3:]) if command[:2] == ("-m", "compat") else command

    project.change_commands(monkeypatch, in_its_place)


def comments(text: str) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_each_program_is_whole_afterwards(program: Path) -> None:
    text = on_native(program.read_text())
    after = change(text)
    assert comments(after.text) == comments(text)
    assert change(after.text).text == after.text
