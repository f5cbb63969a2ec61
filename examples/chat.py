"""A chat with rooms: what one says, all the others in the room read.

Plain asyncio: start_server with a task for each client; a Queue for each, which a task of its own empties, so that who
does not read holds nobody up; a log that is written in a thread; and a client that reads the keyboard and the network
at the same time.

    python examples/chat.py serve --port 8888                    # on asyncio
    python -m compat examples/chat.py serve --port 8888          # the same program on trio
    python examples/chat.py join NAME --port 8888

A client leaves with the end of its input (Ctrl-D), the server with Ctrl-C. `/join ROOM` goes to another room, `/who`
tells who is here, `/tell NAME TEXT` is for one only.
"""

import argparse
import asyncio
import sys
from collections import defaultdict, deque
from contextlib import suppress
from pathlib import Path

LOBBY = "lobby"
REMEMBERED = 3  # lines of a room that who joins is shown
WAITING = 100  # lines that may wait for a client


class Member:
    """A client that has a name: lines for it wait in a queue until they are sent."""

    def __init__(self, name: str, writer: asyncio.StreamWriter) -> None:
        self.name, self.writer = name, writer
        self.room = LOBBY
        self.lines: asyncio.Queue[str | None] = asyncio.Queue(WAITING)  # None is the end
        self.gone = asyncio.Event()

    def tell(self, line: str | None) -> None:
        """Have a line sent; who lets too many wait is dropped."""
        try:
            self.lines.put_nowait(line)
        except asyncio.QueueFull:
            self.gone.set()

    async def send_lines(self, patience: float) -> None:
        """Send what waits, until the end, or until the client is gone or takes too long for a line."""
        try:
            while (line := await self.lines.get()) is not None:
                self.writer.write(f"{line}\n".encode())
                async with asyncio.timeout(patience):
                    await self.writer.drain()
        except (OSError, TimeoutError):
            pass
        self.gone.set()


class Server:
    def __init__(self, patience: float, log: Path | None) -> None:
        self.patience, self.log = patience, log
        self.members: dict[str, Member] = {}
        self.remembered: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
        self.to_log: asyncio.Queue[str] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, from its name to its end."""
        try:
            name = (await reader.readline()).decode().strip()
            if not name or name in self.members:
                writer.write(f"* the name {name!r} cannot be had\n".encode())
                await writer.drain()
            else:
                await self.serve_member(Member(name, writer), reader)
        except (OSError, ValueError):
            pass  # gone, or a line without end
        finally:
            writer.close()

    async def serve_member(self, member: Member, reader: asyncio.StreamReader) -> None:
        self.members[member.name] = member
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(member.send_lines(self.patience)),
                    group.create_task(self.read_lines(member, reader)),
                ]
                self.enter(member, LOBBY)
                await member.gone.wait()
                for task in tasks:
                    task.cancel()
        finally:
            del self.members[member.name]
            self.tell_room(member, f"* {member.name} left")

    async def read_lines(self, member: Member, reader: asyncio.StreamReader) -> None:
        """Do what the client says, until it ends."""
        with suppress(OSError, ValueError):
            async for line in reader:
                self.obey(member, line.decode().rstrip())
        member.tell(None)

    def obey(self, member: Member, line: str) -> None:
        match line.split(maxsplit=2):
            case ["/join", room]:
                self.tell_room(member, f"* {member.name} left")
                self.enter(member, room)
            case ["/who"]:
                member.tell(f"* here: {self.others(member)}")
            case ["/tell", name, text] if name in self.members:
                self.members[name].tell(f"{member.name} to you: {text}")
            case [command, *_] if command.startswith("/"):
                member.tell(f"* cannot {line}")
            case _:
                self.remembered[member.room].append(f"{member.name}: {line}")
                self.tell_room(member, f"{member.name}: {line}")

    def enter(self, member: Member, room: str) -> None:
        member.room = room
        member.tell(f"* here: {self.others(member)}")
        for line in self.remembered[room]:
            member.tell(line)
        self.tell_room(member, f"* {member.name} joined")

    def others(self, member: Member) -> str:
        here = sorted(other.name for other in self.members.values() if other.room == member.room)
        here.remove(member.name)
        return ", ".join(here) or "nobody"

    def tell_room(self, member: Member, line: str) -> None:
        """Tell all others in the room of a member."""
        if self.log:
            self.to_log.put_nowait(f"{member.room} {line}")
        for other in self.members.values():
            if other.room == member.room and other is not member:
                other.tell(line)

    async def write_log(self, log: Path) -> None:
        while True:
            line = await self.to_log.get()
            await asyncio.to_thread(append, log, line)


def append(path: Path, line: str) -> None:
    with path.open("a") as file:
        print(line, file=file)


async def serve(host: str, port: int, patience: float, log: Path | None) -> None:
    chat = Server(patience, log)
    server = await asyncio.start_server(chat.serve, host, port)
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve_forever())
        if log:
            group.create_task(chat.write_log(log))


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
    commands.choices["serve"].add_argument("--log", type=Path, help="a file for what is said")
    commands.choices["join"].add_argument("name")
    options = parser.parse_args()
    try:
        try:
            if options.command == "serve":
                asyncio.run(serve(options.host, options.port, options.patience, options.log))
            else:
                asyncio.run(join(options.host, options.port, options.name))
        except* KeyboardInterrupt:
            pass
    except OSError as error:
        sys.exit(str(error))
