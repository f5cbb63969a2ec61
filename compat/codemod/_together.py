"""--to-native for several modules: which of them have to go to native together, so that the program goes on working."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from compat.report._reading import Module, parse

from ._exact import LOOP_STARTERS, is_on_trio
from ._imports import bound_by
from ._project import imported_texts, stem_of
from ._text import Text
from ._to_native import FREE, NAMES, NEEDS_LOOP, SAME, Change, Refusal, name_before, package_of, statements_of

__all__ = ["leave_what_would_break"]

SHARED = "it shares {names} with {other}, which stays on asyncio: port that first"
NO_LOOP = "its run would have no loop for {other}, which stays on asyncio: port that first, or open one in it"
IS_RUN = "{other} runs it, and stays on asyncio: port that first, or leave it out here"
REPLACED_THERE = "a module puts something else in the place of asyncio.{name}, as tests do, and would miss native's"
PATCHED = re.compile(r"""\b(?:patch|setattr)\(\s*["']asyncio\.(?:[a-z]+\.)?(\w+)["']""")


def leave_what_would_break(changes: dict[Path, Change], texts: Mapping[Path, str]) -> None:
    """Take back changes of modules that would not work beside those that stay on asyncio, as far as these are known.

    A run that native starts has no loop. One that asyncio starts runs nothing of native's. And what one module has from
    asyncio and another takes from it is native's for both, or for none.
    """
    modules = {path: Module(parse(text, str(path))) for path, text in texts.items() if "asyncio" in text}
    by_place = {path.absolute(): text for path, text in texts.items()}
    imports = {
        path: dict(imported_texts(path.absolute(), by_place)) for path, module in modules.items() if starts_runs(module)
    }
    absolute = {path.absolute(): path for path in changes}
    links = shared_names(texts)
    patched = {name for text in texts.values() for name in PATCHED.findall(text)}

    def stays(path: Path) -> bool:
        return changes[path].text == texts[path]

    def why(path: Path) -> str:
        """Why a change has to be taken back; "" if it has not."""
        for (one, other), names in sorted(links.items()):
            if one == path and stays(other) and (own_names(texts[other]) or uses_a_loop(texts[other])):
                return SHARED.format(names=", ".join(sorted(names)), other=other)
        for use in modules[path].uses():
            name = use.api.removeprefix("asyncio.")
            if use.kind == "code" and name in patched and name_before(Text(texts[path]), use)[1]:
                return REPLACED_THERE.format(name=name)
        if path in imports and "open_loop" not in texts[path]:
            for other, text in imports[path].items():
                known = absolute.get(other)
                if known is None or stays(known):
                    if uses_a_loop(text):
                        return NO_LOOP.format(other=known or other)
                elif any(NEEDS_LOOP in reason for _, reason in changes[known].left):
                    return NO_LOOP.format(other=known)
        for other in sorted(imports):
            if stays(other) and path.absolute() in imports[other] and not is_on_trio(modules[other]):
                return IS_RUN.format(other=other)
        return ""

    while True:
        reasons = {path: reason for path in sorted(changes) if not stays(path) and (reason := why(path))}
        if not reasons:
            return
        for path, reason in reasons.items():
            changes[path] = Change(texts[path], [], reason)


def starts_runs(module: Module) -> bool:
    return any(use.api in LOOP_STARTERS and use.kind == "code" for use in module.uses())


def uses_a_loop(text: str) -> bool:
    """Whether what a module uses of asyncio needs a loop, as most does."""
    if "asyncio" not in text:
        return False
    try:
        module = Module(parse(text, "<source>"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(
        use.kind == "code" and use.api.startswith("asyncio.") and use.api.removeprefix("asyncio.") not in FREE | SAME
        for use in module.uses()
    )


# --- names that go from module to module -----------------------------------------------------------------------------


def shared_names(texts: Mapping[Path, str]) -> dict[tuple[Path, Path], set[str]]:
    """Which names of asyncio's a module takes from another that has them from asyncio, at whatever remove."""
    brings = {path: {name: {path} for name in own_names(text)} for path, text in texts.items()}
    named = defaultdict[str, list[Path]](list)
    for path in texts:
        named[stem_of(path)].append(path)
    takes = [
        (path, other, taken.name, taken.bound)
        for path, text in texts.items()
        for taken in taken_by(text)
        for other in named[taken.module.rpartition(".")[2] or stem_of(folder_of(path, taken.level))]
        if other != path and is_module(other, taken.level, taken.module, path)
    ]
    links = defaultdict[tuple[Path, Path], set[str]](set)
    before = -1
    while before != (before := sum(map(len, links.values())) + sum(map(len, brings.values()))):
        for path, other, name, bound in takes:
            shared = list(brings[other]) if name == "*" else [name] if name in brings[other] else []
            for each in shared:
                for origin in brings[other][each] - {path}:
                    links[path, origin].add(each)
                    links[origin, path].add(each)
                if bound:
                    brings[path].setdefault(each if name == "*" else bound, set()).update(brings[other][each])
    return links


def own_names(text: str) -> frozenset[str]:
    """The names that a module has from asyncio itself for others to take, and which would be others on native."""
    if "asyncio" not in text:
        return frozenset()
    try:
        tree = parse(text, "<source>")
        found = statements_of(tree)
    except Refusal:
        return NAMES - SAME  # by a star
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    inside = {
        id(each)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for each in ast.walk(node)
    }
    return frozenset(
        name.bound
        for node, names in found.items()
        for name in names
        if id(node) not in inside and name.to and name.alias.name not in SAME
    )


class Taken(NamedTuple):
    """What a module takes from another."""

    level: int  # how many dots stand before the other's name
    module: str
    name: str  # there; "*" for all
    bound: str  # here; "" if it is an attribute of the module


def taken_by(text: str) -> Iterator[Taken]:
    """What a module imports from others, and takes from modules as their attribute."""
    try:
        tree = parse(text, "<source>")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    modules: dict[str, tuple[int, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or not package_of(node.module or "")):
            for alias in node.names:
                yield Taken(node.level, node.module or "", alias.name, bound_by(alias))
                modules[bound_by(alias)] = node.level, ".".join(filter(None, (node.module, alias.name)))
        elif isinstance(node, ast.Import):
            modules.update((alias.asname or alias.name, (0, alias.name)) for alias in node.names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (module := modules.get(ast.unparse(node.value))):
            yield Taken(*module, node.attr, "")


def folder_of(path: Path, level: int) -> Path:
    """The folder from which an import with so many dots counts."""
    return Path(*path.absolute().parts[:-level]) if level else path.absolute().parent


def is_module(other: Path, level: int, module: str, path: Path) -> bool:
    """Whether a file may be what a module names so."""
    place = other.absolute().parent if other.stem == "__init__" else other.absolute().with_suffix("")
    names = tuple(module.split(".")) if module else ()
    if level:
        return place.parts == (*folder_of(path, level).parts, *names)
    return place.parts[-len(names) :] == names
