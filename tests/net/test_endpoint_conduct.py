"""Datagram protocols that close, switch or raise in each of their callbacks: what follows is what asyncio does.

Each program runs on asyncio's loop (the oracle) and on clearloop's.
"""

import asyncio
import socket
import tempfile

import pytest
from socket_tools import unused_port

import clearloop
from descriptors import left_open, open_descriptors

LIMIT = 20


class Noting(asyncio.DatagramProtocol):
    name = "one"

    def __init__(self, calls, where, act):
        self.calls, self.where, self.act = calls, where, act
        self.lost = asyncio.get_running_loop().create_future()

    def note(self, callback, detail=None):
        self.calls.append((self.name, callback, detail))
        if callback == self.where and self.act is not None:
            act, self.act = self.act, None
            act(self)

    def connection_made(self, transport):
        self.transport = transport
        self.note("connection_made")

    def datagram_received(self, data, address):
        self.note("datagram_received", bytes(data))

    def error_received(self, error):
        self.note("error_received", type(error).__name__)

    def pause_writing(self):
        self.note("pause_writing")

    def resume_writing(self):
        self.note("resume_writing")

    def connection_lost(self, error):
        if not self.lost.done():
            self.lost.set_result(None)
        self.note("connection_lost", type(error).__name__)


def close(protocol):
    protocol.transport.close()


def abort(protocol):
    protocol.transport.abort()


def send_and_close(protocol):
    protocol.transport.sendto(b"farewell")
    protocol.transport.close()


def close_twice(protocol):
    protocol.transport.close()
    protocol.transport.abort()
    protocol.transport.close()


def send(protocol):
    protocol.transport.sendto(b"more")


def switch(protocol):
    other = Noting(protocol.calls, None, None)
    other.name = "other"
    other.lost = protocol.lost
    other.transport = protocol.transport
    protocol.transport.set_protocol(other)


def switch_and_close(protocol):
    switch(protocol)
    protocol.transport.close()


def fail(protocol):
    raise ValueError("on purpose")


def close_and_fail(protocol):
    protocol.transport.close()
    raise ValueError("after closing")


def fail_as_cancelled(protocol):
    raise asyncio.CancelledError


ACTIONS = [close, abort, send_and_close, close_twice, send, switch, switch_and_close, fail, close_and_fail,
           fail_as_cancelled]  # fmt: skip
CALLBACKS = ["connection_made", "datagram_received", "pause_writing", "resume_writing", "connection_lost"]


async def until(condition, patience=0.05):
    deadline = asyncio.get_running_loop().time() + patience
    while not condition() and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.0003)


def hear(sock, received):
    try:
        while True:
            received.append(sock.recv(65536))
    except OSError:
        return


def named_pair():
    """Connected UNIX datagram sockets, which know back pressure; asyncio does not take those without a name."""
    ours, theirs = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with tempfile.TemporaryDirectory() as folder:
        ours.bind(f"{folder}/ours")
        theirs.bind(f"{folder}/theirs")
        ours.connect(f"{folder}/theirs")
        theirs.connect(f"{folder}/ours")
    theirs.setblocking(False)
    return ours, theirs


async def conduct(where, act):
    """Some datagrams come, so many go that the protocol is paused and resumed, one comes, and it is closed."""
    loop = asyncio.get_running_loop()
    reports, calls, received = [], [], []
    loop.set_exception_handler(lambda loop, context: reports.append(type(context.get("exception")).__name__))
    ours, theirs = named_pair()
    protocol = Noting(calls, where, act)
    transport, _ = await loop.create_datagram_endpoint(lambda: protocol, sock=ours)
    try:
        for number in range(2):
            try:
                theirs.send(b"%d" % number)
            except OSError:
                pass
        await until(lambda: protocol.lost.done() or any(call[2] == b"1" for call in calls))
        transport.set_write_buffer_limits(high=2000)
        for _ in range(60):
            if not transport.is_closing():
                transport.sendto(b"x" * 1000)
        await until(lambda: hear(theirs, received) or transport.get_write_buffer_size() == 0, 5)
        try:
            theirs.send(b"last")
        except OSError:
            pass
        await until(lambda: protocol.lost.done() or calls[-1][2] == b"last")
        transport.close()
        await protocol.lost
        await asyncio.sleep(0)
        hear(theirs, received)
    finally:
        theirs.close()
    return calls, reports, received


