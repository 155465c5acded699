from clearloop.engine.future cimport Future
from clearloop.engine.scheduler cimport Scheduler
from clearloop.net.address cimport Address
from clearloop.net.stream_reading cimport StreamReading
from clearloop.system.sockets cimport iovec


cdef class StreamTransport(StreamReading):
    # the connection
    cdef int fd
    cdef int family
    cdef int proto

    # the other direction
    cdef bint eof                  # write_eof was called
    cdef bint sending_file         # by sendfile(): nobody else may write meanwhile

    # what is seldom asked for
    cdef Address peer
    cdef Address name
    cdef object sock
    cdef object extra
    cdef object server
    cdef object waiter
    cdef Future file_turn          # what sendfile() waits for, until the kernel takes bytes again
    cdef dict __dict__
    cdef object __weakref__

    cdef int open(self, Scheduler loop, int fd, int family, int proto, object context) except -1
    cdef bint over_ip(self) except -1
    cdef int begin(self, object protocol) except -1
    cdef int start(self) except -1
    cdef int fail_file_turn(self) except -1
    # -1 with errno; -2 with an exception
    cdef Py_ssize_t transmit(self, const void* data, Py_ssize_t size) except? -2
    cdef Py_ssize_t transmit_many(self, iovec* vector, Py_ssize_t count) except? -2
    cdef int transmit_down(self, const char* data, Py_ssize_t size) except -1
    cdef int write_ready(self) except -1
    cdef int send_queue(self) except -1
    cdef int send_many(self) except -1
    cdef int drained(self) except -1
    cdef int refused(self) except -1
    cdef int wait_until_writable(self) except -1
    cdef object python_socket(self)
    cdef dict all_extra(self)


cdef StreamTransport new_transport(Scheduler loop, int fd, int family, int proto, object context)
