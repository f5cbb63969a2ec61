"""Asyncio's libraries as they are published, on trio, with real servers and clients at the other end.

    pip install -e '.[test,libraries]'
    python -m pytest tests/libraries            # the libraries hold the real asyncio
    python -m compat -m pytest tests/libraries  # `import asyncio` gives them ours

Each test is given a way to run an async function (`conftest.py`): `asyncio.run`, which is the interpreter's own in the
first of the two commands, so that it shows what asyncio does, and ours in the second; and `compat.run`, where the
library is called from a plain trio task. `tests/test_libraries.py` runs the second command from within the first.

Addresses come from the environment, and have defaults: see `peers.py`. What is not installed or not reachable is
skipped, and the reason says so.
"""
