"""Protocols that close, pause, switch or raise in each of their callbacks: what follows is what asyncio does.

Each program runs on asyncio's loop (the oracle) and on clearloop's: the same callbacks in the same order, the same
reports, the same bytes at the other end, and no descriptor left.
"""

import asyncio
import socket

import pytest

from conduct import ACTIONS, EVERY_PLACE, Peer, on_both_loops, switch


def connected():
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    async def connect(factory, log):
        await asyncio.get_running_loop().create_connection(factory, sock=ours)

    return connect, Peer(theirs)


@pytest.mark.parametrize("act", ACTIONS, ids=lambda act: act.__name__)
@pytest.mark.parametrize(("factory", "where"), EVERY_PLACE)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # asyncio's, where it trips
def test_it_ends_as_on_asyncio(factory, where, act):
    theirs, ours = on_both_loops(connected, factory, where, act)
    if (where, act) == ("get_buffer", switch):  # asyncio calls a method of the other kind that the new one has not
        assert ("other", "data_received") in ours[0] and ours[1] == []
    else:
        assert told(ours, where) == told(theirs, where)


def told(seen, where):
    """What both loops have to agree on.

    asyncio trips over itself when a connection is aborted in resume_writing, and after a close or a switch in
    get_buffer it still reads into the old protocol's buffer and tells the new one.
    """
    calls, reports, received = seen
    if where == "get_buffer":
        calls = [call for call in calls if call[1:] != ("buffer_updated",) and call[1:] != ("get_buffer",)]
    return calls, [report for report in reports if report != "AttributeError"], received
