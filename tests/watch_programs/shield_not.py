import asyncio

counted = 0


async def shield(awaitable):
    """The program's own."""
    await awaitable


async def main():
    await shield(asyncio.sleep(0))
    await asyncio.wait([asyncio.create_task(shield(asyncio.sleep(0)))])


asyncio.run(main())
print("counted", counted)
