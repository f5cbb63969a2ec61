"""--to-native: native's imports in the place of asyncio's, in whatever form a module has them.

What native has comes from native, under the names that the module gives it; comments and layout stay. What native has
not stays asyncio's where that is right, which running both has shown:

- what needs no loop, and is told nothing of native's: iscoroutine(), what is only declared;
- what raises an error where no loop runs, as get_running_loop() does: in a module that starts no run, and does not
  tell cancellations or Tasks apart, as asyncio's CancelledError and Task are not native's.

Anything else would hang, or take native's objects for others: asyncio.get_event_loop() gives a loop that never runs,
isfuture() is False for a Task of native's. Then the module is left as it was, and each of these lines is named.
TimeoutError, QueueEmpty, IncompleteReadError and the like are the same classes in both.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from compat import native
from compat.report._reading import Known, Module, Use, as_api, imported_module, parse, place
from compat.report._table import native_of, row_of

from ._imports import NATIVE, add_import, blocks_of, bound_by, imports_at_top, section_of_statement
from ._module import defines_a_loop, is_in, is_native, uses_asyncio
from ._project import BACKGROUND
from ._text import Edit, Text

__all__ = [
    "DEFINES_A_LOOP",
    "FREE",
    "NEEDS_LOOP",
    "REFUSED",
    "SAME",
    "Change",
    "Refusal",
    "name_before",
    "statements_of",
    "to_native",
]

DEFINES_A_LOOP = "it defines an event loop"
REFUSED = "native does not have all that it uses, and the rest would not work beside it: port these lines first"
NOT_SURE = "it imports asyncio in a way that cannot be changed surely"
WHOLE_NAME = "it says compat.asyncio by its whole name: import that under a name of its own"
STAR = "`import *` does not say which names it brings: name them"
BY_CALL = "it imports asyncio by a call: change that by hand"
FALLBACK = "it is this one only where another import fails: decide which it is"
COMMENTS = "comments stand between what native has and what it has not: write two imports"
FOR_EXACT = "it takes asyncio's objects, and gives them"
NO_NURSERY = (
    "it opens no nursery for {name}() of native's: write the import by hand, and native.open_background() in it"
)
DOCTEST = "a doctest imports it: change that by hand"
STAYS = "it stays asyncio's"
TESTS = "it runs tests in a loop of asyncio's: give them the marker native of compat.pytest_plugin"
NEEDS_LOOP = "which needs a loop (compat.open_loop())"

NAMES = frozenset(native.__all__) - {"open_background"}  # that one is native's own
PARTS = frozenset(
    ("exceptions", "locks", "queues", "runners", "streams", "subprocess", "taskgroups", "tasks", "threads", "timeouts")
)
# What can stay asyncio's in any module. Policies choose among loops, and native has none to choose from.
FREE = {
    *("iscoroutine", "iscoroutinefunction", "log", "log.logger", "SendfileNotAvailableError"),
    *("AbstractEventLoopPolicy", "DefaultEventLoopPolicy", "set_event_loop_policy"),
    *("WindowsProactorEventLoopPolicy", "WindowsSelectorEventLoopPolicy"),
}
# What raises an error where no loop runs, or does nothing by itself.
WITH_A_LOOP = {
    *("AbstractEventLoop", "AbstractServer", "BaseProtocol", "BaseTransport", "BufferedProtocol", "DatagramProtocol"),
    *("DatagramTransport", "Handle", "Protocol", "ReadTransport", "StreamReaderProtocol", "SubprocessProtocol"),
    *("SubprocessTransport", "TimerHandle", "Transport", "WriteTransport", "get_running_loop"),
}
# A module that uses one of these starts a run, which has no loop, or looks for native's own cancellation.
TELLS_APART = {"CancelledError", "Runner", "run"}
# The same class or value in both worlds.
SAME = {
    *("ALL_COMPLETED", "BrokenBarrierError", "FIRST_COMPLETED", "FIRST_EXCEPTION", "IncompleteReadError"),
    *("InvalidStateError", "LimitOverrunError", "QueueEmpty", "QueueFull", "TimeoutError"),
}
# What of compat's belongs to the exact side.
TAKE_OBJECTS = {"compat.as_channels", "compat.as_queue", "compat.as_streams", "compat.as_trio_stream"}
ENTER_LOOPS = {"compat.run", "compat.open_loop"}
OTHER_SYSTEM = "|".join(
    (
        r"sys\.platform == 'win32'",
        r"sys\.platform\.startswith\('win(32)?'\)",
        r"os\.name == 'nt'",
        r"platform\.system\(\) == 'Windows'",
    )
)
PRAGMA = re.compile(r"#\s*(?:noqa|type:|pyright:|pylint:|pragma:|ruff:|isort:|flake8|mypy:|nosec|fmt:)")
LINE_LENGTH = 88


class Change(NamedTuple):
    """What becomes of a source text."""

    text: str
    left: list[tuple[Use, str]]  # what was not touched, and why
    refusal: str = ""  # why nothing was


Statement = ast.Import | ast.ImportFrom


class Name(NamedTuple):
    """One name of an import statement."""

    alias: ast.alias
    of: str  # the package that it is of: "asyncio", "compat.asyncio"; "" for another
    api: str  # as the report has it
    to: str = ""  # the module that it comes from afterwards; "" if it stays as it is
    name: str = ""  # its name there

    @property
    def bound(self) -> str:
        return bound_by(self.alias)

    @property
    def spelled(self) -> str:
        if not self.to:
            return ast.unparse(self.alias)
        given = self.alias.asname or ("asyncio" if self.to == "compat" else None)
        return f"{self.name} as {given}" if given else self.name


class Refusal(Exception):
    """Why a module is left as it was, and the lines that are why."""

    def __init__(self, reason: str, left: Iterable[tuple[Use, str]] = ()) -> None:
        self.reason, self.left = reason, sorted(set(left))


def to_native(text: str) -> Change:
    """The text with native imported in the place of asyncio. Raises what parse() raises."""
    tree = parse(text, "<source>")
    module = Module(tree)
    if not uses_asyncio(module) or is_native(module):
        return Change(text, [])
    if defines_a_loop(tree):
        return Change(text, [], DEFINES_A_LOOP)
    source = Text(text)
    try:
        statements = statements_of(tree)
        left = judged(tree, module, statements, source)
        edits = [edit for node, names in statements.items() for edit in edits_of(node, names, source)]
    except Refusal as refusal:
        return Change(text, refusal.left, refusal.reason)
    if not edits:
        return Change(text, left)
    left += tests_on_asyncio(tree)
    for edit, unknown in doctests_of(tree, source):
        edits += edit
        left += unknown
    changed = source.changed(edits)
    changed = without_doubles(changed)
    if is_sorted(tree):
        changed = in_its_section(changed)
    parse(changed, "<source>")
    return Change(changed, sorted(left))


# --- what a module imports -------------------------------------------------------------------------------------------


def statements_of(tree: ast.Module) -> dict[Statement, list[Name]]:
    """The statements that import something of asyncio's. Raises Refusal for those that say no name."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [of_import(alias) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [of_import_from(node.module, alias) for alias in node.names]
        else:
            continue
        if any(name.of for name in names):
            found[node] = names
    return found


