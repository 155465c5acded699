"""The ASGI application that test_uvicorn.py serves."""

import asyncio


def say(text):
    print(text, flush=True)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await websocket(receive, send)
    else:
        await PAGES.get(scope["path"], hello)(scope, receive, send)


async def lifespan(receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    say("lifespan has ended")
    await send({"type": "lifespan.shutdown.complete"})


async def websocket(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        reply = {name: message[name] for name in ("text", "bytes") if message.get(name) is not None}
        await send({"type": "websocket.send", **reply})


async def answer(send, body):
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def hello(scope, receive, send):
    await answer(send, b"hello")


async def loop(scope, receive, send):
    kind = type(asyncio.get_running_loop())
    await answer(send, f"{kind.__module__}.{kind.__qualname__}".encode())


async def query(scope, receive, send):
    await asyncio.sleep(0)
    await answer(send, b"query=" + scope["query_string"])


async def echo(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})


async def flood(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(512):
        await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})
    await send({"type": "http.response.body", "body": b"the end"})


async def slow(scope, receive, send):
    say("slow has begun")
    await asyncio.sleep(1)
    await answer(send, b"slow but done")


async def hang(scope, receive, send):
    say("hang has begun")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        say("hang was cancelled")
        raise


PAGES = {"/loop": loop, "/query": query, "/echo": echo, "/flood": flood, "/slow": slow, "/hang": hang}
