"""sock_recv, sock_sendall and their kin do what the socket's own methods do, without blocking the loop."""

import array
import asyncio
import gc
import hashlib
import inspect
import random
import socket
import ssl

import pytest
from socket_tools import fill, on_loop, tcp_pair, turns, udp_socket, unix_pair

from descriptors import open_descriptors, opened_since

PAIRS = {"tcp": tcp_pair, "unix": unix_pair, "seqpacket": lambda: unix_pair(socket.SOCK_SEQPACKET)}


@pytest.fixture(params=PAIRS)
def pair(request):
    one, other = PAIRS[request.param]()
    with one, other:
        yield one, other


@pytest.fixture(params=["tcp", "unix"])
def streams(request):
    one, other = PAIRS[request.param]()
    with one, other:
        yield one, other


@on_loop
async def test_what_is_there_is_received_at_once(loop, pair):
    one, other = pair
    other.send(b"here")
    receiving = loop.sock_recv(one, 100)
    with pytest.raises(StopIteration) as stopped:
        receiving.send(None)
    assert stopped.value.value == b"here"


@on_loop
async def test_waits_for_what_comes_later_over_and_over(loop, pair):
    one, other = pair
    for number in range(50):
        receiving = loop.create_task(loop.sock_recv(one, 100))
        await turns()
        assert not receiving.done()
        await loop.sock_sendall(other, b"%d" % number)
        assert await receiving == b"%d" % number


@on_loop
async def test_receives_no_more_than_asked_for_and_keeps_the_rest(loop, streams):
    one, other = streams
    other.send(b"0123456789")
    got = [await loop.sock_recv(one, 3) for _ in range(4)]
    assert got == [b"012", b"345", b"678", b"9"]


@on_loop
async def test_a_read_that_is_exactly_full_is_followed_by_what_comes_next(loop, streams):
    one, other = streams
    other.send(b"full")
    assert await loop.sock_recv(one, 4) == b"full"
    receiving = loop.create_task(loop.sock_recv(one, 4))
    await turns()
    other.send(b"next")
    assert await receiving == b"next"


@on_loop
async def test_the_end_of_the_stream_is_empty_bytes_every_time(loop, streams):
    one, other = streams
    receiving = loop.create_task(loop.sock_recv(one, 10))
    await turns()
    other.send(b"last")
    other.shutdown(socket.SHUT_WR)
    assert await receiving == b"last"
    assert [await loop.sock_recv(one, 10) for _ in range(3)] == [b"", b"", b""]


@on_loop
async def test_a_reset_is_raised(loop):
    one, other = tcp_pair()
    with one:
        receiving = loop.create_task(loop.sock_recv(one, 10))
        await turns()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        other.close()
        with pytest.raises(ConnectionResetError):
            await receiving
        assert await loop.sock_recv(one, 10) == b""


@on_loop
async def test_sending_to_a_closed_peer_raises_and_signals_nothing(loop, streams):
    one, other = streams
    other.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        while True:
            await loop.sock_sendall(one, b"x" * 100)


@on_loop
async def test_nothing_asked_for_is_nothing_received(loop, streams):
    one, other = streams
    assert await loop.sock_recv(one, 0) == b""
    other.send(b"x")
    receiving = loop.create_task(loop.sock_recv(one, 1))
    assert await receiving == b"x"
    assert await loop.sock_recv_into(one, bytearray()) == 0
    with pytest.raises(ValueError, match="negative"):
        await loop.sock_recv(one, -1)


@pytest.mark.parametrize("size", [1, 1000, 262_143, 262_144, 262_145, 1_000_000])
@on_loop
async def test_any_size_of_read(loop, streams, size):
    one, other = streams
    data = random.Random(size).randbytes(size)
    sending = loop.create_task(loop.sock_sendall(other, data))
    got = b""
    while len(got) < size:
        piece = await loop.sock_recv(one, size - len(got))
        assert 0 < len(piece) <= size - len(got)
        got += piece
    await sending
    assert got == data


@on_loop
async def test_a_datagram_larger_than_the_loops_buffer_is_not_cut(loop):
    one, other = unix_pair(socket.SOCK_SEQPACKET)
    with one, other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        size = min(300_000, other.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 1000)
        data = random.Random(1).randbytes(size)
        await loop.sock_sendall(other, data)
        assert await loop.sock_recv(one, size + 10) == data


@on_loop
async def test_packets_are_not_lost_behind_a_short_one(loop):
    one, other = unix_pair(socket.SOCK_SEQPACKET)
    with one, other:
        receiving = loop.create_task(loop.sock_recv(one, 100))
        await turns()
        for number in range(5):
            other.send(b"%d" % number)
        assert await receiving == b"0"
        assert [await loop.sock_recv(one, 100) for _ in range(4)] == [b"1", b"2", b"3", b"4"]


