"""HTTPS: kept-alive connections with a small and a large answer, and one connection for each request."""

import asyncio
import ssl
from pathlib import Path

from catalog import CLIENT, IDLE, SERVER, Goal, Scenario

CERTIFICATE = str(Path(__file__).resolve().parent.parent / "floor" / "localhost.pem")
CONNECTIONS = 64
BACKLOG = 1024
SMALL, LARGE = 1024, 100 * 1024
END = b"\r\n\r\n"


def server_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def client_context():
    return ssl.create_default_context(cafile=CERTIFICATE)


def answer(size):
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size


def protocol_answering(size, context):
    whole = answer(size)

    class Http(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            if data.endswith(END):
                self.transport.write(whole)

    async def body(bench):
        return await bench.loop.create_server(Http, "127.0.0.1", 0, backlog=BACKLOG, ssl=context and context())

    return body


def streams_answering(size):
    whole = answer(size)

    async def serve(reader, writer):
        try:
            while True:
                await reader.readuntil(END)
                writer.write(whole)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def body(bench):
        return await bench.api.start_server(serve, "127.0.0.1", 0, backlog=BACKLOG, ssl=server_context())

    return body


async def streams_client(bench, n):
    """n requests over 64 kept-alive connections; the connections are made before the clock runs."""
    from time import process_time

    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
    context = client_context()

    async def connect():
        return await bench.api.open_connection("127.0.0.1", bench.port, ssl=context, server_hostname="localhost")

    async def ask(connection, times):
        reader, writer = connection
        for _ in range(times):
            writer.write(request)
            await writer.drain()
            await reader.readuntil(END)
            if len(await reader.readexactly(SMALL)) != SMALL:
                raise RuntimeError("a wrong answer")

    connections = [await connect() for _ in range(CONNECTIONS)]
    await asyncio.gather(*[ask(connection, 2) for connection in connections])
    share, more = divmod(n, CONNECTIONS)
    before = process_time()
    await asyncio.gather(
        *[ask(connection, share + (number < more)) for number, connection in enumerate(connections)]
    )
    spent = process_time() - before
    for _, writer in connections:
        writer.close()
    for _, writer in connections:
        await writer.wait_closed()
    return spent


def one_each(context):
    """A client that opens a connection for each request, hears the answer and closes; 16 at a time."""

    async def body(bench, n):
        loop, request = bench.loop, b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"

        class Visit(asyncio.Protocol):
            def __init__(self):
                self.closed = loop.create_future()

            def connection_made(self, transport):
                self.transport = transport
                transport.write(request)

            def data_received(self, data):
                self.transport.close()

            def connection_lost(self, error):
                self.closed.set_result(None)

        arguments = {"ssl": context(), "server_hostname": "localhost"} if context else {}

        async def visits(times):
            for _ in range(times):
                _, protocol = await loop.create_connection(Visit, "127.0.0.1", bench.port, **arguments)
                await protocol.closed

        await asyncio.gather(*[visits(n // 16 + 1) for _ in range(16)])

    return body


protocol_small, protocol_large = (protocol_answering(size, server_context) for size in (SMALL, LARGE))
streams_small, streams_large = (streams_answering(size) for size in (SMALL, LARGE))
plain = protocol_answering(13, None)

_HTTPS = {"load": "https", "connections": CONNECTIONS}

SCENARIOS = [
    Scenario("HTTPS 1 KiB, Protocol", SERVER, protocol_small, Goal(1.0), size=SMALL, **_HTTPS),
    Scenario("HTTPS 100 KiB, Protocol", SERVER, protocol_large, Goal(1.0), size=LARGE, **_HTTPS),
    Scenario("HTTPS 1 KiB, streams", SERVER, streams_small, Goal(1.2), size=SMALL, **_HTTPS),
    Scenario("HTTPS 100 KiB, streams", SERVER, streams_large, Goal(1.2), size=LARGE, **_HTTPS),
    Scenario(
        "HTTPS client, streams", CLIENT, streams_client, Goal(1.15), n=10_000, quick_n=640, size=SMALL, **_HTTPS
    ),
    Scenario(
        "TLS handshake, request, close", SERVER, protocol_small, Goal(1.1), size=SMALL, load="handshake", connections=16
    ),
    Scenario(
        "TLS connect, request, close, client",
        CLIENT,
        one_each(client_context),
        n=400,
        quick_n=32,
        size=SMALL,
        load="handshake",
        connections=16,
    ),
    Scenario("connect, request, close", SERVER, plain, Goal(1.1), load="connect", connections=16),
    Scenario(
        "connect, request, close, client",
        CLIENT,
        one_each(None),
        Goal(1.1),
        n=4_000,
        quick_n=64,
        load="connect",
        connections=16,
    ),
    Scenario(
        "memory per idle TLS connection",
        IDLE,
        protocol_small,
        Goal(0.5, against="aiofastnet", cost=True),
        n=500,
        quick_n=50,
        load="https",
        size=SMALL,
    ),
]
