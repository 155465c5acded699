"""TLS connections of every kind: who they are, what they say of themselves, and that the user's context is obeyed."""

import asyncio
import contextvars
import gc
import os
import socket
import ssl
import subprocess
import sys

import pytest
from stream_tools import BufferedRecorder, Recorder, reports, run, tcp_pair, until
from tls_tools import both_kinds, client_context, held_descriptors, kind, raw_peer, server_context, tls_pair, versions

import clearloop
from descriptors import opened_since

__all__ = ["kind"]
pytestmark = both_kinds


class Answerer(Recorder):
    """A server's side: sends back what comes."""

    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)


async def serving(factory=Answerer, **options):
    loop = asyncio.get_running_loop()
    options.setdefault("ssl", server_context())
    server = await loop.create_server(factory, "127.0.0.1", 0, **options)
    return server, server.sockets[0].getsockname()[1]


# ---- what a connection says of itself --------------------------------------------------------------------------------


@versions
def test_what_both_sides_know(version):
    async def main():
        (client, near), (server, far) = await tls_pair(version=version)
        assert near.calls == far.calls == ["made"]
        for transport in (client, server):
            assert isinstance(transport, asyncio.Transport)
            assert transport.get_extra_info("ssl_object").version() == {771: "TLSv1.2", 772: "TLSv1.3"}[version]
            assert transport.get_extra_info("cipher") == transport.get_extra_info("ssl_object").cipher()
            assert transport.get_extra_info("compression") is None
            assert isinstance(transport.get_extra_info("sslcontext"), ssl.SSLContext)
            assert transport.get_extra_info("socket").fileno() >= 0
            assert transport.get_extra_info("nothing", "default") == "default"
            assert not transport.can_write_eof()
            with pytest.raises(NotImplementedError):
                transport.write_eof()
        assert dict(client.get_extra_info("peercert")["subject"][0])["commonName"] == "localhost"
        assert server.get_extra_info("peercert") is None
        assert client.get_extra_info("peername") == server.get_extra_info("sockname")
        client.close()
        assert await near.lost is None
        assert await far.lost is None
        assert near.calls == ["made", "lost"]
        assert far.calls == ["made", "eof", "lost"]
        assert client.get_extra_info("cipher")  # also afterwards
        assert client.get_protocol() is None

    run(main())


def test_client_certificates():
    async def main():
        server, port = await serving(ssl=server_context(verify_client=True))
        loop = asyncio.get_running_loop()
        context = client_context(certificate="client")
        transport, protocol = await loop.create_connection(
            Recorder, "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        transport.write(b"known")
        await until(lambda: protocol.data == b"known")
        (far,) = server._clients
        subject = far._outermost.get_extra_info("peercert")["subject"]
        assert dict(subject[0])["commonName"] == "client"
        transport.close()
        await protocol.lost
        server.close()
        await server.wait_closed()

    run(main())


@versions
def test_a_client_without_a_certificate_hears_why_it_is_refused(version):
    async def main():
        server, port = await serving(ssl=server_context(version=version, verify_client=True))
        reader = writer = None
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            reader, writer = await clearloop.open_connection(
                "127.0.0.1", port, ssl=client_context(version), server_hostname="localhost"
            )
            await reader.read()  # with TLS 1.3 the client is done before it is refused
        if writer is not None:
            writer.close()
            with pytest.raises(ssl.SSLError):
                await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("wrong", ["name", "authority"])
def test_a_certificate_that_does_not_fit_is_refused_and_both_hear_of_it(wrong):
    class Loser(Recorder):
        pass

    async def main():
        before = held_descriptors()
        loop = asyncio.get_running_loop()
        ours, theirs = tcp_pair()
        context = client_context()
        if wrong == "authority":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        accepting = loop.create_task(loop.connect_accepted_socket(Loser, theirs, ssl=server_context()))
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            await loop.create_connection(
                Loser, sock=ours, ssl=context, server_hostname="localhost" if wrong == "authority" else "wrong.test"
            )
        assert caught.value.verify_code != 0
        assert caught.value.verify_message
        assert "CERTIFICATE_VERIFY_FAILED" in caught.value.reason
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            await accepting
        await until(lambda: not opened_since(before))

    run(main())


def test_protocols_that_both_sides_speak():
    async def main():
        far, near = server_context(), client_context()
        far.set_alpn_protocols(["h2", "http/1.1"])
        near.set_alpn_protocols(["http/1.1"])
        server, port = await serving(ssl=far)
        _, writer = await clearloop.open_connection("127.0.0.1", port, ssl=near, server_hostname="localhost")
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())


