/* Loaded before the C library (LD_PRELOAD), makes system calls fail on demand.  The test arms it by ctypes:
 *
 *   fault_arm(name, after, times, error)   the calls of `name` behind the next `after` fail, `times` of them
 *   fault_seen(name)                       how many calls of `name` there were since it was armed
 *   fault_disarm()
 *
 * SHORT as the error makes a call that sends take a single byte.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#define SHORT 100000

static char armed[32];
static volatile int after, times, error, seen;

void fault_arm(const char *name, int skip, int count, int code) {
    strncpy(armed, name, sizeof(armed) - 1);
    after = skip;
    times = count;
    error = code;
    seen = 0;
}
void fault_disarm(void) { armed[0] = 0; }
int fault_seen(void) { return seen; }

static int strikes(const char *name) {
    if (strcmp(armed, name) != 0) {
        return 0;
    }
    int place = __sync_fetch_and_add(&seen, 1);
    return place >= after && place < after + times;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (real == NULL) real = (__typeof__(name) *) dlsym(RTLD_NEXT, #name)

#define FAULT(name) \
    REAL(name); \
    if (strikes(#name)) { \
        errno = error; \
        return -1; \
    }

int socket(int family, int type, int protocol) { FAULT(socket) return real(family, type, protocol); }
int socketpair(int family, int type, int protocol, int pair[2]) { FAULT(socketpair) return real(family, type, protocol, pair); }
int connect(int fd, const struct sockaddr *address, socklen_t size) {
    REAL(connect);
    if (strikes("connect")) {
        if (error == EINTR) real(fd, address, size); /* interrupted, it goes on by itself */
        errno = error;
        return -1;
    }
    return real(fd, address, size);
}
int bind(int fd, const struct sockaddr *address, socklen_t size) { FAULT(bind) return real(fd, address, size); }
int listen(int fd, int backlog) { FAULT(listen) return real(fd, backlog); }
int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags) { FAULT(accept4) return real(fd, address, size, flags); }
int getsockname(int fd, struct sockaddr *address, socklen_t *size) { FAULT(getsockname) return real(fd, address, size); }
int getpeername(int fd, struct sockaddr *address, socklen_t *size) { FAULT(getpeername) return real(fd, address, size); }
int getsockopt(int fd, int level, int name, void *value, socklen_t *size) { FAULT(getsockopt) return real(fd, level, name, value, size); }
int setsockopt(int fd, int level, int name, const void *value, socklen_t size) { FAULT(setsockopt) return real(fd, level, name, value, size); }
int shutdown(int fd, int how) { FAULT(shutdown) return real(fd, how); }
ssize_t recv(int fd, void *buffer, size_t size, int flags) { FAULT(recv) return real(fd, buffer, size, flags); }
ssize_t recvmsg(int fd, struct msghdr *message, int flags) { FAULT(recvmsg) return real(fd, message, flags); }
int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout) { FAULT(recvmmsg) return real(fd, messages, count, flags, timeout); }
int epoll_create1(int flags) { FAULT(epoll_create1) return real(flags); }
int epoll_ctl(int epoll, int what, int fd, struct epoll_event *event) {
    REAL(epoll_ctl);
    if (what == EPOLL_CTL_ADD && strikes("epoll_ctl")) { /* the others need no memory */
        errno = error;
        return -1;
    }
    return real(epoll, what, fd, event);
}
int eventfd(unsigned int value, int flags) { FAULT(eventfd) return real(value, flags); }
ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
    static ssize_t (*real)(int, int, off64_t *, size_t);
    if (real == NULL) *(void **) &real = dlsym(RTLD_NEXT, "sendfile64");
    if (strikes("sendfile")) {
        if (error == SHORT) return real(to, from, offset, 1);
        errno = error;
        return -1;
    }
    return real(to, from, offset, size);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t size) { return sendfile64(to, from, (off64_t *) offset, size); }

ssize_t send(int fd, const void *buffer, size_t size, int flags) {
    REAL(send);
    if (strikes("send")) {
        if (error == SHORT) return real(fd, buffer, size ? 1 : 0, flags);
        errno = error;
        return -1;
    }
    return real(fd, buffer, size, flags);
}
ssize_t sendto(int fd, const void *buffer, size_t size, int flags, const struct sockaddr *address, socklen_t length) {
    FAULT(sendto)
    return real(fd, buffer, size, flags, address, length);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(sendmsg);
    if (strikes("sendmsg")) {
        if (error == SHORT) {
            for (size_t place = 0; place < message->msg_iovlen; place++) {
                if (message->msg_iov[place].iov_len) {
                    static ssize_t (*one)(int, const void *, size_t, int);
                    if (one == NULL) *(void **) &one = dlsym(RTLD_NEXT, "send");
                    return one(fd, message->msg_iov[place].iov_base, 1, flags);
                }
            }
        }
        errno = error;
        return -1;
    }
    return real(fd, message, flags);
}
int epoll_wait(int epoll, struct epoll_event *events, int count, int timeout) { FAULT(epoll_wait) return real(epoll, events, count, timeout); }
int epoll_pwait2(int epoll, struct epoll_event *events, int count, const struct timespec *timeout, const sigset_t *mask) { FAULT(epoll_pwait2) return real(epoll, events, count, timeout, mask); }
/* What the loop calls by number is one of the calls above. */
long syscall(long number, ...) {
    static long (*real)(long, ...);
    long part[6];
    va_list rest;
    va_start(rest, number);
    for (int place = 0; place < 6; place++) part[place] = va_arg(rest, long);
    va_end(rest);
    if (real == NULL) *(void **) &real = dlsym(RTLD_NEXT, "syscall");
    if (number == SYS_recvfrom && part[4] == 0) return recv((int) part[0], (void *) part[1], (size_t) part[2], (int) part[3]);
    if (number == SYS_sendto && part[4] == 0) return send((int) part[0], (void *) part[1], (size_t) part[2], (int) part[3]);
#ifdef SYS_epoll_wait
    if (number == SYS_epoll_wait) return epoll_wait((int) part[0], (struct epoll_event *) part[1], (int) part[2], (int) part[3]);
#endif
    if (number == SYS_epoll_pwait && part[4] == 0) return epoll_wait((int) part[0], (struct epoll_event *) part[1], (int) part[2], (int) part[3]);
    if (number == SYS_epoll_pwait2) return epoll_pwait2((int) part[0], (struct epoll_event *) part[1], (int) part[2], (const struct timespec *) part[3], (const sigset_t *) part[4]);
    return real(number, part[0], part[1], part[2], part[3], part[4], part[5]);
}
