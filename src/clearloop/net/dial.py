"""Waiting until a socket that is being connected is connected, or has failed.

The kernel reports a connecting socket writable in both cases, and SO_ERROR says which it was.  Whoever waits must
call `stop()` before the socket may be closed (a `finally`): a new socket could get the same number, and would find it
watched.
"""

import cython
from cython.cimports.clearloop.engine.future import PENDING, RETURNED, new_future
from cython.cimports.clearloop.engine.runnable import Source
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.system.poller import WRITABLE
from cython.cimports.clearloop.system.sockets import SO_ERROR, SOL_SOCKET, getsockopt, socklen_t
from cython.cimports.libc.errno import errno


@cython.cclass
class Dial(Source):
    """One connection attempt in progress; `future` is done when it has ended."""

    def __init__(self, loop: Scheduler, fd: cython.int, address):
        self.loop = loop
        self.fd = fd
        self.address = address
        self.future = new_future(loop)
        loop.poller.add(fd, WRITABLE, self)
        self.watching = True

    def run(self):
        error: cython.int = 0
        size: socklen_t = cython.sizeof(cython.int)
        self.revents = 0
        self.queued = False
        if not self.watching:
            return 0
        self.stop()
        if self.future.state != PENDING:
            return 0
        if getsockopt(self.fd, SOL_SOCKET, SO_ERROR, cython.address(error), cython.address(size)) < 0:
            error = errno
        if error == 0:
            self.future.settle(RETURNED, None)
        else:
            message = f"Connect call failed {self.address}"
            self.future.fail(OSError(error, message))
        return 0

    def stop(self):
        """Watch the socket no longer."""
        if self.watching:
            self.watching = False
            self.loop.poller.remove(self.fd)

    def __repr__(self):
        return f"<Dial fd={self.fd} to {self.address!r}>"
