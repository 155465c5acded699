"""add_reader and a file that is closed before its reader is removed, as programs do."""

import asyncio
import socket

import pytest

import clearloop
from descriptors import far_away


@pytest.fixture
def loop():
    loop = clearloop.new_event_loop()
    yield loop
    loop.close()


def pair():
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    return far_away(left), right


def reuse(number):
    """A socket that has the descriptor `number`, which is free, and the other end."""
    left, right = pair()
    assert left.fileno() == number
    return left, right


def test_the_closed_object_is_known_by_what_was_added(loop):
    left, right = pair()
    loop.add_reader(left, print)
    loop.add_writer(left, print)
    left.close()
    assert loop.remove_reader(left)
    assert loop.remove_writer(left)
    with pytest.raises(ValueError):
        loop.remove_reader(left)
    right.close()


def test_a_transport_takes_the_number_of_a_closed_file(loop):
    async def main():
        left, right = pair()
        heard = []
        loop.add_reader(left, heard.append, "reader of the closed file")
        number = left.fileno()
        left.close()
        ours, theirs = reuse(number)
        reader, writer = await asyncio.open_connection(sock=ours)
        theirs.send(b"hello")
        assert await reader.readexactly(5) == b"hello"
        assert not loop.remove_reader(left)  # too late to matter, and no mistake
        theirs.send(b"again")
        assert await reader.readexactly(5) == b"again"
        assert heard == []
        writer.close()
        await writer.wait_closed()
        theirs.close()
        right.close()

    loop.run_until_complete(asyncio.wait_for(main(), 20))


def test_removing_the_old_reader_leaves_the_new_one_of_the_same_number(loop):
    async def main():
        left, right = pair()
        loop.add_reader(left, print, "reader of the closed file")
        number = left.fileno()
        left.close()
        ours, theirs = reuse(number)
        readable = asyncio.Event()
        loop.add_reader(ours, readable.set)
        loop.remove_reader(left)
        theirs.send(b"x")
        await readable.wait()
        assert loop.remove_reader(ours)
        for sock in (ours, theirs, right):
            sock.close()

    loop.run_until_complete(asyncio.wait_for(main(), 20))
