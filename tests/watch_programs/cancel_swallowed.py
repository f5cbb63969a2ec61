import asyncio
import contextlib

counted = 0


async def returns():
    global counted
    try:
        await asyncio.sleep(60)  # finds: cancel-swallowed x2
    except asyncio.CancelledError:
        counted += 1


async def cleans_up_and_returns():
    global counted
    try:
        await asyncio.sleep(60)  # finds: cancel-swallowed
    except BaseException:
        await asyncio.sleep(0)  # finds: cleanup-wait
        counted += 1


async def inner():
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0)  # finds: cleanup-wait


async def outer_catches():
    global counted
    try:
        await inner()  # finds: cancel-swallowed
    except asyncio.CancelledError:
        counted += 1
    return "a result"


async def goes_on(event):
    global counted
    with contextlib.suppress(asyncio.CancelledError):
        await event.wait()  # finds: cancel-swallowed
    counted += 1
    await event.wait()


async def ticks():
    global counted
    while True:
        try:
            await asyncio.sleep(60)  # finds: cancel-swallowed x2
        except asyncio.CancelledError:
            counted += 1
            if counted == 8:
                return
        yield counted


async def iterates():
    async for _ in ticks():
        pass


async def awaits(task):
    await task  # not told: the task has swallowed it


async def cancels_itself():
    global counted
    asyncio.current_task().cancel()  # finds: cancel-swallowed
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        counted += 1


async def main():
    for function in returns, cleans_up_and_returns, outer_catches:
        task = asyncio.create_task(function())
        await asyncio.sleep(0)
        task.cancel()
        await task
    task = asyncio.create_task(awaits(asyncio.create_task(returns())))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await task
    await asyncio.create_task(cancels_itself())
    for coro in goes_on(asyncio.Event()), iterates():
        task = asyncio.create_task(coro)
        for _ in range(2):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
        print(await asyncio.gather(task, return_exceptions=True))


asyncio.run(main())
print("counted", counted)
