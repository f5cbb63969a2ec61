"""Signals on asyncio: a callback for each, which must not wait."""

import asyncio
import os
import signal


async def main() -> None:
    loop = asyncio.get_running_loop()
    ended, told = asyncio.Event(), asyncio.Event()

    def tell() -> None:
        print("still here")
        told.set()

    loop.add_signal_handler(signal.SIGUSR1, tell)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await told.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await ended.wait()
    print("ended")


asyncio.run(main())
