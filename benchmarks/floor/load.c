/* The load client: keeps one request in flight on each connection, and prices the server, not itself.
 *
 * A client written in Python would be slower than the servers it measures, and they would idle.  The price is the
 * server's CPU clock (user and system, nanoseconds), read through its process id at both ends of the measured window,
 * so that neither the client's work nor the start of the server is in it.
 *
 *   load tcp|unix|udp|http  PORT|PATH  CONNECTIONS  SIZE  WARM-UP-SECONDS  SECONDS  SERVER-PID
 *
 * prints {"requests": N, "cpu_ns": N, "wall_ns": N}.  Exit status 1, with one line on stderr, when the server hangs,
 * hangs up, or answers wrongly.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, BUFFER = 65536, PATIENCE_MS = 5000, UDP_PATIENCE_MS = 100 };

struct connection {
    int fd;
    size_t got; /* bytes of the present answer */
};

static char request[BUFFER], buffer[BUFFER];
static size_t request_size, answer_size; /* HTTP learns the size of the answer from the first one */
static int http, udp;

static void fail(const char *why) {
    fprintf(stderr, "load: %s\n", why);
    exit(1);
}

static int64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    if (clock_gettime(clock, &now)) fail("the server's process is gone");
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int connected(const char *mode, const char *where) {
    int fd, one = 1;
    if (!strcmp(mode, "unix")) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        snprintf(address.sun_path, sizeof address.sun_path, "%s", where);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address)) fail("cannot connect");
        return fd;
    }
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(atoi(where)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    fd = socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) fail("cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void ask(struct connection *connection) {
    connection->got = 0;
    if (send(connection->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size)
        if (!udp) fail("the server hung up");
}

static size_t whole_answer(size_t got) { /* the size of the HTTP answer in the buffer, 0 if its head is not whole */
    buffer[got < BUFFER ? got : BUFFER - 1] = 0;
    char *end = strstr(buffer, "\r\n\r\n"), *length = strcasestr(buffer, "\r\ncontent-length:");
    if (!end) return 0;
    if (!length || length > end) fail("an answer without Content-Length");
    return (end + 4 - buffer) + strtoul(length + 17, NULL, 10);
}

/* True when the answer is complete. */
static int hear(struct connection *connection) {
    /* the very first HTTP answer is gathered in the buffer, so that its head can be read; later ones only counted */
    size_t at = http && !answer_size ? connection->got : 0;
    ssize_t got = recv(connection->fd, buffer + at, BUFFER - 1 - at, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (got < 0 && udp) return 0;
    if (got <= 0) fail("the server hung up");
    if (http && !connection->got && got >= 12 && memcmp(buffer + 8, " 200", 4)) fail("an answer that is not 200");
    connection->got += got;
    if (http && !answer_size) answer_size = whole_answer(connection->got);
    if (!answer_size || connection->got < answer_size) return 0;
    if (connection->got > answer_size) fail("more bytes than an answer has");
    return 1;
}

/* One whole exchange, alone: checks the echo byte by byte once, and lets HTTP learn the answer's size. */
static void rehearse(struct connection *connection) {
    size_t seen = 0;
    int64_t limit = nanoseconds(CLOCK_MONOTONIC) + PATIENCE_MS * 1000000LL;
    ask(connection);
    for (;;) {
        size_t before = connection->got;
        int done = hear(connection);
        if (!http && connection->got > before) {
            if (memcmp(buffer, request + seen, connection->got - before)) fail("an echo that differs");
            seen = connection->got;
        }
        if (done) return;
        if (nanoseconds(CLOCK_MONOTONIC) > limit) fail("no answer");
        if (connection->got == before) usleep(200);
    }
}

int main(int argc, char **argv) {
    if (argc != 8)
        return fprintf(stderr, "usage: load MODE PORT|PATH CONNECTIONS SIZE WARM-UP SECONDS PID\n"), 2;
    const char *mode = argv[1];
    int count = atoi(argv[3]);
    double warm_up = atof(argv[5]), seconds = atof(argv[6]);
    clockid_t server, wall = CLOCK_MONOTONIC;
    http = !strcmp(mode, "http");
    udp = !strcmp(mode, "udp");
    alarm(warm_up + seconds + 60);
    if (clock_getcpuclockid(atoi(argv[7]), &server)) fail("no such server process");
    if (http) {
        request_size = snprintf(request, BUFFER, "GET / HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nAccept: */*\r\n\r\n", argv[2]);
    } else {
        request_size = answer_size = atoi(argv[4]);
        if (request_size < 1 || request_size > BUFFER / 2) fail("a size out of range");
        for (size_t i = 0; i < request_size; i++) request[i] = 'a' + i % 23;
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    struct connection *connections = calloc(count, sizeof *connections);
    struct epoll_event events[EVENTS];
    int poller = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < count; i++) {
        connections[i].fd = connected(mode, argv[2]);
        if (i == 0) rehearse(connections);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connections + i};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, connections[i].fd, &event)) fail("epoll");
    }
    for (int i = 0; i < count; i++) ask(connections + i);

    int measuring = 0;
    int64_t requests = 0, cpu = 0, start = nanoseconds(wall), until = start + warm_up * 1e9;
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, udp ? UDP_PATIENCE_MS : PATIENCE_MS);
        if (ready == 0 && !udp) fail("no answer");
        if (ready == 0) /* a datagram was lost: ask again */
            for (int i = 0; i < count; i++) ask(connections + i);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!hear(connection)) continue;
            requests++;
            ask(connection);
        }
        int64_t now = nanoseconds(wall);
        if (now < until) continue;
        if (measuring) {
            printf("{\"requests\": %lld, \"cpu_ns\": %lld, \"wall_ns\": %lld}\n", (long long)requests,
                   (long long)(nanoseconds(server) - cpu), (long long)(now - start));
            return 0;
        }
        measuring = 1;
        requests = 0;
        cpu = nanoseconds(server);
        start = now;
        until = now + seconds * 1e9;
    }
}
