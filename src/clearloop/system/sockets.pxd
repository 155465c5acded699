# BSD sockets, as Linux has them, and what other systems use instead of what only Linux has (see epoll.pxd).
from libc.stdint cimport uint16_t, uint32_t

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr:
        unsigned short sa_family
    struct sockaddr_storage:
        unsigned short ss_family
    struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags

    ssize_t recvfrom(int fd, void* buffer, size_t size, int flags, sockaddr* address, socklen_t* address_size)
    ssize_t sendto(int fd, const void* buffer, size_t size, int flags, const sockaddr* address, socklen_t address_size)
    ssize_t recvmsg(int fd, msghdr* message, int flags)
    ssize_t sendmsg(int fd, const msghdr* message, int flags)
    int connect(int fd, const sockaddr* address, socklen_t address_size)
    int shutdown_fd "shutdown"(int fd, int how)
    int getsockname(int fd, sockaddr* address, socklen_t* address_size)
    int getpeername(int fd, sockaddr* address, socklen_t* address_size)
    int getsockopt(int fd, int level, int name, void* value, socklen_t* size)
    int setsockopt(int fd, int level, int name, const void* value, socklen_t size)
    int AF_INET, AF_INET6, AF_UNIX, MSG_DONTWAIT, MSG_PEEK, SHUT_WR, SOL_SOCKET, SO_ERROR

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        uint32_t s_addr
    struct in6_addr:
        unsigned char s6_addr[16]
    struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    int IPPROTO_TCP, INET6_ADDRSTRLEN

cdef extern from "<netinet/tcp.h>" nogil:
    int TCP_NODELAY

cdef extern from * nogil:
    """
    #if defined(__GLIBC__) && !defined(CLEARLOOP_PORTABLE)
    #define CLEARLOOP_GLIBC 1
    #else
    #define CLEARLOOP_GLIBC 0
    #endif
    """
    bint IS_GLIBC "CLEARLOOP_GLIBC"

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t ntohs(uint16_t number)
    uint32_t ntohl(uint32_t number)
    const char* inet_ntop(int family, const void* address, char* text, socklen_t size)


# ---- what every request takes --------------------------------------------------------------------------------------

cdef extern from *:
    """
    #include <sys/socket.h>
    #if defined(__linux__) && !defined(CLEARLOOP_PORTABLE)
    #include <sys/syscall.h>
    #include <unistd.h>
    #endif

    /* On Linux by number: the C library's own are points where a thread can be cancelled, and prepare for that as soon
       as there is a second thread, for 60 instructions a call.  Nobody cancels the thread of a loop. */
    static inline ssize_t clearloop_recv(int fd, void *buffer, size_t size, int flags) {
    #if defined(__linux__) && !defined(CLEARLOOP_PORTABLE) && defined(SYS_recvfrom)
        return (ssize_t) syscall(SYS_recvfrom, (long) fd, buffer, size, (long) flags, (void *) 0, (void *) 0);
    #else
        return recv(fd, buffer, size, flags);
    #endif
    }
    static inline ssize_t clearloop_send(int fd, const void *buffer, size_t size, int flags) {
    #if defined(__linux__) && !defined(CLEARLOOP_PORTABLE) && defined(SYS_sendto)
        return (ssize_t) syscall(SYS_sendto, (long) fd, buffer, size, (long) flags, (void *) 0, (long) 0);
    #else
        return send(fd, buffer, size, flags);
    #endif
    }
    """
    ssize_t recv "clearloop_recv"(int fd, void* buffer, size_t size, int flags) nogil
    ssize_t send "clearloop_send"(int fd, const void* buffer, size_t size, int flags) nogil