@pytest.mark.parametrize("act", ACTIONS, ids=lambda act: act.__name__)
@pytest.mark.parametrize("where", CALLBACKS)
def test_it_ends_as_on_asyncio(where, act):
    seen = {}
    for name, new_loop in (("asyncio", asyncio.SelectorEventLoop), ("clearloop", clearloop.new_event_loop)):

        async def main():
            async with asyncio.timeout(LIMIT):
                return await conduct(where, act)

        before = open_descriptors()
        with asyncio.Runner(loop_factory=new_loop) as runner:
            seen[name] = runner.run(main())
        assert left_open(before) == set()
    if where == "connection_lost":  # asyncio still sends from there, over some sockets
        for calls in seen.values():
            calls[2][:] = [data for data in calls[2] if data not in (b"more", b"farewell")]
    assert seen["clearloop"] == seen["asyncio"]


@pytest.mark.parametrize("act", ACTIONS, ids=lambda act: act.__name__)
def test_in_error_received(act):
    """A port where nobody listens refuses by ICMP, which comes back at the next call."""

    async def main():
        loop = asyncio.get_running_loop()
        reports, calls = [], []
        loop.set_exception_handler(lambda loop, context: reports.append(type(context.get("exception")).__name__))
        protocol = Noting(calls, "error_received", act)
        async with asyncio.timeout(LIMIT):
            transport, _ = await loop.create_datagram_endpoint(
                lambda: protocol, remote_addr=("127.0.0.1", unused_port(socket.SOCK_DGRAM))
            )
            transport.sendto(b"anybody?")
            await until(lambda: any(call[1] == "error_received" for call in calls), 5)
            await asyncio.sleep(0.005)
            first = next(call for call in calls if call[1] == "error_received")
            transport.close()
            await protocol.lost
        assert first == ("one", "error_received", "ConnectionRefusedError")
        assert calls[0][1] == "connection_made" and calls[-1][1] == "connection_lost" and calls[-1][2] == "NoneType"
        expected = {"fail": ["ValueError"], "close_and_fail": ["ValueError"], "fail_as_cancelled": ["CancelledError"]}
        assert reports == expected.get(act.__name__, [])

    before = open_descriptors()
    with asyncio.Runner(loop_factory=clearloop.new_event_loop) as runner:
        runner.run(main())
    assert left_open(before) == set()


def test_mutable_buffers_are_snapshots_however_they_are_sent():
    """write, writelines, a StreamWriter's two and sendto: what the buffer held at the call is what arrives."""

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        theirs.setblocking(False)
        reader, writer = await clearloop.open_unix_connection(sock=ours)
        expected = bytearray()
        buffer = bytearray(3000)
        for number in range(40):
            for place, send in enumerate(
                (writer.write, writer.transport.write, lambda data: writer.writelines([data, memoryview(data)[:10]]),
                 lambda data: writer.transport.writelines([memoryview(data), b"", data]))
            ):  # fmt: skip
                buffer[:] = bytes([number, place + 100]) * 1500
                expected += [buffer, buffer, buffer + buffer[:10], buffer + buffer][place]
                send(buffer)
                buffer[:] = b"!" * 3000
        buffer.clear()
        received = bytearray()
        while len(received) < len(expected):
            received += await loop.sock_recv(theirs, 65536)
        assert received == expected
        writer.close()
        await writer.wait_closed()
        theirs.close()

    with asyncio.Runner(loop_factory=clearloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), LIMIT))
