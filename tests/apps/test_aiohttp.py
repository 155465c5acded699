"""aiohttp, server and client on one loop: many requests at once, keep-alive, bodies of all sizes both ways."""

import asyncio
import contextlib
import hashlib
import os

import pytest

aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")
from aiohttp import web  # noqa: E402

MIB = 1024 * 1024


@contextlib.asynccontextmanager
async def serving(routes, **settings):
    """A server with `routes` ({path: handler}) on a free port; gives its address."""
    app = web.Application(client_max_size=64 * MIB)
    for path, handler in routes.items():
        app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, **settings)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def hello(request):
    return web.Response(text=f"hello {request.query.get('name', '')}")


async def who(request):
    """The client's end of the connection: the same for two requests that share one."""
    return web.json_response(request.transport.get_extra_info("peername"))


async def echo(request):
    response = web.StreamResponse()
    await response.prepare(request)
    async for data in request.content.iter_any():
        await response.write(data)
    await response.write_eof()
    return response


async def digest(request):
    found = hashlib.sha256()
    async for data in request.content.iter_chunked(64 * 1024):
        found.update(data)
    return web.Response(text=found.hexdigest())


def test_a_thousand_requests_at_once_over_a_hundred_connections(run):
    async def main():
        ports = set()

        async def handler(request):
            ports.add(request.transport.get_extra_info("peername")[1])
            return await hello(request)

        async with serving({"/": handler}) as address:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100)) as session:

                async def get(name):
                    async with session.get(address, params={"name": name}) as response:
                        assert response.status == 200
                        return await response.text()

                texts = await asyncio.gather(*[get(str(number)) for number in range(1000)])
        assert texts == [f"hello {number}" for number in range(1000)]
        assert len(ports) == 100

    run(main())


@pytest.mark.usefixtures("many_descriptors")
def test_a_thousand_connections_at_once(run):
    async def main():
        everybody = asyncio.Event()
        inside = 0

        async def handler(request):
            nonlocal inside
            inside += 1
            if inside == 1000:
                everybody.set()
            await everybody.wait()
            return await hello(request)

        async with serving({"/": handler}, backlog=1024) as address:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

                async def get(name):
                    async with session.get(address, params={"name": name}) as response:
                        return await response.text()

                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(get(str(number))) for number in range(1000)]
        assert [task.result() for task in tasks] == [f"hello {number}" for number in range(1000)]

    run(main())


def test_a_connection_is_kept_alive_and_used_again(run):
    async def main():
        async with serving({"/": who}) as address:
            async with aiohttp.ClientSession() as session:
                seen = {tuple(await (await session.get(address)).json()) for _ in range(20)}
            assert len(seen) == 1
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
                seen = [tuple(await (await session.get(address)).json()) for _ in range(20)]
            assert len(set(seen)) == 20

    run(main())


def test_an_idle_connection_is_dropped_by_the_server_and_replaced_by_the_client(run):
    async def main():
        async with serving({"/": who}, keepalive_timeout=0.05) as address:
            async with aiohttp.ClientSession() as session:
                async with session.get(address) as response:
                    first = await response.json()
                    protocol = response.connection
                # the client notices the end of the connection while it lies in the pool
                del protocol
                while any(session.connector._conns.values()) and all(
                    held[0].is_connected() for conns in session.connector._conns.values() for held in conns
                ):
                    await asyncio.sleep(0.01)
                async with session.get(address) as response:
                    assert await response.json() != first

    run(main())


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 300_000, 9 * MIB])
def test_a_body_goes_there_and_back_unchanged(run, size):
    async def main():
        body = os.urandom(size)
        async with serving({"/": echo}) as address, aiohttp.ClientSession() as session:
            async with session.post(address, data=body) as response:
                assert await response.read() == body

    run(main())


def test_streaming_upload_from_a_generator(run):
    async def main():
        found = hashlib.sha256()

        async def pieces():
            for number in range(300):
                piece = bytes([number % 256]) * (number * 171)
                found.update(piece)
                yield piece

        async with serving({"/": digest}) as address, aiohttp.ClientSession() as session:
            async with session.post(address, data=pieces()) as response:
                assert await response.text() == found.hexdigest()

    run(main())


