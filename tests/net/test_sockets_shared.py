"""A descriptor that changes hands: closed under our feet, given to another socket, watched by somebody else as well."""

import asyncio
import gc
import os
import socket
import weakref

import pytest
from socket_tools import fill, on_loop, tcp_pair, turns, unix_pair

from descriptors import far_away


async def exchange(loop, one, other):
    """A wait and an answer on a pair."""
    receiving = loop.create_task(loop.sock_recv(one, 10))
    await turns()
    assert not receiving.done()
    await loop.sock_sendall(other, b"ping")
    assert await receiving == b"ping"


@on_loop
async def test_a_number_that_is_reused_while_the_old_object_lives(loop):
    kept = []
    numbers = set()
    for _ in range(10):
        one, other = map(far_away, tcp_pair())
        numbers.add(one.fileno())
        await exchange(loop, one, other)
        await exchange(loop, other, one)
        one.close()
        other.close()
        kept.append((one, other))
    assert len(numbers) == 1


@on_loop
async def test_a_number_that_is_reused_after_the_old_object_is_gone(loop):
    for _ in range(10):
        one, other = map(far_away, unix_pair())
        await exchange(loop, one, other)
        one.close()
        other.close()
        del one, other


@on_loop
async def test_a_number_that_is_reused_while_a_duplicate_keeps_the_old_file_open(loop):
    one, other = tcp_pair()
    one = far_away(one)
    await exchange(loop, one, other)
    with one.dup() as duplicate, other:
        number = one.fileno()
        one.close()
        fresh, peer = unix_pair()
        fresh = far_away(fresh)
        with fresh, peer:
            assert fresh.fileno() == number
            other.send(b"for the duplicate")
            await exchange(loop, fresh, peer)
            await exchange(loop, peer, fresh)
            assert await loop.sock_recv(duplicate, 100) == b"for the duplicate"


@on_loop
async def test_who_waits_for_a_closed_socket_is_told_when_its_number_is_taken(loop):
    one, other = tcp_pair()
    one = far_away(one)
    with other:
        waiting = loop.create_task(loop.sock_recv(one, 10))
        await turns()
        number = one.fileno()
        one.close()
        taker, giver = unix_pair()
        taker = far_away(taker)
        with taker, giver:
            assert taker.fileno() == number
            await exchange(loop, taker, giver)
            with pytest.raises(OSError, match="Bad file descriptor"):
                await waiting


@on_loop
async def test_an_operation_on_a_closed_socket_raises(loop):
    one, other = tcp_pair()
    with other:
        await exchange(loop, one, other)
        one.close()
        for operation in (
            loop.sock_recv(one, 1),
            loop.sock_recv_into(one, bytearray(1)),
            loop.sock_recvfrom(one, 1),
            loop.sock_sendall(one, b"x"),
            loop.sock_accept(one),
        ):
            with pytest.raises(OSError, match="Bad file descriptor"):
                await operation


@on_loop
async def test_a_detached_descriptor_goes_on_under_another_object(loop):
    one, other = tcp_pair()
    await exchange(loop, one, other)
    with socket.socket(fileno=one.detach()) as again, other:
        await exchange(loop, again, other)
        del one
        gc.collect()
        await exchange(loop, again, other)


@on_loop
async def test_two_objects_for_one_descriptor(loop):
    one, other = tcp_pair()
    twin = socket.socket(fileno=one.fileno())
    try:
        reading = loop.create_task(loop.sock_recv(one, 10))
        await turns()
        await loop.sock_sendall(twin, b"from the twin")
        assert await loop.sock_recv(other, 100) == b"from the twin"
        also_reading = loop.create_task(loop.sock_recv(twin, 10))
        await turns()
        other.send(b"first")
        assert await reading == b"first"
        other.send(b"second")
        assert await also_reading == b"second"
    finally:
        twin.detach()
        one.close()
        other.close()


@on_loop
async def test_the_other_of_two_objects_goes_on_when_one_is_gone(loop):
    """Both waits stand in the watcher of the object that goes."""
    one, other = tcp_pair()
    twin = socket.socket(fileno=one.fileno())
    with twin, other:
        first = loop.create_task(loop.sock_recv(one, 10))
        await turns()
        reading = loop.create_task(loop.sock_recv(twin, 10))
        reading_into = loop.create_task(loop.sock_recv_into(twin, bytearray(10)))
        filled = fill(twin)
        sending = loop.create_task(loop.sock_sendall(twin, b"end"))
        await turns()
        first.cancel()
        one.detach()
        del one, first
        await turns()
        gc.collect()
        await turns()
        other.send(b"0123456789")
        assert await reading == b"0123456789"
        other.send(b"more")
        assert await reading_into == 4
        got = b""
        while len(got) < filled + 3:
            got += await loop.sock_recv(other, 1 << 20)
        await sending
        assert got.endswith(b".end")


@on_loop
async def test_a_duplicate_is_a_socket_of_its_own(loop):
    one, other = tcp_pair()
    with one, other, one.dup() as duplicate:
        for number in range(5):
            first = loop.create_task(loop.sock_recv(one, 10))
            await turns()
            other.send(b"%d" % number)
            assert await first == b"%d" % number
            second = loop.create_task(loop.sock_recv(duplicate, 10))
            await turns()
            other.send(b"%d" % number)
            assert await second == b"%d" % number


