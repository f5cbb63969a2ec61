"""What the other modules of a project have to do with one of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from compat.report._reading import Module, read_text
from compat.report._tree import python_files

__all__ = ["callers_names", "imported_files", "siblings"]


def siblings(path: Path) -> list[Path]:
    """The files beside one: those of its folder, or all those of its package."""
    folder = path.absolute().parent
    if not (folder / "__init__.py").is_file():
        return sorted(each for each in folder.glob("*.py") if each.is_file())
    while (folder.parent / "__init__.py").is_file():
        folder = folder.parent
    return list(python_files([folder]))


def callers_names(path: Path, texts: Mapping[Path, str]) -> frozenset[str]:
    """All names in the modules that speak of this one: they may import what it has."""
    own = path.absolute()
    stem = own.parent.name if own.stem == "__init__" else own.stem
    return frozenset().union(
        *(words(text) for other, text in texts.items() if other.absolute() != own and stem in words(text))
    )


@cache
def words(text: str) -> frozenset[str]:
    """The names in a source text, and other words."""
    return frozenset(re.findall(r"\w+", text))


def imported_files(path: Path, text: str) -> Iterator[Path]:
    """The files of the modules that a module imports, as far as they are near it, and of those that these import."""
    seen = {path.absolute()}
    left = [(path.absolute(), text)]
    while left:
        importer, source = left.pop()
        for found in files_near(importer, source):
            if found not in seen:
                seen.add(found)
                yield found
                try:
                    left.append((found, read_text(found)))
                except (OSError, SyntaxError, ValueError):
                    continue


def files_near(path: Path, text: str) -> Iterator[Path]:
    """The files that the imports of a module may mean: of its folder, and of those that its packages are in."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    names = {name for _, _, name in Module(tree).imports}
    relative = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    names |= {".".join(filter(None, [node.module, alias.name])) for node in relative for alias in node.names}
    folders = [path.parent]
    while (folders[-1] / "__init__.py").is_file():
        folders.append(folders[-1].parent)
    for name in names:
        parts = name.split(".")
        for folder in folders:
            for end in range(1, len(parts) + 1):
                stem = folder.joinpath(*parts[:end])
                yield from (each for each in (stem.with_suffix(".py"), stem / "__init__.py") if each.is_file())
