"""The benchmarks do the same work on every carrier, and report what was measured. What the times are is not tested."""

import json
import subprocess
import sys
from functools import cache
from xml.etree import ElementTree

import pytest

from benchmarks import by_trio
from benchmarks.carriers import CARRIERS
from benchmarks.gauges import GAUGES
from benchmarks.report import Figure, Line, means, picture, table
from benchmarks.workloads import WORKLOADS
from worlds import PATIENCE, ROOT

# n = 3
EXPECTED = {
    "spawn_gather": 3 * sum(range(100)),
    "spawn_await": 0 + 1 + 2,
    "task_group": 3 * sum(range(10)),
    "mass_cancel": 300,
    "switch_1": 3,
    "switch_100": 300,
    "queue_ping_pong": 0 + 1 + 2,
    "queue_bounded": 0 + 1 + 2,
    "lock_free": 3,
    "lock_contended": 30,
    "semaphore": 30,
    "event_fan_out": 300,
    "future_wake": 0 + 1 + 2,
    "call_soon": 3,
    "timers": 3,
    "wait_for": 0 + 1 + 2,
    "timeout": 3,
    "to_thread": 0 + 1 + 2,
    "to_thread_and_back": 0 + 1 + 2,
    "subprocess_spawn": 3,
    "subprocess_communicate": 3 * 1024,
    **{f"stream_echo_{number}": 3 * number * 10 * 100 for number in (1, 50, 500)},
    **{f"protocol_echo_{number}": 3 * number * 10 * 100 for number in (1, 50, 500)},
    "stream_bulk": 3 * 2**20,
    **{f"tls_echo_{number}": 3 * number * 10 * 100 for number in (1, 50)},
    "tls_bulk": 3 * 2**20,
}


