"""WebSockets of aiohttp, server and client, over ws://."""

import asyncio
import os

import pytest

aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")
from aiohttp import WSCloseCode, WSMsgType, web  # noqa: E402
from test_aiohttp import MIB, serving  # noqa: E402


async def echo(request):
    socket = web.WebSocketResponse(max_msg_size=8 * MIB)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            if message.data == "close":
                await socket.close(code=4321, message=b"as asked")
            else:
                await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


def test_messages_of_all_sizes_come_back(run):
    async def main():
        async with serving({"/": echo}) as address, aiohttp.ClientSession() as session:
            async with session.ws_connect(address, max_msg_size=8 * MIB) as socket:
                for size in (0, 1, 125, 126, 65_535, 65_536, 4 * MIB):
                    body = os.urandom(size)
                    await socket.send_bytes(body)
                    assert await socket.receive_bytes() == body
                await socket.send_str("grüße")
                assert await socket.receive_str() == "grüße"
            assert socket.close_code == WSCloseCode.OK

    run(main())


def test_the_servers_close_code_reaches_the_client(run):
    async def main():
        async with serving({"/": echo}) as address, aiohttp.ClientSession() as session:
            async with session.ws_connect(address) as socket:
                await socket.send_str("close")
                message = await socket.receive()
                assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4321, "as asked")

    run(main())


def test_many_messages_sent_without_waiting_keep_their_order(run):
    async def main():
        async with serving({"/": echo}) as address, aiohttp.ClientSession() as session:
            async with session.ws_connect(address) as socket:

                async def send():
                    for number in range(5000):
                        await socket.send_str(str(number))

                sender = asyncio.create_task(send())
                assert [int(await socket.receive_str()) for _ in range(5000)] == list(range(5000))
                await sender

    run(main())


def test_a_chat_of_a_hundred(run):
    """Everybody gets every message, each speaker's in the order they were said."""

    async def main():
        members = set()

        async def chat(request):
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            members.add(socket)
            try:
                async for message in socket:
                    for member in list(members):
                        await member.send_str(message.data)
            finally:
                members.discard(socket)
            return socket

        async with serving({"/": chat}) as address:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
                sockets = [await session.ws_connect(address) for _ in range(100)]

                async def take_part(number, socket):
                    for turn in range(3):
                        await socket.send_str(f"{number} {turn}")
                    heard = [(await socket.receive_str()).split() for _ in range(300)]
                    for speaker in range(100):
                        assert [turn for name, turn in heard if name == str(speaker)] == ["0", "1", "2"]

                await asyncio.gather(*[take_part(number, socket) for number, socket in enumerate(sockets)])
                await asyncio.gather(*[socket.close() for socket in sockets])

    run(main())


def test_a_connection_lives_as_long_as_its_heartbeats_are_answered(run):
    async def main():
        outcome = asyncio.get_running_loop().create_future()

        async def listen(request):
            socket = web.WebSocketResponse(heartbeat=0.4)
            await socket.prepare(request)
            message = await socket.receive()
            outcome.set_result(message.type)
            return socket

        async with serving({"/": listen}) as address, aiohttp.ClientSession() as session:
            async with session.ws_connect(address, autoping=False) as socket:
                for _ in range(3):
                    message = await socket.receive()
                    assert message.type is WSMsgType.PING
                    await socket.pong(message.data)
                assert not outcome.done()
                assert await outcome in (WSMsgType.ERROR, WSMsgType.CLOSING, WSMsgType.CLOSED)

    run(main())


def test_sockets_are_told_when_the_server_goes_away(run):
    async def main():
        open_sockets = []

        async def listen(request):
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            open_sockets.append(socket)
            async for _ in socket:
                pass
            return socket

        async def go_away(app):
            for socket in open_sockets:
                await socket.close(code=WSCloseCode.GOING_AWAY, message=b"bye")

        app = web.Application()
        app.router.add_get("/", listen)
        app.on_shutdown.append(go_away)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession() as session:
            sockets = [await session.ws_connect(address) for _ in range(10)]
            listening = [asyncio.create_task(socket.receive()) for socket in sockets]
            await runner.cleanup()
            for message in await asyncio.gather(*listening):
                assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 1001, "bye")

    run(main())
