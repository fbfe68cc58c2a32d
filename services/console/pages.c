#include "pages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meltica/base/hash.h"

#define NAME_BYTES_MAX 127u
#define HEADERS_BYTES_MAX 1024u
#define CONFIG_BYTES_MAX 2048u
#define HASH_CHARS 8u /* that the bundler puts into a name: app-1A2B3C4D.js */
#define INDEX "index.html"

/* In all answers. The page brings everything itself and speaks to NATS alone: whatever a name of an
 * instrument or a reason might carry, no script of it ever runs. */
#define COMMON_HEADERS                                                                             \
    "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"                          \
    "X-Frame-Options: DENY\r\nCross-Origin-Opener-Policy: same-origin\r\n"                         \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                                                \
    "Permissions-Policy: camera=(), geolocation=(), microphone=()\r\n"
#define POLICY                                                                                     \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "           \
    "img-src 'self'; font-src 'self'; connect-src 'self' %.*s; base-uri 'none'; "                  \
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'\r\n"

struct file {
    char name[NAME_BYTES_MAX + 1];
    const char *content_type;
    bool immutable; /* its name changes with what is in it */
    struct mlt_buf bytes;
    char etag[32];
    char headers[HEADERS_BYTES_MAX + 1];
};

struct mlt_pages {
    struct file files[MLT_PAGES_FILES_MAX];
    size_t count, bytes;
    struct mlt_buf config;
    char config_headers[HEADERS_BYTES_MAX + 1];
};

/* ---- URL ---- */

static size_t scheme_length(const char *url)
{
    if (strncmp(url, "ws://", 5) == 0) {
        return 5;
    }
    return strncmp(url, "wss://", 6) == 0 ? 6 : 0;
}

static bool allowed(const char *text, size_t len, const char *others)
{
    for (size_t i = 0; i < len; i++) {
        const char c = text[i];
        const bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && strchr(others, c) == NULL) {
            return false;
        }
    }
    return true;
}

static bool port_valid(const char *text, size_t len)
{
    long port = 0;
    if (len < 1 || len > 5) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        port = port * 10 + (text[i] - '0');
    }
    return port > 0 && port <= 65535;
}

/* Length of scheme, host and port; 0 when they are none. */
static size_t origin_length(const char *url)
{
    const size_t scheme = scheme_length(url);
    if (scheme == 0) {
        return 0;
    }
    const char *host = url + scheme;
    const size_t len = strcspn(host, "/");
    size_t host_len = strcspn(host, ":/");
    bool good = host_len > 0 && allowed(host, host_len, ".-");
    if (host[0] == '[') {
        const char *end = memchr(host, ']', len);
        host_len = end != NULL ? (size_t)(end - host) + 1 : 0;
        good = host_len > 3 && allowed(host + 1, host_len - 2, ":.");
    }
    if (good && host_len < len) {
        good = host[host_len] == ':' && port_valid(host + host_len + 1, len - host_len - 1);
    }
    return good ? scheme + len : 0;
}

bool mlt_pages_url_valid(const char *url)
{
    const size_t origin = origin_length(url);
    const size_t len = strlen(url);
    return origin > 0 && len <= MLT_PAGES_URL_BYTES_MAX &&
           allowed(url + origin, len - origin, "/-_.~");
}

/* ---- reading ---- */

static const char *type_of(const char *name)
{
    static const struct {
        const char *end, *type;
    } types[] = {
        { ".html", "text/html; charset=utf-8" },
        { ".js", "text/javascript; charset=utf-8" },
        { ".css", "text/css; charset=utf-8" },
        { ".svg", "image/svg+xml" },
        { ".woff2", "font/woff2" },
        { ".txt", "text/plain; charset=utf-8" },
        { ".png", "image/png" },
    };
    const size_t len = strlen(name);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const size_t end = strlen(types[i].end);
        if (len > end && strcmp(name + len - end, types[i].end) == 0) {
            return types[i].type;
        }
    }
    return NULL;
}

/* Whether a name ends in -XXXXXXXX.extension, as the bundler writes it. */
static bool name_has_hash(const char *name)
{
    const char *dot = strrchr(name, '.');
    const size_t stem = dot != NULL ? (size_t)(dot - name) : 0;
    if (stem < HASH_CHARS + 2 || name[stem - HASH_CHARS - 1] != '-') {
        return false;
    }
    for (size_t i = stem - HASH_CHARS; i < stem; i++) {
        const bool upper = name[i] >= 'A' && name[i] <= 'Z';
        if (!upper && !(name[i] >= '0' && name[i] <= '9')) {
            return false;
        }
    }
    return true;
}

