from clearloop.engine.waiters cimport Line, Waiter


cdef class LockCore(Line):
    cdef bint taken
    cdef unsigned int taker  # the number of the native task that has taken it last; 0: somebody else has
    cdef bint grab(self) except -1
    cdef int drop(self) except -1


cdef class Entry:
    cdef LockCore lock


cdef class EventCore(Line):
    cdef bint flag


cdef class SemaphoreCore(Line):
    cdef object free_  # the counter: any number, as asyncio has it
    cdef bint grab(self) except -1
    cdef int drop(self) except -1
    cdef bint hand_out(self) except -1


cdef class SemaphoreEntry:
    cdef SemaphoreCore semaphore
