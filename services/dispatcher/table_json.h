/* Strict reading of JSON objects for the dispatch table: every failure names the path, what is
 * wrong there and what would be right. Cold path; private to table_parse.c. */
#ifndef MELTICA_DISPATCHER_TABLE_JSON_H
#define MELTICA_DISPATCHER_TABLE_JSON_H

#include <cjson/cJSON.h>

#include "meltica/base/error.h"
#include "meltica/base/slice.h"

#include <stdint.h>

#define JSON_PATH_BYTES_MAX 128u

/* An object (or array) and where it stands. */
struct json_place {
    const cJSON *node;
    char path[JSON_PATH_BYTES_MAX]; /* "routes[3].rest"; "" is the whole document */
    struct mlt_error *err;
};

/* Whole document: E_CONFIG with line and column for what is no JSON, or has something after it. The
 * tree is the caller's to cJSON_Delete. */
enum mlt_status json_parse_document(struct mlt_slice text, cJSON **out,
                                    struct mlt_error *err) MLT_MUST_CHECK;

/* E_CONFIG, "<path>.<name>: <text>" (name may be NULL). */
enum mlt_status json_fail(const struct json_place *at, const char *name, const char *format, ...)
    MLT_PRINTF(3, 4);

/* The place is an object and has no member but those of known (NULL-terminated), each at most once.
 */
enum mlt_status json_check_object(const struct json_place *at,
                                  const char *const *known) MLT_MUST_CHECK;

/* A member: NULL when absent. */
const cJSON *json_member(const struct json_place *at, const char *name);

/* Member as a place of its own; absent: out->node is NULL. */
void json_enter(const struct json_place *at, const char *name, struct json_place *out);
void json_enter_item(const struct json_place *array, const cJSON *item, size_t index,
                     struct json_place *out);

/* Number of items; the place must be an array of min..max of them. */
enum mlt_status json_array_size(const struct json_place *at, size_t min, size_t max,
                                size_t *count) MLT_MUST_CHECK;

/* String of 1..max bytes, NUL-terminated, into out (max + 1 bytes). Absent: E_CONFIG if required,
 * else "".
 */
enum mlt_status json_string(const struct json_place *at, const char *name, bool required, char *out,
                            size_t max) MLT_MUST_CHECK;
/* Integer min..max; absent: *out keeps its value, E_CONFIG if required. */
enum mlt_status json_integer(const struct json_place *at, const char *name, bool required,
                             int64_t min, int64_t max, int64_t *out) MLT_MUST_CHECK;

#endif
