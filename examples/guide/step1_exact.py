"""A build service: clients ask for targets by lines over TCP, workers build them, and the output comes as it is made.

    python examples/guide/step1_exact.py FOLDER [--port 8000]    # until SIGTERM or Ctrl-C
    python examples/guide/step1_exact.py --demo                  # clients of its own, and an end

A target is a file NAME.recipe in the folder, with lines `needs: TARGETS`, `uses: LOCK`, `limit: SECONDS` and
`run: COMMAND`. A client says `build NAMES`, `wait NAME`, `cancel NAME` or `status`; the last line of each answer begins
with "=". The first signal ends the service when all is built that was asked for, the second at once.
"""

import argparse
import os
import signal
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE, STDOUT
from urllib.request import urlopen

from compat import asyncio

GRACE = 0.5  # seconds between SIGTERM and SIGKILL for a command

Say = Callable[[str], Awaitable[None]]


@dataclass
class Recipe:
    needs: list[str] = field(default_factory=list)
    uses: str | None = None
    limit: float | None = None
    commands: list[str] = field(default_factory=list)


def read_recipe(path: Path) -> Recipe:
    recipe = Recipe()
    for line in path.read_text().splitlines():
        key, _, value = line.partition(": ")
        match key:
            case "needs":
                recipe.needs += value.split()
            case "uses":
                recipe.uses = value
            case "limit":
                recipe.limit = float(value)
            case "run":
                recipe.commands.append(value)
    return recipe


class Job:
    """A target that was asked for: the workers add to its output, and any number of clients follow it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.recipe: Recipe | None = None
        self.output: list[str] = []
        self.changed = asyncio.Condition()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[str] | None = None
        self.dependents: list[Job] = []
        self.missing = 0  # of what it needs

    async def say(self, line: str) -> None:
        async with self.changed:
            self.output.append(line)
            self.changed.notify_all()

    async def is_read(self) -> None:
        """Wait until its needs are known."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.recipe is not None or self.ended.done())

    async def follow(self, say: Say) -> None:
        """Say what it says, from the first line on, until it has ended."""
        shown = 0
        while True:
            async with self.changed:
                while shown == len(self.output) and not self.ended.done():
                    await self.changed.wait()
            if shown == len(self.output):
                return
            for line in self.output[shown:]:
                await say(f"{self.name}| {line}")
                shown += 1


def tell(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal to a command and all that it has started: they are a process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


async def stop(process: asyncio.subprocess.Process) -> None:
    tell(process, signal.SIGTERM)
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), GRACE)
    tell(process, signal.SIGKILL)
    await process.wait()


