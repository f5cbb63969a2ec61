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
from . import by_trio
from .carriers import CARRIERS
from .gauges import GAUGES, Gauge
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
    parser.add_argument(
        "--svg", metavar="FILE", help="draw the times of the core and of streams as multiples of asyncio's"
    )
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in ALL]:
        parser.error(f"no such workload: {', '.join(unknown)}")
    return args


@cache
def trio_asyncio_works() -> bool:
    return not subprocess.run([sys.executable, "-c", "import trio_asyncio"], stderr=subprocess.DEVNULL).returncode


def carriers_of(name: str) -> list[str]:
    """The carriers that a workload has on this machine."""
    missing = set()
    if not trio_asyncio_works():
        missing.add("trio-asyncio")
    if name in WORKLOADS and not hasattr(by_trio, name):
        missing.add("trio")
    return [carrier for carrier in CARRIERS if carrier not in missing]


def measure(name: str, seconds: float, turns: int) -> dict[str, list[float]]:
    """Values of a workload by carrier: each has a new process, and they take turns, one at a time."""
    values: dict[str, list[float]] = {carrier: [] for carrier in carriers_of(name)}
    with ExitStack() as stack:

        def start(carrier: str) -> Callable[[], str]:
            """A new worker: a function that gives the next line of what it says."""
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.worker", carrier, name, str(seconds)]
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            stdin, stdout = process.stdin, process.stdout
            assert stdin is not None
            assert stdout is not None

            def answer() -> str:
                print(file=stdin, flush=True)
                return stdout.readline() or sys.exit(f"{name} failed on {carrier}")

            return answer

        workers = {carrier: start(carrier) for carrier in values}
        for answer in workers.values():
            answer()  # ready
        for _ in range(turns):
            for carrier, answer in workers.items():
                values[carrier].append(float(answer()))
    return values


def run(names: list[str], rounds: int, seconds: float, turns: int) -> dict[str, dict[str, pyperf.Benchmark]]:
    """Run the workloads, and return what was measured by name and carrier."""
    runs: dict[str, dict[str, list[pyperf.Run]]] = {name: {} for name in names}
    for number in range(rounds):
        for name in names:
            if sys.stderr.isatty():
                print(f"\rround {number + 1} of {rounds}: {name}\033[K", end="", file=sys.stderr)
            for carrier, values in measure(name, seconds, turns).items():
                metadata = {"name": f"{name} ({carrier})", "unit": "byte" if ALL[name].unit == "KiB" else "second"}
                runs[name].setdefault(carrier, []).append(pyperf.Run(values, metadata=metadata))
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return {name: {carrier: pyperf.Benchmark(each) for carrier, each in runs[name].items()} for name in names}


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
            {carrier: Figure(bench.median(), bench.median_abs_dev()) for carrier, bench in benchmarks.items()},
        )
        for name, benchmarks in found.items()
    ]
    machine = f"CPython {platform.python_version()}, trio {trio.__version__}, {platform.machine()}"
    print(table(lines))
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
