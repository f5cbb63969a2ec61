"""The soak's short form: see soak.py."""

import os
from pathlib import Path

import pytest

from worlds import Ended

SOAK = Path(__file__).with_name("soak.py")
SECONDS = float(os.environ.get("SOAK_SECONDS", "12"))  # and ten more, until trio's idle threads have gone

pytestmark = pytest.mark.slow


def test_nothing_is_left_and_memory_is_flat():
    ended = Ended(
        f"""
        import runpy, sys
        sys.argv = ["soak.py", "--minutes", "{SECONDS / 60}", "--interval", "3"]
        runpy.run_path({str(SOAK)!r}, run_name="__main__")
        """,
        "-W",
        "error",
    )
    assert ended.status == 0, ended.out + ended.error
    assert ended.out.endswith("\nflat\n")
    assert ended.error == ""
