"""Runs shell commands, some at a time, and shows their output line by line as it comes.

Plain asyncio: create_subprocess_shell, streams of lines, a Semaphore, timeouts, a TaskGroup, an Event that stops the
rest, and a Queue for what is written to files in a thread. A job that takes too long is asked to end (SIGTERM), and
after a second made to (SIGKILL), with all that it has started.

    python examples/jobrunner.py "make docs" "make test"                    # on asyncio
    python -m compat examples/jobrunner.py --at-once 4 --seconds 60 < jobs    # the same program on trio
"""

import argparse
import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT

GRACE = 1  # seconds between SIGTERM and SIGKILL
PAUSE = 0.1  # seconds before a job is tried again, twice as long before each time after that


@dataclass
class Job:
    name: str
    command: str
    end: str = "not started"
    tries: int = 0

    @property
    def summary(self) -> str:
        tries = f" at try {self.tries}" if self.tries > 1 else ""
        return f"{self.name} {self.end}{tries}: {self.command}"


def tell(process: asyncio.subprocess.Process, sig: signal.Signals) -> None:
    """Send a signal to the job and all that it has started: they are a process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, sig)


async def stop(process: asyncio.subprocess.Process) -> None:
    """End the job, one way or the other."""
    tell(process, signal.SIGTERM)
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), GRACE)
    tell(process, signal.SIGKILL)
    await process.wait()


class Runner:
    """Runs jobs under the same limits."""

    def __init__(self, at_once: int, seconds: float | None, retries: int, stop_at_failure: bool, log: Path | None):
        self.slots = asyncio.Semaphore(at_once)
        self.seconds, self.retries, self.stop_at_failure, self.log = seconds, retries, stop_at_failure, log
        self.failed = asyncio.Event()
        self.lines: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue(1000)

    async def run_all(self, jobs: list[Job]) -> None:
        async with asyncio.TaskGroup() as outer:
            writer = outer.create_task(self.write())
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.run(job), name=job.name) for job in jobs]
                watcher = group.create_task(self.stop_at_first_failure(tasks))
                if tasks:
                    await asyncio.wait(tasks)
                watcher.cancel()
            await self.lines.put(None)
            await writer

    async def stop_at_first_failure(self, tasks: list[asyncio.Task[None]]) -> None:
        await self.failed.wait()
        for task in tasks:
            task.cancel()

    async def run(self, job: Job) -> None:
        """Run a job, again if it fails and may be tried again."""
        async with self.slots:
            while True:
                job.tries += 1
                job.end = "stopped"  # if it does not come to another end
                job.end = await self.run_once(job)
                if job.end == "done" or job.tries > self.retries:
                    break
                await asyncio.sleep(PAUSE * 2 ** (job.tries - 1))
        if job.end != "done" and self.stop_at_failure:
            self.failed.set()

    async def run_once(self, job: Job) -> str:
        """Run a job, and return how it ended."""
        status = None
        process = await asyncio.create_subprocess_shell(job.command, stdout=PIPE, stderr=STDOUT, start_new_session=True)
        try:
            async with asyncio.timeout(self.seconds):
                await self.show(job, process)
                status = await process.wait()
        except TimeoutError:
            return "took too long"
        except ValueError:
            return "said a line that is too long"
        finally:
            if status is None:
                await stop(process)
        return "done" if status == 0 else f"failed with status {status}"

    async def show(self, job: Job, process: asyncio.subprocess.Process) -> None:
        """Print what the job says, as it says it."""
        async for line in process.stdout:
            text = line.decode(errors="replace").rstrip()
            print(f"{job.name}| {text}", flush=True)
            await self.lines.put((job.name, text))

    async def write(self) -> None:
        """Write what the jobs say to a file for each."""
        while (said := await self.lines.get()) is not None:
            if self.log:
                name, text = said
                await asyncio.to_thread(append, self.log / f"{name}.log", text)


def append(path: Path, line: str) -> None:
    with path.open("a") as file:
        print(line, file=file)


async def main(options: argparse.Namespace) -> int:
    commands = options.commands or sys.stdin.read().splitlines()
    jobs = [Job(str(number), command) for number, command in enumerate(commands, 1)]
    runner = Runner(options.at_once, options.seconds, options.retries, options.stop_at_failure, options.log)
    await runner.run_all(jobs)
    for job in jobs:
        print(job.summary)
    return sum(job.end != "done" for job in jobs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="run shell commands, some at a time")
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help="else the lines of the standard input")
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="how many run at the same time")
    parser.add_argument("--seconds", type=float, help="how long each may take (for ever)")
    parser.add_argument("--retries", type=int, default=0, help="how often one that fails is tried again (0)")
    parser.add_argument("--stop-at-failure", action="store_true", help="stop the others when one has failed")
    parser.add_argument("--log", type=Path, metavar="FOLDER", help="write the output to files in it, too")
    sys.exit(1 if asyncio.run(main(parser.parse_args())) else 0)
