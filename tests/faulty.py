"""Faults that a test plants, to see whether another test finds them: mixed into classes of asyncio's, real or ours."""

import asyncio
from typing import Any


class Lossy:
    """A getter of a queue that is cancelled takes an item with it."""

    async def get(self: Any) -> Any:
        try:
            return await super().get()  # type: ignore[misc]
        except asyncio.CancelledError:
            if not self.empty():
                self.get_nowait()
            raise
