"""The modules of `adapters` import downwards only: no circle, and no import inside a function to get around one."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1] / "adapters"
MODULES = {
    ".".join(path.with_suffix("").relative_to(ROOT).parts): path
    for path in ROOT.rglob("*.py")
    if path.name != "__init__.py"
}


def is_for_types_only(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(module, node, *, late=False):
    """Which modules of `adapters` are imported in a part of this one, and whether inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom) and child.level:
            base = module.split(".")[: -child.level] + ([child.module] if child.module else [])
            for name in child.names:
                names = {".".join(base), ".".join([*base, name.name])} & set(MODULES)
                yield from ((imported, late) for imported in names)
        elif not is_for_types_only(child):
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from imports(module, child, late=late or function)


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
