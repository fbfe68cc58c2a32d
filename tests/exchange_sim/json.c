#include "json.h"

#include <string.h>

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static void skip_space(struct mlt_slice text, size_t *at)
{
    while (*at < text.len && is_space(text.data[*at])) {
        ++*at;
    }
}

static bool take_byte(struct mlt_slice text, size_t *at, char c)
{
    if (*at < text.len && text.data[*at] == (uint8_t)c) {
        ++*at;
        return true;
    }
    return false;
}

static bool hex4(struct mlt_slice text, size_t at, unsigned *value)
{
    unsigned sum = 0;
    for (size_t i = at; i < at + 4; i++) {
        if (i >= text.len) {
            return false;
        }
        const uint8_t c = text.data[i];
        const unsigned digit = is_digit(c)              ? (unsigned)(c - '0')
                               : (c >= 'a' && c <= 'f') ? (unsigned)(c - 'a') + 10
                               : (c >= 'A' && c <= 'F') ? (unsigned)(c - 'A') + 10
                                                        : 16;
        if (digit > 15) {
            return false;
        }
        sum = sum * 16 + digit;
    }
    *value = sum;
    return true;
}

static bool take_string(struct mlt_slice text, size_t *at)
{
    if (!take_byte(text, at, '"')) {
        return false;
    }
    while (*at < text.len) {
        const uint8_t c = text.data[*at];
        if (c < 0x20) {
            return false;
        }
        ++*at;
        if (c == '"') {
            return true;
        }
        if (c == '\\') {
            unsigned unused = 0;
            if (*at >= text.len || strchr("\"\\/bfnrtu", text.data[*at]) == NULL ||
                text.data[*at] == 0) {
                return false;
            }
            if (text.data[*at] == 'u' && !hex4(text, *at + 1, &unused)) {
                return false;
            }
            ++*at;
        }
    }
    return false;
}

static bool take_digits(struct mlt_slice text, size_t *at)
{
    const size_t start = *at;
    while (*at < text.len && is_digit(text.data[*at])) {
        ++*at;
    }
    return *at > start;
}

static bool take_number(struct mlt_slice text, size_t *at)
{
    (void)take_byte(text, at, '-');
    const bool zero = take_byte(text, at, '0');
    if (!zero && !take_digits(text, at)) {
        return false;
    }
    if (take_byte(text, at, '.') && !take_digits(text, at)) {
        return false;
    }
    if (take_byte(text, at, 'e') || take_byte(text, at, 'E')) {
        if (!take_byte(text, at, '+')) {
            (void)take_byte(text, at, '-');
        }
        return take_digits(text, at);
    }
    return true;
}

static bool take_word(struct mlt_slice text, size_t *at, const char *word)
{
    const size_t len = strlen(word);
    if (text.len - *at < len || memcmp(text.data + *at, word, len) != 0) {
        return false;
    }
    *at += len;
    return true;
}

static bool take_scalar(struct mlt_slice text, size_t *at)
{
    switch (text.data[*at]) {
    case '"':
        return take_string(text, at);
    case 't':
        return take_word(text, at, "true");
    case 'f':
        return take_word(text, at, "false");
    case 'n':
        return take_word(text, at, "null");
    default:
        return take_number(text, at);
    }
}

/* After a value: closes what closes here. False when the text is wrong; *open is the depth left. */
static bool close_values(struct mlt_slice text, size_t *at, const char *stack, unsigned *depth)
{
    while (*depth > 0) {
        skip_space(text, at);
        if (take_byte(text, at, ',')) {
            return true;
        }
        if (!take_byte(text, at, stack[*depth - 1] == '{' ? '}' : ']')) {
            return false;
        }
        --*depth;
    }
    return true;
}

static bool take_key(struct mlt_slice text, size_t *at)
{
    skip_space(text, at);
    if (!take_string(text, at)) {
        return false;
    }
    skip_space(text, at);
    return take_byte(text, at, ':');
}

/* Takes '{' or '[' and what must follow; *empty when it closed at once. */
static bool open_value(struct mlt_slice text, size_t *at, char *stack, unsigned *depth, bool *empty)
{
    const char kind = (char)text.data[*at];
    if (*depth == SIM_JSON_DEPTH_MAX) {
        return false;
    }
    ++*at;
    skip_space(text, at);
    *empty = take_byte(text, at, kind == '{' ? '}' : ']');
    if (!*empty) {
        stack[(*depth)++] = kind;
    }
    return true;
}

/* Iterative, so that deep nesting from outside costs no stack. */
bool sim_json_take(struct mlt_slice text, size_t *offset, struct mlt_slice *value)
{
    char stack[SIM_JSON_DEPTH_MAX];
    unsigned depth = 0;
    skip_space(text, offset);
    const size_t start = *offset;
    do {
        if (depth > 0 && stack[depth - 1] == '{' && !take_key(text, offset)) {
            return false;
        }
        skip_space(text, offset);
        if (*offset >= text.len) {
            return false;
        }
        const uint8_t c = text.data[*offset];
        bool complete = true;
        if (c == '{' || c == '[') {
            if (!open_value(text, offset, stack, &depth, &complete)) {
                return false;
            }
        } else if (!take_scalar(text, offset)) {
            return false;
        }
        if (complete && !close_values(text, offset, stack, &depth)) {
            return false;
        }
    } while (depth > 0);
    *value = mlt_slice_of(text.data + start, *offset - start);
    skip_space(text, offset);
    return true;
}

