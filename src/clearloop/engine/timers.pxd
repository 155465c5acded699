from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from clearloop.engine.handle cimport Handle
from clearloop.engine.ring cimport Ring
from clearloop.engine.runnable cimport Runnable


cdef enum:
    LATE_SHIFT = 8  # a timer that has fired keeps in `order` how late it was, in units of 256 ns


cdef struct Timer:
    int64_t deadline  # nanoseconds of CLOCK_MONOTONIC
    PyObject* entry   # an owned Runnable; its `order` decides between equal deadlines


cdef class Timers:
    cdef Timer* heap
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity
    cdef Py_ssize_t dead
    cdef unsigned int created
    cdef void* memory  # the block that `heap` lies in
    cdef int push(self, int64_t deadline, Runnable entry) except -1
    cdef int discard(self, Runnable entry) except -1
    cdef int64_t first(self) except -2
    cdef int pop_due(self, int64_t now, Ring* ready) except -1
    cdef int drop_first(self) except -1
    cdef int drop_last_dead(self) except -1
    cdef int sweep(self) except -1
    cdef int grow(self) except -1
    cdef void sift_up(self, Py_ssize_t place) noexcept
    cdef void sift_down(self, Py_ssize_t place) noexcept
    cdef int clear(self) except -1


cdef class TimerHandle(Handle):
    cdef double when_
    cdef Timers timers


cdef int64_t nanoseconds(double seconds) except? -1
cdef TimerHandle new_timer_handle(object loop, Timers timers, double when, object callback, object args, object context)
