"""Runs shell commands, some at a time, and shows their output line by line as it comes.

Plain asyncio: create_subprocess_shell, streams of lines, a Semaphore, timeouts, a TaskGroup. A job that takes too long
is asked to end (SIGTERM), and after a second made to (SIGKILL), with all that it has started.

    python examples/jobrunner.py "make docs" "make test"                    # on asyncio
    python -m compat examples/jobrunner.py --at-once 4 --seconds 60 < jobs    # the same program on trio
"""

import argparse
import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from contextlib import suppress

GRACE = 1  # seconds between SIGTERM and SIGKILL


async def show(name: str, process: Process) -> None:
    """Print what the job says, as it says it."""
    async for line in process.stdout:
        print(f"{name}| {line.decode(errors='replace').rstrip()}", flush=True)


def tell(process: Process, sig: signal.Signals) -> None:
    """Send a signal to the job and all that it has started: they are a process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, sig)


async def stop(process: Process) -> None:
    """End the job, one way or the other."""
    tell(process, signal.SIGTERM)
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), GRACE)
    tell(process, signal.SIGKILL)
    await process.wait()


async def run(name: str, command: str, seconds: float | None, slots: asyncio.Semaphore) -> str:
    """Run one job, and return how it ended."""
    async with slots:
        process = await asyncio.create_subprocess_shell(command, stdout=PIPE, stderr=STDOUT, start_new_session=True)
        try:
            async with asyncio.timeout(seconds):
                await show(name, process)
                status = await process.wait()
        except TimeoutError:
            await stop(process)
            return "took too long"
        except asyncio.CancelledError:
            await stop(process)
            raise
        except ValueError:
            await stop(process)
            return "said a line that is too long"
    return "done" if status == 0 else f"failed with status {status}"


async def main(commands: list[str], at_once: int, seconds: float | None) -> int:
    slots = asyncio.Semaphore(at_once)
    async with asyncio.TaskGroup() as group:
        jobs = [
            group.create_task(run(str(number), command, seconds, slots)) for number, command in enumerate(commands, 1)
        ]
    for number, (command, job) in enumerate(zip(commands, jobs, strict=True), 1):
        print(f"{number} {job.result()}: {command}")
    return sum(job.result() != "done" for job in jobs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="run shell commands, some at a time")
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help="else the lines of the standard input")
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="how many run at the same time")
    parser.add_argument("--seconds", type=float, help="how long each may take (for ever)")
    options = parser.parse_args()
    commands = options.commands or sys.stdin.read().splitlines()
    sys.exit(1 if asyncio.run(main(commands, options.at_once, options.seconds)) else 0)