def test_the_server_chooses_its_certificate_by_the_name_that_the_client_asks_for():
    async def main():
        asked = []
        variable = contextvars.ContextVar("variable", default="unset")

        def choose(ssl_object, name, context):
            asked.append((name, variable.get()))
            if name == "other.test":
                ssl_object.context = server_context("other")

        context = server_context()
        context.sni_callback = choose
        variable.set("when the server was made")
        server, port = await serving(ssl=context)
        variable.set("later")
        for name in ("localhost", "other.test"):
            _, writer = await clearloop.open_connection("127.0.0.1", port, ssl=client_context(), server_hostname=name)
            assert dict(writer.get_extra_info("peercert")["subject"][0])["commonName"] == name
            writer.close()
            await writer.wait_closed()
        assert asked == [(name, "when the server was made") for name in ("localhost", "other.test")]
        server.close()
        await server.wait_closed()

    run(main())


def test_a_name_callback_that_raises_or_refuses_ends_only_its_own_connection(monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: unraisable.append(what.exc_type))

    async def main():
        def choose(ssl_object, name, context):
            if name == "localhost":
                return None
            if name == "other.test":
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            raise ZeroDivisionError

        context = server_context()
        context.sni_callback = choose
        server, port = await serving(ssl=context)
        for name in ("other.test", "third.test"):
            with pytest.raises(ssl.SSLError, match=r"(?i)alert|unrecognized name"):
                await clearloop.open_connection("127.0.0.1", port, ssl=client_context(), server_hostname=name)
        reader, writer = await clearloop.open_connection(
            "127.0.0.1", port, ssl=client_context(), server_hostname="localhost"
        )
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())
    assert unraisable == [ZeroDivisionError]


def test_a_name_callback_may_turn_the_loop_and_use_other_connections():
    async def main():
        loop = asyncio.get_running_loop()
        (client, near), (other, far) = await tls_pair(server_factory=Answerer)

        def choose(ssl_object, name, context):
            client.write(b"from inside")
            for _ in range(50):
                loop._run_once()
                if near.data == b"from inside":
                    break

        context = server_context()
        context.sni_callback = choose
        server, port = await serving(ssl=context)
        reader, writer = await clearloop.open_connection(
            "127.0.0.1", port, ssl=client_context(), server_hostname="localhost"
        )
        assert near.data == b"from inside"
        writer.write(b"and outside")
        assert await reader.readexactly(11) == b"and outside"
        writer.close()
        await writer.wait_closed()
        client.close()
        await near.lost
        server.close()
        await server.wait_closed()

    run(main())


@versions
def test_a_session_is_resumed(version):
    async def main():
        far, near = server_context(version=version), client_context(version)
        server, port = await serving(ssl=far)
        loop = asyncio.get_running_loop()

        async def once(context):
            transport, protocol = await loop.create_connection(
                Recorder, "127.0.0.1", port, ssl=context, server_hostname="localhost"
            )
            transport.write(b"x")
            await until(lambda: protocol.data)  # the tickets have come by now
            tls = transport.get_extra_info("ssl_object")
            kept, reused = tls.session, tls.session_reused
            transport.close()
            await protocol.lost
            return kept, reused

        first, reused = await once(near)
        assert not reused

        class Again:
            """The same context, with a session to resume: asyncio has no parameter for it."""

            def __getattr__(self, name):
                return getattr(near, name)

            def wrap_bio(self, *args, **kwargs):
                return near.wrap_bio(*args, session=first, **kwargs)

        _, reused = await once(Again())
        assert reused
        server.close()
        await server.wait_closed()

    run(main())


