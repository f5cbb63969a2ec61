"""Locks on trio: the task that has taken a lock releases it, and who waits for a Condition looks again each time."""

import trio


class Till:
    def __init__(self) -> None:
        self.is_free = trio.Semaphore(1)  # not a Lock: who closes the till is another task
        self.changed = trio.Condition()
        self.coins = 0

    async def open(self) -> None:
        await self.is_free.acquire()
        print("open")

    async def close(self) -> None:
        async with self.changed:
            while self.coins < 3:
                await self.changed.wait()
        print("closed with", self.coins)
        self.is_free.release()

    async def pay(self) -> None:
        async with self.changed:
            self.coins += 1
            self.changed.notify_all()


async def main() -> None:
    till = Till()
    await till.open()
    async with trio.open_nursery() as nursery:
        for function in (till.close, till.pay, till.pay, till.pay):
            nursery.start_soon(function)
    await till.open()


trio.run(main)
