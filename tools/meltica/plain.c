#include "plain.h"

#include <string.h>

#include <cjson/cJSON.h>

#include "meltica/base/buf.h"

void mlt_tool_plain(char *text)
{
    const uint8_t *from = (const uint8_t *)text;
    size_t left = strlen(text);
    char *to = text;
    while (left > 0) {
        const size_t n = mlt_utf8_length(from, left);
        const size_t taken = n > 0 ? n : 1;
        if (n == 0 || mlt_utf8_is_control(from, left)) {
            *to++ = '?';
        } else {
            memmove(to, from, n);
            to += n;
        }
        from += taken;
        left -= taken;
    }
    *to = '\0';
}

/* cJSON parses no deeper than CJSON_NESTING_LIMIT. */
void mlt_tool_plain_json(cJSON *tree)
{
    for (; tree != NULL; tree = tree->next) {
        if (cJSON_IsString(tree)) {
            mlt_tool_plain(tree->valuestring);
        }
        mlt_tool_plain_json(tree->child);
    }
}
