# Reading and writing what is no socket.
from clearloop.system.sockets cimport iovec

cdef extern from "<unistd.h>" nogil:
    ssize_t read_fd "read"(int fd, void* buffer, size_t size)
    ssize_t write_fd "write"(int fd, const void* data, size_t size)

cdef extern from "<sys/uio.h>" nogil:
    ssize_t readv(int fd, const iovec* vector, int count)
    ssize_t writev(int fd, const iovec* vector, int count)
