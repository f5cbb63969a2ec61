"""Runs CPython's own asyncio tests, as installed with the interpreter, on asyncio-on-trio.

    PYTHONPATH=.:tests python -m compat -m cpython.run test_queues

`exclusions` says which modules are run, which of their tests are not expected to pass, and why. `plug` puts our classes
where the tests take theirs from. `run` runs one module and counts. `tests/test_cpython.py` does it for all of them.
"""
