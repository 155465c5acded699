"""The poller: which descriptors are ready.

Poller is the interface, EpollPoller what Linux has; selector_poller.py has one for the other systems.

Registrations persist: a descriptor is added once and stays until its owner takes it out, so a connection costs no
`epoll_ctl` per message.  The poller hands back (owner, events) pairs and runs nobody's code; between the kernel's
answer and the look-up in the table no other code runs, so an event can never reach the wrong owner.

A descriptor that is closed while it is registered leaves epoll by itself, unless something else (a forked child, a
`dup`) keeps the same open file alive: then the kernel goes on reporting it and nobody can name it any more.  The
generation that travels with each event shows such a stale report, and the poller moves to a fresh epoll instance.
"""

import cython
from cython.cimports.clearloop.system.capi import (
    Py_DECREF_raw,
    Py_INCREF_raw,
    PyErr_CheckSignals,
    PyEval_RestoreThread,
    PyEval_SaveThread,
    PyThreadState,
)
from cython.cimports.clearloop.system.clock import timespec
from cython.cimports.clearloop.system.epoll import (
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    EPOLLET,
    EPOLLIN,
    EVENTFD_FLAGS,
    HAVE_EPOLL,
    close_fd,
    epoll_create1,
    epoll_ctl,
    epoll_event,
    epoll_pwait2,
    epoll_wait,
    eventfd,
    eventfd_write,
)
from cython.cimports.clearloop.system.probe import probe_runs
from cython.cimports.cpython.exc import PyErr_SetFromErrno
from cython.cimports.cpython.ref import PyObject
from cython.cimports.libc.errno import EBADF, EEXIST, EINTR, ENOENT, ENOSYS, EPERM, errno
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, realloc
from cython.cimports.libc.string import memset

# Events taken from the kernel at once. More would read hundreds of sockets before the first task runs, and what was
# read would have left the cache by then: 512 connections cost 3 to 10 % more with 512 than with 64.
BATCH = cython.declare(cython.int, 64)
WAKE = cython.declare(uint64_t, 0xFFFF_FFFF_FFFF_FFFF)
RETIRED = cython.declare(uint32_t, 0xFFFF_FFFF)  # as the events of a registration without an owner
# A day in ns, for waits in milliseconds.  A C variable: the literal would be a Python integer, made without the GIL
LONGEST = cython.declare(int64_t, 86_400_000_000_000)
HAS_EPOLL = bool(HAVE_EPOLL)


@cython.cclass
class Poller:
    """The interface, and the table from descriptor to owner that every implementation needs.

    On each of them READABLE and WRITABLE are reported as long as they last.  HANGUP and FAULT are always reported, or
    come as what was asked for.  `edges` says whether ON_CHANGE and URGENT mean anything; without it PEER_CLOSED is
    reported only to those who do not ask for READABLE.
    """

    def __cinit__(self):
        self.events = cython.cast(cython.pointer(Event), calloc(BATCH, cython.sizeof(Event)))
        if self.events == cython.NULL:
            raise MemoryError()
        self.capacity = BATCH

    def __dealloc__(self):
        fd: cython.int
        for fd in range(self.table_size):
            if self.table[fd].owner != cython.NULL:
                Py_DECREF_raw(self.table[fd].owner)
        free(self.table)
        free(self.events)

    def wait(self, timeout):
        """Wait up to `timeout` nanoseconds (-1: without end), fill `events` and return how many there are."""
        raise NotImplementedError

    def add(self, fd, events, owner):
        """Register a descriptor that has no owner yet."""
        raise NotImplementedError

    def modify(self, fd, events):
        """Change what a registered descriptor is watched for; with ON_CHANGE this also re-arms it."""
        raise NotImplementedError

    def remove(self, fd):
        """Take a descriptor out; it may be closed already."""
        raise NotImplementedError

    def retire(self, fd):
        """Forget a descriptor that nobody has a duplicate of and that is closed at once, in this turn or the next."""
        return self.remove(fd)

    def wake(self):
        """Make a wait in another thread return.  Call it under the GIL, and only while `waiting` is set."""
        raise NotImplementedError

    def close(self):
        """Release the descriptors and forget all owners."""
        fd: cython.int
        table = self.table
        size: cython.int = self.table_size
        self.table = cython.NULL
        self.table_size = 0
        self.registered = 0
        for fd in range(size):
            if table[fd].owner != cython.NULL:
                Py_DECREF_raw(table[fd].owner)
        free(table)
        return 0

    def owner_of(self, fd):
        """The owner of a registered descriptor, else None."""
        if fd < 0 or fd >= self.table_size or self.table[fd].owner == cython.NULL:
            return None
        return cython.cast(object, self.table[fd].owner)

    def events_of(self, fd):
        if fd < 0 or fd >= self.table_size or self.table[fd].owner == cython.NULL:
            return 0
        return self.table[fd].events

    def gives_way(self, fd, shared):
        """Ask the owner to take itself out: one that outlived its need says yes (net/sockops.py)."""
        make_way = getattr(self.owner_of(fd), "make_way", None)
        return make_way is not None and make_way(shared)

    def grow(self, fd):
        size: cython.int = self.table_size if self.table_size else 64
        while size <= fd:
            size *= 2
        table = cython.cast(
            cython.pointer(Registration), realloc(self.table, size * cython.sizeof(Registration))
        )
        if table == cython.NULL:
            raise MemoryError()
        memset(table + self.table_size, 0, (size - self.table_size) * cython.sizeof(Registration))
        self.table = table
        self.table_size = size
        return 0


