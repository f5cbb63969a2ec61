"""The command line: `python -m compat app.py ARGS...` is `python app.py ARGS...` with asyncio on trio.

The same is installed as the command `asyncio-on-trio`, which also works in a folder that has a `compat` of its own.

The python interpreters that the program starts itself, and the children of multiprocessing (spawn, forkserver), run on
trio as well: see `_children`.
"""

import builtins
import contextlib
import copy
import functools
import importlib.machinery
import linecache
import os
import pkgutil
import runpy
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, ModuleType, TracebackType
from typing import Any, NoReturn

import compat
from compat import _children

USAGE = """\
usage: python -m compat [OPTION...] [PROGRAM [ARG...]]

Run a program as python itself would, its asyncio being carried by trio. PROGRAM is one of

  FILE               a script, a folder or a zip file with a __main__.py, or - for standard input
  -m MODULE          a module of the library or a package, such as pytest or unittest
  -c CODE            code given on the command line

Without one it is standard input; in a terminal that is a prompt, which has "await".

  --native           asyncio's names with trio's meaning (compat.native), in all of the program; not in what it starts
  --tasks-on SIGNAL  print all tasks and what they await when the signal comes, such as USR1 (compat.print_tasks)
  --watch            at the end, list on stderr where the program, and what it has installed, relied on a meaning that
                     trio does not have; other processes, as of multiprocessing or pytest-xdist, are not watched
  --watch-json FILE  write the list to a file, as JSON, in one step at the end; a program that is killed, or ended by a
                     SIGTERM that it does not handle, leaves none: stop it by SIGINT
  -h, --help         show this
  --version          show the version

Tools of their own:

  python -m compat.report PATH...    each use of asyncio: does it run here, what does it become in trio
  python -m compat.codemod PATH...   show as a diff what means the same in both
  python -m compat.kernel install    a kernel for Jupyter in which asyncio is on trio
"""


ALIAS = "asyncio-on-trio:"

# The program takes its place in sys.modules, but python itself uses it once more at the end, without owning it.
CONSOLE_SCRIPT = sys.modules["__main__"]

# What python sets in a module that it runs from a file; no more from 3.15 on.
CACHED: dict[str, None] = {"__cached__": None} if sys.version_info < (3, 15) else {}


def known_as(module: ModuleType, name: str) -> None:
    """Put a module of ours into sys.modules, and let its relative imports start from that name."""
    sys.modules[name] = module
    # `compat.asyncio.tasks` is compat.adapters.tasks under a second name.
    if module.__spec__ is not None and module.__spec__.name.endswith(name.removeprefix(ALIAS)):
        spec = module.__spec__ = copy.copy(module.__spec__)
        spec.name = name
        module.__package__ = spec.parent


class OwnPackages:
    """Lets the program have a `compat` of its own, and gives it ours if it has none.

    All of ours is loaded when the program starts. It leaves sys.modules and comes back when it is asked for; meanwhile
    its modules find each other (`from .tasks import Task` in a function) under names that no program can have.
    """

    def __init__(self, *packages: str) -> None:
        self._modules: dict[str, dict[str, ModuleType]] = {package: {} for package in packages}
        for name in list(sys.modules):
            if (package := name.partition(".")[0]) in packages:
                module = self._modules[package][name] = sys.modules.pop(name)
                known_as(module, ALIAS + name)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self._modules:
            return None
        ours = self._modules[name][name].__spec__
        assert ours is not None
        found = (finder.find_spec(name, path) for finder in sys.meta_path if finder is not self)
        theirs = next((spec for spec in found if spec is not None), ours)
        if theirs.origin != ours.origin and not is_copy(theirs.origin):
            return None
        loader: Any = self  # by its methods: to import importlib.abc takes a tenth of the start
        return importlib.machinery.ModuleSpec(name, loader, origin=ours.origin)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        for name, module in self._modules[spec.name].items():
            known_as(module, name)
        spec.loader_state = sys.modules[spec.name].__spec__
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Undo what the import system does to a new module: this one has run long ago."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def is_copy(origin: str | None) -> bool:
    """Tell whether a package is this one in another place: installed, while the command runs in a clone."""
    return origin is not None and os.path.exists(os.path.join(os.path.dirname(origin), "_redirect.py"))


