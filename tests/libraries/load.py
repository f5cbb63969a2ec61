"""Servers under many clients that do not behave: an echo server of asyncio's streams, and aiohttp's if it is there.

    python -m compat tests/libraries/load.py SECONDS CLIENTS

The clients are in a process of their own, on the interpreter's asyncio. Each connects, sends a few requests, and leaves
in one of five ways: in good order, without reading the answer, in the middle of a request, with a half-close, with a
reset. What is printed in the end, as JSON: requests that were answered, connections, errors that reached the loop or a
log, and how many tasks, descriptors, objects, blocks of memory and KiB there are more than after a fifth of the time.
"""

import asyncio
import gc
import json
import logging
import os
import random
import socket
import struct
import sys
import time
from contextlib import suppress

HOST = "127.0.0.1"


# --- the clients -----------------------------------------------------------------------------------------------------


async def request(kind, reader, writer, size):
    """One request and its answer."""
    body = b"x" * size
    if kind == "echo":
        writer.write(struct.pack(">I", size) + body)
        answer = await reader.readexactly(4 + size)
        assert answer[4:] == body
    else:
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert await reader.readexactly(length) == b"%d" % size


async def client(ports, end, counts, dice):
    while time.monotonic() < end:
        kind = dice.choice(list(ports))
        try:
            reader, writer = await asyncio.open_connection(HOST, ports[kind])
        except OSError:
            counts["refused"] += 1
            continue
        counts["connections"] += 1
        try:
            for _ in range(dice.randrange(5)):
                await request(kind, reader, writer, dice.choice([0, 10, 1000, 100_000]))
                counts["requests"] += 1
                await asyncio.sleep(dice.random() * 0.02)
            match dice.randrange(5):
                case 0:
                    pass
                case 1:  # leave with the answer unread
                    writer.write(struct.pack(">I", 50_000) + b"x" * 50_000)
                case 2:  # in the middle
                    writer.write(b"POST / HTTP/1.1\r\nContent-Le" if kind == "web" else b"\0\0\1\0half")
                    await asyncio.sleep(dice.random() * 0.01)
                case 3:  # half-close
                    writer.write_eof()
                    await asyncio.wait_for(reader.read(), 20)
                case 4:  # reset
                    writer.write(b"\0\0")
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    writer.transport.abort()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def clients(ports, seconds, number):
    counts = {"connections": 0, "requests": 0, "refused": 0}
    end = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for n in range(number):
            group.create_task(client(ports, end, counts, random.Random(n)))
    return counts


# --- the servers -----------------------------------------------------------------------------------------------------


async def echo(reader, writer):
    try:
        while True:
            size = await reader.readexactly(4)
            writer.write(size + await reader.readexactly(struct.unpack(">I", size)[0]))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def start_web():
    """The port of an aiohttp server, and a function that ends it; None without aiohttp."""
    try:
        from aiohttp import web
    except ImportError:
        return None

    async def count(request):
        return web.Response(text=str(len(await request.read())))

    app = web.Application()
    app.add_routes([web.post("/", count)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0, backlog=1000).start()
    return runner.addresses[0][1], runner.cleanup


class Errors(logging.Handler):
    """What is logged as an error, aiohttp's included, and what reaches the loop's exception handler."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.found = []

    def emit(self, record):
        # Bytes that are no HTTP are the client's fault, and aiohttp answers them.
        if "BadHttpMethod" not in (text := self.format(record)) and "BadHttp" not in text:
            self.found.append(text)


def measure():
    gc.collect()
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return {
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "KiB": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
    }


async def run_clients(ports, seconds, number):
    process = await asyncio.to_thread(start_clients, ports, seconds, number)
    out, _ = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0
    return json.loads(out)


def start_clients(ports, seconds, number):
    import subprocess

    command = ["env", sys.executable, __file__, "clients", json.dumps(ports), str(seconds), str(number)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


async def settled():
    """What there is when the last client has gone and its connection has been dealt with."""
    last = None
    for _ in range(100):
        await asyncio.sleep(0.1)
        now = (len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd")))
        if now == last:
            break
        last = now
    return measure()


async def main(seconds, number):
    errors = Errors()
    logging.getLogger().addHandler(errors)
    server = await asyncio.start_server(echo, HOST, 0, backlog=1000)
    ports = {"echo": server.sockets[0].getsockname()[1]}
    if web := await start_web():
        ports["web"] = web[0]
    await run_clients(ports, seconds / 5, number)
    before = await settled()
    counts = await run_clients(ports, seconds * 4 / 5, number)
    after = await settled()
    server.close()
    await server.wait_closed()
    if web:
        await web[1]()
    growth = {name: after[name] - before[name] for name in before}
    loop = type(asyncio.get_running_loop())
    return {"loop": f"{loop.__module__}.{loop.__name__}", **counts, "errors": errors.found[:10], "growth": growth}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["clients", ports, seconds, number]:
            print(json.dumps(asyncio.run(clients(json.loads(ports), float(seconds), int(number)))))
        case [seconds, number]:
            print(json.dumps(asyncio.run(main(float(seconds), int(number)))))
        case _:
            sys.exit(__doc__)
