"""How many requests per second real libraries get through: on asyncio, by `python -m compat`, and in compat.run().

    pip install aiohttp uvicorn httptools asyncpg redis
    python -m benchmarks.web [--seconds 2] [--rounds 5] [--connections 32] [aiohttp] [uvicorn] [asyncpg] [redis]

aiohttp and uvicorn answer with "hello world". Each server is a process of its own, one per mode, and all are up for the
whole run. The load comes from another process: raw sockets with keep-alive, each of which sends its next request when
the answer to the one before is there. uvicorn serves a bare ASGI application, with httptools if that is installed.

asyncpg and redis are clients, with that many tasks that share a pool of ten connections. What is measured is the
process that they are in; PostgreSQL and Redis are at POSTGRES_URL and REDIS_URL, or at the usual ports of this machine.

The modes take turns, so that a noisy second hits all of them. A rate's ratio is to asyncio's rate in the same turn:
above 1, this is faster. CPU is the processor time that a request took in the process that is measured, which suffers
least from what else the machine does; its ratio is below 1 where this takes less.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple, cast
from urllib.parse import urlsplit

HOST = "127.0.0.1"
# The options of the interpreter, and a program's first lines, in which it gets `run`.
MODES = {
    "asyncio": ([], "import asyncio\ndef run(main): asyncio.run(main())"),
    "own": (["-m", "compat"], "import asyncio\ndef run(main): asyncio.run(main())"),
    "hosted": ([], "import asyncio\nfrom compat import run"),
}
SERVERS = {
    "aiohttp": """
from aiohttp import web
async def hello(request):
    return web.Response(text="Hello, world")
