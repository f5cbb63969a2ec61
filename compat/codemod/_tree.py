"""A module as a libcst tree, and what the rules ask of it: where a node stands, what a name is, who defines it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TypeAlias, cast

import libcst as cst
from libcst.metadata import (
    Assignment,
    CodeRange,
    MetadataWrapper,
    PositionProvider,
    QualifiedNameSource,
    Scope,
    ScopeProvider,
)

from ._imports import NATIVE

__all__ = ["Left", "Place", "Tree", "code", "function_around", "is_chain"]

SUBMODULES = {
    *("exceptions", "locks", "queues", "runners", "streams", "taskgroups", "tasks", "threads", "timeouts"),
}
Function: TypeAlias = cst.FunctionDef | cst.Lambda


class Left(Exception):
    """Why a use is left on native."""


# Where objects are held: a variable of a scope, or an attribute of that name of any object in the module.
Place: TypeAlias = tuple[Scope | None, str]


def code(node: cst.CSTNode) -> str:
    """The source of a node."""
    return cst.Module([]).code_for_node(node)


class Tree:
    """A parsed module, with the scopes, parents and positions of its nodes."""

    def __init__(self, text: str) -> None:
        wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
        self.module = wrapper.module
        resolved = wrapper.resolve_many([ScopeProvider, PositionProvider])
        self.scopes = cast("Mapping[cst.CSTNode, Scope | None]", resolved[ScopeProvider])
        self.positions = cast("Mapping[cst.CSTNode, CodeRange]", resolved[PositionProvider])
        self.children: dict[cst.CSTNode, Sequence[cst.CSTNode]] = {}
        self.nodes: list[cst.CSTNode] = []
        self.parents: dict[cst.CSTNode, cst.CSTNode] = {}
        left: list[cst.CSTNode] = [self.module]
        while left:  # in the order of the source
            node = left.pop()
            self.nodes.append(node)
            self.children[node] = node.children
            self.parents.update(dict.fromkeys(self.children[node], node))
            left.extend(reversed(self.children[node]))
        self.words = {node.value for node in self.nodes if isinstance(node, cst.Name)}
        self.literals = {
            node.evaluated_value for node in self.nodes if isinstance(node, cst.SimpleString) and node.value.isascii()
        }
        self.names: defaultdict[Place, list[cst.Name]] = defaultdict(list)
        self.attributes: defaultdict[str, list[cst.Attribute]] = defaultdict(list)
        self.functions: defaultdict[str, list[cst.FunctionDef]] = defaultdict(list)
        self.classes: dict[str, cst.ClassDef] = {}
        for node in self.nodes:
            if isinstance(node, cst.Name) and (place := self.place_of_name(node)) is not None:
                self.names[place].append(node)
            elif isinstance(node, cst.Attribute):
                self.attributes[node.attr.value].append(node)
            elif isinstance(node, cst.FunctionDef):
                self.functions[node.name.value].append(node)
            elif isinstance(node, cst.ClassDef):
                self.classes[node.name.value] = node

    # --- where -------------------------------------------------------------------------------------------------------

    def parent(self, node: cst.CSTNode) -> cst.CSTNode:
        """What a node stands in."""
        return self.parents.get(node, self.module)

    def walk(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """A node and all that is in it, in the order of the source."""
        left = [node]
        while left:
            found = left.pop()
            yield found
            left.extend(reversed(self.children[found]))

    def around(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """What a node stands in, from the inside to the module."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def line(self, node: cst.CSTNode) -> int:
        """The line where a node begins."""
        return self.positions[node].start.line

    def column(self, node: cst.CSTNode) -> int:
        """The column where a node begins, from 1 on."""
        return self.positions[node].start.column + 1

    # --- names -------------------------------------------------------------------------------------------------------

    def full_name(self, node: cst.CSTNode) -> str:
        """The dotted name of what a name or chain of attributes surely is by the imports, "" if there is no such."""
        scope = self.scopes.get(node)
        if scope is None or not is_chain(node):
            return ""
        names = scope.get_qualified_names_for(node)
        if len(names) != 1:
            return ""
        [name] = names
        return name.name if name.source is QualifiedNameSource.IMPORT else ""

    def api(self, node: cst.CSTNode) -> str:
        """The name of native's that a node is: "sleep", "subprocess.PIPE"; "" if it is none."""
        return self.api_named(self.full_name(node))

    def api_named(self, name: str) -> str:
        """The name of native's that a dotted name is."""
        if not name.startswith(f"{NATIVE}."):
            return ""
        first, _, rest = name.removeprefix(f"{NATIVE}.").partition(".")
        return rest if rest and first in SUBMODULES else f"{first}.{rest}".rstrip(".")

    def quoted(self, string: cst.SimpleString) -> Iterator[tuple[str, str]]:
        """The names of native's in a declaration in quotes: as they are written there, and as native has them."""
        scope = self.scopes.get(string)
        for found in re.finditer(r"(?<![\w.])[^\W\d][\w.]*", str(string.evaluated_value)):
            names = scope.get_qualified_names_for(found[0]) if scope is not None else ()
            apis = {self.api_named(each.name) for each in names if each.source is QualifiedNameSource.IMPORT}
            if len(names) == 1 and (api := apis.pop() if apis else ""):
                yield found[0], api

    def unquoted(self, declared: cst.BaseExpression) -> cst.BaseExpression:
        """A declaration, also if it is in quotes."""
        if not isinstance(declared, cst.SimpleString):
            return declared
        try:
            return cst.parse_expression(str(declared.evaluated_value))
        except cst.ParserSyntaxError:
            return declared

    def possible_api(self, node: cst.CSTNode) -> str:
        """The name of native's that a name may be that has several meanings, by `try: import`; "" if it has not."""
        scope = self.scopes.get(node)
        if scope is None or self.is_store(node):
            return ""
        names = scope.get_qualified_names_for(node)
        found = {self.api_named(name.name) for name in names if name.source is QualifiedNameSource.IMPORT} - {""}
        return min(found) if len(names) > 1 and found else ""

    def is_native_error(self, name: str) -> bool:
        """Whether all that binds a name imports native's exception of that name, which is the interpreter's."""
        bindings = self.bindings.get(name, ())
        return bool(bindings) and all(
            isinstance(node, cst.ImportFrom)
            and node.module is not None
            and not isinstance(node.names, cst.ImportStar)
            and code(node.module) in (NATIVE, f"{NATIVE}.exceptions")
            and any(alias.evaluated_name == name and alias.asname is None for alias in node.names)
            for node in bindings
        )

    def is_builtin(self, node: cst.CSTNode, *names: str) -> bool:
        """Whether a node is one of these built-in names, which the module binds nowhere."""
        return isinstance(node, cst.Name) and node.value in names and not self.is_bound(node.value)

    def is_bound(self, name: str) -> bool:
        """Whether the module gives a name a meaning of its own, in any scope."""
        return name in self.bindings

    @cached_property
    def bindings(self) -> defaultdict[str, list[cst.CSTNode]]:
        """What binds a name, in whatever scope."""
        found: defaultdict[str, list[cst.CSTNode]] = defaultdict(list)
        for node in self.nodes:
            for name in self.bound_by(node):
                found[name].append(node)
        return found

    @cached_property
    def declared(self) -> set[str]:
        """The names that some function declares to be another's: by `nonlocal` or `global`."""
        return {
            item.name.value for node in self.nodes if isinstance(node, cst.Nonlocal | cst.Global) for item in node.names
        }

    def imports_of(self, module: str) -> list[cst.CSTNode]:
        """The statements of the module itself, not of its blocks, that import names from another, under these names."""
        return [
            each
            for statement in self.module.body
            if isinstance(statement, cst.SimpleStatementLine)
            for each in statement.body
            if isinstance(each, cst.ImportFrom) and each.module is not None and code(each.module) == module
            if not isinstance(each.names, cst.ImportStar) and all(alias.asname is None for alias in each.names)
        ]

    def bound_by(self, node: cst.CSTNode) -> set[str]:
        """The names that a node binds by itself."""
        if isinstance(node, cst.Name):
            return {node.value} if self.is_store(node) else set()
        if isinstance(node, cst.Import | cst.ImportFrom) and not isinstance(node.names, cst.ImportStar):
            return {alias.evaluated_alias or alias.evaluated_name.partition(".")[0] for alias in node.names}
        return set()

    def place_of_name(self, node: cst.Name) -> Place | None:
        """The variable that a name is, if it is one of this module, and of one scope only."""
        scope = self.scopes.get(node)
        if scope is None:
            return None
        homes = {each.scope for each in scope[node.value] if isinstance(each, Assignment)}
        return (homes.pop(), node.value) if len(homes) == 1 and len(scope[node.value]) >= 1 else None

    def is_store(self, node: cst.CSTNode) -> bool:
        """Whether a name or attribute is bound here, or deleted, and not read."""
        parent = self.parent(node)
        match parent:
            case cst.AssignTarget() | cst.AugAssign() | cst.AnnAssign() | cst.NamedExpr() | cst.CompFor() | cst.For():
                return parent.target is node
            case cst.Param() | cst.FunctionDef() | cst.ClassDef():
                return parent.name is node
            case cst.AsName() | cst.Del() | cst.NameItem():
                return True
            case cst.Element() | cst.StarredElement():
                around = self.parent(parent)
                return isinstance(around, cst.Tuple | cst.List) and self.is_store(around)
            case cst.MatchAs() | cst.MatchStar() | cst.MatchMapping():
                return True
        return False

    def only_store(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """What binds a variable, if one thing does: an AssignTarget, AnnAssign, Param, FunctionDef, ClassDef ..."""
        place = self.place_of_name(node) if isinstance(node, cst.Name) else None
        if place is None or place[0] is None:
            return None
        stores = [each for each in self.names[place] if self.is_store(each)]
        known = len(stores) == 1 and len(place[0].assignments[place[1]]) == 1
        return self.parent(stores[0]) if known else None

    def only_value(self, node: cst.CSTNode) -> cst.BaseExpression | None:
        """The expression that a variable is bound to, once and for all."""
        match self.only_store(node):
            case cst.AssignTarget() as target:
                assign = self.parent(target)
                return assign.value if isinstance(assign, cst.Assign) else None
            case cst.AnnAssign() as target:
                return target.value
        return None

    def may_be_asked_for(self, name: str) -> bool:
        """Whether an attribute may be had by its name in a string."""
        ways = {"__dict__", "asdict", "attrgetter", "delattr", "getattr", "hasattr", "methodcaller", "setattr", "vars"}
        return name in self.literals and not ways.isdisjoint(self.words)

    def is_read(self, name: str) -> bool:
        """Whether a name is read somewhere, or may be in quotes, as a declaration or in __all__."""
        quoted = any(name in re.findall(r"(?<![\w.])\w+", str(literal)) for literal in self.literals)
        return quoted or any(
            isinstance(node, cst.Name) and node.value == name and node in self.scopes and not self.is_store(node)
            for node in self.nodes
        )

    # --- functions ---------------------------------------------------------------------------------------------------

    def definition(self, function: cst.CSTNode) -> cst.FunctionDef | None:
        """The function of this module that a name, or a method of self, surely is."""
        if isinstance(function, cst.Name):
            found = self.only_store(function)
            return found if isinstance(found, cst.FunctionDef) else None
        if isinstance(function, cst.Attribute) and (owner := self.class_of(function.value)) is not None:
            found_here = self.functions[function.attr.value]
            own = [each for each in found_here if self.class_around(each) is owner]
            is_sure = len(own) == 1 and (len(found_here) == 1 or not self.is_derived_from(owner))
            return own[0] if is_sure else None
        return None

    def is_derived_from(self, owner: cst.ClassDef) -> bool:
        """Whether a class of the module may have this one as a base."""
        return any(
            isinstance(each, cst.Name) and each.value == owner.name.value
            for other in self.classes.values()
            for base in other.bases
            for each in self.walk(base)
        )

    def class_of(self, node: cst.CSTNode) -> cst.ClassDef | None:
        """The class of this module that an object surely has: self, `C(...)`, or a variable that is only that."""
        if isinstance(node, cst.Call):
            found = self.only_store(node.func)
            return found if isinstance(found, cst.ClassDef) else None
        store = self.only_store(node)
        if isinstance(store, cst.Param):
            function = function_around(self, store)
            if isinstance(function, cst.FunctionDef) and not function.decorators:
                first = [*function.params.posonly_params, *function.params.params][:1]
                return self.class_around(function) if first and first[0] is store else None
        value = self.only_value(node)
        return self.class_of(value) if isinstance(value, cst.Call) else None

    def class_around(self, function: cst.FunctionDef) -> cst.ClassDef | None:
        """The class whose method a function is."""
        owner = self.parent(self.parent(function))
        return owner if isinstance(owner, cst.ClassDef) else None


def is_chain(node: cst.CSTNode) -> bool:
    """Whether a node is a name, or attributes of a name."""
    while isinstance(node, cst.Attribute):
        node = node.value
    return isinstance(node, cst.Name)


def function_around(tree: Tree, node: cst.CSTNode) -> Function | None:
    """The function that a node is in."""
    return next((each for each in tree.around(node) if isinstance(each, cst.FunctionDef | cst.Lambda)), None)
