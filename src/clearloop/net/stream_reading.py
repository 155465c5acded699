"""The reading side of a stream transport: from readiness to the protocol's method.

- Reading goes into one buffer that all transports share, and what came is copied into a `bytes` of its exact size, in
  memory that was just let go of where there is some.
  A read that comes back short has proved the socket empty, so nothing is read until "would block".
- A connection that has filled that buffer is `flooded`, until little comes again: it is read in larger pieces, each
  straight into the `bytes` that the protocol gets.  Every read has the kernel acknowledge what it took, so few large
  ones cost half of many small ones.
- The protocol's methods are looked up for each call, as asyncio does, so replacing one on an instance works at any
  time.  Bound methods kept from the start would save 30 ns of the 180 that a request costs here, of 6 000 in all.
- `pause_reading` leaves the descriptor registered until an event really comes in: protocols that pause and resume
  around each request would pay two `epoll_ctl` each.

It knows neither the descriptor nor the poller: `receive()` and `watch()` are whoever's this is the reading side of.
Each method of the protocol may pause, close, abort or give the connection to another protocol, so all that is looked
at before a call is looked at again behind it.
"""

import asyncio
from asyncio.log import logger

import cython
from cython.cimports.clearloop.net.endpoint import CLOSING, OPEN
from cython.cimports.clearloop.net.outlet import Outlet
from cython.cimports.clearloop.system.capi import (
    Py_DECREF_raw,
    Py_XDECREF_raw,
    PyContext_Exit,
    enter_context,
    steal,
    take_error,
)
from cython.cimports.clearloop.system.methods import (
    bytes_at,
    bytes_of_size_raw,
    call_method_raw,
    get_buffer_raw,
    resize_bytes,
)
from cython.cimports.clearloop.system.poller import READABLE
from cython.cimports.clearloop.system.sockets import iovec
from cython.cimports.clearloop.system.spare_bytes import drop_bytes_raw, new_bytes_raw
from cython.cimports.cpython.buffer import PyBUF_WRITABLE, PyBuffer_Release
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.cpython.mem import PyMem_RawFree, PyMem_RawMalloc
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.errno import EAGAIN, EINTR, errno
from cython.cimports.libc.stdlib import malloc

_BUFFERED = cython.declare(object, asyncio.BufferedProtocol)
_data_received = cython.declare(object, "data_received")
_get_buffer = cython.declare(object, "get_buffer")
_buffer_updated = cython.declare(object, "buffer_updated")
_any_size = cython.declare(object, -1)

FIRST_READ = cython.declare(cython.Py_ssize_t, 64 * 1024)  # is copied, and fits the processor's nearer caches
LARGE_READ = cython.declare(cython.Py_ssize_t, 256 * 1024 - 64)  # is not; with its header it is 64 pages
READS_PER_EVENT = cython.declare(cython.int, 8)  # full reads, before the other sockets have their turn

LARGE_BLOCK = cython.declare(cython.size_t, 1024 * 1024)  # glibc then keeps twice as much unused, for all of us
_prepared = cython.declare(cython.bint, False)

# Filled and emptied without letting go of the GIL, so one is enough
_read_buffer = cython.declare(cython.p_char)
_read_buffer = cython.cast(cython.p_char, malloc(FIRST_READ))
if _read_buffer == cython.NULL:
    raise MemoryError()


def drop_bytes(data):
    """Give up a reference to `bytes` that the caller has counted; the memory serves the next read."""
    drop_bytes_raw(data)


@cython.cclass
class Receiver:
    """A compiled protocol that gets what came by a C call, outside the transport's context: it runs no user code."""

    def received(self, data):
        raise NotImplementedError("a protocol that takes no data")

    def awaited(self, reading):
        """The future that the next data (`reading`), or else free room, will settle; None when nobody waits."""
        return None


@cython.cclass
class Layer(Outlet):
    """A transport on top of a stream transport, whose protocol it is: bytes pass by their place in memory."""

    def readable(self):
        raise NotImplementedError("a layer that reads nothing")

    def room(self):
        raise NotImplementedError("a layer that writes nothing")

    def lower_ended(self):
        raise NotImplementedError("a layer that reads nothing")


@cython.cclass
class StreamReading(Outlet):
    """https://docs.python.org/3/library/asyncio-protocol.html#asyncio.ReadTransport"""

    def receive(self, buffer, size):
        raise NotImplementedError("a reading side of nothing")

    def receive_many(self, vector, count):
        raise NotImplementedError("a reading side of nothing")

    def watch(self, events):
        """Have the poller report `events`, and only these."""
        raise NotImplementedError("a reading side of nothing")

    def use_protocol(self, protocol):
        Outlet.use_protocol(self, protocol)
        self.buffered = isinstance(protocol, _BUFFERED)
        self.receiver = protocol if isinstance(protocol, Receiver) and cython.cast(Receiver, protocol).direct else None
        self.layer = protocol if isinstance(protocol, Layer) else None
        return 0

    def reading(self):
        return self.phase == OPEN and not self.paused and not self.ended

    def enter(self):
        """Enter the protocol's context; false when a callback of ours runs the loop by hand, from inside it.

        It is asked before anything is taken from the kernel: the event comes again.
        """
        if enter_context(self.context) >= 0:
            return True
        self.report(take_error(), "the protocol cannot be called: one of its methods is running")
        return False

    def read_ready(self):
        arguments: cython.pointer(PyObject)[2]
        result: cython.pointer(PyObject)
        fresh: cython.pointer(PyObject)
        count: cython.Py_ssize_t
        size: cython.Py_ssize_t
        error: cython.int
        reads: cython.int = READS_PER_EVENT
        piece: cython.pointer(PyObject) = cython.NULL
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
                    piece = new_bytes_raw(_read_buffer, count)
                    if count == size:
                        self.begin_flood()
            else:
                size = LARGE_READ
                count = self.receive(bytes_at(cython.cast(object, fresh)), size)
                error = errno
                piece = self.filled(fresh, size, count)
                if count < FIRST_READ:
                    self.flooded = False
            if count <= 0:
                PyContext_Exit(self.context)
                return self.read_nothing(count, error)
            protocol = self.protocol
            arguments[0] = cython.cast(cython.pointer(PyObject), protocol)
            arguments[1] = piece
            result = call_method_raw(cython.cast(cython.pointer(PyObject), _data_received), arguments, 2, cython.NULL)
            drop_bytes_raw(piece)  # the next read finds that memory warm
            PyContext_Exit(self.context)
            if result == cython.NULL:
                return self.protocol_raised("data_received")
            Py_DECREF_raw(result)
            if count < size:
                return 0
            reads -= 1
            if reads == 0 or self.buffered or self.receiver is not None or not self.reading():
                return 0  # what is left is reported again

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
                data = steal(new_bytes_raw(_read_buffer, count))
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
        """The `bytes` made for a read of `size`, now that `count` have come; freed, and NULL, if none have."""
        if count <= 0:
            Py_DECREF_raw(fresh)
            return cython.NULL
        if count < size:
            resize_bytes(cython.address(fresh), count)
        return fresh

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
            self.offer_queue()
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
            self.offer_queue()
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

    @property
    def _paused(self):
        return bool(self.paused)


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
