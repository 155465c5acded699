from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t

from clearloop.engine.future cimport Future
from clearloop.engine.runnable cimport Source
from clearloop.engine.scheduler cimport Scheduler
from clearloop.net.address cimport Address
from clearloop.system.sockets cimport iovec


cdef enum Phase:
    STARTING = 0  # connection_made is scheduled; nothing is read yet
    OPEN = 1
    CLOSING = 2   # close() was called; what is queued is still being sent, nothing is read
    LOST = 3      # connection_lost is scheduled; nothing is sent
    CLOSED = 4    # connection_lost has run; the descriptor is closed


cdef class Receiver:
    cdef bint direct               # received() stands for data_received()
    cdef int received(self, object data) except -1
    cdef object awaited(self, bint reading)


cdef class Outlet(Source):
    # what the short way from a StreamWriter needs, whatever carries the bytes
    cdef unsigned char phase
    cdef bint dirty                # the scheduler will call flush() when the turn ends
    cdef bint no_write             # eof, sending_file or LOST: write() looks closer
    cdef bint write_replaced       # the program has put a write() of its own on this instance
    cdef int append(self, object data) except -1


cdef class Layer(Outlet):
    # a transport that is the protocol of the one below it: TLS
    cdef int readable(self) except -1    # the transport below has bytes: receive_up() gives them
    cdef int room(self) except -1        # it has sent everything that transmit_down() left
    cdef int lower_ended(self) except -1 # its peer has sent its last byte


cdef class StreamTransport(Outlet):
    # the connection
    cdef Scheduler loop
    cdef int fd
    cdef int family
    cdef int proto
    cdef uint32_t watched          # what the poller has been asked for

    # the protocol
    cdef bint buffered             # an asyncio.BufferedProtocol
    cdef bint paused               # pause_reading
    cdef bint ended                # the peer has sent its last byte
    cdef bint flooded              # the last read was a large one
    cdef bint protocol_paused      # pause_writing was called
    cdef bint eof                  # write_eof was called
    cdef bint sending_file         # by sendfile(): nobody else may write meanwhile
    cdef object protocol
    cdef Receiver receiver         # the same, if it takes data by received()
    cdef Layer layer               # the same, if it is a transport on top of this one
    cdef object context

    # what is not sent yet
    cdef object chunk              # the first chunk (bytes), or None
    cdef Py_ssize_t sent           # how much of it is sent already
    cdef list more                 # the chunks behind it, or None
    cdef Py_ssize_t first          # where they begin in `more`
    cdef Py_ssize_t size           # bytes in all
    cdef Py_ssize_t high
    cdef Py_ssize_t low
    cdef Py_ssize_t offer          # with more than this, the kernel is asked before the step ends
    cdef Py_ssize_t ignored        # writes after the connection was lost

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
    cdef int schedule(self, object callback, object argument) except -1
    cdef int fail_file_turn(self) except -1
    cdef int use_protocol(self, object protocol) except -1
    cdef int watch(self, uint32_t events) except -1
    # -1 with errno; -2 with an exception
    cdef Py_ssize_t receive(self, void* buffer, Py_ssize_t size) except? -2
    cdef Py_ssize_t receive_many(self, iovec* vector, Py_ssize_t count) except? -2
    cdef Py_ssize_t transmit(self, const void* data, Py_ssize_t size) except? -2
    cdef Py_ssize_t transmit_many(self, iovec* vector, Py_ssize_t count) except? -2
    cdef bint reading(self) noexcept
    cdef PyObject* subject(self) noexcept
    cdef bint enter(self) except -1
    cdef int read_ready(self) except -1
    cdef int read_short(self) except -1
    cdef object filled(self, PyObject* fresh, Py_ssize_t size, Py_ssize_t count)
    cdef int begin_flood(self) except -1
    cdef int read_nothing(self, Py_ssize_t count, int error) except -1
    cdef bint deliver(self, object data) except -1
    cdef int read_into_protocol(self) except -1
    cdef int peer_ended(self) except -1
    cdef Py_ssize_t receive_up(self, char* buffer, Py_ssize_t size) except -1
    cdef int transmit_down(self, const char* data, Py_ssize_t size) except -1
    cdef int write_ready(self) except -1
    cdef int offer_queue(self) except -1
    cdef int send_queue(self) except -1
    cdef int send_many(self) except -1
    cdef int drop_sent(self, Py_ssize_t count) except -1
    cdef int drained(self) except -1
    cdef int push(self) except -1
    cdef int refused(self) except -1
    cdef int wait_until_writable(self) except -1
    cdef int pause_protocol(self) except -1
    cdef int resume_protocol(self) except -1
    cdef int refuse_write(self, str method) except -1
    cdef int fail(self, int error, str message) except -1
    cdef int fatal(self, object error, str message) except -1
    cdef int protocol_raised(self, str method) except -1
    cdef int lose(self, object error) except -1
    cdef int forget_queue(self) except -1
    cdef int release(self) except -1
    cdef object python_socket(self)
    cdef dict all_extra(self)


cdef StreamTransport new_transport(Scheduler loop, int fd, int family, int proto, object context)
