"""uvicorn with Starlette and FastAPI, and httpx as their client.

uvicorn speaks asyncio. anyio, on which Starlette and httpx stand, takes the backend of the task that calls it: asyncio
in asyncio's Tasks, trio in trio tasks, both in one process.
"""

import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest
import trio
import trustme

from .peers import HOST, shielded

REASON = "the extra `libraries` is not installed"
uvicorn = pytest.importorskip("uvicorn", reason=REASON)
fastapi = pytest.importorskip("fastapi", reason=REASON)
httpx = pytest.importorskip("httpx", reason=REASON)
import anyio  # noqa: E402
import sniffio  # noqa: E402
from fastapi import BackgroundTasks, FastAPI, WebSocket  # noqa: E402
from fastapi.responses import StreamingResponse  # noqa: E402


def application(log):
    @asynccontextmanager
    async def lifespan(app):
        log.append("started")
        yield
        log.append("stopped")

    app = FastAPI(lifespan=lifespan)

    @app.get("/items/{item}")
    async def read_item(item: int, q: str | None = None):
        return {"item": item, "q": q}

    @app.get("/thread")
    def in_thread():
        return {"thread": anyio.from_thread.run(anyio.sleep, 0) is None}

    @app.get("/stream")
    async def stream():
        async def lines():
            for n in range(100):
                yield f"{n}\n"
                await anyio.sleep(0)

        return StreamingResponse(lines())

    @app.get("/both")
    async def both():
        """asyncio's and anyio's in one function."""
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0.01)
            with anyio.move_on_after(0.01):
                await asyncio.sleep(10)
        first = await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2))
        return {"library": sniffio.current_async_library(), "sum": sum(first)}

    @app.get("/background")
    async def background(tasks: BackgroundTasks):
        tasks.add_task(log.append, "background")
        return "ok"

    @app.get("/slow")
    async def slow():
        try:
            await anyio.sleep(100)
        finally:
            log.append("slow ended")

    @app.websocket("/ws")
    async def websocket(websocket: WebSocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text.upper())

    return app


@asynccontextmanager
async def serving(app, **options):
    """Gives the port."""
    config = uvicorn.Config(app, HOST, 0, log_level="warning", timeout_graceful_shutdown=1, **options)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    task = asyncio.create_task(server._serve() if hasattr(server, "_serve") else server.serve())
    while not server.started:
        assert not task.done(), task.result()
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        with shielded():
            await task


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_fastapi(run, http):
    pytest.importorskip(http, reason=REASON)
    log = []

    async def main():
        async with serving(application(log), http=http) as port:
            async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}") as client:
                assert (await client.get("/items/5?q=x")).json() == {"item": 5, "q": "x"}
                assert (await client.get("/items/no")).status_code == 422
                assert (await client.get("/thread")).json() == {"thread": True}
                assert (await client.get("/both")).json() == {"library": "asyncio", "sum": 3}
                assert (await client.get("/background")).json() == "ok"
                async with client.stream("GET", "/stream") as response:
                    lines = [line async for line in response.aiter_lines()]
                assert lines == [str(n) for n in range(100)]
                answers = await asyncio.gather(*[client.get(f"/items/{n}") for n in range(50)])
                assert [answer.json()["item"] for answer in answers] == list(range(50))

    run(main)
    assert log == ["started", "background", "stopped"]


@pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto"])
def test_websocket(run, ws):
    websockets = pytest.importorskip("websockets.asyncio.client", reason=REASON)
    pytest.importorskip(ws.partition("-")[0], reason=REASON)

    async def main():
        async with serving(application([]), ws=ws) as port:
            async with websockets.connect(f"ws://{HOST}:{port}/ws") as websocket:
                for n in range(20):
                    await websocket.send(f"x{n}")
                    assert await websocket.recv() == f"X{n}"

    run(main)


def test_tls(run, authority, client_tls, tmp_path):
    certificate: trustme.LeafCert = authority.issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")

    async def main():
        async with serving(application([]), ssl_certfile=tmp_path / "server.pem") as port:
            async with httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=client_tls) as client:
                assert (await client.get("/items/5")).json()["item"] == 5
            with pytest.raises((httpx.ConnectError, ssl.SSLError)):
                async with httpx.AsyncClient() as client:
                    await client.get(f"https://localhost:{port}/")

    run(main)


def test_trio_timeouts_in_the_middle_of_a_request(run_mixed):
    log = []

    async def main():
        async with serving(application(log)) as port:
            limits = httpx.Limits(max_connections=3)
            async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", limits=limits, timeout=10) as client:
                ended = []

                async def impatient(patience):
                    with trio.move_on_after(patience) as scope:
                        await client.get("/slow")
                    ended.append(scope.cancelled_caught)

                for _ in range(3):
                    async with trio.open_nursery() as nursery:
                        for n in range(6):
                            nursery.start_soon(impatient, 0.03 * (n + 1))
                    answers = await asyncio.gather(*[client.get(f"/items/{n}") for n in range(10)])
                    assert [answer.json()["item"] for answer in answers] == list(range(10))
                assert ended == [True] * 18
                with pytest.raises(trio.TooSlowError):
                    with trio.fail_after(0.05):
                        await client.get("/slow")

    run_mixed(main)
    assert log[0] == "started"
    assert log[-1] == "stopped"
