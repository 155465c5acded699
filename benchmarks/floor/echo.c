/* The floor of the echo rows: the least work by which a process can echo on Linux.
 *
 * One epoll instance, one buffer, one recv and one send per message.  Nearly all of its CPU time is the kernel's, and
 * that part no event loop can avoid; what a loop costs above this figure is its own.
 *
 *   echo tcp | unix PATH | udp      prints {"port": N} (0 for unix) when it listens, serves until it is killed
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LONGEST_LIFE = 300, EVENTS = 512, BUFFER = 65536 };

static char buffer[BUFFER];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int listen_inet(int type) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length)) die("bind");
    if (type == SOCK_STREAM && listen(fd, 1024)) die("listen");
    if (getsockname(fd, (struct sockaddr *)&address, &length)) die("getsockname");
    printf("{\"port\": %d}\n", ntohs(address.sin_port));
    return fd;
}

static int listen_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024)) die("bind");
    printf("{\"port\": 0}\n");
    return fd;
}

static void echo_datagrams(int fd) {
    struct sockaddr_storage peer;
    for (;;) {
        socklen_t length = sizeof peer;
        ssize_t got = recvfrom(fd, buffer, BUFFER, 0, (struct sockaddr *)&peer, &length);
        if (got < 0) return;
        sendto(fd, buffer, got, 0, (struct sockaddr *)&peer, length);
    }
}

static void accept_all(int poller, int listener) {
    int one = 1;
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* a UNIX socket refuses: no matter */
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

static void echo_stream(int fd) {
    ssize_t got = recv(fd, buffer, BUFFER, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    /* a load client has one message in flight, so its echo always fits the socket's buffer */
    if (got <= 0 || send(fd, buffer, got, MSG_NOSIGNAL) != got) close(fd);
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: echo tcp | unix PATH | udp\n"), 2;
    alarm(LONGEST_LIFE); /* never outlives a harness that died */
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    int datagrams = !strcmp(argv[1], "udp");
    int listener = datagrams ? listen_inet(SOCK_DGRAM)
                   : !strcmp(argv[1], "unix") && argc > 2 ? listen_unix(argv[2])
                                                          : listen_inet(SOCK_STREAM);
    fflush(stdout);
    int poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event)) die("epoll");
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd != listener) echo_stream(events[i].data.fd);
            else if (datagrams) echo_datagrams(listener);
            else accept_all(poller, listener);
        }
    }
}
