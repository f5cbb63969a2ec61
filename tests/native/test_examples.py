"""Programs of examples/ on native: their own tests, with `python -m compat --native` in the place of `-m compat`."""

import pytest

import test_examples as project
from test_examples import (  # noqa: F401
    folder,
    test_chat,
    test_checksums,
    test_checksums_of_what_cannot_be_read,
    test_checksums_out_of_patience,
    test_codecount,
    test_codecount_out_of_patience,
    test_jobrunner_side_by_side,
    test_portscan,
    test_tls_echo,
    test_wordcount,
)

pytestmark = pytest.mark.slow


def on_native(command: tuple[str, ...]) -> tuple[str, ...]:
    return ("-m", "compat", "--native", *command[2:]) if command[:2] == ("-m", "compat") else command


@pytest.fixture(autouse=True)
def native_in_the_place_of_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    project.change_commands(monkeypatch, on_native)


def test_jobrunner_one_at_a_time() -> None:
    """As its own test, but that the jobs may begin in any order, since trio's tasks do."""
    jobs = [
        "echo one; echo two >&2",
        "exit 3",
        "cat",
        "kill $$",
        "trap '' TERM; echo stubborn; sleep 60 & wait; sleep 60",
    ]
    program = str(project.EXAMPLES / "jobrunner.py")
    status, out, err = project.run("-m", "compat", program, "--at-once", "1", "--seconds", "1", stdin="\n".join(jobs))
    assert (status, err) == (1, "")
    lines = out.splitlines()
    assert sorted(lines[:3]) == ["1| one", "1| two", "5| stubborn"]
    ends = ["done", "failed with status 3", "done", "failed with status -15", "took too long"]
    assert lines[3:] == [f"{n} {end}: {job}" for n, (job, end) in enumerate(zip(jobs, ends, strict=True), 1)]
