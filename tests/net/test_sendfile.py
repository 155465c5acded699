"""loop.sendfile and loop.sock_sendfile: what arrives, where the file stands afterwards, and what happens meanwhile."""

import asyncio
import io
import os
import socket
import tempfile

import pytest
from stream_tools import Recorder, over, read_all, run, stream, tcp_pair, until

from descriptors import left_open, open_descriptors

CONTENT = bytes(range(256)) * 12_000  # 3 MB: more than the sockets hold


@pytest.fixture(params=["native", "reading"])
def file(request):
    """A file of CONTENT, which os.sendfile can send or which has to be read."""
    if request.param == "reading":
        yield io.BytesIO(CONTENT)
        return
    with tempfile.TemporaryFile() as opened:
        opened.write(CONTENT)
        opened.seek(5)  # where it stands before does not matter
        yield opened


@pytest.fixture
def real_file():
    with tempfile.TemporaryFile() as opened:
        opened.write(CONTENT)
        opened.flush()
        yield opened


def own(file):
    """Whether os.sendfile can send it."""
    return not isinstance(file, io.BytesIO)


class NoDescriptor:
    """Something to read that is no file at all, and cannot be positioned."""

    def __init__(self, data):
        self.data = data

    def readinto(self, buffer):
        count = min(len(buffer), len(self.data))
        buffer[:count] = self.data[:count]
        self.data = self.data[count:]
        return count


PARTS = [
    (0, None, CONTENT),
    (1_000_003, None, CONTENT[1_000_003:]),
    (0, 70_001, CONTENT[:70_001]),
    (300_000, 1_500_000, CONTENT[300_000:1_800_000]),
    (len(CONTENT) - 3, 100, CONTENT[-3:]),
    (len(CONTENT), None, b""),
    (len(CONTENT) + 5, None, b""),
]


@pytest.mark.parametrize(("offset", "count", "expected"), PARTS)
def test_a_socket_gets_the_part_that_was_asked_for(file, offset, count, expected):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = tcp_pair()
        ours.setblocking(False)
        theirs.setblocking(False)
        reader = asyncio.create_task(read_all(theirs))
        assert await loop.sock_sendfile(ours, file, offset, count) == len(expected)
        if expected:
            assert file.tell() == offset + len(expected)
        ours.close()
        assert await reader == expected
        theirs.close()

    run(main())


@pytest.mark.parametrize(("offset", "count", "expected"), PARTS)
def test_a_transport_sends_the_part_between_what_is_written_before_and_after(file, offset, count, expected):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await stream()
        reader = asyncio.create_task(read_all(peer))
        transport.write(b"before")
        assert await loop.sendfile(transport, file, offset, count) == len(expected)
        if expected:
            assert file.tell() == offset + len(expected)
        transport.write(b"after")
        transport.close()
        assert await reader == b"before" + expected + b"after"
        await protocol.lost
        peer.close()

    run(main())


def test_an_unsendable_file_without_fallback_says_so_and_leaves_the_transport_usable():
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await stream()
        for unsendable in (io.BytesIO(b"x"), NoDescriptor(b"x")):
            with pytest.raises(asyncio.SendfileNotAvailableError):
                await loop.sendfile(transport, unsendable, fallback=False)
        reading, writing = os.pipe()
        os.write(writing, b"from a pipe")
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            with pytest.raises(asyncio.SendfileNotAvailableError):
                await loop.sendfile(transport, pipe, fallback=False)
            assert await loop.sendfile(transport, pipe) == 11
        transport.write(b".")
        peer.send(b"still read")
        await until(lambda: protocol.data == b"still read")
        transport.close()
        assert await read_all(peer) == b"from a pipe."
        peer.close()

    run(main())


def test_a_socket_without_fallback_says_so():
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = tcp_pair()
        ours.setblocking(False)
        with pytest.raises(asyncio.SendfileNotAvailableError):
            await loop.sock_sendfile(ours, io.BytesIO(b"x"), fallback=False)
        assert await loop.sock_sendfile(ours, NoDescriptor(b"read"), fallback=True) == 4
        assert theirs.recv(10) == b"read"
        ours.close()
        theirs.close()

    run(main())


