"""The pages of docs/: their examples run and print what the page shows, and their links lead somewhere.

- A ```python block is a program. A ```text or ```pytb block behind it is what it prints.
- A block with a title is a file instead, which later blocks of the page use.
- A ```console block is a session of a shell, in a folder with the files of the page.
- `...` in what is shown stands for anything. A comment before a block says why it is not run, or what it needs:
  <!-- not run: REASON -->, <!-- needs: MODULE... -->
"""

import doctest
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from worlds import PATIENCE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^>\n]+) -->\n)?"
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    re.M | re.S,
)
# With PYTHONDONTWRITEBYTECODE each of the programs would compile all of ours.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
    "PYTHONPATH": str(ROOT),  # for a tree that is not installed
    "PYTHONUNBUFFERED": "1",
    "PYTHON": sys.executable,
    "NO_COLOR": "1",
}
PYTHON_OF_THE_TESTS = 'python() { "$PYTHON" "$@"; }\n'


class Block(NamedTuple):
    mark: str | None
    language: str
    title: str | None
    text: str


def blocks_of(page: Path) -> list[Block]:
    return [Block(**match.groupdict()) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


PAGES = {
    path.stem: path
    for path in sorted(DOCS.rglob("*.md"))
    if path.name != "porting.md" and blocks_of(path)  # test_guide.py has that
}


def write_files(blocks: list[Block], folder: Path) -> None:
    for block in blocks:
        if block.title is not None:
            (folder / block.title).write_text(block.text, encoding="utf-8")


def shell(script: str, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """The exit status of a script, and what it prints on both streams."""
    done = subprocess.run(
        ["bash", "-c", PYTHON_OF_THE_TESTS + script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout


def check(shown: str, printed: str) -> None:
    """Compare as doctest does. How lines are broken and filled up does not count."""
    if not doctest.OutputChecker().check_output(shown, printed, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE):
        pytest.fail(f"shown:\n{shown}\nprinted:\n{printed}")


@pytest.mark.parametrize("name", PAGES)
def test_examples(name: str, tmp_path: Path) -> None:
    page = PAGES[name]
    environment = ENVIRONMENT | {"JUPYTER_DATA_DIR": str(tmp_path / "jupyter")}
    if "pytest-asyncio" not in page.read_text(encoding="utf-8"):
        environment["PYTEST_ADDOPTS"] = "-p no:asyncio"  # it warns when it is there and not configured
    missing = []
    blocks = blocks_of(page)
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        kind, _, what = (block.mark or "").partition(": ")
        if kind == "not run":
            continue
        if kind == "needs" and (absent := [each for each in what.split() if not importlib.util.find_spec(each)]):
            missing += absent
        elif block.title is not None:
            write_files([block], tmp_path)
        elif block.language == "python":
            (tmp_path / "program.py").write_text(block.text, encoding="utf-8")
            status, printed = shell("python program.py", tmp_path, environment)
            if following is not None and following.language in ("text", "pytb"):
                check(following.text, printed)
            else:
                assert status == 0, printed
        elif block.language == "console":
            commands = re.findall(r"^\$ (.*\n)", block.text, re.M)
            _, printed = shell("".join(commands), tmp_path, environment)
            check(re.sub(r"^\$ .*\n", "", block.text, flags=re.M), printed)
    if missing:
        pytest.skip(f"the extra `docs` is not installed: {', '.join(missing)}")


def test_marks() -> None:
    marks = [block.mark for page in PAGES.values() for block in blocks_of(page) if block.mark]
    assert [mark for mark in marks if not re.fullmatch(r"not run: .{10,}|needs: [\w. ]+", mark)] == []


def test_files_are_used() -> None:
    """A file that no block of its page runs or imports would not be tested."""
    for page in PAGES.values():
        text = page.read_text(encoding="utf-8")
        for title in (block.title for block in blocks_of(page) if block.title is not None):
            assert len(re.findall(rf"\b{Path(title).stem}\b", text)) > 1 or title.startswith(("test_", "conftest")), (
                title
            )


# --- what needs a server or a kernel ---------------------------------------------------------------------------------


SERVERS = {
    re.sub(r"\W+", "_", command.partition(" -m ")[2].replace(" app:app", "")): command
    for command in re.findall(r"\| `(python .*--workers 2)` \|", PAGES["web-servers"].read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("command", SERVERS.values(), ids=SERVERS)
def test_web_servers(command: str, tmp_path: Path) -> None:
    """Each command of the page serves its application, on a socket whose path only this test knows."""
    for name in re.findall(r"uvicorn_worker|\w+corn(?= )", command):
        pytest.importorskip(name, reason="the extra `docs` is not installed")
    write_files(blocks_of(PAGES["web-servers"]), tmp_path)
    arguments = [
        *command.split()[1:],
        *(["--uds", "socket"] if "uvicorn app" in command else ["--bind", "unix:socket"]),
    ]
    server = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        answer = ask(tmp_path / "socket", server)
        server.send_signal(signal.SIGTERM)
        log, _ = server.communicate(timeout=PATIENCE)
        assert answer.startswith(b"HTTP/1.1 200"), log
        assert b"too late" in answer, log
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.communicate()


def ask(path: Path, server: subprocess.Popen[str]) -> bytes:
    """What the server answers to a request, as soon as it listens."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(path))
            except OSError:
                time.sleep(0.05)
                continue
            connection.sendall(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: connection.recv(4096), b""))
    return b""


def test_notebook(tmp_path: Path) -> None:
    """The kernel that the page's command installs runs its cells."""
    for name in ("compat.kernel", "ipykernel", "nbclient"):
        pytest.importorskip(name, reason="the extra `docs` is not installed")
    write_files(blocks_of(PAGES["notebooks"]), tmp_path)
    environment = ENVIRONMENT | {"JUPYTER_DATA_DIR": str(tmp_path / "jupyter"), "IPYTHONDIR": str(tmp_path / "ipython")}
    run_cells = """
import nbformat, nbclient
from pathlib import Path
cells = [nbformat.v4.new_code_cell(cell) for cell in Path("cells.py").read_text().split("# %%\\n")]
notebook = nbformat.v4.new_notebook(cells=cells)
nbclient.NotebookClient(notebook, kernel_name="asyncio-on-trio").execute()
print(*(output.text for cell in cells for output in cell.outputs if output.name == "stdout"))
"""
    (tmp_path / "run_cells.py").write_text(run_cells)
    script = "python -m compat.kernel install && python run_cells.py"
    status, printed = shell(script, tmp_path, environment)
    assert (status, printed.split()[-1]) == (0, "True"), printed


# --- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")]), ids=lambda page: page.name)
def test_links(page: Path) -> None:
    """A relative link leads to a file. mkdocs looks at those from page to page, and at their headings."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    assert [target for target in targets if not (page.parent / target).exists()] == []
