"""For type checkers. At run time `compat.native.subprocess` is the module of `adapters/native` itself."""

from compat.adapters import native as _native

DEVNULL = _native.subprocess.DEVNULL
PIPE = _native.subprocess.PIPE
Process = _native.subprocess.Process
STDOUT = _native.subprocess.STDOUT
create_subprocess_exec = _native.subprocess.create_subprocess_exec
create_subprocess_shell = _native.subprocess.create_subprocess_shell
