"""The two pipe transports: one end of a pipe or FIFO, a terminal, or a socket that is used in one direction.

A pipe is a stream transport (net/transport.py) with other system calls and other ends:

- Reading ends for good at the end of the stream: eof_received() and connection_lost() follow each other, whatever the
  first returns, since there is no other direction to keep open.  A terminal whose other side has gone says so by EIO.
- What is written leaves when the step ends; close() and write_eof() are the same and flush it first.
- The reader's going is noticed though nothing is written: epoll reports it for the writing end of a pipe without being
  asked, but only while that is registered.  So it always is, for what cannot happen on a pipe (PEER_CLOSED); on a
  socket that very event says that the peer has closed.  Not for unread data: it is no sign of an end.
- What the protocol's data_received() raises is reported and ends nothing, as in asyncio's pipes.

O_NONBLOCK is restored when the pipe closes (net/nonblocking.py).

A child's pipes are adopted by their descriptor alone (`adopt_read`, `adopt_write`): most never need a file object.  Who
wants all of its output lets a Collector stand before the protocol.  Where much comes or goes, such a pipe is widened: a
fourth of the turns, in both processes.  Only a few at a time, since the kernel counts what the pipes of one user may
hold, and those of its other programs would have to make do with less.
"""

import asyncio
import errno as error_numbers
import io
import os
import stat
from asyncio.log import logger

import cython
from cython.cimports.clearloop.engine.handle import new_handle
from cython.cimports.clearloop.engine.ring import ring_push
from cython.cimports.clearloop.net.endpoint import CLOSED, CLOSING, LOST, OPEN, STARTING
from cython.cimports.clearloop.net.transport import StreamTransport
from cython.cimports.clearloop.net.transports import Transports
from cython.cimports.clearloop.system.capi import Py_XDECREF_raw, PyContext_CopyCurrent, propagate, steal
from cython.cimports.clearloop.system.epoll import close_fd
from cython.cimports.clearloop.system.methods import bytes_at, bytes_of_size_raw, bytes_size, resize_bytes
from cython.cimports.clearloop.system.own_methods import own_methods
from cython.cimports.clearloop.system.pipes import read_fd, readv, widen_pipe, write_fd, writev
from cython.cimports.clearloop.system.poller import FAULT, HANGUP, PEER_CLOSED, READABLE, WRITABLE
from cython.cimports.clearloop.system.sockets import first_int
from cython.cimports.libc.errno import EAGAIN, EBADF, EINTR, errno
from cython.cimports.libc.stdint import uint32_t
from cython.cimports.libc.string import memcpy

from clearloop.net.nonblocking import make_nonblocking
from clearloop.net.sockops import descriptor_comes_first

_READ_TRANSPORT = cython.declare(object, asyncio.ReadTransport)
_WRITE_TRANSPORT = cython.declare(object, asyncio.WriteTransport)
_EIO = cython.declare(object, error_numbers.EIO)


def _file_begins_with_its_descriptor():
    try:
        reading, writing = os.pipe()
    except OSError:  # no descriptors left
        return False
    return descriptor_comes_first(io.FileIO, io.FileIO(reading), io.FileIO(writing, "w"))


_DIRECT = cython.declare(cython.bint, _file_begins_with_its_descriptor())

PIPE_SIZE = cython.declare(cython.Py_ssize_t, 64 * 1024)  # what a pipe holds, unless somebody has changed it
PART_SIZE = cython.declare(cython.Py_ssize_t, 4 * PIPE_SIZE + 64)  # a part that reads fill to the end asks once more
SPARE_PARTS = cython.declare(cython.Py_ssize_t, 4)  # that wait for the next output, 1 MiB
_spare = cython.declare(list, [])
WIDE_PIPE = cython.declare(cython.int, 256 * 1024)
MOST_WIDE = cython.declare(cython.int, 16)
_wide = cython.declare(cython.int, 0)  # how many there are
READS_PER_EVENT = cython.declare(cython.int, 8)


