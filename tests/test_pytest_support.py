"""pytest: asyncio's test suites on trio, a loop in the tests of pytest-trio, and virtual time for both."""

import asyncio as std
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import trio
import trio.testing

import compat
from compat import asyncio, native
from worlds import PATIENCE, ROOT

pytestmark = pytest.mark.slow

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
ON_ASYNCIO, ON_TRIO = (), ("-m", "compat")
PLUGIN = ("-p", "compat.pytest_plugin")
WHERE_AM_I = """

def test_where(): print("library:", "trio" if type(asyncio.get_running_loop()).__name__ == "Loop" else "asyncio")
"""


def pytest_of(way: tuple[str, ...], folder: Path, *options: str) -> tuple[dict[str, str], str]:
    """How each test of the folder ends, and all that pytest prints, with the plugins that are installed."""
    command = [sys.executable, *way, "-m", "pytest", "-rA", "-s", "-p", "no:cacheprovider", "-c", os.devnull]
    command += ["--rootdir=.", "-o", "asyncio_default_fixture_loop_scope=function", *options]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)
    summary = done.stdout.partition("short test summary info")[2]
    return {test: end for end, test in re.findall(r"^(\w+) (\S+::\S+)", summary, re.M)}, done.stdout + done.stderr


def both_ways(source: str, folder: Path, *options: str) -> dict[str, str]:
    """How the tests end on asyncio, after checking that on trio they end the same, and that this is trio."""
    (folder / "test_suite.py").write_text(textwrap.dedent(source))
    expected, out = pytest_of(ON_ASYNCIO, folder, *options)
    assert "library: asyncio" in out, out
    ends, out = pytest_of(ON_TRIO, folder, *options)
    assert ends == expected, out
    assert "library: trio" in out
    assert "library: asyncio" not in out
    return ends


PYTEST_ASYNCIO = """
    import asyncio, contextvars, pytest, pytest_asyncio, sniffio

    variable = contextvars.ContextVar("variable", default=None)

    @pytest_asyncio.fixture
    async def served():
        async def echo(reader, writer):
            writer.write((await reader.readline()).upper())
            writer.close()
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    @pytest_asyncio.fixture(loop_scope="module", scope="module")
    async def shared():
        task = asyncio.create_task(asyncio.sleep(3600))
        yield task
        task.cancel()

    @pytest.fixture
    def plain():
        return 3

    @pytest.mark.asyncio
    async def test_where():
        print("library:", "trio" if type(asyncio.get_running_loop()).__name__ == "Loop" else "asyncio")

    @pytest.mark.asyncio
    async def test_stream(served, plain):
        reader, writer = await asyncio.open_connection("127.0.0.1", served)
        writer.write(b"hello\\n" * plain)
        assert await reader.read() == b"HELLO\\n"
        writer.close()
        await writer.wait_closed()

    @pytest.mark.asyncio(loop_scope="module")
    class TestShared:
        async def test_one(self, shared):
            assert not shared.done() and shared.get_loop() is asyncio.get_running_loop()
            TestShared.loop = asyncio.get_running_loop()

        async def test_two(self, shared):
            assert not shared.done() and TestShared.loop is asyncio.get_running_loop()

    @pytest.mark.asyncio
    @pytest.mark.parametrize("n", [1, 2])
    async def test_parameters(n):
        assert await asyncio.gather(*(asyncio.sleep(0, i) for i in range(n))) == list(range(n))

    @pytest.mark.asyncio
    async def test_fails():
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
            raise ValueError("on purpose")

    @pytest.mark.asyncio
    async def test_times_out():
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)

    @pytest.mark.xfail(strict=True)
    @pytest.mark.asyncio
    async def test_xfail():
        raise asyncio.CancelledError

    @pytest.mark.asyncio
    async def test_leaves_a_task():
        asyncio.create_task(asyncio.sleep(3600))
"""


def test_pytest_asyncio(tmp_path):
    pytest.importorskip("pytest_asyncio", reason="pytest-asyncio is not installed")
    ends = both_ways(PYTEST_ASYNCIO, tmp_path)
    failed = [test for test, end in ends.items() if end == "FAILED"]
    assert sorted(failed) == ["test_suite.py::test_fails", "test_suite.py::test_times_out"]
    assert len(ends) == 10


