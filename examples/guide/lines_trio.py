"""A line protocol on trio, whose streams have no lines: a buffer gives them. Also used by other programs here."""

from functools import partial

import trio


class Lines:
    """The lines of a stream. A read that is cancelled has taken nothing."""

    def __init__(self, stream: trio.abc.ReceiveStream, limit: int = 2**16) -> None:
        self.stream, self.limit = stream, limit
        self.buffer = b""

    async def read(self) -> bytes:
        """The next line; b"" at the end. Raises ValueError if it is too long."""
        while b"\n" not in self.buffer and len(self.buffer) <= self.limit:
            data = await self.stream.receive_some()
            if not data:
                break
            self.buffer += data
        line, end, self.buffer = self.buffer.partition(b"\n")
        if len(line) > self.limit:
            raise ValueError(f"a line of more than {self.limit} bytes")
        return line + end

    def __aiter__(self) -> "Lines":
        return self

    async def __anext__(self) -> bytes:
        if line := await self.read():
            return line
        raise StopAsyncIteration


async def serve(stream: trio.SocketStream) -> None:
    lines = Lines(stream, limit=20)
    try:
        while True:
            with trio.fail_after(1):
                line = await lines.read()
            if not line:
                break
            await stream.send_all(line.upper())
    except trio.TooSlowError:
        await stream.send_all(b"too quiet\n")
    except ValueError:
        await stream.send_all(b"too long\n")


async def ask(port: int, text: bytes) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(text)
        async for line in Lines(stream):
            print(line.decode().rstrip())


async def main() -> None:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        await ask(port, b"one\ntwo\nthree without an end")
        await ask(port, b"four\n" + b"x" * 30 + b"\n")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
