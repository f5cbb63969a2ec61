"""Workers that feed their own queue, on trio: each item brings a sending end, and the loops end with the last one."""

import math
from typing import NamedTuple

import trio

TREE = {"/": ["bin", "home"], "bin": [], "home": ["ann", "bob"], "ann": ["notes"], "bob": [], "notes": []}


class Item(NamedTuple):
    folder: str
    send: "trio.MemorySendChannel[Item]"


async def work(receive: trio.MemoryReceiveChannel[Item], found: list[str]) -> None:
    async for folder, send in receive:
        async with send:
            found.append(folder)
            for each in TREE[folder]:
                await send.send(Item(each, send.clone()))


async def main() -> None:
    send, receive = trio.open_memory_channel[Item](math.inf)
    found: list[str] = []
    await send.send(Item("/", send))
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(work, receive, found)
    print(*sorted(found))


trio.run(main)