def test_pytest_asyncio_in_auto_mode(tmp_path):
    pytest.importorskip("pytest_asyncio", reason="pytest-asyncio is not installed")
    suite = """
        import asyncio, pytest, sniffio

        @pytest.fixture
        async def number():
            await asyncio.sleep(0)
            return 1

        async def test_where(number):
            assert number == 1
            print("library:", "trio" if type(asyncio.get_running_loop()).__name__ == "Loop" else "asyncio")

        class TestMethods:
            async def test_method(self, number):
                assert await asyncio.to_thread(int, number) == 1
    """
    assert len(both_ways(suite, tmp_path, "--asyncio-mode=auto", "-p", "no:trio")) == 2


UNITTEST = """
    import asyncio, logging, unittest, sniffio

    logging.getLogger("asyncio").setLevel(logging.ERROR)  # or the debug mode tells what is slow, among the results

    class TestQueue(unittest.IsolatedAsyncioTestCase):
        def setUp(self):
            self.steps = ["setUp"]

        async def asyncSetUp(self):
            self.steps.append("asyncSetUp")
            self.queue = asyncio.Queue()
            self.loop = asyncio.get_running_loop()
            self.addAsyncCleanup(self.clean_up)

        async def clean_up(self):
            assert self.steps == ["setUp", "asyncSetUp", "test", "asyncTearDown"], self.steps

        async def asyncTearDown(self):
            assert asyncio.get_running_loop() is self.loop
            self.steps.append("asyncTearDown")

        async def test_where(self):
            self.steps.append("test")
            print("library:", "trio" if type(asyncio.get_running_loop()).__name__ == "Loop" else "asyncio")

        async def test_queue(self):
            self.steps.append("test")
            getter = asyncio.create_task(self.queue.get())
            await asyncio.sleep(0)
            self.queue.put_nowait(1)
            self.assertEqual(await getter, 1)

        async def test_fails(self):
            self.steps.append("test")
            self.assertEqual(await asyncio.sleep(0, 1), 2)

        @unittest.expectedFailure
        async def test_expected(self):
            self.steps.append("test")
            raise ValueError

        @unittest.skip("on purpose")
        async def test_skipped(self):
            raise AssertionError

        async def test_sub(self):
            self.steps.append("test")
            for n in range(3):
                with self.subTest(n=n):
                    await asyncio.sleep(0)

        def test_sync(self):
            self.steps.append("test")

    if __name__ == "__main__":
        unittest.main()
"""


def test_isolated_asyncio_test_case(tmp_path):
    ends = both_ways(UNITTEST, tmp_path)
    name = "test_suite.py::TestQueue::test_"
    assert {test.removeprefix(name): end for test, end in ends.items()} == {
        **dict.fromkeys(["where", "queue", "sub", "sync"], "PASSED"),
        "fails": "FAILED",
        "expected": "XFAIL",
    }


@pytest.mark.parametrize("program", [("test_suite.py", "-v"), ("-m", "unittest", "-v", "test_suite")])
def test_unittest_without_pytest(tmp_path, program):
    (tmp_path / "test_suite.py").write_text(textwrap.dedent(UNITTEST))
    ends = []
    for way in (ON_ASYNCIO, ON_TRIO):
        command = [sys.executable, *way, *program]
        done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)
        ends.append((done.returncode, re.findall(r"^(\w+) .*\.\.\. (.*)$", done.stderr, re.M), done.stderr[-30:]))
        assert f"library: {'trio' if way else 'asyncio'}" in done.stdout
    assert ends[0] == ends[1]
    assert ends[0][0] == 1


def test_anyios_plugin(tmp_path):
    suite = """
        import asyncio, anyio, pytest, sniffio
        pytestmark = pytest.mark.anyio

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.fixture
        async def group():
            async with anyio.create_task_group() as group:
                yield group
                group.cancel_scope.cancel()

        async def test_where():
            await asyncio.sleep(0)
            module = type(asyncio.get_running_loop()).__module__
            print("library:", "trio" if module == "compat.adapters.events" else "asyncio")

        async def test_plain_asyncio():
            assert await asyncio.gather(asyncio.sleep(0, 1), asyncio.to_thread(int, 2)) == [1, 2]

        async def test_fixture_of_asyncios():
            queue = asyncio.Queue()
            asyncio.get_running_loop().call_soon(queue.put_nowait, 1)
            assert await asyncio.wait_for(queue.get(), 1) == 1

        async def test_fails():
            raise ValueError("on purpose")
    """
    pytest.importorskip("anyio", reason="anyio is not installed")
    ends = both_ways(suite, tmp_path)
    assert sorted(ends.values()) == ["FAILED", "PASSED", "PASSED", "PASSED"]


