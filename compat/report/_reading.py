"""Finds every use of asyncio and trio in a source file. Nothing of it is run or imported.

A name is looked up as the interpreter would: by scopes, whatever it is called and wherever it was imported. What a name
may hold is the union of everything that is bound to it in its scope, in whatever order; so an import in `try` and its
fallback in `except` are both seen. A method counts as asyncio's where the object surely is asyncio's: everything that
is bound to the name comes from asyncio's own calls, or is declared so, or is a None or a bare parameter beside that. A
`loop`, `_loop` or get_loop() of which the file says nothing else counts as one where asyncio is imported.
"""

from __future__ import annotations

import ast
import sys
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ._table import CLASSES, LOOPS, PUBLIC, ROWS, SUBMODULES, names_by_star

__all__ = ["Source", "Use", "read", "read_text"]


class Use(NamedTuple):
    """One place where an API is used."""

    line: int
    column: int  # from 1 on, in bytes of UTF-8
    api: str  # "asyncio.sleep", "asyncio.Queue.join", "loop.call_later"; "trio.open_nursery"
    kind: str  # "import", "annotation" or "code"


@dataclass
class Source:
    """A file that was read: its uses of asyncio and of trio, each in the order of its lines."""

    path: Path
    lines: int
    asyncio: list[Use]
    trio: list[Use]

    @property
    def world(self) -> str:
        """What it is written for: "asyncio", "trio", "mixed" or "neither"."""
        return world_of(bool(self.asyncio), bool(self.trio))


def world_of(asyncio: bool, trio: bool) -> str:
    """The word for a file or package that uses asyncio, trio, both or neither."""
    return "mixed" if asyncio and trio else "asyncio" if asyncio else "trio" if trio else "neither"


def read_text(path: Path) -> str:
    """The text of a Python file, in the encoding that it declares, without a byte order mark.

    Raises OSError, and SyntaxError or ValueError for bytes that are no text.
    """
    with tokenize.open(path) as file:
        return file.read()


def read(path: Path) -> Source:
    """Read a file. Raises OSError, and SyntaxError, ValueError, RecursionError or MemoryError if it does not parse."""
    text = read_text(path)
    tree = parse(text, str(path))
    uses = sorted(Module(tree).uses())
    return Source(
        path,
        text.count("\n") + (not text.endswith("\n") and text != ""),
        [use for use in uses if not use.api.startswith("trio")],
        [use for use in uses if use.api.startswith("trio")],
    )


def parse(text: str, name: str) -> ast.Module:
    """The tree of a program; its warnings are its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text, name)


# --- what a name may hold --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """Something that an import leads to: "asyncio", "asyncio.sleep", "trio.Event"."""

    name: str


@dataclass(frozen=True)
class Instance:
    """An object of one of asyncio's classes."""

    of: str


@dataclass(frozen=True)
class Member:
    """An attribute of such an object."""

    of: str
    name: str


@dataclass(frozen=True)
class Awaitable:
    """What gives this when it is awaited."""

    result: object


NOTHING = "nothing"  # None, a bare parameter: says neither yes nor no
UNKNOWN = "unknown"


@dataclass
class Scope:
    """A module, function, class or comprehension: what is bound in it, to be evaluated when everything is known."""

    node: ast.AST
    parent: Scope | None
    bound: dict[str, list[tuple[object, Scope]]] = field(default_factory=dict)
    elsewhere: dict[str, Scope] = field(default_factory=dict)  # by `global` and `nonlocal`
    attributes: dict[str, list[tuple[object, Scope]]] = field(default_factory=dict)  # of a class: self.x = ...
    self_name: str | None = None  # of a method

    def bind(self, name: str, value: object, scope: Scope | None = None) -> None:
        """Note a value: an expression to be evaluated in a scope, or what is known of it."""
        target = self.elsewhere.get(name, self)
        target.bound.setdefault(name, []).append((value, scope or self))

    def home_of(self, name: str) -> Scope | None:
        """The scope whose name this is."""
        if name in self.elsewhere:
            return self.elsewhere[name]
        if name in self.bound:
            return self
        scope = self.parent
        while scope is not None:
            if name in scope.elsewhere:
                return scope.elsewhere[name]
            if name in scope.bound and not isinstance(scope.node, ast.ClassDef):
                return scope
            scope = scope.parent
        return None


