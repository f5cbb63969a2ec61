"""loop.connect_read_pipe() and connect_write_pipe(): pipes, FIFOs, sockets, terminals.

Most programs run on the real asyncio first, and must give the same on ours; after each, no descriptor is left open.
"""

import gc
import logging
import os
import re
import socket
import threading
import tty

import pytest
import trio

from compat import asyncio
from compat.adapters.events import MonotonicClock
from worlds import PATIENCE, WORLDS, moments, nothing_left, on_both

MIB = 2**20
BULK = 64 * MIB
PROGRAMS = []


def program(function):
    """Collect an async program(asyncio, log) that is to give the same on both."""
    PROGRAMS.append(function)
    return function


class Log(list):
    """What happens, in its order; and protocols that note it there."""

    def protocol(self, name, asyncio, base="Protocol"):
        log = self

        class Noting(getattr(asyncio, base)):
            def __init__(self):
                self.made = asyncio.get_running_loop().create_future()
                self.lost = asyncio.get_running_loop().create_future()
                self.received = b""

            def connection_made(self, transport):
                log.append((name, "made", transport.is_closing()))
                self.made.set_result(transport)

            def data_received(self, data):
                log.append((name, "data", data if len(data) < 100 else "much"))
                self.received += data

            def eof_received(self):
                log.append((name, "eof"))
                return True

            def connection_lost(self, error):
                log.append((name, "lost", repr(error)))
                self.lost.set_result(None)

            def pause_writing(self):
                log.append((name, "pause"))

            def resume_writing(self):
                log.append((name, "resume"))

        return Noting()

    async def read(self, asyncio, file, name="reader"):
        loop = asyncio.get_running_loop()
        return await loop.connect_read_pipe(lambda: self.protocol(name, asyncio), file)

    async def write(self, asyncio, file, name="writer"):
        loop = asyncio.get_running_loop()
        return await loop.connect_write_pipe(lambda: self.protocol(name, asyncio), file)


def opened(file, mode, **options):
    """A file object without a buffer."""
    return open(file, mode, 0, **options)


def files(pair=None):
    """The two ends of a pipe as file objects."""
    r, w = pair or os.pipe()
    return opened(r, "rb"), opened(w, "wb")


async def until(condition, asyncio):
    """Until it is true: what is typed on a terminal passes a thread of the kernel, which takes its time."""
    while not condition():
        await asyncio.sleep(0.001)


async def seen_on(master, size, asyncio):
    """So many bytes from a terminal, without blocking the loop that writes them."""
    os.set_blocking(master, False)
    got = b""
    while len(got) < size:
        try:
            got += os.read(master, size - len(got))
        except BlockingIOError:
            await asyncio.sleep(0.001)
    return got


# --- both ------------------------------------------------------------------------------------------------------------


@program
async def reading_to_the_end(asyncio, log):
    r, w = files()
    transport, protocol = await log.read(asyncio, r)
    log.append((transport.get_extra_info("pipe") is r, transport.get_extra_info("socket", "none")))
    log.append((transport.is_reading(), os.get_blocking(r.fileno()), os.get_blocking(w.fileno())))
    log.append((isinstance(transport, asyncio.ReadTransport), isinstance(transport, asyncio.WriteTransport)))
    for text in b"one", b"two":
        w.write(text)
        await moments(asyncio)
    w.close()
    await protocol.lost
    log.append((r.closed, transport.is_closing(), transport.is_reading()))
    transport.close()
    await moments(asyncio)
    log.append(transport.get_protocol())


@program
async def closing_the_reader(asyncio, log):
    r, w = files()
    transport, protocol = await log.read(asyncio, r)
    w.write(b"never seen")
    transport.close()
    transport.close()
    log.append((transport.is_closing(), r.closed))
    transport.pause_reading()
    transport.resume_reading()
    await protocol.lost
    await asyncio.sleep(0)
    log.append(r.closed)
    with pytest.raises(BrokenPipeError):
        w.write(b"x")
    w.close()


@program
async def pausing_and_resuming(asyncio, log):
    r, w = files()
    transport, protocol = await log.read(asyncio, r)
    transport.pause_reading()
    transport.pause_reading()
    w.write(b"waits")
    await moments(asyncio)
    log.append(transport.is_reading())
    transport.resume_reading()
    transport.resume_reading()
    await moments(asyncio)
    transport.pause_reading()
    w.close()
    await moments(asyncio)
    log.append("still there")
    transport.resume_reading()
    await protocol.lost


