import asyncio

counted = 0


async def work():
    global counted
    await asyncio.sleep(0.01)
    counted += 1


async def main():
    for _ in range(2):
        task = asyncio.create_task(work())
        try:
            await asyncio.wait_for(asyncio.shield(task), 0.001)  # finds: shield-survivor x2, shield x2
        except TimeoutError:
            await task


asyncio.run(main())
print("counted", counted)
