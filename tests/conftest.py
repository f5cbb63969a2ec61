"""What all tests share: how Ctrl-C arrives, how Hypothesis is set up, which tests come first, figures at the end."""

import compileall
import gc
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

pytest_plugins = ["leaves"]

# A shell that starts the run in the background has it ignore SIGINT, and every program that a test starts would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: how long an example takes says more about the machine than about the code.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_configure(config: pytest.Config) -> None:
    """Compile once what hundreds of programs import: the environment may keep them from writing what they compile."""
    if not hasattr(config, "workerinput"):  # in none of pytest-xdist's workers
        for package in ("adapters", "benchmarks", "compat"):
            compileall.compile_dir(Path(__file__).parent.parent / package, quiet=1)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers() -> int | None:
    """`-n auto` is two workers for each processor: the tests wait as long as they compute."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else 2 * (os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slow tests first: the workers of pytest-xdist then end at the same time. Mark the quick ones.

    Quick is the first case of each test that is not slow.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        case = item.callspec.indices.values() if hasattr(item, "callspec") else ()
        if item.get_closest_marker("slow") is None and not any(case):
            item.add_marker("quick")


def pytest_collection_finish() -> None:
    """Let the collector leave aside what was imported: many tests call it, which would take most of their time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[[str, str, Mapping[str, int]], None]:
    """figures(heading, name, counts) prints a line of counts under a heading at the end of the run."""

    def note(heading: str, name: str, counts: Mapping[str, int]) -> None:
        request.node.user_properties.append(("figures", (heading, name, dict(counts))))

    return note


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures, which come with the tests' reports, from pytest-xdist's workers too."""
    tables: defaultdict[str, dict[str, Counter[str]]] = defaultdict(dict)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for key, value in report.user_properties:
                    if key == "figures":
                        heading, name, counts = value
                        tables[heading][name] = Counter(counts)
    for heading, lines in sorted(tables.items()):
        kinds = dict.fromkeys(kind for counts in lines.values() for kind in counts)
        total: Counter[str] = sum(lines.values(), Counter())
        terminalreporter.section(heading)
        for name, counts in [*sorted(lines.items()), ("total", total)]:
            terminalreporter.line(f"{name:24}" + ", ".join(f"{counts[kind]:6} {kind}" for kind in kinds))
