import asyncio

counted = 0


async def work():
    await asyncio.sleep(0.001)
    return 1


async def awaits(task):
    await task


async def waits(task):
    await asyncio.wait([task])


async def main():
    global counted
    task = asyncio.create_task(work())  # finds: task-shared
    await asyncio.gather(*[awaits(task) for _ in range(3)])
    counted += task.result()
    task = asyncio.create_task(work())  # finds: task-shared
    await asyncio.gather(task, waits(task))
    counted += task.result()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())  # finds: task-shared
        group.create_task(waits(task))
        await asyncio.sleep(0)
        await task
        counted += task.result()


asyncio.run(main())
print("counted", counted)
