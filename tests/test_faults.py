"""Faults: what is out, broken or wrong ends in asyncio's documented result or a clear error, and the loop goes on.

Each program runs in two processes, on asyncio and on trio, and both must write the same and have the same status. At
its end, each checks that the loop still works, and that nothing is left: no task, descriptor, thread or child.
"""

import asyncio as std
import contextvars
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from trio.testing import MockClock

from compat import asyncio
from compat.adapters.events import Loop
from worlds import ON_TRIO, Ended

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="these faults are POSIX's")]

PRELUDE = """
import asyncio, contextlib, errno, gc, logging, os, re, resource, signal, socket, sys, threading, time, warnings
logging.getLogger("asyncio").setLevel(logging.ERROR)

def say(*words):
    print(*words, flush=True)

def text(error):
    return f"{type(error).__name__}({error.errno})" if isinstance(error, OSError) else repr(error)

def report(loop, context):
    # Without what differs from run to run, and from one loop to another: addresses, ports, reprs of callbacks.
    message = re.sub("(in callback|<).*", "", context["message"])
    say("reported:", message, text(context.get("exception")))

def threads():
    # trio keeps idle ones for ten seconds.
    return sum(not thread.name.startswith("Trio ") for thread in threading.enumerate())

def descriptors():
    return len(os.listdir("/proc/self/fd"))

async def goes_on():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_later(0.001, future.set_result, "timer")
    async def handle(reader, writer):
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()
    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"socket\\n")
        said = (await reader.read()).decode().strip()
        writer.close()
        await writer.wait_closed()
    say("goes on:", await asyncio.create_task(asyncio.sleep(0, "task")), await future, said,
        await loop.run_in_executor(None, str, "thread"))

@contextlib.contextmanager
def no_descriptors(but=0):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    taken = []
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.dup(0))
    for _ in range(but):
        os.close(taken.pop())
    try:
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

class Noting(asyncio.Protocol):
    def __init__(self):
        self.lost = asyncio.get_running_loop().create_future()
    def connection_lost(self, error):
        say("lost:", text(error))
        self.lost.set_result(None)

def run(main):
    before = descriptors(), threads()
    async def all():
        asyncio.get_running_loop().set_exception_handler(report)
        await main()
        await goes_on()
        for _ in range(3):
            await asyncio.sleep(0)
        say("left:", len(asyncio.all_tasks()) - 1)
    asyncio.run(all())
    gc.collect()
    say("left:", descriptors() - before[0], threads() - before[1])
    try:
        say("left:", os.waitpid(-1, os.WNOHANG))
    except ChildProcessError:
        say("left: no child")
"""


def run_both(program):
    """Run it on asyncio and on trio, require the same, and return how it ended on asyncio."""
    with ThreadPoolExecutor() as pool:
        real, ours = pool.map(lambda command: Ended(PRELUDE + program, *command), [(), ON_TRIO])
    assert ours.out == real.out, ours.error
    assert ours.status == real.status, ours.error
    return real


FAULTS = {}


# --- no descriptors --------------------------------------------------------------------------------------------------

FAULTS["EMFILE in accept"] = """
async def main():
    loop, reports = asyncio.get_running_loop(), set()
    loop.set_exception_handler(lambda loop, context: reports.add((context["message"], text(context["exception"]))))
    async def handle(reader, writer):
        writer.write(b"accepted")
        writer.close()
        await writer.wait_closed()
    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        with socket.socket() as client:
            client.setblocking(False)
            with no_descriptors():
                client.connect_ex(server.sockets[0].getsockname())
                await asyncio.sleep(0.1)
            say(await loop.sock_recv(client, 100))
    say(reports)  # and no more: 3.11 tries again on the closed socket, a hundred times
run(main)
"""