def test_keys_are_logged_when_the_context_says_so(tmp_path):
    async def main():
        context = client_context()
        context.keylog_filename = str(tmp_path / "keys")
        server, port = await serving()
        reader, writer = await clearloop.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        writer.write(b"x")
        await reader.readexactly(1)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())
    assert "CLIENT_HANDSHAKE_TRAFFIC_SECRET" in (tmp_path / "keys").read_text()


def test_no_common_version_is_an_error_on_both_sides():
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = tcp_pair()
        accepting = loop.create_task(
            loop.connect_accepted_socket(Recorder, theirs, ssl=server_context(version=ssl.TLSVersion.TLSv1_3))
        )
        with pytest.raises(ssl.SSLError, match=r"(?i)version"):
            await loop.create_connection(
                Recorder, sock=ours, ssl=client_context(ssl.TLSVersion.TLSv1_2), server_hostname="localhost"
            )
        with pytest.raises(ssl.SSLError):
            await accepting

    run(main())


# ---- over what -------------------------------------------------------------------------------------------------------


def test_over_a_unix_socket(tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        path = str(tmp_path / "socket")
        server = await loop.create_unix_server(Answerer, path, ssl=server_context())
        transport, protocol = await loop.create_unix_connection(
            Recorder, path, ssl=client_context(), server_hostname="localhost"
        )
        transport.write(b"unix")
        await until(lambda: protocol.data == b"unix")
        assert transport.get_extra_info("peername") == path
        transport.close()
        await protocol.lost
        server.close()
        await server.wait_closed()
        with pytest.raises(ValueError, match="server_hostname"):
            await loop.create_unix_connection(Recorder, path, ssl=client_context())
        with pytest.raises(TypeError, match="SSLContext or None"):
            await loop.create_unix_server(Answerer, path, ssl=True)

    run(main())


def test_tls_inside_tls():
    async def main():
        loop = asyncio.get_running_loop()
        (client, near), (server, far) = await tls_pair()
        near, far = Recorder(), Answerer()
        inner_client, inner_server = await asyncio.gather(
            loop.start_tls(client, near, client_context(), server_hostname="localhost"),
            loop.start_tls(server, far, server_context(), server_side=True),
        )
        far.transport = inner_server
        payload = os.urandom(3_000_000)
        inner_client.write(payload)
        await until(lambda: len(near.data) == len(payload))
        assert near.data == payload
        inner_client.close()
        assert await near.lost is None
        assert await far.lost is None

    run(main())


def test_true_means_the_systems_authorities():
    async def main():
        loop = asyncio.get_running_loop()
        server, port = await serving()
        with pytest.raises(ssl.SSLCertVerificationError):
            await loop.create_connection(Recorder, "127.0.0.1", port, ssl=True)
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("options", [{"ssl_handshake_timeout": 0}, {"ssl_shutdown_timeout": -1}])
def test_timeouts_are_positive(options):
    async def main():
        loop = asyncio.get_running_loop()
        name = next(iter(options))
        ours, theirs = tcp_pair()
        with ours, theirs:
            for making in (
                loop.create_connection(Recorder, sock=ours, ssl=client_context(), server_hostname="", **options),
                loop.create_server(Recorder, "127.0.0.1", 0, ssl=server_context(), **options),
                loop.connect_accepted_socket(Recorder, theirs, ssl=server_context(), **options),
            ):
                with pytest.raises(ValueError, match=f"{name} should be a positive number"):
                    await making

    run(main())


def test_what_ssl_refuses_closes_the_socket():
    async def main():
        loop = asyncio.get_running_loop()
        before = held_descriptors()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with pytest.raises(ssl.SSLError, match="client socket with a PROTOCOL_TLS_SERVER context"):
                await loop.create_connection(Recorder, *listener.getsockname(), ssl=server_context())
        assert opened_since(before) == set()

    run(main())


# ---- data ------------------------------------------------------------------------------------------------------------


@versions
@pytest.mark.parametrize("factory", [Recorder, BufferedRecorder], ids=["protocol", "buffered"])
def test_much_data_both_ways(factory, version):
    async def main():
        (client, near), (server, far) = await tls_pair(factory, factory, version)
        there, back = os.urandom(2_000_003), os.urandom(1_500_001)
        client.write(there)
        server.writelines([back[:5], b"", bytearray(back[5:70_000]), memoryview(back)[70_000:]])
        await until(lambda: len(far.data) == len(there) and len(near.data) == len(back))
        assert far.data == there
        assert near.data == back
        client.close()
        await near.lost
        await far.lost

    run(main())


def test_what_is_written_is_what_it_was_then():
    async def main():
        (client, near), (server, far) = await tls_pair()
        changing = bytearray(b"first")
        client.write(changing)
        changing[:] = b"wrong"
        view = memoryview(bytearray(b"second"))
        client.write(view)
        view[:] = b"-wrong"
        lines = [bytearray(b"third"), array_of(b"fourth")]
        client.writelines(lines)
        lines[0][:] = b"xxxxx"
        await until(lambda: len(far.data) == 22)
        assert far.data == b"firstsecondthirdfourth"
        with pytest.raises(TypeError, match="bytes-like object, not 'str'"):
            client.write("text")
        client.close()
        await near.lost

    run(main())


def array_of(data):
    import array

    return array.array("B", data)


def test_many_small_writes_are_one_record_and_one_packet():
    async def main():
        transport, protocol, peer = await raw_peer()
        for number in range(1000):
            transport.write(b"%03d" % number)
        assert transport.get_write_buffer_size() == 3000
        await peer.more()
        assert peer.incoming.pending < 3000 + 100  # one record's overhead, not a thousand's
        assert await peer.read(3000) == b"".join(b"%03d" % number for number in range(1000))
        assert transport.get_write_buffer_size() == 0
        transport.abort()
        await protocol.lost
        peer.close()

    run(main())


def test_the_protocol_can_be_switched_at_any_time():
    class Switching(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.next = BufferedRecorder()
            self.transport.set_protocol(self.next)
            assert self.transport.get_protocol() is self.next

    async def main():
        (client, near), (server, far) = await tls_pair(server_factory=Switching)
        client.write(b"to the first")
        await until(lambda: far.data)
        client.write(b"to the second")
        await until(lambda: far.next.data == b"to the second")
        third = Recorder()
        server.set_protocol(third)
        client.write(b"to the third")
        await until(lambda: third.data == b"to the third")
        client.close()
        assert await third.lost is None
        assert far.data == b"to the first"
        await near.lost

    run(main())


def test_callbacks_run_in_the_context_that_the_connection_was_made_in():
    variable = contextvars.ContextVar("variable", default="unset")

    class Noting(Recorder):
        def __init__(self):
            super().__init__()
            self.seen = set()
            self.count = 0

        def connection_made(self, transport):
            self.seen.add(variable.get())
            super().connection_made(transport)

        def data_received(self, data):
            self.seen.add(variable.get())
            self.calls.append("data")
            self.data += data if len(data) < 100 else b""
            self.count += len(data)

        def resume_writing(self):
            self.seen.add(variable.get())
            super().resume_writing()

        def eof_received(self):
            self.seen.add(variable.get())
            return super().eof_received()

        def connection_lost(self, error):
            self.seen.add(variable.get())
            super().connection_lost(error)

    async def main():
        variable.set("made")
        (client, near), (server, far) = await tls_pair(Noting, Noting)
        variable.set("later")
        server.pause_reading()
        client.write(bytes(40_000_000))
        assert near.calls == ["made", "pause"]
        server.resume_reading()
        server.write(b"x")
        await until(lambda: far.count == 40_000_000 and near.data)
        server.close()
        await near.lost
        await far.lost
        assert near.seen == far.seen == {"made"}
        assert near.calls.count("resume") == 1

    run(main())


# ---- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [asyncio, clearloop], ids=["asyncio's", "ours"])
def test_streams(streams):
    async def main():
        async def answer(reader, writer):
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
            writer.close()

        server = await streams.start_server(answer, "127.0.0.1", 0, ssl=server_context())
        port = server.sockets[0].getsockname()[1]
        reader, writer = await streams.open_connection(
            "127.0.0.1", port, ssl=client_context(), server_hostname="localhost"
        )
        for line in (b"one\n", b"x" * 50_000 + b"\n", b"three\n"):
            writer.write(line)
            await writer.drain()
            assert await reader.readline() == line.upper()
        writer.close()
        await writer.wait_closed()
        assert await reader.read() == b""
        server.close()
        await server.wait_closed()

    run(main())


def test_the_host_name_is_the_host_unless_told_otherwise():
    async def main():
        server, port = await serving()
        _, writer = await clearloop.open_connection("localhost", port, ssl=client_context(), family=socket.AF_INET)
        writer.close()
        await writer.wait_closed()
        with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)ip address mismatch"):
            await clearloop.open_connection("127.0.0.1", port, ssl=client_context())
        server.close()
        await server.wait_closed()

    run(main())


# ---- what is kept ----------------------------------------------------------------------------------------------------


def test_a_closed_connection_leaves_nothing_behind():
    async def main():
        import weakref

        (client, near), (server, far) = await tls_pair()
        gone = [weakref.ref(one) for one in (client, server, near, far)]
        client.close()
        await near.lost
        await far.lost
        del client, server, near, far
        await asyncio.sleep(0)
        gc.collect()
        assert [one() for one in gone] == [None] * 4

    run(main())


def test_a_forgotten_connection_warns_once():
    async def main():
        (client, near), (server, far) = await tls_pair()
        client.pause_reading()
        near.transport = None

    with pytest.warns(ResourceWarning, match="unclosed transport <TLSTransport") as caught:
        run(main())
        gc.collect()
    ours = [str(one.message) for one in caught if "unclosed transport" in str(one.message)]
    assert len(ours) == 2  # one for each side


def test_ssl_is_not_imported_before_it_is_used():
    program = (
        "import sys, asyncio\n"
        "if 'ssl' in sys.modules: sys.exit(0)  # this asyncio imports it itself\n"
        "import clearloop\n"
        "async def main():\n"
        "    server = await clearloop.start_server(lambda r, w: w.close(), '127.0.0.1', 0)\n"
        "    r, w = await clearloop.open_connection(*server.sockets[0].getsockname())\n"
        "    await r.read(); w.close(); server.close()\n"
        "clearloop.run(main())\n"
        "sys.exit('ssl' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_debug_mode_talks(caplog):
    async def main():
        (client, near), (server, far) = await tls_pair()
        client.pause_reading()
        client.resume_reading()
        client.close()
        await near.lost
        await far.lost

    caplog.set_level("DEBUG", "asyncio")
    run(main(), debug=True)
    text = caplog.text
    for words in ("starts the TLS handshake", "has completed the TLS handshake", "pauses reading", "resumes reading"):
        assert words in text
    assert "Traceback" not in text


def test_an_error_that_the_network_makes_is_nobodys_report():
    async def main():
        with reports() as found:
            transport, protocol, peer = await raw_peer()
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
            assert isinstance(await protocol.lost, ConnectionResetError)
            assert protocol.calls == ["made", "lost"]
            transport.write(b"nobody reads")
            transport.close()
            transport.abort()
            transport.pause_reading()
            transport.resume_reading()
            assert transport.is_closing()
            assert not transport.is_reading()
            assert transport.get_write_buffer_size() == 0
        assert found == []

    run(main())
