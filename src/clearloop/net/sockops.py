"""What stands behind sock_recv, sock_sendall and their kin: who waits for which socket, in which order.

A socket that had to be waited for once stays registered, edge-triggered, as long as it lives; its Watcher remembers
what the edges have said.  The usual `await sock_recv` on an idle socket so costs no `epoll_ctl` and no fruitless
`recv`: a short read has shown that the socket is empty, the next data raises an edge, and until then there is nothing
to try.  Where that reasoning does not hold (datagrams, UNIX sockets that stop at passed descriptors, urgent data, a
hang-up) the call is tried first.

Whoever has to wait gets a Turn in the Lane of its direction, first come, first served.  The edge wakes the first in
the lane, and *its task* makes the call: an operation that is cancelled has never taken any data.

A Watcher belongs to a socket object, not to a number.  When the object dies or is closed, the watcher goes with the
first who notices: the weak reference's callback, the next operation on a new socket of that number, or another room
that asks the poller for it (`make_way`).  While add_reader or add_writer watch the same descriptor, the watcher is
their guest and asks them for readiness, so that both kinds get along as they do on asyncio.  On a poller without edges
it is never anything else.
"""

import _socket
import socket
import sys
import weakref

import cython
from cython.cimports.clearloop.engine.future import CANCELLED, PENDING, RETURNED, Future, future_may_die_silently
from cython.cimports.clearloop.engine.readiness import Descriptor
from cython.cimports.clearloop.engine.ring import ring_push
from cython.cimports.clearloop.engine.scheduler import Scheduler
from cython.cimports.clearloop.system.poller import (
    FAULT,
    HANGUP,
    ON_CHANGE,
    PEER_CLOSED,
    READABLE,
    URGENT,
    WRITABLE,
)
from cython.cimports.clearloop.system.slots import install_guard, install_pool
from cython.cimports.clearloop.system.sockets import (
    AF_INET,
    AF_INET6,
    IPPROTO_TCP,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    POLLOUT,
    SO_DOMAIN,
    SO_ERROR,
    SO_PROTOCOL,
    SO_TYPE,
    SOCK_STREAM,
    SOL_SOCKET,
    first_int,
    getsockopt,
    poll,
    pollfd,
    recv,
    send,
    socklen_t,
)
from cython.cimports.cpython.buffer import PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.cpython.exc import PyErr_CheckSignals, PyErr_SetFromErrno
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.errno import EAGAIN, EINTR, errno
from cython.cimports.libc.stdint import uint32_t
from cython.cimports.libc.stdlib import malloc

from clearloop.engine.readiness import descriptor_of

_SOCKET = cython.declare(object, socket.socket)
_EAGER_SENDS = cython.declare(cython.int, 4)  # system calls that one step may make for one sendall
_BUFFER_SIZE = cython.declare(cython.Py_ssize_t, 262_144)
# Received into, and copied out of before anything else can run: one for all loops and threads, under the GIL
_buffer = cython.declare(cython.p_char, cython.cast(cython.p_char, malloc(_BUFFER_SIZE)))
if _buffer == cython.NULL:
    raise MemoryError()


def descriptor_comes_first(kind, one, other):
    """Whether objects of the type `kind`, as these two, begin with their descriptor, as first_int reads it.

    Both are closed.
    """
    try:
        if sys.implementation.name != "cpython" or kind.__basicsize__ < 24:
            return False
        seen = [first_int(one), first_int(other)] == [one.fileno(), other.fileno()]
        one.close()
        return seen and first_int(one) == -1
    finally:
        one.close()
        other.close()


_DIRECT = cython.declare(cython.bint, descriptor_comes_first(_socket.socket, *socket.socketpair()))


def descriptor(sock):
    if type(sock) is _SOCKET:
        return first_int(sock) if _DIRECT else sock.fileno()
    return int(sock.fileno())


@cython.final
@cython.cclass
class Turn(Future):
    """A place in a lane: done when the one who holds it may try."""

    def cancel_now(self, message):
        watcher: Watcher = self.watcher
        self.settle(CANCELLED, message)
        watcher.depart(self)
        return 0

    def leave(self):
        """Give the place up, whatever became of it; the next in the lane is woken when there is something for it."""
        self.watcher.depart(self)

    def _standing(self):
        """What a task waits for that awaits this: for the live view, from any thread."""
        lane: Lane = self.lane
        operation = "writing" if lane is not None and lane.writing else "reading"
        return {"kind": "socket", "operation": operation, "peer": None, "fd": self.watcher.fd}

    def __repr__(self):
        return f"<Turn fd={self.watcher.fd} {'tries' if self.state == RETURNED else 'waits'}>"


