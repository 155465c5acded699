"""What programs do to their own connections, and what must come of it: no crash, no stranger hurt, no data lost."""

import asyncio
import gc
import socket
import sys
import warnings

import pytest
from socket_tools import on_loop, turns, udp_socket, unix_pair

import clearloop
from descriptors import far_away, open_descriptors, opened_since


class Keeper(asyncio.Protocol):
    """Keeps what came and how it ended."""

    def __init__(self):
        self.got = b""
        self.ends = []

    def data_received(self, data):
        self.got += data

    def connection_lost(self, exc):
        self.ends.append(exc)


class DatagramKeeper(asyncio.DatagramProtocol):
    def __init__(self):
        self.got = []
        self.errors = []

    def datagram_received(self, data, addr):
        self.got.append(data)

    def error_received(self, exc):
        self.errors.append(exc)


@pytest.fixture
def strict_warnings(monkeypatch):
    raised = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: raised.append(what.exc_type))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield raised


@pytest.mark.parametrize("kind", ["connection", "endpoint"])
def test_a_forgotten_transport_leaves_nothing_behind_where_warnings_are_errors(strict_warnings, kind):
    loop = clearloop.new_event_loop()
    one, other = unix_pair(socket.SOCK_STREAM if kind == "connection" else socket.SOCK_DGRAM)
    if kind == "connection":
        loop.run_until_complete(loop.create_connection(Keeper, sock=one))
    else:
        loop.run_until_complete(loop.create_datagram_endpoint(DatagramKeeper, sock=one))
    transports = loop._transports
    assert len(transports) == 1
    loop.close()  # the poller was the last to hold it
    gc.collect()
    assert strict_warnings == [ResourceWarning]
    assert transports.held() == []  # a pointer to freed memory would crash here
    assert one.fileno() == -1
    other.close()


@on_loop
async def test_clients_are_closed_beside_a_datagram_endpoint(loop):
    endpoint, _ = await loop.create_datagram_endpoint(DatagramKeeper, local_addr=("127.0.0.1", 0))
    server = await loop.create_server(Keeper, "127.0.0.1", 0)
    server.close_clients()
    server.abort_clients()
    server.close()
    await server.wait_closed()
    endpoint.close()
    await turns()


@on_loop
async def test_an_error_met_inside_datagram_received_goes_to_error_received(loop):
    answered = loop.create_future()
    peer = udp_socket()

    class Answering(DatagramKeeper):
        def datagram_received(self, data, addr):
            peer.close()
            for _ in range(3):
                transport.sendto(b"to nobody")  # the refusal of one is met by the next
            answered.set_result(None)

    transport, protocol = await loop.create_datagram_endpoint(Answering, remote_addr=peer.getsockname())
    peer.sendto(b"hello", transport.get_extra_info("sockname"))
    await answered
    assert protocol.errors and all(isinstance(error, ConnectionRefusedError) for error in protocol.errors)
    transport.close()
    await turns()


@on_loop
async def test_a_socket_closed_under_its_transport_hurts_no_stranger_of_that_number(loop):
    mine, peer = unix_pair()
    mine = far_away(mine)
    transport, protocol = await loop.create_connection(Keeper, sock=mine)
    fd = mine.fileno()
    mine.close()
    stranger, friend = unix_pair()
    stranger = far_away(stranger)
    assert stranger.fileno() == fd
    transport.write(b"not for the stranger's friend")
    await turns()
    with pytest.raises(BlockingIOError):
        friend.recv(100)
    other, other_protocol = await loop.create_connection(Keeper, sock=stranger)
    transport.close()
    await turns()
    assert [type(end) for end in protocol.ends] == [OSError]
    friend.send(b"hello")
    while not other_protocol.got:
        await asyncio.sleep(0)
    assert other_protocol.got == b"hello" and other_protocol.ends == []
    other.close()
    await turns()
    friend.close()
    peer.close()


@on_loop
async def test_a_silent_transport_whose_socket_was_closed_gives_its_number_away(loop):
    mine, peer = unix_pair()
    mine = far_away(mine)
    transport, protocol = await loop.create_connection(Keeper, sock=mine)
    fd = mine.fileno()
    mine.close()
    stranger, friend = unix_pair()
    stranger = far_away(stranger)
    assert stranger.fileno() == fd
    other, other_protocol = await loop.create_connection(Keeper, sock=stranger)
    await turns()
    assert transport.is_closing() and [type(end) for end in protocol.ends] == [OSError]
    friend.send(b"hello")
    while not other_protocol.got:
        await asyncio.sleep(0)
    other.close()
    await turns()
    friend.close()
    peer.close()


