"""The benchmarks do the same work in every mode, and report what was measured. What the times are is not tested."""

import json
import socket
import subprocess
import sys
from functools import cache
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from benchmarks import by_trio, trio_work, web
from benchmarks.gauges import GAUGES
from benchmarks.modes import FOR_ASYNCIO, FOR_BOTH, FOR_TRIO, MODES
from benchmarks.report import COLOURS, Figure, Line, picture, ratios, table
from benchmarks.workloads import WORKLOADS
from worlds import PATIENCE, ROOT

# n = 3. What is there for 500 connections is what is there for 50, with another number.
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
    **{f"stream_echo_{number}": 3 * number * 10 * 100 for number in (1, 50)},
    **{f"protocol_echo_{number}": 3 * number * 10 * 100 for number in (1, 50)},
    "stream_bulk": 3 * 2**20,
    **{f"tls_echo_{number}": 3 * number * 10 * 100 for number in (1, 50)},
    "tls_bulk": 3 * 2**20,
    "checkpoints": 3,
    "checkpoints_10": 30,
    "channel_ping_pong": 0 + 1 + 2,
    "nursery_10": 3 * sum(range(10)),
    "scope": 3,
    "scope_cancelled": 3,
    "trio_event": 30,
    "trio_sockets": 3 * 10 * 100,
    "trio_sockets_20": 3 * 20 * 10 * 100,
}


def modes_of(name):
    return FOR_TRIO if hasattr(trio_work, name) else FOR_BOTH if hasattr(by_trio, name) else FOR_ASYNCIO


def python(*args):
    done = subprocess.run([sys.executable, *args], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def results(mode):
    """What each workload returns; from a process of its own, as a process has one mode only."""
    names = [name for name in EXPECTED if mode in modes_of(name)]
    return json.loads(python("-W", "ignore::DeprecationWarning", "-m", "benchmarks.worker", "check", mode, *names))


@cache
def has_trio_asyncio():
    """Asked in a process of its own: importing it changes asyncio for the tests that come after."""
    return not subprocess.run([sys.executable, "-c", "import trio_asyncio"], stderr=subprocess.DEVNULL).returncode


def needs(mode):
    if mode == "trio-asyncio" and not has_trio_asyncio():
        pytest.skip("trio-asyncio is not installed, or cannot be imported on this Python")


def test_every_workload_is_expected():
    assert set(EXPECTED) == {name for name in WORKLOADS if not name.endswith("_500")}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_same_work(mode):
    needs(mode)
    assert results(mode) == {name: value for name, value in EXPECTED.items() if mode in modes_of(name)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((name, mode) for name in GAUGES for mode in GAUGES[name].modes),
        *(("spawn_gather", mode) for mode in MODES if mode != "imported"),
        *(("channel_ping_pong", mode) for mode in FOR_TRIO),
        ("to_thread_and_back", "own"),
    ],
)
def test_a_worker_measures_when_it_is_asked(name, mode):
    needs(mode)
    options = ["-W", "ignore::DeprecationWarning", "-m", "benchmarks.worker", "measure", mode, name, "0.0001"]
    done = subprocess.run(
        [sys.executable, *options], cwd=ROOT, input="\n\n\n", capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, "")
    ready, *values = done.stdout.split()
    assert ready == "ready"
    assert len(values) == 2
    assert min(map(float, values)) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        # whose asyncio; in a trio run; a loop is open; in a Task; each Task has a trio task
        ("asyncio", [False, False, True, True, False]),
        ("own", [True, True, True, True, False]),
        ("carried", [True, True, True, True, True]),
        ("hosted", [True, True, True, True, False]),
        ("open_loop", [True, True, True, True, False]),
        ("adopted", [True, True, True, False, False]),
        ("imported", [False, True, False, False, False]),
        ("trio-asyncio", [False, True, True, True, False]),
        ("native", [True, True, False, False, False]),
        ("trio", [False, True, False, False, False]),
    ],
)
def test_a_worker_runs_on_what_it_is_told(mode, expected):
    needs(mode)
    program = """if True:
        import json, sys
        from benchmarks.modes import load
        function_of, run = load(sys.argv[1])
        from benchmarks.workloads import asyncio
        async def child():
            return len(getattr(asyncio.get_running_loop(), "_scheduler").stand_ins) > 0
        async def main():
            try:
                trio = sys.modules["trio"]
                trio.lowlevel.current_trio_token()
                in_trio = True
            except (KeyError, RuntimeError):
                in_trio = False
            loop = getattr(asyncio, "_get_running_loop", lambda: None)()  # native has no loop
            in_task = loop is not None and type(asyncio.current_task()) is real_task
            carried = hasattr(loop, "_scheduler") and in_task and await asyncio.create_task(child())
            return ["adapters" in asyncio.tasks.__file__, in_trio, loop is not None, in_task, carried]
        import _asyncio
        real_task = _asyncio.Task
        print(json.dumps(run(main)))
    """
    assert json.loads(python("-W", "ignore::DeprecationWarning", "-c", program, mode)) == expected


