"""The tests of asyncio's libraries once more, under the redirect: `import asyncio` gives them ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MODULES = sorted(path.name for path in (HERE / "libraries").glob("test_*.py"))
TIME_LIMIT = 150  # seconds
NOTHING_COLLECTED = 5


@pytest.mark.parametrize("module", MODULES)
def test_under_the_redirect(module):
    run = subprocess.run(
        [sys.executable, "-m", "compat", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/libraries/{module}"],
        cwd=HERE.parent,
        env=os.environ | {"PYTHONPATH": str(HERE.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIME_LIMIT,
    )
    if run.returncode == NOTHING_COLLECTED:
        pytest.skip(run.stdout[run.stdout.find("SKIPPED") :].splitlines()[0])
    if run.returncode != 0:
        pytest.fail(run.stdout, pytrace=False)
