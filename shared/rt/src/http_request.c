#include "http_request.h"

#include <string.h>
#include <strings.h>

size_t mlt_rt_http_head_length(const char *in, size_t len)
{
    for (size_t i = 0; i + 1 < len; i++) {
        if (in[i] == '\n' && in[i + 1] == '\n') {
            return i + 2;
        }
        if (in[i] == '\n' && in[i + 1] == '\r' && i + 2 < len && in[i + 2] == '\n') {
            return i + 3;
        }
    }
    return 0;
}

static void copy_cut(char *out, size_t size, const char *from, size_t len)
{
    const size_t n = len < size - 1 ? len : size - 1;
    memcpy(out, from, n);
    out[n] = '\0';
}

/* Absolute form has scheme and authority in front, which do not matter here. */
static const char *origin_form(const char *target)
{
    if (strncasecmp(target, "http://", 7) != 0) {
        return target;
    }
    const char *path = target + 7 + strcspn(target + 7, "/?");
    return *path != '\0' ? path : "/";
}

static bool split_target(struct http_request *request, const char *target)
{
    const char *path = origin_form(target);
    for (const char *p = path; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f) {
            return false;
        }
    }
    const size_t path_len = strcspn(path, "?#");
    const char *query = path[path_len] == '?' ? path + path_len + 1 : "";
    copy_cut(request->path, sizeof request->path, path, path_len);
    copy_cut(request->query, sizeof request->query, query, strcspn(query, "#"));
    return path[0] == '/';
}

static bool list_has(const char *list, const char *word)
{
    const size_t word_len = strlen(word);
    while (*list != '\0') {
        list += strspn(list, " \t,");
        const size_t len = strcspn(list, " \t,");
        if (len == word_len && strncasecmp(list, word, len) == 0) {
            return true;
        }
        list += len;
    }
    return false;
}

/* A body is never read: the connection ends after the answer, so that it cannot pass for the next
 * request. */
static void read_header(struct http_request *request, const char *line)
{
    const char *colon = strchr(line, ':');
    if (colon == NULL || colon == line) {
        request->refuse = 400;
        return;
    }
    const size_t name_len = (size_t)(colon - line);
    const char *value = colon + 1 + strspn(colon + 1, " \t");
    if (name_len == 10 && strncasecmp(line, "connection", 10) == 0) {
        if (list_has(value, "close")) {
            request->keep_alive = false;
        }
    } else if (name_len == 14 && strncasecmp(line, "content-length", 14) == 0) {
        if (strspn(value, "0 \t") != strlen(value)) {
            request->keep_alive = false;
        }
    } else if (name_len == 17 && strncasecmp(line, "transfer-encoding", 17) == 0) {
        request->keep_alive = false;
    } else if (name_len == 13 && strncasecmp(line, "if-none-match", 13) == 0) {
        copy_cut(request->if_none_match, sizeof request->if_none_match, value, strlen(value));
    }
}

static void read_request_line(struct http_request *request, char *line)
{
    char *target = strchr(line, ' ');
    char *version = target != NULL ? strrchr(line, ' ') : NULL;
    request->refuse = 400;
    if (target == NULL || version == target) {
        return;
    }
    *target++ = '\0';
    *version++ = '\0';
    if (strncmp(version, "HTTP/1.", 7) != 0 || strlen(version) != 8) {
        request->refuse = strncmp(version, "HTTP/", 5) == 0 ? 505 : 400;
        return;
    }
    request->keep_alive = version[7] != '0';
    request->head_only = strcmp(line, "HEAD") == 0;
    if (!split_target(request, target)) {
        return;
    }
    request->refuse = request->head_only || strcmp(line, "GET") == 0 ? 0 : 405;
}

void mlt_rt_http_read(struct http_request *request, char *head, size_t len)
{
    *request = (struct http_request){ 0 };
    if (memchr(head, '\0', len) != NULL) {
        request->refuse = 400;
        return;
    }
    char *next = head;
    for (unsigned i = 0; next < head + len; i++) {
        char *line = next;
        char *end = memchr(line, '\n', (size_t)(head + len - line));
        next = end + 1;
        *end = '\0';
        if (end > line && end[-1] == '\r') {
            end[-1] = '\0';
        }
        if (i == 0) {
            read_request_line(request, line);
        } else if (line[0] != '\0') {
            read_header(request, line);
        }
    }
}
