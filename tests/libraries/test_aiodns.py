"""aiodns, whose c-ares may ask the loop to watch its sockets, against a name server of the test's own."""

import asyncio
import struct

import pytest
import trio

aiodns = pytest.importorskip("aiodns", reason="the extra `libraries` is not installed")

from .peers import HOST  # noqa: E402

pytestmark = pytest.mark.leaves("thread", reason="pycares has one that lives as long as the process")


class NameServer(asyncio.DatagramProtocol):
    """Answers each question for an address by 192.0.2.7; that for `never` not at all, that for `none` with an error."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        name = data[13 : 13 + data[12]]
        if name == b"never":
            return
        question = data[12 : data.index(b"\0", 12) + 5]
        flags, answers = (0x8183, b"") if name == b"none" else (0x8180, b"\xc0\x0c")
        if answers:
            answers += struct.pack("!HHIH4B", 1, 1, 60, 4, 192, 0, 2, 7)
        header = struct.pack("!2s5H", data[:2], flags, 1, 1 if answers else 0, 0, 0)
        self.transport.sendto(header + question + answers, addr)


async def with_server(async_fn):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(NameServer, local_addr=(HOST, 0))
    port = transport.get_extra_info("sockname")[1]
    resolver = aiodns.DNSResolver(nameservers=[HOST], udp_port=port, tcp_port=port, timeout=0.2, tries=1)
    try:
        return await async_fn(resolver)
    finally:
        resolver.cancel()
        close = asyncio.ensure_future(resolver.close())
        while not close.done():
            await asyncio.sleep(0.01)
        transport.close()
        await asyncio.sleep(0.01)


async def ask(resolver, name):
    result = await resolver.query_dns(name, "A")
    return [record.data.addr for record in result.answer]


def test_questions(run):
    async def main(resolver):
        answers = await asyncio.gather(*[ask(resolver, f"host{n}.test") for n in range(20)])
        assert answers == [["192.0.2.7"]] * 20
        codes = []
        for name in "none.test", "never.test":
            with pytest.raises(aiodns.error.DNSError) as caught:
                await ask(resolver, name)
            codes.append(caught.value.args[0])
        return codes

    assert run(lambda: with_server(main)) == [aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_ETIMEOUT]


def test_trio_timeout(run_mixed):
    async def main(resolver):
        with trio.move_on_after(0.05) as scope:
            await ask(resolver, "never.test")
        return scope.cancelled_caught, await ask(resolver, "host.test")

    assert run_mixed(lambda: with_server(main)) == (True, ["192.0.2.7"])