def package_of(module: str) -> str:
    return next((each for each in ("asyncio", "compat.asyncio") if is_in(each, module)), "")


def of_import(alias: ast.alias) -> Name:
    of = package_of(alias.name)
    if not of:
        return Name(alias, "", "")
    if of == "compat.asyncio" and not alias.asname:
        raise Refusal(NOT_SURE, [(use_of(alias, "asyncio"), WHOLE_NAME)])
    api = as_api(alias.name)
    part = alias.name.removeprefix(of).removeprefix(".")
    if part not in ("", *PARTS):
        if not alias.asname:
            raise Refusal(REFUSED, [(use_of(alias, api), f"compat.native has no {part}")])
        return Name(alias, of, api)
    if not part or not alias.asname:
        return Name(alias, of, api, "compat", "native")
    return Name(alias, of, api, NATIVE, part)


def of_import_from(module: str, alias: ast.alias) -> Name:
    if module == "compat" and alias.name == "asyncio":
        return Name(alias, "compat.asyncio", "asyncio", "compat", "native")
    of = package_of(module)
    api = as_api(f"{module}.{alias.name}")
    if not of:
        return Name(alias, "", "")
    if alias.name == "*":
        raise Refusal(NOT_SURE, [(use_of(alias, as_api(module)), STAR)])
    part = module.removeprefix(of).removeprefix(".")
    if api == f"asyncio.{alias.name}" and alias.name in NAMES:
        return Name(alias, of, api, NATIVE, alias.name)
    if not part and alias.name in PARTS:
        return Name(alias, of, api, NATIVE, alias.name)
    if part in PARTS and alias.name in getattr(native, part).__all__:
        return Name(alias, of, api, f"{NATIVE}.{part}", alias.name)
    return Name(alias, of, api)


