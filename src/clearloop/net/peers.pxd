from cpython.ref cimport PyObject
from libc.stdint cimport uint16_t

from clearloop.system.sockets cimport mmsghdr, sockaddr_storage, socklen_t


cdef struct Known:
    unsigned char raw[28]  # the address as the kernel has it: 28 bytes hold both IP families
    unsigned char size
    PyObject* address      # the tuple, owned; NULL: free


cdef class Peers:
    cdef Known* known
    cdef uint16_t* places        # hash of a tuple's own address -> its place in `known`
    cdef object literal          # the tuple that was encoded last
    cdef sockaddr_storage literal_raw
    cdef socklen_t literal_size
    # the loop's inbox: what one system call fills
    cdef mmsghdr* messages
    cdef char* space
    cdef bint busy
    cdef object decode(self, sockaddr_storage* raw, socklen_t size)
    cdef socklen_t encode(self, object address, int family, sockaddr_storage* raw) except? 0
    cdef int ask(self, bint whole) noexcept
    cdef sockaddr_storage* sender(self, int place) noexcept
    cdef char* payload(self, int place) noexcept


cdef enum:
    INBOX = 32
