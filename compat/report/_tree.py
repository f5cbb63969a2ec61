"""Collects the Python files below some paths, and reads them, by several processes where there are many."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
import signal
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import _cache
from ._reading import Source, lines_of, mentions, uses_in, world_of
from ._watch import Finding

__all__ = ["Package", "Tree", "count", "read_tree", "wrong_path"]

SUFFIXES = (".py", ".pyw")
MANY = 64  # files, for which it is worth starting other processes


@dataclass
class Package:
    """A package, or a folder that is none: its files, without those of the packages in it."""

    name: str
    files: list[Source]

    @functools.cached_property
    def asyncio(self) -> int:
        """How many uses of asyncio there are, imports apart."""
        return sum(count(file) for file in self.files)

    @functools.cached_property
    def trio(self) -> int:
        """How many uses of trio there are, imports apart."""
        return sum(count(file, "trio") for file in self.files)

    @functools.cached_property
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

    files: list[Source] = field(default_factory=list)
    unread: list[tuple[Path, str]] = field(default_factory=list)
    interrupted: bool = False  # so that some files may be missing
    findings: list[Finding] = field(default_factory=list)  # of a watch file

    @functools.cached_property
    def found_in(self) -> dict[Path, list[Finding]]:
        """The findings in the files that were read."""
        by_file: dict[Path, list[Finding]] = {}
        for finding in self.findings:
            by_file.setdefault(Path(finding.file).resolve(), []).append(finding)
        files = [file.path for file in self.files] if by_file else []
        return {path: by_file[path.resolve()] for path in files if path.resolve() in by_file}

    @property
    def found_elsewhere(self) -> list[Finding]:
        """The findings in files that were not read."""
        here = {finding for findings in self.found_in.values() for finding in findings}
        return [finding for finding in self.findings if finding not in here]

    @property
    def packages(self) -> list[Package]:
        """The packages, by name."""
        packages: dict[str, Package] = {}
        for folder, files in itertools.groupby(self.files, lambda file: file.path.parent):
            name = package_of(folder)
            packages.setdefault(name, Package(name, [])).files.extend(files)
        return sorted(packages.values(), key=lambda package: package.name)


def count(file: Source, of: str = "asyncio") -> int:
    """How many uses of asyncio, or of trio, a file has, imports apart."""
    return sum(use.kind != "import" for use in (file.trio if of == "trio" else file.asyncio))


def package_of(folder: Path) -> str:
    """The dotted name of the package that a folder is; where it is none, the folder."""
    at = folder.absolute()
    names: list[str] = []
    while (at / "__init__.py").is_file() and at.name:
        names.insert(0, at.name)
        at = at.parent
    return ".".join(names) or f"{folder}{os.sep}"


def read_tree(
    paths: Sequence[Path],
    on_file: Callable[[int, int, Path], object] = lambda done, of, path: None,
    use_cache: bool = False,
) -> Tree:
    """Read the files below the paths. What cannot be read is noted, and the rest goes on.

    on_file is told before each file how many are done, how many there are, and which is next. Ctrl-C ends the reading;
    what was read by then is in the tree, which says so.
    """
    tree = Tree()
    order: dict[Path, int] = {}

    def note(path: Path, result: Source | str) -> None:
        if isinstance(result, Source):
            tree.files.append(result)
        else:
            tree.unread.append((path, result))

    def tell(path: Path) -> None:
        on_file(len(tree.files) + len(tree.unread), len(order), path)

    try:
        order = {path: number for number, path in enumerate(python_files(paths))}
        left = []
        for path in order:
            tell(path)
            known = known_of(path, use_cache)
            if known is None:
                left.append(path)
            else:
                note(path, known)
        results = results_of(left, use_cache)
        for path in left:
            tell(path)
            note(path, next(results))
    except KeyboardInterrupt:
        tree.interrupted = True
    tree.files.sort(key=lambda file: order[file.path])
    tree.unread.sort(key=lambda entry: order[entry[0]])
    return tree


def known_of(path: Path, use_cache: bool) -> Source | str | None:
    """What is in a file, as far as that is known without parsing it."""
    try:
        data = path.read_bytes()
        if not mentions(data):
            return Source(path, lines_of(data), [], [])
        found = _cache.load(_cache.key_of(data)) if use_cache else None
    except OSError as error:
        return describe(error)
    return None if found is None else found.at(path)


def results_of(files: list[Path], use_cache: bool) -> Iterator[Source | str]:
    """Parse each file, in this order; why it cannot be read, if so."""
    parse_one = functools.partial(result_of, use_cache=use_cache)
    processes = usable_cpus()
    if len(files) < MANY or processes == 1:
        yield from map(parse_one, files)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        try:
            with ignored_by_children():
                results = pool.map(parse_one, files, chunksize=4)
            yield from results
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def usable_cpus() -> int:
    """How many processes can run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def ignored_by_children() -> Iterator[None]:
    """Have Ctrl-C ignored by the processes that are started in the block: who started them ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def result_of(path: Path, use_cache: bool) -> Source | str:
    """What is in a file, or why it cannot be read."""
    try:
        data = path.read_bytes()
        found = uses_in(data, str(path))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return describe(error)
    if use_cache:
        _cache.store(_cache.key_of(data), found)
    return found.at(path)


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
            if "pyvenv.cfg" in names and folder != str(path):
                folders.clear()
                continue
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
            found = (Path(folder, name) for name in sorted(names) if name.endswith(SUFFIXES))
            yield from filter(is_new, found)


def wrong_path(paths: Sequence[Path]) -> str:
    """What is wrong with the first path of a command line at which there is nothing to read, or ""."""
    for path in paths:
        if not path.exists():
            return f"{path}: there is no such file or folder"
        if not any(python_files([path])):
            return f"{path}: there are no Python files in it"
    return ""
