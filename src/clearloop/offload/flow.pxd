from clearloop.engine.future cimport Future
from clearloop.engine.runnable cimport Runnable


cdef class Flow:
    cdef object loop
    cdef object func
    cdef object send            # how a blocking function leaves; None for a coroutine function
    cdef object items           # an iterator; None for one that has to be awaited, or is exhausted
    cdef dict under_way         # number of the item -> its future
    cdef object waker           # what the driver awaits
    cdef object arrival         # what who takes results awaits
    cdef readonly list results  # of a flow that collects
    cdef dict finished          # of one that streams: number -> result, not taken yet
    cdef readonly list errors
    cdef readonly Py_ssize_t limit
    cdef readonly Py_ssize_t started
    cdef readonly Py_ssize_t done
    cdef readonly Py_ssize_t failed
    cdef readonly Py_ssize_t running
    cdef Py_ssize_t taken       # in order: the number that comes next
    cdef bint ordered
    cdef bint keep_errors
    cdef bint streams
    cdef bint own_tasks
    cdef bint native
    cdef bint news
    cdef readonly bint stopped  # nothing new is begun, what runs was cancelled
    cdef int launch(self, object item) except -1
    cdef int watch(self, object future, Py_ssize_t number) except -1
    cdef int ended(self, object future, Py_ssize_t number) except -1
    cdef int deliver(self, object outcome, Py_ssize_t number) except -1
    cdef int poke(self) except -1
    cdef int arrived(self) except -1
    cdef int note_error(self, object error, Py_ssize_t number) except -1


cdef class ItemDone(Runnable):
    cdef Flow flow
    cdef object future
    cdef Py_ssize_t number
    cdef int run(self) except -1
