import asyncio
import concurrent.futures

counted = 0


async def work():
    await asyncio.sleep(0)
    return 1


async def main():
    loop = asyncio.get_running_loop()
    await asyncio.gather(work(), work())
    await loop.run_in_executor(None, print, "in a thread")
    future = concurrent.futures.Future()
    future.set_result(2)
    print(await asyncio.wrap_future(future))
    queue = asyncio.Queue(1)
    await asyncio.gather(queue.get(), queue.put(1))
    task = asyncio.create_task(work())
    print(isinstance(task, asyncio.Future), isinstance(task, asyncio.Task), type(task), asyncio.isfuture(task))
    await task


asyncio.run(main())
print("counted", counted)
