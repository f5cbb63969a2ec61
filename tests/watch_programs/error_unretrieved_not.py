import asyncio

counted = 0
kept = []


async def fails():
    raise ValueError("somebody asks")


async def main():
    try:
        await asyncio.create_task(fails())
    except ValueError as error:
        print(error)
    task = asyncio.create_task(fails())
    kept.append(task)
    await asyncio.wait([task])
    print(task.exception())
    task = asyncio.create_task(fails())
    task.add_done_callback(lambda task: print(task.exception()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    print(await asyncio.gather(fails(), fails(), return_exceptions=True))
    try:
        await asyncio.gather(fails(), fails())
    except ValueError as error:
        print(error)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
    except* ValueError as group:
        print(group)


asyncio.run(main())
print("counted", counted)
