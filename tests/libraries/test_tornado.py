"""Tornado: server, client and websockets on its IOLoop, which stands on add_reader(). https://www.tornadoweb.org"""

import asyncio
import socket

import pytest
import trio

tornado = pytest.importorskip("tornado", reason="the extra `libraries` is not installed")
from tornado import gen, httpclient, httpserver, ioloop, iostream, netutil, tcpclient, tcpserver, web, websocket  # noqa: E402

from .peers import HOST  # noqa: E402


class Hello(web.RequestHandler):
    async def get(self):
        await asyncio.sleep(0.001)
        self.write({"hello": self.get_argument("name", "world"), "library": "tornado"})


class Slow(web.RequestHandler):
    begun = 0

    async def get(self):
        Slow.begun += 1
        self.closed = asyncio.Event()
        await self.closed.wait()

    def on_connection_close(self):
        self.closed.set()


@web.stream_request_body
class Upload(web.RequestHandler):
    def initialize(self):
        self.size = 0

    async def data_received(self, chunk):
        self.size += len(chunk)
        await asyncio.sleep(0)

    async def put(self):
        for _ in range(10):
            self.write(b"x" * 10_000)
            await self.flush()
        self.finish(str(self.size))


class Echo(websocket.WebSocketHandler):
    async def on_message(self, message):
        await self.write_message(message)


class Serving:
    """An application of these on a port of its own."""

    async def __aenter__(self):
        app = web.Application([("/", Hello), ("/slow", Slow), ("/upload", Upload), ("/echo", Echo)])
        self.server = httpserver.HTTPServer(app, max_body_size=10**8)
        sockets = netutil.bind_sockets(0, HOST)
        self.server.add_sockets(sockets)
        self.client = httpclient.AsyncHTTPClient(force_instance=True, defaults={"connect_timeout": 10})
        self.url = f"{HOST}:{sockets[0].getsockname()[1]}"
        return self

    async def fetch(self, path, **options):
        return await self.client.fetch(f"http://{self.url}{path}", **options)

    async def __aexit__(self, *args):
        self.client.close()
        self.server.stop()
        await self.server.close_all_connections()


def test_as_in_the_readme(run):
    async def main():
        async with Serving() as serving:
            replies = await asyncio.gather(*[serving.fetch(f"/?name={n}") for n in range(20)])
            assert b'"hello": "7"' in replies[7].body
            with pytest.raises(httpclient.HTTPClientError) as caught:
                await serving.fetch("/nothing")
            return caught.value.code, len(replies)

    assert run(main) == (404, 20)


def test_bodies_that_stream(run):
    async def main():
        async with Serving() as serving:
            pieces = []

            async def produce(write):
                for _ in range(50):
                    await write(b"y" * 20_000)

            await serving.fetch("/upload", method="PUT", body_producer=produce, streaming_callback=pieces.append)
            return len(b"".join(pieces)), b"".join(pieces)[-7:]

    assert run(main) == (10 * 10_000 + 7, b"1000000")


def test_websocket(run):
    async def main():
        async with Serving() as serving:
            connection = await websocket.websocket_connect(f"ws://{serving.url}/echo")
            answers = []
            for n in range(10):
                await connection.write_message(f"message {n}")
                answers.append(await connection.read_message())
            await connection.write_message(b"\0" * 300_000, binary=True)
            answers.append(len(await connection.read_message()))
            connection.close()
            assert await connection.read_message() is None
            return answers

    assert run(main) == [*(f"message {n}" for n in range(10)), 300_000]


def test_timeouts(run):
    async def main():
        async with Serving() as serving:
            with pytest.raises(httpclient.HTTPClientError) as caught:
                await serving.fetch("/slow", request_timeout=0.1)
            with pytest.raises(gen.TimeoutError):
                await gen.with_timeout(ioloop.IOLoop.current().time() + 0.05, serving.fetch("/slow"))
            return caught.value.code, (await serving.fetch("/")).code

    assert run(main) == (599, 200)


def test_trio_timeouts_in_the_middle_of_a_request(run_mixed):
    async def main():
        async with Serving() as serving:
            begun = Slow.begun
            with trio.move_on_after(0.1) as scope:
                await serving.fetch("/slow")
            assert scope.cancelled_caught
            assert Slow.begun == begun + 1
            codes = []

            async def ask():
                codes.append((await serving.fetch("/")).code)

            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(ask)
            return codes

    assert run_mixed(main) == [200] * 10


def test_handlers_of_descriptors(run):
    """IOLoop.add_handler() is add_reader() and add_writer()."""

    async def main():
        loop = ioloop.IOLoop.current()
        one, other = socket.socketpair()
        seen = []
        done = asyncio.Event()

        def handle(sock, events):
            if events & loop.WRITE:
                seen.append("writable")
                loop.update_handler(sock, loop.READ)
                other.send(b"data")
            if events & loop.READ:
                seen.append(sock.recv(10))
                loop.remove_handler(sock)
                done.set()

        loop.add_handler(one, handle, loop.READ | loop.WRITE)
        await done.wait()
        callback = ioloop.PeriodicCallback(lambda: seen.append("tick"), 10)
        callback.start()
        await gen.sleep(0.055)
        callback.stop()
        assert await loop.run_in_executor(None, sum, [1, 2]) == 3
        one.close()
        other.close()
        return seen[:2], 2 <= seen.count("tick") <= 6

    assert run(main) == (["writable", b"data"], True)


def test_streams(run):
    class Lines(tcpserver.TCPServer):
        async def handle_stream(self, stream, address):
            try:
                while True:
                    line = await stream.read_until(b"\n")
                    await stream.write(line.upper())
            except iostream.StreamClosedError:
                pass

    async def main():
        server = Lines()
        sockets = netutil.bind_sockets(0, HOST)
        server.add_sockets(sockets)
        stream = await tcpclient.TCPClient().connect(HOST, sockets[0].getsockname()[1])
        answers = []
        for line in b"one\n", b"two\n", b"z" * 100_000 + b"\n":
            await stream.write(line)
            answers.append(len(await stream.read_until(b"\n")))
        stream.close()
        server.stop()
        await asyncio.sleep(0.01)
        return answers

    assert run(main) == [4, 4, 100_001]