# --- plain pytest, by the ini option ---------------------------------------------------------------------------------

ON_TRIO_BY_INI = """
    [pytest]
    addopts = -p compat.pytest_plugin
    asyncio_on_trio = true
    asyncio_default_fixture_loop_scope = function
"""


@pytest.mark.parametrize("workers", [[], ["-p", "xdist", "-n", "1"]], ids=["plain", "xdist"])
def test_ini_option(tmp_path, workers):
    """asyncio is on trio from the first conftest.py on, for all plugins; the tests end as they do on asyncio."""
    (tmp_path / "pytest.ini").write_text(textwrap.dedent(ON_TRIO_BY_INI))
    (tmp_path / "conftest.py").write_text("import asyncio\nHERE = asyncio.tasks.__name__\n")
    suite = textwrap.dedent(UNITTEST) + textwrap.dedent("""
        import conftest
        def test_conftest():
            assert conftest.HERE == "compat.adapters.tasks"
        def test_by_hand():
            async def where():
                return type(asyncio.get_running_loop()).__module__
            assert asyncio.run(where()) == "compat.adapters.events"
        """)
    (tmp_path / "test_suite.py").write_text(suite)
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", *workers]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)
    assert re.findall(r"^FAILED (\S+)", done.stdout, re.M) == ["test_suite.py::TestQueue::test_fails"], done.stdout
    assert "1 failed, 6 passed, 1 skipped, 1 xfailed" in done.stdout
    assert "library: trio" in done.stdout


def test_ini_option_with_pytest_asyncio(tmp_path):
    pytest.importorskip("pytest_asyncio", reason="pytest-asyncio is not installed")
    (tmp_path / "test_suite.py").write_text(textwrap.dedent(PYTEST_ASYNCIO))
    ends, out = pytest_of((), tmp_path, *PLUGIN, "-o", "asyncio_on_trio=true")
    failed = [test for test, end in ends.items() if end == "FAILED"]
    assert sorted(failed) == ["test_suite.py::test_fails", "test_suite.py::test_times_out"], out
    assert len(ends) == 10
    assert "library: trio" in out


def test_ini_option_ends_with_the_run(tmp_path):
    """Of pytest.main(), for instance; and `python -m compat -m pytest` is as before."""
    (tmp_path / "test_suite.py").write_text("import asyncio\ndef test(): assert 'compat' in asyncio.tasks.__name__\n")
    (tmp_path / "main.py").write_text(
        "import asyncio, pytest, sys\n"
        "before = asyncio.tasks.__name__\n"
        "options = ['-q', '-p', 'compat.pytest_plugin', '-o', 'asyncio_on_trio=true', '-c', '/dev/null']\n"
        "assert not pytest.main(options)\n"
        "del asyncio; import asyncio\n"
        "print(before == asyncio.tasks.__name__)\n"
    )
    for way in (ON_ASYNCIO, ON_TRIO):
        command = [sys.executable, *way, "main.py"]
        done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)
        assert done.stdout.endswith("True\n"), done.stdout + done.stderr


# --- a loop for pytest-trio's tests ----------------------------------------------------------------------------------