static enum mlt_status read_bytes(int fd, struct file *f, struct mlt_error *err)
{
    uint8_t piece[16384];
    ssize_t n = 0;
    enum mlt_status status = MLT_OK;
    while (status == MLT_OK && (n = read(fd, piece, sizeof piece)) > 0) {
        status = mlt_buf_append(&f->bytes, piece, (size_t)n);
    }
    if (n < 0) {
        return mlt_error_set_foreign(err, MLT_E_IO, "errno", errno, "%s cannot be read: %s",
                                     f->name, strerror(errno));
    }
    if (status == MLT_E_TOO_BIG) {
        return mlt_error_set(err, MLT_E_CONFIG, "%s is larger than %u bytes", f->name,
                             MLT_PAGES_FILE_BYTES_MAX);
    }
    return status == MLT_OK ? MLT_OK : mlt_error_set(err, status, "no memory for %s", f->name);
}

static enum mlt_status take_file(struct mlt_pages *pages, int fd, const char *name,
                                 const char *policy, struct mlt_error *err)
{
    char etag[sizeof pages->files[0].etag];
    if (pages->count == MLT_PAGES_FILES_MAX) {
        return mlt_error_set(err, MLT_E_CONFIG, "there are more than %u files",
                             MLT_PAGES_FILES_MAX);
    }
    struct file *f = &pages->files[pages->count++];
    (void)snprintf(f->name, sizeof f->name, "%s", name);
    f->content_type = type_of(name);
    f->immutable = name_has_hash(name);
    mlt_buf_init(&f->bytes, MLT_PAGES_FILE_BYTES_MAX);
    const enum mlt_status status = read_bytes(fd, f, err);
    (void)snprintf(etag, sizeof etag, "\"%016" PRIx64 "\"",
                   mlt_fnv1a64(MLT_FNV1A64_INIT, mlt_buf_view(&f->bytes)));
    (void)snprintf(f->headers, sizeof f->headers, COMMON_HEADERS "%sETag: %s\r\n", policy, etag);
    memcpy(f->etag, etag, sizeof f->etag);
    pages->bytes += f->bytes.len;
    return status;
}

static enum mlt_status read_file(struct mlt_pages *pages, int folder, const char *name,
                                 const char *policy, struct mlt_error *err)
{
    struct stat about;
    enum mlt_status status = MLT_OK;
    if (type_of(name) == NULL || strlen(name) > NAME_BYTES_MAX) {
        return MLT_OK; /* nothing of a page */
    }
    const int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &about) != 0) {
        status = mlt_error_set_foreign(err, MLT_E_IO, "errno", errno, "%s cannot be read: %s", name,
                                       strerror(errno));
    } else if (S_ISREG(about.st_mode)) {
        status = take_file(pages, fd, name, policy, err);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return status;
}

static enum mlt_status read_folder(struct mlt_pages *pages, const char *dir, const char *policy,
                                   struct mlt_error *err)
{
    enum mlt_status status = MLT_OK;
    DIR *folder = opendir(dir);
    if (folder == NULL) {
        return mlt_error_set_foreign(err, MLT_E_CONFIG, "errno", errno,
                                     "web_dir: \"%.200s\" cannot be read (%s); name the folder of "
                                     "the built page",
                                     dir, strerror(errno));
    }
    const struct dirent *entry = NULL;
    while (status == MLT_OK && (entry = readdir(folder)) != NULL) {
        status = read_file(pages, dirfd(folder), entry->d_name, policy, err);
    }
    (void)closedir(folder);
    return status == MLT_OK ? MLT_OK : mlt_error_prepend(err, "web_dir: \"%.200s\"", dir);
}

static const struct file *find(const struct mlt_pages *pages, const char *name)
{
    for (size_t i = 0; i < pages->count; i++) {
        if (strcmp(pages->files[i].name, name) == 0) {
            return &pages->files[i];
        }
    }
    return NULL;
}

/* ---- config.json ---- */

static enum mlt_status put_string(struct mlt_buf *out, const char *before, const char *value)
{
    const enum mlt_status status = mlt_buf_append_string(out, before);
    return status == MLT_OK ? mlt_buf_append_json_string(out, mlt_slice_of_string(value)) : status;
}