def python(*args):
    done = subprocess.run([sys.executable, *args], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def results(carrier):
    """What each workload returns; from a process of its own, as a process has one asyncio only."""
    return json.loads(python("-W", "ignore::DeprecationWarning", "-m", "benchmarks.worker", carrier))


@cache
def has_trio_asyncio():
    """Asked in a process of its own: importing it changes asyncio for the tests that come after."""
    return not subprocess.run([sys.executable, "-c", "import trio_asyncio"], stderr=subprocess.DEVNULL).returncode


def needs(carrier):
    if carrier == "trio-asyncio" and not has_trio_asyncio():
        pytest.skip("trio-asyncio is not installed, or cannot be imported on this Python")


def test_every_workload_is_expected():
    assert set(EXPECTED) == set(WORKLOADS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "carrier"),
    [(name, carrier) for name in EXPECTED for carrier in CARRIERS if carrier != "trio" or hasattr(by_trio, name)],
)
def test_same_work(name, carrier):
    needs(carrier)
    assert results(carrier)[name] == EXPECTED[name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "carrier"),
    [*((name, carrier) for name in GAUGES for carrier in CARRIERS), ("call_soon", "us"), ("to_thread_and_back", "us")],
)
def test_a_worker_measures_when_it_is_asked(name, carrier):
    needs(carrier)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "benchmarks.worker", carrier, name, "0.0001"]
    done = subprocess.run(command, cwd=ROOT, input="\n\n\n", capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    ready, *values = done.stdout.split()
    assert ready == "ready"
    assert len(values) == 2
    assert min(map(float, values)) > 0


@pytest.mark.parametrize(
    ("carrier", "expected"),
    [("asyncio", "False False"), ("us", "True True"), ("trio-asyncio", "False True")],
)
def test_a_worker_runs_on_what_it_is_told(carrier, expected):
    needs(carrier)
    program = """if True:
        import sys
        from pathlib import Path
        from benchmarks.carriers import load
        module, run = load(sys.argv[1])
        async def main():
            if "trio" not in sys.modules:
                return False
            try:
                sys.modules["trio"].lowlevel.current_trio_token()
            except RuntimeError:
                return False
            return True
        print("adapters" in module.asyncio.tasks.__file__, run(main))
    """
    assert python("-W", "ignore::DeprecationWarning", "-c", program, carrier).strip() == expected


LINES = [
    Line(
        "one",
        "µs CPU",
        "core",
        {
            "asyncio": Figure(2e-6, 1e-7),
            "us": Figure(1e-6, 0.0),
            "trio-asyncio": Figure(8e-6, 0.0),
            "trio": Figure(3e-6, 0.0),
        },
    ),
    Line("two", "µs CPU", "core", {"asyncio": Figure(1e-6, 0.0), "us": Figure(8e-6, 0.0), "trio": Figure(1.2e-5, 0.0)}),
    Line("<memory>", "KiB", "other", {"asyncio": Figure(1024.0, 0.0), "us": Figure(4096.0, 0.0)}),
    Line("<echo>", "ms CPU", "streams", {"asyncio": Figure(2e-3, 0.0), "us": Figure(1e-3, 0.0)}),
]


def test_means():
    mean = means(LINES[:2])
    assert mean == pytest.approx(
        {("us", "asyncio"): (0.5 * 8) ** 0.5, ("trio-asyncio", "us"): 8, ("trio", "us"): (3 * 1.5) ** 0.5}
    )


def test_table():
    lines = ["---" if line.startswith("---") else " ".join(line.split()) for line in table(LINES).splitlines()]
    assert lines[2:] == [
        "---",
        "one µs CPU 2.00 ±5% 1.00 ±0% 8.00 ±0% 3.00 ±0% 0.50 8.00 3.00",
        "two µs CPU 1.00 ±0% 8.00 ±0% - 12.0 ±0% 8.00 - 1.50",
        "---",
        "<echo> ms CPU 2.00 ±0% 1.00 ±0% - - 0.50 - -",
        "---",
        "<memory> KiB 1.00 ±0% 4.00 ±0% - - 4.00 - -",
        "---",
        "geometric mean of the core 2.00 8.00 2.12",
        "geometric mean of streams 0.50 - -",
    ]


def test_table_without_means():
    lines = [line.split()[0] for line in table(LINES[2:3]).splitlines() if "---" not in line]
    assert lines[2:] == ["<memory>"]


def test_picture():
    root = ElementTree.fromstring(picture(LINES, "on <this> machine"))
    svg = "{http://www.w3.org/2000/svg}"
    words = [each.text for each in root.iter(f"{svg}text")]
    assert "on <this> machine" in words
    assert "one" in words
    assert "<memory>" not in words
    assert words.index("two") < words.index("<echo>")
    by_colour = {}
    for dot in root.iter(f"{svg}circle"):
        by_colour.setdefault(dot.get("fill"), []).append(float(dot.get("cx")))
    legend_and_lines = sorted(map(len, by_colour.values()))
    assert legend_and_lines == [2, 3, 4]
    ticks = {
        each.text: float(each.get("x")) for each in root.iter(f"{svg}text") if each.text[:-1].replace(".", "").isdigit()
    }
    assert list(ticks) == ["0.5x", "1x", "2x", "4x", "8x", "16x"]
    ours = max(by_colour.values(), key=len)
    assert ours[1:] == [ticks["0.5x"], ticks["8x"], ticks["0.5x"]]


def test_command(tmp_path):
    pytest.importorskip("pyperf", reason="the extra `bench` is not installed")
    json_file, svg_file = tmp_path / "values.json", tmp_path / "picture.svg"
    out = python("-m", "benchmarks", "--quick", "--json", json_file, "--svg", svg_file, "lock_free", "memory")
    assert "lock, free" in out
    assert "memory of an idle task" in out
    assert "queue" not in out
    names = {each["metadata"]["name"] for each in json.loads(json_file.read_text())["benchmarks"]}
    assert names >= {f"{name} ({carrier})" for name in ("lock_free", "memory") for carrier in ("asyncio", "us", "trio")}
    assert ElementTree.parse(svg_file).getroot().tag.endswith("svg")


def test_command_with_a_name_that_is_none():
    pytest.importorskip("pyperf", reason="the extra `bench` is not installed")
    command = [sys.executable, "-m", "benchmarks", "lock_fre"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stderr.endswith("no such workload: lock_fre\n")