def test_loop_for_trio_tests(tmp_path):
    (tmp_path / "test_suite.py").write_text(
        textwrap.dedent("""
        import pytest, trio
        from compat import asyncio
        pytestmark = pytest.mark.trio

        async def test_both(asyncio_loop):
            assert asyncio.get_running_loop() is asyncio_loop
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asyncio.sleep, 0)
                task = asyncio.create_task(trio.lowlevel.checkpoint())
                await task

        async def test_leaves_a_task(asyncio_loop):
            async def last():
                try: await asyncio.sleep(3600)
                finally: print("cleaned up")
            asyncio.create_task(last())
            await asyncio.sleep(0)

        async def test_without():
            with pytest.raises(RuntimeError, match="no running event loop"):
                asyncio.get_running_loop()

        async def test_fails(asyncio_loop):
            await asyncio.sleep(0)
            raise ValueError("on purpose")

        @pytest.fixture
        async def task(asyncio_loop):
            task = asyncio.create_task(asyncio.sleep(3600))
            yield task
            print("task done:", task.done())

        async def test_fixture_on_it(task, autojump_clock):
            await asyncio.wait_for(asyncio.shield(task), 5000)
            assert trio.current_time() == asyncio.get_running_loop().time() == 3600

        async def test_an_hour(asyncio_loop, autojump_clock):
            await asyncio.sleep(3600)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(60):
                    await trio.sleep(61)
            assert trio.current_time() == 3660

        @pytest.mark.virtual_time
        async def test_marked(asyncio_loop, autojump_clock):
            await asyncio.sleep(3600)

        @pytest.mark.virtual_time
        async def test_marked_without_clock(asyncio_loop):
            await asyncio.sleep(3600)
        """)
    )
    ends, out = pytest_of((), tmp_path, *PLUGIN, "-p", "no:asyncio", "-p", "no:anyio")
    ends = {test.removeprefix("test_suite.py::test_"): end for test, end in ends.items()}
    passed = dict.fromkeys(["both", "leaves_a_task", "without", "fixture_on_it", "an_hour", "marked"], "PASSED")
    assert ends == {**passed, "fails": "FAILED", "marked_without_clock": "FAILED"}, out
    assert "virtual_time has no effect on pytest-trio's run: use its fixture autojump_clock as well" in out
    assert "task done: True" in out
    assert "cleaned up" in out
    assert "ValueError: on purpose" in out


# --- virtual time ----------------------------------------------------------------------------------------------------


def test_virtual_time():
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        times = [loop.time()]
        await asyncio.sleep(3600)
        times.append(loop.time())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(trio.sleep(100), 60)
        times.append(loop.time())
        await asyncio.gather(asyncio.sleep(20), trio.sleep(30), asyncio.sleep(10))
        return [*times, loop.time()]

    async def on_native() -> float:
        await native.sleep(3600)
        return trio.current_time()

    with compat.virtual_time():
        assert native.run(on_native()) == 3600
        assert asyncio.run(main()) == [0, 3600, 3660, 3690]
        assert compat.run(main) == [0, 3600, 3660, 3690]
        loop = asyncio.new_event_loop()
        with compat.virtual_time():
            pass
        assert loop.run_until_complete(main()) == [0, 3600, 3660, 3690]
        clock = trio.testing.MockClock(rate=1e6)
        compat.run(asyncio.sleep, 3600, clock=clock)
        assert clock.current_time() > 3600
    assert loop.run_until_complete(main())[0] == 3690  # the loop keeps its clock, though the block has ended
    loop.close()
    loop = asyncio.new_event_loop()
    assert time.monotonic() <= loop.time() <= time.monotonic()
    loop.close()

    async def now() -> float:
        return trio.current_time()

    assert compat.run(now) != 0
    assert native.run(now()) != 0


def test_virtual_time_ends_with_an_error():
    with pytest.raises(ValueError, match="x"), compat.virtual_time():
        raise ValueError("x")
    loop = asyncio.new_event_loop()
    assert loop.time() > 0
    loop.close()


def test_virtual_time_inside_a_run_is_refused():
    async def main() -> None:
        with compat.virtual_time():
            await asyncio.sleep(3600)

    told = r"`with compat\.virtual_time\(\): asyncio\.run\(main\(\)\)`, or give it a clock"
    for run in (lambda: asyncio.run(main()), lambda: compat.run(main), lambda: trio.run(main), lambda: std.run(main())):
        with pytest.raises(RuntimeError, match=told):
            run()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_virtual_time_refuses_the_real_asyncios_loops():
    told = r"no effect on a loop of the real asyncio's: use `from compat import asyncio`, .* `asyncio_on_trio = true`"
    with compat.virtual_time():
        for make in (lambda: std.run(std.sleep(3600)), std.new_event_loop, std.SelectorEventLoop):
            with pytest.raises(RuntimeError, match=told):
                make()
    std.run(std.sleep(0))


