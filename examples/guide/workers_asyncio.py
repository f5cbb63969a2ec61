"""Workers that feed their own queue, on asyncio: the queue counts what is not done yet."""

import asyncio

TREE = {"/": ["bin", "home"], "bin": [], "home": ["ann", "bob"], "ann": ["notes"], "bob": [], "notes": []}


async def work(queue: asyncio.Queue[str], found: list[str]) -> None:
    while True:
        folder = await queue.get()
        found.append(folder)
        for each in TREE[folder]:
            queue.put_nowait(each)
        queue.task_done()


async def main() -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()
    found: list[str] = []
    queue.put_nowait("/")
    workers = [asyncio.create_task(work(queue, found)) for _ in range(3)]
    await queue.join()
    for worker in workers:
        worker.cancel()
    print(*sorted(found))


asyncio.run(main())
