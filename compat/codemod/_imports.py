"""Puts imports where isort and ruff put them: by sections, plain ones first, each by its name."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator

from compat.report._reading import parse

from ._text import Edit, Text, split_lines

__all__ = [
    "NATIVE",
    "add_import",
    "add_imports",
    "drop_import",
    "imports_at_top",
    "place_for_imports",
    "section_of_statement",
]

NATIVE = "compat.native"
FUTURE, STDLIB, THIRD_PARTY = range(3)


def section_of(name: str) -> int:
    """The section of a module's import. What is not the standard library's goes with trio's."""
    root = name.partition(".")[0]
    return FUTURE if root == "__future__" else STDLIB if root in sys.stdlib_module_names else THIRD_PARTY


def section_of_statement(statement: ast.Import | ast.ImportFrom) -> int:
    """The section of an import statement."""
    return order_of(statement)[0]


def order_of(statement: ast.Import | ast.ImportFrom) -> tuple[int, bool, str]:
    """Where an import stands among the others: relative ones come last."""
    if isinstance(statement, ast.ImportFrom):
        name = "." * statement.level + (statement.module or "")
        return THIRD_PARTY + 1 if statement.level else section_of(name), True, name.lower()
    name = statement.names[0].name
    return section_of(name), False, name.lower()


def imports_at_top(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    """The imports before the first statement that is none."""
    found: list[ast.Import | ast.ImportFrom] = []
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            found.append(statement)
        elif found or not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
            break
    return found


def add_imports(text: str, names: Iterable[str]) -> str:
    """The text with `import name` for each name that is not imported so before it is used. There is one at the top."""
    for name in sorted(names):
        if not is_imported_in_time(parse(text, "<source>"), name):
            text = add_import(text, f"import {name}")
    return text


def is_imported_in_time(tree: ast.Module, name: str) -> bool:
    """Whether the module itself has `import name` before the first statement that speaks of it."""
    for statement in tree.body:
        if isinstance(statement, ast.Import) and any(each.name == name and not each.asname for each in statement.names):
            return True
        if any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(statement)):
            return False
    return False


def place_for_imports(tree: ast.Module) -> ast.stmt | None:
    """The statement before which the first import goes; None if a docstring shares its line, or stands alone."""
    is_doc = bool(tree.body) and isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Constant)
    rest = tree.body[is_doc:]
    return rest[0] if rest and (not is_doc or rest[0].lineno > (tree.body[0].end_lineno or 0)) else None


def add_import(text: str, statement: str) -> str:
    """The text with an import. There is one at the top, or a place for it."""
    tree = parse(text, "<source>")
    top = imports_at_top(tree)
    if not top:
        first = place_for_imports(tree)
        assert first is not None
        lines = split_lines(text)
        at = min([first.lineno, *(each.lineno for each in getattr(first, "decorator_list", ()))]) - 1
        newline = "\r\n" if lines[at].endswith("\r\n") else "\n"
        return "".join([*lines[:at], statement + newline, newline, *lines[at:]])
    [made] = ast.parse(statement).body
    assert isinstance(made, ast.Import | ast.ImportFrom)
    lines = split_lines(text)
    newline = "\r\n" if lines[top[0].lineno - 1].endswith("\r\n") else "\n"
    new = order_of(made)
    before = [each for each in top if order_of(each) < new]
    after = top[len(before)] if len(before) < len(top) else None
    same_before = bool(before) and order_of(before[-1])[0] == new[0]
    same_after = after is not None and order_of(after)[0] == new[0]
    inserted = [statement + newline]
    if not before and after is not None and after.lineno <= end_of(tree, tree.body[0]) and after is not tree.body[0]:
        at = end_of(tree, after)  # it shares its line with the docstring
        if not lines[at - 1].endswith(("\n", "\r")):
            lines[at - 1] += newline
    elif same_after and not same_before and after is not None:
        at = after.lineno - 1
        while at and lines[at - 1].lstrip().startswith("#"):
            at -= 1  # a comment on the import that follows
        at = at or after.lineno - 1  # those at the top are the file's, as `#!` and a licence
    elif before:
        at = end_of(tree, before[-1])
        if not lines[at - 1].endswith(("\n", "\r")):
            lines[at - 1] += newline
        if not same_before:
            inserted.insert(0, newline)
        if not same_before and after is not None and at < len(lines) and lines[at].strip():
            inserted.append(newline)
    else:
        assert after is not None
        at = after.lineno - 1
        inserted.append(newline)
    lines[at:at] = inserted
    return "".join(lines)