def test_virtual_time_in_two_threads_whose_blocks_overlap():
    async def now() -> float:
        return trio.current_time()

    first_entered, second_entered = threading.Event(), threading.Event()

    def first() -> None:
        with compat.virtual_time():
            first_entered.set()
            second_entered.wait()

    thread = threading.Thread(target=first)
    thread.start()
    first_entered.wait()
    with compat.virtual_time():
        second_entered.set()
        thread.join()
        assert compat.run(now) == 0
    assert compat.run(now) > 0


def test_the_marker(tmp_path):
    suite = """
        import asyncio, unittest, pytest

        @pytest.mark.virtual_time
        class TestCase(unittest.IsolatedAsyncioTestCase):
            async def test_an_hour(self):
                await asyncio.sleep(3600)
                assert asyncio.get_running_loop().time() >= 3600

        @pytest.mark.virtual_time
        def test_by_hand():
            asyncio.run(asyncio.sleep(3600))

        def test_real_time():
            async def main():
                loop = asyncio.get_running_loop()
                start = loop.time()
                await asyncio.sleep(0.05)
                return loop.time() - start
            assert 0.05 <= asyncio.run(main()) < 5
        """
    (tmp_path / "test_suite.py").write_text(textwrap.dedent(suite))
    ends, out = pytest_of(ON_TRIO, tmp_path, *PLUGIN, "--strict-markers", "--durations=0", "-vv")
    assert list(ends.values()) == ["PASSED"] * 3, out
    took = [float(seconds) for seconds in re.findall(r"([\d.]+)s call", out)]
    assert len(took) == 3
    assert max(took) < 60


@pytest.mark.parametrize("plugin", ["by hand", "unittest", "pytest-asyncio", "pytest-trio", "option"])
def test_the_marker_where_it_has_no_effect(tmp_path, plugin):
    """It fails at once, with the remedy, and does not sleep."""
    code = {
        "by hand": "def test(): asyncio.run(asyncio.sleep(9999))",
        "unittest": "class Test(unittest.IsolatedAsyncioTestCase):\n async def test(self): await asyncio.sleep(9999)",
        "pytest-asyncio": "@pytest.mark.asyncio\nasync def test(): await asyncio.sleep(9999)",
        "pytest-trio": "@pytest.mark.trio\nasync def test(): await trio.sleep(9999)",
        "option": "@pytest.mark.trio\nasync def test(asyncio_loop): await trio.sleep(9999)",
    }[plugin]
    if plugin == "pytest-asyncio":
        pytest.importorskip("pytest_asyncio", reason="pytest-asyncio is not installed")
    marked = "" if plugin == "option" else "@pytest.mark.virtual_time\n"
    (tmp_path / "test_suite.py").write_text(f"import asyncio, pytest, trio, unittest\n{marked}{code}\n")
    ends, out = pytest_of((), tmp_path, *PLUGIN, *(["--virtual-time"] if plugin == "option" else []))
    assert {*ends.values()} <= {"FAILED", "ERROR"}, out
    assert len(ends) == 1
    remedy = "use its fixture autojump_clock" if plugin in ("pytest-trio", "option") else "`asyncio_on_trio = true`"
    assert remedy in out


def test_the_marker_with_pytest_asyncio(tmp_path):
    """The loop is made by a fixture of the plugin's, before those of the test."""
    pytest.importorskip("pytest_asyncio", reason="pytest-asyncio is not installed")
    suite = """
        import asyncio, pytest, pytest_asyncio

        @pytest_asyncio.fixture
        async def started():
            await asyncio.sleep(10)
            return asyncio.get_running_loop().time()

        @pytest.mark.virtual_time
        @pytest.mark.asyncio
        async def test_with_a_fixture(started):
            await asyncio.sleep(3600)
            assert (started, asyncio.get_running_loop().time()) == (10, 3610)
        """
    (tmp_path / "test_suite.py").write_text(textwrap.dedent(suite))
    ends, out = pytest_of(ON_TRIO, tmp_path, *PLUGIN, "--strict-markers")
    assert list(ends.values()) == ["PASSED"], out


