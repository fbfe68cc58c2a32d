/* Which server is it? Its greeting says, but nats.c 3.10.1 keeps that to itself: so one more
 * connection is made, which reads the greeting and goes. Set-up path: once a server. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connection.h"

#define GREETING_BYTES_MAX 32768u
#define GREETING_NS (500 * MLT_NS_PER_MS)

static int remaining_ms(int64_t deadline_ns)
{
    const int64_t left = deadline_ns - mlt_clock_mono_ns();
    return left <= 0 ? 0 : (int)((left + MLT_NS_PER_MS - 1) / MLT_NS_PER_MS);
}

static int connect_one(const struct addrinfo *address, int64_t deadline_ns)
{
    const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
        struct pollfd wait = { .fd = fd, .events = POLLOUT };
        int failure = 0;
        socklen_t size = sizeof failure;
        if (errno != EINPROGRESS || poll(&wait, 1, remaining_ms(deadline_ns)) != 1 ||
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0 || failure != 0) {
            (void)close(fd);
            return -1;
        }
    }
    return fd;
}

/* Splits "nats://user:pw@host:port" or with "[::1]" into host and port. */
static bool split_url(char *url, const char **host, const char **port)
{
    char *at = strstr(url, "://");
    at = at != NULL ? at + 3 : url;
    char *user_end = strrchr(at, '@');
    at = user_end != NULL ? user_end + 1 : at;
    at[strcspn(at, "/")] = '\0';
    char *colon = strrchr(at, ':');
    if (colon == NULL) {
        return false;
    }
    *colon = '\0';
    *port = colon + 1;
    if (at[0] == '[') {
        at++;
        at[strcspn(at, "]")] = '\0';
    }
    *host = at;
    return at[0] != '\0';
}

/* Reads until the first line is complete. */
static bool read_line(int fd, int64_t deadline_ns, char *out, size_t size)
{
    size_t used = 0;
    while (used < size - 1) {
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        if (poll(&wait, 1, remaining_ms(deadline_ns)) != 1) {
            return false;
        }
        const ssize_t got = recv(fd, out + used, size - 1 - used, 0);
        if (got <= 0) {
            return false;
        }
        used += (size_t)got;
        out[used] = '\0';
        if (strchr(out, '\n') != NULL) {
            return true;
        }
    }
    return false;
}

static bool find_version(const char *greeting, char *out, size_t size)
{
    static const char key[] = "\"version\":";
    const char *at = strncmp(greeting, "INFO ", 5) == 0 ? strstr(greeting, key) : NULL;
    if (at == NULL) {
        return false;
    }
    at += sizeof key - 1;
    at += strspn(at, " \"");
    const size_t len = strcspn(at, "\"");
    if (len == 0 || len >= size || at[len] != '"') {
        return false;
    }
    memcpy(out, at, len);
    out[len] = '\0';
    return true;
}

bool mlt_bus_server_ask_version(natsConnection *nc, char *out, size_t size)
{
    char url[1024];
    const char *host = NULL, *port = NULL;
    if (natsConnection_GetConnectedUrl(nc, url, sizeof url) != NATS_OK ||
        !split_url(url, &host, &port)) {
        return false;
    }
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *addresses = NULL;
    if (getaddrinfo(host, port, &hints, &addresses) != 0) {
        return false;
    }
    const int64_t deadline = mlt_clock_mono_ns() + GREETING_NS;
    bool known = false;
    char *greeting = malloc(GREETING_BYTES_MAX);
    for (const struct addrinfo *a = addresses; a != NULL && greeting != NULL && !known;
         a = a->ai_next) {
        const int fd = connect_one(a, deadline);
        if (fd >= 0) {
            known = read_line(fd, deadline, greeting, GREETING_BYTES_MAX) &&
                    find_version(greeting, out, size);
            (void)close(fd);
        }
    }
    free(greeting);
    freeaddrinfo(addresses);
    return known;
}

bool mlt_bus_server_version_supported(const char *text)
{
    char *end = NULL;
    const unsigned long major = strtoul(text, &end, 10);
    if (end == text || *end != '.') {
        return true;
    }
    const unsigned long minor = strtoul(end + 1, NULL, 10);
    return major > 2 || (major == 2 && minor >= 10);
}
