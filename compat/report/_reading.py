"""Finds every use of asyncio and trio in a source file. Nothing of it is run or imported.

A name is looked up as the interpreter would: by scopes, whatever it is called and wherever it was imported. What a name
may hold is the union of everything that is bound to it in its scope, in whatever order; so an import in `try` and its
fallback in `except` are both seen. A method counts as asyncio's where the object surely is asyncio's: everything that
is bound to the name comes from asyncio's own calls, or is declared so, or is a None or a bare parameter beside that. A
`loop`, `_loop` or get_loop() of which the file says nothing else counts as one where asyncio is imported.

Where only a part of what is bound is asyncio's, or nothing but the name speaks for it (`queue.join()`), the use is a
possible one, and is kept apart.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ._table import CLASSES, LOOPS, PUBLIC, ROWS, SUBMODULES, is_method, names_by_star

__all__ = ["Found", "Source", "Use", "lines_of", "mentions", "read", "uses_in"]


class Use(NamedTuple):
    """One place where an API is used."""

    line: int
    column: int  # from 1 on, in bytes of UTF-8
    api: str  # "asyncio.sleep", "asyncio.Queue.join", "loop.call_later"; "trio.open_nursery"
    kind: str  # "import", "annotation", "subclass" (it is derived from) or "code"
    arguments: tuple[str, ...] | None = None  # of a call: "" by position, "name" or, if that is None or 0, "name="


@dataclass
class Source:
    """A file that was read: its uses of asyncio and of trio, each in the order of its lines."""

    path: Path
    lines: int
    asyncio: list[Use]
    trio: list[Use]
    possible: list[Use] = field(default_factory=list)  # what may be asyncio's

    @property
    def world(self) -> str:
        """What it is written for: "asyncio", "trio", "mixed" or "neither"."""
        return world_of(bool(self.asyncio), bool(self.trio))


def world_of(asyncio: bool, trio: bool) -> str:
    """The word for a file or package that uses asyncio, trio, both or neither."""
    return "mixed" if asyncio and trio else "asyncio" if asyncio else "trio" if trio else "neither"


class Found(NamedTuple):
    """What is in a source text, whatever its file is called."""

    lines: int
    uses: list[Use]
    possible: list[Use]

    def at(self, path: Path) -> Source:
        """The same for a file."""
        trio = [use for use in self.uses if use.api.startswith("trio")]
        return Source(path, self.lines, [use for use in self.uses if use not in trio], trio, self.possible)


WORDS = re.compile(rb"\b(?:asyncio|trio)\b")


def mentions(data: bytes) -> bool:
    """Tell whether the words asyncio or trio are in a file: else nothing of them is used there."""
    return (b"asyncio" in data or b"trio" in data) and WORDS.search(data) is not None  # `in` is far quicker


def lines_of(data: bytes) -> int:
    """How many lines a file has, by its bytes."""
    return data.count(b"\n") + (not data.endswith(b"\n") and data != b"")


def uses_in(data: bytes, name: str) -> Found:
    """Read a source text, in the encoding that it declares.

    Raises SyntaxError, ValueError, RecursionError or MemoryError if it does not parse.
    """
    if not mentions(data):
        return Found(lines_of(data), [], [])
    text = text_of(data)
    module = Module(parse(text, name))
    uses = sorted(module.uses(), key=lambda use: use[:4])
    lines = text.count("\n") + (not text.endswith("\n") and text != "")
    return Found(lines, uses, sorted(set(module.possible), key=lambda use: use[:4]))


def text_of(data: bytes) -> str:
    """The text of a Python file, in the encoding that it declares, without a byte order mark.

    Raises SyntaxError or ValueError for bytes that are no text.
    """
    buffer = io.BytesIO(data)
    encoding, _ = tokenize.detect_encoding(buffer.readline)
    buffer.seek(0)
    return io.TextIOWrapper(buffer, encoding).read()


def read(path: Path) -> Source:
    """Read a file. Raises OSError, and what uses_in() raises."""
    return uses_in(path.read_bytes(), str(path)).at(path)


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
class Outer(Instance):
    """The Future that gather() or shield() gives: who awaits it uses that, whatever it is made of."""

    by: str


@dataclass(frozen=True)
class Member:
    """An attribute of such an object."""

    of: str
    name: str


@dataclass(frozen=True)
class Awaitable:
    """What gives this when it is awaited."""

    result: object


@dataclass(frozen=True)
class Many:
    """A list, set, tuple or dict, and all that its items, or a dict's values, may be."""

    of: tuple[object, ...] = ()
    keyed: bool = False


