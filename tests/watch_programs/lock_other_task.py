import asyncio

counted = 0


async def main():
    global counted
    lock = asyncio.Lock()
    for _ in range(2):
        await asyncio.create_task(lock.acquire())
        lock.release()  # finds: lock-other-task x2
        counted += 1

    async def gives_back():
        lock.release()  # finds: lock-other-task

    await lock.acquire()
    await asyncio.create_task(gives_back())
    counted += 1
    condition = asyncio.Condition()
    await condition.acquire()
    await asyncio.create_task(give(condition))
    counted += 1


async def give(condition):
    condition.release()  # finds: lock-other-task


asyncio.run(main())
print("counted", counted)