def use_of(node: ast.alias | ast.expr, api: str, kind: str = "import") -> Use:
    return Use(node.lineno, node.col_offset + 1, api, kind)


# --- whether that is right -------------------------------------------------------------------------------------------


def judged(
    tree: ast.Module, module: Module, statements: dict[Statement, list[Name]], source: Text
) -> list[tuple[Use, str]]:
    """What stays asyncio's, and why. Raises Refusal if the module has to stay as it is."""
    check_fallbacks(tree, statements)
    check_exact(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and as_api(imported_module(node) or "").startswith("asyncio"):
            raise Refusal(NOT_SURE, [(use_of(node, "asyncio", "code"), BY_CALL)])
    bound = defaultdict[str, list[Name]](list)
    for name in (name for names in statements.values() for name in names if name.of):
        bound[name.bound].append(name)
    elsewhere = lines_for_other_systems(tree)
    quoted = {
        offset
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for offset in range(*source.span(node))
    }
    is_deferred = any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" and "annotations" in ast.unparse(node)
        for node in tree.body
    )
    left, wrong, with_a_loop, of_loops = [], [], [], []
    tells_apart = False
    for use in module.uses():
        if use.kind == "import" or not use.api.startswith(("asyncio", "loop.")):
            continue
        judgement = native_of(use.api, use.arguments, use.kind)
        if use.api.startswith("loop."):
            of_loops.append((use, in_place_of(use.api)))  # it goes where the loop goes
            continue
        names = bound.get(name_before(source, use)[0], [])
        if not names and use.kind == "annotation":  # in quotes
            names = [name for named in bound.values() for name in named if name.api == use.api]
        stays = bool(names) and not any(name.to for name in names)
        short = use.api.removeprefix("asyncio.")
        if use.kind == "code":
            tells_apart |= short in TELLS_APART or (short == "Task" and use.arguments is None)
        if judgement.verdict != "refused" or (stays and (use.kind == "annotation" or short in FREE)):
            continue
        entry = (use, judgement.why)
        if use.line in elsewhere or (
            use.kind == "annotation" and (is_deferred or source.at(use.line, use.column - 1) in quoted)
        ):
            left.append(entry)  # it is not run
        elif stays and short in WITH_A_LOOP:
            with_a_loop.append(entry)
        else:
            wrong.append(entry)
    if wrong or (with_a_loop and tells_apart):
        raise Refusal(REFUSED, wrong + with_a_loop + of_loops)
    for name in (name for names in bound.values() for name in names if not name.to):
        needs = f", {NEEDS_LOOP}" if any(use.api == name.api for use, _ in with_a_loop) else ""
        why = native_of(name.api).why or "it is of the module itself."
        left.append((use_of(name.alias, name.api), f"{STAYS}{needs}: {why}"))
    return left


