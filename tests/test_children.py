"""What a program under `python -m compat` starts: python interpreters run as ever, and on trio."""

import json
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

SHOW = """
import asyncio, os, sys
print(sys.argv, sys.orig_argv, sys.path, sorted({*globals()} - {"__annotations__"}), sys.flags, sys.warnoptions)
print(__name__, globals().get("__file__"), __package__, __spec__ and (__spec__.name, __spec__.origin))
async def main():
    await asyncio.sleep(0)
    return 42
print(asyncio.run(main()), os.environ.get("VARIABLE"), file=sys.stderr)
"""

# Starts python with the arguments that it is given, and shows what becomes of it.
PARENT = """
import json, subprocess, sys
arguments, options = json.loads(sys.argv[1])
done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, **options)
print(done)
"""

ON_TRIO = "import asyncio, sys; print('trio' in sys.modules and hasattr(asyncio.new_event_loop(), '_nursery'))"


def run(folder, *command):
    """What a program prints and returns. It ends in time, or fails."""
    done = subprocess.run([sys.executable, *command], cwd=folder, env=ENVIRONMENT, capture_output=True, timeout=120)
    return done.stdout.decode(), done.stderr.decode(), done.returncode


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    for name in ("show.py", "package/__init__.py", "package/__main__.py", "folder/__main__.py", "-.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("" if name.endswith("__init__.py") else SHOW)
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        archive.write(tmp_path / "show.py", "__main__.py")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", SHOW, "a", "-b"],
        ["-c" + SHOW, "-m"],
        ["show.py", "-c", "a"],
        ["./-.py"],
        ["folder"],
        ["program.zip", "a"],
        ["-m", "show", "a"],
        ["-mpackage"],
        ["-", "a"],
        ["-O", "-B", "show.py"],
        ["-OOB", "-c", SHOW],
        ["-W", "error", "-Wdefault::ImportWarning", "-X", "utf8", "-Xdev", "show.py"],
        ["--check-hash-based-pycs", "never", "show.py"],
        ["-I", "show.py"],
        ["-P", "-c", SHOW],
        ["-OBc", SHOW, "-uc"],
        ["-uc" + SHOW, "a"],
        ["-um", "show", "a"],
        ["-BW", "error", "-umpackage"],
        ["-uc"],
        ["-E", "-s", "-m", "json.tool", "--help"],
        ["-V"],
        ["--help"],
        ["-c"],
        ["-c", "1/0"],
        ["-c", "import sys; sys.exit('bye')"],
        ["-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"],
        ["nope.py"],
        ["-m", "nope"],
        ["--nope", "show.py"],
    ],
    ids=lambda arguments: " ".join(arguments).replace(SHOW, "CODE"),
)
def test_a_child_interpreter_does_what_it_does_anyway(folder, arguments):
    options = {"input": SHOW if arguments[0] == "-" else ""}
    command = ["parent.py", json.dumps([arguments, options])]
    expected = run(folder, *command)
    assert expected[1:] == ("", 0)
    assert run(folder, "-m", "compat", *command) == expected


def test_its_environment_and_folder_are_as_they_are(folder):
    (folder / "package" / "sub").mkdir()
    options = {"cwd": "package/sub", "env": {"VARIABLE": "value"}}
    command = ["parent.py", json.dumps([["../../show.py"], options])]
    expected = run(folder, *command)
    assert "42 value" in expected[0]
    assert run(folder, "-m", "compat", *command) == expected


