"""The prompt of `python -m compat`: python's own, with await at the top level, where both worlds work.

The loop runs in the main thread, also while the prompt waits for a line in another: tasks go on meanwhile.
"""

from __future__ import annotations

import ast
import code
import inspect
import os
import sys
import threading
from contextvars import copy_context
from types import CodeType, FunctionType

import trio

import compat
from compat import asyncio, native

__all__ = ["run_prompt"]


def run_prompt(namespace: dict[str, object]) -> None:
    """Read statements from the terminal and run them in the namespace, until exit() or the end of the input."""
    set_up_readline(namespace)
    # With a factory the Runner does not set the loop in the policy, which has no place in compat.native.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        loop = runner.get_loop()
        console = Console(namespace, loop)
        keeper = loop.create_task(console.keep_nurseries(), name="the prompt's nurseries")  # noqa: F841
        threading.Thread(target=console.read, name="prompt", daemon=True).start()
        while True:
            try:
                loop.run_forever()
            except KeyboardInterrupt:
                console.interrupt()
            else:
                break


class Console(code.InteractiveConsole):
    """python's console, which runs in a thread of its own and has the loop run the statements."""

    def __init__(self, namespace: dict[str, object], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(namespace, "<stdin>")
        self.namespace = namespace
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self.loop = loop
        self.context = copy_context()  # one for all statements
        self.task: asyncio.Task[None] | None = None
        self.interrupted = False
        self.finished = threading.Event()

    def read(self) -> None:
        """Read to the end of the input."""
        imports = "import asyncio, trio, compat"
        banner = (
            f"asyncio {sys.version.partition(' ')[0]} on trio {trio.__version__}, by compat {compat.__version__}\n"
            f'Use "await" at the prompt for functions of asyncio and of trio. What create_task() and\n'
            f"background.start_soon() start goes on while you type; a nursery of your own ends with its input.\n"
            f"{getattr(sys, 'ps1', '>>> ')}{imports}"
        )
        exec(imports, self.namespace)
        try:
            self.interact(banner, exitmsg="")
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)

    async def keep_nurseries(self) -> None:
        """Hold open what outlives a statement: `background`, and the nursery in which native starts its tasks."""
        while True:
            try:
                async with native.open_background(), trio.open_nursery() as self.namespace["background"]:
                    await trio.sleep_forever()
            except Exception:  # of a task; the next ones get new nurseries
                self.showtraceback()

    def runcode(self, code: CodeType) -> None:
        """Have a statement run in the main thread, and wait for its end. After exit() that does not come."""
        self.finished.clear()
        self.loop.call_soon_threadsafe(self.start, code)
        self.finished.wait()

    def start(self, code: CodeType) -> None:
        self.interrupted = False
        self.task = self.loop.create_task(self.execute(code), context=self.context)

    async def execute(self, code: CodeType) -> None:
        try:
            coro = FunctionType(code, self.namespace)()
            if inspect.iscoroutine(coro):
                await coro
        except SystemExit:
            raise  # it ends the loop, and this process
        except BaseException as error:
            if self.interrupted or isinstance(error, KeyboardInterrupt):
                self.write("\nKeyboardInterrupt\n")
            else:
                self.showtraceback()
        self.finished.set()

    def interrupt(self) -> None:
        """End what runs. A line that is being typed stays as it is."""
        if self.task is not None and not self.task.done():
            self.interrupted = True
            self.task.cancel()


def set_up_readline(namespace: dict[str, object]) -> None:
    """Let the prompt have python's history, and tab complete what the namespace has."""
    hook = getattr(sys, "__interactivehook__", None)
    if hook is None:
        return  # python -I, for instance
    # From 3.13 on, without it the hook would read the history for an editor of python's own.
    basic = "PYTHON_BASIC_REPL"
    before = os.environ.get(basic)
    os.environ[basic] = "1"
    hook()
    del os.environ[basic]
    if before is not None:
        os.environ[basic] = before
    if "readline" in sys.modules:
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(namespace).complete)