@cython.final
@cython.cclass
class Lane:
    """Those who wait for one direction of one socket."""


@cython.final
@cython.cclass
class Watcher(Source):
    """What is known of one socket that sock_* operations wait for."""

    def run(self):
        """Edges have come in."""
        events: uint32_t = self.revents
        self.revents = 0
        self.queued = False
        if events & URGENT:
            self.urgent = True
        if events & (HANGUP | PEER_CLOSED):
            self.reading.ended = True
        if events & (HANGUP | FAULT):
            self.reading.ready = self.writing.ready = True
        if events & (READABLE | PEER_CLOSED | URGENT):
            self.reading.ready = True
        if events & WRITABLE:
            self.writing.ready = True
            if self.writing.head is None and not self.stream and not self.hosted and self.mask & WRITABLE:
                # such a socket reports an edge for every packet that leaves: not while nobody wants to know
                self.unwatch_writing()
        if self.reading.head is not None:
            self.wake(self.reading)
        if self.writing.head is not None:
            self.wake(self.writing)
        return 0

    def join(self, lane):
        """A new turn, behind all others."""
        turn: Turn = Turn.__new__(Turn)
        turn.loop = self.loop
        turn.native = True
        turn.plain = True
        turn.watcher = self
        turn.lane = lane
        if lane.head is None:
            lane.head = turn
        else:
            lane.tail.following = turn
        lane.tail = turn
        if self.hosted and turn is lane.head:
            self.keep_hosted(lane)
        return turn

    @property
    def _waited_for(self):
        if self.reading.head is not None and (self.writing.head is None or self.revents & READABLE):
            return self.reading.head
        return self.writing.head

    def wake(self, lane):
        head: Turn = lane.head
        if head is not None and head.state == PENDING and (lane.ready or lane.ended):
            head.settle(RETURNED, None)
        return 0

    def depart(self, turn):
        """Take a turn out of its lane."""
        lane: Lane = turn.lane
        before: Turn
        if lane is None:
            return 0
        turn.lane = None
        if lane.head is turn:
            lane.head = turn.following
            if lane.head is None:
                lane.tail = None
        else:
            before = lane.head
            while before.following is not turn:
                before = before.following
            before.following = turn.following
            if lane.tail is turn:
                lane.tail = before
        turn.following = None
        if lane.head is not None:
            self.wake(lane)
        elif self.hosted:
            self.unhost()
        return 0

    def blocked(self, lane):
        """An attempt came back with EAGAIN: only an edge can change that."""
        lane.ready = lane.ended = False
        if self.hosted:
            self.keep_hosted(lane)
        elif lane.writing and not self.mask & WRITABLE:
            self.watch(self.mask | WRITABLE)
        return 0

    def watch(self, mask):
        self.mask = mask
        self.loop.poller.modify(self.fd, mask)
        return 0

    def unwatch_writing(self):
        """For an edge, which may be older than the end of the socket: an earlier step of this turn closed it."""
        if self.socket_now() is None:
            return self.abandon()
        try:
            return self.watch(self.mask & ~cython.cast(uint32_t, WRITABLE))
        except OSError:
            return self.abandon()  # the descriptor was closed without the socket's knowledge

    # ---- coming and going ------------------------------------------------------------------------------------------

    def socket_now(self):
        """The socket object, while it is alive and has the descriptor; else None."""
        sock = self.held if self.reference is None else self.reference()
        if sock is None:
            return None
        try:
            return sock if descriptor(sock) == self.fd else None
        except Exception:
            return None

    def __call__(self, reference):
        """The socket object is gone."""
        self.abandon()

    def abandon(self):
        """Watch no longer; whoever waits is to try, and finds out for himself what became of his socket."""
        lane: Lane
        turn: Turn
        self.sock = cython.NULL
        if self.hosted:
            self.unhost()
        elif self.loop.poller.owner_of(self.fd) is self:
            self.loop.poller.remove(self.fd)
        for lane in (self.reading, self.writing):
            while lane.head is not None:
                turn = lane.head
                self.depart(turn)
                if turn.state == PENDING:
                    turn.settle(RETURNED, None)
        return 0

    def make_way(self, shared):
        """Another room wants the descriptor; `shared`: for add_reader or add_writer.  Return whether it may have it."""
        if self.socket_now() is None or (self.reading.head is None and self.writing.head is None):
            self.abandon()
            return True
        if shared:
            self.host()
            return True
        return False

    # ---- as the guest of add_reader and add_writer -----------------------------------------------------------------

    def host(self):
        """Get readiness by way of add_reader and add_writer from now on, as long as somebody waits."""
        if self.loop.poller.owner_of(self.fd) is self:
            self.loop.poller.remove(self.fd)
        self.hosted = True
        guests_of(self.loop)[self.fd] = self
        if self.reading.head is not None:
            self.keep_hosted(self.reading)
        if self.writing.head is not None:
            self.keep_hosted(self.writing)
        return 0

    def keep_hosted(self, lane):
        """Ask for readiness of one direction, unless that is done already; whoever asked before is replaced."""
        if lane.handle is None or lane.handle.cancelled():
            if lane.writing:
                lane.handle = self.loop._add_writer(self.fd, self.hosted_event, True)
            else:
                lane.handle = self.loop._add_reader(self.fd, self.hosted_event, False)
        return 0

    def hosted_event(self, writing):
        """The callback of add_reader and add_writer."""
        lane: Lane = self.writing if writing else self.reading
        lane.ready = True
        if lane.head is None or lane.head.state != PENDING:
            return  # the one whose turn it is has not tried yet
        self.wake(lane)

    def unhost(self):
        """Withdraw what nobody waits for any more; the last one ends the stay."""
        if self.reading.head is None and self.reading.handle is not None:
            if not self.reading.handle.cancelled():
                self.loop._remove_reader(self.fd)
            self.reading.handle = None
        if self.writing.head is None and self.writing.handle is not None:
            if not self.writing.handle.cancelled():
                self.loop._remove_writer(self.fd)
            self.writing.handle = None
        if self.reading.head is None and self.writing.head is None:
            guests: dict = guests_of(self.loop)
            if guests.get(self.fd) is self:
                del guests[self.fd]
        return 0

    def __repr__(self):
        return f"<Watcher fd={self.fd} mask={self.mask:#x}>"


