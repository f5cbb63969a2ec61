"""What the other modules of a project have to do with one of them."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from compat.report._reading import Module, text_of
from compat.report._tree import python_files

__all__ = ["BACKGROUND", "REPLACED", "Others", "others_of", "replaced_names", "siblings"]


class Others(NamedTuple):
    """What other modules have to do with this one."""

    names: frozenset[str] = frozenset()  # all names in those that speak of it
    taken: frozenset[str] = frozenset()  # those that they may take from it, "*" for all
    background: str = ""  # one that it imports which may need the nursery of native's run()
    cancels: str = ""  # one that it imports which may cancel native's tasks
    replaced: frozenset[str] = frozenset()  # names of asyncio's in whose place some module puts something else


# What there is only inside native's run(), or shows the Task that it makes of the main coroutine.
BACKGROUND = {
    *("all_tasks", "as_completed", "create_subprocess_exec", "create_subprocess_shell", "create_task", "current_task"),
    *("open_connection", "open_unix_connection", "run_coroutine_threadsafe", "shield"),
    *("start_server", "start_unix_server"),
}


def others_of(path: Path, before: Mapping[Path, str], after: Mapping[Path, str], replaced: frozenset[str]) -> Others:
    """What the others have to do with a module, given the texts that are known, before and after the codemod."""
    background = cancels = ""
    for other, text in imported_texts(path.absolute(), after):
        names = words(text)
        if "native" in names:
            background = background or ("" if BACKGROUND.isdisjoint(names) else str(other))
            cancels = cancels or (str(other) if "cancel" in names else "")
    callers = callers_of(path.absolute(), before)
    names = frozenset[str]().union(*map(words, callers))
    return Others(names, taken_names(stem_of(path), callers), background, cancels, replaced)


REPLACED = "a module puts something else in its place, as tests do, and would miss trio's name"
WAYS_TO_REPLACE = re.compile(
    r"""\b(?:patch|setattr)\(\s*["'][\w.]*\.(\w+)["']"""  # also a module's own name for it: "work.sleep"
    r"""|\b(?:patch\.object|setattr)\(\s*[\w.]*\basyncio\s*,\s*["'](\w+)["']"""
    r"""|^[ \t]*[\w.]*\basyncio\.(\w+)[ \t]*=(?!=)""",
    re.MULTILINE,
)


def replaced_names(texts: Iterable[str]) -> frozenset[str]:
    """The names of asyncio's in whose place these modules put something else: `patch("asyncio.sleep")`."""
    return frozenset(name for text in texts for found in WAYS_TO_REPLACE.findall(text) for name in found if name)


def siblings(path: Path) -> list[Path]:
    """The files beside one: those of its folder, or all those of its package."""
    folder = path.absolute().parent
    if not (folder / "__init__.py").is_file():
        return sorted(each for each in folder.glob("*.py") if each.is_file())
    while (folder.parent / "__init__.py").is_file():
        folder = folder.parent
    return list(python_files([folder]))


def stem_of(path: Path) -> str:
    """The last part of a module's name."""
    return path.absolute().parent.name if path.stem == "__init__" else path.stem


def callers_of(path: Path, texts: Mapping[Path, str]) -> list[str]:
    """The modules that speak of this one: they may import what it has."""
    stem = stem_of(path)
    return [text for other, text in texts.items() if other != path and stem in words(text)]


def taken_names(stem: str, callers: Iterable[str]) -> frozenset[str]:
    """What stands behind a dot, but compat's, as in mock.patch("it.asyncio.sleep"), and what is imported from it."""
    taken = set[str]()
    for text in callers:
        taken |= attributes(text)
        for names in re.findall(rf"^\s*from\s+(?:[\w.]*\.)?{stem}\s+import\s+(\([^)]*\)|.*)", text, re.M):
            taken.update(re.findall(r"\w+|\*", names))
    return frozenset(taken)


@cache
def attributes(text: str) -> frozenset[str]:
    """What stands behind a dot in a source text, but compat's."""
    return frozenset(re.findall(r"(?<!\bcompat)\.(\w+)", text))


@cache
def words(text: str) -> frozenset[str]:
    """The names in a source text, and other words."""
    return frozenset(re.findall(r"\w+", text))


def imported_texts(path: Path, texts: Mapping[Path, str]) -> Iterator[tuple[Path, str]]:
    """The modules that a module imports, as far as they are near it, and those that these import."""
    seen = {path}
    left = [(path, texts[path])]
    while left:
        for found in files_near(*left.pop()):
            if found not in seen:
                seen.add(found)
                with contextlib.suppress(OSError, SyntaxError, ValueError):
                    text = texts[found] if found in texts else text_of(found.read_bytes())
                    yield found, text
                    left.append((found, text))


@cache
def imported_names(text: str) -> frozenset[str]:
    """The dotted names that a source text imports, without the dots before them; none of one that does not parse."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    names = {name for _, _, name in Module(tree).imports}
    relative = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    names |= {".".join(filter(None, [node.module, alias.name])) for node in relative for alias in node.names}
    return frozenset(names)


def files_near(path: Path, text: str) -> Iterator[Path]:
    """The files that the imports of a module may mean: of its folder, and of those that its packages are in."""
    folders = [path.parent]
    while (folders[-1] / "__init__.py").is_file():
        folders.append(folders[-1].parent)
    for name in imported_names(text):
        parts = name.split(".")
        for folder in folders:
            for end in range(1, len(parts) + 1):
                stem = folder.joinpath(*parts[:end])
                yield from (each for each in (stem.with_suffix(".py"), stem / "__init__.py") if each.is_file())
