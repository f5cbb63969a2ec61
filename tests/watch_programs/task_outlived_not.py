import asyncio
import contextlib

counted = 0


async def work(seconds=0.001):
    await asyncio.sleep(seconds)


def spawn(coro):
    return asyncio.create_task(coro)


async def says(event):
    event.set()


async def does_not_wait_for_the_end():
    event = asyncio.Event()
    task = asyncio.create_task(says(event))
    await event.wait()
    print(task.done())


@contextlib.asynccontextmanager
async def service():
    task = asyncio.create_task(work(60))
    yield task
    task.cancel()
    await asyncio.wait([task])


async def awaits_it(how):
    await how(asyncio.create_task(work()))


async def by_a_wrapper(task):
    class Wrapper:
        def __await__(self):
            return work_on(task).__await__()

    async def work_on(task):
        await task

    await Wrapper()


async def main():
    await asyncio.create_task(work())
    await spawn(work())
    await asyncio.ensure_future(work())
    await asyncio.gather(work(), *[asyncio.create_task(work()) for _ in range(2)])
    await asyncio.wait({asyncio.create_task(work()) for _ in range(2)})
    await asyncio.wait_for(work(), 60)
    await awaits_it(by_a_wrapper)
    for each in asyncio.as_completed([asyncio.create_task(work()), work()]):
        await each
    async with asyncio.TaskGroup() as group:
        group.create_task(work())
        asyncio.create_task(says(asyncio.Event()))
    await does_not_wait_for_the_end()
    async with service():
        await asyncio.sleep(0)
    task = asyncio.create_task(work(60))
    task.cancel()
    await asyncio.sleep(0)


asyncio.run(main())
print("counted", counted)