@cython.cfunc
def guests_of(loop: object) -> dict:
    guests = getattr(loop, "_socket_guests", None)
    if guests is None:
        guests = loop._socket_guests = {}
    return guests


def find(loop, sock, fd):
    """The watcher of this very socket, or None."""
    owner: object
    watcher: Watcher
    if fd < 0 or fd >= loop.poller.table_size or loop.poller.table[fd].owner == cython.NULL:
        return None
    owner = cython.cast(object, loop.poller.table[fd].owner)
    if type(owner) is not Watcher:
        if not isinstance(owner, Descriptor):
            return None
        owner = guests_of(loop).get(fd)
        if owner is None:
            return None
    watcher = cython.cast(Watcher, owner)
    if watcher.sock == cython.cast(cython.pointer(PyObject), sock):
        return watcher
    if watcher.socket_now() is None:
        watcher.abandon()  # a leftover: the number was given to another socket
        return None
    # Two objects claim the descriptor.  They may both be right; that the kernel still knows it is made sure of
    if not watcher.hosted:
        watcher.watch(watcher.mask)
    watcher.reading.ready = watcher.writing.ready = True
    return watcher


def acquire(loop, sock, fd):
    """The watcher of this socket, made and registered if there is none.

    Raises RuntimeError when a transport has the descriptor.
    """
    domain: cython.int = 0
    kind: cython.int = 0
    protocol: cython.int = 0
    size: socklen_t
    watcher: Watcher = find(loop, sock, fd)
    if watcher is not None:
        return watcher
    if loop.closed:
        loop.check_closed()
    if loop.debug:
        loop.check_thread()
    check_transports(loop, fd)
    owner = loop.poller.owner_of(fd)
    watcher = Watcher.__new__(Watcher)
    watcher.loop = loop
    watcher.fd = fd
    watcher.sock = cython.cast(cython.pointer(PyObject), sock)
    watcher.reading = Lane.__new__(Lane)
    watcher.writing = Lane.__new__(Lane)
    watcher.writing.writing = True
    watcher.reading.ready = watcher.writing.ready = True
    try:
        watcher.reference = weakref.ref(sock, watcher)
    except TypeError:
        watcher.held = sock
    if watcher.held is not None or isinstance(owner, Descriptor) or not loop.poller.edges:
        watcher.host()
        return watcher
    size = cython.sizeof(cython.int)
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, cython.address(domain), cython.address(size))
    size = cython.sizeof(cython.int)
    getsockopt(fd, SOL_SOCKET, SO_TYPE, cython.address(kind), cython.address(size))
    size = cython.sizeof(cython.int)
    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, cython.address(protocol), cython.address(size))
    watcher.stream = (
        kind == SOCK_STREAM and protocol == IPPROTO_TCP and (domain == AF_INET or domain == AF_INET6)
    )
    watcher.mask = READABLE | PEER_CLOSED | URGENT | cython.cast(uint32_t, ON_CHANGE)
    if watcher.stream:
        watcher.mask |= WRITABLE
    loop.poller.add(fd, watcher.mask, watcher)
    return watcher


