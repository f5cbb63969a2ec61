"""How many requests per second aiohttp and uvicorn answer with "hello world": on asyncio and on this, in turns.

    pip install aiohttp uvicorn
    python -m benchmarks.web [--seconds 2] [--rounds 5] [--connections 32] [aiohttp] [uvicorn]

Each server is a process of its own, one per carrier, and both are up for the whole run. The load comes from another
process: raw sockets with keep-alive, each of which sends its next request when the answer to the one before is there.
They take turns, so that a noisy second hits both. The ratio is this project's rate by asyncio's: above 1, we are
faster. CPU is the processor time that the server took for a request, which suffers least from what else the machine
does. uvicorn serves a bare ASGI application, with httptools if that is installed.
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
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple, cast

HOST = "127.0.0.1"
SERVERS = {
    "aiohttp": """
import asyncio
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
asyncio.run(main())
""",
    "uvicorn": """
import asyncio, uvicorn
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
asyncio.run(main())
""",
}
CARRIERS = {"asyncio": [], "us": ["-m", "compat"]}
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = b"Hello, world"


class Value(NamedTuple):
    rate: float  # requests per second
    cpu: float  # seconds of the server's processor time for a request


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


def measure(name: str, connections: int, seconds: float, rounds: int) -> dict[str, list[Value]]:
    """Values of a server by carrier."""
    values: dict[str, list[Value]] = {carrier: [] for carrier in CARRIERS}
    with ExitStack() as stack:
        servers = {}
        for carrier, options in CARRIERS.items():
            command = [sys.executable, *options, "-c", SERVERS[name]]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            assert process.stdout is not None
            servers[carrier] = process.pid, int(process.stdout.readline() or sys.exit(f"{name} failed on {carrier}"))
        for number in range(rounds + 1):  # the first warms up
            for carrier, (pid, port) in servers.items():
                before = processor_time(pid)
                command = [sys.executable, "-m", "benchmarks.web", "--load", str(port)]
                command += ["--connections", str(connections), "--seconds", str(seconds if number else 0.5)]
                answered = int(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                if number:
                    values[carrier].append(Value(answered / seconds, (processor_time(pid) - before) / answered))
    return values


def table(found: dict[str, dict[str, list[Value]]]) -> str:
    """The figures, a line for each server."""
    lines = [
        f"{'requests per second':22}{'asyncio':>16}{'us':>16}{'ratio':>8}   CPU for one, in µs: asyncio, us, ratio"
    ]
    for name, values in found.items():
        rates = {carrier: [value.rate for value in values[carrier]] for carrier in CARRIERS}
        cpus = {carrier: statistics.median([value.cpu for value in values[carrier]]) for carrier in CARRIERS}
        cells = []
        for each in rates.values():
            middle = statistics.median(each)
            spread = statistics.median([abs(rate - middle) for rate in each]) / middle
            cells.append(f"{middle:10.0f} ±{spread:4.0%}")
        ratio = statistics.median([us / them for us, them in zip(rates["us"], rates["asyncio"], strict=True)])
        lines.append(
            f"{name:22}{cells[0]:>16}{cells[1]:>16}{ratio:8.2f}"
            f"   {cpus['asyncio'] * 1e6:.0f}, {cpus['us'] * 1e6:.0f}, {cpus['us'] / cpus['asyncio']:.2f}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.web", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="SERVER", help=f"some of: {', '.join(SERVERS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=2, help="of load for each value")
    parser.add_argument("--rounds", type=int, default=5, help="values for each carrier")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--load", type=int, metavar="PORT", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.load:
        print(load(args.load, args.connections, args.seconds))
        return
    if unknown := [name for name in args.names if name not in SERVERS]:
        parser.error(f"no such server: {', '.join(unknown)}")
    names = [name for name in SERVERS if name in args.names or not args.names]
    print(table({name: measure(name, args.connections, args.seconds, args.rounds) for name in names}))


if __name__ == "__main__":
    main()
