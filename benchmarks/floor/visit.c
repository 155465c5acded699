/* The load client of the rows over TLS, and of those in which every request has a connection of its own.
 *
 *   visit https|handshake|connect  PORT  CONNECTIONS  WARM-UP-SECONDS  SECONDS  PID
 *
 * https keeps one GET in flight on each connection; handshake and connect open a new connection for each GET (with TLS,
 * without), hear the answer and close.  Prints {"requests": N, "cpu_ns": N, "wall_ns": N}: the CPU time of the process
 * PID, or with 0 its own: then it is itself the floor, that of a client.  Exit status 1, with one line on stderr, when
 * the server hangs, hangs up, or answers wrongly.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "openssl.h"

enum { EVENTS = 512, BUFFER = 65536, PATIENCE_MS = 5000, SOURCES = 16 };

struct connection {
    int fd, watched, connected, asked;
    void *ssl;
    size_t got;
};

static char request[512], buffer[BUFFER + 1];
static size_t request_size, answer_size; /* learnt from the first answer */
static int tls, stays, poller, port, opened;
static void *context;

static void fail(const char *why) {
    fprintf(stderr, "visit: %s\n", why);
    exit(1);
}

static int64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    if (clock_gettime(clock, &now)) fail("the server's process is gone");
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void watch(struct connection *connection, int events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (connection->watched == events) return;
    if (epoll_ctl(poller, connection->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, connection->fd, &event)) fail("epoll");
    connection->watched = events;
}

/* Connects, from several addresses in turn: closed connections hold their ports for a while. */
static void visit(struct connection *connection) {
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + opened++ % SOURCES)};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    memset(connection, 0, sizeof *connection);
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(connection->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    bind(connection->fd, (struct sockaddr *)&from, sizeof from);
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(connection->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) fail("cannot connect");
    if (tls) {
        connection->ssl = SSL_new(context);
        SSL_set_fd(connection->ssl, connection->fd);
        SSL_set_connect_state(connection->ssl);
    }
    watch(connection, EPOLLOUT);
}

static int blocked(struct connection *connection, int result) {
    if (connection->ssl) {
        int error = SSL_get_error(connection->ssl, result);
        if (error != OPENSSL_WANT_READ && error != OPENSSL_WANT_WRITE) fail("the server hung up");
        watch(connection, error == OPENSSL_WANT_WRITE ? EPOLLIN | EPOLLOUT : EPOLLIN);
    } else {
        if (result == 0 || (errno != EAGAIN && errno != EINTR)) fail("the server hung up");
        watch(connection, EPOLLIN);
    }
    return 0;
}

static size_t whole_answer(size_t got) {
    buffer[got] = 0;
    char *end = strstr(buffer, "\r\n\r\n"), *length = strcasestr(buffer, "\r\ncontent-length:");
    if (!end || !length || length > end) fail("an answer without a head in its first piece");
    return (end + 4 - buffer) + strtoul(length + 17, NULL, 10);
}

/* Goes on as far as the socket lets it; true when an answer is complete. */
static int go_on(struct connection *connection) {
    if (!connection->connected) {
        if (tls) {
            int result = SSL_do_handshake(connection->ssl);
            if (result <= 0) return blocked(connection, result);
        }
        connection->connected = 1;
    }
    if (!connection->asked) {
        int sent = tls ? SSL_write(connection->ssl, request, request_size)
                       : (int)send(connection->fd, request, request_size, MSG_NOSIGNAL);
        if (sent != (int)request_size) fail("the request did not fit");
        connection->asked = 1;
        watch(connection, EPOLLIN);
        return 0; /* the answer takes its time */
    }
    for (;;) {
        int got = tls ? SSL_read(connection->ssl, buffer, BUFFER) : (int)recv(connection->fd, buffer, BUFFER, 0);
        if (got <= 0) return blocked(connection, got);
        if (!connection->got && (got < 12 || memcmp(buffer + 8, " 200", 4))) fail("an answer that is not 200");
        if (!answer_size) answer_size = whole_answer(got);
        connection->got += got;
        if (connection->got > answer_size) fail("more bytes than an answer has");
        if (connection->got == answer_size) return 1;
        if (tls ? !SSL_has_pending(connection->ssl) : got < BUFFER) return 0;
    }
}

static void leave(struct connection *connection) {
    if (connection->ssl) {
        SSL_shutdown(connection->ssl);
        SSL_free(connection->ssl);
        ERR_clear_error();
    }
    close(connection->fd);
}

int main(int argc, char **argv) {
    if (argc != 7) return fprintf(stderr, "usage: visit MODE PORT CONNECTIONS WARM-UP SECONDS PID\n"), 2;
    stays = !strcmp(argv[1], "https");
    tls = stays || !strcmp(argv[1], "handshake");
    port = atoi(argv[2]);
    int count = atoi(argv[3]), measuring = 0;
    double warm_up = atof(argv[4]), seconds = atof(argv[5]);
    clockid_t priced = CLOCK_PROCESS_CPUTIME_ID, wall = CLOCK_MONOTONIC;
    if (atoi(argv[6]) && clock_getcpuclockid(atoi(argv[6]), &priced)) fail("no such server process");
    alarm(warm_up + seconds + 60);
    if (tls) {
        signal(SIGPIPE, SIG_IGN);
        load_openssl();
        context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_ctrl(context, OPENSSL_CTRL_SET_READ_AHEAD, 1, NULL);
    }
    request_size = snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: */*\r\n\r\n", port);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct connection *connections = calloc(count, sizeof *connections);
    for (int i = 0; i < count; i++) visit(connections + i);

    struct epoll_event events[EVENTS];
    int64_t requests = 0, cpu = 0, start = nanoseconds(wall), until = start + warm_up * 1e9;
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, PATIENCE_MS);
        if (ready == 0) fail("no answer");
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!go_on(connection)) continue;
            requests++;
            if (stays) {
                connection->got = connection->asked = 0;
                go_on(connection);
            } else {
                leave(connection);
                visit(connection);
            }
        }
        int64_t now = nanoseconds(wall);
        if (now < until) continue;
        if (measuring) {
            printf("{\"requests\": %lld, \"cpu_ns\": %lld, \"wall_ns\": %lld}\n", (long long)requests,
                   (long long)(nanoseconds(priced) - cpu), (long long)(now - start));
            return 0;
        }
        measuring = 1;
        requests = 0;
        cpu = nanoseconds(priced);
        start = now;
        until = now + seconds * 1e9;
    }
}