LINES = [
    Line(
        "one",
        "µs CPU",
        "core",
        {
            "asyncio": Figure(2e-6, 1e-7),
            "own": Figure(1e-6, 0.0),
            "trio-asyncio": Figure(8e-6, 0.0),
            "trio": Figure(3e-6, 0.0),
        },
    ),
    Line(
        "two", "µs CPU", "core", {"asyncio": Figure(1e-6, 0.0), "own": Figure(8e-6, 0.0), "trio": Figure(1.2e-5, 0.0)}
    ),
    Line("<memory>", "KiB", "absolute", {"asyncio": Figure(1024.0, 0.0), "own": Figure(4096.0, 0.0)}),
    Line("<echo>", "ms CPU", "streams", {"asyncio": Figure(2e-3, 0.0), "own": Figure(1e-3, 0.0)}),
    Line(
        "nursery",
        "µs CPU",
        "trio",
        {"own": Figure(3e-6, 3e-7), "adopted": Figure(2e-6, 0.0), "trio": Figure(2e-6, 0.0)},
    ),
]


def words_of(text):
    return ["---" if line.startswith("---") else " ".join(line.split()) for line in text.splitlines()]


def test_ratios():
    assert ratios(LINES, "own", "asyncio") == pytest.approx([0.5, 8, 4, 0.5])
    assert ratios(LINES, "trio-asyncio", "own") == pytest.approx([8])
    assert ratios(LINES, "hosted", "asyncio") == []


def test_table():
    assert words_of(table(LINES)) == [
        "median ± spread unit asyncio own trio-asyncio trio",
        "/asyncio /asyncio /asyncio",
        "---",
        "one µs CPU 2.00 ±5% 0.50 ±0% 4.00 ±0% 1.50 ±0%",
        "two µs CPU 1.00 ±0% 8.00 ±0% - 12.00 ±0%",
        "---",
        "<echo> ms CPU 2.00 ±0% 0.50 ±0% - -",
        "---",
        "core: geometric mean 2.00 4.00 4.24",
        "core: worst 8.00 4.00 12.00",
        "core: trio-asyncio by this, mean 8.00",
        "core: this by trio, mean 0.47",
        "streams: geometric mean 0.50",
        "streams: worst 0.50",
        "streams: trio-asyncio by this, mean",
        "streams: this by trio, mean",
        "",
        "median ± spread unit trio own adopted",
        "/trio /trio",
        "---",
        "nursery µs CPU 2.00 ±0% 1.50 ±10% 1.00 ±0%",
        "---",
        "trio's work: geometric mean 1.50 1.00",
        "trio's work: worst 1.50 1.00",
        "",
        "median ± spread unit asyncio own",
        "---",
        "<memory> KiB 1.00 ±0% 4.00 ±0%",
        "---",
    ]


def test_table_without_means():
    assert words_of(table(LINES[2:3]))[2:] == ["<memory> KiB 1.00 ±0% 4.00 ±0%", "---"]


