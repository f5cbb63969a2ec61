"""A chat: what one says, all the others read.

Plain asyncio: start_server with a task for each client, drain() with a time limit for who does not read, and a client
that reads the keyboard and the network at the same time.

    python examples/chat.py serve --port 8888                    # on asyncio
    python -m compat examples/chat.py serve --port 8888          # the same program on trio
    python examples/chat.py join NAME --port 8888

A client leaves with the end of its input (Ctrl-D), the server with Ctrl-C.
"""

import argparse
import asyncio
import sys


class Room:
    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.members: dict[str, asyncio.StreamWriter] = {}

    async def tell(self, writer: asyncio.StreamWriter, line: str) -> None:
        """Send a line; who does not read it in time is dropped."""
        try:
            writer.write(f"{line}\n".encode())
            async with asyncio.timeout(self.patience):
                await writer.drain()
        except (OSError, TimeoutError):
            writer.transport.abort()

    async def tell_others(self, name: str, line: str) -> None:
        await asyncio.gather(*(self.tell(writer, line) for other, writer in self.members.items() if other != name))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, from its name to its end."""
        name = (await reader.readline()).decode().strip()
        if not name or name in self.members:
            await self.tell(writer, f"* the name {name!r} cannot be had")
        else:
            await self.tell(writer, f"* here: {', '.join(sorted(self.members)) or 'nobody'}")
            self.members[name] = writer
            try:
                await self.tell_others(name, f"* {name} joined")
                async for line in reader:
                    await self.tell_others(name, f"{name}: {line.decode().rstrip()}")
            except (OSError, ValueError):
                pass  # gone, or a line without end
            finally:
                del self.members[name]
                await self.tell_others(name, f"* {name} left")
        writer.close()


async def serve(host: str, port: int, patience: float) -> None:
    server = await asyncio.start_server(Room(patience).serve, host, port)
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


async def send_keyboard(writer: asyncio.StreamWriter) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        writer.write(line.encode())
        await writer.drain()
    writer.write_eof()


async def join(host: str, port: int, name: str) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"{name}\n".encode())
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(send_keyboard(writer))
        async for line in reader:
            print(line.decode(), end="", flush=True)
        sending.cancel()
    writer.close()
    await writer.wait_closed()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a chat")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (commands.add_parser("serve"), commands.add_parser("join")):
        command.add_argument("--host", default="127.0.0.1")
        command.add_argument("--port", type=int, default=8888)
    commands.choices["serve"].add_argument("--patience", type=float, default=10, help="seconds for a slow reader (10)")
    commands.choices["join"].add_argument("name")
    options = parser.parse_args()
    try:
        if options.command == "serve":
            asyncio.run(serve(options.host, options.port, options.patience))
        else:
            asyncio.run(join(options.host, options.port, options.name))
    except OSError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
