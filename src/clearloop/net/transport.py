"""The stream transport: a connected TCP or UNIX socket and its protocol.

A request costs one recv and one send, and this file has nothing in between but the protocol's own call:

- Reading goes into one buffer that all transports share, and what came is copied into a `bytes` of its exact size.
  A read that comes back short has proved the socket empty, so nothing is read until "would block".
- A connection that has filled that buffer is `flooded`, until little comes again: it is read in larger pieces, each
  straight into the `bytes` that the protocol gets.  Every read has the kernel acknowledge what it took, so few large
  ones cost half of many small ones.
- What is written is kept until the turn of the loop ends, and then leaves in one system call.  Past the high-water mark
  it leaves at once.  When the kernel takes less than all, the rest waits for WRITABLE, and what follows behind it.
  While the kernel takes all that it is offered, it is `offered` more and more at once.
- The descriptor is registered once.  `pause_reading` leaves it registered until an event really comes in: protocols
  that pause and resume around each request would pay two `epoll_ctl` each.
- The protocol's methods are looked up for each call, as asyncio does, so replacing one on an instance works at any
  time.  Bound methods kept from the start would save 30 ns of the 180 that a request costs here, of 6 000 in all.

Invariants: `size` counts the unsent bytes in `chunk` and `more`.  While WRITABLE is watched only `write_ready` sends.
`protocol_paused` implies that WRITABLE is watched, but for the moment before resume_writing.  After LOST nothing is
sent, and after CLOSED no callback runs.
"""

import asyncio
import os
import socket
import warnings
from asyncio import trsock
from asyncio.log import logger

import cython
from cython.cimports.clearloop.engine.future import PENDING, RETURNED, Future, new_future
from cython.cimports.clearloop.engine.handle import Handle, new_handle
from cython.cimports.clearloop.engine.ring import ring_push
from cython.cimports.clearloop.engine.runnable import Source
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.net.address import address_tuple, ask_address
from cython.cimports.clearloop.net.attempt import Attempt
from cython.cimports.clearloop.net.sockops import descriptor
from cython.cimports.clearloop.net.transports import Transports
from cython.cimports.clearloop.system.callables import handler_in
from cython.cimports.clearloop.system.capi import (
    Py_DECREF_raw,
    Py_XDECREF_raw,
    PyContext_CopyCurrent,
    PyContext_Exit,
    enter_context,
    exiting,
    propagate,
    steal,
    take_error,
)
from cython.cimports.clearloop.system.epoll import close_fd
from cython.cimports.clearloop.system.methods import (
    bytes_at,
    bytes_of_size_raw,
    bytes_size,
    call_method_raw,
    get_buffer_raw,
    resize_bytes,
)
from cython.cimports.clearloop.system.poller import FAULT, HANGUP, READABLE, WRITABLE
from cython.cimports.clearloop.system.slots import set_attribute, track
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
from cython.cimports.cpython.buffer import PyBUF_WRITABLE, PyBuffer_Release
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.cpython.mem import PyMem_RawFree, PyMem_RawMalloc
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.errno import EAGAIN, EBADF, EINTR, errno
from cython.cimports.libc.stdint import uint32_t
from cython.cimports.libc.stdlib import malloc
from cython.cimports.libc.string import memset

from clearloop.net.watermarks import water_marks

_TRANSPORT = cython.declare(object, asyncio.Transport)
_BUFFERED = cython.declare(object, asyncio.BufferedProtocol)
_data_received = cython.declare(object, "data_received")
_get_buffer = cython.declare(object, "get_buffer")
_buffer_updated = cython.declare(object, "buffer_updated")
_any_size = cython.declare(object, -1)

