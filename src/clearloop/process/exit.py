"""The end of a child, by its process descriptor (pidfd) in the poller: no SIGCHLD handler, no thread.

The descriptor names the child and nobody else, also after the number has been given to another process: a signal sent
through it reaches the child, or nobody.
"""

import asyncio
import os

import cython
from cython.cimports.clearloop.engine.runnable import Source
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.system.epoll import close_fd
from cython.cimports.clearloop.system.poller import READABLE
from cython.cimports.clearloop.system.spawn import reap, send_to
from cython.cimports.libc.errno import ESRCH, errno


@cython.cclass
class Exit(Source):
    """Reaps one child when it ends, and calls `ended(code)`: None when somebody else has reaped it."""

    def __cinit__(self):
        self.fd = -1

    def __init__(self, loop: Scheduler, fd: cython.int, ended):
        """Owns the descriptor `fd`, unless it raises: OSError when it cannot be watched."""
        loop.poller.add(fd, READABLE, self)
        self.loop = loop
        self.fd = fd
        self.ended = ended

    def __dealloc__(self):
        if self.fd >= 0:
            close_fd(self.fd)

    def run(self):
        code: cython.int = 0
        self.revents = 0
        self.queued = False
        if self.fd < 0:
            return 0
        outcome: cython.int = reap(self.fd, cython.address(code))
        if outcome == 0:
            return 0
        ended = self.ended
        self.let_go()
        ended(code if outcome > 0 else None)
        return 0

    @property
    def _waited_for(self):
        transport = getattr(self.ended, "__self__", None)
        return transport._awaited() if isinstance(transport, asyncio.SubprocessTransport) else None

    def let_go(self):
        fd: cython.int = self.fd
        self.fd = -1
        self.ended = None
        if fd >= 0:
            if self.loop.poller.owner_of(fd) is self:
                self.loop.poller.remove(fd)
            close_fd(fd)
        return 0

    def signal(self, number: cython.int):
        """Send the signal `number`, unless the child has ended; OSError when it must not or cannot be sent."""
        if self.fd >= 0 and send_to(self.fd, number) < 0 and errno != ESRCH:
            error: cython.int = errno
            raise OSError(error, os.strerror(error))

    def abandon(self):
        """The loop is closed: nobody will hear of the end.  Return whether the child was reaped just now."""
        code: cython.int = 0
        reaped: cython.bint = self.fd < 0 or reap(self.fd, cython.address(code)) != 0
        self.let_go()
        return reaped
