from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t

from clearloop.engine.future cimport Future
from clearloop.engine.runnable cimport Source
from clearloop.engine.scheduler cimport Scheduler


cdef class Turn(Future):
    cdef Watcher watcher
    cdef Lane lane      # None once it has left
    cdef Turn following
    cdef object data    # sock_sendall: a memoryview of what is still to be sent, from `offset` on
    cdef Py_ssize_t offset
    cdef int cancel_now(self, object message) except -1


cdef class Lane:
    cdef bint ready     # the next attempt may succeed
    cdef bint ended     # a hang-up was seen: attempts end at once, with data, an error or the end
    cdef bint writing
    cdef Turn head
    cdef Turn tail
    cdef object handle  # of add_reader or add_writer, where the descriptor is shared with them


cdef class Watcher(Source):
    cdef Scheduler loop
    cdef PyObject* sock  # borrowed; NULL once the socket object is gone
    cdef object reference
    cdef object held     # the socket itself, where it cannot be referred to weakly
    cdef int fd
    cdef uint32_t mask
    cdef bint stream     # TCP: a short read has emptied it, and being writable is no news
    cdef bint urgent     # urgent data was seen, which ends a read early
    cdef bint hosted
    cdef Lane reading
    cdef Lane writing
    cdef Turn join(self, Lane lane)
    cdef int wake(self, Lane lane) except -1
    cdef int depart(self, Turn turn) except -1
    cdef int blocked(self, Lane lane) except -1
    cdef int watch(self, uint32_t mask) except -1
    cdef int abandon(self) except -1
    cdef int host(self) except -1
    cdef int unhost(self) except -1
    cdef int keep_hosted(self, Lane lane) except -1


cdef int descriptor(object sock) except? -1
cdef Watcher find(Scheduler loop, object sock, int fd)
cdef Watcher acquire(Scheduler loop, object sock, int fd)
cdef int pending_error(int fd) except? -2
