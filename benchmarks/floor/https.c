/* The floor of the TLS rows: http.c over OpenSSL on non-blocking sockets, one answer of a given size per request.
 *
 * It reads ahead, so a record costs one recv, and asks again only when OpenSSL holds more; an answer larger than a
 * record leaves record by record, since OpenSSL writes straight to the socket.
 *
 *   https PEM SIZE     prints {"port": N} when it listens, serves until it is killed; PEM: certificate and key
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "openssl.h"

enum { LONGEST_LIFE = 300, EVENTS = 512, BUFFER = 65536 };

struct connection {
    int fd, answering;
    void *ssl;
};

static char buffer[BUFFER], *answer;
static int answer_size, poller;

static void hang_up(struct connection *connection) {
    SSL_shutdown(connection->ssl);
    ERR_clear_error();
    SSL_free(connection->ssl);
    close(connection->fd);
    free(connection);
}

/* 0: wait for the socket; 1: done; -1: hung up */
static int result_of(struct connection *connection, int result) {
    if (result > 0) return 1;
    int error = SSL_get_error(connection->ssl, result);
    if (error == OPENSSL_WANT_READ || error == OPENSSL_WANT_WRITE) return 0;
    hang_up(connection);
    return -1;
}

static void serve(struct connection *connection) {
    for (;;) {
        if (connection->answering) {
            int done = result_of(connection, SSL_write(connection->ssl, answer, answer_size));
            if (done < 0) return;
            struct epoll_event event = {.events = done ? EPOLLIN : EPOLLIN | EPOLLOUT, .data.ptr = connection};
            if (!done || connection->answering > 1) epoll_ctl(poller, EPOLL_CTL_MOD, connection->fd, &event);
            connection->answering = done ? 0 : 2;
            if (!done || !SSL_has_pending(connection->ssl)) return;
        }
        int got = SSL_read(connection->ssl, buffer, BUFFER); /* makes the handshake first, where that is needed */
        if (result_of(connection, got) <= 0) return;
        if (got >= 2 && buffer[got - 1] == '\n' && (got < 4 || !memcmp(buffer + got - 4, "\r\n\r\n", 4)))
            connection->answering = 1;
    }
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (argc != 3) return fprintf(stderr, "usage: https PEM SIZE\n"), 2;
    alarm(LONGEST_LIFE); /* never outlives a harness that died */
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    load_openssl();
    int body = atoi(argv[2]);
    answer = malloc(body + 256);
    answer_size = sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", body);
    memset(answer + answer_size, 'x', body);
    answer_size += body;
    void *context = SSL_CTX_new(TLS_server_method());
    if (!context || SSL_CTX_use_certificate_chain_file(context, argv[1]) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, argv[1], OPENSSL_FILETYPE_PEM) != 1) {
        return fprintf(stderr, "%s: no certificate and key\n", argv[1]), 1;
    }
    SSL_CTX_ctrl(context, OPENSSL_CTRL_SET_READ_AHEAD, 1, NULL);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1024) ||
        getsockname(listener, (struct sockaddr *)&address, &length)) {
        perror("listen");
        return 1;
    }
    printf("{\"port\": %d}\n", ntohs(address.sin_port));
    fflush(stdout);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr) {
                serve(events[i].data.ptr);
                continue;
            }
            int fd;
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                struct connection *connection = calloc(1, sizeof *connection);
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                connection->fd = fd;
                connection->ssl = SSL_new(context);
                SSL_set_fd(connection->ssl, fd);
                SSL_set_accept_state(connection->ssl);
                event = (struct epoll_event){.events = EPOLLIN, .data.ptr = connection};
                epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
            }
        }
    }
}
