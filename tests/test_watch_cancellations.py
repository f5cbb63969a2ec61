"""Which cancellations that a task swallows make a difference: those that end otherwise on native, and no others."""

import json
import subprocess
import sys

import pytest

import watch_cancellations
from test_watch import ENVIRONMENT
from watch_cancellations import CASES, UNSEEN
from worlds import PATIENCE

# Each case is compiled by itself, under its own name, so that what is found can be told apart.
RUN_ALL = """
import json, sys
path, *names = sys.argv[1:]
with open(path) as file:
    text = file.read()
seen = {}
for name in names:
    module = {"__name__": name}
    exec(compile(text, f"<{name}>", "exec"), module)
    seen[name] = module["run"](name)
print(json.dumps(seen))
"""
WAYS = {"asyncio": [], "exact": ["-m", "compat", "--watch-json", "found.json"], "native": ["-m", "compat", "--native"]}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """What each case has seen in each world, and the kinds that were found in it."""
    folder, seen = tmp_path_factory.mktemp("worlds"), {}
    for world, way in WAYS.items():
        command = [sys.executable, *way, "-c", RUN_ALL, watch_cancellations.__file__, *CASES]
        done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        seen[world] = json.loads(done.stdout)
    found = {name: set() for name in CASES}
    for each in json.loads((folder / "found.json").read_text())["findings"]:
        if each["kind"] in (watch_cancellations.SWALLOWED, watch_cancellations.CLEANUP):
            found[each["file"].strip("<>")].add(each["kind"])
    return seen, found


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_finds_what_native_does_otherwise(worlds, name):
    seen, found = worlds
    kinds = CASES[name][1]
    assert seen["exact"][name] == seen["asyncio"][name]
    assert (seen["native"][name] != seen["exact"][name]) == bool(kinds)
    assert found[name] == set(kinds) - {UNSEEN}


SCOPES = """
import asyncio, contextlib, trio, compat

async def swallows(wait):
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await wait()
    return "result"

async def around_a_task():
    task = asyncio.create_task(swallows(asyncio.Event().wait))
    with trio.move_on_after(0.01):
        print(await task)
        await asyncio.sleep(1)
        print("went on")

async def around_its_own_waits():
    with trio.move_on_after(0.01):
        print(await swallows(lambda: asyncio.sleep(0)))

async def main():
    for function in around_a_task, around_its_own_waits:
        await function()
        await asyncio.create_task(function())

compat.run(main)
"""


@pytest.mark.slow
def test_scope_around_the_await_is_as_in_trio(tmp_path):
    """The scope cancels what is awaited, and then the next wait: on native, too. Nothing is found."""
    command = [sys.executable, "-m", "compat", "--watch-json", "found.json", "-c", SCOPES]
    exact = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, check=True, timeout=PATIENCE, capture_output=True)
    found = json.loads((tmp_path / "found.json").read_text())["findings"]
    assert not [each for each in found if each["kind"] == "cancel-swallowed"]
    program = SCOPES.replace("import asyncio, ", "from compat import native as asyncio\nimport ")
    command = [sys.executable, "-c", program.replace("compat.run(main)", "asyncio.run(main())")]
    native = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, check=True, timeout=PATIENCE, capture_output=True)
    assert exact.stdout == native.stdout == b"result\n" * 4
