from clearloop.net.tls.session cimport Session
from clearloop.system.openssl cimport Records


cdef class ObjectSession(Session):
    cdef object incoming        # ssl.MemoryBIO
    cdef object outgoing_       # ssl.MemoryBIO
    cdef const char* lent       # what feed() was given and `incoming` did not get yet
    cdef Py_ssize_t lent_size
    cdef Records records        # where in it the records begin, and how many more may
    cdef object kept            # bytes: the copy that keep() made, or None
    cdef Py_ssize_t kept_from
    cdef list pieces            # bytes to send behind `out`, a record each
    cdef Py_ssize_t waiting     # how many bytes they are in all
    cdef object out             # bytes on their way out, or None
    cdef Py_ssize_t out_from
    cdef bint ended             # the peer's close_notify was read
    cdef bint refill(self) except -1
    cdef Py_ssize_t starved(self) except -1
    cdef int collect(self) except -1
