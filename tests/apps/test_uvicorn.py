"""uvicorn by its own command line, `--loop clearloop:new_event_loop`: load, streaming, WebSockets, shutdown."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import servers
from chosen import LOOP

import clearloop

pytest.importorskip("uvicorn", reason="uvicorn is not installed")
aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")

LOOPS = {"clearloop": "clearloop:new_event_loop", "asyncio": "asyncio:SelectorEventLoop"}
READY = r"Uvicorn running on \S+"


@contextlib.contextmanager
def uvicorn(*options, ready=READY):
    """uvicorn with asgi_app.py on a free port, in a process of its own."""
    here = Path(__file__).parent
    paths = [str(here), str(Path(clearloop.__file__).parents[1])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    words = [sys.executable, "-m", "uvicorn", "asgi_app:app", "--loop", LOOPS[LOOP], "--port", "0", "--no-use-colors"]
    with servers.started([*words, *options], ready, signal.SIGTERM, env=env) as server:
        server.address = re.search(r"http://[\d.]+:\d+", server.output)
        server.address = server.address and server.address[0]
        yield server


@pytest.fixture(params=["httptools", "h11"])
def http(request):
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return ["--http", request.param]


def assert_no_errors(server):
    assert "ERROR" not in server.output and "Traceback" not in server.output, server.output


def test_the_loop_is_ours(run, http):
    async def main(address):
        async with aiohttp.ClientSession() as session, session.get(f"{address}/loop") as response:
            return await response.text()

    with uvicorn(*http) as server:
        assert run(main(server.address)).split(".")[0] == LOOP


def test_under_load(run, http):
    with uvicorn(*http, "--no-access-log") as server:
        if shutil.which("wrk"):
            words = ["wrk", "-t", "1", "-c", "64", "-d", "2", "--latency", server.address]
            report = subprocess.run(words, capture_output=True, text=True, timeout=30).stdout
            assert "Socket errors" not in report and "Non-2xx" not in report, report
            assert int(re.search(r"(\d+) requests in", report)[1]) > 100
        else:

            async def main():
                async with aiohttp.ClientSession() as session:

                    async def get():
                        async with session.get(server.address) as response:
                            return response.status, await response.text()

                    return set(await asyncio.gather(*[get() for _ in range(3000)]))

            assert run(main()) == {(200, "hello")}
    assert_no_errors(server)


def test_bodies_stream_both_ways(run, http):
    async def main(address):
        async with aiohttp.ClientSession() as session:

            async def echo(size):
                body = os.urandom(size)

                async def pieces():
                    for start in range(0, size, 50_000):
                        yield body[start : start + 50_000]

                async with session.post(f"{address}/echo", data=pieces()) as response:
                    assert await response.read() == body

            await asyncio.gather(*[echo(size) for size in (0, 1, 65_536, 1_000_000, 5_000_000)])

    with uvicorn(*http) as server:
        run(main(server.address))
    assert_no_errors(server)


def test_a_slow_reader_holds_the_server_back(http):
    with uvicorn(*http) as server:
        host, port = server.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.sendall(b"GET /flood HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            received = 0
            while data := client.recv(1 << 20):
                received += len(data)
        assert received > 32 * 1024 * 1024
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text())[1])
        assert peak < 200 * 1024
    assert_no_errors(server)


def test_pipelined_requests_are_answered_in_order(http):
    with uvicorn(*http) as server:
        host, port = server.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as client:
            asked = [f"GET /query?{number} HTTP/1.1\r\nHost: x\r\n\r\n" for number in range(200)]
            asked[-1] = asked[-1].replace("Host: x", "Host: x\r\nConnection: close")
            client.sendall("".join(asked).encode())
            answer = b""
            while data := client.recv(65536):
                answer += data
        assert re.findall(r"query=(\d+)", answer.decode()) == [str(number) for number in range(200)]


@pytest.mark.parametrize("kind", ["websockets", "websockets-sansio", "wsproto"])
def test_websockets(run, kind):
    pytest.importorskip(kind.split("-")[0], reason=f"{kind} is not installed")

    async def main(address):
        async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as client:
            for size in (0, 1, 126, 65_536, 900_000):
                body = os.urandom(size)
                await client.send_bytes(body)
                assert await client.receive_bytes() == body
            for number in range(500):
                await client.send_str(str(number))
            assert [await client.receive_str() for _ in range(500)] == [str(number) for number in range(500)]

    with uvicorn("--ws", kind) as server:
        run(main(server.address))
    assert_no_errors(server)


def test_a_request_in_flight_is_finished_before_sigterm_ends_the_server(run, http):
    async def main(server):
        async with aiohttp.ClientSession() as session:
            async with session.get(server.address) as response:  # leaves an idle connection behind
                await response.read()
            slow = asyncio.create_task(session.get(f"{server.address}/slow"))
            await asyncio.to_thread(server.wait_for, "slow has begun")
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(server.wait_for, "Shutting down")
            async with await slow as response:
                return await response.text()

    with uvicorn(*http, "--timeout-graceful-shutdown", "20") as server:
        assert run(main(server)) == "slow but done"
        status = server.wait()
    assert status in (0, -signal.SIGTERM)  # newer uvicorns hand the signal on once they are done
    assert "Finished server process" in server.output and "lifespan has ended" in server.output
    assert_no_errors(server)


def test_shutdown_takes_the_time_it_is_given_and_no_more(run):
    async def main(server):
        async with aiohttp.ClientSession() as session:
            hanging = asyncio.create_task(session.get(f"{server.address}/hang"))
            await asyncio.to_thread(server.wait_for, "hang has begun")
            server.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(aiohttp.ClientError):
                (await hanging).close()

    with uvicorn("--timeout-graceful-shutdown", "1") as server:
        run(main(server))
        server.wait()
    assert "hang was cancelled" in server.output and "Finished server process" in server.output


def test_ctrl_c_ends_the_server(run):
    with uvicorn() as server:
        server.process.send_signal(signal.SIGINT)
        assert server.wait() in (0, -signal.SIGINT, 130)
        assert "Finished server process" in server.output


def test_several_workers_and_a_unix_socket(run, tmp_path):
    path = str(tmp_path / "uvicorn.sock")

    async def until_it_listens():
        # the workers say that they are ready before they are
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_unix_connection(path)
                writer.close()
                return
            await asyncio.sleep(0.01)

    async def main():
        await until_it_listens()
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session:

            async def get():
                async with session.get("http://any/loop") as response:
                    return (await response.text()).split(".")[0]

            return set(await asyncio.gather(*[get() for _ in range(50)]))

    with uvicorn("--uds", path, "--workers", "2", ready=r"startup complete[^$]*startup complete") as server:
        assert run(main()) == {LOOP}
    assert_no_errors(server)
