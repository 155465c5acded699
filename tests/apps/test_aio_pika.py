"""aio-pika on a real RabbitMQ, by AMQP and AMQPS."""

import asyncio
import os

import pytest

aio_pika = pytest.importorskip("aio_pika", reason="aio-pika is not installed")


@pytest.fixture(params=["amqp", "amqps"])
def connect(request, rabbitmq, authority):
    tls = request.param == "amqps"
    settings = {"ssl_context": authority.client_context()} if tls else {}

    def make(port=None, how=aio_pika.connect, **more):
        return how(f"{request.param}://guest:guest@localhost:{port or make.port}/", **settings, **more)

    make.port = rabbitmq.tls_port if tls else rabbitmq.port
    return make


class Relay:
    """Passes connections on to a port, and can cut all that there are."""

    def __init__(self, port):
        self.port = port
        self.writers = set()

    async def serve(self, reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers |= {writer, back}
        await asyncio.gather(self.copy(reader, back), self.copy(there, writer))

    async def copy(self, reader, writer):
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def cut(self):
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()


def test_a_thousand_messages_confirmed_and_in_order(run, connect):
    async def main():
        async with await connect() as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=50)
            queue = await channel.declare_queue(exclusive=True)
            heard = []

            async def listen():
                async with queue.iterator() as messages:
                    async for message in messages:
                        async with message.process():
                            heard.append(int(message.body))
                        if len(heard) == 1000:
                            return

            listening = asyncio.create_task(listen())
            for number in range(1000):
                await channel.default_exchange.publish(aio_pika.Message(b"%d" % number), queue.name)
            await listening
            assert heard == list(range(1000))

    run(main())


def test_publishers_and_consumers_at_once(run, connect):
    async def main():
        async with await connect() as publishing, await connect() as consuming:
            queue = await (await consuming.channel()).declare_queue(auto_delete=True)
            heard, complete = set(), asyncio.Event()

            async def hear(message):
                async with message.process():
                    heard.add(message.body)
                    if len(heard) == 500:
                        complete.set()

            await queue.consume(hear)

            async def publish(publisher):
                async with publishing.channel() as channel:
                    for number in range(50):
                        body = f"{publisher} {number}".encode()
                        await channel.default_exchange.publish(aio_pika.Message(body), queue.name)

            await asyncio.gather(*[publish(publisher) for publisher in range(10)])
            await complete.wait()

    run(main())


def test_large_messages(run, connect):
    async def main():
        async with await connect() as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            body = os.urandom(5_000_000)
            await channel.default_exchange.publish(aio_pika.Message(body), queue.name)
            message = await queue.get(timeout=20)
            await message.ack()
            assert message.body == body

    run(main())


def test_a_message_that_is_given_back_comes_again(run, connect):
    async def main():
        async with await connect() as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            await channel.default_exchange.publish(aio_pika.Message(b"again"), queue.name)
            first = await queue.get(timeout=20)
            await first.reject(requeue=True)
            second = await queue.get(timeout=20)
            assert (first.redelivered, second.redelivered, second.body) == (False, True, b"again")
            await second.ack()

    run(main())


def test_a_robust_connection_comes_back(run, connect):
    """The line is cut in the middle; the next operation finds a new connection, and the queue's consumer as well."""

    async def main():
        relay = Relay(connect.port)
        async with await asyncio.start_server(relay.serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            connection = await connect(port, how=aio_pika.connect_robust, reconnect_interval=0.05)
            async with connection:
                channel = await connection.channel()
                queue = await channel.declare_queue("comes-back", durable=True)
                back = asyncio.Event()
                connection.reconnect_callbacks.add(lambda *_: back.set())
                relay.cut()
                await back.wait()
                await channel.default_exchange.publish(aio_pika.Message(b"still here"), queue.name)
                message = await queue.get(timeout=20)
                await message.ack()
                assert message.body == b"still here"
                await queue.delete()

    run(main())


def test_a_wrong_password_is_refused(run, rabbitmq):
    async def main():
        with pytest.raises(aio_pika.exceptions.CONNECTION_EXCEPTIONS):
            await aio_pika.connect(f"amqp://guest:wrong@127.0.0.1:{rabbitmq.port}/")

    run(main())
