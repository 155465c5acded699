from cpython.ref cimport PyObject

from clearloop.engine.future cimport Future


cdef class Waiter(Future):
    cdef Line line           # whom to tell how the wait ended; None when it has
    cdef Waiter next
    cdef PyObject* previous  # borrowed
    cdef bint linked
    cdef int finish(self, object error) except -1


cdef class Line:
    cdef object bound        # the loop, from the first wait on
    cdef bint native         # bound is a Scheduler
    cdef Waiter head
    cdef PyObject* tail      # borrowed
    cdef Py_ssize_t count
    cdef object bind(self)
    cdef Waiter join(self)
    cdef int unlink(self, Waiter waiter) except -1
    cdef int ended(self, Waiter waiter, object error) except -1
    cdef bint wake_head(self) except -1
    cdef bint wake_next(self) except -1
    cdef int wake_all(self) except -1
    cdef bint live(self) except -1
    cdef bint gone(self, object error) except -1


cdef class Done:
    pass


cdef Done DONE
