"""The stream transport: a connected TCP or UNIX socket and its protocol.

A request costs one recv and one send, and there is nothing in between but the protocol's own call.  How what comes
reaches the protocol is the reading side's (`stream_reading.py`), what waits to be sent the outlet's (`outlet.py`),
who is told when that is too much the water marks' (`watermarks.py`), and the end any endpoint's (`endpoint.py`).  This
is the descriptor, its system calls, and when they are made:

- What is written is kept until the turn of the loop ends, and then leaves in one system call.  Past the high-water mark
  it leaves at once.  When the kernel takes less than all, the rest waits for WRITABLE, and what follows behind it.
  While the kernel takes all that it is offered, it is `offered` more and more at once.
- The descriptor is registered once, and stays so while the protocol pauses.

Invariants: `size` counts the unsent bytes in `chunk` and `more`.  While WRITABLE is watched only `write_ready` sends.
`protocol_paused` implies that WRITABLE is watched, but for the moment before resume_writing.  After LOST nothing is
sent, and after CLOSED no callback runs.
"""

import asyncio
import os
import socket
import warnings
from asyncio import trsock

import cython
from cython.cimports.clearloop.engine.future import PENDING, RETURNED, Future, new_future
from cython.cimports.clearloop.engine.ring import ring_push
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.net.address import address_tuple, ask_address
from cython.cimports.clearloop.net.attempt import Attempt
from cython.cimports.clearloop.net.endpoint import CLOSED, CLOSING, LOST, OPEN, STARTING
from cython.cimports.clearloop.net.outlet import Outlet, queue_chunk
from cython.cimports.clearloop.net.sockops import descriptor
from cython.cimports.clearloop.net.stream_reading import Receiver, StreamReading, drop_bytes
from cython.cimports.clearloop.net.transports import Transports
from cython.cimports.clearloop.net.watermarks import HIGH
from cython.cimports.clearloop.system.attributes import attributes_later
from cython.cimports.clearloop.system.callables import handler_in
from cython.cimports.clearloop.system.capi import Py_INCREF_raw, PyContext_CopyCurrent, PyContext_Exit, exiting
from cython.cimports.clearloop.system.epoll import close_fd
from cython.cimports.clearloop.system.methods import bytes_at, bytes_size
from cython.cimports.clearloop.system.own_methods import own_methods
from cython.cimports.clearloop.system.poller import FAULT, HANGUP, READABLE, WRITABLE
from cython.cimports.clearloop.system.sockets import (
    AF_INET,
    AF_INET6,
    IPPROTO_TCP,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    SHUT_WR,
    TCP_NODELAY,
    iovec,
    msghdr,
    recv,
    recvmsg,
    send,
    sendmsg,
    setsockopt,
    shutdown_fd,
)
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.errno import EAGAIN, EBADF, EINTR, errno
from cython.cimports.libc.stdint import uint32_t
from cython.cimports.libc.string import memset

_TRANSPORT = cython.declare(object, asyncio.Transport)
_data_received = cython.declare(object, "data_received")
_buffer_updated = cython.declare(object, "buffer_updated")

OFFER_MOST = cython.declare(cython.Py_ssize_t, 512 * 1024)  # in one system call; more leaves the processor's caches
CHUNKS_PER_CALL = cython.declare(cython.Py_ssize_t, 1024)  # the kernel's IOV_MAX


