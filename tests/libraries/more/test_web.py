"""HTTP and websockets: quart, sanic, python-socketio, elasticsearch, aiobotocore with moto, mcp, playwright."""

import asyncio
import socket
import sys
from uuid import uuid4

import pytest

from ..peers import HOST

REASON = "the extra `more-libraries` is not installed"

pytestmark = pytest.mark.leaves("thread", reason="pycares, with which aiohttp looks names up, has one for good")


def listening():
    """A socket, and its address."""
    sock = socket.create_server((HOST, 0))
    return sock, f"http://{HOST}:{sock.getsockname()[1]}"


async def visit(session, url):
    async with session.get(url) as response:
        return await response.text()


def test_quart(ended):
    quart = pytest.importorskip("quart", reason=REASON)
    aiohttp = pytest.importorskip("aiohttp", reason=REASON)
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    async def main(give_up):
        app = quart.Quart(__name__)
        begun, ended = [], asyncio.Queue()

        @app.get("/hello/<name>")
        async def hello(name):
            return f"hello {name}"

        @app.get("/thread")
        def thread():  # which quart runs in a thread
            return "from a thread"

        @app.get("/slow")
        async def slow():
            begun.pop()()
            try:
                await asyncio.sleep(1000)
            finally:
                ended.put_nowait("ended")

        @app.post("/upload")
        async def upload():
            body = quart.request.body

            async def lengths():
                async for chunk in body:
                    yield b"%d\n" % len(chunk)

            return lengths()

        @app.websocket("/echo")
        async def echo():
            while True:
                await quart.websocket.send(await quart.websocket.receive())

        config = Config()
        sock, url = listening()
        config.bind = [f"fd://{sock.fileno()}"]
        config.accesslog = config.errorlog = None
        stop = asyncio.Event()
        serving = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))
        async with aiohttp.ClientSession() as session:
            texts = await asyncio.gather(*[visit(session, f"{url}/hello/{n}") for n in range(20)])
            assert texts == [f"hello {n}" for n in range(20)]
            assert await visit(session, f"{url}/thread") == "from a thread"
            async with session.post(f"{url}/upload", data=b"x" * 300_000) as response:
                assert sum(int(line) for line in (await response.text()).split()) == 300_000

            async def work(soon):
                begun.append(soon)
                await visit(session, f"{url}/slow")

            await give_up(work)
            assert await ended.get() == "ended"  # hypercorn cancels it as the client goes

            async with session.ws_connect(f"{url}/echo") as websocket:
                await websocket.send_str("one")
                assert (await websocket.receive()).data == "one"
            answer = await visit(session, f"{url}/hello/you")
        stop.set()
        await serving
        sock.detach()
        return answer

    assert ended(main) == "hello you"


def test_sanic(ended):
    sanic = pytest.importorskip("sanic", reason=REASON)
    aiohttp = pytest.importorskip("aiohttp", reason=REASON)

    async def main(give_up):
        sanic.Sanic.test_mode = True
        app = sanic.Sanic("test", configure_logging=False)
        begun, ended = [], asyncio.Queue()
        told = []

        @app.before_server_start
        async def start(app):
            told.append("start")

        @app.after_server_stop
        async def stop(app):
            told.append("stop")

        @app.get("/hello/<name>")
        async def hello(request, name):
            return sanic.text(f"hello {name}")

        @app.get("/slow")
        async def slow(request):
            begun.pop()()
            try:
                await asyncio.sleep(1000)
            finally:
                ended.put_nowait("ended")

        @app.get("/stream")
        async def stream(request):
            response = await request.respond()
            for n in range(100):
                await response.send(f"{n}\n")
                await asyncio.sleep(0)
            await response.eof()

        @app.websocket("/echo")
        async def echo(request, websocket):
            async for message in websocket:
                await websocket.send(message)

        sock, url = listening()
        server = await app.create_server(sock=sock, return_asyncio_server=True, access_log=False)
        await server.startup()
        await server.before_start()
        await server.start_serving()
        await server.after_start()
        async with aiohttp.ClientSession() as session:
            texts = await asyncio.gather(*[visit(session, f"{url}/hello/{n}") for n in range(20)])
            assert texts == [f"hello {n}" for n in range(20)]
            assert len((await visit(session, f"{url}/stream")).split()) == 100

            async def work(soon):
                begun.append(soon)
                await visit(session, f"{url}/slow")

            await give_up(work)
            assert await ended.get() == "ended"
            async with session.ws_connect(f"{url}/echo") as websocket:
                await websocket.send_str("one")
                assert (await websocket.receive()).data == "one"
            answer = await visit(session, f"{url}/hello/you")
        await server.before_stop()
        await server.close()
        await server.after_stop()
        return answer, told

    assert ended(main) == ("hello you", ["start", "stop"])