def main() -> None:
    """Run the program that sys.argv names, and end as it ends."""
    option, *arguments = sys.argv[1:] or [""]
    ways: dict[str, str] = {}  # the options before the program, with the values of those that have one
    while True:
        name, equals, value = option.partition("=")
        if option in ("--native", "--watch"):
            ways[option] = ""
        elif name in ("--tasks-on", "--watch-json") and (equals or arguments):
            ways[name] = value if equals else arguments.pop(0)
        else:
            break
        option, *arguments = arguments or [""]
    if "--native" in ways and is_watched(ways):
        refuse("--native has trio's meaning already, and nothing to watch: leave out one of the two")
    if "--tasks-on" in ways:
        signal = ways["--tasks-on"]
        try:
            compat.print_tasks_on(int(signal) if signal.isdecimal() else signal)
        except ValueError as error:
            refuse(f"--tasks-on: {error}")
    if option in ("-h", "--help"):
        print(USAGE, end="")
    elif option in ("-V", "--version"):
        print(f"asyncio-on-trio {compat.__version__}")
    elif option[:2] in ("-c", "-m") and (option[2:] or arguments):
        run_program(option[:2], option[2:] or arguments.pop(0), arguments, ways)
    elif option == "-" or option[:1] != "-":
        run_program("", option, arguments, ways)
    elif option in ("-c", "-m", "--tasks-on", "--watch-json"):
        refuse(f"Argument expected for {option}: try python -m compat --help")
    else:
        refuse(f"Unknown option: {option}: try python -m compat --help; python's own options go before -m compat")


def is_watched(ways: Mapping[str, str]) -> bool:
    """Tell whether the options ask for a list of what a port has to look at."""
    return "--watch" in ways or "--watch-json" in ways


def refuse(reason: str) -> NoReturn:
    """End with what is wrong with the command line, and what to do."""
    print(reason, file=sys.stderr)
    sys.exit(2)


def run_program(option: str, program: str, arguments: list[str], ways: Mapping[str, str]) -> None:
    """Make the program this process's main module and run it: a "-m" module, "-c" code or, with no option, a file.

    "" and "-" are standard input; that is a prompt, if it is a terminal.
    """
    is_prompt = not option and program in ("", "-") and sys.stdin is not None and sys.stdin.isatty()
    if is_prompt:
        from compat import _repl
    note_failure: Callable[[BaseException], None] | None = None
    # Nothing of ours is imported after this, so that whatever the program has under the same names does not get in.
    if "--native" in ways:
        from compat import native  # which takes time, and nobody else needs it

        with contextlib.suppress(ImportError):  # native works with a trio that is too old for the exact side
            importlib.import_module("compat.asyncio")
            for name in compat.__all__:
                getattr(compat, name)
        native.install()
        if option == "-m" and program in ("coverage", "pytest"):
            explain_plugins()
    else:
        if is_watched(ways):
            from compat import _watch

            words = [*filter(None, [option]), program, *arguments]
            _watch.install(words, "--watch" in ways, ways.get("--watch-json"))
            note_failure = _watch.fail
        compat.install()
        for name in compat.__all__:
            getattr(compat, name)
        _children.start_on_trio()
    sys.meta_path.insert(0, OwnPackages("compat"))

    module = sys.modules["__main__"] = ModuleType("__main__")
    vars(module).update(__builtins__=builtins, __loader__=importlib.machinery.BuiltinImporter)
    sys.argv = [option or program, *arguments]
    try:
        if option == "-m":
            set_first_path(os.getcwd())
            run_as_main(program)
        elif option == "-c":
            set_first_path("")
            exec(code_of_argument(program), vars(module))
        elif is_prompt:
            set_first_path("")
            _repl.run_prompt(vars(module))
        elif program in ("", "-"):
            set_first_path("")
            vars(module).update(CACHED, __file__="<stdin>")
            source = b"" if sys.stdin is None else sys.stdin.buffer.read()
            exec(compile(source, "<stdin>", "exec", dont_inherit=True), vars(module))
        elif pkgutil.get_importer(path := os.path.join(os.getcwd(), program)):
            # A folder or a zip file comes first even where no folder of a program's may (python -P).
            sys.path[: not sys.flags.safe_path] = [path]
            run_as_main("__main__", False)
        else:
            set_first_path(os.path.dirname(os.path.realpath(path)))
            exec(load_script(path, module), vars(module))
    except BaseException as error:
        if note_failure is not None:
            note_failure(error)
        hide_launcher(error)
        raise