def in_place_of(api: str) -> str:
    """What trio has in the place of a method of the loop."""
    place = row_of(api).trio
    return f"trio has no loop object: {place if len(place.splitlines()) == 1 else 'see compat.report'}"


def check_exact(module: Module) -> None:
    """Raise Refusal where compat's exact side is given what would be native's, or runs it without its nursery."""
    used = [
        (Use(*place(node), value.name, "code"), value.name)
        for node, scope, _ in module.references
        for value in module.values(node, scope)
        if isinstance(value, Known)
    ]
    wrong = [(use, FOR_EXACT) for use, name in used if name in TAKE_OBJECTS]
    apis = {use.api for use in module.uses() if use.kind == "code"}
    background = sorted(apis & {f"asyncio.{name}" for name in BACKGROUND})
    has_nursery = not apis.isdisjoint(("asyncio.run", "asyncio.Runner"))
    if background and not has_nursery:
        wrong += [(use, NO_NURSERY.format(name=background[0])) for use, name in used if name in ENTER_LOOPS]
    if wrong:
        raise Refusal(REFUSED, wrong)


def name_before(source: Text, use: Use) -> tuple[str, bool]:
    """The name with which a use begins, and whether it is an attribute of that: ("asyncio", True), ("sleep", False)."""
    start = source.at(use.line, use.column - 1)
    before = source.text[:start].rstrip()
    if before.endswith("."):
        found = re.search(r"(\w+)(?:\s*\.\s*\w+)*\s*\.$", before[-1000:])
        return found[1] if found else "", True
    word = re.compile(r"\w*").match(source.text, start)
    return word[0] if word else "", False


def tests_on_asyncio(tree: ast.Module) -> Iterator[tuple[Use, str]]:
    """What has the tests of a module run by asyncio: pytest-asyncio's marker, unittest's class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "pytest.mark.asyncio":
            yield use_of(node, "pytest.mark.asyncio", "code"), TESTS
        elif isinstance(node, ast.ClassDef):
            for base in node.bases:
                if ast.unparse(base).rpartition(".")[2] == "IsolatedAsyncioTestCase":
                    yield use_of(base, "IsolatedAsyncioTestCase", "subclass"), TESTS


def check_fallbacks(tree: ast.Module, statements: dict[Statement, list[Name]]) -> None:
    """Raise Refusal for a name that is asyncio's only where its import from elsewhere fails."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Try):
            continue
        first = {
            bound_by(alias): {name.of for name in statements.get(each, ()) if name.alias is alias}
            for statement in node.body
            for each in ast.walk(statement)
            if isinstance(each, Statement)
            for alias in each.names
        }
        for each in (each for handler in node.handlers for each in ast.walk(handler) if isinstance(each, Statement)):
            for name in statements.get(each, ()):
                if name.of and first.get(name.bound, {name.of}) != {name.of}:
                    raise Refusal(NOT_SURE, [(use_of(name.alias, name.api), FALLBACK)])


