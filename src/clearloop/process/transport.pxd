from clearloop.engine.future cimport Future
from clearloop.engine.scheduler cimport Scheduler
from clearloop.process.launch cimport Child


cdef class ChildTransport:
    cdef Scheduler loop
    cdef object protocol
    cdef object context
    cdef object args           # what was started
    cdef object pid            # None: nothing was
    cdef object returncode     # None while it runs
    cdef object popen
    cdef object exit           # notices the end, and sends signals; None when connection_lost() was called
    cdef dict extra
    cdef dict ends             # of the pipes that have no transport yet
    cdef dict pipes            # by the child's numbers: their protocols; None until it is there
    cdef list waiters          # for the end; None behind it
    cdef list pending          # what waits for connection_made() to be scheduled: (callback, arguments)
    cdef bint made             # it is: what follows may be, too
    cdef bint told             # it was called
    cdef bint finished         # connection_lost() is scheduled
    cdef bint closed
    cdef bint elastic          # nobody has said how much the pipes shall hold
    cdef dict __dict__         # what programs keep there, or put in place of methods
    cdef object __weakref__
    cdef int watch(self, Child child, bint by_thread) except -1
    cdef int kill_unwatched(self, Child child) except -1
    cdef int close_ends(self) except -1
    cdef int connect_ends(self) except -1
    cdef int call(self, object callback, tuple arguments) except -1
    cdef int follow(self, object callback, tuple arguments) except -1
    cdef int try_finish(self) except -1
    cdef object as_popen(self)