@on_loop
async def test_a_read_that_stops_at_passed_descriptors_does_not_hide_the_rest(loop):
    one, other = unix_pair()
    with one, other:
        receiving = loop.create_task(loop.sock_recv(one, 100))
        await turns()
        other.send(b"before")
        socket.send_fds(other, [b"with"], [other.fileno()])
        other.send(b"after")
        got = await receiving
        while got != b"beforewithafter":
            got += await loop.sock_recv(one, 100)


@on_loop
async def test_urgent_data_does_not_hide_the_rest(loop):
    one, other = tcp_pair()
    with one, other:
        receiving = loop.create_task(loop.sock_recv(one, 100))
        await turns()
        other.send(b"before")
        other.send(b"!", socket.MSG_OOB)
        other.send(b"after")
        got = await receiving
        while got != b"beforeafter":
            got += await loop.sock_recv(one, 100)


@on_loop
async def test_receives_into_a_buffer(loop, streams):
    one, other = streams
    target = bytearray(b"........")
    receiving = loop.create_task(loop.sock_recv_into(one, memoryview(target)[2:6]))
    await turns()
    other.send(b"abcdefgh")
    assert await receiving == 4
    assert target == b"..abcd.."
    assert await loop.sock_recv_into(one, target) == 4
    assert target == b"efghcd.."
    with pytest.raises((TypeError, BufferError)):
        await loop.sock_recv_into(one, b"read only")


@on_loop
async def test_datagrams_with_their_senders(loop):
    with udp_socket() as one, udp_socket() as other:
        receiving = loop.create_task(loop.sock_recvfrom(one, 100))
        await turns()
        assert await loop.sock_sendto(other, b"hello", one.getsockname()) == 5
        assert await receiving == (b"hello", other.getsockname())
        for number in range(3):
            await loop.sock_sendto(other, b"%d" % number, one.getsockname())
        target = bytearray(10)
        got = [await loop.sock_recvfrom(one, 100) for _ in range(2)]
        assert [data for data, _ in got] == [b"0", b"1"]
        assert await loop.sock_recvfrom_into(one, target) == (1, other.getsockname())
        assert target[:1] == b"2"
        await loop.sock_sendto(other, b"long one", one.getsockname())
        assert await loop.sock_recvfrom_into(one, target, 4) == (4, other.getsockname())


@on_loop
async def test_an_empty_datagram_is_received(loop):
    with udp_socket() as one, udp_socket() as other:
        receiving = loop.create_task(loop.sock_recv(one, 100))
        await turns()
        await loop.sock_sendto(other, b"", one.getsockname())
        await loop.sock_sendto(other, b"next", one.getsockname())
        assert await receiving == b""
        assert await loop.sock_recv(one, 100) == b"next"


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview, lambda data: array.array("I", data), lambda data: memoryview(data)[:]]
)
@on_loop
async def test_sends_all_of_any_buffer_through_a_small_pipe(loop, streams, kind):
    one, other = streams
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    data = random.Random(7).randbytes(1_000_000)
    sending = loop.create_task(loop.sock_sendall(one, kind(data)))
    got = hashlib.sha256()
    size = 0
    while size < len(data):
        piece = await loop.sock_recv(other, 10_000)
        size += len(piece)
        got.update(piece)
    await sending
    assert got.digest() == hashlib.sha256(data).digest()


@on_loop
async def test_a_small_sendall_does_not_suspend(loop, streams):
    one, other = streams
    for data in (b"now", bytearray(b"now"), memoryview(b"now"), b""):
        with pytest.raises(StopIteration) as stopped:
            loop.sock_sendall(one, data).send(None)
        assert stopped.value.value is None
    with pytest.raises(TypeError):
        await loop.sock_sendall(one, "text")
    assert other.recv(100) == b"nownownow"


@on_loop
async def test_a_long_sendall_lets_others_run(loop):
    one, other = tcp_pair()
    with one, other:
        data = b"x" * 50_000_000
        ticks = 0
        sending = loop.create_task(loop.sock_sendall(one, data))
        size = 0
        while size < len(data):
            size += len(await loop.sock_recv(other, 1 << 20))
            ticks += not sending.done()
        await sending
        assert ticks > 3


