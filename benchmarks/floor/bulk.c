/* The load client of the bulk rows: pours into a server, or drains it, as fast as the connections allow.
 *
 *   bulk pour|drain  PORT  CONNECTIONS  WARM-UP-SECONDS  SECONDS  PID
 *
 * prints {"requests": MEBIBYTES, "cpu_ns": N, "wall_ns": N}: the CPU time of the process PID.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 64, BUFFER = 262144, PATIENCE_MS = 5000 };

static char buffer[BUFFER];

static void fail(const char *why) {
    fprintf(stderr, "bulk: %s\n", why);
    exit(1);
}

static int64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    if (clock_gettime(clock, &now)) fail("the server's process is gone");
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc != 7) return fprintf(stderr, "usage: bulk MODE PORT CONNECTIONS WARM-UP SECONDS PID\n"), 2;
    int pour = !strcmp(argv[1], "pour"), count = atoi(argv[3]), measuring = 0, poller = epoll_create1(0);
    double warm_up = atof(argv[4]), seconds = atof(argv[5]);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(atoi(argv[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    clockid_t priced, wall = CLOCK_MONOTONIC;
    if (clock_getcpuclockid(atoi(argv[6]), &priced)) fail("no such server process");
    alarm(warm_up + seconds + 60);
    memset(buffer, 'x', BUFFER);
    for (int i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct epoll_event event = {.events = pour ? EPOLLOUT : EPOLLIN, .data.fd = fd};
        if (connect(fd, (struct sockaddr *)&to, sizeof to)) fail("cannot connect");
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
    struct epoll_event events[EVENTS];
    int64_t bytes = 0, cpu = 0, start = nanoseconds(wall), until = start + warm_up * 1e9;
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, PATIENCE_MS);
        if (ready == 0) fail("nothing moves");
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            ssize_t moved = pour ? send(fd, buffer, BUFFER, MSG_DONTWAIT | MSG_NOSIGNAL)
                                 : recv(fd, buffer, BUFFER, MSG_DONTWAIT | MSG_TRUNC);
            if (moved < 0 && (errno == EAGAIN || errno == EINTR)) continue;
            if (moved <= 0) fail("the server hung up");
            bytes += moved;
        }
        int64_t now = nanoseconds(wall);
        if (now < until) continue;
        if (measuring) {
            printf("{\"requests\": %.3f, \"cpu_ns\": %lld, \"wall_ns\": %lld}\n", bytes / 1048576.0,
                   (long long)(nanoseconds(priced) - cpu), (long long)(now - start));
            return 0;
        }
        measuring = 1;
        bytes = 0;
        cpu = nanoseconds(priced);
        start = now;
        until = now + seconds * 1e9;
    }
}
