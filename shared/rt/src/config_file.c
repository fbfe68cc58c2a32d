#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "meltica/base/buf.h"

#define FILE_BYTES_MAX (1u << 20)
#define EXACT_INTEGER_MAX 9007199254740991.0 /* 2^53 - 1: beyond it a double skips integers */
#define ORIGIN_BYTES_MAX 256u

static enum mlt_status read_all(int fd, struct mlt_buf *out)
{
    uint8_t piece[4096];
    for (;;) {
        const ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return MLT_E_IO;
        }
        const enum mlt_status status = n == 0 ? MLT_OK : mlt_buf_append(out, piece, (size_t)n);
        if (n == 0 || status != MLT_OK) {
            return status;
        }
    }
}

static enum mlt_status read_path(const char *path, struct mlt_buf *text, struct mlt_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return mlt_error_set_foreign(err, MLT_E_CONFIG, "errno", errno,
                                     "config file \"%.200s\" cannot be opened: %s", path,
                                     strerror(errno));
    }
    const enum mlt_status status = read_all(fd, text);
    const int error = errno;
    (void)close(fd);
    switch (status) {
    case MLT_OK:
        return MLT_OK;
    case MLT_E_IO:
        return mlt_error_set_foreign(err, MLT_E_CONFIG, "errno", error,
                                     "config file \"%.200s\" cannot be read: %s", path,
                                     strerror(error));
    case MLT_E_TOO_BIG:
        return mlt_error_set(err, MLT_E_CONFIG, "config file \"%.200s\" is longer than %u bytes",
                             path, FILE_BYTES_MAX);
    default:
        return mlt_error_set(err, status, "no memory for the config file");
    }
}

static size_t line_of(const struct mlt_buf *text, const char *at)
{
    size_t line = 1;
    for (const char *p = (const char *)text->data; p < at; p++) {
        line += *p == '\n' ? 1 : 0;
    }
    return line;
}

static enum mlt_status parse(const struct mlt_buf *text, const char *path, cJSON **out,
                             struct mlt_error *err)
{
    const char *end = NULL;
    if (memmem(text->data, text->len, "\\u0000", 6) != NULL ||
        memchr(text->data, '\0', text->len) != NULL) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "config file \"%.200s\" holds a NUL, which no value may have", path);
    }
    *out = cJSON_ParseWithLengthOpts((const char *)text->data, text->len, &end, false);
    const char *stop = (const char *)text->data + text->len;
    while (*out != NULL && end < stop && strchr(" \t\r\n", *end) != NULL) {
        end++;
    }
    if (*out != NULL && end == stop && cJSON_IsObject(*out)) {
        return MLT_OK;
    }
    const bool parsed = *out != NULL && end == stop;
    cJSON_Delete(*out);
    *out = NULL;
    return parsed ? mlt_error_set(err, MLT_E_CONFIG,
                                  "config file \"%.200s\" must be one JSON object {\"key\": value}",
                                  path)
                  : mlt_error_set(err, MLT_E_CONFIG,
                                  "config file \"%.200s\" is not JSON near line %zu", path,
                                  line_of(text, end));
}

static enum mlt_status wrong_type(const struct mlt_config_item *item, const char *origin,
                                  struct mlt_error *err)
{
    static const char *const literals[] = { "a JSON string", "a JSON number", "true or false",
                                            "a JSON string" };
    char expected[256];
    mlt_config_expected(item, expected, sizeof expected);
    return mlt_error_set(err, MLT_E_CONFIG, "%s (%s): wrong type; use %s, %s", item->key, origin,
                         literals[item->type], expected);
}

static enum mlt_status set_member(const struct config_place *place, const cJSON *member,
                                  const char *origin, struct mlt_error *err)
{
    char number[32];
    const char *text = NULL;
    switch (place->item->type) {
    case MLT_CONFIG_INT:
        /* valueint saturates and a fraction would be cut: only what a double holds exactly passes.
         */
        if (cJSON_IsNumber(member) && member->valuedouble >= -EXACT_INTEGER_MAX &&
            member->valuedouble <= EXACT_INTEGER_MAX &&
            (double)(int64_t)member->valuedouble == member->valuedouble) {
            (void)snprintf(number, sizeof number, "%lld", (long long)member->valuedouble);
            text = number;
        }
        break;
    case MLT_CONFIG_BOOL:
        if (cJSON_IsBool(member)) {
            text = cJSON_IsTrue(member) ? "true" : "false";
        }
        break;
    case MLT_CONFIG_STRING:
    case MLT_CONFIG_CHOICE:
        if (cJSON_IsString(member)) {
            text = member->valuestring;
        }
        break;
    }
    return text != NULL ? mlt_config_set(place, text, MLT_CONFIG_FROM_FILE, origin, err)
                        : wrong_type(place->item, origin, err);
}

static enum mlt_status unknown_member(const struct mlt_config_table *tables, size_t table_count,
                                      const char *name, const char *origin, struct mlt_error *err)
{
    size_t distance = 0;
    const char *nearest = mlt_config_nearest(tables, table_count, name, &distance);
    return mlt_config_meant(nearest, distance) && strcmp(nearest, "config") != 0
               ? mlt_error_set(err, MLT_E_CONFIG,
                               "unknown key \"%.64s\" (%s); did you mean \"%s\"?", name, origin,
                               nearest)
               : mlt_error_set(err, MLT_E_CONFIG, "unknown key \"%.64s\" (%s); see --help", name,
                               origin);
}

static enum mlt_status apply(const struct mlt_config_table *tables, size_t table_count,
                             const cJSON *root, const char *origin, struct mlt_error *err)
{
    for (const cJSON *member = root->child; member != NULL; member = member->next) {
        struct config_place place;
        if (!mlt_config_find(tables, table_count, member->string, &place)) {
            return unknown_member(tables, table_count, member->string, origin, err);
        }
        for (const cJSON *later = member->next; later != NULL; later = later->next) {
            if (strcmp(later->string, member->string) == 0) {
                return mlt_error_set(err, MLT_E_CONFIG, "%s (%s): stands there twice; keep one",
                                     member->string, origin);
            }
        }
        const enum mlt_status status = set_member(&place, member, origin, err);
        if (status != MLT_OK) {
            return status;
        }
    }
    return MLT_OK;
}

enum mlt_status mlt_config_read_file(const struct mlt_config_table *tables, size_t table_count,
                                     const char *path, struct mlt_error *err)
{
    char origin[ORIGIN_BYTES_MAX];
    cJSON *root = NULL;
    struct mlt_buf text;
    mlt_buf_init(&text, FILE_BYTES_MAX);
    (void)snprintf(origin, sizeof origin, "file %.200s", path);
    enum mlt_status status = read_path(path, &text, err);
    if (status == MLT_OK) {
        status = text.len > 0
                     ? parse(&text, path, &root, err)
                     : mlt_error_set(err, MLT_E_CONFIG,
                                     "config file \"%.200s\" is empty; write {} at least", path);
    }
    if (status == MLT_OK) {
        status = apply(tables, table_count, root, origin, err);
    }
    cJSON_Delete(root);
    mlt_buf_fini(&text);
    return status;
}
