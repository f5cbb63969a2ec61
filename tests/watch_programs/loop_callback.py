import asyncio
import contextvars

counted = 0


def callback(event=None):
    global counted
    counted += 1
    if event is not None:
        event.set()


async def main():
    loop = asyncio.get_running_loop()
    for _ in range(3):
        loop.call_soon(callback)  # finds: loop-callback x3
    loop.call_soon(callback, context=contextvars.copy_context())  # finds: loop-callback
    event = asyncio.Event()
    loop.call_later(0.001, callback, event)  # finds: loop-callback
    await event.wait()
    event.clear()
    loop.call_at(loop.time(), callback, event)  # finds: loop-callback
    await event.wait()


asyncio.run(main())
print("counted", counted)
