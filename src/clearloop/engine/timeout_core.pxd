from clearloop.engine.runnable cimport Runnable


cdef enum Stage:
    CREATED = 0
    ENTERED = 1
    EXPIRING = 2
    EXPIRED = 3
    EXITED = 4


cdef class Timeout(Runnable):
    cdef Stage stage
    cdef bint used         # this object has been its own timer once, and may still lie in the heap as a dead one
    cdef bint armed        # this object is the timer now
    cdef int cancelling_before
    cdef object loop       # None until it is entered, or until timeout() has asked it for the time
    cdef object task
    cdef object deadline   # seconds of loop.time(), or None
    cdef object alarm      # the timer when it is another one: a Runnable or a loop's handle
    cdef int enter(self) except -1
    cdef int arm(self) except -1
    cdef int disarm(self) except -1
    cdef int expire(self) except -1
    cdef int leave(self, object error) except -1


cdef class Alarm(Runnable):
    cdef Timeout timeout


cdef class Entering:
    cdef Timeout timeout
