"""`python -m compat` in a terminal: python's prompt with await, where both worlds work; over a real terminal."""

import os
import re
import select
import subprocess
import sys
import termios
import time

import pytest

from worlds import PATIENCE, ROOT

pytestmark = pytest.mark.slow


class Terminal:
    """A program in a terminal of its own: what is typed, and what it shows."""

    def __init__(self, home, *command, **environment):
        self.screen, terminal = os.openpty()
        termios.tcsetwinsize(terminal, (50, 300))  # or readline would scroll long lines sideways
        env = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(home), "TERM": "dumb", **environment}
        for name in ("INPUTRC", "PYTHON_HISTORY", "PYTHONSTARTUP"):
            env.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=home,
            env=env,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            preexec_fn=lambda: os.login_tty(os.dup(0)),
        )
        os.close(terminal)
        self.shown = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.screen)

    def read_until(self, pattern):
        """What is shown up to and with the pattern, since the last call."""
        end = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.shown)):
            assert time.monotonic() < end, self.shown
            if not select.select([self.screen], [], [], 1)[0]:
                continue
            try:
                self.shown += os.read(self.screen, 10000).decode().replace("\r", "")
            except OSError:  # the program has ended
                raise AssertionError(f"ended without {pattern!r}: {self.shown}") from None
        before, self.shown = self.shown[: found.end()], self.shown[found.end() :]
        return before

    def type(self, text):
        os.write(self.screen, text.encode())

    def enter(self, line):
        """What is shown after a line, up to the next prompt."""
        self.type(line + "\n")
        self.read_until(re.escape(line) + r"\n")
        return self.read_until(r"(^|\n)(>>>|\.\.\.) $").removesuffix(">>> ").removesuffix("... ").strip()

    def end(self):
        """The exit status, after all has been read."""
        while True:
            try:
                if not os.read(self.screen, 10000):
                    break
            except OSError:
                break
        return self.process.wait(PATIENCE)


@pytest.fixture
def prompt(tmp_path):
    with Terminal(tmp_path, "-m", "compat") as terminal:
        terminal.read_until(">>> import asyncio, trio, compat\n>>> ")
        yield terminal


def test_both_worlds(prompt):
    assert prompt.enter("await asyncio.sleep(0, 1 + 1)") == "2"
    assert prompt.enter("await trio.sleep(0)") == ""
    assert prompt.enter("asyncio.get_running_loop().__module__") == "'compat.adapters.events'"
    assert prompt.enter("with trio.move_on_after(0.01) as scope: await asyncio.Event().wait()") == ""
    assert prompt.enter("") == ""
    assert prompt.enter("scope.cancelled_caught") == "True"
    assert prompt.enter("_, __name__, compat.asyncio is asyncio") == "(True, '__main__', True)"
    for line in ("async def both():", "    async with trio.open_nursery() as nursery:"):
        assert prompt.enter(line) == ""
    assert prompt.enter("        nursery.start_soon(asyncio.sleep, 0)") == ""
    assert prompt.enter("") == ""
    assert prompt.enter("await asyncio.create_task(both())") == ""


def test_errors_and_what_follows(prompt):
    shown = prompt.enter("await asyncio.gather(asyncio.sleep(0), trio.to_thread.run_sync(int, 'x'))")
    assert shown.startswith('Traceback (most recent call last):\n  File "<stdin>", line 1, in <module>\n')
    assert shown.splitlines()[-1] == "ValueError: invalid literal for int() with base 10: 'x'"
    assert prompt.enter("1/0").splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert prompt.enter("1 +* 2").splitlines()[-1] == "SyntaxError: invalid syntax"
    assert prompt.enter("await asyncio.sleep(0, 3)") == "3"


def test_tasks_go_on_while_the_prompt_waits(prompt):
    """A task, and a context variable, are there for the next statements."""
    prompt.enter("import contextvars; variable = contextvars.ContextVar('variable'); _ = variable.set('kept')")
    prompt.enter("done = asyncio.create_task(asyncio.sleep(0.01, variable.get()))")
    prompt.type("done.add_done_callback(lambda done: print(f'<{done.result()}>'))\n")
    prompt.read_until("<kept>\n")
    prompt.type("variable.get()\n")
    prompt.read_until("\n'kept'\n")


