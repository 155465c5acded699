# Reading and writing what is no socket.
from clearloop.system.sockets cimport iovec

cdef extern from "<unistd.h>" nogil:
    ssize_t read_fd "read"(int fd, void* buffer, size_t size)
    ssize_t write_fd "write"(int fd, const void* data, size_t size)

cdef extern from "<sys/uio.h>" nogil:
    ssize_t readv(int fd, const iovec* vector, int count)
    ssize_t writev(int fd, const iovec* vector, int count)

cdef extern from *:
    """
    #include <fcntl.h>
    /* Let the pipe hold `wide` bytes if it holds `usual` now: 1 if it does then.  Either end may be asked. */
    static int clearloop_widen(int fd, int usual, int wide) {
    #ifdef F_SETPIPE_SZ
        return fcntl(fd, F_GETPIPE_SZ) == usual && fcntl(fd, F_SETPIPE_SZ, wide) >= wide;
    #else
        return 0;
    #endif
    }
    """
    bint widen_pipe "clearloop_widen"(int fd, int usual, int wide) nogil
