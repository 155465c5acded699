from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from clearloop.system.probe cimport Probe


cdef enum:
    READABLE = 0x001  # EPOLLIN
    URGENT = 0x002    # EPOLLPRI
    WRITABLE = 0x004  # EPOLLOUT
    FAULT = 0x008     # EPOLLERR, always reported
    HANGUP = 0x010    # EPOLLHUP, always reported
    PEER_CLOSED = 0x2000  # EPOLLRDHUP
    ON_CHANGE = 0x80000000u  # EPOLLET: report changes, not states


cdef struct Event:
    PyObject* owner  # borrowed; the poller's table holds it
    uint32_t events


cdef struct Registration:
    PyObject* owner   # an owned reference, or NULL
    uint32_t events   # the mask that the kernel has
    uint32_t generation


cdef class Poller:
    cdef bint edges  # whether ON_CHANGE and URGENT mean anything; else every state is reported while it lasts
    cdef Event* events
    cdef int capacity
    cdef Registration* table
    cdef int table_size
    cdef int registered
    cdef Probe* probe  # of the loop, or NULL: who waits for the GIL after the kernel does not wait for events any more
    cdef volatile int waiting  # 0: awake; 1: waiting without the GIL; 2: waiting and already told to wake
    cdef int wait(self, int64_t timeout) except -1
    cdef int add(self, int fd, uint32_t events, object owner) except -1
    cdef int modify(self, int fd, uint32_t events) except -1
    cdef int remove(self, int fd) except -1
    cdef int retire(self, int fd) except -1
    cdef object owner_of(self, int fd)
    cdef uint32_t events_of(self, int fd) noexcept
    cdef bint gives_way(self, int fd, bint shared) except -1
    cdef int wake(self) except -1
    cdef int close(self) except -1
    cdef int grow(self, int fd) except -1


cdef class EpollPoller(Poller):
    cdef int epoll_fd
    cdef int wake_fd
    cdef bint nanosecond_waits
    cdef int rebuild(self) except -1
    cdef int watch_wake_fd(self) except -1