@pytest.mark.parametrize("start", ["background.start_soon(one)", "task = asyncio.create_task(one())"])
@pytest.mark.parametrize("options", [(), ("--native",)])
def test_nurseries_that_outlive_a_statement(tmp_path, options, start):
    """An error of their tasks is shown; what is started afterwards runs. asyncio has an error of a Task wait for it."""
    with Terminal(tmp_path, "-m", "compat", *options) as terminal:
        terminal.read_until("compat\n>>> ")
        terminal.enter("async def one(): await trio.sleep(0.01); print('<', background is not None, '>'); int(text)")
        terminal.enter("")
        terminal.enter("text = 'x'")
        terminal.type(f"{start}\n")
        terminal.read_until("< True >\n")
        if options or "background" in start:
            terminal.read_until("ValueError: invalid literal.*\n")
        terminal.type("text = 1\n")
        terminal.type(f"{start}\n")
        terminal.read_until("< True >\n")


@pytest.mark.parametrize(
    "statement", ["await asyncio.sleep(3600)", "await trio.sleep_forever()", "all(True for _ in iter(int, 1))"]
)
def test_ctrl_c_interrupts_what_runs(prompt, statement):
    prompt.type(f"if print('it runs') is None: {statement}\n\n")
    prompt.read_until("\nit runs\n")
    prompt.type("\x03")
    shown = prompt.read_until("\n>>> ")
    assert shown.endswith("\nKeyboardInterrupt\n>>> ")
    assert "Traceback" not in shown
    assert prompt.enter("await asyncio.sleep(0, 'goes on')") == "'goes on'"


def test_ctrl_c_at_the_prompt(prompt):
    prompt.type("\x03")
    shown = prompt.enter("await asyncio.sleep(0, 'goes on')")
    if shown == "KeyboardInterrupt":  # it came when this was running already
        shown = prompt.enter("await asyncio.sleep(0, 'goes on')")
    assert shown == "'goes on'"


def test_tab_completes(prompt):
    prompt.enter("some_long_name = 5")
    prompt.type("some_lo\t + 1\n")
    prompt.read_until(r"some_long_name \+ 1\n6\n>>> ")
    prompt.type("trio.open_nurs\t)\n")
    assert "NurseryManager" in prompt.read_until("\n>>> ")


def test_history_stays(tmp_path):
    for _ in range(2):
        with Terminal(tmp_path, "-m", "compat", TERM="xterm") as terminal:
            terminal.read_until("compat\n(\x1b.*)?>>> ")
            if not (tmp_path / ".python_history").exists():
                terminal.type("'from the ' + 'past'\n")
            else:
                terminal.type("\x1b[A\x1b[A\n")  # exit() is the last
            terminal.read_until("'from the past'\n")
            terminal.type("exit()\n")
            assert terminal.end() == 0


@pytest.mark.parametrize(("way_out", "status"), [("exit()\n", 0), ("exit(3)\n", 3), ("\x04", 0)])
def test_ends(prompt, way_out, status):
    prompt.enter("task = asyncio.create_task(trio.sleep_forever())")
    prompt.enter("background.start_soon(trio.sleep_forever)")
    prompt.type(way_out)
    assert prompt.end() == status


def test_minus_is_a_prompt_too_and_native_is_there(tmp_path):
    with Terminal(tmp_path, "-m", "compat", "--native", "-") as terminal:
        terminal.read_until("compat\n>>> ")
        assert terminal.enter("asyncio.sleep.__module__") == "'compat.adapters.native.tasks'"
        assert terminal.enter("await asyncio.sleep(0)") == ""
        terminal.enter("task = asyncio.create_task(asyncio.sleep(0, 'ended'))")
        assert terminal.enter("await task") == "'ended'"


def test_kernel_for_jupyter(tmp_path):
    """Installed by its command; in it a cell awaits what is asyncio's and what is trio's."""
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    client = tmp_path / "client.py"
    client.write_text(
        "import sys\n"
        "from jupyter_client.manager import start_new_kernel\n"
        "manager, client = start_new_kernel(kernel_name='asyncio-on-trio')\n"
        "try:\n"
        "    for cell in sys.argv[1:]:\n"
        "        reply = client.execute_interactive(cell, timeout=60)\n"
        "        assert reply['content']['status'] == 'ok', reply\n"
        "finally:\n"
        "    client.stop_channels()\n"
        "    manager.shutdown_kernel(now=True)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JUPYTER_DATA_DIR": str(tmp_path), "IPYTHONDIR": str(tmp_path)}
    cells = ["import asyncio, trio", "await trio.sleep(0)", "print(await asyncio.sleep(0, 'from a cell'))"]
    for command in (["-m", "compat.kernel", "install"], [str(client), *cells]):
        done = subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
    assert "from a cell\n" in done.stdout
