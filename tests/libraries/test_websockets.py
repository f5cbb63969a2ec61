"""websockets, client and server: https://websockets.readthedocs.io/"""

import asyncio
import http

import pytest
import trio

from .peers import HOST

websockets = pytest.importorskip("websockets", reason="the extra `libraries` is not installed")
from websockets.asyncio.client import connect  # noqa: E402
from websockets.asyncio.server import broadcast, serve  # noqa: E402
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, InvalidStatus  # noqa: E402


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


def url(server, scheme="ws"):
    return f"{scheme}://localhost:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("compression", ["deflate", None])
def test_as_in_the_readme(run, compression):
    async def main():
        async with serve(echo, HOST, 0, compression=compression) as server:
            async with connect(url(server), compression=compression) as websocket:
                await websocket.send("Hello world!")
                assert await websocket.recv() == "Hello world!"
                assert await (await websocket.ping()) >= 0
                for size in (0, 1, 126, 70_000, 1_000_000):
                    await websocket.send(b"x" * size)
                    assert await websocket.recv() == b"x" * size
                await websocket.send(["a", "b", "c"])  # fragments
                assert [part async for part in websocket.recv_streaming()] == ["abc"]
            assert (websocket.close_code, websocket.close_reason) == (1000, "")
        return server.is_serving()

    assert run(main) is False


def test_tls(run, server_tls, client_tls):
    async def main():
        async with serve(echo, HOST, 0, ssl=server_tls) as server:
            async with connect(url(server, "wss"), ssl=client_tls) as websocket:
                for n in range(20):
                    await websocket.send("x" * n * 1000)
                    assert await websocket.recv() == "x" * n * 1000

    run(main)


def test_how_a_connection_ends(run):
    async def main():
        seen = asyncio.Queue()

        async def handler(websocket):
            try:
                while True:
                    message = await websocket.recv()
                    if message == "close":
                        await websocket.close(4000, "as you wish")
                    elif message == "fail":
                        raise KeyError
            except ConnectionClosed as error:
                seen.put_nowait((type(error), error.rcvd and error.rcvd.code))

        def refuse(connection, request):
            if request.path == "/no":
                return connection.respond(http.HTTPStatus.FORBIDDEN, "no\n")
            return None

        async with serve(handler, HOST, 0, process_request=refuse) as server:
            with pytest.raises(InvalidStatus) as refused:
                async with connect(url(server) + "/no"):
                    pass
            assert refused.value.response.status_code == 403
            async with connect(url(server)) as websocket:
                await websocket.send("close")
                with pytest.raises(ConnectionClosedError, match="4000.*as you wish"):
                    await websocket.recv()
            assert await seen.get() == (ConnectionClosedError, 4000)
            async with connect(url(server)) as websocket:
                await websocket.send("fail")
                with pytest.raises(ConnectionClosedError, match="1011"):
                    await websocket.recv()
            async with connect(url(server)):
                pass
            assert await seen.get() == (ConnectionClosedOK, 1000)
            websocket = await connect(url(server))
            websocket.transport.abort()
            await websocket.wait_closed()
            assert await seen.get() == (ConnectionClosedError, None)
            staying = await connect(url(server))
        with pytest.raises(ConnectionClosedOK) as ended:  # the server goes away
            await staying.recv()
        assert ended.value.rcvd.code == 1001
        return seen.qsize()

    assert run(main) == 1


def test_keepalive_finds_a_dead_peer(run):
    async def main():
        async with serve(echo, HOST, 0, ping_interval=None) as server:
            async with connect(url(server), ping_interval=0.05, ping_timeout=0.1, close_timeout=0.1) as websocket:
                await asyncio.sleep(0.2)
                assert websocket.latency > 0
                for connection in server.connections:
                    connection.transport.pause_reading()
                with pytest.raises(ConnectionClosedError, match="1011.*keepalive ping timeout"):
                    await websocket.recv()
                for connection in server.connections:
                    connection.transport.resume_reading()

    run(main)


def test_broadcast_and_backpressure(run):
    async def main():
        async def handler(websocket):
            await websocket.wait_closed()

        async with serve(handler, HOST, 0) as server:
            clients = [await connect(url(server), max_queue=2) for _ in range(20)]
            blocks = [bytes([n]) * 100_000 for n in range(10)]
            for block in blocks:
                broadcast(server.connections, block)
            for client in clients:
                assert [await client.recv() for _ in blocks] == blocks
                await client.close()

    run(main)


def test_trio_timeouts(run_mixed):
    """A recv() that is given up loses no message; a send() that is stuck is given up; a handshake, too."""

    async def main():
        async def every_now_and_then(websocket):
            for n in range(20):
                await trio.sleep(0.01)
                await websocket.send(str(n))
            await websocket.wait_closed()

        got, given_up = [], 0
        async with serve(every_now_and_then, HOST, 0) as server:
            async with connect(url(server)) as websocket:
                while len(got) < 20:
                    with trio.move_on_after(0.004) as scope:
                        got.append(await websocket.recv())
                    given_up += scope.cancelled_caught
        assert got == [str(n) for n in range(20)]
        assert given_up >= 10

        async def never_reads(websocket):
            websocket.transport.pause_reading()
            await stuck.wait()
            websocket.transport.resume_reading()
            async for _ in websocket:
                pass

        stuck = trio.Event()
        async with serve(never_reads, HOST, 0, compression=None) as server:
            async with connect(url(server), compression=None) as websocket:
                with trio.move_on_after(0.1) as scope:
                    while True:
                        await websocket.send(b"x" * 500_000)
                assert scope.cancelled_caught
                stuck.set()

        listener = (await trio.open_tcp_listeners(0, host=HOST))[0]
        with trio.move_on_after(0.05) as scope:
            await connect(f"ws://{HOST}:{listener.socket.getsockname()[1]}")
        assert scope.cancelled_caught
        await listener.aclose()

    run_mixed(main)


def test_a_server_in_a_nursery(run_mixed):
    """The nursery's cancellation ends it, and its connections with it."""

    async def main():
        async def run_server(task_status):
            async with serve(echo, HOST, 0) as server:
                task_status.started(server)
                await server.serve_forever()

        async with trio.open_nursery() as nursery:
            server = await nursery.start(run_server)
            websocket = await connect(url(server))
            await websocket.send("hi")
            assert await websocket.recv() == "hi"
            nursery.cancel_scope.cancel()
        await websocket.close()

    run_mixed(main)
