from cpython.ref cimport PyObject


cdef class Runnable:
    cdef unsigned char dead
    cdef unsigned char scheduled
    cdef unsigned char is_task
    cdef unsigned char queued
    cdef unsigned int order
    cdef int run(self) except -1
    cdef int forget(self) except -1


cdef class Source(Runnable):
    cdef unsigned int revents
    cdef PyObject* subject(self) noexcept
    cdef int flush(self) except -1
