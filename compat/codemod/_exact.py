"""The rules for a module whose asyncio is compat's exact one: what means the same in both worlds.

There both work side by side, and each step can be small. A file shows it by `from compat import asyncio`, by a call of
compat.install(), or by compat.run() or compat.open_loop() where nothing of asyncio's starts a loop.

    await asyncio.sleep(1)                await trio.sleep(1)                  a number, or a module's constant, >= 0
    await asyncio.sleep(0)                await trio.lowlevel.checkpoint()
    await asyncio.Event().wait()          await trio.sleep_forever()           nobody else has the event or future
    await asyncio.Future()                await trio.sleep_forever()
    asyncio.get_running_loop().time()     trio.current_time()                  in an async function
    asyncio.TimeoutError                  TimeoutError                         it is the same class
    asyncio.subprocess.PIPE               subprocess.PIPE                      STDOUT and DEVNULL, too

Two things may be seen. Of several tasks that are due at the same instant, one that waits in trio may come first. And
Task.cancel() interrupts a wait of asyncio's until the task goes on; where one of trio's has ended, it is the next one.
"""

from __future__ import annotations

import ast
import builtins
import re
from typing import NamedTuple

from compat.report._reading import Known, Module, Use, as_api, deep_recursion, place

from ._imports import add_imports, drop_import, imports_at_top
from ._project import REPLACED, Others
from ._text import split_lines

__all__ = ["DECLARATION", "change_exact", "is_on_trio"]

DECLARATION = "a declaration, which changes with what it declares"


class Edit(NamedTuple):
    """A replacement in one line; columns are in bytes of UTF-8."""

    line: int
    start: int
    end: int
    text: str
    use: tuple[int, int]  # line and column of the use that it does away with
    needs: str  # a module to be imported, or ""


def change_exact(text: str, tree: ast.Module, module: Module, others: Others) -> tuple[str, list[tuple[Use, str]]]:
    """Replace what is sure; what was not touched, and why."""
    uses = uses_of_asyncio(module)
    lines = split_lines(text)
    finder = Finder(module, lines)
    with deep_recursion():
        finder.visit(tree)

    edits = finder.edits
    reasons = dict(finder.reasons)
    spared = {use[:2] for use in uses if use.api.removeprefix("asyncio.") in others.replaced}
    pieces = {edit[:3] for edit in edits if edit.use in spared}
    reasons.update((edit.use, REPLACED) for edit in edits if edit[:3] in pieces)
    edits = [edit for edit in edits if edit[:3] not in pieces]
    for needed in ("trio", "subprocess"):
        obstacle = None
        if not is_free(module, needed):
            obstacle = f"{needed} is the name of something else in this file"
        elif not imports_at_top(tree):
            obstacle = f"there is no import at the top of the file, to put `import {needed}` after"
        if obstacle:
            reasons.update((edit.use, obstacle) for edit in edits if edit.needs == needed)
            edits = [edit for edit in edits if edit.needs != needed]

    done = {edit.use for edit in edits}
    for number, start, end, new in sorted({edit[:4] for edit in edits}, reverse=True):
        line = lines[number - 1].encode()
        lines[number - 1] = (line[:start] + new.encode() + line[end:]).decode()
    changed = add_imports("".join(lines), {edit.needs for edit in edits} - {""})
    for name in names_read(tree) - names_read(ast.parse(changed)) - others.taken if "*" not in others.taken else ():
        changed = drop_import(changed, name)
    return changed, [(use, reasons.get(use[:2]) or why_not(use)) for use in uses if use[:2] not in done]


