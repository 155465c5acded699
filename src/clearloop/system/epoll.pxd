# epoll and eventfd, as Linux has them.  Elsewhere every call fails with ENOSYS, and the loop takes the selectors poller.
# A build with -DCLEARLOOP_PORTABLE does as if it were elsewhere: so what stands in for Linux is tested on Linux.
from libc.stdint cimport uint32_t, uint64_t

from clearloop.system.clock cimport timespec

cdef extern from *:
    """
    #include <errno.h>
    #include <stdint.h>
    #include <unistd.h>
    #if defined(__linux__) && !defined(CLEARLOOP_PORTABLE)
    #include <sys/epoll.h>
    #include <sys/eventfd.h>
    #include <sys/syscall.h>
    /* By number, as recv and send (sockets.pxd), and where the machine has it. */
    static inline int clearloop_epoll_wait(int fd, struct epoll_event *events, int size, int milliseconds) {
    #if defined(SYS_epoll_wait)
        return (int) syscall(SYS_epoll_wait, (long) fd, events, (long) size, (long) milliseconds);
    #elif defined(SYS_epoll_pwait)
        return (int) syscall(SYS_epoll_pwait, (long) fd, events, (long) size, (long) milliseconds, (void *) 0, (size_t) 8);
    #else
        return epoll_wait(fd, events, size, milliseconds);
    #endif
    }
    /* By number: the wrapper is younger (glibc 2.35) than the systems that wheels are built on. */
    static int clearloop_epoll_pwait2(int fd, struct epoll_event *events, int size, const struct timespec *timeout) {
    #if !defined(SYS_epoll_pwait2) && (defined(__x86_64__) || defined(__aarch64__))
    #define SYS_epoll_pwait2 441 /* of kernel 5.11; the headers may be older than the kernel that it runs on */
    #endif
    #ifdef SYS_epoll_pwait2
        return (int) syscall(SYS_epoll_pwait2, fd, events, size, timeout, (void *) 0, (size_t) 0);
    #else
        errno = ENOSYS;
        return -1;
    #endif
    }
    #define clearloop_eventfd eventfd
    #define clearloop_eventfd_write eventfd_write
    #define CLEARLOOP_EVENTFD_FLAGS (EFD_CLOEXEC | EFD_NONBLOCK)
    #define CLEARLOOP_EPOLL 1
    #else
    #define CLEARLOOP_EPOLL 0
    typedef union { uint64_t u64; } clearloop_epoll_data;
    struct clearloop_epoll_event { uint32_t events; clearloop_epoll_data data; };
    /* by other names: some systems have a library that imitates epoll, and other parts include the real headers */
    #define epoll_event clearloop_epoll_event
    #define epoll_data_t clearloop_epoll_data
    #define epoll_create1(flags) (errno = ENOSYS, -1)
    #define epoll_ctl(epoll_fd, operation, fd, event) ((void) (event), errno = ENOSYS, -1)
    #define clearloop_epoll_wait(epoll_fd, events, size, timeout) ((void) (events), errno = ENOSYS, -1)
    #define clearloop_epoll_pwait2(epoll_fd, events, size, timeout) ((void) (events), errno = ENOSYS, -1)
    #define clearloop_eventfd(initial, flags) (errno = ENOSYS, -1)
    #define clearloop_eventfd_write(fd, value) (errno = ENOSYS, -1)
    #define CLEARLOOP_EVENTFD_FLAGS 0
    enum { EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, EPOLLIN, EPOLLET };
    #endif
    """
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags) nogil
    int epoll_ctl(int epoll_fd, int operation, int fd, epoll_event* event) nogil
    int epoll_wait "clearloop_epoll_wait"(int epoll_fd, epoll_event* events, int size, int timeout) nogil
    int epoll_pwait2 "clearloop_epoll_pwait2"(int fd, epoll_event* events, int size, const timespec* timeout) nogil
    int EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, EPOLLIN, EPOLLET

    int eventfd "clearloop_eventfd"(unsigned int initial, int flags) nogil
    int eventfd_write "clearloop_eventfd_write"(int fd, uint64_t value) nogil
    int EVENTFD_FLAGS "CLEARLOOP_EVENTFD_FLAGS"  # not inherited, and never waits

    bint HAVE_EPOLL "CLEARLOOP_EPOLL"

    int close_fd "close"(int fd) nogil


# ---- the pipe that stands in for eventfd ----------------------------------------------------------------------------

cdef extern from *:
    """
    #include <fcntl.h>
    static inline int clearloop_open_pipe(int *ends) {
        int i;
        if (pipe(ends) < 0) {
            return -1;
        }
        for (i = 0; i < 2; i++) {
            if (fcntl(ends[i], F_SETFD, FD_CLOEXEC) < 0 || fcntl(ends[i], F_SETFL, O_NONBLOCK) < 0) {
                int error = errno;
                close(ends[0]);
                close(ends[1]);
                errno = error;
                return -1;
            }
        }
        return 0;
    }
    #define clearloop_is_descriptor(fd) (fcntl(fd, F_GETFD) >= 0)
    """
    int open_pipe "clearloop_open_pipe"(int* ends) nogil  # neither end blocks, exec closes both
    bint is_descriptor "clearloop_is_descriptor"(int fd) nogil  # else errno is EBADF
