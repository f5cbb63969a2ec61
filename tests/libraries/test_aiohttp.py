"""aiohttp, client and server: https://docs.aiohttp.org/"""

import asyncio
import random
import sys
from contextlib import asynccontextmanager

import pytest
import trio

from worlds import PATIENCE

from .peers import HOST, REDIRECTED, shielded

aiohttp = pytest.importorskip("aiohttp", reason="the extra `libraries` is not installed")
from aiohttp import web  # noqa: E402

pytestmark = pytest.mark.leaves("thread", reason="pycares has one that lives as long as the process")

BLOCK = random.Random(1).randbytes(100_000)


async def hello(request):
    name = request.match_info.get("name", "Anonymous")
    return web.Response(text=f"Hello, {name}")


async def upload(request):
    size = 0
    async for block in request.content.iter_chunked(10_000):
        size += len(block)
    return web.json_response({"size": size})


async def download(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(int(request.query["blocks"])):
        await response.write(BLOCK)
    await response.write_eof()
    return response


async def slow(request):
    request.app[SLOW].append(request)
    try:
        await asyncio.sleep(100)
    finally:
        request.app[SLOW].remove(request)


async def echo(request):
    websocket = web.WebSocketResponse()
    await websocket.prepare(request)
    async for message in websocket:
        if message.type is aiohttp.WSMsgType.TEXT:
            await websocket.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await websocket.send_bytes(message.data)
    return websocket


SLOW = web.AppKey("slow", list)


@asynccontextmanager
async def serving(tls=None):
    """An application; gives its address."""
    app = web.Application(client_max_size=2**30)
    app[SLOW] = []
    app.add_routes(
        [
            web.get("/", hello),
            web.post("/upload", upload),
            web.get("/download", download),
            web.get("/slow", slow),
            web.get("/echo", echo),
            web.get("/{name}", hello),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, 0, ssl_context=tls)
        await site.start()
        yield f"{'https' if tls else 'http'}://localhost:{runner.addresses[0][1]}", app
    finally:
        with shielded():
            await runner.cleanup()


@pytest.fixture(params=["http", "https"])
def tls(request, server_tls, client_tls):
    """The server's, and the client's: https makes each test run with TLS, too."""
    return (server_tls, client_tls) if request.param == "https" else (None, True)


def test_as_in_the_readme(run, tls):
    async def main():
        async with serving(tls[0]) as (url, _), aiohttp.ClientSession() as session:
            async with session.get(url, ssl=tls[1]) as response:
                first = response.status, response.headers["content-type"], await response.text()
            async with session.get(f"{url}/you", ssl=tls[1]) as response:
                return *first, await response.text()

    assert run(main) == (200, "text/plain; charset=utf-8", "Hello, Anonymous", "Hello, you")


def test_many_at_a_time(run):
    async def main():
        connector = aiohttp.TCPConnector(limit=20)
        async with serving() as (url, _), aiohttp.ClientSession(connector=connector) as session:

            async def get(n):
                async with session.get(f"{url}/{n}") as response:
                    return await response.text()

            return await asyncio.gather(*[get(n) for n in range(200)])

    assert run(main) == [f"Hello, {n}" for n in range(200)]


def test_streaming_bodies(run, tls):
    async def main():
        async with serving(tls[0]) as (url, _), aiohttp.ClientSession() as session:

            async def blocks():
                for _ in range(30):
                    yield BLOCK
                    await asyncio.sleep(0)

            async with session.post(f"{url}/upload", data=blocks(), ssl=tls[1]) as response:
                assert await response.json() == {"size": 3_000_000}
            async with session.get(f"{url}/download?blocks=30", ssl=tls[1]) as response:
                received = b"".join([block async for block in response.content.iter_any()])
            assert received == BLOCK * 30
            async with session.get(f"{url}/download?blocks=300", ssl=tls[1]) as response:
                assert await response.content.readexactly(1000) == BLOCK[:1000]  # and leaves the rest

    run(main)


def test_files_and_forms(run, tmp_path, tls):
    """The file goes by sendfile() where it is not encrypted."""
    file = tmp_path / "file"
    file.write_bytes(BLOCK * 30)

    async def main():
        async def form(request):
            found = {}
            async for part in await request.multipart():
                found[part.name] = len(await part.read())
            return web.json_response(found)

        app = web.Application(client_max_size=2**30)
        app.add_routes([web.static("/files", tmp_path), web.post("/form", form)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0, ssl_context=tls[0]).start()
        url = f"{'https' if tls[0] else 'http'}://localhost:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls[1])) as session:
            async with session.get(f"{url}/files/file") as response:
                assert await response.read() == BLOCK * 30
            async with session.get(f"{url}/files/file", headers={"Range": "bytes=10-19"}) as response:
                assert (response.status, await response.read()) == (206, BLOCK[10:20])
            with file.open("rb") as opened:
                async with session.post(f"{url}/form", data={"file": opened, "x": "abc"}) as response:
                    assert await response.json() == {"file": 3_000_000, "x": 3}
        await runner.cleanup()

    run(main)


def test_websockets(run, tls):
    async def main():
        async with serving(tls[0]) as (url, _), aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{url}/echo", ssl=tls[1]) as websocket:
                for n in range(50):
                    await websocket.send_str(str(n))
                assert [(await websocket.receive()).data for _ in range(50)] == [str(n) for n in range(50)]
                await websocket.send_bytes(BLOCK)
                assert await websocket.receive_bytes() == BLOCK
            return websocket.close_code

    assert run(main) == 1000


def test_clients_timeouts(run):
    async def main():
        async with serving() as (url, app):
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.1)) as session:
                with pytest.raises(TimeoutError):
                    await session.get(f"{url}/slow")
                async with session.get(f"{url}/download?blocks=3") as response:
                    assert await response.read() == BLOCK * 3
            async with aiohttp.ClientSession() as session:
                task = asyncio.create_task(session.get(f"{url}/slow"))
                while not app[SLOW]:
                    await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                while app[SLOW]:  # the handler is cancelled when its client has gone
                    await asyncio.sleep(0.01)

    run(main)


def test_trio_timeouts_in_the_middle_of_a_request(run_mixed, tls):
    """Requests, uploads and downloads are given up at all stages; the session goes on, the server forgets them."""

    async def main():
        connector = aiohttp.TCPConnector(limit=5, ssl=tls[1])
        async with serving(tls[0]) as (url, app), aiohttp.ClientSession(connector=connector) as session:
            ended = []

            async def impatient(patience, path):
                with trio.move_on_after(patience) as scope:
                    async with session.get(url + path) as response:
                        await response.read()
                ended.append(scope.cancelled_caught)

            async def impatient_upload(patience):
                async def endless():
                    while True:
                        yield BLOCK
                        await asyncio.sleep(0)

                with trio.move_on_after(patience) as scope:
                    async with session.post(f"{url}/upload", data=endless()):
                        pass
                ended.append(scope.cancelled_caught)

            for _ in range(3):
                async with trio.open_nursery() as nursery:
                    for n in range(4):
                        nursery.start_soon(impatient, 0.02 * (n + 1), "/slow")
                        nursery.start_soon(impatient, 0.017 * (n + 1), "/download?blocks=1000")
                        nursery.start_soon(impatient_upload, 0.015 * (n + 1))
                async with trio.open_nursery() as nursery:
                    for _ in range(10):
                        nursery.start_soon(impatient, 5, "/")
            assert ended == ([True] * 12 + [False] * 10) * 3
            with pytest.raises(trio.TooSlowError):
                with trio.fail_after(0.02):
                    await session.get(f"{url}/slow")
            with trio.fail_after(PATIENCE):
                while app[SLOW]:
                    await trio.sleep(0.01)
            assert not connector._acquired

            async with session.ws_connect(f"{url}/echo") as websocket:
                with trio.move_on_after(0.02) as scope:
                    await websocket.receive()
                assert scope.cancelled_caught
                await websocket.send_str("still there")
                assert await websocket.receive_str() == "still there"

    run_mixed(main)


@pytest.mark.skipif(
    sys.version_info >= (3, 12) and not REDIRECTED,
    reason="from 3.12 on aiohttp runs handlers in asyncio.Task itself, which is the interpreter's without the redirect",
)
def test_a_server_in_a_nursery_with_trio_in_its_handlers(run_mixed):
    async def main():
        async def twice(request):
            """A handler that is a trio program."""
            lines, turns = [], [trio.Event() for _ in range(4)]

            async def add(n):
                await turns[n - 1].wait()
                await trio.sleep(0.01)
                lines.append(n)
                turns[n].set()

            async with trio.open_nursery() as nursery:
                for n in range(3, 0, -1):
                    nursery.start_soon(add, n)
                turns[0].set()
            with trio.move_on_after(0.01):
                await asyncio.sleep(10)
            return web.json_response(lines)

        async def run_server(task_status):
            app = web.Application()
            app.add_routes([web.get("/", twice)])
            runner = web.AppRunner(app)
            await runner.setup()
            try:
                await web.TCPSite(runner, HOST, 0).start()
                task_status.started(f"http://{HOST}:{runner.addresses[0][1]}")
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await runner.cleanup()

        async with trio.open_nursery() as nursery:
            url = await nursery.start(run_server)
            async with aiohttp.ClientSession() as session:

                async def get():
                    async with session.get(url) as response:
                        assert await response.json() == [1, 2, 3]

                async with trio.open_nursery() as clients:
                    for _ in range(20):
                        clients.start_soon(get)
            nursery.cancel_scope.cancel()

    run_mixed(main)