FAULTS["EMFILE in connect"] = """
async def main():
    async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0) as server:
        for connect in (
            lambda: asyncio.open_connection(*server.sockets[0].getsockname()),
            lambda: asyncio.get_running_loop().create_datagram_endpoint(Noting, ("127.0.0.1", 0)),
            lambda: asyncio.open_unix_connection("/nowhere"),
            # 3.11 starts a server without a socket.
            *[lambda: asyncio.start_server(print, "127.0.0.1", 0)] * (sys.version_info >= (3, 13)),
        ):
            with no_descriptors():
                try:
                    await connect()
                except OSError as error:
                    say(text(error))
run(main)
"""

FAULTS["EMFILE when a subprocess starts"] = """
async def main():
    pipe = asyncio.subprocess.PIPE
    for free in 0, 2, 4:
        before = descriptors()
        with no_descriptors(but=free):
            try:
                await asyncio.create_subprocess_exec("cat", stdin=pipe, stdout=pipe, stderr=pipe)
            except OSError as error:
                say(text(error))
        gc.collect()
        say(descriptors() <= before + 2)
    process = await asyncio.create_subprocess_exec("cat", stdin=pipe, stdout=pipe)
    say(await process.communicate(b"cat"))
run(main)
"""

FAULTS["EMFILE when a loop is opened"] = """
async def main():
    pass
asyncio.run(main())
before = descriptors()
opened = failed = 0
for free in range(12):
    with no_descriptors(but=free):
        try:
            asyncio.run(main())
            opened += 1
        except OSError as error:
            assert error.errno == errno.EMFILE
            failed += 1
    gc.collect()
    assert descriptors() == before, (free, descriptors(), before)
say(opened > 3, failed > 2)
run(main)
"""

# --- pipes that fail -------------------------------------------------------------------------------------------------

FAULTS["ENOSPC on a device"] = """
async def main():
    transport, protocol = await asyncio.get_running_loop().connect_write_pipe(Noting, open("/dev/full", "wb", 0))
    transport.write(b"too much")
    await protocol.lost
    say(transport.is_closing())
    transport.write(b"more")
run(main)
"""

FAULTS["EPIPE"] = """
async def main():
    read_end, write_end = os.pipe()
    transport, protocol = await asyncio.get_running_loop().connect_write_pipe(Noting, os.fdopen(write_end, "wb", 0))
    os.close(read_end)
    transport.write(b"nobody reads")
    await protocol.lost
    for _ in range(10):
        transport.write(b"more")
run(main)
"""

FAULTS["EIO on a terminal"] = """
async def main():
    master, slave = os.openpty()
    transport, protocol = await asyncio.get_running_loop().connect_read_pipe(Noting, os.fdopen(master, "rb", 0))
    os.close(slave)
    await protocol.lost
run(main)
"""

FAULTS["a process that breaks its pipe"] = """
async def main():
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("true", stdin=pipe)
    await process.wait()
    await process.communicate(bytes(1_000_000))
    say(process.returncode)
run(main)
"""

# --- signals ---------------------------------------------------------------------------------------------------------

FAULTS["EINTR in every wait"] = """
async def main():
    loop, count = asyncio.get_running_loop(), 0
    def handle(*_):
        nonlocal count
        count += 1
    async def later(function, *args):
        await asyncio.sleep(0.05)
        return function(*args)
    async def from_socket(wait):
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            right.setblocking(False)
            sending = asyncio.create_task(later(right.send, b"data"))
            return await wait(left), await sending
    async def read_stream(sock):
        reader, writer = await asyncio.open_connection(sock=sock.dup())
        try:
            return await reader.readexactly(4)
        finally:
            writer.close()
            await writer.wait_closed()
    async def from_process():
        process = await asyncio.create_subprocess_shell("sleep 0.05; echo out", stdout=asyncio.subprocess.PIPE)
        return await process.communicate()
    async def from_queue():
        queue = asyncio.Queue()
        loop.call_later(0.05, queue.put_nowait, "item")
        return await queue.get()
    async def timed_out():
        try:
            await asyncio.wait_for(loop.create_future(), 0.05)
        except TimeoutError as error:
            return error
    async def busy():
        end, steps = time.monotonic() + 0.05, 0
        while time.monotonic() < end:
            await asyncio.sleep(0)
    waits = [
        lambda: asyncio.sleep(0.05, "slept"),
        lambda: from_socket(lambda sock: loop.sock_recv(sock, 10)),
        lambda: from_socket(read_stream),
        from_process,
        from_queue,
        timed_out,
        busy,
        lambda: asyncio.to_thread(time.sleep, 0.05),
        lambda: loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM),
    ]
    for install in (signal.signal, lambda sig, handler: loop.add_signal_handler(sig, handler)):
        install(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        for wait in waits:
            before = count
            say(await wait(), count > before or wait is waits[-1])
        signal.setitimer(signal.ITIMER_REAL, 0)
        await asyncio.sleep(0.01)
    loop.remove_signal_handler(signal.SIGALRM)
run(main)
"""

