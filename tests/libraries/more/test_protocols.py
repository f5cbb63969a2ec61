"""Clients and servers of protocols: grpcio, pymodbus, asyncua, aiosmtpd, dnspython, pymongo, twisted."""

import asyncio
import smtplib
import socket

import pytest

from ..peers import HOST

REASON = "the extra `more-libraries` is not installed"


def free_port():
    with socket.create_server((HOST, 0)) as sock:
        return sock.getsockname()[1]


@pytest.mark.leaves("thread", reason="grpcio has one that polls, as long as the process lives")
def test_grpcio(ended):
    grpc = pytest.importorskip("grpc", reason=REASON)

    async def main(give_up):
        begun, ended = [], []

        async def upper(request, context):
            return request.upper()

        async def wait(request, context):
            begun.pop()()
            try:
                await asyncio.sleep(1000)
            finally:
                ended.append(request)

        async def count(request, context):
            for n in range(int(request)):
                yield b"%d" % n
                await asyncio.sleep(0)

        async def echo(requests, context):
            async for request in requests:
                yield request * 2

        server = grpc.aio.server()
        handlers = {
            "Upper": grpc.unary_unary_rpc_method_handler(upper),
            "Wait": grpc.unary_unary_rpc_method_handler(wait),
            "Count": grpc.unary_stream_rpc_method_handler(count),
            "Echo": grpc.stream_stream_rpc_method_handler(echo),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
        port = server.add_insecure_port(f"{HOST}:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
            call = channel.unary_unary("/test.Test/Upper")
            assert await asyncio.gather(*[call(b"x%d" % n) for n in range(20)]) == [b"X%d" % n for n in range(20)]
            assert len([each async for each in channel.unary_stream("/test.Test/Count")(b"50")]) == 50
            stream = channel.stream_stream("/test.Test/Echo")()
            for n in range(5):
                await stream.write(b"%d" % n)
                assert await stream.read() == b"%d" % n * 2
            await stream.done_writing()
            assert await stream.read() == grpc.aio.EOF

            async def work(soon):
                begun.append(soon)
                await channel.unary_unary("/test.Test/Wait")(b"given up")

            await give_up(work)
            while not ended:
                await asyncio.sleep(0.001)
            begun.append(lambda: None)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/test.Test/Wait")(b"deadline", timeout=0.02)
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/test.Test/None")(b"")
            assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
            assert await call(b"afterwards") == b"AFTERWARDS"
        await server.stop(None)
        return ended[0]

    assert ended(main) == b"given up"


def test_pymodbus(ended):
    pytest.importorskip("pymodbus", reason=REASON)
    from pymodbus.client import AsyncModbusTcpClient
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    async def main(give_up):
        async def act(function, start, address, count, registers, values):
            if address == 99:
                await asyncio.sleep(0.2)

        port = free_port()
        data = [SimData(0, values=[7] * 100, datatype=DataType.REGISTERS)]
        device = SimDevice(id=0, simdata=data, action=act)
        server = ModbusTcpServer(device, address=(HOST, port))
        await server.serve_forever(background=True)
        client = AsyncModbusTcpClient(HOST, port=port, timeout=1)
        assert await client.connect()
        await client.write_registers(10, [1, 2, 3])
        registers = (await client.read_holding_registers(8, count=6)).registers
        answers = await asyncio.gather(*[client.read_holding_registers(n, count=1) for n in range(20)])
        assert all(not answer.isError() for answer in answers)

        async def work(soon):
            soon()
            await client.read_holding_registers(99, count=1)

        await give_up(work)
        registers += (await client.read_holding_registers(12, count=1)).registers
        client.close()
        await server.shutdown()
        return registers

    assert ended(main) == [7, 7, 1, 2, 3, 7, 3]


def test_aiosmtpd(ended):
    pytest.importorskip("aiosmtpd", reason=REASON)
    from aiosmtpd.smtp import SMTP

    class Handler:
        def __init__(self):
            self.got = []
            self.waiting = asyncio.Event()

        async def handle_DATA(self, server, session, envelope):
            await asyncio.sleep(0.001)
            self.got.append((envelope.mail_from, *envelope.rcpt_tos, len(envelope.content)))
            return "250 OK"

        async def handle_RCPT(self, server, session, envelope, address, options):
            if address.startswith("slow"):
                self.waiting.set()
                await asyncio.sleep(1000)
            envelope.rcpt_tos.append(address)
            return "250 OK"

    async def main(give_up):
        handler = Handler()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(handler, loop=loop), HOST, 0)
        port = server.sockets[0].getsockname()[1]

        def send(*recipients):
            with smtplib.SMTP(HOST, port) as client:
                client.sendmail("me@example.org", recipients, b"Subject: one\r\n\r\n" + b"line\r\n" * 20_000)

        await asyncio.gather(*[asyncio.to_thread(send, f"you{n}@example.org") for n in range(3)])

        async def work(soon):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(b"HELO me\r\nMAIL FROM:<me@example.org>\r\nRCPT TO:<slow@example.org>\r\n")
                await handler.waiting.wait()
                soon()
                await reader.read(-1)
            finally:
                writer.close()

        await give_up(work)
        await asyncio.to_thread(send, "last@example.org")
        server.close()
        await server.wait_closed()
        return sorted(to for _, to, _ in handler.got)

    assert ended(main) == ["last@example.org", *[f"you{n}@example.org" for n in range(3)]]


class NameServer(asyncio.DatagramProtocol):
    """Answers what it is asked, but for `never`."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        import dns.message
        import dns.rrset

        question = dns.message.from_wire(data)
        name = question.question[0].name
        if name.labels[0] == b"never":
            return
        answer = dns.message.make_response(question)
        answer.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.7"))
        self.transport.sendto(answer.to_wire(), address)


def test_dnspython(ended):
    pytest.importorskip("dns", reason=REASON)
    import dns.asyncresolver
    import dns.resolver

    async def main(give_up):
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(NameServer, local_addr=(HOST, 0))
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [HOST]
        resolver.port = transport.get_extra_info("sockname")[1]

        async def ask(name, lifetime=60):
            return [each.address for each in await resolver.resolve(name, "A", lifetime=lifetime)]

        answers = await asyncio.gather(*[ask(f"host{n}.test.") for n in range(10)])

        async def work(soon):
            soon()
            await ask("never.test.")

        await give_up(work)
        with pytest.raises(dns.resolver.LifetimeTimeout):
            await ask("never.test.", 0.02)
        answers.append(await ask("afterwards.test."))
        transport.close()
        await asyncio.sleep(0.01)
        return answers

    assert ended(main) == [["192.0.2.7"]] * 11


# It leaves the socket of a connection that is cancelled while it is made, on asyncio, too.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_pymongo(ended):
    """Its errors, where there is no server, or one that does not answer."""
    pymongo = pytest.importorskip("pymongo", reason=REASON)

    async def main(give_up):
        connected = asyncio.Event()

        async def silent(reader, writer):
            connected.set()
            await reader.read(-1)
            writer.close()
            await writer.wait_closed()

        async with pymongo.AsyncMongoClient(HOST, free_port(), serverSelectionTimeoutMS=20) as client:
            with pytest.raises(pymongo.errors.ServerSelectionTimeoutError):
                await client.test.things.find_one()
        async with await asyncio.start_server(silent, HOST, 0) as server:
            async with pymongo.AsyncMongoClient(*server.sockets[0].getsockname()) as client:

                async def work(soon):
                    find = asyncio.ensure_future(client.test.things.find_one())
                    await connected.wait()
                    soon()
                    await find

                await give_up(work)
                with pytest.raises(pymongo.errors.ServerSelectionTimeoutError):
                    with pymongo.timeout(0.02):
                        await client.test.things.insert_one({})

    ended(main)


@pytest.fixture(scope="module")
def twisted():
    """It keeps a descriptor in reserve for accept(), from the first one on: not the test's."""
    pytest.importorskip("twisted", reason=REASON)
    from twisted.internet.tcp import _reservedFD

    _reservedFD.reserve()


def test_twisted(twisted, ended):
    """Its reactor on the running loop; Deferreds and coroutines await each other."""
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor
    from twisted.internet.defer import CancelledError, Deferred
    from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
    from twisted.internet.protocol import Factory
    from twisted.internet.task import deferLater
    from twisted.protocols.basic import LineReceiver

    class Echo(LineReceiver):
        def lineReceived(self, line):
            self.sendLine(line.upper())

    class Client(LineReceiver):
        def __init__(self):
            self.lines = asyncio.Queue()
            self.lost = asyncio.Event()

        def lineReceived(self, line):
            self.lines.put_nowait(line)

        def connectionLost(self, reason):
            self.lost.set()

    async def main(give_up):
        loop = asyncio.get_running_loop()
        reactor = AsyncioSelectorReactor(loop)
        reactor.startRunning(installSignalHandlers=False)
        port = await TCP4ServerEndpoint(reactor, 0, interface=HOST).listen(Factory.forProtocol(Echo)).asFuture(loop)
        endpoint = TCP4ClientEndpoint(reactor, HOST, port.getHost().port)
        clients = [await connectProtocol(endpoint, Client()).asFuture(loop) for _ in range(5)]
        for client in clients:
            client.sendLine(b"hello")
        assert [await client.lines.get() for client in clients] == [b"HELLO"] * 5

        async def work(soon):
            soon()
            await deferLater(reactor, 1000).asFuture(loop)

        await give_up(work)
        assert reactor.getDelayedCalls() == []  # the Deferred was cancelled

        async def sleeps():
            await Deferred.fromFuture(asyncio.ensure_future(asyncio.sleep(0.001)))
            await deferLater(reactor, 0.001)
            return "slept"

        assert await Deferred.fromCoroutine(sleeps()).asFuture(loop) == "slept"
        waiting = Deferred.fromFuture(asyncio.ensure_future(asyncio.sleep(1000)))
        waiting.cancel()
        with pytest.raises((CancelledError, asyncio.CancelledError)):
            await waiting.asFuture(loop)
        client.sendLine(b"again")
        again = await client.lines.get()
        for client in clients:
            client.transport.loseConnection()
            await client.lost.wait()
        await port.stopListening().asFuture(loop)
        reactor.removeReader(reactor.waker)  # what is left to do by reactor.stop(), which stops the loop
        reactor.waker.connectionLost(None)
        return again

    assert ended(main) == b"AGAIN"


def test_asyncua(ended):
    asyncua = pytest.importorskip("asyncua", reason=REASON)

    async def main(give_up):
        server = asyncua.Server()
        await server.init()
        server.set_endpoint(f"opc.tcp://{HOST}:{free_port()}")
        space = await server.register_namespace("test")
        variable = await server.nodes.objects.add_variable(space, "number", 1)
        await variable.set_writable()
        changes = asyncio.Queue()

        class Handler:
            def datachange_notification(self, node, value, data):
                changes.put_nowait(value)

        async with server:
            async with asyncua.Client(server.endpoint.geturl()) as client:
                node = client.get_node(variable.nodeid)
                subscription = await client.create_subscription(10, Handler())
                await subscription.subscribe_data_change(node)
                got = [await changes.get()]
                await node.write_value(2)
                got.append(await changes.get())

                async def work(soon):
                    soon()
                    await changes.get()

                await give_up(work)
                await variable.write_value(3)
                got.append(await changes.get())
                assert await asyncio.gather(*[node.read_value() for _ in range(10)]) == [3] * 10
                await subscription.delete()
        return got

    assert ended(main) == [1, 2, 3]
