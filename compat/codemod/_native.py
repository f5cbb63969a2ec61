"""The rules for a module on native: `from compat import native as asyncio`. Its functions become those that carry them.

Each rule says the same as native's own code (compat/adapters/native), in trio's names. What it cannot say is left.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import libcst as cst
from libcst.metadata import ClassScope, FunctionScope, GlobalScope

from compat.report._reading import Use

from ._exact import DECLARATION
from ._imports import add_imports, drop_import
from ._places import Flow, arguments_for, follow
from ._project import BACKGROUND, REPLACED, Others
from ._tree import Left, Place, Tree, code, function_around, is_chain

__all__ = ["change_native"]

Edit: TypeAlias = Callable[[Any], Any]
Statement: TypeAlias = cst.SimpleStatementLine | cst.BaseCompoundStatement


WHY = {
    "Barrier": "trio has no barrier",
    "LifoQueue": "trio has no channel that gives the last item first",
    "PriorityQueue": "trio has no channel that gives the smallest item first",
    "Runner": "several runs in one context: call trio.run() for each",
    "Server": "it is what start_server() gives",
    "StreamReader": "trio's streams have no lines and no readexactly(), and raise errors of their own",
    "StreamWriter": "trio's streams send in send_all() only, and raise errors of their own",
    "Task": "trio has no object for a task",
    "all_tasks": "trio has no object for a task",
    "as_completed": "its tasks belong to the run: tasks of a TaskGroup may send their results by a queue",
    "create_subprocess_exec": "a trio.Process has no lines, and does not end with the run",
    "create_subprocess_shell": "a trio.Process has no lines, and does not end with the run",
    "create_task": "its task belongs to the run, and its errors end that: start it in a TaskGroup, which is a nursery",
    "current_task": "trio has no object for a task",
    "gather": "a nursery gives no results, and raises errors in a group",
    "open_background": "it is for what is left on native",
    "open_connection": "trio's streams have no lines, and raise errors of their own",
    "open_unix_connection": "trio's streams have no lines, and raise errors of their own",
    "run_coroutine_threadsafe": "its task belongs to the run: trio.from_thread.run() waits for one",
    "shield": "its task belongs to the run: trio.CancelScope(shield=True) holds off the cancellation of a block",
    "start_server": "trio's streams have no lines, and raise errors of their own",
    "start_unix_server": "trio's streams have no lines, and raise errors of their own",
    "wait": "trio has no object for a task",
}

AMBIGUOUS = "the name may be something else's, too"
BUILTIN_ERROR = "TimeoutError"


def change_native(text: str, others: Others) -> tuple[str, list[tuple[Use, str]]]:
    """The text with what trio can say in trio's names, and what is left, with the reason and the lines of the old text.

    What one rule has changed may be what another waits for: they are applied until there is no more to do.
    """
    before, used = text, set[str]()
    while True:
        rules = Rules(Tree(text), others)
        after = rules.apply()
        used |= {code(node).partition(".")[0] for node, _ in rules.uses} | rules.freed
        if after == text:
            break
        text = after
    lines = old_lines(before, text)

    def old(reason: str) -> str:
        return re.sub(r"\bline (\d+)", lambda found: f"line {lines.get(int(found[1]), found[1])}", reason)

    left = [(Use(lines[use.line], *use[1:]), old(reason)) for use, reason in rules.left]
    still = {code(node).partition(".")[0] for node, api in rules.uses if not rules.is_builtin_by_name(node, api)}
    for name in sorted(used - still):
        is_builtin = name == BUILTIN_ERROR and rules.tree.is_native_error(name)
        if (is_builtin or not rules.tree.is_read(name)) and others.taken.isdisjoint((name, "*")):
            text = drop_import(text, name)
    return text, left


def old_lines(before: str, after: str) -> dict[int, int]:
    """Which line of the text before stands for each line of the text after."""
    matcher = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False)
    lines: dict[int, int] = {}
    for _, start, end, new_start, new_end in matcher.get_opcodes():
        for offset in range(new_end - new_start):
            lines[new_start + offset + 1] = min(start + offset, max(end - 1, start)) + 1
    return lines


def references(tree: Tree) -> Iterator[tuple[cst.Name | cst.Attribute, str]]:
    """Each use of native's names, as the longest part of a chain of attributes that is one, or may be."""
    for node in tree.nodes:
        if not isinstance(node, cst.Name | cst.Attribute) or not is_chain(node):
            continue
        api = tree.api(node) or tree.possible_api(node)
        if not api or "." in api.removeprefix("subprocess."):
            continue
        parent = tree.parent(node)
        if api == "subprocess" and isinstance(parent, cst.Attribute) and parent.value is node:
            continue
        yield node, api


def expression(source: str) -> cst.BaseExpression:
    return cst.parse_expression(source)


