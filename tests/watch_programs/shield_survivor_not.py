import asyncio

counted = 0


async def work(seconds=0):
    await asyncio.sleep(seconds)


async def main():
    await asyncio.shield(work())  # finds: shield
    task = asyncio.create_task(work(60))
    try:
        await asyncio.wait_for(asyncio.shield(task), 0.001)  # finds: shield
    except TimeoutError:
        task.cancel()
        print(await asyncio.gather(task, return_exceptions=True))
    task = asyncio.create_task(work(60))
    outer = asyncio.shield(task)  # finds: shield
    task.cancel()
    print(await asyncio.gather(outer, return_exceptions=True))


asyncio.run(main())
print("counted", counted)
