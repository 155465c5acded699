"""The programs of the other files over TLS: aiohttp, httpx, websockets, uvicorn, asyncpg and redis-py."""

import asyncio
import os
import re
import shutil
import ssl
import subprocess

import pytest
from chosen import LOOP
from test_uvicorn import assert_no_errors, uvicorn

BODY = bytes(range(256)) * 4000


def port_of(server):
    return server.sockets[0].getsockname()[1]


# ---- aiohttp ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def aiohttp():
    return pytest.importorskip("aiohttp", reason="aiohttp is not installed")


async def aiohttp_server(aiohttp, context):
    """A site that gives bodies back, streams, and talks WebSocket; returns (runner, address)."""
    from aiohttp import web

    async def echo(request):
        return web.Response(body=await request.read())

    async def stream(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(200):
            await response.write(BODY[:10_000])
        return response

    async def talk(request):
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data)
        return socket

    async def file(request):
        return web.FileResponse(__file__)

    app = web.Application(client_max_size=1 << 30)
    app.add_routes([web.post("/echo", echo), web.get("/stream", stream), web.get("/ws", talk), web.get("/file", file)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    return runner, f"https://localhost:{port_of(site._server)}"


def with_aiohttp(run, aiohttp, authority, use):
    async def main():
        runner, address = await aiohttp_server(aiohttp, authority.server_context())
        try:
            connector = aiohttp.TCPConnector(ssl=authority.client_context(), limit=50)
            async with aiohttp.ClientSession(connector=connector) as session:
                await use(session, address)
        finally:
            await runner.cleanup()

    run(main())


def test_aiohttp_server_and_client(run, aiohttp, authority):
    async def use(session, address):
        async def one(number):
            body = BODY[: number * 1000]
            async with session.post(f"{address}/echo", data=body) as response:
                assert await response.read() == body

        await asyncio.gather(*[one(number) for number in range(300)])

    with_aiohttp(run, aiohttp, authority, use)


def test_aiohttp_streams(run, aiohttp, authority):
    async def use(session, address):
        async with session.get(f"{address}/stream") as response:
            size = 0
            async for chunk in response.content.iter_chunked(7_777):
                size += len(chunk)
            assert size == 200 * 10_000

    with_aiohttp(run, aiohttp, authority, use)


def test_aiohttp_serves_a_file(run, aiohttp, authority):
    """Over TLS it cannot be sendfile's kernel path: the loop's fallback, or aiohttp's."""

    async def use(session, address):
        with open(__file__, "rb") as file:
            text = file.read()
        for _ in range(20):
            async with session.get(f"{address}/file") as response:
                assert await response.read() == text

    with_aiohttp(run, aiohttp, authority, use)


def test_aiohttp_websockets(run, aiohttp, authority):
    async def use(session, address):
        async with session.ws_connect(f"{address}/ws", max_msg_size=0) as socket:
            for size in (0, 1, 125, 126, 65_535, 65_536, 1_000_000):
                await socket.send_bytes(BODY[:size])
                assert await socket.receive_bytes() == BODY[:size]

    with_aiohttp(run, aiohttp, authority, use)


def test_aiohttp_refuses_a_stranger(run, aiohttp, authority):
    async def use(session, address):
        async with aiohttp.ClientSession() as careful:  # which trusts only the system's authorities
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await careful.post(f"{address}/echo")
        async with session.post(f"{address}/echo", data=b"still there") as response:
            assert await response.read() == b"still there"

    with_aiohttp(run, aiohttp, authority, use)


# ---- httpx over anyio ------------------------------------------------------------------------------------------------


def test_httpx(run, aiohttp, authority):
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")

    async def main():
        runner, address = await aiohttp_server(aiohttp, authority.server_context())
        try:
            limits = httpx.Limits(max_connections=20)
            async with httpx.AsyncClient(verify=authority.client_context(), limits=limits, trust_env=False) as client:

                async def one(number):
                    body = BODY[: number * 1000]
                    assert (await client.post(f"{address}/echo", content=body)).content == body

                await asyncio.gather(*[one(number) for number in range(200)])
                async with client.stream("GET", f"{address}/stream") as response:
                    assert sum([len(chunk) async for chunk in response.aiter_bytes()]) == 200 * 10_000
            async with httpx.AsyncClient(trust_env=False) as careful:
                with pytest.raises(httpx.ConnectError):
                    await careful.post(f"{address}/echo")
        finally:
            await runner.cleanup()

    run(main())


# ---- websockets ------------------------------------------------------------------------------------------------------


def test_websockets(run, authority):
    pytest.importorskip("websockets", reason="websockets is not installed")
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async def main():
        async with serve(echo, "127.0.0.1", 0, ssl=authority.server_context(), max_size=None) as server:
            address = f"wss://localhost:{port_of(server)}"

            async def talk(size):
                async with connect(address, ssl=authority.client_context(), max_size=None, proxy=None) as client:
                    for turn in range(10):
                        await client.send(BODY[: size + turn])
                        assert await client.recv() == BODY[: size + turn]

            await asyncio.gather(*[talk(size) for size in (0, 1, 120, 16_380, 65_530, 900_000) * 5])
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect(address, proxy=None)

    run(main())


# ---- uvicorn ---------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["httptools", "h11"])
def secure(request, authority):
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    options = ["--http", request.param, "--ssl-keyfile", authority.key_file, "--ssl-certfile", authority.chain_file]
    return lambda *more: uvicorn(*options, "--no-access-log", *more)


def secure_address(server):
    return re.search(r"https://[\d.]+:\d+", server.output)[0].replace("127.0.0.1", "localhost")


def test_uvicorn_under_load(run, secure, aiohttp, authority):
    with secure() as server:
        address = secure_address(server)
        if shutil.which("wrk"):
            words = ["wrk", "-t", "1", "-c", "64", "-d", "2", address]
            report = subprocess.run(words, capture_output=True, text=True, timeout=30).stdout
            assert "Socket errors" not in report and "Non-2xx" not in report, report
            assert int(re.search(r"(\d+) requests in", report)[1]) > 100

        async def main():
            connector = aiohttp.TCPConnector(ssl=authority.client_context())
            async with aiohttp.ClientSession(connector=connector) as session:

                async def get(path):
                    async with session.get(address + path) as response:
                        return response.status, await response.text()

                assert (await get("/loop"))[1].split(".")[0] == LOOP
                assert set(await asyncio.gather(*[get("/") for _ in range(500)])) == {(200, "hello")}

        run(main())
    assert_no_errors(server)


@pytest.mark.parametrize("kind", ["websockets", "wsproto"])
def test_uvicorn_websockets(run, secure, authority, kind):
    pytest.importorskip(kind, reason=f"{kind} is not installed")
    client = pytest.importorskip("websockets.asyncio.client", reason="websockets is not installed")
    with secure("--ws", kind, "--ws-max-size", "2000000") as server:

        async def main():
            address = secure_address(server).replace("https", "wss") + "/ws"
            async with client.connect(address, ssl=authority.client_context(), proxy=None, max_size=None) as socket:
                for size in (0, 1, 126, 65_536, 1_000_000):
                    body = os.urandom(size)
                    await socket.send(body)
                    assert await socket.recv() == body

        run(main())
    assert_no_errors(server)


# ---- databases -------------------------------------------------------------------------------------------------------


def test_asyncpg(run, authority, postgres_tls):
    """asyncpg asks for TLS in its own protocol, and then puts it on the connection by start_tls."""
    asyncpg = pytest.importorskip("asyncpg", reason="asyncpg is not installed")

    async def main():
        settings = {"host": "localhost", "port": postgres_tls.port, "user": "postgres", "database": "postgres"}
        async with asyncpg.create_pool(**settings, ssl=authority.client_context(), min_size=2, max_size=10) as pool:
            assert await pool.fetchval("select ssl from pg_stat_ssl where pid = pg_backend_pid()") is True
            results = await asyncio.gather(*[pool.fetchval("select $1::int * 2", number) for number in range(500)])
            assert results == list(range(0, 1000, 2))
            rows = await pool.fetch("select number, repeat('x', 100) from generate_series(1, 20000) number")
            assert [row[0] for row in rows] == list(range(1, 20_001))
            assert await pool.fetchval("select length($1::bytea)", BODY * 10) == len(BODY) * 10
        with pytest.raises((ssl.SSLError, OSError)):
            await asyncpg.connect(**settings, ssl=ssl.create_default_context())

    run(main())


def test_redis(run, authority, redis_server):
    redis = pytest.importorskip("redis.asyncio", reason="redis is not installed")

    async def main():
        settings = {"ssl": True, "ssl_ca_certs": authority.ca_file, "ssl_check_hostname": True}
        async with redis.Redis(host="localhost", port=redis_server.tls_port, max_connections=50, **settings) as client:

            async def one(number):
                await client.set(f"tls:{number}", BODY[: number * 100])
                assert await client.get(f"tls:{number}") == BODY[: number * 100]

            limit = asyncio.Semaphore(30)

            async def limited(number):
                async with limit:
                    await one(number)

            await asyncio.gather(*[limited(number) for number in range(500)])
            await client.set("large", BODY * 4)
            assert await client.get("large") == BODY * 4

    run(main())
