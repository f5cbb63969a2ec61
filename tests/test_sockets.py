"""Readers and writers of file descriptors, and the loop's sock_*() methods.

Most programs run on the real asyncio first, and must give the same on ours; after each, no file is left open.
"""

import asyncio as std
import errno
import gc
import io
import os
import select
import socket
import ssl
import sys
import tempfile
import threading
import time
import weakref
from contextlib import ExitStack, suppress
from contextvars import ContextVar
from functools import partial
from random import Random

import pytest
import trio

import compat
from compat import asyncio
from compat.adapters.events import Loop, MonotonicClock
from worlds import PATIENCE, WORLDS, Ended, Steps, moments, nothing_left, on_both, open_descriptors

ON_TRIO = ("-m", "compat")
PROGRAMS = []
RANDOM_PROGRAMS = int(os.environ.get("SOCKET_PROGRAMS", "80"))


def program(function):
    """Collect an async program(asyncio, open_pair) that is to give the same on both."""
    PROGRAMS.append(function)
    return function


class Pairs(ExitStack):
    """Makes connected pairs of sockets that do not block, and closes them at its end."""

    def __call__(self, *args):
        pair = socket.socketpair(*args)
        for sock in pair:
            sock.setblocking(False)
            self.callback(sock.close)
        return pair


def run_on(asyncio, program):
    with nothing_left(), Pairs() as open_pair:
        return asyncio.run(asyncio.wait_for(program(asyncio, open_pair), PATIENCE))


def shown(error):
    return type(error).__name__, str(error), getattr(error, "errno", None)


async def outcome(awaitable):
    try:
        return await awaitable
    except (Exception, std.CancelledError) as error:
        return shown(error)


def result_of(function, *args):
    try:
        return function(*args)
    except Exception as error:
        return shown(error)


def fill(sock):
    """Write until it would block; how many bytes that were."""
    count = 0
    with suppress(BlockingIOError):
        while True:
            count += sock.send(b"x" * 65536)
    return count


def drain(sock):
    data = b""
    with suppress(BlockingIOError):
        while piece := sock.recv(65536):
            data += piece
    return data


async def batches(asyncio, count):
    for _ in range(count):
        await asyncio.sleep(0)


# --- readers and writers ---------------------------------------------------------------------------------------------


