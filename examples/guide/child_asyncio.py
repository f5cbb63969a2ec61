"""A child process with live output, on asyncio: a line is answered when it comes, not when the child has ended."""

import asyncio
import sys
from subprocess import PIPE

CHILD = "print('name?', flush=True); print('hello,', input()); raise SystemExit(3)"


async def main() -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, stdin=PIPE, stdout=PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    async for line in child.stdout:
        print("child:", line.decode().rstrip())
        if line == b"name?\n":
            child.stdin.write(b"ann\n")
            await child.stdin.drain()
    print("ended with", await child.wait())


asyncio.run(main())