bool sim_json_valid(struct mlt_slice text, size_t *offset)
{
    struct mlt_slice value;
    *offset = 0;
    return sim_json_take(text, offset, &value) && *offset == text.len;
}

bool sim_json_member(struct mlt_slice object, const char *key, struct mlt_slice *value)
{
    size_t at = 0;
    skip_space(object, &at);
    if (!take_byte(object, &at, '{')) {
        return false;
    }
    const struct mlt_slice wanted = mlt_slice_of_string(key);
    struct mlt_slice name, content;
    while (at < object.len && sim_json_take(object, &at, &name)) {
        if (!take_byte(object, &at, ':') || !sim_json_take(object, &at, value)) {
            return false;
        }
        if (sim_json_plain(name, &content) && mlt_slice_equal(content, wanted)) {
            return true;
        }
        if (!take_byte(object, &at, ',')) {
            return false;
        }
    }
    return false;
}

bool sim_json_next(struct mlt_slice array, size_t *position, struct mlt_slice *element)
{
    if (*position == 0) {
        skip_space(array, position);
        if (!take_byte(array, position, '[')) {
            return false;
        }
    } else if (!take_byte(array, position, ',')) {
        return false;
    }
    return sim_json_take(array, position, element);
}

bool sim_json_plain(struct mlt_slice value, struct mlt_slice *content)
{
    if (value.len < 2 || value.data[0] != '"' || memchr(value.data, '\\', value.len) != NULL) {
        return false;
    }
    *content = mlt_slice_of(value.data + 1, value.len - 2);
    return true;
}

static enum mlt_status append_utf8(struct mlt_buf *out, unsigned c)
{
    uint8_t bytes[4];
    size_t len = 0;
    if (c < 0x80) {
        bytes[len++] = (uint8_t)c;
    } else if (c < 0x800) {
        bytes[len++] = (uint8_t)(0xc0u | (c >> 6));
        bytes[len++] = (uint8_t)(0x80u | (c & 0x3fu));
    } else if (c < 0x10000) {
        bytes[len++] = (uint8_t)(0xe0u | (c >> 12));
        bytes[len++] = (uint8_t)(0x80u | ((c >> 6) & 0x3fu));
        bytes[len++] = (uint8_t)(0x80u | (c & 0x3fu));
    } else {
        bytes[len++] = (uint8_t)(0xf0u | (c >> 18));
        bytes[len++] = (uint8_t)(0x80u | ((c >> 12) & 0x3fu));
        bytes[len++] = (uint8_t)(0x80u | ((c >> 6) & 0x3fu));
        bytes[len++] = (uint8_t)(0x80u | (c & 0x3fu));
    }
    return mlt_buf_append(out, bytes, len);
}

/* At the 'u' of an escape; *at is then behind it (and behind its second half). */
static enum mlt_status unescape_unicode(struct mlt_slice text, size_t *at, struct mlt_buf *out)
{
    unsigned c = 0, low = 0;
    if (!hex4(text, *at + 1, &c)) {
        return MLT_E_PARSE;
    }
    *at += 5;
    if (c >= 0xd800 && c < 0xe000) {
        if (c >= 0xdc00 || *at + 6 > text.len || text.data[*at] != '\\' ||
            text.data[*at + 1] != 'u' || !hex4(text, *at + 2, &low) || low < 0xdc00 ||
            low >= 0xe000) {
            return MLT_E_PARSE;
        }
        c = 0x10000u + ((c - 0xd800u) << 10) + (low - 0xdc00u);
        *at += 6;
    }
    return append_utf8(out, c);
}

enum mlt_status sim_json_unescape(struct mlt_slice value, struct mlt_buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (value.len < 2 || value.data[0] != '"') {
        return MLT_E_TYPE;
    }
    const struct mlt_slice text = mlt_slice_of(value.data + 1, value.len - 2);
    enum mlt_status status = MLT_OK;
    for (size_t at = 0; status == MLT_OK && at < text.len;) {
        if (text.data[at] != '\\') {
            status = mlt_buf_append_byte(out, text.data[at++]);
            continue;
        }
        if (++at >= text.len) {
            return MLT_E_PARSE;
        }
        if (text.data[at] == 'u') {
            status = unescape_unicode(text, &at, out);
            continue;
        }
        const char *known = memchr(from, text.data[at], sizeof from - 1);
        if (known == NULL) {
            return MLT_E_PARSE;
        }
        status = mlt_buf_append_byte(out, (uint8_t)to[known - from]);
        at++;
    }
    return status;
}

bool sim_json_integer(struct mlt_slice value, int64_t *out)
{
    size_t at = 0;
    const bool negative = take_byte(value, &at, '-');
    uint64_t sum = 0;
    if (at >= value.len || value.len - at > 19) {
        return false;
    }
    for (; at < value.len; at++) {
        if (!is_digit(value.data[at])) {
            return false;
        }
        sum = sum * 10 + (uint64_t)(value.data[at] - '0'); /* 19 digits fit in 64 bits */
    }
    if (sum > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        return false;
    }
    *out = negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}