def lines_for_other_systems(tree: ast.Module) -> set[int]:
    """The lines that only other systems run: `if sys.platform == "win32":`."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and re.fullmatch(OTHER_SYSTEM, ast.unparse(node.test))
        for statement in node.body
        for line in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
    }


# --- the new imports -------------------------------------------------------------------------------------------------


def edits_of(node: Statement, names: list[Name], source: Text) -> Iterator[Edit]:
    """The changes to an import statement. Raises Refusal where its comments do not say what they speak of."""
    groups = defaultdict[str, list[Name]](list)
    for name in names:
        groups[name.to].append(name)
    if set(groups) == {""}:
        return
    start, end = source.span(node)
    if isinstance(node, ast.ImportFrom) and node.module == "compat":
        for name in groups["compat"]:
            yield Edit(*source.span(name.alias), name.spelled)
    elif isinstance(node, ast.ImportFrom) and len(groups) == 1:
        yield of_module(source.text[start:end], names[0].to, start)
    elif isinstance(node, ast.Import) and len(names) == 1:
        yield Edit(start, end, statement(names[0].to, names))
    else:
        yield Edit(start, end, split_in(node, dict(sorted(groups.items())), source))


def of_module(text: str, module: str, start: int) -> Edit:
    """Put another module's name into `from asyncio import ...`."""
    found = re.match(r"from((?:\s|\\\n|\\\r\n)+)([\w.]+(?:\s*\.\s*\w+)*)", text)
    assert found is not None
    return Edit(start + found.start(2), start + found.end(2), module)


def statement(module: str, names: list[Name]) -> str:
    """An import in one line, of the module, or of what stays where it is."""
    listed = ", ".join(name.spelled for name in names)
    return f"from {module} import {listed}" if module else f"import {listed}"


def split_in(node: Statement, groups: Mapping[str, list[Name]], source: Text) -> str:
    """Several statements for one: what stays where it is before what comes from native."""
    start, end = source.span(node)
    text = source.text[start:end]
    before, behind = source.around(node)
    newline = "\r\n" if "\r\n" in behind or "\r\n" in text else "\n"
    if isinstance(node, ast.ImportFrom) and source.is_alone(node) and (parts := parted_lines(node, groups, source)):
        pass
    elif "#" in text:
        raise Refusal(NOT_SURE, [(use_of(node.names[0], groups[""][0].api), COMMENTS)])
    else:
        old = node.module if isinstance(node, ast.ImportFrom) else None
        parts = [made(module or old or "", names, newline, before) for module, names in groups.items()]
    if not source.is_alone(node):
        return "; ".join(" ".join(part.split()) for part in parts)
    comment = behind.strip()
    pragma = f"  {comment}" if PRAGMA.match(comment) else ""
    return f"{pragma}{newline}{before}".join(parts)


def made(module: str, names: list[Name], newline: str, before: str) -> str:
    """An import in one line, or in several where it would be long."""
    text = statement(module, names)
    if len(before) + len(text) <= LINE_LENGTH or not module:
        return text
    lines = [f"{before}    {name.spelled}," for name in names]
    return newline.join([f"from {module} import (", *lines, f"{before})"])


def parted_lines(node: ast.ImportFrom, groups: Mapping[str, list[Name]], source: Text) -> list[str]:
    """The statements, if each line between the parentheses is of one of them; a comment is of the name that follows."""
    first, last = node.lineno, node.end_lineno or node.lineno
    group_of = {name.alias.lineno: module for module, names in groups.items() for name in names}
    is_one = all(
        group_of[name.alias.lineno] == module and name.alias.end_lineno == name.alias.lineno
        for module, names in groups.items()
        for name in names
    )
    if not is_one or first in group_of or last in group_of:
        return []
    lines: dict[str, list[str]] = {module: [] for module in groups}
    waiting: list[str] = []
    module = ""
    for number in range(first + 1, last):
        waiting.append(source.lines[number - 1])
        if number in group_of:
            module = group_of[number]
            lines[module] += waiting
            waiting = []
    lines[module] += waiting
    for inner in lines.values():
        while inner and not inner[0].strip():
            del inner[0]
    start, end = source.span(node)
    head, foot = source.lines[first - 1], source.text[source.starts[last - 1] : end]
    head = head[start - source.starts[first - 1] :]
    parts = []
    for module, inner in lines.items():
        own_head = head
        if module:
            edit = of_module(head, module, 0)
            own_head = head[: edit.start] + edit.text + head[edit.end :]
            code, mark, comment = own_head.partition("#")
            if mark and not PRAGMA.match(mark + comment):
                own_head = code.rstrip() + comment[len(comment.rstrip()) :]
        parts.append(own_head + "".join(inner) + foot)
    if [names_in(part) for part in parts] != [[name.alias.name for name in names] for names in groups.values()]:
        return []  # the commas stand before the names
    return parts


