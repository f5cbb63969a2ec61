"""`python -m asyncio pstree`, from 3.14 on: another process looks at a running program, and sees our Tasks there."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from worlds import PATIENCE, ROOT

NOT_ALLOWED = re.compile("permi", re.IGNORECASE)  # "Permission denied", "Operation not permitted"

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio has no pstree before 3.14")

PROGRAM = """\
import asyncio, os, sys
async def leaf():
    await asyncio.Event().wait()
async def branch():
    await leaf()
async def locked(lock):
    async with lock:
        pass
async def wait_for(task):
    await asyncio.wait([task])
async def shield(task):
    await asyncio.shield(task)
async def gather(task):
    await asyncio.gather(task)
async def tell():
    for _ in range(10):  # until all others wait
        await asyncio.sleep(0)
    print(os.getpid(), flush=True)
    await leaf()
async def main():
    lock = asyncio.Lock()
    await lock.acquire()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(branch(), name="branch")
        group.create_task(locked(lock), name="lock")
        for wait in wait_for, shield, gather:
            group.create_task(wait(task), name=wait.__name__)
        group.create_task(tell(), name="tell")
asyncio.run(main())
"""


def tree(program: str, folder: Path, *way_in: str) -> str:
    """What pstree prints of the program, which prints its process id when it has come to its waits."""
    file = folder / "program.py"
    file.write_text(textwrap.dedent(program))
    command = [sys.executable, *way_in, str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            pid = process.stdout.readline().strip()
            for _ in range(20):  # it does not stop the program, and fails if something moves under its eyes
                look = [sys.executable, "-m", "asyncio", "pstree", pid]
                found = subprocess.run(look, capture_output=True, text=True, timeout=PATIENCE)
                if found.returncode == 0:
                    return found.stdout
                if NOT_ALLOWED.search(found.stderr):
                    pytest.skip(f"no process may look into another one here: {found.stderr.strip()}")
            raise AssertionError(found.stderr)
        finally:
            process.kill()


def chains(printed: str) -> set[tuple[str, ...]]:
    """Each line of the tree, below those that it hangs on: Tasks, and the functions of the program."""
    above: list[str] = []
    found = set()
    for line in printed.splitlines():
        text = line.lstrip(" │├└─")
        above[(len(line) - len(text)) // 4 - 1 :] = [text]
        found.add(tuple(text for text in above if text.startswith("(T)") or "program.py" in text))
    return {chain for chain in found if "(T) tell" not in chain}  # it may not wait yet


def test_it_sees_what_it_sees_of_asyncio(tmp_path):
    expected, found = (chains(tree(PROGRAM, tmp_path, *way_in)) for way_in in ((), ("-m", "compat")))
    assert any(chain[-2:] == ("(T) branch", f"branch {tmp_path / 'program.py'}:5") for chain in expected)
    assert found == expected


def test_a_task_in_a_wait_of_trios(tmp_path):
    program = """\
        import asyncio, os, trio
        async def tell():
            print(os.getpid(), flush=True)
            await trio.sleep_forever()
        async def in_trio():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tell)
                await trio.sleep_forever()
        async def main():
            await asyncio.create_task(in_trio(), name="in trio")
        asyncio.run(main())
        """
    printed = tree(program, tmp_path, "-m", "compat")
    lines = [line.lstrip(" │├└─").split("/")[0].strip() for line in printed.splitlines()]
    assert lines[:4] == ["(T) Task-1", "main", "(T) in trio", "in_trio"]
    assert lines[-2:] == ["sleep_forever", "wait_task_rescheduled"]