def end_of(tree: ast.Module, statement: ast.stmt) -> int:
    """The last line of a statement, and of what shares that line after a semicolon."""
    end = statement.end_lineno or statement.lineno
    for other in tree.body:
        if other.lineno == end and other.end_lineno is not None:
            end = max(end, other.end_lineno)
    return end


def drop_import(text: str, name: str) -> str:
    """The text without the imports that bind a name, which nothing uses: the module's, and native's in its blocks.

    What shares its line with another statement stays, and so does what is alone in its block, but for what only type
    checkers read.
    """
    tree = parse(text, "<source>")
    found = [
        (each, block)
        for block in blocks_of(tree)
        for each in block
        if isinstance(each, ast.Import | ast.ImportFrom) and any(bound_by(alias) == name for alias in each.names)
    ]
    of_module = [each for each, block in found if block is tree.body][:1]
    for statement, block in sorted(found, key=lambda each: -each[0].lineno):
        is_alone = len(block) == len(statement.names) == 1
        if statement in of_module or (block is not tree.body and not is_alone and is_of_native(statement)):
            text = without_name(text, statement, name)
        elif is_alone and is_of_native(statement) and (guard := guard_of(tree, block)):
            text = without_guard(text, guard)
    return text


def guard_of(tree: ast.Module, block: list[ast.stmt]) -> ast.If | None:
    """The `if TYPE_CHECKING:` of the module whose block this is, if that is all that it has."""
    for each in tree.body:
        if isinstance(each, ast.If) and each.body is block and not each.orelse:
            return each if ast.unparse(each.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING") else None
    return None


def without_guard(text: str, guard: ast.If) -> str:
    """The text without an `if TYPE_CHECKING:` that has nothing left, and without the import of that name."""
    source = Text(text)
    if "#" in source.of(guard) or not source.is_alone(guard):
        return text
    changed = source.without(guard)
    name = ast.unparse(guard.test).partition(".")[0]
    still = {each.id for each in ast.walk(parse(changed, "<source>")) if isinstance(each, ast.Name)}
    return changed if name in still else drop_import(changed, name)


def blocks_of(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    """The lists of statements: the module's, those of functions, of branches."""
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list) and block:
                yield block


def bound_by(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def is_of_native(statement: ast.Import | ast.ImportFrom) -> bool:
    name = ast.unparse(statement)
    return name.startswith((f"from {NATIVE} ", f"from {NATIVE}.", "from compat import native"))


def without_name(text: str, statement: ast.Import | ast.ImportFrom, name: str) -> str:
    """The text without one name of an import. Comments stay, but for one on the line of that name alone."""
    source = Text(text)
    kept = [alias for alias in statement.names if bound_by(alias) != name]
    if not kept:
        return source.without(statement) if source.is_alone(statement) else text
    start, end = source.span(statement.names[0])[0], source.span(statement.names[-1])[1]
    if "\n" not in text[start:end]:
        return source.changed([Edit(start, end, ", ".join(source.of(alias) for alias in kept))])
    shared = {statement.lineno, statement.end_lineno, *(line for alias in kept for line in lines_of(alias))}
    dropped = {line for alias in statement.names if alias not in kept for line in lines_of(alias)}
    if shared.isdisjoint(dropped):
        lines = ["" if number in dropped else line for number, line in enumerate(source.lines, 1)]
        changed = "".join(lines)
        if ast.dump(parse(changed, "<source>")) != ast.dump(parse(text, "<source>")):
            return changed
    if "#" in source.of(statement):
        return text
    made = type(statement)(**{**vars(statement), "names": kept})
    return source.changed([Edit(*source.span(statement), ast.unparse(made))])


def lines_of(alias: ast.alias) -> range:
    return range(alias.lineno, (alias.end_lineno or alias.lineno) + 1)
