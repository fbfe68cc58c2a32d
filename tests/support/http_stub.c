#include "http_stub.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool read_all(int fd, void *data, size_t len)
{
    char *p = data;
    while (len > 0) {
        const ssize_t got = read(fd, p, len);
        if (got <= 0) {
            return false;
        }
        p += got;
        len -= (size_t)got;
    }
    return true;
}

static void write_all(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len > 0) {
        const ssize_t sent = send(fd, p, len, MSG_NOSIGNAL);
        if (sent <= 0) {
            return;
        }
        p += sent;
        len -= (size_t)sent;
    }
}

static bool read_head(int fd, char *head, size_t size)
{
    for (size_t len = 0; len + 1 < size && read_all(fd, head + len, 1);) {
        head[++len] = '\0';
        if (len >= 4 && memcmp(head + len - 4, "\r\n\r\n", 4) == 0) {
            return true;
        }
    }
    return false;
}

static void give(int fd, const struct http_stub_answer *answer)
{
    char head[1024];
    const int len = snprintf(
        head, sizeof head, "HTTP/1.1 %d Stub\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n",
        answer->code, answer->body_len, answer->headers != NULL ? answer->headers : "");
    if (len < 0 || (size_t)len >= sizeof head) {
        abort();
    }
    write_all(fd, head, (size_t)len);
    write_all(fd, answer->body, answer->body_len);
}

static void serve(struct http_stub *stub, int fd)
{
    char head[HTTP_STUB_HEAD_BYTES_MAX];
    if (!read_head(fd, head, sizeof head)) {
        return;
    }
    const char *length = strcasestr(head, "\r\nContent-Length:");
    const size_t len = length != NULL ? strtoul(length + 17, NULL, 10) : 0;
    char *body = len <= HTTP_STUB_BODY_BYTES_MAX ? malloc(len + 1) : NULL;
    if (body != NULL && read_all(fd, body, len)) {
        body[len] = '\0';
        const struct http_stub_answer answer = stub->fn(stub->ctx, head, body, len);
        if (answer.code != 0) {
            give(fd, &answer);
        }
    }
    free(body);
}

/* What http_stub_stop would shut down; false: it already came. */
static bool hold(struct http_stub *stub, int fd)
{
    (void)pthread_mutex_lock(&stub->lock);
    const bool goes_on = !stub->stopping;
    stub->fd = goes_on ? fd : -1;
    (void)pthread_mutex_unlock(&stub->lock);
    return goes_on;
}

static void *run(void *argument)
{
    struct http_stub *stub = argument;
    int fd;
    while ((fd = accept4(stub->listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        if (hold(stub, fd)) {
            serve(stub, fd);
            (void)hold(stub, -1);
        }
        (void)close(fd);
    }
    return NULL;
}

static bool listens(struct http_stub *stub, uint16_t port)
{
    const int yes = 1;
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    stub->listen_fd = fd;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        return false;
    }
    stub->port = ntohs(address.sin_port);
    return true;
}

bool http_stub_start(struct http_stub *stub, uint16_t port, http_stub_fn *fn, void *ctx)
{
    *stub = (struct http_stub){ .fn = fn, .ctx = ctx, .fd = -1 };
    (void)pthread_mutex_init(&stub->lock, NULL);
    if (listens(stub, port) && pthread_create(&stub->thread, NULL, run, stub) == 0) {
        return true;
    }
    if (stub->listen_fd >= 0) {
        (void)close(stub->listen_fd);
    }
    (void)pthread_mutex_destroy(&stub->lock);
    return false;
}

void http_stub_stop(struct http_stub *stub)
{
    (void)pthread_mutex_lock(&stub->lock);
    stub->stopping = true;
    (void)shutdown(stub->listen_fd, SHUT_RDWR); /* accept returns */
    if (stub->fd >= 0) {
        (void)shutdown(stub->fd, SHUT_RDWR); /* read and send return */
    }
    (void)pthread_mutex_unlock(&stub->lock);
    (void)pthread_join(stub->thread, NULL);
    (void)close(stub->listen_fd);
    (void)pthread_mutex_destroy(&stub->lock);
}