FAULTS["signals from within"] = """
async def main():
    loop, seen = asyncio.get_running_loop(), []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "one")
    loop.add_signal_handler(signal.SIGUSR2, loop.close)
    signal.raise_signal(signal.SIGUSR1)
    loop.call_soon(signal.raise_signal, signal.SIGUSR1)
    await asyncio.sleep(0.01)  # two that come at once may be one
    await asyncio.to_thread(os.kill, os.getpid(), signal.SIGUSR1)
    await asyncio.sleep(0.05)
    say(seen)
    signal.raise_signal(signal.SIGUSR2)
    await asyncio.sleep(0.05)
    say(loop.remove_signal_handler(signal.SIGUSR1), loop.remove_signal_handler(signal.SIGUSR2))
run(main)
"""

FAULTS["a signal handler that raises"] = """
def handle(*_):
    raise ValueError("from a signal handler")
signal.signal(signal.SIGALRM, handle)
async def main():
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        say("cancelled")
        raise
try:
    asyncio.run(main())
except ValueError as error:
    say(repr(error))
loop = asyncio.new_event_loop()
future = loop.create_future()
signal.setitimer(signal.ITIMER_REAL, 0.5)
try:
    loop.run_until_complete(future)
except ValueError as error:
    say(repr(error))
loop.call_soon(future.set_result, "the same loop goes on")
say(loop.run_until_complete(future))
loop.close()
async def nothing():
    pass
run(nothing)
"""

# --- fork ------------------------------------------------------------------------------------------------------------

FAULTS["fork in a running loop"] = """
warnings.simplefilter("ignore", DeprecationWarning)
async def main():
    reader, writer = os.pipe()
    for child_does in ("exits", "runs a loop", "raises"):
        other = asyncio.create_task(asyncio.sleep(0.05, "other"))
        await asyncio.sleep(0)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                if child_does == "runs a loop":
                    asyncio.run(goes_on())
                if child_does == "raises":
                    raise OSError
                status = 7
            except OSError:
                status = 8
            finally:
                os._exit(status)
        say(child_does, os.waitstatus_to_exitcode((await asyncio.to_thread(os.waitpid, child, 0))[1]), await other)
    os.close(reader)
    os.close(writer)
run(main)
"""

# --- threads and executors -------------------------------------------------------------------------------------------

FAULTS["a thread that dies with a future"] = """
async def main():
    loop, futures = asyncio.get_running_loop(), []
    async def fail():
        raise ValueError("nobody asks")
    def die(coro, cancel=False):
        futures.append(asyncio.run_coroutine_threadsafe(coro, loop))
        if cancel:
            futures.pop().cancel()
        sys.exit()
    for args in (asyncio.sleep(0.05, "result"),), (fail(),), (asyncio.sleep(30), True):
        thread = threading.Thread(target=die, args=args)
        thread.start()
        await asyncio.to_thread(thread.join)
    while not all(future.done() for future in futures):
        await asyncio.sleep(0.01)
    say(futures[0].result(), text(futures[1].exception()))
    futures.clear()
    gc.collect()
run(main)
"""

