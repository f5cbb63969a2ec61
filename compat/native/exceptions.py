"""For type checkers. At run time `compat.native.exceptions` is the module of `adapters/native` itself."""

from compat.adapters import native as _native

BrokenBarrierError = _native.exceptions.BrokenBarrierError
CancelledError = _native.exceptions.CancelledError
IncompleteReadError = _native.exceptions.IncompleteReadError
InvalidStateError = _native.exceptions.InvalidStateError
LimitOverrunError = _native.exceptions.LimitOverrunError
QueueEmpty = _native.exceptions.QueueEmpty
QueueFull = _native.exceptions.QueueFull
QueueShutDown = _native.exceptions.QueueShutDown
TimeoutError = _native.exceptions.TimeoutError
