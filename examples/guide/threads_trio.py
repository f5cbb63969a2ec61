"""Threads on trio: a call out of the run, and a thread of the program's own that calls into it by the run's token."""

import threading

import trio


async def double(number: int) -> int:
    await trio.lowlevel.checkpoint()
    return 2 * number


def ask(token: trio.lowlevel.TrioToken, answered: trio.Event) -> None:
    """In a thread."""
    print("from a thread:", trio.from_thread.run(double, 4, trio_token=token))
    trio.from_thread.run_sync(answered.set, trio_token=token)


async def main() -> None:
    print("in a thread:", await trio.to_thread.run_sync(pow, 2, 10))
    answered = trio.Event()
    thread = threading.Thread(target=ask, args=(trio.lowlevel.current_trio_token(), answered))
    thread.start()
    await answered.wait()
    await trio.to_thread.run_sync(thread.join)


trio.run(main)