static enum mlt_status make_config(struct mlt_pages *pages, const struct mlt_pages_options *options,
                                   struct mlt_error *err)
{
    struct mlt_buf *out = &pages->config;
    enum mlt_status status = put_string(out, "{\"nats_ws\":", options->nats_ws);
    if (status == MLT_OK) {
        status = put_string(out, ",\"label\":", options->label);
    }
    if (status == MLT_OK) {
        status = put_string(out, ",\"version\":", options->version);
    }
    if (status == MLT_OK) {
        status = mlt_buf_printf(out, ",\"control\":%s}\n", options->control ? "true" : "false");
    }
    return status == MLT_OK ? MLT_OK : mlt_error_set(err, status, "no memory for /config.json");
}

static enum mlt_status check(const struct mlt_pages_options *options, struct mlt_error *err)
{
    if (!mlt_pages_url_valid(options->nats_ws)) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "nats_ws_url: \"%.200s\" is none; write ws://host:port or "
                             "wss://host:port, without user and query",
                             options->nats_ws);
    }
    if (strlen(options->label) > MLT_PAGES_LABEL_BYTES_MAX) {
        return mlt_error_set(err, MLT_E_CONFIG, "label: longer than %u bytes",
                             MLT_PAGES_LABEL_BYTES_MAX);
    }
    return MLT_OK;
}

/* ---- life ---- */

enum mlt_status mlt_pages_load(const struct mlt_pages_options *options, struct mlt_pages **out,
                               struct mlt_error *err)
{
    char policy[HEADERS_BYTES_MAX];
    *out = NULL;
    enum mlt_status status = check(options, err);
    if (status != MLT_OK) {
        return status;
    }
    struct mlt_pages *pages = calloc(1, sizeof *pages);
    if (pages == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the page");
    }
    (void)snprintf(policy, sizeof policy, POLICY, (int)origin_length(options->nats_ws),
                   options->nats_ws);
    mlt_buf_init(&pages->config, CONFIG_BYTES_MAX);
    (void)snprintf(pages->config_headers, sizeof pages->config_headers, COMMON_HEADERS "%s",
                   policy);
    status = make_config(pages, options, err);
    if (status == MLT_OK) {
        status = read_folder(pages, options->dir, policy, err);
    }
    if (status == MLT_OK && find(pages, INDEX) == NULL) {
        status = mlt_error_set(err, MLT_E_CONFIG,
                               "web_dir: no " INDEX " in \"%.200s\"; build the page: ./dev console "
                               "build",
                               options->dir);
    }
    if (status != MLT_OK) {
        mlt_pages_destroy(pages);
        return status;
    }
    *out = pages;
    return MLT_OK;
}

void mlt_pages_destroy(struct mlt_pages *pages)
{
    if (pages == NULL) {
        return;
    }
    for (size_t i = 0; i < pages->count; i++) {
        mlt_buf_fini(&pages->files[i].bytes);
    }
    mlt_buf_fini(&pages->config);
    free(pages);
}

size_t mlt_pages_count(const struct mlt_pages *pages)
{
    return pages->count;
}

size_t mlt_pages_bytes(const struct mlt_pages *pages)
{
    return pages->bytes;
}

/* ---- answers ---- */

static enum mlt_page_kind give(const struct mlt_buf *bytes, enum mlt_page_kind kind,
                               struct mlt_http_answer *answer)
{
    if (mlt_buf_append(answer->body, bytes->data, bytes->len) == MLT_OK) {
        return kind;
    }
    mlt_buf_clear(answer->body);
    answer->status = 500;
    answer->cache_control = "no-store";
    return MLT_PAGE_FAILED;
}

/* One of a list, or any; a tag that is marked weak will do. */
static bool tag_matches(const char *if_none_match, const char *etag)
{
    return strcmp(if_none_match, "*") == 0 || strstr(if_none_match, etag) != NULL;
}

enum mlt_page_kind mlt_pages_answer(struct mlt_pages *pages, const char *path,
                                    struct mlt_http_answer *answer)
{
    if (strcmp(path, "/config.json") == 0) {
        answer->content_type = "application/json";
        answer->headers = pages->config_headers;
        return give(&pages->config, MLT_PAGE_CONFIG, answer);
    }
    const struct file *f = find(pages, strcmp(path, "/") == 0 ? INDEX : path + 1);
    if (f == NULL) {
        return MLT_PAGE_NONE;
    }
    answer->content_type = f->content_type;
    answer->headers = f->headers;
    answer->cache_control = f->immutable ? "public, max-age=31536000, immutable" : "no-cache";
    if (tag_matches(answer->if_none_match, f->etag)) {
        answer->status = 304;
        return MLT_PAGE_NOT_MODIFIED;
    }
    return give(&f->bytes, strcmp(f->name, INDEX) == 0 ? MLT_PAGE_INDEX : MLT_PAGE_ASSET, answer);
}
