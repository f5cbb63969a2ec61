"""Servers under many clients that do not behave: see `load.py`. LOAD_SECONDS and LOAD_CLIENTS make it a longer test."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from worlds import PATIENCE

from .peers import PYTHON

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
SECONDS = float(os.environ.get("LOAD_SECONDS", "5"))
CLIENTS = int(os.environ.get("LOAD_CLIENTS", "100"))


@pytest.mark.parametrize("world", ["asyncio", "trio"])
def test_nothing_fails_and_nothing_grows(world):
    done = subprocess.run(
        [*PYTHON[world], str(HERE / "load.py"), str(SECONDS), str(CLIENTS)],
        env=os.environ | {"PYTHONPATH": str(HERE.parent.parent)},
        capture_output=True,
        text=True,
        timeout=SECONDS + PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(found)
    assert ("adapters" in found["loop"]) == (world == "trio")
    assert found["errors"] == []
    assert found["refused"] == 0
    assert found["requests"] > found["connections"] > CLIENTS
    assert (found["growth"]["tasks"], found["growth"]["descriptors"]) == (0, 0)
    assert found["growth"]["objects"] < 1000
    assert found["growth"]["blocks"] < 3000
    assert found["growth"]["KiB"] < 20_000
