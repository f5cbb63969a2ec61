"""Runs one of CPython's asyncio test modules on us and counts: see the package's docstring.

A test counts as passed only if code of `adapters` ran in its body, its setUp aside. One that passes without is reported
as "not ours": it says nothing about this project.
"""

import faulthandler
import functools
import importlib
import inspect
import json
import sys
import unittest
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from types import FrameType
from typing import Any

import adapters
from cpython.exclusions import EXCLUDED, LEFT_OUT
from cpython.plug import plug_in

TIME_LIMIT = 120  # seconds
PACKAGE = "test.test_asyncio."
OURS = str(Path(adapters.__file__).parent)


class Record(unittest.TestResult):
    """unittest's record of a run, which also notes the tests whose body ran code of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[str] = []
        self.ours: set[str] = set()

    def startTest(self, test: Any) -> None:
        super().startTest(test)
        self.started.append(test.id())
        name = test._testMethodName
        setattr(test, name, self._watched(getattr(test, name), test.id()))

    def stopTest(self, test: Any) -> None:
        vars(test).pop(test._testMethodName, None)
        super().stopTest(test)

    def _watched(self, method: Callable[[], Any], test: str) -> Callable[[], Any]:
        if inspect.iscoroutinefunction(method):

            @functools.wraps(method)
            async def watched() -> Any:
                with self._watch(test):
                    return await method()

        else:

            @functools.wraps(method)
            def watched() -> Any:
                with self._watch(test):
                    return method()

        return watched

    @contextmanager
    def _watch(self, test: str) -> Iterator[None]:
        def see(frame: FrameType, event: str, arg: object) -> None:
            code = frame.f_code
            if event == "call" and code.co_filename.startswith(OURS) and code.co_name != "__getattr__":
                self.ours.add(test)
                sys.setprofile(None)

        sys.setprofile(see)
        try:
            yield
        finally:
            sys.setprofile(None)


def main(module: str, result_file: str | None = None) -> int:
    """Run the module and print the figures; write them to a file as JSON, too. Returns the exit status."""
    faulthandler.dump_traceback_later(TIME_LIMIT, exit=True)
    plug_in()
    suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(PACKAGE + module))
    tests = list(_tests_in(suite))
    names = [_name(test) for test in tests]
    complaints = [
        f"LEFT_OUT: no class matches {pattern}" for pattern in LEFT_OUT if _idle(pattern, module, names, ".*")
    ]
    suite = unittest.TestSuite(
        test for test, name in zip(tests, names, strict=True) if name.rpartition(".")[0] not in LEFT_OUT
    )
    record = Record()
    suite.run(record)

    excluded = [entry for entry in EXCLUDED if entry.holds and entry.pattern.startswith(f"{module}.")]
    started = [name.removeprefix(PACKAGE) for name in record.started]
    complaints += [f"EXCLUDED: no test matches {e.pattern}" for e in excluded if _idle(e.pattern, module, started)]

    reports = _by_test(record.failures + record.errors)
    skipped = _by_test(record.skipped)
    figures: Counter[str] = Counter()
    for name in started:
        reason = next((entry.reason for entry in excluded if fnmatchcase(name, entry.pattern)), None)
        report = reports.pop(name, None)
        if reason is not None:
            figures["excluded"] += 1
            if report is None:
                complaints.append(f"EXCLUDED: {name} passes, although: {reason}")
        elif report is not None:
            figures["failed"] += 1
            print(f"--- FAILED: {name}\n{report}")
        elif name in skipped:
            figures["skipped"] += 1
        elif PACKAGE + name in record.ours:
            figures["passed"] += 1
        else:
            figures["not ours"] += 1
            print(f"not ours: {name}")
    for name, report in reports.items():  # setUpModule and the like
        complaints.append(f"{name}\n{report}")
    print(*complaints, sep="\n")
    print(f"{module}: {summary(figures)}")
    if result_file is not None:
        Path(result_file).write_text(json.dumps(figures))
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


def _idle(pattern: str, module: str, names: Sequence[str], suffix: str = "") -> bool:
    return pattern.startswith(f"{module}.") and not any(fnmatchcase(name, pattern + suffix) for name in names)


def _by_test(outcomes: Sequence[tuple[Any, str]]) -> dict[str, str]:
    reports: dict[str, str] = {}
    for test, report in outcomes:
        reports[_name(test)] = reports.get(_name(test), "") + report
    return reports


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
