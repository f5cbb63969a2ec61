"""The modules of `adapters` and of `compat._watch` import in one direction only.

There is no circle, and no import inside a function to get around one.
"""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1] / "adapters"
WATCH = Path(__file__).parents[1] / "compat" / "_watch"


def modules_of(folder):
    """The modules of a package, by their names below it."""
    paths = [path for path in folder.rglob("*.py") if path.name != "__init__.py"]
    return {".".join(path.with_suffix("").relative_to(folder).parts): path for path in paths}


MODULES = modules_of(ROOT)


def is_for_types_only(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(module, node, *, late=False, modules=MODULES):
    """Which modules of the package are imported in a part of this one, and whether inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom) and child.level:
            base = module.split(".")[: -child.level] + ([child.module] if child.module else [])
            for name in child.names:
                names = {".".join(base), ".".join([*base, name.name])} & set(modules)
                yield from ((imported, late) for imported in names)
        elif not is_for_types_only(child):
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from imports(module, child, late=late or function, modules=modules)


def test_no_import_upwards():
    graph, late = {}, []
    for module, path in MODULES.items():
        found = list(imports(module, ast.parse(path.read_text())))
        graph[module] = {imported for imported, _ in found}
        late += [(module, imported) for imported, is_late in found if is_late]
    assert not late
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert order.index("_trio.names") < order.index("_trio.scheduler") < order.index("events") < order.index("queues")


def rows_of_the_drawing():
    """The modules in each line of the list in adapters/README.md, from the top."""
    drawing = (ROOT / "README.md").read_text().partition("\nadapters/\n")[2].partition("```")[0]
    for line in drawing.splitlines():
        package = "_trio." if line.startswith("    ") else ""
        yield [package + name for name in re.findall(r"(\w+)\.py\b", line)]


def test_the_drawing_has_every_module_and_no_arrow_upwards():
    row = {module: number for number, modules in enumerate(rows_of_the_drawing()) for module in modules}
    modules = {module: path for module, path in MODULES.items() if not module.startswith("native.")}
    assert row.keys() == modules.keys()
    upwards = [
        (module, imported)
        for module, path in modules.items()
        for imported, _ in imports(module, ast.parse(path.read_text()))
        if row[imported] <= row[module]
    ]
    assert not upwards


def test_watch_imports_as_its_list_says():
    """Each module of `compat._watch` stands in the list at the top of the package, and imports from those above it."""
    modules = modules_of(WATCH)
    text = (WATCH / "__init__.py").read_text()
    order = re.findall(r"^    (_\w+)  +\w", ast.get_docstring(ast.parse(text), clean=False), re.MULTILINE)
    assert sorted(order) == sorted(modules)
    found = [
        (order.index(module), order.index(imported), is_late)
        for module, path in modules.items()
        for imported, is_late in imports(module, ast.parse(path.read_text()), modules=modules)
    ]
    assert len(found) > len(order)
    assert not [each for each in found if each[1] >= each[0] or each[2]]
    assert not [path for path in WATCH.rglob("*.py") if re.search(r"from compat(\._| import _)watch", path.read_text())]
