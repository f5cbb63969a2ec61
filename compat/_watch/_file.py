"""The file of --watch-json: where it is, and how it is written so that nothing of worth is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys

from compat.report._watch import FORMAT

__all__ = ["target_of", "write"]


def target_of(path: str) -> str | int:
    """Where to write the list: a file, links followed, or one of this process's files, as /dev/stdout is.

    Exits with status 2 if it cannot be written there, or something else would be lost. The file stays as it is.
    """
    try:
        target = _follow(os.path.abspath(path) if path else path)
        if isinstance(target, int):
            os.write(target, b"")
            return target
        try:
            status = os.stat(target)
        except FileNotFoundError:
            with open(target, "x"):
                pass
            os.unlink(target)
            return target
        if stat.S_ISREG(status.st_mode):
            with open(target, "r+") as file:
                content = file.read()
            if content and FORMAT not in content:
                sys.exit(_cannot_write(path, "it is there, and is no list of --watch-json's"))
        elif stat.S_ISDIR(status.st_mode) or not os.access(target, os.W_OK):
            number = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EACCES
            raise OSError(number, os.strerror(number))
    except (OSError, ValueError) as error:
        sys.exit(_cannot_write(path, error))
    return target


def _follow(path: str) -> str | int:
    with contextlib.suppress(FileNotFoundError):
        os.stat(path)  # raises OSError for links that go in a circle
    while os.path.islink(path):
        folder, name = os.path.split(path)
        if os.path.realpath(folder) == f"/proc/{os.getpid()}/fd":
            return int(name)
        path = os.path.join(folder, os.readlink(path))
    return path


def _cannot_write(path: str, why: object) -> int:
    print(f"--watch-json: cannot write {path}: {why}", file=sys.stderr)
    return 2


def write(target: str | int, text: str) -> None:
    """Write the list. Who reads the file finds the whole of it, or what was there before, whatever ends the process."""
    if isinstance(target, int):
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
        with open(target, "w", encoding="utf-8", closefd=False) as stream:  # so its place in a file moves
            stream.write(text)
        return
    try:
        status = os.stat(target)
    except FileNotFoundError:
        status = None
    if status is None or stat.S_ISREG(status.st_mode):
        beside = os.path.join(os.path.dirname(target), f".watch-json-{os.getpid()}")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError:
            if status is None:
                raise  # else the folder takes no new file, and the file is written in its place
        else:
            try:
                with open(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                if status is not None:
                    with contextlib.suppress(PermissionError):
                        os.chown(beside, status.st_uid, status.st_gid)
                    os.chmod(beside, stat.S_IMODE(status.st_mode))
                os.replace(beside, target)
            except BaseException:
                os.unlink(beside)
                raise
            return
    with open(target, "w", encoding="utf-8") as file:
        file.write(text)
