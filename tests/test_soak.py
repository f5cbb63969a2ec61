"""The soak's short form: see soak.py."""

from pathlib import Path

from worlds import Ended

SOAK = Path(__file__).with_name("soak.py")
SECONDS = 12  # and ten more, until trio's idle threads have gone


def test_nothing_is_left_and_memory_is_flat():
    ended = Ended(
        f"""
        import runpy, sys
        sys.argv = ["soak.py", "--minutes", "{SECONDS / 60}", "--interval", "3"]
        runpy.run_path({str(SOAK)!r}, run_name="__main__")
        """,
        "-W",
        "error",
        timeout=180,
    )
    assert ended.status == 0, ended.out + ended.error
    assert ended.out.endswith("\nflat\n")
    assert ended.error == ""
