from libc.stdint cimport uint32_t

from clearloop.net.peers cimport Peers
from clearloop.net.watermarks cimport Marked


cdef class DatagramTransport(Marked):
    cdef Peers peers
    cdef int fd
    cdef int family
    cdef uint32_t mask        # what the poller has been asked for; 0: nothing
    cdef bint connected       # the kernel knows the peer
    cdef object sock
    cdef object remote        # the only address that sendto accepts, or None
    cdef dict extra
    cdef object queue         # a deque of (bytes, address)
    cdef object undelivered   # a deque of (bytes, address), after a callback that ended the loop
    cdef Py_ssize_t ignored
    cdef dict __dict__
    cdef object __weakref__
    cdef int watch(self, uint32_t mask) except -1
    cdef int read_ready(self) except -1
    cdef int read_by_method(self) except -1
    cdef int deliver(self, object data, object address) except -1
    cdef int keep(self, Peers peers, int first, int count) except -1
    cdef int write_ready(self) except -1
    cdef int send_now(self, object data, object address) except -1
    cdef int failed(self, object error) except -1
    cdef int callback_raised(self, object error, str method) except -1