@program
async def life_of_a_reader(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    one, other = open_pair()
    log = [loop.remove_reader(one), loop.remove_writer(one)]
    log.append(loop.add_reader(one, lambda *args: log.append((args, one.recv(1))), 1, 2))
    other.send(b"ab")
    await moments(asyncio)
    log.append(loop.add_reader(one.fileno(), lambda: log.append(("another", one.recv(1)))))
    other.send(b"c")
    await moments(asyncio)
    log += [loop.remove_reader(one), loop.remove_reader(one), loop.remove_reader(one.fileno())]
    other.send(b"d")
    await moments(asyncio)
    return [*log, drain(one)]


@program
async def removed_when_the_file_is_closed_already(asyncio, open_pair):
    """A socket is known by itself then, as long as it is watched; a file object is not."""
    loop = asyncio.get_running_loop()
    log = []

    def results(one, *removals):
        return [str(result_of(remove, one)).replace(repr(one), "the file") for remove in removals]

    for debug in False, True:
        loop.set_debug(debug)
        for add, remove, remove_other in (
            (loop.add_reader, loop.remove_reader, loop.remove_writer),
            (loop.add_writer, loop.remove_writer, loop.remove_reader),
        ):
            one, _ = open_pair()
            add(one, log.append, "called")
            number = one.fileno()
            one.close()
            log += [*results(one, remove_other, remove, remove), remove(number)]

            one, _ = open_pair()
            add(one, log.append, "called")
            add(one, log.append, "called instead")
            one.close()
            log += results(one, remove, remove)

            one, _ = open_pair()
            number = one.fileno()
            add(number, log.append, "called")
            one.close()
            log += [*results(one, remove), remove(number)]

            one, _ = open_pair()
            one.close()
            log += results(one, remove)

            one, _ = open_pair()
            kept = getattr(loop, f"_{add.__name__}")(one, log.append, "called")
            remove(one)
            one.close()
            log += [*results(one, remove), kept.cancelled()]

    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb", 0) as file:
        loop.add_reader(file, log.append, "called")
        number = file.fileno()
        loop.remove_reader(number)
    os.close(write_end)
    return [*log, *results(file, loop.remove_reader), loop.remove_reader(number)]


@program
async def nobody_else_holds_the_socket(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    one, other = socket.socketpair()
    log, reference = [], weakref.ref(one)
    loop.add_reader(one, lambda: log.append(reference().recv(100)))
    del one
    gc.collect()
    other.send(b"for nobody's socket")
    await asyncio.sleep(0.01)
    with other, reference() as one:
        log.append(loop.remove_reader(one))
    return log


@program
async def reader_and_writer_of_one_socket(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    one, other = open_pair()
    log = []

    def write():
        log.append("write")
        if len(log) >= 3:
            log.append(loop.remove_writer(one))

    def read():
        log.append(("read", one.recv(10)))

    loop.add_writer(one, write)
    loop.add_reader(one, read)
    other.send(b"1")
    await moments(asyncio)
    other.send(b"2")
    await moments(asyncio)
    loop.add_writer(one, write)
    await moments(asyncio)
    log += [loop.remove_reader(one), loop.remove_writer(one)]
    loop.add_writer(one, log.append, "only writes")
    loop.call_soon(loop.remove_writer, one)
    other.send(b"3")
    await moments(asyncio)
    return log


@program
async def removed_by_each_other(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    log = []
    pairs = [open_pair() for _ in range(4)]

    def read(name, sock, others):
        log.append((name, sock.recv(1)))
        log.extend(loop.remove_reader(other) for other in others)

    def replace():
        loop.add_reader(pairs[3][0], lambda: log.append(("new", pairs[3][0].recv(1))))

    loop.add_reader(pairs[0][0], read, "first", pairs[0][0], [pairs[0][0]])
    loop.add_reader(pairs[1][0], read, "second", pairs[1][0], [pairs[2][0]])
    loop.add_reader(pairs[2][0], read, "third", pairs[2][0], [pairs[1][0]])
    loop.add_reader(pairs[3][0], read, "fourth", pairs[3][0], [])
    for _, other in pairs:
        other.send(b"ab")
    loop.call_soon(replace)
    await moments(asyncio)
    for sock, _ in pairs:
        loop.remove_reader(sock)
    return log


@program
async def among_callbacks_and_timers(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    log = []
    pairs = [open_pair() for _ in range(3)]

    def read(name, sock):
        log.append((name, sock.recv(1)))
        loop.call_soon(log.append, f"soon after {name}")

    async def task(name):
        log.append(f"{name} 1")
        await asyncio.sleep(0)
        log.append(f"{name} 2")

    for name, (sock, _) in enumerate(pairs):
        loop.add_reader(sock, read, name, sock)
    for _ in range(3):
        loop.call_later(0, log.append, "timer before")
        loop.call_soon(log.append, "soon before")
        for _, other in pairs:
            other.send(b"a")
        loop.call_later(0, log.append, "timer after")
        loop.call_soon(log.append, "soon after")
        tasks = [asyncio.create_task(task("task")) for _ in range(2)]
        await asyncio.gather(*tasks)
        await batches(asyncio, 3)
        log.append("next")
    for sock, _ in pairs:
        loop.remove_reader(sock)
    return log


@program
async def in_their_contexts(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    variable = ContextVar("variable", default="nothing")
    one, other = open_pair()
    log = []

    def read():
        log.append((variable.get(), one.recv(1), asyncio.current_task()))
        variable.set("set by the callback")

    variable.set("added here")
    loop.add_reader(one, read)
    variable.set("changed since")
    for _ in range(2):
        other.send(b"a")
        await moments(asyncio)
    loop.remove_reader(one)
    return log, variable.get()


@program
async def what_goes_wrong_in_a_callback(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append((shown(context["exception"]), sorted(context))))
    one, other = open_pair()

    def read():
        one.recv(1)
        raise ValueError("from a reader")

    loop.add_reader(one, read)
    other.send(b"ab")
    await moments(asyncio)
    loop.remove_reader(one)
    return reports, drain(one)


@program
async def what_cannot_be_watched(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    closed = socket.socket()
    closed.close()
    log = []
    with tempfile.TemporaryFile() as on_disk:
        for what in -1, closed, "nonsense", 3.5, None, on_disk, on_disk.fileno():
            log += [result_of(method, what, print) for method in (loop.add_reader, loop.add_writer)]
        log.append(loop.remove_reader(on_disk.fileno()))
    return [(kind, number) for kind, _, number in log[:-1]], log[-1]


@program
async def pipes_and_ends(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    log = []
    read_end, write_end = os.pipe()
    loop.add_reader(read_end, lambda: log.append(os.read(read_end, 10)))
    loop.add_writer(write_end, lambda: (log.append("writable"), loop.remove_writer(write_end)))
    await moments(asyncio)
    os.write(write_end, b"abc")
    await moments(asyncio)
    os.close(write_end)
    loop.add_reader(read_end, lambda: (log.append(os.read(read_end, 10)), loop.remove_reader(read_end)))
    await moments(asyncio)
    os.close(read_end)
    one, other = open_pair()
    loop.add_writer(one, lambda: (log.append("hung up"), loop.remove_writer(one)))
    other.close()
    await moments(asyncio)
    return log


@program
async def used_by_a_transport(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    one, other = open_pair()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=one)
    fd = str(one.fileno())
    methods = [partial(loop.add_reader, one, print), partial(loop.add_writer, one.fileno(), print)]
    methods += [partial(loop.remove_reader, one), partial(loop.remove_writer, transport.get_extra_info("socket"))]
    log = [result_of(method) for method in methods]
    log += [await outcome(loop.sock_recv(one, 10)), await outcome(loop.sock_connect(other, one.getsockname()))]
    transport.close()
    loop.add_reader(other, log.append, "end")
    loop.call_soon(loop.remove_reader, other)
    await moments(asyncio)
    return [
        entry if not isinstance(entry, tuple) else (entry[0], entry[1].partition("<")[0].replace(fd, "FD"))
        for entry in log
    ]


@program
async def threads_and_handles(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    one, other = open_pair()
    log = []
    handle = loop._add_reader(one, lambda: log.append(one.recv(1)))
    log.append((type(handle).__name__, handle.cancelled()))
    thread = threading.Thread(target=other.send, args=[b"from a thread"])
    thread.start()
    await loop.run_in_executor(None, thread.join)
    await moments(asyncio)
    handle.cancel()
    await moments(asyncio)
    log.append(loop._remove_reader(one))
    handle = loop._add_writer(one, log.append, "writable")
    loop._add_writer(one, log.append, "instead")
    log += [handle.cancelled(), loop._remove_writer(one), loop._remove_writer(one)]
    return log


def test_stands_still_between_runs():
    def program(asyncio):
        log = []
        with nothing_left(), Pairs() as open_pair:
            loop = asyncio.new_event_loop()
            one, other = open_pair()
            loop.add_reader(one, lambda: log.append(one.recv(1)))
            other.send(b"abc")
            for _ in range(3):
                loop.call_soon(log.append, "callback")
                loop.run_until_complete(asyncio.sleep(0))
                log.append("stands still")
            loop.run_until_complete(moments(asyncio))
            other.send(b"d")
            log += [loop.remove_reader(one), loop.remove_reader(one)]
            loop.run_until_complete(asyncio.sleep(0))
            loop.add_reader(one, loop.stop)
            loop.run_forever()
            loop.add_writer(other, log.append, "never")
            loop.close()
            log += [loop.remove_writer(other), result_of(loop.add_reader, one, print)]
            log.append(result_of(loop.add_writer, one, print))
        return log

    theirs, ours = on_both(program)
    assert ours == theirs


def test_two_loops_with_one_socket():
    """Each loop has its own; what one reads the other does not see."""
    log = []
    with nothing_left(), Pairs() as open_pair:
        one, other = open_pair()
        loops = [asyncio.new_event_loop() for _ in range(2)]
        for number, loop in enumerate(loops):
            loop.add_reader(one, lambda number=number: log.append((number, one.recv(1))))
        for loop in loops:
            other.send(b"a")
            loop.run_until_complete(moments(asyncio))
        for loop in loops:
            loop.close()
    assert log == [(0, b"a"), (1, b"a")]


def test_number_of_a_closed_file_is_used_again():
    """asyncio calls nobody then; here whoever was added last is called."""

    async def main():
        loop = asyncio.get_running_loop()
        log = []
        for _ in range(3):
            with Pairs() as open_pair:
                one, other = open_pair()
                numbers.add(one.fileno())
                loop.add_reader(one, lambda one=one: log.append(one.recv(1)))
                other.send(b"a")
                await moments(asyncio)
                one.close()
        return log

    numbers = set()
    with nothing_left():
        assert asyncio.run(main()) == [b"a"] * 3
    assert len(numbers) == 1


def test_exit_from_a_reader_ends_the_run_and_loses_no_callback():
    def program(asyncio):
        log = []
        with nothing_left(), Pairs() as open_pair:
            loop = asyncio.new_event_loop()
            for number in range(3):
                one, other = open_pair()

                def read(number=number, one=one):
                    log.append((number, one.recv(1)))
                    loop.remove_reader(one)
                    if number == 1:
                        raise SystemExit

                loop.add_reader(one, read)
                other.send(b"a")
            with pytest.raises(SystemExit):
                loop.run_until_complete(moments(asyncio))
            loop.run_until_complete(moments(asyncio))
            loop.close()
        return log

    theirs, ours = on_both(program)
    assert ours == theirs


def test_an_idle_reader_costs_no_steps():
    steps = Steps()

    async def main():
        loop = asyncio.get_running_loop()
        with Pairs() as open_pair:
            one, _ = open_pair()
            loop.add_reader(one, print)
            await moments(asyncio)
            before = steps.count
            await asyncio.sleep(0.1)
            assert steps.count - before < 5
            loop.add_writer(one, print)
            loop.remove_writer(one)
            await asyncio.sleep(0.1)
            assert steps.count - before < 15

    with asyncio.Runner(loop_factory=lambda: Loop(instruments=[steps])) as runner:
        runner.run(main())


def test_slow_reader_is_logged_in_debug_mode(caplog):
    def program(asyncio):
        async def main():
            loop = asyncio.get_running_loop()
            loop.slow_callback_duration = 0.01
            with Pairs() as open_pair:
                one, other = open_pair()

                def read_slowly():
                    one.recv(1)
                    time.sleep(0.05)

                loop.add_reader(one, read_slowly)
                other.send(b"a")
                await asyncio.sleep(0.1)
                loop.remove_reader(one)

        caplog.clear()
        asyncio.run(main(), debug=True)
        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        # On a busy machine other callbacks are slow, too.
        return [warning.partition("<")[0] for warning in warnings if "read_slowly" in warning]

    theirs, ours = on_both(program)
    assert ours == theirs == ["Executing "]


def test_loop_with_a_reader_that_nobody_holds_is_collected():
    with nothing_left(), Pairs() as open_pair:
        one, _ = open_pair()
        loop = asyncio.new_event_loop()
        loop.add_reader(one, loop.stop)
        loop.run_until_complete(moments(asyncio))
        gone = weakref.ref(loop)
        del loop
        with pytest.warns(ResourceWarning, match="unclosed event loop"):
            gc.collect()
        assert gone() is None


# --- random programs -------------------------------------------------------------------------------------------------


def random_program(seed):
    """A program(asyncio, open_pair) that logs the order of readers, writers, callbacks, timers and tasks."""

    async def program(asyncio, open_pair):
        random = Random(seed)
        loop = asyncio.get_running_loop()
        log = []
        pairs = [open_pair() for _ in range(4)]
        depth = 0

        def act():
            nonlocal depth
            kind = random.randrange(10)
            number = random.randrange(len(pairs))
            one, other = pairs[number]
            if depth > 60:
                return
            depth += 1
            if kind <= 2:
                with suppress(BlockingIOError):
                    other.send(b"x" * random.randrange(1, 3))
            elif kind <= 4:
                loop.add_reader(one, read, number, depth)
            elif kind == 5:
                log.append(("removed", number, loop.remove_reader(one), loop.remove_writer(one)))
            elif kind == 6:
                loop.add_writer(one, write, number, depth)
            elif kind == 7:
                loop.call_soon(note, "callback", depth)
            elif kind == 8:
                loop.call_later(0, note, "timer", depth)
            else:
                tasks.append(asyncio.create_task(task(depth)))

        def note(*what):
            log.append(what)
            act()

        def read(number, depth):
            log.append(("read", number, depth, result_of(pairs[number][0].recv, 1)))
            act()

        def write(number, depth):
            log.append(("write", number, depth))
            loop.remove_writer(pairs[number][0])
            act()

        async def task(depth):
            log.append(("task", depth))
            sock = pairs[depth % len(pairs)][1]
            await asyncio.sleep(0)
            act()
            log.append(("task", depth, await outcome(asyncio.wait_for(loop.sock_sendall(sock, b"ab"), PATIENCE))))
            act()

        tasks = []
        for _ in range(8):
            act()
        for step in range(12):
            log.append(step)
            act()
            await asyncio.sleep(0)
        for task_ in tasks:
            task_.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        depth = 1000
        for one, _ in pairs:
            loop.remove_reader(one)
            loop.remove_writer(one)
        await asyncio.sleep(0)
        return log

    return program


@pytest.mark.parametrize("part", range(4))
def test_random_programs_in_the_same_order(part):
    for seed in range(part, RANDOM_PROGRAMS, 4):
        theirs, ours = on_both(lambda asyncio, seed=seed: run_on(asyncio, random_program(seed)))
        assert ours == theirs, f"seed {seed}"


def test_random_programs_in_the_same_order_in_a_trio_run():
    async def main(program, open_pair):
        return await asyncio.create_task(program(asyncio, open_pair))

    for seed in range(1000, 1000 + RANDOM_PROGRAMS // 4):

        async def program(asyncio, open_pair, seed=seed):
            return list(await random_program(seed)(asyncio, open_pair))  # what it leaves goes on

        theirs = run_on(std, program)
        with Pairs() as open_pair:
            assert compat.run(main, program, open_pair) == theirs, f"seed {seed}"


# --- sockets ---------------------------------------------------------------------------------------------------------


async def connected(asyncio, kind=socket.SOCK_STREAM):
    """Two TCP sockets, connected by the loop; the caller closes them."""
    loop = asyncio.get_running_loop()
    with socket.socket() as listener:
        listener.setblocking(False)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = socket.socket()
        client.setblocking(False)
        accepting = asyncio.create_task(loop.sock_accept(listener))
        await asyncio.sleep(0)
        await loop.sock_connect(client, listener.getsockname())
        server, address = await accepting
    assert address == client.getsockname()
    return client, server


@program
async def each_of_the_methods(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    log = []
    for ready in True, False:
        client, server = await connected(asyncio)
        with client, server:
            log.append(server.gettimeout())
            buffer = bytearray(10)

            async def exchange(receiving, client=client, ready=ready):
                task = None if ready else asyncio.create_task(receiving)
                await asyncio.sleep(0)
                log.append(await loop.sock_sendall(client, b"hello"))
                log.append(await outcome(task or receiving))

            await exchange(loop.sock_recv(server, 100))
            await exchange(loop.sock_recv_into(server, buffer))
            await exchange(loop.sock_recvfrom(server, 3))
            await exchange(loop.sock_recvfrom_into(server, buffer))
            log.append(bytes(buffer))
            client.close()
            log.append(await loop.sock_recv(server, 100))
    return log


@program
async def datagrams(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    log = []
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        for sock in one, other:
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
        buffer = bytearray(10)
        receiving = asyncio.create_task(loop.sock_recvfrom(other, 100))
        await asyncio.sleep(0)
        log.append(await loop.sock_sendto(one, b"hello", other.getsockname()))
        data, address = await receiving
        log += [data, address == one.getsockname()]
        for size in 0, 3:
            receiving = asyncio.create_task(loop.sock_recvfrom_into(other, buffer, size))
            await asyncio.sleep(0)
            await loop.sock_sendto(one, b"datagram", other.getsockname())
            log += [(await receiving)[0], bytes(buffer)]
        log.append(await outcome(loop.sock_sendto(one, b"x" * 100_000, other.getsockname())))
    return log


@program
async def what_goes_wrong(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    log = []
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = nobody.getsockname()
    for target in [address, ("127.0.0.1",), "nonsense", ("127.0.0.1", "no port")]:
        with socket.socket() as sock:
            sock.setblocking(False)
            kind, message, number = await outcome(loop.sock_connect(sock, target))
            log.append((kind, message.replace(str(address[1]), "PORT"), number))
    with socket.socket() as sock:
        sock.setblocking(False)
        log.append(await outcome(loop.sock_accept(sock)))
        log.append(await outcome(loop.sock_recv(sock, 10)))
        log.append(await outcome(loop.sock_sendall(sock, b"abc")))
    log.append(await outcome(loop.sock_recv(sock, 10)))
    one, other = open_pair()
    other.close()
    log.append(await outcome(loop.sock_sendall(one, b"abc")))
    log.append((await outcome(loop.sock_sendall(one, "text")))[0])
    return log


@program
async def each_failure_of_connecting_is_told(asyncio, open_pair):
    """Also that one local address could not be bound to, when the next one could."""
    loop = asyncio.get_running_loop()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = nobody.getsockname()

    async def getaddrinfo(host, port, **options):
        found = ["127.0.0.1"] if host == "remote" else ["240.0.0.1", "127.0.0.1"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (name, port)) for name in found]

    loop.getaddrinfo = getaddrinfo
    connecting = loop.create_connection(asyncio.Protocol, "remote", address[1], local_addr=("local", 0))
    kind, message, number = await outcome(connecting)
    return kind, message.replace(str(address[1]), "PORT"), number


@program
async def sockets_that_block(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    log = []
    with socket.socket() as sock, socket.socket() as raw:
        with ssl.create_default_context().wrap_socket(raw, do_handshake_on_connect=False, server_hostname="x") as tls:
            for one in sock, tls:
                log += [
                    await outcome(coro)
                    for coro in [
                        loop.sock_recv(one, 1),
                        loop.sock_recv_into(one, bytearray(1)),
                        loop.sock_recvfrom(one, 1),
                        loop.sock_recvfrom_into(one, bytearray(1)),
                        loop.sock_sendall(one, b"a"),
                        loop.sock_sendto(one, b"a", ("127.0.0.1", 1)),
                        loop.sock_connect(one, ("127.0.0.1", 1)),
                        loop.sock_accept(one),
                        loop.sock_sendfile(one, io.BytesIO(b"a")),
                    ]
                ]
    return log


@program
async def a_name_is_looked_up(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    with socket.socket() as listener, socket.socket() as client:
        for sock in listener, client:
            sock.setblocking(False)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        await loop.sock_connect(client, ("localhost", listener.getsockname()[1]))
        accepted, _ = await loop.sock_accept(listener)
        with accepted:
            return accepted.getpeername() == client.getsockname()


@program
async def much_at_once(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    one, other = open_pair()
    data = os.urandom(3_000_000)

    async def receive():
        got = bytearray()
        while len(got) < len(data):
            got += await loop.sock_recv(other, 100_000)
        return bytes(got)

    receiving = asyncio.create_task(receive())
    for kind in bytes, bytearray, memoryview:
        await loop.sock_sendall(one, kind(data[: len(data) // 3]))
    data = data[: len(data) // 3] * 3
    return (await receiving) == data


@program
async def two_that_wait_for_one_socket(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    one, other = open_pair()
    tasks = [asyncio.create_task(loop.sock_recv(one, 1)) for _ in range(2)]
    await moments(asyncio)
    other.send(b"ab")
    await moments(asyncio)
    log = [task.done() for task in tasks]
    tasks.append(asyncio.create_task(loop.sock_recv(one, 1)))
    await moments(asyncio)
    for task in tasks:
        task.cancel()
    log += [await outcome(task) for task in tasks]
    return log, loop.remove_reader(one)


@program
async def closed_while_waiting(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    one, other = open_pair()
    task = asyncio.create_task(loop.sock_recv(one, 1))
    await moments(asyncio)
    fd = one.fileno()
    one.close()
    other.close()
    await moments(asyncio)
    log = [task.done()]
    task.cancel()
    log.append(await outcome(task))
    return log, loop.remove_reader(fd)


@program
async def cancelled_at_each_moment(asyncio, open_pair):
    """Task.cancel() any number of batches after data has come: what the task got, and what is left."""
    loop = asyncio.get_running_loop()
    log = []
    for moment in range(6):
        for before in True, False:
            one, other = open_pair()
            task = asyncio.create_task(loop.sock_recv(one, 100))
            await batches(asyncio, 3)
            if before:
                task.cancel()
            other.send(b"data")
            await batches(asyncio, moment)
            task.cancel()
            log.append((moment, before, await outcome(task), drain(one), loop.remove_reader(one)))

            fill(one)
            task = asyncio.create_task(loop.sock_sendall(one, b"y" * 10))
            await batches(asyncio, 3)
            if before:
                task.cancel()
            drain(other)
            await batches(asyncio, moment)
            task.cancel()
            log.append((await outcome(task), drain(other), loop.remove_writer(one)))

    return log


@program
async def files_are_sent(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    data = bytes(range(256)) * 4000
    log = []
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as empty:
        file.write(data)
        file.flush()
        for offset, count in [(0, None), (1000, None), (1000, 500_000), (5, 10), (len(data), None), (10, 5_000_000)]:
            for what in file, io.BytesIO(data):
                for fallback in True, False:
                    client, server = await connected(asyncio)
                    with client, server:
                        what.seek(3)
                        sending = loop.sock_sendfile(client, what, offset, count, fallback=fallback)
                        task = asyncio.create_task(outcome(sending))
                        task.add_done_callback(lambda task, client=client: client.close())
                        got = bytearray()
                        while piece := await loop.sock_recv(server, 300_000):
                            got += piece
                        expected = data[offset:][:count]
                        log.append((await task, what.tell(), len(got), got == expected))
        one, _ = open_pair()
        log.append(await loop.sock_sendfile(one, empty))
        wrongs = [{"offset": -1}, {"offset": 1.5}, {"count": 0}, {"count": -1}, {"count": "1"}]
        log += [await outcome(loop.sock_sendfile(one, file, **wrong)) for wrong in wrongs]
        with socket.socket(type=socket.SOCK_DGRAM) as wrong:
            wrong.setblocking(False)
            log.append(await outcome(loop.sock_sendfile(wrong, file)))
        with tempfile.TemporaryFile("w") as text:
            log.append(await outcome(loop.sock_sendfile(one, text)))
    return log


@program
async def sending_a_file_is_broken_off(asyncio, open_pair):
    loop = asyncio.get_running_loop()
    log = []
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 5_000_000)
        file.flush()
        file.seek(0)
        for end in "cancel", "close":
            one, other = open_pair()
            task = asyncio.create_task(loop.sock_sendfile(one, file))
            await moments(asyncio)
            log.append(task.done())
            if end == "cancel":
                task.cancel()
            else:
                other.close()
            log += [(await outcome(task))[0], loop.remove_writer(one)]
    return log


def test_a_file_that_cannot_be_sent_natively_after_all(monkeypatch):
    """os.sendfile() refuses some files only when it is called: then they are read and sent."""
    refusals = [OSError(errno.EINVAL, "not today")]

    def sendfile(*args):
        raise refusals[0]

    async def main(asyncio, open_pair):
        loop = asyncio.get_running_loop()
        log = []
        for fallback in True, False:
            one, other = open_pair()
            with tempfile.TemporaryFile() as file:
                file.write(b"content")
                file.seek(0)
                log.append(await outcome(loop.sock_sendfile(one, file, fallback=fallback)))
                log.append((drain(other), file.tell()))
        return log

    monkeypatch.setattr(os, "sendfile", sendfile)
    theirs, ours = on_both(lambda asyncio: run_on(asyncio, main))
    assert ours == theirs
    monkeypatch.delattr(os, "sendfile")
    assert run_on(asyncio, main)[:2] == [7, (b"content", 7)]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_same_on_both(program):
    theirs, ours = on_both(lambda asyncio: run_on(asyncio, program))
    assert ours == theirs


# The order in which several that are ready are called is the system's there.
WITHOUT_EPOLL = [
    life_of_a_reader,
    removed_when_the_file_is_closed_already,
    pipes_and_ends,
    each_of_the_methods,
    datagrams,
    much_at_once,
]
WITHOUT_EPOLL += [two_that_wait_for_one_socket, threads_and_handles, files_are_sent, used_by_a_transport]


@pytest.mark.parametrize("program", WITHOUT_EPOLL, ids=lambda program: program.__name__)
def test_same_without_epoll(program, monkeypatch):
    monkeypatch.setattr("compat.adapters._polling.HAS_EPOLL", False)
    theirs, ours = on_both(lambda asyncio: run_on(asyncio, program))
    assert ours == theirs


# --- with trio -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("program", [each_of_the_methods, much_at_once, among_callbacks_and_timers, files_are_sent])
def test_same_in_every_world(program, world):
    theirs = run_on(std, program)

    with nothing_left(), Pairs() as open_pair:
        assert world(partial(program, asyncio, open_pair), clock=MonotonicClock()) == theirs


@pytest.mark.parametrize("world", WORLDS)
def test_scopes_around_waits_lose_nothing(world):
    """A stream of numbers is read and written while trio scopes cut each wait short."""

    async def main():
        loop = asyncio.get_running_loop()
        sent = b"".join(b"%06d" % n for n in range(2000))
        cut = 0

        async def send(sock):
            nonlocal cut
            rest = memoryview(sent)
            while rest:
                with trio.move_on_after(random.random() / 2000) as scope:
                    # By single bytes, since nobody knows how much of an interrupted sendall() has gone.
                    await loop.sock_sendall(sock, rest[:1])
                    rest = rest[1:]
                cut += scope.cancelled_caught
            sock.close()

        async def receive(sock):
            nonlocal cut
            got = bytearray()
            while True:
                data = None
                with trio.move_on_after(random.random() / 2000) as scope:
                    data = await loop.sock_recv(sock, random.randrange(1, 200))
                cut += scope.cancelled_caught
                if data == b"":
                    return bytes(got)
                got += data or b""

        one, other = open_pair()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        random = Random(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, one)
            got = await receive(other)
        assert got == sent
        assert cut > 10
        assert not loop._poller.handles

    with nothing_left(), Pairs() as open_pair:
        world(main, clock=MonotonicClock())


@pytest.mark.parametrize("world", WORLDS)
def test_scope_cancelled_at_each_moment(world):
    """The data is either received or still there, whenever a scope is cancelled; and nobody watches any longer."""

    async def main():
        loop = asyncio.get_running_loop()
        received = 0
        for moment in range(8):
            for begin in range(3):
                one, other = open_pair()
                scope = trio.CancelScope()
                result = None

                async def receive(one=one, scope=scope):
                    nonlocal result
                    with scope:
                        result = await loop.sock_recv(one, 100)

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(receive)
                    await batches(asyncio, begin)
                    other.send(b"data")
                    await batches(asyncio, moment)
                    scope.cancel()
                assert (result or b"") + drain(one) == b"data"
                received += result is not None
                assert not loop._poller or not loop._poller.handles
        assert 0 < received < 24

    with nothing_left(), Pairs() as open_pair:
        world(main, clock=MonotonicClock())


def test_trio_waits_for_the_same_socket_undisturbed():
    async def main():
        loop = asyncio.get_running_loop()
        one, other = open_pair()
        log = []

        async def wait(what, wait_for):
            await wait_for(one)
            log.append(what)

        loop.add_reader(one, lambda: (log.append("reader"), loop.remove_reader(one)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, "trio reads", trio.lowlevel.wait_readable)
            nursery.start_soon(wait, "trio writes", trio.lowlevel.wait_writable)
            await trio.sleep(0.01)
            assert log == ["trio writes"]
            other.send(b"a")
        assert sorted(log) == ["reader", "trio reads", "trio writes"]

        with trio.fail_after(PATIENCE):
            wrapped = trio.socket.from_stdlib_socket(one)
            assert await wrapped.recv(10) == b"a"
            loop.add_reader(one, log.append, "again")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait, "trio once more", trio.lowlevel.wait_readable)
                await trio.sleep(0.01)
                assert loop.remove_reader(one)
                other.send(b"b")
            assert "trio once more" in log
            trio.lowlevel.notify_closing(one)
            loop.add_reader(one, lambda: log.append(one.recv(10)))
            await trio.sleep(0.01)
            assert log[-1] == b"b"
            loop.remove_reader(one)

    with nothing_left(), Pairs() as open_pair:
        compat.run(main)


def test_a_hosted_loop_that_ends_leaves_nothing():
    async def main():
        one, other = open_pair()
        log = []
        for number in range(3):
            async with compat.open_loop() as loop:
                loop.add_reader(one, lambda number=number: log.append((number, one.recv(1))))
                waiting = asyncio.create_task(loop.sock_recv(other, 10))
                other.send(b"a")
                await moments(asyncio)
            assert waiting.cancelled()
            assert not loop.remove_reader(one)
            with pytest.raises(RuntimeError, match="closed"):
                loop.add_reader(one, print)
            other.send(b"b")
            await trio.sleep(0.01)
            assert one.recv(10) == b"b"
        assert log == [(0, b"a"), (1, b"a"), (2, b"a")]

    with nothing_left(), Pairs() as open_pair:
        trio.run(main)


def test_cancelled_from_a_plain_trio_program():
    async def main():
        async with compat.open_loop() as loop:
            one, other = open_pair()
            with trio.move_on_after(0.01) as scope:
                await loop.sock_recv(one, 10)
            assert scope.cancelled_caught
            other.send(b"here")
            with trio.fail_after(PATIENCE):
                assert await loop.sock_recv(one, 10) == b"here"

    with nothing_left(), Pairs() as open_pair:
        trio.run(main)


def test_hundreds_are_ready_at_once():
    async def main(asyncio, open_pair):
        loop = asyncio.get_running_loop()
        log = []
        pairs = [open_pair() for _ in range(200)]
        for number, (one, other) in enumerate(pairs):
            loop.add_reader(one, lambda number=number, one=one: log.append((number, one.recv(1))))
            other.send(b"a")
        await batches(asyncio, 3)
        for one, _ in pairs:
            assert loop.remove_reader(one)
        return log

    theirs, ours = on_both(lambda asyncio: run_on(asyncio, main))
    assert ours == theirs
    assert len(ours) == 200


# --- around it -------------------------------------------------------------------------------------------------------


def test_selectors_of_the_standard_library_are_taken_and_not_used():
    import selectors

    for kind in selectors.DefaultSelector, selectors.SelectSelector, selectors.PollSelector:
        with nothing_left():
            selector = kind()
            loop = asyncio.SelectorEventLoop(selector)
            assert loop.run_until_complete(asyncio.sleep(0, 5)) == 5
            loop.close()
            assert selector.get_map() is None

    class Own(selectors.SelectSelector):
        pass

    with pytest.raises(ValueError, match="trio polls"):
        asyncio.SelectorEventLoop(Own())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork()")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("how", ["os._exit(asyncio.run(new(4)))", "sys.exit(4)", "raise ValueError"])
def test_child_of_fork_may_run_a_loop_of_its_own_or_unwind(how):
    text = f"""
        import asyncio, os, sys

        async def new(value):
            await asyncio.sleep(0.01)
            return value

        async def main():
            child = os.fork()
            if not child:
                {how}
            await asyncio.sleep(0.1)
            print(os.waitpid(child, 0)[1] >> 8)

        asyncio.run(main())
        print("parent goes on")
        """
    options = ("-W", "ignore")
    ours = Ended(text, *options, *ON_TRIO)
    if sys.version_info < (3, 14) or "exit" not in how:  # there asyncio's own child never ends
        theirs = Ended(text, *options)
        assert (ours.out, ours.status) == (theirs.out, theirs.status)
    assert "parent goes on" in ours.out


def test_epoll_is_one_for_all_sockets():
    """As many files as there are sockets, and one epoll."""

    async def main():
        loop = asyncio.get_running_loop()
        before = len(open_descriptors())
        with Pairs() as open_pair:
            for _ in range(20):
                one, _ = open_pair()
                loop.add_reader(one, print)
                loop.add_writer(one, loop.remove_writer, one)
            await moments(asyncio)
            assert len(open_descriptors()) - before == 40 + 1

    if not hasattr(select, "epoll"):
        pytest.skip("there is no epoll here")
    assert sys.platform == "linux"
    asyncio.run(main())


def test_what_the_socket_refuses_closes_the_transport():
    """A buffer that cannot be received into, and data that cannot be sent: no OSErrors, and fatal all the same."""

    async def main(asyncio):
        told = []

        class ReadOnly(asyncio.BufferedProtocol):
            def get_buffer(self, sizehint):
                return b"read-only"

            def connection_lost(self, error):
                told.append(type(error))

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: told.append(context["message"].split("\n")[0]))
        for sends in False, True:
            one, other = socket.socketpair()
            with other:
                one.setblocking(False)
                transport, _ = await loop.create_connection(ReadOnly, sock=one)
                if sends:
                    transport.write(memoryview(b"every other")[::2])
                else:
                    other.send(b"x")
                await asyncio.sleep(0.02)
                told.append(transport.is_closing())
                transport.abort()
                await asyncio.sleep(0)
        return told

    expected = std.run(main(std))
    assert asyncio.run(main(asyncio)) == expected
    assert TypeError in expected
    assert BufferError in expected
