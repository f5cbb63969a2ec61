import asyncio

counted = 0


async def fails():
    raise ValueError


async def goes_on(seconds):
    global counted
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    try:
        await asyncio.sleep(seconds)
        counted += 1
    except asyncio.CancelledError:
        counted += 1
        raise


async def main():
    for _ in range(2):
        try:
            await asyncio.gather(fails(), goes_on(0.001))  # finds: gather-survivor x2
        except ValueError:
            await asyncio.sleep(0.01)
    try:
        await asyncio.gather(goes_on(60), fails())  # finds: gather-survivor
    except ValueError:
        pass


asyncio.run(main())
print("counted", counted)