FIRST_READ = cython.declare(cython.Py_ssize_t, 64 * 1024)  # is copied, and fits the processor's nearer caches
LARGE_READ = cython.declare(cython.Py_ssize_t, 256 * 1024 - 64)  # is not; with its header it is 64 pages
READS_PER_EVENT = cython.declare(cython.int, 8)  # full reads, before the other sockets have their turn
OFFER_MOST = cython.declare(cython.Py_ssize_t, 512 * 1024)  # in one system call; more leaves the processor's caches
CHUNKS_PER_CALL = cython.declare(cython.Py_ssize_t, 1024)  # the kernel's IOV_MAX
HIGH_WATER = cython.declare(cython.Py_ssize_t, 64 * 1024)
WARN_FROM = cython.declare(cython.Py_ssize_t, 5)  # writes to a lost connection, as asyncio counts them

LARGE_BLOCK = cython.declare(cython.size_t, 1024 * 1024)  # glibc then keeps twice as much unused, for all of us
_prepared = cython.declare(cython.bint, False)

# Filled and emptied without letting go of the GIL, so one is enough
_read_buffer = cython.declare(cython.p_char)
_read_buffer = cython.cast(cython.p_char, malloc(FIRST_READ))
if _read_buffer == cython.NULL:
    raise MemoryError()


@cython.cclass
class Receiver:
    """A compiled protocol that gets what came by a C call, outside the transport's context: it runs no user code."""

    def received(self, data):
        raise NotImplementedError("a protocol that takes no data")

    def awaited(self, reading):
        """The future that the next data (`reading`), or else free room, will settle; None when nobody waits."""
        return None


@cython.cclass
class Outlet(Source):
    """What bytes are written to."""

    def __setattr__(self, name, value):
        if name == "write":
            self.write_replaced = True  # the short ways round it have to be told
        set_attribute(self, name, cython.cast(cython.pointer(PyObject), value))

    def __delattr__(self, name):
        set_attribute(self, name, cython.NULL)
        if name == "write":
            self.write_replaced = False

    def append(self, data):
        """Send `data`, non-empty bytes, when the turn ends; only while not no_write."""
        raise NotImplementedError("an outlet that leads nowhere")


@cython.cclass
class Layer(Outlet):
    """A transport on top of a StreamTransport, whose protocol it is: bytes go between them by their place in memory."""

    def readable(self):
        raise NotImplementedError("a layer that reads nothing")

    def room(self):
        raise NotImplementedError("a layer that writes nothing")

    def lower_ended(self):
        raise NotImplementedError("a layer that reads nothing")