def test_socketio(ended):
    socketio = pytest.importorskip("socketio", reason=REASON)
    pytest.importorskip("aiohttp", reason=REASON)
    from aiohttp import web

    async def main(give_up):
        server = socketio.AsyncServer(async_mode="aiohttp", ping_interval=0.2)  # its task ends with the next ping
        app = web.Application()
        server.attach(app)
        left = asyncio.Queue()

        @server.event
        async def upper(sid, text):
            await asyncio.sleep(0.001)
            await server.emit("news", text, to=sid)
            return text.upper()

        @server.event
        async def wait(sid):
            await asyncio.sleep(0.2)

        @server.event
        async def disconnect(sid, reason):
            left.put_nowait(reason)

        runner = web.AppRunner(app)
        await runner.setup()
        sock, url = listening()
        await web.SockSite(runner, sock).start()
        client = socketio.AsyncClient(reconnection=False)
        news = asyncio.Queue()
        client.on("news", news.put)
        await client.connect(url, transports=["websocket"])
        texts = await asyncio.gather(*[client.call("upper", f"x{n}") for n in range(10)])
        assert texts == [f"X{n}" for n in range(10)]
        assert sorted([await news.get() for _ in range(10)]) == [f"x{n}" for n in range(10)]

        async def work(soon):
            soon()
            await client.call("wait")

        await give_up(work)
        answers = [await client.call("upper", "again")]
        await client.disconnect()
        answers.append(await left.get())
        await server.shutdown()
        await runner.cleanup()
        return answers

    # Before 3.12 the client's writer, behind a wait_for() with more steps, comes too late with the packet that says so.
    reason = "client disconnect" if sys.version_info >= (3, 12) else "transport close"
    assert ended(main) == ["AGAIN", reason]


def test_elasticsearch(ended):
    """A server that answers as elasticsearch does, and one that has gone."""
    elasticsearch = pytest.importorskip("elasticsearch", reason=REASON)
    pytest.importorskip("aiohttp", reason=REASON)
    from aiohttp import web

    async def main(give_up):
        documents = {}
        headers = {"X-Elastic-Product": "Elasticsearch"}

        async def put(request):
            documents[request.match_info["id"]] = await request.json()
            return web.json_response({"result": "created"}, headers=headers)

        async def get(request):
            name = request.match_info["id"]
            if name == "slow":
                await asyncio.sleep(1000)
            found = name in documents
            answer = {"_id": name, "found": found, "_source": documents.get(name)}
            return web.json_response(answer, headers=headers, status=200 if found else 404)

        app = web.Application()
        app.router.add_put("/things/_doc/{id}", put)
        app.router.add_get("/things/_doc/{id}", get)
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        sock, url = listening()
        await web.SockSite(runner, sock).start()
        async with elasticsearch.AsyncElasticsearch(url, max_retries=0) as client:
            await asyncio.gather(*[client.index(index="things", id=f"{n}", document={"n": n}) for n in range(20)])
            with pytest.raises(elasticsearch.NotFoundError):
                await client.get(index="things", id="none")

            async def work(soon):
                soon()
                await client.get(index="things", id="slow")

            await give_up(work)
            with pytest.raises(elasticsearch.ConnectionTimeout):
                await client.options(request_timeout=0.02).get(index="things", id="slow")
            found = [client.get(index="things", id=f"{n}") for n in range(20)]
            numbers = [each["_source"]["n"] for each in await asyncio.gather(*found)]
            await runner.cleanup()
            with pytest.raises(elasticsearch.ConnectionError):
                await client.get(index="things", id="0")
        return numbers

    assert ended(main) == [*range(20)]


@pytest.fixture(scope="module")
def moto():
    """The address of moto's server, which stands for Amazon's."""
    pytest.importorskip("aiobotocore", reason=REASON)
    server = pytest.importorskip("moto.server", reason=REASON).ThreadedMotoServer(HOST, 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_aiobotocore(ended, moto):
    from aiobotocore.session import get_session

    async def main(give_up):
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
        async with get_session().create_client("s3", endpoint_url=moto, **keys) as client:
            bucket = f"things-{uuid4()}"
            await client.create_bucket(Bucket=bucket)
            await asyncio.gather(*[client.put_object(Bucket=bucket, Key=f"{n}", Body=b"x" * n) for n in range(20)])
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
            assert [len(page["Contents"]) async for page in pages] == [7, 7, 6]
            with pytest.raises(client.exceptions.NoSuchKey):
                await client.get_object(Bucket=bucket, Key="none")
            await client.put_object(Bucket=bucket, Key="large", Body=b"x" * 3_000_000)

            async def work(soon):
                soon()
                while True:
                    async with (await client.get_object(Bucket=bucket, Key="large"))["Body"] as body:
                        await body.read()

            await give_up(work)
            async with (await client.get_object(Bucket=bucket, Key="7"))["Body"] as body:
                return await body.read()

    assert ended(main) == b"x" * 7
