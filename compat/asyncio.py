"""asyncio, carried by trio: every name that the interpreter's own asyncio has, and the same behaviour.

    from compat import asyncio

What is adapted comes from the package `adapters`, what has no concurrency in it (exceptions, constants, protocols, base
classes) is the standard library's own, and what is not adapted yet raises NotImplementedError when it is called. Type
checkers see the real module. https://docs.python.org/3/library/asyncio.html
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import *  # noqa: F403
else:
    import sys

    from compat import _redirect

    _redirect.fill(sys.modules[__name__])
    del TYPE_CHECKING, _redirect
