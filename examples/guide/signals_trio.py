"""Signals on trio: a task reads them in order, and may wait as it likes."""

import os
import signal
from collections.abc import AsyncIterator

import trio


async def heed(signals: AsyncIterator[int], told: trio.Event) -> None:
    async for number in signals:
        if number == signal.SIGTERM:
            break
        print("still here")
        told.set()
    print("ended")


async def main() -> None:
    told = trio.Event()
    with trio.open_signal_receiver(signal.SIGUSR1, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(heed, signals, told)
            os.kill(os.getpid(), signal.SIGUSR1)
            await told.wait()
            os.kill(os.getpid(), signal.SIGTERM)


trio.run(main)
