"""For type checkers. At run time `compat.native.tasks` is the module of `adapters/native` itself."""

from compat.adapters import native as _native

ALL_COMPLETED = _native.tasks.ALL_COMPLETED
FIRST_COMPLETED = _native.tasks.FIRST_COMPLETED
FIRST_EXCEPTION = _native.tasks.FIRST_EXCEPTION
Task = _native.tasks.Task
all_tasks = _native.tasks.all_tasks
as_completed = _native.tasks.as_completed
create_task = _native.tasks.create_task
current_task = _native.tasks.current_task
gather = _native.tasks.gather
open_background = _native.tasks.open_background
shield = _native.tasks.shield
sleep = _native.tasks.sleep
wait = _native.tasks.wait
wait_for = _native.tasks.wait_for