@cython.cclass
class StreamTransport(StreamReading):
    """https://docs.python.org/3/library/asyncio-protocol.html#asyncio.Transport, over a stream socket."""

    _sendfile_compatible = asyncio.constants._SendfileMode.TRY_NATIVE  # what asyncio's own loop asks
    _start_tls_compatible = True  # what asyncio's own loop asks

    @property
    def __class__(self):
        # So that isinstance(transport, asyncio.Transport) holds; inheriting it would cost its slots and its look-ups
        return _TRANSPORT

    # ---- life ------------------------------------------------------------------------------------------------------

    def __cinit__(self):
        attributes_later(self)

    def __init__(self):
        raise TypeError("a transport is made by its loop")  # without one, every method would crash

    def open(self, loop, fd, family, proto, context):
        table: Transports = loop._transports
        self.loop = loop
        self.fd = fd
        self.family = family
        self.proto = proto
        self.context = context
        self.use_usual_marks()
        self.offer = self.high
        table.note(fd, self)
        return 0

    def over_ip(self):
        """For connections of the IP families: small writes leave at once, and the peer's address is kept."""
        on: cython.int = 1  # small writes are joined already
        if self.family != AF_INET and self.family != AF_INET6:
            return False
        setsockopt(self.fd, IPPROTO_TCP, TCP_NODELAY, cython.address(on), cython.sizeof(cython.int))
        if not self.peer.known:
            ask_address(cython.address(self.peer), self.fd, True)
        return True

    def begin(self, protocol):
        """Schedule connection_made, and behind it the first read."""
        self.use_protocol(protocol)
        self.schedule(protocol.connection_made, self)
        self.queued = True
        ring_push(cython.address(self.loop.ready), self)
        return 0

    def start(self):
        if self.phase == STARTING:
            self.phase = OPEN
            if self.reading():
                self.watch(self.watched | READABLE)
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            if not waiter.done():
                waiter.set_result(None)
        return 0

    def run(self):
        revents: uint32_t = self.revents
        self.revents = 0
        self.queued = False
        if self.phase == STARTING or self.waiter is not None:
            self.start()
            return 0
        if revents & (READABLE | HANGUP | FAULT) and self.watched & READABLE:
            if self.reading():
                if self.layer is not None:
                    self.layer.readable()
                elif self.buffered:
                    self.read_into_protocol()
                else:
                    self.read_ready()
            else:
                self.watch(self.watched & ~READABLE)
        if self.watched & WRITABLE and revents & (WRITABLE | HANGUP | FAULT):
            self.write_ready()
        return 0

    def subject(self):
        if self.protocol is not None and not self.revents & (READABLE | HANGUP | FAULT):
            return cython.cast(cython.pointer(PyObject), self.protocol)  # it sends: no method of it has to do with that
        if self.layer is not None:
            return self.layer.subject()
        return handler_in(
            cython.cast(cython.pointer(PyObject), self.protocol), _buffer_updated if self.buffered else _data_received
        )

    def watch(self, events):
        """Have the poller report `events`, and only these."""
        if events == self.watched:
            return 0
        watched: uint32_t = self.watched
        self.watched = events
        try:
            if events == 0:
                if self.loop.poller.owner_of(self.fd) is self:
                    self.loop.poller.remove(self.fd)
            elif live(self) < 0:
                self.fail(EBADF, "Fatal error: the socket was closed under the transport")
            elif watched == 0:
                self.loop.poller.add(self.fd, events, self)
            else:
                self.loop.poller.modify(self.fd, events)
        except (OSError, RuntimeError) as error:  # the descriptor was closed by somebody else
            self.fatal(error, "Fatal error: the socket cannot be watched")
        return 0

    def make_way(self, shared):
        """Another room wants the descriptor: it gets it when somebody has closed our socket."""
        if live(self) >= 0:
            return False
        self.fail(EBADF, "Fatal error: the socket was closed under the transport")
        return True

    def lose(self, error):
        if self.phase >= LOST:
            return 0
        self.phase = LOST
        self.no_write = True
        self.forget_queue()
        if self.sock is None and self.loop.poller.owner_of(self.fd) is self:
            self.watched = 0
            self.loop.poller.retire(self.fd)  # closed in the next turn, and nobody has had a socket to duplicate
        else:
            self.watch(0)
        self.schedule_end(error)
        if self.file_turn is not None:
            self.fail_file_turn()
        return 0

    def release(self):
        """Give the descriptor back, and let go of everybody."""
        fd: cython.int = self.fd
        sock = self.sock
        server = self.server
        table: Transports = self.loop._transports
        if fd < 0:
            return 0
        if not self.name.known and (self.family == AF_INET or self.family == AF_INET6):
            ask_address(cython.address(self.name), live(self), False)
        table.forget(fd, self)
        self.fd = -1
        self.protocol = None
        self.receiver = None
        self.layer = None
        self.server = None
        try:
            if sock is not None:
                sock.close()
            else:
                close_fd(fd)
        finally:
            if server is not None:
                server._detach(self)
        return 0

    def __del__(self):
        if self.fd < 0 or self.loop is None:
            return
        try:
            warnings.warn(f"unclosed transport {self._outermost!r}", ResourceWarning, source=self, stacklevel=1)
        except BaseException:
            if not exiting():
                raise
        finally:  # warnings may be errors, and the table must not go on pointing here
            self.phase = CLOSED
            self.release()

    def abandon(self):
        """Close without a word to the protocol, which could not even be told of the connection."""
        self.phase = CLOSED
        self.no_write = True
        self.release()

    def close(self):
        """Close the transport: what is queued is still sent, nothing more is received.

        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.BaseTransport.close
        """
        if self.phase >= CLOSING:
            return
        if self.size and not self.watched & WRITABLE:
            self.send_queue()
            if self.phase >= CLOSING:
                return
        self.phase = CLOSING
        if self.size:
            self.watch(WRITABLE)
        else:
            self.lose(None)

    # ---- the system calls: a pipe's are others (net/pipe_transport.py) ---------------------------------------------

    def receive(self, buffer, size):
        return recv(live(self), buffer, size, MSG_DONTWAIT)

    def receive_many(self, vector, count):
        message: msghdr
        memset(cython.address(message), 0, cython.sizeof(msghdr))
        message.msg_iov = vector
        message.msg_iovlen = count
        return recvmsg(live(self), cython.address(message), MSG_DONTWAIT)

    def transmit(self, data, size):
        return send(live(self), data, size, MSG_DONTWAIT | MSG_NOSIGNAL)

    def transmit_many(self, vector, count):
        message: msghdr
        memset(cython.address(message), 0, cython.sizeof(msghdr))
        message.msg_iov = vector
        message.msg_iovlen = count
        return sendmsg(live(self), cython.address(message), MSG_DONTWAIT | MSG_NOSIGNAL)

    # ---- writing ---------------------------------------------------------------------------------------------------

    def refuse_write(self, method, empty):
        if self.eof:
            raise RuntimeError(f"Cannot call {method}() after write_eof()")
        if self.sending_file:
            raise RuntimeError(f"Cannot call {method}(): sendfile is in progress")
        return Outlet.refuse_write(self, method, empty)

    def flush(self):
        """The turn ended: send what was written in it."""
        self.dirty = False
        if self.size == 0 or self.watched & WRITABLE or self.phase >= LOST:
            return 0
        self.send_queue()
        if self.size:
            self.refused()
            if self.size > self.high and not self.protocol_paused and self.enter():
                try:
                    self.pause_protocol()
                finally:
                    PyContext_Exit(self.context)
        elif self.eof or self.phase == CLOSING:
            self.drained()
        return 0

    def push(self):
        """Enough is queued: out with it; if the kernel refuses, pause the protocol."""
        if not self.watched & WRITABLE:
            self.send_queue()
            if self.size:
                self.refused()
            elif self.high >= HIGH and self.offer < OFFER_MOST:
                self.offer *= 2
        if self.size > self.high and not self.protocol_paused:
            self.pause_protocol()
        return 0

    def refused(self):
        """The kernel has left something in the queue: whoever is slow has the water marks to the letter."""
        self.offer = self.high
        return self.wait_until_writable()

    def wait_until_writable(self):
        if self.phase < LOST:
            self.watch(self.watched | WRITABLE)
        return 0

    def offer_queue(self):
        """Before a sudden end: what this step has written would have left at once on asyncio's loop."""
        if self.size and self.phase < LOST and not self.watched & WRITABLE:
            self.send_queue()
        return 0

    def send_queue(self):
        """Give the kernel what it takes; the rest stays queued."""
        left: cython.Py_ssize_t
        count: cython.Py_ssize_t
        if self.more is not None:
            return self.send_many()
        left = bytes_size(self.chunk) - self.sent
        count = self.transmit(bytes_at(self.chunk) + self.sent, left)
        if count == left:  # nearly always
            self.size = 0
            self.sent = 0
            chunk: cython.pointer(PyObject) = cython.cast(cython.pointer(PyObject), self.chunk)
            Py_INCREF_raw(chunk)
            self.chunk = None
            drop_bytes(chunk)
        elif count >= 0:
            self.size -= count
            self.sent += count
        elif errno != EAGAIN and errno != EINTR:
            self.fail(errno, "Fatal write error on socket transport")
        return 0

    def send_many(self):
        vector: iovec[1024]
        used: cython.Py_ssize_t
        place: cython.Py_ssize_t
        total: cython.Py_ssize_t
        count: cython.Py_ssize_t
        while self.size:
            vector[0].iov_base = bytes_at(self.chunk) + self.sent
            vector[0].iov_len = bytes_size(self.chunk) - self.sent
            total = vector[0].iov_len
            used = 1
            if self.more is not None:
                for place in range(self.first, len(self.more)):
                    if used == CHUNKS_PER_CALL:
                        break
                    chunk = self.more[place]
                    vector[used].iov_base = bytes_at(chunk)
                    vector[used].iov_len = bytes_size(chunk)
                    total += vector[used].iov_len
                    used += 1
            count = self.transmit_many(vector, used)
            if count < 0:
                if errno != EAGAIN and errno != EINTR:
                    self.fail(errno, "Fatal write error on socket transport")
                return 0
            self.drop_sent(count)
            if count < total:
                return 0
        return 0

    def write_ready(self):
        """The kernel takes bytes again."""
        if self.phase >= LOST:
            return 0
        if self.size:
            self.send_queue()
            if self.phase >= LOST:
                return 0
        if self.size == 0:
            # before the protocol writes more: that may leave at once again
            self.watch(self.watched & ~WRITABLE)
        if self.layer is not None:
            if self.size == 0 and self.phase < CLOSING:
                self.layer.room()
        elif self.protocol_paused and self.size <= self.low:
            self.resume_protocol()
        if self.size == 0 and not self.protocol_paused and self.phase < LOST:
            self.drained()
        return 0

    def drained(self):
        """Everything is sent: do what waited for that."""
        self.watch(self.watched & ~WRITABLE)
        if self.phase == CLOSING:
            self.lose(None)
        elif self.file_turn is not None:
            self.file_turn.settle(RETURNED, None)
            self.file_turn = None
        elif self.eof and self.phase < CLOSING:
            shutdown_fd(live(self), SHUT_WR)
        return 0

    def write_eof(self):
        """Close our side for writing, once what is queued is sent.

        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport.write_eof
        """
        if self.phase >= CLOSING or self.eof:
            return
        if self.sending_file:
            self.refuse_write("write_eof", True)
        if self.size and not self.watched & WRITABLE:
            self.send_queue()
            if self.phase >= CLOSING:
                return
            if self.size:
                self.wait_until_writable()
        self.eof = True
        self.no_write = True
        if self.size == 0 and shutdown_fd(live(self), SHUT_WR) < 0:
            error: cython.int = errno
            raise OSError(error, os.strerror(error))

    def can_write_eof(self):
        """Return True: stream sockets have half-closed connections."""
        return True

    # ---- sendfile --------------------------------------------------------------------------------------------------

    def _begin_file(self):
        """From now on until _end_file() nothing but a file is sent, by net/sendfile.py, in the _file_turn()."""
        if self.sending_file or self.eof:
            self.refuse_write("sendfile", True)
        self.sending_file = True
        self.no_write = True

    def _end_file(self):
        self.sending_file = False
        self.no_write = self.eof or self.phase >= LOST

    def _file_turn(self, refused=False):
        """The descriptor when it can be sent to, else a future to await first.

        `refused`: the kernel has just taken nothing.  Raises ConnectionError when the connection is over.
        """
        if self.phase < LOST and self.size and not self.watched & WRITABLE:
            self.send_queue()
        if self.phase >= CLOSING:
            raise ConnectionError("the connection was closed while a file was being sent")
        if self.size == 0 and not refused:
            return live(self)
        self.file_turn = new_future(self.loop)
        self.wait_until_writable()
        return self.file_turn

    def fail_file_turn(self):
        turn: Future = self.file_turn
        self.file_turn = None
        if turn.state == PENDING:
            turn.fail(ConnectionError("the connection was closed while a file was being sent"))
        return 0

    # ---- for the layer above ---------------------------------------------------------------------------------------

    def transmit_down(self, data, size):
        """Send at once, behind what is queued; the layer's room() is called when what the kernel left is sent."""
        count: cython.Py_ssize_t = 0
        if self.phase >= LOST:
            return 0
        if self.size == 0 and not self.watched & WRITABLE:
            count = self.transmit(data, size)
            if count == size:
                return 0
            if count < 0:
                if errno != EAGAIN and errno != EINTR:
                    return self.fail(errno, "Fatal write error on socket transport")
                count = 0
        queue_chunk(self, PyBytes_FromStringAndSize(data + count, size - count))
        self.size += size - count
        self.wait_until_writable()
        return 0

    @property
    def _outermost(self):
        """What the program has as its transport."""
        return self if self.layer is None else self.layer._outermost

    # ---- water marks -----------------------------------------------------------------------------------------------

    def marks_moved(self):
        self.offer = self.high
        if self.size > self.high:
            self.push()
        return 0

    def resume_protocol(self):
        if not self.enter():
            return self.wait_until_writable()  # and try again
        try:
            Outlet.resume_protocol(self)
        finally:
            PyContext_Exit(self.context)
        return 0

    # ---- what is asked for -----------------------------------------------------------------------------------------

    def get_extra_info(self, name, default=None):
        """Return 'socket', 'sockname' or 'peername', or what else the transport was made with; else `default`.

        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.BaseTransport.get_extra_info
        """
        if self.extra is None or name not in self.extra:
            if name != "socket" and name != "peername" and name != "sockname":
                return default
            self.learn(name)
        return self.extra.get(name, default)

    def learn(self, name):
        if self.extra is None:
            self.extra = {}
        if name == "socket":
            self.extra[name] = trsock.TransportSocket(self.python_socket())
        elif name == "peername":
            self.extra[name] = address_tuple(cython.address(self.peer))
        else:
            if not self.name.known and self.fd >= 0:
                ask_address(cython.address(self.name), live(self), False)
            self.extra[name] = address_tuple(cython.address(self.name))

    def all_extra(self):
        for name in ("socket", "sockname", "peername"):
            self.get_extra_info(name)
        return self.extra

    def python_socket(self):
        """The socket as an object: an accepted connection has none before somebody asks."""
        if self.sock is None:
            if self.fd < 0:
                gone = socket.socket(self.family, socket.SOCK_STREAM)
                gone.close()
                return gone
            self.sock = socket.socket(self.family, socket.SOCK_STREAM, self.proto, fileno=self.fd)
            self.sock.setblocking(False)
        return self.sock

    @property
    def _extra(self):
        return self.all_extra()

    @property
    def _sock(self):
        return None if self.phase == CLOSED else self.python_socket()

    @property
    def _sock_fd(self):
        return self.fd

    @property
    def _waited_for(self):
        if self.layer is not None:
            return self.layer
        if not isinstance(self.protocol, Receiver):
            return None
        return cython.cast(Receiver, self.protocol).awaited(self.revents & ~cython.cast(uint32_t, WRITABLE) != 0)

    @property
    def _server(self):
        return self.server

    @property
    def _eof(self):
        return bool(self.eof)

    def __repr__(self):
        info = [type(self).__name__]
        if self.phase == CLOSED:
            info.append("closed")
        elif self.phase >= CLOSING:
            info.append("closing")
        info.append(f"fd={self.fd}")
        if self.loop is not None and not self.loop.closed and self.phase != CLOSED:
            info.append("read=polling" if self.watched & READABLE and self.reading() else "read=idle")
            state = "polling" if self.watched & WRITABLE else "idle"
            info.append(f"write=<{state}, bufsize={self.size}>")
        return f"<{' '.join(info)}>"


