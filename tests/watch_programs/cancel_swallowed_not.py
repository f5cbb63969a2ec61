import asyncio

counted = 0


async def cleans_up():
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0)  # finds: cleanup-wait x12
        print("clean")


async def raises_again():
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(0)  # finds: cleanup-wait x2
        raise


async def fails_in_clean_up():
    try:
        await asyncio.sleep(60)
    finally:
        raise OSError("a clean-up that fails")


async def takes_it_back():
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        asyncio.current_task().uncancel()
    await asyncio.sleep(0)
    return "taken back"


async def ends():
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("ends")
    return "a result"


async def cleans_up_and_ends():
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(0)  # finds: cleanup-wait
    return "a result"


async def gathers():
    await asyncio.gather(ends(), asyncio.sleep(60))


async def waits_for_condition(condition):
    async with condition:
        await condition.wait()


async def has_a_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(cleans_up())


async def has_children():
    await asyncio.gather(cleans_up(), raises_again())


async def fails():
    raise ValueError


async def main():
    functions = cleans_up, raises_again, fails_in_clean_up, takes_it_back, has_a_group, has_children
    for function in *functions, ends, cleans_up_and_ends, gathers:
        task = asyncio.create_task(function())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        try:
            print(await task)
        except (asyncio.CancelledError, OSError) as error:
            print(repr(error))

    condition = asyncio.Condition()
    task = asyncio.create_task(waits_for_condition(condition))
    await asyncio.sleep(0)
    async with condition:
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    print(await asyncio.gather(task, return_exceptions=True))

    task = asyncio.create_task(cleans_up())
    task.cancel()  # before it has begun
    print(await asyncio.gather(task, return_exceptions=True))
    print(task.cancel())  # when it is done

    for _ in range(2):
        try:
            async with asyncio.timeout(0):
                await cleans_up()
        except TimeoutError:
            print("timeout")
        try:
            await asyncio.wait_for(cleans_up(), 0.001)
        except TimeoutError:
            print("wait_for")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                await cleans_up()
        except* ValueError:
            print("group")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                group.create_task(cleans_up())
                await ends()
        except* ValueError:
            print("group whose body ends")
    print(await asyncio.wait_for(asyncio.create_task(ends()), 0.001))
    await asyncio.sleep(0)


async def is_cancelled_at_the_end():
    asyncio.current_task().cancel()
    await cleans_up()


asyncio.run(main())
try:
    asyncio.run(is_cancelled_at_the_end())
except asyncio.CancelledError:
    print("cancelled")
print("counted", counted)
