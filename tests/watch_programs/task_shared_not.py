import asyncio

counted = 0


async def work():
    await asyncio.sleep(0.001)
    return 1


async def awaits(task):
    return await task


async def main():
    task = asyncio.create_task(work())
    await task
    print(await asyncio.gather(awaits(task), awaits(task)))  # it is done
    task = asyncio.create_task(work())
    while not task.done():
        await asyncio.wait([task], timeout=0)
        try:
            await asyncio.wait_for(task, 60)
        except TimeoutError:
            raise AssertionError from None
    task = asyncio.create_task(work())
    task.add_done_callback(lambda task: print(task.result()))
    print(await asyncio.gather(task, awaits(asyncio.create_task(work()))))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())
        await task


asyncio.run(main())
print("counted", counted)
