import asyncio

counted = 0


async def cleans_up_without_a_wait():
    try:
        await asyncio.sleep(60)
    finally:
        print("clean")


async def ends_by_itself():
    try:
        await asyncio.sleep(0)
    finally:
        await asyncio.sleep(0)
        print("nobody has cancelled it")


async def has_a_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(cleans_up_without_a_wait())
        await asyncio.sleep(60)


async def has_locks():
    async with asyncio.Lock(), asyncio.Semaphore():
        await asyncio.sleep(60)


async def starts_again():
    try:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(60)
    except TimeoutError:
        await asyncio.sleep(0)
        print("after the timeout")


async def main():
    await ends_by_itself()
    for function in cleans_up_without_a_wait, has_a_group, has_locks:
        task = asyncio.create_task(function())
        await asyncio.sleep(0)
        task.cancel()
        print(await asyncio.gather(task, return_exceptions=True))
    await starts_again()


asyncio.run(main())
print("counted", counted)
