"""Runs a library's own test suite on asyncio and on this, and compares what each test came to.

    python tests/libraries/upstream.py [--native] janus [aiofiles aiohttp ...] [--keep FOLDER] [-- PYTEST ARGUMENTS]

With --native, which is for libraries that use the high-level API, the second run is by `python -m compat --native`. A
test that fails there because it, or the library, uses what native refuses by name is counted under that name.

pip downloads the source distribution of the version that is installed; nothing of it is committed here. The suite is
run twice: by `python -m pytest`, and by `python -m compat -m pytest`. Printed are the counts of each, and the tests
that differ, by name; the exit status says whether there are any. What a suite needs, pytest plugins and so on, has to
be installed; SUITES says what.
"""

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent.parent

SUITES = {
    # name: where its tests are
    "janus": ["tests"],  # pytest-asyncio, pytest-benchmark, pytest-codspeed
    "aiofiles": ["tests"],  # pytest-asyncio
    "aiocache": [  # pytest-asyncio, pytest-mock, msgpack, marshmallow; and for --native no redis, which uses the loop
        "tests/ut",
        "--ignore=tests/ut/backends/test_redis.py",  # they need servers
        "--ignore=tests/ut/backends/test_memcached.py",
    ],
    "aioitertools": [
        f"aioitertools/tests/{name}.py" for name in ("asyncio", "builtins", "helpers", "itertools", "more_itertools")
    ],
    "asyncstdlib": ["unittests"],
    "aiohttp": [
        "tests/test_client_functional.py",
        "tests/test_web_functional.py",
        "tests/test_web_websocket_functional.py",
    ],
}
KNOWN = {
    # test: why it fails on this, whose timers follow trio's clock; not counted as a difference
    "tests.test_web_functional.test_keepalive_expires_on_time[pyloop]": "it replaces loop.time()",
}
TIME_LIMIT = 1500  # seconds for one run
EXACT = ["-m", "compat", "-m", "pytest"]
NATIVE = ["-m", "compat", "--native", "-m", "pytest", "-p", "on_native", "-p", "no:asyncio", "-p", "no:anyio"]
REFUSAL = re.compile(r"compat\.native has no (\w+)|compat\.native' from \S+ does not have the attribute '(\w+)'")
COMMON = ["-q", "-p", "no:cacheprovider", "-p", "no:trio", "-o", "addopts=", "-o", "filterwarnings=", "-W", "ignore"]


def download(name: str, folder: Path) -> Path:
    """The unpacked source distribution."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", name, "-d", str(folder)]
    subprocess.run([*command, f"{name}=={version(name)}"], check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


def run(source: Path, where: list[str], pytest: list[str], extra: list[str]) -> dict[str, str]:
    """What each test came to: passed, failed, skipped; or "refused" and the name that native does not have."""
    results = source / "results.xml"
    results.unlink(missing_ok=True)
    command = [sys.executable, *pytest, *COMMON, f"--junitxml={results}", *extra, *where]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(source), str(Path(__file__).parent)])}
    log = subprocess.run(command, cwd=source, env=env, capture_output=True, text=True, timeout=TIME_LIMIT)
    if not results.exists():
        sys.exit(f"{' '.join(command)}\n{log.stdout}{log.stderr}")
    (source / f"log-{'us' if 'compat' in pytest else 'asyncio'}.txt").write_text(log.stdout)
    found = {}
    for case in ElementTree.parse(results).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = next((kind for kind in ("error", "failure", "skipped") if kind in kinds), "passed")
        if refusal := REFUSAL.search("".join(case.itertext())):
            outcome = f"refused {refusal[1] or refusal[2]}"
        found[f"{case.get('classname')}.{case.get('name')}"] = outcome
    return found


def compare(name: str, folder: Path, ours: list[str], extra: list[str]) -> bool:
    """Tell whether each test came to the same on both; say what did not."""
    source = download(name, folder)
    them, us = run(source, SUITES[name], ["-m", "pytest"], extra), run(source, SUITES[name], ours, extra)
    for title, found in ("asyncio", them), ("us", us):
        counts = ", ".join(f"{number} {kind}" for kind, number in sorted(Counter(found.values()).items()))
        print(f"{name} {version(name)} on {title}: {counts}", flush=True)
    tests = sorted(them.keys() | us.keys())
    differing = [test for test in tests if them.get(test) != us.get(test) and "refused" not in us.get(test, "")]
    for test in differing:
        reason = f" (known: {KNOWN[test]})" if test in KNOWN else ""
        print(f"  differs: {test}: {them.get(test)} on asyncio, {us.get(test)} on us{reason}")
    return KNOWN.keys() >= set(differing)


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
            same &= compare(name, folder, NATIVE if args.native else EXACT, extra)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
