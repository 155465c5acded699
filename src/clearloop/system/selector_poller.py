"""The poller over the standard library's `selectors`: for systems without epoll (kqueue, poll, select).

A selector knows two events and reports them as long as they last; a hang-up or an error comes as the event that was
asked for, which is all that level-triggered owners need.  What it lacks, its owners do without: `edges` is false, and
PEER_CLOSED is found out by a second look at what can be read.

Each registration carries its generation, as with epoll, so that an event which another thread's or a signal handler's
Python code has overtaken reaches nobody.  A selector drops a closed descriptor by itself or reports it as ready, except
`select`, which fails: then the closed ones are looked for.  On epoll, a file that was closed but lives on in a forked
child is reported for ever and nobody can name it; the selector hides such reports and returns at once with nothing, so
several empty returns before their time are answered with a fresh selector.

Other threads wake the loop through a pipe.

Python's own wait goes on after a signal, even when its handler has scheduled a callback.  So the loop waits for the
selector's descriptor, where it has one that can be waited for (epoll, kqueue), and only then asks what there is.
"""

import selectors

import cython
from cython.cimports.clearloop.system.capi import (
    Py_DECREF_raw,
    Py_INCREF_raw,
    PyErr_CheckSignals,
    PyEval_RestoreThread,
    PyEval_SaveThread,
    PyThreadState,
    exiting,
)
from cython.cimports.clearloop.system.clock import monotonic_ns
from cython.cimports.clearloop.system.epoll import close_fd, is_descriptor, open_pipe
from cython.cimports.clearloop.system.pipes import read_fd, write_fd
from cython.cimports.clearloop.system.poller import PEER_CLOSED, READABLE, WRITABLE, Event, Poller, Registration
from cython.cimports.clearloop.system.sockets import (
    MSG_DONTWAIT,
    MSG_PEEK,
    POLLERR,
    POLLHUP,
    POLLIN,
    poll,
    pollfd,
    recv,
)
from cython.cimports.cpython.exc import PyErr_SetFromErrno
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.errno import EINTR, ENOTSOCK, errno
from cython.cimports.libc.stdint import int64_t, uint32_t
from cython.cimports.libc.stdlib import realloc

_READ = cython.declare(cython.int, selectors.EVENT_READ)
_WRITE = cython.declare(cython.int, selectors.EVENT_WRITE)
_LONGEST = cython.declare(int64_t, 86_400_000_000_000)  # a day in ns: longer ones overflow a C int of milliseconds
_IDLE_RETURNS = cython.declare(cython.int, 16)


