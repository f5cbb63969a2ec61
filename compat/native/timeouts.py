"""For type checkers. At run time `compat.native.timeouts` is the module of `adapters/native` itself."""

from compat.adapters import native as _native

Timeout = _native.timeouts.Timeout
timeout = _native.timeouts.timeout
timeout_at = _native.timeouts.timeout_at