def many(items: Iterable[object], keyed: bool = False) -> Many:
    """Many, in which each thing that an item may be stands once."""
    return Many(tuple(dict.fromkeys(items)), keyed)


@dataclass(frozen=True)
class OwnClass:
    """A class of this file's."""

    scope: Scope


@dataclass(frozen=True)
class OwnInstance:
    """An object of such a class."""

    scope: Scope


@dataclass(frozen=True)
class OwnFunction:
    """A function of this file's, and the scope it is defined in."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    scope: Scope


NOTHING = "nothing"  # None, a bare parameter: says neither yes nor no
UNKNOWN = "unknown"
FOREIGN = "foreign"  # an object of another library's, that has names like asyncio's


@dataclass(eq=False)
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

    node: object
    index: int


@dataclass(frozen=True, eq=False)
class Each:
    """Any item of what is iterated over."""

    node: ast.expr


@dataclass(frozen=True, eq=False)
class Holding:
    """A list, set or dict into which this was put."""

    node: ast.expr
    keyed: bool = False
    all_of_it: bool = False  # by extend() and update()


class Module(ast.NodeVisitor):
    """One file: notes bindings and references in one walk, then resolves the references."""

    def __init__(self, tree: ast.Module) -> None:
        self.root = self.scope = Scope(tree, None)
        self.scopes = [self.root]
        self.references: list[tuple[ast.expr, Scope, str]] = []
        self.imports: list[tuple[int, int, str]] = []
        self.possible: list[Use] = []  # filled by uses()
        self.scope_of: dict[ast.AST, Scope] = {self.root.node: self.root}
        self.calls: dict[ast.expr, tuple[str, ...]] = {}  # by what is called
        self.waits: dict[ast.expr, str] = {}  # names in `await name`, `async with name`, `async for x in name`
        self.bases: set[ast.expr] = set()
        self.put_in: list[tuple[ast.expr, Holding, Scope]] = []
        self.imports_by_call = False
        self.resolving: dict[tuple[int | str, int], int] = {}  # what values() is at, with its depth
        self.lacking: dict[tuple[int | str, int], int] = {}  # what lacks the values of what is at this depth
        self.reaches = 0  # the least depth that was reached again
        self.memory: dict[tuple[int | str, int], list[object]] = {}
        self.unquoted: dict[ast.Constant, ast.expr | None] = {}
        self.imports_asyncio = False
        self.kind = "code"
        with deep_recursion():
            self.generic_visit(tree)
            for owner, holding, scope in self.put_in:
                self.note_content(owner, holding, scope)

    def visit(self, node: ast.AST) -> None:
        kind = type(node)
        if kind not in VISITORS:
            VISITORS[kind] = getattr(Module, f"visit_{kind.__name__}", Module.generic_visit)
        VISITORS[kind](self, node)

    def generic_visit(self, node: ast.AST) -> None:
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                for each in value:
                    if isinstance(each, ast.AST):
                        self.visit(each)
            elif isinstance(value, ast.AST):
                self.visit(value)

    # --- scopes ---

    @contextmanager
    def within(self, node: ast.AST) -> Iterator[Scope]:
        outer, self.scope = self.scope, Scope(node, self.scope)
        self.scopes.append(self.scope)
        self.scope_of[node] = self.scope
        try:
            yield self.scope
        finally:
            self.scope = outer

    def visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        is_property = any(last_name(mark) in ("property", "cached_property") for mark in node.decorator_list)
        if is_property and node.returns is not None:
            self.scope.bind(node.name, Annotation(node.returns))
        else:
            self.scope.bind(node.name, UNKNOWN if node.decorator_list else OwnFunction(node, self.scope))
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
        outer = self.scope
        self.visit_all([*node.decorator_list, *node.bases, *node.keywords])
        with self.within(node) as scope:
            outer.bind(node.name, OwnClass(scope))
            self.bases.update(base.value if isinstance(base, ast.Subscript) else base for base in node.bases)
            self.visit_all(getattr(node, "type_params", ()))
            self.visit_all(node.body)

    def visit_comprehension_of(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        self.visit(node.generators[0].iter)
        outer = self.scope
        with self.within(node):
            for position, generator in enumerate(node.generators):
                self.note_wait("for" if generator.is_async else "", generator.iter)
                self.bind_target(generator.target, Each(generator.iter), self.scope if position else outer)
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
            elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                for blocks in ("body", "orelse", "finalbody", "handlers", "cases"):
                    pending += getattr(node, blocks, ())

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
            elif isinstance(value, ast.expr | Each | Entered):
                items = [Item(value, index) for index in range(len(target.elts))]
            for item, one in zip(target.elts, items, strict=True):
                self.bind_target(item, one, scope)
        else:
            if isinstance(target, ast.Subscript) and isinstance(value, ast.expr):
                self.put_in.append((target.value, Holding(value, keyed=True), scope or self.scope))
            self.visit(target)

    def note_content(self, owner: ast.expr, holding: Holding, scope: Scope) -> None:
        """Note what was put into a list, set or dict: a name's, or an attribute's of self."""
        if isinstance(owner, ast.Name) and (home := scope.home_of(owner.id)) is not None:
            home.bound[owner.id].append((holding, scope))
        elif isinstance(owner, ast.Attribute) and isinstance(owner.value, ast.Name):
            of_class = self.class_of(owner.value.id, scope)
            if of_class is not None and owner.attr in {**of_class.attributes, **of_class.bound}:
                of_class.attributes.setdefault(owner.attr, []).append((holding, scope))

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self.bind_target(target, node.value)
        self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit_annotation(node.annotation)
        self.bind_target(node.target, Annotation(node.annotation))
        if node.value is not None:
            if isinstance(node.target, ast.Name) and last_name(node.annotation) == "TypeAlias":
                self.scope.bind(node.target.id, node.value)  # X: TypeAlias = asyncio.Queue
            self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.references.append((node.target, self.scope, self.kind))
        self.bind_target(node.target, node.value)
        self.visit(node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        scope = self.scope
        while isinstance(scope.node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) and scope.parent:
            scope = scope.parent
        scope.bind(node.target.id, node.value, self.scope)
        self.visit(node.value)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.bind_target(node.target, Each(node.iter))
        self.visit(node.iter)
        self.visit_all([*node.body, *node.orelse])

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self.note_wait("for", node.iter)
        self.visit_For(node)

    def visit_AsyncWith(self, node: ast.AsyncWith) -> None:
        for item in node.items:
            self.note_wait("with", item.context_expr)
        self.generic_visit(node)

    def visit_Await(self, node: ast.Await) -> None:
        self.note_wait("await", node.value)
        self.visit(node.value)

    def note_wait(self, how: str, what: ast.expr) -> None:
        if how and isinstance(what, ast.Name | ast.Attribute | ast.Subscript):
            self.waits[what] = how
        if how and isinstance(what, ast.Subscript):
            self.references.append((what, self.scope, self.kind))

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

    def visit_Raise(self, node: ast.Raise) -> None:
        if isinstance(node.exc, ast.Name | ast.Attribute):
            self.calls[node.exc] = ()  # it is made, as by a call
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self.calls[node.func] = arguments_of(node)
        self.imports_by_call |= imported_module(node) is not None
        if isinstance(node.func, ast.Attribute) and node.args:
            self.note_method(node.func.value, node.func.attr, node.args[-1])
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

    def note_method(self, owner: ast.expr, method: str, value: ast.expr) -> None:
        """Methods of list, set and dict by which something comes to be in them."""
        if method in ("append", "appendleft", "add", "insert", "setdefault"):
            self.put_in.append((owner, Holding(value, keyed=method == "setdefault"), self.scope))
        elif method in ("extend", "update"):
            self.put_in.append((owner, Holding(value, all_of_it=True), self.scope))

    # --- resolving ---

    def uses(self) -> Iterator[Use]:
        """Every use of asyncio and trio in the file."""
        for line, column, name in self.imports:
            if api := as_api(name):
                yield Use(line, column + 1, api, "import")
        self.imports_asyncio = any(as_api(name).startswith("asyncio") for _, _, name in self.imports)
        if not self.imports_by_call and not any(as_api(name) for _, _, name in self.imports):
            return
        with deep_recursion():
            for node, scope, kind in self.references:
                yield from self.uses_in(node, scope, kind)

    def uses_in(self, node: ast.expr, scope: Scope, kind: str) -> Iterator[Use]:
        """What a chain of attributes refers to: its longest part that is asyncio's or trio's."""
        if node in self.waits and isinstance(instance := self.surely(node, scope, Instance), Instance):
            api = instance.by if isinstance(instance, Outer) else WAITED_FOR.get((self.waits[node], instance.of))
            if api:
                yield Use(*place(node), api, kind)
        if isinstance(node, ast.Subscript):
            return
        chain: ast.expr | None = node
        while chain is not None:
            values = self.values(chain, scope)
            if values != [UNKNOWN]:
                apis = {as_api(value.name) for value in values if isinstance(value, Known)}
                for api in sorted(filter(None, apis)):
                    yield Use(*place(chain), api, self.kind_of(chain, kind), self.calls.get(chain))
                if any(apis):
                    return
            member = self.surely(chain, scope, Member) or self.by_its_name(chain, scope)
            if isinstance(member, Member):
                yield Use(*place(chain), f"{member.of}.{member.name}", kind, self.calls.get(chain))
            elif self.imports_asyncio:
                self.possible += self.possible_uses(chain, scope)
            if isinstance(chain, ast.Attribute):
                chain = chain.value
            elif isinstance(chain, ast.Call):
                chain = chain.args[0]
            else:
                return
            if not isinstance(chain, ast.Attribute | ast.Name):
                return

    def kind_of(self, node: ast.expr, kind: str) -> str:
        return "subclass" if node in self.bases else kind

    def possible_uses(self, node: ast.expr, scope: Scope) -> Iterator[Use]:
        """What may be asyncio's: by some of what is bound to the name, or by nothing but the name."""
        if not isinstance(node, ast.Attribute):
            return
        values = self.values(node, scope)
        owners = {value.of for value in values if isinstance(value, Member)}
        if not owners and node in self.calls and all(value in (NOTHING, UNKNOWN) for value in values):
            name = last_name(node.value).rpartition("_")[2].lower()
            owners = {SPEAKING_NAMES.get(name) or SPEAKING_METHODS.get(node.attr, "")} - {""}
            if not all(value in (NOTHING, UNKNOWN) for value in self.values(node.value, scope)):
                return  # it is something else
        for owner in owners:
            if is_method(owner, node.attr):
                yield Use(*place(node), f"{owner}.{node.attr}", "code", self.calls.get(node))

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
        """All that an expression may be.

        What is bound to something of itself adds nothing to itself. What was found on the way there lacks what is found
        later, so it is forgotten when the outermost of such expressions is known.
        """
        key = (node.id if isinstance(node, ast.Name) else id(node)), id(scope)
        if key in self.memory:
            self.reaches = min(self.reaches, self.lacking.get(key, self.reaches))
            return self.memory[key]
        if key in self.resolving:
            self.reaches = min(self.reaches, self.resolving[key])
            return []
        depth, lacking, outer = len(self.resolving), len(self.lacking), self.reaches
        self.resolving[key] = self.reaches = depth
        self.memory[key] = list(dict.fromkeys(self.evaluate(node, scope)))
        del self.resolving[key]
        if self.reaches < depth:
            self.lacking[key] = self.reaches
        else:
            while len(self.lacking) > lacking:
                del self.memory[self.lacking.popitem()[0]]
        self.reaches = min(outer, self.reaches)
        return self.memory[key]

    def evaluate(self, node: object, scope: Scope) -> Iterator[object]:
        match node:
            case ast.Name():
                yield from self.values_of_name(node.id, scope)
            case ast.Attribute():
                yield from self.attribute_of(node.value, node.attr, scope)
            case ast.Call():
                yield from self.result_of(node, scope)
            case ast.Await():
                for value in self.values(node.value, scope):
                    yield value.result if isinstance(value, Awaitable) else UNKNOWN
            case ast.BoolOp():
                for each in node.values:
                    yield from self.values(each, scope)
            case ast.IfExp():
                yield from [*self.values(node.body, scope), *self.values(node.orelse, scope)]
            case ast.NamedExpr():
                yield from self.values(node.value, scope)
            case ast.Subscript():  # asyncio.Queue[int], tasks[0]
                for value in self.values(node.value, scope):
                    if isinstance(value, Many):
                        yield from [value] if isinstance(node.slice, ast.Slice) else value.of
                    else:
                        yield value if isinstance(value, Known | OwnClass) else UNKNOWN
            case ast.List() | ast.Set() | ast.Tuple():
                yield many(value for each in node.elts for value in self.values(each, scope))
            case ast.Dict():
                yield many((value for each in node.values for value in self.values(each, scope)), keyed=True)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                yield many(self.values(node.elt, self.scope_of[node]))
            case ast.DictComp():
                yield many(self.values(node.value, self.scope_of[node]), keyed=True)
            case ast.BinOp() if not isinstance(node.left, ast.BinOp):  # tasks + more
                both = [*self.values(node.left, scope), *self.values(node.right, scope)]
                yield from both if all(isinstance(value, Many) for value in both) else [UNKNOWN]
            case ast.Starred():
                yield from self.items_of(node.value, scope)
            case Each():
                yield from self.items_of(node.node, scope)
            case Holding():
                inside = self.items_of(node.node, scope) if node.all_of_it else self.values(node.node, scope)
                yield many(inside, node.keyed)
            case Entered():
                yield from self.values(node.node, scope)
            case Item():
                for value in self.values(node.node, scope):
                    if isinstance(value, Many) and not value.keyed:
                        yield from value.of
                    else:
                        yield value[node.index] if type(value) is tuple and node.index < len(value) else UNKNOWN
            case Annotation():
                yield from self.declared(node.node, scope)
            case Known() | OwnClass() | OwnFunction() | "nothing":
                yield node
            case ast.Constant(value=None):
                yield NOTHING
            case _:
                yield UNKNOWN

    def items_of(self, node: ast.expr, scope: Scope) -> Iterator[object]:
        """All that an item of what is iterated over may be."""
        if isinstance(node, ast.List | ast.Set | ast.Tuple):
            for each in node.elts:
                yield from self.values(each, scope)
            return
        values = self.values(node, scope)
        for value in values:
            if isinstance(value, Many) and not value.keyed:
                yield from value.of
            elif value != NOTHING or len(values) == 1:
                yield UNKNOWN

    def values_of_name(self, name: str, scope: Scope) -> Iterator[object]:
        home = scope.home_of(name)
        if home is None:
            yield UNKNOWN  # a built-in name
        elif home is not scope:
            yield from self.values(ast.Name(name), home)
        else:
            for value, where in home.bound[name]:
                yield from self.values(value, where)

    def attribute_of(self, owner: ast.expr, name: str, scope: Scope) -> Iterator[object]:
        if isinstance(owner, ast.Name) and (of_class := self.class_of(owner.id, scope)) is not None:
            yield from self.attribute_of_class(of_class, name)
            return
        for value in self.values(owner, scope):
            if isinstance(value, Known):
                yield Known(f"{value.name}.{name}")
            elif isinstance(value, Instance):
                yield Member(value.of, name)
            elif isinstance(value, OwnInstance | OwnClass):
                yield from list(self.attribute_of_class(value.scope, name)) or [UNKNOWN]
            else:  # request.loop: see by_its_name()
                yield NOTHING if value == NOTHING or name in ("loop", "_loop") else UNKNOWN

    def attribute_of_class(self, scope: Scope, name: str, seen: tuple[Scope, ...] = ()) -> Iterator[object]:
        """What an attribute may be by what this file says of a class and of its bases; a declaration is decisive."""
        noted = [*scope.attributes.get(name, ()), *scope.bound.get(name, ())]
        declared = [
            each for value, where in noted if isinstance(value, Annotation) for each in self.values(value, where)
        ]
        if declared and UNKNOWN not in declared:
            yield from declared
        else:
            for value, where in noted:
                yield from self.values(value, where)
        for base in scope.node.bases if isinstance(scope.node, ast.ClassDef) else ():
            for value in self.values(base, scope.parent or self.root):
                if isinstance(value, OwnClass) and value.scope not in seen and value.scope is not scope:
                    yield from self.attribute_of_class(value.scope, name, (*seen, scope))

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
        if (many := self.collection_of(call, scope)) is not None:
            yield from many
            return
        for function in self.values(call.func, scope):
            if isinstance(function, OwnClass):
                yield OwnInstance(function.scope)
            elif isinstance(function, OwnFunction):
                yield from self.returned_by(function)
            elif isinstance(function, Member):
                yield GIVES.get(f"{function.of}.{function.name}", UNKNOWN)
            elif isinstance(function, Known):
                api = as_api(function.name)
                yield GIVES.get(api) or instance_of(api) if api else foreign(function.name)
            else:
                yield UNKNOWN if function != NOTHING else NOTHING

    def returned_by(self, function: OwnFunction) -> Iterator[object]:
        """What a call of a function gives, by its declaration."""
        if function.node.returns is None:
            yield UNKNOWN
            return
        for value in self.declared(function.node.returns, function.scope):
            yield Awaitable(value) if isinstance(function.node, ast.AsyncFunctionDef) else value

    def collection_of(self, call: ast.Call, scope: Scope) -> list[object] | None:
        """What list(), dict(), dict.values() and the like give; None for any other call."""
        if isinstance(call.func, ast.Attribute):
            return self.content_of(call.func, scope)
        name = last_name(call.func)
        if name not in COLLECTIONS or (name in BUILT_IN and scope.home_of(name) is not None):
            return None
        first = call.args[0] if call.args else None
        if first is None or name == "defaultdict":
            return [Many((), name in KEYED)]
        items = [] if name in KEYED else list(self.items_of(first, scope))
        return [many(((UNKNOWN, item) for item in items) if name == "enumerate" else items, name in KEYED)]

    def content_of(self, method: ast.Attribute, scope: Scope) -> list[object] | None:
        """What a method of a list or dict gives."""
        if method.attr not in ("values", "items", "copy", "pop", "popleft", "get", "setdefault"):
            return None
        owners = [value for value in self.values(method.value, scope) if value != NOTHING]
        items = [item for value in owners if isinstance(value, Many) for item in value.of]
        if not owners or not all(isinstance(value, Many) for value in owners):
            return None
        if method.attr == "copy":
            return owners
        if method.attr == "values":
            return [many(items)]
        return [many((UNKNOWN, item) for item in items)] if method.attr == "items" else items

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
        elif isinstance(node, ast.Subscript) and last_name(node.value).lower() in DECLARED_COLLECTIONS:
            inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            keyed = last_name(node.value).lower() in DECLARED_KEYED
            items = inside[1:2] if keyed else [each for each in inside if not isinstance(each, ast.Constant)]
            yield many((value for each in items for value in self.declared(each, scope)), keyed)
        else:
            if isinstance(node, ast.Subscript):
                node = node.value
            for value in self.values(node, scope):
                if isinstance(value, OwnClass):
                    yield OwnInstance(value.scope)
                elif isinstance(value, Known):
                    api = as_api(value.name)
                    yield instance_of(api) if api else foreign(value.name)
                else:
                    yield UNKNOWN


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


