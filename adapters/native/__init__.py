"""asyncio's names with trio's meaning: a small module for each family, on public names of trio only.

Each module is the page to read for what an asyncio API is in trio. Importing them changes nothing in trio, and needs
nothing of the exact side. `compat.native` is the way in. https://docs.python.org/3/library/asyncio-api-index.html
"""

from . import exceptions as exceptions
from . import locks as locks
from . import queues as queues
from . import refusals as refusals
from . import runners as runners
from . import streams as streams
from . import subprocess as subprocess
from . import taskgroups as taskgroups
from . import tasks as tasks
from . import threads as threads
from . import timeouts as timeouts
