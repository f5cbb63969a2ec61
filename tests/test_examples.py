"""The programs of examples/: the plain ones print the same on asyncio and on trio, the mixed ones what they should."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import trustme

from worlds import PATIENCE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
TEXTS = {
    "one.py": "# a comment\n\nimport sys\nprint(sys.argv)\n",
    "two.sh": "echo zebra\n",
    "deep/three.py": "zebra = 1  # zebra\n",
    "deep/er/four.txt": "The zebra sleeps.\n\nThe lion does not.\n",
    "deep/er/empty.py": "",
    ".hidden/five.py": "zebra\n",
}


def run(*command: str, stdin: str = "") -> tuple[int, str, str]:
    """Exit status, standard output and standard error of Python with these arguments."""
    done = subprocess.run(
        [sys.executable, *command],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},  # for a tree that is not installed
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small tree of files, and a link that leads nowhere."""
    for name, text in TEXTS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


ON_ASYNCIO, ON_TRIO, PORTED = (), ("-m", "compat"), ("ported",)


def program(way: tuple[str, ...], example: str) -> tuple[str, ...]:
    """How Python is called for an example: on asyncio, on trio, or for what has been ported to trio."""
    if way == PORTED:
        return (str(EXAMPLES / "guide" / f"{example}_trio.py"),)
    return *way, str(EXAMPLES / f"{example}.py")


def both(example: str, *args: str, stdin: str = "", ported: bool = False) -> tuple[int, str, str]:
    """What the example does on asyncio, after checking that on trio it does exactly the same."""
    name = example.removesuffix(".py")
    on_asyncio = run(*program(ON_ASYNCIO, name), *args, stdin=stdin)
    assert run(*program(ON_TRIO, name), *args, stdin=stdin) == on_asyncio
    if ported:
        assert run(*program(PORTED, name), *args, stdin=stdin) == on_asyncio
    return on_asyncio


def sums(folder: Path) -> str:
    visible = sorted(folder / name for name in TEXTS if not name.startswith("."))
    # os.walk gives a folder's own files before those of the folders in it.
    visible.sort(key=lambda path: (len(path.relative_to(folder).parts), path))
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}\n" for path in visible)


def test_checksums(folder: Path) -> None:
    assert both("checksums.py", str(folder)) == (0, sums(folder), "")


def test_checksums_of_what_cannot_be_read(folder: Path) -> None:
    dangling = folder / "nowhere"
    dangling.symlink_to("/no/such/file")
    expected = (1, sums(folder), f"{dangling}: No such file or directory\n")
    assert both("checksums.py", "--at-once", "1", str(folder)) == expected


def test_checksums_out_of_patience(tmp_path: Path) -> None:
    files = [tmp_path / "one", tmp_path / "two"]
    for file in files:  # so large that no thread is done before the first look at the clock
        file.touch()
        os.truncate(file, 100_000_000)
    expected = (1, "", "".join(f"{file}: took too long\n" for file in files))
    assert both("checksums.py", "--seconds", "0", str(tmp_path)) == expected


