"""What `python -m compat --watch` finds: where a program relies on a meaning that trio does not have.

Nothing of this is there without the option: at the start `install()` puts a Task of its own and some methods around
those of `adapters`. They note what happens, and leave it as it is. The program's code is all code outside of the
standard library, trio and this project: what is installed beside it belongs to it.

A module imports from those above it only:

    _places         which code is the program's, and where it is
    _findings       the kinds of findings, what was found so far, and the list at the end
    _makers         which function of the program has made a task, and whether it has ended
    _cancellations  who has told a task to cancel, and who has swallowed that
    _tasks          Task and Future: how they are made, who waits for them, how they end
    _around         what is put around gather(), shield(), loops, locks and queues
    _file           the file of --watch-json
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import os
import sys

from compat.adapters import events, futures, queues, tasks

from ._around import gather, note_left_items, shield, watch_locks, watch_loops, watch_queues
from ._file import target_of, write
from ._findings import as_json, as_text, is_failure, record
from ._tasks import MadeFuture, Task, note_task, settle

__all__ = ["fail", "install"]


def install(program: list[str], prints: bool, json_file: str | None) -> None:
    """Watch from here on, and tell at the end: print it to stderr, write it to a file as JSON, or both.

    Call it before compat.install(), which brings the functions to the program.
    """
    target = None if json_file is None else target_of(json_file)
    vars(events)["Task"] = Task
    watch_loops()
    watch_locks()
    watch_queues()
    replaced: dict[str, object] = {"Task": Task, "gather": gather, "shield": shield}
    if sys.version_info >= (3, 12):
        replaced["eager_task_factory"] = asyncio.create_eager_task_factory(Task)
    vars(tasks).update(replaced)
    vars(futures).update(Future=MadeFuture)
    atexit.register(_end, program, prints, target, os.getpid())


def fail(error: BaseException) -> None:
    """Take note of what the program has raised: then what is left in its queues means nothing."""
    record.program_has_failed = is_failure(error)


def _end(program: list[str], prints: bool, target: str | int | None, process: int) -> None:
    if os.getpid() != process:
        return  # of os.fork()
    for thing in gc.get_objects():
        kind = type(thing)
        if kind is Task:
            if thing._log_traceback:
                note_task("error-unretrieved", thing)
            if not thing.done():
                settle(thing)
        elif issubclass(kind, queues._Base) and not record.program_has_failed:
            note_left_items(thing)
    found = record.in_order()
    if target is not None:
        write(target, json.dumps(as_json(program, found), indent=1) + "\n")
    if prints:
        print(as_text(found), file=sys.stderr)
