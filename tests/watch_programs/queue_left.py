import asyncio

counted = 0
kept = []


async def consume(queue):
    while True:
        await queue.get()
        await asyncio.sleep(60)


async def drops():
    global counted
    queue = asyncio.Queue()  # finds: queue-left x2
    queue.put_nowait(1)
    counted += bool(queue.qsize())


async def main():
    global counted
    for _ in range(2):
        await drops()
    queue = asyncio.PriorityQueue(10)  # finds: queue-left
    kept.append(queue)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(consume(queue))
        await queue.put(1)
        await queue.put(2)
        await asyncio.sleep(0.001)
        task.cancel()
    counted += bool(queue.qsize())


asyncio.run(main())
print("counted", counted)