class Rules:
    """The rules, applied to a module once."""

    def __init__(self, tree: Tree, others: Others) -> None:
        self.tree, self.others = tree, others
        self.edits: defaultdict[cst.CSTNode, list[Edit]] = defaultdict(list)
        self.needed: set[str] = set()
        self.left: list[tuple[Use, str]] = []
        self.scope_names: defaultdict[cst.CSTNode | None, int] = defaultdict(int)
        self.withs: defaultdict[cst.With, dict[cst.WithItem, str]] = defaultdict(dict)
        self.uses = list(references(tree))
        self.asked: list[cst.FunctionDef] = []
        self.freed: set[str] = set()  # other names that lose a use

    def apply(self) -> str:
        """The text after all that can be done; what is left is noted."""
        remaining: list[tuple[cst.Name | cst.Attribute, str, str]] = []
        last = []
        for node, api in self.uses:
            if api == "run":
                last.append((node, api))
            elif reason := self.try_rule(node, api):
                remaining.append((node, api, reason))
        self.blocked = {api: self.tree.line(node) for node, api, _ in reversed(remaining) if node not in self.edits}
        for node, api in last:
            if reason := self.try_rule(node, api):
                remaining.append((node, api, reason))
        self.left = sorted(
            (Use(self.tree.line(node), self.tree.column(node), f"asyncio.{api}", "code"), reason)
            for node, api, reason in [*remaining, *self.declared_in_quotes()]
            if node not in self.edits
        )
        for block, marks in self.withs.items():
            self.edits[block].append(nest(marks))
        if not self.edits:
            return self.tree.module.code
        changed = self.tree.module.visit(Editor(self.edits))
        return add_imports(changed.code, self.needed)

    def declared_in_quotes(self) -> Iterator[tuple[cst.CSTNode, str, str]]:
        """What declarations in quotes speak of, and why that is left."""
        for node in self.tree.nodes:
            if isinstance(node, cst.SimpleString) and self.in_annotation(node):
                for _, api in self.tree.quoted(node):
                    yield node, api, DECLARATION

    def try_rule(self, node: cst.Name | cst.Attribute, api: str) -> str:
        """Apply the rule for a name; the reason if it cannot be."""
        rule = RULES.get(api)
        if not self.tree.api(node):
            return AMBIGUOUS
        if rule is None:
            return WHY.get(api, "it has no counterpart in trio")
        if api in self.others.replaced:
            return REPLACED
        edits, needed = {key: list(value) for key, value in self.edits.items()}, set(self.needed)
        try:
            rule(self, node, api)
        except Left as reason:
            self.edits = defaultdict(list, edits)
            self.needed = needed
            return str(reason)
        return ""

    # --- tools of the rules ------------------------------------------------------------------------------------------

    def edit(self, node: cst.CSTNode, edit: Edit) -> None:
        self.edits[node].append(edit)

    def need(self, module: str) -> None:
        """Have a module imported under its own name. Raises Left if that name is something else's."""
        for node in self.tree.bindings.get(module, ()):
            if not isinstance(node, cst.Import) or not all(is_plain(alias, module) for alias in node.names):
                raise Left(f"{module} is the name of something else in line {self.tree.line(node)}")
        self.needed.add(module)

    def rename(self, node: cst.BaseExpression, name: str) -> None:
        """Put a dotted name in the place of another."""
        self.need(name.partition(".")[0])
        self.check_comments(node)
        self.edit(node, lambda new: expression(name).with_changes(lpar=new.lpar, rpar=new.rpar))

    def call_of(self, node: cst.BaseExpression) -> cst.Call:
        call = self.tree.parent(node)
        if not isinstance(call, cst.Call) or call.func is not node:
            raise Left("it is not called here, but handed on")
        return call

    def only_argument(self, call: cst.Call, otherwise: str) -> cst.BaseExpression:
        if len(call.args) != 1 or call.args[0].star or call.args[0].keyword:
            raise Left(otherwise)
        return call.args[0].value

    def check_comments(self, node: cst.CSTNode, besides: cst.CSTNode | None = None) -> None:
        """Raise Left if a comment would be lost with a node, of which one part may stay."""
        kept = set(self.tree.walk(besides)) if besides is not None else set()
        if any(isinstance(each, cst.Comment) and each not in kept for each in self.tree.walk(node)):
            raise Left("there is a comment inside")

    def is_builtin_by_name(self, node: cst.CSTNode, api: str) -> bool:
        """Whether a name that is imported from native is that of the built-in class that it is."""
        return api == BUILTIN_ERROR and code(node) == api and self.tree.is_native_error(api)

    def builtin(self, name: str) -> str:
        if self.tree.is_bound(name) and not self.tree.is_native_error(name):
            raise Left(f"{name} is the name of something else in this file")
        return name

    def not_negative(self, node: cst.BaseExpression) -> bool:
        """Whether an expression is surely a number, and not below 0."""
        match node:
            case cst.Integer() | cst.Float():
                return True
            case cst.Name() if self.is_asked_before(node):
                return True
            case cst.Name():
                value = self.tree.only_value(node)
                place = self.tree.place_of_name(node)
                is_constant = place is not None and isinstance(place[0], GlobalScope)
                if node.value in self.others.names:
                    return False  # another module may set it
                return is_constant and isinstance(value, cst.Integer | cst.Float)
            case cst.BinaryOperation(operator=cst.Add() | cst.Multiply() | cst.Divide()):
                return self.not_negative(node.left) and self.not_negative(node.right)
            case cst.BinaryOperation(operator=cst.Power()):
                return self.not_negative(node.left)
            case cst.Call(args=[]):
                return self.tree.full_name(node.func) == "random.random"
            case cst.Call():
                if self.tree.is_builtin(node.func, "abs", "len"):
                    return True
                numbers = [self.not_negative(each.value) and each.keyword is None for each in node.args]
                if any(each.star for each in node.args) or len(numbers) < 2:
                    return False
                if self.tree.is_builtin(node.func, "max"):
                    return any(numbers)
                is_known = self.tree.is_builtin(node.func, "min") or self.tree.full_name(node.func) == "random.uniform"
                return is_known and all(numbers)
        return False

    def is_asked_before(self, node: cst.Name) -> bool:
        """Whether a variable of a function is seen to be above 0 by an `if` around, and is not set inside that."""
        place = self.tree.place_of_name(node)
        if place is None or not isinstance(place[0], FunctionScope):
            return False
        stores = [each for each in self.tree.names[place] if self.tree.is_store(each)]
        inner: cst.CSTNode = node
        for outer in self.tree.around(node):
            if isinstance(outer, cst.FunctionDef | cst.Lambda | cst.BaseComp):
                return False
            if isinstance(outer, cst.If) and outer.body is inner and is_above_zero(outer.test, node.value):
                inside = set(self.tree.walk(inner))
                return inside.isdisjoint(stores) and node.value not in self.tree.declared
            inner = outer
        return False

    def is_number(self, node: cst.BaseExpression) -> bool:
        """Whether an expression is surely a number, and not None."""
        if isinstance(node, cst.BinaryOperation):
            return True  # or an error, here as there
        if isinstance(node, cst.Call):
            return self.tree.is_builtin(node.func, "float", "int", "abs", "len")
        store = self.tree.only_store(node)
        if isinstance(store, cst.Param) and store.annotation is not None:
            has_number = store.default is None or self.not_negative(store.default)
            return has_number and self.tree.is_builtin(store.annotation.annotation, "float", "int")
        if isinstance(node, cst.Attribute):
            value = self.only_attribute(node.attr.value)
            return isinstance(value, cst.Name) and self.is_number(value)
        return self.not_negative(node)

    def only_attribute(self, name: str) -> cst.BaseExpression | None:
        """The value of an attribute that this module sets in one place, and that no other module speaks of."""
        stores: list[cst.CSTNode] = [each for each in self.tree.attributes[name] if self.tree.is_store(each)]
        is_of_class = any(place[1] == name and isinstance(place[0], ClassScope) for place in self.tree.names)
        if len(stores) != 1 or is_of_class or name in self.others.names or self.tree.may_be_asked_for(name):
            return None
        holder = self.tree.parent(stores[0])
        assign = self.tree.parent(holder) if isinstance(holder, cst.AssignTarget) else holder
        return assign.value if isinstance(assign, cst.Assign | cst.AnnAssign) else None

    # --- run, sleep, threads, exceptions -----------------------------------------------------------------------------

    def run(self, node: cst.BaseExpression, api: str) -> None:
        """native's run() is trio.run() with a nursery for the background, which nothing of what is left needs."""
        call = self.call_of(node)
        main = self.only_argument(call, "trio.run() has none of its options")
        if not isinstance(main, cst.Call):
            raise Left("its coroutine was made elsewhere, and trio.run() makes it itself")
        function = self.tree.definition(main.func)
        if function is None or function.asynchronous is None or function.decorators:
            raise Left(f"{code(main.func)} is not surely an async function of this module")
        for name, line in self.blocked.items():
            if name in BACKGROUND:
                raise Left(f"{name}() in line {line} needs the nursery that it opens")
            if name == "TaskGroup" and self.cancels():
                raise Left(f"a task of the TaskGroup in line {line} may be cancelled by itself and awaited")
        if self.others.background:
            raise Left(f"{self.others.background} needs the nursery that it opens")
        self.rename(node, "trio.run")
        self.spread(call, main)

    def spread(self, call: cst.Call, inner: cst.Call) -> None:
        """f(g(a, b)) -> f(g, a, b), and f(functools.partial(g, a, x=b)) where there are keywords."""
        has_keywords = any(each.keyword is not None or each.star == "**" for each in inner.args)
        partial = self.partial() if has_keywords else None
        self.check_comments(inner)

        def edit(new: cst.Call) -> cst.Call:
            first, *others = new.args
            made = cst.ensure_type(first.value, cst.Call)
            arguments = joined([cst.Arg(made.func), *made.args])
            if partial is not None:
                arguments = [cst.Arg(cst.Call(partial, arguments))]
            arguments[-1] = arguments[-1].with_changes(
                comma=first.comma, whitespace_after_arg=first.whitespace_after_arg
            )
            return new.with_changes(args=[*arguments, *others])

        self.edit(call, edit)

    def partial(self) -> cst.BaseExpression:
        """The module's own name for functools.partial, if it has one."""
        bindings = self.tree.bindings.get("partial", ())
        if len(bindings) == 1 and bindings[0] in self.tree.imports_of("functools"):
            return cst.Name("partial")
        self.need("functools")
        return expression("functools.partial")

    def sleep(self, node: cst.BaseExpression, api: str) -> None:
        """trio.sleep(), and a checkpoint for a delay of 0 or less."""
        call = self.call_of(node)
        if len(call.args) == 1 and call.args[0].keyword is not None and call.args[0].keyword.value == "delay":
            delay = call.args[0].value
            self.edit(call.args[0], lambda new: new.with_changes(keyword=None, equal=cst.MaybeSentinel.DEFAULT))
        else:
            delay = self.only_argument(call, "trio.sleep() gives no result")
        if isinstance(delay, cst.Integer) and delay.evaluated_value == 0:
            self.rename(node, "trio.lowlevel.checkpoint")
            self.edit(call, lambda new: new.with_changes(args=[], whitespace_before_args=cst.SimpleWhitespace("")))
            return
        self.rename(node, "trio.sleep")
        if not self.not_negative(delay):
            self.builtin("max")
            self.edit(delay, lambda new: cst.Call(cst.Name("max"), joined([cst.Arg(new), cst.Arg(cst.Integer("0"))])))

    def to_thread(self, node: cst.BaseExpression, api: str) -> None:
        """trio.to_thread.run_sync(), which takes no keywords for the function."""
        call = self.call_of(node)
        if not call.args or call.args[0].star or call.args[0].keyword:
            raise Left("its function is not known")
        self.rename(node, "trio.to_thread.run_sync")
        if any(each.keyword is not None or each.star == "**" for each in call.args):
            partial = self.partial()
            self.edit(
                call,
                lambda new: new.with_changes(
                    args=[cst.Arg(new.with_changes(func=partial, lpar=[], rpar=[]))],
                    whitespace_before_args=cst.SimpleWhitespace(""),
                ),
            )

    def cancelled_error(self, node: cst.BaseExpression, api: str) -> None:
        self.rename(node, "trio.Cancelled")

    def timeout_error(self, node: cst.BaseExpression, api: str) -> None:
        """It is the built-in one."""
        if node in self.edits:
            return  # trio.TooSlowError
        if self.is_builtin_by_name(node, api):
            self.edit(node, lambda new: new)  # all that goes is the import
            return
        self.builtin("TimeoutError")
        self.edit(node, lambda new: cst.Name("TimeoutError", lpar=new.lpar, rpar=new.rpar))

    def pipe(self, node: cst.BaseExpression, api: str) -> None:
        """subprocess's own."""
        self.rename(node, api)

    # --- timeouts ----------------------------------------------------------------------------------------------------

    def scope_for(self, delay: cst.BaseExpression, *, at: bool) -> str:
        """The call that makes native's scope: a deadline, which None takes away, and a delay may be below 0."""
        self.need("trio")
        source = code(delay)
        if isinstance(delay, cst.BinaryOperation) and not delay.lpar:
            source = source if isinstance(delay.operator, cst.Multiply | cst.Divide) or at else f"({source})"
        if isinstance(delay, cst.Name) and delay.value == "None":
            raise Left("None sets no deadline: take it away")
        if at:
            if self.is_number(delay):
                return f"trio.move_on_at({source})"
        elif self.not_negative(delay):
            return f"trio.move_on_after({code(delay)})"
        elif self.is_number(delay):
            return f"trio.move_on_at(trio.current_time() + {source})"
        if not is_chain(delay):
            raise Left("its delay may be None")
        self.need("math")
        deadline = source if at else f"trio.current_time() + {source}"
        return f"trio.move_on_at(math.inf if {source} is None else {deadline})"

    def timeout(self, node: cst.BaseExpression, api: str) -> None:
        """A cancel scope, and TimeoutError if it was the one that has cancelled the block."""
        call = self.call_of(node)
        delay = self.only_argument(call, "its delay is not known")
        item = self.tree.parent(call)
        block = self.tree.parent(item)
        if not isinstance(item, cst.WithItem) or not isinstance(block, cst.With):
            raise Left("it is not entered where it is made")
        self.check_comments(call)
        source = self.scope_for(delay, at=api == "timeout_at")
        self.builtin("TimeoutError")
        name = self.uses_of_scope(item) if item.asname is not None else ""
        if not name and len(block.items) == 1 and self.is_quiet(block.body) and (way := self.without_error(block)):
            self.edit(call, lambda _: expression(source.replace("move_on", way, 1)))
            self.edit(block, lambda new: new.with_changes(asynchronous=None))
            return
        if not name:
            name = self.new_name(node)
            self.edit(item, lambda new: new.with_changes(asname=as_name(name)))
        self.edit(call, lambda _: expression(source))
        self.withs[block][item] = name

    def uses_of_scope(self, item: cst.WithItem) -> str:
        """Put CancelScope's names in the place of Timeout's, where a block names its timeout."""
        assert item.asname is not None
        target = item.asname.name
        place = self.tree.place_of_name(target) if isinstance(target, cst.Name) else None
        if place is None or self.tree.only_store(target) is None:
            raise Left("its object is kept")
        for each in self.tree.names[place]:
            if self.tree.is_store(each):
                continue
            method = self.tree.parent(each)
            call = self.tree.parent(method)
            if not isinstance(method, cst.Attribute) or not isinstance(call, cst.Call) or call.func is not method:
                raise Left(f"its object is handed on in line {self.tree.line(each)}")
            statement = self.tree.parent(call)
            match method.attr.value:
                case "expired":
                    self.edit(call, lambda new: new.func.with_changes(attr=cst.Name("cancel_called")))
                case "reschedule" if (
                    isinstance(statement, cst.Expr)
                    and len(call.args) == 1
                    and self.is_number(call.args[0].value)
                    and self.tree.parent(item) in self.tree.around(call)
                ):
                    self.edit(
                        statement,
                        lambda new: cst.Assign(
                            [cst.AssignTarget(new.value.func.with_changes(attr=cst.Name("deadline")))],
                            new.value.args[0].value,
                        ),
                    )
                case other:
                    raise Left(f"trio.CancelScope has no {other}() of that kind (line {self.tree.line(each)})")
        return place[1]

    def wait_for(self, node: cst.BaseExpression, api: str) -> None:
        """The statement around the await in a cancel scope, if nothing else of it takes time."""
        call = self.call_of(node)
        arguments = call.args
        if len(arguments) != 2 or any(each.star for each in arguments) or arguments[0].keyword is not None:
            raise Left("its arguments are not known")
        awaited, delay = arguments[0].value, arguments[1].value
        waiting = self.tree.parent(call)
        if not isinstance(waiting, cst.Await):
            raise Left("its coroutine is not awaited here, but handed on")
        self.check_comments(call, besides=awaited)
        if isinstance(delay, cst.Name) and delay.value == "None":
            self.edit(call, first_argument)
            return
        statement, block = self.statement_around(waiting)
        self.check_calls(statement, waiting, awaited)
        source = self.scope_for(delay, at=False)
        self.builtin("TimeoutError")
        self.edit(call, first_argument)
        is_quiet = self.is_quiet_await(awaited) and self.only_awaits(statement, waiting)
        if is_quiet and (way := self.without_error(block)):
            self.edit(block, lambda new: in_scope(new, source.replace("move_on", way, 1), ""))
            return
        name = self.new_name(node)
        self.edit(block, lambda new: in_scope(new, source, name))

    def statement_around(self, waiting: cst.Await) -> tuple[cst.BaseSmallStatement, cst.SimpleStatementLine]:
        """The simple statement that an await is in, on a line of its own."""
        for each in self.tree.around(waiting):
            if isinstance(each, cst.BaseComp | cst.Lambda):
                raise Left("it is in a comprehension")
            if isinstance(each, cst.Expr | cst.Assign | cst.AnnAssign | cst.AugAssign | cst.Return):
                line = self.tree.parent(each)
                if isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1:
                    return each, line
                break
            if isinstance(each, cst.BaseSmallStatement | cst.BaseCompoundStatement):
                break
        raise Left("it is in a part of a statement that cannot stand in a block of its own")

    def check_calls(self, statement: cst.CSTNode, waiting: cst.Await, awaited: cst.BaseExpression) -> None:
        """Raise Left if more than the await would be inside of the scope than may be."""
        around = {waiting, *self.tree.around(waiting)}
        for each in self.tree.walk(statement):
            if isinstance(each, cst.Await | cst.Yield) and each is not waiting:
                raise Left("there is another await in the statement")
            if isinstance(each, cst.Call) and each not in {*around, waiting.expression, awaited}:
                function = self.tree.definition(each.func)
                is_coroutine = function is not None and function.asynchronous is not None
                if not is_coroutine and not self.tree.api(each.func):
                    raise Left(f"{code(each)[:40]} in the statement may take time outside of the timeout")

    def only_awaits(self, statement: cst.BaseSmallStatement, waiting: cst.Await) -> bool:
        """Whether a statement does nothing beside an await but to keep the result."""
        return isinstance(statement, cst.Expr | cst.Assign | cst.Return) and statement.value is waiting

    def new_name(self, node: cst.CSTNode) -> str:
        """A variable for a scope that nobody else has in the function."""
        function = function_around(self.tree, node)
        number = self.scope_names[function]
        while (name := f"scope{number or ''}") in self.tree.words:
            number += 1
        self.scope_names[function] = number + 1
        return name

    # --- errors that nobody sees -------------------------------------------------------------------------------------

    def without_error(self, block: Statement) -> str:
        """How a scope ends without TimeoutError, where that would be caught at once and not looked at.

        "move_on" where it is suppressed, "fail" where a handler does something else; "" where it may be seen.
        """
        suite = self.tree.parent(block)
        if not isinstance(suite, cst.IndentedBlock) or len(suite.body) != 1:
            return ""
        outer = self.tree.parent(suite)
        match outer:
            case cst.With(asynchronous=None, items=[cst.WithItem(item=cst.Call() as manager, asname=None)]):
                is_suppress = self.tree.full_name(manager.func) == "contextlib.suppress"
                if not is_suppress or len(manager.args) != 1 or not self.is_timeout_error(manager.args[0].value):
                    return ""
                self.edit(outer, unwrapped)
                self.freed.add(code(manager.func).partition(".")[0])
                return "move_on"
            case cst.Try(handlers=[cst.ExceptHandler(type=cst.BaseExpression() as caught, name=None) as handler, *_]):
                looks_at_it = any(
                    isinstance(each, cst.Raise) or (isinstance(each, cst.Name) and each.value in LOOKS_AT_ERROR)
                    for each in self.tree.walk(handler.body)
                )
                if looks_at_it or outer.body is not suite or not self.is_timeout_error(caught):
                    return ""
                self.edits[caught] = [lambda new: expression("trio.TooSlowError")]
                return "fail"
        return ""

    def is_timeout_error(self, node: cst.BaseExpression) -> bool:
        return self.tree.is_builtin(node, BUILTIN_ERROR) or self.tree.api(node) == BUILTIN_ERROR

    def is_quiet(self, node: cst.CSTNode) -> bool:
        """Whether what is done in a piece of source surely raises no TimeoutError of its own."""
        for each in self.tree.walk(node):
            if isinstance(each, cst.Raise | cst.With | cst.Yield):
                return False
            if isinstance(each, cst.For | cst.CompFor) and each.asynchronous is not None:
                return False
            if isinstance(each, cst.Await) and not isinstance(each.expression, cst.Call):
                return False
            if isinstance(each, cst.Call) and not self.is_quiet_call(each):
                return False
        return True

    def is_quiet_await(self, awaited: cst.BaseExpression) -> bool:
        return isinstance(awaited, cst.Call) and self.is_quiet(awaited)

    def is_quiet_call(self, call: cst.Call) -> bool:
        if self.tree.is_builtin(call.func, *QUIET_BUILTINS):
            return True
        function = self.tree.definition(call.func)
        if function is not None:
            if function in self.asked:
                return True  # what it does besides calling itself is looked at already
            self.asked.append(function)
            quiet = not function.decorators and self.is_quiet(function.body)
            self.asked.pop()
            return quiet
        if self.tree.api(call.func) == "sleep" or self.tree.full_name(call.func) in QUIET_OF_TRIO:
            return True
        if isinstance(call.func, cst.Attribute):
            kind = self.kind_of(call.func.value)
            return kind == "container" or call.func.attr.value in QUIET_METHODS.get(kind, ())
        return False

    def kind_of(self, node: cst.BaseExpression) -> str:
        """The class of native's or trio's that an object surely has, by its one binding or its declaration."""
        if isinstance(node, cst.Call):
            return self.class_named(node.func)
        store = self.tree.only_store(node)
        if isinstance(store, cst.Param) and store.annotation is not None:
            return self.class_named(store.annotation.annotation)
        value = self.tree.only_value(node)
        if isinstance(node, cst.Attribute):
            value = self.only_attribute(node.attr.value)
        if isinstance(value, cst.List | cst.Dict | cst.Set | cst.SimpleString):
            return "container"
        if isinstance(value, cst.Await) and isinstance(value.expression, cst.Call):
            starts = self.tree.api(value.expression.func) in ("create_subprocess_exec", "create_subprocess_shell")
            return "subprocess.Process" if starts else ""
        return self.class_named(value.func) if isinstance(value, cst.Call) else ""

    def class_named(self, node: cst.BaseExpression) -> str:
        if isinstance(node, cst.Subscript):
            node = node.value
        return self.tree.api(node) or self.tree.full_name(node).removeprefix("trio.")

    # --- locks -------------------------------------------------------------------------------------------------------

    def lock(self, node: cst.BaseExpression, api: str) -> None:
        """trio's own, where all that is done with it trio's has, and no result of wait() or acquire() is used."""
        if self.in_annotation(node):
            raise Left(DECLARATION)
        parent = self.tree.parent(node)
        if isinstance(parent, cst.Call) and parent.func is node:
            origin: cst.CSTNode = parent
            self.lock_arguments(parent, api)
        elif isinstance(parent, cst.Arg) and api in ("Event", "Lock", "Condition"):
            origin = node  # default_factory=asyncio.Event
        else:
            raise Left("it is not called here, but handed on")
        flow = follow(self.tree, origin, self.others.names)
        for use in flow.uses:
            self.check_use_of_lock(use.node, use.what, api)
        self.rename(node, f"trio.{'Semaphore' if api == 'BoundedSemaphore' else api}")
        for annotation in flow.annotations:
            self.rename_declared(annotation, api, "Semaphore" if api == "BoundedSemaphore" else api)

    def lock_arguments(self, call: cst.Call, api: str) -> None:
        if api in ("Event", "Lock", "Condition"):
            if call.args:
                raise Left("it is made of something else")
            return
        if any(each.star for each in call.args) or len(call.args) > 1:
            raise Left("its value is not known")
        self.check_comments(call)
        if not call.args:
            self.edit(call, lambda new: new.with_changes(args=[cst.Arg(cst.Integer("1"))]))
            value = "1"
        else:
            keyword = call.args[0].keyword
            if keyword is not None and keyword.value != "value":
                raise Left("its value is not known")
            value = code(call.args[0].value)
            self.edit(call, lambda new: new.with_changes(args=[cst.Arg(new.args[0].value)]))
        if api == "BoundedSemaphore":
            if not value.isidentifier() and not value.isdigit():
                raise Left("its value is not a name or a number, which trio.Semaphore() needs twice")
            limit = cst.parse_expression(f"f(max_value={value})")
            assert isinstance(limit, cst.Call)
            self.edit(call, lambda new: new.with_changes(args=joined([new.args[0], limit.args[0]])))

    def check_use_of_lock(self, node: cst.CSTNode, what: str, api: str) -> None:
        line = self.tree.line(node)
        if what in ("is",) or (what == "with" and api != "Event"):
            return
        if what not in LOCK_METHODS[api]:
            raise Left(f"trio.{api} has no {what}() as in line {line}")
        method = self.tree.parent(node)
        call = self.tree.parent(method)
        called = isinstance(call, cst.Call) and call.func is method
        if what == "wait_for":
            if not called or not isinstance(call, cst.Call) or not is_chain(node):
                raise Left(f"trio.Condition has no wait_for() (line {line})")
            self.condition_wait_for(call)
        elif what in ("wait", "acquire") and not (called and self.is_discarded(call)) and not self.is_started(call):
            raise Left(f"the result of {what}() in line {line} is used, or may be")

    def is_discarded(self, node: cst.CSTNode) -> bool:
        """Whether what an expression gives is thrown away, where it is awaited at the latest."""
        parent = self.tree.parent(node)
        if isinstance(parent, cst.Await):
            return self.is_discarded(parent)
        if isinstance(parent, cst.Expr):
            return True
        if isinstance(parent, cst.Arg):
            call = self.tree.parent(parent)
            if isinstance(call, cst.Call) and call.args[0] is parent:
                if self.tree.api(call.func) in ("wait_for", "gather"):
                    return self.is_discarded(call)
                starts = isinstance(call.func, cst.Attribute) and call.func.attr.value == "create_task"
                return starts and isinstance(self.tree.parent(call), cst.Expr)
        return False

    def is_started(self, argument: cst.CSTNode) -> bool:
        """Whether a function is given to nursery.start_soon()."""
        call = self.tree.parent(argument)
        return (
            isinstance(argument, cst.Arg)
            and isinstance(call, cst.Call)
            and isinstance(call.func, cst.Attribute)
            and call.func.attr.value == "start_soon"
            and call.args[0] is argument
        )

    def condition_wait_for(self, call: cst.Call) -> None:
        """What native's Condition.wait_for() does, in place."""
        waiting = self.tree.parent(call)
        expr = self.tree.parent(waiting)
        line = self.tree.parent(expr)
        if not isinstance(expr, cst.Expr) or not isinstance(line, cst.SimpleStatementLine) or len(line.body) > 1:
            raise Left(f"the result of wait_for() in line {self.tree.line(call)} is used")
        predicate = self.only_argument(call, "its predicate is not known")
        if not isinstance(predicate, cst.Lambda) and not is_chain(predicate):
            raise Left("its predicate is not known")
        self.check_comments(line)
        self.need("trio")
        if line in self.edits:
            return  # by another condition of the same name

        def edit(new: cst.SimpleStatementLine) -> object:
            awaited = cst.ensure_type(cst.ensure_type(new.body[0], cst.Expr).value, cst.Await).expression
            waits = cst.ensure_type(awaited, cst.Call)
            lock, asked = cst.ensure_type(waits.func, cst.Attribute).value, waits.args[0].value
            test = asked.body if isinstance(asked, cst.Lambda) else cst.Call(asked)
            loop = cst.parse_statement(f"while {negated(test)}:\n    await {code(lock)}.wait()\n")
            first = cst.parse_statement("await trio.lowlevel.checkpoint()\n")
            return cst.FlattenSentinel([first.with_changes(leading_lines=new.leading_lines), loop])

        self.edit(line, edit)

    def in_annotation(self, node: cst.CSTNode) -> bool:
        return any(isinstance(each, cst.Annotation) for each in self.tree.around(node))

    def rename_declared(self, annotation: cst.Annotation, api: str, name: str) -> None:
        """Put trio's class in the place of native's in a declaration."""
        for each in self.tree.walk(annotation):
            if isinstance(each, cst.SimpleString):
                self.rename_quoted(each, api, f"trio.{name}")
            if isinstance(each, cst.Name | cst.Attribute) and self.tree.api(each) == api and each not in self.edits:
                self.rename(each, f"trio.{name}")

    def rename_quoted(self, string: cst.SimpleString, api: str, name: str) -> None:
        """Put a name in the place of native's in a declaration in quotes."""
        for chain in {chain for chain, found in self.tree.quoted(string) if found == api}:
            if string.prefix or string.evaluated_value != string.raw_value:
                raise Left("it is declared in quotes")
            self.need("trio")
            self.freed.add(chain.partition(".")[0])
            self.edit(string, functools.partial(renamed_in_quotes, chain=chain, name=name))

    # --- task groups -------------------------------------------------------------------------------------------------

    def task_group(self, node: cst.BaseExpression, api: str) -> None:
        """A nursery, where no task of it is looked at, and nobody sees a cancellation come out of it."""
        if self.in_annotation(node):
            raise Left(DECLARATION)
        call = self.call_of(node)
        item = self.tree.parent(call)
        if not isinstance(item, cst.WithItem) or call.args:
            raise Left("it is not entered where it is made")
        self.check_tasks_unseen()
        self.check_cancellation_unseen(item)
        flow = Flow()
        if item.asname is not None:
            flow = follow(self.tree, item.asname.name, self.others.names)
        known = {node for node, _ in flow.edges}  # where it is read
        for place in flow.places:
            for value in arguments_for(self.tree, place, self.others.names):
                if value not in known:
                    raise Left(f"{place[1]} may be another group: {code(value)} in line {self.tree.line(value)}")
        for value in flow.inputs:
            if value in known:
                continue
            other = self.tree.parent(value)
            if not isinstance(other, cst.WithItem) or not self.is_new_group(value):
                raise Left(f"its name is bound to something else, too, in line {self.tree.line(value)}")
            self.check_cancellation_unseen(other)
        for use in flow.uses:
            self.start_soon(use.node, use.what)
        self.rename(node, "trio.open_nursery")
        for annotation in flow.annotations:
            self.rename_declared(annotation, api, "Nursery")

    def is_new_group(self, node: cst.BaseExpression) -> bool:
        return isinstance(node, cst.Call) and not node.args and self.tree.api(node.func) == "TaskGroup"

    def start_soon(self, node: cst.CSTNode, what: str) -> None:
        line = self.tree.line(node)
        method = cst.ensure_type(self.tree.parent(node), cst.Attribute) if what not in ("with", "is") else None
        call = self.tree.parent(method) if method is not None else None
        if method is None or what != "create_task" or not isinstance(call, cst.Call) or call.func is not method:
            raise Left(f"line {line} does more with it than to start tasks")
        if method in self.edits:
            return  # by another group of the same name
        if not call.args or not isinstance(call.args[0].value, cst.Call) or call.args[0].keyword or call.args[0].star:
            raise Left(f"the coroutine in line {line} was made elsewhere, and a nursery makes it itself")
        for each in call.args[1:]:
            is_name = each.keyword is not None and each.keyword.value == "name"
            if not is_name or not isinstance(each.value, cst.SimpleString | cst.FormattedString):
                raise Left(f"{code(each)[:30]} in line {line} is not surely a task's name")
        self.check_task_unused(call)
        self.edit(method, lambda new: new.with_changes(attr=cst.Name("start_soon")))
        self.spread(call, call.args[0].value)

    def check_task_unused(self, call: cst.Call) -> None:
        parent = self.tree.parent(call)
        if isinstance(parent, cst.Expr):
            return
        if isinstance(parent, cst.Assign) and len(parent.targets) == 1 and parent.value is call:
            target = parent.targets[0].target
            place = self.tree.place_of_name(target) if isinstance(target, cst.Name) else None
            is_local = place is not None and isinstance(place[0], FunctionScope)
            if is_local and place is not None and all(self.tree.is_store(each) for each in self.tree.names[place]):
                self.edit(parent, lambda new: cst.Expr(new.value))
                return
        raise Left(f"the task of line {self.tree.line(call)} is kept, and trio has no object for it")

    def check_tasks_unseen(self) -> None:
        """Raise Left if something shows the Tasks that native makes for a group, or cancels one that may be awaited."""
        kept = ""
        for node, api in self.uses:
            if api in ("current_task", "all_tasks"):
                raise Left(f"{api}() in line {self.tree.line(node)} may show its tasks")
            if api in ("create_task", "run_coroutine_threadsafe", "Task"):
                kept = f"{api} in line {self.tree.line(node)}"
        for each in self.tree.attributes["create_task"]:
            call = self.tree.parent(each)
            if isinstance(call, cst.Call) and not isinstance(self.tree.parent(call), cst.Expr):
                kept = f"the task of line {self.tree.line(call)}"
        cancels = self.cancels()
        if kept and cancels:
            raise Left(f"{kept} may be cancelled in line {self.tree.line(cancels[0])}, and awaited in it")
        if self.others.cancels:
            raise Left(f"{self.others.cancels} may cancel a task that is awaited in it")

    def cancels(self) -> list[cst.Attribute]:
        """Where something may be cancelled that is no scope of trio's."""
        return [each for each in self.tree.attributes["cancel"] if not self.is_scope(each.value)]

    def is_scope(self, node: cst.BaseExpression) -> bool:
        """Whether an object is surely a cancel scope of trio's."""
        if isinstance(node, cst.Attribute) and node.attr.value == "cancel_scope":
            return True
        holder = self.tree.only_store(node)
        item = self.tree.parent(holder) if isinstance(holder, cst.AsName) else None
        value = item.item if isinstance(item, cst.WithItem) else self.tree.only_value(node)
        return isinstance(value, cst.Call) and self.tree.full_name(value.func) in SCOPES

    def check_cancellation_unseen(self, item: cst.WithItem) -> None:
        """Raise Left if somebody may see how a cancellation comes out: by itself on native, in a group on trio."""
        functions = {each.name.value for each in self.tree.around(item) if isinstance(each, cst.FunctionDef)}
        for region, line in self.regions():
            if region is None:
                raise Left(f"line {line} looks at a cancellation, which comes out of a nursery in a group")
            if region in self.tree.around(item) or not self.reached(region).isdisjoint(functions):
                raise Left(f"line {line} catches a cancellation, which comes out of a nursery in a group")
            if self.calls_unknown(region) and any(self.is_handed_on(name) for name in functions):
                raise Left(f"line {line} catches a cancellation, which may come out of the nursery in a group")
        speaks = {"CancelledError", "Cancelled"} & self.others.names
        if speaks and not self.callers(functions).isdisjoint(self.others.names):
            raise Left("another module catches cancellations, which come out of a nursery in a group")

    def regions(self) -> Iterator[tuple[cst.CSTNode | None, int]]:
        """The blocks out of which a cancellation is caught, and the line that does it; None for what may be any."""
        seen: set[cst.CSTNode] = set()
        for node in self.tree.nodes:
            if isinstance(node, cst.Try | cst.TryStar):
                for handler in node.handlers:
                    type_ = handler.type
                    words = {each.value for each in self.tree.walk(handler.body) if isinstance(each, cst.Name)}
                    looks = handler.name is not None or not LOOKS_AT_ERROR.isdisjoint(words)
                    if type_ is not None:
                        seen.update(self.tree.walk(type_))
                    if self.speaks_of_cancelled(type_, looks or isinstance(handler, cst.ExceptStarHandler)):
                        yield node.body, self.tree.line(handler)
            elif isinstance(node, cst.With):
                for item in node.items:
                    seen.update(self.tree.walk(item.item))
                    if self.speaks_of_cancelled(item.item, True):
                        yield node.body, self.tree.line(node)
            elif isinstance(node, cst.Annotation | cst.Import | cst.ImportFrom):
                seen.update(self.tree.walk(node))
        for node in self.tree.nodes:
            if node not in seen and is_chain(node) and self.is_cancelled_error(node):
                yield None, self.tree.line(node)

    def is_cancelled_error(self, node: cst.CSTNode) -> bool:
        return self.tree.api(node) == "CancelledError" or self.tree.full_name(node) == "trio.Cancelled"

    def speaks_of_cancelled(self, type_: cst.BaseExpression | None, looks: bool) -> bool:
        """Whether a handler sees a difference between a cancellation and a group of them."""
        if type_ is None:
            return looks
        names = {each.value for each in self.tree.walk(type_) if isinstance(each, cst.Name)}
        one_of_them = any(is_chain(each) and self.is_cancelled_error(each) for each in self.tree.walk(type_))
        return one_of_them or "BaseExceptionGroup" in names or (looks and "BaseException" in names)

    def reached(self, region: cst.CSTNode) -> set[str]:
        """The names of all functions that a block speaks of, and of those that they speak of."""
        names: set[str] = set()
        left = [region]
        while left:
            for each in self.tree.walk(left.pop()):
                if isinstance(each, cst.Name) and each.value in self.tree.functions and each.value not in names:
                    names.add(each.value)
                    left += self.tree.functions[each.value]
        return names

    def callers(self, functions: Iterable[str]) -> set[str]:
        """The names of the functions that speak of these, at any remove."""
        names = set(functions)
        while True:
            more = {
                name
                for name, found in self.tree.functions.items()
                if name not in names
                and any(
                    isinstance(each, cst.Name) and each.value in names for one in found for each in self.tree.walk(one)
                )
            }
            if not more:
                return names
            names |= more

    def calls_unknown(self, region: cst.CSTNode) -> bool:
        """Whether a block awaits what a function gives that this module does not know by name."""
        reached = [region, *(each for name in self.reached(region) for each in self.tree.functions[name])]
        for part in reached:
            for each in self.tree.walk(part):
                if isinstance(each, cst.Call) and is_chain(each.func) and not self.tree.full_name(each.func):
                    name = each.func.attr.value if isinstance(each.func, cst.Attribute) else code(each.func)
                    if name not in self.tree.functions and isinstance(self.tree.parent(each), cst.Await):
                        return True
        return False

    def is_handed_on(self, name: str) -> bool:
        """Whether a function of the module is given to somebody, who may call it."""
        places = [each for place, found in self.tree.names.items() if place[1] == name for each in found]
        for each in [*places, *self.tree.attributes[name]]:
            parent = self.tree.parent(each)
            if not self.tree.is_store(each) and not (isinstance(parent, cst.Call) and parent.func is each):
                return True
        return False

    # --- queues ------------------------------------------------------------------------------------------------------

    def queue(self, node: cst.BaseExpression, api: str) -> None:
        """A memory channel, where each place that has the queue either puts or gets, but for the one that makes it."""
        if self.in_annotation(node):
            raise Left(DECLARATION)
        outer = self.tree.parent(node)
        subscript = outer if isinstance(outer, cst.Subscript) and outer.value is node else None
        call = self.call_of(subscript or node)
        if any(each.star for each in call.args) or len(call.args) > 1:
            raise Left("its size is not known")
        size, bounded = self.size_of(call)
        holder = self.tree.parent(call)
        home = self.home_of(holder)
        self.check_comments(holder)
        flow = follow(self.tree, call, self.others.names)
        ends = self.ends_of(flow, bounded)
        self.check_one_queue(flow, call, home)
        if ends.get(home) is None:
            raise Left("nobody uses it here")
        self.need("trio")
        name = home[1]
        name = "channel" if name in ("q", "queue") else name
        send, receive = f"send_{name}", f"receive_{name}"
        if {send, receive} & (self.tree.words | self.others.names):
            raise Left(f"{send} or {receive} is the name of something else")
        self.tree.words |= {send, receive}
        self.rename_ends(flow, home, ends, send, receive)
        item_type = subscript
        for annotation in flow.annotations:
            if annotation is getattr(holder, "annotation", None):
                declared = self.tree.unquoted(annotation.annotation)
                item_type = item_type or (declared if isinstance(declared, cst.Subscript) else None)
            else:
                parameter = self.tree.parent(annotation)
                end = ends[self.tree.place_of_name(cst.ensure_type(parameter, cst.Param).name) or home]
                self.rename_declared(annotation, api, f"Memory{end.title()}Channel")
        of = f"[{code(item_type.slice[0])}]" if item_type is not None and len(item_type.slice) == 1 else ""
        made = expression(f"trio.open_memory_channel{of}({size})")

        def edit(new: cst.Assign | cst.AnnAssign) -> cst.Assign:
            target = new.targets[0].target if isinstance(new, cst.Assign) else new.target
            of = code(target.value) + "." if isinstance(target, cst.Attribute) else ""
            both = [cst.Element(expression(of + end)) for end in (send, receive)]
            return cst.Assign([cst.AssignTarget(cst.Tuple(both, lpar=[], rpar=[]))], made)

        self.edit(holder, edit)
        self.edit(node, lambda new: new)

    def size_of(self, call: cst.Call) -> tuple[str, bool]:
        """The size of a channel, and whether it has a bound."""
        if not call.args:
            self.need("math")
            return "math.inf", False
        value = call.args[0].value
        if call.args[0].keyword is not None and call.args[0].keyword.value != "maxsize":
            raise Left("its size is not known")
        if isinstance(value, cst.Integer):
            if value.evaluated_value == 0:
                self.need("math")
                return "math.inf", False
            return value.value, True
        known = self.tree.only_value(value)
        if isinstance(known, cst.Integer) and known.evaluated_value > 0 and self.not_negative(value):
            return code(value), True
        if not is_chain(value):
            raise Left("its size is not known")
        self.need("math")
        return f"{code(value)} if {code(value)} > 0 else math.inf", True

    def home_of(self, holder: cst.CSTNode) -> Place:
        target: cst.BaseExpression | None = None
        if isinstance(holder, cst.Assign) and len(holder.targets) == 1:
            target = holder.targets[0].target
        elif isinstance(holder, cst.AnnAssign):
            target = holder.target
        if isinstance(target, cst.Attribute) and is_chain(target):
            return None, target.attr.value
        place = self.tree.place_of_name(target) if isinstance(target, cst.Name) else None
        if place is None or isinstance(place[0], ClassScope):
            raise Left("it is not put into a variable")
        return place

    def ends_of(self, flow: Flow, bounded: bool) -> dict[Place, str]:
        """Which end of the channel each place needs: "send", "receive" or "both"."""
        ends: dict[Place, str] = {}
        direct: dict[cst.CSTNode, str] = {}
        for use in flow.uses:
            line = self.tree.line(use.node)
            if use.what == "is":
                raise Left(f"it is compared or tested in line {line}")
            end = {"put": "send", "put_nowait": "send", "get": "receive"}.get(use.what)
            if end is None or (use.what == "put_nowait" and bounded):
                raise Left(f"a channel has no {use.what}() of that kind (line {line})")
            method = self.tree.parent(use.node)
            call = self.tree.parent(method)
            if not isinstance(call, cst.Call) or call.func is not method or any(each.keyword for each in call.args):
                raise Left(f"{use.what} is handed on in line {line}")
            direct[use.node] = end
        changed = True
        while changed:
            changed = False
            for place in flow.places:
                found = {direct[node] for node in self.reads_of(place) if node in direct}
                found |= {ends[to] for node, to in flow.edges if to in ends and node in self.reads_of(place)}
                end = "both" if len(found) > 1 or "both" in found else found.pop() if found else None
                if end is not None and ends.get(place) != end:
                    ends[place] = end
                    changed = True
        return ends

    def reads_of(self, place: Place) -> list[cst.CSTNode]:
        nodes: list[cst.CSTNode] = list(self.tree.attributes[place[1]] if place[0] is None else self.tree.names[place])
        return [each for each in nodes if not self.tree.is_store(each)]

    def check_one_queue(self, flow: Flow, call: cst.Call, home: Place) -> None:
        """Raise Left if a place may hold another queue, or has both ends of this one but did not make it."""
        for value in flow.inputs:
            if value is not call and value not in [node for node, _ in flow.edges]:
                raise Left(f"{code(value)[:30]} in line {self.tree.line(value)} may be in its place")
        for place in flow.places:
            for value in arguments_for(self.tree, place, self.others.names):
                if value not in [node for node, _ in flow.edges]:
                    raise Left(f"{place[1]} may be another queue: {code(value)[:30]} in line {self.tree.line(value)}")

    def rename_ends(self, flow: Flow, home: Place, ends: dict[Place, str], send: str, receive: str) -> None:
        names = {"send": send, "receive": receive}

        def rename(node: cst.CSTNode, end: str) -> None:
            name = cst.Name(names[end])
            if isinstance(node, cst.Attribute):
                self.edit(node, lambda new: new.with_changes(attr=name))
            else:
                self.edit(node, lambda new: name.with_changes(lpar=new.lpar, rpar=new.rpar))

        at_home = set(self.reads_of(home))
        for place in flow.places:
            if place != home and ends.get(place, "both") == "both":
                raise Left(f"{place[1]} has both its ends" if place in ends else f"{place[1]} is not used")
        for use in flow.uses:
            end, method = METHODS_OF_CHANNELS[use.what]
            attribute = self.tree.parent(use.node)
            self.edit(attribute, functools.partial(cst.Attribute.with_changes, attr=cst.Name(method)))
            if use.node in at_home:
                rename(use.node, end)
        for node, place in flow.edges:
            if node in at_home:
                rename(node, ends[place])