# ---- sock_* and datagrams ------------------------------------------------------------------------------------------

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <Python.h>
    #include <stddef.h>
    #include <fcntl.h>
    #include <poll.h>
    #include <unistd.h>
    #include <sys/socket.h>
    #include <sys/un.h>
    #include <netinet/in.h>
    #include <arpa/inet.h>

    /* CPython's socket and file objects begin with their descriptor.  That is nobody's promise, so whoever reads it this
       way tries it out first (net/sockops.py) and calls fileno() where it does not hold. */
    static int clearloop_first_int(PyObject *o) { return *(int *) ((char *) o + sizeof(PyObject)); }

    #define CLEARLOOP_PATH_OFFSET ((int) offsetof(struct sockaddr_un, sun_path))

    #if defined(__linux__) && !defined(CLEARLOOP_PORTABLE)
    #define clearloop_mmsghdr mmsghdr
    #define clearloop_recvmmsg(fd, messages, count, flags) recvmmsg(fd, messages, count, flags, NULL)
    #define clearloop_accept(fd, address, size) accept4(fd, address, size, SOCK_NONBLOCK | SOCK_CLOEXEC)
    #define CLEARLOOP_NOSIGNAL MSG_NOSIGNAL
    #else
    struct clearloop_mmsghdr { struct msghdr msg_hdr; unsigned int msg_len; };

    /* One at a time: an error that comes behind a datagram would be taken from the socket, and lost. */
    static inline int clearloop_recvmmsg(int fd, struct clearloop_mmsghdr *messages, unsigned int count, int flags) {
        ssize_t size = recvmsg(fd, &messages[0].msg_hdr, flags);
        (void) count;
        if (size < 0) {
            return -1;
        }
        messages[0].msg_len = (unsigned int) size;
        return 1;
    }

    static inline int clearloop_accept(int fd, struct sockaddr *address, socklen_t *size) {
        int taken = accept(fd, address, size);
        if (taken >= 0 && (fcntl(taken, F_SETFD, FD_CLOEXEC) < 0 || fcntl(taken, F_SETFL, O_NONBLOCK) < 0)) {
            int error = errno;
            close(taken);
            errno = error;
            return -1;
        }
    #ifdef SO_NOSIGPIPE
        if (taken >= 0) {
            int on = 1;
            setsockopt(taken, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
        }
    #endif
        return taken;
    }

    /* Without it a broken connection raises SIGPIPE, which Python ignores unless the program says otherwise. */
    #if defined(MSG_NOSIGNAL) && !defined(CLEARLOOP_PORTABLE)
    #define CLEARLOOP_NOSIGNAL MSG_NOSIGNAL
    #else
    #define CLEARLOOP_NOSIGNAL 0
    #endif
    #endif

    /* Asked only where the poller reports edges, which is where these exist. */
    #ifndef SO_DOMAIN
    #define SO_DOMAIN 0
    #endif
    #ifndef SO_PROTOCOL
    #define SO_PROTOCOL 0
    #endif
    """
    struct mmsghdr "clearloop_mmsghdr":
        msghdr msg_hdr
        unsigned int msg_len
    # messages received, at least one, or -1 with errno set; never waits
    int recvmmsg "clearloop_recvmmsg"(int fd, mmsghdr* messages, unsigned int count, int flags) nogil
    # a connection that does not block and is closed by exec, or -1 with errno set
    int accept_connection "clearloop_accept"(int fd, sockaddr* address, socklen_t* address_size) nogil
    int MSG_NOSIGNAL "CLEARLOOP_NOSIGNAL"
    int first_int "clearloop_first_int"(object o) nogil
    int UNIX_PATH_OFFSET "CLEARLOOP_PATH_OFFSET"

cdef extern from "<sys/un.h>" nogil:
    struct sockaddr_un:
        unsigned short sun_family
        char sun_path[108]

cdef extern from "<sys/socket.h>" nogil:
    int SO_DOMAIN, SO_TYPE, SO_PROTOCOL, SOCK_STREAM

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd* fds, unsigned long count, int timeout)
    int POLLERR, POLLHUP, POLLIN, POLLOUT

cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t number)
    uint32_t htonl(uint32_t number)
    int inet_pton(int family, const char* text, void* address)
