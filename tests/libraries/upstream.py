"""Runs a library's own test suite on asyncio, or on trio, and in each way on this, and compares what each test came to.

    python tests/libraries/upstream.py [--native] janus [aiofiles anyio ...] [--keep FOLDER] [-- PYTEST ARGUMENTS]

With --native, which is for libraries that use the high-level API, the second run is by `python -m compat --native`. A
test that fails there because it, or the library, uses what native refuses by name is counted under that name.

pip downloads the source distribution of the version that is installed; nothing of it is committed here. The suite is
run by `python -m pytest`, and again in the ways that SUITES says, `python -m compat -m pytest` for most. Printed are
the counts of each, and the tests that differ from the first run, by name; the exit status says whether there are any
but those in KNOWN. What a suite needs, pytest plugins and so on, has to be installed; SUITES says what.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

# What a way to run a suite adds: options of the interpreter, and of pytest. The first way is what others have to equal.
ON_ASYNCIO: dict[str, tuple[list[str], list[str]]] = {"asyncio": ([], []), "us": (["-m", "compat"], [])}
ON_TRIO: dict[str, tuple[list[str], list[str]]] = {
    "trio": ([], []),
    "trio, asyncio on trio imported": ([], ["-p", "compat.asyncio"]),
    "trio, a loop open in each run": ([], ["-p", "with_loop"]),
}
ON_NATIVE: dict[str, tuple[list[str], list[str]]] = {
    "asyncio": ([], []),
    "native": (["-m", "compat", "--native"], ["-p", "on_native", "-p", "no:asyncio", "-p", "no:anyio"]),
}


@dataclass
class Suite:
    """A part of a library's tests: where they are, and how to run them."""

    where: list[str]
    options: list[str] = field(default_factory=lambda: ["-p", "no:trio"])
    ways: dict[str, tuple[list[str], list[str]]] = field(default_factory=lambda: ON_ASYNCIO)
    library: str = ""  # if it is not the suite's name
    is_built: bool = False  # the installed package is tested, since the source of it cannot be imported


SUITES = {
    "janus": Suite(["tests"]),  # pytest-asyncio, pytest-benchmark, pytest-codspeed
    "aiofiles": Suite(["tests"]),  # pytest-asyncio
    "aiohttp": Suite(
        [
            "tests/test_client_functional.py",
            "tests/test_web_functional.py",
            "tests/test_web_websocket_functional.py",
        ]
    ),
    # pytest-asyncio, pytest-mock, msgpack, marshmallow; and for --native no redis, which uses the loop
    "aiocache": Suite(
        [
            "tests/ut",
            "--ignore=tests/ut/backends/test_redis.py",  # they need servers
            "--ignore=tests/ut/backends/test_memcached.py",
        ]
    ),
    "aioitertools": Suite(
        [f"aioitertools/tests/{name}.py" for name in ("asyncio", "builtins", "helpers", "itertools", "more_itertools")]
    ),
    "asyncstdlib": Suite(["unittests"]),
    # pytest-mock, pytest-timeout, blockbuster, truststore, psutil, uvloop
    "anyio": Suite(
        ["tests"],
        ["-p", "no:trio", "-p", "no:asyncio", "-k", "asyncio and not uvloop and not trio", "--timeout", "60"],
    ),
    "anyio-on-trio": Suite(
        ["tests"],
        ["-p", "no:trio", "-p", "no:asyncio", "-k", "trio and not asyncio", "--timeout", "60"],
        ON_TRIO,
        "anyio",
    ),
    # aiohttp, pyOpenSSL, psutil; test_socketpair does what asyncio cannot, unless the loop's class is in asyncio.*
    "uvloop": Suite(
        ["tests"], ["-p", "no:trio", "-p", "no:asyncio", "-k", "AIO and not test_socketpair"], is_built=True
    ),
    # pyOpenSSL, trustme, astor, pyyaml, isort, black, pylint, jedi
    "trio": Suite(
        ["--pyargs", "trio"], ["-p", "no:trio", "-p", "no:asyncio", "-p", "trio._tests.pytest_plugin"], ON_TRIO
    ),
    # pytest-trio, pytest-timeout; the real one has to come first, since the plugin takes its place
    "trio-asyncio": Suite(
        ["tests/interop"],
        ["-p", "no:asyncio", "--timeout", "30"],
        {"trio-asyncio": ([], []), "compat.trio_asyncio": ([], ["-p", "as_trio_asyncio"])},
    ),
}