@on_loop
async def test_reading_and_writing_wait_on_one_socket_at_once(loop, streams):
    one, other = streams
    filled = fill(one)
    reading = loop.create_task(loop.sock_recv(one, 10))
    writing = loop.create_task(loop.sock_sendall(one, b"end"))
    await turns()
    other.send(b"read")
    assert await reading == b"read"
    assert not writing.done()
    got = b""
    while len(got) < filled + 3:
        got += await loop.sock_recv(other, 65536)
    await writing
    assert got.endswith(b".end")


@on_loop
async def test_readers_of_one_socket_are_served_in_the_order_they_came(loop, streams):
    one, other = streams
    served = []

    async def read(number):
        served.append((number, await loop.sock_recv(one, 1)))

    readers = [loop.create_task(read(number)) for number in range(5)]
    await turns()
    other.send(b"abc")
    while len(served) < 3:
        await asyncio.sleep(0)
    other.send(b"de")
    await asyncio.gather(*readers)
    assert served == [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d"), (4, b"e")]


@on_loop
async def test_writers_of_one_socket_do_not_mix_their_bytes(loop, streams):
    one, other = streams
    pieces = [bytes([letter]) * 400_000 for letter in b"abcd"]
    writers = [loop.create_task(loop.sock_sendall(one, piece)) for piece in pieces]
    got = b""
    while len(got) < 1_600_000:
        got += await loop.sock_recv(other, 100_000)
    await asyncio.gather(*writers)
    assert got == b"".join(pieces)


@on_loop
async def test_debug_mode_refuses_blocking_sockets(loop):
    loop.set_debug(True)
    with socket.socket() as sock:
        for operation in (
            loop.sock_recv(sock, 1),
            loop.sock_recv_into(sock, bytearray(1)),
            loop.sock_recvfrom(sock, 1),
            loop.sock_recvfrom_into(sock, bytearray(1)),
            loop.sock_sendall(sock, b"x"),
            loop.sock_sendto(sock, b"x", ("127.0.0.1", 1)),
            loop.sock_connect(sock, ("127.0.0.1", 1)),
            loop.sock_accept(sock),
        ):
            with pytest.raises(ValueError, match="must be non-blocking"):
                await operation


@on_loop
async def test_a_blocking_socket_does_not_block_the_loop(loop):
    one, other = tcp_pair()
    with one, other:
        one.setblocking(True)
        receiving = loop.create_task(loop.sock_recv(one, 10))
        await turns()
        other.send(b"late")
        assert await receiving == b"late"


@on_loop
async def test_an_ssl_socket_is_refused(loop):
    one, other = tcp_pair()
    with one, other:
        wrapped = ssl.create_default_context().wrap_socket(
            one, server_hostname="localhost", do_handshake_on_connect=False
        )
        with wrapped:
            for operation in (
                loop.sock_recv(wrapped, 1),
                loop.sock_recv_into(wrapped, bytearray(1)),
                loop.sock_sendall(wrapped, b"x"),
                loop.sock_accept(wrapped),
                loop.sock_connect(wrapped, ("127.0.0.1", 1)),
            ):
                with pytest.raises(TypeError, match="SSLSocket"):
                    await operation


@on_loop
async def test_a_subclass_is_used_through_its_own_methods(loop):
    class Shouting(socket.socket):
        def recv(self, size):
            return super().recv(size).upper()

        def send(self, data):
            return super().send(bytes(data).lower())

    one, other = tcp_pair()
    with other, Shouting(fileno=one.detach()) as shouting:
        receiving = loop.create_task(loop.sock_recv(shouting, 10))
        await turns()
        other.send(b"hello")
        assert await receiving == b"HELLO"
        await loop.sock_sendall(shouting, b"ANSWER")
        assert await loop.sock_recv(other, 10) == b"answer"


@on_loop
async def test_they_are_coroutine_functions(loop):
    for name in "recv recv_into recvfrom recvfrom_into sendall sendto connect accept".split():
        assert inspect.iscoroutinefunction(getattr(loop, f"sock_{name}"))


@on_loop
async def test_with_the_collector_at_every_allocation(loop):
    one, other = tcp_pair()
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        with one, other:
            for number in range(50):
                receiving = loop.create_task(loop.sock_recv(one, 100))
                cancelled = loop.create_task(loop.sock_recv(one, 100))
                await turns()
                cancelled.cancel()
                await loop.sock_sendall(other, b"%d" % number)
                assert await receiving == b"%d" % number
    finally:
        gc.set_threshold(*before)


@on_loop
async def test_no_descriptor_is_left_behind(loop):
    before = open_descriptors()
    for _ in range(20):
        one, other = tcp_pair()
        with one, other:
            receiving = loop.create_task(loop.sock_recv(one, 10))
            await turns()
            await loop.sock_sendall(other, b"x")
            await receiving
    assert opened_since(before) == set()
