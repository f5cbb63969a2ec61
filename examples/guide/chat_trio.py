"""A chat with rooms: what one says, all the others in the room read.

examples/chat.py, ported to trio: serve_tcp with a task for each client; a channel for each, which a task of its own
empties, so that who does not read holds nobody up; a log that is written in a thread; and a client that reads the
keyboard and the network at the same time.

    python examples/guide/chat_trio.py serve --port 8888
    python examples/guide/chat_trio.py join NAME --port 8888

A client leaves with the end of its input (Ctrl-D), the server with Ctrl-C. `/join ROOM` goes to another room, `/who`
tells who is here, `/tell NAME TEXT` is for one only.
"""

import argparse
import math
import sys
from collections import defaultdict, deque
from contextlib import suppress
from functools import partial
from pathlib import Path

import trio
from lines_trio import Lines

LOBBY = "lobby"
REMEMBERED = 3  # lines of a room that who joins is shown
WAITING = 100  # lines that may wait for a client


class Member:
    """A client that has a name: lines for it wait in a queue until they are sent."""

    def __init__(self, name: str, stream: trio.abc.Stream) -> None:
        self.name, self.stream = name, stream
        self.room = LOBBY
        self.send, self.receive = trio.open_memory_channel[str](WAITING)
        self.scope = trio.CancelScope()

    def tell(self, line: str) -> None:
        """Have a line sent; who lets too many wait is dropped."""
        try:
            self.send.send_nowait(line)
        except trio.WouldBlock:
            self.scope.cancel()
        except trio.ClosedResourceError:
            pass  # it has ended, and hears what was said before

    async def send_lines(self, patience: float) -> None:
        """Send what waits, until the end, or until the client is gone or takes too long for a line."""
        with suppress(trio.BrokenResourceError, trio.TooSlowError):
            async for line in self.receive:
                with trio.fail_after(patience):
                    await self.stream.send_all(f"{line}\n".encode())
        self.scope.cancel()


class Server:
    def __init__(self, patience: float, log: Path | None) -> None:
        self.patience, self.log = patience, log
        self.members: dict[str, Member] = {}
        self.remembered: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
        self.send_to_log, self.receive_to_log = trio.open_memory_channel[str](math.inf)

    async def serve(self, stream: trio.abc.Stream) -> None:
        """One client, from its name to its end."""
        lines = Lines(stream)
        with suppress(trio.BrokenResourceError, ValueError):  # gone, or a line without end
            name = (await lines.read()).decode().strip()
            if not name or name in self.members:
                await stream.send_all(f"* the name {name!r} cannot be had\n".encode())
            else:
                await self.serve_member(Member(name, stream), lines)

    async def serve_member(self, member: Member, lines: Lines) -> None:
        self.members[member.name] = member
        try:
            with member.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(member.send_lines, self.patience)
                    self.enter(member, LOBBY)
                    await self.read_lines(member, lines)
        finally:
            del self.members[member.name]
            self.tell_room(member, f"* {member.name} left")

    async def read_lines(self, member: Member, lines: Lines) -> None:
        """Do what the client says, until it ends."""
        with suppress(trio.BrokenResourceError, ValueError):
            async for line in lines:
                self.obey(member, line.decode().rstrip())
        member.send.close()

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
            self.send_to_log.send_nowait(f"{member.room} {line}")
        for other in self.members.values():
            if other.room == member.room and other is not member:
                other.tell(line)

    async def write_log(self, log: Path) -> None:
        async for line in self.receive_to_log:
            await trio.to_thread.run_sync(append, log, line)


def append(path: Path, line: str) -> None:
    with path.open("a") as file:
        print(line, file=file)


async def serve(host: str, port: int, patience: float, log: Path | None) -> None:
    chat = Server(patience, log)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, chat.serve, port, host=host))
        print("listening on", listeners[0].socket.getsockname()[1], flush=True)
        if log:
            nursery.start_soon(chat.write_log, log)


async def send_keyboard(stream: trio.SocketStream) -> None:
    while line := await trio.to_thread.run_sync(sys.stdin.readline):
        await stream.send_all(line.encode())
    await stream.send_eof()


async def join(host: str, port: int, name: str) -> None:
    async with await trio.open_tcp_stream(host, port) as stream:
        await stream.send_all(f"{name}\n".encode())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_keyboard, stream)
            async for line in Lines(stream):
                print(line.decode(), end="", flush=True)
            nursery.cancel_scope.cancel()


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
                trio.run(serve, options.host, options.port, options.patience, options.log)
            else:
                trio.run(join, options.host, options.port, options.name)
        except* KeyboardInterrupt:
            pass
    except OSError as error:
        sys.exit(str(error))