@program
async def paused_when_it_is_made(asyncio, log):
    r, w = files()
    protocol = log.protocol("reader", asyncio)
    protocol.made.add_done_callback(lambda made: log.append("made"))
    connection_made = protocol.connection_made
    protocol.connection_made = lambda transport: (connection_made(transport), transport.pause_reading())
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, r)
    w.write(b"waits")
    await moments(asyncio)
    log.append(transport.is_reading())
    transport.resume_reading()
    await moments(asyncio)
    w.close()
    await protocol.lost


@program
async def another_protocol(asyncio, log):
    r, w = files()
    transport, _ = await log.read(asyncio, r, "first")
    w.write(b"1")
    await moments(asyncio)
    second = log.protocol("second", asyncio)
    transport.set_protocol(second)
    log.append(transport.get_protocol() is second)
    w.write(b"2")
    await moments(asyncio)
    w.close()
    await second.lost


@program
async def a_protocol_that_fails(asyncio, log):
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: log.append((type(context["exception"]).__name__,)))
    r, w = files()
    transport, protocol = await log.read(asyncio, r)
    protocol.data_received = lambda data: 1 / 0
    w.write(b"1")
    await moments(asyncio)
    log.append(transport.is_closing())
    del protocol.data_received
    w.write(b"2")
    await moments(asyncio)
    w.close()
    await protocol.lost


@program
async def a_read_that_fails(asyncio, log):
    def note(loop, context):
        log.append((context["message"], repr(context["exception"]), context["protocol"] is protocol))

    asyncio.get_running_loop().set_exception_handler(note)
    r, w = files()
    folder = os.open(".", os.O_RDONLY)
    transport, protocol = await log.read(asyncio, r)
    w.write(b"wakes it")
    os.dup2(folder, r.fileno())  # what was a pipe when the loop looked cannot be read any more
    os.close(folder)
    transport._read_ready()
    await protocol.lost
    w.close()


@program
async def writing(asyncio, log):
    r, w = files()
    transport, protocol = await log.write(asyncio, w)
    log.append((transport.get_extra_info("pipe") is w, transport.can_write_eof(), os.get_blocking(w.fileno())))
    log.append(isinstance(transport, asyncio.WriteTransport))
    log.append((transport.get_write_buffer_limits(), transport.get_write_buffer_size()))
    transport.write(b"one")
    log.append(os.read(r.fileno(), 100))
    transport.write(bytearray(b"two"))
    transport.write(memoryview(b"-three-")[1:-1])
    transport.write(b"")
    transport.writelines([b"four", b"five"])
    log.append(os.read(r.fileno(), 100))
    for wrong in "text", None, 1:
        with pytest.raises(AssertionError) as caught:
            transport.write(wrong)
        log.append(str(caught.value))
    transport.write_eof()
    transport.write_eof()
    transport.write(b"too late")
    log.append((transport.is_closing(), w.closed))
    await protocol.lost
    await asyncio.sleep(0)
    log.append((w.closed, os.read(r.fileno(), 100)))
    r.close()


@program
async def more_than_the_pipe_holds(asyncio, log):
    r, w = files()
    transport, protocol = await log.write(asyncio, w)
    text = bytes(range(256)) * 4096
    transport.write(text[:300_000])
    transport.write(text[300_000:])
    log.append(transport.get_write_buffer_size() > 300_000)
    transport.close()
    transport.close()
    await moments(asyncio)
    log.append((transport.is_closing(), w.closed))
    got = b""
    while block := os.read(r.fileno(), 50_000):
        got += block
        await asyncio.sleep(0.0005)
    log.append(got == text)
    await protocol.lost
    r.close()


@program
async def flow_control(asyncio, log):
    r, w = files()
    transport, protocol = await log.write(asyncio, w)
    transport.set_write_buffer_limits(high=1000, low=100)
    log.append(transport.get_write_buffer_limits())
    transport.write(b"x" * 65536)
    log.append("full")
    transport.write(b"y" * 1000)
    transport.write(b"z")
    log.append(transport.get_write_buffer_size())
    await moments(asyncio)
    log.append(len(os.read(r.fileno(), 100_000)))
    await moments(asyncio)
    log.append((transport.get_write_buffer_size(), os.read(r.fileno(), 100_000)[-3:]))
    transport.close()
    await protocol.lost
    r.close()