FAULTS["executors that break"] = """
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import forkserver, resource_tracker
logging.disable()
warnings.simplefilter("ignore", DeprecationWarning)
async def main():
    loop = asyncio.get_running_loop()
    for pool, call in (
        (ProcessPoolExecutor(1), (os._exit, 1)),
        (ProcessPoolExecutor(1, initializer=int, initargs=("no number",)), (int,)),
        (ThreadPoolExecutor(1, initializer=int, initargs=("no number",)), (int,)),
    ):
        with pool:
            for _ in range(2):
                try:
                    await loop.run_in_executor(pool, *call)
                except Exception as error:
                    say(type(error).__name__)
        try:
            await loop.run_in_executor(pool, int)
        except Exception as error:
            say(type(error).__name__)
    # multiprocessing keeps these two running, from Python 3.14 on: its default is to fork from a server.
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()
run(main)
"""

FAULTS["threads call while the loop closes"] = """
async def nothing():
    pass
for _ in range(20):
    loop, called, given, refused = asyncio.new_event_loop(), [], [], []
    go = threading.Barrier(5)
    def storm():
        go.wait()
        for n in range(2000):
            try:
                loop.call_soon_threadsafe(called.append, n)
                given.append(n)
            except RuntimeError as error:
                refused.append(str(error))
                return
    storming = [threading.Thread(target=storm) for _ in range(4)]
    for thread in storming:
        thread.start()
    go.wait()
    loop.run_until_complete(asyncio.sleep(0.002))
    loop.close()
    for thread in storming:
        thread.join()
    assert set(refused) <= {"Event loop is closed"}, set(refused)
    assert len(given) + len(refused) >= len(called)
    try:
        loop.call_soon_threadsafe(int)
    except RuntimeError as error:
        last = str(error)
say(last)
run(nothing)
"""

# --- nobody holds it, nobody awaits it -------------------------------------------------------------------------------

FAULTS["what is collected"] = """
async def main():
    loop = asyncio.get_running_loop()
    async def wait():
        pass
    async def fail():
        raise ValueError("task")
    failed = loop.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del failed
    gc.collect()
    future = loop.create_future()
    future.set_exception(ValueError("future"))
    del future
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        wait()
        asyncio.sleep(1)
        loop.run_in_executor(None, int).cancel()
        asyncio.wait_for(wait(), 1)
        gc.collect()
    say([str(warning.message).rpartition(".")[2] for warning in caught])
run(main)
"""

# --- exceptions of all kinds -----------------------------------------------------------------------------------------

FAULTS["BaseException"] = """
class Own(BaseException):
    pass
async def main():
    loop = asyncio.get_running_loop()
    def fail(kind, *_):
        raise kind("raised")
    async def fail_in_task(kind):
        await asyncio.sleep(0)
        raise kind("raised")
    for kind in ValueError, GeneratorExit, Own, asyncio.CancelledError, asyncio.InvalidStateError, StopIteration:
        loop.call_soon(fail, kind)
        loop.call_later(0.001, fail, kind)
        loop.call_soon_threadsafe(fail, kind)
        future = loop.create_future()
        future.add_done_callback(lambda _: fail(kind))
        future.set_result(None)
        task = loop.create_task(fail_in_task(kind))
        await asyncio.sleep(0.01)
        try:
            await task
        except BaseException as error:
            say("caught:", repr(error))
run(main)
"""

