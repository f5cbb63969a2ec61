"""A second way to find the uses of asyncio in a source file: by the bytecode that the interpreter makes of it.

It shares nothing with compat.report, which reads the syntax tree: the compiler has resolved the scopes, and what is
looked at are the instructions that load a name which an import has stored, and the attributes taken of it. What leaves
no instruction (annotations in functions, types in quotes) it cannot see, nor what goes through another variable.
"""

from __future__ import annotations

import dis
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

# How instructions end that load a name, and those that follow an attribute.
LOADS = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FAST", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT")
IN_BETWEEN = ("CACHE", "PUSH_NULL", "NOP", "EXTENDED_ARG")
ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR")


def uses(path: Path) -> set[tuple[int, int, str]]:
    """Line, column and dotted name of each thing loaded that was imported from asyncio, with its attributes.

    The compiler writes the code of a `finally` several times: a place counts once.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = compile(path.read_bytes(), str(path), "exec", dont_inherit=True, optimize=0)
    return set(_uses_in(module, {}, {}, at_top=True))


def _uses_in(
    code: types.CodeType, top: dict[str, str], around: dict[str, str], at_top: bool = False
) -> Iterator[tuple[int, int, str]]:
    instructions = [
        each for each in dis.get_instructions(code) if each.opname not in ("CACHE", "PUSH_NULL", "NOP", "EXTENDED_ARG")
    ]
    here, to_top = _imported(instructions)
    if at_top:
        top = here
    top.update(to_top)
    for position, load in enumerate(instructions):
        for name in load.argval if isinstance(load.argval, tuple) else (load.argval,):
            known = _known(load.opname, name, code, here, top, around)
            if known is None:
                continue
            place = load.positions
            for following in instructions[position + 1 :]:
                if following.opname not in ATTRIBUTES:
                    break
                known += f".{following.argval}"
                place = following.positions
            yield place.end_lineno, place.end_col_offset, known
    inner = {**around, **({} if at_top else {name: here[name] for name in here if name in code.co_cellvars})}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _uses_in(constant, top, inner)


def _imported(instructions: list[dis.Instruction]) -> tuple[dict[str, str], dict[str, str]]:
    """The names that imports store, of this code and of the module, and what they stand for."""
    here: dict[str, str] = {}
    to_top: dict[str, str] = {}
    module, whole, came = "", False, ""
    for position, each in enumerate(instructions):
        if each.opname == "IMPORT_NAME":
            relative = instructions[position - 2].argval
            module = "" if relative else each.argval
            whole = instructions[position - 1].argval is None
            came = module
        elif each.opname == "IMPORT_FROM":
            came = f"{came if whole else module}.{each.argval}"
        elif each.opname.startswith("STORE_") and came and each.opname != "STORE_ATTR":
            before = instructions[position - 1].opname
            if whole and before == "IMPORT_NAME" and "." in module and each.argval == module.partition(".")[0]:
                came = each.argval  # import asyncio.subprocess
            of_asyncio = came.partition(".")[0] == "asyncio" or f"{came}.".startswith("compat.asyncio.")
            if before in ("IMPORT_NAME", "IMPORT_FROM", "SWAP", "POP_TOP") and of_asyncio:
                (to_top if each.opname == "STORE_GLOBAL" else here)[each.argval] = came
            came = ""
    return here, to_top


def _known(
    opname: str, name: object, code: types.CodeType, here: dict[str, str], top: dict[str, str], around: dict[str, str]
) -> str | None:
    if not opname.startswith(LOADS) or not isinstance(name, str):
        return None
    if opname.startswith("LOAD_FAST") and name in (*code.co_cellvars, *code.co_freevars):
        return None  # 3.13: handed to a function that is made here
    if opname.startswith("LOAD_GLOBAL"):
        return top.get(name)
    if opname.startswith(("LOAD_DEREF", "LOAD_CLASSDEREF")) or name in code.co_freevars:
        return around.get(name) or here.get(name)
    if opname.startswith(("LOAD_NAME", "LOAD_FROM_DICT")):
        return here.get(name) or top.get(name)
    return here.get(name)