@program
async def abort_loses_what_is_in_the_buffer(asyncio, log):
    r, w = files()
    transport, protocol = await log.write(asyncio, w)
    transport.write(b"x" * 200_000)
    transport.abort()
    log.append((transport.get_write_buffer_size(), transport.is_closing(), w.closed))
    await protocol.lost
    await asyncio.sleep(0)
    log.append((w.closed, len(os.read(r.fileno(), 200_000)), os.read(r.fileno(), 1)))
    r.close()


@program
async def the_reader_has_gone_while_nothing_is_written(asyncio, log):
    r, w = files()
    transport, protocol = await log.write(asyncio, w)
    r.close()
    await protocol.lost
    await asyncio.sleep(0)
    log.append((transport.is_closing(), w.closed))


@program
async def the_reader_has_gone_with_bytes_in_the_buffer(asyncio, log):
    r, w = files()
    transport, protocol = await log.write(asyncio, w)
    transport.write(b"x" * 200_000)
    await moments(asyncio)
    r.close()
    await protocol.lost
    log.append((transport.get_write_buffer_size(), transport.is_closing()))


@program
async def the_reader_goes_while_it_is_being_closed(asyncio, log):
    r, w = files()
    transport, protocol = await log.write(asyncio, w)
    transport.write(b"x" * 200_000)
    transport.close()
    await moments(asyncio)
    r.close()
    await protocol.lost


@program
async def writing_to_nobody(asyncio, log):
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: log.append(context["message"]))
    r, w = files()
    transport, protocol = await log.write(asyncio, w)
    r.close()
    for _ in range(8):
        transport.write(b"lost")
    log.append(transport.is_closing())
    await protocol.lost
    transport.write(b"lost")
    log.append(transport.is_closing())


@program
async def through_a_fifo(asyncio, log):
    os.mkfifo("fifo")
    r, w = files((os.open("fifo", os.O_RDWR), os.open("fifo", os.O_WRONLY)))
    reading, reader = await log.read(asyncio, r)
    writing, writer = await log.write(asyncio, w)
    writing.write(b"through it")
    await moments(asyncio)
    writing.close()
    await writer.lost
    reading.close()
    await reader.lost


@program
async def a_socket_one_way(asyncio, log):
    one, other = socket.socketpair()
    writing, _ = await log.write(asyncio, one)
    _, reader = await log.read(asyncio, other)
    writing.write(b"hello")
    await moments(asyncio)
    writing.close()
    await reader.lost
    log.append((one.fileno(), other.fileno()))


@program
async def a_socket_is_not_written_to_when_the_other_side_speaks(asyncio, log):
    one, other = socket.socketpair()
    _, protocol = await log.write(asyncio, one)
    other.send(b"that is the end")
    await protocol.lost
    log.append(one.fileno())
    other.close()


@program
async def both_ways_on_a_terminal(asyncio, log):
    master, slave = os.openpty()
    tty.setraw(slave)
    _, reader = await log.read(asyncio, opened(slave, "rb"), "terminal reads")
    writing, writer = await log.write(asyncio, opened(os.dup(slave), "wb"), "terminal writes")
    os.write(master, b"typed")
    await until(lambda: reader.received == b"typed", asyncio)
    writing.write(b"shown")
    log.append(await seen_on(master, 5, asyncio))
    writing.write(b"s" * 50_000)
    await seen_on(master, 50_000, asyncio)
    writing.close()
    await writer.lost
    os.close(master)
    await reader.lost


@program
async def one_descriptor_of_a_terminal_for_both(asyncio, log):
    master, slave = os.openpty()
    tty.setraw(slave)
    read, write = opened(slave, "rb"), opened(slave, "wb", closefd=False)
    writing, writer = await log.write(asyncio, write, "terminal writes")
    reading, reader = await log.read(asyncio, read, "terminal reads")
    os.write(master, b"typed")
    writing.write(b"s" * 50_000)
    await seen_on(master, 50_000, asyncio)
    await until(lambda: reader.received == b"typed", asyncio)
    writing.close()
    await writer.lost
    reading.close()
    await reader.lost
    os.close(master)


@program
async def the_terminal_hangs_up(asyncio, log):
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: log.append(context["message"]))
    master, slave = os.openpty()
    tty.setraw(slave)
    _, protocol = await log.read(asyncio, opened(master, "rb"), "master reads")
    os.write(slave, b"last words")
    await until(lambda: protocol.received == b"last words", asyncio)
    os.close(slave)
    await protocol.lost


@program
async def writing_to_the_null_device(asyncio, log):
    transport, protocol = await log.write(asyncio, opened(os.devnull, "wb"))
    transport.write(b"x" * MIB)
    log.append(transport.get_write_buffer_size())
    transport.close()
    await protocol.lost


