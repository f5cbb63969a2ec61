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


def test_lines(run):
    async def main():
        with terminal() as typing:
            session = prompt_toolkit.PromptSession()

            async def user():
                for line in ["hello\r", "wrong\x7f\x7f\x7f\x7f\x7fright\r", "\x1b[A\x1b[A!\r", "\x03"]:
                    await asyncio.sleep(0.05)
                    typing(line)

            task = asyncio.create_task(user())
            lines = [await session.prompt_async("> ") for _ in range(3)]
            with pytest.raises(KeyboardInterrupt):
                await session.prompt_async("> ")
            await task
        return lines

    assert run(main) == ["hello", "right", "hello!"]


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
            prompt = asyncio.create_task(session.prompt_async("> "))
            for keys in ["as", "\t", "\r"]:
                await asyncio.sleep(0.1)
                typing(keys)
            line = await prompt
            background.cancel()
        return line, ticks > 10

    assert run(main) == ("asyncio", True)


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
                        await trio.sleep(0.05)
                        typing(f"line {n}\r")  # noqa: B023

                    nursery.start_soon(user)
                    assert (await session.prompt_async("> ")).endswith(f"line {n}")

    run_mixed(main)
