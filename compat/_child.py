"""The beginning of an interpreter that a program on trio starts: see `_children`.

It is run by its path, since the interpreter need not find `compat` by its name.
"""

import os
import sys
from importlib.util import find_spec

if __name__ == "__main__":
    sys.orig_argv.remove(__file__)
    if find_spec("trio") is None:  # with -S, for instance
        os.execv(sys.executable, sys.orig_argv)
    # In place of the folder of this file, in which there is an `asyncio`, and until the program's own takes its place.
    sys.path[: not sys.flags.safe_path] = [os.path.dirname(os.path.dirname(__file__))]
    from compat.__main__ import main

    del sys.path[: sys.flags.safe_path]
    main()
