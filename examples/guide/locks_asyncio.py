"""Locks on asyncio: a lock may be released by anybody, and a Condition waits for what a function says."""

import asyncio


class Till:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.changed = asyncio.Condition()
        self.coins = 0

    async def open(self) -> None:
        """Take the lock; who closes the till is another task."""
        await self.lock.acquire()
        print("open")

    async def close(self) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.coins >= 3)
        print("closed with", self.coins)
        self.lock.release()

    async def pay(self) -> None:
        async with self.changed:
            self.coins += 1
            self.changed.notify_all()


async def main() -> None:
    till = Till()
    await till.open()
    await asyncio.gather(till.close(), till.pay(), till.pay(), till.pay())
    await till.open()


asyncio.run(main())
