from clearloop.engine.waiters cimport Line, Waiter


cdef enum Kind:
    FIFO = 0
    LIFO = 1
    PRIORITY = 2


cdef class Putters(Line):
    cdef QueueCore queue


cdef class QueueCore(Line):
    cdef Kind kind
    cdef bint custom         # a subclass has its own idea of what a queue is: everything goes by way of its methods
    cdef object items
    cdef object push         # FIFO: items.append, bound once
    cdef object pull         # FIFO: items.popleft
    cdef object maxsize_     # as it was given
    cdef Py_ssize_t limit    # the same as a count; 0 is no limit
    cdef Py_ssize_t unfinished
    cdef bint shut
    cdef Putters putters
    cdef Line joiners
    cdef Py_ssize_t size(self) except -1
    cdef bint is_full(self) except -1
    cdef bint is_empty(self) except -1
    cdef int add(self, object item) except -1
    cdef object take(self)
    cdef int store(self, object item) except -1
    cdef object fetch(self)
    cdef bint wake_getter(self) except -1
    cdef int all_done(self) except -1


cdef bint wake_and_dismiss(Line line) except -1
