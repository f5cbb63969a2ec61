"""Packages that change asyncio or Python under a program: they work, or the error says what to do instead.

uvloop, trio-asyncio, nest_asyncio and gevent change the whole process, so each program has one of its own.
"""

import asyncio
import subprocess
from importlib.util import find_spec

import pytest
import trio

import compat
from worlds import ON_TRIO, Ended

REASON = "the extra `set-ups` is not installed"


# --- greenback -------------------------------------------------------------------------------------------------------


def test_greenback(run_mixed):
    """Synchronous code awaits both worlds' functions, in Tasks and in trio tasks, and is cancelled by both."""
    greenback = pytest.importorskip("greenback", reason=REASON)

    def wait():
        greenback.await_(asyncio.sleep(0.001))
        greenback.await_(trio.sleep(0.001))

    async def use():
        await greenback.ensure_portal()
        wait()
        await asyncio.sleep(0)
        wait()
        with trio.move_on_after(0.01) as scope:
            greenback.await_(asyncio.sleep(3600))
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                greenback.await_(trio.sleep(3600))
        used.append(use)

    async def trio_first():
        await trio.sleep(0)
        await use()

    async def main():
        await use()
        for each in (use, trio_first):
            await asyncio.create_task(each())
            async with asyncio.TaskGroup() as group:
                group.create_task(each())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(each)
        await greenback.with_portal_run(trio_first)

    used = []
    run_mixed(main)
    assert len(used) == 8


# --- blockbuster -----------------------------------------------------------------------------------------------------


