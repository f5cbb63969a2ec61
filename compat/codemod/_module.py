"""What asyncio is to a module, by its imports."""

from __future__ import annotations

import ast

from compat.report._reading import Module

from ._imports import NATIVE

__all__ = ["defines_a_loop", "is_in", "is_native", "uses_asyncio"]


def is_in(package: str, name: str) -> bool:
    """Whether a dotted name is that of a package, or of something in it."""
    return name == package or name.startswith(f"{package}.")


def is_native(module: Module) -> bool:
    """Whether a module imports native."""
    return any(is_in(NATIVE, name) for _, _, name in module.imports)


def uses_asyncio(module: Module) -> bool:
    """Whether a module has to do with asyncio at all, under whatever name."""
    return is_native(module) or any(use.api.startswith(("asyncio", "loop.")) for use in module.uses())


def defines_a_loop(tree: ast.Module) -> bool:
    """Whether a class of the module is an event loop, or a policy that makes them."""
    bases = (base for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases)
    return any(ast.unparse(base).endswith(("EventLoop", "EventLoopPolicy")) for base in bases)
