"""What the network does to records: cut anywhere, joined, held back, broken, or followed by nothing."""

import asyncio
import os
import ssl
import subprocess

import pytest
from stream_tools import BufferedRecorder, Recorder, reports, run, tcp_pair, until
from tls_tools import Peer, both_kinds, client_context, kind, raw_peer, server_context, tls_pair, versions

__all__ = ["kind"]
pytestmark = both_kinds


def cutting(size):
    """A relay that hands on what comes in pieces of `size` bytes, each in a turn of its own."""

    async def carry(source, target):
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(source, 65536):
            for place in range(0, len(data), size):
                await loop.sock_sendall(target, data[place : place + size])
                await asyncio.sleep(0)
        target.shutdown(1)

    async def relay(one, other):
        try:
            await asyncio.gather(carry(one, other), carry(other, one))
        except OSError:
            pass  # one side has gone for good
        finally:
            one.close()
            other.close()

    return relay


@versions
@pytest.mark.parametrize("size", [1, 2, 5, 7, 1000, 16_384 + 5])
def test_handshake_data_and_end_survive_any_cutting(version, size):
    async def main():
        (client, near), (server, far) = await tls_pair(version=version, relay=cutting(size))
        payload = os.urandom(3000 if size < 100 else 100_000)
        client.write(payload)
        server.write(payload[::-1])
        await until(lambda: len(far.data) == len(near.data) == len(payload))
        assert far.data == payload
        assert near.data == payload[::-1]
        client.close()
        assert await near.lost is None
        assert await far.lost is None
        assert far.calls[-2:] == ["eof", "lost"]
        await near.carrying

    run(main())


@versions
@pytest.mark.parametrize("factory", [Recorder, BufferedRecorder], ids=["protocol", "buffered"])
def test_two_records_and_the_end_cut_at_every_byte(version, factory):
    """All that the peer ever says, cut into two at each place."""

    async def main():
        transport, protocol, peer = await raw_peer(version=version)
        whole = peer.records(b"one") + peer.records(b"two") + peer.goodbye()
        transport.abort()
        await protocol.lost
        peer.close()
        for cut in range(1, len(whole)):
            transport, protocol, peer = await raw_peer(factory, version=version)
            said = peer.records(b"one") + peer.records(b"two") + peer.goodbye()
            assert len(said) == len(whole)
            await peer.send_raw(said[:cut])
            for _ in range(4):
                await asyncio.sleep(0)
            await peer.send_raw(said[cut:])
            assert await protocol.lost is None
            assert protocol.data == b"onetwo"
            assert protocol.calls[-2:] == ["eof", "lost"]
            peer.close()

    run(main())


@versions
def test_a_thousand_records_at_once(version):
    async def main():
        transport, protocol, peer = await raw_peer(version=version)
        parts = [b"%04d" % number for number in range(1000)]
        await peer.send_raw(b"".join(peer.records(part) for part in parts))
        await until(lambda: len(protocol.data) == 4000)
        assert protocol.data == b"".join(parts)
        assert protocol.calls.count("data") < 100  # those that come together are handed on together
        transport.abort()
        await protocol.lost
        peer.close()

    run(main())


@versions
@pytest.mark.parametrize("place", [0, 1, 3, 4, 5, 20, -1])
def test_a_broken_record_ends_the_connection_and_the_peer_hears_of_it(version, place):
    async def main():
        with reports() as found:
            transport, protocol, peer = await raw_peer(version=version)
            good, broken = peer.records(b"good"), bytearray(peer.records(b"broken"))
            broken[place] ^= 0xFF
            await peer.send_raw(good + broken + bytes(70_000))  # a length that was made larger must be filled
            error = await protocol.lost
            assert isinstance(error, ssl.SSLError)
            assert protocol.data == b"good"  # what came before it is handed on
            assert protocol.calls == ["made", "data", "lost"]
            try:
                with pytest.raises(ssl.SSLError):
                    await peer.read(1)
            except (ConnectionResetError, EOFError):
                pass  # what was not read any more can take the alert with it
            peer.close()
        assert found == []

    run(main())