def foreign(name: str) -> str:
    """What a class or function of another library's gives."""
    return FOREIGN if name.partition(".")[0] in LIKE_ASYNCIO else UNKNOWN


_LOOP, _TASK, _FUTURE = Instance("loop"), Instance("asyncio.Task"), Instance("asyncio.Future")
_SERVER, _PROCESS = Awaitable(Instance("asyncio.Server")), Awaitable(Instance("asyncio.subprocess.Process"))
_TASKS = Many((_TASK,))
_STREAMS = Awaitable((Instance("asyncio.StreamReader"), Instance("asyncio.StreamWriter")))

# What the calls give that do not give an instance of the class that is called.
GIVES: dict[str, object] = {
    "asyncio.all_tasks": _TASKS,
    "asyncio.wait": Awaitable((_TASKS, _TASKS)),
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
    "asyncio.gather": Outer("asyncio.Future", by="asyncio.gather"),
    "asyncio.get_event_loop": _LOOP,
    "asyncio.get_running_loop": _LOOP,
    "asyncio.new_event_loop": _LOOP,
    "asyncio.open_connection": _STREAMS,
    "asyncio.open_unix_connection": _STREAMS,
    "asyncio.run_coroutine_threadsafe": FOREIGN,
    "asyncio.shield": Outer("asyncio.Future", by="asyncio.shield"),
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

VISITORS: dict[type, Callable[[Module, Any], None]] = {}

# What is used by waiting for an object, or entering it.
WAITED_FOR = {
    ("await", "asyncio.Task"): "asyncio.Task",
    ("await", "asyncio.Future"): "asyncio.Future",
    ("for", "asyncio.StreamReader"): "asyncio.StreamReader.readline",
    ("with", "asyncio.Lock"): "asyncio.Lock.acquire",
    ("with", "asyncio.Condition"): "asyncio.Condition.acquire",
    ("with", "asyncio.Semaphore"): "asyncio.Semaphore.acquire",
    ("with", "asyncio.BoundedSemaphore"): "asyncio.BoundedSemaphore.acquire",
    ("with", "asyncio.Barrier"): "asyncio.Barrier.wait",
    ("with", "asyncio.Server"): "asyncio.Server",
    ("with", "asyncio.TaskGroup"): "asyncio.TaskGroup",
    ("with", "asyncio.Timeout"): "asyncio.Timeout",
}

# Names that speak for a class where nothing else does, after the last underscore.
SPEAKING_NAMES = {
    "condition": "asyncio.Condition",
    "cond": "asyncio.Condition",
    "fut": "asyncio.Future",
    "future": "asyncio.Future",
    "lock": "asyncio.Lock",
    "loop": "loop",
    "queue": "asyncio.Queue",
    "reader": "asyncio.StreamReader",
    "sem": "asyncio.Semaphore",
    "semaphore": "asyncio.Semaphore",
    "task": "asyncio.Task",
    "transport": "asyncio.Transport",
    "waiter": "asyncio.Future",
    "writer": "asyncio.StreamWriter",
}

# Methods that speak for a class, whatever the name is.
SPEAKING_METHODS = {
    "add_done_callback": "asyncio.Future",
    "add_reader": "loop",
    "add_writer": "loop",
    "call_exception_handler": "loop",
    "call_later": "loop",
    "call_soon": "loop",
    "call_soon_threadsafe": "loop",
    "create_future": "loop",
    "get_extra_info": "asyncio.Transport",
    "remove_reader": "loop",
    "remove_writer": "loop",
    "run_in_executor": "loop",
    "run_until_complete": "loop",
    "set_result": "asyncio.Future",
}

# Libraries that have locks, queues and futures as well.
LIKE_ASYNCIO = ("anyio", "concurrent", "janus", "multiprocessing", "queue", "subprocess", "threading", "trio")

KEYED = ("dict", "defaultdict", "OrderedDict", "WeakKeyDictionary", "WeakValueDictionary")
BUILT_IN = ("list", "set", "tuple", "frozenset", "sorted", "reversed", "iter", "enumerate", "dict")
COLLECTIONS = {*BUILT_IN, *KEYED, "deque", "WeakSet"}
DECLARED_KEYED = {name.lower() for name in KEYED} | {"mapping", "mutablemapping"}
DECLARED_COLLECTIONS = {name.lower() for name in COLLECTIONS} | DECLARED_KEYED
DECLARED_COLLECTIONS |= {"sequence", "mutablesequence", "iterable", "iterator", "collection", "abstractset"}


def place(node: ast.expr) -> tuple[int, int]:
    """Line and column of a reference: of its last name, which is what a reader looks for."""
    if isinstance(node, ast.Attribute) and node.end_lineno is not None and node.end_col_offset is not None:
        return node.end_lineno, node.end_col_offset - len(node.attr.encode()) + 1
    return node.lineno, node.col_offset + 1


def last_name(node: ast.expr) -> str:
    """x.y.z: "z"."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def arguments_of(call: ast.Call) -> tuple[str, ...]:
    """How a call gives its arguments: see Use."""
    by_position = ["*" if isinstance(each, ast.Starred) else "" for each in call.args]
    empty = [isinstance(each.value, ast.Constant) and not each.value.value for each in call.keywords]
    by_name = [(each.arg or "**") + "=" * no for each, no in zip(call.keywords, empty, strict=True)]
    return (*by_position, *by_name)


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
