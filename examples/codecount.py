"""Lines of code, comments and blank lines below some folders, by kind of file.

Plain asyncio: gather, as_completed, wait_for, shield, and a task in the background that reports until it is cancelled.

    python examples/codecount.py FOLDER...              # on asyncio
    python -m compat examples/codecount.py FOLDER...    # the same program on trio

The table goes to standard output, the progress to standard error. `--limit` stops the counting after so many seconds,
and what has been counted by then is shown (exit status 1). `--save FILE` writes the table there, too: not even Ctrl-C
makes that stop half-way.
"""

import argparse
import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

COMMENT = {".py": "#", ".sh": "#", ".toml": "#", ".yml": "#", ".c": "//", ".h": "//", ".js": "//", ".rs": "//"}


def source_files(folder: Path) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if Path(name).suffix in COMMENT]
    return [path for path in found if path.is_file()]


def count_lines(path: Path) -> tuple[str, Counter[str]]:
    """The file's suffix, and how many lines there are of each sort."""
    sign = COMMENT[path.suffix]
    counts = Counter(files=1)
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in map(str.strip, file):
            counts["blank" if not line else "comment" if line.startswith(sign) else "code"] += 1
    return path.suffix, counts


async def report(counted: dict[str, Counter[str]], total: int) -> None:
    while True:
        await asyncio.sleep(2)
        done = sum(counts["files"] for counts in counted.values())
        print(f"{done} of {total} files", file=sys.stderr)


async def count(folders: list[Path], counted: dict[str, Counter[str]]) -> None:
    """Fill `counted`, file by file as they come in."""
    lists = await asyncio.gather(*(asyncio.to_thread(source_files, folder) for folder in folders))
    paths = {path for paths in lists for path in paths}
    reporter = asyncio.create_task(report(counted, len(paths)), name="progress")
    try:
        for next_one in asyncio.as_completed([asyncio.to_thread(count_lines, path) for path in paths]):
            suffix, counts = await next_one
            counted.setdefault(suffix, Counter()).update(counts)
    finally:
        reporter.cancel()


def table(counted: dict[str, Counter[str]]) -> str:
    columns = ("files", "code", "comment", "blank")
    lines = ["".join(f"{title:>10}" for title in ("kind", *columns))]
    for suffix, counts in sorted(counted.items()):
        lines.append(f"{suffix:>10}" + "".join(f"{counts[column]:10}" for column in columns))
    return "\n".join(lines)


async def main(folders: list[Path], limit: float | None, save: Path | None) -> int:
    counted: dict[str, Counter[str]] = {}
    try:
        await asyncio.wait_for(count(folders, counted), limit)
        status = 0
    except TimeoutError:
        print(f"stopped after {limit:g} seconds", file=sys.stderr)
        status = 1
    print(table(counted))
    if save:
        await asyncio.shield(asyncio.to_thread(save.write_text, table(counted) + "\n"))
    return status


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="count lines of code, comments and blank lines")
    parser.add_argument("folders", nargs="+", type=Path, metavar="folder")
    parser.add_argument("--limit", type=float, help="stop after so many seconds")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the table to this file, too")
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.folders, options.limit, options.save)))
