"""Runs one of CPython's asyncio test modules on us and counts: see the package's docstring.

A test counts as passed only if code of `adapters` ran in its body, its setUp aside. One that passes without is reported
as "not ours": it says nothing about this project. That a Future or a Task, which are the interpreter's, asked our loop
for its debug mode when it was made, or that an earlier test's loop was finalized, is no such code.
"""

import faulthandler
import fnmatch
import functools
import gc
import inspect
import json
import os
import sys
import unittest
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from compat import adapters
from cpython.exclusions import EXCLUDED, LEFT_OUT
from cpython.plug import plug_in
from paths import taken
from worlds import PATIENCE

PACKAGE = "test.test_asyncio."
OURS = adapters.__path__[0]
SAY_NOTHING = frozenset({"__getattr__", "__del__", "get_debug"})


class Watch:
    """Notes the tests in whose body code of ours runs, and tells which one is under way."""

    def __init__(self, tell: Callable[[dict[str, Any]], object]) -> None:
        self.ours: set[str] = set()
        self._tell = tell

    def put_on(self, test: Any) -> None:
        """Watch the test's body when it is run."""
        name, method = test._testMethodName, getattr(test, test._testMethodName)

        @functools.wraps(method)
        def watched() -> Any:
            self._watch(_name(test))
            return method()

        @functools.wraps(method)
        async def watched_coroutine() -> Any:
            self._watch(_name(test))
            return await method()

        tear_down = test._callTearDown

        def end_and_tear_down() -> None:
            self._end()
            tear_down()

        test._callTearDown = end_and_tear_down
        if not inspect.iscoroutinefunction(method):
            setattr(test, name, watched)
        elif sys.version_info < (3, 12):
            setattr(test, name, watched_coroutine)
        else:  # some tests look for their own coroutine in the Task
            setattr(test, name, inspect.markcoroutinefunction(watched))

    @staticmethod
    def _end() -> None:
        sys.setprofile(None)
        gc.enable()

    def _watch(self, test: str) -> None:
        def see(frame: FrameType, event: str, arg: object) -> None:
            code = frame.f_code
            if event == "call" and code.co_filename.startswith(OURS) and code.co_name not in SAY_NOTHING:
                self.ours.add(test)
                self._end()

        self._tell({"running": test})
        gc.disable()  # what it would run are finalizers of earlier tests' loops
        sys.setprofile(see)


def main(module: str, path: str = "own", results: str = os.devnull) -> int:
    """Run the module in one of the paths, and print the figures. Returns the exit status.

    The file `results` gets the figures as JSON; before the end, the name of the running test.
    """
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    plug_in()
    gc.freeze()  # some tests collect garbage hundreds of times; what has been imported is none
    every_test = list(_tests_in(unittest.defaultTestLoader.loadTestsFromName(PACKAGE + module)))
    tests = [test for test in every_test if _class(test) not in LEFT_OUT]
    names = [_name(test) for test in tests]
    holding = [entry for entry in EXCLUDED if entry.holds and path in entry.paths]
    excluded = {entry.pattern: entry.reason for entry in holding}
    hanging = {name for name in names for entry in holding if entry.hangs and fnmatch.fnmatchcase(name, entry.pattern)}
    complaints = _without_match("LEFT_OUT", module, LEFT_OUT, {_class(test) for test in every_test})
    complaints += _without_match("EXCLUDED", module, excluded, names)

    def tell(state: dict[str, Any]) -> None:
        Path(results).write_text(json.dumps(state))

    watch, record, suite = Watch(tell), unittest.TestResult(), unittest.TestSuite()
    for test in tests:
        if _name(test) not in hanging:
            watch.put_on(test)
            suite.addTest(test)
    del test, tests, every_test  # the suite lets go of each test when it has been run
    with taken(path):
        suite.run(record)

    reports, skipped = _by_test(record.failures + record.errors), _by_test(record.skipped)
    figures: Counter[str] = Counter()
    for name in names:
        report = reports.pop(name, None)
        reason = next((reason for pattern, reason in excluded.items() if fnmatch.fnmatchcase(name, pattern)), None)
        if name in skipped:
            figures["skipped"] += 1
            print(f"skipped: {name}: {skipped[name]}")
        elif reason is not None:
            figures["excluded"] += 1
            if report is None and name not in hanging:
                complaints.append(f"EXCLUDED: {name} passes, although: {reason}")
        elif report is not None:
            figures["failed"] += 1
            print(f"--- FAILED: {name}\n{report}")
        elif name in watch.ours:
            figures["passed"] += 1
        else:
            figures["not ours"] += 1
            print(f"not ours: {name}")
    complaints += [f"{name}\n{report}" for name, report in reports.items()]  # setUpModule and the like
    print(*complaints, sep="\n")
    print(f"{module}, {path}: {summary(figures)}")
    tell(figures)
    return 1 if complaints or figures["failed"] else 0


def summary(figures: Counter[str]) -> str:
    """The figures in words."""
    return ", ".join(f"{figures[kind]} {kind}" for kind in ("passed", "excluded", "failed", "skipped", "not ours"))


def _tests_in(suite: Any) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestCase):
            yield test
        else:
            yield from _tests_in(test)


def _name(test: Any) -> str:
    """`module.Class.test`, also for a subtest, which stands for its test."""
    name: str = getattr(test, "test_case", test).id()
    return name.removeprefix(PACKAGE)


def _class(test: Any) -> str:
    return _name(test).rpartition(".")[0]


def _without_match(what: str, module: str, patterns: Iterable[str], names: Iterable[str]) -> list[str]:
    of_module = [pattern for pattern in patterns if pattern.startswith(f"{module}.")]
    return [f"{what}: nothing matches {pattern}" for pattern in of_module if not fnmatch.filter(names, pattern)]


def _by_test(outcomes: Sequence[tuple[Any, str]]) -> dict[str, str]:
    reports: dict[str, str] = {}
    for test, report in outcomes:
        reports[_name(test)] = reports.get(_name(test), "") + report
    return reports


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
