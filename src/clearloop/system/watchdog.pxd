from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from clearloop.system.probe cimport Probe


cdef Probe* new_probe(PyObject* loop, const uint64_t* tail) except NULL
cdef int release_probe(Probe* probe) noexcept
cdef int run_begins(Probe* probe) except -1
cdef int run_ends(Probe* probe) noexcept
cdef tuple facts_of(Probe* probe)
cdef int stretch_ends(Probe* probe) noexcept
cdef int hand_over(tuple ended) except -1
cdef int64_t ready_since(Probe* probe, uint64_t place, int64_t otherwise) noexcept
cdef int64_t events_since(Probe* probe, int64_t otherwise) noexcept
cdef int set_threshold(Probe* probe, int64_t nanoseconds) except -1
cdef int64_t held_since(Probe* probe) noexcept