@cython.cclass
class StreamTransport(Outlet):
    """https://docs.python.org/3/library/asyncio-protocol.html#asyncio.Transport, over a stream socket."""

    _sendfile_compatible = asyncio.constants._SendfileMode.TRY_NATIVE  # what asyncio's own loop asks
    _start_tls_compatible = True  # what asyncio's own loop asks

    @property
    def __class__(self):
        # So that isinstance(transport, asyncio.Transport) holds; inheriting it would cost its slots and its look-ups
        return _TRANSPORT

    # ---- life ------------------------------------------------------------------------------------------------------

    def __init__(self):
        raise TypeError("a transport is made by its loop")  # without one, every method would crash

    def open(self, loop, fd, family, proto, context):
        table: Transports = loop._transports
        self.loop = loop
        self.fd = fd
        self.family = family
        self.proto = proto
        self.context = context
        self.high = HIGH_WATER
        self.low = HIGH_WATER // 4
        self.offer = HIGH_WATER
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

    def schedule(self, callback, argument):
        """Call the protocol in the next turn."""
        handle: Handle = new_handle(self.loop, callback, (argument,), self.context)
        if self.loop.thread_id == 0:  # a loop that stands still may be dropped: the collector has to see it
            track(cython.cast(cython.pointer(PyObject), handle))
        ring_push(cython.address(self.loop.ready), handle)
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
        """The connection is over: forget what is queued, and tell the protocol in the next turn."""
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
        if self.loop.closed:
            self.loop.check_closed()
        self.schedule(self._call_connection_lost, error)
        if self.file_turn is not None:
            self.fail_file_turn()
        return 0

    def _call_connection_lost(self, error):
        if self.phase == CLOSED:
            return
        try:
            self.protocol.connection_lost(error)
        finally:
            self.phase = CLOSED
            self.release()

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

    def abort(self):
        """Close the transport at once; what the kernel has not taken is lost.

        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport.abort
        """
        self.offer_queue()
        self.lose(None)

    def is_closing(self):
        """Return whether the transport is closing or closed."""
        return self.phase >= CLOSING

    # ---- the protocol ----------------------------------------------------------------------------------------------

    def set_protocol(self, protocol):
        """Hand everything from now on to `protocol`, of either kind."""
        self.use_protocol(protocol)

    def use_protocol(self, protocol):
        self.protocol = protocol
        self.buffered = isinstance(protocol, _BUFFERED)
        self.receiver = protocol if isinstance(protocol, Receiver) and cython.cast(Receiver, protocol).direct else None
        self.layer = protocol if isinstance(protocol, Layer) else None
        return 0

    def get_protocol(self):
        """Return the protocol; None once the connection is closed."""
        return self.protocol

    def protocol_raised(self, method):
        """The protocol's `method` has left an error: it is reported and ends the connection."""
        try:
            propagate()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.offer_queue()
            self.fatal(error, f"Fatal error: protocol.{method}() call failed.")
        return 0

    def fail(self, error, message):
        self.fatal(OSError(error, os.strerror(error)), message)
        return 0

    def fatal(self, error, message):
        """End the connection with `error`: what the network does is silent, what programs do is reported."""
        if isinstance(error, OSError):
            if self.loop.debug:
                logger.debug("%r: %s", self, message, exc_info=error)
        else:
            self.loop.call_exception_handler(
                {"message": message, "exception": error, "transport": self, "protocol": self.protocol}
            )
        self.lose(error)
        return 0

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

    # ---- reading ---------------------------------------------------------------------------------------------------

    def reading(self):
        return self.phase == OPEN and not self.paused and not self.ended

    def enter(self):
        """Enter the protocol's context; false when a callback of ours runs the loop by hand, from inside it.

        It is asked before anything is taken from the kernel: the event comes again.
        """
        if enter_context(self.context) >= 0:
            return True
        self.loop.call_exception_handler(
            {
                "message": "the protocol cannot be called: one of its methods is running",
                "exception": take_error(),
                "transport": self,
                "protocol": self.protocol,
            }
        )
        return False

    def read_ready(self):
        arguments: cython.pointer(PyObject)[2]
        result: cython.pointer(PyObject)
        fresh: cython.pointer(PyObject)
        count: cython.Py_ssize_t
        size: cython.Py_ssize_t
        error: cython.int
        reads: cython.int = READS_PER_EVENT
        data: object = None
        if self.receiver is not None:
            return self.read_short()
        while True:
            fresh = bytes_of_size_raw(cython.NULL, LARGE_READ) if self.flooded else cython.NULL
            if not self.enter():
                Py_XDECREF_raw(fresh)
                return 0
            if fresh == cython.NULL:
                size = FIRST_READ
                count = self.receive(_read_buffer, size)
                error = errno
                if count > 0:
                    data = PyBytes_FromStringAndSize(_read_buffer, count)
                    if count == size:
                        self.begin_flood()
            else:
                size = LARGE_READ
                count = self.receive(bytes_at(cython.cast(object, fresh)), size)
                error = errno
                data = self.filled(fresh, size, count)
                if count < FIRST_READ:
                    self.flooded = False
            if count <= 0:
                PyContext_Exit(self.context)
                return self.read_nothing(count, error)
            protocol = self.protocol
            arguments[0] = cython.cast(cython.pointer(PyObject), protocol)
            arguments[1] = cython.cast(cython.pointer(PyObject), data)
            result = call_method_raw(cython.cast(cython.pointer(PyObject), _data_received), arguments, 2, cython.NULL)
            PyContext_Exit(self.context)
            if result == cython.NULL:
                return self.protocol_raised("data_received")
            Py_DECREF_raw(result)
            if count < size:
                return 0
            reads -= 1
            if reads == 0 or self.buffered or self.receiver is not None or not self.reading():
                return 0  # what is left is reported again
            data = None  # whoever has had it may have dropped it: the next read finds that memory warm

    def read_short(self):
        """The same for a Receiver; a flood comes to it in pieces of the size that most readers ask for."""
        vector: iovec[4]
        place: cython.int
        count: cython.Py_ssize_t
        error: cython.int
        reads: cython.int = READS_PER_EVENT
        pieces: list
        data: object = None
        while True:
            if not self.flooded:
                count = self.receive(_read_buffer, FIRST_READ)
                if count <= 0:
                    return self.read_nothing(count, errno)
                data = PyBytes_FromStringAndSize(_read_buffer, count)
                if count == FIRST_READ:
                    self.begin_flood()
                if self.deliver(data) or count < FIRST_READ:
                    return 0
            else:
                pieces = []
                for place in range(4):
                    data = PyBytes_FromStringAndSize(cython.NULL, FIRST_READ)
                    vector[place].iov_base = bytes_at(data)
                    vector[place].iov_len = FIRST_READ
                    pieces.append(data)
                count = self.receive_many(vector, 4)
                error = errno
                if count < FIRST_READ:
                    self.flooded = False
                if count <= 0:
                    return self.read_nothing(count, error)
                place = 0
                while count > 0:
                    data = pieces[place]
                    pieces[place] = None  # the reader is the only one that holds it
                    if count < FIRST_READ:
                        data = PyBytes_FromStringAndSize(bytes_at(data), count)
                    if self.deliver(data):
                        return 0
                    data = None
                    count -= FIRST_READ
                    place += 1
                if count < 0 or place < 4:
                    return 0
            reads -= 1
            if reads == 0 or self.buffered or self.receiver is None or not self.reading():
                return 0
            data = None

    def filled(self, fresh, size, count):
        """The `bytes` that were made for a read of `size`, now that `count` have come; it is ours no longer."""
        if count <= 0:
            Py_DECREF_raw(fresh)
            return None
        if count < size:
            resize_bytes(cython.address(fresh), count)
        return steal(fresh)

    def begin_flood(self):
        """Much is coming."""
        self.flooded = True
        return prepare_heap()

    def read_nothing(self, count, error):
        if count == 0:
            self.peer_ended()
        elif error != EAGAIN and error != EINTR:
            self.fail(error, "Fatal read error on socket transport")
        return 0

    def deliver(self, data):
        """Hand over what came by the short way; true when that has ended the connection."""
        receiver: Receiver = self.receiver  # held: it may be replaced meanwhile
        try:
            if receiver is None:
                self.protocol.data_received(data)
            else:
                receiver.received(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.fatal(error, "Fatal error: protocol.data_received() call failed.")
            return True
        return False

    def read_into_protocol(self):
        """For a BufferedProtocol: straight into the memory that it gives."""
        arguments: cython.pointer(PyObject)[2]
        result: cython.pointer(PyObject)
        buffer: cython.pointer(PyObject)
        view: Py_buffer
        count: cython.Py_ssize_t
        room: cython.Py_ssize_t
        error: cython.int
        reads: cython.int = READS_PER_EVENT
        while True:
            if not self.enter():
                return 0
            protocol = self.protocol
            arguments[0] = cython.cast(cython.pointer(PyObject), protocol)
            arguments[1] = cython.cast(cython.pointer(PyObject), _any_size)
            buffer = call_method_raw(cython.cast(cython.pointer(PyObject), _get_buffer), arguments, 2, cython.NULL)
            if buffer == cython.NULL:
                PyContext_Exit(self.context)
                return self.protocol_raised("get_buffer")
            if get_buffer_raw(buffer, cython.address(view), PyBUF_WRITABLE) < 0:
                Py_DECREF_raw(buffer)
                PyContext_Exit(self.context)
                return self.protocol_raised("get_buffer")
            room = view.len
            count = -1
            error = EAGAIN
            if room and self.reading():  # get_buffer() may have ended or paused it
                count = self.receive(view.buf, room)
                error = errno
            PyBuffer_Release(cython.address(view))
            Py_DECREF_raw(buffer)
            if count <= 0:
                PyContext_Exit(self.context)
                break
            received: object = count
            arguments[1] = cython.cast(cython.pointer(PyObject), received)
            result = call_method_raw(cython.cast(cython.pointer(PyObject), _buffer_updated), arguments, 2, cython.NULL)
            PyContext_Exit(self.context)
            if result == cython.NULL:
                return self.protocol_raised("buffer_updated")
            Py_DECREF_raw(result)
            if count < room:
                return 0
            reads -= 1
            if reads == 0 or not self.buffered or not self.reading():
                return 0
        if room == 0:
            failure = RuntimeError("get_buffer() returned an empty buffer")
            self.fatal(failure, "Fatal error: protocol.get_buffer() call failed.")
            return 0
        return self.read_nothing(count, error)

    def peer_ended(self):
        """The peer will send no more; the protocol says whether we close as well."""
        failure = None
        keep_open = False
        if self.layer is not None:
            self.ended = True
            self.watch(self.watched & ~READABLE)
            return self.layer.lower_ended()
        if not self.enter():
            return 0
        if self.loop.debug:
            logger.debug("%r received EOF", self)
        self.ended = True
        try:
            keep_open = bool(self.protocol.eof_received())
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            failure = error
        finally:
            PyContext_Exit(self.context)
        if failure is not None:
            self.fatal(failure, "Fatal error: protocol.eof_received() call failed.")
        elif not keep_open:
            self.close()
        else:
            self.watch(self.watched & ~READABLE)
        return 0

    def is_reading(self):
        """Return whether data may come in: neither paused nor closing."""
        return self.phase < CLOSING and not self.paused

    def pause_reading(self):
        """Hand no data to the protocol until resume_reading()."""
        if self.phase >= CLOSING or self.paused:
            return
        self.paused = True
        if self.loop.debug:
            logger.debug("%r pauses reading", self)

    def resume_reading(self):
        """Hand data to the protocol again."""
        if self.phase >= CLOSING or not self.paused:
            return
        self.paused = False
        if self.reading():
            self.watch(self.watched | READABLE)
        if self.loop.debug:
            logger.debug("%r resumes reading", self)

    # ---- writing ---------------------------------------------------------------------------------------------------

    def write(self, data):
        """Send `data` (bytes, bytearray or memoryview) when the turn of the loop ends; never blocks.

        What the step writes leaves in one system call.  bytes are kept, the other two copied.  Raises TypeError for
        anything else and RuntimeError after write_eof().
        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport.write
        """
        if type(data) is not bytes:
            if isinstance(data, (bytearray, memoryview)):
                data = bytes(data)
            elif not isinstance(data, bytes):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self.no_write:
            if bytes_size(data) or self.eof or self.sending_file:
                self.refuse_write("write")
        elif bytes_size(data):
            self.append(data)

    def writelines(self, list_of_data):
        """Send all chunks of `list_of_data`, in order, as write() would.

        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport.writelines
        """
        if self.eof or self.sending_file:
            self.refuse_write("writelines")
        for data in list_of_data:
            if type(data) is not bytes:
                data = bytes(memoryview(data))
            if not bytes_size(data):
                continue
            if self.no_write:
                self.refuse_write("writelines")
                return
            self.append(data)

    def refuse_write(self, method):
        if self.eof:
            raise RuntimeError(f"Cannot call {method}() after write_eof()")
        if self.sending_file:
            raise RuntimeError(f"Cannot call {method}(): sendfile is in progress")
        if self.ignored >= WARN_FROM:
            logger.warning("socket.send() raised exception.")
        self.ignored += 1
        return 0

    def append(self, data):
        if self.chunk is None:
            self.chunk = data
        elif self.more is None:
            self.more = [data]
        else:
            self.more.append(data)
        self.size += bytes_size(data)
        if self.size > self.offer:
            self.push()
        elif not self.dirty and not self.watched & WRITABLE:
            if self.loop.entry == cython.NULL:
                self.flush()  # no turn runs whose end would send it
            else:
                self.dirty = True
                self.loop.mark_dirty(self)
        return 0

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
            elif self.high >= HIGH_WATER and self.offer < OFFER_MOST:
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
            self.chunk = None
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

    def drop_sent(self, count):
        """Take `count` bytes off the front of the queue."""
        left: cython.Py_ssize_t
        self.size -= count
        if self.size == 0:
            self.forget_queue()
            return 0
        while True:
            left = bytes_size(self.chunk) - self.sent
            if count < left:
                self.sent += count
                break
            count -= left
            self.sent = 0
            self.chunk = self.more[self.first]
            self.more[self.first] = None
            self.first += 1
            if self.first == len(self.more):
                self.more = None
                self.first = 0
        if self.first >= CHUNKS_PER_CALL:
            del self.more[: self.first]
            self.first = 0
        return 0

    def forget_queue(self):
        self.size = 0
        self.sent = 0
        self.first = 0
        self.more = None
        self.chunk = None
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
            self.refuse_write("write_eof")
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
            self.refuse_write("sendfile")
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

    def receive_up(self, buffer, size):
        """Read what is there; 0 when nothing is, or when the connection has ended and everybody has been told."""
        count: cython.Py_ssize_t = self.receive(buffer, size)
        if count > 0:
            return count
        if count == 0:
            self.peer_ended()
        elif errno != EAGAIN and errno != EINTR:
            self.fail(errno, "Fatal read error on socket transport")
        return 0

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
        chunk = PyBytes_FromStringAndSize(data + count, size - count)
        if self.chunk is None:
            self.chunk = chunk
        elif self.more is None:
            self.more = [chunk]
        else:
            self.more.append(chunk)
        self.size += size - count
        self.wait_until_writable()
        return 0

    @property
    def _outermost(self):
        """What the program has as its transport."""
        return self if self.layer is None else self.layer._outermost

    # ---- water marks -----------------------------------------------------------------------------------------------

    def get_write_buffer_size(self):
        """Return how many bytes are not sent yet, with those that wait for the end of the running step."""
        return self.size

    def get_write_buffer_limits(self):
        """Return (low, high) in bytes."""
        return (self.low, self.high)

    def set_write_buffer_limits(self, high=None, low=None):
        """Set at how many unsent bytes pause_writing() and resume_writing() are called.

        Raises ValueError unless high >= low >= 0.
        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport.set_write_buffer_limits
        """
        self.low, self.high = water_marks(low, high)
        self.offer = self.high
        if self.size > self.high:
            self.push()

    def pause_protocol(self):
        self.protocol_paused = True
        try:
            self.protocol.pause_writing()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.loop.call_exception_handler(
                {
                    "message": "protocol.pause_writing() failed",
                    "exception": error,
                    "transport": self,
                    "protocol": self.protocol,
                }
            )
        return 0

    def resume_protocol(self):
        failure = None
        if not self.enter():
            return self.wait_until_writable()  # and try again
        self.protocol_paused = False
        try:
            self.protocol.resume_writing()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            failure = error
        finally:
            PyContext_Exit(self.context)
        if failure is not None:
            self.loop.call_exception_handler(
                {
                    "message": "protocol.resume_writing() failed",
                    "exception": failure,
                    "transport": self,
                    "protocol": self.protocol,
                }
            )
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
    def _loop(self):
        return self.loop

    @property
    def _protocol(self):
        return self.protocol

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
    def _closing(self):
        return self.phase >= CLOSING

    @property
    def _paused(self):
        return bool(self.paused)

    @property
    def _eof(self):
        return bool(self.eof)

    @property
    def _protocol_paused(self):
        return bool(self.protocol_paused)

    @property
    def _conn_lost(self):
        return (1 if self.phase >= LOST else 0) + self.ignored

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


@cython.cfunc
@cython.exceptval(-1, check=True)
def prepare_heap() -> cython.int:
    """Have the C library keep large blocks from now on, which it learns when it frees the first one.

    Until then it would map each block of a large read afresh, and each time the kernel would have to clear its pages.
    """
    global _prepared
    if not _prepared:
        _prepared = True
        PyMem_RawFree(PyMem_RawMalloc(LARGE_BLOCK))
    return 0


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
