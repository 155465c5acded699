"""The transport of a datagram endpoint.

Reading takes up to 32 datagrams per readiness event in one system call, and hands them over one by one in the
context that the endpoint was made in; a callback that raises is reported and the rest goes on.  Sending goes straight
to the kernel; what it does not take is queued as a copy, in order, and sent when the socket is writable.  An empty
datagram is a datagram, both ways.

Errors of the network (a peer that refuses, an address that cannot be reached) go to `error_received` and end nothing.
"""

import asyncio
import collections
import os
import sys
import warnings
from asyncio import trsock
from asyncio.log import logger

import cython
from cython.cimports.clearloop.engine.ring import ring_push
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.net.endpoint import CLOSED, CLOSING, LOST, OPEN, STARTING
from cython.cimports.clearloop.net.peers import INBOX, Peers
from cython.cimports.clearloop.net.sockops import descriptor
from cython.cimports.clearloop.net.transports import Transports
from cython.cimports.clearloop.net.watermarks import Marked
from cython.cimports.clearloop.system.attributes import attributes_later
from cython.cimports.clearloop.system.callables import handler_in
from cython.cimports.clearloop.system.capi import (
    Py_DECREF_raw,
    PyContext_CopyCurrent,
    PyContext_Exit,
    enter_context,
    exiting,
    propagate,
    take_error,
)
from cython.cimports.clearloop.system.methods import call_method_raw
from cython.cimports.clearloop.system.own_methods import own_methods
from cython.cimports.clearloop.system.poller import FAULT, HANGUP, READABLE, WRITABLE
from cython.cimports.clearloop.system.sockets import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    recvmmsg,
    send,
    sendto,
    sockaddr,
    sockaddr_storage,
    socklen_t,
)
from cython.cimports.cpython.buffer import PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.cpython.exc import PyErr_SetFromErrno
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.errno import EAGAIN, EBADF, EINTR, errno
from cython.cimports.libc.stdint import uint32_t


class _Kind(asyncio.DatagramTransport, asyncio.Transport):
    """What isinstance() takes the transport for: as asyncio's own, it is both."""


_KIND = cython.declare(object, _Kind)
_datagram_received = cython.declare(object, sys.intern("datagram_received"))
# What a queued datagram counts beside its bytes: empty ones add up too
_OVERHEAD = cython.declare(cython.Py_ssize_t, 8)
_LARGEST = cython.declare(object, 256 * 1024)  # bytes of a datagram of any other family
_COMPLAIN_AFTER = cython.declare(cython.Py_ssize_t, 5)


