import asyncio
import gc

counted = 0
kept = []


async def fails():
    global counted
    counted += 1
    raise ValueError("nobody asks")


async def main():
    for _ in range(2):
        asyncio.create_task(fails())  # finds: error-unretrieved x2
    kept.append(asyncio.create_task(fails()))  # finds: error-unretrieved
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()


asyncio.run(main())
print("counted", counted)