ONE_LOOP = "its host is an asyncio loop in this thread, where a loop is open already"
LOOPS_TASKS = "it looks at all tasks and nurseries, of which the loop has some"
IN_THE_LOOP = "asyncio's functions work where a loop is open"
HEADERS = "asyncio 3.13.0 counts some bytes of a datagram that had to wait for ever, and stays paused"
NO_TASK = "it takes trio's current task away to stand for a callback, which is the loop's then"
KNOWN = {
    # a part of a test's name: why it ends otherwise on this; not counted as a difference
    "test_keepalive_expires_on_time[pyloop]": "it replaces loop.time(), where timers follow trio's clock",
    "TestUDPSocketBackpressure.test_cancelled_send_does_not_buffer_the_next_datagram[asyncio": HEADERS,
    "TestUDPSocketBackpressure.test_send_waits_for_the_os_to_accept_the_datagram[asyncio": HEADERS,
    "test_asyncgen.test_fallback_when_no_hook_claims_it": NO_TASK,
    "test_asyncgen.test_delegation_to_existing_hooks": NO_TASK,
    "test_guest_mode.test_guest_mode_on_asyncio": ONE_LOOP,
    "test_guest_mode.test_guest_mode_asyncgens": ONE_LOOP,
    "test_run.test_nursery_nested_child_misnest": "an error that leaves the loop's block has itself as a context there",
    "test_run.test_current_statistics": LOOPS_TASKS,
    "test_run.test_task_nursery_stack": LOOPS_TASKS,
    "test_run.test_calling_asyncio_function_gives_nice_error": IN_THE_LOOP,
    "test_run.test_asyncio_function_inside_nursery_does_not_explode": IN_THE_LOOP,
    "test_scheduler_determinism.test_the_trio_scheduler_is_not_deterministic": "the order is asyncio's",
    "test_calls.TestCalls.test_trio_asyncio_cancel_direct": "a CancelledError is no failure for a trio nursery",
}
TIME_LIMIT = 1500  # seconds for one run
REFUSAL = re.compile(r"compat\.native has no (\w+)|compat\.native' from \S+ does not have the attribute '(\w+)'")
COMMON = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", "-o", "filterwarnings=", "-W", "ignore"]
COMMON += ["--continue-on-collection-errors"]  # what is not installed costs its own module, not the suite


def download(name: str, suite: Suite, folder: Path) -> Path:
    """The unpacked source distribution; an empty folder if the tests are in the installed package."""
    if suite.where[0] == "--pyargs":
        return folder
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", name, "-d", str(folder)]
    subprocess.run([*command, f"{name}=={version(name)}"], check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    source = next(path for path in folder.iterdir() if path.is_dir())
    if suite.is_built:
        shutil.rmtree(source / name)
    return source


def run(source: Path, suite: Suite, title: str, extra: list[str]) -> dict[str, str]:
    """What each test came to: passed, failed, skipped; or "refused" and the name that native does not have."""
    results = source / "results.xml"
    results.unlink(missing_ok=True)
    interpreter, options = suite.ways[title]
    options = [*COMMON, *suite.options, *options, f"--junitxml={results}", *extra, *suite.where]
    command = [sys.executable, *interpreter, "-m", "pytest", *options]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, HERE, source)))}
    log = subprocess.run(command, cwd=source, env=env, capture_output=True, text=True, timeout=TIME_LIMIT)
    if not results.exists():
        sys.exit(f"{' '.join(command)}\n{log.stdout}{log.stderr}")
    (source / f"log of {title}.txt").write_text(log.stdout)
    found = {}
    for case in ElementTree.parse(results).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = next((kind for kind in ("error", "failure", "skipped") if kind in kinds), "passed")
        if refusal := REFUSAL.search("".join(case.itertext())):
            outcome = f"refused {refusal[1] or refusal[2]}"
        found[f"{case.get('classname')}.{case.get('name')}"] = outcome
    return found


def compare(name: str, suite: Suite, folder: Path, extra: list[str]) -> bool:
    """Tell whether each test came to the same in every way; say what did not."""
    library = suite.library or name
    source = download(library, suite, folder)
    found = {title: run(source, suite, title, extra) for title in suite.ways}
    (first, expected), *others = found.items()
    is_same = True
    for title, results in found.items():
        counts = ", ".join(f"{number} {kind}" for kind, number in sorted(Counter(results.values()).items()))
        print(f"{name} {version(library)} on {title}: {counts}", flush=True)
    for title, results in others:
        for test in sorted(expected.keys() | results.keys()):
            if expected.get(test) == results.get(test) or "refused" in results.get(test, ""):
                continue
            reason = next((f" (known: {reason})" for part, reason in KNOWN.items() if part in test), "")
            print(f"  differs: {test}: {expected.get(test)} on {first}, {results.get(test)} on {title}{reason}")
            is_same = is_same and reason != ""
    return is_same


def main() -> int:
    arguments = sys.argv[1:]
    extra = arguments[arguments.index("--") + 1 :] if "--" in arguments else []
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--native", action="store_true", help="compare with native, not with exact")
    parser.add_argument("names", nargs="+", choices=SUITES)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the suites and their logs there")
    args = parser.parse_args(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    same = True
    with tempfile.TemporaryDirectory() as temporary:
        for name in args.names:
            folder = (args.keep or Path(temporary)) / name
            folder.mkdir(parents=True)
            suite = replace(SUITES[name], ways=ON_NATIVE) if args.native else SUITES[name]
            same &= compare(name, suite, folder, extra)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
