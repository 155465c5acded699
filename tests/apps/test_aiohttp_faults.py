"""aiohttp when something goes wrong: peers that vanish, timeouts, cancelled requests, a server that shuts down."""

import asyncio
import socket
import struct

import pytest

aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")
from aiohttp import web  # noqa: E402
from test_aiohttp import hello, serving  # noqa: E402


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def reset(sock):
    """Close with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["fin", "reset"])
def test_a_handler_is_cancelled_when_its_client_leaves(run, leave):
    async def main():
        began, ended = asyncio.Event(), asyncio.Event()

        async def handler(request):
            began.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.set()
                raise

        async with serving({"/": handler}, handler_cancellation=True) as address:
            client = socket.create_connection(("127.0.0.1", port_of(address)))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await began.wait()
            leave(client)
            await ended.wait()

    run(main())


@pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["fin", "reset"])
def test_writing_to_a_client_that_left_ends_the_handler(run, leave):
    async def main():
        outcome = asyncio.get_running_loop().create_future()

        async def handler(request):
            response = web.StreamResponse()
            await response.prepare(request)
            try:
                while True:
                    await response.write(b"x" * 65536)
            except ConnectionError as error:
                outcome.set_result(error)
                raise

        async with serving({"/": handler}) as address:
            client = socket.create_connection(("127.0.0.1", port_of(address)))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            client.setblocking(False)
            await asyncio.get_running_loop().sock_recv(client, 1)
            leave(client)
            assert isinstance(await outcome, ConnectionError)

    run(main())


def test_a_server_that_hangs_up_in_the_middle_of_a_body(run):
    async def main():
        async def handler(request):
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b"x" * 500)
            request.transport.close()
            return response

        async with serving({"/": handler}) as address, aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientPayloadError):
                async with session.get(address) as response:
                    await response.read()

    run(main())


@pytest.mark.parametrize("reset_it", [False, True], ids=["fin", "reset"])
def test_a_server_that_hangs_up_before_it_answers(run, reset_it):
    async def main():
        async def serve(reader, writer):
            await reader.readline()
            if reset_it:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with aiohttp.ClientSession() as session:
                with pytest.raises(aiohttp.ClientConnectionError):
                    await session.post(f"http://127.0.0.1:{port}", data=b"x" * 100)

    run(main())


def test_nobody_listens(run):
    async def main():
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            async with aiohttp.ClientSession() as session:
                with pytest.raises(aiohttp.ClientConnectorError) as caught:
                    await session.get(f"http://127.0.0.1:{sock.getsockname()[1]}")
        assert isinstance(caught.value.os_error, ConnectionRefusedError)

    run(main())


@pytest.mark.parametrize(
    "timeout", [aiohttp.ClientTimeout(total=0.05), aiohttp.ClientTimeout(sock_read=0.05)], ids=["total", "sock_read"]
)
def test_timeouts(run, timeout):
    async def main():
        begun = 0

        async def handler(request):
            nonlocal begun
            begun += 1
            await asyncio.sleep(60)

        async with serving({"/": handler, "/hello": hello}, handler_cancellation=True) as address:
            async with aiohttp.ClientSession() as session:

                async def get():
                    with pytest.raises(TimeoutError):
                        await session.get(address, timeout=timeout)

                await asyncio.gather(*[get() for _ in range(20)])
                async with session.get(f"{address}/hello") as response:
                    assert await response.text() == "hello "
        assert begun

    run(main())


def test_cancelled_requests_leave_a_session_that_works(run):
    """Cancelled at every point of their life, and the next request still gets its own answer."""

    async def main():
        async def handler(request):
            await asyncio.sleep(0)
            return await hello(request)

        async with serving({"/": handler}) as address:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=4)) as session:

                async def get(name):
                    async with session.get(address, params={"name": name}) as response:
                        return await response.text()

                for turns in range(40):
                    victim = asyncio.create_task(get(f"victim{turns}"))
                    other = asyncio.create_task(get(f"other{turns}"))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    victim.cancel()
                    results = await asyncio.gather(victim, other, return_exceptions=True)
                    assert results[1] == f"hello other{turns}"
                    assert isinstance(results[0], asyncio.CancelledError) or results[0] == f"hello victim{turns}"
                assert await get("after") == "hello after"

    run(main())


def test_a_handler_that_raises_is_a_500_and_the_connection_goes_on(run, caplog):
    async def main():
        async def handler(request):
            raise ZeroDivisionError("in the handler")

        async with serving({"/": handler, "/hello": hello}) as address, aiohttp.ClientSession() as session:
            for _ in range(3):
                async with session.get(address) as response:
                    assert response.status == 500
                async with session.get(f"{address}/hello") as response:
                    assert await response.text() == "hello "

    run(main())
    assert caplog.text.count("ZeroDivisionError: in the handler") == 3


def test_garbage_is_a_400(run):
    async def main():
        async with serving({"/": hello}) as address:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(address))
            writer.write(b"\x16\x03\x01 not http\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.0 400 ")
            writer.close()
            await writer.wait_closed()

    run(main())


def test_shutdown_lets_a_running_handler_finish_and_closes_idle_connections(run):
    async def main():
        began, go_on = asyncio.Event(), asyncio.Event()

        async def handler(request):
            began.set()
            await go_on.wait()
            return await hello(request)

        app = web.Application()
        app.router.add_get("/slow", handler)
        app.router.add_get("/", hello)
        runner = web.AppRunner(app, shutdown_timeout=30)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        idle_writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await idle_reader.readuntil(b"hello ")
        async with aiohttp.ClientSession() as session:
            request = asyncio.create_task(session.get(f"http://127.0.0.1:{port}/slow?name=you"))
            await began.wait()
            ending = asyncio.create_task(runner.cleanup())
            assert await idle_reader.read() == b""
            assert not request.done() and not ending.done()
            go_on.set()
            async with await request as response:
                assert await response.text() == "hello you"
            await ending
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"http://127.0.0.1:{port}/")
        idle_writer.close()
        await idle_writer.wait_closed()

    run(main())


def test_shutdown_cancels_what_does_not_finish(run):
    async def main():
        began, cancelled = asyncio.Event(), asyncio.Event()

        async def handler(request):
            began.set()
            try:
                await asyncio.sleep(60)
            finally:
                cancelled.set()

        app = web.Application()
        app.router.add_get("/", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.05)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession() as session:
            request = asyncio.create_task(session.get(f"http://127.0.0.1:{port}/"))
            await began.wait()
            await runner.cleanup()
            assert cancelled.is_set()
            with pytest.raises(aiohttp.ClientConnectionError):
                await request

    run(main())


def test_a_program_that_ends_with_connections_open(run):
    """Neither the server nor the session is closed: the loop's end takes them, without a crash."""

    async def main():
        app = web.Application()
        app.router.add_get("/", hello)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        session = aiohttp.ClientSession()
        async with session.get(f"http://127.0.0.1:{runner.addresses[0][1]}/") as response:
            text = await response.text()
        session._connector._close()  # or its finalizer would report, rightly, that it was forgotten
        return text

    assert run(main()) == "hello "
