"""Threads on asyncio: a call out of the loop, and a thread of the program's own that calls into it."""

import asyncio
import threading


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def ask(loop: asyncio.AbstractEventLoop, answered: asyncio.Event) -> None:
    """In a thread."""
    print("from a thread:", asyncio.run_coroutine_threadsafe(double(4), loop).result())
    loop.call_soon_threadsafe(answered.set)


async def main() -> None:
    print("in a thread:", await asyncio.to_thread(pow, 2, 10))
    answered = asyncio.Event()
    thread = threading.Thread(target=ask, args=(asyncio.get_running_loop(), answered))
    thread.start()
    await answered.wait()
    await asyncio.to_thread(thread.join)


asyncio.run(main())
