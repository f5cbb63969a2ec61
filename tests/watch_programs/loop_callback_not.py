import asyncio

counted = 0


async def work():
    await asyncio.sleep(0.001)


async def main():
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(work())
    task.add_done_callback(lambda task: print("done"))
    await asyncio.wait_for(task, 60)
    async with asyncio.timeout(60) as timeout:
        timeout.reschedule(loop.time() + 60)
        await asyncio.to_thread(print, "in a thread")
    event = asyncio.Event()
    task = asyncio.create_task(event.wait())
    await asyncio.sleep(0)
    event.set()
    await task


asyncio.run(main())
print("counted", counted)
