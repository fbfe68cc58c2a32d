/* What the console's HTTP gives out: a built page from a folder, read once and held in memory, and
 * /config.json. Only what was read has a path, so that no path of a request ever reaches the file
 * system. One thread. */
#ifndef MELTICA_CONSOLE_PAGES_H
#define MELTICA_CONSOLE_PAGES_H

#include "meltica/rt/loop.h"

#define MLT_PAGES_FILES_MAX 64u
#define MLT_PAGES_FILE_BYTES_MAX MLT_LOOP_ANSWER_BYTES_MAX
#define MLT_PAGES_LABEL_BYTES_MAX 40u
#define MLT_PAGES_URL_BYTES_MAX 255u

struct mlt_pages;

struct mlt_pages_options {
    const char *dir;     /* with index.html and what it needs, no folders inside */
    const char *nats_ws; /* URL of the NATS server's WebSocket listener */
    const char *label;   /* shown in the page's head; "": nothing */
    const char *version;
    bool control; /* the page offers to change subscriptions */
};

enum mlt_page_kind {
    MLT_PAGE_NONE, /* no such path; the answer is untouched */
    MLT_PAGE_INDEX,
    MLT_PAGE_ASSET,
    MLT_PAGE_CONFIG,
    MLT_PAGE_NOT_MODIFIED,
    MLT_PAGE_FAILED, /* no memory: 500 */
    MLT_PAGE_KINDS
};

/* ws:// or wss://, a host (numbers in brackets for IPv6), perhaps a port and a path; no user, no
 * query. */
bool mlt_pages_url_valid(const char *url);

/* Reads the folder. Strings are copied. *pages is the caller's to destroy. E_CONFIG (a wrong URL or
 * label, no folder, no index.html, beyond a limit: err says what to do), E_IO, E_NOMEM. */
enum mlt_status mlt_pages_load(const struct mlt_pages_options *options, struct mlt_pages **pages,
                               struct mlt_error *err) MLT_MUST_CHECK;
void mlt_pages_destroy(struct mlt_pages *pages); /* NULL is fine */

/* Answers the request. What answer->headers points to lives as long as pages. */
enum mlt_page_kind mlt_pages_answer(struct mlt_pages *pages, const char *path,
                                    struct mlt_http_answer *answer);

size_t mlt_pages_count(const struct mlt_pages *pages); /* files */
size_t mlt_pages_bytes(const struct mlt_pages *pages);

#endif
