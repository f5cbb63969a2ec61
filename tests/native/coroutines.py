"""Coroutines that the tests of tasks and of runs use."""

import contextvars

import trio

from compat import native

VAR: contextvars.ContextVar[int] = contextvars.ContextVar("VAR", default=0)


async def value(result, seconds=0.0):
    await native.sleep(seconds)
    return result


async def failing(error, seconds=0.0):
    await native.sleep(seconds)
    raise error


async def noting(notes, name):
    try:
        await trio.sleep_forever()
    finally:
        notes.append(name)


async def follow(task):
    await task
