"""A server on a free port that ends cleanly, on trio: one scope ends accepting, a nursery has the clients."""

import trio


async def serve(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data.upper())
    print("a client has gone")


async def accept(
    accepting: trio.CancelScope, clients: trio.Nursery, task_status: trio.TaskStatus[list[trio.SocketListener]]
) -> None:
    with accepting:
        await trio.serve_tcp(serve, 0, host="127.0.0.1", handler_nursery=clients, task_status=task_status)


async def main() -> None:
    accepting = trio.CancelScope()
    async with trio.open_nursery() as clients:
        listeners = await clients.start(accept, accepting, clients)
        port = listeners[0].socket.getsockname()[1]
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"one")
            print(await stream.receive_some())
            accepting.cancel()
            await listeners[0].aclose()
            try:
                await trio.open_tcp_stream("127.0.0.1", port)
            except OSError:
                print("closed for others")
            await stream.send_all(b"two")
            print(await stream.receive_some())
            await stream.send_eof()
            print(await stream.receive_some())


trio.run(main)
