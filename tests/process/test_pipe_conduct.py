"""Protocols of pipes that close, pause or raise in each of their callbacks: what follows is what asyncio does.

It trips over itself when a pipe is closed or aborted while it writes (an AttributeError in the report): we do not.
"""

import asyncio
import os

import pytest

from conduct import ACTIONS, Noting, on_both_loops, switch_kind


class Writer:
    """The other end of a pipe that is read."""

    def __init__(self, fd):
        self.fd = fd

    def hear(self, log):
        return 0

    def say(self, data):
        try:
            os.write(self.fd, data)
        except OSError:
            pass

    def end(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    close = end


class Reader(Writer):
    """The other end of one that is written to."""

    def __init__(self, fd):
        super().__init__(fd)
        os.set_blocking(fd, False)

    def hear(self, log):
        count = 0
        try:
            while data := os.read(self.fd, 65536):
                log.received += data
                count += len(data)
        except OSError:
            pass
        return count

    def say(self, data):
        pass


def to_be_read():
    ours, theirs = os.pipe()

    async def connect(factory, log):
        await asyncio.get_running_loop().connect_read_pipe(factory, os.fdopen(ours, "rb", 0))

    return connect, Writer(theirs)


def to_be_written():
    theirs, ours = os.pipe()

    async def connect(factory, log):
        await asyncio.get_running_loop().connect_write_pipe(factory, os.fdopen(ours, "wb", 0))

    return connect, Reader(theirs)


READ = ("connection_made", "data_received", "eof_received", "connection_lost")
WRITTEN = ("connection_made", "pause_writing", "resume_writing", "connection_lost")
PLACES = [*((to_be_read, where) for where in READ), *((to_be_written, where) for where in WRITTEN)]


@pytest.mark.parametrize("act", ACTIONS, ids=lambda act: act.__name__)
@pytest.mark.parametrize(("connected", "where"), PLACES)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # asyncio's, where it trips
def test_it_ends_as_on_asyncio(connected, where, act):
    theirs, ours = on_both_loops(connected, Noting, where, act)
    if connected is to_be_read and act is switch_kind:  # asyncio's pipes know no BufferedProtocol
        assert ("other buffered", "buffer_updated") in ours[0] or where in ("eof_received", "connection_lost")
        assert ours[1] == []
    else:
        assert told(ours) == told(theirs)


def told(seen):
    calls, reports, received = seen
    return calls, [report for report in reports if report != "AttributeError"], received
