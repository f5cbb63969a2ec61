"""Puts imports where isort and ruff put them: by sections, plain ones first, each by its name."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable

__all__ = ["NATIVE", "add_import", "add_imports", "drop_import", "imports_at_top"]

NATIVE = "compat.native"
FUTURE, STDLIB, THIRD_PARTY = range(3)


def section_of(name: str) -> int:
    """The section of a module's import. What is not the standard library's goes with trio's."""
    root = name.partition(".")[0]
    return FUTURE if root == "__future__" else STDLIB if root in sys.stdlib_module_names else THIRD_PARTY


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
    """The text with `import name` for each name that is not imported so at the top. There is an import at the top."""
    for name in sorted(names):
        if not any(
            isinstance(each, ast.Import) and any(alias.name == name and not alias.asname for alias in each.names)
            for each in imports_at_top(ast.parse(text))
        ):
            text = add_import(text, f"import {name}")
    return text


def add_import(text: str, statement: str) -> str:
    """The text with an import. There is one at the top."""
    tree = ast.parse(text)
    top = imports_at_top(tree)
    [made] = ast.parse(statement).body
    assert isinstance(made, ast.Import | ast.ImportFrom)
    lines = text.splitlines(keepends=True)
    newline = "\r\n" if lines[top[0].lineno - 1].endswith("\r\n") else "\n"
    new = order_of(made)
    before = [each for each in top if order_of(each) < new]
    after = top[len(before)] if len(before) < len(top) else None
    same_before = bool(before) and order_of(before[-1])[0] == new[0]
    same_after = after is not None and order_of(after)[0] == new[0]
    inserted = [statement + newline]
    if same_after and not same_before and after is not None:
        at = after.lineno - 1
        while at and lines[at - 1].lstrip().startswith("#"):
            at -= 1  # a comment on the import that follows
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
    """The text without the module's import that binds a name, which nothing in it uses, if there is one."""
    tree = ast.parse(text)
    lines = text.splitlines(keepends=True)
    for statement in tree.body:
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        kept = [alias for alias in statement.names if (alias.asname or alias.name).partition(".")[0] != name]
        if len(kept) == len(statement.names):
            continue
        start, end = statement.lineno - 1, statement.end_lineno or statement.lineno
        if any(each.lineno <= end and (each.end_lineno or 0) > start for each in tree.body if each is not statement):
            return text  # it shares its line
        if kept:
            newline = "\r\n" if lines[start].endswith("\r\n") else "\n"
            statement.names = kept
            lines[start:end] = [ast.unparse(statement) + newline]
        else:
            is_alone = start and not lines[start - 1].strip() and end < len(lines) and not lines[end].strip()
            lines[start - bool(is_alone) : end] = []
        return "".join(lines)
    return text
