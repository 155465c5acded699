"""Real servers and a real client: uvicorn with httptools, aiohttp; a plain GET on kept-alive connections."""

import asyncio
import socket

from catalog import CLIENT, SERVER, Goal, Scenario

CONNECTIONS = 64
BODY = b"Hello, world!"


async def application(scope, receive, send):
    """The least ASGI application; uvicorn writes head and body one after the other."""
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(BODY))],
        }
    )
    await send({"type": "http.response.body", "body": BODY})


async def uvicorn_server(bench):
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(
        application, http="httptools", ws="none", lifespan="off", log_level="critical", access_log=False
    )
    server = uvicorn.Server(config)
    bench.keep = asyncio.ensure_future(server.serve(sockets=[listener]))
    while not server.started:
        if bench.keep.done():
            await bench.keep
            raise RuntimeError("uvicorn ended by itself")
        await asyncio.sleep(0.01)
    return listener


async def aiohttp_server(bench):
    from aiohttp import web

    async def hello(request):
        return web.Response(body=BODY, content_type="text/plain")

    site = web.Application()
    site.router.add_get("/", hello)
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    await web.SockSite(runner, listener).start()
    bench.keep = runner
    return listener


async def aiohttp_client(bench, n):
    import aiohttp

    url = f"http://127.0.0.1:{bench.port}/"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

        async def fetch(times):
            for _ in range(times):
                async with session.get(url) as response:
                    if await response.read() != BODY:
                        raise RuntimeError("a wrong answer")

        share, more = divmod(n, CONNECTIONS)
        await asyncio.gather(*[fetch(share + (number < more)) for number in range(CONNECTIONS)])


_GET = {"load": "http", "connections": CONNECTIONS}

SCENARIOS = [
    Scenario(
        "uvicorn + httptools",
        SERVER,
        uvicorn_server,
        Goal(1.05),
        requires=("httptools", "uvicorn.protocols.http.httptools_impl"),
        **_GET,
    ),
    Scenario("aiohttp server", SERVER, aiohttp_server, Goal(1.05), requires=("aiohttp.web",), **_GET),
    Scenario(
        "aiohttp client",
        CLIENT,
        aiohttp_client,
        Goal(1.05),
        n=2_000,
        quick_n=128,
        load="http",
        requires=("aiohttp",),
    ),
]
