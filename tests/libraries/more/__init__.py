"""More libraries, for which CI has no time: the extra `more-libraries`.

    pip install -e '.[more-libraries]'
    python -m pytest tests/libraries/more
    python -m compat -m pytest tests/libraries/more

Each program is run as it is in each of the ways of the fixture `ended`: in asyncio.run() and given up by asyncio's
timeout, which on the first of the two commands is asyncio itself; then in compat.run(), in a plain trio task and in a
Task, and given up by a trio scope. Afterwards it goes on working, and nothing is left.
"""