FAULTS["recursion"] = """
async def main():
    loop = asyncio.get_running_loop()
    def dive(future=None, depth=0):
        dive(future, depth + 1)
    async def dive_in_task():
        await asyncio.sleep(0)
        await dive_in_task()
    def dive_and_call():
        loop.call_soon(int)
        loop.create_future().set_result(None)
        loop.call_later(0.001, int)
        dive_and_call()
    loop.set_exception_handler(lambda loop, context: say("reported:", type(context["exception"]).__name__))
    loop.call_soon(dive)
    loop.call_soon_threadsafe(dive)
    loop.call_later(0.001, dive)
    future = loop.create_future()
    future.add_done_callback(dive)
    future.set_result(None)
    await asyncio.sleep(0.02)
    try:
        await asyncio.create_task(dive_in_task())
    except RecursionError:
        say("RecursionError")
    with contextlib.suppress(RecursionError):
        dive_and_call()
    await asyncio.sleep(0.02)
run(main)
"""

FAULTS["an exception handler that fails"] = """
logging.disable()
class Own(BaseException):
    pass
async def main():
    loop = asyncio.get_running_loop()
    for kind in ValueError, Own, asyncio.CancelledError:
        def handle(loop, context):
            say("handles", repr(context["exception"]))
            raise kind
        loop.set_exception_handler(handle)
        loop.call_soon(int, "no number")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    loop.set_exception_handler(report)
run(main)
"""

FAULTS["a protocol that fails"] = """
async def main():
    loop = asyncio.get_running_loop()
    methods = "connection_made data_received eof_received connection_lost pause_writing resume_writing".split()
    for failing in methods:
        class Failing(asyncio.Protocol):
            def __getattribute__(self, name):
                if name == failing:
                    def fail(*args):
                        say("fails:", name)
                        raise ValueError(name)
                    return fail
                if name == "connection_lost":
                    return lambda error: (say("lost:", text(error)), lost.set())
                return super().__getattribute__(name)
        lost = asyncio.Event()
        left, right = socket.socketpair()
        with left:
            left.setblocking(False)
            transport, _ = await loop.create_connection(Failing, sock=right)
            if "writing" in failing:
                transport.set_write_buffer_limits(0)
                transport.write(bytes(1_000_000))
                received = 0
                while received < 1_000_000:
                    received += len(await loop.sock_recv(left, 1_000_000))
            else:
                await loop.sock_sendall(left, b"data")
            await asyncio.sleep(0.01)
            if failing == "eof_received":
                left.shutdown(socket.SHUT_WR)
                await asyncio.sleep(0.01)
            say(failing, transport.is_closing())
            transport.close()
            if failing != "connection_lost":
                await lost.wait()
            await asyncio.sleep(0.01)
            say(right.fileno())
run(main)
"""

FAULTS["a transport closed by its protocol"] = """
async def main():
    loop = asyncio.get_running_loop()
    for name in "connection_made", "data_received", "eof_received", "pause_writing", "connection_lost":
        for how in "close", "abort":
            class Closing(asyncio.Protocol):
                def connection_made(self, transport):
                    self.transport = transport
                    self.note("connection_made")
                def data_received(self, data):
                    self.note("data_received")
                def eof_received(self):
                    self.note("eof_received")
                def pause_writing(self):
                    self.note("pause_writing")
                def connection_lost(self, error):
                    self.note("connection_lost")
                    lost.set()
                def note(self, method):
                    say(how, method)
                    if method == name:
                        getattr(self.transport, how)()
            lost = asyncio.Event()
            left, right = socket.socketpair()
            with left:
                left.setblocking(False)
                left.send(b"data")
                transport, _ = await loop.create_connection(Closing, sock=right)
                if name == "pause_writing":
                    transport.set_write_buffer_limits(0)
                    transport.write(bytes(1_000_000))
                await asyncio.sleep(0.01)
                left.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionError):
                    while await loop.sock_recv(left, 1_000_000):
                        pass
                await lost.wait()
                await asyncio.sleep(0)
                say(right.fileno())
run(main)
"""

# --- loops at the wrong time -----------------------------------------------------------------------------------------

