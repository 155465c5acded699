"""Accepting connections on one listening socket.

Each event accepts what waits, up to a batch, so that a flood of connections does not keep others from their turn.
TCP_NODELAY is set on the listening socket: every accepted socket inherits it, which saves each connection
a system call.
"""

import asyncio
import os
from asyncio import trsock

import cython
from cython.cimports.clearloop.engine.runnable import Source
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.net.address import keep_address
from cython.cimports.clearloop.net.transport import StreamTransport, new_transport
from cython.cimports.clearloop.system.capi import PyContext_CopyCurrent, PyContext_Enter, PyContext_Exit
from cython.cimports.clearloop.system.epoll import close_fd
from cython.cimports.clearloop.system.poller import READABLE
from cython.cimports.clearloop.system.sockets import (
    AF_INET,
    AF_INET6,
    IPPROTO_TCP,
    TCP_NODELAY,
    accept_connection,
    setsockopt,
    sockaddr,
    sockaddr_storage,
    socklen_t,
)
from cython.cimports.cpython.contextvars import PyContext_Copy
from cython.cimports.libc.errno import (
    EAGAIN,
    EBADF,
    EFAULT,
    EINVAL,
    EMFILE,
    ENFILE,
    ENOBUFS,
    ENOMEM,
    ENOTSOCK,
    errno,
)

LARGEST_BATCH = cython.declare(cython.int, 256)
REST = asyncio.constants.ACCEPT_RETRY_DELAY  # seconds without accepting when descriptors or memory are short


@cython.cclass
class Listener(Source):
    """One listening socket of a server."""

    def __init__(self, loop: Scheduler, sock, server, factory, backlog: cython.int, tls=None):
        on: cython.int = 1
        self.loop = loop
        self.sock = sock
        self.server = server
        self.factory = factory
        self.tls = tls
        self.context = PyContext_CopyCurrent()
        self.fd = sock.fileno()
        self.family = sock.family
        self.proto = sock.proto
        self.batch = min(max(backlog, 1), LARGEST_BATCH)
        if self.family == AF_INET or self.family == AF_INET6:
            setsockopt(self.fd, IPPROTO_TCP, TCP_NODELAY, cython.address(on), cython.sizeof(cython.int))
        self.accepting = True
        self._resume()

    def _resume(self):
        if self.accepting and not self.watched:
            self.loop.poller.add(self.fd, READABLE, self)
            self.watched = True

    def rest(self):
        if self.watched:
            self.watched = False
            self.loop.poller.remove(self.fd)
        return 0

    def stop(self):
        """Accept no more; the socket is its owner's to close."""
        self.accepting = False
        self.rest()

    def run(self):
        address: sockaddr_storage
        size: socklen_t
        fd: cython.int
        _taken: cython.int
        self.revents = 0
        self.queued = False
        for _taken in range(self.batch):
            if not self.accepting or not self.watched:
                break
            size = cython.sizeof(sockaddr_storage)
            fd = accept_connection(
                self.fd,
                cython.cast(cython.pointer(sockaddr), cython.address(address)),
                cython.address(size),
            )
            if fd >= 0:
                self.welcome(fd, cython.address(address), size)
            elif errno == EAGAIN:
                break
            else:
                self.refused(errno)
        return 0

    def welcome(self, fd, address, size):
        """A connection came in: give it a protocol and a transport, in a context of its own."""
        context = PyContext_Copy(self.context)
        failure = None
        PyContext_Enter(context)
        try:
            self.make(fd, address, size, context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            failure = error
        finally:
            PyContext_Exit(context)
        if failure is not None:
            self.loop.call_exception_handler(
                {
                    "message": "Error on transport creation for incoming connection",
                    "exception": failure,
                    "server": self.server,
                }
            )
        return 0

    def make(self, fd, address, size, context):
        transport: StreamTransport
        try:
            protocol = self.factory()
            if self.tls is not None:
                protocol = self.tls(self.loop, protocol)
            transport = new_transport(self.loop, fd, self.family, self.proto, context)
        except BaseException:
            close_fd(fd)
            raise
        if self.family == AF_INET or self.family == AF_INET6:
            keep_address(cython.address(transport.peer), address, size)
        else:
            sock = transport.python_socket()
            transport.extra = {"sockname": sock.getsockname(), "peername": sock.getpeername()}
        transport.server = self.server
        self.server._attach(transport)
        try:
            transport.begin(protocol)
        except BaseException:
            transport.abandon()
            raise
        return 0

    def refused(self, error):
        """accept failed.  Only what would fail again at once is told; a connection that is gone is nobody's news."""
        if error == EMFILE or error == ENFILE or error == ENOBUFS or error == ENOMEM:
            message = "socket.accept() out of system resource"
        elif error == EBADF or error == EINVAL or error == ENOTSOCK or error == EFAULT:
            message = "socket.accept() failed: the listening socket cannot be used"
        else:
            return 0
        self.rest()
        self.loop.call_later(REST, self._resume_later)
        self.loop.call_exception_handler(
            {
                "message": message,
                "exception": OSError(error, os.strerror(error)),
                "socket": trsock.TransportSocket(self.sock),
            }
        )
        return 0

    def _resume_later(self):
        if self.sock.fileno() != self.fd:
            return
        try:
            self._resume()
        except OSError as error:  # the kernel has no memory, or no place, for the registration: it may have later
            self.loop.call_later(REST, self._resume_later)
            self.loop.call_exception_handler(
                {
                    "message": "the listening socket cannot be watched yet",
                    "exception": error,
                    "socket": trsock.TransportSocket(self.sock),
                }
            )

    def __repr__(self):
        return f"<Listener fd={self.fd} of {self.server!r}>"