def test_picture():
    root = ElementTree.fromstring(picture(LINES, "on <this> machine"))
    svg = "{http://www.w3.org/2000/svg}"
    words = [each.text for each in root.iter(f"{svg}text")]
    assert "on <this> machine" in words
    assert "<memory>" not in words
    headings = ["core, of asyncio's time", "streams, of asyncio's time"]
    headings.append("trio's work, of trio's time")
    for before, after in pairwise(
        [headings[0], "one", "two", headings[1], "<echo>", headings[2], "nursery", "on <this> machine"]
    ):
        assert words.index(before) < words.index(after)
    assert words.count("geometric mean") == 3
    by_colour = {}
    for dot in root.iter(f"{svg}circle"):
        by_colour.setdefault(dot.get("fill"), []).append(float(dot.get("cx")))
    # the legend's, then each line's, and the means'
    assert {mode: len(by_colour[colour]) for mode, colour in COLOURS.items() if colour in by_colour} == {
        "own": 1 + 4 + 3,
        "adopted": 1 + 1 + 1,
        "trio-asyncio": 1 + 1 + 1,
        "trio": 1 + 2 + 1,
    }
    ticks = {
        each.text: float(each.get("x")) for each in root.iter(f"{svg}text") if each.text[:-1].replace(".", "").isdigit()
    }
    assert list(ticks) == ["0.5x", "1x", "2x", "4x", "8x", "16x"]
    assert by_colour[COLOURS["own"]][1:6] == [ticks[each] for each in ("0.5x", "8x", "2x", "0.5x", "0.5x")]


def test_command(tmp_path):
    pytest.importorskip("pyperf", reason="the extra `bench` is not installed")
    json_file, svg_file = tmp_path / "values.json", tmp_path / "picture.svg"
    out = python(
        "-m",
        "benchmarks",
        "--quick",
        "--json",
        json_file,
        "--svg",
        svg_file,
        "lock_free",
        "channel_ping_pong",
        "memory",
    )
    assert "lock, free" in out
    assert "memory channel, ping-pong" in out
    assert "idle task" in out
    assert "queue" not in out
    names = {each["metadata"]["name"] for each in json.loads(json_file.read_text())["benchmarks"]}
    expected = {"lock_free": modes_of("lock_free"), "channel_ping_pong": FOR_TRIO, "memory": GAUGES["memory"].modes}
    missing = set() if has_trio_asyncio() else {"trio-asyncio"}
    assert names == {f"{name} ({mode})" for name, modes in expected.items() for mode in modes if mode not in missing}
    assert ("trio-asyncio is left out" in out) == bool(missing)
    assert ElementTree.parse(svg_file).getroot().tag.endswith("svg")


def test_command_with_a_name_that_is_none():
    pytest.importorskip("pyperf", reason="the extra `bench` is not installed")
    command = [sys.executable, "-m", "benchmarks", "lock_fre"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stderr.endswith("no such workload: lock_fre\n")


SERVER = """
async def answer(reader, writer):
    while await reader.readline():
        await reader.readuntil(b"\\r\\n\\r\\n")
        writer.write(b"HTTP/1.1 200 OK\\r\\n\\r\\nHello, world")
    writer.close()
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()
run(main)
"""
CLIENT = """
async def main():
    await measure(lambda: asyncio.sleep(0.001))
run(main)
"""


@pytest.mark.slow
def test_web_command(monkeypatch, capsys):
    monkeypatch.setattr(web, "SERVERS", {"colorsys": SERVER})  # a library is a module that can be found
    monkeypatch.setattr(web, "CLIENTS", {"keyword": CLIENT, "no_such_library": CLIENT})
    monkeypatch.chdir(ROOT)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setitem(web.URLS, "keyword", f"redis://127.0.0.1:{server.getsockname()[1]}")
        web.main(["--seconds", "0.1", "--rounds", "2", "--connections", "3"])
    first, _, *lines = capsys.readouterr().out.splitlines()
    assert first == "no_such_library is left out: no module named no_such_library"
    assert [line.split()[:2] for line in lines] == [
        [name, mode] for name in ("colorsys", "keyword") for mode in ("asyncio", "own", "hosted")
    ]


def test_web_command_without_the_server_of_a_client(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setitem(web.URLS, "keyword", f"redis://127.0.0.1:{port}")
    assert web.what_is_missing("keyword").startswith(f"no server at 127.0.0.1:{port}: ")


def test_web_command_with_a_name_that_is_none(capsys):
    with pytest.raises(SystemExit):
        web.main(["aiohtp"])
    assert capsys.readouterr().err.endswith("no such library: aiohtp\n")
