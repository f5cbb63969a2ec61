import asyncio

counted = 0


async def fails():
    raise ValueError


async def work():
    await asyncio.sleep(0.001)


async def ends():
    pass


async def main():
    print(await asyncio.gather(fails(), work(), return_exceptions=True))
    try:
        await asyncio.gather(fails(), ends())
    except ValueError:
        pass
    else:
        raise AssertionError
    tasks = [asyncio.create_task(work()), asyncio.create_task(fails())]
    try:
        await asyncio.gather(*tasks)
    except ValueError:
        for task in tasks:
            task.cancel()
        print(await asyncio.gather(*tasks, return_exceptions=True))
    task = asyncio.ensure_future(asyncio.gather(work(), work()))
    await asyncio.sleep(0)
    task.cancel()
    print(await asyncio.gather(task, return_exceptions=True))
    print(await asyncio.gather(work(), work()), await asyncio.gather())


asyncio.run(main())
print("counted", counted)
