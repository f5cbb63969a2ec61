import asyncio

counted = 0


async def gives_back():
    global counted
    await asyncio.sleep(0.001)
    counted += 1


async def cleans_up():
    global counted
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0)  # finds: cleanup-wait x3
        counted += 1


async def calls_a_clean_up():
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await gives_back()  # finds: cleanup-wait
        raise


class Connection:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        await gives_back()  # finds: cleanup-wait


async def has_a_connection():
    async with Connection():
        await asyncio.sleep(60)


async def cancelled(coro):
    task = asyncio.create_task(coro)
    await asyncio.sleep(0)
    task.cancel()
    print(await asyncio.gather(task, return_exceptions=True))


async def main():
    await cancelled(cleans_up())
    await cancelled(calls_a_clean_up())
    await cancelled(has_a_connection())
    try:
        async with asyncio.timeout(0.001):
            await cleans_up()
    except TimeoutError:
        print("timeout")
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(cleans_up())
            await asyncio.sleep(0)
            raise ValueError
    except* ValueError:
        print("group")


asyncio.run(main())
print("counted", counted)