METHODS_OF_CHANNELS = {"put": ("send", "send"), "put_nowait": ("send", "send_nowait"), "get": ("receive", "receive")}
LOCK_METHODS = {
    "Event": {"set", "is_set", "wait"},
    "Lock": {"acquire", "release", "locked"},
    "Condition": {"acquire", "release", "locked", "wait", "wait_for", "notify", "notify_all"},
    "Semaphore": {"acquire", "release"},
    "BoundedSemaphore": {"acquire", "release"},
}
LOOKS_AT_ERROR = {"exc_info", "exception", "format_exc", "print_exc"}
QUIET_BUILTINS = (
    *("abs", "bool", "dict", "enumerate", "float", "int", "isinstance", "len", "list", "max", "min", "print", "range"),
    *("repr", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "zip"),
)
QUIET_OF_TRIO = {
    *("trio.current_time", "trio.lowlevel.checkpoint", "trio.sleep", "trio.sleep_forever", "trio.sleep_until"),
}
QUIET_METHODS = {
    "Event": {"wait", "set", "is_set"},
    "Lock": {"acquire", "release", "locked"},
    "Semaphore": {"acquire", "release"},
    "Condition": {"acquire", "release", "wait", "notify", "notify_all"},
    "Queue": {"get", "put", "join", "task_done", "qsize", "empty", "full"},
    "subprocess.Process": {"wait"},
}
SCOPES = {"trio.CancelScope", "trio.fail_after", "trio.fail_at", "trio.move_on_after", "trio.move_on_at"}

