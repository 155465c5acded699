"""A hostile peer: floods of small records, of key updates, and of questions whose answers it does not read.

Nobody asks ssl for a key update, so the peer's SSL is reached through ctypes.
"""

import _ssl
import asyncio
import ctypes
import socket
import ssl

import pytest
from stream_tools import BufferedRecorder, Recorder, reports, run, until
from tls_tools import both_kinds, kind, raw_peer, versions

from clearloop.net.tls.native_session import layout_of

__all__ = ["kind"]
pytestmark = both_kinds
PER_STEP = 512  # records
IN_A_ROW = 128
NO_ANSWER, ANSWER = 0, 1


def key_update(peer, answer=NO_ANSWER):
    """The ciphertext of a key update of the peer's."""
    if not hasattr(peer, "ssl"):
        probe = ssl.MemoryBIO(), ssl.MemoryBIO()
        side = {"server_side": True} if peer.tls.server_side else {"server_hostname": "localhost"}
        layout = layout_of(peer.tls.context.wrap_bio(*probe, **side)._sslobj, *probe, peer.tls.context)
        if isinstance(layout, str):
            pytest.skip(layout)
        peer.library = ctypes.CDLL(_ssl.__file__)
        peer.ssl = ctypes.c_void_p.from_address(id(peer.tls._sslobj) + layout[0])
    peer.library.SSL_key_update.argtypes = (ctypes.c_void_p, ctypes.c_int)
    assert peer.library.SSL_key_update(peer.ssl, answer) == 1
    peer.tls.do_handshake()
    return peer.outgoing.read()


@versions
@pytest.mark.parametrize("factory", [Recorder, BufferedRecorder], ids=["protocol", "buffered"])
@pytest.mark.parametrize("end", ["open", "notified", "cut"])
def test_small_records_are_read_a_step_at_a_time_and_none_is_lost(version, factory, end):
    async def main():
        transport, protocol, peer = await raw_peer(factory, version=version)
        count = 6 * PER_STEP
        said = b"".join(peer.records(b"%d" % (number % 10)) for number in range(count))
        if end == "notified":
            said += peer.goodbye()
        turns = 0
        loop = asyncio.get_running_loop()

        def turn():
            nonlocal turns
            turns += 1
            if len(protocol.data) < count:
                loop.call_soon(turn)

        loop.call_soon(turn)
        sending = loop.create_task(peer.send_raw(said))
        if end == "cut":
            await sending
            peer.end()
        await until(lambda: len(protocol.data) == count)
        await sending
        assert protocol.data == b"".join(b"%d" % (number % 10) for number in range(count))
        assert turns >= count // PER_STEP  # others had their turn in between
        if end == "open":
            transport.abort()
        assert await protocol.lost is None
        assert protocol.calls.count("eof") == (end != "open")
        peer.close()

    run(main())


@versions
def test_what_waits_for_the_next_step_survives_a_pause(version):
    async def main():
        transport, protocol, peer = await raw_peer(version=version)
        count = 4 * PER_STEP
        said = b"".join(peer.records(b"x") for number in range(count))
        await peer.send_raw(said)
        await until(lambda: protocol.data)
        transport.pause_reading()
        seen = len(protocol.data)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(protocol.data) == seen
        transport.resume_reading()
        await until(lambda: len(protocol.data) == count)
        transport.close()
        await peer.read_to_close()
        await peer.send_raw(peer.goodbye())
        assert await protocol.lost is None
        peer.close()

    run(main())


@pytest.mark.parametrize("server_side", [False, True], ids=["client", "server"])
@pytest.mark.parametrize("answer", [NO_ANSWER, ANSWER])
def test_key_updates_without_data_end_the_connection(server_side, answer):
    async def main():
        with reports() as found:
            transport, protocol, peer = await raw_peer(server_side=server_side, version=ssl.TLSVersion.TLSv1_3)
            flood = b"".join(key_update(peer, answer) for _ in range(2 * IN_A_ROW + 10))
            await peer.send_raw(flood)
            error = await protocol.lost
            assert isinstance(error, ssl.SSLError)
            assert error.reason == "TOO_MANY_KEY_UPDATES"
            assert error.library == "SSL"
            assert "without data" in str(error)
            assert transport.is_closing()
            peer.close()
        assert not found

    run(main())


def test_key_updates_with_data_between_them_are_served():
    async def main():
        transport, protocol, peer = await raw_peer(version=ssl.TLSVersion.TLSv1_3)
        count = 4 * IN_A_ROW
        await peer.send_raw(b"".join(key_update(peer, NO_ANSWER) + peer.records(b"x") for _ in range(count)))
        await until(lambda: len(protocol.data) == count)
        transport.write(b"still here")
        assert await peer.read(10) == b"still here"
        transport.abort()
        await protocol.lost
        peer.close()

    run(main())


def test_a_peer_that_asks_for_keys_and_reads_no_answer_is_cut_off():
    async def main():
        transport, protocol, peer = await raw_peer(version=ssl.TLSVersion.TLSv1_3)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        largest = 0
        while not protocol.lost.done():
            said = b"".join(key_update(peer, ANSWER) + peer.records(b"x") for _ in range(100))
            try:
                await peer.send_raw(said)
            except OSError:
                break
            await asyncio.sleep(0)
            largest = max(largest, transport.get_write_buffer_size())
        error = await protocol.lost
        assert isinstance(error, ssl.SSLError)
        assert error.reason == "TOO_MANY_KEY_UPDATES"
        assert "not read" in str(error)
        assert 0 < largest < 2**16 + 2**15
        peer.close()

    run(main())