@cython.cclass
class Pipe(StreamTransport):
    """What both ends have in common."""

    _start_tls_compatible = False
    _sendfile_compatible = asyncio.constants._SendfileMode.UNSUPPORTED

    def take(self, loop, pipe, protocol, waiter, extra):
        """Open the transport over the program's file object `pipe`, and schedule connection_made.

        Raises ValueError for a file of a wrong kind and RuntimeError for a descriptor that is in use already.
        """
        fd: cython.int = pipe.fileno()
        status = os.fstat(fd)
        mode = status.st_mode
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)):
            raise ValueError(f"Pipe transport is for pipes, sockets and character devices only, not for {pipe!r}")
        table: Transports = loop._transports
        other = table.of(fd)
        if other is not None:
            if type(other) is type(self) or not isinstance(other, Pipe):
                table.check(fd)
            fd = os.dup(fd)  # both directions of one terminal or socket: the poller knows one owner per descriptor
            self.own_fd = True
        try:
            self.mark = make_nonblocking(fd, status)
            self.open(loop, fd, 0, 0, PyContext_CopyCurrent())
        except BaseException:
            if self.own_fd:
                os.close(fd)
            raise
        self.pipe = pipe
        if _DIRECT and not self.own_fd:
            raw = pipe.raw if type(pipe) is io.BufferedReader or type(pipe) is io.BufferedWriter else pipe
            self.raw = raw if type(raw) is io.FileIO else None
        self.extra = {"pipe": pipe}
        if extra:
            self.extra.update(extra)
        self.waiter = waiter
        self.begin(protocol)
        return 0

    def _begin(self, protocol):
        """Of an adopted pipe, whose protocol knows it: begin, behind what is scheduled already."""
        self.use_protocol(protocol)
        self.queued = True
        ring_push(cython.address(self.loop.ready), self)

    def live(self):
        """The descriptor; -1 when somebody has closed the file object, and the number may be another's by now."""
        if self.raw is not None:
            return self.fd if first_int(self.raw) == self.fd else -1
        if self.pipe is None or self.own_fd:
            return self.fd
        try:
            return self.fd if self.pipe.fileno() == self.fd else -1
        except (ValueError, OSError):
            return -1

    def receive(self, buffer, size):
        fd: cython.int = self.live()
        return read_fd(fd, buffer, size)

    def receive_many(self, vector, count):
        fd: cython.int = self.live()
        return readv(fd, vector, count)

    def transmit(self, data, size):
        fd: cython.int = self.live()
        return write_fd(fd, data, size)

    def transmit_many(self, vector, count):
        fd: cython.int = self.live()
        return writev(fd, vector, count)

    def widen(self):
        """Much goes through: the pipe may hold more, if it is ours and others have left us the room."""
        global _wide
        if self.elastic and _wide < MOST_WIDE:
            self.elastic = False
            if widen_pipe(self.fd, PIPE_SIZE, WIDE_PIPE):
                self.wide = True
                _wide += 1
        return 0

    def make_way(self, shared):
        """Another room wants the descriptor: it gets it when somebody has closed our file."""
        if self.live() >= 0:
            return False
        self.fail(EBADF, "Fatal error: the pipe was closed under the transport")
        return True

    def fail(self, error, message):
        self.fatal(OSError(error, os.strerror(error)), message.replace("socket", "pipe"))
        return 0

    def protocol_raised(self, method):
        """Reported, and no reason to stop."""
        try:
            propagate()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.report(error, f"protocol.{method}() call failed.")
        return 0

    def release(self):
        global _wide
        fd: cython.int = self.fd
        if fd < 0:
            return 0
        if self.wide:
            self.wide = False
            _wide -= 1
        pipe = self.pipe
        mark = self.mark
        table: Transports = self.loop._transports
        table.forget(fd, self)
        alive: cython.bint = self.live() >= 0
        self.fd = -1
        self.protocol = None
        self.receiver = None
        self.mark = None
        self.raw = None
        try:
            if mark is not None:
                mark.release(fd, alive)
        finally:
            try:
                if pipe is None or self.own_fd:
                    close_fd(fd)
            finally:
                if pipe is not None:
                    pipe.close()
        return 0

    def mode(self):
        raise NotImplementedError

    def file_object(self):
        """The pipe as a file object: a child's pipe has none before somebody asks."""
        if self.pipe is None and self.fd >= 0:
            self.pipe = io.FileIO(self.fd, self.mode())
        return self.pipe

    def get_extra_info(self, name, default=None):
        """Return 'pipe', the file object, or what else the transport was made with; else `default`.

        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.BaseTransport.get_extra_info
        """
        if name == "pipe" and (self.extra is None or "pipe" not in self.extra):
            pipe = self.file_object()
            if pipe is None:
                return default
            if self.extra is None:
                self.extra = {}
            self.extra[name] = pipe
        return default if self.extra is None else self.extra.get(name, default)

    @property
    def _extra(self):
        self.get_extra_info("pipe")
        return self.extra

    @property
    def _sock(self):
        return None

    @property
    def _pipe(self):
        return None if self.phase == CLOSED else self.file_object()

    @_pipe.setter
    def _pipe(self, pipe):
        # Programs that have closed the file by hand set it to None, and hear no warning of an unclosed transport
        if pipe is None and self.fd >= 0:
            self.watch(0)
            self.phase = CLOSED
            self.no_write = True
            self.release()

    @property
    def _fileno(self):
        return self.fd

    def describe(self, state):
        info = [type(self).__name__]
        if self.phase == CLOSED:
            info.append("closed")
        elif self.phase >= CLOSING:
            info.append("closing")
        info.append(f"fd={self.fd}")
        if self.phase != CLOSED and self.loop is not None:
            info.extend(["open"] if self.loop.closed else state)
        return f"<{' '.join(info)}>"