WRONG = [
    ({"offset": -1}, ValueError),
    ({"offset": 1.0}, TypeError),
    ({"count": 0}, ValueError),
    ({"count": -1}, ValueError),
    ({"count": "1"}, TypeError),
]


@pytest.mark.parametrize(("arguments", "error"), WRONG)
def test_numbers_are_checked(real_file, arguments, error):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await stream()
        ours, theirs = tcp_pair()
        ours.setblocking(False)
        for call, target in ((loop.sendfile, transport), (loop.sock_sendfile, ours)):
            with pytest.raises(error):
                await call(target, real_file, **arguments)
        for sock in (ours, theirs, peer):
            sock.close()
        transport.abort()
        await protocol.lost

    run(main())


def test_text_files_datagram_sockets_and_closing_transports_are_refused(real_file, tmp_path):
    async def main():
        loop = asyncio.get_running_loop()
        (tmp_path / "text").write_text("text")
        transport, protocol, peer = await stream()
        with open(tmp_path / "text") as text, pytest.raises(ValueError, match="binary"):
            await loop.sendfile(transport, text)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.setblocking(False)
            with pytest.raises(ValueError, match="SOCK_STREAM"):
                await loop.sock_sendfile(datagrams, real_file)
        endpoint, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        with pytest.raises(RuntimeError, match="not supported"):
            await loop.sendfile(endpoint, real_file)
        endpoint.close()
        reading, writing = os.pipe()
        pipe, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(writing, "wb", 0))
        with pytest.raises(RuntimeError, match="not supported"):
            await loop.sendfile(pipe, real_file)
        pipe.close()
        os.close(reading)
        transport.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            await loop.sendfile(transport, real_file)
        transport.close()
        with pytest.raises(RuntimeError, match="closing"):
            await loop.sendfile(transport, real_file)
        await protocol.lost
        peer.close()

    run(main())


def test_meanwhile_nobody_else_writes_and_nothing_is_read(real_file):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await stream()
        sending = asyncio.create_task(loop.sendfile(transport, real_file))
        peer.send(b"a question")
        await asyncio.sleep(0.01)
        assert not sending.done()
        for call in (lambda: transport.write(b"x"), lambda: transport.writelines([b"x"]), transport.write_eof):
            with pytest.raises(RuntimeError, match="sendfile is in progress"):
                call()
        with pytest.raises(RuntimeError, match="sendfile is in progress"):
            await loop.sendfile(transport, real_file)
        assert protocol.data == b""
        reader = asyncio.create_task(read_all(peer))
        assert await sending == len(CONTENT)
        await until(lambda: protocol.data == b"a question")
        transport.write(b"!")
        transport.close()
        assert await reader == CONTENT + b"!"
        peer.close()

    run(main())


def test_a_transport_that_was_paused_stays_paused(file):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await stream()
        transport.pause_reading()
        reader = asyncio.create_task(read_all(peer))
        await loop.sendfile(transport, file)
        assert not transport.is_reading()
        assert transport.get_protocol() is protocol
        transport.close()
        await reader
        peer.close()

    run(main())


def test_back_pressure_of_the_file_is_not_the_protocols(file):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await stream()
        sending = asyncio.create_task(loop.sendfile(transport, file))
        await asyncio.sleep(0.02)
        assert not sending.done()
        assert transport.get_write_buffer_size() <= 2 * 256 * 1024
        reader = asyncio.create_task(read_all(peer))
        assert await sending == len(CONTENT)
        transport.close()
        assert await reader == CONTENT
        assert protocol.calls[:1] == ["made"]
        assert protocol.calls.count("pause") == protocol.calls.count("resume")
        peer.close()

    run(main())


def test_a_protocol_that_was_paused_before_is_resumed_once(file):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await stream()
        transport.write(b"-" * 1_000_000)
        assert protocol.calls == ["made", "pause"]
        sending = asyncio.create_task(loop.sendfile(transport, file))
        reader = asyncio.create_task(read_all(peer))
        await sending
        await until(lambda: "resume" in protocol.calls)
        transport.close()
        assert await reader == b"-" * 1_000_000 + CONTENT
        assert protocol.calls.count("pause") == protocol.calls.count("resume") == 1
        peer.close()

    run(main())


