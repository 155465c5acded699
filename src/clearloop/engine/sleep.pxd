from cpython.ref cimport PyObject

from clearloop.engine.future cimport Future
from clearloop.system.capi cimport PySendResult


cdef class Switch:
    cdef bint yielded


cdef class SleepFuture(Future):
    cdef object answer
    cdef int run(self) except -1
    cdef int forget(self) except -1


cdef PySendResult send_to_switch(PyObject* switch, PyObject* value, PyObject** result) noexcept
