import asyncio

counted = 0


async def work():
    global counted
    counted += 1


async def main():
    for _ in range(2):
        await asyncio.shield(work())  # finds: shield x2
    await asyncio.wait_for(asyncio.shield(asyncio.create_task(work())), 60)  # finds: shield


asyncio.run(main())
print("counted", counted)
