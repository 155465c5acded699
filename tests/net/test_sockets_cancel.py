"""A cancelled sock_* operation has taken nothing, and nobody behind it in the line is forgotten."""

import asyncio
import os
import select
import socket

import pytest
from socket_tools import fill, on_loop, tcp_pair, turns, udp_socket, unix_pair


async def cancelled(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@on_loop
async def test_before_the_data_comes(loop):
    one, other = tcp_pair()
    with one, other:
        waiting = loop.create_task(loop.sock_recv(one, 10))
        await turns()
        await cancelled(waiting)
        other.send(b"kept")
        assert await loop.sock_recv(one, 10) == b"kept"


@pytest.mark.parametrize("by", ["the socket", "its number"])
@on_loop
async def test_a_sender_whose_socket_is_closed_after_the_poll_and_before_its_edge(loop, by):
    """Both edges come with one poll; the step of the first one closes the socket that the second one is about."""
    one, other = unix_pair()
    first, trigger = unix_pair()
    with one, other, first, trigger:
        fill(one)
        sending = loop.create_task(loop.sock_sendall(one, b"x"))
        await turns()
        closed = []

        def close():
            loop.remove_reader(first)
            sending.cancel()
            if by == "the socket":
                one.close()
            else:
                os.close(one.fileno())
            closed.append(True)

        loop.add_reader(first, close)
        trigger.send(b"x")  # ready first, so it is first in the ring
        while other in select.select([other], [], [], 0)[0]:
            other.recv(100_000)
        while not closed:
            await asyncio.sleep(0.001)
        await turns()
        assert sending.cancelled()
        one.detach()


@pytest.mark.parametrize("later", range(6))
@on_loop
async def test_around_the_moment_when_the_data_comes(loop, later):
    """Cancel a few turns after the data was sent: the reader has it all, or the next one does."""
    one, other = unix_pair()
    with one, other:
        waiting = loop.create_task(loop.sock_recv(one, 10))
        await turns()
        other.send(b"data")
        for _ in range(later):
            await asyncio.sleep(0)
        waiting.cancel()
        try:
            got = await waiting
        except asyncio.CancelledError:
            got = await loop.sock_recv(one, 10)
        assert got == b"data"


@on_loop
async def test_after_the_wake_up_and_before_the_step(loop):
    """The edge has come and the task is ready; what cancels it runs first."""
    one, other = tcp_pair()
    with one, other:
        first = loop.create_task(loop.sock_recv(one, 10))
        second = loop.create_task(loop.sock_recv(one, 10))
        await turns()
        other.send(b"data")
        turn = first._fut_waiter
        while not turn.done():
            await asyncio.sleep(0)
        assert not first.done()
        await cancelled(first)
        assert await second == b"data"


@pytest.mark.parametrize("victim", range(4))
@on_loop
async def test_any_one_of_those_in_line(loop, victim):
    one, other = tcp_pair()
    with one, other:
        waiting = [loop.create_task(loop.sock_recv(one, 1)) for _ in range(4)]
        await turns()
        await cancelled(waiting.pop(victim))
        other.send(b"abc")
        assert await asyncio.gather(*waiting) == [b"a", b"b", b"c"]


@on_loop
async def test_all_of_them_and_then_a_new_one(loop):
    one, other = tcp_pair()
    with one, other:
        waiting = [loop.create_task(loop.sock_recv(one, 1)) for _ in range(4)]
        await turns()
        for task in waiting[::-1]:
            await cancelled(task)
        receiving = loop.create_task(loop.sock_recv(one, 1))
        await turns()
        other.send(b"x")
        assert await receiving == b"x"


@on_loop
async def test_a_coroutine_that_is_closed_instead_of_cancelled(loop):
    one, other = tcp_pair()
    with one, other:
        other_reader = loop.sock_recv(one, 10)
        other_reader.send(None)
        behind = loop.create_task(loop.sock_recv(one, 10))
        await turns()
        other.send(b"data")
        other_reader.close()
        assert await behind == b"data"


@pytest.mark.parametrize("later", range(4))
@on_loop
async def test_a_datagram_is_not_lost(loop, later):
    with udp_socket() as one, udp_socket() as other:
        waiting = loop.create_task(loop.sock_recvfrom(one, 10))
        await turns()
        other.sendto(b"data", one.getsockname())
        for _ in range(later):
            await asyncio.sleep(0)
        waiting.cancel()
        try:
            got = await waiting
        except asyncio.CancelledError:
            got = await loop.sock_recvfrom(one, 10)
        assert got == (b"data", other.getsockname())


@pytest.mark.parametrize("later", range(4))
@on_loop
async def test_a_connection_is_not_lost(loop, later):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        waiting = loop.create_task(loop.sock_accept(listener))
        await turns()
        with socket.create_connection(listener.getsockname()) as client:
            for _ in range(later):
                await asyncio.sleep(0)
            waiting.cancel()
            try:
                accepted, address = await waiting
            except asyncio.CancelledError:
                accepted, address = await loop.sock_accept(listener)
            with accepted:
                assert address == client.getsockname()


@on_loop
async def test_a_sender_in_line_has_sent_nothing(loop):
    one, other = tcp_pair()
    with one, other:
        filled = fill(one)
        first = loop.create_task(loop.sock_sendall(one, b"first"))
        second = loop.create_task(loop.sock_sendall(one, b"second"))
        third = loop.create_task(loop.sock_sendall(one, b"third"))
        await turns()
        await cancelled(second)
        got = b""
        while len(got) < filled + 10:
            got += await loop.sock_recv(other, 1 << 20)
        await asyncio.gather(first, third)
        assert got.lstrip(b".") == b"firstthird"


@on_loop
async def test_a_sender_that_is_cancelled_half_way_leaves_the_line_to_the_next(loop):
    one, other = tcp_pair()
    with one, other:
        first = loop.create_task(loop.sock_sendall(one, b"1" * 30_000_000))
        second = loop.create_task(loop.sock_sendall(one, b"2" * 10))
        await turns()
        await cancelled(first)
        got = b""
        while not got.endswith(b"2" * 10):
            got += await loop.sock_recv(other, 1 << 20)
        await second
        assert got.strip(b"1") == b"2" * 10


@on_loop
async def test_wait_for_and_timeouts_leave_the_socket_usable(loop):
    one, other = tcp_pair()
    with one, other:
        for number in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await loop.sock_recv(one, 10)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.sock_recv(one, 10), 0.001)
            other.send(b"%d" % number)
            assert await loop.sock_recv(one, 10) == b"%d" % number


@on_loop
async def test_a_storm_of_cancellations_loses_no_byte(loop):
    one, other = unix_pair()
    sent = bytes(range(256)) * 40
    got = bytearray()

    async def read():
        got.extend(await loop.sock_recv(one, 7))

    with one, other:
        position = 0
        while len(got) < len(sent):
            if position < len(sent):
                other.send(sent[position : position + 13])
                position += 13
            readers = [loop.create_task(read()) for _ in range(4)]
            await turns(len(got) % 4)
            for reader in readers[len(got) % 2 :: 2]:
                reader.cancel()
            await turns(2)
            for reader in readers:
                reader.cancel()
            await asyncio.wait(readers)
    assert got == sent