own_methods(StreamTransport)


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=True)
def live(transport: StreamTransport) -> cython.int:
    """The transport's descriptor; -1 when somebody has closed its socket, and the number may be another's by now."""
    if transport.sock is None or descriptor(transport.sock) == transport.fd:
        return transport.fd
    return -1


def new_transport(loop, fd, family, proto, context):
    transport: StreamTransport = StreamTransport.__new__(StreamTransport)
    transport.fd = -1
    transport.open(loop, fd, family, proto, context)
    return transport


def make_stream(loop: Scheduler, sock, protocol, waiter=None, extra=None, server=None):
    """A transport over the connected, non-blocking stream socket `sock`, which it owns from now on.

    It runs `protocol` in a copy of the current context; `waiter` is resolved behind connection_made.
    """
    transport: StreamTransport = new_transport(loop, sock.fileno(), sock.family, sock.proto, PyContext_CopyCurrent())
    transport.sock = sock
    transport.waiter = waiter
    transport.server = server
    if extra:
        transport.extra = dict(extra)
    if not transport.over_ip():
        transport.extra = {"sockname": name_of(sock.getsockname), "peername": name_of(sock.getpeername)} | (extra or {})
    if server is not None:
        server._attach(transport)
    transport.begin(protocol)
    return transport


def adopt(loop: Scheduler, attempt: Attempt, protocol, waiter=None):
    """The same over the connection that `attempt` has made: nobody has a socket object of it."""
    family: cython.int = attempt.family
    proto: cython.int = attempt.proto
    transport: StreamTransport = new_transport(loop, attempt.give(), family, proto, PyContext_CopyCurrent())
    transport.waiter = waiter
    transport.peer = attempt.peer
    transport.over_ip()
    transport.begin(protocol)
    return transport


def name_of(ask):
    try:
        return ask()
    except OSError:
        return None