@cython.cfunc
@cython.exceptval(-1)
def check_transports(loop: Scheduler, fd: cython.int) -> cython.int:
    transports = getattr(loop, "_transports", None)
    if transports is not None:
        transports.check(fd)
    return 0


@cython.cfunc
@cython.exceptval(-1)
def check_socket(loop: Scheduler, sock: object) -> cython.int:
    if type(sock) is not _SOCKET:
        ssl = sys.modules.get("ssl")
        if ssl is not None and isinstance(sock, ssl.SSLSocket):
            raise TypeError("Socket cannot be of type SSLSocket")
    if loop.debug and sock.gettimeout() != 0:
        raise ValueError("the socket must be non-blocking")
    return 0


# ---- the attempts ---------------------------------------------------------------------------------------------------


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def would_block() -> cython.int:
    """After a failed system call: 1 for EAGAIN, 0 for "again, at once"; anything else is raised."""
    if errno == EAGAIN:
        return 1
    if errno == EINTR:
        PyErr_CheckSignals()
        return 0
    PyErr_SetFromErrno(OSError)
    return 1


@cython.cfunc
def wait(
    loop: Scheduler, sock: object, fd: cython.int, writing: cython.bint, turn: Turn | None, watcher: Watcher | None
) -> Turn:
    """After EAGAIN: the turn to wait for, the caller's own if it has one."""
    lane: Lane
    if turn is not None and turn.lane is not None:
        turn.watcher.blocked(turn.lane)
        turn.value = None
        turn.state = PENDING
        return turn
    if watcher is None or turn is not None:  # or its watcher was given up
        watcher = acquire(loop, sock, fd)
    lane = watcher.writing if writing else watcher.reading
    turn = watcher.join(lane)
    try:
        watcher.blocked(lane)
    except BaseException:
        watcher.depart(turn)
        raise
    return turn


@cython.cfunc
@cython.inline
def idle(lane: Lane) -> cython.bint:
    """Whether an attempt cannot succeed, or others come first."""
    return lane.head is not None or not (lane.ready or lane.ended)


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def received(
    watcher: Watcher | None, turn: Turn | None, got: cython.Py_ssize_t, wanted: cython.Py_ssize_t
) -> cython.int:
    """A read has succeeded: was that all?  Then the next in the lane."""
    if watcher is not None:
        if got < wanted and watcher.stream and not watcher.urgent and not watcher.hosted:
            watcher.reading.ready = False
        if turn is not None:
            watcher.depart(turn)
    return 0


def receive(loop: Scheduler, sock, size: cython.Py_ssize_t, turn: Turn | None):
    """Up to `size` bytes, or the Turn to await before trying again; NotImplemented: by the socket's own methods."""
    fd: cython.int
    got: cython.Py_ssize_t
    wanted: cython.Py_ssize_t = size
    data: object = None
    target: cython.p_char = _buffer
    watcher: Watcher
    if loop.debug or type(sock) is not _SOCKET:
        check_socket(loop, sock)
        if type(sock) is not _SOCKET:
            return NotImplemented
    fd = descriptor(sock)
    if turn is None:
        if size <= 0:
            return sock.recv(size)
        watcher = find(loop, sock, fd)
        if watcher is not None and idle(watcher.reading):
            return watcher.join(watcher.reading)
    else:
        watcher = turn.watcher
    if wanted > _BUFFER_SIZE:
        if watcher is not None and watcher.stream:
            wanted = _BUFFER_SIZE
        else:
            data = PyBytes_FromStringAndSize(cython.NULL, wanted)
            target = PyBytes_AS_STRING(data)
    while True:
        got = recv(fd, target, wanted, MSG_DONTWAIT)
        if got >= 0:
            break
        if would_block():
            return wait(loop, sock, fd, False, turn, watcher)
    # before anything else: letting the next in the lane try may run Python code, and with it another thread's receive
    data = PyBytes_FromStringAndSize(target, got) if data is None else data[:got]
    received(watcher, turn, got, wanted)
    return data