def names_in(text: str) -> list[str]:
    """The names that an import statement says; none for what is no statement."""
    try:
        [node] = parse(text, "<source>").body
    except (SyntaxError, ValueError):
        return []
    return [alias.name for alias in node.names] if isinstance(node, Statement) else []


def doctests_of(tree: ast.Module, source: Text) -> Iterator[tuple[list[Edit], list[tuple[Use, str]]]]:
    """The imports in doctests, which call what the module has."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0] if node.body else None
        if not isinstance(first, ast.Expr) or not isinstance(first.value, ast.Constant):
            continue
        if isinstance(first.value.value, str):
            start, end = source.span(first.value)
            for found in re.finditer(r"^([ \t]*>>>[ \t]+)(.*\bimport\b.*?)[ \t\r]*$", source.text[start:end], re.M):
                if re.search(r"\basyncio\b", found[2]):
                    line = first.value.lineno + source.text[start : start + found.start()].count("\n")
                    span = start + found.start(2), start + found.end(2)
                    changed = to_native(found[2]).text
                    is_whole = not re.search(r"\b(from|import) (compat\.)?asyncio\b", changed)
                    if is_whole and changed != found[2]:
                        yield [Edit(*span, changed)], []
                    else:
                        yield [], [(Use(line, found.start(2) - found.start() + 1, "asyncio", "import"), DOCTEST)]


# --- where the new imports go ----------------------------------------------------------------------------------------


def is_sorted(tree: ast.Module) -> bool:
    """Whether the imports at the top stand by sections, as isort and ruff have them."""
    sections = [section_of_statement(each) for each in imports_at_top(tree)]
    return sections == sorted(sections)


def in_its_section(text: str) -> str:
    """The text with native's imports at the top where third parties' are, if they stand among the standard library's.

    One that has a comment, shares its lines, or binds a name that another binds, too, stays where it is.
    """
    source, top = Text(text), imports_at_top(parse(text, "<source>"))
    bound = [bound_by(alias) for each in top for alias in each.names]
    sections = [section_of_statement(each) for each in top]
    moved = []
    for index, node in enumerate(top):
        follows = index and sections[index - 1] < sections[index] and top[index - 1].end_lineno == node.lineno - 1
        is_own = all(bound.count(bound_by(alias)) == 1 for alias in node.names)
        above = source.lines[node.lineno - 2].strip() if node.lineno > 1 else ""
        if (
            isinstance(node, ast.ImportFrom)
            and is_in("compat", node.module or "")
            and (follows or sections[index] > min(sections[index:]))
            and is_own
            and source.is_alone(node)
            and not source.around(node)[1].strip()
            and not above.startswith("#")
        ):
            moved.append(node)
    if len(moved) == len(top):
        return text
    for node in reversed(moved):
        text = Text(text).without(node)
    for node in moved:
        text = add_import(text, source.of(node))
    return text


def without_doubles(text: str) -> str:
    """The text with each import of native itself once in a block: `import asyncio.queues` has become the same."""
    while double := next(doubles_in(text), None):
        text = Text(text).without(double)
    return text


def doubles_in(text: str) -> Iterator[ast.stmt]:
    """The imports of native alone on their lines that stand in their block already."""
    source = Text(text)
    for block in blocks_of(parse(text, "<source>")):
        seen = set[str]()
        for each in block:
            said = ast.unparse(each) if isinstance(each, ast.ImportFrom) else ""
            if re.fullmatch(r"from compat import native( as \w+)?", said):
                if said in seen and source.is_alone(each) and not source.around(each)[1].strip():
                    yield each
                seen.add(said)