def names_read(tree: ast.Module) -> set[str]:
    """The names that are read somewhere, or may be in quotes, as a declaration or in __all__."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    names = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            names.update(re.findall(r"\w+", node.value))
    return names


def uses_of_asyncio(module: Module) -> list[Use]:
    """The uses that are no imports, in the order of the source."""
    return sorted(use for use in module.uses() if use.api.startswith(("asyncio", "loop.")) and use.kind != "import")


def why_not(use: Use) -> str:
    """Why a use that no rule speaks of is left alone."""
    if use.kind == "annotation":
        return DECLARATION
    return "in trio it means something else (see compat.report)"


class Finder(ast.NodeVisitor):
    """Finds what can be replaced in a file."""

    def __init__(self, module: Module, lines: list[str]) -> None:
        self.module = module
        self.lines = lines
        self.scopes = {id(node): scope for node, scope, _ in module.references}
        self.edits: list[Edit] = []
        self.reasons: list[tuple[tuple[int, int], str]] = []
        self.in_async = False

    # --- what the walk passes ---

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_inside(node, *node.body)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.visit_inside(node, *node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit_inside(node, node.body)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self.visit_inside(node, *ast.iter_child_nodes(node))  # who knows where it is iterated

    def visit_inside(self, node: ast.AST, *body: ast.AST) -> None:
        """Walk what is done later, and before that what is done where the function is made."""
        for child in ast.iter_child_nodes(node):
            if child not in body:
                self.visit(child)
        outer, self.in_async = self.in_async, isinstance(node, ast.AsyncFunctionDef)
        for child in body:
            self.visit(child)
        self.in_async = outer

    def visit_Await(self, node: ast.Await) -> None:
        match node.value:
            case ast.Call() as call if self.api(call.func) == "asyncio.sleep":
                self.replace_sleep(call)
            case ast.Call(func=ast.Attribute(value=ast.Call(args=[], keywords=[]) as event, attr="wait"), args=[]) if (
                self.api(event.func) == "asyncio.Event"
            ):
                self.replace(node.value, "trio.sleep_forever()", "trio", event.func, node.value.func)
            case ast.Call(args=[], keywords=[]) as call if self.api(call.func) == "asyncio.Future":
                self.replace(call, "trio.sleep_forever()", "trio", call.func)
            case ast.Call(func=ast.Attribute(value=ast.Call() as loop, attr="create_future") as method, args=[]) if (
                self.api(loop.func) in CURRENT_LOOP
            ):
                self.replace(node.value, "trio.sleep_forever()", "trio", loop.func, method)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Call(args=[], keywords=[]) as loop, attr="time"), args=[]) if (
                self.api(loop.func) in CURRENT_LOOP
            ):
                if self.in_async:
                    self.replace(node, "trio.current_time()", "trio", loop.func, node.func)
                else:
                    self.leave(node.func, "outside of an async function nobody knows whether a loop runs")
        if self.api(node.func) == "asyncio.sleep" and place(node.func) not in {edit.use for edit in self.edits}:
            known = {use for use, _ in self.reasons}
            if place(node.func) not in known:
                self.leave(node.func, "its coroutine is not awaited here, but handed on")
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.visit_name(node)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self.visit_name(node)

    def visit_name(self, node: ast.Name | ast.Attribute) -> None:
        api = self.api(node) if isinstance(node.ctx, ast.Load) else ""
        if api == "asyncio.TimeoutError":
            if builtin_is_hidden(self.module, "TimeoutError") and ast.unparse(node) != "TimeoutError":
                self.leave(node, "TimeoutError is the name of something else in this file")
            elif ast.unparse(node) != "TimeoutError":
                self.replace(node, "TimeoutError", "", node)
        elif api in PIPES:
            self.replace(node, PIPES[api], "subprocess", node)

    # --- what is done ---

    def api(self, node: ast.expr) -> str:
        """The one API that a name or chain of attributes surely is."""
        scope = self.scopes.get(id(node))
        if scope is None:
            return ""
        values = self.module.values(node, scope)
        names = {as_api(value.name) for value in values if isinstance(value, Known)}
        return names.pop() if len(names) == 1 and len(values) == 1 else ""

    def replace_sleep(self, call: ast.Call) -> None:
        if len(call.args) != 1 or call.keywords or isinstance(call.args[0], ast.Starred):
            self.leave(call.func, "trio.sleep() gives no result")
            return
        seconds = self.constant(call.args[0])
        if seconds is None or seconds < 0:
            self.leave(call.func, "trio.sleep() refuses a time below 0, and this one is not known")
        elif seconds == 0 and isinstance(call.args[0], ast.Constant):
            self.replace(call, "trio.lowlevel.checkpoint()", "trio", call.func)
        else:
            self.replace(call.func, "trio.sleep", "trio", call.func)

    def constant(self, node: ast.expr) -> float | None:
        """The number that an expression is: itself, or bound once to a name of the module."""
        if isinstance(node, ast.Name):
            scope = self.scopes.get(id(node))
            if scope is None or scope.home_of(node.id) is not self.module.root:
                return None
            bound = self.module.root.bound[node.id]
            value = bound[0][0] if len(bound) == 1 else None
            return self.constant(value) if isinstance(value, ast.Constant) else None
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return float(node.value)  # type: ignore[arg-type]
        return None

    def replace(self, node: ast.expr, text: str, needs: str, *uses: ast.expr) -> None:
        """Replace a piece of source, with the uses that are in it, if it is in one line and really there."""
        line, end_line, start, end = node.lineno, node.end_lineno, node.col_offset, node.end_col_offset
        source = self.lines[line - 1].encode()[start:end].decode(errors="replace")
        try:
            is_there = end_line == line and ast.unparse(ast.parse(source, mode="eval")) == ast.unparse(node)
        except (SyntaxError, ValueError):  # in an f-string, before Python 3.12
            is_there = False
        for use in uses:
            if is_there and end is not None:
                self.edits.append(Edit(line, start, end, text, place(use), needs))
            else:
                self.leave(use, "it goes over several lines, or is inside an f-string")

    def leave(self, node: ast.expr, reason: str) -> None:
        self.reasons.append((place(node), reason))


def is_on_trio(module: Module) -> bool:
    """Tell whether the asyncio of a file is surely compat's, so that trio's functions work where asyncio's do."""
    if not any(name.partition(".")[0] == "asyncio" for _, _, name in module.imports):
        return True
    values = (value for node, scope, _ in module.references for value in module.values(node, scope))
    known = {value.name for value in values if isinstance(value, Known)}
    starts_loops = any(use.api in LOOP_STARTERS for use in module.uses())
    return "compat.install" in known or (not starts_loops and not known.isdisjoint(("compat.run", "compat.open_loop")))


LOOP_STARTERS = ("asyncio.run", "asyncio.Runner", "loop.run_until_complete", "loop.run_forever")
CURRENT_LOOP = ("asyncio.get_running_loop", "asyncio.get_event_loop")
PIPES = {f"asyncio.subprocess.{name}": f"subprocess.{name}" for name in ("PIPE", "STDOUT", "DEVNULL")}


def is_free(module: Module, name: str) -> bool:
    """Tell whether a name can stand for the module of that name everywhere in the file."""
    values = (value for scope in module.scopes for value, _ in scope.bound.get(name, ()))
    return all(value == Known(name) for value in values)


def builtin_is_hidden(module: Module, name: str) -> bool:
    """Tell whether a built-in name stands for something else somewhere in the file."""
    assert hasattr(builtins, name)
    return any(name in scope.bound for scope in module.scopes)