def receive_into(loop: Scheduler, sock, buffer, turn: Turn | None):
    """The number of bytes received into `buffer`, or the Turn to await; NotImplemented: by the socket's own methods."""
    fd: cython.int
    got: cython.Py_ssize_t
    view: Py_buffer
    watcher: Watcher
    if loop.debug or type(sock) is not _SOCKET:
        check_socket(loop, sock)
        if type(sock) is not _SOCKET:
            return NotImplemented
    fd = descriptor(sock)
    watcher = find(loop, sock, fd) if turn is None else turn.watcher
    PyObject_GetBuffer(buffer, cython.address(view), PyBUF_WRITABLE)
    try:
        if view.len == 0:
            received(watcher, turn, 0, 0)
            return 0
        if turn is None and watcher is not None and idle(watcher.reading):
            return watcher.join(watcher.reading)
        while True:
            got = recv(fd, view.buf, view.len, MSG_DONTWAIT)
            if got >= 0:
                break
            if would_block():
                return wait(loop, sock, fd, False, turn, watcher)
        received(watcher, turn, got, view.len)
        return got
    finally:
        PyBuffer_Release(cython.address(view))


def send_all(loop: Scheduler, sock, data):
    """None when the kernel took all of `data`, else the Turn to await before send_more; NotImplemented as above."""
    fd: cython.int
    sent: cython.Py_ssize_t = 0
    view: Py_buffer
    watcher: Watcher
    turn: Turn
    if loop.debug or type(sock) is not _SOCKET:
        check_socket(loop, sock)
        if type(sock) is not _SOCKET:
            return NotImplemented
    fd = descriptor(sock)
    watcher = find(loop, sock, fd)
    if watcher is None or not idle(watcher.writing):
        if type(data) is bytes:
            sent = send_once(fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
            if sent == PyBytes_GET_SIZE(data):
                return None
        else:
            PyObject_GetBuffer(data, cython.address(view), PyBUF_SIMPLE)
            try:
                sent = send_once(fd, cython.cast(cython.p_char, view.buf), view.len)
                if sent == view.len:
                    return None
            finally:
                PyBuffer_Release(cython.address(view))
        if watcher is None:
            watcher = acquire(loop, sock, fd)
        if sent == 0:
            watcher.blocked(watcher.writing)
    turn = watcher.join(watcher.writing)
    turn.data = memoryview(data)
    turn.offset = sent
    if sent:
        return send_more(turn, sock)
    return turn


@cython.cfunc
@cython.exceptval(-1, check=True)
def send_once(fd: cython.int, start: cython.p_char, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """How much the kernel took; 0 also for EAGAIN."""
    sent: cython.Py_ssize_t
    while True:
        sent = send(fd, start, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent >= 0:
            return sent
        if would_block():
            return 0


def send_more(turn: Turn, sock):
    """Go on with a sendall whose turn has come: None when all was sent, else the turn to await again."""
    sent: cython.Py_ssize_t
    calls: cython.int = 0
    view: Py_buffer
    watcher: Watcher = turn.watcher
    try:
        PyObject_GetBuffer(turn.data, cython.address(view), PyBUF_SIMPLE)
        try:
            while calls < _EAGER_SENDS:
                calls += 1
                sent = send_once(
                    descriptor(sock), cython.cast(cython.p_char, view.buf) + turn.offset, view.len - turn.offset
                )
                turn.offset += sent
                if turn.offset == view.len or sent == 0:
                    break
            else:
                sent = -1
            if turn.offset == view.len:
                sent = -2
        finally:
            PyBuffer_Release(cython.address(view))
        if sent == -2:
            watcher.depart(turn)
            return None
        if turn.lane is None:
            return rejoin(turn, sock)
        turn.value = None
        turn.state = PENDING
        if sent == 0:
            watcher.blocked(turn.lane)
        elif not watcher.queued:
            # it takes all we give: let others run before we go on
            watcher.queued = True
            watcher.revents |= WRITABLE
            ring_push(cython.address(watcher.loop.ready), watcher)
    except BaseException:
        watcher.depart(turn)
        raise
    return turn


@cython.cfunc
def rejoin(turn: Turn, sock: object) -> Turn:
    """Its watcher was given up, but this socket lives (another object for the same descriptor went): wait anew."""
    watcher: Watcher = acquire(turn.watcher.loop, sock, descriptor(sock))
    fresh: Turn = watcher.join(watcher.writing)
    fresh.data = turn.data
    fresh.offset = turn.offset
    watcher.blocked(watcher.writing)
    return fresh


# ---- attempts by the socket's own methods ---------------------------------------------------------------------------


def line_up(loop: Scheduler, sock, writing: cython.bint):
    """None when the operation is to be tried now, else the Turn to await first."""
    watcher: Watcher
    lane: Lane
    check_socket(loop, sock)
    watcher = find(loop, sock, descriptor(sock))
    if watcher is None:
        return None
    lane = watcher.writing if writing else watcher.reading
    return watcher.join(lane) if idle(lane) else None


def hold(loop: Scheduler, sock, writing: cython.bint):
    """A Turn for an operation of many attempts: await it before each, and leave() at the end."""
    watcher: Watcher
    lane: Lane
    turn: Turn
    at_once: cython.bint
    check_socket(loop, sock)
    watcher = acquire(loop, sock, descriptor(sock))
    lane = watcher.writing if writing else watcher.reading
    at_once = not idle(lane)
    turn = watcher.join(lane)
    if at_once:
        turn.settle(RETURNED, None)
    return turn


def rest(turn: Turn):
    """Between two attempts that both succeed: the turn to await, so that others run."""
    watcher: Watcher = turn.watcher
    if turn.lane is None:
        return turn  # its watcher was given up: nobody would wake it
    turn.value = None
    turn.state = PENDING
    if not watcher.queued:
        watcher.queued = True
        watcher.revents |= WRITABLE if turn.lane.writing else READABLE
        ring_push(cython.address(watcher.loop.ready), watcher)
    return turn


def blocked(loop: Scheduler, sock, writing: cython.bint, turn: Turn | None):
    """After BlockingIOError: the Turn to await."""
    fd: cython.int = descriptor_of(sock)
    return wait(loop, sock, fd, writing, turn, None)


def check(loop: Scheduler, sock):
    """Raise what a socket that sock_* cannot use raises."""
    check_socket(loop, sock)


def connecting(loop: Scheduler, sock):
    """After connect() said that it is on its way: the Turn to await before connect_result."""
    fd: cython.int = descriptor_of(sock)
    watcher: Watcher = find(loop, sock, fd)
    if watcher is not None:
        watcher.revents = 0  # what was seen of the unconnected socket means nothing any more
        watcher.reading.ended = False
    return wait(loop, sock, fd, True, None, watcher)


def connect_result(sock, turn: Turn):
    """The error number of the connection attempt, 0 when it has succeeded, or -1: still on its way, await again."""
    error: cython.int = connect_outcome(sock)
    if error < 0 and turn.lane is not None:
        turn.watcher.blocked(turn.lane)
        turn.value = None
        turn.state = PENDING
    return error


def connect_outcome(sock):
    """The error number of a connection attempt, 0 when it has succeeded, or -1 while it is on its way."""
    return pending_error(descriptor(sock))

def pending_error(fd):
    """0 when the connection stands, its error number when it has failed, -1 while nobody knows."""
    error: cython.int = 0
    size: socklen_t = cython.sizeof(cython.int)
    state: pollfd
    state.fd = fd
    state.events = POLLOUT
    state.revents = 0
    if poll(cython.address(state), 1, 0) == 0:
        return -1
    if getsockopt(fd, SOL_SOCKET, SO_ERROR, cython.address(error), cython.address(size)) < 0:
        PyErr_SetFromErrno(OSError)
    return error


install_guard(Turn, future_may_die_silently)
install_pool(Turn, 1024, True)