async def main():
    app = web.Application()
    app.add_routes([web.get("/", hello)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()
run(main)
""",
    "uvicorn": """
import uvicorn
async def app(scope, receive, send):
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"12")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, world"})
async def main():
    config = uvicorn.Config(app, port=0, loop="asyncio", lifespan="off", access_log=False, log_level="error")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving
run(main)
""",
}
# A client has a function that makes `request`; given the server's URL, the number of tasks, and seconds.
WITH_REQUESTS = """
import sys, time
_, url, tasks, seconds = sys.argv
async def measured(request, seconds):
    end, answered = time.perf_counter() + seconds, 0
    async def repeat():
        nonlocal answered
        while time.perf_counter() < end:
            await request()
            answered += 1
    before = time.process_time()
    await asyncio.gather(*[repeat() for _ in range(int(tasks))])
    return answered, time.process_time() - before
async def measure(request):
    await measured(request, 0.3)
    print(*await measured(request, float(seconds)))
"""
CLIENTS = {
    "asyncpg": """
import asyncpg
async def main():
    async with asyncpg.create_pool(url, min_size=10, max_size=10) as pool:
        await measure(lambda: pool.fetchval("SELECT $1::int", 1))
run(main)
""",
    "redis": """
import redis.asyncio
async def main():
    pool = redis.asyncio.BlockingConnectionPool.from_url(url, max_connections=10)
    async with redis.asyncio.Redis.from_pool(pool) as client:
        await measure(lambda: client.get("benchmark"))
run(main)
""",
}
URLS = {
    "asyncpg": os.environ.get("POSTGRES_URL", f"postgresql://postgres@{HOST}:5432/test"),
    "redis": os.environ.get("REDIS_URL", f"redis://{HOST}:6379/15"),
}
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = b"Hello, world"


class Value(NamedTuple):
    rate: float  # requests per second
    cpu: float  # seconds of processor time for a request


def load(port: int, connections: int, seconds: float) -> int:
    """Requests that were answered in that time."""
    selector = selectors.DefaultSelector()
    sockets = [socket.create_connection((HOST, port)) for _ in range(connections)]
    answered = 0
    try:
        for each in sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(each, selectors.EVENT_READ)
            each.sendall(REQUEST)
        end = time.perf_counter() + seconds
        pending: dict[object, bytes] = {}
        while time.perf_counter() < end:
            for key, _ in selector.select(1):
                sock = cast(socket.socket, key.fileobj)
                answer = pending.pop(sock, b"") + sock.recv(65536)
                if answer.endswith(BODY):  # also when the body comes by itself
                    if not answer.startswith(b"HTTP/1.1 200"):
                        raise RuntimeError(f"the server answers {answer!r}")
                    answered += 1
                    sock.sendall(REQUEST)
                elif answer:
                    pending[sock] = answer
                else:
                    raise RuntimeError("the server has closed a connection")
    finally:
        for each in sockets:
            each.close()
    return answered


def processor_time(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serve(stack: ExitStack, name: str, mode: str, connections: int) -> Callable[[float], Value]:
    """Start a server, until the stack ends; return a function that puts it under load for some seconds."""
    options, run = MODES[mode]
    command = [sys.executable, *options, "-c", run + SERVERS[name]]
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    assert process.stdout is not None
    port = process.stdout.readline().strip() or sys.exit(f"{name} failed in the mode {mode}")

    def value(seconds: float) -> Value:
        before = processor_time(process.pid)
        command = [sys.executable, "-m", "benchmarks.web", "--load", port]
        command += ["--connections", str(connections), "--seconds", str(seconds)]
        answered = int(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        return Value(answered / seconds, (processor_time(process.pid) - before) / answered)

    return value


def call(name: str, mode: str, tasks: int, seconds: float) -> Value:
    """Have a client make requests for some seconds."""
    options, run = MODES[mode]
    command = [
        sys.executable,
        *options,
        "-c",
        run + WITH_REQUESTS + CLIENTS[name],
        URLS[name],
        str(tasks),
        str(seconds),
    ]
    answered, cpu = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return Value(int(answered) / seconds, float(cpu) / int(answered))


def measure(name: str, connections: int, seconds: float, rounds: int) -> dict[str, list[Value]]:
    """Values of a server or a client by mode."""
    values: dict[str, list[Value]] = {mode: [] for mode in MODES}
    with ExitStack() as stack:
        functions: dict[str, Callable[[float], Value]] = {}
        for mode in MODES:
            if name in SERVERS:
                functions[mode] = serve(stack, name, mode, connections)
                functions[mode](0.5)  # warms up
            else:
                functions[mode] = partial(call, name, mode, connections)
        for _ in range(rounds):
            for mode, function in functions.items():
                values[mode].append(function(seconds))
    return values


def what_is_missing(name: str) -> str | None:
    """What a library lacks here to be measured."""
    if find_spec(name) is None:
        return f"no module named {name}"
    if name in URLS:
        address = urlsplit(URLS[name])
        try:
            socket.create_connection((address.hostname, address.port), 2).close()
        except OSError as error:
            return f"no server at {address.hostname}:{address.port}: {error}"
    return None


def table(found: dict[str, dict[str, list[Value]]]) -> str:
    """The figures, a line for each library and mode."""
    lines = [f"{'':10}{'':10}{'requests per second':>20}{'ratio':>8}{'CPU for one, in µs':>20}{'ratio':>8}"]
    for name, values in found.items():
        base = values["asyncio"]
        base_cpu = statistics.median([value.cpu for value in base])
        for mode, each in values.items():
            rate, cpu = (
                statistics.median([value.rate for value in each]),
                statistics.median([value.cpu for value in each]),
            )
            spread = statistics.median([abs(value.rate - rate) for value in each]) / rate
            ratio = statistics.median([ours.rate / theirs.rate for ours, theirs in zip(each, base, strict=True)])
            line = f"{name:10}{mode:10}{rate:14.0f} ±{spread:4.0%}{ratio:8.2f}{cpu * 1e6:20.0f}{cpu / base_cpu:8.2f}"
            lines.append(line)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.web", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    libraries = [*SERVERS, *CLIENTS]
    parser.add_argument("names", nargs="*", metavar="LIBRARY", help=f"some of: {', '.join(libraries)} (default: all)")
    parser.add_argument("--seconds", type=float, default=2, help="of load for each value")
    parser.add_argument("--rounds", type=int, default=5, help="values for each mode")
    parser.add_argument("--connections", type=int, default=32, help="of the load, or tasks of a client")
    parser.add_argument("--load", type=int, metavar="PORT", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.load:
        print(load(args.load, args.connections, args.seconds))
        return
    if unknown := [name for name in args.names if name not in libraries]:
        parser.error(f"no such library: {', '.join(unknown)}")
    found = {}
    for name in args.names or libraries:
        if missing := what_is_missing(name):
            print(f"{name} is left out: {missing}")
        else:
            found[name] = measure(name, args.connections, args.seconds, args.rounds)
    print(table(found))


if __name__ == "__main__":
    main()