def explain_plugins() -> None:
    """Have pytest say in one line which installed plugin needs what native has not, and what to do."""
    from importlib.metadata import EntryPoint

    load = EntryPoint.load

    @functools.wraps(load)
    def load_on_native(self: EntryPoint) -> Any:
        try:
            return load(self)
        except (AttributeError, ImportError) as error:
            needed = f"{error.name} {error}"
            is_refused = (
                needed.startswith("asyncio.") or "compat.native" in needed or "compat.adapters.native" in needed
            )
            if self.group != "pytest11" or not is_refused:
                raise
            import pytest

            raise pytest.UsageError(
                f"--native: the plugin {self.value} cannot be loaded: {error}. Leave it out by `-p no:{self.name}`: "
                f"async tests are run by the marker native of compat.pytest_plugin. Or run the suite without --native"
            ) from error

    setattr(EntryPoint, "load", load_on_native)  # noqa: B010 - mypy takes it for read only


# What the interpreter itself calls for -m, folders and zip files. It runs the code in the main module that there is.
run_as_main: Any = runpy._run_module_as_main  # type: ignore[attr-defined]


def set_first_path(folder: str) -> None:
    """Put the program's folder where python put ours."""
    if not sys.flags.safe_path:
        sys.path[0] = folder


def code_of_argument(source: str) -> CodeType:
    """Compile -c's argument. Newer Pythons allow it to be indented, and show its lines in tracebacks."""
    if sys.version_info >= (3, 14):
        source = textwrap.dedent(source)
    if sys.version_info >= (3, 13):
        linecache.cache["<string>"] = len(source), None, source.splitlines(keepends=True), "<string>"
    return compile(source, "<string>", "exec", dont_inherit=True)


def load_script(path: str, module: ModuleType) -> CodeType:
    """Read a source file or a .pyc, and let the module know about it. Exits with status 2 if it cannot be read."""
    compiled = path.endswith(".pyc")
    loader = (importlib.machinery.SourcelessFileLoader if compiled else importlib.machinery.SourceFileLoader)(
        "__main__", path
    )
    vars(module).update(CACHED, __file__=path, __loader__=loader)
    try:
        source = loader.get_data(path)
    except OSError as error:
        reason = f"[Errno {error.errno}] {error.strerror}"
        print(f"{sys.executable}: can't open file {path!r}: {reason}", file=sys.stderr)
        sys.exit(2)
    code = loader.get_code("__main__") if compiled else compile(source, path, "exec", dont_inherit=True)
    assert isinstance(code, CodeType)
    return code


def hide_launcher(error: BaseException) -> None:
    """Let the traceback that python is about to print begin with the program's own frames."""
    if isinstance(error, SystemExit):
        return  # it prints none, and what its frames hold has to go in time to report itself
    traceback = error.__traceback__
    launcher = (main.__code__.co_filename, _children.START, runpy.run_module.__code__.co_filename)
    while traceback is not None and traceback.tb_frame.f_code.co_filename in launcher:
        traceback = traceback.tb_next
    hook = sys.excepthook

    def excepthook(kind: type[BaseException], value: BaseException, _: TracebackType | None) -> None:
        sys.excepthook = hook
        sys.last_traceback = value.__traceback__ = traceback
        hook(kind, value, traceback)

    sys.excepthook = excepthook


if __name__ == "__main__":
    main()
