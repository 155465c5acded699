"""Where jobs come from: RabbitMQ, or a queue in the process."""

import asyncio
import contextlib
import json

import clearloop

NAME = "jobs"


@contextlib.asynccontextmanager
async def open_queue(url, jobs, limit):
    """The queue behind a URL; without one, a queue in the process with so many jobs in it."""
    if url is None:
        yield HereQueue(jobs)
        return
    import aio_pika

    connection = await aio_pika.connect_robust(url, reconnect_interval=0.5)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=limit)
        yield BrokerQueue(await channel.declare_queue(NAME, durable=True))


class BrokerQueue:
    """Messages of RabbitMQ: `async for`, until stop()."""

    def __init__(self, queue):
        self.queue = queue
        self.arrived = clearloop.Queue()
        self.tag = None

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.tag is None:  # robust: the consumer is there again after a reconnection
            self.tag = await self.queue.consume(self.arrived.put)
        return BrokerMessage(await self.arrived.get())

    async def stop(self):
        """No more messages; those that nobody has taken go back to the broker when the connection closes."""
        if self.tag is not None:
            with contextlib.suppress(Exception):  # without a connection nothing comes anyway
                await asyncio.wait_for(self.queue.cancel(self.tag), 5)


class BrokerMessage:
    def __init__(self, message):
        self.message = message
        self.body = message.body
        self.id = message.message_id

    async def ack(self):
        await _answered(self.message.ack())

    async def reject(self):
        await _answered(self.message.reject(requeue=False))


async def _answered(answer):
    """An answer on a connection that is gone: the broker has the message back, and sends it again."""
    import aio_pika.exceptions

    try:
        await asyncio.wait_for(answer, 10)
    except (aio_pika.exceptions.AMQPError, ConnectionError, RuntimeError, TimeoutError):
        pass
    except asyncio.CancelledError:
        if asyncio.current_task().cancelling():
            raise
        # else the library's own: it cancels what waits on a connection that is lost


class HereQueue:
    """A queue in the process."""

    def __init__(self, jobs):
        self.waiting = clearloop.Queue()
        for number in range(jobs):
            self.waiting.put_nowait((f"job-{number}", json.dumps({"text": f"job {number}"})))

    def __aiter__(self):
        return self

    async def __anext__(self):
        return HereMessage(*await self.waiting.get())

    async def stop(self):
        pass


class HereMessage:
    def __init__(self, id, body):
        self.id, self.body = id, body

    async def ack(self):
        pass

    async def reject(self):
        pass
