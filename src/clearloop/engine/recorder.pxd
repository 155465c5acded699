from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint64_t

from clearloop.engine.runnable cimport Runnable
from clearloop.engine.scheduler cimport Scheduler
from clearloop.engine.task cimport Task


cdef enum Entry:
    OF_ANOTHER = 0
    OF_HANDLE = 1
    OF_SOURCE = 2


cdef struct KnownType:
    PyObject* type
    unsigned int id
    unsigned int kind   # Entry


cdef class Recorder(Scheduler):
    cdef Task open_step(self, PyObject* entry, int64_t now, uint64_t place)
    cdef int close_step(self, Task task, int64_t now) except -1
    cdef int write_step(self, Task task, uint8_t nested, int64_t began, int64_t ended) except -1
    cdef int introduce(self, Task task, int64_t now) except -1
    cdef int overwritten(self, Task task) except -1
    cdef int write_task(self, Task task, uint8_t how, int64_t time) except -1
    cdef int run_batch_timed(self, size_t count) except -1
    cdef int fail_step(self) except -1
    cdef int note_woken(self, Runnable waiter) except -1
    cdef int note_called(self, object callback) except -1
    cdef int note_task(self, Runnable task) except -1
    cdef int note_name(self, Runnable task) except -1
    cdef int note_eager_step(self, Runnable task, int64_t began) except -1
    cdef int note_job(
        self, uint8_t how, unsigned int job, object function, object executor, unsigned long worker, int64_t time, int64_t span
    ) except -1
