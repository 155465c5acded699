from clearloop.engine.scheduler cimport Scheduler


cdef class Look:
    cdef Scheduler loop
    cdef object other       # the loop, when it is asyncio's own
    cdef object now         # ns of the loop's clock, None when that is the program's own
    cdef dict deadlines     # address of a sleeping future -> when it wakes
    cdef dict limits        # address of a task -> deadlines of its timeouts
    cdef list locked        # (row, what the task waits for) of those who wait for a lock that does not know its holder
    cdef list taken         # (row, what the task waits for, the holder's number) of those whose lock does
    cdef object row(self, object task, object coro, object waited, object name)
    cdef object waits(self, object waited, list coroutines, dict row)
    cdef object locked_row(self, dict row, object found)
    cdef object left(self, object deadline)
    cdef int read_timers(self) except -1
    cdef int note_limit(self, object task, object deadline) except -1
    cdef int read_other_timers(self, object loop) except -1
