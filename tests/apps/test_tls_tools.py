"""Programs in C against our TLS: curl, openssl s_client and s_server, wrk.  They speak OpenSSL's TLS, not Python's."""

import asyncio
import contextlib
import re
import shutil
import signal
import ssl
import subprocess

import pytest
import servers

LIMIT = 60  # seconds for one run of a program


def program(name):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


async def call(*words, given=b"", status=0):
    """Run a program in a thread beside the loop; its output and complaints."""

    def run():
        return subprocess.run(words, input=given, capture_output=True, timeout=LIMIT)

    ran = await asyncio.get_running_loop().run_in_executor(None, run)
    assert status is None or ran.returncode == status, (ran.returncode, ran.stdout[-2000:], ran.stderr[-2000:])
    return ran.stdout, ran.stderr


# ---- a web server by Protocol, and one by streams --------------------------------------------------------------------


def answer(head, body):
    """GET /N gives N bytes; POST gives back what was sent."""
    method, path, _ = head.split(b" ", 2)
    if method == b"POST":
        reply = body
    else:
        reply = bytes(range(256)) * (int(path[1:] or 0) // 256 + 1)
        reply = reply[: int(path[1:] or 0)]
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(reply), reply


def length_of(head):
    found = re.search(rb"(?i)content-length: *(\d+)", head)
    return int(found[1]) if found else 0


class WebProtocol(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.received = bytearray()

    def data_received(self, data):
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.received[:end])
            size = length_of(head)
            if len(self.received) < end + 4 + size:
                if b"100-continue" in head and len(self.received) == end + 4:
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            for part in answer(head, bytes(self.received[end + 4 : end + 4 + size])):
                self.transport.write(part)
            del self.received[: end + 4 + size]


async def serve_streams(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"100-continue" in head:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            writer.writelines(answer(head, await reader.readexactly(length_of(head))))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


@pytest.fixture(params=["protocol", "streams"])
def web(request):
    """web(context): a server with that context; its port is `server.port`."""

    async def serve(context):
        if request.param == "protocol":
            loop = asyncio.get_running_loop()
            server = await loop.create_server(WebProtocol, "127.0.0.1", 0, ssl=context)
        else:
            server = await asyncio.start_server(serve_streams, "127.0.0.1", 0, ssl=context)
        return server, server.sockets[0].getsockname()[1]

    return serve


# ---- curl ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_gets_and_posts(run, web, authority, tmp_path, version):
    curl = program("curl")
    upload = tmp_path / "upload"
    upload.write_bytes(bytes(range(256)) * 20_000)

    async def main():
        server, port = await web(authority.server_context())
        async with server:
            words = [curl, "-sS", "--http1.1", "--cacert", authority.ca_file, "--tls-max", version]
            words += [f"--tlsv{version}", "--max-time", "30"]
            for size in (0, 1, 1000, 16_384, 16_385, 3_000_000):
                body, _ = await call(*words, f"https://localhost:{port}/{size}")
                assert body == (bytes(range(256)) * (size // 256 + 1))[:size]
            body, _ = await call(*words, "--data-binary", f"@{upload}", f"https://localhost:{port}/")
            assert body == upload.read_bytes()

    run(main())


def test_curl_keeps_its_connection(run, web, authority):
    curl = program("curl")

    async def main():
        server, port = await web(authority.server_context())
        async with server:
            words = [curl, "-sS", "--http1.1", "--cacert", authority.ca_file, "-w", "\n%{num_connects}\n"]
            said, _ = await call(*words, *[f"https://localhost:{port}/5"] * 20)
            assert [int(count) for count in said.split(b"\n")[1::2] if count] == [1] + [0] * 19

    run(main())


def test_curl_agrees_on_a_protocol_by_alpn(run, web, authority):
    curl = program("curl")

    async def main():
        context = authority.server_context()
        context.set_alpn_protocols(["http/1.1"])
        server, port = await web(context)
        async with server:
            words = [curl, "-sSv", "--cacert", authority.ca_file, f"https://localhost:{port}/1"]
            _, said = await call(*words)
            assert re.search(rb"(?i)alpn[:,] server accepted.*http/1.1", said), said

    run(main())


def test_curl_shows_its_certificate_where_one_is_wanted(run, web, authority):
    curl = program("curl")

    async def main():
        context = authority.server_context(verify_mode=ssl.CERT_REQUIRED)
        context.load_verify_locations(authority.ca_file)
        server, port = await web(context)
        async with server:
            words = [curl, "-sS", "--http1.1", "--cacert", authority.ca_file, f"https://localhost:{port}/3"]
            body, _ = await call(*words, "--cert", authority.chain_file, "--key", authority.key_file)
            assert body == b"\0\1\2"
            body, said = await call(*words, status=None)
            assert body == b"" and said  # refused, by an alert

    run(main())


def test_a_certificate_that_curl_does_not_trust(run, web, authority):
    curl = program("curl")

    async def main():
        server, port = await web(authority.server_context())
        async with server:
            await call(curl, "-sS", f"https://localhost:{port}/1", status=60)
            body, _ = await call(curl, "-sSk", f"https://localhost:{port}/1")  # and the server is none the worse
            assert body == b"\0"

    run(main())


# ---- wrk -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1024, 100_000])
def test_wrk_over_tls_without_one_error(run, web, authority, size):
    wrk = program("wrk")

    async def main():
        server, port = await web(authority.server_context())
        async with server:
            words = [wrk, "-t", "1", "-c", "50", "-d", "2", "--timeout", "10", f"https://127.0.0.1:{port}/{size}"]
            report, _ = await call(*words)
            assert b"Socket errors" not in report and b"Non-2xx" not in report, report
            assert int(re.search(rb"(\d+) requests in", report)[1]) > 100

    run(main())


# ---- openssl s_client ------------------------------------------------------------------------------------------------


async def shout(reader, writer):
    """Lines come back in capitals, until the end of the stream."""
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


def s_client(authority, port, *options):
    words = [program("openssl"), "s_client", "-connect", f"localhost:{port}", "-servername", "localhost"]
    return [*words, "-CAfile", authority.ca_file, "-verify_return_error", *options]


async def session(words, *lines):
    """Type lines into a program, each when the one before was answered, and Q in the end; what it said."""

    def type_in():
        client = servers.Server(words, stdin=subprocess.PIPE)
        try:
            for line, reply in lines:
                if line is not None:
                    client.say(line)
                client.wait_for(reply)
            client.say("Q")
            client.wait()
        finally:
            client.stop(signal.SIGKILL)
        return client.output

    return await asyncio.get_running_loop().run_in_executor(None, type_in)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_s_client(run, authority, version):
    async def main():
        ended = asyncio.Event()

        async def serve(reader, writer):
            writer.write(b"welcome\n")
            line = await reader.readline()
            writer.write(line.upper() * 10_000)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            ended.set()

        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=authority.server_context()) as server:
            port = server.sockets[0].getsockname()[1]
            said, _ = await call(*s_client(authority, port, version, "-quiet"), given=b"some line\n")
            assert said == b"welcome\n" + b"SOME LINE\n" * 10_000
            await ended.wait()

    run(main())


def test_s_client_resumes_its_session(run, authority):
    """TLS 1.2: five connections more with the session of the first."""

    async def main():
        async with await asyncio.start_server(shout, "127.0.0.1", 0, ssl=authority.server_context()) as server:
            port = server.sockets[0].getsockname()[1]
            said, _ = await call(*s_client(authority, port, "-tls1_2", "-reconnect"), given=b"Q\n")
            assert said.count(b"\nNew, TLS") == 1 and said.count(b"\nReused, TLS") == 5

    run(main())


def test_s_client_resumes_by_a_ticket(run, authority, tmp_path):
    """TLS 1.3: the ticket comes after the handshake, and the next connection uses it."""
    ticket = str(tmp_path / "ticket")

    async def main():
        async def greet(reader, writer):
            writer.write(b"hello\n")
            await reader.read()
            writer.close()

        async with await asyncio.start_server(greet, "127.0.0.1", 0, ssl=authority.server_context()) as server:
            port = server.sockets[0].getsockname()[1]
            await session(s_client(authority, port, "-tls1_3", "-sess_out", ticket), (None, "hello"))
            said = await session(s_client(authority, port, "-tls1_3", "-sess_in", ticket), (None, "hello"))
            assert "Reused, TLSv1.3" in said

    run(main())


@pytest.mark.parametrize("command", ["k", "K"])
def test_s_client_changes_its_keys_in_the_middle(run, authority, command):
    """TLS 1.3 KeyUpdate, one-sided and of both sides."""

    async def main():
        heard = []

        async def serve(reader, writer):
            while line := await reader.readline():
                heard.append(line)
                writer.write(line.upper())
                await writer.drain()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=authority.server_context()) as server:
            port = server.sockets[0].getsockname()[1]
            lines = [("before", "BEFORE"), (command, "KEYUPDATE"), ("after", "AFTER"), ("last", "LAST")]
            await session(s_client(authority, port, "-tls1_3"), *lines)
            assert heard == [b"before\n", b"after\n", b"last\n"]

    run(main())


def test_s_client_may_not_renegotiate(run, authority):
    """TLS 1.2: what it asks for is refused, and the server goes on with others."""

    async def main():
        async def serve(reader, writer):
            with contextlib.suppress(ssl.SSLError):  # the client's alert: it has nothing else to say
                await shout(reader, writer)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=authority.server_context()) as server:
            port = server.sockets[0].getsockname()[1]
            said, complaints = await call(*s_client(authority, port, "-tls1_2"), given=b"R\n", status=None)
            assert b"RENEGOTIATING" in said + complaints
            said, _ = await call(*s_client(authority, port, "-tls1_2", "-reconnect"), given=b"Q\n")
            assert b"Reused" in said

    run(main())


# ---- openssl s_server ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["-tls1_2", "-tls1_3"])
def s_server(request, authority):
    """s_server(options...): OpenSSL's own server; a context manager that gives its port."""
    @contextlib.contextmanager
    def start(*options):
        port = servers.free_port()
        words = [program("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", request.param]
        words += ["-key", authority.key_file, "-cert", authority.chain_file, "-cert_chain", authority.chain_file]
        with servers.started([*words, *options], "ACCEPT", signal.SIGKILL):
            yield port

    return start


def test_our_client_talks_to_s_server(run, authority, s_server):
    async def main(port):
        async def talk(number):
            reader, writer = await asyncio.open_connection("localhost", port, ssl=authority.client_context())
            for turn in range(50):
                line = f"{number} and {turn}"
                writer.write(line.encode() + b"\n")
                assert await reader.readline() == line[::-1].encode() + b"\n"
            writer.close()
            await writer.wait_closed()

        for number in range(5):  # s_server serves one after the other
            await talk(number)

    with s_server("-rev") as port:
        run(main(port))


def test_our_client_reads_until_s_server_closes(run, authority, s_server):
    async def main(port):
        reader, writer = await asyncio.open_connection("localhost", port, ssl=authority.client_context())
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        page = await reader.read()
        assert page.startswith(b"HTTP/1.0 200 ok") and page.rstrip().endswith(b"</HTML>")
        writer.close()

    with s_server("-www") as port:
        run(main(port))


def test_our_client_shows_its_certificate_to_s_server(run, authority, s_server):
    async def main(port):
        context = authority.client_context()
        context.load_cert_chain(authority.chain_file, authority.key_file)
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        writer.write(b"known\n")
        assert await reader.readline() == b"nwonk\n"
        writer.close()
        await writer.wait_closed()
        with pytest.raises(OSError):  # TLS 1.2 says so in the handshake, 1.3 after it
            reader, writer = await asyncio.open_connection("localhost", port, ssl=authority.client_context())
            try:
                writer.write(b"unknown\n")
                if not await reader.readline():
                    raise ConnectionResetError
            finally:
                writer.close()

    with s_server("-rev", "-Verify", "1", "-verify_return_error", "-CAfile", authority.ca_file) as port:
        run(main(port))
