/* What nats.c would refuse with no more than "invalid argument", or only when it connects. */
#include "url.h"

#include <stdbool.h>
#include <string.h>

#define PORT_MAX 65535u
#define PORT_DIGITS_MAX 5u

/* Without what stands before '@': that may hold a password. */
static enum mlt_status fail(struct mlt_error *err, const char *address, const char *what)
{
    return mlt_error_set(err, MLT_E_CONFIG,
                         "URL of the NATS server: \"%.100s\" %s: write nats://host:4222, or "
                         "tls://host:4222",
                         address, what);
}

static bool port_valid(const char *text)
{
    const size_t digits = strspn(text, "0123456789");
    unsigned port = 0;
    if (digits == 0 || digits > PORT_DIGITS_MAX || text[digits] != '\0') {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return port >= 1 && port <= PORT_MAX;
}

/* Where ":port" begins, or the end of the text; NULL for an address in brackets that has no end. */
static const char *end_of_host(const char *address)
{
    if (address[0] == '[') {
        const char *bracket = strchr(address, ']');
        return bracket != NULL ? bracket + 1 : NULL;
    }
    return address + strcspn(address, ":");
}

static enum mlt_status check_address(const char *address, struct mlt_error *err)
{
    const char *end = end_of_host(address);
    if (end == NULL || (address[0] == '[' && end - address < 4)) {
        return fail(err, address, "has no IPv6 address between [ and ]");
    }
    if (end == address) {
        return fail(err, address, "names no host");
    }
    if (*end != '\0' && *end != ':') {
        return fail(err, address, "has something else than a port behind ]");
    }
    if (*end == ':' && !port_valid(end + 1)) {
        return fail(err, address, "has a port that is no number from 1 to 65535");
    }
    return MLT_OK;
}

enum mlt_status mlt_bus_url_check(const char *url, struct mlt_error *err)
{
    char address[BUS_URL_BYTES_MAX + 1];
    const size_t len = strlen(url);
    if (len > BUS_URL_BYTES_MAX) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "URL of the NATS server: one of %zu bytes is too long, %u are the "
                             "limit",
                             len, BUS_URL_BYTES_MAX);
    }
    const char *scheme_end = strstr(url, "://");
    const char *start = scheme_end != NULL ? scheme_end + 3 : url;
    const char *at = strrchr(start, '@');
    start = at != NULL ? at + 1 : start;
    memcpy(address, start, strlen(start) + 1);
    if (scheme_end != NULL && strncmp(url, "nats://", 7) != 0 && strncmp(url, "tls://", 6) != 0) {
        return fail(err, address, "has another scheme than nats or tls");
    }
    char *path = strchr(address, '/');
    if (path != NULL && path[1] != '\0') {
        return fail(err, address, "has a path, and a server has none");
    }
    if (path != NULL) {
        *path = '\0';
    }
    for (const char *p = address; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f) {
            return fail(err, address, "has a blank or control byte");
        }
    }
    return check_address(address, err);
}
