# Reading and writing what is no socket.
from clearloop.system.sockets cimport iovec

cdef extern from *:
    """
    #include <unistd.h>
    #if defined(__linux__) && !defined(CLEARLOOP_PORTABLE)
    #include <sys/syscall.h>
    #endif
    /* On Linux by number, as recv and send (sockets.pxd). */
    static inline ssize_t clearloop_read(int fd, void *buffer, size_t size) {
    #if defined(__linux__) && !defined(CLEARLOOP_PORTABLE) && defined(SYS_read)
        return (ssize_t) syscall(SYS_read, (long) fd, buffer, size);
    #else
        return read(fd, buffer, size);
    #endif
    }
    static inline ssize_t clearloop_write(int fd, const void *data, size_t size) {
    #if defined(__linux__) && !defined(CLEARLOOP_PORTABLE) && defined(SYS_write)
        return (ssize_t) syscall(SYS_write, (long) fd, data, size);
    #else
        return write(fd, data, size);
    #endif
    }
    """
    ssize_t read_fd "clearloop_read"(int fd, void* buffer, size_t size) nogil
    ssize_t write_fd "clearloop_write"(int fd, const void* data, size_t size) nogil

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