class Service:
    def __init__(self, folder: Path, journal: Path, idle: float, patience: float) -> None:
        self.folder, self.journal, self.idle, self.patience = folder, journal, idle, patience
        journal.touch()
        self.loop = asyncio.get_running_loop()
        self.jobs: dict[str, Job] = {}
        self.queue: asyncio.Queue[Job] = asyncio.Queue()
        self.locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.writing = asyncio.Lock()
        self.clients: set[asyncio.Task[None] | None] = set()
        self.closing = asyncio.Event()
        self.aborted = False

    # --- the workers -------------------------------------------------------------------------------------------------

    def want(self, name: str) -> Job:
        """The job of a target: the one that is there, or a new one."""
        if name not in self.jobs:
            self.jobs[name] = Job(name)
            self.queue.put_nowait(self.jobs[name])
        return self.jobs[name]

    async def work(self) -> None:
        """Take a job, to read its recipe or to run it; either may put others into the queue."""
        while True:
            job = await self.queue.get()
            if job.recipe is None:
                await self.prepare(job)
            else:
                await self.run(job, job.recipe)
            self.queue.task_done()

    async def prepare(self, job: Job) -> None:
        try:
            recipe = await asyncio.to_thread(read_recipe, self.folder / f"{job.name}.recipe")
        except (OSError, ValueError):
            await self.finish(job, "has no recipe")
            return
        if job.name in self.all_needs(recipe):
            await self.finish(job, "needs itself")
            return
        job.recipe = recipe
        for need in map(self.want, recipe.needs):
            if not need.ended.done():
                need.dependents.append(job)
                job.missing += 1
        async with job.changed:
            job.changed.notify_all()
        if not job.missing:
            self.queue.put_nowait(job)

    def all_needs(self, recipe: Recipe) -> set[str]:
        """What it needs, as far as is known, at any remove."""
        found: set[str] = set()
        left = [*recipe.needs]
        while left:
            name = left.pop()
            job = self.jobs.get(name)
            if name not in found and job and job.recipe:
                left += job.recipe.needs
            found.add(name)
        return found

    async def run(self, job: Job, recipe: Recipe) -> None:
        without = [name for name in recipe.needs if self.jobs[name].ended.result() != "built"]
        if without:
            await self.finish(job, f"not built, for want of {without[0]}")
            return
        lock = self.locks[recipe.uses or job.name]
        await lock.acquire()
        job.task = asyncio.create_task(self.execute(job, recipe), name=job.name)
        job.task.add_done_callback(lambda _: lock.release())
        if self.aborted:
            job.task.cancel()
        try:
            how = await job.task
        except asyncio.CancelledError:
            how = "cancelled"
        except TimeoutError:
            how = "took too long"
        await self.finish(job, how)

    async def execute(self, job: Job, recipe: Recipe) -> str:
        async with asyncio.timeout(recipe.limit):
            for command in recipe.commands:
                status = await self.call(job, command)
                if status:
                    return f"failed with status {status}"
        return "built"

    async def call(self, job: Job, command: str) -> int:
        """Run a command, and pass on its output line by line."""
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", command, stdout=PIPE, stderr=STDOUT, cwd=self.folder, start_new_session=True
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                await job.say(line.decode(errors="replace").rstrip())
            return await process.wait()
        finally:
            if process.returncode is None:
                await stop(process)

    async def finish(self, job: Job, how: str) -> None:
        async with self.writing:  # one line at a time
            await asyncio.to_thread(self.note, f"{job.name}: {how}")
        async with job.changed:
            job.ended.set_result(how)
            job.changed.notify_all()
        for other in job.dependents:
            other.missing -= 1
            if not other.missing:
                self.queue.put_nowait(other)

    def note(self, line: str) -> None:
        with self.journal.open("a") as file:
            print(line, file=file)

    # --- the clients -------------------------------------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, from its first line to its last."""

        async def say(line: str) -> None:
            writer.write(f"{line}\n".encode())
            await writer.drain()

        self.clients.add(asyncio.current_task())
        try:
            while line := await asyncio.wait_for(reader.readline(), self.idle):
                await self.obey(line.decode().split(), say)
        except TimeoutError:
            await say("= too quiet")
        except ValueError:
            await say("= not a line")
        except OSError:
            pass  # it has gone
        except asyncio.CancelledError:
            await say("= the service ends")
        finally:
            self.clients.remove(asyncio.current_task())
            writer.close()

    async def obey(self, words: list[str], say: Say) -> None:
        match words:
            case ["build", *names] if names and not self.closing.is_set():
                jobs = [self.want(name) for name in names]
                seen: set[str] = set()
                for job in jobs:
                    await self.show(job, say, seen)
                await say("= " + ", ".join(f"{job.name}: {job.ended.result()}" for job in jobs))
            case ["wait", name] if name in self.jobs:
                how = await asyncio.shield(self.jobs[name].ended)
                await say(f"= {name}: {how}")
            case ["cancel", name] if name in self.jobs and (task := self.jobs[name].task):
                task.cancel()
                await say(f"= {name}: to be cancelled")
            case ["status"]:
                await say(f"= {await self.status()}")
            case _:
                await say(f"= cannot {' '.join(words)}")

    async def show(self, job: Job, say: Say, seen: set[str]) -> None:
        """Say what the job says, after what those say that it needs; each once."""
        if job.name not in seen:
            seen.add(job.name)
            await job.is_read()
            for name in job.recipe.needs if job.recipe else []:
                await self.show(self.jobs[name], say, seen)
            await job.follow(say)

    async def status(self) -> str:
        counts = Counter(job.ended.result() if job.ended.done() else "under way" for job in self.jobs.values())
        return ", ".join(f"{number} {how}" for how, number in sorted(counts.items())) or "nothing to do"

    # --- the end -----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """The first time: end when all is built. The second time, or when that takes too long: at once."""
        if self.closing.is_set():
            self.abort()
        else:
            self.closing.set()
            self.loop.call_later(self.patience, self.abort)

    def abort(self) -> None:
        self.aborted = True
        for job in self.jobs.values():
            if job.task:
                job.task.cancel()


