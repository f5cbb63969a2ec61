"""The command line: python -m benchmarks [--quick] [--json FILE] [--svg FILE] [NAMES...]"""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache

import pyperf
import trio

from . import __doc__ as manual
from . import by_trio, trio_work
from .gauges import GAUGES, Gauge
from .modes import FOR_ASYNCIO, FOR_BOTH, FOR_TRIO, MODES
from .report import Figure, Line, picture, table
from .workloads import WORKLOADS, Workload

ALL: dict[str, Workload | Gauge] = {**WORKLOADS, **GAUGES}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=manual, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", metavar="NAMES", nargs="*", help=f"some of: {', '.join(ALL)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="a rough answer: a few short values")
    parser.add_argument("--json", metavar="FILE", help="write all values, as a file of pyperf's")
    parser.add_argument("--svg", metavar="FILE", help="draw the times as multiples of asyncio's, or of trio's")
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in ALL]:
        parser.error(f"no such workload: {', '.join(unknown)}")
    return args


@cache
def trio_asyncio_works() -> bool:
    return not subprocess.run([sys.executable, "-c", "import trio_asyncio"], stderr=subprocess.DEVNULL).returncode


def modes_of(name: str) -> list[str]:
    """The modes that a workload is measured in."""
    if name in GAUGES:
        modes = tuple(GAUGES[name].modes)
    elif hasattr(trio_work, name):
        modes = FOR_TRIO
    else:
        modes = FOR_BOTH if hasattr(by_trio, name) else FOR_ASYNCIO
    return [mode for mode in MODES if mode in modes and (mode != "trio-asyncio" or trio_asyncio_works())]


def measure(name: str, seconds: float, turns: int) -> dict[str, list[float]]:
    """Values of a workload by mode: each has a new process, and they take turns, one at a time."""
    values: dict[str, list[float]] = {mode: [] for mode in modes_of(name)}
    with ExitStack() as stack:
        # Programs are started as they are by default: with their compiled code, which the first start writes.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

        def start(mode: str) -> Callable[[], str]:
            """A new worker: a function that gives the next line of what it says."""
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.worker", "measure", mode, name, str(seconds)]
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
            )
            stdin, stdout = process.stdin, process.stdout
            assert stdin is not None
            assert stdout is not None

            def answer() -> str:
                print(file=stdin, flush=True)
                return stdout.readline() or sys.exit(f"{name} failed on {mode}")

            return answer

        workers = {mode: start(mode) for mode in values}
        for answer in workers.values():
            answer()  # ready
        for _ in range(turns):
            for mode, answer in workers.items():
                values[mode].append(float(answer()))
    return values


def run(names: list[str], rounds: int, seconds: float, turns: int) -> dict[str, dict[str, pyperf.Benchmark]]:
    """Run the workloads, and return what was measured by name and mode."""
    runs: dict[str, dict[str, list[pyperf.Run]]] = {name: {} for name in names}
    for number in range(rounds):
        for name in names:
            if sys.stderr.isatty():
                print(f"\rround {number + 1} of {rounds}: {name}\033[K", end="", file=sys.stderr)
            for mode, values in measure(name, seconds, turns).items():
                metadata = {"name": f"{name} ({mode})", "unit": "byte" if ALL[name].unit == "KiB" else "second"}
                runs[name].setdefault(mode, []).append(pyperf.Run(values, metadata=metadata))
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return {name: {mode: pyperf.Benchmark(each) for mode, each in runs[name].items()} for name in names}


def main() -> None:
    args = arguments()
    names = [name for name in ALL if name in args.names or not args.names]
    started, load = time.monotonic(), os.getloadavg()[0]
    found = run(names, 1, 0.01, 3) if args.quick else run(names, 3, 0.03, 5)
    lines = [
        Line(
            ALL[name].title,
            ALL[name].unit,
            ALL[name].section,
            {mode: Figure(bench.median(), bench.median_abs_dev()) for mode, bench in benchmarks.items()},
        )
        for name, benchmarks in found.items()
    ]
    machine = f"CPython {platform.python_version()}, trio {trio.__version__}, {platform.machine()}"
    print(table(lines))
    if not trio_asyncio_works():
        print("\ntrio-asyncio is left out: it is not installed here, or cannot be imported on this Python")
    print(
        f"\n{machine}, {os.cpu_count()} processors; {time.monotonic() - started:.0f} s,"
        f" load average {load:.1f} before and {os.getloadavg()[0]:.1f} after"
    )
    if args.json:
        suite = pyperf.BenchmarkSuite([bench for benchmarks in found.values() for bench in benchmarks.values()])
        suite.dump(args.json, replace=True)
    if args.svg:
        with open(args.svg, "w", encoding="utf-8") as file:
            file.write(picture(lines, machine))


if __name__ == "__main__":
    main()