NATIVE = """
    import os, unittest.mock
    import pytest
    from compat import native as asyncio

    pytestmark = pytest.mark.native

    @pytest.fixture
    def seconds():
        return 3600

    @pytest.mark.virtual_time
    async def test_an_hour(seconds):
        assert await asyncio.create_task(asyncio.sleep(seconds, 1)) == 1

    class TestClass:
        async def test_method(self):
            await asyncio.sleep(0)

    @unittest.mock.patch("os.getcwd", return_value="here")
    async def test_patched(getcwd, seconds, place="here"):
        assert (os.getcwd(), getcwd.call_count, seconds) == (place, 1, 3600)

    def test_by_hand():
        asyncio.run(asyncio.sleep(0))

    async def test_fails():
        async def fail():
            raise ValueError("on purpose")
        asyncio.create_task(fail())
        await asyncio.sleep(60)
    """


@pytest.mark.parametrize("way", [(), ON_TRIO, (*ON_TRIO, "--native")], ids=["plain", "on trio", "--native"])
def test_tests_on_native(tmp_path, way):
    (tmp_path / "test_suite.py").write_text(textwrap.dedent(NATIVE))
    ends, out = pytest_of(way, tmp_path, *PLUGIN, "-p", "no:asyncio", "--strict-markers")
    assert list(ends.values()) == ["PASSED"] * 4 + ["FAILED"], out
    assert "ValueError: on purpose" in out


PLUGINS = {
    "asyncio": ("pytest_asyncio", None),
    "part": ("needs_a_part", "import asyncio.base_events"),
    "name": ("needs_a_name", "import asyncio; asyncio.tasks._unregister_task"),
    "broken": ("is_broken", "import asyncio, nothing_that_is_there"),
}


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_that_cannot_be_loaded_on_native(tmp_path, name):
    """pytest ends with one line, which says what to do. What is wrong with a plugin itself is told as by pytest."""
    module, content = PLUGINS[name]
    if content is not None:
        (tmp_path / f"{module}.py").write_text(content)
        (tmp_path / f"{module}-1.dist-info").mkdir()
        (tmp_path / f"{module}-1.dist-info" / "entry_points.txt").write_text(f"[pytest11]\n{name} = {module}\n")
        (tmp_path / f"{module}-1.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n"
        )
    (tmp_path / "test_suite.py").write_text("import asyncio\ndef test(): asyncio.run(asyncio.sleep(0))\n")
    way = (*ON_TRIO, "--native")
    others = () if name == "asyncio" else ("-p", "no:asyncio")
    ends, out = pytest_of(way, tmp_path, *others)
    assert ends == {}
    if name == "broken":
        assert "No module named 'nothing_that_is_there'" in out
        assert "--native: " not in out
    else:
        (line,) = out.splitlines()[:-1]  # the last is empty
        assert line.startswith(f"ERROR: --native: the plugin {module}")
        assert f"Leave it out by `-p no:{name}`" in line
    ends, out = pytest_of(way, tmp_path, *others, "-p", f"no:{name}")
    assert list(ends.values()) == ["PASSED"], out


def test_tests_on_native_that_another_plugin_takes(tmp_path):
    (tmp_path / "test_suite.py").write_text(textwrap.dedent(NATIVE))
    ends, out = pytest_of((), tmp_path, *PLUGIN, "-p", "no:asyncio", "-o", "trio_mode=true")
    assert ends.pop("test_suite.py::test_by_hand") == "PASSED", out
    assert list(ends.values()) == ["FAILED"] * 4, out
    assert "the marker native has no effect on a test that the marker or mode trio gives to another plugin" in out


def test_the_option(tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["compat.pytest_plugin"]\n')
    (tmp_path / "test_suite.py").write_text(
        "import asyncio\ndef test_an_hour(): asyncio.run(asyncio.wait_for(asyncio.sleep(3600), 5000))\n"
    )
    ends, out = pytest_of(ON_TRIO, tmp_path, "--virtual-time")
    assert list(ends.values()) == ["PASSED"], out


def test_without_being_asked_it_is_not_there(tmp_path):
    (tmp_path / "test_suite.py").write_text(
        "def test(request): assert not request.config.pluginmanager.hasplugin('compat')\n"
    )
    ends, out = pytest_of((), tmp_path)
    assert list(ends.values()) == ["PASSED"], out
    assert "virtual_time" not in out
