"""The beginning of an interpreter that a program on trio starts: see `_children`.

It is run by its path, since the interpreter need not find `compat` by its name.
"""

import os
import sys
from importlib.util import find_spec

if __name__ == "__main__":
    place = sys.orig_argv.index(__file__)
    word = sys.argv[1]
    has_flags = word[:1] == "-" and word[1:2] not in ("", "c", "m")  # `-uc CODE`: the flags are in front of this, too
    if has_flags:
        sys.argv[1] = "-" + word[len(sys.orig_argv[place - 1]) :]
    del sys.orig_argv[place - has_flags : place + 1]
    if find_spec("trio") is None:  # with -S, for instance
        os.execv(sys.executable, sys.orig_argv)
    # In place of the folder of this file, in which there is an `asyncio`, and until the program's own takes its place.
    sys.path[: not sys.flags.safe_path] = [os.path.dirname(os.path.dirname(__file__))]
    from compat.__main__ import main

    del sys.path[: sys.flags.safe_path]
    main()
