"""prompt_toolkit reads from a pseudo-terminal: https://python-prompt-toolkit.readthedocs.io/"""

import asyncio
import os
from contextlib import contextmanager

import pytest
import trio

prompt_toolkit = pytest.importorskip("prompt_toolkit", reason="the extra `libraries` is not installed")
from prompt_toolkit.application import create_app_session  # noqa: E402
from prompt_toolkit.completion import WordCompleter  # noqa: E402
from prompt_toolkit.input.vt100 import Vt100Input  # noqa: E402
from prompt_toolkit.output import DummyOutput  # noqa: E402


@contextmanager
def terminal():
    """A session on one end of a pseudo-terminal; gives a function that types at the other."""
    ours, theirs = os.openpty()
    with open(theirs, closefd=True) as stdin:
        try:
            with create_app_session(input=Vt100Input(stdin), output=DummyOutput()):
                yield lambda keys: os.write(ours, keys.encode())
        finally:
            os.close(ours)


def when_it_waits(typing, keys):
    """What is typed before the prompt waits for it, the terminal deals with by itself."""
    return lambda: asyncio.get_running_loop().call_soon(typing, keys)


def test_lines(run):
    async def main():
        with terminal() as typing:
            session = prompt_toolkit.PromptSession()

            async def prompt(keys):
                return await session.prompt_async("> ", pre_run=when_it_waits(typing, keys))

            lines = [await prompt("hello\r"), await prompt("wrong\x7f\x7f\x7f\x7f\x7fright\r")]
            lines.append(await prompt("\x1b[A\x1b[A!\r"))
            with pytest.raises(KeyboardInterrupt):
                await prompt("\x03")
        return lines

    assert run(main) == ["hello", "right", "hello!"]


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


def test_completion_and_what_runs_beside(run):
    async def main():
        with terminal() as typing:
            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0.005)

            background = asyncio.create_task(tick())
            session = prompt_toolkit.PromptSession(completer=WordCompleter(["asyncio"]))
            prompt = asyncio.create_task(session.prompt_async("> ", pre_run=when_it_waits(typing, "as")))
            await until(lambda: session.default_buffer.text == "as")
            typing("\t")
            await until(lambda: session.default_buffer.text == "asyncio")
            typing("\r")
            line = await prompt
            await until(lambda: ticks > 10)
            background.cancel()
        return line

    assert run(main) == "asyncio"


def test_trio_timeouts(run_mixed):
    async def main():
        with terminal() as typing:
            session = prompt_toolkit.PromptSession()
            for n in range(3):
                with trio.move_on_after(0.05) as scope:
                    await session.prompt_async("> ")
                assert scope.cancelled_caught
                async with trio.open_nursery() as nursery:

                    async def user():
                        typing(f"line {n}\r")  # noqa: B023

                    start = when_it_waits(nursery.start_soon, user)
                    assert (await session.prompt_async("> ", pre_run=start)).endswith(f"line {n}")

    run_mixed(main)