@cython.no_gc_clear  # whoever still calls us needs the selector
@cython.cclass
class SelectorPoller(Poller):
    """Any selector of the `selectors` module, behind the interface of poller.py."""

    def __cinit__(self):
        ends: cython.int[2]
        self.wake_end = self.alarm_end = self.gate = -1
        if open_pipe(ends) < 0:
            PyErr_SetFromErrno(OSError)
        self.alarm_end = ends[0]
        self.wake_end = ends[1]

    def __init__(self, selector=None):
        """`selector` is the poller's from now on, and closed with it; None: the best one of this system."""
        self.make = None if selector is not None else selectors.DefaultSelector
        self.take(selectors.DefaultSelector() if selector is None else selector)

    def __dealloc__(self):
        if self.alarm_end >= 0:
            close_fd(self.alarm_end)
            close_fd(self.wake_end)

    def fileno(self):
        """The selector's own descriptor; AttributeError for one that has none."""
        return self.selector.fileno()

    def take(self, selector):
        """Use this selector, and find out whether its descriptor can be waited for: by trying."""
        selector.register(self.alarm_end, _READ)
        self.selector = selector
        self.gate = -1
        get_gate = getattr(selector, "fileno", None)
        if get_gate is not None:
            self.gate = get_gate()
            self.wake()
            self.waiting = 0
            if self.knock(0) != 1:
                self.gate = -1
            self.drain()
        return 0

    def knock(self, timeout):
        """Wait until the selector has something to report, and return whether it has."""
        state: cython.pointer(PyThreadState)
        gate: pollfd
        count: cython.int
        error: cython.int
        gate.fd = self.gate
        gate.events = POLLIN
        gate.revents = 0
        state = PyEval_SaveThread()
        # up to the next millisecond: a timer must not fire before its time
        count = poll(
            cython.address(gate), 1, -1 if timeout < 0 else cython.cast(cython.int, (timeout + 999_999) // 1_000_000)
        )
        error = errno
        PyEval_RestoreThread(state)
        if count < 0 and error == EINTR:
            PyErr_CheckSignals()
        return 1 if count == 1 and gate.revents == POLLIN else 0

    # ---- waiting ---------------------------------------------------------------------------------------------------

    def wait(self, timeout):
        found: cython.int = 0
        fd: cython.int
        mask: cython.int
        registration: cython.pointer(Registration)
        selector = self.selector
        woken: cython.bint = False
        events: uint32_t
        if selector is None:
            raise RuntimeError("the poller is closed")
        if timeout > _LONGEST:
            timeout = _LONGEST
        began: int64_t = monotonic_ns() if timeout > 0 else 0
        if timeout != 0:
            self.waiting = 1
        try:
            if self.gate >= 0 and timeout != 0:
                if self.knock(timeout) == 0:
                    return 0
                reports = selector.select(0)
            else:
                reports = selector.select(None if timeout < 0 else timeout / 1e9)
        except OSError:
            if self.drop_closed() == 0:
                raise
            return 0
        finally:
            self.waiting = 0
        if len(reports) > self.capacity:
            self.make_room(len(reports))
        for key, mask in reports:
            fd = key.fd
            if fd == self.alarm_end:
                self.drain()
                woken = True
                continue
            registration = self.table + fd
            if fd >= self.table_size or registration.owner == cython.NULL or registration.generation != key.data:
                continue
            events = (READABLE if mask & _READ else 0) | (WRITABLE if mask & _WRITE else 0)
            if events & READABLE and not registration.events & READABLE:
                events = (events & ~READABLE) | self.look_closer(fd)
                if events == 0:
                    continue
            self.events[found].owner = registration.owner
            self.events[found].events = events
            found += 1
        if found or woken or timeout == 0 or (timeout > 0 and monotonic_ns() - began >= timeout):
            self.idle = 0
        else:
            self.idle += 1
            if self.idle >= _IDLE_RETURNS:
                self.idle = 0
                self.rebuild()
        return found

    def look_closer(self, fd):
        """Something can be read where only the other side's end is waited for: is that it?  PEER_CLOSED, or 0."""
        state: pollfd
        byte: cython.char
        got: cython.Py_ssize_t
        state.fd = fd
        state.events = POLLIN
        state.revents = 0
        poll(cython.address(state), 1, 0)
        if state.revents & (POLLERR | POLLHUP):
            return PEER_CLOSED
        got = recv(fd, cython.address(byte), 1, MSG_PEEK | MSG_DONTWAIT)
        if got == 0 or (got < 0 and errno == ENOTSOCK and not state.revents & POLLIN):
            return PEER_CLOSED
        # data that nobody reads hides the end, and would be reported for ever: the next write will tell
        self.forget(fd)
        self.table[fd].events &= ~cython.cast(uint32_t, PEER_CLOSED)
        self.register(fd)
        return 0

    def make_room(self, count: cython.int):
        """Room for as many reports as there are at once."""
        events = cython.cast(cython.pointer(Event), realloc(self.events, count * cython.sizeof(Event)))
        if events == cython.NULL:
            raise MemoryError()
        self.events = events
        self.capacity = count

    def wake(self):
        self.waiting = 2
        write_fd(self.wake_end, b"\0", 1)  # EAGAIN: the pipe is full, and the loop awake for a long time
        return 0

    def drain(self):
        space: cython.char[256]
        while read_fd(self.alarm_end, space, 256) == 256:
            pass
        return 0

    # ---- registering -----------------------------------------------------------------------------------------------

    def add(self, fd, events, owner):
        registration: cython.pointer(Registration)
        if fd < 0:
            raise ValueError(f"file descriptor {fd} cannot be watched: it is closed")
        if self.selector is None:
            raise RuntimeError("the poller is closed")
        if not is_descriptor(fd):
            PyErr_SetFromErrno(OSError)  # not every selector would notice
        if fd >= self.table_size:
            self.grow(fd)
        if self.table[fd].owner != cython.NULL and not self.gives_way(fd, False):
            raise RuntimeError(f"file descriptor {fd} is watched already, by {self.owner_of(fd)!r}")
        if self.selector is None:
            raise RuntimeError("the poller is closed")  # by whom gave way
        registration = self.table + fd
        registration.generation += 1
        registration.events = events
        self.register(fd)
        registration = self.table + fd
        registration.owner = cython.cast(cython.pointer(PyObject), owner)
        Py_INCREF_raw(registration.owner)
        self.registered += 1
        return 0

    def modify(self, fd, events):
        before: uint32_t
        if fd < 0 or fd >= self.table_size or self.table[fd].owner == cython.NULL:
            raise RuntimeError(f"file descriptor {fd} is not watched")
        # anew, even when nothing changed: the number may name another file by now
        self.forget(fd)
        before = self.table[fd].events
        self.table[fd].events = events
        try:
            if not is_descriptor(fd):
                PyErr_SetFromErrno(OSError)
            self.register(fd)
        except BaseException:
            self.table[fd].events = before
            raise
        return 0

    def remove(self, fd):
        if fd < 0 or fd >= self.table_size or self.table[fd].owner == cython.NULL:
            return 0
        owner: cython.pointer(PyObject) = self.table[fd].owner
        self.table[fd].owner = cython.NULL
        self.registered -= 1
        try:
            self.forget(fd)
        finally:
            Py_DECREF_raw(owner)
        return 0

    def register(self, fd):
        """Tell the selector what the table says."""
        events: uint32_t = self.table[fd].events
        wanted: cython.int = (_READ if events & (READABLE | PEER_CLOSED) else 0) | (_WRITE if events & WRITABLE else 0)
        if wanted == 0:
            return 0  # a selector has no word for it
        generation = self.table[fd].generation
        try:
            self.selector.register(fd, wanted, generation)
        except FileExistsError:
            # epoll still knows a file of this number that was closed, and opened again by a duplicate
            if self.rebuild() == 0:
                raise
            self.selector.register(fd, wanted, generation)
        return 0

    def forget(self, fd):
        """Take a descriptor out of the selector, if it is there."""
        try:
            self.selector.unregister(fd)
        except Exception as error:
            # never told of it; closed before; or the interpreter ends, and has taken the selector's module apart
            if not exiting() and not isinstance(error, (KeyError, ValueError, OSError)):
                raise
        return 0

    # ---- what selectors do not do ----------------------------------------------------------------------------------

    def drop_closed(self):
        """select() fails while one of its descriptors is closed: take those out, and return how many there were."""
        dropped: cython.int = 0
        for fd in list(self.selector.get_map()):
            if not is_descriptor(fd):
                self.forget(fd)
                dropped += 1
        return dropped

    def rebuild(self):
        """Begin with a fresh selector; return 0 when the program gave us ours, and there is no other."""
        fd: cython.int
        if self.make is None:
            return 0
        self.selector.close()
        self.take(self.make())
        for fd in range(self.table_size):
            if self.table[fd].owner != cython.NULL:
                try:
                    self.register(fd)
                except OSError:
                    pass  # closed: its owner will see
        return 1

    def close(self):
        selector = self.selector
        if selector is not None:
            self.selector = None
            try:
                selector.close()
            except Exception:
                if not exiting():
                    raise
            close_fd(self.alarm_end)
            close_fd(self.wake_end)
            self.alarm_end = self.wake_end = -1
        Poller.close(self)
        return 0
