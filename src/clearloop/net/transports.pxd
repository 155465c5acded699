from cpython.ref cimport PyObject


cdef class Transports:
    cdef PyObject** table  # borrowed: each transport takes itself out before it goes
    cdef int size
    cdef int note(self, int fd, object transport) except -1
    cdef int forget(self, int fd, object transport) except -1
    cdef object of(self, int fd)