@program
async def reading_what_cannot_be_waited_for(asyncio, log):
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: log.append(repr(context["exception"])))
    with open(os.devnull, "rb", 0) as null:
        transport, protocol = await log.read(asyncio, null)
        await moments(asyncio)
        transport.close()
        await protocol.lost


@program
async def files_are_refused(asyncio, log):
    with open("file", "wb+", 0) as file:
        for connect in log.read, log.write:
            with pytest.raises(ValueError) as refused:
                await connect(asyncio, file)
            log.append((str(refused.value), file.closed, os.get_blocking(file.fileno())))


@program
async def cancelled_while_it_connects(asyncio, log):
    for connect, end in (log.read, 0), (log.write, 1):
        ends = files()
        task = asyncio.create_task(connect(asyncio, ends[end]))
        await asyncio.sleep(0)
        task.cancel()
        log.append(await asyncio.gather(task, return_exceptions=True) and task.cancelled())
        await moments(asyncio)
        log.append([file.closed for file in ends])
        ends[1 - end].close()


@program
async def streams_on_pipes(asyncio, log):
    loop = asyncio.get_running_loop()
    r, w = files()
    reader = asyncio.StreamReader(limit=100)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), r)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, w)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)

    async def produce():
        for n in range(30_000):
            writer.write(b"line %d\n" % n)
            await writer.drain()
        writer.close()

    producing = asyncio.create_task(produce())
    lines = [line async for line in reader]
    await producing
    log.append((len(lines), lines[0], lines[-1], lines == [b"line %d\n" % n for n in range(30_000)]))
    await moments(asyncio)


@program
async def reprs(asyncio, log):
    def shown(transport):
        return re.sub(r"_Unix|fd=\d+", "", repr(transport))

    class Shown(asyncio.Protocol):
        def connection_made(self, transport):
            log.append(shown(transport))  # before anything is watched

    loop = asyncio.get_running_loop()
    r, w = files()
    for connecting in (loop.connect_read_pipe(Shown, r), loop.connect_write_pipe(Shown, w)):
        (await connecting)[0].close()
    r, w = files()
    reading, reader = await log.read(asyncio, r)
    writing, writer = await log.write(asyncio, w)
    log += [shown(reading), shown(writing)]
    reading.pause_reading()
    writing.write(b"x" * (65536 + 7))
    log += [shown(reading), shown(writing)]
    writing.close()
    log.append(shown(writing))
    reading.close()
    log.append(shown(reading))
    await reader.lost
    await writer.lost
    await asyncio.sleep(0)
    log += [shown(reading), shown(writing)]


@program
async def what_is_logged(asyncio, log):
    asyncio.get_running_loop().set_debug(True)
    r, w = files()
    reading, reader = await log.read(asyncio, r)
    writing, writer = await log.write(asyncio, w)
    reading.pause_reading()
    reading.resume_reading()
    writing.close()
    await reader.lost
    r, w = files()
    writing, writer = await log.write(asyncio, w)
    r.close()
    writing.write(b"x")
    await writer.lost
    asyncio.get_running_loop().set_debug(False)


