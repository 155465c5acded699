from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t

from clearloop.engine.handle cimport Handle
from clearloop.engine.runnable cimport Source
from clearloop.engine.scheduler cimport Scheduler


cdef class Descriptor(Source):
    cdef Scheduler loop
    cdef int fd
    cdef object file  # what add_reader was given, unless that was a number
    cdef Handle reader
    cdef Handle writer
    cdef PyObject* subject(self) noexcept
    cdef int update(self) except -1
    cdef int stop(self) except -1
    cdef int run_handle(self, Handle handle) except -1


cdef class Readiness:
    cdef Scheduler loop
    cdef set held  # the descriptors that have a callback
    cdef Descriptor find(self, int fd, object file, bint make)
    cdef Descriptor find_watched(self, object fileobj)
    cdef int added(self, Descriptor descriptor, object file) except -1
    cdef int dropped(self, Descriptor descriptor) except -1