@dataclass(frozen=True, eq=False)
class Annotation:
    """The declared type of a name."""

    node: ast.expr


@dataclass(frozen=True, eq=False)
class Entered:
    """What `with` gives for a context manager."""

    node: ast.expr


@dataclass(frozen=True, eq=False)
class Item:
    """An item of what a tuple's target is unpacked from."""

    node: ast.expr
    index: int


class Module(ast.NodeVisitor):
    """One file: notes bindings and references in one walk, then resolves the references."""

    def __init__(self, tree: ast.Module) -> None:
        self.root = self.scope = Scope(tree, None)
        self.scopes = [self.root]
        self.references: list[tuple[ast.expr, Scope, str]] = []
        self.imports: list[tuple[int, int, str]] = []
        self.resolving: set[tuple[int, int]] = set()
        self.memory: dict[tuple[int, int], list[object]] = {}
        self.unquoted: dict[ast.Constant, ast.expr | None] = {}
        self.imports_asyncio = False
        self.kind = "code"
        with deep_recursion():
            self.generic_visit(tree)

    # --- scopes ---

    @contextmanager
    def within(self, node: ast.AST) -> Iterator[Scope]:
        outer, self.scope = self.scope, Scope(node, self.scope)
        self.scopes.append(self.scope)
        try:
            yield self.scope
        finally:
            self.scope = outer

    def visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.scope.bind(node.name, UNKNOWN)
        self.visit_all(node.decorator_list)
        arguments = self.visit_signature(node.args)
        self.visit_annotation(node.returns)
        of_class = isinstance(self.scope.node, ast.ClassDef)
        static = any(isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in node.decorator_list)
        outer = self.scope
        with self.within(node) as scope:
            self.declare_elsewhere(node.body)
            for argument in arguments:
                scope.bind(argument.arg, Annotation(argument.annotation) if argument.annotation else NOTHING, outer)
            if of_class and arguments and not static:
                scope.self_name = arguments[0].arg
            self.visit_all(getattr(node, "type_params", ()))
            self.visit_all(node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        arguments = self.visit_signature(node.args)
        with self.within(node) as scope:
            for argument in arguments:
                scope.bind(argument.arg, NOTHING)
            self.visit(node.body)

    def visit_signature(self, node: ast.arguments) -> list[ast.arg]:
        self.visit_all([*node.defaults, *node.kw_defaults])
        arguments = [*node.posonlyargs, *node.args, *node.kwonlyargs]
        for argument in [*arguments, *filter(None, (node.vararg, node.kwarg))]:
            self.visit_annotation(argument.annotation)
        stars = [ast.arg(star.arg) for star in (node.vararg, node.kwarg) if star is not None]
        return [*arguments, *stars]

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.scope.bind(node.name, UNKNOWN)
        self.visit_all([*node.decorator_list, *node.bases, *node.keywords])
        with self.within(node):
            self.visit_all(getattr(node, "type_params", ()))
            self.visit_all(node.body)

    def visit_comprehension_of(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        self.visit(node.generators[0].iter)
        with self.within(node):
            for position, generator in enumerate(node.generators):
                self.bind_target(generator.target, None)
                self.visit_all([generator.iter] if position else [])
                self.visit_all(generator.ifs)
            self.visit_all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_comprehension_of

    def declare_elsewhere(self, body: list[ast.stmt]) -> None:
        """Take `global` and `nonlocal` first: they hold for the whole function."""
        pending: list[ast.AST] = list(body)
        while pending:
            node = pending.pop()
            if isinstance(node, ast.Global):
                self.scope.elsewhere.update(dict.fromkeys(node.names, self.root))
            elif isinstance(node, ast.Nonlocal):
                for name in node.names:
                    home = self.scope.parent.home_of(name) if self.scope.parent else None
                    if home is not None:
                        self.scope.elsewhere[name] = home
            elif isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case) and not isinstance(
                node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
            ):
                pending.extend(ast.iter_child_nodes(node))

    # --- bindings ---

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.imports.append((alias.lineno, alias.col_offset, alias.name))
            known = alias.name if alias.asname else alias.name.partition(".")[0]
            self.scope.bind(alias.asname or known, Known(known))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = "" if node.level else node.module or ""
        for alias in node.names:
            if module:
                self.imports.append((alias.lineno, alias.col_offset, f"{module}.{alias.name}".removesuffix(".*")))
            if alias.name != "*":
                self.scope.bind(alias.asname or alias.name, Known(f"{module}.{alias.name}") if module else UNKNOWN)
            elif as_api(module).startswith("asyncio"):
                for name in names_by_star(as_api(module)):
                    self.scope.bind(name, Known(f"{module}.{name}"))

    def bind_target(self, target: ast.expr, value: object, scope: Scope | None = None) -> None:
        """Note what an assignment's target gets: an expression or what is known of it; None for who knows what."""
        if isinstance(target, ast.Name):
            self.scope.bind(target.id, UNKNOWN if value is None else value, scope or self.scope)
        elif isinstance(target, ast.Attribute):
            owner = self.class_of(target.value.id, self.scope) if isinstance(target.value, ast.Name) else None
            if owner is not None:
                noted = owner.attributes.setdefault(target.attr, [])
                noted.append((UNKNOWN if value is None else value, scope or self.scope))
            self.visit(target)
        elif isinstance(target, ast.Starred):
            self.bind_target(target.value, None)
        elif isinstance(target, ast.Tuple | ast.List):
            items: list[object] = [None] * len(target.elts)
            if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
                items = list(value.elts)
            elif isinstance(value, ast.expr):
                items = [Item(value, index) for index in range(len(target.elts))]
            for item, one in zip(target.elts, items, strict=True):
                self.bind_target(item, one, scope)
        else:
            self.visit(target)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self.bind_target(target, node.value)
        self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit_annotation(node.annotation)
        self.bind_target(node.target, Annotation(node.annotation))
        if node.value is not None:
            if isinstance(node.target, ast.Name) and isinstance(node.annotation, ast.Name | ast.Attribute):
                self.scope.bind(node.target.id, node.value)  # X: TypeAlias = asyncio.Queue
            self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.bind_target(node.target, None)
        self.visit(node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        scope = self.scope
        while isinstance(scope.node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) and scope.parent:
            scope = scope.parent
        scope.bind(node.target.id, node.value, self.scope)
        self.visit(node.value)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.bind_target(node.target, None)
        self.visit(node.iter)
        self.visit_all([*node.body, *node.orelse])

    visit_AsyncFor = visit_For

    def visit_withitem(self, node: ast.withitem) -> None:
        self.visit(node.context_expr)
        if node.optional_vars is not None:
            self.bind_target(node.optional_vars, Entered(node.context_expr))

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.scope.bind(node.name, UNKNOWN)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        if node.name:
            self.scope.bind(node.name, UNKNOWN)
        self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self.scope.bind(node.name, UNKNOWN)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        if node.rest:
            self.scope.bind(node.rest, UNKNOWN)
        self.generic_visit(node)

    # --- references ---

    def visit_annotation(self, node: ast.expr | None) -> None:
        if node is not None:
            outer, self.kind = self.kind, "annotation"
            self.visit(node)
            self.kind = outer

    def visit_Constant(self, node: ast.Constant) -> None:
        """A type in quotes."""
        if self.kind == "annotation" and (inner := self.unquote(node)) is not None:
            self.visit(inner)

    def unquote(self, node: ast.Constant) -> ast.expr | None:
        if node not in self.unquoted:
            self.unquoted[node] = unquoted(node) if isinstance(node.value, str) else None
        return self.unquoted[node]

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.references.append((node, self.scope, self.kind))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A chain of attributes is one reference; what it starts from is looked at by itself if it is no name."""
        self.references.append((node, self.scope, self.kind))
        self.visit_start_of(node)

    def visit_start_of(self, chain: ast.expr) -> None:
        while isinstance(chain, ast.Attribute):
            chain = chain.value
        if not isinstance(chain, ast.Name):
            self.visit(chain)

    def visit_Call(self, node: ast.Call) -> None:
        if asked_attribute(node) is not None:
            self.references.append((node, self.scope, self.kind))
            self.visit_start_of(node.args[0])
            self.visit_all([node.func, *node.args[2:]])
        elif isinstance(node.func, ast.Name | ast.Attribute) and last_name(node.func) == "cast" and node.args:
            self.visit(node.func)
            self.visit_annotation(node.args[0])
            self.visit_all([*node.args[1:], *node.keywords])
        else:
            self.generic_visit(node)

    # --- resolving ---

    def uses(self) -> Iterator[Use]:
        """Every use of asyncio and trio in the file."""
        for line, column, name in self.imports:
            if api := as_api(name):
                yield Use(line, column + 1, api, "import")
        self.imports_asyncio = any(as_api(name).startswith("asyncio") for _, _, name in self.imports)
        with deep_recursion():
            for node, scope, kind in self.references:
                yield from self.uses_in(node, scope, kind)

    def uses_in(self, node: ast.expr, scope: Scope, kind: str) -> Iterator[Use]:
        """What a chain of attributes refers to: its longest part that is asyncio's or trio's."""
        chain: ast.expr | None = node
        while chain is not None:
            apis = {as_api(value.name) for value in self.values(chain, scope) if isinstance(value, Known)}
            for api in sorted(filter(None, apis)):
                yield Use(*place(chain), api, kind)
            if any(apis):
                return
            member = self.surely(chain, scope, Member) or self.by_its_name(chain, scope)
            if isinstance(member, Member):
                yield Use(*place(chain), f"{member.of}.{member.name}", kind)
            if isinstance(chain, ast.Attribute):
                chain = chain.value
            elif isinstance(chain, ast.Call):
                chain = chain.args[0]
            else:
                return
            if not isinstance(chain, ast.Attribute | ast.Name):
                return

    def by_its_name(self, node: ast.expr, scope: Scope) -> Member | None:
        """A method of the loop's, of something called loop or _loop of which the file says nothing else.

        It is a bare parameter, an attribute of self that a base class in another file sets, or what get_loop() gives.
        """
        match node:
            case ast.Attribute(ast.Call(ast.Attribute(attr="get_loop"), [], []), name):
                says_nothing = True
            case ast.Attribute(ast.Name("loop" | "_loop") | ast.Attribute(attr="loop" | "_loop") as loop, name):
                says_nothing = all(value == NOTHING for value in self.values(loop, scope))
            case _:
                return None
        return Member("loop", name) if says_nothing and self.imports_asyncio and f"loop.{name}" in ROWS else None

    def surely(self, node: ast.expr, scope: Scope, kind: type) -> object:
        """The one thing of this kind that the expression can be, None if it may be something else."""
        found = [value for value in self.values(node, scope) if value != NOTHING]
        return found[0] if found and all(isinstance(value, kind) for value in found) else None

    def values(self, node: object, scope: Scope) -> list[object]:
        """All that an expression may be."""
        key = id(node), id(scope)
        if key not in self.memory:
            if key in self.resolving:
                return []  # a name that is bound to something of itself
            self.resolving.add(key)
            self.memory[key] = list(dict.fromkeys(self.evaluate(node, scope)))
            self.resolving.discard(key)
        return self.memory[key]

    def evaluate(self, node: object, scope: Scope) -> Iterator[object]:
        if isinstance(node, ast.Name):
            yield from self.values_of_name(node.id, scope)
        elif isinstance(node, ast.Attribute):
            yield from self.attribute_of(node.value, node.attr, scope)
        elif isinstance(node, ast.Call):
            yield from self.result_of(node, scope)
        elif isinstance(node, ast.Await):
            for value in self.values(node.value, scope):
                yield value.result if isinstance(value, Awaitable) else UNKNOWN
        elif isinstance(node, ast.BoolOp):
            for each in node.values:
                yield from self.values(each, scope)
        elif isinstance(node, ast.IfExp):
            yield from [*self.values(node.body, scope), *self.values(node.orelse, scope)]
        elif isinstance(node, ast.NamedExpr):
            yield from self.values(node.value, scope)
        elif isinstance(node, ast.Subscript):  # asyncio.Queue[int]
            yield from (value if isinstance(value, Known) else UNKNOWN for value in self.values(node.value, scope))
        elif isinstance(node, ast.Constant) and node.value is None:
            yield NOTHING
        elif isinstance(node, Entered):
            yield from self.values(node.node, scope)
        elif isinstance(node, Item):
            for value in self.values(node.node, scope):
                yield value[node.index] if type(value) is tuple else UNKNOWN
        elif isinstance(node, Annotation):
            yield from self.declared(node.node, scope)
        elif isinstance(node, Known) or node == NOTHING:
            yield node
        else:
            yield UNKNOWN

    def values_of_name(self, name: str, scope: Scope) -> Iterator[object]:
        home = scope.home_of(name)
        if home is None:
            yield UNKNOWN  # a built-in name
            return
        for value, where in home.bound[name]:
            yield from self.values(value, where)

    def attribute_of(self, owner: ast.expr, name: str, scope: Scope) -> Iterator[object]:
        if isinstance(owner, ast.Name) and (of_class := self.class_of(owner.id, scope)) is not None:
            noted = [*of_class.attributes.get(name, ()), *of_class.bound.get(name, ())]
            for value, where in noted:
                yield from self.values(value, where)
            return
        for value in self.values(owner, scope):
            if isinstance(value, Known):
                yield Known(f"{value.name}.{name}")
            elif isinstance(value, Instance):
                yield Member(value.of, name)
            else:  # request.loop: see by_its_name()
                yield NOTHING if value == NOTHING or name in ("loop", "_loop") else UNKNOWN

    @staticmethod
    def class_of(name: str, scope: Scope) -> Scope | None:
        """The class that `self` is an instance of."""
        at: Scope | None = scope
        while at is not None:
            if at.self_name == name:
                return at.parent
            if name in at.bound:
                return None
            at = at.parent
        return None

    def result_of(self, call: ast.Call, scope: Scope) -> Iterator[object]:
        name = asked_attribute(call)
        if name is not None:
            yield from self.attribute_of(call.args[0], name, scope)
            return
        if imported := imported_module(call):
            yield Known(imported)
            return
        for function in self.values(call.func, scope):
            if isinstance(function, Member):
                yield GIVES.get(f"{function.of}.{function.name}", UNKNOWN)
            elif isinstance(function, Known):
                api = as_api(function.name)
                yield GIVES.get(api) or instance_of(api)
            else:
                yield UNKNOWN if function != NOTHING else NOTHING

    def declared(self, node: ast.expr, scope: Scope) -> Iterator[object]:
        """What an object may be that is declared as this type."""
        if isinstance(node, ast.Constant):
            inner = self.unquote(node)
            if inner is not None:
                yield from self.declared(inner, scope)
            else:
                yield NOTHING if node.value is None else UNKNOWN
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            yield from [*self.declared(node.left, scope), *self.declared(node.right, scope)]
        elif isinstance(node, ast.Subscript) and last_name(node.value) in ("Optional", "Union", "Final", "ClassVar"):
            inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            for each in inside:
                yield from self.declared(each, scope)
            if last_name(node.value) == "Optional":
                yield NOTHING
        else:
            if isinstance(node, ast.Subscript):
                node = node.value
            for value in self.values(node, scope):
                api = as_api(value.name) if isinstance(value, Known) else ""
                yield instance_of(api)


# --- small things ----------------------------------------------------------------------------------------------------


def as_api(name: str) -> str:
    """The one name of an API that has several, "" if it is neither asyncio's nor trio's."""
    name = name.removeprefix("compat.") if name == "compat.asyncio" or name.startswith("compat.asyncio.") else name
    root, *rest = name.split(".")
    if root == "trio":
        return name
    if root != "asyncio":
        return ""
    if len(rest) > 1 and rest[0] in SUBMODULES and rest[1] in PUBLIC:
        del rest[0]  # asyncio.queues.Queue
    if len(rest) > 1 and f"asyncio.{rest[0]}" in LOOPS:
        return f"loop.{rest[1]}"
    return ".".join(["asyncio", *rest])


def instance_of(api: str) -> object:
    """What a class gives when it is called, and what an object is that is declared so."""
    return Instance("loop") if api in LOOPS else Instance(api) if api in CLASSES else UNKNOWN


_LOOP, _TASK, _FUTURE = Instance("loop"), Instance("asyncio.Task"), Instance("asyncio.Future")
_SERVER, _PROCESS = Awaitable(Instance("asyncio.Server")), Awaitable(Instance("asyncio.subprocess.Process"))
_STREAMS = Awaitable((Instance("asyncio.StreamReader"), Instance("asyncio.StreamWriter")))

# What the calls give that do not give an instance of the class that is called.
GIVES: dict[str, object] = {
    "asyncio.Runner.get_loop": _LOOP,
    "asyncio.Future.get_loop": _LOOP,
    "asyncio.Server.get_loop": _LOOP,
    "asyncio.Task.get_loop": _LOOP,
    "asyncio.TaskGroup.create_task": _TASK,
    "asyncio.create_subprocess_exec": _PROCESS,
    "asyncio.create_subprocess_shell": _PROCESS,
    "asyncio.create_task": _TASK,
    "asyncio.current_task": _TASK,
    "asyncio.ensure_future": _TASK,
    "asyncio.gather": _FUTURE,
    "asyncio.get_event_loop": _LOOP,
    "asyncio.get_running_loop": _LOOP,
    "asyncio.new_event_loop": _LOOP,
    "asyncio.open_connection": _STREAMS,
    "asyncio.open_unix_connection": _STREAMS,
    "asyncio.shield": _FUTURE,
    "asyncio.start_server": _SERVER,
    "asyncio.start_unix_server": _SERVER,
    "asyncio.timeout": Instance("asyncio.Timeout"),
    "asyncio.timeout_at": Instance("asyncio.Timeout"),
    "asyncio.wrap_future": _FUTURE,
    "loop.call_at": Instance("asyncio.TimerHandle"),
    "loop.call_later": Instance("asyncio.TimerHandle"),
    "loop.call_soon": Instance("asyncio.Handle"),
    "loop.call_soon_threadsafe": Instance("asyncio.Handle"),
    "loop.create_future": _FUTURE,
    "loop.create_server": _SERVER,
    "loop.create_task": _TASK,
    "loop.create_unix_server": _SERVER,
    "loop.run_in_executor": _FUTURE,
}


def place(node: ast.expr) -> tuple[int, int]:
    """Line and column of a reference: of its last name, which is what a reader looks for."""
    if isinstance(node, ast.Attribute) and node.end_lineno is not None and node.end_col_offset is not None:
        return node.end_lineno, node.end_col_offset - len(node.attr.encode()) + 1
    return node.lineno, node.col_offset + 1


def last_name(node: ast.expr) -> str:
    """x.y.z: "z"."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def asked_attribute(call: ast.Call) -> str | None:
    """The name in getattr(x, "name") and hasattr(x, "name"), where x is a name or a chain of attributes."""
    match call:
        case ast.Call(
            func=ast.Name(id="getattr" | "hasattr"),
            args=[ast.Name() | ast.Attribute(), ast.Constant(value=str(name)), *_],
        ):
            return name
    return None


def imported_module(call: ast.Call) -> str | None:
    """The module in importlib.import_module("asyncio") and __import__("asyncio")."""
    if last_name(call.func) in ("import_module", "__import__") and len(call.args) == 1 and not call.keywords:
        name = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
        return name if isinstance(name, str) and as_api(name) else None
    return None


def unquoted(node: ast.Constant) -> ast.expr | None:
    """The expression in a quoted type, placed where the quotes are; None if it is none."""
    try:
        inner = ast.parse(str(node.value).strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for each in ast.walk(inner):
        if isinstance(each, ast.expr):
            ast.copy_location(each, node)
    return inner


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Let a walk go as deep as any program that parses: these calls take no room on the C stack."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 100_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
