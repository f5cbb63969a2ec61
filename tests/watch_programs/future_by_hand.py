import asyncio

counted = 0


class OwnFuture(asyncio.Future):
    pass


async def main():
    global counted
    loop = asyncio.get_running_loop()
    for _ in range(2):
        future = loop.create_future()  # finds: future-by-hand x2
        future.set_result(1)
        counted += await future
    future = asyncio.Future()  # finds: future-by-hand
    print(type(future), isinstance(future, asyncio.Future), isinstance(future, asyncio.Task), future)
    counted += not future.done()
    own = OwnFuture()  # finds: future-by-hand
    counted += not own.done()
    print(isinstance(own, asyncio.Future), isinstance(future, OwnFuture), issubclass(asyncio.Task, asyncio.Future))


asyncio.run(main())
print("counted", counted)
