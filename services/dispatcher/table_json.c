#include "table_json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Integers up to here are exact in the double that cJSON keeps. */
#define EXACT_MAX INT64_C(9007199254740992)

static void position_of(struct mlt_slice text, size_t offset, unsigned *line, unsigned *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < offset && i < text.len; i++) {
        if (text.data[i] == '\n') {
            (*line)++;
            *column = 1;
        } else {
            (*column)++;
        }
    }
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

enum mlt_status json_parse_document(struct mlt_slice text, cJSON **out, struct mlt_error *err)
{
    const char *end = NULL;
    unsigned line, column;
    cJSON *tree = text.len == 0
                      ? NULL
                      : cJSON_ParseWithLengthOpts((const char *)text.data, text.len, &end, false);
    size_t offset = end == NULL ? 0 : (size_t)(end - (const char *)text.data);
    if (tree == NULL) {
        position_of(text, offset, &line, &column);
        return mlt_error_set(err, MLT_E_CONFIG,
                             "not JSON at line %u, column %u: write one JSON object", line, column);
    }
    while (offset < text.len && is_space(text.data[offset])) {
        offset++;
    }
    if (offset < text.len) {
        cJSON_Delete(tree);
        position_of(text, offset, &line, &column);
        return mlt_error_set(err, MLT_E_CONFIG,
                             "something follows the JSON object at line %u, column %u: remove it",
                             line, column);
    }
    *out = tree;
    return MLT_OK;
}

enum mlt_status json_fail(const struct json_place *at, const char *name, const char *format, ...)
{
    char text[MLT_ERROR_TEXT_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const char *dot = at->path[0] != '\0' && name != NULL ? "." : "";
    const char *whole = at->path[0] == '\0' && name == NULL ? "the document" : "";
    return mlt_error_set(at->err, MLT_E_CONFIG, "%s%s%s%s: %s", at->path, dot,
                         name != NULL ? name : "", whole, text);
}

static bool known_member(const char *name, const char *const *known)
{
    for (size_t i = 0; known[i] != NULL; i++) {
        if (strcmp(name, known[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void join(const char *const *words, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; words[i] != NULL && used < size; i++) {
        const int n = snprintf(out + used, size - used, "%s%s", i == 0 ? "" : ", ", words[i]);
        used += n > 0 ? (size_t)n : 0;
    }
}

enum mlt_status json_check_object(const struct json_place *at, const char *const *known)
{
    if (!cJSON_IsObject(at->node)) {
        return json_fail(at, NULL, "is no object: write {...}");
    }
    for (const cJSON *member = at->node->child; member != NULL; member = member->next) {
        if (!known_member(member->string, known)) {
            char list[200];
            join(known, list, sizeof list);
            return json_fail(at, member->string, "is unknown: known here are %s", list);
        }
        for (const cJSON *other = member->next; other != NULL; other = other->next) {
            if (strcmp(member->string, other->string) == 0) {
                return json_fail(at, member->string, "is there twice: remove one");
            }
        }
    }
    return MLT_OK;
}

const cJSON *json_member(const struct json_place *at, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(at->node, name);
}

void json_enter(const struct json_place *at, const char *name, struct json_place *out)
{
    out->err = at->err;
    out->node = json_member(at, name);
    (void)snprintf(out->path, sizeof out->path, "%s%s%s", at->path, at->path[0] != '\0' ? "." : "",
                   name);
}

void json_enter_item(const struct json_place *array, const cJSON *item, size_t index,
                     struct json_place *out)
{
    out->err = array->err;
    out->node = item;
    const int n = snprintf(out->path, sizeof out->path, "%s[%zu]", array->path, index);
    if (n < 0 || (size_t)n >= sizeof out->path) {
        out->path[0] = '\0'; /* deeper than any place of a table */
    }
}

enum mlt_status json_array_size(const struct json_place *at, size_t min, size_t max, size_t *count)
{
    if (at->node == NULL) {
        return json_fail(at, NULL, "is missing: write a list");
    }
    if (!cJSON_IsArray(at->node)) {
        return json_fail(at, NULL, "is no list: write [...]");
    }
    *count = 0;
    for (const cJSON *item = at->node->child; item != NULL; item = item->next) {
        (*count)++;
    }
    if (*count < min || *count > max) {
        return json_fail(at, NULL, "has %zu entries: write %zu to %zu", *count, min, max);
    }
    return MLT_OK;
}

enum mlt_status json_string(const struct json_place *at, const char *name, bool required, char *out,
                            size_t max)
{
    const cJSON *member = json_member(at, name);
    out[0] = '\0';
    if (member == NULL) {
        return required ? json_fail(at, name, "is missing: write a string") : MLT_OK;
    }
    if (!cJSON_IsString(member)) {
        return json_fail(at, name, "is no string: write it in quotes");
    }
    const size_t len = strlen(member->valuestring);
    if (len == 0 || len > max) {
        return json_fail(at, name, "has %zu bytes: write 1 to %zu", len, max);
    }
    memcpy(out, member->valuestring, len + 1);
    return MLT_OK;
}

enum mlt_status json_integer(const struct json_place *at, const char *name, bool required,
                             int64_t min, int64_t max, int64_t *out)
{
    const cJSON *member = json_member(at, name);
    if (member == NULL) {
        return required ? json_fail(at, name,
                                    "is missing: write an integer from %" PRId64 " to %" PRId64,
                                    min, max)
                        : MLT_OK;
    }
    /* valueint saturates at INT_MAX, so the double decides, and only while it is exact. */
    const double value = cJSON_IsNumber(member) ? member->valuedouble : -1.5;
    if (!(value >= -(double)EXACT_MAX && value <= (double)EXACT_MAX) ||
        (double)(int64_t)value != value || (int64_t)value < min || (int64_t)value > max) {
        return json_fail(at, name, "is not an integer from %" PRId64 " to %" PRId64 ": write one",
                         min, max);
    }
    *out = (int64_t)value;
    return MLT_OK;
}
