#include "scrape.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct mlt_slice next_line(struct mlt_slice *rest)
{
    const uint8_t *end = memchr(rest->data, '\n', rest->len);
    const size_t len = end != NULL ? (size_t)(end - rest->data) : rest->len;
    const struct mlt_slice line = mlt_slice_of(rest->data, len);
    const size_t taken = end != NULL ? len + 1 : len;
    rest->data += taken;
    rest->len -= taken;
    return line;
}

/* Digits only; false for anything else. */
static bool parse_integer(struct mlt_slice text, uint64_t *value)
{
    uint64_t v = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || v > UINT64_MAX / 10 - 1) {
            return false;
        }
        v = v * 10 + (uint64_t)(text.data[i] - '0');
    }
    *value = v;
    return text.len > 0;
}

void mlt_scrape_series(struct mlt_slice body, const char *name,
                       void (*fn)(void *ctx, struct mlt_slice labels, uint64_t value), void *ctx)
{
    const size_t name_len = strlen(name);
    while (body.len > 0) {
        struct mlt_slice line = next_line(&body);
        if (line.len <= name_len || memcmp(line.data, name, name_len) != 0) {
            continue;
        }
        struct mlt_slice labels = MLT_SLICE_EMPTY;
        size_t at = name_len;
        if (line.data[at] == '{') {
            const uint8_t *end = memrchr(line.data, '}', line.len);
            if (end == NULL) {
                continue;
            }
            labels = mlt_slice_of(line.data + at + 1, (size_t)(end - line.data) - at - 1);
            at = (size_t)(end - line.data) + 1;
        }
        if (at >= line.len || line.data[at] != ' ') {
            continue;
        }
        uint64_t value = 0;
        if (parse_integer(mlt_slice_of(line.data + at + 1, line.len - at - 1), &value)) {
            fn(ctx, labels, value);
        }
    }
}

struct sum {
    const char *label;
    uint64_t total;
};

static void add(void *ctx, struct mlt_slice labels, uint64_t value)
{
    struct sum *sum = ctx;
    const size_t len = strlen(sum->label);
    if (len == 0 ||
        (labels.len >= len && memmem(labels.data, labels.len, sum->label, len) != NULL)) {
        sum->total += value;
    }
}

uint64_t mlt_scrape_sum(struct mlt_slice body, const char *name, const char *label)
{
    struct sum sum = { label, 0 };
    mlt_scrape_series(body, name, add, &sum);
    return sum.total;
}

bool mlt_scrape_label(struct mlt_slice labels, const char *key, struct mlt_slice *value)
{
    char needle[64];
    const int len = snprintf(needle, sizeof needle, "%s=\"", key);
    const uint8_t *at =
        labels.len > 0 ? memmem(labels.data, labels.len, needle, (size_t)len) : NULL;
    if (at == NULL) {
        return false;
    }
    at += len;
    const uint8_t *end = memchr(at, '"', labels.len - (size_t)(at - labels.data));
    if (end == NULL) {
        return false;
    }
    *value = mlt_slice_of(at, (size_t)(end - at));
    return true;
}

int64_t mlt_scrape_member(struct mlt_slice json, const char *name)
{
    char needle[64];
    const int len = snprintf(needle, sizeof needle, "\"%s\":", name);
    const uint8_t *at = json.len > 0 ? memmem(json.data, json.len, needle, (size_t)len) : NULL;
    if (at == NULL) {
        return -1;
    }
    at += len;
    size_t left = json.len - (size_t)(at - json.data);
    while (left > 0 && *at == ' ') {
        at++;
        left--;
    }
    if (left >= 4 && memcmp(at, "true", 4) == 0) {
        return 1;
    }
    if (left >= 5 && memcmp(at, "false", 5) == 0) {
        return 0;
    }
    size_t digits = 0;
    while (digits < left && at[digits] >= '0' && at[digits] <= '9') {
        digits++;
    }
    uint64_t value = 0;
    return parse_integer(mlt_slice_of(at, digits), &value) && value <= INT64_MAX ? (int64_t)value
                                                                                 : -1;
}

uint64_t mlt_scrape_peak_resident_bytes(int64_t pid)
{
    char path[64], line[256];
    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/status", pid);
    FILE *from = fopen(path, "r");
    if (from == NULL) {
        return 0;
    }
    uint64_t kib = 0;
    while (fgets(line, sizeof line, from) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            kib = strtoull(line + 6, NULL, 10);
            break;
        }
    }
    (void)fclose(from);
    return kib * 1024;
}

uint64_t mlt_scrape_cpu_ms(int64_t pid)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    FILE *from = fopen(path, "r");
    const size_t len = from != NULL ? fread(text, 1, sizeof text - 1, from) : 0;
    if (from != NULL) {
        (void)fclose(from);
    }
    text[len] = '\0';
    /* Fields are counted behind the name, which may contain spaces: proc(5), 14 utime and 15 stime.
     */
    const char *at = strrchr(text, ')');
    for (unsigned field = 2; at != NULL && field < 14; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        return 0;
    }
    char *end = NULL;
    const uint64_t user = strtoull(at, &end, 10);
    const uint64_t system = strtoull(end, NULL, 10);
    const long ticks = sysconf(_SC_CLK_TCK);
    return ticks > 0 ? (user + system) * 1000 / (uint64_t)ticks : 0;
}