def test_codecount(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    table = (
        "      kind     files      code   comment     blank\n"
        "       .py         3         3         1         1\n"
        "       .sh         1         1         0         0\n"
    )
    saved = tmp_path_factory.mktemp("saved") / "table"
    assert both("codecount.py", str(folder), str(folder / "deep"), "--save", str(saved)) == (0, table, "")
    assert saved.read_text() == table


def test_codecount_out_of_patience(folder: Path) -> None:
    status, out, err = both("codecount.py", "--limit", "0", str(folder))
    assert (status, err) == (1, "stopped after 0 seconds\n")
    assert out == "      kind     files      code   comment     blank\n"


def test_concordance(folder: Path) -> None:
    status, out, err = both("concordance.py", str(folder), stdin="zebra The\nunicorn\n")
    assert (status, err) == (0, "")
    assert out == (
        "zebra: .hidden/five.py:1 deep/er/four.txt:1 deep/three.py:1 two.sh:1\n"
        "The: deep/er/four.txt:1 deep/er/four.txt:3\n"
        "unicorn: nowhere\n"
    )


def test_wordcount(folder: Path) -> None:
    (folder / "latin1").write_bytes("déjà".encode("latin-1"))
    expected = (0, "      5 zebra\n      2 sys\n", f"{folder}/latin1: not a text\n")
    options = ("--workers", "2", "--ahead", "1", "--top", "2", str(folder))
    assert both("wordcount.py", *options) == expected
    assert run(str(EXAMPLES / "wordcount_ported.py"), *options) == expected


def test_the_mixing_example_of_the_readme(tmp_path: Path) -> None:
    blocks = (ROOT / "README.md").read_text().split("## Mixing")[1].split("```python\n")
    program = tmp_path / "mixing.py"
    program.write_text(blocks[1].split("```")[0])
    assert run(str(program)) == (0, "awake\ncleaning up\n", "")


def test_porting(folder: Path) -> None:
    expected = "".join(sorted(sums(folder).splitlines(keepends=True), key=lambda line: Path(line.split()[1])))
    assert run(str(EXAMPLES / "porting.py"), str(folder)) == (0, expected, "")


def test_porting_out_of_patience(folder: Path) -> None:
    status, out, err = run(str(EXAMPLES / "porting.py"), "--limit", "0", str(folder))
    assert (status, out) == (1, "")
    assert err.endswith("stopped after 0 seconds\n")


def test_borrowing(folder: Path) -> None:
    expected = "lion: 1 files\nunicorn: 0 files\nzebra: 4 files\n1 pass(es) over the files\n"
    assert run(str(EXAMPLES / "borrowing.py"), str(folder), "zebra", "unicorn", "lion") == (0, expected, "")


def test_borrowing_out_of_patience(folder: Path) -> None:
    status, out, err = run(str(EXAMPLES / "borrowing.py"), "--seconds", "0", str(folder), "zebra", "lion")
    assert (status, err) == (0, "")
    assert out.startswith("lion: no answer in time\nzebra: no answer in time\n")


# --- streams ---------------------------------------------------------------------------------------------------------


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A program that runs beside, ended by Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
        process.send_signal(signal.SIGINT)
        assert (process.wait(PATIENCE), process.stderr.read()) == (0, "")  # type: ignore[union-attr]
    finally:
        process.kill()
        process.communicate()


def change_commands(monkeypatch: pytest.MonkeyPatch, change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> None:
    """Have these tests start other commands than they say."""
    original_run, original_started = run, started
    here = sys.modules[__name__]
    monkeypatch.setattr(here, "run", lambda *command, stdin="": original_run(*change(command), stdin=stdin))
    monkeypatch.setattr(here, "started", lambda *command: original_started(*change(command)))


def line_of(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline().rstrip()  # type: ignore[union-attr]


def type_in(process: subprocess.Popen[str], line: str) -> None:
    process.stdin.write(f"{line}\n")  # type: ignore[union-attr]
    process.stdin.flush()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("server", "clients"),
    [(ON_TRIO, ON_TRIO), (ON_TRIO, ON_ASYNCIO), (ON_ASYNCIO, ON_TRIO), (PORTED, ON_ASYNCIO), (ON_ASYNCIO, PORTED)],
)
def test_chat(server: tuple[str, ...], clients: tuple[str, ...], tmp_path: Path) -> None:
    serve, join = program(server, "chat"), program(clients, "chat")
    log = tmp_path / "log"
    with started(*serve, "serve", "--port", "0", "--log", str(log)) as host:
        port = line_of(host).split()[-1]
        with started(*join, "join", "ann", "--port", port) as ann:
            assert line_of(ann) == "* here: nobody"
            said = "hello\n/tell ann only you\n/who\n/dance\n/join cellar\n/who\nanybody?\n/join lobby\n"
            status, out, err = run(*join, "join", "bob", "--port", port, stdin=said)
            assert (status, err) == (0, "")
            assert out.splitlines() == [
                *("* here: ann", "* here: ann", "* cannot /dance", "* here: nobody", "* here: nobody"),
                *("* here: ann", "bob: hello"),  # what was said there before
            ]
            heard = ["* bob joined", "bob: hello", "bob to you: only you", "* bob left", "* bob joined", "* bob left"]
            assert [line_of(ann) for _ in heard] == heard
            refused = run(*join, "join", "ann", "--port", port)
            assert refused == (0, "* the name 'ann' cannot be had\n", "")
            ann.stdin.close()  # type: ignore[union-attr]
            ann.wait(PATIENCE)
            ann.stdin = None
        expected = [
            *("lobby * ann joined", "lobby * bob joined", "lobby bob: hello", "lobby * bob left"),
            *("cellar * bob joined", "cellar bob: anybody?", "cellar * bob left"),
            *("lobby * bob joined", "lobby * bob left", "lobby * ann left"),
        ]
        deadline = time.monotonic() + PATIENCE
        while log.read_text().splitlines() != expected and time.monotonic() < deadline:
            time.sleep(0.01)
    assert log.read_text().splitlines() == expected


def test_portscan() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, socket.create_server(("127.0.0.1", 0)) as shut:
        one, other = mute.getsockname()[1], shut.getsockname()[1]
        shut.close()
        done = both("portscan.py", "127.0.0.1", f"{one},{other}", "--seconds", "0.3", "--at-once", "2")
    assert done == (0, f"{one:5} open\n1 of 2 ports are open\n", "")


@pytest.mark.parametrize("upgrade", [[], ["--upgrade"]])
@pytest.mark.parametrize(("server", "client"), [(ON_TRIO, ON_TRIO), (ON_TRIO, ON_ASYNCIO), (ON_ASYNCIO, ON_TRIO)])
def test_tls_echo(server: tuple[str, ...], client: tuple[str, ...], upgrade: list[str], tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    files = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    program = str(EXAMPLES / "tls_echo.py")
    with started(*server, program, "serve", *files, "--port", "0", *upgrade) as host:
        say = (*client, program, "say", "--port", line_of(host).split()[-1], *upgrade)
        answer = run(*say, "--trust", str(tmp_path / "ca.pem"), stdin="hello\nworld\n")
        greeting = "b'go ahead\\n'\n" if upgrade else ""
        assert answer == (0, f"{greeting}TLSv1.3\nHELLO\nWORLD\n", "")
        if not upgrade:
            status, out, err = run(*say, stdin="hello\n")
            assert (status, out) == (1, "")
            assert err.startswith("SSLCertVerificationError: ")


class Site(BaseHTTPRequestHandler):
    """Pages that link to one another, to what is not there, and to what does not answer."""

    pages: ClassVar = {
        "/site/": '<a href="a.html">a</a> <a href="old">b</a> <img src="none.png"> <a href="mailto:me">me</a>',
        "/site/a.html": '<a href="/site/#top">up</a> <a href="b/">b</a> <a href="/other.html">c</a> <a href="gone">',
        "/site/b/": '<a href="../a.html">a</a> <a href="../gone">gone</a> <a href="http://127.0.0.1:1/">dead</a>',
        "/other.html": '<a href="/site/not-searched">',
    }

    def do_GET(self) -> None:
        text = self.pages.get(self.path, "").encode()
        self.send_response(301 if self.path == "/site/old" else 200 if text else 404)
        if self.path == "/site/old":
            self.send_header("Location", "b/")
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    """The address of a web site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_linkcheck(site: str) -> None:
    done = both("linkcheck.py", f"{site}/site/", ported=True)
    assert done == (
        1,
        f"http://127.0.0.1:1/: no answer, linked by {site}/site/b/\n"
        f"{site}/site/gone: 404, linked by {site}/site/a.html, {site}/site/b/\n"
        f"{site}/site/none.png: 404, linked by {site}/site/\n"
        "5 200, 2 404, 1 no answer\n",
        "",
    )


def test_linkcheck_out_of_patience() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        assert both("linkcheck.py", address, "--limit", "0.2", ported=True) == (1, "\n", "stopped after 0.2 seconds\n")
        slow = both("linkcheck.py", address, "--seconds", "0.1", ported=True)
    assert slow == (1, f"{address}: too slow, linked by (start)\n1 too slow\n", "")


# --- subprocesses ----------------------------------------------------------------------------------------------------


def test_jobrunner() -> None:
    jobs = [
        "echo one; echo two >&2",
        "exit 3",
        "cat",
        "kill $$",
        "trap '' TERM; echo stubborn; sleep 60 & wait; sleep 60",
    ]
    status, out, err = both("jobrunner.py", "--at-once", "1", "--seconds", "1", stdin="\n".join(jobs))
    assert (status, err) == (1, "")
    ends = ["done", "failed with status 3", "done", "failed with status -15", "took too long"]
    summary = [f"{n} {end}: {job}" for n, (job, end) in enumerate(zip(jobs, ends, strict=True), 1)]
    assert out.splitlines() == ["1| one", "1| two", "5| stubborn", *summary]


def test_jobrunner_side_by_side(tmp_path: Path) -> None:
    """Each job waits until all have started."""
    for number, way in enumerate([ON_ASYNCIO, ON_TRIO, PORTED]):
        here = tmp_path / f"started{number}"
        here.mkdir()
        wait = f"until [ $(ls {here} | wc -l) = 8 ]; do sleep 0.1; done"
        jobs = [f"echo started; echo >{here}/{n}; {wait}; echo ended; exit {n % 2}" for n in range(8)]
        status, out, err = run(*program(way, "jobrunner"), "--at-once", "8", *jobs)
        assert (status, err) == (1, "")
        lines = out.splitlines()
        for n in range(1, 9):
            assert [line for line in lines[:16] if line.startswith(f"{n}|")] == [f"{n}| started", f"{n}| ended"]
        assert lines[16:18] == [f"1 done: {jobs[0]}", f"2 failed with status 1: {jobs[1]}"]


def test_jobrunner_tries_again_and_stops_the_others(tmp_path: Path) -> None:
    """What fails is tried again, then it stops what runs; the output is in files, too."""
    for number, way in enumerate([ON_ASYNCIO, ON_TRIO, PORTED]):
        log, runs = tmp_path / f"log{number}", tmp_path / f"runs{number}"
        log.mkdir()
        jobs = [
            f"echo again >>{runs}; [ $(wc -l <{runs}) = 2 ] && echo good",
            f"until [ -s {log}/1.log ]; do sleep 0.05; done; echo bad; exit 2",
            "trap '' TERM; sleep 60",
        ]
        options = ("--at-once", "3", "--retries", "1", "--stop-at-failure", "--log", str(log))
        status, out, err = run(*program(way, "jobrunner"), *options, *jobs)
        assert (status, err) == (1, "")
        assert out.splitlines() == [
            *("1| good", "2| bad", "2| bad"),
            f"1 done at try 2: {jobs[0]}",
            f"2 failed with status 2 at try 2: {jobs[1]}",
            f"3 stopped: {jobs[2]}",
        ]
        assert {file.name: file.read_text() for file in log.iterdir()} == {"1.log": "good\n", "2.log": "bad\nbad\n"}


@pytest.mark.parametrize("way", [ON_ASYNCIO, ON_TRIO, PORTED])
def test_jobrunner_interrupted(way: tuple[str, ...]) -> None:
    jobs = ["echo $$; sleep 60", "trap '' TERM; echo $$; sleep 60"]
    process = subprocess.Popen(
        [sys.executable, *program(way, "jobrunner"), *jobs],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    groups = [int(line_of(process).split()[1]) for _ in jobs]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    # Out of a nursery KeyboardInterrupt comes in a group, which is an error like any other for the interpreter.
    assert process.returncode == (1 if way == PORTED else -signal.SIGINT)
    assert "KeyboardInterrupt\n" in err
    deadline = time.monotonic() + PATIENCE
    while any(is_there(group) for group in groups):  # what the jobs had started is reaped by the system, when it likes
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