# ---- reading ---------------------------------------------------------------------------------------------------------


@cython.cclass
class Collector:
    """All that comes, as one `bytes` in the end: the kernel writes into parts, and then into a whole that grows.

    The parts are used again and again.  Pages that are new for each output, or moved while it grows, would cost more
    than the copy from the parts into a result of the right size.  Beyond some megabytes that copy would be memory held
    twice: from then on it is one object, which realloc() grows by moving its pages.
    """

    def __cinit__(self):
        self.whole = cython.NULL
        self.parts = []

    def __dealloc__(self):
        Py_XDECREF_raw(self.whole)

    def make_room(self):
        """Have room for what a pipe holds, and more."""
        count: cython.Py_ssize_t = len(self.parts)
        if self.capacity - self.size > PIPE_SIZE:
            return 0
        if self.whole != cython.NULL:
            # Not yet touched, the room behind what is filled costs address space, no memory
            self.grow(2 * self.capacity)
        elif count == MOST_PARTS:
            self.become_whole(0)
        else:
            part = _spare.pop() if _spare else steal(bytes_of_size_raw(cython.NULL, PART_SIZE))
            self.parts.append(part)
            if count:
                self.filled[count - 1] = self.size
            self.place = bytes_at(part)
            self.size = 0
            self.capacity = PART_SIZE
        return 0

    def grow(self, capacity):
        size: cython.Py_ssize_t = self.size
        self.size = self.capacity = 0  # where there is no memory for more, what there was is gone as well
        self.place = cython.NULL
        resize_bytes(cython.address(self.whole), capacity)
        self.size = size
        self.place = bytes_at(cython.cast(object, self.whole))
        self.capacity = capacity
        return 0

    def total(self):
        """How much has come."""
        place: cython.Py_ssize_t
        total: cython.Py_ssize_t = self.size
        for place in range(len(self.parts) - 1):
            total += self.filled[place]
        return total

    def join(self, capacity):
        """The parts in one new object, which is larger than they are by what `capacity` says; they are free then."""
        place: cython.Py_ssize_t
        size: cython.Py_ssize_t
        count: cython.Py_ssize_t = len(self.parts)
        joined = bytes_of_size_raw(cython.NULL, capacity)
        end: cython.p_char = bytes_at(cython.cast(object, joined))
        for place in range(count):
            part = self.parts[place]
            size = self.size if place == count - 1 else self.filled[place]
            memcpy(end, bytes_at(part), size)
            end += size
            if len(_spare) < SPARE_PARTS:
                _spare.append(part)
        self.parts = []
        self.place = cython.NULL
        self.size = self.capacity = 0
        return joined

    def become_whole(self, more):
        """From here on one object, with room for `more` bytes and as much again."""
        total: cython.Py_ssize_t = self.total()
        capacity: cython.Py_ssize_t = 2 * (total + more + PIPE_SIZE)
        self.whole = self.join(capacity)
        self.place = bytes_at(cython.cast(object, self.whole))
        self.size = total
        self.capacity = capacity
        return 0

    def add(self, data: bytes):
        """`data` came before."""
        size: cython.Py_ssize_t = bytes_size(data)
        self.make_room()
        if self.capacity - self.size < size:
            if self.whole == cython.NULL:
                self.become_whole(size)
            else:
                self.grow(self.capacity + size)
        memcpy(self.place + self.size, bytes_at(data), size)
        self.size += size

    def finish(self):
        """What came, as bytes; the collector is empty then."""
        size: cython.Py_ssize_t = self.size
        if self.whole == cython.NULL:
            return steal(self.join(self.total()))
        self.size = self.capacity = 0
        self.place = cython.NULL
        resize_bytes(cython.address(self.whole), size)
        data = steal(self.whole)
        self.whole = cython.NULL
        return data


