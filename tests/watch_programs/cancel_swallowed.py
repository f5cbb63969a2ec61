import asyncio
import contextlib

counted = 0


async def ends():
    global counted
    try:
        await asyncio.sleep(60)  # finds: cancel-swallowed x5
    except asyncio.CancelledError:
        counted += 1
    return "a result"


async def cleans_up():
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0)  # finds: cleanup-wait x2


async def catches_after_clean_up():
    global counted
    try:
        await cleans_up()  # finds: cancel-swallowed
    except BaseException:
        counted += 1
    await asyncio.sleep(0)


async def catches_before_clean_up():
    global counted
    try:
        await asyncio.sleep(60)  # finds: cancel-swallowed
    except BaseException:
        await asyncio.sleep(0)  # finds: cleanup-wait
        counted += 1


async def waits_after_clean_up():
    await catches_before_clean_up()
    await asyncio.sleep(0)


async def outer_catches():
    global counted
    try:
        await cleans_up()  # finds: cancel-swallowed
    except asyncio.CancelledError:
        counted += 1
    await asyncio.sleep(0)
    return "a result"


async def goes_on(event):
    global counted
    with contextlib.suppress(asyncio.CancelledError):
        await event.wait()  # finds: cancel-swallowed
    counted += 1
    await event.wait()


async def ticks():
    global counted
    ticked = []
    while True:
        try:
            await asyncio.sleep(60)  # finds: cancel-swallowed
        except asyncio.CancelledError:
            ticked.append(len(ticked))
            if len(ticked) == 2:
                return  # at the second cancellation, and does not wait again
            counted += 1
        yield ticked


async def iterates():
    async for _ in ticks():
        pass


async def awaits(task):
    print(await task)  # not told: the task has swallowed it
    await asyncio.sleep(0)
    return "went on"


async def gathers():
    await asyncio.gather(ends(), ends())


async def groups():
    async with asyncio.TaskGroup() as group:
        group.create_task(ends())
        group.create_task(ends())


async def cancels_itself():
    global counted
    asyncio.current_task().cancel()  # finds: cancel-swallowed
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        counted += 1
    await asyncio.sleep(0)


async def main():
    awaited = asyncio.create_task(ends())
    for coro in catches_after_clean_up(), waits_after_clean_up(), outer_catches(), awaits(awaited), gathers(), groups():
        task = asyncio.create_task(coro)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        print(await asyncio.gather(task, return_exceptions=True))
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
