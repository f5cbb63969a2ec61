"""Where there is no epoll: the tests of all that moves bytes, on trio's own waits."""

import os
import subprocess
import sys

import pytest

from worlds import PATIENCE, ROOT

pytestmark = pytest.mark.slow

# Comes before the tests' own modules, as pytest's plug-in. To ask for epoll after all is an error.
NO_EPOLL = """
import compat.adapters._polling

def refuse(loop):
    raise AssertionError("this test runs without epoll")

compat.adapters._polling.HAS_EPOLL = False
compat.adapters._polling.Poller = refuse
"""

# A file is waited for by a trio task of its own, which takes its place among the others: callbacks of different files
# come in another order, and relative to timers, than from one poll. And what only epoll itself can do.
ABOUT_EPOLL = {
    "streams": [],
    "tls": [],
    "datagrams": [],
    "pipes": [
        "test_same_on_both[the_reader_has_gone_with_bytes_in_the_buffer]",  # either end may see the broken pipe first
        "test_same_on_both[the_reader_goes_while_it_is_being_closed]",
        "test_same_on_both[reprs]",
    ],
    "sockets": [
        "test_stands_still_between_runs",
        "test_random_programs_in_the_same_order",
        "test_same_on_both[reader_and_writer_of_one_socket]",
        "test_same_on_both[removed_by_each_other]",
        "test_same_on_both[among_callbacks_and_timers]",
        "test_same_in_every_world[among_callbacks_and_timers-",
        "test_same_on_both[cancelled_at_each_moment]",
        "test_same_on_both[what_cannot_be_watched]",  # epoll says so at once
        "test_number_of_a_closed_file_is_used_again",  # trio is to be told by notify_closing()
        "test_trio_waits_for_the_same_socket_undisturbed",  # trio has one waiter for each file and direction
        "test_loop_with_a_reader_that_nobody_holds_is_collected",  # the task that waits holds it
        "test_epoll_is_one_for_all_sockets",
    ],
}


@pytest.mark.skipif(sys.platform != "linux", reason="without epoll, these tests run so anyway")
@pytest.mark.parametrize("name", ABOUT_EPOLL)
def test_passes_without_epoll(name, tmp_path):
    (tmp_path / "no_epoll.py").write_text(NO_EPOLL)
    module = f"tests/test_{name}.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no_epoll", "-k", "not bulk and not every_world", module]
    command += [f"--deselect={module}::{test}" for test in ABOUT_EPOLL[name]]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert " passed" in done.stdout
