from clearloop.net.tls.session cimport Session
from clearloop.system.openssl cimport Wire


cdef class NativeSession(Session):
    cdef object socket     # the _ssl._SSLSocket: it owns the SSL
    cdef void* ssl         # the SSL*
    cdef void* bio         # between it and the wire; one reference of it is ours
    cdef Wire wire
    cdef bint pending      # OpenSSL may hold plaintext although the wire is empty
    cdef bint ended        # the peer's close_notify was read
    cdef int take_buffer(self) except -1
    cdef int give_buffer(self) except -1
    cdef Py_ssize_t not_read(self, Py_ssize_t size, char* buffer) except -1
    cdef Py_ssize_t not_written(self, const char* data, Py_ssize_t size) except -1
