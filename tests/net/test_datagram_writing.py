"""What the kernel does not take at once: the queue, its water marks, its order, and its end."""

import asyncio
import socket

import pytest
from socket_tools import on_loop, turns, unix_pair
from test_datagram import Recorder, end

SIZE = 1000


@pytest.fixture
def pair():
    one, other = unix_pair(socket.SOCK_DGRAM)
    with one, other:
        yield one, other


async def blocked(loop, sock):
    """A transport whose peer reads nothing, so that datagrams queue up; returns how many the kernel took."""
    transport, protocol = await loop.create_datagram_endpoint(Recorder, sock=sock)
    taken = 0
    while not transport.get_write_buffer_size():
        assert not transport.is_closing()
        transport.sendto(b"%0*d" % (SIZE, taken))
        taken += 1
    return transport, protocol, taken - 1


def numbers(datagrams):
    return [int(data) for data in datagrams]


async def drain(loop, sock, count):
    return [await loop.sock_recv(sock, 10_000) for _ in range(count)]


@on_loop
async def test_what_is_queued_follows_in_order(loop, pair):
    one, other = pair
    transport, _protocol, taken = await blocked(loop, one)
    for number in range(taken + 1, taken + 30):
        transport.sendto(b"%0*d" % (SIZE, number))
    got = await drain(loop, other, taken + 30)
    assert numbers(got) == list(range(taken + 30))
    await turns()
    assert transport.get_write_buffer_size() == 0
    await end(transport)


@on_loop
async def test_a_queued_datagram_is_a_snapshot(loop, pair):
    one, other = pair
    transport, _protocol, taken = await blocked(loop, one)
    data = bytearray(b"as it was")
    transport.sendto(data)
    data[:] = b"as it is!"
    got = await drain(loop, other, taken + 2)
    assert got[-1] == b"as it was"
    await end(transport)


@on_loop
async def test_the_protocol_is_paused_and_resumed_at_the_water_marks(loop, pair):
    one, other = pair
    transport, protocol, taken = await blocked(loop, one)
    transport.set_write_buffer_limits(high=5000, low=2000)
    assert transport.get_write_buffer_limits() == (2000, 5000)
    sent = taken + 1
    while transport.get_write_buffer_size() <= 5000:
        assert protocol.calls == ["made"]
        transport.sendto(b"%0*d" % (SIZE, sent))
        sent += 1
    assert protocol.calls == ["made", "pause"]
    transport.sendto(b"%0*d" % (SIZE, sent))
    assert protocol.calls == ["made", "pause"]
    received = await drain(loop, other, sent + 1)
    await protocol.until(lambda: protocol.calls == ["made", "pause", "resume"])
    assert numbers(received) == list(range(sent + 1))
    await end(transport)


@on_loop
async def test_empty_datagrams_count(loop, pair):
    one, other = pair
    transport, _protocol, taken = await blocked(loop, one)
    before = transport.get_write_buffer_size()
    for _ in range(10):
        transport.sendto(b"")
    assert transport.get_write_buffer_size() > before
    got = await drain(loop, other, taken + 11)
    assert got[-10:] == [b""] * 10
    await end(transport)


@on_loop
async def test_water_marks_that_make_no_sense_are_refused(loop, pair):
    transport, _ = await loop.create_datagram_endpoint(Recorder, sock=pair[0])
    assert transport.get_write_buffer_limits() == (16384, 65536)
    transport.set_write_buffer_limits(low=100)
    assert transport.get_write_buffer_limits() == (100, 400)
    transport.set_write_buffer_limits(high=100)
    assert transport.get_write_buffer_limits() == (25, 100)
    for limits in ({"high": 1, "low": 2}, {"high": -1}, {"high": 1, "low": -1}):
        with pytest.raises(ValueError, match="must be >="):
            transport.set_write_buffer_limits(**limits)
    await end(transport)


@on_loop
async def test_close_sends_what_is_queued_first(loop, pair):
    one, other = pair
    transport, protocol, taken = await blocked(loop, one)
    for number in range(taken + 1, taken + 10):
        transport.sendto(b"%0*d" % (SIZE, number))
    transport.close()
    assert transport.is_closing()
    await turns()
    assert not protocol.lost.done()
    got = await drain(loop, other, taken + 10)
    assert await protocol.lost is None
    assert numbers(got) == list(range(taken + 10))


@on_loop
async def test_abort_drops_what_is_queued(loop, pair):
    one, other = pair
    transport, protocol, taken = await blocked(loop, one)
    transport.sendto(b"dropped")
    transport.abort()
    assert transport.get_write_buffer_size() == 0
    assert await protocol.lost is None
    assert numbers(await drain(loop, other, taken)) == list(range(taken))


@on_loop
async def test_reading_goes_on_while_writing_is_blocked(loop, pair):
    one, other = pair
    transport, protocol, _taken = await blocked(loop, one)
    other.send(b"hello")
    await protocol.until(lambda: protocol.received)
    assert protocol.received[0][0] == b"hello"
    transport.abort()
    await protocol.lost


@on_loop
async def test_a_peer_that_goes_away_is_an_error_for_each_datagram(loop, pair):
    one, other = pair
    transport, protocol, _taken = await blocked(loop, one)
    transport.sendto(b"never")
    other.close()
    await protocol.until(lambda: len(protocol.errors) >= 2)
    assert isinstance(protocol.errors[0], ConnectionError)
    assert transport.get_write_buffer_size() == 0
    assert not transport.is_closing()
    transport.close()
    await asyncio.wait_for(protocol.lost, 10)
