"""python -m compat.codemod PATH...: puts trio's functions where asyncio's are used, as long as that changes nothing.

Which rules hold follows from what a module's asyncio is:

- compat's (`from compat import asyncio`, compat.install(), or compat.run() where nothing of asyncio's starts a loop):
  a few calls that mean the same in both worlds;
- native (`from compat import native as asyncio`): what trio can say, until the module is on trio alone. What is left is
  named, with the reason, and goes on working beside trio. These rules take libcst (the extra `codemod`).

Any other is refused, and so is a module that defines an event loop: trio's functions might be called in a loop of the
real asyncio there.

On native:

    asyncio.run(main(x))                    trio.run(main, x)                    if nothing left needs its nursery
    await asyncio.sleep(x)                  await trio.sleep(x)                  max(x, 0), if x may be below 0
    await asyncio.to_thread(f, x)           await trio.to_thread.run_sync(f, x)
    async with asyncio.TaskGroup() as g:    async with trio.open_nursery() as g: if no task of it is kept
        g.create_task(f(x))                     g.start_soon(f, x)
    async with asyncio.timeout(x):          with trio.move_on_after(x) as scope:
        ...                                     ...
                                            if scope.cancelled_caught:
                                                raise TimeoutError
    y = await asyncio.wait_for(f(), x)      the same, around the statement
    try: (one of these two)                 with trio.fail_after(x): and except trio.TooSlowError:
    except TimeoutError:                                                         if nothing else raises it
    with suppress(TimeoutError):            with trio.move_on_after(x):          the same
    Event() Lock() Condition() Semaphore()  trio's                               if all that is done with them trio has
    queue = asyncio.Queue(n)                send_channel, receive_channel = trio.open_memory_channel(n)
                                                                                 if its users put or get, not both
    CancelledError, subprocess.PIPE         trio.Cancelled, subprocess.PIPE

It looks at one module at a time, and at the names in the modules beside it and in the paths that are given: a function
of asyncio's in whose place one of them puts something else, by `patch("asyncio.sleep")` or the like, is left. What may
be seen afterwards: the names of trio tasks and of threads, and the lines of tracebacks. An import that nothing needs
any more goes, unless another of these modules takes the name from there.
"""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

from compat.report._reading import Module, Use, parse

from ._exact import change_exact, is_on_trio
from ._imports import NATIVE, add_import, drop_import, imports_at_top
from ._project import Others

__all__ = ["Change", "change", "is_on_native", "to_native"]

THE_REAL_ONE = "this file imports the real asyncio: write `from compat import asyncio`, or let --to-native do it"
SEVERAL = "asyncio is native and something else in this file"
NOT_AT_THE_TOP = "native is not imported by the module itself, under a name"
DEFINES_A_LOOP = "it defines an event loop"
NOT_PLAIN = "it does not import asyncio by one plain line at the top: change the import by hand to native's"
NO_LIBCST = "it is on native, which takes libcst: pip install 'asyncio-on-trio[codemod]'"


ALONE = Others()


class Change(NamedTuple):
    """What becomes of a source text."""

    text: str
    left: list[tuple[Use, str]]  # what was not touched, and why
    refusal: str = ""  # why nothing was


def change(text: str, others: Others = ALONE) -> Change:
    """Replace what is sure. Raises SyntaxError, ValueError or RecursionError for a text that does not parse."""
    tree = parse(text, "<source>")
    module = Module(tree)
    if not uses_asyncio(module):
        return Change(text, [])
    if defines_a_loop(tree):
        return Change(text, [], DEFINES_A_LOOP)
    if is_native(module):
        if any(name.split(".")[0] == "asyncio" or is_in("compat.asyncio", name) for _, _, name in module.imports):
            return Change(text, [], SEVERAL)
        if not native_at_top(tree):
            return Change(text, [], NOT_AT_THE_TOP)
        try:
            from . import _native  # libcst, which takes long to import, and need not be there for the exact rules
        except ModuleNotFoundError:
            return Change(text, [], NO_LIBCST)
        changed, left = _native.change_native(text, others)
    elif is_on_trio(module):
        changed, left = change_exact(text, tree, module, others)
    else:
        return Change(text, [], THE_REAL_ONE)
    try:
        parse(changed, "<source>")
    except SyntaxError as error:
        raise RuntimeError(f"the codemod would break this file, which is a bug in it: {error}") from error
    return Change(changed, left)


def to_native(text: str) -> Change:
    """The text with native imported in the place of asyncio, where that is imported by one plain line at the top."""
    tree = parse(text, "<source>")
    module = Module(tree)
    if not uses_asyncio(module) or is_native(module):
        return Change(text, [])
    if defines_a_loop(tree):
        return Change(text, [], DEFINES_A_LOOP)
    lines = text.splitlines(keepends=True)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    of_asyncio = [node for node in imports if is_of_asyncio(node)]
    [found] = of_asyncio if len(of_asyncio) == 1 else [None]
    spelled = ast.unparse(found) if found is not None else ""
    line = lines[found.lineno - 1] if found is not None else ""
    plain = PLAIN_IMPORT.fullmatch(spelled)
    if found not in imports_at_top(tree) or plain is None or line.partition("#")[0].strip() != spelled:
        return Change(text, [], NOT_PLAIN)
    assert found is not None
    name = plain[1] or "asyncio"
    native = f"from compat import native as {name}"
    if len(imports_at_top(tree)) == 1 or isinstance(found, ast.ImportFrom) or "#" in line:
        lines[found.lineno - 1] = line.replace(spelled, native)
        return Change("".join(lines), [])
    return Change(add_import(drop_import(text, name), native), [])


PLAIN_IMPORT = re.compile(r"(?:from compat )?import asyncio(?: as (\w+))?")


def is_of_asyncio(node: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(node, ast.Import):
        return any(is_in("asyncio", alias.name) or is_in("compat.asyncio", alias.name) for alias in node.names)
    names = [f"{node.module}.{alias.name}" for alias in node.names]
    return not node.level and any(is_in("asyncio", name) or is_in("compat.asyncio", name) for name in names)


def is_on_native(text: str) -> bool:
    """Whether a text is that of a module on native."""
    return "native" in text and is_native(Module(parse(text, "<source>")))


def is_in(package: str, name: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def is_native(module: Module) -> bool:
    """Whether a module imports native."""
    return any(is_in(NATIVE, name) for _, _, name in module.imports)


def uses_asyncio(module: Module) -> bool:
    """Whether a module has to do with asyncio at all, under whatever name."""
    return is_native(module) or any(use.api.startswith(("asyncio", "loop.")) for use in module.uses())


def native_at_top(tree: ast.Module) -> bool:
    """Whether native is imported by the module itself, and not by a star; and there is a place for more imports."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) and imports_native(node)]
    is_sure = all(each in tree.body and each.names[0].name != "*" for each in found)
    return is_sure and bool(imports_at_top(tree))


def imports_native(node: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(node, ast.Import):
        return any(is_in(NATIVE, alias.name) for alias in node.names)
    return not node.level and any(is_in(NATIVE, f"{node.module}.{alias.name}") for alias in node.names)


def defines_a_loop(tree: ast.Module) -> bool:
    """Whether a class of the module is an event loop, or a policy that makes them."""
    bases = (base for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases)
    return any(ast.unparse(base).endswith(("EventLoop", "EventLoopPolicy")) for base in bases)
