/* Reads the head of an HTTP/1.x request. Pure, any thread. */
#ifndef MELTICA_RT_SRC_HTTP_REQUEST_H
#define MELTICA_RT_SRC_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define PATH_BYTES_MAX 1024u
#define ETAG_BYTES_MAX 256u

struct http_request {
    char path[PATH_BYTES_MAX], query[PATH_BYTES_MAX], if_none_match[ETAG_BYTES_MAX];
    bool head_only;
    bool keep_alive;
    int refuse; /* status, 0: none */
};

/* Length of the head with its empty line, 0 when it is not whole yet. */
size_t mlt_rt_http_head_length(const char *in, size_t len);
/* Of a whole head, which is changed: its line ends become NULs. */
void mlt_rt_http_read(struct http_request *request, char *head, size_t len);

#endif
