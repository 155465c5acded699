# epoll and eventfd, as Linux has them.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from clearloop.system.clock cimport timespec

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll_fd, int operation, int fd, epoll_event* event)
    int epoll_wait(int epoll_fd, epoll_event* events, int size, int timeout)
    int EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, EPOLLIN, EPOLLET

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int initial, int flags)
    int eventfd_write(int fd, uint64_t value)
    int EFD_CLOEXEC, EFD_NONBLOCK

cdef extern from "<unistd.h>" nogil:
    int close_fd "close"(int fd)

cdef extern from *:
    """
    #include <sys/syscall.h>
    #include <unistd.h>
    #include <errno.h>
    /* By number: the wrapper is younger (glibc 2.35) than the systems that wheels are built on. */
    static int clearloop_epoll_pwait2(int fd, struct epoll_event *events, int size, const struct timespec *timeout) {
    #ifdef SYS_epoll_pwait2
        return (int) syscall(SYS_epoll_pwait2, fd, events, size, timeout, (void *) 0, (size_t) 0);
    #else
        errno = ENOSYS;
        return -1;
    #endif
    }
    """
    int epoll_pwait2 "clearloop_epoll_pwait2"(int fd, epoll_event* events, int size, const timespec* timeout) nogil
