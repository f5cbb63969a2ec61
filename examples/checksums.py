"""The SHA-256 of every file below a folder, in the form that `sha256sum -c` reads.

Plain asyncio: to_thread, TaskGroup, Semaphore and timeout.

    python examples/checksums.py FOLDER                 # on asyncio
    python -m compat examples/checksums.py FOLDER       # the same program on trio

Files and folders whose name starts with a dot are left out. The exit status is 1 if a file could not be read in time.
"""

import argparse
import asyncio
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def checksum(path: Path, slots: asyncio.Semaphore, seconds: float) -> str | OSError:
    """The file's checksum, or why there is none. On a timeout the thread is left to end by itself."""
    async with slots:
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.to_thread(sha256, path)
        except OSError as error:  # TimeoutError is one of these
            return error


async def main(folder: Path, at_once: int, seconds: float) -> int:
    slots = asyncio.Semaphore(at_once)
    async with asyncio.TaskGroup() as group:
        tasks = {path: group.create_task(checksum(path, slots, seconds)) for path in files_below(folder)}
    failures = 0
    for path, task in tasks.items():
        result = task.result()
        if isinstance(result, OSError):
            failures += 1
            print(f"{path}: {result.strerror or 'took too long'}", file=sys.stderr)
        else:
            print(f"{result}  {path}")
    return 1 if failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="SHA-256 of every file below a folder")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--at-once", type=int, default=8, help="how many files are read at the same time (8)")
    parser.add_argument("--seconds", type=float, default=60, help="patience with one file (60)")
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.folder, options.at_once, options.seconds)))