FAULTS["stop, run and close at the wrong time"] = """
async def nothing():
    pass
loop = asyncio.new_event_loop()
loop.stop()
loop.run_forever()
say("stopped before it ran")
def try_all():
    for use in (lambda: loop.run_until_complete(loop.create_future()), loop.close):
        try:
            use()
        except RuntimeError as error:
            say(error)
    loop.stop()
    loop.stop()
loop.call_soon(try_all)
loop.run_forever()
loop.close()
loop.close()
loop.stop()
try:
    loop.run_forever()
except RuntimeError as error:
    say(error)
run(nothing)
"""

FAULTS["the program ends with things pending"] = """
logging.disable()
warnings.simplefilter("ignore")
loop = asyncio.new_event_loop()
async def wait():
    await asyncio.sleep(1000)
async def main():
    tasks = [asyncio.create_task(wait()) for _ in range(3)]
    loop.call_later(1000, print)
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    await asyncio.open_connection(*server.sockets[0].getsockname())
    loop.run_in_executor(None, lambda: (said.wait(), time.sleep(0.1), say("a thread ends its work")))
    loop.add_signal_handler(signal.SIGUSR1, print)
    await asyncio.sleep(0)
    return tasks, server
said = threading.Event()
kept = loop.run_until_complete(main())
say("end")
said.set()
sys.exit(5)
"""


@pytest.mark.parametrize("fault", FAULTS)
def test_same_as_on_asyncio(fault):
    ended = run_both(FAULTS[fault])
    if "run(" in FAULTS[fault].splitlines()[-1]:
        assert ended.status == 0, ended.error
        assert ended.out.endswith("goes on: task timer socket thread\nleft: 0\nleft: 0 0\nleft: no child\n"), (
            ended.error
        )


# --- clocks ----------------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps():
    """All that has become due is called, in the order of its time; and what is due later, later."""
    clock = MockClock()

    async def main():
        loop, called = asyncio.get_running_loop(), []
        for delay in (5, 1, 1000, 3):
            loop.call_later(delay, called.append, delay)
        limit = asyncio.create_task(asyncio.wait_for(loop.create_future(), 4))
        await asyncio.sleep(0)
        assert called == []
        clock.jump(10)
        await asyncio.sleep(0)  # the clock is looked at between two batches
        await asyncio.sleep(0)
        assert called == [1, 3, 5]
        with pytest.raises(TimeoutError):
            await limit
        clock.jump(990)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert called == [1, 3, 5, 1000]

    with asyncio.Runner(loop_factory=lambda: Loop(clock=clock)) as runner:
        runner.run(main())


def test_a_clock_that_stands_still():
    """MockClock with no rate: all goes on but the timers."""

    async def main():
        loop, called = asyncio.get_running_loop(), []
        loop.call_later(0.001, called.append, "timer")
        loop.call_soon(called.append, "soon")
        assert await asyncio.to_thread(str, "thread") == "thread"
        for _ in range(100):
            await asyncio.sleep(0)
        assert called == ["soon"]
        assert loop.time() == loop.time()

    with asyncio.Runner(loop_factory=lambda: Loop(clock=MockClock())) as runner:
        runner.run(main())


# --- contexts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [std.run, asyncio.run], ids=["asyncio", "ours"])
def test_task_whose_context_is_entered_by_somebody_else(run):
    """As in asyncio, its step is reported, the Task is pending for ever, and the loop goes on."""
    context, reports = contextvars.copy_context(), []

    async def main():
        loop = std.get_running_loop()
        loop.call_exception_handler = reports.append  # the real one enters the Task's context from 3.12 on

        async def body():
            await std.sleep(0)
            return "stepped"

        task = loop.create_task(body(), context=context)
        await std.sleep(0.01)
        state = task.done()
        std.tasks._unregister_task(task)  # or the end of the run would wait for it
        task._log_destroy_pending = False
        task.get_coro().close()
        return state, await loop.create_task(body())

    assert context.run(lambda: run(main())) == (False, "stepped")
    (report,) = reports
    assert "cannot enter context" in str(report["exception"])
