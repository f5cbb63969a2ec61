"""The package `adapters` of a clone, under the name that it has when it is installed: a wheel has it in this place.

Type checkers, which do not see `__path__`, find its modules as attributes: `from compat.adapters import events`.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import adapters._trio.runs
    import adapters._trio.scheduler
    import adapters._trio.stand_ins
    import adapters._trio.threads  # noqa: F401
    from adapters import _asyncio as _asyncio
    from adapters import _executors as _executors
    from adapters import _patches as _patches
    from adapters import _trio as _trio
    from adapters import _types as _types
    from adapters import events as events
    from adapters import exceptions as exceptions
    from adapters import futures as futures
    from adapters import locks as locks
    from adapters import native as native
    from adapters import queues as queues
    from adapters import runners as runners
    from adapters import streams as streams
    from adapters import tasks as tasks
    from adapters import transports as transports
    from adapters import unix_events as unix_events

__path__ = [os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "adapters")]
