#include "secrets.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mlt_test.h"

#define CHUNK_BYTES 65536u

static const char *secrets[SECRETS_MAX];
static size_t count;

void secrets_add(const char *secret)
{
    assert_true(count < SECRETS_MAX && strlen(secret) >= 16); /* a short one is found by chance */
    secrets[count++] = secret;
}

size_t secrets_count(void)
{
    return count;
}

const char *secrets_path(const char *folder, const char *name)
{
    static char paths[16][160];
    static unsigned next;
    char *path = paths[next++ % 16];
    const int len = snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    assert_in_range(len, 1, sizeof paths[0] - 1);
    return path;
}

void secrets_write(const char *path, const char *text)
{
    FILE *to = fopen(path, "we");
    assert_non_null(to);
    assert_true(fprintf(to, "%s\n", text) > 0);
    assert_int_equal(fclose(to), 0);
}

bool secrets_holds(const struct mlt_buf *buf, const char *text)
{
    return buf->len > 0 && memmem(buf->data, buf->len, text, strlen(text)) != NULL;
}

void secrets_append_file(const char *path, struct mlt_buf *out)
{
    FILE *from = fopen(path, "re");
    size_t n = from != NULL ? 1 : 0;
    while (n > 0) {
        assert_int_equal(mlt_buf_reserve(out, CHUNK_BYTES), MLT_OK);
        n = fread(out->data + out->len, 1, CHUNK_BYTES, from);
        out->len += n;
    }
    if (from != NULL) {
        (void)fclose(from);
    }
}

void secrets_get_page(unsigned port, const char *path, struct mlt_buf *page)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char request[128];
    const struct timeval limit = { .tv_sec = 10 };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int len = snprintf(request, sizeof request,
                             "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    mlt_buf_clear(page);
    ssize_t n = connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 &&
                        send(fd, request, (size_t)len, MSG_NOSIGNAL) == len
                    ? 1
                    : 0;
    while (n > 0) {
        assert_int_equal(mlt_buf_reserve(page, CHUNK_BYTES), MLT_OK);
        n = read(fd, page->data + page->len, CHUNK_BYTES);
        page->len += n > 0 ? (size_t)n : 0;
    }
    (void)close(fd);
}

unsigned secrets_port_said(const struct mlt_buf *log)
{
    static const char key[] = "\"port\":";
    const char *at = memmem(log->data, log->len, key, sizeof key - 1);
    assert_non_null(at);
    at += sizeof key - 1;
    const unsigned long port = strtoul(at + strspn(at, "\""), NULL, 10);
    assert_true(port > 0);
    return (unsigned)port;
}

void secrets_look(const struct mlt_buf *buf, const char *where)
{
    for (size_t i = 0; i < count; i++) {
        if (secrets_holds(buf, secrets[i])) {
            fail_msg("secret %zu is in %s", i, where);
        }
    }
}

/* Whether the text is in it, too. */
static bool look_at_file(const char *path, const char *text, size_t *bytes)
{
    struct mlt_buf buf;
    mlt_buf_init(&buf, SECRETS_BYTES_MAX);
    secrets_append_file(path, &buf);
    secrets_look(&buf, path);
    *bytes += buf.len;
    const bool held = secrets_holds(&buf, text);
    mlt_buf_fini(&buf);
    return held;
}

static bool look_at_folder(const char *path, const char *text, size_t *bytes)
{
    DIR *files = opendir(path);
    const struct dirent *entry;
    bool held = false;
    assert_non_null(files);
    while ((entry = readdir(files)) != NULL) {
        char inner[1024];
        struct stat about;
        (void)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            lstat(inner, &about) != 0) {
            continue;
        }
        if (S_ISDIR(about.st_mode)) {
            held = look_at_folder(inner, text, bytes) || held;
        } else if (S_ISREG(about.st_mode)) {
            held = look_at_file(inner, text, bytes) || held;
        }
    }
    (void)closedir(files);
    return held;
}

size_t secrets_look_at_folder(const char *path, const char *known)
{
    size_t bytes = 0;
    if (!look_at_folder(path, known, &bytes)) {
        fail_msg("what should be somewhere in %s (%zu bytes) is not: %s", path, bytes, known);
    }
    return bytes;
}

void secrets_look_at_process(pid_t pid)
{
    static const char *const names[] = { "cmdline", "environ", "comm" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, names[i]);
        size_t bytes = 0;
        (void)look_at_file(path, "", &bytes);
        assert_true(bytes > 0);
    }
}

void secrets_look_at_pages(unsigned port)
{
    static const char *const pages[] = { "/metrics", "/readyz", "/livez", "/nothing" };
    struct mlt_buf page;
    mlt_buf_init(&page, SECRETS_BYTES_MAX);
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        secrets_get_page(port, pages[i], &page);
        assert_true(page.len > 0);
        secrets_look(&page, pages[i]);
    }
    mlt_buf_fini(&page);
}