@cython.cclass
class DatagramTransport(Marked):
    """https://docs.python.org/3/library/asyncio-protocol.html#asyncio.DatagramTransport"""

    def __cinit__(self):
        attributes_later(self)

    def __init__(self, loop: Scheduler, sock, protocol, remote=None, waiter=None, extra=None):
        peers = getattr(loop, "_datagram_peers", None)
        if peers is None:
            peers = loop._datagram_peers = Peers()
        self.loop = loop
        self.peers = peers
        self.sock = sock
        self.fd = sock.fileno()
        self.family = sock.family
        self.remote = remote
        self.extra = {} if extra is None else dict(extra)
        self.extra["socket"] = trsock.TransportSocket(sock)
        try:
            self.extra["sockname"] = sock.getsockname()
        except OSError:
            self.extra["sockname"] = None
        if "peername" not in self.extra:
            try:
                self.extra["peername"] = sock.getpeername()
            except OSError:
                self.extra["peername"] = None
        self.connected = self.extra["peername"] is not None  # "" is the peer of an unnamed UNIX socket
        self.queue = collections.deque()
        self.use_usual_marks()
        self.context = PyContext_CopyCurrent()
        self.use_protocol(protocol)
        transports: Transports = loop._transports
        transports.note(self.fd, self)
        loop.call_soon(protocol.connection_made, self)
        loop.call_soon(self._begin)
        if waiter is not None:
            loop.call_soon(_set_unless_cancelled, waiter)

    @property
    def __class__(self):
        return _KIND

    def __repr__(self):
        if self.phase == CLOSED:
            state = "closed"
        elif self.phase >= CLOSING:
            state = "closing"
        else:
            state = "open"
        return f"<{type(self).__name__} {state} fd={self.fd} queued={self.size}>"

    def __del__(self):
        if self.sock is None:
            return
        try:
            warnings.warn(f"unclosed transport {self!r}", ResourceWarning, stacklevel=2, source=self)
        except BaseException:
            if not exiting():
                raise
        finally:  # warnings may be errors, and the table must not go on pointing here
            cython.cast(Transports, self.loop._transports).forget(self.fd, self)
            self.sock.close()

    # ---- asking ----------------------------------------------------------------------------------------------------

    def get_extra_info(self, name, default=None):
        """Return what is known of the transport: "socket", "sockname", "peername"."""
        return self.extra.get(name, default)

    @property
    def _sock(self):
        return self.sock

    # ---- receiving -------------------------------------------------------------------------------------------------

    def _begin(self):
        """connection_made was called: read from now on."""
        if self.phase == STARTING:
            self.phase = OPEN
            self.watch(READABLE | self.mask)

    def watch(self, mask):
        if mask == self.mask:
            return 0
        if mask == 0:
            if self.loop.poller.owner_of(self.fd) is self:
                self.loop.poller.remove(self.fd)
        elif descriptor(self.sock) != self.fd:
            raise closed_under_us()
        elif self.mask == 0:
            self.loop.poller.add(self.fd, mask, self)
        else:
            self.loop.poller.modify(self.fd, mask)
        self.mask = mask
        return 0

    def make_way(self, shared):
        """Another room wants the descriptor: it gets it when somebody has closed our socket."""
        if self.sock is None or descriptor(self.sock) == self.fd:
            return False
        self.lose(closed_under_us())
        return True

    def subject(self):
        return handler_in(cython.cast(cython.pointer(PyObject), self.protocol), _datagram_received)

    def run(self):
        events: uint32_t = self.revents
        self.revents = 0
        self.queued = False
        if enter_context(self.context) < 0:  # a loop run by hand in a callback of ours; the events come again
            self.callback_raised(take_error(), "datagram_received")
            return 0
        try:
            if self.phase == OPEN:
                if self.undelivered is not None:
                    self.deliver_kept()
                if events & (READABLE | HANGUP | FAULT):
                    self.read_ready()
            if self.mask & WRITABLE and events & (WRITABLE | HANGUP | FAULT):
                self.write_ready()
        finally:
            PyContext_Exit(self.context)
        return 0

    def read_ready(self):
        """Take what has come, up to INBOX datagrams, and hand it over."""
        peers: Peers = self.peers
        place: cython.int = 0
        count: cython.int
        if self.family != AF_INET and self.family != AF_INET6 and self.family != AF_UNIX:
            return self.read_by_method()
        if peers.busy:  # a loop that is run from inside a callback of its own
            peers = Peers()
        count = recvmmsg(
            descriptor(self.sock), peers.messages, peers.ask(self.family == AF_UNIX), MSG_DONTWAIT
        )
        if count < 0:
            if errno == EAGAIN or errno == EINTR:
                return 0
            try:
                PyErr_SetFromErrno(OSError)
            except OSError as error:
                self.failed(error)
            return 0
        peers.busy = True
        try:
            while place < count and self.phase == OPEN:
                place += 1
                self.deliver(
                    PyBytes_FromStringAndSize(peers.payload(place - 1), peers.messages[place - 1].msg_len),
                    peers.decode(peers.sender(place - 1), peers.messages[place - 1].msg_hdr.msg_namelen),
                )
        finally:
            peers.busy = False
            if place < count and self.phase == OPEN:
                self.keep(peers, place, count)
        return 0

    def read_by_method(self):
        """For the other families (netlink, packets, ...): only the socket module knows what their addresses say."""
        left: cython.int = INBOX
        while left > 0 and self.phase == OPEN:
            left -= 1
            try:
                data, address = self.sock.recvfrom(_LARGEST)
            except (BlockingIOError, InterruptedError):
                return 0
            except OSError as error:
                return self.failed(error)
            self.deliver(data, address)
        return 0

    def deliver(self, data, address):
        result: cython.pointer(PyObject)
        arguments: cython.pointer(PyObject)[3]
        protocol: object = self.protocol
        arguments[0] = cython.cast(cython.pointer(PyObject), protocol)
        arguments[1] = cython.cast(cython.pointer(PyObject), data)
        arguments[2] = cython.cast(cython.pointer(PyObject), address)
        result = call_method_raw(
            cython.cast(cython.pointer(PyObject), _datagram_received), arguments, 3, cython.NULL
        )
        if result != cython.NULL:
            Py_DECREF_raw(result)
            return 0
        try:
            propagate()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.callback_raised(error, "datagram_received")
        return 0

    def keep(self, peers, first, count):
        """A callback ends the loop: what it has not seen is there for the next run."""
        place: cython.int
        self.undelivered = collections.deque()
        for place in range(first, count):
            self.undelivered.append(
                (
                    PyBytes_FromStringAndSize(peers.payload(place), peers.messages[place].msg_len),
                    peers.decode(peers.sender(place), peers.messages[place].msg_hdr.msg_namelen),
                )
            )
        if not self.queued:
            self.queued = True
            ring_push(cython.address(self.loop.ready), self)
        return 0

    def deliver_kept(self):
        kept = self.undelivered
        try:
            while kept and self.phase == OPEN:
                data, address = kept.popleft()
                self.deliver(data, address)
        finally:
            if not kept or self.phase != OPEN:
                self.undelivered = None
            elif not self.queued:
                self.queued = True
                ring_push(cython.address(self.loop.ready), self)

    # ---- sending ---------------------------------------------------------------------------------------------------

    def sendto(self, data, addr=None):
        """Send a datagram; `addr` may be left out when the endpoint has a remote address.

        Raises TypeError unless `data` is bytes-like, ValueError for another address than the endpoint's.
        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.DatagramTransport.sendto
        """
        if type(data) is not bytes and not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self.remote is not None:
            if addr is not None and addr != self.remote:
                raise ValueError(f"Invalid address: must be None or {self.remote}")
            addr = self.remote
        if self.phase >= LOST:
            if self.ignored >= _COMPLAIN_AFTER:
                logger.warning("socket.send() raised exception.")
            self.ignored += 1
            return
        if self.size == 0 and self.send_now(data, addr):
            return
        if self.phase >= LOST:
            return
        if not self.mask & WRITABLE:
            self.watch(self.mask | WRITABLE)
        data = bytes(data)
        self.queue.append((data, addr))
        self.size += len(data) + _OVERHEAD
        self.pause_when_full()

    def send_now(self, data, address):
        """One attempt; 0: the kernel does not take it now.  Errors are handled here."""
        raw: sockaddr_storage
        size: socklen_t = 0
        sent: cython.Py_ssize_t
        view: Py_buffer
        try:
            if not self.connected:
                size = self.peers.encode(address, self.family, cython.address(raw))
                if size == 0:
                    self.sock.sendto(data, address)
                    return 1
            PyObject_GetBuffer(data, cython.address(view), PyBUF_SIMPLE)
            try:
                if self.connected:
                    sent = send(descriptor(self.sock), view.buf, view.len, MSG_DONTWAIT | MSG_NOSIGNAL)
                else:
                    sent = sendto(
                        descriptor(self.sock),
                        view.buf,
                        view.len,
                        MSG_DONTWAIT | MSG_NOSIGNAL,
                        cython.cast(cython.pointer(sockaddr), cython.address(raw)),
                        size,
                    )
                if sent < 0:
                    if errno == EAGAIN:
                        return 0
                    PyErr_SetFromErrno(OSError)
            finally:
                PyBuffer_Release(cython.address(view))
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self.failed(error)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.fatal(error, "Fatal write error on datagram transport")
        return 1

    def write_ready(self):
        """Send what is queued, until the kernel takes no more."""
        while self.queue:
            data, address = self.queue[0]
            if not self.send_now(data, address):
                break
            if not self.queue:
                break  # lost meanwhile
            self.queue.popleft()
            self.size -= len(data) + _OVERHEAD
        if self.phase >= LOST:
            return 0
        if self.protocol_paused and self.size <= self.low:
            self.resume_protocol()
        if not self.queue and self.phase < LOST:
            self.watch(self.mask & ~cython.cast(uint32_t, WRITABLE))
            if self.phase == CLOSING:
                self.lose(None)
        return 0

    # ---- errors ----------------------------------------------------------------------------------------------------

    def failed(self, error):
        """The network says no: the protocol may want to know."""
        try:
            self.protocol.error_received(error)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as raised:
            self.callback_raised(raised, "error_received")
        return 0

    def callback_raised(self, error, method):
        return self.report(error, f"Exception in callback {type(self.protocol).__name__}.{method}()")

    # ---- closing ---------------------------------------------------------------------------------------------------

    def close(self):
        """Close the transport; what is queued is sent first, then connection_lost(None) is called."""
        if self.phase >= CLOSING:
            return
        self.phase = CLOSING
        if self.queue:
            self.watch(WRITABLE)
        else:
            self.lose(None)

    def abort(self):
        """Close at once; what is queued is dropped."""
        self.lose(None)

    def lose(self, error):
        if self.phase >= LOST:
            return 0
        self.phase = LOST
        self.watch(0)
        self.queue.clear()
        self.undelivered = None
        self.size = 0
        self.schedule_end(error)
        return 0

    def release(self):
        cython.cast(Transports, self.loop._transports).forget(self.fd, self)
        self.sock.close()
        self.sock = None
        self.protocol = None
        return 0


own_methods(DatagramTransport)


def closed_under_us():
    return OSError(EBADF, os.strerror(EBADF))


def _set_unless_cancelled(waiter):
    if not waiter.done():
        waiter.set_result(None)