@versions
@pytest.mark.parametrize("where", ["between records", "inside a record", "inside the first byte"])
def test_an_end_without_close_notify_is_an_end(version, where):
    async def main():
        transport, protocol, peer = await raw_peer(version=version)
        whole, record = peer.records(b"whole"), peer.records(b"cut off")
        cut = {"between records": len(record), "inside a record": len(record) - 3, "inside the first byte": 1}[where]
        await peer.send_raw(whole + record[:cut])
        peer.end()
        assert await protocol.lost is None
        assert protocol.data == (b"wholecut off" if where == "between records" else b"whole")
        assert protocol.calls[-2:] == ["eof", "lost"]
        peer.close()

    run(main())


def test_no_tls_at_all():
    async def main():
        loop = asyncio.get_running_loop()
        for side in ("client", "server"):
            ours, theirs = tcp_pair()
            theirs.sendall(b"GET / HTTP/1.1\r\n\r\n" * 3)
            with pytest.raises(ssl.SSLError):
                if side == "client":
                    await loop.create_connection(
                        Recorder, sock=ours, ssl=client_context(), server_hostname="localhost"
                    )
                else:
                    await loop.connect_accepted_socket(Recorder, ours, ssl=server_context())
            theirs.close()
            assert ours.fileno() == -1

    run(main())


def test_the_end_of_the_handshake_and_the_first_data_may_come_together():
    """With TLS 1.3 the client's last flight and its first request; and a server may speak first."""

    class First(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"server first")

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = tcp_pair()
        accepting = loop.create_task(loop.connect_accepted_socket(First, ours, ssl=server_context()))
        peer = Peer(theirs, False)
        with pytest.raises(ssl.SSLWantReadError):
            peer.tls.do_handshake()
        await peer.flush()
        while True:
            await peer.more()
            try:
                peer.tls.do_handshake()
            except ssl.SSLWantReadError:
                continue
            break
        peer.tls.write(b"client at once")
        goodbye = peer.goodbye()
        await peer.send_raw(goodbye)  # the rest of the handshake, data and the end, in one packet
        transport, protocol = await accepting
        assert await peer.read_to_close() == b"server first"
        assert await protocol.lost is None
        assert protocol.calls == ["made", "data", "eof", "lost"]
        assert protocol.data == b"client at once"
        peer.close()

    run(main())


def s_client(port, *options):
    """OpenSSL's own client; the letters K and R on lines of their own are commands."""
    return subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_new_keys_in_the_middle():
    """TLS 1.3: the peer changes its keys, and asks for ours to be changed (RFC 8446, 4.6.3)."""
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Echo(), "127.0.0.1", 0, ssl=server_context())
        port = server.sockets[0].getsockname()[1]
        process = s_client(port, "-tls1_3")
        try:
            output = await loop.run_in_executor(None, talk, process)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stdin.close()
        assert b"KEYUPDATE" in output
        assert b"HERE I AM" in output
        assert b"STILL HERE" in output
        server.close()
        server.close_clients()
        await server.wait_closed()

    def talk(process):
        output = b""
        for words, answer in ((b"here i am\n", b"HERE I AM"), (b"K\n", b"KEYUPDATE"), (b"still here\n", b"STILL HERE")):
            process.stdin.write(words)
            process.stdin.flush()
            while answer not in output:
                part = os.read(process.stdout.fileno(), 65536)
                assert part, output
                output += part
        return output

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data.upper())

    run(main())


def test_renegotiation_is_refused_and_hurts_nobody():
    """TLS 1.2: OpenSSL's server refuses a client that wants to begin anew."""
    async def main():
        with reports() as found:
            loop = asyncio.get_running_loop()
            protocols = []

            def factory():
                protocols.append(Recorder())
                return protocols[-1]

            server = await loop.create_server(
                factory, "127.0.0.1", 0, ssl=server_context(version=ssl.TLSVersion.TLSv1_2)
            )
            port = server.sockets[0].getsockname()[1]
            process = s_client(port, "-tls1_2")
            process.stdin.write(b"before\n")
            process.stdin.flush()
            await until(lambda: protocols and protocols[0].data == b"before\n")
            process.stdin.write(b"R\n")
            process.stdin.flush()
            output = await loop.run_in_executor(None, process.stdout.read)
            assert b"RENEGOTIATING" in output
            assert b"renegotiation" in output.lower()
            process.wait()
            process.stdout.close()
            process.stdin.close()
            await protocols[0].lost
            server.close()
            await server.wait_closed()
        assert found == []

    run(main())
