"""aio-pika with RabbitMQ: https://docs.aio-pika.com/"""

import asyncio
from contextlib import asynccontextmanager

import pytest
import trio

from .peers import NAME, RABBITMQ, require

aio_pika = pytest.importorskip("aio_pika", reason="the extra `libraries` is not installed")
require(RABBITMQ)


@pytest.mark.parametrize("connect", [aio_pika.connect, aio_pika.connect_robust])
def test_as_in_the_readme(run, connect):
    async def main():
        connection = await connect(RABBITMQ)
        async with connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=10)
            queue = await channel.declare_queue(NAME, auto_delete=True)
            for n in range(100):
                await channel.default_exchange.publish(aio_pika.Message(body=b"%d" % n), routing_key=NAME)
            got = []
            async with queue.iterator() as messages:
                async for message in messages:
                    async with message.process():
                        got.append(int(message.body))
                        if len(got) == 100:
                            break
        return got

    assert run(main) == [*range(100)]


def test_topics_and_rejected_messages(run):
    async def main():
        async with await aio_pika.connect_robust(RABBITMQ) as connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            exchange = await channel.declare_exchange(NAME, aio_pika.ExchangeType.TOPIC, auto_delete=True)
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(exchange, "news.*")
            got = asyncio.Queue()

            async def on_message(message):
                if message.redelivered:
                    await message.ack()
                else:
                    await message.reject(requeue=True)
                await got.put((message.routing_key, message.redelivered))

            tag = await queue.consume(on_message)
            await exchange.publish(aio_pika.Message(b"a"), "news.a")
            with pytest.raises(aio_pika.exceptions.DeliveryError):
                await exchange.publish(aio_pika.Message(b"b"), "old.b", mandatory=True)
            found = [await got.get(), await got.get()]
            await queue.cancel(tag)
            with pytest.raises(aio_pika.exceptions.QueueEmpty):
                await queue.get()
            await queue.unbind(exchange, "news.*")
        return found

    assert run(main) == [("news.a", False), ("news.a", True)]


@asynccontextmanager
async def absorbed():
    """aiormq answers a cancellation by a CancelledError of its own, which a trio scope does not know for its own."""
    try:
        yield
    except asyncio.CancelledError as error:
        if not isinstance(error, trio.Cancelled):
            await trio.lowlevel.checkpoint_if_cancelled()
        raise


def test_cancelled_and_trio_timeouts(run_mixed):
    async def main():
        for _ in range(5):
            # The library closes a channel when a request on it is interrupted; so each has a connection of its own.
            connection = await aio_pika.connect(RABBITMQ)
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            with trio.move_on_after(0.02) as scope:
                async with absorbed(), queue.iterator() as messages:
                    async for _ in messages:
                        raise AssertionError("there is none")
            assert scope.cancelled_caught
            await connection.close()

        connection = await aio_pika.connect(RABBITMQ)
        channel = await connection.channel()
        with pytest.raises(trio.TooSlowError):
            with trio.fail_after(0.02):
                async with absorbed():
                    while True:
                        await channel.default_exchange.publish(aio_pika.Message(b"x" * 1000), "nowhere")
        await connection.close()

        async with await aio_pika.connect_robust(RABBITMQ) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            await channel.default_exchange.publish(aio_pika.Message(b"y"), queue.name)
            async with (await queue.get(timeout=5)).process() as message:
                assert message.body == b"y"

            send, receive = trio.open_memory_channel(0)

            async def listen():
                async with absorbed(), send, queue.iterator() as messages:
                    async for message in messages:
                        async with message.process():
                            await send.send(message.body)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(listen)
                for n in range(20):
                    await channel.default_exchange.publish(aio_pika.Message(b"%d" % n), queue.name)
                    assert await receive.receive() == b"%d" % n
                nursery.cancel_scope.cancel()

    run_mixed(main)
