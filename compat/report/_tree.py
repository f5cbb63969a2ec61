"""Collects the Python files below some paths, and reads them package by package."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ._reading import Source, read, world_of

__all__ = ["Package", "Tree", "read_tree"]

SUFFIXES = (".py", ".pyw")


@dataclass
class Package:
    """A package, or a folder that is none: its files, without those of the packages in it."""

    name: str
    files: list[Source]

    @property
    def asyncio(self) -> int:
        """How many uses of asyncio there are, imports apart."""
        return sum(count(file) for file in self.files)

    @property
    def trio(self) -> int:
        """How many uses of trio there are, imports apart."""
        return sum(count(file, "trio") for file in self.files)

    @property
    def worlds(self) -> Counter[str]:
        """How many files are "asyncio", "trio", "mixed" and "neither"."""
        return Counter(file.world for file in self.files)

    @property
    def world(self) -> str:
        """What the package as a whole is written for."""
        worlds = self.worlds
        return world_of(
            bool(worlds["asyncio"] or worlds["mixed"]),
            bool(worlds["trio"] or worlds["mixed"]),
        )


@dataclass
class Tree:
    """All that was read, and what could not be."""

    files: list[Source]
    unread: list[tuple[Path, str]]

    @property
    def packages(self) -> list[Package]:
        """The packages, by name."""
        packages: dict[str, Package] = {}
        for file in self.files:
            name = package_of(file.path)
            packages.setdefault(name, Package(name, [])).files.append(file)
        return sorted(packages.values(), key=lambda package: package.name)


def count(file: Source, of: str = "asyncio") -> int:
    """How many uses of asyncio, or of trio, a file has, imports apart."""
    return sum(use.kind != "import" for use in (file.trio if of == "trio" else file.asyncio))


def package_of(path: Path) -> str:
    """The dotted name of the package that a file is in; outside of any, its folder."""
    folder = path.absolute().parent
    names: list[str] = []
    while (folder / "__init__.py").is_file() and folder.name:
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names) or f"{path.parent}{os.sep}"


def read_tree(paths: Sequence[Path], on_file: Callable[[int, int, Path], object] = lambda done, of, path: None) -> Tree:
    """Read the files below the paths. What cannot be read is noted, and the rest goes on.

    on_file is told before each file how many are done, how many there are, and which is next.
    """
    files = list(python_files(paths))
    tree = Tree([], [])
    for done, path in enumerate(files):
        on_file(done, len(files), path)
        try:
            tree.files.append(read(path))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            tree.unread.append((path, describe(error)))
    return tree


def describe(error: Exception) -> str:
    """What is wrong with a file, in one line."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg)
    if isinstance(error, RecursionError | MemoryError):
        return "too deeply nested"
    return str(error)


def python_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Each Python file once, folder by folder; files that are named are taken whatever they are called.

    Links to folders are not followed, so there are no loops. Hidden folders and virtual environments are left out,
    unless they are named.
    """
    seen: set[tuple[int, int]] = set()

    def is_new(path: Path) -> bool:
        try:
            status = path.stat()
        except OSError:
            return True  # read() will say what is wrong
        if not stat.S_ISREG(status.st_mode) or (status.st_dev, status.st_ino) in seen:
            return False
        seen.add((status.st_dev, status.st_ino))
        return True

    for path in paths:
        if not path.is_dir():
            if is_new(path):
                yield path
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if is_own(Path(folder, name)))
            found = (Path(folder, name) for name in sorted(names) if name.endswith(SUFFIXES))
            yield from filter(is_new, found)


def is_own(folder: Path) -> bool:
    """Tell whether a folder is part of the code base."""
    return not (folder.name.startswith(".") or folder.name == "__pycache__" or (folder / "pyvenv.cfg").exists())
