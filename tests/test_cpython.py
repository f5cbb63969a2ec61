"""CPython's own asyncio tests, module by module, each in an interpreter of its own under the redirect.

CPYTHON_PATHS says which paths they take through the core.
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from cpython.exclusions import MODULES, NOT_IN_PATH
from worlds import PATIENCE

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
TAKEN = os.environ.get("CPYTHON_PATHS", "own").split()
KINDS = ("passed", "excluded", "failed", "skipped", "not ours")


def _cpythons_tests() -> Path:
    package = find_spec("test")
    folder = Path(package.origin).parent / "test_asyncio" if package and package.origin else None
    if folder is None or not folder.is_dir():
        pytest.skip("this interpreter was installed without CPython's own tests")
    return folder


@pytest.mark.parametrize(
    ("module", "path"), [each for each in itertools.product(MODULES, TAKEN) if each not in NOT_IN_PATH]
)
def test_module(module: str, path: str, figures: Callable[[str, str, Mapping[str, int]], None], tmp_path: Path) -> None:
    if not (_cpythons_tests() / f"{module}.py").exists():
        pytest.skip(f"Python {sys.version_info.major}.{sys.version_info.minor} has no {module}")
    results = tmp_path / "results.json"
    run = subprocess.run(
        [sys.executable, "-m", "compat", "-m", "cpython.run", module, path, str(results)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE + 60,  # the run gives up before, and says where it hangs
    )
    counts = json.loads(results.read_text()) if results.exists() else {}
    if "running" in counts:
        pytest.fail(f"{counts['running']} hangs, or has ended the interpreter\n{run.stdout}", pytrace=False)
    figures(f"CPython's tests of asyncio, on trio: {path}", module, {kind: counts.get(kind, 0) for kind in KINDS})
    if run.returncode != 0:
        pytest.fail(run.stdout, pytrace=False)
