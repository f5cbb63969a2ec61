"""A child process with live output, on trio: run_process() is a task, which kills the child when it is cancelled."""

import sys
from functools import partial
from subprocess import PIPE

import trio
from lines_trio import Lines

CHILD = "print('name?', flush=True); print('hello,', input()); raise SystemExit(3)"


async def main() -> None:
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, [sys.executable, "-c", CHILD], stdin=PIPE, stdout=PIPE, check=False)
        child = await nursery.start(run)
        async for line in Lines(child.stdout):
            print("child:", line.decode().rstrip())
            if line == b"name?\n":
                await child.stdin.send_all(b"ann\n")
    print("ended with", child.returncode)


trio.run(main)