STARTERS = {
    "subprocess": "print(subprocess.check_output([sys.executable, '-c', CODE], text=True), end='')",
    "subprocess, with posix_spawn": """
        print(subprocess.check_output([sys.executable, '-c', CODE], close_fds=False, text=True), end='')
        """,
    "asyncio": """
        async def main():
            process = await asyncio.create_subprocess_exec(sys.executable, '-c', CODE)
            await process.wait()
        asyncio.run(main())
        """,
    "flags and -c in one word": "print(subprocess.check_output([sys.executable, '-uc', CODE], text=True), end='')",
    "bytes": "subprocess.run([os.fsencode(sys.executable), b'-c', CODE.encode()])",
    "os.execv": "os.execv(sys.executable, (sys.executable, '-c', CODE))",
    "os.execl": "os.execl(sys.executable, sys.executable, '-c', CODE)",
    "os.execve": "os.execve(sys.executable, [sys.executable, '-c', CODE], {})",
    "os.execve, by keywords": "os.execve(path=sys.executable, argv=[sys.executable, '-c', CODE], env={})",
    "os.spawnv": "os.spawnv(os.P_WAIT, sys.executable, [sys.executable, '-c', CODE])",
    "os.posix_spawn": "os.waitpid(os.posix_spawn(sys.executable, [sys.executable, '-c', CODE], os.environ), 0)",
    "a child of a child": """
        code = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
        subprocess.run([sys.executable, '-c', code, CODE])
        """,
    "the program again": """
        if len(sys.argv) > 1:
            exec(CODE)
        else:
            os.execv(sys.executable, [sys.executable, *sys.argv, 'again'])
        """,
    "the command line again": """
        if 'AGAIN' in os.environ:
            exec(CODE)
        else:
            os.environ['AGAIN'] = '1'
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
        """,
    "multiprocessing, spawn": "multiprocessing_by('spawn')",
    "multiprocessing, forkserver": "multiprocessing_by('forkserver')",
    "multiprocessing, fork": "multiprocessing_by('fork')",
    "concurrent.futures": """
        context = multiprocessing.get_context('spawn')
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            print(pool.submit(on_trio).result())
        """,
    "concurrent.futures in asyncio": """
        async def main():
            context = multiprocessing.get_context('spawn')
            with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
                print(await asyncio.get_running_loop().run_in_executor(pool, on_trio))
        asyncio.run(main())
        """,
}

PROGRAM = """
import asyncio, concurrent.futures, multiprocessing, os, subprocess, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of fork, which the test asks for
CODE = {code!r}

def on_trio():
    loop = asyncio.new_event_loop()
    loop.close()
    return "trio" in sys.modules and hasattr(loop, "_nursery")

def multiprocessing_by(method):
    with multiprocessing.get_context(method).Pool(1) as pool:
        print(pool.apply(on_trio))

if __name__ == "__main__":
{body}
"""


@pytest.mark.parametrize("starter", STARTERS)
def test_what_a_program_starts_runs_on_trio(tmp_path, starter):
    body = textwrap.indent(textwrap.dedent(STARTERS[starter]), "    ")
    (tmp_path / "program.py").write_text(PROGRAM.format(code=ON_TRIO, body=body))
    assert run(tmp_path, "program.py") == ("False\n", "", 0)
    assert run(tmp_path, "-m", "compat", "program.py") == ("True\n", "", 0)
    if "again" not in starter:
        assert run(tmp_path, "-m", "compat", "-m", "program") == ("True\n", "", 0)


def test_a_module_of_the_programs_own_with_the_name_compat(tmp_path):
    """It is the program's in its children, too."""
    (tmp_path / "compat.py").write_text("WHOSE = 'own'")
    body = """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(on_trio), compat.WHOSE)
    print(subprocess.check_output([sys.executable, "-c", "import compat; print(compat.WHOSE)"], text=True), end="")
    """
    (tmp_path / "program.py").write_text("import compat\n" + PROGRAM.format(code="", body=body))
    # As the command asyncio-on-trio does it.
    start = f"import sys; sys.path[0] = {str(ROOT)!r}; from compat.__main__ import main; main()"
    assert run(tmp_path, "-c", start, "program.py") == ("True own\nown\n", "", 0)


def test_without_site_packages_a_child_runs_without_trio(folder):
    command = ["parent.py", json.dumps([["-S", "-I", "show.py"], {}])]
    expected = run(folder, *command)
    assert "42" in expected[0]
    assert run(folder, "-m", "compat", *command) == expected
