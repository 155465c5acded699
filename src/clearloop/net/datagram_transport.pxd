from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t

from clearloop.engine.runnable cimport Source
from clearloop.engine.scheduler cimport Scheduler
from clearloop.net.peers cimport Peers


cdef enum Phase:
    STARTING = 0  # connection_made is scheduled, nothing is read yet
    OPEN = 1
    CLOSING = 2   # close() was called: what is queued is still sent, nothing is read
    LOST = 3      # connection_lost is scheduled or has run


cdef class DatagramTransport(Source):
    cdef Scheduler loop
    cdef Peers peers
    cdef int fd
    cdef int family
    cdef uint32_t mask        # what the poller has been asked for; 0: nothing
    cdef unsigned char phase
    cdef bint connected       # the kernel knows the peer
    cdef bint protocol_paused
    cdef object sock
    cdef object remote        # the only address that sendto accepts, or None
    cdef object protocol
    cdef object context
    cdef dict extra
    cdef object queue         # a deque of (bytes, address)
    cdef object undelivered   # a deque of (bytes, address), after a callback that ended the loop
    cdef Py_ssize_t size      # of the queue, in bytes
    cdef Py_ssize_t high
    cdef Py_ssize_t low
    cdef Py_ssize_t ignored
    cdef dict __dict__
    cdef object __weakref__
    cdef PyObject* subject(self) noexcept
    cdef int watch(self, uint32_t mask) except -1
    cdef int read_ready(self) except -1
    cdef int read_by_method(self) except -1
    cdef int deliver(self, object data, object address) except -1
    cdef int keep(self, Peers peers, int first, int count) except -1
    cdef int write_ready(self) except -1
    cdef int send_now(self, object data, object address) except -1
    cdef int failed(self, object error) except -1
    cdef int fatal(self, object error, str message) except -1
    cdef int lose(self, object error) except -1
    cdef int pause_when_full(self) except -1
    cdef int resume_when_drained(self) except -1
