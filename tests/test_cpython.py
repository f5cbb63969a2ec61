"""CPython's own asyncio tests, module by module, each in an interpreter of its own under the redirect."""

import json
import os
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cpython.exclusions import MODULES

HERE = Path(__file__).parent
TIME_LIMIT = 150  # seconds; the run has a shorter one, and says where it hangs
KINDS = ("passed", "excluded", "failed", "skipped", "not ours")


class Tally:
    """Prints the figures of all modules at the end of the run."""

    def __init__(self) -> None:
        self.figures: dict[str, Counter[str]] = {}

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self.figures:
            return
        terminalreporter.section("CPython's tests of asyncio, on trio")
        total: Counter[str] = sum(self.figures.values(), Counter())
        for name, figures in [*self.figures.items(), ("total", total)]:
            terminalreporter.line(f"{name:24}" + ", ".join(f"{figures[kind]:4} {kind}" for kind in KINDS))


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Tally:
    tally = Tally()
    request.config.pluginmanager.register(tally)
    return tally


def _cpythons_tests() -> Path:
    package = find_spec("test")
    folder = Path(package.origin).parent / "test_asyncio" if package and package.origin else None
    if folder is None or not folder.is_dir():
        pytest.skip("this interpreter was installed without CPython's own tests")
    return folder


@pytest.mark.parametrize("module", MODULES)
def test_module(module: str, tally: Tally, tmp_path: Path) -> None:
    if not (_cpythons_tests() / f"{module}.py").exists():
        pytest.skip(f"Python {sys.version_info.major}.{sys.version_info.minor} has no {module}")
    results = tmp_path / "results.json"
    run = subprocess.run(
        [sys.executable, "-m", "compat", "-m", "cpython.run", module, str(results)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIME_LIMIT,
    )
    figures = json.loads(results.read_text()) if results.exists() else {}
    if "running" in figures:
        pytest.fail(f"{figures['running']} hangs, or has ended the interpreter\n{run.stdout}", pytrace=False)
    tally.figures[module] = Counter(figures)
    if run.returncode != 0:
        pytest.fail(run.stdout, pytrace=False)
