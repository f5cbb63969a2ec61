"""A server on a free port that ends cleanly, on asyncio: no new clients, but those that are there are served."""

import asyncio


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data.upper())
        await writer.drain()
    print("a client has gone")
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"one")
    print(await reader.readexactly(3))
    server.close()
    try:
        await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        print("closed for others")
    writer.write(b"two")
    print(await reader.readexactly(3))
    writer.write_eof()
    print(await reader.read())
    writer.close()
    await server.wait_closed()  # before Python 3.12.1 this does not wait for the handlers


asyncio.run(main())
