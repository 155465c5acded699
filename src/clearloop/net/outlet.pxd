from libc.stdint cimport uint32_t

from clearloop.net.watermarks cimport Marked


cdef class Outlet(Marked):
    # what the short way from a StreamWriter needs, whatever carries the bytes
    cdef bint dirty                # the scheduler will call flush() when the turn ends
    cdef bint no_write             # eof, sending_file or LOST, over TLS CLOSING: write() looks closer
    cdef bint write_replaced       # the program has put a write() of its own on this instance

    # what is not sent yet; `size` counts it
    cdef uint32_t watched          # what the poller has been asked for; WRITABLE: the kernel has refused
    cdef object chunk              # the first chunk (bytes), or None
    cdef Py_ssize_t sent           # how much of it is through already
    cdef list more                 # the chunks behind it, or None
    cdef Py_ssize_t first          # where they begin in `more`
    cdef Py_ssize_t offer          # with more than this, it is sent before the step ends
    cdef Py_ssize_t ignored        # writes after the end

    cdef int append(self, object data) except -1
    cdef int drop_sent(self, Py_ssize_t count) except -1
    cdef int forget_queue(self) except -1
    cdef int push(self) except -1
    cdef int offer_queue(self) except -1
    cdef int refuse_write(self, str method, bint empty) except -1
    cdef str complaint(self)
    cdef int protocol_raised(self, str method) except -1


cdef inline int queue_chunk(Outlet outlet, object chunk) except -1:
    """Put `chunk`, non-empty bytes, behind what is queued; `size` is the caller's."""
    if outlet.chunk is None:
        outlet.chunk = chunk
    elif outlet.more is None:
        outlet.more = [chunk]
    else:
        outlet.more.append(chunk)
    return 0
