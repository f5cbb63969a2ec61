"""For type checkers. At run time `compat.native.runners` is the module of `adapters/native` itself."""

from compat.adapters import native as _native

Runner = _native.runners.Runner
run = _native.runners.run
