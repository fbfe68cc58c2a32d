/* One request on its way through libcurl. The HTTP thread owns it between the two queues of http.c.
 */
#ifndef MELTICA_HTTP_SRC_INTERNAL_H
#define MELTICA_HTTP_SRC_INTERNAL_H

#include <stdbool.h>

#include <curl/curl.h>

#include "meltica/http/http.h"

struct transfer {
    struct transfer *next, *previous; /* of the queue it is in */
    char *url;
    mlt_http_done_fn done;
    void *ctx;
    CURL *easy; /* set while libcurl has it */
    size_t body_bytes_max;
    size_t capacity;                         /* of response.body */
    int64_t began_mono_ns, deadline_mono_ns; /* from being asked on */
    bool too_big, no_memory;
    char curl_text[CURL_ERROR_SIZE];
    struct mlt_http_response response;
};

/* Copies url. NULL without memory. */
struct transfer *http_transfer_create(const char *url, mlt_http_done_fn done, void *ctx,
                                      const struct mlt_http_options *options);
void http_transfer_destroy(struct transfer *transfer);
/* Makes the easy handle; left_ns is what is left of the timeout. HTTP thread. */
bool http_transfer_begin(struct transfer *transfer, const struct mlt_http_options *options,
                         int64_t left_ns);
/* Fills the response from what libcurl says; the easy handle must be out of the multi. HTTP thread.
 */
void http_transfer_end(struct transfer *transfer, CURLcode code);
/* Fills the response of one that libcurl never finished. */
void http_transfer_fail(struct transfer *transfer, enum mlt_status status, const char *text);

#endif
