"""aiortc: two peers of WebRTC in one process, over UDP, with DTLS and SCTP of its own."""

import asyncio

import pytest

aiortc = pytest.importorskip("aiortc", reason="the extra `more-libraries` is not installed")


async def connect(one, other):
    """What a signalling server does."""
    await one.setLocalDescription(await one.createOffer())
    await other.setRemoteDescription(one.localDescription)
    await other.setLocalDescription(await other.createAnswer())
    await one.setRemoteDescription(other.localDescription)


def test_data_channel(ended):
    async def main(give_up):
        configuration = aiortc.RTCConfiguration(iceServers=[])
        one, other = aiortc.RTCPeerConnection(configuration), aiortc.RTCPeerConnection(configuration)
        channel = one.createDataChannel("chat")
        opened, got = asyncio.Event(), asyncio.Queue()
        channel.on("open", opened.set)
        channel.on("message", got.put_nowait)

        @other.on("datachannel")
        def accept(channel):
            @channel.on("message")
            def answer(message):
                channel.send(message * 2)

        await connect(one, other)
        await opened.wait()
        for n in range(20):
            channel.send(f"{n}")
        answers = [await got.get() for _ in range(20)]

        async def work(soon):
            soon()
            await got.get()

        await give_up(work)
        channel.send(b"x" * 50_000)
        length = len(await got.get())
        await one.close()
        await other.close()
        return answers, length

    assert ended(main) == ([f"{n}{n}" for n in range(20)], 100_000)