RULES: dict[str, Callable[[Rules, Any, str], None]] = {
    "BoundedSemaphore": Rules.lock,
    "CancelledError": Rules.cancelled_error,
    "Condition": Rules.lock,
    "Event": Rules.lock,
    "Lock": Rules.lock,
    "Queue": Rules.queue,
    "Semaphore": Rules.lock,
    "TaskGroup": Rules.task_group,
    "TimeoutError": Rules.timeout_error,
    "run": Rules.run,
    "sleep": Rules.sleep,
    "subprocess.DEVNULL": Rules.pipe,
    "subprocess.PIPE": Rules.pipe,
    "subprocess.STDOUT": Rules.pipe,
    "timeout": Rules.timeout,
    "timeout_at": Rules.timeout,
    "to_thread": Rules.to_thread,
    "wait_for": Rules.wait_for,
}


# --- pieces of trees -------------------------------------------------------------------------------------------------


class Editor(cst.CSTTransformer):
    """Makes the edits, from the inside to the outside."""

    def __init__(self, edits: dict[cst.CSTNode, list[Edit]]) -> None:
        super().__init__()
        self.edits = edits

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        for edit in self.edits.get(original_node, ()):
            updated_node = edit(updated_node)
        return updated_node


def is_above_zero(test: cst.BaseExpression, name: str) -> bool:
    """Whether a condition says that a variable is a number, and not below 0: `delay > 0`."""
    match test:
        case cst.Comparison(
            left=cst.Name(value=left),
            comparisons=[cst.ComparisonTarget(cst.GreaterThan() | cst.GreaterThanEqual(), cst.Integer() | cst.Float())],
        ):
            return left == name
        case cst.BooleanOperation(operator=cst.And()):
            return is_above_zero(test.left, name) or is_above_zero(test.right, name)
    return False


