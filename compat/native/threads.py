"""For type checkers. At run time `compat.native.threads` is the module of `adapters/native` itself."""

from compat.adapters import native as _native

run_coroutine_threadsafe = _native.threads.run_coroutine_threadsafe
to_thread = _native.threads.to_thread
