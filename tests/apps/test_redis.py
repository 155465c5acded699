"""redis-py's asyncio client on a real Redis."""

import asyncio

import pytest

redis = pytest.importorskip("redis.asyncio", reason="redis is not installed")


@pytest.fixture(params=["tcp", "unix"])
def connect(request, redis_server):
    def make(**settings):
        if request.param == "tcp":
            return redis.Redis(host="127.0.0.1", port=redis_server.port, **settings)
        return redis.Redis(unix_socket_path=redis_server.path, **settings)

    return make


def test_a_thousand_commands_at_once(run, connect):
    async def main():
        pool = connect(max_connections=2000)
        async with pool as client:
            limit = asyncio.Semaphore(50)

            async def one(number):
                async with limit:
                    await client.set(f"key:{number}", number)
                    return int(await client.get(f"key:{number}"))

            assert await asyncio.gather(*[one(number) for number in range(1000)]) == list(range(1000))

    run(main())


def test_pipelines_and_large_values(run, connect):
    async def main():
        async with connect() as client:
            async with client.pipeline(transaction=True) as pipeline:
                for number in range(1000):
                    pipeline.set("counter", number).incr("counter")
                results = await pipeline.execute()
            assert results[1::2] == list(range(1, 1001))
            value = bytes(range(256)) * 16_384
            await client.set("large", value)
            assert await client.get("large") == value

    run(main())


def test_publish_and_subscribe(run, connect):
    async def main():
        async with connect(decode_responses=True) as client, client.pubsub() as listener:
            await listener.subscribe("news")
            assert (await listener.get_message(timeout=20))["type"] == "subscribe"
            for number in range(200):
                await client.publish("news", number)
            heard = [await listener.get_message(ignore_subscribe_messages=True, timeout=20) for _ in range(200)]
            assert [message["data"] for message in heard] == [str(number) for number in range(200)]
            assert await listener.get_message(timeout=0.01) is None

    run(main())


def test_a_blocking_pop_can_be_cancelled_and_timed_out(run, connect):
    async def main():
        async with connect() as client, connect() as other:
            waiting = asyncio.create_task(client.blpop(["nothing"], 60))
            while not any(entry["cmd"] == "blpop" for entry in await other.client_list()):
                await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await client.ping()
            waiting = asyncio.create_task(client.blpop(["something"], 60))
            await other.rpush("something", "value")
            assert await waiting == (b"something", b"value") or await waiting == [b"something", b"value"]

    run(main())


def test_a_connection_that_the_server_kills_is_replaced(run, connect):
    async def main():
        async with connect() as client, connect() as killer:
            number = await client.client_id()
            await killer.client_kill_filter(_id=number)
            assert await client.ping()
            assert await client.client_id() != number

    run(main())