def test_a_slow_reader_holds_a_fast_server_back(run):
    """The server may not be more than what the buffers of kernel and streams hold ahead of its client."""

    async def main():
        sent = 0
        total = 64 * MIB
        piece = os.urandom(MIB // 4)

        async def flood(request):
            nonlocal sent
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(total // len(piece)):
                await response.write(piece)
                sent += len(piece)
            return response

        async with serving({"/": flood}) as address, aiohttp.ClientSession() as session:
            async with session.get(address) as response:
                before = -1
                while sent != before:  # until the server has come to a stop
                    before = sent
                    await asyncio.sleep(0.1)
                assert 0 < sent < total / 2
                received = 0
                async for data in response.content.iter_any():
                    received += len(data)
        assert received == sent == total

    run(main())


def test_both_directions_stream_at_the_same_time(run):
    async def main():
        async def pieces():
            for number in range(2000):
                yield b"%08d" % number * 512

        async with serving({"/": echo}) as address, aiohttp.ClientSession() as session:

            async def one():
                async with session.post(address, data=pieces()) as response:
                    return hashlib.sha256(await response.read()).hexdigest()

            expected = hashlib.sha256()
            async for piece in pieces():
                expected.update(piece)
            assert set(await asyncio.gather(*[one() for _ in range(4)])) == {expected.hexdigest()}

    run(main())


def test_compressed_bodies(run):
    """Large ones are compressed in the loop's executor."""

    async def main():
        text = "all work and no play " * 200_000

        async def handler(request):
            response = web.Response(text=text, zlib_executor_size=1024)
            response.enable_compression(web.ContentCoding.gzip)
            return response

        async with serving({"/": handler}) as address, aiohttp.ClientSession() as session:
            async with session.get(address) as response:
                assert response.headers["Content-Encoding"] == "gzip"
                assert await response.text() == text

    run(main())


def test_files(run, tmp_path):
    async def main():
        content = os.urandom(3 * MIB + 17)
        (tmp_path / "file.bin").write_bytes(content)

        async def handler(request):
            return web.FileResponse(tmp_path / "file.bin")

        async with serving({"/": handler}) as address, aiohttp.ClientSession() as session:
            async with session.get(address) as response:
                assert await response.read() == content
            async with session.get(address, headers={"Range": "bytes=1000-2000999"}) as response:
                assert response.status == 206
                assert await response.read() == content[1000:2_001_000]

    run(main())


def test_a_form_with_files(run):
    async def main():
        content = os.urandom(2 * MIB)

        async def handler(request):
            form = await request.post()
            return web.Response(body=form["file"].file.read(), headers={"X-Name": form["name"]})

        async with serving({"/": handler}) as address, aiohttp.ClientSession() as session:
            form = aiohttp.FormData({"name": "clear"})
            form.add_field("file", content, filename="file.bin")
            async with session.post(address, data=form) as response:
                assert response.headers["X-Name"] == "clear"
                assert await response.read() == content

    run(main())


def test_by_name_and_over_a_unix_socket(run, tmp_path):
    async def main():
        app = web.Application()
        app.router.add_get("/", hello)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "localhost", 0).start()
            path = str(tmp_path / "http.sock")
            await web.UnixSite(runner, path).start()
            port = runner.addresses[0][1]
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://localhost:{port}/?name=tcp") as response:
                    assert await response.text() == "hello tcp"
            async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session:
                texts = await asyncio.gather(
                    *[(await session.get(f"http://any/?name={number}")).text() for number in range(50)]
                )
            assert texts == [f"hello {number}" for number in range(50)]
        finally:
            await runner.cleanup()

    run(main())


def test_pipelined_requests_are_answered_in_order(run):
    async def main():
        async with serving({"/": hello}) as address:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rsplit(":")[-1]))
            requests = [f"GET /?name={number} HTTP/1.1\r\nHost: x\r\n\r\n" for number in range(50)]
            requests[-1] = requests[-1].replace("Host: x", "Host: x\r\nConnection: close")
            writer.write("".join(requests).encode())
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            bodies = [part.split("\r\n\r\n")[1] for part in answer.decode().split("HTTP/1.1 200 OK")[1:]]
            assert bodies == [f"hello {number}" for number in range(50)]

    run(main())