class Dedented(cst.CSTTransformer):
    """Moves the lines of an expression to the left."""

    def __init__(self, width: str) -> None:
        super().__init__()
        self.width = width

    def leave_ParenthesizedWhitespace(
        self, original_node: cst.ParenthesizedWhitespace, updated_node: cst.ParenthesizedWhitespace
    ) -> cst.ParenthesizedWhitespace:
        last = updated_node.last_line
        return updated_node.with_changes(last_line=last.with_changes(value=last.value.removeprefix(self.width)))


def first_argument(call: cst.Call) -> cst.BaseExpression:
    """The first argument in the place of a call; where it stood on a line of its own, its lines move to the left."""
    [first, *_] = call.args
    before = call.whitespace_before_args
    width = before.last_line.value if isinstance(before, cst.ParenthesizedWhitespace) else ""
    moved = first.value.visit(Dedented(width))
    assert isinstance(moved, cst.BaseExpression)
    return moved


def renamed_in_quotes(string: cst.SimpleString, chain: str, name: str) -> cst.SimpleString:
    """A declaration in quotes with another name in the place of a dotted one."""
    whole = rf"(?<![\w.]){re.escape(chain)}(?![\w.])"
    return string.with_changes(value=re.sub(whole, name, string.value))


def negated(test: cst.BaseExpression) -> str:
    """The source of `not test`."""
    if isinstance(test, cst.UnaryOperation) and isinstance(test.operator, cst.Not) and not test.lpar:
        return code(test.expression)
    if isinstance(test, cst.BooleanOperation | cst.Comparison | cst.IfExp | cst.NamedExpr) and not test.lpar:
        return f"not ({code(test)})"
    return f"not {code(test)}"


