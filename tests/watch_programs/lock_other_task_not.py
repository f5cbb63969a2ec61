import asyncio

counted = 0


async def use(lock):
    async with lock:
        await asyncio.sleep(0)


async def use_by_hand(lock):
    await asyncio.wait_for(lock.acquire(), 60)
    try:
        await asyncio.sleep(0)
    finally:
        lock.release()


async def consume(condition):
    async with condition:
        await condition.wait()


async def main():
    lock = asyncio.Lock()
    await asyncio.gather(*[use(lock) for _ in range(3)], *[use_by_hand(lock) for _ in range(3)])
    try:
        lock.release()
    except RuntimeError:
        print("not acquired")
    semaphore = asyncio.Semaphore(1)
    await asyncio.create_task(semaphore.acquire())
    semaphore.release()
    condition = asyncio.Condition()
    tasks = [asyncio.create_task(consume(condition)) for _ in range(2)]
    await asyncio.sleep(0)
    async with condition:
        condition.notify_all()
    await asyncio.gather(*tasks)
    own = asyncio.Condition(lock)
    async with own:
        print(lock.locked())


asyncio.run(main())
print("counted", counted)