def test_the_peer_goes_in_the_middle(file):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await stream()
        sending = asyncio.create_task(loop.sendfile(transport, file))
        await loop.sock_recv(peer, 1000)
        assert not sending.done()
        peer.close()
        with pytest.raises(ConnectionError):
            await sending
        await protocol.lost
        assert 0 < file.tell() < len(CONTENT)

    run(main())


@pytest.mark.parametrize("end", ["close", "abort"])
def test_the_transport_is_closed_in_the_middle(file, end):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await stream()
        sending = asyncio.create_task(loop.sendfile(transport, file))
        await asyncio.sleep(0.01)
        assert not sending.done()
        getattr(transport, end)()
        reader = asyncio.create_task(read_all(peer))  # close() still sends what is queued
        with pytest.raises(ConnectionError):
            await sending
        await reader
        assert await protocol.lost is None
        assert protocol.calls[-1] == "lost"
        peer.close()

    run(main())


def test_a_cancelled_call_gives_everything_back(file):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await stream()
        sending = asyncio.create_task(loop.sendfile(transport, file))
        await asyncio.sleep(0.02)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        position = file.tell()
        assert 0 < position < len(CONTENT)
        assert transport.get_protocol() is protocol
        transport.write(b"!")
        transport.close()
        assert await read_all(peer) == CONTENT[:position] + b"!"
        await protocol.lost
        peer.close()

    run(main())


def test_a_cancelled_call_on_a_socket_leaves_the_file_behind_what_was_sent(real_file):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        before = open_descriptors()
        sending = asyncio.create_task(loop.sock_sendfile(ours, real_file))
        await asyncio.sleep(0.01)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert left_open(before) == set()
        position = real_file.tell()
        await_rest = asyncio.create_task(read_all(theirs))
        await loop.sock_sendall(ours, b"!")  # nobody stands in the way
        ours.close()
        assert await await_rest == CONTENT[:position] + b"!"
        theirs.close()

    run(main())


def test_files_and_sendall_on_one_socket_do_not_mix(real_file):
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        first = asyncio.create_task(loop.sock_sendfile(ours, real_file))
        await asyncio.sleep(0)
        second = asyncio.create_task(loop.sock_sendall(ours, b"|" * 100_000))
        reader = asyncio.create_task(read_all(theirs))
        await asyncio.gather(first, second)
        ours.close()
        assert await reader == CONTENT + b"|" * 100_000
        theirs.close()

    run(main())


def test_a_fast_reader_does_not_keep_the_loop_busy(real_file):
    """The file goes in portions, and others run in between."""
    turns = 0

    async def main():
        nonlocal turns
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        transport, _ = await over(ours, Recorder)
        received = loop.run_in_executor(None, drain, theirs)
        sending = asyncio.create_task(loop.sendfile(transport, real_file))
        while not sending.done():
            turns += 1
            await asyncio.sleep(0)
        transport.close()
        assert await received == len(CONTENT)
        theirs.close()

    def drain(sock):
        sock.setblocking(True)
        total = 0
        while part := sock.recv(1 << 20):
            total += len(part)
        return total

    run(main())
    assert turns >= len(CONTENT) // (1024 * 1024)


def test_a_file_that_shrinks_ends_early(real_file):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await stream()
        real_file.truncate(1000)
        assert await loop.sendfile(transport, real_file, 0, 5000) == 1000
        assert real_file.tell() == 1000
        transport.close()
        assert len(await read_all(peer)) == 1000
        await protocol.lost
        peer.close()

    run(main())


def test_without_os_sendfile_files_are_read(real_file, monkeypatch):
    monkeypatch.delattr(os, "sendfile")

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, peer = await stream()
        with pytest.raises(asyncio.SendfileNotAvailableError):
            await loop.sendfile(transport, real_file, fallback=False)
        reader = asyncio.create_task(read_all(peer))
        assert await loop.sendfile(transport, real_file) == len(CONTENT)
        transport.close()
        assert await reader == CONTENT
        await protocol.lost
        peer.close()

    run(main())
