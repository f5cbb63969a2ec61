"""For type checkers. At run time `compat.native.taskgroups` is the module of `adapters/native` itself."""

from compat.adapters import native as _native

TaskGroup = _native.taskgroups.TaskGroup
