cdef enum Outcome:
    # What read, write, handshake and shutdown return where a count makes no sense; -1 stands for an exception
    DONE = 0         # handshake, shutdown: complete
    WANT_READ = -2   # nothing more can be done before more ciphertext is fed
    WANT_WRITE = -3  # outgoing ciphertext has to be taken first
    CLOSED = -4      # read: the peer's close_notify is here, and everything before it was read


cdef enum:
    RECORD = 16384   # plaintext that fits into one TLS record


cdef class Session:
    cdef object ssl_object                                                  # the ssl.SSLObject, for get_extra_info
    cdef object kind                                                        # "native", or "object" and why
    cdef int feed(self, const char* data, Py_ssize_t size) except -1        # lend ciphertext that came, until keep()
    cdef int allow(self, unsigned int records) except -1                    # so many may begin from now on
    cdef Py_ssize_t lent_left(self) noexcept                                # ciphertext that was not looked at
    cdef int keep(self) except -1                                           # copy what of it is left
    cdef Py_ssize_t unread(self) except -1                                  # ciphertext that was fed and not consumed
    cdef Py_ssize_t handshake(self) except -1                               # DONE, WANT_READ, WANT_WRITE
    cdef Py_ssize_t read(self, char* buffer, Py_ssize_t size) except -1     # a count, WANT_READ, WANT_WRITE, CLOSED
    cdef Py_ssize_t write(self, const char* data, Py_ssize_t size) except -1  # a count, WANT_READ, WANT_WRITE
    cdef Py_ssize_t shutdown(self) except -1                                # DONE, WANT_READ, WANT_WRITE
    cdef Py_ssize_t outgoing(self, char** data) except -1                   # ciphertext to send: where, how much
    cdef int sent(self, Py_ssize_t count) except -1                         # so much of it was taken
    cdef int end(self) except -1                                            # free the buffers; nothing is called after
