import asyncio

counted = 0
kept = [asyncio.Queue()]


async def consume(queue):
    while await queue.get():
        pass


async def main():
    queue = asyncio.Queue(2)
    task = asyncio.create_task(consume(queue))
    for item in 1, 2, 3, 0:
        await queue.put(item)
    await task
    kept.append(asyncio.LifoQueue())
    kept[-1].put_nowait(1)
    kept[-1].get_nowait()


async def fails():
    queue = asyncio.Queue()
    queue.put_nowait(1)
    raise ValueError


asyncio.run(main())
try:
    asyncio.run(fails())
except ValueError:
    print("the run has failed")
print("counted", counted)
kept[0].put_nowait(1)
raise SystemExit("the program has failed")
