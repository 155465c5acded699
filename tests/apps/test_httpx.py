"""httpx over anyio and asyncio, plain http, against an aiohttp server in the same loop."""

import asyncio

import pytest

httpx = pytest.importorskip("httpx", reason="httpx is not installed")
pytest.importorskip("aiohttp", reason="aiohttp is not installed")
from aiohttp import web  # noqa: E402
from test_aiohttp import MIB, echo, hello, serving, who  # noqa: E402


def test_five_hundred_requests_at_once(run):
    async def main():
        async with serving({"/": hello}) as address:
            limits = httpx.Limits(max_connections=50)
            async with httpx.AsyncClient(limits=limits, timeout=30, trust_env=False) as client:
                answers = await asyncio.gather(*[client.get(address, params={"name": n}) for n in range(500)])
        assert [answer.text for answer in answers] == [f"hello {number}" for number in range(500)]

    run(main())


def test_connections_are_kept_alive(run):
    async def main():
        async with serving({"/": who}) as address, httpx.AsyncClient(trust_env=False) as client:
            assert len({tuple((await client.get(address)).json()) for _ in range(20)}) == 1

    run(main())


def test_streaming_both_ways(run):
    async def main():
        async def pieces():
            for number in range(1000):
                await asyncio.sleep(0)
                yield b"%04d" % number * 500

        expected = b"".join([piece async for piece in pieces()])
        async with serving({"/": echo}) as address, httpx.AsyncClient(trust_env=False) as client:
            async with client.stream("POST", address, content=pieces()) as answer:
                assert b"".join([data async for data in answer.aiter_bytes()]) == expected
            assert (await client.post(address, content=bytes(5 * MIB))).content == bytes(5 * MIB)

    run(main())


def test_timeouts_and_cancellation_leave_the_client_usable(run):
    async def main():
        async def slow(request):
            await asyncio.sleep(60)

        async with serving({"/slow": slow, "/": hello}, handler_cancellation=True) as address:
            async with httpx.AsyncClient(limits=httpx.Limits(max_connections=2), trust_env=False) as client:
                with pytest.raises(httpx.ReadTimeout):
                    await client.get(f"{address}/slow", timeout=0.05)
                for turns in range(30):
                    victim = asyncio.create_task(client.get(f"{address}/slow"))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    victim.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await victim
                    assert (await client.get(address)).text == "hello "

    run(main())


def test_errors_of_the_network(run):
    async def main():
        async def hang_up(request):
            request.transport.abort()
            return web.Response()

        async with serving({"/": hang_up}) as address, httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.TransportError):
                await client.get(address)
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(address)

    run(main())