class StatusPage(ThreadingHTTPServer):
    """The status by HTTP: blocking code of the standard library, in threads of its own."""

    def __init__(self, status: Callable[[], str]) -> None:
        super().__init__(("127.0.0.1", 0), StatusHandler)
        self.status = status
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()


class StatusHandler(BaseHTTPRequestHandler):
    server: StatusPage

    def do_GET(self) -> None:
        text = self.server.status().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        pass


async def main(options: argparse.Namespace, folder: Path) -> None:
    service = Service(folder, folder / "journal", options.idle, options.patience)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stop)
    page = StatusPage(lambda: asyncio.run_coroutine_threadsafe(service.status(), loop).result())
    server = await asyncio.start_server(service.serve, "127.0.0.1", options.port)
    port = server.sockets[0].getsockname()[1]
    workers = [asyncio.create_task(service.work()) for _ in range(options.workers)]
    demonstration = None
    if options.demo:
        demonstration = asyncio.create_task(demo(folder, port, page.server_port))
    else:
        print(f"clients: port {port}, status: port {page.server_port}", flush=True)

    await service.closing.wait()
    server.close()
    await service.queue.join()
    tasks = [*workers, *filter(None, service.clients)]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if demonstration:
        await demonstration
    await asyncio.to_thread(page.close)
    print("ended;", ", ".join(sorted(service.journal.read_text().splitlines())))


# --- the demonstration -----------------------------------------------------------------------------------------------

RECIPES = {
    "lex": "run: echo reads letters",
    "parse": "needs: lex\nrun: echo reads words\nrun: echo builds trees",
    "docs": "uses: disk\nrun: echo chapter one; echo chapter two",
    "app": "needs: parse docs\nuses: disk\nrun: echo links >&2",
    "broken": "needs: lex\nrun: exit 3\nrun: echo never",
    "all": "needs: app broken",
    "egg": "needs: hen",
    "hen": "needs: egg",
    "slow": "limit: 0.1\nrun: sleep 60",
    "stubborn": "run: trap '' TERM; echo starts; sleep 60 & wait; sleep 60",
}


class Client:
    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name, self.reader, self.writer = name, reader, writer
        self.lines: list[str] = []
        self.hears_start = asyncio.Event()

    async def ask(self, command: str) -> None:
        self.lines.append(f"{self.name}> {command}")
        self.writer.write(f"{command}\n".encode())
        await self.listen()

    async def listen(self) -> None:
        """Read an answer, or the end."""
        async for line in self.reader:
            self.lines.append(f"{self.name}: {line.decode().rstrip()}")
            if line.endswith(b"| starts\n"):
                self.hears_start.set()
            if line.startswith(b"="):
                return
        self.lines.append(f"{self.name} is alone")


def get(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/") as answer:
        return str(answer.read().decode())


async def demo(folder: Path, port: int, status_port: int) -> None:
    for name, text in RECIPES.items():
        (folder / f"{name}.recipe").write_text(text)
    ann, bob, eve = [Client(name, *await asyncio.open_connection("127.0.0.1", port)) for name in ("ann", "bob", "eve")]
    await asyncio.gather(ann.ask("build app"), bob.ask("build docs lex"))
    await ann.ask("build all")
    await bob.ask("build egg slow unknown")

    async def interrupt() -> None:
        await ann.hears_start.wait()
        await bob.ask("cancel stubborn")
        await bob.ask("wait stubborn")

    await asyncio.gather(ann.ask("build stubborn"), interrupt())
    await bob.ask("dance")
    eve.writer.write(b"\xff\n")
    await eve.listen()
    await eve.listen()
    print("status page:", await asyncio.to_thread(get, status_port))
    os.kill(os.getpid(), signal.SIGTERM)
    await ann.listen()
    for line in ann.lines + bob.lines + eve.lines:
        print(line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a build service")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="where the recipes are")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--idle", type=float, default=600, help="seconds that a client may be quiet (600)")
    parser.add_argument("--patience", type=float, default=60, help="seconds for builds after a signal (60)")
    parser.add_argument("--demo", action="store_true")
    options = parser.parse_args()
    if options.demo:
        with tempfile.TemporaryDirectory() as name:
            asyncio.run(main(options, Path(name)))
    else:
        asyncio.run(main(options, options.folder))