@cython.cclass
class ReadPipe(Pipe):
    """https://docs.python.org/3/library/asyncio-protocol.html#asyncio.ReadTransport, over a reading end."""

    @property
    def __class__(self):
        return _READ_TRANSPORT

    def mode(self):
        return "rb"

    def read_ready(self):
        if self.collector is not None:
            return self.collect()
        return StreamTransport.read_ready(self)

    def collect(self):
        collector: Collector = self.collector
        count: cython.Py_ssize_t
        room: cython.Py_ssize_t
        reads: cython.int = READS_PER_EVENT
        while True:
            try:
                collector.make_room()
            except MemoryError as error:
                self.fatal(error, "Fatal error: no memory for what comes from the pipe")
                return 0
            room = collector.capacity - collector.size
            count = self.receive(collector.place + collector.size, room)
            if count <= 0:
                break
            collector.size += count
            reads -= 1
            if count >= PIPE_SIZE and self.elastic:
                self.widen()
            if count < room or reads == 0:
                return 0
        if count == 0:
            self.peer_ended()
        elif errno != EAGAIN and errno != EINTR:
            self.fail(errno, "Fatal read error on pipe transport")
        return 0

    def _collect(self):
        """From now on what comes goes to the Collector that is returned."""
        self.collector = Collector()
        return self.collector

    def _deliver(self):
        """What comes goes to the protocol again."""
        self.collector = None

    def peer_ended(self):
        """Nothing more will come: the protocol hears of the end, and of the closing behind it."""
        if self.loop.debug:
            logger.debug("%r was closed by peer", self)
        self.ended = True
        ring_push(
            cython.address(self.loop.ready), new_handle(self.loop, self.protocol.eof_received, (), self.context)
        )
        self.lose(None)
        return 0

    def fatal(self, error, message):
        """End the pipe with `error`, and report it, unless it is a terminal's way to say that it has ended."""
        if isinstance(error, OSError) and error.errno == _EIO:
            if self.loop.debug:
                logger.debug("%r: %s", self, message, exc_info=error)
        else:
            self.report(error, message)
        self.lose(error)
        return 0

    def _no_such_method(self):
        raise AttributeError("a read pipe transport has nothing to do with writing")

    # what the stream transport has for its other direction
    write = writelines = write_eof = can_write_eof = abort = property(_no_such_method)
    get_write_buffer_size = get_write_buffer_limits = set_write_buffer_limits = property(_no_such_method)

    def __repr__(self):
        return self.describe(["polling" if self.watched & READABLE and self.reading() else "idle"])


