#include "numbers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "meltica/base/clock.h"

bool mlt_tool_count(const char *text, int64_t max, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < 1 || value > max) {
        return false;
    }
    *out = value;
    return true;
}

bool mlt_tool_since(const char *text, int64_t now_ns, int64_t *out)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    static const char *const forms[] = { "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d" };
    const size_t digits = strspn(text, "0123456789");
    char number[24];
    int64_t count = 0;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (digits > 0 && digits < sizeof number && text[digits] == units[i].unit &&
            text[digits + 1] == '\0') {
            (void)snprintf(number, sizeof number, "%.*s", (int)digits, text);
            *out = mlt_tool_count(number, MLT_TOOL_SECONDS_MAX / units[i].seconds, &count)
                       ? now_ns - count * units[i].seconds * MLT_NS_PER_S
                       : 0;
            return *out > 0;
        }
    }
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm tm = { .tm_mday = 1 };
        const char *end = strptime(text, forms[i], &tm);
        if (end != NULL && *end == '\0' && tm.tm_year > 70 && tm.tm_year < 350) {
            *out = (int64_t)timegm(&tm) * MLT_NS_PER_S;
            return true;
        }
    }
    return false;
}