def test_blockbuster(run, tmp_path):
    """What asyncio does itself is no blocking call, and what the program does is one."""
    blockbuster = pytest.importorskip("blockbuster", reason=REASON)
    import time

    async def echo(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    async def main():
        with blockbuster.blockbuster_ctx():
            with pytest.raises(blockbuster.BlockingError):
                time.sleep(0.001)
            await asyncio.sleep(0.001)
            await asyncio.to_thread(time.sleep, 0.001)
            child = await asyncio.create_subprocess_exec("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert (await child.communicate(b"data"))[0] == b"data"
            async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(b"line\n")
                assert await reader.readline() == b"line\n"
                writer.close()
                await writer.wait_closed()

    run(main)


# --- uvloop ----------------------------------------------------------------------------------------------------------

SAID = "compat: the program asks for uvloop, and runs on trio\n"

ASK_UVLOOP = """
import asyncio, sys, trio
async def main():
    await trio.sleep(0)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, uvloop.Loop)
    return "on trio"
"""


@pytest.mark.parametrize(
    "ask",
    [
        "uvloop.run(main())",
        "uvloop.run(main(), debug=True)",
        "asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())",
        pytest.param(
            "uvloop.install() or asyncio.run(main())", marks=pytest.mark.skipif("sys.version_info >= (3, 14)")
        ),
        pytest.param(
            "asyncio.set_event_loop_policy(uvloop.EventLoopPolicy()) or asyncio.run(main())",
            marks=pytest.mark.skipif("sys.version_info >= (3, 14)"),  # which warns of policies
        ),
        "[uvloop.run(main()) for _ in range(2)][1]",
    ],
)
def test_uvloop(ask):
    """Who asks for it runs on trio, and stderr says so once: on the command line, and after install()."""
    pytest.importorskip("uvloop", reason=REASON)
    for way, command in (("import uvloop", ON_TRIO), ("import compat; compat.install(); import uvloop", ())):
        ended = Ended(f"{way}{ASK_UVLOOP}print({ask})", "-W", "ignore::ResourceWarning", *command)
        assert (ended.out, ended.error) == ("on trio\n", SAID)


def test_uvloop_that_is_not_used_is_not_spoken_of():
    pytest.importorskip("uvloop", reason=REASON)
    ended = Ended("import asyncio, uvloop; asyncio.run(asyncio.sleep(0)); print(uvloop.__version__)", *ON_TRIO)
    assert ended.error == ""
    assert ended.out.count(".") == 2


def test_uvloops_submodule():
    """It is there with uvloop, as anyio's own tests expect, and is uvloop's; no loop of its class is made."""
    pytest.importorskip("uvloop", reason=REASON)
    ended = Ended("import uvloop; print(hasattr(uvloop.loop.Loop, 'run_forever'), uvloop.Loop.__module__)", *ON_TRIO)
    assert (ended.out, ended.error) == ("True compat._other_packages\n", "")


def test_uvloop_after_uninstall():
    pytest.importorskip("uvloop", reason=REASON)
    program = """
        import compat
        compat.install(); import uvloop as ours; compat.uninstall()
        import uvloop
        print(uvloop is ours, uvloop.Loop.__mro__[1].__module__)
        import asyncio
        uvloop.run(asyncio.sleep(0))
    """
    assert (Ended(program).out, Ended(program).error) == ("False uvloop.loop\n", "")


@pytest.mark.parametrize("loop", ["auto", "uvloop"])
def test_uvicorn_with_uvloop_installed(loop):
    pytest.importorskip("uvloop", reason=REASON)
    pytest.importorskip("uvicorn", reason=REASON)
    program = f"""
        import socket, threading, time, trio, uvicorn, urllib.request
        async def app(scope, receive, send):
            await trio.sleep(0)
            await send({{"type": "http.response.start", "status": 200, "headers": []}})
            await send({{"type": "http.response.body", "body": b"on trio"}})
        sock = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", loop={loop!r}))
        def visit():
            while not server.started:
                time.sleep(0.01)
            print(urllib.request.urlopen("http://127.0.0.1:%d/" % sock.getsockname()[1]).read().decode())
            server.should_exit = True
        threading.Thread(target=visit).start()
        server.run([sock])
    """
    ended = Ended(program, *ON_TRIO)
    assert (ended.out, ended.error) == ("on trio\n", SAID)


# --- trio-asyncio ----------------------------------------------------------------------------------------------------

USE_EVERYTHING = """
async def generator():
    yield 1
    await std.sleep(0)
    yield 2
async def main():
    for asyncio in (ours, std):
        agen = generator()
        await anext(agen)
        loop = asyncio.get_running_loop()
        assert asyncio.get_event_loop() is loop is asyncio.events.get_event_loop()
        assert asyncio.current_task() in asyncio.all_tasks()
        await asyncio.gather(asyncio.sleep(0.001), asyncio.sleep(0.001))
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        child = await asyncio.create_subprocess_exec("true")
        await child.wait()
        await asyncio.to_thread(int)
        await trio.sleep(0.001)
        unfinished.append(agen)  # it is closed with the loop
    return "done"
async def hosted():
    async with compat.open_loop():
        return await main()
async def theirs():
    async with trio_asyncio.open_loop():
        return await trio_asyncio.aio_as_trio(std.sleep)(0.001, "theirs")
unfinished = []
"""


def used_in(order, modules, *options):
    """What a program prints that imports trio_asyncio and these, and uses everything."""
    if find_spec("trio_asyncio") is None:  # it is not to be imported here: it changes asyncio for good
        pytest.skip(REASON)
    prints = "print(compat.run(main), ours.run(main()), trio.run(hosted), trio.run(theirs))"
    ended = Ended(f"{order.format(modules)}\n{USE_EVERYTHING}\n{prints}", "-W", "ignore", *options)
    return ended.out, ended.error


@pytest.mark.skipif("sys.version_info >= (3, 14)", reason="trio-asyncio 0.16 cannot be imported: it needs policies")
@pytest.mark.parametrize("order", ["import trio_asyncio, {}", "import {}; import trio_asyncio"])
def test_trio_asyncio_is_imported_merely(order):
    """It has changed the real asyncio by then. Our loops work, and its own do."""
    assert used_in(order, "trio, compat, asyncio as std, compat.asyncio as ours") == ("done done done theirs\n", "")


@pytest.mark.parametrize("order", ["import trio_asyncio, {}", "import {}; import trio_asyncio"])
def test_trio_asyncio_where_asyncio_is_on_trio(order):
    """It is compat.trio_asyncio there."""
    assert used_in(order, "trio, compat, asyncio as std, asyncio as ours", *ON_TRIO) == ("done done done theirs\n", "")


# --- nest_asyncio ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "run", ["compat.run(asyncio.sleep, 0)", "asyncio.run(asyncio.sleep(0))", "trio.run(compat.open_loop().__aenter__)"]
)
def test_nest_asyncio_before(run):
    pytest.importorskip("nest_asyncio", reason=REASON)
    program = f"import nest_asyncio; nest_asyncio.apply()\nimport compat, trio\nfrom compat import asyncio\n{run}"
    assert "RuntimeError: nest_asyncio patches asyncio" in Ended(program, "-W", "ignore").error


def test_nest_asyncio_where_asyncio_is_on_trio():
    """Its apply() says what to do, in a running loop and before."""
    pytest.importorskip("nest_asyncio", reason=REASON)
    program = """
        import asyncio, nest_asyncio
        async def main():
            try:
                nest_asyncio.apply()
            except RuntimeError as error:
                print(error)
            return await asyncio.to_thread(asyncio.run, asyncio.sleep(0, "in a thread"))
        print(asyncio.run(main()))
    """
    ended = Ended(program, *ON_TRIO)
    assert ended.out.startswith("nest_asyncio runs asyncio's loop inside itself")
    assert ended.out.endswith("in a thread\n")


# --- gevent ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "command"),
    [
        ("patch_all()", "", ()),
        ("", "patch_all()", ()),
        ("patch_all()", "", ON_TRIO),
        ("patch_thread()", "", ()),
        ("patch_socket()", "", ()),
    ],
)
@pytest.mark.parametrize("run", ["compat.run(asyncio.sleep, 0)", "asyncio.run(asyncio.sleep(0))"])
def test_gevent(before, after, command, run):
    pytest.importorskip("gevent", reason=REASON)
    program = f"""
        from gevent.monkey import patch_all, patch_socket, patch_thread
        {before}
        import compat, trio
        from compat import asyncio
        {after}
        {run}
    """
    assert "RuntimeError: gevent has patched the standard library" in Ended(program, "-W", "ignore", *command).error


def test_gevent_that_has_patched_nothing_of_it():
    pytest.importorskip("gevent", reason=REASON)
    program = """
        import gevent.monkey
        gevent.monkey.patch_queue()
        import compat, trio
        print(compat.run(trio.sleep, 0))
    """
    assert Ended(program, "-W", "ignore").out == "None\n"


# --- trio itself -----------------------------------------------------------------------------------------------------


def test_trio_run_inside(run_mixed):
    """It is refused where a run is under way, as in trio, and works in a thread."""

    async def main():
        for function in (trio.run, compat.run):
            with pytest.raises(RuntimeError, match=r"inside (a run\(\)|an asyncio loop on trio)"):
                function(trio.sleep, 0)
            await trio.sleep(0)
            await asyncio.sleep(0)
            assert await asyncio.to_thread(function, trio.sleep, 0) is None

    run_mixed(main)


def test_guest_mode_inside(run_mixed):
    async def main():
        with pytest.raises(RuntimeError, match=r"inside a run\(\)"):
            trio.lowlevel.start_guest_run(
                trio.sleep,
                0,
                run_sync_soon_threadsafe=asyncio.get_running_loop().call_soon_threadsafe,
                done_callback=print,
            )
        await trio.sleep(0)
        await asyncio.sleep(0)

    run_mixed(main)