def is_plain(alias: cst.ImportAlias, module: str) -> bool:
    """Whether an import binds a module's name to the module, or binds another."""
    bound = alias.evaluated_alias or alias.evaluated_name.partition(".")[0]
    return bound != module or alias.evaluated_name.partition(".")[0] == module


def joined(arguments: Iterable[cst.Arg]) -> list[cst.Arg]:
    """Arguments in one line."""
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    made = [each.with_changes(comma=comma, whitespace_after_arg=cst.SimpleWhitespace("")) for each in arguments]
    made[-1] = made[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return made


def as_name(name: str) -> cst.AsName:
    return cst.AsName(cst.Name(name))


def out_of_time(scope: str) -> cst.BaseStatement:
    """What native raises when the scope has cancelled its block."""
    statement = cst.parse_statement(f"if {scope}.cancelled_caught:\n    raise TimeoutError\n")
    assert isinstance(statement, cst.BaseStatement)
    return statement


def in_scope(line: cst.SimpleStatementLine, source: str, scope: str) -> object:
    """A statement in a cancel scope."""
    item = cst.WithItem(expression(source), asname=as_name(scope) if scope else None)
    block = cst.With(
        [item],
        cst.IndentedBlock([line.with_changes(leading_lines=[])]),
        leading_lines=line.leading_lines,
    )
    return cst.FlattenSentinel([block, out_of_time(scope)]) if scope else block


def unwrapped(block: cst.With) -> cst.BaseStatement:
    """The one statement of a block, without it."""
    [statement] = cst.ensure_type(block.body, cst.IndentedBlock).body
    comments = [*block.leading_lines, *getattr(statement, "leading_lines", ())]
    changed = statement.with_changes(leading_lines=comments)
    assert isinstance(changed, cst.BaseStatement)
    return changed


def nest(marks: dict[cst.WithItem, str]) -> Edit:
    """The edit of an `async with` some of whose items are cancel scopes now: each of these has a block of its own."""

    def edit(block: cst.With) -> object:
        groups: list[tuple[list[cst.WithItem], str]] = []
        names = set(marks.values())
        for item in block.items:
            target = item.asname.name if item.asname is not None else None
            scope = target.value if isinstance(target, cst.Name) and target.value in names else ""
            item = item.with_changes(comma=cst.MaybeSentinel.DEFAULT)
            if not scope and groups and not groups[-1][1]:
                groups[-1][0].append(item)
            else:
                groups.append(([item], scope))
        body = block.body
        statements: list[cst.BaseStatement] = []
        for items, scope in reversed(groups):
            asynchronous = None if scope else block.asynchronous
            inner = cst.With(items, body, asynchronous=asynchronous)
            statements = [inner, *([out_of_time(scope)] if scope else [])]
            body = cst.IndentedBlock(statements)
        statements[0] = statements[0].with_changes(leading_lines=block.leading_lines)
        return cst.FlattenSentinel(statements)

    return edit