# ---- writing ---------------------------------------------------------------------------------------------------------


@cython.cclass
class WritePipe(Pipe):
    """https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport, over a writing end."""

    @property
    def __class__(self):
        return _WRITE_TRANSPORT

    def mode(self):
        return "wb"

    def start(self):
        if self.phase == STARTING:
            self.phase = OPEN
            if self.notices:
                self.watch(self.watched | PEER_CLOSED)
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
        elif self.phase >= LOST or self.watched == 0:
            return 0
        elif self.notices and revents & (FAULT | HANGUP | PEER_CLOSED):
            self.reader_gone()
        elif self.watched & WRITABLE and revents & (WRITABLE | FAULT | HANGUP):
            self.write_ready()
        return 0

    def refused(self):
        if self.elastic and self.size >= WIDE_PIPE:
            self.widen()
        return StreamTransport.refused(self)

    def reader_gone(self):
        if self.loop.debug:
            logger.debug("%r was closed by peer", self)
        self.lose(BrokenPipeError(error_numbers.EPIPE, os.strerror(error_numbers.EPIPE)) if self.size else None)
        return 0

    def complaint(self):
        return "pipe closed by peer or os.write(pipe, data) raised exception."

    def close(self):
        """Close the pipe, once what is queued is written.

        https://docs.python.org/3/library/asyncio-protocol.html#asyncio.BaseTransport.close
        """
        StreamTransport.close(self)
        self.no_write = True

    def write_eof(self):
        """Close the pipe, once what is queued is written: a pipe has no other direction to stay open for."""
        self.close()

    def can_write_eof(self):
        """Return True."""
        return True

    # what the stream transport has for its other direction: asyncio's has these methods, too, and they say the same

    def pause_reading(self):
        """Raise NotImplementedError: a write pipe has nothing to do with reading."""
        raise NotImplementedError("a write pipe has nothing to read")

    def resume_reading(self):
        """Raise NotImplementedError, as pause_reading() does."""
        raise NotImplementedError("a write pipe has nothing to read")

    def is_reading(self):
        """Raise NotImplementedError, as pause_reading() does."""
        raise NotImplementedError("a write pipe has nothing to read")

    def __repr__(self):
        state = "polling" if self.watched & WRITABLE else "idle"
        return self.describe([state, f"bufsize={self.size}"])


own_methods(ReadPipe)
own_methods(WritePipe)


# ---- making them -----------------------------------------------------------------------------------------------------


def make_read_pipe(loop, pipe, protocol, waiter=None, extra=None):
    """A transport that reads from the file object `pipe`, which it owns from now on, for `protocol`."""
    transport: ReadPipe = ReadPipe.__new__(ReadPipe)
    transport.fd = -1
    transport.take(loop, pipe, protocol, waiter, extra)
    return transport


def make_write_pipe(loop, pipe, protocol, waiter=None, extra=None):
    """A transport that writes to the file object `pipe`, which it owns from now on, for `protocol`."""
    transport: WritePipe = WritePipe.__new__(WritePipe)
    transport.fd = -1
    transport.notices = not stat.S_ISCHR(os.fstat(pipe.fileno()).st_mode)
    transport.take(loop, pipe, protocol, waiter, extra)
    return transport


def adopt_read(loop, fd: cython.int, context, elastic: cython.bint = False):
    """A transport that reads from the non-blocking descriptor `fd` and owns it; its owner calls _begin().

    `elastic`: nobody has said how much the pipe shall hold.
    """
    transport: ReadPipe = ReadPipe.__new__(ReadPipe)
    transport.fd = -1
    transport.elastic = elastic
    transport.open(loop, fd, 0, 0, context)
    return transport


def adopt_write(loop, fd: cython.int, context, elastic: cython.bint = False):
    """A transport that writes to the non-blocking descriptor `fd` and owns it; as adopt_read() otherwise."""
    transport: WritePipe = WritePipe.__new__(WritePipe)
    transport.fd = -1
    transport.notices = True
    transport.elastic = elastic
    transport.open(loop, fd, 0, 0, context)
    return transport
