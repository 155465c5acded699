from clearloop.net.stream_reading cimport Layer, Receiver
from clearloop.net.tls.scratch cimport Scratch
from clearloop.net.tls.session cimport Session
from clearloop.net.transport cimport StreamTransport


cdef class TLSTransport(Layer):
    # the connection; `phase` is STARTING until the handshake is complete
    cdef object lower              # the transport below; None before connection_made
    cdef StreamTransport stream    # the same, if it is a socket's of ours
    cdef Session session           # None once the connection is closed
    cdef Scratch scratch
    cdef bint ended                # the transport below has read its last byte
    cdef bint peer_closed          # the peer's close_notify was read
    cdef bint notified             # ours is encrypted
    cdef bint lower_paused         # a foreign transport below is full
    cdef bint server_side
    cdef bint resuming             # _deliver_again is scheduled
    cdef bint working              # inside the session: nobody may enter it again

    # the protocol
    cdef bint buffered             # an asyncio.BufferedProtocol
    cdef bint paused               # pause_reading
    cdef bint made                 # connection_made was called
    cdef bint told                 # eof_received was called
    cdef Receiver receiver         # the same, if it takes data by received()

    cdef Py_ssize_t unasked        # bytes of answers of TLS's own behind what is not sent

    # what is seldom asked for
    cdef object ssl_object
    cdef object kind               # of the session
    cdef object sslcontext
    cdef dict known                # what get_extra_info has answered
    cdef object waiter             # of create_connection or start_tls
    cdef object error              # what has ended the connection
    cdef object timer              # of the handshake, then of the shutdown
    cdef double handshake_timeout
    cdef double shutdown_timeout
    cdef Py_ssize_t left           # at the last tick of the shutdown's timer
    cdef object __weakref__
    cdef dict __dict__

    cdef bint enter(self) except -1
    cdef Scratch borrow(self)
    cdef int take_in(self, const char* data, Py_ssize_t size, Scratch scratch) except -1
    cdef int advance(self, Scratch scratch) except -1
    cdef bint left_over(self) except -1
    cdef int answer(self) except -1
    cdef int deliver_later(self) except -1
    cdef int shake(self) except -1
    cdef int established(self) except -1
    cdef int deliver_all(self, Scratch scratch) except -1
    cdef Py_ssize_t decrypt(self, char* buffer, Py_ssize_t room, Py_ssize_t* last) except -1
    cdef int deliver(self, object data) except -1
    cdef int deliver_into_protocol(self) except -1
    cdef int discard(self, Scratch scratch) except -1
    cdef int peer_is_done(self) except -1
    cdef int start_shutdown(self) except -1
    cdef int wind_down(self) except -1
    cdef int finish(self) except -1
    cdef int encrypt(self) except -1
    cdef Py_ssize_t encrypt_piece(self, Py_ssize_t limit) except -1
    cdef bint congested(self) noexcept
    cdef int transmit_outgoing(self) except -1
    cdef int session_failed(self, object error) except -1
    cdef int settle(self, object error) except -1
    cdef int stop_timer(self) except -1
