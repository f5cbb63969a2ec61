"""The command line of the codemod."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path

from compat import codemod
from compat.report._reading import text_of
from compat.report._showing import number_of
from compat.report._tree import describe, python_files, wrong_path

from . import NO_LIBCST, Change, change, is_on_native, to_native
from ._project import Others, others_of, replaced_names, siblings
from ._text import split_lines
from ._together import leave_what_would_break

STATUS = """\
exit status: 0; 1 with --check if something would change; 2 for a wrong command line, also for a folder without Python
files; 3 if some file could not be read or written, or takes libcst, which is not there. Modules that are left alone as
a whole, as those on the real asyncio, change nothing of it: the last line counts them.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the differences, or write them with --write; the exit status."""
    assert codemod.__doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m compat.codemod",
        description=codemod.__doc__.partition("\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=STATUS,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a folder or a file")
    parser.add_argument("--diff", action="store_true", help="print the differences, which is what it does by itself")
    parser.add_argument("--write", action="store_true", help="write the files")
    parser.add_argument("--check", action="store_true", help="print nothing; exit with status 1 if a file would change")
    parser.add_argument("--quiet", action="store_true", help="do not name what is left")
    parser.add_argument("--to-native", action="store_true", help="only put native in the place of asyncio's imports")
    options = parser.parse_args(arguments)
    if options.write and options.check:
        parser.error("--check writes nothing")
    if wrong := wrong_path(options.paths):
        parser.error(wrong)

    texts: dict[Path, str] = {}
    encodings: dict[Path, str] = {}
    changes: dict[Path, Change] = {}
    native: list[Path] = []
    unread = 0
    for path in python_files(options.paths):
        try:
            with path.open("rb") as file:
                encodings[path], _ = tokenize.detect_encoding(file.readline)
            texts[path] = path.read_bytes().decode(encodings[path])
            if is_on_native(texts[path]) and not options.to_native:
                native.append(path)
            changes[path] = to_native(texts[path]) if options.to_native else change(texts[path])
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            unread += 1
            print(f"{path}: not read: {describe(error)}", file=sys.stderr)
    if options.to_native:
        leave_what_would_break(changes, {path: texts[path] for path in changes})
    else:
        regard_others(changes, [path for path in changes if path in native or changes[path].text != texts[path]], texts)

    changed = {path: each.text for path, each in changes.items() if each.text != texts[path]}
    left = refused = 0
    for path, each in changes.items():
        if path in changed and (options.diff or not (options.check or options.quiet)):
            sys.stdout.writelines(difference(texts[path], each.text, path))
        unread += each.refusal == NO_LIBCST
        refused += bool(each.refusal)
        if each.refusal and (each.refusal == NO_LIBCST or not options.quiet):
            print(f"{path}: left alone: {each.refusal}", file=sys.stderr)
        for use, reason in each.left:
            left += not each.refusal
            if not options.quiet:
                print(f"{path}:{use.line}: {use.api} left alone: {reason}", file=sys.stderr)
    sys.stdout.flush()
    written = len(changed)
    if options.write:
        for path, text in changed.items():
            try:
                path.write_bytes(text.encode(encodings[path]))
            except OSError as error:
                unread += 1
                written -= 1
                print(f"{path}: not written: {describe(error)}", file=sys.stderr)
    if not options.quiet:
        what = "changed" if options.write else "can be changed (--write does it)"
        print(
            f"{number_of(len(changes), 'file')} read, {written} {what}; "
            f"left alone: {number_of(refused, 'file')} as a whole, {number_of(left, 'use')} of asyncio in others",
            file=sys.stderr,
        )
    return 3 if unread else int(options.check and bool(changed))


def regard_others(changes: dict[Path, Change], paths: list[Path], texts: dict[Path, str]) -> None:
    """Change modules again, with regard to the others; what one becomes may be what another waits for."""
    around = {path.absolute(): text for path, text in texts.items()}
    for other in {each for path in paths for each in siblings(path)} - around.keys():
        with contextlib.suppress(OSError, SyntaxError, ValueError):
            around[other] = text_of(other.read_bytes())
    replaced = replaced_names(around.values())
    regarded = dict.fromkeys(paths, Others())
    while True:
        now = around | {path.absolute(): changes[path].text for path in paths}
        others = {path: others_of(path, around, now, replaced) for path in paths}
        if others == regarded:
            return
        for path in paths:
            if others[path] != regarded[path]:
                changes[path] = change(texts[path], others[path])
        regarded = others


def difference(before: str, after: str, path: Path) -> Iterator[str]:
    """A unified diff, for a reader or for patch."""
    name = path.as_posix()
    lines = difflib.unified_diff(split_lines(before), split_lines(after), f"a/{name}", f"b/{name}")
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


if __name__ == "__main__":
    sys.exit(main())
