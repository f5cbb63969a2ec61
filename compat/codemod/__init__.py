"""python -m compat.codemod PATH...: puts trio's functions where asyncio's are used, as long as that changes nothing.

Which rules hold follows from what a module's asyncio is:

- compat's (`from compat import asyncio`, compat.install(), or compat.run() where nothing of asyncio's starts a loop):
  a few calls that mean the same in both worlds;
- native (`from compat import native as asyncio`): what trio can say, until the module is on trio alone. What is left is
  named, with the reason, and goes on working beside trio. These rules take libcst (the extra `codemod`).

Any other is refused, and so is a module that defines an event loop: trio's functions might be called in a loop of the
real asyncio there.

--to-native puts native in the place of asyncio, in each form of import. What native does not have stays asyncio's where
that is right; else the module is left as it is, also where one beside it stays on asyncio and would not work with it.

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

from compat.report._reading import Module, parse

from ._exact import change_exact, is_on_trio
from ._imports import NATIVE, bound_by, imports_at_top, place_for_imports
from ._module import defines_a_loop, is_in, is_native, uses_asyncio
from ._project import Others
from ._to_native import DEFINES_A_LOOP, Change, to_native

__all__ = ["Change", "change", "is_on_native", "to_native"]

THE_REAL_ONE = "this file imports the real asyncio: write `from compat import asyncio`, or let --to-native do it"
SEVERAL = "asyncio is native and something else in this file"
NOT_AT_THE_TOP = "native is imported by a star, or there is no line for imports at the top"
NO_LIBCST = "it is on native, which takes libcst: pip install 'asyncio-on-trio[codemod]'"


ALONE = Others()


def change(text: str, others: Others = ALONE) -> Change:
    """Replace what is sure. Raises SyntaxError, ValueError or RecursionError for a text that does not parse."""
    tree = parse(text, "<source>")
    module = Module(tree)
    if not uses_asyncio(module):
        return Change(text, [])
    if defines_a_loop(tree):
        return Change(text, [], DEFINES_A_LOOP)
    if is_native(module):
        if not names_of_native(tree).isdisjoint(names_of_asyncio(tree)):
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


def is_on_native(text: str) -> bool:
    """Whether a text is that of a module on native."""
    return "native" in text and is_native(Module(parse(text, "<source>")))


def native_at_top(tree: ast.Module) -> bool:
    """Whether native is imported by names, and not by a star; and there is a place for more imports."""
    has_place = bool(imports_at_top(tree)) or place_for_imports(tree) is not None
    return "*" not in names_of_native(tree) and has_place


def names_of_native(tree: ast.Module) -> set[str]:
    """The names that imports of native bind, in whatever scope."""
    return names_of(tree, NATIVE)


def names_of_asyncio(tree: ast.Module) -> set[str]:
    """Those of asyncio, real or exact. A star may bind any."""
    found = names_of(tree, "asyncio") | names_of(tree, "compat.asyncio")
    return found | names_of_native(tree) if "*" in found else found


def names_of(tree: ast.Module, package: str) -> set[str]:
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(bound_by(alias) for alias in node.names if is_in(package, alias.name))
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.update(bound_by(alias) for alias in node.names if is_in(package, f"{node.module}.{alias.name}"))
    return found
