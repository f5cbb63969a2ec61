"""A line protocol on asyncio: a client that is too quiet, or says too much, is told so and left."""

import asyncio


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await asyncio.wait_for(reader.readline(), 1):
            writer.write(line.upper())
            await writer.drain()
    except TimeoutError:
        writer.write(b"too quiet\n")
    except ValueError:
        writer.write(b"too long\n")
    writer.close()


async def ask(port: int, text: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    async for line in reader:
        print(line.decode().rstrip())
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=20)
    port = server.sockets[0].getsockname()[1]
    await ask(port, b"one\ntwo\nthree without an end")
    await ask(port, b"four\n" + b"x" * 30 + b"\n")
    server.close()


asyncio.run(main())