def run(program, asyncio, caplog):
    log, logged = Log(), []
    caplog.clear()

    async def main():
        await asyncio.wait_for(program(asyncio, log), PATIENCE)
        await asyncio.sleep(0.01)
        return len(asyncio.all_tasks())

    with nothing_left(), caplog.at_level(logging.DEBUG, "asyncio"):
        assert asyncio.run(main()) == 1
    for record in caplog.records:
        text = re.sub(r"fd=\d+|pipe \d+|0x\w+|_Unix|<.*?Noting.*?>", "", record.getMessage())
        if "selector" not in text:
            logged.append((record.levelname, text))
    for name in "file", "fifo":
        if os.path.exists(name):
            os.remove(name)
    return log, logged


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_same_on_both(program, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    theirs, ours = on_both(lambda asyncio: run(program, asyncio, caplog))
    assert ours == theirs
    assert ours[0]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_same_without_epoll(program, tmp_path, monkeypatch, caplog):
    if program is reading_what_cannot_be_waited_for:
        pytest.skip("it is about epoll")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("compat.adapters._polling.HAS_EPOLL", False)
    theirs, ours = on_both(lambda asyncio: run(program, asyncio, caplog))

    def without_cause(seen):
        # Two trio tasks wait, one for each direction: either may see first that the pipe is broken.
        return re.sub(r"""["']BrokenPipeError\(.*?\)["']""", "BrokenPipeError", str(seen))

    assert without_cause(ours) == without_cause(theirs)


# --- ours ------------------------------------------------------------------------------------------------------------


def test_what_is_no_open_file_is_refused():
    async def main():
        loop, log = asyncio.get_running_loop(), Log()
        r, w = files()
        r.close()
        w.close()
        for connect, file in (log.read, r), (log.write, w):
            with pytest.raises(ValueError, match="closed file"):
                await connect(asyncio, file)
        with pytest.raises(AttributeError):
            await loop.connect_read_pipe(asyncio.Protocol, 0)
        assert log == []

    with nothing_left():
        asyncio.run(main())


@pytest.mark.parametrize("end", ["read", "write"])
def test_a_transport_that_is_dropped_warns_and_closes_its_pipe(end):
    r, w = files()

    async def main():
        transport, _ = await getattr(Log(), end)(asyncio, r if end == "read" else w)
        if end == "read":
            transport.pause_reading()

    def run_and_drop():
        asyncio.run(main())
        gc.collect()

    with pytest.warns(ResourceWarning, match="unclosed transport <"):
        run_and_drop()
    assert (r if end == "read" else w).closed
    r.close()
    w.close()


def test_a_loop_that_is_closed_with_pipes_open():
    transports = []

    async def main(r, w):
        transports.append((await Log().read(asyncio, r))[0])
        transports.append((await Log().write(asyncio, w))[0])
        transports[1].write(b"x" * 100_000)

    def close_and_drop():
        while transports:
            with pytest.raises(RuntimeError, match="Event loop is closed"):
                transports.pop().close()
        gc.collect()

    with nothing_left():
        pipe = files()
        asyncio.run(main(*pipe))
        assert all(re.fullmatch(r"<\w+ fd=\d+ open>", repr(transport)) for transport in transports)  # as in asyncio
        with pytest.warns(ResourceWarning, match="unclosed transport <"):
            close_and_drop()
        assert [file.closed for file in pipe] == [True, True]


@pytest.mark.parametrize("epoll", [True, False], ids=["epoll", "without"])
@pytest.mark.parametrize("world", WORLDS)
def test_under_trio_scopes_in_every_world(world, epoll, monkeypatch):
    if not epoll:
        monkeypatch.setattr("compat.adapters._polling.HAS_EPOLL", False)

    async def main():
        loop = asyncio.get_running_loop()
        r, w = files()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), r)
        writing, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, w)
        writer = asyncio.StreamWriter(writing, protocol, None, loop)
        got, timeouts = b"", 0
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def produce():
                for n in range(10):
                    while timeouts <= n:
                        await trio.sleep(0.001)
                    writer.write(b"%02d\n" % n)
                writer.close()

            while not reader.at_eof():
                with trio.move_on_after(0.005) as scope:
                    got += await reader.read(2)
                timeouts += scope.cancelled_caught
        assert got == b"".join(b"%02d\n" % n for n in range(10))
        writer.write(b"")
        writer.close()
        await asyncio.sleep(0.01)
        assert r.closed
        assert w.closed

    with nothing_left():
        world(main, clock=MonotonicClock())


@pytest.mark.parametrize("epoll", [True, False], ids=["epoll", "without"])
def test_bulk_between_threads(epoll, monkeypatch):
    """What a thread writes into one pipe and reads from another comes through, in bounded memory."""
    if not epoll:
        monkeypatch.setattr("compat.adapters._polling.HAS_EPOLL", False)
    there, back = files(), files()

    def mirror():
        with there[0], back[1]:
            while block := there[0].read(50_000):
                while block:
                    block = block[back[1].write(block) :]

    async def main():
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), back[0])
        writing, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, there[1])
        writer = asyncio.StreamWriter(writing, protocol, None, loop)
        block, most = bytes(range(251)) * 1000, 0

        async def produce():
            for _ in range(BULK // len(block)):
                writer.write(block)
                await writer.drain()
            writer.close()

        producing, compared = asyncio.create_task(produce()), 0
        while piece := await reader.read(70_000):
            start = compared % 251
            assert piece == (block + block[:251])[start : start + len(piece)]
            compared += len(piece)
            most = max(most, len(reader._buffer) + writing.get_write_buffer_size())
        await producing
        assert compared == BULK // len(block) * len(block)
        assert most < 1_000_000
        await asyncio.sleep(0)

    thread = threading.Thread(target=mirror)
    thread.start()
    asyncio.run(main())
    thread.join()
