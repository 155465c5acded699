"""An aiohttp server, and a client that asks it for 1 000 pages at once. Needs aiohttp.

aiohttp knows nothing of clearloop: it asks asyncio for the running loop, and that is a clearloop loop here.
"""

from aiohttp import ClientSession, TCPConnector, web

import clearloop

PAGES = 1000


async def page(request):
    await clearloop.sleep(0.01)  # as if it asked a database
    return web.Response(text=f"page {request.match_info['number']}")


async def start_server():
    app = web.Application()
    app.add_routes([web.get("/{number}", page)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


async def fetch(session, number):
    async with session.get(f"/{number}") as response:
        return response.status, await response.text()


async def main():
    runner = await start_server()
    host, port = runner.addresses[0]
    print("asking for", PAGES, "pages at once")

    # 1 000 requests under way, over 100 connections: a process may have only so many files open.
    async with ClientSession(f"http://{host}:{port}", connector=TCPConnector(limit=100)) as session:
        answers = await clearloop.gather(*[fetch(session, n) for n in range(PAGES)])

    print("answers:", len(answers), "with status", *{status for status, _ in answers})
    print("the first:", answers[0][1])
    print("the last:", answers[-1][1])
    print("in order:", [text for _, text in answers] == [f"page {n}" for n in range(PAGES)])
    await runner.cleanup()


clearloop.run(main())
