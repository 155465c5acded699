"""An attempt to connect: a socket of our own on its way to being a transport.

Most connections a program makes go to addresses that nobody handles but us: no socket object is ever asked for.  So
there is none: `_socket.socket` makes the descriptor and connects it (with the audit events and the reading of addresses
that Python has), and the transport takes the bare number, as it does for connections that were accepted.

A peer on this machine has answered by the time connect() returns, although it says EINPROGRESS; looking once more
saves registering the descriptor, a turn of the loop, and taking it out again.
"""

import _socket
import socket

import cython
from cython.cimports.clearloop.engine.future import PENDING, RETURNED, new_future
from cython.cimports.clearloop.net.address import ask_address
from cython.cimports.clearloop.net.sockops import pending_error
from cython.cimports.clearloop.system.epoll import close_fd
from cython.cimports.clearloop.system.poller import WRITABLE
from cython.cimports.libc.errno import EINPROGRESS, EINTR

from clearloop.net.sockets import sock_connect

_PLAIN = cython.declare(object, _socket.socket)
_SOCKET = cython.declare(object, socket.socket)
POLL_NOW = cython.declare(cython.Py_ssize_t, 1 << 20)
_NONBLOCK = cython.declare(object, getattr(socket, "SOCK_NONBLOCK", 0))
_sock_connect = cython.declare(object, sock_connect)


@cython.cclass
class Attempt(Source):
    """A socket that is connecting; made by connect()."""

    def __init__(self):
        raise TypeError("an attempt is made by connect()")

    def outcome(self):
        """0 when the connection stands, its error number when it has failed (told once), -1 while nobody knows."""
        ask_address(cython.address(self.peer), self.fd, True)  # the transport wants it anyway, and only now it has one
        return 0 if self.peer.known else pending_error(self.fd)

    def wait(self):
        """A future that is resolved when outcome() may have changed."""
        if not self.watched:
            self.loop.poller.add(self.fd, WRITABLE, self)
            self.watched = True
        self.answer = new_future(self.loop)
        return self.answer

    def run(self):
        self.revents = 0
        self.queued = False
        answer = self.answer
        self.answer = None
        if answer is not None and answer.state == PENDING:
            answer.settle(RETURNED, None)
        return 0

    def unwatch(self):
        if self.watched:
            self.watched = False
            self.loop.poller.remove(self.fd)
        return 0

    def give(self):
        """The connected descriptor: it is the caller's from now on."""
        self.unwatch()
        fd = self.fd
        self.fd = -1
        return fd

    def close(self):
        """Give it up."""
        if self.fd >= 0:
            self.unwatch()
            close_fd(self.fd)
            self.fd = -1

    def __dealloc__(self):
        if self.fd >= 0:  # the poller holds those that it watches, so this one is not among them
            close_fd(self.fd)


def can_connect(loop):
    """Whether connections are ours to make: the program has replaced nothing of what we leave out."""
    return socket.socket is _SOCKET and getattr(loop.sock_connect, "__func__", None) is _sock_connect


def connect(loop: Scheduler, family, kind, proto, address):
    """Begin to connect a new socket to `address`, which needs no resolver; OSError if that fails at once."""
    attempt: Attempt = Attempt.__new__(Attempt)
    attempt.fd = -1
    plain = _PLAIN(family, kind | _NONBLOCK, proto)
    try:
        if not _NONBLOCK:
            plain.setblocking(False)
        error: cython.int = plain.connect_ex(address)
        if error != 0 and error != EINPROGRESS and error != EINTR:
            raise refusal(error, address)
        attempt.loop = loop
        attempt.family = family
        attempt.proto = proto
        attempt.fd = plain.detach()
        # A server of this very loop hears of it before we go on: there may be nothing to make us wait for the kernel
        loop.since_poll = POLL_NOW
    finally:
        plain.close()
    return attempt


def refusal(error, address):
    """The OSError for an error number that a connection attempt ended with."""
    return OSError(error, f"Connect call failed {address}")