@cython.cclass
class EpollPoller(Poller):
    """epoll: level-triggered unless ON_CHANGE is asked for, with waits of nanoseconds where the kernel has them."""

    def __cinit__(self):
        self.epoll_fd = self.wake_fd = -1
        self.nanosecond_waits = True
        self.edges = True
        self.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll_fd < 0:
            PyErr_SetFromErrno(OSError)
        self.wake_fd = eventfd(0, EVENTFD_FLAGS)
        if self.wake_fd < 0:
            PyErr_SetFromErrno(OSError)
        self.watch_wake_fd()

    def __dealloc__(self):
        if self.epoll_fd >= 0:
            close_fd(self.epoll_fd)
        if self.wake_fd >= 0:
            close_fd(self.wake_fd)

    def watch_wake_fd(self):
        """Edge-triggered, so that each write reports itself once and nobody has to read the counter back."""
        event: epoll_event
        event.events = EPOLLIN | EPOLLET
        event.data.u64 = WAKE
        if epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, self.wake_fd, cython.address(event)) < 0:
            PyErr_SetFromErrno(OSError)
        return 0

    def fileno(self):
        """The epoll descriptor itself."""
        return self.epoll_fd

    def wait(self, timeout):
        reported: epoll_event[64]
        limit: timespec
        state: cython.pointer(PyThreadState)
        count: cython.int
        found: cython.int = 0
        error: cython.int
        place: cython.int
        fd: cython.int
        tag: uint64_t
        registration: cython.pointer(Registration)
        if self.epoll_fd < 0:
            raise RuntimeError("the poller is closed")
        if timeout == 0:
            count = epoll_wait(self.epoll_fd, reported, BATCH, 0)
            error = errno
        else:
            self.waiting = 1
            state = PyEval_SaveThread()
            count = -1
            error = ENOSYS
            if timeout < 0:
                count = epoll_wait(self.epoll_fd, reported, BATCH, -1)
                error = errno
            else:
                if self.nanosecond_waits:
                    limit.tv_sec = timeout // 1_000_000_000
                    limit.tv_nsec = timeout % 1_000_000_000
                    count = epoll_pwait2(self.epoll_fd, reported, BATCH, cython.address(limit))
                    error = errno
                    # Some sandboxes answer calls they do not know with EPERM
                    if count < 0 and (error == ENOSYS or error == EPERM):
                        self.nanosecond_waits = False
                if count < 0 and not self.nanosecond_waits:
                    # Up to the next millisecond: a timer must not fire before its time
                    if timeout > LONGEST:
                        timeout = LONGEST
                    count = epoll_wait(
                        self.epoll_fd, reported, BATCH, cython.cast(cython.int, (timeout + 999_999) // 1_000_000)
                    )
                    error = errno
            if self.probe != cython.NULL:
                probe_runs(self.probe)
            PyEval_RestoreThread(state)
            self.waiting = 0
        if count < 0:
            if error == EINTR:
                PyErr_CheckSignals()
                return 0
            raise OSError(error, "waiting for events failed")
        stale: cython.bint = False
        for place in range(count):
            tag = reported[place].data.u64
            if tag == WAKE:
                continue
            fd = cython.cast(cython.int, cython.cast(uint32_t, tag))  # the low half; a mask would be a Python integer
            registration = self.table + fd
            if fd >= self.table_size or registration.generation != cython.cast(uint32_t, tag >> 32):
                stale = True
                continue
            if registration.owner == cython.NULL:
                if registration.events == RETIRED:
                    registration.events = 0  # once: it will be closed before the next poll
                else:
                    stale = True
                continue
            self.events[found].owner = registration.owner
            self.events[found].events = reported[place].events
            found += 1
        if stale:
            self.rebuild()
        return found

    def add(self, fd, events, owner):
        event: epoll_event
        if fd < 0:
            raise ValueError(f"file descriptor {fd} cannot be watched: it is closed")
        if self.epoll_fd < 0:
            raise RuntimeError("the poller is closed")
        event.events = events
        event.data.u64 = 0
        if fd >= self.table_size:
            # no room for a number that is no descriptor: the caller's mistake may be any integer
            if epoll_ctl(self.epoll_fd, EPOLL_CTL_MOD, fd, cython.address(event)) < 0 and errno == EBADF:
                PyErr_SetFromErrno(OSError)
            self.grow(fd)
        if self.table[fd].owner != cython.NULL and not self.gives_way(fd, False):
            raise RuntimeError(f"file descriptor {fd} is watched already, by {self.owner_of(fd)!r}")
        if self.epoll_fd < 0:
            raise RuntimeError("the poller is closed")  # by whom gave way
        # not before: the code that gives way may have made the table grow
        registration: cython.pointer(Registration) = self.table + fd
        registration.generation += 1
        event.data.u64 = (cython.cast(uint64_t, registration.generation) << 32) | cython.cast(uint32_t, fd)
        if epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, fd, cython.address(event)) < 0 and (
            # EEXIST: a leftover whose descriptor was closed and opened again while a duplicate kept it in epoll
            errno != EEXIST or epoll_ctl(self.epoll_fd, EPOLL_CTL_MOD, fd, cython.address(event)) < 0
        ):
            PyErr_SetFromErrno(OSError)
        registration.owner = cython.cast(cython.pointer(PyObject), owner)
        Py_INCREF_raw(registration.owner)
        registration.events = events
        self.registered += 1
        return 0

    def modify(self, fd, events):
        event: epoll_event
        if fd < 0 or fd >= self.table_size or self.table[fd].owner == cython.NULL:
            raise RuntimeError(f"file descriptor {fd} is not watched")
        registration: cython.pointer(Registration) = self.table + fd
        event.events = events
        event.data.u64 = (cython.cast(uint64_t, registration.generation) << 32) | cython.cast(uint32_t, fd)
        if epoll_ctl(self.epoll_fd, EPOLL_CTL_MOD, fd, cython.address(event)) < 0 and (
            # ENOENT: closed under our feet and opened again: the new file is not in epoll yet
            errno != ENOENT or epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, fd, cython.address(event)) < 0
        ):
            PyErr_SetFromErrno(OSError)
        registration.events = events
        return 0

    def remove(self, fd):
        event: epoll_event  # unused, but kernels before 2.6.9 want it non-NULL, and it costs nothing
        if fd < 0 or fd >= self.table_size or self.table[fd].owner == cython.NULL:
            return 0
        owner: cython.pointer(PyObject) = self.table[fd].owner
        self.table[fd].owner = cython.NULL
        self.registered -= 1
        # EBADF, ENOENT: it was closed before; then it left epoll by itself
        failed: cython.bint = (
            epoll_ctl(self.epoll_fd, EPOLL_CTL_DEL, fd, cython.address(event)) < 0
            and errno != EBADF
            and errno != ENOENT
        )
        error: cython.int = errno
        Py_DECREF_raw(owner)
        if failed:
            raise OSError(error, "a file descriptor cannot be taken out of epoll")
        return 0

    def retire(self, fd):
        """Closing takes it out of epoll.  If there is a duplicate after all, its events are stale: see wait()."""
        if fd < 0 or fd >= self.table_size or self.table[fd].owner == cython.NULL:
            return 0
        owner: cython.pointer(PyObject) = self.table[fd].owner
        self.table[fd].owner = cython.NULL
        self.table[fd].events = RETIRED
        self.registered -= 1
        Py_DECREF_raw(owner)
        return 0

    def wake(self):
        self.waiting = 2
        eventfd_write(self.wake_fd, 1)
        return 0

    def rebuild(self):
        """Leave an epoll instance that reports what nobody can take out, and register all owners in a new one."""
        event: epoll_event
        fd: cython.int
        fresh: cython.int = epoll_create1(EPOLL_CLOEXEC)
        if fresh < 0:
            return 0  # no descriptor left: stale reports cost time until there is one again
        close_fd(self.epoll_fd)
        self.epoll_fd = fresh
        if self.probe != cython.NULL:
            self.probe.events_fd = fresh
        self.watch_wake_fd()
        for fd in range(self.table_size):
            if self.table[fd].owner == cython.NULL:
                continue
            event.events = self.table[fd].events
            event.data.u64 = (cython.cast(uint64_t, self.table[fd].generation) << 32) | cython.cast(uint32_t, fd)
            epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, fd, cython.address(event))  # EBADF: closed, its owner will see
        return 0

    def close(self):
        if self.epoll_fd >= 0:
            if self.probe != cython.NULL:
                self.probe.events_fd = -1
            close_fd(self.epoll_fd)
            close_fd(self.wake_fd)
            self.epoll_fd = self.wake_fd = -1
        Poller.close(self)
        return 0
