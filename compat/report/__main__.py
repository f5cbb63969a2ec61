"""The command line of the report."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ._reading import Source, Use
from ._showing import as_html, as_json, as_text
from ._tree import Tree, read_tree, wrong_path
from ._watch import read_watch_file

DESCRIPTION = """\
Show which of asyncio's APIs a code base uses, whether they run on trio here, whether compat.native takes them as they
stand, and what each becomes in trio. What to port first comes first. The files are read, nothing is run. Links to
folders, hidden folders and virtual environments are left out. What was found is kept in ~/.cache/asyncio-on-trio.
"""
STATUS = """\
exit status: 0; 1 if there is asyncio below a --ported path; 2 for a wrong command line; 3 if some file could not be
read (they are named, and the rest is reported); 130 after Ctrl-C (what was read by then is reported).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Report on the paths of the command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m compat.report", description=DESCRIPTION, epilog=STATUS)
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="a folder or a file")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--html", action="store_true", help="as a page of HTML")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write it there instead of printing it")
    parser.add_argument(
        "--ported",
        action="append",
        type=Path,
        default=[],
        metavar="PATH",
        help="a file or folder that has left asyncio: exit with status 1 if it is used or imported there; "
        "compat.native does not count (repeatable)",
    )
    parser.add_argument(
        "--watch",
        type=Path,
        metavar="FILE",
        help="add what a program was seen to do, by `python -m compat --watch --watch-json FILE app.py`",
    )
    parser.add_argument("--no-cache", action="store_true", help="read every file anew, and keep nothing of it")
    options = parser.parse_args(arguments)
    paths: list[Path] = options.paths or options.ported
    if not paths:
        parser.error("name a PATH")
    if wrong := wrong_path([*paths, *options.ported]):
        parser.error(wrong)

    findings = []
    if options.watch:
        try:
            findings = read_watch_file(options.watch)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            parser.error(f"--watch {options.watch}: {reason}")
    if options.output:
        try:
            options.output.open("a").close()  # now, and not after all the work
        except OSError as error:
            parser.error(f"--output {options.output}: {error.strerror}")

    on_file = show_progress if sys.stderr.isatty() else lambda *_: None
    tree = read_tree([*paths, *options.ported], on_file, use_cache=not options.no_cache)
    tree.findings = findings
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    text = (as_json if options.json else as_html if options.html else as_text)(tree)
    try:
        if options.output:
            options.output.write_text(text, encoding="utf-8")
        else:
            print(text, end="" if text.endswith("\n") else "\n", flush=True)
    except BrokenPipeError:  # `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for path, reason in tree.unread:
        print(f"{path}: not read: {reason}", file=sys.stderr)
    left = asyncio_below(tree, options.ported)
    for source, use in left:
        print(f"{source.path}:{use.line}: {use.api} is asyncio, and this is ported", file=sys.stderr)
    if tree.interrupted:
        print("interrupted: the report is of what was read until then", file=sys.stderr)
        return 130
    return 1 if left else 3 if tree.unread else 0


def asyncio_below(tree: Tree, ported: Sequence[Path]) -> list[tuple[Source, Use]]:
    """Every use and import of asyncio in files at or below these paths."""
    roots = [path.resolve() for path in ported]
    return [
        (file, use)
        for file in tree.files
        if any(file.path.resolve().is_relative_to(root) for root in roots)
        for use in file.asyncio
    ]


def show_progress(done: int, of: int, path: Path) -> None:
    """A bar and the file that is next, in one line of the terminal."""
    width = min(os.get_terminal_size(sys.stderr.fileno()).columns, 100)
    filled = 20 * done // of
    line = f"[{'#' * filled}{'.' * (20 - filled)}] {done}/{of} {path}"
    print(f"\r\033[K{line[: width - 1]}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
