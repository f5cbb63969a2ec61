"""For type checkers. At run time `compat.native.queues` is the module of `adapters/native` itself."""

from compat.adapters import native as _native

LifoQueue = _native.queues.LifoQueue
PriorityQueue = _native.queues.PriorityQueue
Queue = _native.queues.Queue
QueueEmpty = _native.queues.QueueEmpty
QueueFull = _native.queues.QueueFull
QueueShutDown = _native.queues.QueueShutDown