@on_loop
async def test_a_reader_can_be_added_after_an_operation(loop):
    one, other = tcp_pair()
    with one, other:
        await exchange(loop, one, other)
        seen = loop.create_future()
        loop.add_reader(one, lambda: seen.done() or seen.set_result(one.recv(10)))
        other.send(b"by hand")
        assert await seen == b"by hand"
        assert loop.remove_reader(one)
        await exchange(loop, one, other)


@on_loop
async def test_an_operation_beside_a_callback_of_the_other_direction(loop):
    """As on asyncio: a writer does not disturb sock_recv, a reader does not disturb sock_sendall."""
    one, other = tcp_pair()
    with one, other:
        writable = 0

        def count():
            nonlocal writable
            writable += 1

        loop.add_writer(one, count)
        await exchange(loop, one, other)
        assert writable > 0
        await exchange(loop, one, other)
        assert loop.remove_writer(one)

        arrived = loop.create_future()
        filled = fill(one)
        loop.add_reader(one, lambda: arrived.done() or arrived.set_result(one.recv(10)))
        sending = loop.create_task(loop.sock_sendall(one, b"end"))
        await turns()
        other.send(b"to reader")
        await arrived
        got = b""
        while len(got) < filled + 3:
            got += await loop.sock_recv(other, 1 << 20)
        await sending
        assert loop.remove_reader(one)
        await exchange(loop, one, other)


@on_loop
async def test_a_callback_added_while_an_operation_of_the_other_direction_waits(loop):
    one, other = tcp_pair()
    with one, other:
        receiving = loop.create_task(loop.sock_recv(one, 10))
        await turns()
        writable = loop.create_future()
        loop.add_writer(one, lambda: writable.done() or writable.set_result(None))
        await writable
        other.send(b"both")
        assert await receiving == b"both"
        assert loop.remove_writer(one)
        await exchange(loop, one, other)


@on_loop
async def test_a_reader_takes_the_place_of_an_operation_that_waits(loop):
    """asyncio's rule: the later of the two is the one who is told."""
    one, other = tcp_pair()
    with one, other:
        waiting = loop.create_task(loop.sock_recv(one, 10))
        await turns()
        seen = loop.create_future()
        loop.add_reader(one, lambda: seen.done() or seen.set_result(one.recv(10)))
        other.send(b"data")
        assert await seen == b"data"
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
        other.send(b"more")
        seen = loop.create_future()
        assert await seen == b"more"
        assert loop.remove_reader(one)
        await exchange(loop, one, other)


@on_loop
async def test_what_a_transport_has_is_refused(loop):
    one, other = tcp_pair()
    with other:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=one)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(one, 10)
        fill(one)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_sendall(one, b"x")
        transport.abort()


@on_loop
async def test_a_transport_takes_over_what_operations_have_used(loop):
    one, other = tcp_pair()
    with other:
        await exchange(loop, one, other)
        received = loop.create_future()

        class Protocol(asyncio.Protocol):
            def data_received(self, data):
                received.set_result(data)

        transport, _ = await loop.create_connection(Protocol, sock=one)
        await loop.sock_sendall(other, b"over")
        assert await received == b"over"
        transport.close()
        await turns()


@on_loop
async def test_a_transport_gets_the_number_of_a_socket_that_was_closed(loop):
    one, other = map(far_away, tcp_pair())
    await exchange(loop, one, other)
    await exchange(loop, other, one)
    numbers = {one.fileno(), other.fileno()}
    one.close()
    other.close()
    fresh, peer = map(far_away, tcp_pair())
    assert numbers == {fresh.fileno(), peer.fileno()}
    for sock in (fresh, peer):
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=sock)
        transport.close()
        await turns()


@on_loop
async def test_a_socket_that_nobody_holds_is_forgotten(loop):
    one, other = tcp_pair()
    one = far_away(one)
    await exchange(loop, one, other)
    gone = weakref.ref(one)
    number = one.fileno()
    one.close()
    del one
    assert gone() is None
    with other:
        duplicate = os.dup2(other.fileno(), number)
        seen = loop.create_future()
        loop.add_writer(duplicate, lambda: seen.done() or seen.set_result(None))
        await seen
        loop.remove_writer(duplicate)
        os.close(duplicate)


def test_a_task_that_waits_when_the_loop_closes_harms_nobody():
    import clearloop

    one, other = tcp_pair()
    with one, other:
        loop = clearloop.new_event_loop()
        waiting = loop.create_task(loop.sock_recv(one, 10))
        loop.call_later(0.01, loop.stop)
        loop.run_forever()
        loop.close()
        waiting._log_destroy_pending = False
        other.send(b"for the next loop")
        with pytest.raises(RuntimeError):
            waiting.get_coro().throw(RuntimeError)
        second = clearloop.new_event_loop()
        assert second.run_until_complete(second.sock_recv(one, 100)) == b"for the next loop"
        second.close()
        del waiting
        gc.collect()


def test_an_operation_on_a_closed_loop_raises_when_it_would_wait():
    import clearloop

    one, other = tcp_pair()
    with one, other:
        loop = clearloop.new_event_loop()
        loop.close()
        with pytest.raises(RuntimeError, match="closed"):
            loop.sock_recv(one, 10).send(None)
