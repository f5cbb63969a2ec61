"""Follows an object through a module: what variables, parameters and attributes hold it, and what is done with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import libcst as cst
from libcst.metadata import ClassScope, GlobalScope

from ._tree import Left, Place, Tree, code, function_around

__all__ = ["Flow", "Use", "follow"]


class Use(NamedTuple):
    """What is done with an object: a method or attribute of it, or "with", "is"."""

    node: cst.CSTNode  # the expression that is the object
    what: str


@dataclass
class Flow:
    """Where an object goes."""

    places: set[Place] = field(default_factory=set)
    uses: list[Use] = field(default_factory=list)
    inputs: list[cst.BaseExpression] = field(default_factory=list)  # all that the places may get
    annotations: list[cst.Annotation] = field(default_factory=list)
    tables: set[Place] = field(default_factory=set)  # that hold a defaultdict of such objects
    edges: list[tuple[cst.CSTNode, Place]] = field(default_factory=list)  # where it is read, and where that puts it


def follow(tree: Tree, origin: cst.CSTNode, foreign: frozenset[str]) -> Flow:
    """All that happens to what an expression gives, or a variable holds. Raises Left where it gets out of sight.

    `foreign` are the names that other modules use, which might be attributes and variables of this one.
    """
    flow = Flow()
    left = [origin]
    while left:
        node = left.pop()
        for place in destinations(tree, node, flow):
            flow.edges.append((node, place))
            if place in flow.places:
                continue
            check_visible(tree, place, foreign, node)
            flow.places.add(place)
            left += reads(tree, place, flow)
    return flow


def check_visible(tree: Tree, place: Place, foreign: frozenset[str], node: cst.CSTNode) -> None:
    home, name = place
    if (home is None or isinstance(home, GlobalScope | ClassScope)) and name in foreign:
        raise Left(f"{name} is a name that other modules use")
    if home is None and tree.may_be_asked_for(name):
        raise Left(f"{name} is also a string in this module, by which the attribute may be asked for")


def destinations(tree: Tree, node: cst.CSTNode, flow: Flow) -> list[Place]:
    """The places that get an object from this expression; a use of it is noted."""
    parent = tree.parent(node)
    match parent:
        case cst.AsName():  # where it is put to begin with
            place = tree.place_of_name(node) if isinstance(node, cst.Name) else None
            if place is not None:
                return [place]
        case cst.Attribute() if parent.value is node:
            flow.uses.append(Use(node, parent.attr.value))
            return []
        case cst.Assign() if parent.value is node:
            return [target_place(tree, each.target) for each in parent.targets]
        case cst.AnnAssign() if parent.value is node:
            return [target_place(tree, parent.target)]
        case cst.WithItem() if parent.item is node and parent.asname is None:
            flow.uses.append(Use(node, "with"))
            return []
        case cst.Comparison() | cst.ComparisonTarget():
            comparison = parent if isinstance(parent, cst.Comparison) else tree.parent(parent)
            if isinstance(comparison, cst.Comparison) and all(
                isinstance(each.operator, cst.Is | cst.IsNot) for each in comparison.comparisons
            ):
                flow.uses.append(Use(node, "is"))
                return []
        case cst.If() | cst.While() | cst.IfExp() if parent.test is node:
            flow.uses.append(Use(node, "is"))
            return []
        case cst.UnaryOperation(operator=cst.Not()):
            flow.uses.append(Use(node, "is"))
            return []
        case cst.Expr():
            return []
        case cst.Arg() if parent.value is node and not parent.star:
            call = tree.parent(parent)
            if isinstance(call, cst.Call):
                if is_default_factory(tree, parent, call):
                    return [field_place(tree, call)]
                if tree.full_name(call.func) == "collections.defaultdict" and len(call.args) == 1:
                    flow.tables.update(places := destinations(tree, call, flow))
                    return places
                return [parameter_place(tree, call, parent, flow)]
    raise Left(f"it is handed on in line {tree.line(node)}: {code(parent).strip().splitlines()[0][:60]}")


def target_place(tree: Tree, target: cst.BaseExpression) -> Place:
    if isinstance(target, cst.Attribute):
        return None, target.attr.value
    if isinstance(target, cst.Name):
        place = tree.place_of_name(target)
        if place is not None:
            return (None, place[1]) if isinstance(place[0], ClassScope) else place
    raise Left(f"it is put into {code(target)} in line {tree.line(target)}")


def is_default_factory(tree: Tree, argument: cst.Arg, call: cst.Call) -> bool:
    return (
        argument.keyword is not None
        and argument.keyword.value == "default_factory"
        and tree.full_name(call.func) == "dataclasses.field"
    )


def field_place(tree: Tree, call: cst.Call) -> Place:
    holder = tree.parent(call)
    if isinstance(holder, cst.AnnAssign) and isinstance(holder.target, cst.Name):
        return None, holder.target.value
    raise Left(f"it is handed on in line {tree.line(call)}")


def parameter_place(tree: Tree, call: cst.Call, argument: cst.Arg, flow: Flow) -> Place:
    """The parameter of a function of this module that an argument is."""
    callee, given = called(tree, call)
    function = tree.definition(callee)
    bound = isinstance(callee, cst.Attribute)
    if function is None and callee is call.func and (owner := tree.class_of(call)) is not None:
        makers = [each for each in tree.functions["__init__"] if tree.class_around(each) is owner]
        function = makers[0] if len(makers) == 1 else None
        bound = True
        if not makers and not owner.bases and argument.keyword is not None and is_dataclass(tree, owner):
            return None, argument.keyword.value
    if function is None or function.decorators:
        raise Left(f"it is handed to {code(call.func)}() in line {tree.line(call)}")
    parameter = matching(function, given, argument, skip=bound)
    if parameter is None:
        raise Left(f"it is handed to {code(call.func)}() in line {tree.line(call)}, as nobody knows what")
    if parameter.annotation is not None:
        flow.annotations.append(parameter.annotation)
    place = tree.place_of_name(parameter.name)
    if place is None:
        raise Left(f"it is handed to {code(call.func)}() in line {tree.line(call)}")
    return place


def called(tree: Tree, call: cst.Call) -> tuple[cst.BaseExpression, list[cst.Arg]]:
    """The function that a call calls, and its arguments: start_soon(f, a) and functools.partial(f, a) give a to f."""
    arguments = [*call.args]
    starts = isinstance(call.func, cst.Attribute) and call.func.attr.value == "start_soon"
    starts = starts and "start_soon" not in tree.functions
    if arguments and not arguments[0].star and (starts or tree.full_name(call.func) == "functools.partial"):
        is_name = ["name"] if starts else []
        given = [each for each in arguments[1:] if each.keyword is None or each.keyword.value not in is_name]
        return arguments[0].value, given
    return call.func, arguments


def call_with(tree: Tree, callee: cst.CSTNode) -> list[cst.Arg] | None:
    """The arguments with which a function is called where it is named, also by start_soon(); None if unknown."""
    call = tree.parent(callee)
    if isinstance(call, cst.Arg):
        call = tree.parent(call)
    if not isinstance(call, cst.Call):
        return None
    function, given = called(tree, call)
    if function is not callee or any(each.star for each in call.args):
        return None
    if function is call.func or tree.full_name(call.func) != "functools.partial":
        return given
    outer = tree.parent(tree.parent(call))  # who is given a partial may call it with more
    return given if isinstance(outer, cst.Call) and called(tree, outer) == (call, []) else None


def is_dataclass(tree: Tree, owner: cst.ClassDef) -> bool:
    marks = [mark.decorator for mark in owner.decorators]
    names = [tree.full_name(mark.func if isinstance(mark, cst.Call) else mark) for mark in marks]
    return names == ["dataclasses.dataclass"]


def matching(function: cst.FunctionDef, given: list[cst.Arg], argument: cst.Arg, *, skip: bool) -> cst.Param | None:
    """Which parameter gets one of the arguments."""
    parameters = function.params
    positional = [*parameters.posonly_params, *parameters.params][skip:]
    if argument not in given or any(each.star for each in given):
        return None
    if argument.keyword is not None:
        named = [*parameters.params, *parameters.kwonly_params]
        return next((each for each in named if each.name.value == argument.keyword.value), None)
    index = given.index(argument)
    return positional[index] if index < len(positional) else None


def reads(tree: Tree, place: Place, flow: Flow) -> list[cst.CSTNode]:
    """Where a place is read; what is stored there is noted."""
    home, name = place
    found: list[cst.Name] | list[cst.Attribute] = tree.attributes[name] if home is None else tree.names[place]
    nodes: list[cst.CSTNode] = []
    for node in found:
        if tree.is_store(node):
            note_store(tree, node, flow)
        elif place in flow.tables:
            nodes.append(item_of(tree, node))
        else:
            nodes.append(node)
    if home is None:  # class-level names of that name: fields, defaults
        for (scope, other), names in list(tree.names.items()):
            if other == name and isinstance(scope, ClassScope):
                for each in names:
                    if tree.is_store(each):
                        note_store(tree, each, flow)
                    else:
                        nodes.append(each)
    return nodes


def item_of(tree: Tree, node: cst.CSTNode) -> cst.CSTNode:
    """What is taken out of a table here."""
    item = tree.parent(node)
    if (
        isinstance(item, cst.Subscript)
        and item.value is node
        and not isinstance(tree.parent(item), cst.AssignTarget | cst.AnnAssign | cst.AugAssign)
    ):
        return item
    raise Left(f"the table of line {tree.line(node)} is handed on")


def note_store(tree: Tree, node: cst.CSTNode, flow: Flow) -> None:
    holder = tree.parent(node)
    match holder:
        case cst.AssignTarget():
            assign = tree.parent(holder)
            assert isinstance(assign, cst.Assign)
            flow.inputs.append(assign.value)
            return
        case cst.AnnAssign():
            flow.annotations.append(holder.annotation)
            if holder.value is not None:
                flow.inputs.append(holder.value)
            return
        case cst.Param():
            if holder.annotation is not None and holder.annotation not in flow.annotations:
                flow.annotations.append(holder.annotation)
            if holder.default is not None:
                flow.inputs.append(holder.default)
            return
        case cst.AsName():
            item = tree.parent(holder)
            if isinstance(item, cst.WithItem):
                flow.inputs.append(item.item)
                return
    raise Left(f"{code(node)} is bound in line {tree.line(node)} in another way")


def arguments_for(tree: Tree, place: Place, foreign: frozenset[str]) -> list[cst.BaseExpression]:
    """What a function of this module gets for a parameter. Raises Left if somebody else may call it."""
    home, name = place
    parameter = next(
        (tree.parent(each) for each in tree.names[place] if isinstance(tree.parent(each), cst.Param)), None
    )
    if parameter is None or home is None:
        return []
    function = function_around(tree, parameter)
    if not isinstance(function, cst.FunctionDef) or function.decorators or function.name.value in foreign:
        raise Left(f"{name} is a parameter of a function that others may call")
    owner = tree.class_around(function)
    calls: list[cst.CSTNode] = (
        list(tree.attributes[function.name.value])
        if owner is not None
        else [each for each in tree.names[tree.place_of_name(function.name) or (None, "")] if not tree.is_store(each)]
    )
    if owner is not None and function.name.value == "__init__":
        calls = [each.func for each in tree.nodes if isinstance(each, cst.Call) and tree.class_of(each) is owner]
    given: list[cst.BaseExpression] = []
    for callee in calls:
        arguments = call_with(tree, callee)
        if arguments is None:
            raise Left(f"{function.name.value}() is handed on in line {tree.line(callee)}")
        given += [
            each.value for each in arguments if matching(function, arguments, each, skip=owner is not None) is parameter
        ]
    return given
