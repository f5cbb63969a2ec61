import asyncio

counted = 0
kept = []


async def work(seconds=0.002):
    await asyncio.sleep(seconds)


async def starts():
    kept.append(asyncio.create_task(work()))  # finds: task-outlived x3


async def gives_back():
    return asyncio.ensure_future(work())  # finds: task-outlived


class Service:
    async def __aenter__(self):
        self.task = asyncio.get_running_loop().create_task(work())  # finds: task-outlived
        return self

    async def __aexit__(self, *error):
        await self.task


async def main():
    global counted
    for _ in range(3):
        await starts()
        counted += not kept[-1].done()
    task = await gives_back()
    counted += not task.done()
    async with Service() as service:
        counted += not service.task.done()
    await asyncio.gather(*kept, task)
    kept[:] = [asyncio.create_task(work(60))]  # finds: task-outlived


asyncio.run(main())
counted += kept[0].cancelled()  # by asyncio.run(), at its end
print("counted", counted)