@on_loop
async def test_datagrams_do_not_leave_by_a_stranger_of_that_number(loop):
    mine, peer = unix_pair(socket.SOCK_DGRAM)
    mine = far_away(mine)
    transport, protocol = await loop.create_datagram_endpoint(DatagramKeeper, sock=mine)
    fd = mine.fileno()
    mine.close()
    stranger, friend = unix_pair(socket.SOCK_DGRAM)
    stranger = far_away(stranger)
    assert stranger.fileno() == fd
    transport.sendto(b"not for the stranger's friend")
    with pytest.raises(BlockingIOError):
        friend.recv(100)
    assert [type(error) for error in protocol.errors] == [OSError]
    other, other_protocol = await loop.create_datagram_endpoint(DatagramKeeper, sock=stranger)
    transport.close()
    await turns()
    friend.send(b"hello")
    while not other_protocol.got:
        await asyncio.sleep(0)
    other.close()
    await turns()
    friend.close()
    peer.close()


def turn_by_hand(loop, done):
    """What programs do that step a loop from inside one of its callbacks."""
    while not done():
        loop._run_once()


def test_a_protocol_that_runs_the_loop_loses_nothing():
    loop = clearloop.new_event_loop()
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(type(context["exception"])))
    one, other = unix_pair()

    class Nesting(Keeper):
        def data_received(self, data):
            self.got += data
            if self.got == b"one":
                other.send(b"two")
                other.close()
                turn_by_hand(loop, lambda: len(reports) > 2)

        def eof_received(self):
            self.got += b"."

    async def main():
        _, protocol = await loop.create_connection(Nesting, sock=one)
        other.send(b"one")
        while not protocol.ends:
            await asyncio.sleep(0)
        return protocol

    try:
        assert loop.run_until_complete(asyncio.wait_for(main(), 20)).got == b"onetwo."
        assert set(reports) == {RuntimeError}  # the context is entered already: said, as asyncio says it
    finally:
        loop.close()


def test_an_endpoint_that_runs_the_loop_does_not_mix_up_datagrams():
    loop = clearloop.new_event_loop()
    one, one_peer = unix_pair(socket.SOCK_DGRAM)
    two, two_peer = udp_socket(), udp_socket()

    class Stopping(DatagramKeeper):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            if data == b"2":
                raise KeyboardInterrupt

    class Nesting(DatagramKeeper):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            for number in (b"1", b"2", b"3", b"4"):
                two_peer.sendto(number, two.getsockname())
            with pytest.raises(KeyboardInterrupt):
                turn_by_hand(loop, lambda: False)

    async def main():
        inner, inner_protocol = await loop.create_datagram_endpoint(Stopping, sock=two)
        outer, outer_protocol = await loop.create_datagram_endpoint(Nesting, sock=one)
        one_peer.send(b"start")
        while len(inner_protocol.got) < 4:
            await asyncio.sleep(0)
        inner.close()
        outer.close()
        await turns()
        return inner_protocol.got, outer_protocol.got

    try:
        got = loop.run_until_complete(asyncio.wait_for(main(), 20))
        assert got == ([b"1", b"2", b"3", b"4"], [b"start"])
    finally:
        loop.close()
        one_peer.close()
        two_peer.close()

@on_loop
async def test_a_server_that_nobody_got_accepts_nothing(loop):
    before = open_descriptors()
    steps = 0
    while True:
        making = asyncio.ensure_future(loop.create_server(Keeper, "127.0.0.1", 0))
        await turns(steps)
        if making.done():
            break
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        gc.collect()
        assert opened_since(before) == set()
        steps += 1
    assert steps > 1  # it was stopped while it was listening already
    making.result().close()


@on_loop
async def test_a_server_that_cannot_listen_everywhere_listens_nowhere(loop):
    before = open_descriptors()
    one, other = socket.socket(), socket.socket()
    for sock in (one, other):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.2", 0))
    port = one.getsockname()[1]
    other.bind(("127.0.0.2", port))
    one.listen()
    with pytest.raises(OSError):  # bound beside it, but one only may listen
        await loop.create_server(Keeper, ["127.0.0.1", "127.0.0.2"], port)
    one.close()
    other.close()
    gc.collect()
    assert opened_since(before) == set()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)


@on_loop
async def test_a_transport_that_no_loop_has_made_is_refused(loop):
    one, other = unix_pair()
    transport, _ = await loop.create_connection(Keeper, sock=one)
    with pytest.raises(TypeError):
        type(transport)()
    transport.close()
    await turns()
    other.close()


@pytest.mark.parametrize("ending", ["abort", "close"])
@pytest.mark.parametrize("high", [None, 0])
@on_loop
async def test_what_resume_writing_writes_leaves_at_once(loop, ending, high):
    class Resuming(Keeper):
        pauses = 0

        def pause_writing(self):
            self.pauses += 1

        def resume_writing(self):
            transport.set_write_buffer_limits(high)
            transport.write(b"last")
            getattr(transport, ending)()

    one, other = unix_pair()
    transport, protocol = await loop.create_connection(Resuming, sock=one)
    transport.write(b"." * 2_000_000)
    got = b""
    while not protocol.ends or not got.endswith(b"last"):
        try:
            data = other.recv(1_000_000)
        except BlockingIOError:
            pass
        else:
            assert data, "ended without the last bytes"
            got += data
        await asyncio.sleep(0)
    assert len(got) == 2_000_004 and protocol.ends == [None] and protocol.pauses == 1
    other.close()
