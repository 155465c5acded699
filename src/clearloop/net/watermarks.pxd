from clearloop.net.endpoint cimport Endpoint


cdef enum:
    HIGH = 64 * 1024  # bytes, unless somebody has said otherwise; asyncio's default


cdef class Marked(Endpoint):
    cdef bint protocol_paused      # pause_writing was called
    cdef Py_ssize_t size           # bytes that are queued
    cdef Py_ssize_t high
    cdef Py_ssize_t low
    cdef Py_ssize_t unsent(self) except -1
    cdef Py_ssize_t usual_high(self) noexcept
    cdef int use_usual_marks(self) except -1
    cdef int marks_moved(self) except -1
    cdef int pause_when_full(self) except -1
    cdef int pause_protocol(self) except -1
    cdef int resume_protocol(self) except -1
