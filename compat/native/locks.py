"""For type checkers. At run time `compat.native.locks` is the module of `adapters/native` itself."""

from compat.adapters import native as _native

Barrier = _native.locks.Barrier
BoundedSemaphore = _native.locks.BoundedSemaphore
Condition = _native.locks.Condition
Event = _native.locks.Event
Lock = _native.locks.Lock
Semaphore = _native.locks.Semaphore
