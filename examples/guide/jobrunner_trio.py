"""Runs shell commands, some at a time, and shows their output line by line as it comes.

examples/jobrunner.py, ported to trio: open_process, lines of streams, a Semaphore, a nursery whose scope stops the
rest, and a channel for what is written to files in a thread. A job that takes too long is asked to end (SIGTERM), and
after a second made to (SIGKILL), with all that it has started: the clean-up is shielded, or it could not wait.

    python examples/guide/jobrunner_trio.py --at-once 4 --seconds 60 "make docs" "make test"
"""

import argparse
import math
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT

import trio
from lines_trio import Lines

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


def tell(process: trio.Process, sig: signal.Signals) -> None:
    """Send a signal to the job and all that it has started: they are a process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, sig)


async def stop(process: trio.Process) -> None:
    """End the job, one way or the other."""
    tell(process, signal.SIGTERM)
    with trio.move_on_after(GRACE):
        await process.wait()
    tell(process, signal.SIGKILL)
    await process.wait()


class Runner:
    """Runs jobs under the same limits."""

    def __init__(self, at_once: int, seconds: float | None, retries: int, stop_at_failure: bool, log: Path | None):
        self.slots = trio.Semaphore(at_once)
        self.seconds, self.retries, self.stop_at_failure, self.log = seconds, retries, stop_at_failure, log
        self.send_lines, self.receive_lines = trio.open_memory_channel[tuple[str, str]](1000)

    async def run_all(self, jobs: list[Job]) -> None:
        async with trio.open_nursery() as outer:
            outer.start_soon(self.write)
            async with self.send_lines, trio.open_nursery() as nursery:
                for job in jobs:
                    nursery.start_soon(self.run, job, nursery.cancel_scope, name=job.name)

    async def run(self, job: Job, all_jobs: trio.CancelScope) -> None:
        """Run a job, again if it fails and may be tried again."""
        async with self.slots:
            while True:
                job.tries += 1
                job.end = "stopped"  # if it does not come to another end
                job.end = await self.run_once(job)
                if job.end == "done" or job.tries > self.retries:
                    break
                await trio.sleep(PAUSE * 2 ** (job.tries - 1))
        if job.end != "done" and self.stop_at_failure:
            all_jobs.cancel()

    async def run_once(self, job: Job) -> str:
        """Run a job, and return how it ended."""
        status = None
        process = await trio.lowlevel.open_process(
            job.command, shell=True, stdout=PIPE, stderr=STDOUT, start_new_session=True
        )
        try:
            with trio.fail_after(math.inf if self.seconds is None else self.seconds):
                await self.show(job, process)
                status = await process.wait()
        except trio.TooSlowError:
            return "took too long"
        except ValueError:
            return "said a line that is too long"
        finally:
            if status is None:
                with trio.CancelScope(shield=True):
                    await stop(process)
        return "done" if status == 0 else f"failed with status {status}"

    async def show(self, job: Job, process: trio.Process) -> None:
        """Print what the job says, as it says it."""
        assert process.stdout is not None
        async for line in Lines(process.stdout):
            text = line.decode(errors="replace").rstrip()
            print(f"{job.name}| {text}", flush=True)
            await self.send_lines.send((job.name, text))

    async def write(self) -> None:
        """Write what the jobs say to a file for each."""
        async for name, text in self.receive_lines:
            if self.log:
                await trio.to_thread.run_sync(append, self.log / f"{name}.log", text)


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
    sys.exit(1 if trio.run(main, parser.parse_args()) else 0)
