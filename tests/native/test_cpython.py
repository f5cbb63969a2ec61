"""CPython's own tests on native: they pass, or stand in the list of what differs, with the reason."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from native.cpython import MODULES, WHY

ROOT = Path(__file__).parents[2]
PATIENCE = 600.0

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("module", MODULES)
def test_module(module, figures, tmp_path):
    results = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "native.cpython", module, str(results)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(results.read_text())
    figures("CPython's own tests on native", module, {kind: counts.get(kind, 0) for kind in ("passed", "different")})
    assert counts["passed"] > 2


def test_each_reason_is_said():
    assert all(len(reason.split()) > 4 for reason in WHY)
