"""A pytest plugin: `import trio_asyncio` gives compat.trio_asyncio, for trio-asyncio's own suite (`upstream.py`)."""

import sys

from compat import trio_asyncio

sys.modules["trio_asyncio"] = trio_asyncio
