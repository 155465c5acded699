"""The websockets library, plain ws://, server and client on one loop."""

import asyncio
import os

import pytest

pytest.importorskip("websockets", reason="websockets is not installed")
from websockets.asyncio.client import connect, unix_connect
from websockets.asyncio.server import broadcast, serve, unix_serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidMessage


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def address_of(server):
    host, port = server.sockets[0].getsockname()[:2]
    return f"ws://{host}:{port}"


def test_messages_of_all_sizes(run):
    async def main():
        async with serve(echo, "127.0.0.1", 0, max_size=None) as server:
            async with connect(address_of(server), max_size=None, proxy=None) as client:
                for size in (0, 1, 125, 126, 65_535, 65_536, 5_000_000):
                    body = os.urandom(size)
                    await client.send(body)
                    assert await client.recv() == body
                await client.send("grüße")
                assert await client.recv() == "grüße"

    run(main())


def test_a_hundred_clients_over_a_unix_socket(run, tmp_path):
    async def main():
        path = str(tmp_path / "ws.sock")
        async with unix_serve(echo, path):

            async def talk(number):
                async with unix_connect(path, "ws://any/") as client:
                    for turn in range(20):
                        await client.send(f"{number} {turn}")
                        assert await client.recv() == f"{number} {turn}"

            await asyncio.gather(*[talk(number) for number in range(100)])

    run(main())


def test_broadcast_and_back_pressure(run):
    """A client that reads slowly holds back only the server's sends to itself."""

    async def main():
        total = 500
        async with serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0) as server:
            clients = [await connect(address_of(server), proxy=None, max_queue=4) for _ in range(20)]
            while len(server.connections) < 20:
                await asyncio.sleep(0)
            for number in range(total):
                broadcast(server.connections, bytes([number % 256]) * 10_000)
                if number % 50 == 0:
                    await asyncio.sleep(0)

            async def read(client):
                for number in range(total):
                    assert await client.recv() == bytes([number % 256]) * 10_000

            await asyncio.gather(*[read(client) for client in clients])
            await asyncio.gather(*[client.close() for client in clients])

    run(main())


def test_closing_codes_and_a_server_that_shuts_down(run):
    async def main():
        async with serve(echo, "127.0.0.1", 0) as server:
            clients = [await connect(address_of(server), proxy=None) for _ in range(10)]
            await clients[0].close(4000, "enough")
            assert (clients[0].close_code, clients[0].close_reason) == (4000, "enough")
            listening = [asyncio.create_task(client.recv()) for client in clients[1:]]
            server.close()
            for outcome in await asyncio.gather(*listening, return_exceptions=True):
                assert isinstance(outcome, ConnectionClosed) and outcome.rcvd.code == 1001
            await server.wait_closed()

    run(main())


def test_a_client_that_vanishes(run):
    async def main():
        outcome = asyncio.get_running_loop().create_future()

        async def handler(connection):
            try:
                await connection.recv()
            except ConnectionClosed as error:
                outcome.set_result(error)

        async with serve(handler, "127.0.0.1", 0) as server:
            client = await connect(address_of(server), proxy=None)
            client.transport.abort()
            assert isinstance(await outcome, ConnectionClosedError)
            with pytest.raises(ConnectionClosedError):
                await client.recv()

    run(main())


def test_keepalive_pings_end_a_dead_connection(run):
    async def main():
        async with serve(echo, "127.0.0.1", 0, ping_interval=0.1, ping_timeout=0.1) as server:
            host, port = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            frames = await reader.read()  # pings, and in the end a close frame with 1011
            assert frames[0] == 0x89 and b"\x03\xf3" in frames
            writer.close()
            await writer.wait_closed()

    run(main())


def test_no_websocket_server_there(run):
    async def main():
        async def hang_up(reader, writer):
            writer.close()

        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
            with pytest.raises((InvalidMessage, ConnectionError, EOFError)):
                await connect(address_of(server), proxy=None)

    run(main())
